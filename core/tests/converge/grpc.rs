//! An app that speaks gRPC: a second target group and a rule before the other, and everything else stays as it was.

use awsim_model::settings::quota;
use gatehouse_core::AppKey;
use gatehouse_core::aws::ProtocolVersion::{self, Grpc, Http1};
use gatehouse_crds::ConditionStatus;
use gatehouse_virtual::Sim;

use crate::{BALANCER, app, claims, policy, ready, settings, start};

/// gRPC below one path, pages at the rest.
const MIXED: &str = "
hosts: [shop.example.com]
routes:
- backends: [{service: web, port: 8080}]
- {path: /shop.v1.Shop, backendProtocol: GRPC, backends: [{service: api, port: 8080}]}
";

const AWS: [&str; 5] = ["CreateRule", "CreateTarget", "Register", "Change", "Modify"];

/// Protocol versions of our target groups, with how many rules lead to each.
fn groups(sim: &Sim) -> Vec<(&'static str, usize)> {
    let observed = sim.engine.observed();
    let mut out: Vec<_> = observed
        .groups
        .values()
        .filter_map(|cell| cell.last().cloned().flatten())
        .map(|group| {
            let rules = observed.shards.values().flat_map(|s| s.rules.last().into_iter().flat_map(|r| r.values()));
            let leading = rules.filter(|r| r.target_group.as_ref() == Some(&group.arn)).count();
            (group.health_check.protocol.as_str(), leading)
        })
        .collect();
    out.sort_unstable();
    out
}

fn reached(sim: &Sim, host: &str) -> [Option<String>; 2] {
    [Http1, Grpc].map(|protocol| sim.client_over(host, protocol))
}

fn team(name: &str) -> Option<String> {
    Some(name.to_owned())
}

fn told(sim: &Sim, app: &str, type_: &str) -> (ConditionStatus, String, String) {
    let app = &sim.cluster.world.apps[&AppKey::new("team-a", app)];
    let found = app.status.conditions.iter().find(|c| c.type_ == type_).unwrap();
    (found.status, found.reason.clone(), found.message.clone())
}

#[test]
fn an_app_that_speaks_grpc_has_a_way_of_its_own() {
    let mut sim = start();
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    assert_eq!(groups(&sim), [("HTTP1", 1)]);
    assert_eq!(reached(&sim, "shop.example.com"), [team("team-a"), None], "an ALB answers 464");

    sim.guard = [("shop.example.com".into(), "team-a".into())].into();
    sim.cluster.app("team-a", "shop", MIXED);
    sim.run(60_000);
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    assert_eq!(groups(&sim), [("GRPC", 1), ("HTTP1", 1)]);
    assert_eq!(reached(&sim, "shop.example.com"), [team("team-a"), team("team-a")], "{}", sim.tail());
    let observed = sim.engine.observed();
    let rules: Vec<_> = observed.shards.values().flat_map(|s| s.rules.last().unwrap().values()).collect();
    let of = |protocol: ProtocolVersion| rules.iter().find(|r| r.protocol == protocol).unwrap();
    assert!(of(Grpc).priority < of(Http1).priority, "the first rule that fits is taken");

    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(120_000);
    assert_eq!(groups(&sim), [("HTTP1", 1)], "{}", sim.tail());
    assert_eq!(reached(&sim, "shop.example.com"), [team("team-a"), None]);

    sim.guard.clear();
    sim.cluster.app("team-a", "shop", MIXED);
    sim.run(60_000);
    sim.cluster.delete_app("team-a", "shop");
    sim.run(200_000);
    assert_eq!(groups(&sim), []);
    assert_eq!(claims(&sim), []);
    assert!(sim.cluster.world.apps.is_empty() && sim.cluster.world.children.is_empty());
}

/// A name that is new goes out when both answer, and Programmed says so of a name that stands.
#[test]
fn nothing_is_published_before_grpc_is_answered_too() {
    let mut sim = start();
    sim.cluster.app("team-a", "shop", MIXED);
    let mut published = false;
    for _ in 0..600 {
        sim.run(100);
        if sim.client("shop.example.com").is_some() {
            published = true;
            assert_eq!(reached(&sim, "shop.example.com"), [team("team-a"), team("team-a")], "{}", sim.tail());
        }
    }
    assert!(published && ready(&sim, "team-a", "shop"), "{}", sim.tail());
}

/// Two namespaces, one host each, the wildcard of the first above the second's: whoever asks how, each has its own.
#[test]
fn exact_hosts_of_others_stand_before_a_wildcard_that_speaks_grpc() {
    let mut sim = start();
    sim.cluster.policy("a", &policy("team-a", "[\"*.example.com\"]"));
    sim.cluster.app("team-a", "all", &MIXED.replace("shop.example.com", "\"*.example.com\""));
    sim.cluster.app("team-b", "blog", &app("[blog.example.com]", "web"));
    sim.cluster.app("team-b", "both", &MIXED.replace("shop.example.com", "both.example.com"));
    sim.run(120_000);
    assert_eq!(reached(&sim, "any.example.com"), [team("team-a"), team("team-a")], "{}", sim.tail());
    assert_eq!(reached(&sim, "both.example.com"), [team("team-b"), team("team-b")], "{}", sim.tail());
    // Its gRPC calls meet the rule of its own for everything, and the ALB refuses them.
    assert_eq!(reached(&sim, "blog.example.com"), [team("team-b"), None], "{}", sim.tail());
}

#[test]
fn a_host_below_a_prewired_domain_makes_its_wildcard_speak_grpc() {
    let mut sim = start();
    let ready_kept = "namespaces: {names: [team-a]}\ngrants: [{domains: [example.com]}]\nloadBalancers: [public]\n\
                      prewire: [{domain: example.com, namespace: team-a, loadBalancer: public}]\n";
    sim.cluster.policy("a", ready_kept);
    sim.cluster.policy("b", "namespaces: {names: [nobody]}\n");
    sim.run(60_000);
    sim.cluster.app("team-a", "page", &app("[page.example.com]", "web"));
    sim.run(30_000);
    assert!(ready(&sim, "team-a", "page"), "{}", sim.tail());
    sim.guard = [("page.example.com".into(), "team-a".into())].into();
    sim.cluster.app("team-a", "shop", MIXED);
    for _ in 0..300 {
        sim.run(100);
        let (_, reason, message) = told(&sim, "page", "Programmed");
        assert!(["Programmed", "TablePending"].contains(&reason.as_str()), "{reason}: {message}\n{}", sim.tail());
    }
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    assert_eq!(reached(&sim, "shop.example.com"), [team("team-a"), team("team-a")], "{}", sim.tail());
    assert_eq!(groups(&sim), [("GRPC", 1), ("HTTP1", 1)]);
    sim.tally = true;
    sim.cluster.app("team-a", "more", &MIXED.replace("shop.example.com", "more.example.com"));
    sim.run(10_000);
    assert!(ready(&sim, "team-a", "more"), "{}", sim.tail());
    let calls: Vec<_> = sim.by_name.iter().filter(|(name, _)| AWS.iter().any(|aws| name.starts_with(aws))).collect();
    assert_eq!(calls.len(), 0, "the second needs no call of AWS: {calls:?}");
}

#[test]
fn without_room_for_the_second_rule_it_is_told() {
    let mut aws = crate::aws();
    aws.quotas.set(quota::RULES, 3).unwrap();
    let mut sim = Sim::new(settings(), aws);
    sim.cluster.namespace("team-a");
    for service in ["web", "api"] {
        sim.cluster.service("team-a", service, 8080);
    }
    sim.cluster.policy("a", &policy("team-a", "[shop.example.com, \"*.example.com\"]"));
    sim.cluster.load_balancer("public", &format!("{BALANCER}limits: {{shards: 1}}\n"));
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.cluster.app("team-a", "all", &app("[\"*.example.com\"]", "web"));
    sim.run(60_000);
    assert!(ready(&sim, "team-a", "shop") && ready(&sim, "team-a", "all"), "{}", sim.tail());
    sim.cluster.app("team-a", "shop", MIXED);
    sim.run(60_000);
    let (status, reason, message) = told(&sim, "shop", "Programmed");
    assert_eq!((status, reason.as_str()), (ConditionStatus::False, "Held"), "{message}\n{}", sim.tail());
    assert!(message.contains("for gRPC has 2 of 3 rules"), "{message}");
    assert_eq!(sim.quota_refusals, Vec::<String>::new(), "a call was wasted");
    assert_eq!(sim.client("shop.example.com"), team("team-a"), "what it had goes on");
}
