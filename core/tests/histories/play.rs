//! Plays a history and judges it.

use awsim_model::settings::quota;
use awsim_model::{Millis, Settings as Account};
use gatehouse_core::aws::{AwsCall, ChangeAction, ProtocolVersion, RecordData};
use gatehouse_core::plan::{Order, PartKey};
use gatehouse_core::{AppKey, Buckets, ClusterId, Settings};
use gatehouse_crds::ClaimState;
use gatehouse_route::Host;
use gatehouse_virtual::{Fault, Sim, edge_behind, edge_of};

use crate::generate::{NAMESPACES, pool, universe};
use crate::history::{Act, History, Stranger};
use crate::stranger::{self, Theirs};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// How a history went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Played {
    pub calls: u64,
    pub throttled: u64,
    pub shards: u64,
}

fn balancer(name: &str, history: &History) -> String {
    format!(
        r#"
default: {}
region: eu-central-1
vpcId: vpc-0123456789abcdef0
subnets: [{{id: subnet-0aaa, zone: eu-central-1a, cidrs: [10.0.0.0/24]}}, {{id: subnet-0bbb, zone: eu-central-1b, cidrs: [10.0.1.0/24]}}]
securityGroups: [sg-0ccc]
scheme: {}
certificates: {{shared: ["arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000001"]}}
edge: {{port: {}}}
limits: {{shards: {}, inferredDeletions: {{after: 20m}}}}
"#,
        name == "public",
        if name == "public" { "internet-facing" } else { "internal" },
        if name == "public" { 8080 } else { 9090 },
        history.account.shards
    )
}

fn policy(namespace: &str, hosts: &[String], domains: &[String], strict: bool) -> String {
    let rules = if strict { "rules: {labels: [{key: team, pattern: red}]}\n" } else { "" };
    format!(
        "namespaces: {{names: [{namespace}]}}\ngrants: [{{hosts: {hosts:?}, domains: {domains:?}}}]\nloadBalancers: [public, inner]\n{rules}"
    )
}

fn start(history: &History) -> Sim {
    let settings = Settings {
        cluster_id: ClusterId("test".into()),
        audit_seldom: HOUR,
        // What is slow is asked for less often: the same code, fewer equal answers.
        poll: if history.account.slow { 3_000 } else { 500 },
        // Longer than an audit takes to find what a former leader's last call still did, as the defaults are.
        release_grace: 1_500,
        revocation_grace: 60,
        record_ttl: if history.account.slow { 60_000 } else { 5_000 },
        ..Settings::default()
    };
    let mut aws = if history.account.slow { Account::real() } else { Account::fast() };
    if !history.account.throttled {
        aws.buckets.clear();
    }
    aws.quotas.set(quota::RULES, history.account.rules).unwrap();
    aws.quotas.set(quota::GROUPS_PER_LOAD_BALANCER, history.account.groups).unwrap();
    let mut sim = Sim::new(settings, aws);
    if history.account.throttled {
        sim.buckets = Buckets::aws();
        sim.elect();
    }
    sim.faults = history.faults.clone();
    sim.watch = Some(watch);
    for ns in NAMESPACES {
        open(&mut sim, ns);
        let (hosts, domains) = (pool(ns), Vec::new());
        sim.cluster.policy(ns, &policy(ns, &hosts, &domains, false));
    }
    sim.cluster.load_balancer("public", &balancer("public", history));
    if history.account.two {
        sim.cluster.load_balancer("inner", &balancer("inner", history));
    }
    sim
}

fn open(sim: &mut Sim, namespace: &str) {
    sim.cluster.ensure_namespace(namespace);
    for service in ["web", "api"] {
        sim.cluster.ensure_service(namespace, service);
    }
}

fn perform(sim: &mut Sim, theirs: &mut Theirs, act: &Act) {
    sim.note(format!("{act:?}"));
    let cluster = &mut sim.cluster;
    match act {
        Act::App { namespace, name, hosts, service, on } => {
            let speaks = if service == "api" { "backendProtocol: GRPC, " } else { "" };
            let route = format!("{{path: /, {speaks}backends: [{{service: {service}, port: 8080}}]}}");
            cluster.apply_app(
                namespace,
                name,
                &format!("hosts: {hosts:?}\nloadBalancers: {on:?}\nroutes: [{route}]\n"),
            );
        }
        Act::DeleteApp { namespace, name } => cluster.delete_app(namespace, name),
        Act::LoseApp { namespace, name } => cluster.lose_app(namespace, name),
        Act::Label { namespace, name, value } => cluster.label_app(namespace, name, "team", value),
        Act::Policy { namespace, hosts, domains, strict } => {
            cluster.policy(namespace, &policy(namespace, hosts, domains, *strict));
        }
        Act::DeletePolicy { namespace } => cluster.delete_policy(namespace),
        Act::Service { namespace, name } => cluster.ensure_service(namespace, name),
        Act::DeleteService { namespace, name } => cluster.delete_service(namespace, name),
        Act::Namespace { name } => open(sim, name),
        Act::DeleteNamespace { name } => cluster.delete_namespace(name),
        Act::ReplacePods { namespace } => {
            cluster.replace_pods(namespace);
            // Nobody can know at once that a healthy target has just died.
            sim.tampered_until = sim.tampered_until.max(sim.now + 2 * MINUTE);
        }
        Act::Certificate { names } => certificate(sim, names),
        Act::Elect => sim.elect(),
        Act::Stranger(what) => {
            // What a hand removed is seen by the next audit at the latest, and then mended.
            let until = sim.now + sim.settings.audit_seldom + 5 * MINUTE;
            let before = std::mem::replace(&mut sim.tampered_until, until);
            if !stranger::perform(sim, theirs, what) {
                sim.tampered_until = before;
            }
        }
    }
}

fn certificate(sim: &mut Sim, names: &[String]) {
    use awsim_model::api::acm::{ImportCertificate, ImportedFacts};
    let parsed = ImportedFacts {
        names: names.to_vec(),
        key_algorithm: "RSA_2048".into(),
        not_before: Millis(sim.now),
        not_after: Millis(sim.now + 365 * 24 * HOUR),
    };
    let call = ImportCertificate {
        certificate: "PEM".into(),
        private_key: "PEM".into(),
        parsed: Some(parsed),
        ..Default::default()
    };
    let _ = sim.try_stranger(call);
}

/// Plays it to the end.
///
/// Panics with a text that names what was broken.
pub fn play(history: &History) -> Played {
    let mut sim = start(history);
    let mut theirs = Theirs::default();
    sim.run(10_000);
    for (wait, act) in &history.acts {
        sim.run(u64::from(*wait) * 1000);
        compare(&mut sim);
        perform(&mut sim, &mut theirs, act);
        // A moment, so that the act meets calls in flight and is not merged with the next one.
        sim.run(40);
    }
    sim.faults.clear();
    // Longer than every grace and than the seldom audit.
    sim.run(HOUR + 5 * MINUTE);
    // And then the engine is quiet: audits, and a look a minute for a certificate that is missing.
    let before = sim.calls;
    sim.tally = true;
    sim.run(12 * MINUTE);
    let quiet = sim.calls - before;
    assert!(quiet <= 60, "too many calls in 12 quiet minutes: {:?}\n{}", sim.by_name, sim.tail());
    sim.aws.settings_mut().buckets.clear();
    at_rest(&mut sim, "after the last act");
    // Foreign rules may take the last places of a full listener: then a rule removed by hand cannot come back.
    if !foreign_rules(history) {
        settled(&mut sim);
    }
    let shards = sim.aws.live_listeners(Millis(sim.now)).iter().filter(|l| l.port == 443).count() as u64;
    let missing = stranger::missing(&mut sim, &theirs);
    assert!(missing.is_empty(), "changed of a stranger's: {missing:?}\n{}", sim.tail());
    let (calls, throttled) = (sim.calls, sim.throttled);
    undo(&mut sim, &mut theirs);
    // Not to be known beforehand: a foreign rule on our listener, and what a former leader's last call still did.
    assert!(
        foreign_rules(history) || leaders(history) || sim.quota_refusals.is_empty(),
        "a quota was met by a call: {:?}\n{}",
        sim.quota_refusals,
        sim.tail()
    );
    Played { calls, throttled, shards }
}

fn foreign_rules(history: &History) -> bool {
    history.acts.iter().any(|(_, act)| matches!(act, Act::Stranger(Stranger::Rule { .. })))
}

fn leaders(history: &History) -> bool {
    history.acts.iter().any(|(_, act)| *act == Act::Elect)
        || history.faults.iter().any(|(_, fault)| *fault == Fault::LeaderChange)
}

/// The incremental plan is the one from scratch: at a moment without calls in flight, or a moment later, because some
/// looks are rounded up to half a second, and a step may stand until it is about to be sent. Statuses are compared at
/// rest only.
fn compare(sim: &mut Sim) {
    for last in [false, true] {
        let now = sim.now();
        if sim.engine.in_flight() > 0 {
            return;
        }
        let Some(difference) = sim.plans_differ(now, false) else { return };
        assert!(!last, "the plans differ: {difference}\n{}", sim.tail());
        sim.run(1_500);
    }
}

/// Deletes everything and looks for what is left.
fn undo(sim: &mut Sim, theirs: &mut Theirs) {
    sim.note("the end: everything is deleted");
    let apps: Vec<AppKey> = sim.cluster.world.apps.keys().cloned().collect();
    for app in apps {
        sim.cluster.delete_app(&app.namespace, &app.name);
    }
    // An hour, in which the first inferred deletion of a load balancer earns its budget, and what it always took.
    sim.run(105 * MINUTE);
    at_rest(sim, "after the apps were deleted");
    let w = &sim.cluster.world;
    assert!(w.apps.is_empty(), "apps stuck with a finalizer: {:?}\n{}", w.apps.keys(), waits(sim));
    let claims: Vec<_> = w.claims.values().map(|c| (&c.spec.host, &c.spec.namespace, c.status.state)).collect();
    assert!(claims.is_empty(), "claims left over: {claims:?}\n{}", waits(sim));
    assert!(w.children.is_empty(), "children left over: {:?}\n{}", w.children.keys(), waits(sim));
    let groups = stranger::our_groups(sim);
    assert!(groups.is_empty(), "target groups left over: {groups:?}\n{}", waits(sim));
    let records: Vec<_> = stranger::records(sim)
        .into_iter()
        .filter(|s| matches!(s.kind.as_str(), "A" | "TXT"))
        .map(|s| (s.name, s.kind))
        .collect();
    assert!(records.is_empty(), "records left over: {records:?}\n{}", waits(sim));
    stranger::leave(sim, theirs);
    for name in ["public", "inner"] {
        sim.cluster.delete_load_balancer(name);
    }
    sim.run(15 * MINUTE);
    at_rest(sim, "after the load balancers were deleted");
    let left = sim.aws.load_balancer_addresses();
    assert!(left.is_empty(), "load balancers left over: {:?}\n{}", left.keys(), waits(sim));
    assert!(sim.cluster.world.load_balancers.is_empty(), "a load balancer's finalizer stays\n{}", waits(sim));
    let missing = stranger::missing(sim, theirs);
    assert!(missing.is_empty(), "changed of a stranger's: {missing:?}\n{}", waits(sim));
}

/// At rest nothing is under way, nothing could be sent, and the plan from scratch agrees.
fn at_rest(sim: &mut Sim, when: &str) {
    if sim.engine.in_flight() > 0 {
        // An audit happens to be under way.
        sim.run(2_000);
    }
    let now = sim.now();
    let steps: Vec<String> = sim
        .engine
        .full_plan(now)
        .iter()
        .flat_map(|(key, part)| part.steps.iter().map(move |s| format!("{key:?}: {}", s.key.what)))
        .filter(|s| !s.contains("read "))
        .collect();
    assert!(steps.is_empty(), "{when} the plan is not empty: {steps:#?}\n{}", sim.tail());
    assert!(sim.engine.in_flight() == 0, "{when} calls are under way\n{}", sim.tail());
}

/// Every host that has its own address in DNS is answered by the edge of its holder.
fn settled(sim: &mut Sim) {
    let records = stranger::records(sim);
    for claim in sim.cluster.world.claims.values().filter(|c| c.status.state == ClaimState::Held) {
        let name = format!("{}.", claim.spec.host.replace('*', "\\052"));
        let Some(record) = records.iter().find(|r| r.name == name && r.kind == "A") else { continue };
        let address = record.alias_target.as_ref().map(|a| a.dns_name.trim_end_matches('.').to_owned());
        for protocol in protocols(sim, &claim.spec.host) {
            let world = &sim.cluster.world;
            if *protocol == ProtocolVersion::Grpc && held(sim, &claim.spec.namespace) {
                continue;
            }
            let edge = edge_of(&sim.aws, world, sim.now, &claim.spec.host, address.as_deref(), *protocol);
            assert!(
                edge.as_ref() == Some(&claim.spec.namespace),
                "the address of {} leads {protocol:?} to {edge:?} instead of {}\n{}",
                claim.spec.host,
                claim.spec.namespace,
                waits(sim)
            );
        }
    }
}

/// Whether it is told that hosts of a namespace cannot speak gRPC yet: their names stood before they wanted to, and
/// their shard has no rule or target group to give.
fn held(sim: &Sim, namespace: &str) -> bool {
    let plan = sim.engine.full_plan(sim.now());
    let part = plan.get(&PartKey::Namespace(namespace.to_owned()));
    part.is_some_and(|part| part.held.iter().any(|held| held.starts_with("rule for") && held.contains("for gRPC")))
}

/// What the plan waits for, for whoever reads a failure.
fn waits(sim: &Sim) -> String {
    let mut out = sim.tail();
    for (shard, observed) in &sim.engine.observed().shards {
        for (arn, rule) in observed.rules.last().into_iter().flatten() {
            let hosts: Vec<String> = rule.hosts.iter().map(ToString::to_string).collect();
            let id = arn.rsplit('/').next().unwrap_or_default();
            out.push_str(&format!("\n{shard} has rule {id} {} {:?} for {hosts:?}", rule.priority, rule.namespace));
        }
    }
    for (key, part) in sim.engine.full_plan(sim.now()) {
        if !part.waiting.is_empty() || !part.held.is_empty() {
            out.push_str(&format!("\n{key:?} waits for {:?}, holds {:?}", part.waiting, part.held));
        }
    }
    out
}

/// After every effect: nobody reaches an edge of a namespace that holds no claim for the name, and a name that goes
/// into DNS is answered by its edge.
fn watch(sim: &Sim, order: &Order) {
    let matters = match order {
        Order::Aws { call, .. } => match call {
            AwsCall::ChangeRecords { changes, .. } => {
                for change in changes.iter().filter(|c| c.action == ChangeAction::Create) {
                    if let RecordData::A(alias) = &change.record.data {
                        answered(sim, &change.record.name, &alias.dns_name);
                    }
                }
                false
            }
            AwsCall::CreateRule { .. }
            | AwsCall::ModifyRule { .. }
            | AwsCall::DeleteRule { .. }
            | AwsCall::RegisterTargets { .. } => true,
            _ => false,
        },
        Order::Kube(gatehouse_core::plan::KubeWrite::ClaimStatus { .. }) => true,
        Order::Kube(gatehouse_core::plan::KubeWrite::DeleteClaim { .. }) => true,
        _ => false,
    };
    if !matters {
        return;
    }
    let listeners: Vec<_> = sim.aws.live_listeners(Millis(sim.now)).into_iter().filter(|l| l.port == 443).collect();
    for host in universe() {
        for (listener, protocol) in listeners.iter().flat_map(|l| ProtocolVersion::ALL.map(|p| (l, p))) {
            let edge = edge_behind(&sim.aws, &sim.cluster.world, sim.now, listener, host, protocol);
            let Some(edge) = edge else { continue };
            let parsed = Host::parse(host).unwrap();
            let holds = |name: &str| {
                sim.cluster.world.claims.get(name).is_some_and(|c| {
                    // A released one still keeps others away, and the data plane may lag behind its rule's end.
                    c.spec.namespace == edge && c.status.state != ClaimState::Pending
                })
            };
            let wildcard = parsed.parent_wildcard().is_some_and(|w| holds(&gatehouse_core::identity::claim_name(&w)));
            assert!(
                wildcard || holds(&gatehouse_core::identity::claim_name(&parsed)),
                "{host} reaches the edge of {edge}, which does not hold it\n{}",
                sim.tail()
            );
        }
    }
}

fn answered(sim: &Sim, host: &str, address: &str) {
    // Between sending and a late effect somebody may have deleted the pods: nobody can know.
    if sim.now < sim.tampered_until || sim.late {
        return;
    }
    for protocol in protocols(sim, host) {
        let edge = edge_of(&sim.aws, &sim.cluster.world, sim.now, host, Some(address), *protocol);
        assert!(edge.is_some(), "{host} goes into DNS and nothing answers it over {protocol:?}\n{}", waits(sim));
    }
}

/// What clients of a host may speak.
fn protocols(sim: &Sim, host: &str) -> &'static [ProtocolVersion] {
    let host = Host::parse(host).unwrap();
    let spoken = sim.engine.desired().values().find_map(|d| d.hosts.get(&host));
    spoken.map_or(&[ProtocolVersion::Http1], |wanted| wanted.protocols())
}
