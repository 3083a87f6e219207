use std::sync::Arc;

use gatehouse_crds::{SharedLoadBalancerSpec, Subnet};

use super::*;
use crate::aws::{Refusal, RefusalClass};
use crate::time::Wall;
use crate::world::{Delta, Kind, LoadBalancerFacts, Meta};
use crate::{Buckets, Event, Outcome, Settings};

fn at(ms: u64) -> Now {
    Now { mono: Mono(ms), wall: Wall(1_800_000_000 + i64::try_from(ms / 1000).unwrap()) }
}

/// An engine that leads and knows one load balancer, and nothing of AWS.
fn engine() -> Engine {
    let mut engine = Engine::new(Settings::default(), Buckets::aws());
    let subnet = |id: &str| Subnet { id: id.into(), zone: format!("zone-{id}"), cidrs: vec!["10.0.0.0/24".into()] };
    let spec = SharedLoadBalancerSpec {
        region: "eu-central-1".into(),
        subnets: vec![subnet("a"), subnet("b")],
        ..SharedLoadBalancerSpec::default()
    };
    let lb =
        LoadBalancerFacts { meta: Meta { generation: 1, ..Meta::default() }, spec, ..LoadBalancerFacts::default() };
    engine.handle(at(1_000), Event::Lease { valid_until: Mono(100_000) });
    engine.handle(at(1_000), Event::Kube(Delta::LoadBalancer("public".into(), Some(Arc::new(lb)))));
    for kind in Kind::ALL {
        engine.handle(at(1_000), Event::Kube(Delta::Synced(kind)));
    }
    engine
}

#[test]
fn what_is_under_way_has_an_age_and_what_depends_on_it_waits() {
    let mut engine = engine();
    let mut sent = 0;
    while engine.next(at(2_000)).is_some() {
        sent += 1;
    }
    assert!(sent > 3, "{sent}");
    let before = engine.clone();
    let report = engine.report(at(5_000), "pod-1");
    assert_eq!(engine, before);
    assert_eq!((report.version, report.leader.identity.as_str()), (VERSION, "pod-1"));
    assert_eq!(report.leader.since, Wall(1_800_000_001).rfc3339());
    assert!(report.leader.synced && report.leader.may_act);
    assert_eq!((report.in_flight.len(), report.counts.in_flight), (sent, sent));
    assert!(report.in_flight.iter().all(|c| c.age_ms == 3_000 && !c.parts.is_empty()), "{:?}", report.in_flight);
    assert!(report.in_flight.iter().any(|c| c.order == "ReadZones" && c.lane == "hosted zones"));
    let waiting: Vec<&String> = report.parts.iter().flat_map(|p| &p.waiting).collect();
    assert!(waiting.iter().any(|w| w.ends_with("to be read")), "{waiting:?}");
    assert_eq!(waiting.len(), report.counts.waiting);
    let early = engine.report(at(2_000), "pod-1");
    let describe = early.buckets.iter().find(|b| b.family == "ElbDescribe").unwrap();
    assert!(describe.tokens < 50 && describe.burst == 100, "half full at the start: {describe:?}");
    let read: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(read, report);
    assert!(!engine.report(at(200_000), "pod-1").leader.may_act, "its lease has ended");
}

#[test]
fn a_refused_step_says_why_and_until_when() {
    let mut engine = engine();
    let mut zones = None;
    while let Some(effect) = engine.next(at(2_000)) {
        if effect.order.to_string() == "ReadZones" {
            zones = Some(effect.id);
        }
    }
    let refusal = Refusal { class: RefusalClass::Denied, message: "no right to list".into() };
    engine.handle(at(2_100), Event::Outcome { id: zones.unwrap(), outcome: Outcome::Refused(refusal) });
    assert!(engine.next(at(2_100)).is_none());
    let report = engine.report(at(2_100), "pod-1");
    let part = report.parts.iter().find(|p| p.part.kind == "Zones").unwrap();
    let step = &part.steps[0];
    assert_eq!((step.state, step.failures), (StepState::BackingOff, 1));
    assert_eq!(step.refusal.as_deref(), Some("no right to list"));
    assert!(step.until.as_deref() > Some(&*report.at), "{step:?}");
    assert_eq!(report.counts.backing_off, 1);
    assert_eq!(engine.tally(Mono(2_100))["Zones"].backing_off, 1);
    assert_eq!(engine.tally(Mono(2_100)).len(), PartKey::KINDS.len());
}

#[test]
fn a_part_is_found_by_what_it_speaks_of() {
    let part = |kind: &str, name: &str| PartName { kind: kind.into(), name: name.into() };
    assert!(part("Shard", "public#1").is_of("public") && part("Shard", "public#1").is_of("public#1"));
    assert!(part("Namespace", "team-a").is_of("team-a") && !part("Namespace", "team-ab").is_of("team-a"));
}
