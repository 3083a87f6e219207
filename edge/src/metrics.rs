//! Every metric of the agent.

use std::net::Ipv4Addr;

use gatehouse_route::LOG_PORT;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder as _, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use serde::Serialize;

/// Which route a number belongs to, as the table has it. All empty: no route, or one that is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteLabels {
    /// Host.
    pub host: String,
    /// Path.
    pub path: String,
    /// Prefix or Exact.
    pub path_type: &'static str,
}

impl RouteLabels {
    /// Routes beyond those that have numbers of their own.
    pub fn of_the_rest() -> RouteLabels {
        RouteLabels { host: "other".to_owned(), path: "other".to_owned(), path_type: "other" }
    }

    fn values(&self) -> [&str; 3] {
        [&self.host, &self.path, self.path_type]
    }
}

const ROUTE: [&str; 3] = ["host", "path", "path_type"];
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// Handles; clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    loads: IntCounterVec,
    reloads: IntCounterVec,
    table: IntGaugeVec,
    rejected: IntGauge,
    nginx_up: IntGauge,
    restarts: IntCounter,
    old_workers: IntGauge,
    reload_seconds: Gauge,
    requests: IntCounterVec,
    seconds: HistogramVec,
    upstream_errors: IntCounterVec,
    lines: IntCounterVec,
    unreadable: IntCounter,
    lost: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// If two metrics had one name.
    pub fn new() -> prometheus::Result<Metrics> {
        let metrics = Metrics {
            loads: IntCounterVec::new(
                Opts::new("gatehouse_edge_table_loads_total", "Table contents read, by result."),
                &["result"],
            )?,
            reloads: IntCounterVec::new(
                Opts::new("gatehouse_edge_reloads_total", "Starts and reloads of nginx, by result."),
                &["result"],
            )?,
            table: IntGaugeVec::new(
                Opts::new("gatehouse_edge_table_info", "Always 1; the label is the hash nginx serves."),
                &["hash"],
            )?,
            rejected: IntGauge::new(
                "gatehouse_edge_table_rejected",
                "1 while the present table cannot be served and an older one is.",
            )?,
            nginx_up: IntGauge::new("gatehouse_edge_nginx_up", "1 while nginx answers on loopback.")?,
            restarts: IntCounter::new(
                "gatehouse_edge_nginx_restarts_total",
                "Starts of nginx after it had ended by itself.",
            )?,
            old_workers: IntGauge::new(
                "gatehouse_edge_old_workers",
                "Workers of former configurations that still had connections after the last reload.",
            )?,
            reload_seconds: Gauge::new(
                "gatehouse_edge_last_reload_duration_seconds",
                "From the new table's reading to the workers answering its hash.",
            )?,
            requests: IntCounterVec::new(
                Opts::new("gatehouse_edge_requests_total", "Requests by route and class of status."),
                &["host", "path", "path_type", "class"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "gatehouse_edge_request_duration_seconds",
                    "From a request's first byte to its answer's last.",
                )
                .buckets(vec![0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0]),
                &ROUTE,
            )?,
            upstream_errors: IntCounterVec::new(
                Opts::new("gatehouse_edge_upstream_errors_total", "Pods that were asked and gave no answer, by route."),
                &ROUTE,
            )?,
            lines: IntCounterVec::new(
                Opts::new("gatehouse_edge_access_log_lines_total", "Lines of the access log, by result."),
                &["result"],
            )?,
            unreadable: IntCounter::new(
                "gatehouse_edge_access_unreadable_total",
                "What nginx told of requests and was not understood: a fault of this program.",
            )?,
            lost: IntGauge::new(
                "gatehouse_edge_access_lost",
                "Requests and lines since the start that were told faster than they could be read: not counted elsewhere.",
            )?,
            registry: Registry::new(),
        };
        for result in ["written", "dropped"] {
            metrics.lines.with_label_values(&[result]);
        }
        for collector in [&metrics.loads, &metrics.reloads] {
            for result in ["ok", "failed"] {
                collector.with_label_values(&[result]);
            }
        }
        for collector in metrics.collectors() {
            metrics.registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Every metric there is.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.loads.clone()),
            Box::new(self.reloads.clone()),
            Box::new(self.table.clone()),
            Box::new(self.rejected.clone()),
            Box::new(self.nginx_up.clone()),
            Box::new(self.restarts.clone()),
            Box::new(self.old_workers.clone()),
            Box::new(self.reload_seconds.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.upstream_errors.clone()),
            Box::new(self.lines.clone()),
            Box::new(self.unreadable.clone()),
            Box::new(self.lost.clone()),
            Box::new(ProcessCollector::for_self()),
        ]
    }

    /// A content was read and is a table, or is not.
    pub fn loaded(&self, ok: bool) {
        self.loads.with_label_values(&[word(ok)]).inc();
    }

    /// nginx took the table.
    pub fn reloaded(&self, hash: &str, seconds: f64) {
        self.reloads.with_label_values(&[word(true)]).inc();
        self.table.reset();
        self.table.with_label_values(&[hash]).set(1);
        self.reload_seconds.set(seconds);
    }

    /// nginx did not take the table.
    pub fn reload_failed(&self) {
        self.reloads.with_label_values(&[word(false)]).inc();
    }

    /// Whether an older table than the present one is served.
    pub fn rejected(&self, yes: bool) {
        self.rejected.set(i64::from(yes));
    }

    /// Whether nginx answers.
    pub fn answering(&self, yes: bool) {
        self.nginx_up.set(i64::from(yes));
    }

    /// nginx is started after it had ended by itself.
    pub fn restarted(&self) {
        self.restarts.inc();
    }

    /// Workers of former configurations.
    pub fn old_workers(&self, count: u32) {
        self.old_workers.set(i64::from(count));
    }

    /// nginx has answered a request.
    pub fn requested(&self, route: &RouteLabels, status: &str, seconds: f64, unanswered: u64) {
        let class = match status.as_bytes() {
            [first @ b'1'..=b'5', _, _] => CLASSES[usize::from(first - b'1')],
            _ => "other",
        };
        let [host, path, path_type] = route.values();
        self.requests.with_label_values(&[host, path, path_type, class]).inc();
        self.seconds.with_label_values(&route.values()).observe(seconds);
        if unanswered > 0 {
            self.upstream_errors.with_label_values(&route.values()).inc_by(unanswered);
        }
    }

    /// Routes that are no more leave no numbers behind.
    pub fn forget(&self, routes: &[RouteLabels]) {
        for route in routes {
            let [host, path, path_type] = route.values();
            // What was never counted is not there.
            for class in CLASSES {
                let _ = self.requests.remove_label_values(&[host, path, path_type, class]);
            }
            let _ = self.seconds.remove_label_values(&route.values());
            let _ = self.upstream_errors.remove_label_values(&route.values());
        }
    }

    /// A line of the access log was written, or dropped because there were too many.
    pub fn line(&self, written: bool) {
        self.lines.with_label_values(&[if written { "written" } else { "dropped" }]).inc();
    }

    /// nginx has told something else than was agreed.
    pub fn unreadable(&self) {
        self.unreadable.inc();
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        if let Some(lost) = std::fs::read_to_string("/proc/self/net/udp").ok().and_then(|table| dropped(&table)) {
            self.lost.set(lost);
        }
        let mut out = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

/// How much the kernel has thrown away before the socket of the log: the last column of its line.
fn dropped(table: &str) -> Option<i64> {
    let [a, b, c, d] = Ipv4Addr::LOCALHOST.octets();
    let own = format!("{:08X}:{LOG_PORT:04X}", u32::from_ne_bytes([a, b, c, d]));
    let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&own))?;
    line.split_whitespace().last()?.parse().ok()
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, RouteLabels};

    #[test]
    fn what_is_exposed_is_what_prometheus_takes() {
        let metrics = Metrics::new().unwrap();
        metrics.loaded(true);
        metrics.reloaded("0123456789abcdef", 0.1);
        let host = "shop.example.com".to_owned();
        let route = RouteLabels { host, path: "/a\\\"b".to_owned(), path_type: "Prefix" };
        metrics.requested(&route, "200", 0.02, 1);
        metrics.requested(&RouteLabels::of_the_rest(), "x", 0.5, 0);
        metrics.line(true);
        let text = metrics.text();
        assert_eq!(gatehouse_about::exposition::faults(&text), [""; 0], "{text}");
        for name in gatehouse_about::metrics::names(&metrics.collectors()) {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} was not exposed, so it was not judged");
        }
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "   sl  local_address rem_address   st ...\n  \
            123: 0100007F:1F8E 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 17\n";
        assert_eq!(super::dropped(table), Some(17));
    }
}
