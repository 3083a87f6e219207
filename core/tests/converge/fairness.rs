//! Nobody waits for a stranger: a slow or throttled zone.

use gatehouse_core::aws::AwsCall;
use gatehouse_core::{AppKey, Buckets};
use gatehouse_virtual::{Sim, Weather};

use crate::{BALANCER, app, aws, policy, settings};

const ARN: &str = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000002";

/// Two zones, two namespaces, AWS's own buckets; team-b's app stands, so that its edge and groups do.
fn start(adjust: fn(&mut awsim_model::Settings)) -> Sim {
    let mut aws = aws();
    adjust(&mut aws);
    aws.zones.push(awsim_model::settings::SeedZone {
        id: "Z0SECOND".into(),
        name: "example.org".into(),
        private: false,
        role_arn: None,
    });
    aws.certificates.push(awsim_model::settings::SeedCertificate {
        id: Some("00000000-0000-4000-8000-000000000002".into()),
        names: vec!["*.example.org".into()],
        tags: Vec::new(),
    });
    let mut sim = Sim::new(settings(), aws);
    sim.buckets = Buckets::aws();
    for ns in ["team-a", "team-b"] {
        sim.cluster.namespace(ns);
        sim.cluster.service(ns, "web", 8080);
    }
    sim.cluster.policy("a", &policy("team-a", "[slow.example.com]"));
    sim.cluster.policy("b", &policy("team-b", "[first.example.org, second.example.org]"));
    sim.cluster.load_balancer("public", &BALANCER.replace("shared: [", &format!("shared: [\"{ARN}\", ")));
    sim.cluster.app("team-b", "first", &app("[first.example.org]", "web"));
    sim.change_leader();
    sim.run(60_000);
    sim
}

/// Milliseconds from applying team-b's second app until a client reaches it.
fn second(sim: &mut Sim) -> u64 {
    sim.cluster.app("team-b", "second", &app("[second.example.org]", "web"));
    let start = sim.now;
    while sim.client("second.example.org").is_none() {
        assert!(sim.now < start + 120_000, "never\n{}", sim.tail());
        sim.run(10);
    }
    let app = &sim.cluster.world.apps[&AppKey::new("team-b", "second")];
    assert!(app.status.observed_generation.is_some());
    sim.now - start
}

/// Apps of the namespace that flaps, ten hosts each.
const FLAPPING: usize = 100;

#[test]
fn a_namespace_that_flaps_a_thousand_hosts_delays_no_other() {
    let calm = second(&mut start(|_| ()));
    let mut sim = start(|aws| aws.quotas.set(awsim_model::settings::quota::RULES, 400).unwrap());
    sim.cluster.policy(
        "a",
        "namespaces: {names: [team-a]}\ngrants: [{domains: [flap.example.com]}]\nloadBalancers: [public]\n",
    );
    let hosts = |n: usize| (0..10).map(|i| format!("h{i}-{n}.flap.example.com")).collect::<Vec<_>>().join(", ");
    let mut longest = 0;
    for round in 0..3 {
        for n in 0..FLAPPING {
            let name = format!("flap-{n}");
            if round % 2 == 0 {
                sim.cluster.app("team-a", &name, &app(&format!("[{}]", hosts(n)), "web"));
            } else {
                sim.cluster.delete_app("team-a", &name);
            }
        }
        sim.run(700);
        let took = second(&mut sim);
        longest = longest.max(took);
        println!("round {round}: {took} ms instead of {calm}, {} calls", sim.calls);
        sim.cluster.delete_app("team-b", "second");
        sim.run(5_000);
    }
    assert!(longest <= calm + 1_000, "{longest} ms instead of {calm}\n{}", sim.tail());
}

fn first_zone(call: &AwsCall) -> bool {
    match call {
        AwsCall::ReadZoneRecords { zone } | AwsCall::ReadRecords { zone, .. } | AwsCall::ChangeRecords { zone, .. } => {
            zone == "Z0EXAMPLE1"
        }
        _ => false,
    }
}

fn slow(call: &AwsCall) -> Weather {
    // As long as a call may take; then its outcome is unknown.
    if first_zone(call) { Weather::Slow(9_900) } else { Weather::Fair }
}

fn throttled(call: &AwsCall) -> Weather {
    if first_zone(call) { Weather::Throttled } else { Weather::Fair }
}

#[test]
fn a_slow_zone_delays_no_other() {
    let calm = second(&mut start(|_| ()));
    for (what, weather) in [("slow", slow as fn(&AwsCall) -> Weather), ("throttled", throttled)] {
        let mut sim = start(|_| ());
        sim.weather = Some(weather);
        sim.cluster.app("team-a", "slow", &app("[slow.example.com]", "web"));
        sim.run(3_000);
        let took = second(&mut sim);
        println!("one zone {what}: {took} ms instead of {calm}");
        assert!(took <= calm + 1_000, "one zone {what}: {took} ms instead of {calm}\n{}", sim.tail());
        // A slow change acts at once and is answered late; a throttled one never acts.
        assert_eq!(sim.client("slow.example.com").is_some(), what == "slow", "the bad weather was there");
    }
}
