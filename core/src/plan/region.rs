//! Facts of a Region and of the account.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::AwsCall;
use crate::certificates::Certificates;
use crate::identity::ClusterId;
use crate::observed::Scope;

use super::{Draft, View};

pub(super) fn plan(draft: &mut Draft<'_>, region: &str) {
    let seldom = draft.view.settings.audit_seldom;
    let age = limits_age(&draft.view, region);
    draft.need(Scope::Limits(region.into()), region, AwsCall::ReadLimits, age);
    certificates(draft, region);
    let prefix = ClusterId::LOAD_BALANCER_PREFIX.to_owned();
    draft.need(Scope::LoadBalancers(region.into()), region, AwsCall::ReadLoadBalancers { prefix }, seldom);
    let prefix = draft.view.settings.cluster_id.target_group_prefix();
    draft.need(Scope::Groups(region.into()), region, AwsCall::ReadTargetGroups { prefix }, seldom);
}

/// How old the account's numbers may be. Where one of them binds, or nearly, somebody is probably asking AWS for more.
fn limits_age(view: &View<'_>, region: &str) -> u64 {
    let Some(limits) = view.observed.limits.get(region).and_then(|c| c.last()) else { return 0 };
    let here = |lb: &String| view.world.load_balancers.get(lb).is_some_and(|lb| lb.spec.region == region);
    let full = view.load.iter().filter(|(shard, _)| here(&shard.load_balancer)).any(|(shard, load)| {
        let observed = view.observed.shards.get(shard);
        let rules = observed.and_then(|s| s.rules.last()).map_or(0, BTreeMap::len);
        let certificates = observed.and_then(|s| s.certificates.last()).map_or(0, BTreeSet::len);
        let near = |used: usize, quota: u32| used + 2 >= usize::try_from(quota).unwrap_or(usize::MAX);
        near(rules, limits.rules)
            || near(certificates, limits.certificates)
            || load.groups() + 1 >= limits.target_groups
            || (load.groups() + 1).saturating_mul(super::group::pods_at_most(view)) > limits.targets
    });
    let full = full || view.observed.groups_in(region) + 1 >= limits.region_target_groups;
    if full { view.settings.audit_often } else { view.settings.audit_seldom }
}

fn certificates(draft: &mut Draft<'_>, region: &str) {
    let view = draft.view;
    let mut age = certificates_age(&view, region);
    match view.observed.requests_doubtful(region) {
        Some(from) if from > draft.now() => draft.wake(from),
        Some(_) => age = 0,
        None => {}
    }
    let listing = view.observed.certificates.get(region).and_then(|c| c.last());
    let known = listing
        .into_iter()
        .flat_map(Certificates::iter)
        .filter(|(_, c)| c.settled())
        .map(|(a, c)| (a.clone(), c.status));
    let call = AwsCall::ReadCertificates { known: known.collect() };
    draft.need(Scope::Certificates(region.into()), region, call, age);
}

/// How old the listing may be. What moves is asked for again soon; a host that no certificate covers is worth looking
/// again: somebody is probably importing one.
fn certificates_age(view: &View<'_>, region: &str) -> u64 {
    let settings = view.settings;
    let Some(listing) = view.observed.certificates.get(region).and_then(|c| c.known()) else {
        return settings.audit_seldom;
    };
    if listing.iter().any(|(_, c)| c.details.is_none()) {
        return 0;
    }
    if listing.iter().any(|(_, c)| !c.settled()) {
        // ACM shows the records some seconds after the request.
        return settings.poll * 8;
    }
    let missing = view.desired.iter().any(|(namespace, desired)| {
        desired.hosts.iter().any(|(host, wanted)| {
            let here = |lb: &String| view.world.load_balancers.get(lb).is_some_and(|lb| lb.spec.region == region);
            let lacks = |lb: &&String| super::certificate_for(view, namespace, host, lb, wanted).is_none();
            wanted.placement.keys().filter(|lb| here(lb)).any(|lb| lacks(&lb))
        })
    });
    match () {
        () if missing && listing.iter().any(|(_, c)| super::certificate::moving(view, c)) => settings.poll * 60,
        () if missing => 60_000,
        () if super::certificate::clean_up::lingers(view, region, listing) => settings.audit_often,
        () => settings.audit_seldom,
    }
}

pub(super) fn plan_zones(draft: &mut Draft<'_>) {
    let seldom = draft.view.settings.audit_seldom;
    let roles = super::dns::zone_roles(draft.view.world);
    if !draft.need(Scope::Zones, "", AwsCall::ReadZones { roles }, seldom) {
        return;
    }
    let mut wanted = std::collections::BTreeSet::new();
    for lb in draft.view.world.load_balancers.values() {
        wanted.extend(super::dns::zones_of(&draft.view, lb));
    }
    for zone in wanted {
        let often = draft.view.settings.audit_often;
        let role = super::dns::role(&draft.view, &zone);
        let room = draft.view.observed.zone_rooms.get(&zone).and_then(|c| c.last());
        let age = if room.is_some_and(|r| r.records >= r.limit / 10 * 9) { often } else { seldom };
        draft.need(Scope::ZoneLimit(zone.clone()), &role, AwsCall::ReadZoneLimit { zone: zone.clone() }, age);
        draft.need(Scope::Zone(zone.clone()), &role, AwsCall::ReadZoneRecords { zone }, often);
    }
    super::record::plan_orphans(draft);
}
