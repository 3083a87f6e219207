//! What the engine costs: full recomputation, and one outcome, at 1,000 and 10,000 apps.
//!
//! Absolute times depend on the machine; the ratio between the sizes does not. `make bench` runs it; with `--json` it
//! prints figures as JSON lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use gatehouse_core::aws::{AwsAnswer, AwsCall, Limits};
use gatehouse_core::identity::claim_name;
use gatehouse_core::plan::Order;
use gatehouse_core::world::{
    AppFacts, ClaimFacts, Kind, LoadBalancerFacts, Meta, NamespaceFacts, PolicyFacts, ServiceFacts, TargetPort,
};
use gatehouse_core::{Answer, AppKey, Buckets, Delta, Engine, Event, Mono, Now, Outcome, Settings, Wall};
use gatehouse_crds::{
    AdmittedApp, BackendRef, ClaimState, Edge, ExposedAppSpec, ExposurePolicySpec, Grant, HostClaimSpec,
    HostClaimStatus, NamespaceMatch, Placement, RouteRule, SharedLoadBalancerSpec, Subnet,
};
use gatehouse_route::Host;

const APPS_PER_NAMESPACE: usize = 10;

/// Outcomes of a start, and those that are measured after it.
const STARTING: u64 = 100;
const RUNNING: u64 = 1_000;

/// The design's targets at 10,000 apps, in milliseconds.
const TARGETS: [(&str, f64); 3] = [(FULL, 100.0), (OUTCOME, 1.0), (OUTCOME_P99, 1.0)];

const FULL: &str = "full recomputation (median of 5)";
const OUTCOME: &str = "one outcome, handled and next step (median)";
const OUTCOME_P99: &str = "one outcome, 99th percentile";

fn main() {
    let json = std::env::args().any(|a| a == "--json");
    let small = measure(1_000);
    let large = measure(10_000);
    if !json {
        println!("{:<44}{:>12}{:>12}", "", "1,000 apps", "10,000 apps");
        for ((what, a), (_, b)) in small.iter().zip(&large) {
            println!("{what:<44}{a:>9.3} ms{b:>9.3} ms   x{:.1}", b / a);
        }
        return;
    }
    for (apps, figures) in [(1_000, small), (10_000, large)] {
        for (what, ms) in figures {
            let target = TARGETS.iter().find(|(of, _)| apps == 10_000 && *of == what).map(|(_, target)| target);
            let line = serde_json::json!({
                "what": format!("{what}, {apps} apps"), "unit": "ms", "value": ms, "target": target,
                "namespaces": apps / APPS_PER_NAMESPACE, "hosts": apps, "shards": 1,
            });
            println!("{line}");
        }
    }
}

fn now(ms: u64) -> Now {
    Now { mono: Mono(ms), wall: Wall(1_800_000_000) }
}

/// An engine that holds this many apps, all of them claimed.
fn engine(apps: usize) -> Engine {
    let mut engine = Engine::new(Settings::default(), Buckets::default());
    let mut version = 0;
    let mut meta = |uid: String| {
        version += 1;
        Meta { uid, resource_version: version, generation: 1, created: Wall(1), ..Meta::default() }
    };
    let mut deltas = Vec::new();
    let spec = SharedLoadBalancerSpec {
        default: true,
        region: "eu-central-1".into(),
        vpc_id: "vpc-0".into(),
        subnets: vec![Subnet { id: "subnet-0".into(), zone: "a".into(), cidrs: vec!["10.0.0.0/24".into()] }],
        edge: Edge {
            port: 8080,
            replicas: 2,
            max_body_size: "50Mi".into(),
            max_timeout: "300s".into(),
            ..Edge::default()
        },
        ..SharedLoadBalancerSpec::default()
    };
    deltas.push(Delta::LoadBalancer(
        "public".into(),
        Some(Arc::new(LoadBalancerFacts { meta: meta("lb".into()), spec, ..Default::default() })),
    ));
    for n in 0..apps / APPS_PER_NAMESPACE {
        let ns = format!("team-{n:04}");
        deltas.push(Delta::Namespace(
            ns.clone(),
            Some(Arc::new(NamespaceFacts { meta: meta(ns.clone()), labels: BTreeMap::new() })),
        ));
        let policy = ExposurePolicySpec {
            namespaces: NamespaceMatch { names: vec![ns.clone()], ..Default::default() },
            grants: vec![Grant { domains: vec![format!("{ns}.example.com")], ..Default::default() }],
            load_balancers: vec!["public".into()],
            ..Default::default()
        };
        deltas.push(Delta::Policy(
            ns.clone(),
            Some(Arc::new(PolicyFacts { meta: meta(format!("p{n}")), spec: policy, ..Default::default() })),
        ));
        let service = ServiceFacts {
            meta: meta(format!("s{n}")),
            selector: [("app".to_owned(), "web".to_owned())].into(),
            ports: [(80, TargetPort::Number(8080))].into(),
            ..Default::default()
        };
        deltas.push(Delta::Service(AppKey::new(&ns, "web"), Some(Arc::new(service))));
        for i in 0..APPS_PER_NAMESPACE {
            let host = format!("app-{i}.{ns}.example.com");
            let routes = vec![RouteRule {
                backends: vec![BackendRef { service: "web".into(), port: 80, weight: None }],
                ..Default::default()
            }];
            let spec = ExposedAppSpec { hosts: vec![host.clone()], routes: routes.clone(), ..Default::default() };
            let app = AppFacts { meta: meta(format!("a{n}-{i}")), spec, ..Default::default() };
            let name = format!("app-{i}");
            deltas.push(Delta::App(AppKey::new(&ns, &name), Some(Arc::new(app))));
            let admitted =
                AdmittedApp { generation: 1, routes, load_balancers: vec!["public".into()], ..Default::default() };
            let status = HostClaimStatus {
                state: ClaimState::Held,
                apps: vec![name.clone()],
                placement: [("public".to_owned(), Placement { shard: 0, from: None })].into(),
                admitted: [(name, Box::new(admitted))].into(),
                ..Default::default()
            };
            let spec = HostClaimSpec { host: host.clone(), namespace: ns.clone(), namespace_uid: ns.clone() };
            let claim = ClaimFacts { meta: meta(format!("c{n}-{i}")), spec, status };
            let Ok(host) = Host::parse(&host) else { continue };
            deltas.push(Delta::Claim(claim_name(&host), Some(Arc::new(claim))));
        }
    }
    deltas.extend(Kind::ALL.into_iter().map(Delta::Synced));
    for delta in deltas {
        engine.handle(now(1), Event::Kube(delta));
    }
    engine.handle(now(1), Event::Lease { valid_until: Mono(u64::MAX) });
    engine
}

fn measure(apps: usize) -> Vec<(&'static str, f64)> {
    let ms = |began: Instant| began.elapsed().as_secs_f64() * 1000.0;
    let mut engine = engine(apps);
    let began = Instant::now();
    let first = engine.next(now(1_000));
    let start = ms(began);
    assert!(first.is_some(), "there is something to do");

    let mut full = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let plan = engine.full_plan(now(1_000));
        full.push(ms(began));
        assert!(plan.len() > apps / APPS_PER_NAMESPACE);
    }

    // One outcome: handle it, plan what it touched, choose the next step. The first ones are the listings of a start,
    // from which everybody learns; they are told apart.
    let mut outcomes = Vec::new();
    let mut effect = first;
    for at in 1_001..1_001 + STARTING + RUNNING {
        let Some(current) = effect else { break };
        let began = Instant::now();
        engine.handle(now(at), Event::Outcome { id: current.id, outcome: answer(&current.order) });
        effect = engine.next(now(at));
        outcomes.push(ms(began));
    }
    assert_eq!(outcomes.len() as u64, STARTING + RUNNING, "there is always something to do");
    let starting = outcomes.drain(..STARTING as usize).fold(0.0, f64::max);
    outcomes.sort_by(f64::total_cmp);
    full.sort_by(f64::total_cmp);
    vec![
        ("first plan after a start", start),
        (FULL, full[2]),
        ("the longest outcome of a start", starting),
        (OUTCOME, outcomes[outcomes.len() / 2]),
        (OUTCOME_P99, outcomes[outcomes.len() * 99 / 100]),
    ]
}

/// An answer of the right shape: nothing exists yet.
fn answer(order: &Order) -> Outcome {
    let aws = |answer| Outcome::Done(Answer::Aws(answer));
    match order {
        Order::Aws { call, .. } => match call {
            AwsCall::ReadZones { .. } => aws(AwsAnswer::Zones(Vec::new())),
            AwsCall::ReadCertificates { .. } => aws(AwsAnswer::Certificates(BTreeMap::new())),
            AwsCall::ReadTargetGroups { .. } => aws(AwsAnswer::RegionGroups { ours: BTreeMap::new(), others: 0 }),
            AwsCall::ReadTargetGroup { .. } => aws(AwsAnswer::TargetGroups(BTreeMap::new())),
            AwsCall::ReadLimits => aws(AwsAnswer::Limits(Limits { rules: 20_000, ..Limits::default() })),
            AwsCall::ReadLoadBalancers { .. } => aws(AwsAnswer::LoadBalancers { count: 0, tags: BTreeMap::new() }),
            AwsCall::ReadLoadBalancer { .. } => aws(AwsAnswer::LoadBalancer(None)),
            AwsCall::CreateTargetGroup { name, .. } => aws(AwsAnswer::Arn(format!("arn:{name}"))),
            _ => Outcome::Unknown,
        },
        _ => Outcome::Done(Answer::Nothing),
    }
}
