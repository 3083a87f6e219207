//! Health checks: what target groups say, from the load balancers' addresses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use awsim_model::{Backend, HealthProbe, Millis};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::upstream::{self, Failure, Manner};
use crate::world::World;

/// How often due checks are looked for.
const TICK: Duration = Duration::from_millis(20);

/// What is known about one target of one group.
struct Record {
    /// On the simulator's clock, so that a pushed clock brings checks forward.
    due: Millis,
    running: bool,
    successes: u32,
    failures: u32,
    healthy: Option<bool>,
    /// The words for the last failure.
    why: String,
}

type Records = Arc<Mutex<BTreeMap<(String, Backend), Record>>>;

/// Checks every target in use until `stop`; no interval is longer than `at_most`.
pub(crate) async fn run(world: Arc<World>, at_most: Option<Duration>, stop: CancellationToken) {
    let records: Records = Arc::default();
    loop {
        let probes = world.aws().health_probes(world.now());
        start_due(&world, &records, probes, at_most);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

fn start_due(world: &Arc<World>, records: &Records, probes: Vec<HealthProbe>, at_most: Option<Duration>) {
    let now = world.now();
    let mut known = records.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted: BTreeMap<(String, Backend), HealthProbe> =
        probes.into_iter().map(|probe| ((probe.target_group.clone(), probe.target.clone()), probe)).collect();
    known.retain(|key, _| wanted.contains_key(key));
    for (key, probe) in wanted {
        let record = known.entry(key.clone()).or_insert_with(|| Record {
            due: now,
            running: false,
            successes: 0,
            failures: 0,
            healthy: None,
            why: String::new(),
        });
        if record.running || record.due > now {
            continue;
        }
        let most = at_most.map_or(u64::MAX, |most| u64::try_from(most.as_millis()).unwrap_or(u64::MAX));
        record.due = now + Millis(probe.interval.0.min(most));
        record.running = true;
        let (world, records) = (Arc::clone(world), Arc::clone(records));
        tokio::spawn(async move {
            let outcome = check(&probe).await;
            let mut known = records.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(record) = known.get_mut(&key) else { return };
            record.running = false;
            note(record, outcome, &probe);
            if let Some(healthy) = record.healthy {
                let why = if healthy { "" } else { record.why.as_str() };
                let target = (probe.target.id.as_str(), probe.target.port);
                world.aws().observe_target(&probe.target_group, target, healthy, why);
            }
        });
    }
}

/// Counts an outcome: a new target needs one success, a known one as many as its group says.
fn note(record: &mut Record, outcome: Result<(), String>, probe: &HealthProbe) {
    match outcome {
        Ok(()) => {
            record.successes += 1;
            record.failures = 0;
            if record.healthy.is_none() || record.successes >= probe.healthy_threshold {
                record.healthy = Some(true);
            }
        }
        Err(why) => {
            record.failures += 1;
            record.successes = 0;
            record.why = why;
            if record.failures >= probe.unhealthy_threshold {
                record.healthy = Some(false);
            }
        }
    }
}

async fn check(probe: &HealthProbe) -> Result<(), String> {
    let target = Backend { id: probe.target.id.clone(), port: probe.port };
    let patience = Duration::from_millis(probe.timeout.0);
    let manner = Manner { tls: probe.protocol == "HTTPS", http2: probe.grpc, patience };
    let request = if probe.grpc { call(probe, &target) } else { question(probe, &target) };
    let request = request.map_err(|e| format!("Health checks failed: {e}"))?;
    let response = upstream::send(probe.source, &target, manner, request).await.map_err(|failure| match failure {
        Failure::Slow(_) => "Request timed out".to_owned(),
        Failure::Bad(_) => "Health checks failed".to_owned(),
    })?;
    let code = if probe.grpc {
        let status = tokio::time::timeout(patience, grpc_status(response)).await;
        status.map_err(|_| "Request timed out".to_owned())?.ok_or("Health checks failed: the answer is no gRPC")?
    } else {
        response.status().as_u16()
    };
    if probe.codes.iter().any(|(from, to)| (*from..=*to).contains(&code)) {
        return Ok(());
    }
    Err(format!("Health checks failed with these codes: [{code}]"))
}

fn question(probe: &HealthProbe, target: &Backend) -> http::Result<Request<Full<Bytes>>> {
    Request::get(probe.path.as_str())
        .header(http::header::HOST, format!("{}:{}", target.id, target.port))
        .header(http::header::USER_AGENT, "ELB-HealthChecker/2.0")
        .header(http::header::CONNECTION, "close")
        .body(Full::default())
}

/// A gRPC call with an empty message: one frame, not compressed, of length 0.
fn call(probe: &HealthProbe, target: &Backend) -> http::Result<Request<Full<Bytes>>> {
    Request::post(format!("http://{}:{}{}", target.id, target.port, probe.path))
        .version(http::Version::HTTP_2)
        .header(http::header::USER_AGENT, "ELB-HealthChecker/2.0")
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .header(http::header::TE, "trailers")
        .body(Full::new(Bytes::from_static(&[0; 5])))
}

/// The status of a gRPC call: in the trailers, or in the head of an answer that has nothing else.
async fn grpc_status(response: Response<Incoming>) -> Option<u16> {
    let of = |headers: &HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
    let typed = response.headers().get(http::header::CONTENT_TYPE)?.to_str().ok()?.starts_with("application/grpc");
    if response.status() != http::StatusCode::OK || !typed {
        return None;
    }
    let head = of(response.headers());
    let body = Limited::new(response.into_body(), 64 * 1024).collect().await.ok()?;
    head.or_else(|| body.trailers().and_then(of))
}
