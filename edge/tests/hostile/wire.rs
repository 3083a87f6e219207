//! Bytes in and bytes out, and a backend that writes down what it is asked, and is strict.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::support::pods;

/// A request as a backend got it.
#[derive(Clone, Debug)]
pub struct Request {
    pub pod: &'static str,
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What makes it no proper request.
    pub fault: Option<String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// What holds for every request that leaves the edge, whoever sent it.
    pub fn judge(&self, name: &str) {
        assert_eq!(self.fault, None, "{name}: {self:?}");
        assert_eq!(self.pod, "open", "{name}: a closed backend was reached: {self:?}");
        assert_eq!(self.header("host"), ["a.example.com"], "{name}: {self:?}");
        assert!(
            self.header("transfer-encoding").is_empty() || self.header("content-length").is_empty(),
            "{name}: {self:?}"
        );
        for once in ["content-length", "transfer-encoding", "x-real-ip", "x-forwarded-host", "connection", "upgrade"] {
            assert!(self.header(once).len() <= 1, "{name}: {once} stands twice: {self:?}");
        }
    }
}

static SEEN: Mutex<Vec<Request>> = Mutex::new(Vec::new());

/// What backends were asked since the last call.
pub fn seen() -> Vec<Request> {
    std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Pods that write down what they are asked. They answer 200, and 101 to whoever asks for an upgrade.
pub fn record(names: &'static [&'static str]) {
    pods(names, |name, listener| {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(request) = next(name, &mut stream) {
                    let upgrades = !request.header("upgrade").is_empty();
                    let ends = request.fault.is_some();
                    SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                    let answer: &[u8] = if upgrades {
                        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
                    } else {
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                    };
                    if stream.get_mut().write_all(answer).is_err() || ends || upgrades {
                        return;
                    }
                }
            });
        }
    });
}

fn next(pod: &'static str, stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut request = Request { pod, line: String::new(), headers: Vec::new(), fault: None };
    let mut fault = |text: String| {
        request.fault.get_or_insert(text);
    };
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        match stream.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) if lines.is_empty() => return None,
            Ok(0) | Err(_) => {
                fault("the head ends early".to_owned());
                break;
            }
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let Some(text) = text.strip_suffix("\r\n") else {
            fault(format!("a line ends without CRLF: {text:?}"));
            break;
        };
        if text.is_empty() {
            break;
        }
        if text.chars().any(char::is_control) {
            fault(format!("a control character: {text:?}"));
        }
        lines.push(text.to_owned());
    }
    let mut lines = lines.into_iter();
    let line = lines.next().unwrap_or_default();
    if line.split(' ').count() != 3 {
        fault(format!("no request line: {line:?}"));
    }
    let mut headers = Vec::new();
    for text in lines {
        match text.split_once(": ") {
            Some((name, value)) if !name.is_empty() && !name.contains(' ') => {
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            _ => fault(format!("no header: {text:?}")),
        }
    }
    (request.line, request.headers) = (line, headers);
    let length: usize = request.header("content-length").first().map_or(0, |text| text.parse().unwrap_or(usize::MAX));
    if length > 1 << 20 || !request.header("transfer-encoding").is_empty() {
        request.fault = Some("a body that is not gathered".to_owned());
        return Some(request);
    }
    stream.read_exact(&mut vec![0; length]).ok()?;
    Some(request)
}

/// Sends the bytes and reads until the other side has nothing more to say.
pub fn raw(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // A server that has refused the beginning may have closed before the end is sent.
    let _ = stream.write_all(bytes);
    let mut out = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        out.extend(&buffer[..read]);
    }
    out
}

/// The statuses of answers one after the other.
pub fn statuses(answers: &[u8]) -> Vec<u16> {
    let mut out = Vec::new();
    let mut rest = answers;
    while let Some(at) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..at]).to_ascii_lowercase();
        rest = &rest[at + 4..];
        let code = head.strip_prefix("http/1.1 ").and_then(|line| line.get(..3)?.parse().ok());
        // 999: bytes that are no answer.
        out.push(code.unwrap_or(999));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        rest = &rest[length.unwrap_or(0).min(rest.len())..];
    }
    out
}
