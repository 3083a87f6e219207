//! What one namespace has on its shards: target group, rules, targets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use gatehouse_crds::keys;
use gatehouse_route::{Host, short_hash};

use crate::aws::{AwsCall, HOSTS_PER_RULE, HealthCheck, ListenerKind, ListenerRule, Target, TargetGroup, TargetState};
use crate::identity::ShardKey;
use crate::observed::Scope;
use crate::time::Mono;
use crate::world::LoadBalancerFacts;

use super::{Draft, Probe, View};

/// Exact hosts sit below wildcards, so that a host of another namespace under a wildcard keeps its own edge.
const EXACT_BAND: RangeInclusive<u32> = 10_000..=39_999;
const WILDCARD_BAND: RangeInclusive<u32> = 40_000..=49_899;

/// Prewired wildcards are for many names and busy: an ALB is paid by the rules it tries.
const PREWIRED_BAND: RangeInclusive<u32> = 5_000..=9_999;
/// Exact hosts of others below a prewired domain stand before it.
const BEFORE_PREWIRED_BAND: RangeInclusive<u32> = 1..=4_999;

/// The priorities among which a rule for these hosts has its own. `prewired` says which wildcards are kept ready.
#[must_use]
pub fn band(hosts: &BTreeSet<Host>, prewired: impl Fn(&Host) -> bool) -> RangeInclusive<u32> {
    let wildcard = hosts.first().is_some_and(Host::is_wildcard);
    let ready = hosts.iter().any(|h| h.parent_wildcard().is_some_and(|w| prewired(if wildcard { h } else { &w })));
    match (wildcard, ready) {
        (false, false) => EXACT_BAND,
        (true, false) => WILDCARD_BAND,
        (false, true) => BEFORE_PREWIRED_BAND,
        (true, true) => PREWIRED_BAND,
    }
}

/// Milliseconds between two questions to a shard whether a rule is live. They cost no call of AWS, and the name waits.
const PROBE: u64 = 100;

/// Pods that a rollout has beyond the replicas.
const SURGE: u32 = 1;

/// Targets that a namespace has at most in any group. An edge that several load balancers share has the largest of
/// their replicas, and a pod is ready only when it is healthy for all of them.
pub(super) fn pods_at_most(view: &View<'_>) -> u32 {
    let replicas = view.world.load_balancers.values().map(|lb| lb.spec.edge.replicas).max();
    u32::try_from(replicas.unwrap_or(1)).unwrap_or(1) + SURGE
}

/// Attributes of our target groups.
pub(super) fn group_attributes() -> BTreeMap<String, String> {
    [
        // Shorter than the edge's drain, so that nothing is sent to an edge that has gone.
        ("deregistration_delay.timeout_seconds", "25"),
        ("load_balancing.cross_zone.enabled", "true"),
        // One tenant without healthy edges must not take a zone of the shared ALB out of DNS for everybody.
        ("target_group_health.dns_failover.minimum_healthy_targets.count", "off"),
        ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect()
}

/// How an ALB asks edges. A new target is healthy after one good answer; two bad ones take it out.
pub(super) fn health_check() -> HealthCheck {
    HealthCheck {
        path: "/healthz".to_owned(),
        port: keys::ADMIN_PORT,
        interval: 5,
        timeout: 2,
        healthy: 2,
        unhealthy: 2,
        codes: "200".to_owned(),
    }
}

/// Shards on which the namespace has, or should have, anything.
pub(super) fn shards_of(view: &View<'_>, namespace: &str) -> BTreeSet<ShardKey> {
    let mut out: BTreeSet<ShardKey> =
        view.desired.get(namespace).map(|d| d.shards.keys().cloned().collect()).unwrap_or_default();
    for (shard, observed) in &view.observed.shards {
        if out.contains(shard) {
            continue;
        }
        let Some(lb) = view.world.load_balancers.get(&shard.load_balancer) else { continue };
        let rules = observed
            .rules
            .last()
            .is_some_and(|rules| rules.values().any(|r| r.namespace.as_deref() == Some(namespace)));
        let name = view.settings.cluster_id.target_group_name(shard, namespace);
        let group = match view.observed.groups.get(&name) {
            Some(cell) => cell.known().is_none_or(Option::is_some),
            None => false,
        };
        if rules || group || view.observed.group(&lb.spec.region, &name).flatten().is_some() {
            out.insert(shard.clone());
        }
    }
    out
}

pub(super) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    for shard in shards_of(&view, namespace) {
        let Some(lb) = view.world.load_balancers.get(&shard.load_balancer) else { continue };
        let empty = BTreeSet::new();
        let hosts = view.desired.get(namespace).and_then(|d| d.shards.get(&shard)).unwrap_or(&empty);
        on_shard(draft, namespace, &shard, lb, hosts);
    }
}

fn on_shard(draft: &mut Draft<'_>, namespace: &str, shard: &ShardKey, lb: &LoadBalancerFacts, hosts: &BTreeSet<Host>) {
    let view = draft.view;
    let region = &lb.spec.region;
    let name = view.settings.cluster_id.target_group_name(shard, namespace);
    let scope = Scope::Group(name.clone());
    let read = AwsCall::ReadTargetGroup { name: name.clone() };
    // The list of a Region answers for every name; only after a doubt is a single one asked for.
    let listed = view.observed.group_lists.get(region).is_some_and(|c| c.known().is_some());
    if !listed {
        draft.wait(format!("target groups of {region} to be listed"));
        return;
    }
    if view.observed.groups.contains_key(&name) && !draft.need(scope.clone(), region, read, view.settings.audit_seldom)
    {
        return;
    }
    let group = view.observed.group(region, &name).flatten();
    if let Some(group) = group
        && group.tags.get(keys::TAG_CLUSTER) != Some(&view.settings.cluster_id.0)
    {
        draft.hold(format!("target group {name} exists without our tag {}; remove or rename it", keys::TAG_CLUSTER));
        return;
    }
    match (group, hosts.is_empty()) {
        (None, false) => {
            if view.observed.shards.get(shard).and_then(|s| s.load_balancer.known()).and_then(Option::as_ref).is_none()
            {
                draft.wait(format!("load balancer {shard}"));
                return;
            }
            let limits = view.observed.limits.get(region).and_then(|c| c.known()).cloned().unwrap_or_default();
            let used = view.observed.groups_in(region);
            if used >= limits.region_target_groups {
                draft.wake(view.now.mono.plus(1_000));
                draft.hold(format!(
                    "target group on {shard} is not created: {region} has {used} of {} target groups; raise the AWS quota",
                    limits.region_target_groups
                ));
                return;
            }
            let call = AwsCall::CreateTargetGroup {
                name,
                vpc: lb.spec.vpc_id.clone(),
                port: u16::try_from(lb.spec.edge.port).unwrap_or(8080),
                ipv6: view.settings.ipv6(),
                health_check: health_check(),
                tags: view.settings.cluster_id.namespace_tags(shard, namespace),
            };
            draft.call(format!("create target group on {shard}"), region, scope, call);
        }
        (Some(group), false) => {
            if group.attributes.is_none() {
                let read = AwsCall::ReadTargetGroup { name: name.clone() };
                draft.call(format!("read target group on {shard}"), region, scope.clone(), read);
            } else if group_attributes()
                .iter()
                .any(|(k, v)| group.attributes.as_ref().and_then(|a| a.get(k)) != Some(v))
            {
                let call = AwsCall::ModifyTargetGroupAttributes {
                    target_group: group.arn.clone(),
                    attributes: group_attributes(),
                };
                draft.call(format!("set target group attributes on {shard}"), region, scope.clone(), call);
            }
            group_drift(draft, namespace, shard, region, &name, group);
            rules(draft, namespace, shard, region, Some(group), hosts);
            targets(draft, namespace, shard, lb, &name, group);
        }
        (group, true) => {
            if let Some(group) = group {
                evict(draft, namespace, shard, lb, &name, group);
            }
            if rules(draft, namespace, shard, region, group, hosts)
                && let Some(group) = group
            {
                draft.call(
                    format!("delete target group on {shard}"),
                    region,
                    scope,
                    AwsCall::DeleteTargetGroup { target_group: group.arn.clone() },
                );
            }
        }
    }
}

/// Mends what somebody changed of the group by hand.
fn group_drift(
    draft: &mut Draft<'_>,
    namespace: &str,
    shard: &ShardKey,
    region: &str,
    name: &str,
    group: &TargetGroup,
) {
    let scope = Scope::Group(name.to_owned());
    if group.health_check != health_check() {
        let call = AwsCall::ModifyTargetGroup { target_group: group.arn.clone(), health_check: health_check() };
        draft.call(format!("set health check on {shard}"), region, scope.clone(), call);
    }
    let wanted = draft.view.settings.cluster_id.namespace_tags(shard, namespace);
    let tags: Vec<_> = wanted.into_iter().filter(|(k, v)| group.tags.get(k) != Some(v)).collect();
    if !tags.is_empty() {
        let call = AwsCall::AddTags { resource: group.arn.clone(), tags };
        draft.call(format!("tag target group on {shard}"), region, scope, call);
    }
}

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

/// One step towards the right rules; true when the namespace has exactly those.
fn rules(
    draft: &mut Draft<'_>,
    namespace: &str,
    shard: &ShardKey,
    region: &str,
    group: Option<&TargetGroup>,
    hosts: &BTreeSet<Host>,
) -> bool {
    let view = draft.view;
    let listener =
        view.observed.shards.get(shard).and_then(|s| s.listeners.known()).and_then(|l| l.get(&ListenerKind::Https));
    let Some(ours) = rules_of(&view, shard, namespace) else {
        draft.wait(format!("rules of {shard} to be read"));
        // Without an HTTPS listener there can be no rule: an ALB that is not there holds nothing back.
        return hosts.is_empty() && without_listener(&view, shard);
    };
    let scope = Scope::Rules(shard.clone());
    let arn = group.map(|g| &g.arn);
    // A rule turns live by age alone: statuses are to be told then, also where nothing is left to be published.
    for at in ours.iter().filter_map(|(arn, _)| view.observed.shards.get(shard)?.rule_changed.get(*arn)) {
        let live = at.plus(view.settings.rule_settle);
        if live > view.now.mono {
            draft.wake(live);
        }
    }
    // Rules for hosts that should not be there; the record goes first, so nobody is sent to a rule that is gone.
    for (rule_arn, rule) in &ours {
        let stays = |h: &&Host| {
            (hosts.contains(*h) && rule.target_group.as_ref() == arn)
                || super::inferred::kept(&view, namespace, h, &shard.load_balancer)
        };
        let keep: BTreeSet<Host> = rule.hosts.iter().filter(stays).cloned().collect();
        if keep.len() == rule.hosts.len() && !rule.hosts.is_empty() {
            continue;
        }
        // Names of a host that stays on the shard through another rule may go on leading here.
        let leaving: Vec<&Host> = rule.hosts.iter().filter(|h| !keep.contains(*h) && !hosts.contains(*h)).collect();
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
        let call = if keep.is_empty() {
            AwsCall::DeleteRule { rule: (*rule_arn).clone() }
        } else {
            AwsCall::ModifyRule { rule: (*rule_arn).clone(), hosts: keep }
        };
        draft.call(format!("remove rule on {shard}"), region, scope, call);
        return false;
    }
    if let Some(rule) = super::compaction::redundant(draft, shard, &ours) {
        draft.call(format!("remove rule on {shard}"), region, scope, AwsCall::DeleteRule { rule });
        return false;
    }
    let present: BTreeSet<&Host> = ours.iter().flat_map(|(_, r)| &r.hosts).collect();
    let missing: Vec<&Host> = hosts.iter().filter(|h| !present.contains(h)).collect();
    let done = missing.is_empty() && (ours.is_empty() || !hosts.is_empty());
    let limit = view.observed.limits.get(region).and_then(|c| c.known()).cloned().unwrap_or_default().rules;
    let used = view.observed.shards.get(shard).and_then(|s| s.rules.known()).map_or(0, BTreeMap::len);
    let used = u32::try_from(used).unwrap_or(u32::MAX);
    // The last rule of the quota is the spare one: at the limit nothing could be swapped any more.
    let full = used + 1 >= limit;
    let app = |h: &Host| view.desired.get(namespace).and_then(|d| d.hosts.get(h)).and_then(|h| h.apps.first().cloned());
    let packed = match (full, missing.first()) {
        (false, None) => return done,
        (false, Some(_)) => pack(&missing, app),
        (true, first) => match super::compaction::merge(&ours, &missing).filter(|_| used < limit) {
            Some(merged) => merged,
            // What names lead to comes back, if need be through the spare slot.
            None if used < limit && missing.iter().any(|h| super::record::leads_to(&view, h, shard)) => {
                let published: Vec<&Host> =
                    missing.iter().copied().filter(|h| super::record::leads_to(&view, h, shard)).collect();
                pack(&published, |_| None)
            }
            None => {
                if let Some(first) = first {
                    draft.hold(format!(
                        "rule for {first} is not created: {shard} has {used} of {limit} rules and the last one is kept free for changes; raise the AWS quota, or move a namespace to another shard"
                    ));
                }
                return done;
            }
        },
    };
    let (Some(listener), Some(group)) = (listener, group) else {
        draft.wait(format!("HTTPS listener of {shard}"));
        return false;
    };
    let taken: BTreeSet<u32> = view
        .observed
        .shards
        .get(shard)
        .and_then(|s| s.rules.known())
        .map_or_else(BTreeSet::new, |rules| rules.values().map(|r| r.priority).collect());
    let band = band(&packed, |w| super::prewire::ready(&view, w));
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
        target_group: group.arn.clone(),
        tags: view.settings.cluster_id.namespace_tags(shard, namespace),
    };
    draft.call(format!("create rule on {shard}"), region, scope, call);
    false
}

/// The hosts of the next rule, out of those that have none yet. Hosts of one app share a rule; a wildcard is another
/// kind of condition value and gets its own.
#[must_use]
pub fn pack(missing: &[&Host], app: impl Fn(&Host) -> Option<String>) -> BTreeSet<Host> {
    let Some(first) = missing.first() else { return BTreeSet::new() };
    let together = |h: &&&Host| h.is_wildcard() == first.is_wildcard() && app(h) == app(first);
    missing.iter().filter(together).take(HOSTS_PER_RULE).map(|h| (*h).clone()).collect()
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

/// A namespace whose hosts are only kept has no pods of its own any more; an address of its group that an edge of
/// another namespace has now must go at once.
fn evict(
    draft: &mut Draft<'_>,
    namespace: &str,
    shard: &ShardKey,
    lb: &LoadBalancerFacts,
    name: &str,
    group: &TargetGroup,
) {
    let view = draft.view;
    let scope = Scope::Targets(name.to_owned());
    let read = AwsCall::ReadTargetHealth { target_group: group.arn.clone() };
    if rules_of(&view, shard, namespace).is_none_or(|r| r.is_empty())
        || !draft.need(scope.clone(), &lb.spec.region, read, view.settings.audit_seldom)
    {
        return;
    }
    let known = view.observed.targets.get(name).and_then(|c| c.known());
    let foreign =
        |t: &Target| view.world.pods.iter().any(|(key, pod)| key.namespace != namespace && pod.ip == Some(t.ip));
    let strays: BTreeSet<Target> = known
        .into_iter()
        .flatten()
        .filter(|(t, s)| **s != TargetState::Draining && foreign(t))
        .map(|(t, _)| *t)
        .collect();
    if !strays.is_empty() {
        let call = AwsCall::DeregisterTargets { target_group: group.arn.clone(), targets: strays };
        draft.call(format!("deregister targets on {shard}"), &lb.spec.region, scope, call);
    }
}

/// Registers edge pods and follows their health.
fn targets(
    draft: &mut Draft<'_>,
    namespace: &str,
    shard: &ShardKey,
    lb: &LoadBalancerFacts,
    name: &str,
    group: &TargetGroup,
) {
    let view = draft.view;
    let region = &lb.spec.region;
    let scope = Scope::Targets(name.to_owned());
    let known = view.observed.targets.get(name).and_then(|c| c.known());
    // Targets of a group that no rule uses are never checked: their state moves only with the rule.
    let used = rules_of(&view, shard, namespace).is_some_and(|rules| !rules.is_empty());
    let moving = known.is_some_and(|t| {
        t.values().any(|s| match s {
            TargetState::Initial | TargetState::Unused => used,
            TargetState::Draining | TargetState::Unhealthy => true,
            TargetState::Healthy | TargetState::Unavailable => false,
        }) || t.is_empty()
    });
    let age = if moving { view.settings.poll } else { view.settings.audit_seldom };
    let read = AwsCall::ReadTargetHealth { target_group: group.arn.clone() };
    let port = u16::try_from(lb.spec.edge.port).unwrap_or(8080);
    let pods = view.world.edge_pods(namespace);
    // ContainersReady, not Ready: our readiness gate keeps Ready false until the target is healthy.
    let wanted: BTreeSet<Target> = pods
        .iter()
        .filter(|(_, pod)| pod.containers_ready && !pod.meta.deleting)
        .filter_map(|(_, pod)| Some(Target { ip: pod.ip?, port }))
        .filter(|target| target.ip.is_ipv6() == view.settings.ipv6())
        // Whatever the Deployment was scaled to by hand: the quota counts on this.
        .take(usize::try_from(pods_at_most(&view)).unwrap_or(usize::MAX))
        .collect();
    // With nothing registered and nothing to register there is no health to follow.
    if known.is_some_and(BTreeMap::is_empty) && wanted.is_empty() {
        draft.wait(format!("an edge pod of {namespace} with ready containers"));
        return;
    }
    if !draft.need(scope.clone(), region, read, age) {
        return;
    }
    let Some(known) = known else { return };
    let registered: BTreeSet<Target> =
        known.iter().filter(|(_, s)| **s != TargetState::Draining).map(|(t, _)| *t).collect();
    let missing: BTreeSet<Target> = wanted.difference(&registered).copied().collect();
    if !missing.is_empty() {
        draft.part.steps.retain(|s| s.scopes.first() != Some(&scope));
        draft.call(
            format!("register targets on {shard}"),
            region,
            scope,
            AwsCall::RegisterTargets { target_group: group.arn.clone(), targets: missing },
        );
        return;
    }
    let extra: BTreeSet<Target> = registered.difference(&wanted).copied().collect();
    // An empty set of pods after a start is more likely a hole in our view than an edge without pods.
    if !extra.is_empty() && !pods.is_empty() {
        draft.part.steps.retain(|s| s.scopes.first() != Some(&scope));
        draft.call(
            format!("deregister targets on {shard}"),
            region,
            scope,
            AwsCall::DeregisterTargets { target_group: group.arn.clone(), targets: extra },
        );
    }
}

/// Whether the data plane serves the rule for a host: names lead there already, or a probe has met it, or it is old
/// enough. One that we did not make may still be taken away by a former leader's last call.
pub(super) fn rule_live(view: &View<'_>, shard: &ShardKey, namespace: &str, host: &Host) -> Option<String> {
    let observed = view.observed.shards.get(shard)?;
    let host = super::prewire::carrier(view, namespace, host, &shard.load_balancer);
    let (arn, _) = rules_of(view, shard, namespace)?.into_iter().find(|(_, r)| r.hosts.contains(host))?;
    if observed.going.contains(host) {
        return None;
    }
    let sure = observed.made.contains(arn) || view.now.mono >= former_leader_ended(view);
    let settled = observed.rule_changed.get(arn).is_none_or(|at| view.now.mono.since(*at) >= view.settings.rule_settle);
    let live = (sure && (settled || observed.seen.contains_key(host))) || super::record::leads_to(view, host, shard);
    live.then(|| arn.clone())
}

/// When no call of a former leader can take effect any more.
fn former_leader_ended(view: &View<'_>) -> Mono {
    view.memory.started.plus(view.settings.call_deadline)
}

/// Whether at least one target of the namespace is healthy on the shard.
pub(super) fn healthy(view: &View<'_>, shard: &ShardKey, namespace: &str) -> bool {
    let name = view.settings.cluster_id.target_group_name(shard, namespace);
    view.observed
        .targets
        .get(&name)
        .and_then(|c| c.known())
        .is_some_and(|t| t.values().any(|s| *s == TargetState::Healthy))
}

/// Asks through the shard whether the rule is in the data plane, until it is.
pub(super) fn probe(draft: &mut Draft<'_>, shard: &ShardKey, namespace: &str, host: &Host) {
    let view = draft.view;
    let Some(observed) = view.observed.shards.get(shard) else { return };
    let Some(arn) = rules_of(&view, shard, namespace)
        .and_then(|r| r.into_iter().find(|(_, r)| r.hosts.contains(host)).map(|(a, _)| a.clone()))
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
    if !healthy(&view, shard, namespace) {
        return;
    }
    let next = view.memory.probed.get(&(shard.clone(), host.clone())).map_or(view.now.mono, |at| at.plus(PROBE));
    if next > view.now.mono {
        draft.wake(next);
        return;
    }
    let probe = Probe::Shard { shard: shard.clone(), address: alb.dns_name.clone(), host: host.clone() };
    draft.step(
        format!("probe {host} through {shard}"),
        super::Lane::Probe(format!("{shard} {host}")),
        Vec::new(),
        super::Order::Probe(probe),
    );
}
