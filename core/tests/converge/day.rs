//! One long day, with a leader change before and after every call of it.

use gatehouse_crds::keys;
use gatehouse_virtual::{Fault, Sim};

use crate::{BALANCER, app, claims, diff, essence, policy, start};

/// Long enough for every grace of the settings and a look at everything that moves.
const STAGE: u64 = 200_000;

/// What happens in a stage.
type Stage = (&'static str, fn(&mut Sim));

const DAY: [Stage; 10] = [
    ("create", |sim| {
        sim.cluster.app("team-a", "shop", &app("[shop.example.com, api.example.com]", "web"));
        sim.cluster.app("team-b", "blog", &app("[blog.example.com]", "web"));
    }),
    ("change routes and hosts", |sim| {
        sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "api"));
    }),
    ("rename an app: another one takes its host", |sim| {
        sim.cluster.app("team-b", "journal", &app("[blog.example.com]", "web"));
        sim.cluster.delete_app("team-b", "blog");
    }),
    ("two apps share a host", |sim| {
        let spec = "hosts: [shop.example.com]\nroutes: [{path: /api, backends: [{service: api, port: 8080}]}]\n";
        sim.cluster.app("team-a", "shop-api", spec);
    }),
    ("a wildcard beside exact hosts of another namespace", |sim| {
        sim.cluster.policy("w", &policy("team-b", "['*.example.com']"));
        sim.cluster.app("team-b", "any", &app("['*.example.com']", "web"));
    }),
    ("a stricter policy", |sim| {
        let strict = "rules: {labels: [{key: team}]}\n";
        sim.cluster.policy("a", &format!("{}{strict}", policy("team-a", "[shop.example.com, api.example.com]")));
    }),
    ("a change that the policy freezes, then the label", |sim| {
        sim.cluster.app("team-a", "shop", &app("[shop.example.com, api.example.com]", "web"));
        sim.cluster.label_app("team-a", "shop", "team", "a");
    }),
    ("a second load balancer", |sim| {
        let spec = BALANCER.replace("default: true", "default: false").replace("8080", "9090");
        sim.cluster.load_balancer("inner", &spec);
        let both = policy("team-b", "[blog.example.com, both.example.com]").replace("[public]", "[public, inner]");
        sim.cluster.policy("b", &both);
        sim.cluster.app("team-b", "both", &format!("loadBalancers: [inner]\n{}", app("[both.example.com]", "api")));
    }),
    ("delete the apps", |sim| {
        let all: Vec<_> = sim.cluster.world.apps.keys().cloned().collect();
        for key in all {
            sim.cluster.delete_app(&key.namespace, &key.name);
        }
    }),
    ("delete the load balancers", |sim| {
        sim.cluster.delete_load_balancer("public");
        sim.cluster.delete_load_balancer("inner");
    }),
];

/// The end of every stage, and how many calls the day took.
fn play(fault: Option<(u64, Fault)>) -> (Vec<String>, Sim) {
    let mut sim = start();
    sim.faults.extend(fault);
    let mut ends = Vec::new();
    for (_, act) in DAY {
        act(&mut sim);
        sim.run(STAGE);
        ends.push(essence(&sim));
    }
    (ends, sim)
}

fn crash(fault: Fault) {
    let (expected, calm) = play(None);
    assert!(calm.cluster.world.apps.is_empty() && claims(&calm).is_empty(), "{:?}\n{}", claims(&calm), calm.tail());
    assert!(!expected[9].contains(keys::TAG_CLUSTER), "the day leaves something: {}", expected[9]);
    for n in 1..=calm.calls {
        let (got, sim) = play(Some((n, fault)));
        for (((name, _), got), expected) in DAY.iter().zip(&got).zip(&expected) {
            let tail = || sim.tail();
            assert!(
                got == expected,
                "{fault:?} at call {n}: \"{name}\" ends differently\n{}\n{}",
                diff(expected, got),
                tail()
            );
        }
    }
    println!("{fault:?}: {} crash points in a day of {} stages, each to the same ends", calm.calls, DAY.len());
}

#[test]
fn a_leader_may_end_before_every_call_of_a_day() {
    crash(Fault::LeaderBefore);
}

#[test]
fn a_leader_may_end_after_every_call_of_a_day() {
    crash(Fault::LeaderChange);
}
