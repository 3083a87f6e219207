//! Which zone a host belongs to, and which certificate serves it.

use std::collections::BTreeSet;

use gatehouse_crds::{TlsMode, Visibility};
use gatehouse_route::Host;

use crate::desired::HostDesired;
use crate::identity::ShardKey;
use crate::world::LoadBalancerFacts;

use super::View;

/// Zones a load balancer may write to: those it names, or every public one.
pub(super) fn zones_of(view: &View<'_>, lb: &LoadBalancerFacts) -> BTreeSet<String> {
    let Some(zones) = view.observed.zones.known() else { return BTreeSet::new() };
    let named = &lb.spec.dns.zones;
    zones
        .iter()
        .filter(|zone| {
            if named.is_empty() {
                !zone.private
            } else {
                named.iter().any(|n| {
                    n.id == zone.id && (n.visibility.unwrap_or_default() == Visibility::Private) == zone.private
                })
            }
        })
        .map(|zone| zone.id.clone())
        .collect()
}

/// Zones for a host on a load balancer: the longest suffix among the public ones and among the private ones.
/// `None` while the zones are not known.
#[must_use]
pub fn zones_for(view: &View<'_>, host: &Host, load_balancer: &str) -> Option<Vec<String>> {
    let zones = view.observed.zones.known()?;
    let lb = view.world.load_balancers.get(load_balancer)?;
    let allowed = zones_of(view, lb);
    let suffix = host.suffix();
    let fits = |name: &str| suffix == name || suffix.ends_with(&format!(".{name}"));
    let mut out = Vec::new();
    for private in [false, true] {
        let best = zones
            .iter()
            .filter(|z| z.private == private && allowed.contains(&z.id) && fits(&z.name))
            .max_by(|a, b| (a.name.len(), &b.id).cmp(&(b.name.len(), &a.id)));
        out.extend(best.map(|z| z.id.clone()));
    }
    Some(out)
}

/// The certificate for a host on a load balancer; `None` while there is none or it is not known.
///
/// Discovery takes issued certificates whose every name the namespace may use, or that the load balancer shares:
/// an ALB chooses among all certificates of a listener, so a foreign name on one concerns everybody. Shared ones first,
/// then what is attached already, then the longest validity, and the ARN as the tie-break: the choice is stable.
#[must_use]
pub fn certificate_for(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    load_balancer: &str,
    wanted: &HostDesired,
) -> Option<String> {
    let lb = view.world.load_balancers.get(load_balancer)?;
    let known = view.observed.certificates.get(&lb.spec.region)?.known()?;
    if wanted.tls.mode == TlsMode::Arn {
        let arn = wanted.tls.certificate_arn.as_ref()?;
        return known.get(arn).filter(|c| c.covers(host)).map(|_| arn.clone());
    }
    let shared =
        |arn: &String| lb.spec.certificates.shared.contains(arn) || lb.spec.certificates.default.as_ref() == Some(arn);
    let granted = |names: &BTreeSet<String>| {
        let book = view.reviews.get(namespace).map(|r| &r.rulebook);
        names.iter().all(|name| Host::parse(name).is_ok_and(|n| book.is_some_and(|b| b.grants(&n))))
    };
    let attached = |arn: &String| {
        let index = *wanted.placement.get(load_balancer).unwrap_or(&0);
        let shard = view.observed.shards.get(&ShardKey { load_balancer: load_balancer.to_owned(), index });
        shard.is_some_and(|s| s.certificates.last().is_some_and(|c| c.contains(arn)))
    };
    known
        .iter()
        .filter(|(arn, certificate)| {
            certificate.covers(host) && !certificate.private_ca && (shared(arn) || granted(&certificate.names))
        })
        .max_by(|(a_arn, a), (b_arn, b)| {
            (shared(a_arn), attached(a_arn), a.not_after, b_arn).cmp(&(
                shared(b_arn),
                attached(b_arn),
                b.not_after,
                a_arn,
            ))
        })
        .map(|(arn, _)| arn.clone())
}
