//! Reviews and desired per namespace, kept by what they depend on, and the small global fold over claims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_crds::{ClaimState, keys};
use gatehouse_route::Host;

use crate::children::Common;
use crate::claims::blocked_by;
use crate::desired::{NamespaceDesired, desired};
use crate::identity::{AppKey, ShardKey, claim_name};
use crate::ingress::derive;
use crate::plan::{self, Memory, NamespaceLoad, NamespaceReview, ShardLoad};
use crate::review::{AppReview, Facts, Rulebook, Sibling, Siblings, review};
use crate::settings::Settings;
use crate::time::{Mono, Wall};
use crate::world::{ClaimFacts, Delta, LoadBalancerFacts, ServiceFacts, World};

/// What a change touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) everything: bool,
    pub(super) namespaces: BTreeSet<String>,
    /// Whether reviews or desired of those namespaces may change, not only their plans.
    pub(super) content: bool,
    pub(super) shards: BTreeSet<ShardKey>,
    pub(super) load_balancers: BTreeSet<String>,
    /// Load balancers whose status counts what changed; it is told within the second.
    pub(super) counted_by: BTreeSet<String>,
}

impl Touched {
    pub(super) fn merge(mut self, other: Touched) -> Touched {
        self.everything |= other.everything;
        self.content |= other.content;
        self.namespaces.extend(other.namespaces);
        self.shards.extend(other.shards);
        self.load_balancers.extend(other.load_balancers);
        self.counted_by.extend(other.counted_by);
        self
    }
}

/// The memo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Index {
    pub(super) reviews: BTreeMap<String, NamespaceReview>,
    pub(super) desired: BTreeMap<String, NamespaceDesired>,
    /// Claims by namespace: object names.
    pub(super) claims: BTreeMap<String, BTreeSet<String>>,
    /// Namespace by claim.
    holder: BTreeMap<String, String>,
    /// Namespaces whose apps name a host.
    wanting: BTreeMap<Host, BTreeSet<String>>,
    wanted_by: BTreeMap<String, BTreeSet<Host>>,
    pub(super) load: BTreeMap<ShardKey, ShardLoad>,
    load_by: BTreeMap<String, BTreeSet<ShardKey>>,
    stale: BTreeSet<String>,
    pub(super) day: String,
    pub(super) now: Wall,
}

impl Index {
    /// What a change touches, judged on the world as it is: called before and after the change is applied.
    pub(super) fn touch(&self, world: &World, delta: &Delta) -> Touched {
        let mut out = Touched::default();
        match delta {
            Delta::App(key, new) => {
                out.content = true;
                out.namespaces.insert(key.namespace.clone());
                // A status of ours coming back changes no decision of anybody.
                let old = world.apps.get(key);
                if let (Some(old), Some(new)) = (old, new)
                    && old.spec == new.spec
                    && old.labels == new.labels
                    && old.meta.deleting == new.meta.deleting
                {
                    out.content = false;
                }
            }
            Delta::LoadBalancer(name, new) => {
                out.load_balancers.insert(name.clone());
                let old = world.load_balancers.get(name);
                let status_only = matches!((old, new), (Some(old), Some(new)) if old.spec == new.spec && old.meta.deleting == new.meta.deleting);
                out.everything = !status_only;
                for lb in old.into_iter().chain(new) {
                    out.namespaces.extend(self.commanded(world, lb));
                }
            }
            Delta::Policy(name, new) => {
                let status_only = matches!((world.policies.get(name), new), (Some(old), Some(new)) if old.spec == new.spec && old.meta.deleting == new.meta.deleting);
                out.everything = !status_only;
            }
            Delta::Claim(name, new) => {
                out.content = true;
                for claim in world.claims.get(name).into_iter().chain(new) {
                    out.namespaces.insert(claim.spec.namespace.clone());
                    if let Ok(host) = Host::parse(&claim.spec.host) {
                        out.namespaces.extend(self.interested(&host));
                    }
                    for (lb, placement) in &claim.status.placement {
                        out.counted_by.insert(lb.clone());
                        out.shards.extend(plan::shards(lb, placement));
                    }
                }
            }
            Delta::Namespace(name, _) => {
                out.content = true;
                out.namespaces.insert(name.clone());
            }
            Delta::Service(key, _) => {
                out.content = true;
                out.namespaces.insert(key.namespace.clone());
            }
            Delta::Pod(key, _) | Delta::ReplicaSet(key, _) => {
                out.namespaces.insert(key.namespace.clone());
            }
            Delta::Child(key, _) => {
                out.namespaces.insert(key.namespace.clone());
            }
            Delta::Ingress(key, new) => {
                out.namespaces.insert(key.namespace.clone());
                let old = world.ingresses.get(key);
                out.content = !matches!((old, new), (Some(old), Some(new)) if old.text == new.text && old.labels == new.labels && old.meta.deleting == new.meta.deleting);
            }
            // Only audited: no decision rests on it.
            Delta::Foreign(..) | Delta::Synced(_) => {}
        }
        out
    }

    /// Namespaces that a load balancer's status tells what to do: to move, or to let hosts go.
    fn commanded(&self, world: &World, lb: &LoadBalancerFacts) -> BTreeSet<String> {
        let mut out: BTreeSet<String> = lb.status.moves.iter().map(|m| m.namespace.clone()).collect();
        let releasing = lb.status.inferred_deletions.iter().flat_map(|d| &d.releasing);
        let claims = releasing.filter_map(|h| Host::parse(h).ok()).filter_map(|h| world.claims.get(&claim_name(&h)));
        out.extend(claims.map(|c| c.spec.namespace.clone()));
        out
    }

    /// Namespaces whose apps name this host or one that overlaps it.
    fn interested(&self, host: &Host) -> BTreeSet<String> {
        let mut out: BTreeSet<String> = self.wanting.get(host).cloned().unwrap_or_default();
        if let Some(wildcard) = host.parent_wildcard() {
            out.extend(self.wanting.get(&wildcard).into_iter().flatten().cloned());
        }
        if host.is_wildcard() {
            // Labels are stored reversed, so what a wildcard covers stands together.
            out.extend(
                self.wanting.iter().filter(|(other, _)| host.covers(other)).flat_map(|(_, ns)| ns.iter().cloned()),
            );
        }
        out
    }

    /// Namespaces that hold or want a host.
    pub(super) fn holders(&self, world: &World, host: &Host) -> BTreeSet<String> {
        let mut out = self.wanting.get(host).cloned().unwrap_or_default();
        out.extend(world.claims.get(&claim_name(host)).map(|c| c.spec.namespace.clone()));
        out
    }

    /// Keeps what is derived directly from deltas.
    pub(super) fn note(&mut self, world: &World, memory: &mut Memory, now: Mono, delta: &Delta) {
        match delta {
            Delta::Claim(name, Some(claim)) => {
                self.held_by(name, Some(&claim.spec.namespace));
                missing(world, memory, now, name);
            }
            Delta::Claim(name, None) => {
                self.held_by(name, None);
                memory.missing_since.retain(|(claim, _), _| claim != name);
            }
            Delta::App(AppKey { namespace, .. }, _) | Delta::Namespace(namespace, _) => {
                for name in self.claims.get(namespace).into_iter().flatten() {
                    missing(world, memory, now, name);
                }
            }
            Delta::Ingress(_, None) => {
                let alive: BTreeSet<&String> = world.ingresses.values().map(|i| &i.meta.uid).collect();
                memory.told_ingresses.retain(|uid, _| alive.contains(uid));
            }
            Delta::Pod(_, None) => {
                let alive: BTreeSet<&String> = world.pods.values().map(|p| &p.meta.uid).collect();
                memory.pod_tables.retain(|uid, _| alive.contains(uid));
            }
            _ => {}
        }
    }

    /// Files a claim under its namespace; one that changed hands is no longer its former holder's.
    fn held_by(&mut self, claim: &str, namespace: Option<&str>) {
        let before = match namespace {
            Some(namespace) => self.holder.insert(claim.to_owned(), namespace.to_owned()),
            None => self.holder.remove(claim),
        };
        if let Some(before) = before.filter(|b| Some(b.as_str()) != namespace)
            && let Some(names) = self.claims.get_mut(&before)
        {
            names.remove(claim);
            if names.is_empty() {
                self.claims.remove(&before);
            }
        }
        if let Some(namespace) = namespace {
            self.claims.entry(namespace.to_owned()).or_default().insert(claim.to_owned());
        }
    }

    /// Notes which admitted apps are missing from a world that has just become complete.
    pub(super) fn note_all(world: &World, memory: &mut Memory, now: Mono) {
        for name in world.claims.keys() {
            missing(world, memory, now, name);
        }
    }

    /// Indexes the whole world anew.
    pub(super) fn rebuild(&mut self, world: &World) {
        self.claims.clear();
        self.holder.clear();
        for (name, claim) in &world.claims {
            self.held_by(name, Some(&claim.spec.namespace));
        }
        self.stale_all(world);
    }

    pub(super) fn stale(&mut self, namespace: &str) {
        self.stale.insert(namespace.to_owned());
    }

    pub(super) fn stale_all(&mut self, world: &World) {
        self.stale.extend(world.namespaces.keys().cloned());
        self.stale.extend(world.apps.keys().map(|k| k.namespace.clone()));
        self.stale.extend(self.claims.keys().cloned());
        self.stale.extend(self.reviews.keys().cloned());
    }

    /// Reviews and desires what is stale; returns the namespaces to plan.
    pub(super) fn recompute(&mut self, world: &World, settings: &Settings) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        self.collect(world);
        let mut common = Common::new(world, settings);
        while let Some(namespace) = self.stale.pop_first() {
            self.review(world, &namespace);
            let claims: Vec<(Host, Arc<ClaimFacts>)> = self.held(world, &namespace);
            let none = BTreeMap::new();
            let prewired = self.reviews.get(&namespace).map_or(&none, |r| &r.rulebook.prewired);
            let wanted = desired(world, settings, &mut common, &namespace, &claims, prewired);
            self.count(&namespace, &wanted);
            if wanted == NamespaceDesired::default() {
                self.desired.remove(&namespace);
            } else {
                self.desired.insert(namespace.clone(), wanted);
            }
            changed.insert(namespace);
        }
        changed
    }

    fn held(&self, world: &World, namespace: &str) -> Vec<(Host, Arc<ClaimFacts>)> {
        let uid = world.namespaces.get(namespace).map(|n| &n.meta.uid);
        self.claims
            .get(namespace)
            .into_iter()
            .flatten()
            .filter_map(|name| world.claims.get(name))
            .filter(|c| c.status.state == ClaimState::Held && Some(&c.spec.namespace_uid) == uid)
            .filter_map(|c| Some((Host::parse(&c.spec.host).ok()?, c.clone())))
            .collect()
    }

    /// Rulebooks come before reviews: whether a wildcard is blocked depends on what other namespaces' grants list, and
    /// one that has not been read yet would read as one that lists nothing.
    fn collect(&mut self, world: &World) {
        let empty = BTreeMap::new();
        let mut differs = false;
        for namespace in &self.stale {
            let labels = world.namespaces.get(namespace).map_or(&empty, |n| &n.labels);
            let rulebook = Rulebook::collect(&world.policies, namespace, labels);
            let before = self.reviews.entry(namespace.clone()).or_default();
            differs |= before.rulebook != rulebook;
            before.rulebook = rulebook;
        }
        if differs {
            let wildcards = self.wanting.iter().filter(|(host, _)| host.is_wildcard());
            self.stale.extend(wildcards.flat_map(|(_, namespaces)| namespaces.iter().cloned()));
        }
    }

    fn review(&mut self, world: &World, namespace: &str) {
        let rulebook = self.reviews.remove(namespace).unwrap_or_default().rulebook;
        let services: BTreeMap<String, Arc<ServiceFacts>> =
            World::within(&world.services, namespace).map(|(key, s)| (key.name.clone(), s.clone())).collect();
        let ingresses = World::within(&world.ingresses, namespace).map(|(key, facts)| (key.name.as_str(), &**facts));
        let ingresses = derive(namespace, ingresses, &services, &rulebook);
        let siblings: Siblings = World::within(&world.apps, namespace)
            .filter(|(_, app)| !app.meta.deleting)
            .map(|(key, app)| Sibling {
                created: app.meta.created,
                name: key.name.clone(),
                hosts: app.spec.hosts.clone(),
            })
            .collect();
        let mut wanted = BTreeSet::new();
        let mut apps = BTreeMap::new();
        for (key, app) in World::within(&world.apps, namespace) {
            let mut taken = BTreeSet::new();
            for host in app.spec.hosts.iter().filter_map(|h| Host::parse(h).ok()) {
                let lists = |ns: &str, h: &Host| {
                    if ns == namespace {
                        rulebook.lists(h)
                    } else {
                        self.reviews.get(ns).is_some_and(|r| r.rulebook.lists(h))
                    }
                };
                if blocked_by(world, &host, namespace, &lists).is_some() {
                    taken.insert(host.clone());
                }
                wanted.insert(host);
            }
            let facts = Facts {
                rulebook: &rulebook,
                load_balancers: Some(&world.load_balancers),
                services: Some(&services),
                taken: &taken,
                siblings: &siblings,
                now: self.now,
            };
            apps.insert(key.name.clone(), review(key, app, &facts));
        }
        wanted.extend(rulebook.prewired.keys().cloned());
        self.want(namespace, wanted);
        if apps.is_empty() && rulebook.policies.is_empty() && ingresses.is_empty() {
            self.reviews.remove(namespace);
        } else {
            self.reviews.insert(
                namespace.to_owned(),
                NamespaceReview { asked: asked(&rulebook, &apps), rulebook, apps, ingresses },
            );
        }
    }

    fn want(&mut self, namespace: &str, hosts: BTreeSet<Host>) {
        for host in self.wanted_by.remove(namespace).unwrap_or_default() {
            if let Some(names) = self.wanting.get_mut(&host) {
                names.remove(namespace);
                if names.is_empty() {
                    self.wanting.remove(&host);
                }
            }
        }
        for host in &hosts {
            self.wanting.entry(host.clone()).or_default().insert(namespace.to_owned());
        }
        if !hosts.is_empty() {
            self.wanted_by.insert(namespace.to_owned(), hosts);
        }
    }

    fn count(&mut self, namespace: &str, wanted: &NamespaceDesired) {
        for shard in self.load_by.remove(namespace).unwrap_or_default() {
            if let Some(load) = self.load.get_mut(&shard) {
                load.namespaces.remove(namespace);
                if load.namespaces.is_empty() {
                    self.load.remove(&shard);
                }
            }
        }
        let mut mine = BTreeSet::new();
        for (shard, hosts) in &wanted.shards {
            let grpc = |host: &Host| wanted.hosts.get(host).is_some_and(|h| h.grpc);
            let load = hosts.iter().fold(NamespaceLoad::default(), |load, host| load.with(host, grpc(host)));
            self.load.entry(shard.clone()).or_default().namespaces.insert(namespace.to_owned(), load);
            mine.insert(shard.clone());
        }
        if !mine.is_empty() {
            self.load_by.insert(namespace.to_owned(), mine);
        }
    }
}

/// How many hosts of these apps need a rule, by load balancer: those below a prewired domain need none.
fn asked(rulebook: &Rulebook, apps: &BTreeMap<String, AppReview>) -> BTreeMap<String, u32> {
    let carried = |host: &&Host| {
        !rulebook.prewired.is_empty() && host.parent_wildcard().is_some_and(|w| rulebook.prewired.contains_key(&w))
    };
    let mut hosts: BTreeMap<&String, BTreeSet<&Host>> = BTreeMap::new();
    for app in apps.values() {
        for name in &app.load_balancers {
            let named = app.parsed.iter().flat_map(|parsed| &parsed.hosts).filter(|host| !carried(host));
            hosts.entry(name).or_default().extend(named);
        }
    }
    hosts.into_iter().map(|(name, all)| (name.clone(), u32::try_from(all.len()).unwrap_or(u32::MAX))).collect()
}

/// Keeps since when the admitted apps of a claim have been missing: absent, or of a namespace made anew.
fn missing(world: &World, memory: &mut Memory, now: Mono, name: &str) {
    let Some(claim) = world.claims.get(name) else { return };
    let namespace = &claim.spec.namespace;
    let same = world.namespaces.get(namespace).is_some_and(|n| n.meta.uid == claim.spec.namespace_uid);
    let first = (name.to_owned(), String::new());
    let known: Vec<String> = memory
        .missing_since
        .range(first..)
        .take_while(|((claim, _), _)| claim == name)
        .map(|((_, app), _)| app.clone())
        .collect();
    for app in known.iter().chain(claim.status.admitted.keys()) {
        let id = (name.to_owned(), app.clone());
        // A prewired domain is asked for by a policy, not by an app.
        let there = app == keys::PREWIRED || (same && world.apps.contains_key(&AppKey::new(namespace, app)));
        if there || !claim.status.admitted.contains_key(app) {
            memory.missing_since.remove(&id);
        } else {
            memory.missing_since.entry(id).or_insert(now);
        }
    }
}
