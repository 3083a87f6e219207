//! Every order of a few calls, with faults: a model checker over the engine that ships, within stated bounds.

#![allow(clippy::unwrap_used, reason = "a test")]

mod choice;
mod essence;
mod invariants;
mod met;
mod scene;
mod search;
mod state;
mod wire;

use scene::Scene;
use search::{Bounds, Report, search};
use state::Lie;

/// `GATEHOUSE_LONG` searches further, `FAULTS` and `LEADERS` as far as one likes.
fn bounds(short: &[Bounds], long: &[Bounds]) -> Vec<Bounds> {
    let given = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    if let (Some(faults), Some(leaders)) = (given("FAULTS"), given("LEADERS")) {
        return vec![Bounds { faults, leaders, slow: std::env::var_os("SLOW").is_some() }];
    }
    if std::env::var_os("GATEHOUSE_LONG").is_some() { long.to_vec() } else { short.to_vec() }
}

fn prove(scene: Scene, bounds: &[Bounds]) {
    for one in bounds {
        let report: Report = search(scene, *one, Lie::None);
        println!("{report}");
        if let Some(broken) = report.broken {
            panic!("{broken}");
        }
    }
}

const CALM: Bounds = Bounds { faults: 0, leaders: 0, slow: false };
/// Without faults, but with time that passes at any moment.
const SLOW: Bounds = Bounds { slow: true, ..CALM };
const FAULT: Bounds = Bounds { faults: 1, ..CALM };
const FAULTS: Bounds = Bounds { faults: 2, ..CALM };
const LEADER: Bounds = Bounds { leaders: 1, ..CALM };
/// Everything at once: too much to be searched to its end so far.
const FULL: Bounds = Bounds { faults: 2, leaders: 1, slow: true };

#[test]
fn one_host_that_two_namespaces_want() {
    prove(Scene::SameHost, &bounds(&[FAULT], &[SLOW, FAULT, LEADER]));
}

#[test]
fn a_wildcard_and_a_host_under_it() {
    prove(Scene::Wildcard, &bounds(&[SLOW, FAULT], &[SLOW, FAULT, LEADER, FAULTS]));
}

/// An engine that works on a broken precondition is caught: otherwise the search above would prove nothing. Each within the
/// smallest bounds that can show it, one also within all of them: larger bounds only come to it later.
#[test]
fn a_broken_precondition_is_caught() {
    for (scene, bounds, lie, expected) in [
        (Scene::Wildcard, CALM, Lie::Listed, "both Held"),
        (Scene::Wildcard, FULL, Lie::Listed, "both Held"),
        (Scene::SameHost, LEADER, Lie::ClaimTwice, "does not hold"),
        (Scene::SameHost, CALM, Lie::RecordsStay, "without a rule"),
    ] {
        let report = search(scene, bounds, lie);
        let broken = report.broken.clone().unwrap_or_default();
        assert!(broken.contains(expected), "{lie:?} is not caught within {bounds:?}: {broken}");
        println!("{lie:?}: caught after {} states: {}", report.states, broken.lines().next().unwrap_or_default());
    }
}
