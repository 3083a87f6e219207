//! The life of claims: created Pending, confirmed free of overlap, Held, Released, deleted after the grace.
//!
//! A claim's status also remembers what was last admitted of each app, and where the host is placed. Both are written
//! before anything is served from them.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::{AdmittedApp, ClaimState, HostClaimStatus, keys};
use gatehouse_route::Host;

use crate::claims::blocked_by;
use crate::identity::{AppKey, ShardKey, claim_name};
use crate::observed::Scope;
use crate::review::AppReview;
use crate::time::Wall;
use crate::world::{AppFacts, ClaimFacts, World};

use super::{ClaimSpec, Draft, KubeWrite, Lane, Order, Urgency, View, to_json};

pub(super) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    let facts = view.world.namespaces.get(namespace);
    let mut hosts: BTreeSet<Host> = BTreeSet::new();
    for (_, app) in World::within(&view.world.apps, namespace) {
        if !app.meta.deleting {
            hosts.extend(app.spec.hosts.iter().filter_map(|h| Host::parse(h).ok()));
        }
    }
    hosts.extend(view.reviews.get(namespace).into_iter().flat_map(|r| r.rulebook.prewired.keys().cloned()));
    let servable = servable(&view, namespace);
    for name in view.claims.get(namespace).into_iter().flatten() {
        hosts.extend(view.world.claims.get(name).and_then(|c| Host::parse(&c.spec.host).ok()));
    }
    for host in hosts {
        let name = claim_name(&host);
        match view.world.claims.get(&name) {
            None => {
                // A claim is worth having only for an app that would be served.
                let Some(facts) = facts.filter(|f| !f.meta.deleting) else { continue };
                let asked = servable.contains_key(&host) || prewired(&view, namespace, &host).is_some();
                if asked && free(&view, &host, namespace) {
                    let spec = ClaimSpec {
                        host: host.as_text(),
                        namespace: namespace.into(),
                        namespace_uid: facts.meta.uid.clone(),
                    };
                    draft.kube(format!("claim {name}"), KubeWrite::CreateClaim { name, spec });
                }
            }
            Some(claim) if claim.spec.namespace != namespace => {}
            Some(claim) if claim.meta.deleting => {}
            // Claims outlive their namespace: what they name in AWS is taken down in its absence too.
            Some(claim) => {
                let apps = servable.get(&host).map_or(&[][..], Vec::as_slice);
                life(draft, namespace, facts.map(|f| f.meta.uid.as_str()), &host, &name, claim, apps);
            }
        }
    }
}

/// Whether no other namespace's claim stands in the way.
fn free(view: &View<'_>, host: &Host, namespace: &str) -> bool {
    blocked_by(view.world, host, namespace, &|ns, h| view.reviews.get(ns).is_some_and(|r| r.rulebook.lists(h)))
        .is_none()
}

/// An app that may be served as it is.
type Servable<'a> = (&'a AppKey, &'a AppFacts, &'a AppReview);

/// Apps of the namespace that may be served as they are, by each host they name. Many apps of one namespace are common:
/// to search them for every host would cost their square.
fn servable<'a>(view: &View<'a>, namespace: &str) -> BTreeMap<&'a Host, Vec<Servable<'a>>> {
    let mut out: BTreeMap<&Host, Vec<Servable<'a>>> = BTreeMap::new();
    let Some(reviews) = view.reviews.get(namespace) else { return out };
    for (key, app) in World::within(&view.world.apps, namespace).filter(|(_, app)| !app.meta.deleting) {
        let Some(review) = reviews.apps.get(&key.name).filter(|r| !r.withdrawn() && !r.frozen()) else { continue };
        let named: BTreeSet<&Host> = review.parsed.iter().flat_map(|parsed| &parsed.hosts).collect();
        for host in named.into_iter().filter(|host| !review.host_refused(host)) {
            out.entry(host).or_default().push((key, app, review));
        }
    }
    out
}

fn life(
    draft: &mut Draft<'_>,
    namespace: &str,
    uid: Option<&str>,
    host: &Host,
    name: &str,
    claim: &ClaimFacts,
    apps: &[Servable<'_>],
) {
    let view = draft.view;
    let stranger = Some(claim.spec.namespace_uid.as_str()) != uid;
    let leaving = match claim.status.transfer_to.as_deref() {
        Some(to) if to == namespace && !stranger => false,
        Some(to) => {
            if hand_over(draft, name, claim, to) {
                return;
            }
            true
        }
        None => false,
    };
    let (admitted, revoked) =
        if leaving { (BTreeMap::new(), None) } else { admitted(draft, namespace, host, (name, claim), apps, stranger) };
    let state = claim.status.state;
    if admitted.is_empty() && !leaving && state == ClaimState::Pending {
        draft.kube(format!("claim {name}"), delete(name, claim));
        return;
    }
    if admitted.is_empty() && !leaving && state == ClaimState::Released {
        let released = claim.status.released_at.as_deref().and_then(Wall::parse).unwrap_or_default();
        let age = view.now.wall.since(released);
        // A moment in the future is a clock that jumped: it would keep the host for as long as the jump was wide.
        if age >= view.settings.release_grace || released > view.now.wall.plus(view.settings.release_grace) {
            draft.kube(format!("claim {name}"), delete(name, claim));
        } else {
            draft.wake(view.now.mono.plus((view.settings.release_grace - age) * 1000 + 500));
        }
        return;
    }
    let mut status = HostClaimStatus { state, ..claim.status.clone() };
    if !leaving {
        status.transfer_to = None;
    }
    if admitted.is_empty() {
        status.admitted = BTreeMap::new();
        status.apps = Vec::new();
        status.revoked_at = None;
        if claim.status.admitted.is_empty() && everything_gone(draft, namespace, host, claim) {
            status.state = ClaimState::Released;
            status.released_at = Some(view.now.wall.rfc3339());
            status.placement = BTreeMap::new();
            status.dns_changes = BTreeMap::new();
        }
    } else if stranger {
        // Nothing is served for a namespace that is gone; names and rules wait for the platform or for their time.
        status.admitted = admitted;
    } else {
        if state != ClaimState::Held && !free(&view, host, namespace) {
            draft.wait(format!("{host} to be free of another namespace's claim"));
            return;
        }
        status.state = ClaimState::Held;
        status.released_at = None;
        status.revoked_at = revoked;
        status.apps = admitted.keys().filter(|name| *name != keys::PREWIRED).cloned().collect();
        status.placement = super::placement::place(draft, namespace, host, &admitted, &claim.status.placement);
        status.admitted = admitted;
        status.dns_changes.extend(super::record::changes_to_remember(&view, host));
    }
    if status != claim.status {
        let placed = status.placement.iter().any(|(lb, p)| {
            claim.status.placement.get(lb).is_none_or(|before| before.shard != p.shard)
                && super::placement::crowded(&view, namespace, host, lb, p)
        });
        let write = KubeWrite::ClaimStatus {
            name: name.into(),
            resource_version: claim.meta.resource_version,
            status: to_json(&status),
        };
        let what = format!("claim {name}");
        let lane = if placed { Lane::Placement } else { Lane::Object(what.clone()) };
        draft.step(what, lane, Vec::new(), Order::Kube(write), Urgency::Awaited);
    }
}

/// The last step of a transfer. To the namespace of the same name, made anew, the claim goes as it stands; to any
/// other only when nothing of the host is left, so that no rule ever leads to a namespace that does not hold it.
fn hand_over(draft: &mut Draft<'_>, name: &str, claim: &ClaimFacts, to: &str) -> bool {
    let view = draft.view;
    if claim.spec.namespace != to && claim.status.state == ClaimState::Held {
        return false;
    }
    let Some(facts) = view.world.namespaces.get(to).filter(|n| !n.meta.deleting) else {
        draft.hold(format!("{}: namespace {to}, to which it is transferred, does not exist", claim.spec.host));
        return claim.status.state != ClaimState::Held;
    };
    let spec =
        ClaimSpec { host: claim.spec.host.clone(), namespace: to.to_owned(), namespace_uid: facts.meta.uid.clone() };
    let write = KubeWrite::ClaimSpec { name: name.to_owned(), resource_version: claim.meta.resource_version, spec };
    draft.kube(format!("claim {name}"), write);
    true
}

/// Whether the claim's host is kept as it stands although nothing is desired for it: its namespace is gone or was
/// made anew, and nobody asked for the host to go.
pub(super) fn keeps(view: &View<'_>, claim: &ClaimFacts) -> bool {
    let uid = view.world.namespaces.get(&claim.spec.namespace).map(|n| &n.meta.uid);
    uid != Some(&claim.spec.namespace_uid) && !claim.status.admitted.is_empty()
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
    (name, claim): (&str, &ClaimFacts),
    apps: &[Servable<'_>],
    stranger: bool,
) -> (BTreeMap<String, Box<AdmittedApp>>, Option<String>) {
    let view = draft.view;
    let mut out: BTreeMap<String, Box<AdmittedApp>> = BTreeMap::new();
    if !stranger {
        out.extend(apps.iter().map(|(key, app, review)| (key.name.clone(), Box::new(snapshot(app, review)))));
        out.extend(prewired(&view, namespace, host).map(|ready| (keys::PREWIRED.to_owned(), Box::new(ready))));
    }
    let mut revoked_since: Option<Wall> = None;
    for (app_name, before) in &claim.status.admitted {
        if out.contains_key(app_name) {
            continue;
        }
        if app_name == keys::PREWIRED {
            // The policy keeps it ready no more: names move to records of their own first.
            if !stranger && !relieved(&view, namespace, host) {
                draft.wait(format!("the names below {host} to stand on their own"));
                out.insert(app_name.clone(), before.clone());
            }
            continue;
        }
        let key = AppKey::new(namespace, app_name);
        let review = view.reviews.get(namespace).and_then(|r| r.apps.get(app_name));
        // An app of the same name in a namespace made anew is another app.
        match (view.world.apps.get(&key).filter(|_| !stranger), review) {
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
                if !super::inferred::may_go(draft, claim, name, &key) {
                    out.insert(app_name.clone(), before.clone());
                }
            }
        }
    }
    (out, revoked_since.map(Wall::rfc3339))
}

/// What a claim remembers of a domain that policies keep ready: an app without routes.
fn prewired(view: &View<'_>, namespace: &str, host: &Host) -> Option<AdmittedApp> {
    let name = view.reviews.get(namespace)?.rulebook.prewired.get(host)?;
    Some(AdmittedApp { load_balancers: vec![name.clone()], ..AdmittedApp::default() })
}

/// Whether every host that the wildcard carried is led to by a record of its own.
fn relieved(view: &View<'_>, namespace: &str, wildcard: &Host) -> bool {
    let Some(desired) = view.desired.get(namespace) else { return true };
    desired.hosts.iter().filter(|(host, _)| !host.is_wildcard() && wildcard.covers(host)).all(|(host, wanted)| {
        wanted.placement.iter().all(|(name, index)| {
            let shard = ShardKey { load_balancer: name.clone(), index: *index };
            super::record::leads_to(view, host, &shard)
        })
    })
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

/// Whether nothing of the host is left in AWS and resolvers have forgotten it.
fn everything_gone(draft: &mut Draft<'_>, namespace: &str, host: &Host, claim: &ClaimFacts) -> bool {
    let view = draft.view;
    // A former leader's call may still make a rule; once the claim is released nobody would look for it.
    let from = view.memory.started.plus(view.settings.call_deadline);
    if !claim.status.placement.is_empty() && view.now.mono < from {
        draft.wake(from);
        draft.wait("a former leader's calls to end");
        return false;
    }
    for (lb, placement) in &claim.status.placement {
        if !view.world.load_balancers.contains_key(lb) {
            continue;
        }
        for shard in super::placement::shards(lb, placement) {
            let reread = view.observed.read_at(&Scope::Rules(shard.clone())) >= from
                || super::rules::without_listener(&view, &shard);
            if !reread || !off_shard(&view, namespace, host, &shard) || !super::record::gone(&view, host, lb) {
                draft.wait(format!("{host} to leave {shard}"));
                return false;
            }
        }
        for zone in super::zones_for(&view, host, lb).unwrap_or_default() {
            // What a former leader's last call still wrote is seen only by a listing after its deadline, and once the
            // claim is released nobody looks for the record any more.
            if view.observed.read_at(&Scope::Zone(zone.clone())) < from {
                draft.wait(format!("zone {zone} to be listed after a former leader's calls have ended"));
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
    super::rules::without_listener(view, shard)
        || super::rules::rules_of(view, shard, namespace)
            .is_some_and(|rules| rules.iter().all(|(_, r)| !r.hosts.contains(host)))
}
