//! Prewired domains: a new name needs no AWS call, and DNS's own rules about wildcards are kept.

use gatehouse_core::AppKey;
use gatehouse_crds::ClaimState;
use gatehouse_virtual::{Fault, Sim};

use crate::{BALANCER, app, aws, claims, diff, essence, ready, settings};

const ARN: &str = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000002";

/// team-a has everything below a.example.com; with `prewire` it is kept ready. team-b has one host below it by name.
fn grant(sim: &mut Sim, prewire: bool) {
    let ready =
        if prewire { "prewire: [{domain: a.example.com, namespace: team-a, loadBalancer: public}]\n" } else { "" };
    let text = "namespaces: {names: [team-a]}\ngrants: [{domains: [a.example.com]}]\nloadBalancers: [public]\n";
    sim.cluster.policy("a", &format!("{text}{ready}"));
}

fn start(prewire: bool) -> Sim {
    let mut aws = aws();
    aws.certificates.push(awsim_model::settings::SeedCertificate {
        id: Some("00000000-0000-4000-8000-000000000002".into()),
        names: vec!["*.a.example.com".into(), "*.b.a.example.com".into()],
        tags: Vec::new(),
    });
    let mut sim = Sim::new(settings(), aws);
    for ns in ["team-a", "team-b"] {
        sim.cluster.namespace(ns);
        sim.cluster.service(ns, "web", 8080);
    }
    grant(&mut sim, prewire);
    sim.cluster.policy("b", &crate::policy("team-b", "[own.a.example.com]"));
    sim.cluster.load_balancer("public", &BALANCER.replace("shared: [", &format!("shared: [\"{ARN}\", ")));
    sim
}

fn records(sim: &Sim) -> Vec<String> {
    let zones = sim.aws.essence()["zones"].to_string();
    let names = zones.split('"').filter(|s| s.ends_with(".a.example.com.") && !s.starts_with('_'));
    let mut out: Vec<String> = names.map(str::to_owned).collect();
    out.dedup();
    out
}

fn dns(sim: &Sim, name: &str) -> String {
    let app = &sim.cluster.world.apps[&AppKey::new("team-a", name)];
    let found = app.status.conditions.iter().find(|c| c.type_ == "DNSReady").unwrap();
    format!("{}: {}", found.reason, found.message)
}

/// The figure of rule 10: from apply to Ready not one call to AWS, and the deletion needs none either.
#[test]
fn a_new_name_needs_no_call() {
    let mut sim = start(true);
    sim.run(60_000);
    assert_eq!(claims(&sim), [("*.a.example.com".into(), "team-a".into(), ClaimState::Held)], "{}", sim.tail());
    sim.tally = true;
    sim.cluster.app("team-a", "shop", &app("[shop.a.example.com]", "web"));
    sim.run(10_000);
    assert!(ready(&sim, "team-a", "shop"), "{}\n{}", dns(&sim, "shop"), sim.tail());
    assert_eq!(sim.client("shop.a.example.com").as_deref(), Some("team-a"));
    sim.cluster.delete_app("team-a", "shop");
    sim.run(10_000);
    assert!(sim.cluster.world.apps.is_empty(), "{}", sim.tail());
    let kubernetes = ["ApplyChild", "DeleteChild", "CreateClaim", "ClaimStatus", "DeleteClaim", "AppFinalizers"];
    let others = ["AppStatus", "LoadBalancerStatus", "PolicyStatus", "PodTable", "PodHealthy", "Edge", "Shard"];
    let calls: Vec<_> =
        sim.by_name.keys().filter(|k| !kubernetes.contains(&k.as_str()) && !others.contains(&k.as_str())).collect();
    assert!(calls.is_empty(), "{calls:?}");
}

/// A host of another namespace below the domain, granted by name, stands before the wildcard from its first moment.
#[test]
fn anothers_host_below_the_domain_is_its_own() {
    let mut sim = start(true);
    sim.run(60_000);
    sim.cluster.app("team-b", "own", &app("[own.a.example.com]", "web"));
    sim.run(60_000);
    assert_eq!(sim.client("own.a.example.com").as_deref(), Some("team-b"), "{}", sim.tail());
    assert_eq!(sim.client("any.a.example.com").as_deref(), Some("team-a"));
}

/// The same when the domain is prewired after the host was there: the order is set in one call, before the wildcard's
/// rule exists.
#[test]
fn a_domain_is_prewired_around_anothers_host() {
    let mut sim = start(false);
    sim.cluster.app("team-b", "own", &app("[own.a.example.com]", "web"));
    sim.cluster.app("team-a", "shop", &app("[shop.a.example.com]", "web"));
    sim.run(60_000);
    sim.guard.insert("own.a.example.com".into(), "team-b".into());
    sim.guard.insert("shop.a.example.com".into(), "team-a".into());
    grant(&mut sim, true);
    sim.run(300_000);
    assert_eq!(sim.client("any.a.example.com").as_deref(), Some("team-a"), "{}", sim.tail());
    // shop is carried now: its own record is gone, and nobody noticed.
    assert!(!records(&sim).contains(&"shop.a.example.com.".to_owned()), "{:?}", records(&sim));
    assert!(ready(&sim, "team-a", "shop"));
}

/// A name two labels deep would take the one between out of DNS: that one gets a record of its own first.
#[test]
fn a_deeper_name_shadows_nobody() {
    let mut sim = start(true);
    sim.run(60_000);
    sim.cluster.app("team-a", "b", &app("[b.a.example.com]", "web"));
    sim.run(30_000);
    assert!(!records(&sim).contains(&"b.a.example.com.".to_owned()));
    sim.guard.insert("b.a.example.com".into(), "team-a".into());
    sim.cluster.app("team-a", "deep", &app("[x.b.a.example.com]", "web"));
    sim.run(120_000);
    assert_eq!(sim.client("x.b.a.example.com").as_deref(), Some("team-a"), "{}\n{}", dns(&sim, "deep"), sim.tail());
    assert!(records(&sim).contains(&"b.a.example.com.".to_owned()), "{:?}", records(&sim));
    assert!(ready(&sim, "team-a", "b") && ready(&sim, "team-a", "deep"));
}

/// A stranger's name below a carried host, or at it, is found by the audit, told, and cured by a record of our own.
#[test]
fn a_strangers_shadow_is_cured() {
    use awsim_model::api::route53 as r53;
    for (name, kind, value) in [
        ("deep.b.a.example.com", "A", "192.0.2.1"),
        ("deep.b.a.example.com", "MX", "10 mail.example.org."),
        ("_acme-challenge.b.a.example.com", "TXT", "\"proof\""),
        ("_0123.b.a.example.com", "CNAME", "proof.example.org."),
        ("b.a.example.com", "TXT", "\"v=spf1 -all\""),
    ] {
        let mut sim = start(true);
        sim.cluster.app("team-a", "b", &app("[b.a.example.com]", "web"));
        sim.run(60_000);
        let set = r53::ResourceRecordSet {
            name: name.into(),
            kind: kind.into(),
            ttl: Some(60),
            resource_records: Some(vec![r53::ResourceRecord { value: value.into() }]),
            ..Default::default()
        };
        let change = r53::Change { action: "CREATE".into(), resource_record_set: set };
        sim.stranger(r53::ChangeResourceRecordSets {
            hosted_zone_id: "Z0EXAMPLE1".into(),
            change_batch: r53::ChangeBatch { comment: None, changes: vec![change] },
        });
        sim.run(1_000);
        assert_eq!(sim.client("b.a.example.com"), None, "{kind} {name}: the shadow is real");
        sim.run(620_000);
        let reached = sim.client("b.a.example.com");
        assert_eq!(reached.as_deref(), Some("team-a"), "{kind} {name}: {}\n{}", dns(&sim, "b"), sim.tail());
        assert!(ready(&sim, "team-a", "b"));
    }
}

/// A domain that is prewired no more: its names stand on their own before the wildcard goes.
#[test]
fn a_domain_is_let_go_without_a_gap() {
    let mut sim = start(true);
    sim.cluster.app("team-a", "shop", &app("[shop.a.example.com]", "web"));
    sim.run(60_000);
    sim.guard.insert("shop.a.example.com".into(), "team-a".into());
    grant(&mut sim, false);
    sim.run(300_000);
    assert!(records(&sim).contains(&"shop.a.example.com.".to_owned()), "{:?}\n{}", records(&sim), sim.tail());
    assert_eq!(sim.client("any.a.example.com"), None, "{}", sim.tail());
    assert!(ready(&sim, "team-a", "shop"));
}

/// Every call of a prewired domain's life may fail: the same ends, nothing left over.
#[test]
fn a_prewired_domain_survives_every_fault() {
    let play = |faults: Vec<(u64, Fault)>| {
        let mut sim = start(true);
        sim.faults = faults;
        sim.cluster.app("team-a", "shop", &app("[shop.a.example.com]", "web"));
        sim.run(200_000);
        let standing = essence(&sim);
        grant(&mut sim, false);
        sim.cluster.delete_app("team-a", "shop");
        sim.run(400_000);
        (standing, essence(&sim), sim)
    };
    let (standing, gone, calm) = play(Vec::new());
    assert!(gone.contains("\"targetGroups\": {}") && !gone.contains("a.example.com."), "{gone}");
    for n in 1..=calm.calls {
        for fault in Fault::ALL {
            let (s, g, sim) = play(vec![(n, fault)]);
            assert!(s == standing, "{fault:?} at call {n}\n{}\n{}", diff(&standing, &s), sim.tail());
            assert!(g == gone, "{fault:?} at call {n}\n{}\n{}", diff(&gone, &g), sim.tail());
        }
    }
}
