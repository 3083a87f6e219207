//! Target groups of one namespace's edge: one per shard and protocol, their settings and their targets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use gatehouse_crds::keys;
use gatehouse_route::Host;

use crate::aws::{AwsCall, HealthCheck, ListenerRule, ProtocolVersion, Target, TargetGroup, TargetState};
use crate::desired::NamespaceDesired;
use crate::identity::ShardKey;
use crate::observed::Scope;
use crate::world::LoadBalancerFacts;

use super::{Draft, View, rules};

/// Pods that a rollout has beyond the replicas.
const SURGE: u32 = 1;

/// One way to a namespace's edge: through a shard, and what the shard speaks with it. It is a target group and the
/// rules that lead to it.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) shard: &'a ShardKey,
    pub(super) namespace: &'a str,
    pub(super) protocol: ProtocolVersion,
}

impl<'a> Way<'a> {
    /// All ways of a namespace through a shard.
    pub(super) fn all(shard: &'a ShardKey, namespace: &'a str) -> impl Iterator<Item = Way<'a>> {
        ProtocolVersion::ALL.into_iter().map(move |protocol| Way { shard, namespace, protocol })
    }

    /// The name of its target group.
    pub(super) fn group(&self, view: &View<'_>) -> String {
        view.settings.cluster_id.target_group_name(self.shard, self.namespace, self.protocol)
    }

    /// Its rules, when the shard's are known.
    pub(super) fn rules<'v>(&self, view: &View<'v>) -> Option<Vec<(&'v String, &'v ListenerRule)>> {
        let rules = rules::rules_of(view, self.shard, self.namespace)?;
        Some(rules.into_iter().filter(|(_, rule)| rule.protocol == self.protocol).collect())
    }

    /// Hosts that should come this way.
    fn hosts(&self, desired: &NamespaceDesired) -> BTreeSet<Host> {
        let placed = desired.shards.get(self.shard).into_iter().flatten();
        placed.filter(|host| desired.protocols(host).contains(&self.protocol)).cloned().collect()
    }

    /// Whether at least one target is healthy.
    pub(super) fn healthy(&self, view: &View<'_>) -> bool {
        let targets = view.observed.targets.get(&self.group(view)).and_then(|c| c.known());
        targets.is_some_and(|t| t.values().any(|s| *s == TargetState::Healthy))
    }
}

/// The shard, with the protocol before it where that says something.
impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.shard, self.protocol.remark())
    }
}

/// Targets that a namespace has at most in any group. An edge that several load balancers share has the largest of
/// their replicas, and a pod is ready only when it is healthy for all of them.
pub(super) fn pods_at_most(view: &View<'_>) -> u32 {
    let replicas = view.world.load_balancers.values().map(|lb| lb.spec.edge.replicas).max();
    u32::try_from(replicas.unwrap_or(1)).unwrap_or(1) + SURGE
}

/// Attributes of our target groups.
fn attributes() -> BTreeMap<String, String> {
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

/// How an ALB asks edges. A new target is healthy after two good answers; two bad ones take it out.
fn health_check(protocol: ProtocolVersion) -> HealthCheck {
    let (path, codes) = match protocol {
        ProtocolVersion::Http1 => ("/healthz", "200"),
        ProtocolVersion::Grpc => (keys::GRPC_HEALTH_PATH, "0"),
    };
    HealthCheck {
        protocol,
        path: path.to_owned(),
        port: keys::ADMIN_PORT,
        interval: 5,
        timeout: 2,
        healthy: 2,
        unhealthy: 2,
        codes: codes.to_owned(),
    }
}

/// Shards on which the namespace has, or should have, anything.
fn shards_of(view: &View<'_>, namespace: &str) -> BTreeSet<ShardKey> {
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
        if rules || Way::all(shard, namespace).any(|way| may_have_group(&way, view, lb)) {
            out.insert(shard.clone());
        }
    }
    out
}

/// Whether the way has a target group, as far as is known: in doubt it has.
fn may_have_group(way: &Way<'_>, view: &View<'_>, lb: &LoadBalancerFacts) -> bool {
    let name = way.group(view);
    let group = match view.observed.groups.get(&name) {
        Some(cell) => cell.known().is_none_or(Option::is_some),
        None => false,
    };
    group || view.observed.group(&lb.spec.region, &name).flatten().is_some()
}

pub(super) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    for shard in shards_of(&view, namespace) {
        let Some(lb) = view.world.load_balancers.get(&shard.load_balancer) else { continue };
        for way in Way::all(&shard, namespace) {
            let hosts = view.desired.get(namespace).map(|d| way.hosts(d)).unwrap_or_default();
            let seldom = way.protocol == ProtocolVersion::Grpc && hosts.is_empty();
            if seldom && !may_have_group(&way, &view, lb) && way.rules(&view).is_none_or(|rules| rules.is_empty()) {
                continue;
            }
            one_way(draft, way, lb, &hosts);
        }
    }
}

fn one_way(draft: &mut Draft<'_>, way: Way<'_>, lb: &LoadBalancerFacts, hosts: &BTreeSet<Host>) {
    let view = draft.view;
    let region = &lb.spec.region;
    let name = way.group(&view);
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
        (None, false) => create(draft, way, lb, name),
        (Some(group), false) => {
            if group.attributes.is_none() {
                let read = AwsCall::ReadTargetGroup { name: name.clone() };
                let late = view.observed.read_at(&scope).plus(view.settings.audit_seldom);
                draft.audit(format!("read target group on {way}"), region, scope.clone(), read, late);
            } else if attributes().iter().any(|(k, v)| group.attributes.as_ref().and_then(|a| a.get(k)) != Some(v)) {
                let call =
                    AwsCall::ModifyTargetGroupAttributes { target_group: group.arn.clone(), attributes: attributes() };
                draft.call(format!("set target group attributes on {way}"), region, scope.clone(), call);
            }
            drift(draft, way, region, &scope, group);
            rules::plan(draft, way, region, Some(group), hosts);
            targets(draft, way, lb, &name, group);
        }
        (group, true) => {
            match group {
                // As long as names or clients lead here, the pods of a rollout are targets here too.
                Some(group) if leads_on(&view, way) => targets(draft, way, lb, &name, group),
                Some(group) => evict(draft, way, lb, &name, group),
                None => {}
            }
            if rules::plan(draft, way, region, group, hosts)
                && let Some(group) = group
            {
                draft.call(
                    format!("delete target group on {way}"),
                    region,
                    scope,
                    AwsCall::DeleteTargetGroup { target_group: group.arn.clone() },
                );
            }
        }
    }
}

/// Whether a way that nothing should come any more still has rules, and pods that answer.
fn leads_on(view: &View<'_>, way: Way<'_>) -> bool {
    let rules = way.rules(view).is_some_and(|rules| !rules.is_empty());
    rules && !view.world.edge_pods(way.namespace).is_empty()
}

fn create(draft: &mut Draft<'_>, way: Way<'_>, lb: &LoadBalancerFacts, name: String) {
    let view = draft.view;
    let region = &lb.spec.region;
    if view.observed.shards.get(way.shard).and_then(|s| s.load_balancer.known()).and_then(Option::as_ref).is_none() {
        draft.wait(format!("load balancer {}", way.shard));
        return;
    }
    let limits = view.observed.limits_of(region);
    let used = view.observed.groups_in(region);
    if used >= limits.region_target_groups {
        draft.wake(view.now.mono.plus(1_000));
        draft.hold(format!(
            "target group on {way} is not created: {region} has {used} of {} target groups; raise the AWS quota",
            limits.region_target_groups
        ));
        return;
    }
    let scope = Scope::Group(name.clone());
    let call = AwsCall::CreateTargetGroup {
        name,
        vpc: lb.spec.vpc_id.clone(),
        port: u16::try_from(lb.spec.edge.port).unwrap_or(8080),
        ipv6: view.settings.ipv6(),
        health_check: health_check(way.protocol),
        tags: view.settings.cluster_id.namespace_tags(way.shard, way.namespace),
    };
    draft.call(format!("create target group on {way}"), region, scope, call);
}

/// Mends what somebody changed of the group by hand.
fn drift(draft: &mut Draft<'_>, way: Way<'_>, region: &str, scope: &Scope, group: &TargetGroup) {
    let health_check = health_check(way.protocol);
    if group.health_check != health_check {
        let call = AwsCall::ModifyTargetGroup { target_group: group.arn.clone(), health_check };
        draft.call(format!("set health check on {way}"), region, scope.clone(), call);
    }
    let wanted = draft.view.settings.cluster_id.namespace_tags(way.shard, way.namespace);
    let tags: Vec<_> = wanted.into_iter().filter(|(k, v)| group.tags.get(k) != Some(v)).collect();
    if !tags.is_empty() {
        let call = AwsCall::AddTags { resource: group.arn.clone(), tags };
        draft.call(format!("tag target group on {way}"), region, scope.clone(), call);
    }
}

/// A namespace whose hosts are only kept has no pods of its own any more; an address of its group that an edge of
/// another namespace has now must go at once.
fn evict(draft: &mut Draft<'_>, way: Way<'_>, lb: &LoadBalancerFacts, name: &str, group: &TargetGroup) {
    let view = draft.view;
    let scope = Scope::Targets(name.to_owned());
    let read = AwsCall::ReadTargetHealth { target_group: group.arn.clone() };
    if way.rules(&view).is_none_or(|r| r.is_empty())
        || !draft.need(scope.clone(), &lb.spec.region, read, view.settings.audit_seldom)
    {
        return;
    }
    let known = view.observed.targets.get(name).and_then(|c| c.known());
    let foreign =
        |t: &Target| view.world.pods.iter().any(|(key, pod)| key.namespace != way.namespace && pod.ip == Some(t.ip));
    let strays: BTreeSet<Target> = known
        .into_iter()
        .flatten()
        .filter(|(t, s)| **s != TargetState::Draining && foreign(t))
        .map(|(t, _)| *t)
        .collect();
    if !strays.is_empty() {
        let call = AwsCall::DeregisterTargets { target_group: group.arn.clone(), targets: strays };
        draft.call(format!("deregister targets on {way}"), &lb.spec.region, scope, call);
    }
}

/// Registers edge pods and follows their health.
fn targets(draft: &mut Draft<'_>, way: Way<'_>, lb: &LoadBalancerFacts, name: &str, group: &TargetGroup) {
    let view = draft.view;
    let region = &lb.spec.region;
    let scope = Scope::Targets(name.to_owned());
    let known = view.observed.targets.get(name).and_then(|c| c.known());
    // Targets of a group that no rule uses are never checked: their state moves only with the rule.
    let used = way.rules(&view).is_some_and(|rules| !rules.is_empty());
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
    let pods = view.world.edge_pods(way.namespace);
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
        draft.wait(format!("an edge pod of {} with ready containers", way.namespace));
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
            format!("register targets on {way}"),
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
            format!("deregister targets on {way}"),
            region,
            scope,
            AwsCall::DeregisterTargets { target_group: group.arn.clone(), targets: extra },
        );
    }
}
