//! The life of claims: created Pending, confirmed free of overlap, Held, Released, deleted after the grace.
//!
//! A claim's status also remembers what was last admitted of each app, and where the host is placed. Both are written
//! before anything is served from them.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::{AdmittedApp, ClaimState, HostClaimStatus, Placement};
use gatehouse_route::{Host, Seconds};

use crate::aws::AwsCall;
use crate::claims::blocked_by;
use crate::identity::{AppKey, ShardKey, claim_name};
use crate::observed::Scope;
use crate::review::AppReview;
use crate::time::Wall;
use crate::world::{AppFacts, ClaimFacts, World};

use super::{ClaimSpec, Draft, KubeWrite, View, to_json};

pub(super) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    // A namespace that has gone leaves its claims to be released, as one made anew under its name does.
    let facts = view.world.namespaces.get(namespace);
    let uid = facts.map_or("", |n| n.meta.uid.as_str());
    let mut hosts: BTreeSet<Host> = BTreeSet::new();
    for (_, app) in World::within(&view.world.apps, namespace) {
        if !app.meta.deleting {
            hosts.extend(app.spec.hosts.iter().filter_map(|h| Host::parse(h).ok()));
        }
    }
    for name in view.claims.get(namespace).into_iter().flatten() {
        hosts.extend(view.world.claims.get(name).and_then(|c| Host::parse(&c.spec.host).ok()));
    }
    for host in hosts {
        let name = claim_name(&host);
        match view.world.claims.get(&name) {
            None => {
                // A claim is worth having only for an app that would be served.
                if facts.is_some_and(|n| !n.meta.deleting)
                    && servable(&view, namespace, &host).next().is_some()
                    && free(&view, &host, namespace)
                {
                    let spec =
                        ClaimSpec { host: host.as_text(), namespace: namespace.into(), namespace_uid: uid.into() };
                    draft.kube(format!("claim {name}"), KubeWrite::CreateClaim { name, spec });
                }
            }
            Some(claim) if claim.spec.namespace != namespace => {}
            Some(claim) if claim.meta.deleting => {}
            Some(claim) => life(draft, namespace, uid, &host, &name, claim),
        }
    }
}

/// Whether no other namespace's claim stands in the way.
fn free(view: &View<'_>, host: &Host, namespace: &str) -> bool {
    blocked_by(view.world, host, namespace, &|ns, h| view.reviews.get(ns).is_some_and(|r| r.rulebook.lists(h)))
        .is_none()
}

/// Apps of the namespace that name the host and may be served as they are.
fn servable<'a>(
    view: &View<'a>,
    namespace: &str,
    host: &'a Host,
) -> impl Iterator<Item = (&'a AppKey, &'a std::sync::Arc<AppFacts>, &'a AppReview)> {
    let reviews = view.reviews.get(namespace);
    World::within(&view.world.apps, namespace).filter_map(move |(key, app)| {
        let review = reviews?.apps.get(&key.name)?;
        let named = review.parsed.as_ref().is_some_and(|p| p.hosts.contains(host));
        (named && !app.meta.deleting && !review.withdrawn() && !review.frozen() && !review.host_refused(host))
            .then_some((key, app, review))
    })
}

fn life(draft: &mut Draft<'_>, namespace: &str, uid: &str, host: &Host, name: &str, claim: &ClaimFacts) {
    let view = draft.view;
    let stranger = claim.spec.namespace_uid != uid;
    let (admitted, revoked) =
        if stranger { (BTreeMap::new(), None) } else { admitted(draft, namespace, host, name, claim) };
    let state = claim.status.state;
    if admitted.is_empty() && state == ClaimState::Pending {
        draft.kube(format!("claim {name}"), delete(name, claim));
        return;
    }
    if admitted.is_empty() && state == ClaimState::Released {
        let released = claim.status.released_at.as_deref().and_then(Wall::parse).unwrap_or_default();
        let age = view.now.wall.since(released);
        if age >= view.settings.release_grace {
            draft.kube(format!("claim {name}"), delete(name, claim));
        } else {
            draft.wake(view.now.mono.plus((view.settings.release_grace - age) * 1000 + 500));
        }
        return;
    }
    let mut status = HostClaimStatus { state, ..claim.status.clone() };
    if admitted.is_empty() {
        status.admitted = BTreeMap::new();
        status.apps = Vec::new();
        status.revoked_at = None;
        if claim.status.admitted.is_empty() && everything_gone(draft, namespace, host, claim) {
            status.state = ClaimState::Released;
            status.released_at = Some(view.now.wall.rfc3339());
            status.placement = BTreeMap::new();
        }
    } else {
        if state != ClaimState::Held && !free(&view, host, namespace) {
            draft.wait(format!("{host} to be free of another namespace's claim"));
            return;
        }
        status.state = ClaimState::Held;
        status.released_at = None;
        status.revoked_at = revoked;
        status.apps = admitted.keys().cloned().collect();
        status.placement = place(draft, namespace, host, &admitted, &claim.status.placement);
        status.admitted = admitted;
    }
    if status != claim.status {
        let write = KubeWrite::ClaimStatus {
            name: name.into(),
            resource_version: claim.meta.resource_version,
            status: to_json(&status),
        };
        draft.kube(format!("claim {name}"), write);
    }
}

fn delete(name: &str, claim: &ClaimFacts) -> KubeWrite {
    KubeWrite::DeleteClaim {
        name: name.into(),
        uid: claim.meta.uid.clone(),
        resource_version: claim.meta.resource_version,
    }
}

/// What should be remembered as admitted, and since when the grant has been missing.
fn admitted(
    draft: &mut Draft<'_>,
    namespace: &str,
    host: &Host,
    name: &str,
    claim: &ClaimFacts,
) -> (BTreeMap<String, AdmittedApp>, Option<String>) {
    let view = draft.view;
    let mut out: BTreeMap<String, AdmittedApp> =
        servable(&view, namespace, host).map(|(key, app, review)| (key.name.clone(), snapshot(app, review))).collect();
    let mut revoked_since: Option<Wall> = None;
    for (app_name, before) in &claim.status.admitted {
        if out.contains_key(app_name) {
            continue;
        }
        let key = AppKey::new(namespace, app_name);
        let review = view.reviews.get(namespace).and_then(|r| r.apps.get(app_name));
        match (view.world.apps.get(&key), review) {
            // Asked: the app is going, or names the host no more.
            (Some(app), _) if app.meta.deleting || !app.spec.hosts.contains(&claim.spec.host) => {}
            (Some(_), Some(review)) if review.withdrawn() || review.host_refused(host) => {
                let since = claim.status.revoked_at.as_deref().and_then(Wall::parse).unwrap_or(view.now.wall);
                let age = view.now.wall.since(since);
                if age < view.settings.revocation_grace {
                    revoked_since = Some(since);
                    draft.wake(view.now.mono.plus((view.settings.revocation_grace - age) * 1000 + 500));
                    out.insert(app_name.clone(), before.clone());
                }
            }
            // Frozen: served as last admitted.
            (Some(_), _) => {
                out.insert(app_name.clone(), before.clone());
            }
            // Inferred: nobody asked, the object is just not there.
            (None, _) => {
                let after = inferred_after(&view, claim);
                let since = view
                    .memory
                    .missing_since
                    .get(&(name.to_owned(), app_name.clone()))
                    .copied()
                    .unwrap_or(view.now.mono);
                let until = since.plus(after);
                if view.now.mono < until {
                    draft.wake(until);
                    draft.hold(format!(
                        "{host}: app {key} vanished without a deletion; its host is kept {} h, then taken down",
                        after / 3_600_000
                    ));
                    out.insert(app_name.clone(), before.clone());
                }
            }
        }
    }
    (out, revoked_since.map(Wall::rfc3339))
}

fn snapshot(app: &AppFacts, review: &AppReview) -> AdmittedApp {
    AdmittedApp {
        generation: app.meta.generation,
        routes: app.spec.routes.clone(),
        tls: app.spec.tls.clone(),
        access: app.spec.access.clone(),
        network_policy: app.spec.network_policy.clone(),
        load_balancers: review.load_balancers.clone(),
    }
}

/// Milliseconds an inferred deletion waits: the longest of the claim's load balancers.
fn inferred_after(view: &View<'_>, claim: &ClaimFacts) -> u64 {
    let longest = claim
        .status
        .placement
        .keys()
        .filter_map(|lb| view.world.load_balancers.get(lb))
        .filter_map(|lb| Seconds::parse(&lb.spec.limits.inferred_deletions.after).ok())
        .map(Seconds::get)
        .max();
    u64::from(longest.unwrap_or(86_400)) * 1000
}

/// Sticky placement: where the host stands, else where the namespace stands, else the first shard with room.
fn place(
    draft: &mut Draft<'_>,
    namespace: &str,
    host: &Host,
    admitted: &BTreeMap<String, AdmittedApp>,
    now: &BTreeMap<String, Placement>,
) -> BTreeMap<String, Placement> {
    let view = draft.view;
    let wanted: BTreeSet<&String> = admitted.values().flat_map(|a| &a.load_balancers).collect();
    let mut out = BTreeMap::new();
    for name in wanted {
        if let Some(placement) = now.get(name) {
            out.insert(name.clone(), placement.clone());
            continue;
        }
        let Some(lb) = view.world.load_balancers.get(name) else { continue };
        match choose(&view, namespace, name, lb) {
            Some(index) => {
                out.insert(name.clone(), Placement { shard: i32::try_from(index).unwrap_or(i32::MAX) });
            }
            None => {
                // Room is made by other namespaces, whose changes do not concern this one otherwise.
                draft.wake(view.now.mono.plus(1_000));
                draft.hold(format!(
                    "no shard of {name} has room (spec.limits.shards {}); raise it, or the account's rule and target group quotas",
                    lb.spec.limits.shards
                ));
            }
        }
    }
    // A place that nobody asks for any more is remembered until nothing of the host is left there.
    for (name, placement) in now {
        let shard = ShardKey { load_balancer: name.clone(), index: u32::try_from(placement.shard).unwrap_or(0) };
        let left = off_shard(&view, namespace, host, &shard) && super::record::gone(&view, host, name);
        if !out.contains_key(name) && view.world.load_balancers.contains_key(name) && !left {
            out.insert(name.clone(), placement.clone());
        }
    }
    out
}

/// The quota model: a shard takes a host while rules, with one to spare, and target groups have room.
fn choose(view: &View<'_>, namespace: &str, name: &str, lb: &crate::world::LoadBalancerFacts) -> Option<u32> {
    let limits = view.observed.limits.get(&lb.spec.region).and_then(|c| c.last());
    let (rules, groups) = limits.map_or((100, 100), |l| (l.rules, l.target_groups));
    let room = |index: u32| {
        let load = view.load.get(&ShardKey { load_balancer: name.to_owned(), index });
        let stands = load.is_some_and(|l| l.hosts.contains_key(namespace));
        let used_groups = load.map_or(0, |l| u32::try_from(l.hosts.len()).unwrap_or(u32::MAX));
        (stands, load.map_or(0, super::ShardLoad::rules) + 1 < rules && (stands || used_groups < groups))
    };
    let shards = u32::try_from(lb.spec.limits.shards).unwrap_or(1);
    (0..shards).find(|i| room(*i) == (true, true)).or_else(|| (0..shards).find(|i| room(*i).1))
}

/// Whether nothing of the host is left in AWS and resolvers have forgotten it.
fn everything_gone(draft: &mut Draft<'_>, namespace: &str, host: &Host, claim: &ClaimFacts) -> bool {
    let view = draft.view;
    for (lb, placement) in &claim.status.placement {
        let shard = ShardKey { load_balancer: lb.clone(), index: u32::try_from(placement.shard).unwrap_or(0) };
        if !view.world.load_balancers.contains_key(lb) {
            continue;
        }
        if !off_shard(&view, namespace, host, &shard) || !super::record::gone(&view, host, lb) {
            draft.wait(format!("{host} to leave {shard}"));
            return false;
        }
        for zone in super::zones_for(&view, host, lb).unwrap_or_default() {
            // What a former leader's last call still wrote is seen only after its deadline, and once the claim is
            // released nobody looks for the record any more.
            let from = view.memory.started.plus(view.settings.call_deadline);
            let read = AwsCall::ReadZoneRecords { zone: zone.clone() };
            if view.now.mono < from || view.observed.read_at(&Scope::Zone(zone.clone())) < from {
                draft.wake(from);
                draft.wait(format!("zone {zone} to be listed after a former leader's calls have ended"));
                if view.now.mono >= from {
                    draft.need(Scope::Zone(zone.clone()), "", read, view.now.mono.since(from));
                }
                return false;
            }
            if let Some(at) = view.observed.records_of(&zone, host).and_then(|r| r.deleted_at) {
                let until = at.plus(view.settings.record_ttl);
                if view.now.mono < until {
                    draft.wake(until);
                    draft.wait(format!("resolvers to forget {host}"));
                    return false;
                }
            }
        }
    }
    true
}

/// Whether no rule of the namespace carries the host on the shard, or is about to.
pub(super) fn off_shard(view: &View<'_>, namespace: &str, host: &Host, shard: &ShardKey) -> bool {
    if view.observed.shards.get(shard).is_some_and(|s| s.coming.contains(host)) {
        return false;
    }
    let absent = view.observed.shards.get(shard).is_some_and(|s| {
        s.load_balancer.known().is_some_and(Option::is_none)
            || s.listeners.known().is_some_and(|l| !l.contains_key(&crate::aws::ListenerKind::Https))
    });
    absent
        || super::rules::rules_of(view, shard, namespace)
            .is_some_and(|rules| rules.iter().all(|(_, r)| !r.hosts.contains(host)))
}
