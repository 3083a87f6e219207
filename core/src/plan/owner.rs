//! Whose the records of a host are.

use gatehouse_crds::AdoptOwner;
use gatehouse_route::Host;

use crate::aws::{Record, RecordData};
use crate::identity::claim_name;
use crate::marker;
use crate::observed::HostRecords;
use crate::world::LoadBalancerFacts;

use super::View;

/// Who a host's records belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody: there are none, or only those of other set identifiers.
    Nobody,
    /// This installation.
    Us,
    /// Somebody to whom they were handed over: we published the host here before. It is served on, its records are
    /// left alone.
    HandedOver(String),
    /// Somebody else; the text says who, for the platform team.
    Stranger(String),
}

fn set_identifier(record: &Record) -> Option<&str> {
    record.routing.as_ref().map(|r| r.set_identifier.as_str())
}

fn our_marker(view: &View<'_>, record: &Record) -> bool {
    marker::owner_of(record) == Some(view.settings.cluster_id.0.as_str())
}

/// Records of ours: our markers, and what stands at the host under them.
pub(super) fn ours<'a>(view: &View<'_>, records: &'a HostRecords) -> Vec<&'a Record> {
    let markers: Vec<&Record> = records.txt.iter().filter(|r| our_marker(view, r)).collect();
    let marked = |r: &&Record| markers.iter().any(|m| set_identifier(m) == set_identifier(r));
    records.at_host.iter().filter(marked).chain(markers.iter().copied()).collect()
}

/// Whether any record is ours.
pub(super) fn is_ours(view: &View<'_>, records: &HostRecords) -> bool {
    records.txt.iter().any(|r| our_marker(view, r))
}

/// What of others stands in the way of our records: everything under simple routing, otherwise simple records and
/// those of our own set identifier.
pub(super) fn in_the_way<'a>(lb: &LoadBalancerFacts, records: &'a HostRecords) -> Vec<&'a Record> {
    let own = lb.spec.dns.routing.as_ref().map(|r| r.set_identifier.as_str());
    let collides = |r: &&Record| own.is_none() || set_identifier(r).is_none_or(|set| Some(set) == own);
    records.at_host.iter().filter(collides).collect()
}

/// Whose the records of a host in a zone are, seen from a load balancer that would publish it there.
pub(super) fn owner(view: &View<'_>, zone: &str, host: &Host, lb: &LoadBalancerFacts, records: &HostRecords) -> Owner {
    if is_ours(view, records) {
        return Owner::Us;
    }
    let way = in_the_way(lb, records);
    if way.is_empty() {
        return Owner::Nobody;
    }
    let markers = records.txt.iter().chain(&records.foreign);
    let named = markers.filter_map(marker::owner_of).next().map(str::to_owned);
    let before = view.world.claims.get(&claim_name(host)).is_some_and(|c| c.status.dns_changes.contains_key(zone));
    match named {
        Some(owner) if before => Owner::HandedOver(owner),
        Some(owner) => Owner::Stranger(owner),
        None => Owner::Stranger("somebody who left no marker".to_owned()),
    }
}

/// What is deleted when a host is taken over: every record in the way and every marker, if all markers name owners that
/// the load balancer adopts. A record without marker is never taken over, nor one of a routing policy we do not write.
pub(super) fn adoptable(lb: &LoadBalancerFacts, records: &HostRecords) -> Option<Vec<Record>> {
    let way = in_the_way(lb, records);
    let adopted = |r: &&Record| {
        marker::owner_of(r).is_some_and(|owner| lb.spec.dns.adopt_owners.iter().any(|a| a.owner == owner))
    };
    let known = |r: &&Record| r.routing.as_ref().is_none_or(|routing| routing.weight.is_some());
    let markers: Vec<&Record> = records.foreign.iter().collect();
    let whole = !markers.is_empty() && markers.iter().all(adopted) && records.txt.is_empty() && way.iter().all(known);
    whole.then(|| way.into_iter().chain(markers).cloned().collect())
}

/// Markers of adopted owners that came back beside ours: a late write of their external-dns.
pub(super) fn stragglers(lb: &LoadBalancerFacts, records: &HostRecords) -> Vec<Record> {
    let adopted = |r: &&Record| {
        marker::owner_of(r).is_some_and(|owner| lb.spec.dns.adopt_owners.iter().any(|a| a.owner == owner))
    };
    records.foreign.iter().filter(adopted).cloned().collect()
}

/// How an owner writes its markers: as the load balancer says, or as external-dns does by default.
pub(super) fn form(lb: &LoadBalancerFacts, owner: &str) -> AdoptOwner {
    let known = lb.spec.dns.adopt_owners.iter().find(|a| a.owner == owner).cloned();
    known.unwrap_or_else(|| AdoptOwner { owner: owner.to_owned(), ..AdoptOwner::default() })
}

/// Address families that records at a host answer for.
pub(super) fn families(records: &[&Record]) -> Vec<&'static str> {
    let mut out = Vec::new();
    for (kind, there) in [
        ("a", records.iter().any(|r| matches!(r.data, RecordData::A(_)))),
        ("aaaa", records.iter().any(|r| matches!(r.data, RecordData::Aaaa(_)))),
    ] {
        out.extend(there.then_some(kind));
    }
    out
}
