//! Giving certificates back that we asked for and no host needs any more, and those that failed.
//!
//! It is a part of its own per Region, because a namespace that is gone has no part, and because it looks at our own
//! certificates only: a claim that goes must not make the whole Region's part anew.

use gatehouse_route::Host;

use crate::aws::{AwsCall, Certificate, CertificateStatus};
use crate::certificates::Certificates;
use crate::identity::claim_name;
use crate::observed::Scope;
use crate::plan::{Draft, View};

use super::{attached, ours};

pub(in crate::plan) fn plan(draft: &mut Draft<'_>, region: &str) {
    let view = draft.view;
    let Some(listing) = view.observed.certificates.get(region).and_then(|c| c.known()) else { return };
    for (arn, certificate) in listing.iter().filter(|(_, c)| ours(&view, c)) {
        let Some(details) = &certificate.details else { continue };
        let namespace = details.namespace.clone().unwrap_or_default();
        if needed(&view, listing, arn, certificate) || !view.observed.requests_settled(region, &namespace) {
            continue;
        }
        if certificate.in_use || on_a_shard(&view, region, arn) {
            draft.wait(format!("{arn} to be detached"));
            continue;
        }
        let call = AwsCall::DeleteCertificate { certificate: arn.clone() };
        draft.call(format!("delete certificate {arn}"), region, Scope::Requests(region.to_owned(), namespace), call);
    }
}

/// Whether one of ours waits to be given back until a listing shows that nothing uses it.
pub(in crate::plan) fn lingers(view: &View<'_>, region: &str, listing: &Certificates) -> bool {
    let mut ours = listing.iter().filter(|(_, c)| c.in_use && ours(view, c));
    ours.any(|(arn, c)| !needed(view, listing, arn, c) && !on_a_shard(view, region, arn))
}

fn on_a_shard(view: &View<'_>, region: &str, arn: &str) -> bool {
    let here = |lb: &str| view.world.load_balancers.get(lb).is_some_and(|lb| lb.spec.region == region);
    view.observed.shards.keys().any(|shard| here(&shard.load_balancer) && attached(view, shard, arn))
}

/// A certificate is needed while any claim, of whatever state, names a host that it covers: a released host keeps its
/// certificate through the grace. A failed one is needed as the count of attempts, until a later one stands.
fn needed(view: &View<'_>, listing: &Certificates, arn: &str, certificate: &Certificate) -> bool {
    let Some(hosts) = listing.hosts(arn) else { return true };
    let failed = matches!(certificate.status, CertificateStatus::Failed | CertificateStatus::TimedOut);
    let attempt = |c: &Certificate| c.details.as_ref().map_or(0, |d| d.attempt);
    let replaced = |host: &Host| {
        listing.covering(host).any(|(other, c)| {
            other != arn
                && (c.usable(view.now.wall)
                    || ours(view, c) && (attempt(c), other.as_str()) > (attempt(certificate), arn))
        })
    };
    hosts.iter().any(|host| claimed(view, host) && !(failed && replaced(host)))
}

fn claimed(view: &View<'_>, host: &Host) -> bool {
    view.world.claims.contains_key(&claim_name(host))
        || host.is_wildcard()
            && view.world.claims.values().any(|c| Host::parse(&c.spec.host).is_ok_and(|claimed| host.covers(&claimed)))
}
