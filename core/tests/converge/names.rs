//! Names beside others: external-dns and its markers, other clusters, taking over and giving back, weighted routing.

use awsim_model::api::route53 as r53;
use gatehouse_core::AppKey;
use gatehouse_crds::{Condition, RequestState};

use crate::{BALANCER, app, aws, diff, essence, policy, ready, settings};
use gatehouse_virtual::{Fault, Sim};

const ZONE: &str = "Z0EXAMPLE1";

fn start(dns: &str) -> Sim {
    let mut sim = Sim::new(settings(), aws());
    for ns in ["team-a", "team-b"] {
        sim.cluster.namespace(ns);
        sim.cluster.service(ns, "web", 8080);
    }
    sim.cluster.policy("a", &policy("team-a", "[shop.example.com, a-shop.example.com, '*.example.com']"));
    sim.cluster.policy("b", &policy("team-b", "[blog.example.com]"));
    sim.cluster.load_balancer("public", &(BALANCER.to_owned() + dns));
    sim
}

fn change(sim: &mut Sim, action: &str, set: r53::ResourceRecordSet) {
    // A zone takes one change at a time.
    sim.run(10);
    let change = r53::Change { action: action.into(), resource_record_set: set };
    sim.stranger(r53::ChangeResourceRecordSets {
        hosted_zone_id: ZONE.into(),
        change_batch: r53::ChangeBatch { comment: None, changes: vec![change] },
    });
}

fn set(name: &str, kind: &str, values: &[&str]) -> r53::ResourceRecordSet {
    r53::ResourceRecordSet {
        name: name.into(),
        kind: kind.into(),
        ttl: Some(300),
        resource_records: Some(values.iter().map(|v| r53::ResourceRecord { value: (*v).into() }).collect()),
        ..Default::default()
    }
}

fn marker(owner: &str) -> String {
    format!("\"heritage=external-dns,external-dns/owner={owner},external-dns/resource=ingress/team-a/shop\"")
}

fn records(sim: &mut Sim) -> Vec<(String, String, String)> {
    let all = sim.stranger(r53::ListResourceRecordSets { hosted_zone_id: ZONE.into(), ..Default::default() });
    let value = |s: &r53::ResourceRecordSet| match &s.alias_target {
        Some(alias) => format!("alias {}", alias.dns_name),
        None => s.resource_records.iter().flatten().map(|r| r.value.clone()).collect::<Vec<_>>().join(" "),
    };
    let sets = all.resource_record_sets.iter().filter(|s| !["NS", "SOA"].contains(&s.kind.as_str()));
    sets.map(|s| (s.name.clone(), s.kind.clone(), value(s))).collect()
}

fn dns(sim: &Sim, namespace: &str, name: &str) -> Condition {
    let app = &sim.cluster.world.apps[&AppKey::new(namespace, name)];
    app.status.conditions.iter().find(|c| c.type_ == "DNSReady").unwrap().clone()
}

/// Names of an owner that is not adopted stay, whatever the form of their markers; the app is told, others go on.
#[test]
fn a_stranger_keeps_its_names() {
    let mut sim = start("");
    change(&mut sim, "CREATE", set("shop.example.com", "CNAME", &["elsewhere.example.net"]));
    change(&mut sim, "CREATE", set("cname-shop.example.com", "TXT", &[&marker("other")]));
    let before = records(&mut sim);
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.cluster.app("team-b", "blog", &app("[blog.example.com]", "web"));
    sim.run(60_000);
    assert_eq!(dns(&sim, "team-a", "shop").reason, "DNSConflict");
    assert!(ready(&sim, "team-b", "blog"));
    let now = records(&mut sim);
    assert!(before.iter().all(|r| now.contains(r)), "{now:?}");
    sim.cluster.delete_app("team-a", "shop");
    sim.run(120_000);
    let now = records(&mut sim);
    assert!(before.iter().all(|r| now.contains(r)), "{now:?}");
}

/// Our marker of `shop` is not the name, nor the old form's marker, of the host `a-shop`.
#[test]
fn markers_are_nobodys_host() {
    let mut sim = start("");
    sim.cluster.app("team-a", "shop", &app("[shop.example.com, a-shop.example.com, '*.example.com']", "web"));
    sim.run(60_000);
    assert!(ready(&sim, "team-a", "shop"), "{:?}", dns(&sim, "team-a", "shop"));
    sim.cluster.delete_app("team-a", "shop");
    sim.run(120_000);
    assert_eq!(records(&mut sim), [], "{}", sim.tail());
}

const ADOPT: &str = "dns: {adoptOwners: [{owner: old, txtPrefix: 'txt-', txtWildcardReplacement: any}]}\n";

/// The names of an adopted owner: records with addresses, a CNAME, a wildcard, each marked in a form of its own.
fn inherit(sim: &mut Sim) {
    change(sim, "CREATE", set("shop.example.com", "A", &["192.0.2.1", "192.0.2.2"]));
    change(sim, "CREATE", set("txt-a-shop.example.com", "TXT", &[&marker("old")]));
    change(sim, "CREATE", set("a-shop.example.com", "CNAME", &["old.example.net"]));
    change(sim, "CREATE", set("txt-a-shop.example.com.example.com", "TXT", &["\"v=spf1 -all\""]));
    change(sim, "CREATE", set("txt-cname-a-shop.example.com", "TXT", &[&marker("old")]));
    change(sim, "CREATE", set("*.example.com", "A", &["192.0.2.3"]));
    change(sim, "CREATE", set("txt-a-any.example.com", "TXT", &[&marker("old")]));
}

/// Names of an adopted owner are taken over, each in one atomic batch: at no moment does a name fail to resolve.
#[test]
fn an_adopted_owners_names_are_taken_over() {
    let mut sim = start(ADOPT);
    inherit(&mut sim);
    sim.cluster.app("team-a", "shop", &app("[shop.example.com, a-shop.example.com, '*.example.com']", "web"));
    let mut resolved = 0;
    for _ in 0..6_000 {
        sim.run(10);
        let answer = sim.aws.resolve(awsim_model::Millis(sim.now), "shop.example.com", "A");
        assert!(!answer.records.is_empty(), "no answer at {}:\n{}", sim.now, sim.tail());
        resolved += 1;
    }
    assert_eq!(resolved, 6_000);
    assert!(ready(&sim, "team-a", "shop"), "{:?}\n{}", dns(&sim, "team-a", "shop"), sim.tail());
    let now = records(&mut sim);
    assert!(!now.iter().any(|(_, _, value)| value.contains("owner=old") || value.contains("192.0.2")), "{now:?}");
    assert!(now.iter().any(|(_, _, value)| value.contains("spf1")), "a TXT that is no marker stays");
    assert_eq!(sim.client("shop.example.com").as_deref(), Some("team-a"));
    // A late write of the old external-dns is undone.
    change(&mut sim, "CREATE", set("txt-a-shop.example.com", "TXT", &[&marker("old")]));
    sim.run(700_000);
    assert!(!records(&mut sim).iter().any(|(_, _, value)| value.contains("owner=old")), "{}", sim.tail());
}

/// An owner is adopted when its names were asked for already: they are read anew at once, not at the next audit.
#[test]
fn adopting_an_owner_works_at_once() {
    let mut sim = start("");
    sim.cluster.app("team-a", "shop", &app("[shop.example.com, a-shop.example.com, '*.example.com']", "web"));
    // Theirs come when the zone has been listed: each is met by a refused CREATE, and read by its name.
    sim.run(500);
    inherit(&mut sim);
    sim.run(60_000);
    assert_eq!(dns(&sim, "team-a", "shop").reason, "DNSConflict", "{}", sim.tail());
    sim.cluster.load_balancer("public", &(BALANCER.to_owned() + ADOPT));
    sim.run(30_000);
    assert!(ready(&sim, "team-a", "shop"), "{:?}\n{}", dns(&sim, "team-a", "shop"), sim.tail());
}

/// A record without marker is nobody's to adopt.
#[test]
fn what_has_no_marker_is_not_adopted() {
    let mut sim = start(ADOPT);
    change(&mut sim, "CREATE", set("shop.example.com", "A", &["192.0.2.1"]));
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    assert_eq!(dns(&sim, "team-a", "shop").reason, "DNSConflict");
}

/// Names go back to external-dns by request: the markers change hands, the names go on answering, and nothing of them
/// is touched again, not even when the app goes.
#[test]
fn names_are_released_to_another_owner() {
    let mut sim = start(ADOPT);
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    sim.guard.insert("shop.example.com".into(), "team-a".into());
    sim.cluster.request("public", "release", "host=shop.example.com owner=old");
    sim.run(30_000);
    let answer = sim.cluster.world.load_balancers["public"].status.requests[0].clone();
    assert_eq!(answer.state, RequestState::Done, "{answer:?}\n{}", sim.tail());
    let now = records(&mut sim);
    assert!(now.iter().any(|(name, _, v)| name == "txt-a-shop.example.com." && v.contains("owner=old")), "{now:?}");
    sim.change_leader();
    // The owner is adopted by this very load balancer: a release must hold against that.
    sim.run(900_000);
    assert_eq!(records(&mut sim), now, "{}", sim.tail());
    assert_eq!(dns(&sim, "team-a", "shop").reason, "HandedOver");
    assert!(ready(&sim, "team-a", "shop"));
    sim.guard.clear();
    sim.cluster.delete_app("team-a", "shop");
    sim.run(300_000);
    assert_eq!(records(&mut sim), now);
    assert!(sim.cluster.world.apps.is_empty(), "the deletion ends:\n{}", sim.tail());
}

/// Another cluster took the name: its marker and its target stand there. We serve on and leave it alone.
#[test]
fn another_cluster_takes_a_name() {
    let mut sim = start("");
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    let all = sim.stranger(r53::ListResourceRecordSets { hosted_zone_id: ZONE.into(), ..Default::default() });
    for old in all.resource_record_sets.into_iter().filter(|s| s.kind == "A" || s.kind == "TXT") {
        change(&mut sim, "DELETE", old);
    }
    change(&mut sim, "CREATE", set("shop.example.com", "A", &["192.0.2.9"]));
    change(&mut sim, "CREATE", set("_gatehouse.shop.example.com", "TXT", &[&marker("cluster-two")]));
    let theirs = records(&mut sim);
    sim.run(1_300_000);
    assert_eq!(records(&mut sim), theirs, "{}", sim.tail());
    assert_eq!(dns(&sim, "team-a", "shop").reason, "HandedOver");
    assert_eq!(sim.edge_of("shop.example.com").as_deref(), Some("team-a"), "it is served on");
    // A move of the namespace ends all the same: nobody comes to the old side by that name.
    sim.cluster.request("public", "move", "namespace=team-a shard=1");
    sim.run(2 * 3_600_000);
    let status = sim.cluster.world.load_balancers["public"].status.clone();
    assert_eq!((status.requests[0].state, status.moves.len()), (RequestState::Done, 0), "{:?}", status.requests);
    assert_eq!(records(&mut sim), theirs, "{}", sim.tail());
}

/// Two clusters with weighted records of one name live side by side.
#[test]
fn weighted_names_stand_side_by_side() {
    let mut sim = start("dns: {routing: {setIdentifier: blue, weight: 90}}\n");
    let green = |name: &str, kind: &str, value: &str| r53::ResourceRecordSet {
        set_identifier: Some("green".into()),
        weight: Some(10),
        ..set(name, kind, &[value])
    };
    change(&mut sim, "CREATE", green("shop.example.com", "A", "192.0.2.9"));
    change(&mut sim, "CREATE", green("_gatehouse.shop.example.com", "TXT", &marker("cluster-two")));
    let theirs = records(&mut sim);
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    assert!(ready(&sim, "team-a", "shop"), "{:?}\n{}", dns(&sim, "team-a", "shop"), sim.tail());
    assert_eq!(records(&mut sim).len(), 4, "{:?}", records(&mut sim));
    // The weight changes in one batch, and then the other cluster is gone and ours alone.
    sim.cluster
        .load_balancer("public", &(BALANCER.to_owned() + "dns: {routing: {setIdentifier: blue, weight: 100}}\n"));
    sim.run(60_000);
    let all = sim.stranger(r53::ListResourceRecordSets { hosted_zone_id: ZONE.into(), ..Default::default() });
    let blue = all.resource_record_sets.iter().filter(|s| s.set_identifier.as_deref() == Some("blue"));
    assert_eq!(blue.map(|s| s.weight).collect::<Vec<_>>(), [Some(100), Some(100)], "{}", sim.tail());
    sim.cluster.delete_app("team-a", "shop");
    sim.run(120_000);
    assert_eq!(records(&mut sim), theirs);
}

/// Ten apps at once make one batch; one name that Route 53 does not take delays none of the others.
#[test]
fn one_bad_name_delays_nobody() {
    let mut sim = start("");
    let hosts: Vec<String> = (0..10).map(|i| format!("n{i}.example.com")).collect();
    sim.cluster.policy("n", &policy("team-a", &format!("[{}]", hosts.join(", "))));
    for (i, host) in hosts.iter().enumerate() {
        sim.cluster.app("team-a", &format!("n{i}"), &app(&format!("[{host}]"), "web"));
    }
    // The record appears after the zone was listed: only Route 53 knows of it.
    while !sim.engine.observed().zone_lists.contains_key(ZONE) {
        sim.run(10);
    }
    sim.run(100);
    change(&mut sim, "CREATE", set("n3.example.com", "A", &["192.0.2.1"]));
    sim.run(20_000);
    for i in 0..10 {
        assert_eq!(
            ready(&sim, "team-a", &format!("n{i}")),
            i != 3,
            "n{i}: {:?}",
            dns(&sim, "team-a", &format!("n{i}"))
        );
    }
    assert_eq!(dns(&sim, "team-a", "n3").reason, "DNSConflict");
}

/// Taking over survives every fault at every call: the same records in the end.
#[test]
fn a_take_over_survives_every_fault() {
    let play = |faults: Vec<(u64, Fault)>| {
        let mut sim = start(ADOPT);
        inherit(&mut sim);
        sim.faults = faults;
        sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
        sim.run(200_000);
        sim
    };
    let calm = play(Vec::new());
    let expected = essence(&calm);
    for n in 1..=calm.calls {
        for fault in Fault::ALL {
            let sim = play(vec![(n, fault)]);
            let got = essence(&sim);
            assert!(got == expected, "{fault:?} at call {n}\n{}\n{}", diff(&expected, &got), sim.tail());
        }
    }
}

/// Four hundred names at once are more than one batch takes, in records or in characters: none is refused.
#[test]
fn batches_keep_to_what_route_53_takes() {
    let mut sim = start("");
    // All become healthy at the same time, so all names are ready at once.
    let after = awsim_model::Millis(60_000);
    sim.aws.settings_mut().health = awsim_model::settings::HealthSource::Automatic { after };
    let hosts: Vec<String> = (0..400).map(|i| format!("n{i}.example.com")).collect();
    let namespaces: Vec<String> = (0..4).map(|i| format!("a-namespace-with-a-name-of-some-length-{i}")).collect();
    for (i, ns) in namespaces.iter().enumerate() {
        sim.cluster.namespace(ns);
        sim.cluster.service(ns, "web", 8080);
        sim.cluster.policy(ns, &policy(ns, &format!("[{}]", hosts[i * 100..(i + 1) * 100].join(", "))));
        for (j, chunk) in hosts[i * 100..(i + 1) * 100].chunks(20).enumerate() {
            sim.cluster.app(ns, &format!("app-{j}"), &app(&format!("[{}]", chunk.join(", ")), "web"));
        }
    }
    sim.tally = true;
    sim.run(300_000);
    for ns in &namespaces {
        assert!(ready(&sim, ns, "app-4"), "{:?}\n{}", dns(&sim, ns, "app-4"), sim.tail());
    }
    assert!(!sim.lines().any(|l| l.contains("InvalidChangeBatch")), "{}", sim.tail());
    assert!(sim.by_name["ChangeRecords"] < 40, "{} changes for 400 names", sim.by_name["ChangeRecords"]);
}
