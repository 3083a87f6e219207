//! What the rendered configuration, with its agent, adds to a request: beside an nginx that a hand configured for the
//! same routes, by turns, before the same backends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::nginx::{Nginx, program, served, ticks, until, workers};
use crate::size::median;
use crate::{dns, figure, tables};

const HOSTS: usize = 50;
const RATE: u32 = 1_000;
const CLIENTS: u32 = 8;
const TURNS: usize = 15;
const TURN: Duration = Duration::from_secs(2);
/// The design's aim: not a twentieth more.
const AIM: f64 = 1.05;

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One side: its port, and the process of its worker.
struct Side {
    port: u16,
    worker: u32,
}

/// One turn of a side.
struct Turn {
    /// Microseconds of each request, sorted.
    micros: Vec<f64>,
    seconds: f64,
    ticks: u64,
}

impl Turn {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few")]
    fn rank(&self, part: f64) -> f64 {
        self.micros[((self.micros.len() - 1) as f64 * part) as usize]
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below")]
pub fn measure() -> Vec<Value> {
    dns::serve(zone());
    let _backend = Nginx::start("backend", &tables::backend());
    let hand = Nginx::start("hand", &tables::by_hand(HOSTS));
    let table = tables::table(HOSTS, 0);
    std::fs::write("/tmp/table.json", table.to_json()).unwrap();
    // target/release/examples/edge -> target/release/gatehouse-edge
    let agent: PathBuf = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("gatehouse-edge");
    let agent = Command::new(&agent)
        .args(["--table", "/tmp/table.json", "--bind", "127.0.0.1", "--nginx"])
        .arg(program())
        .args(["--log", "error"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}: build gatehouse-edge too", agent.display()));
    let agent = Agent(agent);
    until("the agent's table", || served().is_some_and(|hash| hash == table.hash()));
    // The started process keeps the agent, the agent keeps nginx, and that keeps its worker.
    let master = workers(workers(agent.0.id())[0])[0];
    let sides = [
        Side { port: 8080, worker: workers(master)[0] },
        Side { port: tables::BY_HAND, worker: workers(hand.pid())[0] },
    ];
    for side in &sides {
        until("both backends", || ["/", "/api/x"].iter().all(|path| Client::new(side.port).ask(0, path) == 200));
        turn(side, Some(RATE));
    }

    let mut paced = [Vec::new(), Vec::new()];
    let mut full = [Vec::new(), Vec::new()];
    for round in 0..TURNS {
        // Who comes first changes too.
        for i in [round % 2, 1 - round % 2] {
            paced[i].push(turn(&sides[i], Some(RATE)));
        }
        for i in [round % 2, 1 - round % 2] {
            full[i].push(turn(&sides[i], None));
        }
    }
    let ratio = |turns: &[Vec<Turn>; 2], value: fn(&Turn) -> f64| {
        median(&mut turns[0].iter().zip(&turns[1]).map(|(ours, hand)| value(ours) / value(hand)).collect::<Vec<_>>())
    };
    let middle = |turns: &[Turn], value: fn(&Turn) -> f64| median(&mut turns.iter().map(value).collect::<Vec<_>>());
    let per_request = |turn: &Turn| turn.seconds / turn.micros.len() as f64;
    let core = |turn: &Turn| turn.ticks as f64 / turn.micros.len() as f64;
    let with = |mut figure: Value, target: Option<f64>, note: String| {
        figure["target"] = target.into();
        figure["note"] = note.into();
        figure
    };
    let both = |turns: &[Vec<Turn>; 2], value: fn(&Turn) -> f64, unit: &str| {
        format!(
            "{:.1} and {:.1} {unit}, medians of {TURNS} turns of {} s each",
            middle(&turns[0], value),
            middle(&turns[1], value),
            TURN.as_secs()
        )
    };
    let name = |what: &str| format!("{what}, ours over an nginx configured by hand");
    let rate = |turn: &Turn| turn.micros.len() as f64 / turn.seconds;
    vec![
        with(
            figure(name("median latency at 1,000 requests/s"), "x", HOSTS, ratio(&paced, |t| t.rank(0.5))),
            Some(AIM),
            both(&paced, |t| t.rank(0.5), "us"),
        ),
        with(
            figure(name("99th percentile at 1,000 requests/s"), "x", HOSTS, ratio(&paced, |t| t.rank(0.99))),
            None,
            both(&paced, |t| t.rank(0.99), "us"),
        ),
        with(
            figure(
                name("core time of nginx's worker per request at 1,000 requests/s"),
                "x",
                HOSTS,
                ratio(&paced, core),
            ),
            None,
            both(&paced, |t| t.ticks as f64 * 10_000.0 / t.micros.len() as f64, "us (ticks of 10 ms)"),
        ),
        with(
            figure(name("time per request, as many as pass"), "x", HOSTS, ratio(&full, per_request)),
            Some(AIM),
            format!(
                "{}; {CLIENTS} connections; client and backend share the machine's cores",
                both(&full, rate, "requests/s")
            ),
        ),
        with(
            figure(name("core time of nginx's worker per request, as many as pass"), "x", HOSTS, ratio(&full, core)),
            None,
            both(&full, |t| t.ticks as f64 * 10_000.0 / t.micros.len() as f64, "us"),
        ),
    ]
}

fn zone() -> BTreeMap<String, Vec<Ipv4Addr>> {
    let name = |service: &str| format!("{service}.team-a.svc.cluster.local");
    let address = |i: usize| Ipv4Addr::new(127, 0, 9, u8::try_from(i).unwrap() + 1);
    tables::SERVICES.iter().enumerate().map(|(i, service)| (name(service), vec![address(i)])).collect()
}

/// A connection that is kept.
struct Client(BufReader<TcpStream>, u16);

impl Client {
    fn new(port: u16) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream), port)
    }

    fn ask(&mut self, host: usize, path: &str) -> u16 {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n",
            tables::host(host)
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut code, mut length, mut line) = (0, 0, String::new());
        while line != "\r\n" {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "port {} hung up", self.1);
            if let Some(status) = line.strip_prefix("HTTP/1.1 ") {
                code = status[..3].parse().unwrap();
            }
            if let Some(text) = line.strip_prefix("Content-Length: ") {
                length = text.trim().parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        code
    }
}

/// All clients for one turn: at a rate, or one request after the other.
fn turn(side: &Side, rate: Option<u32>) -> Turn {
    let (before, began) = (ticks(side.worker), Instant::now());
    let one = |client: u32| {
        let mut connection = Client::new(side.port);
        let mut micros = Vec::with_capacity(32_768);
        let pause = rate.map(|rate| Duration::from_secs(1) * CLIENTS / rate);
        // Clients do not ask in step.
        let mut due = began + pause.unwrap_or_default() * client / CLIENTS;
        let mut i = usize::try_from(client).unwrap();
        while began.elapsed() < TURN {
            if let Some(pause) = pause {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                due += pause;
            }
            i += 7;
            let asked = Instant::now();
            assert_eq!(connection.ask(i % HOSTS, if i % 2 == 0 { "/index" } else { "/api/items" }), 200);
            micros.push(asked.elapsed().as_secs_f64() * 1e6);
        }
        micros
    };
    let mut micros: Vec<f64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || one(client))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    micros.sort_by(f64::total_cmp);
    Turn { micros, seconds: began.elapsed().as_secs_f64(), ticks: ticks(side.worker) - before }
}
