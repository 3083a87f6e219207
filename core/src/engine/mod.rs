//! The engine is a value: events in, effects out, no clock and no I/O.
//!
//! ```text
//! handle(now, Event)   world, observed, memory change; parts become dirty
//! next(now)            dirty parts are planned anew; the best ready step of a free lane goes out
//! wake_at()            when to call next although nothing happens
//! ```
//!
//! Guarantees: one step per lane at a time; no step goes out without a valid lease; a step whose part may have changed
//! since it was planned is planned anew right before it goes out; an outcome that is not known is treated as a call
//! still in flight.

mod bucket;
mod contest;
mod dirty;
mod dispatch;
mod index;
mod orphans;
mod outcome;
mod records;
pub mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_route::Host;

use crate::aws::{AwsAnswer, Family, Refusal, RefusalClass};
use crate::desired::NamespaceDesired;
use crate::observed::{Observed, Scope};
use crate::plan::{
    KubeWrite, Lane, Memory, Order, Part, PartKey, Step, StepKey, View, adopted_forms, plan, zone_roles,
};
use crate::settings::Settings;
use crate::time::{Mono, Now};
use crate::world::{AppFacts, ChildFacts, ClaimFacts, Delta, IngressFacts, LoadBalancerFacts, PolicyFacts, World};

pub use bucket::Buckets;
use index::Index;

/// Identity of an effect.
pub type EffectId = u64;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// In the cluster.
    Kube(Delta),
    /// To an effect.
    Outcome {
        /// Which.
        id: EffectId,
        /// How it ended.
        outcome: Outcome,
    },
    /// To our lease.
    Lease {
        /// Until when we may act.
        valid_until: Mono,
    },
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It had its effect.
    Done(Answer),
    /// It had none.
    Refused(Refusal),
    /// Nobody can tell.
    Unknown,
}

/// What an effect gave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Nothing of use.
    Nothing,
    /// From AWS.
    Aws(AwsAnswer),
    /// The written object, to be seen before the watch shows it.
    App(Arc<AppFacts>),
    /// The written object.
    LoadBalancer(Arc<LoadBalancerFacts>),
    /// The written object.
    Policy(Arc<PolicyFacts>),
    /// The written object.
    Claim(Arc<ClaimFacts>),
    /// The written object.
    Child(Arc<ChildFacts>),
    /// The written object.
    Ingress(Arc<IngressFacts>),
    /// The table hash an edge or shard answered; `None` if it answered none.
    Table(Option<String>),
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Effect {
    /// Identity.
    pub id: EffectId,
    /// What.
    pub order: Order,
    /// Not after this: the shell looks again just before sending.
    pub not_after: Mono,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    steps: Vec<Step>,
    order: Order,
    lane: Lane,
    /// For a read, the epoch of its scope at the start.
    epoch: u64,
    sent: Mono,
    /// The watch has shown the end of the written object meanwhile: the answer is older than that.
    overtaken: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct BackOff {
    failures: u32,
    until: Mono,
}

/// Numbers for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    /// Effects sent, by family.
    pub sent: BTreeMap<Family, u64>,
    /// Effects refused, by class.
    pub refused: BTreeMap<RefusalClass, u64>,
    /// Effects of unknown outcome.
    pub unknown: u64,
}

/// The engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    settings: Settings,
    world: World,
    observed: Observed,
    memory: Memory,
    index: Index,
    parts: BTreeMap<PartKey, Part>,
    dirty: BTreeSet<PartKey>,
    timers: BTreeSet<(Mono, PartKey)>,
    /// Parts whose status is to be told within a second, and when.
    told: BTreeMap<PartKey, Mono>,
    ready: BTreeMap<Family, BTreeMap<String, BTreeSet<PartKey>>>,
    in_flight: BTreeMap<EffectId, InFlight>,
    busy: BTreeSet<Lane>,
    /// Claims about which a write ended nobody knows how, until when it may still show.
    doubts: BTreeMap<(Host, String), Mono>,
    back_off: BTreeMap<StepKey, BackOff>,
    served: BTreeMap<String, u64>,
    buckets: Buckets,
    lease: Option<Mono>,
    next_id: EffectId,
    turn: u64,
    burst: (String, u32),
    counters: Counters,
    now: Mono,
    fresh: Fresh,
}

/// Parts that need not be planned again before their steps go out. It saves work and decides nothing, so two engines
/// that differ here alone are the same.
#[derive(Clone, Debug, Default)]
struct Fresh {
    /// Planned since the last event and the last call.
    all: BTreeSet<PartKey>,
    /// Planned since the last change that may concern more parts than it marks: calls of AWS under way and their ends
    /// do (what others may still make), what happens to objects of one namespace does not.
    marked: BTreeSet<PartKey>,
}

impl Fresh {
    fn planned(&mut self, key: &PartKey) {
        self.all.insert(key.clone());
        self.marked.insert(key.clone());
    }

    fn forget(&mut self, alone: bool) {
        self.all.clear();
        if !alone {
            self.marked.clear();
        }
    }

    /// Whether the step's part is as it would be planned now. Calls of AWS and the choice of a place rest on what all
    /// namespaces have; parts that are told once a second lag behind.
    fn holds(&self, step: &Step, told: &BTreeMap<PartKey, Mono>) -> bool {
        let own = !matches!(step.order, Order::Aws { .. }) && step.lane != Lane::Placement;
        let part = &step.key.part;
        self.all.contains(part) || own && self.marked.contains(part) && !told.contains_key(part)
    }
}

impl PartialEq for Fresh {
    fn eq(&self, _: &Fresh) -> bool {
        true
    }
}

impl Eq for Fresh {}

impl std::hash::Hash for Fresh {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings, buckets: Buckets) -> Self {
        Engine {
            settings,
            world: World::default(),
            observed: Observed::default(),
            memory: Memory::default(),
            index: Index::default(),
            parts: BTreeMap::new(),
            dirty: BTreeSet::new(),
            timers: BTreeSet::new(),
            told: BTreeMap::new(),
            ready: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            busy: BTreeSet::new(),
            doubts: BTreeMap::new(),
            back_off: BTreeMap::new(),
            served: BTreeMap::new(),
            buckets,
            lease: None,
            next_id: 1,
            turn: 0,
            burst: (String::new(), 0),
            counters: Counters::default(),
            now: Mono(0),
            fresh: Fresh::default(),
        }
    }

    /// Takes in what happened. Nothing is decided here; outcomes are drained before planning.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.now = now.mono;
        self.fresh.forget(self.alone(&event));
        match event {
            Event::Kube(delta) => {
                self.overtake(&delta);
                self.kube(now, delta);
            }
            Event::Outcome { id, outcome } => self.outcome(now, id, outcome),
            Event::Lease { valid_until } => {
                if self.lease.is_none() {
                    self.memory.started = now.mono;
                }
                self.lease = Some(valid_until);
            }
        }
    }

    /// Whether all that this may change is marked: it concerns objects of one namespace.
    fn alone(&self, event: &Event) -> bool {
        let shared = |write: &KubeWrite| {
            matches!(
                write,
                KubeWrite::LoadBalancerStatus { .. }
                    | KubeWrite::LoadBalancerFinalizers { .. }
                    | KubeWrite::PolicyStatus { .. }
            )
        };
        match event {
            Event::Kube(Delta::LoadBalancer(..) | Delta::Policy(..) | Delta::Synced(_)) | Event::Lease { .. } => false,
            Event::Kube(_) => true,
            Event::Outcome { id, .. } => match self.in_flight.get(id).map(|flight| &flight.order) {
                Some(Order::Kube(write)) => !shared(write),
                Some(Order::Probe(_)) | None => true,
                Some(Order::Aws { .. }) => false,
            },
        }
    }

    /// An answer that arrives after its object's end must not bring it back: no watch would ever take it away again.
    fn overtake(&mut self, delta: &Delta) {
        for flight in self.in_flight.values_mut() {
            if let Order::Kube(write) = &flight.order {
                flight.overtaken |= write.ended_by(delta);
            }
        }
    }

    fn kube(&mut self, now: Now, delta: Delta) {
        let before = self.world.complete();
        let touched = self.index.touch(&self.world, &delta);
        // What a claim is for never changes; that there is one decides whether a certificate is needed.
        let claimed =
            matches!(&delta, Delta::Claim(name, new) if new.is_some() != self.world.claims.contains_key(name));
        let balancer = matches!(delta, Delta::LoadBalancer(..));
        let before_it = balancer.then(|| (adopted_forms(&self.world), zone_roles(&self.world)));
        if !self.world.apply(delta.clone()) {
            return;
        }
        if let Some((adopted, roles)) = before_it {
            if adopted != adopted_forms(&self.world) {
                self.adoption_changed();
            }
            // Zones of other accounts are listed as their roles: with other roles it is another question.
            if roles != zone_roles(&self.world) {
                self.observed.outdate(&Scope::Zones);
                self.dirty.insert(PartKey::Zones);
            }
        }
        if self.world.complete() && !before {
            self.index.rebuild(&self.world);
            Index::note_all(&self.world, &mut self.memory, now.mono);
            self.refresh_all();
        } else if self.world.complete() {
            let touched = touched.merge(self.index.touch(&self.world, &delta));
            let missing = self.memory.missing_since.len();
            self.index.note(&self.world, &mut self.memory, now.mono, &delta);
            if let Delta::Claim(name, claim) = &delta {
                let host = claim.as_ref().and_then(|c| Host::parse(&c.spec.host).ok());
                self.note_claim(now.mono, name, host.as_ref());
            }
            if self.memory.missing_since.len() != missing {
                self.world.load_balancers.keys().cloned().collect::<Vec<_>>().iter().for_each(|lb| self.tell_soon(lb));
            }
            if claimed {
                self.mark_certificates();
            }
            // One that says the same in other words is reviewed as before, and told so.
            if let Delta::Policy(name, _) = &delta {
                self.dirty.insert(PartKey::Policy(name.clone()));
            }
            if matches!(delta, Delta::Namespace(..) | Delta::Foreign(..)) {
                for name in self.world.policies.keys().cloned().collect::<Vec<_>>() {
                    self.soon(PartKey::Policy(name));
                }
            }
            self.refresh(&touched);
        }
    }

    /// The next effect, if any may go out now.
    pub fn next(&mut self, now: Now) -> Option<Effect> {
        let lease = self.lease.filter(|until| *until > now.mono)?;
        if !self.world.complete() {
            return None;
        }
        self.expire_timers(now.mono);
        loop {
            self.replan(now);
            let (step, family) = self.pick(now.mono)?;
            // What was planned before the last outcome may be wrong by now.
            if !self.fresh.holds(&step, &self.told) {
                self.dirty.insert(step.key.part.clone());
                self.replan(now);
            }
            let still = self.parts.get(&step.key.part).is_some_and(|p| p.steps.contains(&step));
            if still && !self.busy.contains(&step.lane) {
                return Some(self.send(now.mono, lease, step, family));
            }
        }
    }

    fn expire_timers(&mut self, now: Mono) {
        while let Some((at, part)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, part.clone()));
            self.told.remove(&part);
            self.dirty.insert(part);
        }
    }

    fn view<'a>(&'a self, now: Now) -> View<'a> {
        self.view_of(now, &self.index)
    }

    fn view_of<'a>(&'a self, now: Now, index: &'a Index) -> View<'a> {
        View {
            now,
            settings: &self.settings,
            world: &self.world,
            observed: &self.observed,
            reviews: &index.reviews,
            desired: &index.desired,
            claims: &index.claims,
            load: &index.load,
            memory: &self.memory,
        }
    }

    /// Brings reviews and desired of touched namespaces up to date, then plans every dirty part.
    fn replan(&mut self, now: Now) {
        let today = now.wall.day();
        if self.index.day != today {
            self.index.day = today;
            self.index.now = now.wall;
            self.refresh_all();
        }
        let changed = self.index.recompute(&self.world, &self.settings);
        if !changed.is_empty() {
            // A new host may need a certificate that has to be looked for.
            let regions: BTreeSet<String> =
                self.world.load_balancers.values().map(|lb| lb.spec.region.clone()).collect();
            regions.into_iter().for_each(|region| self.soon(PartKey::Region(region)));
        }
        for namespace in &changed {
            // Like a load balancer's: what a policy finds is told once a second.
            let policies = self.index.reviews.get(namespace).map(|r| r.rulebook.policies.clone());
            policies.into_iter().flatten().for_each(|name| self.soon(PartKey::Policy(name)));
        }
        for namespace in changed {
            self.mark_namespace(&namespace);
        }
        while let Some(key) = self.dirty.pop_first() {
            let part = plan(&self.view(now), &key);
            self.fresh.planned(&key);
            self.store(key, part, now.mono);
        }
    }

    fn store(&mut self, key: PartKey, part: Part, now: Mono) {
        if let Some(old) = self.parts.remove(&key) {
            // The same moment may be when it is to be told.
            if let Some(at) = old.wake.filter(|at| self.told.get(&key) != Some(at)) {
                self.timers.remove(&(at, key.clone()));
            }
            for step in &old.steps {
                self.unready(&step.order.family(), &key);
            }
        }
        if let Some(at) = part.wake {
            // A wake in the past would spin; the next event or this moment's plan has it covered.
            self.timers.insert((at.max(now.plus(1)), key.clone()));
        }
        let part = Part { wake: part.wake.map(|at| at.max(now.plus(1))), ..part };
        for step in &part.steps {
            let tenants = self.ready.entry(step.order.family()).or_default();
            tenants.entry(key.tenant().to_owned()).or_default().insert(key.clone());
        }
        if part != Part::default() {
            self.parts.insert(key, part);
        }
    }

    fn unready(&mut self, family: &Family, key: &PartKey) {
        if let Some(tenants) = self.ready.get_mut(family) {
            if let Some(parts) = tenants.get_mut(key.tenant()) {
                parts.remove(key);
                if parts.is_empty() {
                    tenants.remove(key.tenant());
                }
            }
            if tenants.is_empty() {
                self.ready.remove(family);
            }
        }
    }

    /// When to call [`Engine::next`] although nothing happens.
    #[must_use]
    pub fn wake_at(&self, now: Now) -> Option<Mono> {
        // Without a lease nothing may be done, whatever is due.
        self.lease.filter(|until| *until > now.mono)?;
        let timer = self.timers.first().map(|(at, _)| *at);
        let planned = |key: &StepKey| self.parts.get(&key.part).is_some_and(|p| p.steps.iter().any(|s| s.key == *key));
        let waits = self.back_off.iter().filter(|(key, b)| b.until > now.mono && planned(key));
        let back_off = waits.map(|(_, b)| b.until).min();
        let tokens = self
            .ready
            .keys()
            .filter_map(|family| self.buckets.next(*family, now.mono))
            .filter(|at| *at > now.mono)
            .min();
        [timer, back_off, tokens].into_iter().flatten().min()
    }

    fn refresh_all(&mut self) {
        self.index.stale_all(&self.world);
        self.mark_everything();
    }

    fn refresh(&mut self, touched: &index::Touched) {
        if touched.everything {
            self.refresh_all();
            return;
        }
        for namespace in &touched.namespaces {
            if touched.content {
                self.index.stale(namespace);
            }
            self.mark_namespace(namespace);
        }
        for shard in touched.shards.iter().cloned() {
            self.dirty.insert(PartKey::Shard(shard));
        }
        for name in touched.load_balancers.iter().cloned() {
            self.dirty.insert(PartKey::LoadBalancer(name));
        }
        touched.counted_by.iter().for_each(|name| self.tell_soon(name));
    }

    /// The plan in full, made from scratch: for audits, for people, and as the oracle of the incremental one.
    #[must_use]
    pub fn full_plan(&self, now: Now) -> BTreeMap<PartKey, Part> {
        let mut index = Index::default();
        index.day = now.wall.day();
        index.now = now.wall;
        index.rebuild(&self.world);
        let _ = index.recompute(&self.world, &self.settings);
        let view = self.view_of(now, &index);
        let keys = self.every_part(&index);
        keys.into_iter()
            .map(|key| (key.clone(), plan(&view, &key)))
            .filter(|(_, part)| *part != Part::default())
            .collect()
    }

    /// The plan as the incremental way has it now.
    #[must_use]
    pub fn current_plan(&mut self, now: Now) -> &BTreeMap<PartKey, Part> {
        self.expire_timers(now.mono);
        self.replan(now);
        &self.parts
    }

    /// The plan, as of the last call of [`Engine::next`].
    #[must_use]
    pub fn planned(&self) -> &BTreeMap<PartKey, Part> {
        &self.parts
    }

    /// Whether nothing is under way and nothing could be sent.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.in_flight.is_empty() && self.ready.is_empty()
    }

    /// Effects under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What is known of Kubernetes.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What each namespace should have, as of the last call of [`Engine::next`].
    #[must_use]
    pub fn desired(&self) -> &BTreeMap<String, NamespaceDesired> {
        &self.index.desired
    }

    /// What is known of AWS.
    #[must_use]
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Region, ARN and end (seconds since 1970) of every certificate that a listener of ours serves.
    pub fn certificate_ends(&self) -> impl Iterator<Item = (&str, &str, i64)> {
        let served = self.observed.shards.iter().flat_map(|(shard, observed)| {
            let region = self.world.load_balancers.get(&shard.load_balancer).map(|lb| lb.spec.region.as_str());
            let https = observed.listeners.last().and_then(|l| l.get(&crate::aws::ListenerKind::Https));
            let default = https.and_then(|l| l.certificate.as_ref());
            let more = observed.certificates.last().into_iter().flatten();
            region
                .into_iter()
                .flat_map(move |region| default.into_iter().chain(more.clone()).map(move |arn| (region, arn)))
        });
        served.filter_map(|(region, arn)| {
            let certificate = self.observed.certificates.get(region)?.last()?.get(arn)?;
            (certificate.not_after != 0).then_some((region, arn.as_str(), certificate.not_after))
        })
    }

    /// Numbers.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
