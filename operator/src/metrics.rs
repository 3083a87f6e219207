//! Metrics, health and readiness: everything other programs ask of this one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use gatehouse_core::plan::Order;
use gatehouse_core::{Engine, Mono, Outcome};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// All metrics.
pub struct Metrics {
    registry: Registry,
    effects: IntCounterVec,
    seconds: HistogramVec,
    objects: IntGaugeVec,
    violations: IntGaugeVec,
    plan: IntGaugeVec,
    plan_at: Mutex<Option<Instant>>,
    certificates: IntGaugeVec,
    certificates_at: Mutex<Option<Instant>>,
    in_flight: IntGauge,
    leader: IntGauge,
    standing_by: AtomicBool,
    synced: AtomicBool,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// If two metrics have one name, which a test excludes.
    pub fn new() -> prometheus::Result<Metrics> {
        let effects = IntCounterVec::new(
            Opts::new(
                "gatehouse_effects_total",
                "Calls to AWS, writes to Kubernetes and probes, by action and outcome.",
            ),
            &["action", "outcome"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("gatehouse_effect_duration_seconds", "How long they took, by action.")
                .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            &["action"],
        )?;
        let objects =
            IntGaugeVec::new(Opts::new("gatehouse_objects", "Objects known in the cluster, by kind."), &["kind"])?;
        let violations = IntGaugeVec::new(
            Opts::new("gatehouse_policy_violations", "Objects that break rules now, by policy and rule."),
            &["policy", "rule"],
        )?;
        let certificates = IntGaugeVec::new(
            Opts::new(
                "gatehouse_certificate_expiry_timestamp_seconds",
                "When certificates on our listeners end, in seconds since 1970.",
            ),
            &["region", "arn"],
        )?;
        let plan = IntGaugeVec::new(
            Opts::new(
                "gatehouse_plan_steps",
                "What the plan holds, by kind of part and state: ready, backing-off, waiting, held.",
            ),
            &["part", "state"],
        )?;
        let in_flight = IntGauge::new("gatehouse_effects_in_flight", "Effects under way.")?;
        let leader = IntGauge::new("gatehouse_leader", "1 while this process holds the lease.")?;
        let (standing_by, synced) = (AtomicBool::new(false), AtomicBool::new(false));
        let (plan_at, certificates_at) = (Mutex::new(None), Mutex::new(None));
        let metrics = Metrics {
            registry: Registry::new(),
            effects,
            seconds,
            objects,
            violations,
            plan,
            plan_at,
            certificates,
            certificates_at,
            in_flight,
            leader,
            standing_by,
            synced,
        };
        for collector in metrics.collectors() {
            metrics.registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Every metric there is.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.effects.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.objects.clone()),
            Box::new(self.violations.clone()),
            Box::new(self.plan.clone()),
            Box::new(self.certificates.clone()),
            Box::new(self.in_flight.clone()),
            Box::new(self.leader.clone()),
            Box::new(ProcessCollector::for_self()),
        ]
    }

    /// This process waits for the lease.
    pub fn standing_by(&self) {
        self.standing_by.store(true, Ordering::Relaxed);
    }

    /// This process leads.
    pub fn leading(&self) {
        self.standing_by.store(false, Ordering::Relaxed);
        self.leader.set(1);
    }

    /// The cluster is known.
    pub fn synced(&self) {
        self.synced.store(true, Ordering::Relaxed);
    }

    /// Gauges that follow the engine.
    pub fn observe(&self, engine: &Engine, now: Mono) {
        let world = engine.world();
        let count =
            |kind: &str, n: usize| self.objects.with_label_values(&[kind]).set(i64::try_from(n).unwrap_or(i64::MAX));
        count("ExposedApp", world.apps.len());
        count("HostClaim", world.claims.len());
        count("ExposurePolicy", world.policies.len());
        count("SharedLoadBalancer", world.load_balancers.len());
        count("EdgePod", world.pods.len());
        self.in_flight.set(i64::try_from(engine.in_flight()).unwrap_or(i64::MAX));
        self.plan(engine, now);
        self.certificates(engine);
    }

    /// Counting the plan looks at every part, and this is asked after every event.
    fn plan(&self, engine: &Engine, now: Mono) {
        if !due(&self.plan_at, Duration::from_secs(1)) {
            return;
        }
        // As the statuses say it, so that the two never differ; a rule that nobody breaks any more is a series less.
        self.violations.reset();
        for (policy, facts) in &engine.world().policies {
            for (rule, count) in &facts.status.violations_by_rule {
                self.violations.with_label_values(&[policy.as_str(), rule]).set(i64::from(*count));
            }
        }
        for (part, tally) in engine.tally(now) {
            for (state, count) in [
                ("ready", tally.ready),
                ("backing-off", tally.backing_off),
                ("waiting", tally.waiting),
                ("held", tally.held),
            ] {
                self.plan.with_label_values(&[part, state]).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// Ends of certificates move seldom.
    fn certificates(&self, engine: &Engine) {
        if !due(&self.certificates_at, Duration::from_secs(10)) {
            return;
        }
        self.certificates.reset();
        for (region, arn, end) in engine.certificate_ends() {
            self.certificates.with_label_values(&[region, arn]).set(end);
        }
    }

    /// One effect has ended.
    pub fn effect(&self, order: &Order, outcome: &Outcome, took: Duration) {
        let action = action(order);
        let outcome = match outcome {
            Outcome::Done(_) => "done",
            Outcome::Refused(r) => match r.class {
                gatehouse_core::aws::RefusalClass::Throttled => "throttled",
                gatehouse_core::aws::RefusalClass::Denied => "denied",
                gatehouse_core::aws::RefusalClass::Quota => "quota",
                gatehouse_core::aws::RefusalClass::Stale => "stale",
                _ => "refused",
            },
            Outcome::Unknown => "unknown",
        };
        self.effects.with_label_values(&[action.as_str(), outcome]).inc();
        self.seconds.with_label_values(&[action.as_str()]).observe(took.as_secs_f64());
    }

    fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// Whether so much time has passed since the last time that this was true.
fn due(at: &Mutex<Option<Instant>>, pause: Duration) -> bool {
    let mut at = at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let due = at.is_none_or(|at| at.elapsed() >= pause);
    if due {
        *at = Some(Instant::now());
    }
    due
}

/// The name of a call, without what it is about: the number of series is the number of calls in the code.
fn action(order: &Order) -> String {
    let text = match order {
        Order::Aws { call, .. } => format!("{call:?}"),
        Order::Kube(write) => format!("{write:?}"),
        Order::Probe(probe) => format!("Probe{probe:?}"),
    };
    text.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// Serves `/healthz` and `/readyz` on one port and `/metrics` on another, until the process ends.
///
/// # Errors
/// If a port cannot be bound.
pub async fn serve(metrics: Arc<Metrics>, health: SocketAddr, scrape: SocketAddr) -> anyhow::Result<()> {
    let probes = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/readyz",
            get(|State(m): State<Arc<Metrics>>| async move {
                // Whoever waits for the lease is ready to take it.
                if m.synced.load(Ordering::Relaxed) || m.standing_by.load(Ordering::Relaxed) {
                    (StatusCode::OK, "ready")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "the cluster is not known yet")
                }
            }),
        )
        .with_state(metrics.clone());
    let scrapes = Router::new()
        .route("/metrics", get(|State(m): State<Arc<Metrics>>| async move { m.text() }))
        .with_state(metrics);
    let bind = |at: SocketAddr| async move {
        tokio::net::TcpListener::bind(at)
            .await
            .map_err(|e| anyhow::anyhow!("cannot listen on {at}: {e}; choose another port"))
    };
    let (health, scrape) = (bind(health).await?, bind(scrape).await?);
    tokio::try_join!(axum::serve(health, probes), axum::serve(scrape, scrapes))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_register_and_encode() {
        let metrics = Metrics::new().unwrap();
        let order = Order::Aws {
            region: "r".into(),
            call: gatehouse_core::aws::AwsCall::ReadZones { roles: Default::default() },
        };
        metrics.effect(&order, &Outcome::Unknown, Duration::from_millis(3));
        assert!(metrics.text().contains(r#"gatehouse_effects_total{action="ReadZones",outcome="unknown"} 1"#));
        let engine = Engine::new(gatehouse_core::Settings::default(), gatehouse_core::Buckets::aws());
        metrics.observe(&engine, Mono(1));
        assert!(metrics.text().contains(r#"gatehouse_plan_steps{part="Namespace",state="held"} 0"#));
    }

    #[test]
    fn what_is_exposed_is_what_prometheus_takes() {
        let metrics = Metrics::new().unwrap();
        let zones = gatehouse_core::aws::AwsCall::ReadZones { roles: Default::default() };
        let order = Order::Aws { region: "r".into(), call: zones };
        metrics.effect(&order, &Outcome::Unknown, Duration::from_millis(3));
        metrics.observe(&Engine::new(gatehouse_core::Settings::default(), gatehouse_core::Buckets::aws()), Mono(1));
        metrics.certificates.with_label_values(&["r", "arn:aws:acm:r:1:certificate/\"1\""]).set(1);
        metrics.violations.with_label_values(&["team-a", "host-missing"]).set(1);
        let text = metrics.text();
        assert_eq!(gatehouse_about::exposition::faults(&text), [""; 0], "{text}");
        for name in gatehouse_about::metrics::names(&metrics.collectors()) {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} was not exposed, so it was not judged");
        }
    }
}
