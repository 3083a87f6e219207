//! Which zone a name belongs to.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::Visibility;
use gatehouse_route::Host;

use crate::aws::HostedZone;
use crate::world::{LoadBalancerFacts, World};

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

/// Zones that the load balancer names and nobody can find, each with the cure.
pub(super) fn unreadable(view: &View<'_>, lb: &LoadBalancerFacts) -> Vec<String> {
    let Some(known) = view.observed.zones.known() else { return Vec::new() };
    let named = lb.spec.dns.zones.iter().enumerate();
    named
        .filter_map(|(i, zone)| {
            let private = zone.visibility.unwrap_or_default() == Visibility::Private;
            let wrong = match known.iter().find(|k| k.id == zone.id) {
                None => "is no hosted zone of this account, or its role may not read it; correct the id".to_owned(),
                Some(k) if k.private != private => {
                    let is = if k.private { "Private" } else { "Public" };
                    format!("is {is}; set visibility: {is}")
                }
                Some(_) => return None,
            };
            Some(format!("spec.dns.zones[{i}].id: {} {wrong}", zone.id))
        })
        .collect()
}

/// Roles to assume for zones of other accounts, by zone.
pub(crate) fn zone_roles(world: &World) -> BTreeMap<String, String> {
    let zones = world.load_balancers.values().flat_map(|lb| &lb.spec.dns.zones);
    zones.filter_map(|z| Some((z.id.clone(), z.role_arn.clone()?))).collect()
}

/// The role to assume for a zone; empty for one of our own account.
pub(super) fn role(view: &View<'_>, zone: &str) -> String {
    let mut zones = view.world.load_balancers.values().flat_map(|lb| &lb.spec.dns.zones);
    zones.find(|z| z.id == zone).and_then(|z| z.role_arn.clone()).unwrap_or_default()
}

/// Zones for a host on a load balancer: the longest suffix among the public ones and among the private ones.
/// `None` while the zones are not known.
#[must_use]
pub fn zones_for(view: &View<'_>, host: &Host, load_balancer: &str) -> Option<Vec<String>> {
    let zones = view.observed.zones.known()?;
    let lb = view.world.load_balancers.get(load_balancer)?;
    let allowed = zones_of(view, lb);
    let best = |private| longest(zones, &allowed, host.suffix(), private);
    Some([false, true].into_iter().filter_map(best).collect())
}

/// The public zone that proves a domain to ACM, among those a load balancer may write to.
pub(super) fn public_zone(view: &View<'_>, domain: &str, load_balancer: &str) -> Option<String> {
    let lb = view.world.load_balancers.get(load_balancer)?;
    longest(view.observed.zones.known()?, &zones_of(view, lb), domain, false)
}

fn longest(zones: &[HostedZone], allowed: &BTreeSet<String>, name: &str, private: bool) -> Option<String> {
    let fits = |zone: &str| name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
    let best = zones
        .iter()
        .filter(|z| z.private == private && allowed.contains(&z.id) && fits(&z.name))
        .max_by(|a, b| (a.name.len(), &b.id).cmp(&(b.name.len(), &a.id)));
    best.map(|z| z.id.clone())
}
