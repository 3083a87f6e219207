//! A DNS server that knows Services.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

/// Where it listens.
pub const DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 53);

/// Answers for these names from now on.
pub fn serve(zone: BTreeMap<String, Vec<Ipv4Addr>>) {
    let socket = UdpSocket::bind((DNS, 53)).unwrap();
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut query) {
            let _ = socket.send_to(&dns_answer(&query[..len], &zone), from);
        }
    });
}

/// A for `<service>.team-a...`, SRV with port 9000 for `_http._tcp.<service>.team-a...`, NXDOMAIN for the rest.
fn dns_answer(query: &[u8], zone: &BTreeMap<String, Vec<Ipv4Addr>>) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let len = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + len]).to_lowercase());
        at += len + 1;
    }
    let question_end = at + 5;
    let (kind, name) = (query[at + 2], labels.join("."));
    let data = match kind {
        1 => zone.get(&name).map(|addresses| addresses.iter().map(|a| a.octets().to_vec()).collect()),
        33 => name.strip_prefix("_http._tcp.").filter(|target| zone.contains_key(*target)).map(|target| {
            let mut data = vec![0, 0, 0, 1];
            data.extend(9000_u16.to_be_bytes());
            for label in target.split('.') {
                data.push(u8::try_from(label.len()).unwrap());
                data.extend(label.as_bytes());
            }
            data.push(0);
            vec![data]
        }),
        _ => None,
    };
    let data: Option<Vec<Vec<u8>>> = data;
    let known = data.is_some();
    let count = u8::try_from(data.iter().flatten().count()).unwrap();
    let mut out = query[..2].to_vec();
    out.extend([0x85, if known { 0x80 } else { 0x83 }, 0, 1, 0, count, 0, 0, 0, 0]);
    out.extend(&query[12..question_end]);
    for data in data.into_iter().flatten() {
        out.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 5]);
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    out
}
