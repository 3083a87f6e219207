//! Reviews and desired per namespace, kept by what they depend on, and the small global fold over claims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_crds::ClaimState;
use gatehouse_route::Host;

use crate::claims::blocked_by;
use crate::desired::{NamespaceDesired, desired};
use crate::identity::{ShardKey, claim_name};
use crate::plan::{Memory, NamespaceReview, ShardLoad};
use crate::review::{Facts, Rulebook, Sibling, review};
use crate::settings::Settings;
use crate::time::{Mono, Wall};
use crate::world::{ClaimFacts, Delta, ServiceFacts, World};

/// What a change touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) everything: bool,
    pub(super) namespaces: BTreeSet<String>,
    /// Whether reviews or desired of those namespaces may change, not only their plans.
    pub(super) content: bool,
    pub(super) shards: BTreeSet<ShardKey>,
    pub(super) load_balancers: BTreeSet<String>,
}

impl Touched {
    pub(super) fn merge(mut self, other: Touched) -> Touched {
        self.everything |= other.everything;
        self.content |= other.content;
        self.namespaces.extend(other.namespaces);
        self.shards.extend(other.shards);
        self.load_balancers.extend(other.load_balancers);
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
    /// Namespaces whose apps name a host.
    wanting: BTreeMap<Host, BTreeSet<String>>,
    wanted_by: BTreeMap<String, BTreeSet<Host>>,
    pub(super) load: BTreeMap<ShardKey, ShardLoad>,
    load_by: BTreeMap<String, BTreeMap<ShardKey, u32>>,
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
                        out.load_balancers.insert(lb.clone());
                        out.shards.insert(ShardKey {
                            load_balancer: lb.clone(),
                            index: u32::try_from(placement.shard).unwrap_or(0),
                        });
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
            Delta::Synced(_) => {}
        }
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
                self.claims.entry(claim.spec.namespace.clone()).or_default().insert(name.clone());
                for app in claim.status.admitted.keys() {
                    let key = crate::identity::AppKey::new(&claim.spec.namespace, app);
                    let id = (name.clone(), app.clone());
                    if world.apps.contains_key(&key) {
                        memory.missing_since.remove(&id);
                    } else {
                        memory.missing_since.entry(id).or_insert(now);
                    }
                }
            }
            Delta::Claim(name, None) => {
                self.claims.values_mut().for_each(|names| {
                    names.remove(name);
                });
                self.claims.retain(|_, names| !names.is_empty());
                memory.missing_since.retain(|(claim, _), _| claim != name);
            }
            Delta::App(key, None) => {
                for name in self.claims.get(&key.namespace).into_iter().flatten() {
                    if world.claims.get(name).is_some_and(|c| c.status.admitted.contains_key(&key.name)) {
                        memory.missing_since.entry((name.clone(), key.name.clone())).or_insert(now);
                    }
                }
            }
            Delta::App(key, Some(_)) => {
                memory.missing_since.retain(|(claim, app), _| {
                    *app != key.name || world.claims.get(claim).is_none_or(|c| c.spec.namespace != key.namespace)
                });
            }
            Delta::Pod(_, None) => {
                let alive: BTreeSet<&String> = world.pods.values().map(|p| &p.meta.uid).collect();
                memory.pod_tables.retain(|uid, _| alive.contains(uid));
            }
            _ => {}
        }
    }

    /// Apps that a first list does not show, although claims name them: their wait starts with us.
    pub(super) fn note_missing(&self, world: &World, memory: &mut Memory, now: Mono) {
        for (name, claim) in &world.claims {
            for app in claim.status.admitted.keys() {
                if !world.apps.contains_key(&crate::identity::AppKey::new(&claim.spec.namespace, app)) {
                    memory.missing_since.entry((name.clone(), app.clone())).or_insert(now);
                }
            }
        }
    }

    /// Indexes the whole world anew.
    pub(super) fn rebuild(&mut self, world: &World) {
        self.claims.clear();
        for (name, claim) in &world.claims {
            self.claims.entry(claim.spec.namespace.clone()).or_default().insert(name.clone());
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
        while let Some(namespace) = self.stale.pop_first() {
            self.review(world, &namespace);
            let claims: Vec<(Host, Arc<ClaimFacts>)> = self.held(world, &namespace);
            let wanted = desired(world, settings, &namespace, &claims);
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
        let siblings: Vec<Sibling> = World::within(&world.apps, namespace)
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
        self.want(namespace, wanted);
        if apps.is_empty() && rulebook.policies.is_empty() {
            self.reviews.remove(namespace);
        } else {
            self.reviews.insert(namespace.to_owned(), NamespaceReview { rulebook, apps });
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
        for shard in self.load_by.remove(namespace).unwrap_or_default().into_keys() {
            if let Some(load) = self.load.get_mut(&shard) {
                load.hosts.remove(namespace);
                if load.hosts.is_empty() {
                    self.load.remove(&shard);
                }
            }
        }
        let mut mine = BTreeMap::new();
        for (shard, hosts) in &wanted.shards {
            let count = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
            self.load.entry(shard.clone()).or_default().hosts.insert(namespace.to_owned(), count);
            mine.insert(shard.clone(), count);
        }
        if !mine.is_empty() {
            self.load_by.insert(namespace.to_owned(), mine);
        }
    }
}
