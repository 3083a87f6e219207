//! Every metric of the agent.

use prometheus::{Encoder as _, Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// Handles; clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    loads: IntCounterVec,
    reloads: IntCounterVec,
    table: IntGaugeVec,
    rejected: IntGauge,
    nginx_up: IntGauge,
    reload_seconds: Gauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// If two metrics had one name.
    pub fn new() -> prometheus::Result<Metrics> {
        let registry = Registry::new();
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
            reload_seconds: Gauge::new(
                "gatehouse_edge_last_reload_duration_seconds",
                "From the new table's reading to the workers answering its hash.",
            )?,
            registry,
        };
        for collector in [&metrics.loads, &metrics.reloads] {
            for result in ["ok", "failed"] {
                collector.with_label_values(&[result]);
            }
            metrics.registry.register(Box::new(collector.clone()))?;
        }
        metrics.registry.register(Box::new(metrics.table.clone()))?;
        metrics.registry.register(Box::new(metrics.rejected.clone()))?;
        metrics.registry.register(Box::new(metrics.nginx_up.clone()))?;
        metrics.registry.register(Box::new(metrics.reload_seconds.clone()))?;
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
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

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}
