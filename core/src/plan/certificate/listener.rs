//! The certificates of one HTTPS listener: its default, and those it finds by SNI.

use std::collections::BTreeSet;

use gatehouse_route::Host;

use crate::aws::{AwsCall, ListenerKind};
use crate::identity::ShardKey;
use crate::observed::Scope;
use crate::plan::{Draft, View};
use crate::world::LoadBalancerFacts;

use super::{attached, certificate_for, region_of, shared};

/// How the keys of steps begin that put a certificate on a listener.
pub(super) const ATTACH: &str = "attach certificate ";

/// What hosts on a shard need.
struct Wanted {
    /// Certificates.
    arns: BTreeSet<String>,
    /// Hosts whose certificate is not on the listener yet.
    open: Vec<Host>,
}

fn wanted(view: &View<'_>, shard: &ShardKey) -> Wanted {
    let mut out = Wanted { arns: BTreeSet::new(), open: Vec::new() };
    for (namespace, desired) in view.desired {
        for host in desired.shards.get(shard).into_iter().flatten() {
            let chosen = certificate_for(view, namespace, host, &shard.load_balancer, &desired.hosts[host]);
            let Some(arn) = chosen else { continue };
            if !attached(view, shard, &arn) {
                out.open.push(host.clone());
            }
            out.arns.insert(arn);
        }
    }
    out
}

/// Certificates that hosts on a shard need.
pub(in crate::plan) fn wanted_arns(view: &View<'_>, shard: &ShardKey) -> BTreeSet<String> {
    wanted(view, shard).arns
}

/// Why the certificate that the spec names as default cannot be it, if something speaks against it.
fn unfit(view: &View<'_>, lb: &LoadBalancerFacts) -> Option<String> {
    let arn = lb.spec.certificates.default.as_ref()?;
    let region = &lb.spec.region;
    if region_of(arn) != region {
        return Some(format!("is in {:?}, the load balancer in {region}; name one of {region}", region_of(arn)));
    }
    // One that is not listed may be of a kind that ACM hides: AWS has the last word on it.
    let listed = view.observed.certificates.get(region).and_then(|c| c.known())?.get(arn)?;
    (!listed.usable(view.now.wall)).then(|| "is not issued, or has expired; name an issued one".to_owned())
}

/// Tells what is wrong with the certificates that the spec names.
pub(in crate::plan) fn check(draft: &mut Draft<'_>, lb: &LoadBalancerFacts) {
    if let (Some(arn), Some(why)) = (&lb.spec.certificates.default, unfit(&draft.view, lb)) {
        draft.hold(format!("spec.certificates.default: {arn:?} {why}; until then another certificate is the default"));
    }
    for (i, arn) in lb.spec.certificates.shared.iter().enumerate() {
        let (there, here) = (region_of(arn), &lb.spec.region);
        if there != here {
            draft.hold(format!(
                "spec.certificates.shared[{i}]: {arn:?} is in {there:?}, the load balancer in {here}; name one of {here}"
            ));
        }
    }
}

/// The default certificate: the one the spec names; else the one the listener has, while it is usable and serves a
/// host or everybody; else the first that a host needs. It does not flip: what replaces it is kept in turn.
pub(in crate::plan) fn default(view: &View<'_>, shard: &ShardKey, lb: &LoadBalancerFacts) -> Option<String> {
    if let Some(arn) = &lb.spec.certificates.default
        && unfit(view, lb).is_none()
    {
        return Some(arn.clone());
    }
    let listeners = view.observed.shards.get(shard)?.listeners.known()?;
    let current = listeners.get(&ListenerKind::Https).and_then(|l| l.certificate.clone());
    let listing = view.observed.certificates.get(&lb.spec.region).and_then(|c| c.known());
    let (Some(listing), needed) = (listing, wanted(view, shard).arns) else { return current };
    let usable = |arn: &String| listing.get(arn).is_some_and(|c| c.usable(view.now.wall));
    if let Some(arn) = &current
        && usable(arn)
        && (shared(lb, arn) || needed.contains(arn))
    {
        return current;
    }
    let other =
        needed.into_iter().next().or_else(|| lb.spec.certificates.shared.iter().find(|arn| usable(arn)).cloned());
    other.or(current)
}

/// How many certificates the listener has of how many it may have, the default not counted.
pub(super) fn quota(view: &View<'_>, shard: &ShardKey, region: &str) -> (usize, usize) {
    let limit = view.observed.limits_of(region).certificates;
    let have = view.observed.shards.get(shard).and_then(|s| s.certificates.last()).map_or(0, BTreeSet::len);
    (have, usize::try_from(limit).unwrap_or(usize::MAX))
}

pub(in crate::plan) fn plan(
    draft: &mut Draft<'_>,
    shard: &ShardKey,
    listener: &str,
    default: Option<&String>,
    region: &str,
) {
    let view = draft.view;
    super::wake_for_expiry(draft, region);
    let scope = Scope::ListenerCertificates(shard.clone());
    let read = AwsCall::ReadListenerCertificates { listener: listener.to_owned() };
    if !draft.need(scope.clone(), region, read, view.settings.audit_seldom) {
        return;
    }
    let Some(have) = view.observed.shards.get(shard).and_then(|s| s.certificates.known()) else { return };
    let wanted = wanted(&view, shard);
    let extra: Vec<&String> = have.iter().filter(|arn| !wanted.arns.contains(*arn)).collect();
    let missing: Vec<&String> =
        wanted.arns.iter().filter(|arn| Some(*arn) != default && !have.contains(*arn)).collect();
    // One slot stays free for the certificate that replaces another: it must be there before the old one goes.
    let (used, limit) = quota(&view, shard, region);
    let room = limit.saturating_sub(used + usize::from(extra.is_empty()));
    // Each has a step and a back-off of its own: one that AWS does not take keeps no other from the listener.
    for arn in missing.iter().take(room) {
        let call = AwsCall::AddListenerCertificates { listener: listener.to_owned(), certificate: (*arn).clone() };
        draft.call(format!("{ATTACH}{arn}"), region, scope.clone(), call);
    }
    for arn in missing.iter().skip(room) {
        draft.hold(format!("certificate {arn} is not attached: {}", full(shard, used, limit)));
    }
    if missing.len() > room || missing.is_empty() {
        let Some(listing) = view.observed.certificates.get(region).and_then(|c| c.known()) else {
            // An unknown inventory would read as "nothing is needed".
            return;
        };
        // What waits for its new certificate keeps its old one.
        let serves = |arn: &str| listing.get(arn).is_some_and(|c| wanted.open.iter().any(|host| c.covers(host)));
        if let Some(arn) = extra.into_iter().find(|arn| !serves(arn)) {
            let call = AwsCall::RemoveListenerCertificates { listener: listener.to_owned(), certificate: arn.clone() };
            draft.call("detach certificate", region, scope, call);
        }
    }
}

/// Why a certificate finds no place, and the cure.
pub(super) fn full(shard: &ShardKey, used: usize, limit: usize) -> String {
    format!(
        "{shard} has {used} of {limit} certificates, one slot is kept free for replacements; use a wildcard, fewer \
         namespaces per load balancer, or ask AWS for a higher quota \"certificates per Application Load Balancer\""
    )
}
