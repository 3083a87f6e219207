//! HTTP/2 by hand: what a proper client would refuse to send, and what becomes of it on the way down to HTTP/1.1.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::wire::seen;
use super::{HOST, isolated_with_backends};

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const DATA: u8 = 0;
const RESET: u8 = 3;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// Literals without index and without Huffman's code, each shorter than 127 bytes.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).unwrap());
            assert!(text.len() < 127);
            out.extend(text.bytes());
        }
    }
    out
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Status(u16),
    Refused,
}

/// One request; its status, or that its stream or connection was refused.
fn ask(headers: &[(&str, &str)], body: Option<&str>) -> End {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 8080)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let last = if body.is_none() { END_STREAM } else { 0 };
    bytes.extend(frame(HEADERS, END_HEADERS | last, 1, &fields(headers)));
    if let Some(body) = body {
        bytes.extend(frame(DATA, END_STREAM, 1, body.as_bytes()));
    }
    let _ = stream.write_all(&bytes);
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            return End::Refused;
        }
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        match (head[3], head[4]) {
            (SETTINGS, flags) if flags & ACK == 0 => drop(stream.write_all(&frame(SETTINGS, ACK, 0, &[]))),
            (HEADERS, _) => return End::Status(status(&payload)),
            (RESET | GO_AWAY, _) => return End::Refused,
            _ => {}
        }
    }
}

/// The first field of an answer is its status: by index of the static table, or as a literal of that name.
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may stand before it.
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        // A literal with the name of `:status` and three digits, perhaps in Huffman's code of five bits a digit.
        0x08 | 0x48 => {
            let (coded, len) = (block[1] & 0x80 != 0, usize::from(block[1] & 0x7f));
            let value = &block[2..2 + len];
            if !coded {
                return String::from_utf8_lossy(value).parse().unwrap();
            }
            let mut bits = value.iter().fold(String::new(), |bits, byte| format!("{bits}{byte:08b}"));
            let mut out = 0;
            for _ in 0..3 {
                let five = u16::from_str_radix(&bits[..5], 2).unwrap();
                // 0, 1 and 2 have five bits; 3 to 9 have six.
                let (digit, len) =
                    if five < 3 { (five, 5) } else { (u16::from_str_radix(&bits[..6], 2).unwrap() - 0x19 + 3, 6) };
                out = out * 10 + digit;
                bits.drain(..len);
            }
            out
        }
        other => panic!("{other:x} is no status"),
    }
}

#[test]
fn http2_is_no_way_round() {
    isolated_with_backends("hostile::h2::http2_is_no_way_round", || {
        let with = |path: &'static str, authority: &'static str, more: &[(&'static str, &'static str)]| {
            let mut all = vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", authority)];
            all.extend(more);
            let end = ask(&all, None);
            (end, seen())
        };
        let (end, requests) = with("/x", HOST, &[]);
        assert_eq!((end, requests.len()), (End::Status(200), 1));
        requests[0].judge("a plain request");
        let refuses = |name: &str, (end, requests): (End, Vec<super::wire::Request>), code: u16| {
            assert!(end == End::Refused || end == End::Status(code), "{name}: {end:?}");
            assert!(requests.is_empty(), "{name}: {requests:?}");
        };
        for (name, path, authority, code) in [
            ("a closed path", "/admin", HOST, 403),
            ("a closed path, encoded", "/x/%2e%2e/%61dmin", HOST, 403),
            ("a closed host", "/", "b.example.com", 403),
            ("another load balancer's host", "/", "c.example.com", 404),
            ("a line in the path", "/x HTTP/1.1\r\nHost: b.example.com\r\n\r\n", HOST, 400),
            ("a space in the path", "/x HTTP/1.1", HOST, 400),
            ("no slash", "admin", HOST, 400),
            ("no path", "", HOST, 400),
            ("a line in the host", "/", "a.example.com\r\nX: y", 400),
        ] {
            refuses(name, with(path, authority, &[]), code);
        }
        for (name, more) in [
            ("a line in a value", ("x", "y\r\nTransfer-Encoding: chunked")),
            ("a line in a name", ("x\r\ny", "z")),
            ("a colon in a name", ("x: y", "z")),
            ("a space in a name", ("x y", "z")),
            ("capitals in a name", ("Transfer-Encoding", "chunked")),
            ("a NUL in a value", ("x", "y\0z")),
            ("another host", ("host", "b.example.com")),
            ("a second path", (":path", "/admin")),
            ("a second host", (":authority", "b.example.com")),
        ] {
            refuses(name, with("/x", HOST, &[more]), 400);
        }
        // Lengths: HTTP/2 has its own, and what the words say must agree or go.
        let post = |more: &[(&'static str, &'static str)], body: &str| {
            let mut all = vec![(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", HOST)];
            all.extend(more);
            let end = ask(&all, Some(body));
            (end, seen())
        };
        let smuggled = "GET /admin HTTP/1.1\r\nHost: b.example.com\r\n\r\n";
        refuses("H2.CL, less", post(&[("content-length", "0")], smuggled), 400);
        refuses("H2.CL, more", post(&[("content-length", "100")], smuggled), 400);
        refuses("two lengths", post(&[("content-length", "0"), ("content-length", "44")], smuggled), 400);
        refuses("H2.TE", post(&[("transfer-encoding", "chunked")], "0\r\n\r\n"), 400);
        let (end, requests) = post(&[], smuggled);
        assert_eq!((end, requests.len()), (End::Status(200), 1));
        requests[0].judge("a request as a body");
        assert_eq!(requests[0].header("content-length"), [smuggled.len().to_string()]);
        // Words of a connection do not belong into HTTP/2; they must not come out of it either.
        let (_, requests) = with("/x", HOST, &[("connection", "upgrade"), ("upgrade", "h2c")]);
        for request in requests {
            request.judge("an upgrade");
            assert!(request.header("upgrade").is_empty() && request.header("connection").is_empty(), "{request:?}");
        }
    });
}
