//! The engine as people see it: what can go out, what is under way, what waits and what is held. A pure function of the
//! engine between two turns; it changes nothing and plans nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::plan::{Part, PartKey, Step};
use crate::time::{Mono, Now};

/// Version of [`Report`]; raised only when a reader of the old one would misread the new one.
pub const VERSION: u32 = 1;

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The moment it speaks of, RFC 3339.
    pub at: String,
    /// Who leads.
    pub leader: Leader,
    /// How much there is.
    pub counts: Counts,
    /// Token buckets of AWS's calls.
    pub buckets: Vec<Level>,
    /// Calls, writes and questions under way, the oldest first.
    pub in_flight: Vec<Call>,
    /// Parts in which something is to be done, waits or is held.
    pub parts: Vec<PartReport>,
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Leader {
    /// Name under which it holds the lease: the pod's.
    pub identity: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Whether every kind was listed once; nothing is planned before.
    pub synced: bool,
    /// Whether it may act now: its lease holds.
    pub may_act: bool,
}

/// Numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// ExposedApps.
    pub apps: usize,
    /// HostClaims.
    pub claims: usize,
    /// SharedLoadBalancers.
    pub load_balancers: usize,
    /// Steps that go out as soon as their bucket has a token; not those of a busy lane.
    pub ready: usize,
    /// Steps that failed and wait to be tried again.
    pub backing_off: usize,
    /// Calls, writes and questions under way.
    pub in_flight: usize,
    /// Things waited for.
    pub waiting: usize,
    /// Things held back.
    pub held: usize,
}

/// One token bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Level {
    /// Family of calls.
    pub family: String,
    /// Calls that may go out at once.
    pub tokens: u64,
    /// Most there can be.
    pub burst: u64,
}

/// One effect under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Call {
    /// What is done.
    pub order: String,
    /// Whose slot it occupies.
    pub lane: String,
    /// Parts it works for.
    pub parts: Vec<PartName>,
    /// Since how many milliseconds.
    pub age_ms: u64,
}

/// Which part.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartName {
    /// Region, Certificates, Zones, Shard, Namespace, LoadBalancer or Policy.
    pub kind: String,
    /// Of a shard `public#0`; empty for Zones.
    pub name: String,
}

impl PartName {
    /// Whether it speaks of this namespace, load balancer, shard, Region or policy.
    #[must_use]
    pub fn is_of(&self, name: &str) -> bool {
        self.name == name || self.kind == "Shard" && self.name.split('#').next() == Some(name)
    }
}

/// One part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartReport {
    /// Which.
    #[serde(flatten)]
    pub part: PartName,
    /// Steps.
    pub steps: Vec<StepReport>,
    /// What is waited for.
    pub waiting: Vec<String>,
    /// What is held back, with reason and cure.
    pub held: Vec<String>,
    /// When it looks again although nothing happens, RFC 3339.
    pub looks_again: Option<String>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepReport {
    /// What it is about.
    pub what: String,
    /// Whose slot it needs.
    pub lane: String,
    /// What would be done.
    pub order: String,
    /// Where it stands.
    pub state: StepState,
    /// While backing off: until when, RFC 3339.
    pub until: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// The last refusal, in its own words.
    pub refusal: Option<String>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StepState {
    /// It goes out as soon as its bucket has a token.
    #[default]
    Ready,
    /// Another step, or itself, is under way in its lane.
    LaneBusy,
    /// It failed and waits.
    BackingOff,
}

/// How much of the plan is in which state, by kind of part: few enough for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps that could go out.
    pub ready: usize,
    /// Steps that failed and wait.
    pub backing_off: usize,
    /// Things waited for.
    pub waiting: usize,
    /// Things held back.
    pub held: usize,
}

impl PartKey {
    /// Every kind, as reports and metrics call it.
    pub const KINDS: [&'static str; 7] =
        ["Region", "Certificates", "Zones", "Shard", "Namespace", "LoadBalancer", "Policy"];

    /// Its kind, one of [`PartKey::KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            PartKey::Region(_) => "Region",
            PartKey::Certificates(_) => "Certificates",
            PartKey::Zones => "Zones",
            PartKey::Shard(_) => "Shard",
            PartKey::Namespace(_) => "Namespace",
            PartKey::LoadBalancer(_) => "LoadBalancer",
            PartKey::Policy(_) => "Policy",
        }
    }
}

impl From<&PartKey> for PartName {
    fn from(key: &PartKey) -> PartName {
        let name = match key {
            PartKey::Zones => String::new(),
            PartKey::Shard(shard) => shard.to_string(),
            PartKey::Region(name)
            | PartKey::Certificates(name)
            | PartKey::Namespace(name)
            | PartKey::LoadBalancer(name)
            | PartKey::Policy(name) => name.clone(),
        };
        PartName { kind: key.kind().to_owned(), name }
    }
}

impl Engine {
    /// What is to be done, under way, waited for and held, as of the last call of [`Engine::next`].
    #[must_use]
    pub fn report(&self, now: Now, identity: &str) -> Report {
        let moment = |at: Mono| {
            // Both clocks are at hand, so that people read a time of day and not a distance.
            let ahead = at.since(now.mono).div_ceil(1000);
            let wall = now.wall.plus(ahead).0 - i64::try_from(now.mono.since(at) / 1000).unwrap_or(0);
            crate::time::Wall(wall).rfc3339()
        };
        let step = |step: &Step| {
            let back_off = self.back_off.get(&step.key);
            let later = back_off.filter(|b| b.until > now.mono);
            let state = match later {
                _ if self.busy.contains(&step.lane) => StepState::LaneBusy,
                Some(_) => StepState::BackingOff,
                None => StepState::Ready,
            };
            StepReport {
                what: step.key.what.clone(),
                lane: step.lane.to_string(),
                order: step.order.to_string(),
                state,
                until: later.map(|b| moment(b.until)),
                failures: back_off.map_or(0, |b| b.failures),
                refusal: self.memory.refusals.get(&step.key).map(|r| r.message.clone()),
            }
        };
        let part = |(key, part): (&PartKey, &Part)| PartReport {
            part: key.into(),
            steps: part.steps.iter().map(step).collect(),
            waiting: part.waiting.clone(),
            held: part.held.clone(),
            looks_again: part.wake.map(moment),
        };
        // A part that only looks again some day is no news.
        let busy =
            self.parts.iter().filter(|(_, p)| !(p.steps.is_empty() && p.waiting.is_empty() && p.held.is_empty()));
        let parts: Vec<PartReport> = busy.map(part).collect();
        let mut in_flight: Vec<Call> = self.in_flight.values().map(|call| self.call(call, now)).collect();
        in_flight.sort_by_key(|call| std::cmp::Reverse(call.age_ms));
        let tally = self.tally(now.mono);
        let sum = |of: fn(&Tally) -> usize| tally.values().map(of).sum();
        Report {
            version: VERSION,
            at: now.wall.rfc3339(),
            leader: Leader {
                identity: identity.to_owned(),
                since: moment(self.memory.started),
                synced: self.world.complete(),
                may_act: self.lease.is_some_and(|until| until > now.mono),
            },
            counts: Counts {
                apps: self.world.apps.len(),
                claims: self.world.claims.len(),
                load_balancers: self.world.load_balancers.len(),
                ready: sum(|t| t.ready),
                backing_off: sum(|t| t.backing_off),
                in_flight: in_flight.len(),
                waiting: sum(|t| t.waiting),
                held: sum(|t| t.held),
            },
            buckets: self.buckets.levels(now.mono),
            in_flight,
            parts,
        }
    }

    fn call(&self, call: &super::InFlight, now: Now) -> Call {
        let mut parts: Vec<PartName> = call.steps.iter().map(|s| PartName::from(&s.key.part)).collect();
        parts.sort();
        parts.dedup();
        Call { order: call.order.to_string(), lane: call.lane.to_string(), parts, age_ms: now.mono.since(call.sent) }
    }

    /// The plan in numbers, by kind of part; kinds without anything are there too, so that a gauge falls to 0.
    #[must_use]
    pub fn tally(&self, now: Mono) -> BTreeMap<&'static str, Tally> {
        let mut out: BTreeMap<&'static str, Tally> = PartKey::KINDS.map(|kind| (kind, Tally::default())).into();
        for (key, part) in &self.parts {
            let tally = out.entry(key.kind()).or_default();
            let later = |s: &&Step| self.back_off.get(&s.key).is_some_and(|b| b.until > now);
            // What is under way, or stands behind it, is neither.
            let free = || part.steps.iter().filter(|s| !self.busy.contains(&s.lane));
            tally.backing_off += free().filter(later).count();
            tally.ready += free().filter(|s| !later(s)).count();
            tally.waiting += part.waiting.len();
            tally.held += part.held.len();
        }
        out
    }
}

#[cfg(test)]
mod tests;
