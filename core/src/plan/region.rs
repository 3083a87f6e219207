//! Facts of a Region and of the account.

use crate::aws::AwsCall;
use crate::certificates::Certificates;
use crate::identity::ClusterId;
use crate::observed::Scope;

use super::{Draft, View};

pub(super) fn plan(draft: &mut Draft<'_>, region: &str) {
    let seldom = draft.view.settings.audit_seldom;
    draft.need(Scope::Limits(region.into()), region, AwsCall::ReadLimits, seldom);
    certificates(draft, region);
    let prefix = ClusterId::LOAD_BALANCER_PREFIX.to_owned();
    draft.need(Scope::LoadBalancers(region.into()), region, AwsCall::ReadLoadBalancers { prefix }, seldom);
    let prefix = draft.view.settings.cluster_id.target_group_prefix();
    draft.need(Scope::Groups(region.into()), region, AwsCall::ReadTargetGroups { prefix }, seldom);
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
