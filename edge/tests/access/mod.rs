//! What the edge tells of requests, and what it says when no backend answers, against a real nginx.

use serde_json::{Value, json};

use super::routes::with;
use super::support::{
    Agent, Client, TRAFFIC, backends, eventually, get, get_with, isolated, metrics, route, send, table, to,
};

const HOST: &str = "a.example.com";

fn count(name: &str, labels: &str) -> u64 {
    let key = format!("{name}{{{labels}}} ");
    metrics().iter().find_map(|line| line.strip_prefix(&key)?.parse().ok()).unwrap_or_default()
}

fn requests(path: &str, class: &str) -> u64 {
    let labels = format!("class=\"{class}\",host=\"{HOST}\",path=\"{path}\",path_type=\"Prefix\"");
    count("gatehouse_edge_requests_total", &labels)
}

#[test]
fn requests_are_counted_by_route() {
    isolated("access::requests_are_counted_by_route", || {
        backends(&["web"]);
        let agent = Agent::start(&["--reload-gap", "50"]);
        let mut closed = with("/closed", "Prefix", &to("web"), &json!({}));
        closed["allow"] = json!(["203.0.113.0/24"]);
        let routes = vec![
            route("/", "Prefix", &to("web")),
            route("/api", "Prefix", &to("web")),
            route("/missing", "Prefix", &to("missing")),
            with("/old", "Prefix", &[], &json!({"redirect": {"path": "/new"}})),
            closed,
        ];
        agent.serve(&table(&[(HOST, routes)]));
        eventually("the backend", || get(HOST, "/").code == 200);
        for _ in 0..30 {
            assert_eq!(get(HOST, "/api/x?secret=1").code, 200);
        }
        assert_eq!([get(HOST, "/api").code, get(HOST, "/missing").code, get(HOST, "/old").code], [200, 502, 302]);
        assert_eq!([get(HOST, "/closed").code, get("unknown.example.com", "/").code], [403, 404]);
        eventually("all are counted", || requests("/closed", "4xx") == 1);
        assert_eq!((requests("/api", "2xx"), requests("/missing", "5xx"), requests("/old", "3xx")), (31, 1, 1));
        let none = "class=\"4xx\",host=\"\",path=\"\",path_type=\"\"";
        assert_eq!(count("gatehouse_edge_requests_total", none), 1);
        let of = |path: &str| format!("host=\"{HOST}\",path=\"{path}\",path_type=\"Prefix\"");
        assert_eq!(count("gatehouse_edge_request_duration_seconds_count", &of("/api")), 31);
        // The platform's own questions are nobody's requests.
        get(HOST, "/.well-known/gatehouse/table");
        assert!(metrics().iter().any(|line| line == "gatehouse_edge_access_unreadable_total 0"));
        assert!(!metrics().iter().any(|line| line.contains("well-known") || line.contains("secret")));
        assert!(agent.log().is_empty(), "no route asked for lines");

        // A route that is gone leaves no numbers.
        agent.serve(&table(&[(HOST, vec![route("/", "Prefix", &to("web"))])]));
        assert!(!metrics().iter().any(|line| line.contains("path=\"/api\"")));
        assert!(requests("/", "2xx") > 0);
    });
}

#[test]
fn lines_tell_of_requests() {
    isolated("access::lines_tell_of_requests", || {
        backends(&["web"]);
        let agent = Agent::start(&["--access-log-rate", "20"]);
        let options = json!({"accessLog": "On"});
        let own = json!({"accessLog": "On", "requestHeaders": {"remove": ["x-request-id"]}});
        agent.serve(&table(&[(
            HOST,
            vec![
                with("/", "Prefix", &to("web"), &options),
                with("/own", "Prefix", &to("web"), &own),
                route("/quiet", "Prefix", &to("web")),
            ],
        )]));
        eventually("the backend", || get(HOST, "/quiet").code == 200);
        let more = "X-Forwarded-For: 9.9.9.9, 203.0.113.7\r\nUser-Agent: a \"b\" \\ {\"root\":\"x\"}\r\nX-Request-ID: mine\r\n\
                    X-Amzn-Trace-Id: Root=1-2\r\n";
        let seen = get_with(HOST, "/a%2Fb?q=\"x\"/head", more).body;
        eventually("a line", || agent.log().len() == 1);
        let line = &agent.log()[0];
        for (name, value) in [
            ("log", json!("access")),
            ("client", json!("203.0.113.7")),
            ("method", json!("GET")),
            ("host", json!(HOST)),
            ("uri", json!("/a%2Fb?q=\"x\"/head")),
            ("protocol", json!("HTTP/1.1")),
            ("status", json!(200)),
            ("route", json!({"host": HOST, "path": "/", "pathType": "Prefix"})),
            ("upstream", json!("127.0.9.1:9000")),
            ("upstreamStatus", json!("200")),
            ("userAgent", json!("a \"b\" \\ {\"root\":\"x\"}")),
            ("trace", json!("Root=1-2")),
        ] {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        assert!(line["sent"].as_u64() > Some(0) && line["seconds"].is_f64() && line["time"].is_string());
        // The backend knows the request by the same number, and not by one that the client has written.
        let id = line["id"].as_str().unwrap();
        assert_eq!(id.len(), 32);
        assert!(seen.contains(&format!("x-request-id: {id}")) && !seen.contains("mine"), "{seen}");
        assert!(!get_with(HOST, "/own/head", more).body.contains("x-request-id"));
        assert_eq!(get(HOST, "/quiet").code, 200);

        // Text of clients stays in its place, whatever it is.
        let hostile = "User-Agent: \"}\u{1}{\"status\":\"200\r\nReferer: \u{e9}\u{2028}\r\n";
        get_with(HOST, "/x", hostile);
        eventually("hostile text", || agent.log().len() == 3);
        assert_eq!(agent.log()[2]["userAgent"].as_str().map(|text| text.starts_with("\"}")), Some(true));

        // More than the rate is dropped, told, and counted all the same.
        let begun = requests("/", "2xx");
        let mut client = Client::connect(TRAFFIC).unwrap();
        for _ in 0..100 {
            assert_eq!(client.ask(HOST, "/many", "").unwrap().code, 200);
        }
        eventually("all are counted", || requests("/", "2xx") == begun + 100);
        eventually("some are dropped", || count("gatehouse_edge_access_log_lines_total", "result=\"dropped\"") > 50);
        assert!(agent.log().len() < 60);
        assert!(metrics().iter().any(|line| line == "gatehouse_edge_access_lost 0"));
        assert!(metrics().iter().any(|line| line == "gatehouse_edge_access_unreadable_total 0"));
    });
}

#[test]
fn a_route_has_words_of_its_own_when_nobody_answers() {
    isolated("access::a_route_has_words_of_its_own_when_nobody_answers", || {
        backends(&["web"]);
        let words = r#"Sorry; {back} "soon" \ #1 ~=@"#;
        let options = |more: Value| {
            let mut all = json!({"errorText": words, "responseHeaders": {"set": {"retry-after": "5"}}});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let late = options(json!({"timeout": "1s"}));
        let cors = options(json!({"cors": {"allowOrigins": ["https://one.example.net"]}}));
        let agent = Agent::start(&[]);
        agent.serve(&table(&[(
            HOST,
            vec![
                with("/missing", "Prefix", &to("missing"), &cors),
                with("/nobody", "Prefix", &[], &options(json!({}))),
                with("/late", "Prefix", &to("web"), &late),
                route("/plain", "Prefix", &to("missing")),
            ],
        )]));
        eventually("the backend", || get(HOST, "/late").code == 200);
        let from = "Origin: https://one.example.net\r\n";
        for (path, code) in [("/missing/x", 502), ("/nobody", 503), ("/late/slow", 504)] {
            let answer = get_with(HOST, path, from);
            assert_eq!((answer.code, answer.body.as_str()), (code, words), "{path}");
            assert_eq!((answer.header("content-type"), answer.header("retry-after")), (vec!["text/plain"], vec!["5"]));
        }
        assert_eq!(get_with(HOST, "/missing", from).header("access-control-allow-origin"), ["https://one.example.net"]);
        assert_eq!(send("POST", HOST, "/missing", "Content-Length: 2\r\n\r\nab").body, words);
        assert!(get(HOST, "/plain").body.contains("502 Bad Gateway"));
        eventually("it is counted where it was asked", || requests("/late", "5xx") == 1);
        assert_eq!(requests("/missing", "5xx"), 3);
    });
}
