//! What a route may say beyond its backends, against a real nginx.

use std::io::{BufRead as _, Read as _, Write as _};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::support::{
    Agent, Client, RELEASED, SEEN, TRAFFIC, backends, eventually, get, get_with, isolated, route, send, table, to,
};

const HOST: &str = "a.example.com";

/// A route with options.
pub fn with(path: &str, path_type: &str, backends: &[(&str, Value, u32)], options: &Value) -> Value {
    let mut route = route(path, path_type, backends);
    route.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    route
}

fn serve(routes: Vec<Value>) -> Agent {
    let agent = Agent::start(&["--reload-gap", "50"]);
    agent.serve(&table(&[(HOST, routes)]));
    agent
}

fn path_at_backend(path: &str) -> String {
    let answer = get(HOST, path);
    assert_eq!(answer.code, 200, "{path}: {}", answer.body);
    answer.body.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn bodies_have_a_size_of_their_route() {
    isolated("routes::bodies_have_a_size_of_their_route", || {
        backends(&["web"]);
        let _agent = serve(vec![
            route("/", "Prefix", &to("web")),
            with("/small", "Prefix", &to("web"), &json!({"maxBodySize": "512"})),
            with("/large", "Prefix", &to("web"), &json!({"maxBodySize": "4Ki"})),
        ]);
        eventually("the backend", || get(HOST, "/").code == 200);
        // The load balancer's limit is 1 Ki in these tests; that a route's is not above it is the operator's doing.
        for (path, size, code) in [
            ("/", 1024, 200),
            ("/", 1025, 413),
            ("/small", 512, 200),
            ("/small/x", 513, 413),
            ("/large", 4096, 200),
            ("/large", 4097, 413),
        ] {
            let mut client = Client::connect(TRAFFIC).unwrap();
            let body = "x".repeat(size);
            let answer = client.send("POST", HOST, path, &format!("Content-Length: {size}\r\n\r\n{body}"));
            assert_eq!(answer.unwrap().code, code, "{path} {size}");
        }
    });
}

/// Admitted implies renderable, at the ends of every range.
#[test]
fn nginx_takes_the_largest_and_the_smallest_of_everything() {
    isolated("routes::nginx_takes_the_largest_and_the_smallest_of_everything", || {
        backends(&["web"]);
        let path = |first: &str| format!("/{first}{}", "p".repeat(1022));
        let name = |i: usize| format!("{i:02}{}", "n".repeat(62));
        let value = r#""\"#.repeat(512);
        let label = "h".repeat(62);
        let origin = |i: usize| format!("https://{i:02}{}.{label}.a:65535", "h".repeat(60));
        let headers = |from: usize| {
            let set: serde_json::Map<String, Value> = (0..16).map(|i| (name(from + i), json!(value))).collect();
            json!({"set": set, "remove": (16..32).map(|i| name(from + i)).collect::<Vec<_>>()})
        };
        let names = |from: usize| (0..32).map(|i| name(from + i)).collect::<Vec<_>>();
        let methods: Vec<String> = ('A'..='P').map(|c| c.to_string().repeat(16)).collect();
        let mut largest = with(
            &path("l"),
            "Prefix",
            &to("web"),
            &json!({
                "maxBodySize": "64Gi", "buffering": "Off", "requestHeaders": headers(0), "responseHeaders": headers(32),
                "cors": {"allowOrigins": (0..32).map(origin).collect::<Vec<_>>(), "allowMethods": methods,
                         "allowHeaders": names(0), "exposeHeaders": names(32), "allowCredentials": true, "maxAge": "24h"},
                "stripPrefix": true, "rateLimit": {"requestsPerSecond": 10_000, "burst": 10_000},
                "sessionAffinity": {"cookieName": "c".repeat(64), "maxAge": "24h"},
                "errorText": value, "accessLog": "On",
                "externalAuth": {"service": "web", "port": {"number": 9000}, "path": path("v"),
                                 "responseHeaders": (64..80).map(name).collect::<Vec<_>>()},
            }),
        );
        largest["timeout"] = json!("24h");
        let host = format!("{label}.{label}.a");
        let mut smallest = with(
            "/s",
            "Exact",
            &to("web"),
            &json!({
                "maxBodySize": "1", "requestHeaders": {"set": {"a": "b"}}, "responseHeaders": {"remove": ["a"]},
                "cors": {"allowOrigins": ["http://a"], "maxAge": "1s"},
                "rateLimit": {"requestsPerSecond": 1, "burst": 0}, "sessionAffinity": {"cookieName": "c", "maxAge": "1s"},
            }),
        );
        smallest["timeout"] = json!("1s");
        let away = json!({"redirect": {
            "scheme": "http", "hostname": host, "port": 65535, "path": path("t"), "statusCode": 308}});
        // nginx's own bound for gRPC, which is the review's.
        let short = |all: Value| -> Value {
            serde_json::from_str(&all.to_string().replace(&"n".repeat(62), &"n".repeat(44))).unwrap()
        };
        let speaks = |first: &str, protocol: &str| {
            let all = json!({
                "backendProtocol": protocol, "maxBodySize": "1", "accessLog": "On", "errorText": "e",
                "requestHeaders": headers(0), "responseHeaders": headers(32), "externalAuth": {
                    "service": "web", "port": {"named": "http"}, "path": "/", "responseHeaders": [name(64)]},
            });
            let many = ["web", "one", "two"].map(|service| (service, json!({ "number": 9000 }), 1_000_000));
            with(&path(first), "Prefix", &many, &all)
        };
        let (grpc, h2c) = (short(speaks("g", "GRPC")), speaks("h", "H2C"));
        // At the edge of the platform's own paths, not below it.
        let bare = route("/.well-known/gatehouse", "Prefix", &to("web"));
        let _agent = serve(vec![largest, smallest, grpc, h2c, bare, with(&path("r"), "Prefix", &[], &away)]);
        assert_eq!(get(HOST, "/.well-known/gatehouse/x").body.len(), 16, "the table's hash");
        let asked = format!("{}/x", path("l"));
        eventually("the backend", || get(HOST, &asked).code == 200);
        let answer = get(HOST, &asked);
        assert_eq!(answer.header(&name(32)), [value]);
        assert_eq!(get(HOST, &path("r")).code, 308);
    });
}

#[test]
fn streams_pass_as_they_come() {
    isolated("routes::streams_pass_as_they_come", || {
        backends(&["web"]);
        let _agent = serve(vec![with("/", "Prefix", &to("web"), &json!({"buffering": "Off"}))]);
        eventually("the backend", || get(HOST, "/").code == 200);

        // The answer's second half is sent after its first has come through the edge, or never.
        let mut client = Client::connect(TRAFFIC).unwrap();
        write!(client.0.get_mut(), "GET /drip HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(client.0.read_line(&mut line).unwrap(), 0);
        }
        let mut first = [0; 6];
        client.0.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"first ");
        let released = RELEASED.load(Ordering::SeqCst);
        assert_eq!(get(HOST, "/release").code, 200);
        assert_eq!(RELEASED.load(Ordering::SeqCst), released + 1);
        let mut rest = [0; 5];
        client.0.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"then\n");

        // The backend reads a request whose body is not complete.
        let mut client = Client::connect(TRAFFIC).unwrap();
        write!(client.0.get_mut(), "POST /seen HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 6\r\n\r\nabc").unwrap();
        eventually("the backend sees the request", || SEEN.load(Ordering::SeqCst) == 1);
        client.0.get_mut().write_all(b"def").unwrap();
        let mut status = String::new();
        client.0.read_line(&mut status).unwrap();
        assert!(status.contains(" 200 "), "{status}");
    });
}

#[test]
fn headers_are_set_and_removed() {
    isolated("routes::headers_are_set_and_removed", || {
        backends(&["web"]);
        let value = r#"a "b" \c; {d} #e ~=@"#;
        let options = json!({
            "requestHeaders": {"set": {"X-Team": value, "accept-language": "de"}, "remove": ["cookie", "x-absent"]},
            "responseHeaders": {"set": {"X-Frame-Options": "DENY", "x-backend": "hidden"}, "remove": ["X-Powered-By"]},
        });
        let _agent = serve(vec![
            with("/", "Prefix", &to("web"), &options),
            route("/plain", "Prefix", &to("web")),
            with("/nobody", "Prefix", &[], &options),
        ]);
        eventually("the backend", || get(HOST, "/").code == 200);
        let more = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nCookie: a=b\r\nForwarded: for=x\r\n\
                    X-Team: mine\r\nX-Other: stays\r\nX-Forwarded-Host: evil\r\n";
        let answer = get_with(HOST, "/head", more);
        let mut seen: Vec<&str> = answer.body.lines().skip(1).collect();
        seen.sort_unstable();
        let team = format!("x-team: {value}");
        // What the edge itself says of the client must not be lost because the route says something too.
        assert_eq!(
            seen,
            [
                "accept-language: de",
                &format!("host: {HOST}"),
                "x-forwarded-for: 203.0.113.7",
                &format!("x-forwarded-host: {HOST}"),
                "x-forwarded-proto: https",
                "x-other: stays",
                "x-real-ip: 203.0.113.7",
                &team,
            ]
        );
        assert_eq!(answer.header("x-frame-options"), ["deny"]);
        assert_eq!(answer.header("x-backend"), ["hidden"]);
        assert!(answer.header("x-powered-by").is_empty());
        let upgrade = get_with(HOST, "/head", "Connection: upgrade\r\nUpgrade: websocket\r\n").body;
        assert!(upgrade.contains("upgrade: websocket") && upgrade.contains("connection: upgrade"), "{upgrade}");

        let plain = get_with(HOST, "/plain/head", more);
        assert!(plain.body.contains("x-team: mine") && plain.body.contains("cookie: a=b"));
        assert_eq!((plain.header("x-backend"), plain.header("x-powered-by")), (vec!["web"], vec!["a test"]));
        let nobody = get(HOST, "/nobody");
        assert_eq!(
            (nobody.code, nobody.header("x-frame-options")),
            (503, vec!["deny"]),
            "also on the edge's own answers"
        );
    });
}

#[test]
fn other_origins_are_told_what_they_may() {
    isolated("routes::other_origins_are_told_what_they_may", || {
        backends(&["web", "next"]);
        let listed = json!({"cors": {
            "allowOrigins": ["https://one.example.net", "http://localhost:3000"], "allowMethods": ["PUT", "DELETE"],
            "allowHeaders": ["content-type", "x-token"], "exposeHeaders": ["x-backend"], "allowCredentials": true,
            "maxAge": "10m",
        }});
        let mut stripped = listed.clone();
        stripped["stripPrefix"] = json!(true);
        let split = [("web", json!({ "number": 9000 }), 1), ("next", json!({ "number": 9000 }), 1)];
        let mut closed = with("/closed", "Prefix", &to("web"), &listed);
        closed["allow"] = json!(["203.0.113.0/24"]);
        let _agent = serve(vec![
            with("/listed", "Prefix", &to("web"), &listed),
            with("/stripped", "Prefix", &to("web"), &stripped),
            with("/all", "Prefix", &split, &json!({"cors": {"allowOrigins": ["*"], "allowMethods": ["PATCH"]}})),
            closed,
        ]);
        eventually("the backends", || {
            ["/listed", "/stripped"].iter().all(|path| get(HOST, path).code == 200)
                && (0..20).all(|_| get(HOST, "/all").code == 200)
        });
        let allow = |name: &str| format!("access-control-allow-{name}");
        let from = |origin: &str| format!("Origin: {origin}\r\n");
        let ask = |origin: &str| format!("{}Access-Control-Request-Method: PUT\r\n", from(origin));

        for path in ["/listed/x", "/listed", "/stripped/x"] {
            let known = ["https://one.example.net", "http://localhost:3000"];
            for origin in known {
                let answer = send("OPTIONS", HOST, path, &ask(origin));
                assert_eq!((answer.code, answer.body.as_str()), (204, ""), "{path}");
                assert!(answer.header("x-powered-by").is_empty(), "{path}: the backend has answered");
                for (name, value) in [
                    ("origin", origin),
                    ("credentials", "true"),
                    ("methods", "delete, put"),
                    ("headers", "content-type, x-token"),
                ] {
                    assert_eq!(answer.header(&allow(name)), [value], "{path} {origin} {name}");
                }
                assert_eq!(answer.header("access-control-max-age"), ["600"]);
                let answer = get_with(HOST, path, &from(origin));
                assert_eq!((answer.code, answer.header("x-powered-by").len()), (200, 1));
                assert_eq!(answer.header(&allow("origin")), [origin], "one value: the backend's own is not passed on");
                assert_eq!(answer.header(&allow("credentials")), ["true"]);
                assert_eq!(answer.header("access-control-expose-headers"), ["x-backend"]);
                assert_eq!(answer.header("vary"), ["origin"]);
                assert!(answer.header(&allow("methods")).is_empty());
            }
            for stranger in [
                "https://one.example.net.evil.example",
                "http://one.example.net",
                "https://one.example.net:8443",
                "null",
                "*",
                "https://",
                "default",
            ] {
                for answer in [send("OPTIONS", HOST, path, &ask(stranger)), get_with(HOST, path, &from(stranger))] {
                    let said: Vec<&String> = answer.head.iter().filter(|l| l.starts_with("access-control")).collect();
                    assert!(said.is_empty(), "{path} {stranger}: {said:?}");
                    assert_eq!(answer.header("vary"), ["origin"], "caches must not mix them up");
                }
            }
        }
        let answer = send("OPTIONS", HOST, "/all/x", &ask("https://any.example"));
        assert_eq!(
            (answer.code, answer.header(&allow("origin")), answer.header(&allow("methods"))),
            (204, vec!["*"], vec!["patch"])
        );
        let answer = get_with(HOST, "/all/x", &from("https://any.example"));
        assert_eq!((answer.header(&allow("origin")), answer.header("vary").len()), (vec!["*"], 0));
        assert!(answer.header(&allow("credentials")).is_empty());

        // OPTIONS that is no preflight, and methods nginx does not know, are the backend's.
        for (method, path) in [("OPTIONS", "/listed/x%2Fy?q"), ("PURGE", "/listed/x%2Fy?q"), ("PURGE", "/all/x%2Fy?q")]
        {
            let answer = send(method, HOST, path, &from("https://one.example.net"));
            assert_eq!((answer.code, answer.body.split(' ').nth(1)), (200, Some(path)), "{method}");
        }
        // Where a prefix is taken away nginx cannot send those on, and says so.
        assert_eq!(send("PURGE", HOST, "/stripped/x", "").code, 405);
        assert_eq!(send("OPTIONS", HOST, "/stripped/x", "").code, 204);
        assert_eq!(send("PATCH", HOST, "/stripped/x", "").body.split(' ').nth(1), Some("/x"));
        // Who may not come may not ask either.
        assert_eq!(send("OPTIONS", HOST, "/closed", &ask("https://one.example.net")).code, 403);
    });
}

#[test]
fn redirects_are_written_from_their_parts() {
    isolated("routes::redirects_are_written_from_their_parts", || {
        let to =
            |path: &str, path_type: &str, redirect: Value| with(path, path_type, &[], &json!({ "redirect": redirect }));
        let _agent = serve(vec![
            to("/host", "Prefix", json!({"hostname": "new.example.com", "statusCode": 301})),
            to("/path", "Prefix", json!({"path": "/new/at,b=(c)"})),
            to("/port", "Exact", json!({"port": 8443, "statusCode": 308})),
            to("/own", "Exact", json!({"scheme": "http", "hostname": "b.example.com", "port": 80})),
            to(
                "/all",
                "Prefix",
                json!({"scheme": "http", "hostname": "b.example.com", "port": 81, "path": "/", "statusCode": 303}),
            ),
        ]);
        for (path, code, location) in [
            ("/host", 301, "https://new.example.com/host"),
            ("/host/x%2fy?a=b&c", 301, "https://new.example.com/host/x%2fy?a=b&c"),
            ("/host/../host//x", 301, "https://new.example.com/host/../host//x"),
            ("/path/x?a=$host", 302, "https://a.example.com/new/at,b=(c)?a=$host"),
            ("/path", 302, "https://a.example.com/new/at,b=(c)"),
            ("/port", 308, "https://a.example.com:8443/port"),
            ("/own", 302, "http://b.example.com/own"),
            ("/all/x?q", 303, "http://b.example.com:81/?q"),
        ] {
            let answer = get(HOST, path);
            assert_eq!((answer.code, answer.header("location")), (code, vec![location]), "{path}");
        }
        let answer = get("A.example.com:80", "/path");
        assert_eq!(answer.header("location"), ["https://a.example.com/new/at,b=(c)"], "the client's port is not kept");
    });
}

#[test]
fn a_prefix_is_taken_away() {
    isolated("routes::a_prefix_is_taken_away", || {
        backends(&["web", "api"]);
        let strip = json!({"stripPrefix": true});
        let _agent = serve(vec![
            with("/", "Prefix", &to("web"), &strip),
            with("/api/v1", "Prefix", &to("api"), &strip),
            route("/api/v1/exact/", "Exact", &to("web")),
        ]);
        eventually("the backends", || get(HOST, "/").code == 200 && get(HOST, "/api/v1").code == 200);
        for (path, arrives) in [
            ("/api/v1", "/"),
            ("/api/v1?q=/x", "/?q=/x"),
            ("/api/v1/", "/"),
            ("/api/v1/a/b?q", "/a/b?q"),
            ("/api/v1/exact", "/exact"),
            ("/api/v1/exact/", "/api/v1/exact/"),
            ("/api/v1x", "/api/v1x"),
            ("/x", "/x"),
            // Lossy: nginx sends on what it has compared, so what was encoded or dotted arrives resolved.
            ("/api/v1/a%2Fb", "/a/b"),
            ("/api/v1//a/../b", "/b"),
            ("/api/v1/a%20b", "/a%20b"),
        ] {
            assert_eq!(path_at_backend(path), arrives, "{path}");
        }
    });
}

#[test]
fn each_client_has_its_rate() {
    isolated("routes::each_client_has_its_rate", || {
        backends(&["web"]);
        let limited = |rate: u32| {
            vec![
                route("/", "Prefix", &to("web")),
                with("/slow", "Exact", &to("web"), &json!({"rateLimit": {"requestsPerSecond": rate, "burst": 0}})),
                with("/few", "Prefix", &to("web"), &json!({"rateLimit": {"requestsPerSecond": rate, "burst": 3}})),
            ]
        };
        let agent = serve(limited(1));
        eventually("the backend", || get(HOST, "/").code == 200);
        let from =
            |client: &str, path: &str| get_with(HOST, path, &format!("X-Forwarded-For: 9.9.9.9, {client}\r\n")).code;
        // A burst is answered at once, and what comes above it is not; the two locations of a prefix count together.
        assert_eq!([from("203.0.113.1", "/few"), from("203.0.113.1", "/few/x")], [200, 200]);
        eventually("more than the rate", || from("203.0.113.1", "/few") == 429);
        assert_eq!(from("203.0.113.2", "/few"), 200, "another client");
        assert_eq!(from("203.0.113.1", "/"), 200, "another route");
        // Another rate is another table, not a failed reload; and it can go again.
        agent.serve(&table(&[(HOST, limited(10_000))]));
        assert_eq!(from("203.0.113.3", "/few"), 200);
        agent.serve(&table(&[(HOST, vec![route("/", "Prefix", &to("web"))])]));
        assert!((0..20).all(|_| from("203.0.113.1", "/few") == 200));
    });
}

#[test]
fn a_client_stays_at_its_pod() {
    isolated("routes::a_client_stays_at_its_pod", || {
        backends(&["web.1", "web.2", "api"]);
        let affinity = json!({"sessionAffinity": {"cookieName": "pod", "maxAge": "1h"}});
        let short = json!({"sessionAffinity": {"cookieName": "pod"}});
        let _agent = serve(vec![
            with("/sticky", "Prefix", &to("web"), &affinity),
            with("/other", "Prefix", &to("api"), &short),
            route("/", "Prefix", &to("web")),
        ]);
        let who = |path: &str, more: &str| get_with(HOST, path, more).body.split(' ').next().unwrap().to_owned();
        let both = |path: &str| {
            let seen: std::collections::BTreeSet<String> = (0..10).map(|_| who(path, "")).collect();
            seen == ["web.1".to_owned(), "web.2".to_owned()].into()
        };
        eventually("both pods", || both("/") && both("/sticky") && get(HOST, "/other").code == 200);
        for _ in 0..4 {
            let first = get(HOST, "/sticky/x");
            let cookies = first.header("set-cookie");
            assert_eq!(cookies.len(), 1);
            for part in ["pod=", "max-age=3600", "path=/sticky", "httponly", "secure", "samesite=lax"] {
                assert!(cookies[0].contains(part), "{part} is not in {}", cookies[0]);
            }
            let pod = first.body.split(' ').next().unwrap().to_owned();
            let cookie = format!("Cookie: {}\r\n", cookies[0].split(';').next().unwrap());
            assert!((0..20).all(|_| who("/sticky", &cookie) == pod), "{pod} was left");
        }
        assert!(get(HOST, "/").header("set-cookie").is_empty());
        let session = get(HOST, "/other");
        assert!(!session.header("set-cookie")[0].contains("max-age"));
        assert_eq!(who("/sticky", "Cookie: pod=unknown\r\n").split('.').next(), Some("web"));
    });
}
