//! Route 53: a name is published when everything behind it stands, and taken back first.

use std::borrow::Cow;
use std::collections::BTreeSet;

use gatehouse_crds::{AdoptOwner, ConditionStatus, DnsRouting, IpAddressType, keys};
use gatehouse_route::Host;

use crate::aws::{
    Alias, AwsCall, ChangeAction, LoadBalancer, ProtocolVersion, Record, RecordChange, RecordData, Routing,
};
use crate::desired::HostDesired;
use crate::identity::{AppKey, ClusterId, ShardKey, claim_name, marker_name};
use crate::marker;
use crate::observed::{HostRecords, Scope};
use crate::world::World;

use super::dns::role;
use super::group::Way;
use super::owner::{Owner, adoptable, is_ours, ours, owner, stragglers};
use super::{Draft, Lane, Order, Urgency, View, zones_for};

/// Records of a host at least: an alias and its marker.
pub(super) const RECORDS: u64 = 2;

/// TTL of the ownership TXT, in seconds.
pub(super) const TXT_TTL: u32 = 300;

/// Whether no record of ours stands for the host on a load balancer's zones.
pub(super) fn gone(view: &View<'_>, host: &Host, load_balancer: &str) -> bool {
    let Some(zones) = zones_for(view, host, load_balancer) else { return false };
    // Another load balancer of the app may keep the name in the same zone.
    let kept: BTreeSet<String> = kept_zones(view, host);
    zones.iter().filter(|z| !kept.contains(*z)).all(|zone| {
        // A record that is being written is not there, but not absent either.
        view.observed.readable_from(&Scope::Records(zone.clone(), host.clone())).is_some()
            && view.observed.records_of(zone, host).is_some_and(|records| !is_ours(view, &records))
    })
}

/// Whether records of ours lead to the shard.
pub(super) fn points_to(view: &View<'_>, records: &HostRecords, shard: &ShardKey) -> bool {
    let alb = view.observed.shards.get(shard).and_then(|s| s.load_balancer.last()).and_then(Option::as_ref);
    let leads = |r: &Record| match &r.data {
        RecordData::A(alias) | RecordData::Aaaa(alias) => alb.is_some_and(|alb| alb.dns_name == alias.dns_name),
        _ => false,
    };
    ours(view, records).into_iter().any(leads)
}

/// Whether a name of ours leads clients of the host to the shard.
pub(super) fn leads_to(view: &View<'_>, host: &Host, shard: &ShardKey) -> bool {
    let zones = zones_for(view, host, &shard.load_balancer).unwrap_or_default();
    zones.iter().any(|zone| view.observed.records_of(zone, host).is_some_and(|r| points_to(view, &r, shard)))
}

/// Whether no name of ours leads a client of the host to the shard.
pub(super) fn off(view: &View<'_>, host: &Host, shard: &ShardKey) -> bool {
    let Some(zones) = zones_for(view, host, &shard.load_balancer) else { return false };
    zones.iter().all(|zone| {
        view.observed.readable_from(&Scope::Records(zone.clone(), host.clone())).is_some()
            && view.observed.records_of(zone, host).is_some_and(|r| !points_to(view, &r, shard))
    })
}

/// Zones in which the host is to stay published.
fn kept_zones(view: &View<'_>, host: &Host) -> BTreeSet<String> {
    // Only the namespace that holds a host has it among what it should publish.
    let holder = view.world.claims.get(&claim_name(host)).map(|c| &c.spec.namespace);
    holder
        .and_then(|namespace| view.desired.get(namespace)?.hosts.get(host))
        .into_iter()
        .flat_map(|h| h.placement.keys().filter(|lb| !h.carriers.contains_key(*lb)))
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
        if super::claims::keeps(&view, claim) {
            continue;
        }
        let wanted = view.desired.get(namespace).and_then(|d| d.hosts.get(&host));
        for lb in claim.status.placement.keys().filter(|lb| wanted.is_none_or(|w| !w.placement.contains_key(*lb))) {
            for zone in zones_for(&view, &host, lb).unwrap_or_default() {
                take_back(draft, &host, &zone);
            }
        }
    }
    poll_changes(draft, namespace);
}

/// How the owners that are adopted anywhere write their markers.
pub(crate) fn adopted_forms(world: &World) -> Vec<AdoptOwner> {
    world.load_balancers.values().flat_map(|lb| lb.spec.dns.adopt_owners.iter().cloned()).collect()
}

/// Makes sure the records of one host are known.
pub(super) fn known<'a>(draft: &mut Draft<'a>, zone: &str, host: &Host) -> Option<Cow<'a, HostRecords>> {
    let scope = Scope::Records(zone.to_owned(), host.clone());
    let listed = draft.view.observed.zone_lists.get(zone).is_some_and(|c| c.known().is_some());
    let single = draft.view.observed.records.contains_key(&(zone.to_owned(), host.clone()));
    if !listed {
        draft.wait(format!("zone {zone} to be listed"));
        return None;
    }
    // Hardly ever: the names to ask for are made only then.
    if single && draft.view.observed.unknown(&scope) {
        let forms = adopted_forms(draft.view.world);
        let mut names = marker::names(host, &forms);
        names.extend([host.as_text(), marker_name(host)]);
        let read = AwsCall::ReadRecords { zone: zone.to_owned(), names };
        if !draft.need(scope, &role(&draft.view, zone), read, u64::MAX) {
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
            if !done.insert(zone.clone()) {
                continue;
            }
            match wanted.carriers.get(lb_name) {
                Some(wildcard) if !super::prewire::shadowed(&view, namespace, host, &zone) => {
                    // A record of its own from before goes when the wildcard answers everywhere.
                    let carried = unserved(&view, namespace, wildcard, wanted.protocols(), &shard).is_none()
                        && published(&view, wildcard, &zone) == Some(true);
                    if carried {
                        take_back(draft, host, &zone);
                    }
                }
                _ => publish_in(draft, namespace, host, wanted, &shard, &zone),
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
    if unserved(view, namespace, host, wanted.protocols(), shard).is_some() {
        out.push("the rule to reach the data plane");
    }
    if !Way::all(shard, namespace).filter(|way| wanted.protocols().contains(&way.protocol)).all(|w| w.healthy(view)) {
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

/// The first protocol for which no rule of the host is in the data plane.
pub(super) fn unserved(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    protocols: &[ProtocolVersion],
    shard: &ShardKey,
) -> Option<ProtocolVersion> {
    let live = |protocol| super::rules::rule_live(view, Way { shard, namespace, protocol }, host).is_some();
    protocols.iter().copied().find(|protocol| !live(*protocol))
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
    let Some(lb) = view.world.load_balancers.get(&shard.load_balancer) else { return };
    let Some(records) = known(draft, zone, host) else { return };
    let mut have: Vec<Record> = match owner(&view, zone, host, lb, &records) {
        Owner::Nobody => Vec::new(),
        Owner::Us => {
            let mut have: Vec<Record> = ours(&view, &records).into_iter().cloned().collect();
            have.extend(stragglers(lb, &records));
            have
        }
        Owner::HandedOver(to) => {
            draft.wait(format!("{host}: its records in zone {zone} were handed over to {to}"));
            return;
        }
        Owner::Stranger(who) => match adoptable(lb, &records) {
            Some(theirs) => theirs,
            None => {
                draft.hold(format!(
                    "{host}: zone {zone} already has records of {who}; delete them, or name their owner in spec.dns.adoptOwners of {}",
                    shard.load_balancer
                ));
                return;
            }
        },
    };
    let Some(alb) = alb(&view, shard) else {
        draft.wait(format!("load balancer {shard} to be active"));
        return;
    };
    let right = wanted_records(&view, host, namespace, shard, alb);
    have.sort();
    if have == right {
        return;
    }
    if let Some(other) = super::prewire::would_shadow(&view, namespace, host, zone) {
        draft.wait(format!("{host}: {other} to have a record of its own, which this one would take out of DNS"));
        return;
    }
    let missing = missing(&view, namespace, host, wanted, shard);
    if !missing.is_empty() {
        draft.wait(format!("{host}: {}", missing.join(", ")));
        super::rules::probe(draft, Way { shard, namespace, protocol: ProtocolVersion::Http1 }, host);
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
    let changes: Vec<RecordChange> = delete.chain(create).collect();
    let more = u64::try_from(net(&changes)).unwrap_or(0);
    if more > 0
        && let Some(full) = no_room(&view, zone, more)
    {
        // Room is made by other namespaces, whose changes do not concern this one otherwise.
        draft.wake(view.now.mono.plus(1_000));
        draft.hold(format!("{host}: {full}"));
        return;
    }
    change(draft, zone, host, changes);
}

/// Records that a batch adds, or takes away.
pub(crate) fn net(changes: &[RecordChange]) -> i64 {
    changes
        .iter()
        .map(|c| match c.action {
            ChangeAction::Create => 1,
            ChangeAction::Delete => -1,
        })
        .sum()
}

/// That the zone has no room for so many records more.
pub(super) fn no_room(view: &View<'_>, zone: &str, more: u64) -> Option<String> {
    let room = view.observed.zone_rooms.get(zone)?.last()?;
    (room.records + more > room.limit).then(|| {
        format!(
            "zone {zone} has {} of {} records and no room for {more} more; raise its quota in Route 53, or prewire a domain",
            room.records, room.limit
        )
    })
}

fn wanted_records(view: &View<'_>, host: &Host, namespace: &str, shard: &ShardKey, alb: &LoadBalancer) -> Vec<Record> {
    let alias = Alias { dns_name: alb.dns_name.clone(), zone_id: alb.zone_id.clone(), evaluate_target_health: false };
    let lb = view.world.load_balancers.get(&shard.load_balancer);
    // What the ALB does not have yet is not promised.
    let kind = lb.map(|lb| lb.spec.ip_address_type).filter(|_| alb.ip_address_type != "ipv4").unwrap_or_default();
    let routing = lb.and_then(|lb| lb.spec.dns.routing.as_ref());
    records(&view.settings.cluster_id, host, namespace, kind, &alias, routing)
}

/// Whether any AAAA of ours leads to the ALB.
pub(super) fn sends_ipv6(view: &View<'_>, alb: &LoadBalancer) -> bool {
    let leads = |r: &Record| matches!(&r.data, RecordData::Aaaa(alias) if alias.dns_name == alb.dns_name);
    let known = view.observed.records.values().filter_map(|cell| cell.last());
    known.flat_map(|records| ours(view, records)).any(leads)
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
    routing: Option<&DnsRouting>,
) -> Vec<Record> {
    let routing = routing.map(|r| Routing {
        set_identifier: r.set_identifier.clone(),
        weight: Some(u8::try_from(r.weight.clamp(0, 255)).unwrap_or(u8::MAX)),
    });
    let record = |name: String, data| Record { name, routing: routing.clone(), data };
    let mut out = vec![record(host.as_text(), RecordData::A(alias.clone()))];
    if addresses != IpAddressType::Ipv4 {
        out.push(record(host.as_text(), RecordData::Aaaa(alias.clone())));
    }
    let value = cluster.owner_txt(namespace);
    out.push(record(marker_name(host), RecordData::Txt { ttl: TXT_TTL, value }));
    out.sort();
    out
}

/// Takes back the records of hosts that no claim speaks of, as far as their load balancer lets them go.
pub(super) fn plan_orphans(draft: &mut Draft<'_>) {
    let view = draft.view;
    for (lb, host) in view.memory.orphans.keys() {
        if super::inferred::kept(&view, "", host, lb) || view.world.claims.contains_key(&claim_name(host)) {
            continue;
        }
        for zone in zones_for(&view, host, lb).unwrap_or_default() {
            take_back(draft, host, &zone);
        }
    }
}

fn take_back(draft: &mut Draft<'_>, host: &Host, zone: &str) {
    let view = draft.view;
    let Some(records) = known(draft, zone, host) else { return };
    if kept_zones(&view, host).contains(zone) {
        return;
    }
    let ours = ours(&view, &records).into_iter();
    let ours = ours.filter(|r| matches!(r.data, RecordData::A(_) | RecordData::Aaaa(_) | RecordData::Txt { .. }));
    let changes: Vec<RecordChange> =
        ours.map(|r| RecordChange { action: ChangeAction::Delete, record: r.clone() }).collect();
    if !changes.is_empty() {
        change(draft, zone, host, changes);
    }
}

pub(super) fn change(draft: &mut Draft<'_>, zone: &str, host: &Host, changes: Vec<RecordChange>) {
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
        Order::Aws { region: role(&draft.view, zone), call },
        Urgency::Awaited,
    );
}

/// Asks for changes that are not everywhere yet: one question per change, whatever number of hosts it carried.
fn poll_changes(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    let mut pending = BTreeSet::new();
    for host in view.desired.get(namespace).into_iter().flat_map(|d| d.hosts.keys()) {
        for zone in view.observed.zone_lists.keys() {
            pending.extend(pending_change(&view, host, zone).map(|id| (id, zone.clone())));
        }
    }
    for (id, zone) in pending {
        if view.observed.changes.get(&id).and_then(|c| c.known()) != Some(&true) {
            let role = role(&view, &zone);
            draft.need(Scope::Change(id.clone()), &role, AwsCall::ReadChange { change: id }, view.settings.poll * 4);
        }
    }
}

/// The change that made a host's records what they are, while nobody has seen it everywhere. A new leader finds it in
/// the claim, and asks only for hosts whose app was not told yet that its name is published.
fn pending_change(view: &View<'_>, host: &Host, zone: &str) -> Option<String> {
    let cell = view.observed.records.get(&(zone.to_owned(), host.clone())).and_then(|c| c.last());
    if let Some(id) = cell.and_then(|r| r.pending.clone()) {
        return Some(id);
    }
    let claim = view.world.claims.get(&claim_name(host))?;
    let id = claim.status.dns_changes.get(zone)?;
    let told = |app: &String| {
        let facts = view.world.apps.get(&AppKey::new(&claim.spec.namespace, app));
        facts.is_some_and(|a| {
            a.status.conditions.iter().any(|c| c.type_ == "DNSReady" && c.status == ConditionStatus::True)
        })
    };
    (!claim.status.apps.iter().any(told)).then(|| id.clone())
}

/// Where a host's records stand in a zone: `None` not published, `Some(false)` on the way, `Some(true)` everywhere.
pub(super) fn published(view: &View<'_>, host: &Host, zone: &str) -> Option<bool> {
    let records = view.observed.records_of(zone, host)?;
    if !is_ours(view, &records) || records.at_host.is_empty() {
        return None;
    }
    let pending = pending_change(view, host, zone);
    Some(pending.is_none_or(|id| view.observed.changes.get(&id).and_then(|c| c.last()) == Some(&true)))
}

/// The last change of a host's records in each zone, to be remembered in its claim.
pub(super) fn changes_to_remember(view: &View<'_>, host: &Host) -> Vec<(String, String)> {
    let of = |zone: &String| {
        let records = view.observed.records.get(&(zone.clone(), host.clone()))?.known()?;
        (is_ours(view, records) && !records.at_host.is_empty()).then(|| records.pending.clone())?
    };
    view.observed.zone_lists.keys().filter_map(|zone| Some((zone.clone(), of(zone)?))).collect()
}
