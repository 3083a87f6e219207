//! Routes that ask a Service about each request first, against a real nginx.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::routes::with;
use super::support::{
    Agent, Client, TRAFFIC, backend, eventually, get, get_with, isolated, pods, route, send, table, to,
};

const HOST: &str = "a.example.com";

/// `guard` says who may come by the header `x-key`, and tells what it was asked; all others are backends.
fn backends(names: &'static [&'static str]) {
    pods(names, |name, listener| {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || if name == "guard" { guard(stream) } else { backend(name, stream) });
        }
    });
}

fn guard(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(stream.read_line(&mut head), Ok(1..)) {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let asked = head.replace("\r\n", "|");
        let answer = match head.lines().find_map(|line| line.strip_prefix("x-key: ")) {
            Some("good") => format!("200 OK\r\nX-User: ann\r\nX-Asked: {asked}\r\nSet-Cookie: a=b\r\nX-Other: no\r\n"),
            Some("nameless") => "204 No Content\r\n".to_owned(),
            Some("bad") => "403 Forbidden\r\n".to_owned(),
            Some("broken") => "418 I'm a teapot\r\n".to_owned(),
            Some("moved") => "302 Found\r\nLocation: https://login.example.com/\r\n".to_owned(),
            _ => "401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"a\"\r\n".to_owned(),
        };
        let body = if answer.starts_with("204") { "" } else { "Content-Length: 0\r\n" };
        if stream.get_mut().write_all(format!("HTTP/1.1 {answer}{body}\r\n").as_bytes()).is_err() {
            return;
        }
    }
}

fn guarded(path: &str, service: &str, more: &Value) -> Value {
    let mut all = json!({"externalAuth": {
        "service": service, "port": {"number": 9000}, "path": "/verify", "responseHeaders": ["x-user", "x-asked"],
    }});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    with(path, "Prefix", &to("web"), &all)
}

#[test]
fn who_is_asked_decides() {
    isolated("auth::who_is_asked_decides", || {
        backends(&["web", "guard"]);
        let cors = json!({"cors": {"allowOrigins": ["https://one.example.net"], "allowMethods": ["PUT"]}});
        let edits = json!({"requestHeaders": {"set": {"x-user": "lost", "x-team": "a"}}});
        let mut few = guarded("/few", "guard", &json!({}));
        few["allow"] = json!(["203.0.113.0/24"]);
        let agent = Agent::start(&["--reload-gap", "50"]);
        let served = table(&[(
            HOST,
            vec![
                route("/", "Prefix", &to("web")),
                guarded("/in", "guard", &json!({"maxBodySize": "4Ki"})),
                guarded("/edited", "guard", &edits),
                guarded("/cors", "guard", &cors),
                guarded("/down", "missing", &json!({})),
                few,
            ],
        )]);
        assert_eq!(gatehouse_route::RouteTable::version_for(&served.ports), 2);
        agent.serve(&served);
        let key = |key: &str| format!("X-Key: {key}\r\n");
        eventually("the Services", || get(HOST, "/").code == 200 && get_with(HOST, "/in", &key("good")).code == 200);

        for (known, code) in
            [("good", 200), ("nameless", 200), ("bad", 403), ("none", 401), ("broken", 500), ("moved", 500)]
        {
            for path in ["/in", "/in/x"] {
                let answer = get_with(HOST, path, &key(known));
                assert_eq!(answer.code, code, "{path} {known}");
                assert_eq!(answer.header("x-backend").len(), usize::from(code == 200), "{path} {known}");
                assert!(answer.header("set-cookie").is_empty() && answer.header("location").is_empty());
            }
        }
        assert_eq!(get(HOST, "/in").header("www-authenticate"), ["bearer realm=\"a\""]);
        // Nobody answers the question: closed.
        assert_eq!(get_with(HOST, "/down", &key("good")).code, 500);
        // The networks of the app hold as well, and first comes first.
        assert_eq!(get_with(HOST, "/few", &key("good")).code, 403);
        let from = |client: &str| get_with(HOST, "/few", &format!("{}X-Forwarded-For: {client}\r\n", key("good"))).code;
        assert_eq!((from("203.0.113.7"), from("198.51.100.1")), (200, 403));

        // The backend learns who it is from the one who was asked, not from the client.
        let forged = format!("{}X-User: root\r\nX-Original-URI: /else\r\n", key("good"));
        let seen = get_with(HOST, "/in/x%2Fy?a=b&/head", &forged).body;
        let has = |line: &str| seen.lines().any(|seen| seen == line);
        assert!(has("x-user: ann") && !has("x-user: root") && !seen.contains("x-other"), "{seen}");
        let asked = seen.lines().find_map(|line| line.strip_prefix("x-asked: ")).unwrap();
        assert!(asked.starts_with("get /verify http/1.1|"), "{asked}");
        for line in
            ["x-original-uri: /in/x%2fy?a=b&/head", "x-original-method: get", "host: a.example.com", "x-key: good"]
        {
            assert_eq!(asked.matches(&format!("|{line}|")).count(), 1, "{line} in {asked}");
        }
        let nameless = get_with(HOST, "/in/head", &format!("{}X-User: root\r\n", key("nameless"))).body;
        assert!(!nameless.contains("x-user"), "{nameless}");
        let edited = get_with(HOST, "/edited/head", &forged).body;
        assert_eq!(edited.lines().filter(|line| line.starts_with("x-user: ")).count(), 1, "{edited}");
        assert!(edited.contains("x-user: ann") && edited.contains("x-team: a"));

        // A body is not part of the question, and larger ones than the server's limit pass where the route lets them.
        let body = format!("{}Content-Length: 3000\r\n\r\n{}", key("good"), "x".repeat(3000));
        assert_eq!(send("POST", HOST, "/in", &body).code, 200);
        let upgrade = format!("{}Connection: upgrade\r\nUpgrade: websocket\r\n", key("good"));
        let seen = get_with(HOST, "/in/head", &upgrade).body;
        assert!(seen.contains("upgrade: websocket") && !seen.contains("|upgrade:"), "{seen}");

        // Preflights carry no key and need none; what follows them does.
        let ask = "Origin: https://one.example.net\r\nAccess-Control-Request-Method: PUT\r\n";
        let answer = send("OPTIONS", HOST, "/cors/x", ask);
        assert_eq!((answer.code, answer.header("access-control-allow-methods")), (204, vec!["put"]));
        assert_eq!(send("OPTIONS", HOST, "/cors/x", "").code, 401, "no preflight");
        let refused = send("PUT", HOST, "/cors/x", "Origin: https://one.example.net\r\n");
        assert_eq!((refused.code, refused.header("access-control-allow-origin").len()), (401, 1));
        assert_eq!(send("PUT", HOST, "/cors/x", &key("good")).code, 200);
        // Only OPTIONS is a preflight, whatever a client writes.
        assert_eq!(get_with(HOST, "/cors/x", ask).code, 401);
        assert_eq!(send("OPTIONS-PREFLIGHT", HOST, "/cors/x", "").code, 401);

        // No client reaches the question's own location.
        let conf = std::fs::read_to_string(agent.dir.path().join("nginx.conf")).unwrap();
        let door = conf.split(['"', ' ', ';']).find(|word| word.starts_with("/.well-known/gatehouse/auth/")).unwrap();
        assert_eq!(get_with(HOST, door, &key("good")).code, 404);

        // Connections are kept to the one who is asked too: each question does not cost a new one.
        let mut client = Client::connect(TRAFFIC).unwrap();
        for _ in 0..50 {
            assert_eq!(client.ask(HOST, "/in", &key("good")).unwrap().code, 200);
        }
    });
}
