//! When two states count as one.
//!
//! A state is stored as a 128-bit hash of what follows, in a fixed order:
//!
//! * AWS without times and ids of changes, all claims, apps and children, what edge pods were told, which shards the load
//!   balancer's status names;
//! * the calls in flight as a set, the effects that may still come, the script, whether anybody leads, and whether this
//!   leader still waits for its predecessor's calls;
//! * of the engine: its current plan (names of steps, what is waited for, what is held) and what it knows of AWS:
//!   rules, records and targets, and whether it knows them.
//!
//! Writes of claims are compared by what they mean. A version or UID in one says one thing only: whether it still meets
//! the claim it was made for; that is compared instead ([`State::meets`]). The number itself depends on how many other
//! objects were written before, and no decision and no refusal rests on it. ARNs are the model's: they depend on what is
//! made and how often, not on what else was made in between. This and the set of calls are the symmetry that is reduced.
//!
//! Left out: the clocks, the engine's back-offs, the ages of what it has read, its counters, the order in which tenants
//! were served, and statuses that are told and never decided on. Two states that differ only in these are searched once, from the one met first. So the search
//! is exhaustive over what is listed, and an approximation in time: a bug that needs one particular age of a reading or
//! one particular back-off beside an otherwise equal state can hide behind it. Random histories, which merge nothing,
//! look there.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use gatehouse_core::aws::AwsCall;
use gatehouse_core::plan::{KubeWrite, Order};
use gatehouse_crds::HostClaimStatus;

use crate::state::{Ghost, State};

/// Two hashers with different beginnings: 128 bits, so that a collision among a million states is out of the question.
struct Twin(DefaultHasher, DefaultHasher);

impl Twin {
    fn new() -> Twin {
        let mut out = Twin(DefaultHasher::new(), DefaultHasher::new());
        1_u8.hash(&mut out.1);
        out
    }

    fn sum(&self) -> u128 {
        u128::from(self.0.finish()) << 64 | u128::from(self.1.finish())
    }
}

impl Hasher for Twin {
    fn finish(&self) -> u64 {
        self.0.finish()
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
        self.1.write(bytes);
    }
}

pub fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Of a claim's status: no times, no ids of changes.
fn remembered(status: &HostClaimStatus) -> impl Hash {
    let zones: BTreeSet<&String> = status.dns_changes.keys().collect();
    let admitted: Vec<_> = status.admitted.iter().map(|(app, admitted)| (app, admitted.generation)).collect();
    let times = (status.released_at.is_some(), status.revoked_at.is_some());
    hash(&(status.state, &status.placement, &status.apps, &status.transfer_to, times, zones, admitted))
}

/// What an explored call means, without what was made up on the way here: versions, UIDs, times.
pub fn print(order: &Order) -> u64 {
    match order {
        Order::Kube(KubeWrite::ClaimStatus { name, status, .. }) => {
            let status: HostClaimStatus = serde_json::from_str(status).unwrap();
            hash(&("status", name, remembered(&status)))
        }
        Order::Kube(KubeWrite::DeleteClaim { name, .. }) => hash(&("delete", name)),
        Order::Kube(KubeWrite::CreateClaim { name, spec }) => hash(&("create", name, &spec.namespace)),
        other => hash(other),
    }
}

/// Hashes of parts of the essence, kept until the part changes.
#[derive(Clone, Copy, Default)]
pub struct Hashes {
    pub engine: Option<u128>,
    pub aws: Option<u128>,
    pub cluster: Option<u128>,
}

impl State {
    /// Whether what a call under way names is still there as it was then.
    fn meets(&self, order: &Order) -> bool {
        let claims = &self.cluster.world.claims;
        match order {
            Order::Kube(KubeWrite::ClaimStatus { name, resource_version, .. })
            | Order::Kube(KubeWrite::DeleteClaim { name, resource_version, .. }) => {
                claims.get(name).is_some_and(|c| c.meta.resource_version == *resource_version)
            }
            _ => true,
        }
    }

    /// Forgets effects that can never come any more: they name a version of a claim, or a rule, that is gone. Neither
    /// comes back.
    pub fn forget_ghosts(&mut self) {
        if self.ghosts.is_empty() {
            return;
        }
        let may_act = |ghost: &Ghost| match &*ghost.order {
            Order::Aws { call: AwsCall::ModifyRule { rule, .. } | AwsCall::DeleteRule { rule }, .. } => {
                self.rule_stands(rule)
            }
            order => self.meets(order),
        };
        self.ghosts = self.ghosts.iter().filter(|ghost| may_act(ghost)).cloned().collect();
    }

    fn of_aws(&self) -> u128 {
        let mut out = Twin::new();
        self.aws.hash_essence(&mut out);
        out.sum()
    }

    fn of_cluster(&self) -> u128 {
        let mut out = Twin::new();
        let world = &self.cluster.world;
        for claim in world.claims.values() {
            (&claim.spec.host, &claim.spec.namespace, remembered(&claim.status), claim.meta.deleting).hash(&mut out);
        }
        for (key, app) in &world.apps {
            (key, app.meta.deleting, app.meta.finalizer, app.meta.generation).hash(&mut out);
        }
        for (key, child) in &world.children {
            (key, &child.content).hash(&mut out);
        }
        for (key, pod) in &world.pods {
            (key, pod.target_healthy, &pod.table).hash(&mut out);
        }
        for balancer in world.load_balancers.values() {
            balancer.status.shards.iter().for_each(|shard| shard.shard.hash(&mut out));
        }
        out.sum()
    }

    fn of_engine(&self) -> u128 {
        let mut out = Twin::new();
        for (key, part) in self.engine.planned() {
            key.hash(&mut out);
            for step in &part.steps {
                step.key.what.hash(&mut out);
            }
            for waiting in &part.waiting {
                // A change's id is AWS's.
                waiting.strip_prefix("change ").map_or(waiting.as_str(), |_| "change").hash(&mut out);
            }
            part.held.hash(&mut out);
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
        out.sum()
    }

    /// AWS and the cluster: what the invariants of every state look at.
    pub fn outside(&mut self) -> (u128, u128) {
        let aws = self.hashes.aws.unwrap_or_else(|| self.of_aws());
        let cluster = self.hashes.cluster.unwrap_or_else(|| self.of_cluster());
        (self.hashes.aws, self.hashes.cluster) = (Some(aws), Some(cluster));
        (aws, cluster)
    }

    pub fn essence(&mut self) -> u128 {
        let outside = self.outside();
        let engine = self.hashes.engine.unwrap_or_else(|| self.of_engine());
        self.hashes.engine = Some(engine);
        let mut flights: Vec<(u64, bool)> = self.flights.iter().map(|f| (f.print, self.meets(&f.order))).collect();
        let under_way = flights.len().min(crate::state::IN_FLIGHT);
        flights[..under_way].sort_unstable();
        let mut ghosts: Vec<_> = self.ghosts.iter().map(|g| (g.print, g.former, self.meets(&g.order))).collect();
        ghosts.sort_unstable();
        let young = self.now < self.elected + self.settings.call_deadline;
        let mut out = Twin::new();
        (outside, engine, flights, ghosts, self.script, self.led, young).hash(&mut out);
        out.sum()
    }

    /// What stale reads would show now.
    pub fn past(&self) -> u128 {
        let mut out = Twin::new();
        let recent = self.before.iter().filter(|(_, b)| self.now < b.at + self.settings.consistency_window);
        for (object, before) in recent {
            (object, before.print).hash(&mut out);
        }
        out.sum()
    }
}
