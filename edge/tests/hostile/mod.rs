//! Clients that mean harm, against a real nginx: what they get, and above all what the backends see.
//!
//! `open` may be asked by everybody. `closed` is behind `allow` on every route that leads to it, from networks where no
//! client of these tests is: whatever reaches it is a hole.

mod h2;
mod wire;

use std::sync::Mutex;

use serde_json::json;

use super::support::{Agent, backends, eventually, get, isolated, route, table, to};
use wire::{raw, record, seen, statuses};

const HOST: &str = "a.example.com";
const TAIL: &str = "GET /tail HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n";

/// `/` is open; `/admin`, and all of b.example.com, are closed; c.example.com is another load balancer's.
fn serve() -> Agent {
    let guarded = |path: &str, path_type: &str| {
        let mut route = route(path, path_type, &to("closed"));
        route["allow"] = json!(["203.0.113.0/24"]);
        route
    };
    let served = table(&[
        (HOST, vec![route("/", "Prefix", &to("open")), guarded("/admin", "Prefix"), guarded("/exact", "Exact")]),
        ("b.example.com", vec![guarded("/", "Prefix")]),
    ]);
    let mut text: serde_json::Value = serde_json::from_str(&served.to_json()).unwrap();
    text["ports"]["8090"] = text["ports"]["8080"].clone();
    text["ports"]["8090"]["loadBalancer"] = json!("internal");
    let internal = json!({"routes": [route("/", "Prefix", &to("closed"))]});
    text["ports"]["8090"]["hosts"] = json!({ "c.example.com": internal });
    let agent = Agent::start(&[]);
    agent.serve(&gatehouse_route::RouteTable::from_json(&text.to_string()).unwrap());
    eventually("the backend", || get(HOST, "/known").code == 200);
    agent
}

/// What went otherwise than it should: all of it is told, not the first alone.
static FAULTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn isolated_with_backends(name: &str, test: impl FnOnce()) {
    isolated(name, || {
        record(&["open", "closed"]);
        let _agent = serve();
        seen();
        test();
        let faults = FAULTS.lock().unwrap();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    });
}

/// Sends these bytes on one connection: the statuses in order, and the request lines that backends saw.
fn case(name: &str, bytes: &str, codes: &[u16], lines: &[&str]) {
    let answers = raw(8080, bytes.as_bytes());
    let requests = seen();
    let at_backends: Vec<String> = requests.iter().map(|request| format!("{} {}", request.pod, request.line)).collect();
    let got = statuses(&answers);
    if got != codes || at_backends != lines {
        let fault = format!("{name}: {got:?} and {at_backends:?}, but should be {codes:?} and {lines:?}");
        FAULTS.lock().unwrap().push(fault.chars().take(400).collect());
    }
    for request in requests {
        request.judge(name);
    }
}

fn to_open(line: &str) -> String {
    format!("open {line} HTTP/1.1")
}

#[test]
fn messages_have_one_length() {
    isolated_with_backends("hostile::messages_have_one_length", || {
        let post = |headers: &str, body: &str| format!("POST /x HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n{body}{TAIL}");
        let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
        let smuggled = "GET /admin HTTP/1.1\r\nHost: b.example.com\r\n\r\n";

        // Two lengths, or one that cannot be read: nothing is passed on, and the connection ends.
        for (name, bytes, code) in [
            ("CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), 400),
            ("TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n"), 400),
            ("CL.CL", post("Content-Length: 0\r\nContent-Length: 44\r\n", smuggled), 400),
            ("CL.CL, equal", post("Content-Length: 0\r\nContent-Length: 0\r\n", ""), 400),
            ("TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), 400),
            ("another coding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501),
            ("two codings", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
            ("a tab in the coding", post("Transfer-Encoding: \tchunked\r\n", "0\r\n\r\n"), 501),
            ("a vertical tab", post("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n"), 501),
            ("a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400),
            ("a space before the name", post("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
            ("a folded line", post("X: y\r\n z\r\nContent-Length: 0\r\n", ""), 400),
            ("a bare CR in a value", post("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
            ("a NUL in a value", post("X: y\0z\r\n", ""), 400),
            ("a NUL in a name", post("X\0: y\r\n", ""), 400),
            ("a negative length", post("Content-Length: -1\r\n", ""), 400),
            ("a length with a sign", post("Content-Length: +5\r\n", "12345"), 400),
            ("a length in hexadecimal", post("Content-Length: 0x5\r\n", "12345"), 400),
            ("a list of lengths", post("Content-Length: 0, 44\r\n", smuggled), 400),
            ("a length beyond all numbers", post("Content-Length: 99999999999999999999\r\n", ""), 400),
            ("an empty length", post("Content-Length:\r\n", ""), 400),
            (
                "chunked in HTTP/1.0",
                format!("POST /x HTTP/1.0\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                400,
            ),
            ("a chunk's size with a sign", chunked("-1\r\nx\r\n0\r\n\r\n"), 400),
            ("a chunk's size with a prefix", chunked("0x1\r\nx\r\n0\r\n\r\n"), 400),
            ("a chunk's size beyond all numbers", chunked("fffffffffffffffff\r\nx\r\n0\r\n\r\n"), 400),
            ("a chunk larger than it says", chunked("1\r\nxyz\r\n0\r\n\r\n"), 400),
            ("no chunk's size", chunked("\r\n\r\n"), 400),
        ] {
            case(name, &bytes, &[code], &[]);
        }
        // What is read in one way only is passed on as one request, with a length of the edge's own making.
        let both = [to_open("POST /x"), to_open("GET /tail")];
        let both: Vec<&str> = both.iter().map(String::as_str).collect();
        for (name, bytes) in [
            ("chunked", chunked("1\r\nx\r\n0\r\n\r\n")),
            ("an extension of a chunk", chunked("1;a=\"b\"\r\nx\r\n0\r\n\r\n")),
            ("a chunk's size and more", chunked("1 1\r\nx\r\n0\r\n\r\n")),
            ("a trailer", chunked("1\r\nx\r\n0\r\nContent-Length: 5\r\n\r\n")),
            ("other case", post("tRANSFER-eNCODING: Chunked\r\n", "1\r\nx\r\n0\r\n\r\n")),
            ("a request as a body", post(&format!("Content-Length: {}\r\n", smuggled.len()), smuggled)),
            ("a request as a chunk", chunked(&format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()))),
            ("bare LF", post("X: y\nContent-Length: 0\n", "")),
        ] {
            case(name, &bytes, &[200, 200], &both);
        }
        // One request ends where it says, and what follows is judged by itself.
        case(
            "a pipeline",
            &format!("GET /x HTTP/1.1\r\nHost: {HOST}\r\n\r\n{smuggled}{TAIL}"),
            &[200, 403, 200],
            &[&to_open("GET /x"), &to_open("GET /tail")],
        );
    });
}

#[test]
fn a_request_has_one_host() {
    isolated_with_backends("hostile::a_request_has_one_host", || {
        let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        for (name, bytes, code) in [
            ("no host", get("/", ""), 400),
            ("two hosts", get("/", &format!("Host: {HOST}\r\nHost: b.example.com\r\n")), 400),
            ("two equal hosts", get("/", &format!("Host: {HOST}\r\nHost: {HOST}\r\n")), 400),
            ("a folded host", get("/", &format!("Host:\r\n {HOST}\r\n")), 400),
            ("a path in the host", get("/", &format!("Host: {HOST}/admin\r\n")), 400),
            ("a NUL in the host", get("/", "Host: a.example.com\0.b.example.com\r\n"), 400),
            ("a space in the host", get("/", "Host: a.example.com b.example.com\r\n"), 400),
            ("no host in HTTP/1.0", format!("GET / HTTP/1.0\r\n\r\n{TAIL}"), 404),
            ("a user in the host", get("/", &format!("Host: b.example.com@{HOST}\r\n")), 400),
            ("a list of hosts", get("/", &format!("Host: {HOST},b.example.com\r\n")), 404),
            ("another load balancer's host", get("/", "Host: c.example.com\r\n"), 404),
            ("its port in the host", get("/", "Host: c.example.com:8090\r\n"), 404),
            (
                "another load balancer's host in the target",
                get("http://c.example.com/", &format!("Host: {HOST}\r\n")),
                404,
            ),
            // What the target says counts, as it should: it is judged, and it is what backends are told.
            ("a closed host in the target", get("http://b.example.com/", &format!("Host: {HOST}\r\n")), 403),
            ("a closed host with a port", get("http://b.example.com:80/x", &format!("Host: {HOST}\r\n")), 403),
            ("a closed path in the target", get("http://a.example.com/admin", "Host: b.example.com\r\n"), 403),
            ("a target with a user", get("http://a.example.com@b.example.com/", &format!("Host: {HOST}\r\n")), 400),
            ("a target of another scheme", get("file:///etc/passwd", &format!("Host: {HOST}\r\n")), 400),
            ("a target without slash", get("admin", &format!("Host: {HOST}\r\n")), 400),
            ("a tunnel", format!("CONNECT b.example.com:443 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 405),
            ("an echo", format!("TRACE / HTTP/1.1\r\nHost: {HOST}\r\nCookie: a=b\r\nConnection: close\r\n\r\n"), 405),
        ] {
            case(name, &bytes, &[code], &[]);
        }
        let open = [to_open("GET /x")];
        let open: Vec<&str> = open.iter().map(String::as_str).collect();
        for (name, bytes) in [
            ("an open host in the target", get("http://a.example.com/x", "Host: b.example.com\r\n")),
            ("a final dot", get("/x", "Host: a.example.com.\r\n")),
            ("a port", get("/x", "Host: a.example.com:8090\r\n")),
            ("other case", get("/x", "Host: A.EXAMPLE.com\r\n")),
            (
                "other names for the host",
                get("/x", &format!("Host: {HOST}\r\nX-Forwarded-Host: b.example.com\r\nX-Host: b\r\n")),
            ),
        ] {
            case(name, &bytes, &[200], &open);
        }
        // HTTP/0.9 has no host and no status line.
        let answer = raw(8080, b"GET /admin\r\n");
        assert!(!answer.starts_with(b"HTTP/") && String::from_utf8_lossy(&answer).contains("404"), "{answer:?}");
        assert!(seen().is_empty());
        assert_eq!(
            statuses(&raw(8090, format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").as_bytes())),
            [404]
        );
        assert_eq!(statuses(&raw(8080, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")), [400], "TLS");
        assert!(seen().is_empty());
    });
}

#[test]
fn closed_paths_stay_closed_however_they_are_written() {
    isolated_with_backends("hostile::closed_paths_stay_closed_however_they_are_written", || {
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        for path in [
            "/admin",
            "/admin/",
            "/admin/x",
            "/admin?x",
            "/admin#x",
            "/exact",
            "//admin",
            "///admin//x",
            "/./admin",
            "/x/../admin",
            "/x/..//admin",
            "/%61dmin",
            "/%61%64%6d%69%6e",
            "/%2fadmin",
            "/%2Fadmin",
            "/%2e/admin",
            "/x/%2e%2e/admin",
            "/x/.%2e/admin",
            "/x/%2e%2e%2fadmin",
            "/admin%2fx",
            "/admin%2Fx",
            "/x/y/../../admin",
            "/admin/./x",
            "/admin/y/..",
            "/%2e%2fadmin",
            "/exact?/..",
            "/x/../exact",
            "/%65xact",
            "/x%2f..%2fadmin",
            "/admin/x/..%2f..%2fadmin/y",
        ] {
            case(path, &get(path), &[403], &[]);
        }
        for path in [
            "/%00admin",
            "/admin%00",
            "/admin%00/../x",
            "/%",
            "/%zz",
            "/%2",
            "/../admin",
            "/x/../../admin",
            "/%2e%2e/admin",
        ] {
            case(path, &get(path), &[400], &[]);
        }
        // These are other paths, by the one rule that holds here: decoded once, slashes merged, dots resolved. They belong
        // to `/`, and its backend sees them as they were written. Who decodes twice or cuts at `;` must not trust paths.
        for path in [
            "/Admin",
            "/ADMIN",
            "/admin;x",
            "/admin;/x",
            "/admin%3bx",
            "/adminx",
            "/admin.",
            "/admin%20",
            "/%2561dmin",
            "/x%5c..%5cadmin",
            "/x\\..\\admin",
            "/admin%5cx",
            "/x?/../admin",
            "/x#/../admin",
            "/exact/",
            "/exact%2f",
            "/.admin",
            "/x/..admin",
            "/%ef%bc%8fadmin",
            "/%c0%afadmin",
            "/admin/..",
            "/admin/../x",
            "/admin%3fx/..",
        ] {
            case(path, &get(path), &[200], &[&to_open(&format!("GET {path}"))]);
        }
        case("a space in the path", &get("/x /admin"), &[400], &[]);
        case("a tab in the path", &get("/x\t/admin"), &[400], &[]);
        case("a star", &get("*"), &[400], &[]);
        // The platform's own words are no way round either.
        case("reserved", &get("/.well-known/gatehouse/../../admin"), &[403], &[]);
        case("an auth door", &get("/.well-known/gatehouse/auth/0123456789abcdef"), &[200], &[]);
    });
}

#[test]
fn backends_are_told_only_what_is_so() {
    isolated_with_backends("hostile::backends_are_told_only_what_is_so", || {
        let lies = "X-Forwarded-For: 203.0.113.9, 127.0.0.1\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n\
                    X-Forwarded-Host: b.example.com\r\nX-Forwarded-Prefix: /admin\r\nX-Forwarded-Server: b\r\nProxy: http://b/\r\n\
                    X-Original-URL: /admin\r\nX-Original-URI: /admin\r\nX-Original-Host: b\r\nX-Original-Method: PUT\r\n\
                    X-Rewrite-URL: /admin\r\nX_Real_IP: 203.0.113.9\r\nX-Real_IP: 203.0.113.9\r\nX-Accel-Redirect: /admin\r\n\
                    Connection: close, X-Real-IP, X-Forwarded-For, Host\r\nKeep-Alive: 5\r\nTE: trailers\r\n";
        let answers = raw(8080, format!("GET /x HTTP/1.1\r\nHost: {HOST}\r\n{lies}\r\n").as_bytes());
        let requests = seen();
        assert_eq!((statuses(&answers), requests.len()), (vec![200], 1));
        let request = &requests[0];
        request.judge("lies");
        // The last address before the load balancer's own is the client's word to the load balancer: real here.
        assert_eq!(request.header("x-real-ip"), ["203.0.113.9"]);
        assert_eq!(request.header("x-forwarded-host"), [HOST]);
        for gone in [
            "forwarded",
            "x-forwarded-prefix",
            "x-forwarded-server",
            "proxy",
            "x-original-url",
            "x-original-uri",
            "x-original-host",
            "x-original-method",
            "x-rewrite-url",
            "x_real_ip",
            "x-real_ip",
            "connection",
            "keep-alive",
        ] {
            assert!(request.header(gone).is_empty(), "{gone} reached the backend");
        }

        // A tunnel for HTTP/2 would pass every rule: whatever is no WebSocket does not reach the backend as an upgrade.
        let upgrade = |to: &str| {
            let more = format!(
                "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: {to}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
            );
            let answers = raw(8080, format!("GET /upgrade HTTP/1.1\r\nHost: {HOST}\r\n{more}\r\n{TAIL}").as_bytes());
            let requests = seen();
            requests.iter().for_each(|request| request.judge(to));
            (statuses(&answers), requests)
        };
        for to in ["h2c", "H2C", "h2c, websocket", "websocket, h2c", "TLS/1.0", "HTTP/2.0", "x"] {
            let (codes, requests) = upgrade(to);
            assert_eq!((codes, requests.len()), (vec![200], 1), "{to}");
            for gone in ["upgrade", "connection", "http2-settings"] {
                assert!(requests[0].header(gone).is_empty(), "{to}: {gone} reached the backend");
            }
        }
        // `open` takes every upgrade that it sees.
        let (codes, requests) = upgrade("WebSocket");
        assert_eq!((codes[0], requests[0].header("upgrade")), (101, vec!["websocket"]));
    });
}

#[test]
fn heads_have_bounds() {
    isolated_with_backends("hostile::heads_have_bounds", || {
        let with = |headers: &str| format!("GET /x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{headers}\r\n");
        let many = |count: usize| (0..count).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
        let long = |size: usize| format!("X-Long: {}\r\n", "y".repeat(size));
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let open = to_open("GET /x");
        // What a load balancer lets through: 16 KiB a line, 64 KiB in all.
        for (name, headers) in [
            ("a long header", long(16 << 10)),
            ("64 KiB of headers", long(16 << 10) + &long(16 << 10) + &long(16 << 10) + &long(15 << 10)),
            ("500 headers", many(500)),
        ] {
            case(name, &with(&headers), &[200], &[&open]);
        }
        let path = format!("/{}", "p".repeat(16 << 10));
        case("a long path", &get(&path), &[200], &[&to_open(&format!("GET {path}"))]);
        for (name, bytes, code) in [
            ("a header beyond the buffer", with(&long(33 << 10)), 400),
            ("headers beyond all buffers", with(&long(31 << 10).repeat(5)), 400),
            ("2,000 headers", with(&many(2_000)), 400),
            ("a path beyond the buffer", get(&format!("/{}", "p".repeat(33 << 10))), 414),
            ("a method beyond reason", format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(40 << 10)), 414),
            ("a version that is none", format!("GET / HTTP/1.{}\r\nHost: {HOST}\r\n\r\n", "1".repeat(40)), 400),
            ("HTTP/2 in words", format!("GET / HTTP/2.0\r\nHost: {HOST}\r\n\r\n"), 505),
            ("HTTP/3 in words", format!("GET / HTTP/3.0\r\nHost: {HOST}\r\n\r\n"), 505),
            ("a body beyond the limit", with("Content-Length: 4294967296\r\n"), 413),
            ("noise", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400),
            ("a lower-case method", format!("get / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400),
        ] {
            case(name, &bytes, &[code], &[]);
        }
    });
}

/// Hundreds of clients that dawdle cost the others nothing, and their time ends.
#[test]
fn slow_clients_hold_nobody_up() {
    isolated("hostile::slow_clients_hold_nobody_up", || {
        use std::io::{Read as _, Write as _};
        backends(&["open", "closed"]);
        let _agent = serve();
        let slow = |begin: &str| {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", 8080)).unwrap();
            stream.write_all(begin.as_bytes()).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
            stream
        };
        let head = format!("POST /seen HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100\r\n");
        let mut heads: Vec<_> = (0..200).map(|_| slow(&head)).collect();
        let bodies: Vec<_> = (0..200).map(|_| slow(&format!("{head}\r\nx"))).collect();
        for _ in 0..20 {
            assert_eq!(get(HOST, "/x").code, 200);
        }
        // A backend is asked when a request is whole.
        assert_eq!(super::support::SEEN.load(std::sync::atomic::Ordering::SeqCst), 0);
        // Heads have 15 s in all, however often a byte comes. Bodies go on.
        let begun = std::time::Instant::now();
        let mut left = heads.len();
        while left > 0 {
            assert!(begun.elapsed() < std::time::Duration::from_secs(50), "{left} heads are still waited for");
            std::thread::sleep(std::time::Duration::from_millis(500));
            heads.retain_mut(|stream| {
                let _ = stream.write_all(b"X");
                stream.set_nonblocking(true).unwrap();
                let mut byte = [0];
                let ended = match stream.read(&mut byte) {
                    Ok(_) => true,
                    Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                };
                stream.set_nonblocking(false).unwrap();
                !ended
            });
            left = heads.len();
        }
        let mut last = bodies.into_iter().next().unwrap();
        last.write_all("y".repeat(99).as_bytes()).unwrap();
        let mut answer = [0; 12];
        last.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert_eq!(super::support::SEEN.load(std::sync::atomic::Ordering::SeqCst), 1);
    });
}
