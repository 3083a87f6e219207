//! Route 53: a name is published when everything behind it stands, and taken back first.

use std::collections::BTreeSet;

use gatehouse_crds::{IpAddressType, keys};
use gatehouse_route::Host;

use crate::aws::{Alias, AwsCall, ChangeAction, LoadBalancer, Record, RecordChange, RecordData};
use crate::desired::HostDesired;
use crate::identity::{ClusterId, ShardKey, txt_name};
use crate::observed::{HostRecords, Scope};

use super::{Draft, Lane, Order, View, zones_for};

/// TTL of the ownership TXT, in seconds.
const TXT_TTL: u32 = 300;

/// Who a host's records belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody: there are none.
    Nobody,
    /// This installation.
    Us,
    /// Somebody else; the text says who, for the platform team.
    Stranger(String),
}

pub(super) fn owner(view: &View<'_>, records: &HostRecords) -> Owner {
    let txt = records.txt.as_ref().and_then(|r| match &r.data {
        RecordData::Txt { value, .. } => Some(value),
        _ => None,
    });
    match txt {
        Some(value) if ClusterId::txt_owner(value) == Some(view.settings.cluster_id.0.as_str()) => Owner::Us,
        Some(value) => Owner::Stranger(ClusterId::txt_owner(value).unwrap_or("an unreadable marker").to_owned()),
        None if records.at_host.is_empty() => Owner::Nobody,
        None => Owner::Stranger("a record without marker".to_owned()),
    }
}

/// Whether no record of ours stands for the host on a load balancer's zones.
pub(super) fn gone(view: &View<'_>, host: &Host, load_balancer: &str) -> bool {
    let Some(zones) = zones_for(view, host, load_balancer) else { return false };
    // Another load balancer of the app may keep the name in the same zone.
    let kept: BTreeSet<String> = kept_zones(view, host);
    zones.iter().filter(|z| !kept.contains(*z)).all(|zone| {
        // A record that is being written is not there, but not absent either.
        view.observed.readable_from(&Scope::Records(zone.clone(), host.clone())).is_some()
            && view.observed.records_of(zone, host).is_some_and(|records| owner(view, &records) != Owner::Us)
    })
}

/// Zones in which the host is to stay published.
fn kept_zones(view: &View<'_>, host: &Host) -> BTreeSet<String> {
    view.desired
        .values()
        .filter_map(|d| d.hosts.get(host))
        .flat_map(|h| h.placement.keys())
        .filter_map(|lb| zones_for(view, host, lb))
        .flatten()
        .collect()
}

pub(super) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    if let Some(desired) = view.desired.get(namespace) {
        for (host, wanted) in &desired.hosts {
            publish(draft, namespace, host, wanted);
        }
    }
    for name in view.claims.get(namespace).into_iter().flatten() {
        let Some(claim) = view.world.claims.get(name) else { continue };
        let Ok(host) = Host::parse(&claim.spec.host) else { continue };
        let wanted = view.desired.get(namespace).and_then(|d| d.hosts.get(&host));
        for lb in claim.status.placement.keys().filter(|lb| wanted.is_none_or(|w| !w.placement.contains_key(*lb))) {
            for zone in zones_for(&view, &host, lb).unwrap_or_default() {
                take_back(draft, &host, &zone);
            }
        }
    }
    poll_changes(draft, namespace);
}

/// Makes sure the records of one host are known.
fn known(draft: &mut Draft<'_>, zone: &str, host: &Host) -> Option<HostRecords> {
    let scope = Scope::Records(zone.to_owned(), host.clone());
    let listed = draft.view.observed.zone_lists.get(zone).is_some_and(|c| c.known().is_some());
    let single = draft.view.observed.records.contains_key(&(zone.to_owned(), host.clone()));
    if !listed {
        draft.wait(format!("zone {zone} to be listed"));
        return None;
    }
    if single {
        let read = AwsCall::ReadRecords { zone: zone.to_owned(), host: host.clone() };
        if !draft.need(scope, "", read, u64::MAX) {
            return None;
        }
    }
    draft.view.observed.records_of(zone, host)
}

fn publish(draft: &mut Draft<'_>, namespace: &str, host: &Host, wanted: &HostDesired) {
    let view = draft.view;
    // The first load balancer by name that writes a zone owns the name there.
    let mut done = BTreeSet::new();
    for (lb_name, index) in &wanted.placement {
        let shard = ShardKey { load_balancer: lb_name.clone(), index: *index };
        let Some(zones) = zones_for(&view, host, lb_name) else {
            draft.wait("hosted zones to be listed");
            continue;
        };
        if zones.is_empty() {
            draft.hold(format!(
                "{host}: no hosted zone of this account holds it; create one or name it in spec.dns.zones of {lb_name}"
            ));
        }
        for zone in zones {
            if done.insert(zone.clone()) {
                publish_in(draft, namespace, host, wanted, &shard, &zone);
            }
        }
    }
}

/// What is still missing before the name may go out; empty when nothing is.
pub(super) fn missing(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    wanted: &HostDesired,
    shard: &ShardKey,
) -> Vec<&'static str> {
    let mut out = Vec::new();
    if alb(view, shard).is_none() {
        out.push("the load balancer to be active");
    }
    if super::rules::rule_live(view, shard, namespace, host).is_none() {
        out.push("the rule to reach the data plane");
    }
    if !super::rules::healthy(view, shard, namespace) {
        out.push("a healthy target");
    }
    if !certificate_attached(view, namespace, host, wanted, shard) {
        out.push("a certificate on the listener");
    }
    if !super::edge::table_served(view, namespace) {
        out.push("the edge to serve the current routes");
    }
    out
}

pub(super) fn certificate_attached(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    wanted: &HostDesired,
    shard: &ShardKey,
) -> bool {
    let Some(arn) = super::certificate_for(view, namespace, host, &shard.load_balancer, wanted) else { return false };
    view.observed.shards.get(shard).is_some_and(|s| {
        s.certificates.known().is_some_and(|c| c.contains(&arn))
            || s.listeners
                .known()
                .and_then(|l| l.get(&crate::aws::ListenerKind::Https))
                .is_some_and(|l| l.certificate.as_ref() == Some(&arn))
    })
}

fn alb<'a>(view: &View<'a>, shard: &ShardKey) -> Option<&'a LoadBalancer> {
    let alb = view.observed.shards.get(shard)?.load_balancer.known()?.as_ref()?;
    let ours = alb.tags.as_ref().is_some_and(|t| t.get(keys::TAG_CLUSTER) == Some(&view.settings.cluster_id.0));
    (alb.active && ours).then_some(alb)
}

fn publish_in(draft: &mut Draft<'_>, namespace: &str, host: &Host, wanted: &HostDesired, shard: &ShardKey, zone: &str) {
    let view = draft.view;
    let Some(records) = known(draft, zone, host) else { return };
    let owner = owner(&view, &records);
    if let Owner::Stranger(who) = &owner {
        draft.hold(format!(
            "{host}: zone {zone} already has records owned by {who}; delete them or let their owner hand over"
        ));
        return;
    }
    let Some(alb) = alb(&view, shard) else {
        draft.wait(format!("load balancer {shard} to be active"));
        return;
    };
    let right = wanted_records(&view, host, namespace, shard, alb);
    let mut have = records.at_host.clone();
    have.extend(records.txt.clone());
    have.sort();
    if have == right {
        return;
    }
    let missing = missing(&view, namespace, host, wanted, shard);
    if !missing.is_empty() {
        draft.wait(format!("{host}: {}", missing.join(", ")));
        if super::rules::rule_live(&view, shard, namespace, host).is_none() {
            super::rules::probe(draft, shard, namespace, host);
        }
        return;
    }
    // CREATE claims the name atomically; what changes is deleted by value and created anew in one batch.
    let delete = have
        .iter()
        .filter(|r| !right.contains(r))
        .map(|r| RecordChange { action: ChangeAction::Delete, record: r.clone() });
    let create = right
        .iter()
        .filter(|r| !have.contains(r))
        .map(|r| RecordChange { action: ChangeAction::Create, record: r.clone() });
    change(draft, zone, host, delete.chain(create).collect());
}

fn wanted_records(view: &View<'_>, host: &Host, namespace: &str, shard: &ShardKey, alb: &LoadBalancer) -> Vec<Record> {
    let alias = Alias { dns_name: alb.dns_name.clone(), zone_id: alb.zone_id.clone() };
    let kind = view.world.load_balancers.get(&shard.load_balancer).map(|lb| lb.spec.ip_address_type);
    records(&view.settings.cluster_id, host, namespace, kind.unwrap_or_default(), &alias)
}

/// The records of a host that points to a load balancer: aliases for its address families, and the TXT that says whose
/// they are.
#[must_use]
pub fn records(
    cluster: &ClusterId,
    host: &Host,
    namespace: &str,
    addresses: IpAddressType,
    alias: &Alias,
) -> Vec<Record> {
    let name = host.as_text();
    let mut out = vec![Record { name: name.clone(), data: RecordData::A(alias.clone()) }];
    if addresses != IpAddressType::Ipv4 {
        out.push(Record { name, data: RecordData::Aaaa(alias.clone()) });
    }
    let value = cluster.owner_txt(namespace);
    out.push(Record { name: txt_name(host), data: RecordData::Txt { ttl: TXT_TTL, value } });
    out.sort();
    out
}

fn take_back(draft: &mut Draft<'_>, host: &Host, zone: &str) {
    let view = draft.view;
    let Some(records) = known(draft, zone, host) else { return };
    if owner(&view, &records) != Owner::Us || kept_zones(&view, host).contains(zone) {
        return;
    }
    let ours =
        records.at_host.iter().filter(|r| matches!(r.data, RecordData::A(_) | RecordData::Aaaa(_))).chain(&records.txt);
    let changes = ours.map(|r| RecordChange { action: ChangeAction::Delete, record: r.clone() }).collect();
    change(draft, zone, host, changes);
}

fn change(draft: &mut Draft<'_>, zone: &str, host: &Host, changes: Vec<RecordChange>) {
    let call = AwsCall::ChangeRecords { zone: zone.to_owned(), changes };
    let from = draft.view.memory.started.plus(draft.view.settings.call_deadline);
    if call.is_destructive() && draft.now() < from {
        draft.wake(from);
        draft.wait("a former leader's calls to end");
        return;
    }
    draft.step(
        format!("records of {host} in {zone}"),
        Lane::Zone(zone.to_owned()),
        vec![Scope::Records(zone.to_owned(), host.clone())],
        Order::Aws { region: String::new(), call },
    );
}

/// Asks for changes that are not everywhere yet: one question per change, whatever number of hosts it carried.
fn poll_changes(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    let mut pending = BTreeSet::new();
    for host in view.desired.get(namespace).into_iter().flat_map(|d| d.hosts.keys()) {
        for zone in view.observed.zone_lists.keys() {
            let cell = view.observed.records.get(&(zone.clone(), host.clone())).and_then(|c| c.last());
            pending.extend(cell.and_then(|r| r.pending.clone()));
        }
    }
    for id in pending {
        if view.observed.changes.get(&id).and_then(|c| c.known()) != Some(&true) {
            draft.need(Scope::Change(id.clone()), "", AwsCall::ReadChange { change: id }, view.settings.poll * 4);
        }
    }
}

/// Where a host's records stand in a zone: `None` not published, `Some(false)` on the way, `Some(true)` everywhere.
pub(super) fn published(view: &View<'_>, host: &Host, zone: &str) -> Option<bool> {
    let records = view.observed.records_of(zone, host)?;
    if owner(view, &records) != Owner::Us || records.at_host.is_empty() {
        return None;
    }
    Some(records.pending.is_none_or(|id| view.observed.changes.get(&id).and_then(|c| c.last()) == Some(&true)))
}
