//! Every metric of the webhook.

use gatehouse_core::review::Finding;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::cache::Cache;

/// Handles; clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    decisions: IntCounterVec,
    findings: IntCounterVec,
    seconds: HistogramVec,
    too_large: IntCounter,
    handshakes_failed: IntCounter,
    clients: IntCounterVec,
    objects: IntGaugeVec,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// If two metrics had one name.
    pub fn new() -> prometheus::Result<Metrics> {
        let metrics = Metrics {
            registry: Registry::new(),
            decisions: IntCounterVec::new(
                Opts::new("gatehouse_webhook_decisions_total", "Answers, by endpoint and verdict."),
                &["endpoint", "verdict"],
            )?,
            findings: IntCounterVec::new(
                Opts::new("gatehouse_webhook_findings_total", "Findings, by rule and enforcement."),
                &["rule", "enforcement"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("gatehouse_webhook_seconds", "From the whole body read to the answer written.")
                    .buckets(vec![0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5]),
                &["endpoint"],
            )?,
            too_large: IntCounter::new(
                "gatehouse_webhook_body_too_large_total",
                "Requests refused for the size of their body.",
            )?,
            handshakes_failed: IntCounter::new(
                "gatehouse_webhook_tls_handshakes_failed_total",
                "TLS handshakes that failed or took too long.",
            )?,
            clients: IntCounterVec::new(
                Opts::new(
                    "gatehouse_webhook_clients_total",
                    "Connections by what became of the client certificate: verified, refused, absent.",
                ),
                &["certificate"],
            )?,
            objects: IntGaugeVec::new(
                Opts::new("gatehouse_webhook_cache_objects", "Objects known, by kind."),
                &["kind"],
            )?,
        };
        for collector in metrics.collectors() {
            metrics.registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Every metric there is.
    #[must_use]
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.decisions.clone()),
            Box::new(self.findings.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.too_large.clone()),
            Box::new(self.handshakes_failed.clone()),
            Box::new(self.clients.clone()),
            Box::new(self.objects.clone()),
            Box::new(ProcessCollector::for_self()),
        ]
    }

    /// One answer.
    pub fn decided(&self, endpoint: &str, verdict: &str, seconds: f64) {
        self.decisions.with_label_values(&[endpoint, verdict]).inc();
        self.seconds.with_label_values(&[endpoint]).observe(seconds);
    }

    /// What a review found.
    pub fn found(&self, findings: &[Finding]) {
        for finding in findings {
            let enforcement = format!("{:?}", finding.enforcement);
            self.findings.with_label_values(&[finding.rule.id(), &enforcement]).inc();
        }
    }

    /// A body above the cap.
    pub fn too_large(&self) {
        self.too_large.inc();
    }

    /// A handshake that came to nothing.
    pub fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    /// A client certificate was looked for.
    pub fn client(&self, certificate: &str) {
        self.clients.with_label_values(&[certificate]).inc();
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self, cache: &Cache) -> String {
        for (kind, count) in cache.sizes() {
            self.objects.with_label_values(&[kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut out = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_core::review::Rule;

    use super::*;

    #[test]
    fn what_is_exposed_is_what_prometheus_takes() {
        let metrics = Metrics::new().unwrap();
        metrics.decided("validate", "allowed", 0.001);
        metrics.found(&[Finding::new(Rule::Host, "spec.hosts[0]", "is not available")]);
        metrics.too_large();
        metrics.handshake_failed();
        metrics.client("absent");
        let text = metrics.text(&Cache::default());
        assert_eq!(gatehouse_about::exposition::faults(&text), [""; 0], "{text}");
        for name in gatehouse_about::metrics::names(&metrics.collectors()) {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} was not exposed, so it was not judged");
        }
    }
}
