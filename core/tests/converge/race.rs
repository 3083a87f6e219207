//! Answers come in any order: two namespaces that claim overlapping hosts at one instant, and one of them holds its own.

use std::collections::BTreeSet;

use gatehouse_core::plan::{KubeWrite, Order};
use gatehouse_core::{Buckets, Engine, Event, Mono, Now, Outcome, Wall};
use gatehouse_crds::ClaimState;

use crate::{app, settings, start};

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

/// Plays the first writes with their answers, and some of them lost, in an order of the dice. Gives who holds something in
/// the end, and how often an answer overtook that of an earlier claim.
fn play(hosts: [&str; 2], seed: u64) -> (BTreeSet<String>, usize) {
    let mut dice = Dice(seed);
    let mut cluster = start().cluster;
    for (namespace, host) in [("team-a", hosts[0]), ("team-b", hosts[1])] {
        let grant = "loadBalancers: [public]\ngrants: [{domains: [race.example.com]}]\n";
        cluster.policy(namespace, &format!("namespaces: {{names: [{namespace}]}}\n{grant}"));
        cluster.app(namespace, "racer", &app(&format!("['{host}']"), "web"));
    }
    let mut engine = Engine::new(settings(), Buckets::default());
    let mut mono = 1_000;
    let now = |mono: u64| Now { mono: Mono(mono), wall: Wall(1_800_000_000 + i64::try_from(mono / 1000).unwrap()) };
    for delta in cluster.listed() {
        engine.handle(now(mono), Event::Kube(delta));
    }
    cluster.changes.clear();
    engine.handle(now(mono), Event::Lease { valid_until: Mono(u64::MAX) });
    let (mut sent, mut answers, mut overtaken) = (Vec::new(), Vec::new(), 0);
    for _ in 0..400 {
        while let Some(effect) = engine.next(now(mono)) {
            // AWS never answers here: only claims are played.
            if let Order::Kube(write) = effect.order {
                sent.push((effect.id, write));
            }
        }
        let held: BTreeSet<&str> = cluster
            .world
            .claims
            .values()
            .filter(|c| c.status.state == ClaimState::Held)
            .map(|c| c.spec.namespace.as_str())
            .collect();
        assert!(held.len() < 2, "SEED={seed}: {hosts:?} are both held");
        match (sent.len(), answers.len()) {
            (0, 0) if cluster.changes.is_empty() => mono += 1_000,
            // A write takes effect some time after it was sent, and is answered some time after that, or never.
            (writes, _) if writes > 0 && dice.below(2) == 0 => {
                let (id, write) = sent.swap_remove(dice.below(writes));
                let outcome = match cluster.write(&write) {
                    Ok(answer) => Outcome::Done(answer),
                    Err(refusal) => Outcome::Refused(refusal),
                };
                let claim = matches!(write, KubeWrite::CreateClaim { .. } | KubeWrite::ClaimStatus { .. });
                let lost = claim && dice.below(6) == 0;
                answers.push((id, if lost { Outcome::Unknown } else { outcome }));
            }
            (_, waiting) if waiting > 0 && dice.below(3) > 0 => {
                let at = dice.below(waiting);
                overtaken += usize::from(at > 0);
                let (id, outcome) = answers.remove(at);
                engine.handle(now(mono), Event::Outcome { id, outcome });
            }
            _ => {
                mono += 20;
                // One watch per kind: what is of one kind keeps its order.
                if !cluster.changes.is_empty() && dice.below(4) == 0 {
                    let delta = cluster.changes.remove(0);
                    engine.handle(now(mono), Event::Kube(delta));
                }
            }
        }
    }
    let held = cluster.world.claims.values().filter(|c| c.status.state == ClaimState::Held);
    (held.map(|c| c.spec.namespace.clone()).collect(), overtaken)
}

#[test]
fn of_two_overlapping_claims_one_is_held_whatever_answer_comes_first() {
    let (mut holders, mut overtaken) = (BTreeSet::new(), 0);
    for seed in 0..400 {
        for hosts in [
            ["x.race.example.com", "x.race.example.com"],
            ["*.race.example.com", "x.race.example.com"],
            ["x.race.example.com", "*.race.example.com"],
        ] {
            let (held, more) = play(hosts, seed);
            assert_eq!(held.len(), 1, "SEED={seed}: {hosts:?}");
            holders.extend(held);
            overtaken += more;
        }
    }
    assert_eq!(holders.len(), 2, "both must win now and then");
    assert!(overtaken > 1_000, "answers came in their order");
}
