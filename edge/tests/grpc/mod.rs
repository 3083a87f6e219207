//! gRPC and HTTP/2 through a real nginx, and the load balancer's gRPC health check.

mod wire;

use std::time::{Duration, Instant};

use gatehouse_route::GRPC_HEALTH_PATH;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::routes::with;
use super::support::{Agent, TRAFFIC, admin, backend, eventually, get, isolated, pods, route, send, table, to};
use wire::{Channel, Outcome, message};

const HOST: &str = "a.example.com";

/// Pods named `web` speak HTTP/1.1, all others HTTP/2 alone.
fn backends(names: &'static [&'static str]) {
    pods(names, |name, listener| {
        if name != "web" {
            return wire::serve(name, listener);
        }
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || backend(name, stream));
        }
    });
}

fn grpc(path: &str, backends: &[(&str, Value, u32)], mut more: Value) -> Value {
    more["backendProtocol"] = json!("GRPC");
    with(path, "Prefix", backends, &more)
}

/// Calls until the backend's address is known.
async fn known(channel: &mut Channel, path: &str) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let outcome = channel.call(HOST, path, &[], "first").await;
        if outcome.code == 200 {
            return outcome;
        }
        assert!(Instant::now() < deadline, "{path}: {outcome:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

#[test]
fn the_load_balancer_asks_by_grpc() {
    isolated("grpc::the_load_balancer_asks_by_grpc", || {
        run(async {
            let agent = Agent::start(&[]);
            let mut channel = Channel::connect(8081).await;
            let answer = channel.call("admin", GRPC_HEALTH_PATH, &[], "").await;
            assert_eq!((answer.code, answer.header("content-type")), (200, "application/grpc"));
            assert_eq!((answer.status(), answer.header("grpc-message")), ("14", "waiting for a table"));
            assert_eq!(admin("/healthz").unwrap().code, 503);

            agent.serve(&table(&[(HOST, vec![route("/", "Prefix", &to("web"))])]));
            let answer = channel.call("admin", GRPC_HEALTH_PATH, &[], "").await;
            assert_eq!((answer.code, answer.header("content-type")), (200, "application/grpc"));
            assert_eq!((answer.header("grpc-status"), answer.header("grpc-message")), ("0", "-"));
            assert!(answer.messages.is_empty() && answer.trailers.is_empty(), "trailers only: {answer:?}");
            // HTTP/1.1 goes on beside it.
            eventually("healthy", || admin("/healthz").is_some_and(|answer| answer.code == 200));
        });
    });
}

#[test]
fn calls_pass_with_their_trailers() {
    isolated("grpc::calls_pass_with_their_trailers", || {
        backends(&["calls", "next", "web"]);
        let edits = json!({
            "requestHeaders": {"set": {"x-team": "a \"b\""}, "remove": ["x-secret"]},
            "responseHeaders": {"set": {"x-backend": "hidden"}, "remove": ["x-powered-by"]},
        });
        let agent = Agent::start(&["--reload-gap", "50"]);
        let split = [("calls", json!({ "number": 9000 }), 80), ("next", json!({ "number": 9000 }), 20)];
        agent.serve(&table(&[(
            HOST,
            vec![
                grpc("/echo.Echo", &to("calls"), json!({})),
                grpc("/edited.Echo", &to("calls"), edits),
                grpc("/split.Echo", &split, json!({})),
                grpc("/small.Echo", &to("calls"), json!({"maxBodySize": "512"})),
                grpc("/nobody.Echo", &[], json!({})),
                grpc("/missing.Echo", &to("missing"), json!({})),
                grpc("/wrong.Echo", &to("web"), json!({})),
                route("/web", "Prefix", &to("web")),
            ],
        )]));
        run(async {
            let mut channel = Channel::connect(TRAFFIC).await;
            known(&mut channel, "/echo.Echo/Unary").await;
            known(&mut channel, "/edited.Echo/Unary").await;

            let answer = channel.call(HOST, "/echo.Echo/Unary", &[], "hello").await;
            assert_eq!((answer.code, answer.status(), answer.said()), (200, "0", vec!["calls hello"]));
            assert_eq!(answer.trailers["x-trailer"], "from the backend");
            assert_eq!(answer.header("content-type"), "application/grpc");
            let answer = channel.call(HOST, "/echo.Echo/Stream", &[], "").await;
            assert_eq!((answer.status(), answer.said()), ("0", vec!["calls 1", "calls 2", "calls 3"]));
            let answer = channel.call(HOST, "/echo.Echo/Fail", &[], "").await;
            assert_eq!((answer.code, answer.status(), answer.header("grpc-message")), (200, "5", "no such thing"));

            // Metadata passes, and what the edge knows of the client is told as everywhere.
            let metadata = [
                ("x-secret", "s"),
                ("x-token-bin", "AAEC"),
                ("grpc-timeout", "5S"),
                ("x-real-ip", "1.1.1.1"),
                ("forwarded", "for=x"),
                ("x-forwarded-for", "9.9.9.9, 203.0.113.7"),
                ("x-forwarded-proto", "https"),
            ];
            let answer = channel.call(HOST, "/echo.Echo/Head", &metadata, "").await;
            let seen: Vec<&str> = answer.messages[0].lines().collect();
            assert!(seen[0].starts_with("HTTP/2.0 /echo.Echo/Head"), "{seen:?}");
            assert_eq!(
                seen[1..],
                [
                    "content-type: application/grpc",
                    "grpc-timeout: 5S",
                    "host: a.example.com",
                    "te: trailers",
                    "x-forwarded-for: 9.9.9.9, 203.0.113.7",
                    "x-forwarded-host: a.example.com",
                    "x-forwarded-proto: https",
                    "x-real-ip: 203.0.113.7",
                    "x-secret: s",
                    "x-token-bin: AAEC",
                ]
            );
            let answer = channel.call(HOST, "/edited.Echo/Head", &metadata, "").await;
            let seen = &answer.messages[0];
            for line in ["x-team: a \"b\"", "x-real-ip: 203.0.113.7", "te: trailers", "host: a.example.com"] {
                assert!(seen.lines().any(|seen| seen == line), "{line} is not in {seen}");
            }
            assert!(!seen.contains("x-secret") && !seen.contains("forwarded: for"), "{seen}");
            assert_eq!((answer.header("x-backend"), answer.header("x-powered-by")), ("hidden", "-"));

            // One connection to the pod serves one call after another.
            let mut connections = std::collections::BTreeSet::new();
            for _ in 0..20 {
                connections
                    .insert(channel.call(HOST, "/echo.Echo/Unary", &[], "").await.header("x-connection").to_owned());
            }
            assert!(connections.len() <= 2, "{connections:?}");

            let mut shares = 0;
            for _ in 0..400 {
                let answer = channel.call(HOST, "/split.Echo/Unary", &[], "").await;
                assert_eq!(answer.status(), "0", "{answer:?}");
                shares += u32::from(answer.header("x-backend") == "next");
            }
            assert!((40..=125).contains(&shares), "80:20 gave {shares} of 400");

            // The load balancer's limit is 1 KiB here; a stream has no size.
            let long = "x".repeat(300_000);
            let answer = channel.call(HOST, "/echo.Echo/Huge", &[], &long).await;
            assert_eq!((answer.status(), &answer.messages[0][..]), ("0", "300000"));
            // A route's own limit ends a stream that has begun to be answered in its middle.
            let (pen, call) = channel.begin(HOST, "/small.Echo/Huge", &[]);
            pen.send(message(&"x".repeat(600))).await.unwrap();
            let end = match call.await {
                Ok(call) if call.head.status == 413 => Err("refused"),
                Ok(mut call) => call.read.message().await.map_err(|_| "reset"),
                Err(_) => Err("reset"),
            };
            assert!(end.is_err(), "{end:?}");

            // What the edge answers itself is a status of HTTP, which gRPC clients translate.
            for (path, code) in [
                ("/nobody.Echo/Unary", 503),
                ("/missing.Echo/Unary", 502),
                ("/wrong.Echo/Unary", 502),
                ("/absent.Echo/Unary", 404),
            ] {
                let answer = channel.call(HOST, path, &[], "").await;
                assert_eq!((answer.code, answer.status()), (code, "-"), "{path}");
            }
            assert_eq!(channel.call("unknown.example.com", "/echo.Echo/Unary", &[], "").await.code, 404);
            // Both versions of HTTP on one port, and both kinds of route on one host.
            assert_eq!(get(HOST, "/web/x").body.split(' ').next(), Some("web"));
        });
    });
}

#[test]
fn a_stream_stays_open_across_a_reload() {
    isolated("grpc::a_stream_stays_open_across_a_reload", || {
        backends(&["calls", "next"]);
        let agent = Agent::start(&["--reload-gap", "50"]);
        let served = |service| table(&[(HOST, vec![grpc("/", &to(service), json!({}))])]);
        agent.serve(&served("calls"));
        run(async {
            let mut channel = Channel::connect(TRAFFIC).await;
            known(&mut channel, "/echo.Echo/Unary").await;
            let (pen, call) = channel.begin(HOST, "/echo.Echo/Both", &[]);
            pen.send(message("one")).await.unwrap();
            let mut call = call.await.unwrap();
            assert_eq!(call.read.message().await.unwrap().as_deref(), Some("calls one"));

            agent.serve(&served("next"));
            // The old worker takes no new call: a client that goes on asks the new one.
            assert!(channel.begin(HOST, "/echo.Echo/Unary", &[]).1.await.is_err());
            for text in ["two", "three"] {
                // Three quarters of the route's timeout pass, each time.
                sleep(Duration::from_millis(1500)).await;
                pen.send(message(text)).await.unwrap();
                assert_eq!(call.read.message().await.unwrap(), Some(format!("calls {text}")));
            }
            drop(pen);
            assert_eq!(call.read.message().await.unwrap(), None);
            assert_eq!(call.read.trailers["grpc-status"], "0");

            let mut channel = Channel::connect(TRAFFIC).await;
            assert_eq!(known(&mut channel, "/echo.Echo/Unary").await.header("x-backend"), "next");
            // Silence on both sides for longer than the timeout ends a stream, and not much before.
            let (pen, call) = channel.begin(HOST, "/echo.Echo/Both", &[]);
            pen.send(message("one")).await.unwrap();
            let mut call = call.await.unwrap();
            assert_eq!(call.read.message().await.unwrap().as_deref(), Some("next one"));
            let begun = Instant::now();
            let end = timeout(Duration::from_secs(10), call.read.message()).await.expect("the stream hangs");
            assert!(end.is_err(), "{end:?}");
            let took = begun.elapsed();
            assert!((Duration::from_millis(1800)..Duration::from_secs(4)).contains(&took), "2 s took {took:?}");
        });
    });
}

#[test]
fn backends_may_speak_http2() {
    isolated("grpc::backends_may_speak_http2", || {
        backends(&["calls", "next", "web"]);
        let h2c = |path: &str, backends: &[(&str, Value, u32)], mut more: Value| {
            more["backendProtocol"] = json!("H2C");
            with(path, "Prefix", backends, &more)
        };
        let split = [("calls", json!({ "number": 9000 }), 50), ("next", json!({ "number": 9000 }), 50)];
        let cors = json!({"cors": {"allowOrigins": ["https://one.example.net"], "allowMethods": ["PUT"]}});
        let agent = Agent::start(&["--reload-gap", "50"]);
        agent.serve(&table(&[(
            HOST,
            vec![
                h2c("/h2", &to("calls"), json!({"requestHeaders": {"set": {"x-team": "a"}}, "buffering": "Off"})),
                h2c("/split", &split, json!({})),
                h2c("/calls", &to("calls"), cors.clone()),
                h2c("/stripped", &to("calls"), json!({"stripPrefix": true})),
                with("/web", "Prefix", &to("web"), &cors),
            ],
        )]));
        run(async {
            let mut channel = Channel::connect(TRAFFIC).await;
            known(&mut channel, "/h2/x").await;
            known(&mut channel, "/calls/x").await;
            known(&mut channel, "/stripped/x").await;
            let metadata = [("x-forwarded-for", "203.0.113.7"), ("upgrade-insecure-requests", "1")];
            let answer = channel.call(HOST, "/h2/Head", &metadata, "").await;
            let seen = &answer.messages[0];
            for line in
                ["x-team: a", "host: a.example.com", "x-real-ip: 203.0.113.7", "x-forwarded-host: a.example.com"]
            {
                assert!(seen.lines().any(|seen| seen == line), "{line} is not in {seen}");
            }
            assert!(seen.starts_with("HTTP/2.0 /h2/Head"), "{seen}");
            let stripped = channel.call(HOST, "/stripped/a/Head", &[], "").await;
            assert!(stripped.messages[0].starts_with("HTTP/2.0 /a/Head"), "{stripped:?}");
            let mut connections = std::collections::BTreeSet::new();
            for _ in 0..20 {
                connections.insert(channel.call(HOST, "/h2/Unary", &[], "").await.header("x-connection").to_owned());
            }
            assert!(connections.len() <= 2, "{connections:?}");
            for _ in 0..20 {
                assert_eq!(channel.call(HOST, "/split/Unary", &[], "").await.code, 200);
            }
        });
        // A client of HTTP/1.1 that asks for another protocol gets an answer of this one.
        let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        let answer = super::support::get_with(HOST, "/h2/Unary", upgrade);
        assert_eq!((answer.code, answer.header("x-backend")), (200, vec!["calls"]));
        // Preflights end at the edge, whatever the backend speaks; the rest of OPTIONS goes on.
        let ask = "Origin: https://one.example.net\r\nAccess-Control-Request-Method: PUT\r\n";
        for _ in 0..5 {
            for path in ["/calls/x", "/web/x"] {
                let answer = send("OPTIONS", HOST, path, ask);
                assert_eq!((answer.code, answer.header("access-control-allow-methods")), (204, vec!["put"]), "{path}");
            }
            assert_eq!(send("OPTIONS", HOST, "/calls/x", "").header("x-backend"), ["calls"]);
        }
        eventually("the HTTP/1.1 backend", || get(HOST, "/web/x").code == 200);
    });
}
