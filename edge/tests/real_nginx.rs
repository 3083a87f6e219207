//! The agent and the rendered configuration against a real nginx.
//!
//! Each test runs in a network namespace of its own; without nginx or without root it says "not run".
#![allow(clippy::unwrap_used, reason = "a test and its support fail by panicking")]

mod access;
mod auth;
mod conformance;
mod grpc;
mod hardening;
mod hostile;
mod routes;
mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use support::{Agent, Client, TRAFFIC, admin, backends, eventually, get, get_with, isolated, route, table, to};

#[test]
fn waits_for_a_table_then_serves_it() {
    isolated("waits_for_a_table_then_serves_it", || {
        backends(&["web", "api", "next"]);
        let mut agent = Agent::start(&["--drain", "0"]);
        for (path, code, body) in [
            ("/livez", 200, "waiting for a table\n"),
            ("/healthz", 503, "waiting for a table\n"),
            ("/readyz", 503, "waiting for a table\n"),
            ("/hash", 503, ""),
        ] {
            let answer = admin(path).unwrap();
            assert_eq!((answer.code, answer.body.as_str()), (code, body), "{path}");
        }

        let mut inner = route("/inner", "Prefix", &to("api"));
        inner["allow"] = json!(["203.0.113.0/24"]);
        let split = [("web", json!({ "number": 9000 }), 80), ("next", json!({ "number": 9000 }), 20)];
        let mut patient = route("/api", "Prefix", &to("api"));
        patient["timeout"] = json!("1s");
        let served = table(&[
            (
                "shop.example.com",
                vec![
                    route("/", "Prefix", &to("web")),
                    route("/exact", "Exact", &to("api")),
                    route("/split", "Prefix", &split),
                    route("/named", "Prefix", &[("api", json!({ "named": "http" }), 1)]),
                    route("/nobody", "Prefix", &[]),
                    route("/missing", "Prefix", &to("missing")),
                    patient,
                    inner,
                ],
            ),
            ("*.example.com", vec![route("/", "Prefix", &to("next"))]),
        ]);
        let hash = served.hash();
        let begun = Instant::now();
        agent.serve(&served);
        eprintln!("first table served after {:?}", begun.elapsed());
        for path in ["/livez", "/healthz", "/readyz"] {
            assert_eq!(admin(path).unwrap().code, 200, "{path}");
        }
        eventually("the backends' addresses", || {
            ["/", "/api", "/named"].iter().all(|path| get("shop.example.com", path).code == 200)
                && get("a.example.com", "/").code == 200
        });

        let who = |host: &str, path: &str| get(host, path).body.split(' ').next().unwrap_or_default().to_owned();
        assert_eq!(who("shop.example.com", "/x"), "web");
        assert_eq!(who("shop.example.com:443", "/x"), "web");
        assert_eq!(who("SHOP.example.com", "/x"), "web");
        assert_eq!(who("shop.example.com", "/exact"), "api");
        assert_eq!(who("shop.example.com", "/exact/"), "web");
        assert_eq!(who("shop.example.com", "/named/x"), "api");
        assert_eq!(who("a.example.com", "/"), "next");
        assert_eq!(get("shop.example.com", "/nobody").code, 503);
        assert_eq!(get("shop.example.com", "/missing").code, 502);
        for unknown in ["example.com", "b.a.example.com", "shop.example.org", "127.0.0.1"] {
            assert_eq!(get(unknown, "/").code, 404, "{unknown}");
        }

        // The platform's own path answers on every host, before any rule.
        for host in ["shop.example.com", "unknown.example.net"] {
            assert_eq!(get(host, "/.well-known/gatehouse/table").body, hash);
        }
        assert_eq!(who("shop.example.com", "/.well-known/gatehouse"), "web");

        // Only what the load balancer appended counts; what the client wrote before it does not.
        for (header, code) in [
            ("203.0.113.7", 200),
            ("198.51.100.1, 203.0.113.7", 200),
            ("198.51.100.1", 403),
            ("203.0.113.7, 198.51.100.1", 403),
            ("203.0.113.7, 127.0.0.1", 200),
        ] {
            let answer = get_with("shop.example.com", "/inner", &format!("X-Forwarded-For: {header}\r\n"));
            assert_eq!(answer.code, code, "{header}");
        }
        assert_eq!(get("shop.example.com", "/inner").code, 403);
        let answer =
            get_with("shop.example.com", "/a%2Fb", "X-Forwarded-For: 9.9.9.9, 203.0.113.7\r\nX-Real-IP: 1.1.1.1\r\n");
        assert_eq!(answer.body, "web /a%2Fb for=9.9.9.9, 203.0.113.7 real=203.0.113.7 host=shop.example.com");

        let shares = (0..400).filter(|_| who("shop.example.com", "/split") == "next").count();
        assert!((40..=125).contains(&shares), "80:20 gave {shares} of 400");

        let begun = Instant::now();
        assert_eq!(get("shop.example.com", "/api/slow").code, 504);
        let took = begun.elapsed();
        assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&took), "1 s took {took:?}");
        let body = "Content-Length: 2000\r\nExpect: 100-continue\r\n";
        assert_eq!(get_with("shop.example.com", "/", body).code, 413);

        agent.signal(Signal::TERM);
        assert!(agent.wait().success());
    });
}

#[test]
fn a_bad_table_keeps_the_last_good_one() {
    isolated("a_bad_table_keeps_the_last_good_one", || {
        backends(&["one", "two"]);
        let agent = Agent::start(&["--reload-gap", "100"]);
        let first = table(&[("a.example.com", vec![route("/", "Prefix", &to("one"))])]);
        let second = table(&[("a.example.com", vec![route("/", "Prefix", &to("two"))])]);
        agent.serve(&first);
        let who = || get("a.example.com", "/").body.split(' ').next().unwrap_or_default().to_owned();
        eventually("the first table's backend", || who() == "one");

        let status = || serde_json::from_str::<Value>(&admin("/status").unwrap().body).unwrap();
        let newer = first.to_json().replace("\"version\": 2", "\"version\": 3");
        let hostile = first.to_json().replace("a.example.com", "a.example.com; return 200");
        for (bad, why) in [
            ("", "cannot be read"),
            (newer.as_str(), "has version 3, this agent reads 1 to 2"),
            (hostile.as_str(), "is not a lower-case DNS name"),
        ] {
            agent.write(bad);
            eventually(why, || status()["rejected"]["message"].as_str().is_some_and(|text| text.contains(why)));
            assert_eq!(status()["served"], json!(first.hash()));
            assert_eq!((admin("/readyz").unwrap().code, who().as_str()), (200, "one"));
        }

        // A port that is taken passes `nginx -t`; only the reload fails, and nginx says so in its log alone.
        let taken = std::net::TcpListener::bind(("127.0.0.1", 8090)).unwrap();
        let mut text: Value = serde_json::from_str(&second.to_json()).unwrap();
        text["ports"]["8090"] = text["ports"]["8080"].clone();
        let unbindable = gatehouse_route::RouteTable::from_json(&text.to_string()).unwrap();
        agent.write(&unbindable.to_json());
        eventually("the failed reload", || {
            status()["rejected"]["message"].as_str().is_some_and(|text| text.contains("8090"))
        });
        assert_eq!(status()["rejected"]["hash"], json!(unbindable.hash()));
        assert_eq!(admin("/hash").unwrap().body, first.hash());
        assert_eq!(who(), "one");
        let metrics = Client::connect(9090).unwrap().ask("metrics", "/metrics", "").unwrap().body;
        for line in [
            "gatehouse_edge_table_loads_total{result=\"failed\"} 3",
            "gatehouse_edge_reloads_total{result=\"failed\"} 1",
            "gatehouse_edge_reloads_total{result=\"ok\"} 1",
            "gatehouse_edge_table_rejected 1",
            "gatehouse_edge_nginx_up 1",
            &format!("gatehouse_edge_table_info{{hash=\"{}\"}} 1", first.hash()),
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }

        drop(taken);
        agent.serve(&second);
        eventually("the second table's backend", || who() == "two");
        assert_eq!(status()["rejected"], Value::Null);
    });
}

#[test]
fn drains_on_sigterm() {
    isolated("drains_on_sigterm", || {
        backends(&["one"]);
        let mut agent = Agent::start(&["--drain", "60"]);
        agent.serve(&table(&[(
            "a.example.com",
            vec![{
                let mut slow = route("/", "Prefix", &to("one"));
                slow["timeout"] = json!("10s");
                slow
            }],
        )]));
        eventually("the backend", || get("a.example.com", "/").code == 200);

        agent.signal(Signal::TERM);
        eventually("not ready", || admin("/readyz").unwrap().code == 503);
        assert_eq!(admin("/readyz").unwrap().body, "draining\n");
        for path in ["/healthz", "/livez"] {
            assert_eq!(admin(path).unwrap().code, 200, "{path}");
        }
        assert_eq!(get("a.example.com", "/").code, 200);

        // A request in flight outlives the end of the drain.
        let slow = thread::spawn(|| get("a.example.com", "/slow"));
        thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        agent.signal(Signal::TERM);
        assert!(agent.wait().success());
        assert_eq!(slow.join().unwrap().code, 200);
        assert!(begun.elapsed() > Duration::from_secs(4), "nginx was not waited for: {:?}", begun.elapsed());
        assert!(Client::connect(TRAFFIC).is_err());
    });
}

#[test]
fn reloads_lose_no_request() {
    isolated("reloads_lose_no_request", || {
        backends(&["one", "two"]);
        let agent = Agent::start(&["--reload-gap", "5", "--interval", "10"]);
        let version = |i: usize| {
            let backend = if i.is_multiple_of(2) { "one" } else { "two" };
            let (a, b) = (format!("/a{i}"), format!("/b{i}"));
            // Both backends stay in use: nginx keeps the addresses of an upstream across a reload only if it had it.
            table(&[(
                "a.example.com",
                vec![
                    route("/", "Prefix", &to(backend)),
                    route(&a, "Prefix", &to("one")),
                    route(&b, "Prefix", &to("two")),
                ],
            )])
        };
        agent.serve(&version(1));
        eventually("the backends", || ["/a1", "/b1"].iter().all(|path| get("a.example.com", path).code == 200));

        let (stop, asked, reopened) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let failures = std::sync::Mutex::new(Vec::new());
        let begun = Instant::now();
        thread::scope(|scope| {
            for client in 0..50_u64 {
                let (stop, asked, reopened, failures) = (&stop, &asked, &reopened, &failures);
                scope.spawn(move || {
                    let mut connection = None;
                    while !stop.load(Ordering::Relaxed) {
                        let mut open = connection.take().unwrap_or_else(|| {
                            reopened.fetch_add(1, Ordering::Relaxed);
                            Client::connect(TRAFFIC).unwrap()
                        });
                        match open.ask("a.example.com", "/x", "") {
                            Ok(answer) if answer.code == 200 => connection = (!answer.closes).then_some(open),
                            other => failures.lock().unwrap().push(format!("{other:?}")),
                        }
                        asked.fetch_add(1, Ordering::Relaxed);
                        // Idle for a while, as connections of a load balancer are: that is where reloads hurt.
                        thread::sleep(Duration::from_millis(5 + client * 7 % 60));
                    }
                });
            }
            for i in 2..32 {
                agent.serve(&version(i));
            }
            stop.store(true, Ordering::Relaxed);
        });
        let asked = asked.into_inner();
        let failures = failures.into_inner().unwrap();
        eprintln!(
            "30 reloads in {:?}: {} of {asked} requests lost, {} connections",
            begun.elapsed(),
            failures.len(),
            reopened.into_inner()
        );
        assert!(failures.is_empty(), "{failures:?}");
        assert!(asked > 1_000, "only {asked} requests");
    });
}

#[test]
fn quick_changes_are_taken_together() {
    isolated("quick_changes_are_taken_together", || {
        backends(&["one"]);
        let agent = Agent::start(&[]);
        let version =
            |i: usize| table(&[(format!("h{i}.example.com").as_str(), vec![route("/", "Prefix", &to("one"))])]);
        agent.serve(&version(0));
        thread::sleep(Duration::from_millis(2100));

        // After a quiet time the first change is not held up; the next ones wait for each other.
        let begun = Instant::now();
        agent.serve(&version(1));
        let first = begun.elapsed();
        for i in 2..10 {
            agent.write(&version(i).to_json());
            thread::sleep(Duration::from_millis(120));
        }
        agent.serve(&version(10));
        let status: Value = serde_json::from_str(&admin("/status").unwrap().body).unwrap();
        eprintln!("first change after {first:?}, nine more after {:?}", begun.elapsed());
        assert!(first < Duration::from_millis(1500), "{first:?}");
        assert_eq!(status["reloads"], json!(3));
    });
}
