//! Quotas beyond one ALB: target groups of a Region, records of a zone. Nothing is asked for that AWS would refuse.

use awsim_model::settings::quota;
use gatehouse_core::AppKey;
use gatehouse_virtual::Sim;

use crate::{BALANCER, app, aws, policy, settings};

const TEAMS: [&str; 3] = ["team-a", "team-b", "team-c"];

fn start(what: &str, max: i64) -> Sim {
    let mut aws = aws();
    aws.quotas.set(what, max).unwrap();
    let mut sim = Sim::new(settings(), aws);
    for ns in TEAMS {
        sim.cluster.namespace(ns);
        sim.cluster.service(ns, "web", 8080);
        sim.cluster.policy(ns, &policy(ns, &format!("[{ns}.example.com]")));
    }
    sim.cluster.load_balancer("public", BALANCER);
    for ns in TEAMS {
        sim.cluster.app(ns, "web", &app(&format!("[{ns}.example.com]"), "web"));
        sim.run(60_000);
    }
    sim
}

fn reached(sim: &Sim) -> Vec<&'static str> {
    TEAMS.into_iter().filter(|ns| sim.client(&format!("{ns}.example.com")).as_deref() == Some(ns)).collect()
}

fn told(sim: &Sim, namespace: &str, type_: &str) -> (String, String) {
    let app = &sim.cluster.world.apps[&AppKey::new(namespace, "web")];
    let found = app.status.conditions.iter().find(|c| c.type_ == type_).unwrap();
    (found.reason.clone(), found.message.clone())
}

/// The first two are published, the third is told why it is not, and follows when the first has gone.
fn third_waits_for_room(mut sim: Sim, type_: &str, reason: &str, says: &str) {
    assert_eq!(reached(&sim), TEAMS[..2], "{}", sim.tail());
    assert_eq!(sim.quota_refusals, Vec::<String>::new(), "a call was wasted");
    let (found, message) = told(&sim, "team-c", type_);
    assert_eq!(found, reason, "{message}");
    assert!(message.contains(says), "{message}");
    sim.cluster.delete_app("team-a", "web");
    sim.run(120_000);
    assert_eq!(reached(&sim), TEAMS[1..], "{}", sim.tail());
    assert_eq!(sim.quota_refusals, Vec::<String>::new(), "a call was wasted");
}

#[test]
fn a_region_without_room_for_a_target_group_is_told() {
    third_waits_for_room(start(quota::GROUPS, 2), "Programmed", "Held", "eu-central-1 has 2 of 2 target groups");
}

/// A zone begins with two records of its own; a host needs two.
#[test]
fn a_zone_without_room_for_a_name_is_told() {
    let says = "zone Z0EXAMPLE1 has 6 of 6 records";
    third_waits_for_room(start(quota::RECORDS_PER_ZONE, 6), "DNSReady", "QuotaExceeded", says);
}
