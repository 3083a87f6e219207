//! The rules of a namespace on its shards: which hosts share one, where it stands, and when it is in the data plane.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use gatehouse_route::{Host, short_hash};

use crate::aws::{AwsCall, ListenerKind, ListenerRule, ProtocolVersion, TargetGroup};
use crate::identity::ShardKey;
use crate::observed::Scope;
use crate::time::Mono;

use super::group::Way;
use super::{Draft, Lane, Order, Probe, Urgency, View};

/// The priorities among which a rule for these hosts has its own. `prewired` says which wildcards are kept ready.
///
/// Exact hosts sit below wildcards, so that a host of another namespace under a wildcard keeps its own edge; for the
/// same hosts the rule for gRPC stands before the one for everything. Prewired wildcards are for many names and busy,
/// and an ALB is paid by the rules it tries: they come first, after the exact hosts of others below them.
#[must_use]
pub fn band(
    hosts: &BTreeSet<Host>,
    protocol: ProtocolVersion,
    prewired: impl Fn(&Host) -> bool,
) -> RangeInclusive<u32> {
    let wildcard = hosts.first().is_some_and(Host::is_wildcard);
    let ready = match wildcard {
        true => hosts.iter().any(prewired),
        false => hosts.iter().filter_map(Host::parent_wildcard).any(|w| prewired(&w)),
    };
    match (ready, wildcard, protocol) {
        (true, false, ProtocolVersion::Grpc) => 1..=999,
        (true, false, ProtocolVersion::Http1) => 1_000..=4_999,
        (true, true, ProtocolVersion::Grpc) => 5_000..=5_999,
        (true, true, ProtocolVersion::Http1) => 6_000..=9_999,
        (false, false, ProtocolVersion::Grpc) => 10_000..=14_999,
        (false, false, ProtocolVersion::Http1) => 15_000..=39_999,
        (false, true, ProtocolVersion::Grpc) => 40_000..=41_999,
        (false, true, ProtocolVersion::Http1) => 42_000..=49_899,
    }
}

/// Milliseconds between two questions to a shard whether a rule is live. They cost no call of AWS, and the name waits.
const PROBE: u64 = 100;

/// Our rules of the namespace on a shard.
pub(super) fn rules_of<'a>(
    view: &View<'a>,
    shard: &ShardKey,
    namespace: &str,
) -> Option<Vec<(&'a String, &'a ListenerRule)>> {
    let rules = view.observed.shards.get(shard)?.rules.known()?;
    let ours = rules.iter().filter(|(_, r)| {
        r.cluster.as_ref() == Some(&view.settings.cluster_id.0) && r.namespace.as_deref() == Some(namespace)
    });
    Some(ours.collect())
}

/// Whether the shard may have a rule of the namespace, as far as is known.
pub(super) fn may_route(view: &View<'_>, shard: &ShardKey, namespace: &str) -> bool {
    match rules_of(view, shard, namespace) {
        Some(rules) => !rules.is_empty(),
        None => !without_listener(view, shard),
    }
}

/// Whether the shard is known to have no HTTPS listener, and so no rule.
pub(super) fn without_listener(view: &View<'_>, shard: &ShardKey) -> bool {
    view.observed.shards.get(shard).is_some_and(|s| {
        s.load_balancer.known().is_some_and(Option::is_none)
            || s.listeners.known().is_some_and(|l| !l.contains_key(&ListenerKind::Https))
    })
}

/// One step towards the right rules; true when the way has exactly those.
pub(super) fn plan(
    draft: &mut Draft<'_>,
    way: Way<'_>,
    region: &str,
    group: Option<&TargetGroup>,
    hosts: &BTreeSet<Host>,
) -> bool {
    let view = draft.view;
    let Way { shard, namespace, .. } = way;
    let listener =
        view.observed.shards.get(shard).and_then(|s| s.listeners.known()).and_then(|l| l.get(&ListenerKind::Https));
    let Some(ours) = way.rules(&view) else {
        draft.wait(format!("rules of {shard} to be read"));
        // Without an HTTPS listener there can be no rule: an ALB that is not there holds nothing back.
        return hosts.is_empty() && without_listener(&view, shard);
    };
    // A rule turns live by age alone: statuses are to be told then, also where nothing is left to be published.
    for at in ours.iter().filter_map(|(arn, _)| view.observed.shards.get(shard)?.rule_changed.get(*arn)) {
        let live = at.plus(view.settings.rule_settle);
        if live > view.now.mono {
            draft.wake(live);
        }
    }
    if let Some(call) = removal(draft, way, &ours, group, hosts) {
        draft.call(format!("remove rule on {way}"), region, Scope::Rules(shard.clone()), call);
        return false;
    }
    let present: BTreeSet<&Host> = ours.iter().flat_map(|(_, r)| &r.hosts).collect();
    if way.protocol == ProtocolVersion::Grpc {
        for host in hosts.iter().filter(|h| present.contains(h)) {
            probe(draft, way, host);
        }
    }
    let missing: Vec<&Host> = hosts.iter().filter(|h| !present.contains(h)).collect();
    let done = missing.is_empty() && (ours.is_empty() || !hosts.is_empty());
    let Some(packed) = next(draft, way, region, &ours, &missing) else { return done };
    let (Some(listener), Some(group)) = (listener, group) else {
        draft.wait(format!("HTTPS listener of {shard}"));
        return false;
    };
    let rules = view.observed.shards.get(shard).and_then(|s| s.rules.known()).into_iter().flatten();
    let (mut taken, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for (_, rule) in rules {
        taken.insert(rule.priority);
        groups.extend(&rule.target_group);
    }
    let limit = view.observed.limits_of(region).target_groups;
    if !groups.contains(&group.arn) && groups.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
        // Room is made by other namespaces, whose changes do not concern this one otherwise.
        draft.wake(view.now.mono.plus(1_000));
        draft.hold(format!(
            "rule for {} is not created: {way} has {} of {limit} target groups; raise the AWS quota, or move a namespace to another shard",
            packed.first().map(ToString::to_string).unwrap_or_default(),
            groups.len()
        ));
        return false;
    }
    let band = band(&packed, way.protocol, |w| super::prewire::ready(&view, w));
    if super::shard::disordered(&view, shard) {
        draft.wait(format!("the rules of {shard} to be in order"));
        return false;
    }
    let Some(priority) = priority(namespace, &packed, band, &taken) else {
        draft.hold(format!("no free priority on {shard}"));
        return false;
    };
    let call = AwsCall::CreateRule {
        listener: listener.arn.clone(),
        priority,
        hosts: packed,
        protocol: way.protocol,
        target_group: group.arn.clone(),
        tags: view.settings.cluster_id.namespace_tags(shard, namespace),
    };
    draft.call(format!("create rule on {way}"), region, Scope::Rules(shard.clone()), call);
    false
}

/// The next call that takes hosts off a rule that should not be there; the record goes first, so nobody is sent to a
/// rule that is gone.
fn removal(
    draft: &mut Draft<'_>,
    way: Way<'_>,
    ours: &[(&String, &ListenerRule)],
    group: Option<&TargetGroup>,
    hosts: &BTreeSet<Host>,
) -> Option<AwsCall> {
    let view = draft.view;
    let Way { shard, namespace, .. } = way;
    let arn = group.map(|g| &g.arn);
    let placed = view.desired.get(namespace).and_then(|d| d.shards.get(shard));
    for (rule_arn, rule) in ours {
        let stays = |h: &&Host| {
            (hosts.contains(*h) && rule.target_group.as_ref() == arn)
                || super::inferred::kept(&view, namespace, h, &shard.load_balancer)
        };
        let keep: BTreeSet<Host> = rule.hosts.iter().filter(stays).cloned().collect();
        if keep.len() == rule.hosts.len() && !rule.hosts.is_empty() {
            continue;
        }
        // Names of a host that stays on the shard through another rule may go on leading here.
        let stands = |h: &Host| placed.is_some_and(|placed| placed.contains(h));
        let leaving: Vec<&Host> = rule.hosts.iter().filter(|h| !keep.contains(*h) && !stands(h)).collect();
        if !leaving.iter().all(|h| super::record::off(&view, h, shard)) {
            draft.wait(format!("names of {namespace} to lead elsewhere before their rule goes"));
            continue;
        }
        if let Some(until) =
            leaving.iter().filter_map(|h| super::placement::remembered(&view, namespace, h, shard)).max()
        {
            draft.wake(until);
            draft.wait(format!("clients of {namespace} to forget {shard}"));
            continue;
        }
        return Some(if keep.is_empty() {
            AwsCall::DeleteRule { rule: (*rule_arn).clone() }
        } else {
            AwsCall::ModifyRule { rule: (*rule_arn).clone(), hosts: keep, protocol: way.protocol }
        });
    }
    super::compaction::redundant(draft, shard, ours).map(|rule| AwsCall::DeleteRule { rule })
}

/// The hosts of the rule that is to be made now: those of the first app that has none yet, and at the quota those that
/// make room.
fn next(
    draft: &mut Draft<'_>,
    way: Way<'_>,
    region: &str,
    ours: &[(&String, &ListenerRule)],
    missing: &[&Host],
) -> Option<BTreeSet<Host>> {
    let view = draft.view;
    let Way { shard, namespace, protocol } = way;
    let limit = view.observed.limits_of(region).rules;
    let used = view.observed.shards.get(shard).and_then(|s| s.rules.known()).map_or(0, BTreeMap::len);
    let used = u32::try_from(used).unwrap_or(u32::MAX);
    let app = |h: &Host| view.desired.get(namespace).and_then(|d| d.hosts.get(h)).and_then(|h| h.apps.first().cloned());
    // The last rule of the quota is the spare one: at the limit nothing could be swapped any more.
    if used + 1 < limit {
        return (!missing.is_empty()).then(|| pack(missing, protocol, app));
    }
    if let Some(merged) = super::compaction::merge(ours, missing, protocol).filter(|_| used < limit) {
        return Some(merged);
    }
    // What names lead to comes back, if need be through the spare slot; a way that is new waits for room.
    let published = |h: &&Host| protocol == ProtocolVersion::Http1 && super::record::leads_to(&view, h, shard);
    let published: Vec<&Host> = missing.iter().copied().filter(published).collect();
    if used < limit && !published.is_empty() {
        return Some(pack(&published, protocol, |_| None));
    }
    if let Some(first) = missing.first() {
        draft.hold(format!(
            "rule for {first} is not created: {way} has {used} of {limit} rules and the last one is kept free for changes; raise the AWS quota, or move a namespace to another shard"
        ));
    }
    None
}

/// The hosts of the next rule, out of those that have none yet. Hosts of one app share a rule; a wildcard is another
/// kind of condition value and gets its own.
#[must_use]
pub fn pack(missing: &[&Host], protocol: ProtocolVersion, app: impl Fn(&Host) -> Option<String>) -> BTreeSet<Host> {
    let Some(first) = missing.first() else { return BTreeSet::new() };
    let together = |h: &&&Host| h.is_wildcard() == first.is_wildcard() && app(h) == app(first);
    missing.iter().filter(together).take(protocol.hosts_per_rule()).map(|h| (*h).clone()).collect()
}

/// A priority that depends only on what the rule is for: after an unknown outcome the same rule would meet itself.
#[must_use]
pub fn priority(
    namespace: &str,
    hosts: &BTreeSet<Host>,
    band: RangeInclusive<u32>,
    taken: &BTreeSet<u32>,
) -> Option<u32> {
    let first = hosts.first()?;
    let (low, span) = (*band.start(), band.end() - band.start() + 1);
    let seed = u32::from_str_radix(&short_hash(format!("{namespace}\n{first}").as_bytes(), 4), 16).ok()? % span;
    (0..span).map(|i| low + (seed + i) % span).find(|p| !taken.contains(p))
}

/// Whether the data plane serves the rule for a host: names lead there already, or a probe has met it, or it is old
/// enough. One that we did not make may still be taken away by a former leader's last call.
pub(super) fn rule_live(view: &View<'_>, way: Way<'_>, host: &Host) -> Option<String> {
    let Way { shard, namespace, protocol } = way;
    let observed = view.observed.shards.get(shard)?;
    let host = super::prewire::carrier(view, namespace, host, &shard.load_balancer);
    let (arn, _) = way.rules(view)?.into_iter().find(|(_, r)| r.hosts.contains(host))?;
    if observed.going.contains(&(host.clone(), protocol)) {
        return None;
    }
    let sure = observed.made.contains(arn) || view.now.mono >= former_leader_ended(view);
    let settled = observed.rule_changed.get(arn).is_none_or(|at| view.now.mono.since(*at) >= view.settings.rule_settle);
    let met = settled || observed.seen.contains(&(host.clone(), protocol));
    // A name may lead to a host long before it begins to speak gRPC.
    let known = super::record::leads_to(view, host, shard) && (protocol == ProtocolVersion::Http1 || settled);
    ((sure && met) || known).then(|| arn.clone())
}

/// When no call of a former leader can take effect any more.
fn former_leader_ended(view: &View<'_>) -> Mono {
    view.memory.started.plus(view.settings.call_deadline)
}

/// Asks through the shard whether the rule is in the data plane, until it is.
pub(super) fn probe(draft: &mut Draft<'_>, way: Way<'_>, host: &Host) {
    let view = draft.view;
    let Way { shard, protocol, .. } = way;
    let Some(observed) = view.observed.shards.get(shard) else { return };
    if rule_live(&view, way, host).is_some() {
        return;
    }
    let Some(arn) =
        way.rules(&view).and_then(|r| r.into_iter().find(|(_, r)| r.hosts.contains(host)).map(|(a, _)| a.clone()))
    else {
        return;
    };
    if let Some(at) = observed.rule_changed.get(&arn) {
        draft.wake(at.plus(view.settings.rule_settle));
    }
    let ended = former_leader_ended(&view);
    if !observed.made.contains(&arn) && view.now.mono < ended {
        draft.wake(ended);
    }
    let Some(alb) = observed.load_balancer.known().and_then(Option::as_ref).filter(|alb| alb.active) else { return };
    if !way.healthy(&view) {
        return;
    }
    let asked = (shard.clone(), host.clone(), protocol);
    let next = view.memory.probed.get(&asked).map_or(view.now.mono, |at| at.plus(PROBE));
    if next > view.now.mono {
        draft.wake(next);
        return;
    }
    let probe = Probe::Shard { shard: shard.clone(), address: alb.dns_name.clone(), host: host.clone(), protocol };
    draft.step(
        format!("probe {host} through {way}"),
        Lane::Probe(format!("{way} {host}")),
        Vec::new(),
        Order::Probe(probe),
        Urgency::Awaited,
    );
}
