//! Inferred deletions: what is ours in AWS and has no object in the cluster. Nobody asked for them, so they wait, are
//! held above a share of a load balancer's hosts until a person approves, and go at a pace (rule 6).
//!
//! The load balancer's part decides and writes down which hosts may go; namespaces follow what is written. So there is
//! one who counts, and a new leader goes on counting.

use std::collections::BTreeSet;

use gatehouse_crds::InferredDeletionsStatus;
use gatehouse_route::{Host, Seconds, short_hash};

use crate::identity::{AppKey, claim_name};
use crate::time::{Mono, Wall};
use crate::world::{ClaimFacts, LoadBalancerFacts};

use super::{Draft, View};

/// However small the load balancer, so many may go without approval.
const ALWAYS: usize = 5;
const HOUR: u64 = 3_600;

/// Milliseconds an inferred deletion waits: the longest of the load balancers concerned.
fn after<'a>(view: &View<'_>, load_balancers: impl Iterator<Item = &'a String>) -> u64 {
    let longest = load_balancers
        .filter_map(|lb| view.world.load_balancers.get(lb))
        .filter_map(|lb| Seconds::parse(&lb.spec.limits.inferred_deletions.after).ok())
        .map(Seconds::get)
        .max();
    u64::from(longest.unwrap_or(86_400)) * 1000
}

/// Whether what an app that vanished had on a claim may be forgotten.
pub(super) fn may_go(draft: &mut Draft<'_>, claim: &ClaimFacts, name: &str, app: &AppKey) -> bool {
    let view = draft.view;
    let host = &claim.spec.host;
    // A host that never found a place waits as long as the load balancers say that its app asked for.
    let asked = claim.status.admitted.get(&app.name).map(|a| &a.load_balancers);
    let unplaced = asked.into_iter().flatten().filter(|_| claim.status.placement.is_empty());
    let wait = after(&view, claim.status.placement.keys().chain(unplaced));
    let since = view.memory.missing_since.get(&(name.to_owned(), app.name.clone())).copied().unwrap_or(view.now.mono);
    let until = since.plus(wait);
    if view.now.mono < until {
        draft.wake(until);
        draft.hold(format!(
            "{host}: app {app} vanished without a deletion; its host is kept {} h, then taken down",
            wait / 3_600_000
        ));
        return false;
    }
    let held = claim.status.placement.keys().find(|lb| !released(&view, lb, host));
    if let Some(lb) = held {
        draft.hold(format!("{host}: app {app} vanished without a deletion; {lb} has not let its host go yet"));
    }
    held.is_none()
}

/// Whether the load balancer lets the host go; one that is not there any more holds nothing.
fn released(view: &View<'_>, load_balancer: &str, host: &str) -> bool {
    view.world
        .load_balancers
        .get(load_balancer)
        .is_none_or(|lb| lb.status.inferred_deletions.as_ref().is_some_and(|d| d.releasing.iter().any(|h| h == host)))
}

/// Whether what AWS has of a host is kept although nothing is desired: there is no claim any more, or its namespace
/// has gone, and nobody asked for the host to go.
pub(super) fn kept(view: &View<'_>, namespace: &str, host: &Host, load_balancer: &str) -> bool {
    match view.world.claims.get(&claim_name(host)) {
        Some(claim) if claim.spec.namespace == namespace => super::claims::keeps(view, claim),
        Some(_) => false,
        None => !released(view, load_balancer, &host.as_text()),
    }
}

/// What a load balancer decides.
#[derive(Default)]
pub(super) struct Decision {
    pub(super) status: Option<InferredDeletionsStatus>,
    pub(super) held: Option<String>,
    pub(super) wake: Option<Mono>,
}

/// Decides which hosts may go now.
pub(super) fn decide(view: &View<'_>, name: &str, lb: &LoadBalancerFacts) -> Decision {
    let before = lb.status.inferred_deletions.clone();
    let mut due: BTreeSet<String> = BTreeSet::new();
    let mut wake: Option<Mono> = None;
    let mut some = false;
    let mut consider = |host: String, until: Mono| {
        some = true;
        if until <= view.now.mono {
            due.insert(host);
        } else {
            wake = Some(wake.map_or(until, |w| w.min(until)));
        }
    };
    for ((claim, _), since) in &view.memory.missing_since {
        let Some(claim) = view.world.claims.get(claim).filter(|c| c.status.placement.contains_key(name)) else {
            continue;
        };
        consider(claim.spec.host.clone(), since.plus(after(view, claim.status.placement.keys())));
    }
    let alone = after(view, std::iter::once(&name.to_owned()));
    for ((_, host), since) in view.memory.orphans.iter().filter(|((lb, _), _)| lb == name) {
        consider(host.as_text(), since.plus(alone));
    }
    if !some && before.is_none() {
        return Decision::default();
    }
    let limits = &lb.spec.limits.inferred_deletions;
    // A budget that was lost starts empty: the first hour lets nothing go.
    let mut status = before.unwrap_or_else(|| InferredDeletionsStatus {
        hour: view.now.wall.rfc3339(),
        this_hour: limits.per_hour,
        ..InferredDeletionsStatus::default()
    });
    // A new hour is written down with the first host that it lets go: until then nobody has to be told.
    let began = Wall::parse(&status.hour).unwrap_or_default();
    let over = view.now.wall.since(began) >= HOUR || began > view.now.wall.plus(HOUR);
    let (began, mut used) = if over { (view.now.wall, 0) } else { (began, status.this_hour) };
    let hour_ends = view.now.mono.plus((HOUR - view.now.wall.since(began).min(HOUR - 1)) * 1000);
    status.releasing.retain(|host| due.contains(host));
    status.approved.retain(|host| due.contains(host));
    let hosts: usize = view
        .load
        .iter()
        .filter(|(shard, _)| shard.load_balancer == name)
        .map(|(_, load)| usize::try_from(load.hosts()).unwrap_or(usize::MAX))
        .sum();
    let most = ALWAYS.max(hosts * usize::try_from(limits.percent).unwrap_or(0) / 100);
    let open = due.len() <= most;
    let mut held: Vec<&String> = Vec::new();
    for host in &due {
        if status.releasing.contains(host) {
            continue;
        }
        if !open && !status.approved.contains(host) {
            held.push(host);
        } else if used < limits.per_hour {
            used += 1;
            (status.hour, status.this_hour) = (began.rfc3339(), used);
            status.releasing.push(host.clone());
        } else {
            wake = Some(wake.map_or(hour_ends, |w| w.min(hour_ends)));
        }
    }
    let digest = short_hash(held.iter().map(|h| h.as_str()).collect::<Vec<_>>().join("\n").as_bytes(), 4);
    status.held_digest = (!held.is_empty()).then(|| digest.clone());
    status.held_hosts = (!held.is_empty()).then(|| i32::try_from(held.len()).unwrap_or(i32::MAX));
    let message = (!held.is_empty()).then(|| {
        format!(
            "{} hosts have no object in the cluster any more, more than the {most} that go without approval: they stay until `gatehouse approve {name} --digest {digest}` ({}{})",
            held.len(),
            held.iter().take(3).map(|h| h.as_str()).collect::<Vec<_>>().join(", "),
            if held.len() > 3 { " ..." } else { "" }
        )
    });
    let idle = !some && over;
    if !some {
        wake = Some(wake.map_or(hour_ends, |w| w.min(hour_ends)));
    }
    Decision { status: (!idle).then_some(status), held: message, wake: wake.filter(|_| !idle) }
}

/// Hosts that are held now: what an approval speaks of.
pub(super) fn held_hosts(view: &View<'_>, name: &str, status: &InferredDeletionsStatus) -> Vec<String> {
    let missing = view.memory.missing_since.keys().filter_map(|(claim, _)| view.world.claims.get(claim));
    let missing = missing.filter(|c| c.status.placement.contains_key(name)).map(|c| c.spec.host.clone());
    let orphans = view.memory.orphans.keys().filter(|(lb, _)| lb == name).map(|(_, host)| host.as_text());
    let all: BTreeSet<String> = missing.chain(orphans).collect();
    all.into_iter().filter(|h| !status.releasing.contains(h) && !status.approved.contains(h)).collect()
}
