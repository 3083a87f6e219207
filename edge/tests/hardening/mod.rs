//! What the agent and nginx survive, against a real nginx.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use gatehouse_route::RouteTable;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::{
    Agent, Client, admin, backends, children, eventually, get, isolated, kill, metrics, pods, route, table, to,
};

const HOST: &str = "a.example.com";

fn one(service: &'static str) -> RouteTable {
    table(&[(HOST, vec![route("/", "Prefix", &to(service))])])
}

fn who() -> String {
    get(HOST, "/").body.split(' ').next().unwrap_or_default().to_owned()
}

fn rejected(agent: &Agent, why: &str) {
    eventually(why, || agent.status()["rejected"]["message"].as_str().is_some_and(|text| text.contains(why)));
    assert!(metrics().iter().any(|line| line == "gatehouse_edge_table_rejected 1"), "{why}");
}

fn metric(name: &str) -> u64 {
    metrics().iter().find_map(|line| line.strip_prefix(&format!("{name} "))?.parse().ok()).unwrap()
}

fn mount(args: &[&str]) {
    assert!(Command::new("mount").args(args).status().unwrap().success(), "mount {args:?}");
}

/// Everything that can be wrong with the file, one after the other: told, and nothing changes.
#[test]
fn no_file_takes_the_edge_down() {
    isolated("hardening::no_file_takes_the_edge_down", || {
        backends(&["one", "two"]);
        let agent = Agent::start(&["--reload-gap", "50"]);
        let (first, second) = (one("one"), one("two"));
        agent.serve(&first);
        eventually("the backend", || who() == "one");
        let path = agent.dir.path().join("table.json");
        let garbage: String =
            (0..2 << 20).map(|i: u64| char::from(u8::try_from(i * 7919 % 94 + 33).unwrap())).collect();
        let large = first.to_json().replace("team-a\"", &format!("team-a\",\"padding\":\"{}\"", "x".repeat(5 << 20)));
        let newer = first.to_json().replace("\"version\": 2", "\"version\": 4000000000");
        for (content, why) in [
            (garbage.as_bytes(), "cannot be read"),
            (large.as_bytes(), "is larger than 4194304 bytes"),
            (newer.as_bytes(), "has version 4000000000"),
            (b"\xff\xfe{}".as_slice(), "valid UTF-8"),
            (b"{\"version\":2}".as_slice(), "missing field"),
            ("[".repeat(1 << 20).as_bytes(), "cannot be read"),
        ] {
            std::fs::write(agent.dir.path().join("table.next"), content).unwrap();
            std::fs::rename(agent.dir.path().join("table.next"), &path).unwrap();
            rejected(&agent, why);
            assert_eq!((agent.status()["served"].clone(), who().as_str()), (json!(first.hash()), "one"), "{why}");
        }
        std::fs::remove_file(&path).unwrap();
        rejected(&agent, "No such file");
        std::fs::create_dir(&path).unwrap();
        rejected(&agent, "Is a directory");
        assert_eq!((admin("/readyz").unwrap().code, who().as_str()), (200, "one"));
        std::fs::remove_dir(&path).unwrap();
        // What is back is looked at anew, also if it is what was served all the time.
        agent.write(&first.to_json());
        eventually("accepted again", || agent.status()["rejected"] == Value::Null);
        agent.serve(&second);
        eventually("the second backend", || who() == "two");
        assert_eq!(agent.status()["reloads"], json!(2));
    });
}

#[test]
fn a_full_disk_and_a_read_only_one_keep_what_is_served() {
    isolated("hardening::a_full_disk_and_a_read_only_one_keep_what_is_served", || {
        backends(&["one", "two"]);
        let work = tempfile::tempdir().unwrap();
        let at = work.path().to_str().unwrap();
        mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs", at]);
        let nginx = std::env::var_os("GATEHOUSE_NGINX").unwrap();
        let programs = (Path::new(env!("CARGO_BIN_EXE_gatehouse-edge")), Path::new(&nginx));
        let dir = tempfile::tempdir().unwrap();
        let agent = Agent::start_with(dir, work.path(), programs, &["--reload-gap", "50"], |_| ());
        agent.serve(&one("one"));
        eventually("the backend", || who() == "one");

        let filler = work.path().join("filler");
        let _ = std::fs::write(&filler, vec![0; 1 << 20]);
        agent.write(&one("two").to_json());
        rejected(&agent, "No space left");
        assert_eq!(who(), "one");
        // The last good file is whole: nginx can start with it.
        kill(agent.master(), Signal::KILL);
        eventually("nginx is back", || {
            admin("/healthz").unwrap().code == 200 && metric("gatehouse_edge_nginx_restarts_total") == 1
        });
        eventually("the backend", || who() == "one");
        std::fs::remove_file(&filler).unwrap();
        // Asked for again, and not only when its time comes.
        agent.serve(&table(&[(HOST, vec![route("/", "Prefix", &to("two")), route("/x", "Prefix", &to("one"))])]));
        eventually("the second backend", || who() == "two");

        mount(&["-o", "remount,ro", at]);
        agent.write(&one("one").to_json());
        rejected(&agent, "Read-only file system");
        assert_eq!(who(), "two");
        mount(&["-o", "remount,rw", at]);
        agent.serve(&table(&[(HOST, vec![route("/", "Prefix", &to("one")), route("/y", "Prefix", &to("one"))])]));
    });
}

/// As in the pod: no root, no file to write but below /tmp.
#[test]
fn needs_no_root_and_no_writable_root() {
    isolated("hardening::needs_no_root_and_no_writable_root", || {
        backends(&["one"]);
        let programs = tempfile::tempdir().unwrap();
        let (agent, nginx) = (programs.path().join("gatehouse-edge"), programs.path().join("nginx"));
        std::fs::copy(env!("CARGO_BIN_EXE_gatehouse-edge"), &agent).unwrap();
        std::fs::copy(std::env::var_os("GATEHOUSE_NGINX").unwrap(), &nginx).unwrap();
        let (dir, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (path, mode, owner) in [(programs.path(), 0o755, 0), (dir.path(), 0o755, 0), (work.path(), 0o700, 65532)] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
        }
        // Of this mount namespace alone.
        mount(&["-o", "remount,bind,ro", "/"]);
        assert!(std::fs::write("/root-is-writable", "").is_err());
        let mut agent = Agent::start_with(dir, work.path(), (&agent, &nginx), &["--drain", "0"], |command| {
            command.uid(65532).gid(65532);
        });
        agent.serve(&one("one"));
        eventually("the backend", || who() == "one");
        for pid in [agent.child.id().cast_signed(), agent.pid(), agent.master(), children(agent.master())[0]] {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            assert!(status.contains("\nUid:\t65532\t65532\t65532\t65532\n"), "{status}");
            assert!(status.contains("\nCapEff:\t0000000000000000\n"), "{status}");
        }
        // A body that does not fit into memory goes to /tmp.
        let body = format!("Content-Length: 1024\r\n\r\n{}", "x".repeat(1024));
        assert_eq!(super::support::send("POST", HOST, "/", &body).code, 200);
        agent.signal(Signal::TERM);
        assert!(agent.wait().success());
    });
}

#[test]
fn nginx_is_started_again_with_back_off_and_an_end() {
    isolated("hardening::nginx_is_started_again_with_back_off_and_an_end", || {
        backends(&["one"]);
        let mut agent = Agent::start(&[]);
        let served = one("one");
        agent.serve(&served);
        eventually("the backend", || who() == "one");

        // A worker's end is mended by its master.
        kill(children(agent.master())[0], Signal::KILL);
        eventually("another worker", || Client::connect(8080).unwrap().ask(HOST, "/", "").is_ok_and(|a| a.code == 200));
        assert_eq!(metric("gatehouse_edge_nginx_restarts_total"), 0);

        let begun = Instant::now();
        for fall in 1..=6 {
            let master = agent.master();
            kill(master, Signal::KILL);
            eventually("told", || metric("gatehouse_edge_nginx_restarts_total") == fall);
            eventually("nginx is back", || admin("/hash").unwrap().body == served.hash());
            assert_ne!(agent.master(), master);
            eventually("the backend", || get(HOST, "/").code == 200);
        }
        assert!(begun.elapsed() >= Duration::from_millis(6300), "the waits are 0.1, 0.2 ... 3.2 s");
        // Readiness and health say so meanwhile, liveness stays: the agent is at work.
        kill(agent.master(), Signal::KILL);
        assert_eq!(agent.wait().code(), Some(1), "enough was tried");
        eventually("nothing is left", || Client::connect(8080).is_err());
    });
}

#[test]
fn health_tells_of_a_fall() {
    isolated("hardening::health_tells_of_a_fall", || {
        backends(&["one"]);
        let agent = Agent::start(&[]);
        agent.serve(&one("one"));
        // Falls in a row make the waits long enough to look.
        for fall in 1..=5 {
            kill(agent.master(), Signal::KILL);
            eventually("nginx is back", || {
                metric("gatehouse_edge_nginx_restarts_total") == fall && admin("/healthz").unwrap().code == 200
            });
        }
        kill(agent.master(), Signal::KILL);
        eventually("not ready", || admin("/readyz").unwrap().code == 503);
        assert_eq!(admin("/readyz").unwrap().body, "nginx ended and is started again\n");
        assert_eq!((admin("/healthz").unwrap().code, admin("/livez").unwrap().code), (503, 200));
        assert_eq!((admin("/hash").unwrap().code, agent.status()["fallen"].clone()), (503, json!(true)));
        assert_eq!(metric("gatehouse_edge_nginx_up"), 0);
        // A change that comes now is served after the last good table.
        let next = table(&[(HOST, vec![route("/new", "Prefix", &to("one"))])]);
        agent.serve(&next);
        assert_eq!((get(HOST, "/").code, agent.status()["fallen"].clone()), (404, json!(false)));
    });
}

#[test]
fn nginx_outlives_its_agent() {
    isolated("hardening::nginx_outlives_its_agent", || {
        backends(&["one"]);
        let mut agent = Agent::start(&["--drain", "2"]);
        agent.serve(&one("one"));
        eventually("the backend", || who() == "one");
        let mut open = Client::connect(8080).unwrap();
        assert_eq!(open.ask(HOST, "/", "").unwrap().code, 200);
        kill(agent.pid(), Signal::KILL);
        eventually("the admin port is silent: the kubelet sees it", || admin("/livez").is_none());
        for _ in 0..100 {
            assert_eq!(get(HOST, "/").code, 200);
        }
        assert_eq!(open.ask(HOST, "/", "").unwrap().code, 200, "the open connection too");

        // The kubelet's SIGTERM drains as ever, and requests in flight are finished.
        agent.signal(Signal::TERM);
        assert_eq!(get(HOST, "/").code, 200, "the load balancer still sends");
        let mut client = Client::connect(8080).unwrap();
        write!(client.0.get_mut(), "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 6\r\n\r\nabc").unwrap();
        eventually("no new connection", || Client::connect(8080).is_err());
        client.0.get_mut().write_all(b"def").unwrap();
        let mut line = String::new();
        client.0.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        assert_eq!(agent.wait().code(), Some(1), "it did not end well");
    });
}

/// A thousand connections that say nothing, or half a word, and the kubelet is answered.
#[test]
fn the_admin_port_is_bounded() {
    isolated("hardening::the_admin_port_is_bounded", || {
        backends(&["one"]);
        let _ = rustix::process::setrlimit(
            rustix::process::Resource::Nofile,
            rustix::process::Rlimit { current: Some(8192), maximum: Some(8192) },
        );
        let agent = Agent::start(&[]);
        agent.serve(&one("one"));
        for port in [8081, 9090] {
            let held: Vec<TcpStream> = (0..1_000)
                .map(|i| {
                    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                    let begin: &[u8] = match i % 4 {
                        0 => b"",
                        1 => b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ",
                        2 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                        _ => b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx",
                    };
                    let _ = stream.write_all(begin);
                    stream
                })
                .collect();
            let path = if port == 8081 { "/livez" } else { "/metrics" };
            for _ in 0..50 {
                assert_eq!(Client::connect(port).unwrap().ask("a", path, "").unwrap().code, 200);
            }
            let open = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
            assert!(open < 300, "{open} descriptors for {} connections", held.len());
            drop(held);
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
        let peak: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
            .unwrap();
        eprintln!("the agent's memory was {peak} KiB at most");
        assert!(peak < 64 << 10, "{peak} KiB");

        // Health and hash, to GET, in small heads; nothing else.
        for path in ["/", "/metrics", "/table", "/debug/pprof", "/../etc/passwd", "//livez", "/livez/"] {
            assert_eq!(admin(path).unwrap().code, 404, "{path}");
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            assert_eq!(
                Client::connect(8081).unwrap().send(method, "a", "/livez", "Content-Length: 0\r\n").unwrap().code,
                405
            );
        }
        let long = format!("X: {}\r\n", "y".repeat(32 << 10));
        assert_eq!(Client::connect(8081).unwrap().ask("a", "/livez", &long).map_or(431, |answer| answer.code), 431);
        assert_eq!(Client::connect(9090).unwrap().ask("a", "/livez", "").unwrap().code, 404);
    });
}

/// Takes an upgrade and says back what it hears.
fn parrot(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if !matches!(stream.read_line(&mut head), Ok(1..)) {
            return;
        }
    }
    let head = head.to_ascii_lowercase();
    let upgrades = head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n");
    let answer: &[u8] = if upgrades {
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    } else {
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    };
    if stream.get_mut().write_all(answer).is_err() || !upgrades {
        return;
    }
    let mut buffer = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.get_mut().write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn says(socket: &mut Client, word: &[u8; 5]) -> bool {
    let mut heard = [0; 5];
    socket.0.get_mut().write_all(word).is_ok() && socket.0.read_exact(&mut heard).is_ok() && heard == *word
}

#[test]
fn websockets_outlive_reloads() {
    isolated("hardening::websockets_outlive_reloads", || {
        pods(&["chat"], |_, listener| {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || parrot(stream));
            }
        });
        let agent = Agent::start(&["--reload-gap", "20", "--drain", "0", "--quit-timeout", "1"]);
        let version = |i: usize| {
            // The route's time is the longest silence, of WebSockets too.
            let mut patient = route("/", "Prefix", &to("chat"));
            patient["timeout"] = json!("5m");
            let path = format!("/v{i}");
            table(&[(HOST, vec![patient, route(&path, "Prefix", &to("chat"))])])
        };
        agent.serve(&version(0));
        eventually("the backend", || get(HOST, "/").code == 200);
        let open = || {
            let mut socket = Client::connect(8080).unwrap();
            let ask = "GET /chat HTTP/1.1\r\nHost: a.example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
            socket.0.get_mut().write_all(ask.as_bytes()).unwrap();
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(socket.0.read_line(&mut head).unwrap(), 0);
            }
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            socket
        };
        // Each pins the worker of its time.
        let mut sockets = Vec::new();
        for i in 1..=8 {
            let mut socket = open();
            assert!(says(&mut socket, b"hello"));
            sockets.push(socket);
            agent.serve(&version(i));
        }
        for socket in &mut sockets {
            assert!(says(socket, b"still"), "a reload ended a WebSocket");
        }
        assert_eq!(metric("gatehouse_edge_old_workers"), 8);
        assert_eq!(children(agent.master()).len(), 9);
        // How long they live is nginx's doing.
        let conf = std::fs::read_to_string(agent.dir.path().join("nginx.conf")).unwrap();
        assert!(conf.contains("worker_shutdown_timeout 300s;"));
        // They are gone when their clients are.
        drop(sockets);
        eventually("old workers end", || children(agent.master()).len() == 1);

        // The end of the pod does not wait for a WebSocket longer than it was told to.
        let mut agent = agent;
        let mut last = open();
        agent.signal(Signal::TERM);
        assert!(agent.wait().success());
        assert!(!says(&mut last, b"over?"));
    });
}

/// The same with the time cut short, which only the file can say.
#[test]
fn a_websocket_ends_with_its_workers_time() {
    isolated("hardening::a_websocket_ends_with_its_workers_time", || {
        pods(&["chat"], |_, listener| {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || parrot(stream));
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("nginx.conf");
        let text = gatehouse_route::render(&one("chat"));
        let short = text.replace("worker_shutdown_timeout 300s;", "worker_shutdown_timeout 3s;");
        assert_ne!(text, short);
        std::fs::write(&conf, short).unwrap();
        let mut nginx = Command::new(std::env::var_os("GATEHOUSE_NGINX").unwrap())
            .args(["-e", "stderr", "-p"])
            .arg(dir.path())
            .arg("-c")
            .arg(&conf)
            .spawn()
            .unwrap();
        eventually("the backend", || {
            Client::connect(8080).is_ok_and(|mut c| c.ask(HOST, "/", "").is_ok_and(|a| a.code == 200))
        });
        let mut socket = Client::connect(8080).unwrap();
        let ask = "GET /chat HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        socket.0.get_mut().write_all(ask.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(socket.0.read_line(&mut head).unwrap(), 0);
        }
        let begun = Instant::now();
        kill(nginx.id().cast_signed(), Signal::HUP);
        let mut lived = Duration::ZERO;
        while says(&mut socket, b"still") {
            lived = begun.elapsed();
            assert!(lived < Duration::from_secs(15), "the old worker does not end");
            thread::sleep(Duration::from_millis(100));
        }
        eprintln!("with a time of 3 s the WebSocket lived {lived:?} after the reload");
        assert!(lived > Duration::from_secs(2), "{lived:?}");
        nginx.kill().unwrap();
        nginx.wait().unwrap();
    });
}
