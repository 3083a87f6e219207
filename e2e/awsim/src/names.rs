//! The name server: the model's zones over UDP and TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use awsim_model::{DnsCode, DnsRecord, View};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// The largest answer over UDP to a client that did not say more.
const PLAIN_UDP: usize = 512;

/// Binds both protocols on one port and answers until `stop`; returns the address.
pub(crate) async fn serve(
    world: Arc<World>,
    address: SocketAddr,
    view: View,
    stop: CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let tcp = TcpListener::bind(address).await.with_context(|| format!("DNS over TCP on {address}"))?;
    let address = tcp.local_addr()?;
    let udp = UdpSocket::bind(address).await.with_context(|| format!("DNS over UDP on {address}"))?;
    let (for_udp, until) = (Arc::clone(&world), stop.clone());
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        loop {
            let received = tokio::select! {
                () = until.cancelled() => return,
                received = udp.recv_from(&mut buffer) => received,
            };
            // An error here is an ICMP answer to an earlier reply: nothing of ours.
            let Ok((length, client)) = received else { continue };
            if let Some(reply) = answer(&for_udp, view, &buffer[..length], true) {
                let _ = udp.send_to(&reply, client).await;
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => return,
                accepted = tcp.accept() => accepted,
            };
            if let Ok((stream, _)) = stream {
                let world = Arc::clone(&world);
                let idle = Duration::from_secs(30);
                tokio::spawn(async move { tokio::time::timeout(idle, conversation(&world, view, stream)).await });
            }
        }
    });
    Ok(address)
}

/// Questions and answers on one TCP connection, each with its length before it.
async fn conversation(world: &World, view: View, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        let Some(reply) = answer(world, view, &question, false) else { return Ok(()) };
        stream.write_u16(u16::try_from(reply.len()).unwrap_or(u16::MAX)).await?;
        stream.write_all(&reply).await?;
    }
}

/// The reply to a datagram; `None` for what is no question.
fn answer(world: &World, view: View, question: &[u8], udp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    if question.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    let Some(query) = question.queries.first().filter(|_| question.metadata.op_code == OpCode::Query) else {
        reply.metadata.response_code = ResponseCode::NotImp;
        return reply.to_vec().ok();
    };
    reply.add_query(query.clone());
    let found = world.aws().resolve_in(view, world.now(), &query.name().to_ascii(), &query.query_type().to_string());
    reply.metadata.authoritative = found.code != DnsCode::Refused;
    reply.metadata.response_code = match found.code {
        DnsCode::NoError => ResponseCode::NoError,
        DnsCode::NxDomain => ResponseCode::NXDomain,
        DnsCode::Refused => ResponseCode::Refused,
    };
    // The owner name is echoed as it was asked, which some resolvers check.
    let asked = comparable(query.name());
    for found in &found.records {
        let name = if found.name == asked { query.name().clone() } else { name(&found.name)? };
        reply.add_answer(record(name, found)?);
    }
    if let Some(soa) = &found.soa {
        reply.add_authority(record(name(&soa.name)?, soa)?);
    }
    let limit = question.edns.as_ref().map_or(PLAIN_UDP, |edns| usize::from(edns.max_payload()).max(PLAIN_UDP));
    let bytes = reply.to_vec().ok()?;
    if udp && bytes.len() > limit { reply.truncate().to_vec().ok() } else { Some(bytes) }
}

/// A question's name, comparable.
fn comparable(name: &Name) -> String {
    name.to_ascii().to_ascii_lowercase().replace('*', "\\052")
}

fn name(stored: &str) -> Option<Name> {
    Name::from_ascii(stored.replace("\\052", "*")).ok()
}

fn record(name: Name, found: &DnsRecord) -> Option<Record> {
    let data = match found.kind.as_str() {
        // Route 53 keeps character strings in quotation marks, with spaces between them.
        "TXT" => RData::TXT(TXT::new(strings(&found.value))),
        kind => RData::try_from_str(kind.parse::<RecordType>().ok()?, &found.value.replace("\\052", "*")).ok()?,
    };
    Some(Record::from_rdata(name, found.ttl, data))
}

/// `"a" "b c"` as its strings; a backslash takes the next character, or three octal digits.
fn strings(value: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match (&mut current, c) {
            (None, '"') => current = Some(String::new()),
            (None, _) => {}
            (Some(_), '"') => all.extend(current.take()),
            (Some(text), '\\') => {
                let rest = characters.as_str();
                match rest.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
                    Some(byte) => {
                        text.push(char::from(byte));
                        characters = rest[3..].chars();
                    }
                    None => text.extend(characters.next()),
                }
            }
            (Some(text), c) => text.push(c),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_strings() {
        assert_eq!(strings(r#""a=b,c" "d \"e\" \052""#), ["a=b,c", "d \"e\" *"]);
    }
}
