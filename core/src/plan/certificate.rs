//! Which certificate serves a host, and what of the listener's certificates changes for it.

pub(super) mod clean_up;
pub(super) mod listener;
pub(super) mod request;
mod status;
#[cfg(test)]
mod tests;
pub(super) mod validation;

use std::cmp::Reverse;

use gatehouse_crds::{CertificateMode, ClaimState, TlsMode, keys};
use gatehouse_route::Host;

use crate::aws::{Certificate, CertificateStatus, ListenerKind};
use crate::certificates::Certificates;
use crate::desired::HostDesired;
use crate::identity::{ShardKey, claim_name};
use crate::time::Wall;
use crate::world::LoadBalancerFacts;

use super::{Draft, View};

pub(super) use status::judge;

/// How the keys of steps begin that are about one certificate.
pub(super) const STEPS: &[&str] = &[request::STEP, listener::ATTACH, "delete certificate "];

/// The longest a part sleeps before it looks at the calendar again: clocks jump.
const DAY: u64 = 86_400_000;

/// Where a host's certificate comes from: what its app says, else what the load balancer gives those that do not say.
pub(super) fn mode(lb: &LoadBalancerFacts, wanted: &HostDesired) -> TlsMode {
    wanted.tls.as_ref().map_or(default_mode(lb), |tls| tls.mode)
}

/// What apps get that do not say.
#[must_use]
pub fn default_mode(lb: &LoadBalancerFacts) -> TlsMode {
    match lb.spec.certificates.mode {
        CertificateMode::Discover => TlsMode::Discover,
        CertificateMode::Request => TlsMode::Request,
    }
}

/// The certificate for a host on a load balancer; `None` while there is none or it is not known.
///
/// Only usable certificates are chosen, whose every name the namespace may use, or that the load balancer shares: an
/// ALB chooses among all certificates of a listener, so a foreign name on one concerns everybody. A certificate near
/// its end yields to one that is not; then shared ones come first, then what is attached already, then the longest
/// validity, and the ARN breaks the tie: the choice is stable.
#[must_use]
pub fn certificate_for(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    load_balancer: &str,
    wanted: &HostDesired,
) -> Option<String> {
    let lb = view.world.load_balancers.get(load_balancer)?;
    let listing = view.observed.certificates.get(&lb.spec.region)?.known()?;
    let now = view.now.wall;
    let fits = |arn: &str, certificate: &Certificate| {
        certificate.usable(now) && (shared(lb, arn) || ungranted(view, namespace, listing, arn).is_none())
    };
    if let Some(tls) = wanted.tls.as_ref().filter(|tls| tls.mode == TlsMode::Arn) {
        let arn = tls.certificate_arn.as_ref()?;
        return listing.get(arn).filter(|c| c.covers(host) && fits(arn, c)).map(|_| arn.clone());
    }
    let index = *wanted.placement.get(load_balancer).unwrap_or(&0);
    let shard = ShardKey { load_balancer: load_balancer.to_owned(), index };
    listing
        .covering(host)
        .filter(|(arn, c)| (!c.private_ca || shared(lb, arn)) && fits(arn, c))
        .max_by_key(|(arn, c)| {
            let fresh = !c.expires_soon(now);
            let end = if c.not_after == 0 { i64::MAX } else { c.not_after };
            (fresh, shared(lb, arn), fresh && attached(view, &shard, arn), end, Reverse(*arn))
        })
        .map(|(arn, _)| arn.clone())
}

/// Region of an ACM ARN.
fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

/// Whether the load balancer's owner lets every namespace be served by it.
fn shared(lb: &LoadBalancerFacts, arn: &str) -> bool {
    lb.spec.certificates.default.as_deref() == Some(arn) || lb.spec.certificates.shared.iter().any(|a| a == arn)
}

/// Whether clients of the shard can be shown it, as far as is known.
fn attached(view: &View<'_>, shard: &ShardKey, arn: &str) -> bool {
    view.observed.shards.get(shard).is_some_and(|s| {
        s.certificates.last().is_some_and(|c| c.contains(arn))
            || s.listeners
                .last()
                .and_then(|l| l.get(&ListenerKind::Https))
                .is_some_and(|l| l.certificate.as_deref() == Some(arn))
    })
}

/// The first name on a certificate that the namespace may not use.
fn ungranted(view: &View<'_>, namespace: &str, listing: &Certificates, arn: &str) -> Option<String> {
    let Some(hosts) = listing.hosts(arn) else {
        let mut names = listing.get(arn).map(|c| &c.names).into_iter().flatten();
        return Some(names.find(|n| Host::parse(n).is_err()).cloned().unwrap_or_default());
    };
    hosts.iter().find(|host| !may_use(view, namespace, host)).map(Host::as_text)
}

/// Granted, or still held through the grace after a grant was lost: the certificate goes with the host, not before it.
fn may_use(view: &View<'_>, namespace: &str, host: &Host) -> bool {
    view.reviews.get(namespace).is_some_and(|r| r.rulebook.grants(host))
        || view.world.claims.get(&claim_name(host)).is_some_and(|c| {
            c.spec.namespace == namespace && c.status.state == ClaimState::Held && c.status.revoked_at.is_some()
        })
}

/// Whether this installation asked for it.
fn ours(view: &View<'_>, certificate: &Certificate) -> bool {
    certificate.details.as_ref().is_some_and(|d| d.cluster.as_deref() == Some(&view.settings.cluster_id.0))
}

/// Whether this installation asked for it, for the namespace.
fn ours_for(view: &View<'_>, namespace: &str, certificate: &Certificate) -> bool {
    ours(view, certificate) && certificate.details.as_ref().is_some_and(|d| d.namespace.as_deref() == Some(namespace))
}

/// Whether ACM validates it right now: usually a matter of minutes, so for an hour it is worth asking often.
pub(super) fn moving(view: &View<'_>, certificate: &Certificate) -> bool {
    certificate.status == CertificateStatus::Pending
        && ours(view, certificate)
        && (certificate.created == 0 || view.now.wall.since(Wall(certificate.created)) < 3_600)
}

/// Tags of a certificate we ask for.
fn tags(view: &View<'_>, namespace: &str, attempt: u32) -> Vec<(String, String)> {
    vec![
        (keys::TAG_CLUSTER.to_owned(), view.settings.cluster_id.0.clone()),
        (keys::TAG_NAMESPACE.to_owned(), namespace.to_owned()),
        (keys::TAG_ATTEMPT.to_owned(), attempt.to_string()),
    ]
}

/// Looks again when one of a Region's certificates comes near its end or reaches it, at most a day ahead.
pub(super) fn wake_for_expiry(draft: &mut Draft<'_>, region: &str) {
    let now = draft.view.now;
    let turn = draft.view.observed.certificates.get(region).and_then(|c| c.known()).and_then(|l| l.next_turn(now.wall));
    if let Some(turn) = turn {
        wake_at_wall(draft, turn.since(now.wall));
    }
}

/// Looks again in so many seconds of the wall clock, at most a day ahead.
fn wake_at_wall(draft: &mut Draft<'_>, seconds: u64) {
    let ms = seconds.saturating_mul(1000).min(DAY);
    draft.wake(draft.now().plus(ms));
}
