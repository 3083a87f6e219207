//! What nginx tells of each request: numbers for the metrics port, and lines for who reads the pod's log.
//!
//! A thread of its own reads the datagrams and another one writes the lines, so that neither a busy agent nor a slow log
//! costs a request: nginx sends and forgets, and what is lost is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};
use gatehouse_route::{LOG_PORT, PathType, RouteId, RouteTable, route_ids};
use serde::{Deserialize, Serialize};

use crate::metrics::{Metrics, RouteLabels};

/// Routes with numbers of their own; those beyond share one set, so that a table cannot fill a Prometheus.
const MOST_ROUTES: usize = 1_000;
/// Lines that wait for a slow reader of standard output.
const WAITING_LINES: usize = 1_024;

/// The routes that nginx may speak of; clones share it.
#[derive(Clone, Default)]
pub struct Routes(Arc<RwLock<BTreeMap<String, RouteLabels>>>);

impl Routes {
    /// Soon there will be these routes too: new workers may tell of them before it is known that they run.
    pub fn expect(&self, table: &RouteTable) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        routes.extend(labelled(table));
    }

    /// From now on these are the routes. Gives those that are gone.
    pub fn know(&self, table: &RouteTable) -> Vec<RouteLabels> {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *routes, labelled(table));
        let kept: BTreeSet<&RouteLabels> = routes.values().collect();
        old.into_values().filter(|labels| !kept.contains(labels)).collect()
    }

    fn labels(&self, root: &str) -> RouteLabels {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // No route, or one that an old worker still serves.
        routes.get(root).cloned().unwrap_or_default()
    }
}

fn labelled(table: &RouteTable) -> BTreeMap<String, RouteLabels> {
    let mut ids: Vec<_> = route_ids(table).into_iter().collect();
    ids.sort_by(|(_, one), (_, other)| one.cmp(other));
    let labels = |(i, (root, id)): (usize, (String, RouteId))| {
        let path_type = match id.path_type {
            PathType::Prefix => "Prefix",
            PathType::Exact => "Exact",
        };
        let own = RouteLabels { host: id.host.as_text(), path: id.path.as_text(), path_type };
        (root, if i < MOST_ROUTES { own } else { RouteLabels::of_the_rest() })
    };
    ids.into_iter().enumerate().map(labels).collect()
}

/// A request as numbers, in nginx's own writing.
#[derive(Deserialize)]
struct Count<'a> {
    root: &'a str,
    status: &'a str,
    seconds: &'a str,
    answered: &'a str,
}

/// A request as a line; texts of clients have whatever escapes nginx gave them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    root: String,
    status: String,
    seconds: String,
    time: String,
    id: String,
    trace: String,
    client: String,
    method: String,
    host: String,
    uri: String,
    protocol: String,
    received: String,
    sent: String,
    upstream: String,
    upstream_status: String,
    upstream_seconds: String,
    referer: String,
    user_agent: String,
}

/// The same as it stands in the log.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    log: &'static str,
    time: String,
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    trace: String,
    client: String,
    method: String,
    host: String,
    uri: String,
    protocol: String,
    status: u16,
    seconds: f64,
    received: u64,
    sent: u64,
    route: RouteLabels,
    #[serde(skip_serializing_if = "String::is_empty")]
    upstream: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    upstream_status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    upstream_seconds: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    referer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
}

impl Line {
    fn of(told: Told, route: RouteLabels) -> Line {
        Line {
            log: "access",
            time: told.time,
            id: told.id,
            trace: told.trace,
            client: told.client,
            method: told.method,
            host: told.host,
            uri: told.uri,
            protocol: told.protocol,
            status: told.status.parse().unwrap_or_default(),
            seconds: told.seconds.parse().unwrap_or_default(),
            received: told.received.parse().unwrap_or_default(),
            sent: told.sent.parse().unwrap_or_default(),
            route,
            upstream: told.upstream,
            upstream_status: told.upstream_status,
            upstream_seconds: told.upstream_seconds,
            referer: told.referer,
            user_agent: told.user_agent,
        }
    }
}

/// Lines a second, and as many again at once.
struct Pace {
    rate: f64,
    left: f64,
    since: Instant,
}

impl Pace {
    fn new(rate: u32) -> Pace {
        Pace { rate: f64::from(rate), left: f64::from(rate), since: Instant::now() }
    }

    fn allows(&mut self, now: Instant) -> bool {
        self.left = (self.left + now.duration_since(self.since).as_secs_f64() * self.rate).min(self.rate);
        self.since = now;
        let yes = self.left >= 1.0;
        if yes {
            self.left -= 1.0;
        }
        yes
    }
}

/// Begins to listen.
///
/// # Errors
/// If the port on loopback is not free.
pub fn listen(routes: Routes, metrics: Metrics, lines_per_second: u32) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, LOG_PORT))
        .with_context(|| format!("port {LOG_PORT} on 127.0.0.1, where nginx tells of requests, is not free"))?;
    // As much as the node allows: a burst of requests is a burst of datagrams.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20);
    let (to_log, lines) = sync_channel::<String>(WAITING_LINES);
    thread::Builder::new().name("access-log".into()).spawn(move || {
        while let Ok(line) = lines.recv() {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{line}");
        }
    })?;
    thread::Builder::new().name("access".into()).spawn(move || {
        let mut pace = Pace::new(lines_per_second);
        let mut buffer = vec![0; 1 << 16];
        loop {
            // An error here is a signal or a lack of memory; the next one may work.
            let Ok(len) = socket.recv(&mut buffer) else { continue };
            heard(&String::from_utf8_lossy(&buffer[..len]), &routes, &metrics, &mut pace, &to_log);
        }
    })?;
    Ok(())
}

/// `<190>Nov 21 12:00:00 count: {...}`: the head is nginx's, the tag ours.
fn heard(datagram: &str, routes: &Routes, metrics: &Metrics, pace: &mut Pace, to_log: &SyncSender<String>) {
    let Some((head, object)) = datagram.find('{').map(|at| datagram.split_at(at)) else {
        return metrics.unreadable();
    };
    if head.ends_with("line: ") {
        let Ok(told) = serde_json::from_str::<Told>(object) else { return metrics.unreadable() };
        if !pace.allows(Instant::now()) {
            return metrics.line(false);
        }
        let route = routes.labels(&told.root);
        let line = serde_json::to_string(&Line::of(told, route)).unwrap_or_default();
        metrics.line(to_log.try_send(line).is_ok());
        return;
    }
    let Ok(count) = serde_json::from_str::<Count<'_>>(object) else { return metrics.unreadable() };
    // One part for each pod that was asked, "-" where it gave no answer; empty where nobody was.
    let unanswered = count.answered.split([',', ':']).filter(|part| part.trim() == "-").count();
    metrics.requested(
        &routes.labels(count.root),
        count.status,
        count.seconds.parse().unwrap_or_default(),
        u64::try_from(unanswered).unwrap_or_default(),
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counts_what_nginx_tells() {
        let (routes, metrics) = (Routes::default(), Metrics::new().unwrap());
        let (to_log, lines) = sync_channel(1);
        let mut pace = Pace::new(1);
        let mut tell = |text: &str| heard(text, &routes, &metrics, &mut pace, &to_log);
        let head = "<190>Nov 21 12:00:00";
        let count = |answered: &str| {
            format!(r#"{head} count: {{"root":"/nowhere","status":"502","seconds":"0.250","answered":"{answered}"}}"#)
        };
        tell(&count("-, 0.003 : -"));
        tell(&count(""));
        tell("nothing");
        tell(&format!("{head} count: {{"));
        let line = LINE.replace("\n", "");
        tell(&format!("{head} line: {line}"));
        tell(&format!("{head} line: {line}"));
        let text = metrics.text();
        for expected in [
            r#"gatehouse_edge_requests_total{class="5xx",host="",path="",path_type=""} 2"#,
            r#"gatehouse_edge_upstream_errors_total{host="",path="",path_type=""} 2"#,
            r#"gatehouse_edge_request_duration_seconds_sum{host="",path="",path_type=""} 0.5"#,
            "gatehouse_edge_access_unreadable_total 2",
            r#"gatehouse_edge_access_log_lines_total{result="written"} 1"#,
            r#"gatehouse_edge_access_log_lines_total{result="dropped"} 1"#,
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
        }
        let line: serde_json::Value = serde_json::from_str(&lines.recv().unwrap()).unwrap();
        assert_eq!((&line["uri"], &line["status"], &line["log"]), (&"/a\"\n{".into(), &200.into(), &"access".into()));
        assert!(line.get("trace").is_none() && line["seconds"] == 0.001);
    }

    const LINE: &str = r#"{"root":"/route/0","status":"200","seconds":"0.001","time":"2026-11-21T12:00:00+00:00","id":"ab",
"trace":"","client":"203.0.113.7","method":"GET","host":"a.example.com","uri":"/a\"\n{","protocol":"HTTP/1.1",
"received":"80","sent":"300","upstream":"10.0.0.1:80","upstreamStatus":"200","upstreamSeconds":"0.001","referer":"",
"userAgent":"curl"}"#;

    #[test]
    fn lines_have_a_pace() {
        let mut pace = Pace::new(2);
        let begun = Instant::now();
        let taken = |pace: &mut Pace, ms| pace.allows(begun + Duration::from_millis(ms));
        assert_eq!([0, 1, 2].map(|ms| taken(&mut pace, ms)), [true, true, false]);
        assert!(taken(&mut pace, 600) && !taken(&mut pace, 601));
    }
}
