//! Facts of a Region and of the account.

use crate::aws::AwsCall;
use crate::identity::ClusterId;
use crate::observed::Scope;

use super::Draft;

pub(super) fn plan(draft: &mut Draft<'_>, region: &str) {
    let seldom = draft.view.settings.audit_seldom;
    draft.need(Scope::Limits(region.into()), region, AwsCall::ReadLimits, seldom);
    draft.need(Scope::Certificates(region.into()), region, AwsCall::ReadCertificates, certificates_age(draft));
    let prefix = ClusterId::LOAD_BALANCER_PREFIX.to_owned();
    draft.need(Scope::LoadBalancers(region.into()), region, AwsCall::ReadLoadBalancers { prefix }, seldom);
    let prefix = draft.view.settings.cluster_id.target_group_prefix();
    draft.need(Scope::Groups(region.into()), region, AwsCall::ReadTargetGroups { prefix }, seldom);
}

/// A host that no certificate covers is worth looking again: somebody is probably importing one.
fn certificates_age(draft: &Draft<'_>) -> u64 {
    let missing = draft.view.desired.iter().any(|(namespace, desired)| {
        desired.hosts.iter().any(|(host, wanted)| {
            wanted.placement.keys().any(|lb| super::certificate_for(&draft.view, namespace, host, lb, wanted).is_none())
        })
    });
    if missing { 60_000 } else { draft.view.settings.audit_seldom }
}

pub(super) fn plan_zones(draft: &mut Draft<'_>) {
    let seldom = draft.view.settings.audit_seldom;
    if !draft.need(Scope::Zones, "", AwsCall::ReadZones, seldom) {
        return;
    }
    let mut wanted = std::collections::BTreeSet::new();
    for lb in draft.view.world.load_balancers.values() {
        wanted.extend(super::dns::zones_of(&draft.view, lb));
    }
    for zone in wanted {
        let often = draft.view.settings.audit_often;
        draft.need(Scope::Zone(zone.clone()), "", AwsCall::ReadZoneRecords { zone }, often);
    }
    super::record::plan_orphans(draft);
}
