//! What the tests stand on: a network namespace, the agent, backends, a DNS server and a client, all on loopback.

pub mod dns;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gatehouse_route::RouteTable;
use serde_json::{Value, json};

pub const TRAFFIC: u16 = 8080;
pub use dns::DNS;
const INSIDE: &str = "GATEHOUSE_EDGE_TEST_INSIDE";

/// A /tmp of its own for nginx's fixed paths there, unless the programs themselves live below /tmp.
const SETUP: &str = r#"
ip link set lo up || exit
case "$0 $GATEHOUSE_NGINX" in */tmp/*) ;; *) mount -t tmpfs tmpfs /tmp ;; esac
exec "$0" "$@"
"#;

/// Runs a test in network, process and mount namespaces of its own: nginx.conf has fixed ports and paths, and whatever
/// happens nothing outlives the test.
pub fn isolated(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let Some(nginx) = nginx() else {
        eprintln!("not run: {name}: no nginx; set GATEHOUSE_NGINX, or `platform which nginx` puts one into the cache");
        return;
    };
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"])
        .arg(SETUP)
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .env("GATEHOUSE_NGINX", nginx)
        .stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return eprintln!("not run: {name}: unshare: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && said.contains("unshare failed") {
        return eprintln!("not run: {name}: needs root for network namespaces: {}", said.trim());
    }
    assert!(output.status.success(), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
    eprint!("{said}");
}

/// The nginx to test with: named, or the newest one the platform keeps.
fn nginx() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("GATEHOUSE_NGINX") {
        return Some(path.into());
    }
    let cache = std::env::var_os("GATEHOUSE_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/gatehouse")))?;
    let mut found: Vec<_> = std::fs::read_dir(cache)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("platform-"))
        .map(|entry| entry.path().join("bin/nginx"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

/// A route as the table's JSON has it: path, type and backends as (service, port, weight).
pub fn route(path: &str, path_type: &str, backends: &[(&str, Value, u32)]) -> Value {
    let backends: Vec<Value> = backends
        .iter()
        .map(|(service, port, weight)| json!({ "service": service, "port": port, "weight": weight }))
        .collect();
    json!({ "path": path, "pathType": path_type, "timeout": "2s", "backends": backends })
}

/// One backend by number.
pub fn to(service: &'static str) -> [(&'static str, Value, u32); 1] {
    [(service, json!({ "number": 9000 }), 1)]
}

/// A table on port 8080 with these hosts.
pub fn table(hosts: &[(&str, Vec<Value>)]) -> RouteTable {
    let hosts: BTreeMap<&str, Value> =
        hosts.iter().map(|(host, routes)| (*host, json!({ "routes": routes }))).collect();
    let text = json!({
        "version": 2, "namespace": "team-a", "clusterDomain": "cluster.local", "resolver": DNS.to_string(),
        "ports": { "8080": {
            "loadBalancer": "public", "trusted": ["127.0.0.1/32"], "maxBodySize": "1Ki", "idleTimeout": "60s",
            "hosts": hosts,
        }},
    });
    RouteTable::from_json(&text.to_string()).unwrap()
}

/// The agent under test.
pub struct Agent {
    pub child: Child,
    pub dir: tempfile::TempDir,
}

impl Agent {
    pub fn start(args: &[&str]) -> Agent {
        let dir = tempfile::tempdir().unwrap();
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_gatehouse-edge"));
        let nginx = PathBuf::from(std::env::var_os("GATEHOUSE_NGINX").unwrap());
        let work = dir.path().to_owned();
        Agent::start_with(dir, &work, (program, &nginx), args, |_| ())
    }

    /// With these programs, nginx.conf in `work`, the table and the log in `dir`.
    pub fn start_with(
        dir: tempfile::TempDir,
        work: &std::path::Path,
        (program, nginx): (&std::path::Path, &std::path::Path),
        args: &[&str],
        more: impl FnOnce(&mut Command),
    ) -> Agent {
        let mut command = Command::new(program);
        command
            .arg("--table")
            .arg(dir.path().join("table.json"))
            .arg("--nginx")
            .arg(nginx)
            .arg("--work-dir")
            .arg(work)
            .args(["--bind", "127.0.0.1"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(dir.path().join("stdout")).unwrap());
        more(&mut command);
        let child = command.spawn().unwrap();
        let agent = Agent { child, dir };
        eventually("the admin port", || admin("/livez").is_some());
        agent
    }

    /// Writes the table as the kubelet would: a new file takes the name.
    pub fn write(&self, content: &str) {
        let next = self.dir.path().join("table.next");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(next, self.dir.path().join("table.json")).unwrap();
    }

    /// Writes a table and waits until its hash is reported.
    pub fn serve(&self, table: &RouteTable) {
        self.write(&table.to_json());
        let hash = table.hash();
        eventually("the new hash", || admin("/hash").is_some_and(|answer| answer.body == hash));
    }

    /// The access log so far.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("stdout")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        kill(self.child.id().cast_signed(), signal);
    }

    /// The agent proper, which the started process keeps.
    pub fn pid(&self) -> i32 {
        children(self.child.id().cast_signed())[0]
    }

    /// nginx's master.
    pub fn master(&self) -> i32 {
        children(self.pid())[0]
    }

    /// What /status tells.
    pub fn status(&self) -> Value {
        serde_json::from_str(&admin("/status").unwrap().body).unwrap()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the agent's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

pub fn kill(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Fails after 15 s.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 15 s");
        thread::sleep(Duration::from_millis(10));
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    /// Status and header lines, in lower case.
    pub head: Vec<String>,
    pub body: String,
    pub closes: bool,
}

/// A connection that is kept alive.
pub struct Client(pub BufReader<TcpStream>);

impl Answer {
    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let values = self.head.iter().filter_map(|line| line.split_once(": "));
        values.filter(|(n, _)| *n == name).map(|(_, value)| value).collect()
    }
}

impl Client {
    pub fn connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    pub fn ask(&mut self, host: &str, path: &str, more: &str) -> std::io::Result<Answer> {
        self.send("GET", host, path, more)
    }

    pub fn send(&mut self, method: &str, host: &str, path: &str, more: &str) -> std::io::Result<Answer> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        self.0.get_mut().write_all(head.as_bytes())?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
        let closes = lines.iter().any(|line| line == "connection: close");
        let header = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let mut body = vec![0; header("content-length:").map_or(0, |text| text.parse().unwrap())];
        self.0.read_exact(&mut body)?;
        Ok(Answer {
            code: lines[0].split(' ').nth(1).unwrap().parse().unwrap(),
            body: String::from_utf8(body).unwrap(),
            closes,
            head: lines,
        })
    }
}

/// One request through the edge on a connection of its own.
pub fn get(host: &str, path: &str) -> Answer {
    get_with(host, path, "")
}

pub fn get_with(host: &str, path: &str, more: &str) -> Answer {
    Client::connect(TRAFFIC).unwrap().ask(host, path, more).unwrap()
}

pub fn send(method: &str, host: &str, path: &str, more: &str) -> Answer {
    Client::connect(TRAFFIC).unwrap().send(method, host, path, more).unwrap()
}

/// One request to the admin port; `None` while it is not there.
pub fn admin(path: &str) -> Option<Answer> {
    Client::connect(8081).ok()?.ask("admin", path, "").ok()
}

/// The agent's numbers, one a line.
pub fn metrics() -> Vec<String> {
    let text = Client::connect(9090).unwrap().ask("metrics", "/metrics", "").unwrap().body;
    text.lines().map(str::to_owned).collect()
}

/// Requests whose path ends in `/seen` that a backend has begun to read.
pub static SEEN: AtomicUsize = AtomicUsize::new(0);
/// Requests for `/release`: as many answers to `/drip` may end.
pub static RELEASED: AtomicUsize = AtomicUsize::new(0);

/// Backends on port 9000 that answer `<name> <path> <forwarded headers>`; `/slow` takes 5 s, `/head` answers with the
/// request's head, `/drip` sends half of its answer and waits for a request for `/release`. Names such as `web.1` and
/// `web.2` are two pods of the Service `web`.
pub fn backends(names: &'static [&'static str]) {
    pods(names, |name, listener| {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || backend(name, stream));
        }
    });
}

/// Pods that listen on port 9000, each served by a thread of its own, and the DNS server that knows them.
pub fn pods(names: &'static [&'static str], serve: fn(&'static str, TcpListener)) {
    let mut zone = BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        let address = Ipv4Addr::new(127, 0, 9, u8::try_from(i).unwrap() + 1);
        let service = name.split('.').next().unwrap();
        zone.entry(format!("{service}.team-a.svc.cluster.local")).or_insert_with(Vec::new).push(address);
        let listener = TcpListener::bind((address, 9000)).unwrap();
        thread::spawn(move || serve(name, listener));
    }
    dns::serve(zone);
}

pub fn backend(name: &str, stream: TcpStream) {
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
        // HTTP/2's first line has a second part without a path.
        let Some(path) = head[0].split(' ').nth(1).map(str::to_owned) else { return };
        if path.ends_with("/slow") {
            thread::sleep(Duration::from_secs(5));
        }
        let header = |name: &str| {
            let found = head.iter().find(|line| line.to_ascii_lowercase().starts_with(name));
            found.map_or("-", |line| line.split_once(": ").map_or("-", |(_, value)| value)).to_owned()
        };
        let (client, real, host) = (header("x-forwarded-for:"), header("x-real-ip:"), header("host:"));
        if path.ends_with("/seen") {
            SEEN.fetch_add(1, Ordering::SeqCst);
        }
        let mut sent = vec![0; header("content-length:").parse().unwrap_or(0)];
        if stream.read_exact(&mut sent).is_err() {
            return;
        }
        if path.ends_with("/release") {
            RELEASED.fetch_add(1, Ordering::SeqCst);
        }
        if path.ends_with("/drip") {
            let begun = RELEASED.load(Ordering::SeqCst);
            if stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst ").is_err() {
                return;
            }
            while RELEASED.load(Ordering::SeqCst) == begun {
                thread::sleep(Duration::from_millis(5));
            }
            if stream.get_mut().write_all(b"then\n").is_err() {
                return;
            }
            continue;
        }
        let body = format!("{name} {path} for={client} real={real} host={host}");
        let body = if path.ends_with("/head") { head.join("\n").to_ascii_lowercase() } else { body };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nX-Backend: {name}\r\nX-Powered-By: a test\r\nAccess-Control-Allow-Origin: backend\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
