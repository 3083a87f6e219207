//! When two states count as one.
//!
//! A state is stored as a 128-bit hash of what follows, in a fixed order:
//!
//! * AWS without what it made up (ids, times), all claims, apps and children;
//! * the calls in flight as a set (which slot a call has is nobody's business: this is the symmetry that is reduced),
//!   the effects that may still come; the faults and leader changes left; the script;
//! * of the engine: its current plan (names of steps, what is waited for, what is held) and what it knows of AWS: rules, records
//!   and targets, and whether it knows them.
//!
//! Left out: the clocks, the engine's back-offs, the ages of what it has read, its counters and the order in which
//! tenants were served. Two states that differ only in these are searched once, from the one met first. So the search
//! is exhaustive over what is listed, and an approximation in time: a bug that needs one particular age of a reading or
//! one particular back-off beside an otherwise equal state can hide behind it. Random histories, which merge nothing,
//! look there.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use gatehouse_virtual::short;

use crate::state::State;

/// Two hashers with different beginnings: 128 bits, so that a collision among a million states is out of the question.
struct Twin(DefaultHasher, DefaultHasher);

impl Hasher for Twin {
    fn finish(&self) -> u64 {
        self.0.finish()
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
        self.1.write(bytes);
    }
}

impl State {
    pub fn essence(&mut self) -> u128 {
        let mut out = Twin(DefaultHasher::new(), DefaultHasher::new());
        1_u8.hash(&mut out.1);
        let aws = &self.aws;
        self.aws_hash
            .get_or_insert_with(|| {
                let mut hasher = DefaultHasher::new();
                aws.essence().to_string().hash(&mut hasher);
                hasher.finish()
            })
            .hash(&mut out);
        let world = &self.cluster.world;
        for claim in world.claims.values() {
            (&claim.spec.host, &claim.spec.namespace, claim.status.state, &claim.status.placement).hash(&mut out);
            (&claim.status.apps, claim.meta.deleting).hash(&mut out);
        }
        for (key, app) in &world.apps {
            (key, app.meta.deleting, app.meta.finalizer, app.meta.generation).hash(&mut out);
        }
        for (key, child) in &world.children {
            (key, &child.content).hash(&mut out);
        }
        let mut flights: Vec<String> = self.flights.iter().map(|f| short(&f.order)).collect();
        flights.sort();
        let mut ghosts: Vec<(String, bool)> = self.ghosts.iter().map(|g| (short(&g.order), g.former)).collect();
        ghosts.sort();
        (flights, ghosts, self.faults, self.leaders, self.script).hash(&mut out);
        let now = self.clock();
        for (key, part) in self.engine.current_plan(now) {
            key.hash(&mut out);
            for step in &part.steps {
                step.key.what.hash(&mut out);
            }
            (&part.waiting, &part.held).hash(&mut out);
        }
        let observed = self.engine.observed();
        for (key, shard) in &observed.shards {
            (key, shard.rules.known(), &shard.coming, &shard.seen).hash(&mut out);
        }
        for (key, cell) in &observed.records {
            (key, cell.known().map(|r| (&r.at_host, &r.txt))).hash(&mut out);
        }
        for (key, cell) in &observed.targets {
            (key, cell.known()).hash(&mut out);
        }
        u128::from(out.0.finish()) << 64 | u128::from(out.1.finish())
    }
}
