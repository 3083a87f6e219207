//! The scenarios of the Ingress conformance suite, and what of Gateway API's suite a route can say, against a real nginx.
//!
//! Every case has a name; `docs/ingress-conformance.md` lists them, and `the_page_lists_every_case` holds it to that.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::routes::with;
use super::support::{Agent, Answer, backends, eventually, get, get_with, isolated, pods, route, send, table, to};

/// Name of the case, host (below example.com), path, and who answers: a backend's name or a status.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// `path_rules.feature`.
const PATHS: [Case; 16] = [
    ("an exact path takes itself", "exact", "/foo", "one"),
    ("an exact path refuses a slash more", "exact", "/foo/", "404"),
    ("an exact path refuses other case", "exact", "/FOO", "404"),
    ("an exact path refuses another path", "exact", "/bar", "404"),
    ("a prefix takes itself", "prefix", "/foo", "one"),
    ("a prefix takes itself with a slash", "prefix", "/foo/", "one"),
    ("a prefix with a slash takes itself", "slash", "/foo/", "one"),
    ("a prefix refuses other case", "prefix", "/FOO", "404"),
    ("the longest prefix wins", "long", "/aaa/bbb", "two"),
    ("the longest prefix wins below it", "long", "/aaa/bbb/ccc", "two"),
    ("the shorter prefix has the rest", "long", "/aaa/ccc", "one"),
    ("a prefix ends at a segment", "long", "/aaaccc", "404"),
    ("exact beats prefix", "both", "/foo", "two"),
    ("a prefix with a slash takes itself without", "below", "/aaa/bbb", "one"),
    ("a longer prefix with a slash takes itself", "below", "/aaa/bbb/", "one"),
    ("an exact path with a slash refuses itself without", "only", "/foo", "404"),
];

/// Where nginx alone, or a careless rendering, goes wrong.
const MORE_PATHS: [Case; 17] = [
    ("", "slash", "/foo", "one"),
    ("", "slash", "/foobar", "404"),
    ("", "prefix", "/foobar", "404"),
    ("", "prefix", "/foo?q=/bar", "one"),
    ("", "prefix", "/%66oo/x", "one"),
    ("", "prefix", "/bar/../foo/x", "one"),
    ("", "prefix", "/foo/..%2fbar", "404"),
    ("", "prefix", "//foo//x", "one"),
    ("", "both", "/foo/", "one"),
    ("", "below", "/aaa/bbbb", "404"),
    ("", "only", "/foo/", "one"),
    ("", "only", "/foo/x", "404"),
    ("", "guard", "/foo", "two"),
    ("", "guard", "/foo/", "one"),
    ("", "guard", "/foo/x", "two"),
    ("", "rest", "/foo", "three"),
    ("", "rest", "/foo/x", "three"),
];

/// `host_rules.feature`. What TLS shows is the load balancer's.
const HOSTS: [Case; 6] = [
    ("an exact host whose client speaks TLS", "shop", "/", "one"),
    ("an exact host", "plain", "/", "two"),
    ("another host", "other", "/", "404"),
    ("a wildcard takes one label", "a.wild", "/", "three"),
    ("a wildcard refuses two labels", "b.a.wild", "/", "404"),
    ("a wildcard refuses its own domain", "wild", "/", "404"),
];

/// `default_backend.feature`: method, host, path, and whether the backend of the host answers.
const DEFAULT: [(&str, &str, &str, &str, bool); 6] = [
    ("the default backend answers GET", "GET", "shop.example.com", "/", true),
    ("the default backend answers below the root", "GET", "shop.example.com", "/sub-path", true),
    ("the default backend answers POST", "POST", "shop.example.com", "/some-path", true),
    ("the default backend answers a request without a host", "PUT", "", "/resource", false),
    ("the default backend answers DELETE", "DELETE", "shop.example.com", "/resource", true),
    ("the default backend answers PATCH", "PATCH", "shop.example.com", "/resource", true),
];

const BALANCING: &str = "100 requests reach 10 of 10 pods";
/// An Ingress of an unknown class gets no address: it is not read at all.
const CLASS: &str = "an unknown class gets no address";

/// Of Gateway API's `conformance/tests`, by the names the suite gives them.
const GATEWAY: [&str; 12] = [
    "HTTPRouteExactPathMatching",
    "HTTPRoutePathMatchOrder",
    "HTTPRouteHostnameIntersection",
    "HTTPRouteRequestHeaderModifier",
    "HTTPRouteResponseHeaderModifier",
    "HTTPRouteRedirectHostAndStatus",
    "HTTPRouteRedirectPath",
    "HTTPRouteRedirectPort",
    "HTTPRouteRedirectScheme",
    "HTTPRouteRedirectPortAndScheme",
    "HTTPRouteWeight",
    "HTTPRouteBackendProtocolWebSocket",
];

fn who(answer: &Answer) -> String {
    match answer.code {
        200 => answer.body.split(' ').next().unwrap_or_default().to_owned(),
        code => code.to_string(),
    }
}

fn judge(cases: &[Case]) {
    for (name, host, path, expected) in cases {
        assert_eq!(who(&get(&format!("{host}.example.com"), path)), *expected, "{name}: {host} {path}");
    }
}

#[test]
fn paths_match_as_ingress_says() {
    isolated("conformance::paths_match_as_ingress_says", || {
        backends(&["one", "two", "three"]);
        let prefix = |path: &str, service: &'static str| route(path, "Prefix", &to(service));
        let exact = |path: &str, service: &'static str| route(path, "Exact", &to(service));
        let hosts: Vec<(&str, Vec<Value>)> = vec![
            ("exact.example.com", vec![exact("/foo", "one")]),
            ("prefix.example.com", vec![prefix("/foo", "one")]),
            ("slash.example.com", vec![prefix("/foo/", "one")]),
            ("long.example.com", vec![prefix("/aaa/bbb", "two"), prefix("/aaa", "one")]),
            ("both.example.com", vec![prefix("/foo", "one"), exact("/foo", "two")]),
            ("below.example.com", vec![prefix("/aaa/bbb/", "one")]),
            ("only.example.com", vec![exact("/foo/", "one")]),
            ("guard.example.com", vec![exact("/foo/", "one"), prefix("/foo", "two"), prefix("/", "three")]),
            ("rest.example.com", vec![exact("/foo/", "one"), prefix("/", "three")]),
        ];
        let agent = Agent::start(&[]);
        agent.serve(&table(&hosts));
        eventually("the backends' addresses", || {
            get("long.example.com", "/aaa").code == 200
                && get("long.example.com", "/aaa/bbb").code == 200
                && get("rest.example.com", "/").code == 200
        });
        judge(&PATHS);
        judge(&MORE_PATHS);
    });
}

#[test]
fn hosts_match_as_ingress_says() {
    isolated("conformance::hosts_match_as_ingress_says", || {
        backends(&["one", "two", "three"]);
        let all = |service: &'static str| vec![route("/", "Prefix", &to(service))];
        let agent = Agent::start(&[]);
        agent.serve(&table(&[
            ("shop.example.com", all("one")),
            ("plain.example.com", all("two")),
            ("*.wild.example.com", all("three")),
            ("exact.wild.example.com", all("one")),
        ]));
        let known = ["shop.example.com", "plain.example.com", "a.wild.example.com"];
        eventually("the backends' addresses", || known.iter().all(|host| get(host, "/").code == 200));
        judge(&HOSTS);
        // Beyond the suite: an exact host wins over the wildcard, and nobody's spelling makes another host.
        for (host, expected) in [
            ("exact.wild.example.com", "one"),
            ("EXACT.Wild.example.com", "one"),
            ("exact.wild.example.com.", "one"),
            ("exact.wild.example.com:8443", "one"),
            ("xexact.wild.example.com", "three"),
            ("awild.example.com", "404"),
            ("a.wild.example.com.evil.example", "404"),
            (".wild.example.com", "404"),
        ] {
            assert_eq!(who(&get(host, "/")), expected, "{host}");
        }
    });
}

/// Answers as the suite's own backend does: what it was asked, with a type.
fn echo(name: &str, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => head.push(line.trim_end().to_owned()),
            }
        }
        let length =
            head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let text = format!("{name} {} {}", head[0], String::from_utf8_lossy(&body));
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
        if stream.get_mut().write_all(format!("{answer}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn the_default_backend_answers() {
    isolated("conformance::the_default_backend_answers", || {
        pods(&["web"], |name, listener| {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || echo(name, stream));
            }
        });
        let agent = Agent::start(&[]);
        agent.serve(&table(&[("shop.example.com", vec![route("/", "Prefix", &to("web"))])]));
        eventually("the backend", || get("shop.example.com", "/").code == 200);
        for (name, method, host, path, served) in DEFAULT {
            let answer = send(method, host, path, "Content-Length: 4\r\n\r\nbody");
            if served {
                assert_eq!((answer.code, answer.body), (200, format!("web {method} {path} HTTP/1.1 body")), "{name}");
                assert_eq!(answer.head[0], "http/1.1 200 ok", "{name}");
                assert_eq!(
                    answer.head.iter().filter(|line| line.starts_with("content-type: application/json")).count(),
                    1
                );
                for header in ["content-length", "date", "server"] {
                    assert!(
                        answer.head.iter().any(|line| line.starts_with(&format!("{header}: "))),
                        "{name}: {header}"
                    );
                }
            } else {
                // Differs: nobody has all the hosts that are left, and an empty one is none.
                assert_eq!(answer.code, 400, "{name}");
            }
        }
    });
}

#[test]
fn every_pod_has_its_share() {
    isolated("conformance::every_pod_has_its_share", || {
        backends(&["web.0", "web.1", "web.2", "web.3", "web.4", "web.5", "web.6", "web.7", "web.8", "web.9"]);
        let agent = Agent::start(&[]);
        agent.serve(&table(&[("shop.example.com", vec![route("/", "Prefix", &to("web"))])]));
        eventually("the backends", || get("shop.example.com", "/").code == 200);
        let mut client = super::support::Client::connect(super::support::TRAFFIC).unwrap();
        let seen: BTreeSet<String> = (0..100).map(|_| who(&client.ask("shop.example.com", "/", "").unwrap())).collect();
        assert_eq!(seen.len(), 10, "{BALANCING}: {seen:?}");
    });
}

#[test]
fn routes_do_what_gateway_api_says() {
    isolated("conformance::routes_do_what_gateway_api_says", || {
        backends(&["one", "two", "three"]);
        let number = || json!({ "number": 9000 });
        let shares = [("one", number(), 70), ("two", number(), 30), ("three", number(), 0)];
        let away = |path: &str, redirect: Value| with(path, "Prefix", &[], &json!({ "redirect": redirect }));
        let edits = json!({
            "requestHeaders": {"set": {"X-Header-Set": "set-overwrites"}, "remove": ["X-Header-Remove"]},
            "responseHeaders": {"set": {"X-Header-Set": "set"}, "remove": ["X-Powered-By"]},
        });
        let agent = Agent::start(&[]);
        agent.serve(&table(&[
            (
                "a.example.com",
                vec![
                    route("/one", "Exact", &to("one")),
                    route("/match", "Prefix", &to("one")),
                    route("/match/exact", "Exact", &to("two")),
                    route("/match/prefix", "Prefix", &to("three")),
                    route("/match/prefix/one", "Prefix", &to("one")),
                    route("/weight", "Prefix", &shares),
                    with("/edit", "Prefix", &to("one"), &edits),
                    away("/to-host", json!({"hostname": "example.org", "statusCode": 301})),
                    away("/to-path", json!({"path": "/replaced", "statusCode": 302})),
                    away("/to-port", json!({"port": 8083})),
                    away("/to-scheme", json!({"scheme": "http", "hostname": "example.org"})),
                    away("/to-both", json!({"scheme": "http", "port": 80, "hostname": "example.org"})),
                    away("/to-https", json!({"scheme": "https", "port": 443, "hostname": "example.org"})),
                    away("/to-https-8443", json!({"scheme": "https", "port": 8443, "hostname": "example.org"})),
                ],
            ),
            ("very.specific.example.com", vec![route("/", "Prefix", &to("one"))]),
            ("*.specific.example.com", vec![route("/", "Prefix", &to("two"))]),
        ]));
        eventually("the backends", || {
            ["/one", "/match/exact", "/match/prefix"].iter().all(|path| get("a.example.com", path).code == 200)
                && (0..10).all(|_| get("a.example.com", "/weight").code == 200)
        });
        let at = |path: &str| who(&get("a.example.com", path));
        for (path, expected) in [("/one", "one"), ("/one/", "404"), ("/one/example", "404"), ("/One", "404")] {
            assert_eq!(at(path), expected, "HTTPRouteExactPathMatching {path}");
        }
        for (path, expected) in [
            ("/match", "one"),
            ("/match/exact", "two"),
            ("/match/exact/", "one"),
            ("/match/prefix", "three"),
            ("/match/prefix/", "three"),
            ("/match/prefix/one", "one"),
            ("/match/prefix/oneX", "three"),
        ] {
            assert_eq!(at(path), expected, "HTTPRoutePathMatchOrder {path}");
        }
        for (host, expected) in [
            ("very.specific.example.com", "one"),
            ("more.specific.example.com", "two"),
            ("non.matching.com", "404"),
            ("foo.more.specific.example.com", "404"),
            ("specific.example.com", "404"),
        ] {
            assert_eq!(who(&get(host, "/")), expected, "HTTPRouteHostnameIntersection {host}");
        }
        let sent = "x-header-set: original\r\nX-HEADER-REMOVE: gone\r\nX-Header-Keep: stays\r\n";
        let answer = get_with("a.example.com", "/edit/head", sent);
        let seen = |line: &str| answer.body.lines().filter(|seen| *seen == line).count();
        assert_eq!((seen("x-header-set: set-overwrites"), seen("x-header-keep: stays")), (1, 1));
        assert!(!answer.body.contains("original") && !answer.body.contains("gone"), "HTTPRouteRequestHeaderModifier");
        assert_eq!(answer.header("x-header-set"), ["set"], "HTTPRouteResponseHeaderModifier");
        assert!(answer.header("x-powered-by").is_empty(), "HTTPRouteResponseHeaderModifier");
        for (name, path, code, location) in [
            ("HTTPRouteRedirectHostAndStatus", "/to-host", 301, "https://example.org/to-host"),
            ("HTTPRouteRedirectPath", "/to-path/x?q=1", 302, "https://a.example.com/replaced?q=1"),
            ("HTTPRouteRedirectPort", "/to-port", 302, "https://a.example.com:8083/to-port"),
            ("HTTPRouteRedirectScheme", "/to-scheme", 302, "http://example.org/to-scheme"),
            ("HTTPRouteRedirectPortAndScheme", "/to-both", 302, "http://example.org/to-both"),
            ("HTTPRouteRedirectPortAndScheme", "/to-https", 302, "https://example.org/to-https"),
            ("HTTPRouteRedirectPortAndScheme", "/to-https-8443", 302, "https://example.org:8443/to-https-8443"),
        ] {
            let answer = get("a.example.com", path);
            assert_eq!((answer.code, answer.header("location")), (code, vec![location]), "{name} {path}");
        }
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..500 {
            *counts.entry(at("/weight")).or_insert(0) += 1;
        }
        // 350 are expected of the first; five deviations of the binomial are 51.
        assert!((299..=401).contains(&counts["one"]) && counts.len() == 2, "HTTPRouteWeight {counts:?}");
    });
}

#[test]
fn the_page_lists_every_case() {
    let page = include_str!("../../../docs/ingress-conformance.md");
    let names = PATHS.iter().chain(&HOSTS).map(|case| case.0).chain(DEFAULT.iter().map(|case| case.0));
    let names: Vec<&str> = names.chain([BALANCING, CLASS]).collect();
    assert_eq!(names.len(), 30, "1 outline of 6 examples, 6, 1, 1 and 16: 25 scenarios");
    for name in names.iter().chain(&GATEWAY) {
        assert_eq!(page.matches(&format!("| {name} |")).count(), 1, "{name}");
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("| HTTPRoute")).count(), GATEWAY.len());
}
