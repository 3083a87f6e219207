//! Where a host stands: sticky, decided by the quota model before the first call, and moved make-before-break.
//!
//! A claim's placement names the shard the host goes to and, while clients may still come there, the one it comes from.
//! Both are served. The record flips when the new side is whole, and the old side goes when no client can remember it.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::{AdmittedApp, BackendProtocol, ClaimState, Placement, Tls, keys};
use gatehouse_route::Host;

use crate::desired::HostDesired;
use crate::identity::{ShardKey, claim_name};
use crate::time::Mono;
use crate::world::LoadBalancerFacts;

use super::owner::Owner;
use super::{Draft, NamespaceLoad, ShardLoad, View};

/// Seconds an ALB keeps an idle client's connection unless told otherwise.
const CLIENT_KEEP_ALIVE: u64 = 3_600;

/// Most writes to Kubernetes that are under way at once, and so most hosts that may be placed at the same moment.
const AT_ONCE: u32 = 32;

/// The shards a placement speaks of: where to, and where from.
pub(crate) fn shards<'a>(load_balancer: &'a str, placement: &Placement) -> impl Iterator<Item = ShardKey> + use<'a> {
    let index = |i: i32| u32::try_from(i).unwrap_or(0);
    let to = index(placement.shard);
    let from = placement.from.map(index).filter(|f| *f != to);
    std::iter::once(to).chain(from).map(move |index| ShardKey { load_balancer: load_balancer.to_owned(), index })
}

/// The placement of a host on every load balancer that its apps name.
pub(super) fn place(
    draft: &mut Draft<'_>,
    namespace: &str,
    host: &Host,
    admitted: &BTreeMap<String, Box<AdmittedApp>>,
    now: &BTreeMap<String, Placement>,
) -> BTreeMap<String, Placement> {
    let view = draft.view;
    let wanted: BTreeSet<&String> = admitted.values().flat_map(|a| &a.load_balancers).collect();
    let mut out = BTreeMap::new();
    for name in wanted {
        let Some(lb) = view.world.load_balancers.get(name) else {
            // Its ALB may stand; where the host was is worth knowing when it comes back.
            out.extend(now.get(name).map(|p| (name.clone(), p.clone())));
            continue;
        };
        if let Some(carried) = carried(&view, namespace, host, name) {
            out.insert(name.clone(), carried);
            continue;
        }
        if let Some(placement) = now.get(name) {
            out.insert(name.clone(), moved(draft, namespace, host, name, lb, placement));
            continue;
        }
        match choose(&view, namespace, host, admitted, name, lb) {
            Ok(index) => {
                out.insert(name.clone(), Placement { shard: i32::try_from(index).unwrap_or(i32::MAX), from: None });
            }
            Err(binding) => {
                // Room is made by other namespaces, whose changes do not concern this one otherwise.
                draft.wake(view.now.mono.plus(1_000));
                draft.hold(format!(
                    "{host}: no shard of {name} has room ({binding}); raise spec.limits.shards, or the account's quotas"
                ));
            }
        }
    }
    // A place that nobody asks for any more is remembered until nothing of the host is left there.
    for (name, placement) in now.iter().filter(|(name, _)| !admitted.values().any(|a| a.load_balancers.contains(name)))
    {
        let left = shards(name, placement).all(|shard| super::claims::off_shard(&view, namespace, host, &shard))
            && super::record::gone(&view, host, name);
        if view.world.load_balancers.contains_key(name) && !left {
            out.insert(name.clone(), placement.clone());
        }
    }
    out
}

/// Where the prewired wildcard stands that carries the host: it needs no room of its own there.
fn carried(view: &View<'_>, namespace: &str, host: &Host, name: &str) -> Option<Placement> {
    let wildcard = host.parent_wildcard().filter(|_| !host.is_wildcard())?;
    let ready = view.reviews.get(namespace)?.rulebook.prewired.get(&wildcard)? == name;
    let claim = view.world.claims.get(&claim_name(&wildcard)).filter(|c| ready && c.spec.namespace == namespace)?;
    (claim.status.state == ClaimState::Held && claim.status.admitted.contains_key(keys::PREWIRED))
        .then(|| claim.status.placement.get(name).cloned())?
}

/// One step of a move, if there is one.
fn moved(
    draft: &mut Draft<'_>,
    namespace: &str,
    host: &Host,
    name: &str,
    lb: &LoadBalancerFacts,
    placement: &Placement,
) -> Placement {
    let to = lb.status.moves.iter().find(|m| m.namespace == namespace).map(|m| m.shard);
    match (to, placement.from) {
        (Some(to), None) if to != placement.shard => Placement { shard: to, from: Some(placement.shard) },
        // Back to where it came from: that side still stands.
        (Some(to), Some(from)) if to == from => Placement { shard: from, from: Some(placement.shard) },
        (_, Some(_)) if left_behind(draft, host, name, lb, placement) => {
            Placement { shard: placement.shard, from: None }
        }
        (_, Some(from)) => {
            draft.wait(format!("{host} to leave shard {from} of {name}"));
            placement.clone()
        }
        _ => placement.clone(),
    }
}

/// Whether no client can come to the old side any more.
fn left_behind(draft: &mut Draft<'_>, host: &Host, name: &str, lb: &LoadBalancerFacts, placement: &Placement) -> bool {
    let view = draft.view;
    let Some(new) = shards(name, placement).next() else { return false };
    let Some(zones) = super::zones_for(&view, host, name) else { return false };
    for zone in zones {
        let Some(records) = view.observed.records_of(&zone, host) else { return false };
        if records.at_host.is_empty() {
            // Never published here: nobody has learned the old address.
            continue;
        }
        // Another cluster's records follow no move of ours; they lead elsewhere, or the old side stays.
        let away = match super::owner::owner(&view, &zone, host, lb, &records) {
            Owner::HandedOver(_) => !shards(name, placement).any(|s| super::record::points_to(&view, &records, &s)),
            _ => {
                super::record::points_to(&view, &records, &new)
                    && super::record::published(&view, host, &zone) == Some(true)
            }
        };
        if !away {
            return false;
        }
        let flipped = view.memory.flipped.get(&(zone.clone(), host.clone())).copied();
        let until = flipped.unwrap_or(view.memory.started).plus(client_memory(&view, lb));
        if view.now.mono < until {
            draft.wake(until);
            return false;
        }
    }
    true
}

/// Until when clients may still come to a shard for a host whose names lead to another load balancer now.
pub(super) fn remembered(view: &View<'_>, namespace: &str, host: &Host, shard: &ShardKey) -> Option<Mono> {
    let wanted = view.desired.get(namespace)?.hosts.get(host)?;
    let lb = view.world.load_balancers.get(&shard.load_balancer)?;
    let elsewhere = wanted.leaving.contains(&shard.load_balancer);
    let zones = super::zones_for(view, host, &shard.load_balancer).filter(|_| elsewhere)?;
    let flips = zones.iter().filter_map(|zone| view.memory.flipped.get(&(zone.clone(), host.clone())));
    let until = flips.max()?.plus(client_memory(view, lb));
    (view.now.mono < until).then_some(until)
}

/// Milliseconds during which clients may come to an address that DNS names no more: the record's TTL, or a connection
/// that they keep.
fn client_memory(view: &View<'_>, lb: &LoadBalancerFacts) -> u64 {
    let keep_alive = lb.spec.attributes.get("client_keep_alive.seconds").and_then(|s| s.parse().ok());
    view.settings.record_ttl.max(keep_alive.unwrap_or(CLIENT_KEEP_ALIVE) * 1000)
}

/// Where a new host goes: to the shard that has its rule already (a cluster that was rebuilt), else where a rule can be
/// made at once, else where merging makes room; where its namespace stands first. An ALB is opened last.
fn choose(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    admitted: &BTreeMap<String, Box<AdmittedApp>>,
    name: &str,
    lb: &LoadBalancerFacts,
) -> Result<u32, String> {
    if lb.meta.deleting {
        return Err(format!("{name} is being deleted"));
    }
    let shards = u32::try_from(lb.spec.limits.shards).unwrap_or(1);
    let key = |index| ShardKey { load_balancer: name.to_owned(), index };
    let standing = |index: &u32| {
        let rules = super::rules::rules_of(view, &key(*index), namespace);
        rules.is_some_and(|rules| rules.iter().any(|(_, r)| r.hosts.contains(host)))
    };
    if let Some(index) = (0..shards).find(standing) {
        return Ok(index);
    }
    let at_home = |index: &u32| view.load.get(&key(*index)).is_some_and(|l| l.namespaces.contains_key(namespace));
    let tls = admitted.values().find_map(|a| a.tls.as_ref());
    let mut routes = admitted.values().flat_map(|a| &a.routes);
    let grpc = routes.any(|r| r.backend_protocol == Some(BackendProtocol::Grpc));
    let has_room = |index: &u32| {
        room(view, namespace, &|own: NamespaceLoad| own.with(host, grpc), &key(*index), lb)
            .and_then(|()| certificate_room(view, namespace, host, tls, &key(*index), lb))
    };
    let (home, elsewhere): (Vec<u32>, Vec<u32>) = (0..shards).partition(at_home);
    // Merging swaps rules one at a time, and each waits for the data plane.
    let takes = |index: &u32, rules: u32| {
        free_rules(view, &key(*index), lb).is_some_and(|free| free >= rules) && has_room(index).is_ok()
    };
    let at_once = |index: &u32| takes(index, 1 + u32::from(grpc));
    // A namespace that is new there looks for a shard that takes all it wants beside what others there still want: each
    // more shard costs it a target group, and each overfull one merges.
    let whole = |index: &u32| takes(index, coming(view, namespace, name) + promised(view, &key(*index)));
    let fits = home.iter().copied().find(at_once).or_else(|| elsewhere.iter().copied().find(whole));
    if let Some(index) = fits.or_else(|| elsewhere.iter().copied().find(at_once)) {
        return Ok(index);
    }
    if let Some(index) = home.into_iter().find(|i| has_room(i).is_ok()) {
        return Ok(index);
    }
    let mut binding = String::new();
    for index in 0..shards {
        match has_room(&index) {
            Ok(()) => return Ok(index),
            Err(reason) => binding = reason,
        }
    }
    Err(binding)
}

/// How many rules a shard takes more as it is, with a spare one left; `None` if it does not stand.
fn free_rules(view: &View<'_>, shard: &ShardKey, lb: &LoadBalancerFacts) -> Option<u32> {
    let observed = view.observed.shards.get(shard)?;
    let stands = observed.load_balancer.last().and_then(Option::as_ref).is_some_and(|alb| alb.active);
    let rules = observed.rules.last().filter(|_| stands)?;
    let carried = observed.carried.get(&view.settings.cluster_id.0).copied().unwrap_or(0);
    let placed = usize::try_from(view.load.get(shard).map_or(0, ShardLoad::hosts)).unwrap_or(usize::MAX);
    let quota = usize::try_from(quotas(view, lb).rules).unwrap_or(usize::MAX);
    u32::try_from(quota.saturating_sub(rules.len() + placed.saturating_sub(carried) + 1)).ok()
}

/// Rules that hosts of a namespace will need which are asked for and not placed yet.
fn coming(view: &View<'_>, namespace: &str, name: &str) -> u32 {
    let asked = view.reviews.get(namespace).and_then(|review| review.asked.get(name)).copied().unwrap_or(0);
    let here = |(shard, load): (&ShardKey, &ShardLoad)| {
        load.namespaces.get(namespace).filter(|_| shard.load_balancer == name).map_or(0, |l| l.exact + l.wildcards)
    };
    asked.saturating_sub(view.load.iter().map(here).sum())
}

/// The same of all namespaces that stand on a shard: they will come there.
fn promised(view: &View<'_>, shard: &ShardKey) -> u32 {
    let there = view.load.get(shard).into_iter().flat_map(|load| load.namespaces.keys());
    there.map(|namespace| coming(view, namespace, &shard.load_balancer)).sum()
}

/// The quota that a shard is beyond, however well its rules are packed and without a spare one.
pub(super) fn overfull(view: &View<'_>, shard: &ShardKey, lb: &LoadBalancerFacts) -> Option<String> {
    let quota = quotas(view, lb).rules;
    let used = view.load.get(shard).map_or(0, ShardLoad::rules) + foreign_rules(view, shard);
    (used > quota).then(|| format!("rules {used}/{quota} on shard {}", shard.index))
}

/// Whether hosts that are placed on a shard at the same moment must see each other: the first of a namespace there, and
/// all where not everything that may be under way fits as it is.
pub(super) fn crowded(view: &View<'_>, namespace: &str, host: &Host, name: &str, placement: &Placement) -> bool {
    let Some(lb) = view.world.load_balancers.get(name) else { return false };
    let Some(shard) = shards(name, placement).next() else { return false };
    if carried(view, namespace, host, name).is_some() {
        return false;
    }
    let home = view.load.get(&shard).is_some_and(|load| load.namespaces.contains_key(namespace));
    // Where no rule is left as it is, only what merging can make of them counts.
    let last = free_rules(view, &shard, lb).is_some_and(|free| (1..AT_ONCE).contains(&free));
    let packed = view.load.get(&shard).map_or(0, ShardLoad::rules) + foreign_rules(view, &shard);
    !home || last || packed + 1 + AT_ONCE > quotas(view, lb).rules
}

/// The quota model: whether the shard can take what the namespace has there `with` more, and still has a spare rule to
/// swap with. Otherwise the quota that binds.
pub(super) fn room(
    view: &View<'_>,
    namespace: &str,
    with: &dyn Fn(NamespaceLoad) -> NamespaceLoad,
    shard: &ShardKey,
    lb: &LoadBalancerFacts,
) -> Result<(), String> {
    let quotas = quotas(view, lb);
    let empty = ShardLoad::default();
    let load = view.load.get(shard).unwrap_or(&empty);
    let mine = load.namespaces.get(namespace).copied().unwrap_or_default();
    let wanted = with(mine);
    let over = |what: &str, used: u32, quota: u32| Err(format!("{what} {used}/{quota} on shard {}", shard.index));
    // As packed as compaction can make them: five hosts of a namespace share a rule.
    let rules = load.rules() - mine.rules() + wanted.rules();
    let foreign = foreign_rules(view, shard);
    if rules + foreign + 1 > quotas.rules {
        return over("rules", load.rules() + foreign, quotas.rules);
    }
    let groups = load.groups();
    let more = wanted.groups() - mine.groups();
    if more > 0 && groups + more > quotas.target_groups {
        return over("target groups", groups, quotas.target_groups);
    }
    let pods = super::group::pods_at_most(view);
    if more > 0 && (groups + more).saturating_mul(pods) > quotas.targets {
        return over("targets", groups.saturating_mul(pods), quotas.targets);
    }
    Ok(())
}

/// Whether the certificate that the host will need fits on the listener.
fn certificate_room(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    tls: Option<&Tls>,
    shard: &ShardKey,
    lb: &LoadBalancerFacts,
) -> Result<(), String> {
    // One slot stays free for the certificate that replaces another; the default is not counted.
    let quota = quotas(view, lb).certificates;
    let load = view.load.get(shard).map_or(0, ShardLoad::hosts);
    // Every host needs one at most.
    if load < quota {
        return Ok(());
    }
    let wanted = super::certificate::listener::wanted_arns(view, shard);
    let placed = HostDesired {
        placement: [(shard.load_balancer.clone(), shard.index)].into(),
        tls: tls.cloned(),
        ..HostDesired::default()
    };
    let needs = super::certificate_for(view, namespace, host, &shard.load_balancer, &placed);
    let used = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
    if needs.is_some_and(|arn| !wanted.contains(&arn)) && used >= quota {
        return Err(format!("certificates {used}/{quota} on shard {}", shard.index));
    }
    Ok(())
}

/// Rules on our listener that are not ours: they use the quota too.
fn foreign_rules(view: &View<'_>, shard: &ShardKey) -> u32 {
    let rules = view.observed.shards.get(shard).and_then(|s| s.rules.last());
    let foreign = rules.into_iter().flat_map(|r| r.values());
    let count = foreign.filter(|r| r.cluster.as_ref() != Some(&view.settings.cluster_id.0)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The account's numbers, or AWS's defaults until they are read.
pub(super) fn quotas(view: &View<'_>, lb: &LoadBalancerFacts) -> crate::aws::Limits {
    view.observed.limits_of(&lb.spec.region)
}

/// When a shard that nothing stands on any more may be taken down. The first one stays.
pub(super) fn retires_at(view: &View<'_>, shard: &ShardKey) -> Option<Mono> {
    if shard.index == 0 || view.load.contains_key(shard) {
        return None;
    }
    let observed = view.observed.shards.get(shard)?;
    // Without an HTTPS listener there is no rule to read.
    let deaf = super::rules::without_listener(view, shard);
    let emptied = observed.emptied_at.or(deaf.then_some(observed.listeners.at))?;
    Some(emptied.plus(view.settings.shard_idle))
}
