//! Prewired domains (rule 10): a wildcard with its rule, record, certificate and running edge is kept ready for one
//! namespace, so that a new app one label below it needs no AWS call.
//!
//! DNS sets the limit: any name below makes the names between exist, and a wildcard answers only for names that do not
//! exist (RFC 4592). Those in use get records of their own then, before or as soon as that happens.

use std::ops::Bound;

use gatehouse_crds::keys;
use gatehouse_route::Host;

use crate::desired::HostDesired;
use crate::identity::claim_name;

use super::View;

/// Whether the wildcard is kept ready: its claim says so.
pub(super) fn ready(view: &View<'_>, wildcard: &Host) -> bool {
    let claim = view.world.claims.get(&claim_name(wildcard));
    claim.is_some_and(|c| c.status.admitted.contains_key(keys::PREWIRED))
}

/// What carries the host on a load balancer: a prewired wildcard, or the host itself.
pub(super) fn carrier<'a>(view: &View<'a>, namespace: &str, host: &'a Host, load_balancer: &str) -> &'a Host {
    let wanted = view.desired.get(namespace).and_then(|d| d.hosts.get(host));
    wanted.and_then(|w| w.carriers.get(load_balancer)).unwrap_or(host)
}

/// Whether the host must have a record of its own in the zone although a wildcard carries it: some name below exists,
/// or will.
pub(super) fn shadowed(view: &View<'_>, namespace: &str, host: &Host, zone: &str) -> bool {
    let below = |other: &Host| other.is_below(host);
    let standing = view
        .observed
        .records
        .range((zone.to_owned(), host.clone())..)
        .skip_while(|((_, other), _)| other == host)
        .take_while(|((z, other), _)| z == zone && below(other))
        .any(|(_, cell)| cell.last().is_some_and(|r| !r.at_host.is_empty() || !r.txt.is_empty()));
    let by_another = view.observed.names.get(zone).and_then(|names| names.range(host.clone()..).next());
    standing
        || by_another.is_some_and(|name| name == host || below(name))
        // What is below a host stands right behind it.
        || view.desired.get(namespace).is_some_and(|d| {
            d.hosts.range((Bound::Excluded(host), Bound::Unbounded)).next().is_some_and(|(other, _)| below(other))
        })
}

/// A carried host that the record of this one would take out of DNS, as long as it has no record of its own.
pub(super) fn would_shadow<'a>(view: &View<'a>, namespace: &str, host: &Host, zone: &str) -> Option<&'a Host> {
    let hosts = &view.desired.get(namespace)?.hosts;
    let carried = |(_, wanted): &(&'a Host, &HostDesired)| !wanted.carriers.is_empty();
    let alone = |h: &&Host| view.observed.records_of(zone, h).is_none_or(|r| r.at_host.is_empty());
    hosts.iter().filter(carried).map(|(h, _)| h).filter(|h| host.is_below(h)).find(alone)
}
