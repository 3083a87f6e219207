//! One ALB: itself, its attributes, listeners and certificates.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::{IpAddressType, Scheme, keys};

use crate::aws::{AwsCall, ListenerKind, LoadBalancer};
use crate::identity::ShardKey;
use crate::observed::Scope;
use crate::world::LoadBalancerFacts;

use super::{Draft, Lane, Order, Urgency, View, certificate};

/// Attributes that people may set; everything else is ours or AWS's default.
pub const ALLOWED_ATTRIBUTES: &[&str] = &[
    "access_logs.s3.bucket",
    "access_logs.s3.enabled",
    "access_logs.s3.prefix",
    "client_keep_alive.seconds",
    "connection_logs.s3.bucket",
    "connection_logs.s3.enabled",
    "connection_logs.s3.prefix",
    "deletion_protection.enabled",
    "idle_timeout.timeout_seconds",
    "routing.http2.enabled",
    "routing.http.drop_invalid_header_fields.enabled",
    "routing.http.desync_mitigation_mode",
    "waf.fail_open.enabled",
    "zonal_shift.config.enabled",
];

/// Attributes a shard must have.
#[must_use]
pub fn attributes(lb: &LoadBalancerFacts) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = lb
        .spec
        .attributes
        .iter()
        .filter(|(key, _)| ALLOWED_ATTRIBUTES.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    // Any other mode lets a client choose the address that edges believe.
    out.insert("routing.http.xff_header_processing.mode".into(), "append".into());
    out
}

pub(super) fn plan(draft: &mut Draft<'_>, shard: &ShardKey) {
    let view = draft.view;
    let Some(lb) = view.world.load_balancers.get(&shard.load_balancer) else { return };
    let region = lb.spec.region.clone();
    let name = view.settings.cluster_id.load_balancer_name(shard);
    let scope = Scope::LoadBalancer(shard.clone());
    let moving = view
        .observed
        .shards
        .get(shard)
        .and_then(|s| s.load_balancer.known())
        .and_then(Option::as_ref)
        .is_some_and(|alb| !alb.active);
    let age = if moving { view.settings.poll * 4 } else { view.settings.audit_seldom };
    if !draft.need(scope.clone(), &region, AwsCall::ReadLoadBalancer { name: name.clone() }, age) {
        return;
    }
    let retires = super::placement::retires_at(&view, shard);
    let idle = shard.index > 0 && !view.load.contains_key(shard);
    let observed = view.observed.shards.get(shard);
    let Some(alb) = observed.and_then(|s| s.load_balancer.known()).and_then(Option::as_ref) else {
        if !lb.meta.deleting && !idle {
            if let Some(full) = region_full(&view, &region) {
                draft.hold(format!("{shard} is not created: {full}; ask AWS for more, or lower spec.limits.shards"));
                return;
            }
            let call = AwsCall::CreateLoadBalancer {
                name,
                subnets: lb.spec.subnets.iter().map(|s| s.id.clone()).collect(),
                security_groups: lb.spec.security_groups.clone(),
                scheme: scheme(lb.spec.scheme).into(),
                ip_address_type: ip_address_type(lb.spec.ip_address_type).into(),
                tags: view.settings.cluster_id.tags(shard),
            };
            draft.call("create load balancer", &region, scope, call);
        }
        return;
    };
    let Some(tags) = &alb.tags else {
        draft.part.steps.clear();
        draft.step(
            "read tags",
            Lane::Scope(scope.clone()),
            vec![scope],
            Order::Aws { region, call: AwsCall::ReadLoadBalancer { name } },
            Urgency::Awaited,
        );
        return;
    };
    if tags.get(keys::TAG_CLUSTER) != Some(&view.settings.cluster_id.0) {
        draft.hold(format!(
            "load balancer {name} exists without our tag {}={}; rename or remove it, or choose another --cluster-id",
            keys::TAG_CLUSTER,
            view.settings.cluster_id.0
        ));
        return;
    }
    if lb.meta.deleting || retires.is_some_and(|at| at <= view.now.mono) {
        remove(draft, shard, alb, &region);
        return;
    }
    if let Some(at) = retires {
        draft.wake(at);
    }
    let wrong: BTreeMap<String, String> = attributes(lb)
        .into_iter()
        .filter(|(key, value)| alb.attributes.as_ref().is_some_and(|have| have.get(key) != Some(value)))
        .collect();
    if !wrong.is_empty() {
        let call = AwsCall::ModifyLoadBalancerAttributes { load_balancer: alb.arn.clone(), attributes: wrong };
        draft.call("set attributes", &region, scope, call);
    }
    balancer_drift(draft, shard, lb, alb, &region);
    listeners(draft, shard, lb, alb, &region);
}

/// One step towards the subnets, security groups, address type and tags of the spec: a change of it, or of somebody's
/// hand.
fn balancer_drift(draft: &mut Draft<'_>, shard: &ShardKey, lb: &LoadBalancerFacts, alb: &LoadBalancer, region: &str) {
    let view = draft.view;
    let scope = Scope::LoadBalancer(shard.clone());
    let load_balancer = alb.arn.clone();
    let subnets: BTreeSet<String> = lb.spec.subnets.iter().map(|s| s.id.clone()).collect();
    let security_groups: BTreeSet<String> = lb.spec.security_groups.iter().cloned().collect();
    let address_type = ip_address_type(lb.spec.ip_address_type);
    let wanted = view.settings.cluster_id.tags(shard);
    let tags: Vec<_> =
        wanted.into_iter().filter(|(k, v)| alb.tags.as_ref().is_some_and(|have| have.get(k) != Some(v))).collect();
    let (what, call) = if alb.subnets != subnets {
        ("set subnets", AwsCall::SetSubnets { load_balancer, subnets })
    } else if alb.security_groups != security_groups {
        ("set security groups", AwsCall::SetSecurityGroups { load_balancer, security_groups })
    } else if alb.ip_address_type != address_type {
        // The names go first: an AAAA that leads nowhere costs every client with IPv6 a timeout.
        if address_type == "ipv4" && super::record::sends_ipv6(&view, alb) {
            draft.wait(format!("AAAA records of {shard} to be deleted before its address type changes"));
            return;
        }
        ("set address type", AwsCall::SetIpAddressType { load_balancer, ip_address_type: address_type.into() })
    } else if !tags.is_empty() {
        ("tag load balancer", AwsCall::AddTags { resource: load_balancer, tags })
    } else {
        return;
    };
    draft.call(what, region, scope, call);
}

fn listeners(draft: &mut Draft<'_>, shard: &ShardKey, lb: &LoadBalancerFacts, alb: &LoadBalancer, region: &str) {
    let view = draft.view;
    let seldom = view.settings.audit_seldom;
    let scope = Scope::Listeners(shard.clone());
    if !draft.need(scope.clone(), region, AwsCall::ReadListeners { load_balancer: alb.arn.clone() }, seldom) {
        return;
    }
    let Some(have) = view.observed.shards.get(shard).and_then(|s| s.listeners.known()) else { return };
    let tags = view.settings.cluster_id.tags(shard);
    let create = |draft: &mut Draft<'_>, kind, certificate, ssl_policy| {
        let call = AwsCall::CreateListener {
            load_balancer: alb.arn.clone(),
            kind,
            certificate,
            ssl_policy,
            tags: tags.clone(),
        };
        draft.call(format!("create listener {kind:?}"), region, scope.clone(), call);
    };
    if !have.contains_key(&ListenerKind::Http) {
        create(draft, ListenerKind::Http, None, None);
    }
    certificate::listener::check(draft, lb);
    let default = certificate::listener::default(&view, shard, lb);
    let Some(https) = have.get(&ListenerKind::Https) else {
        match default {
            Some(arn) => create(draft, ListenerKind::Https, Some(arn), Some(lb.spec.ssl_policy.clone())),
            None => draft.wait("a default certificate: set spec.certificates.default, or publish an app whose host an issued certificate covers"),
        }
        return;
    };
    for (kind, listener) in have {
        let (certificate, ssl_policy) = match kind {
            ListenerKind::Http => (None, None),
            ListenerKind::Https => (default.clone(), Some(lb.spec.ssl_policy.clone())),
        };
        let right = listener.default_action
            && (certificate.is_none() || listener.certificate == certificate)
            && listener.ssl_policy == ssl_policy;
        if !right {
            let call = AwsCall::ModifyListener { listener: listener.arn.clone(), kind: *kind, certificate, ssl_policy };
            draft.call("modify listener", region, scope.clone(), call);
            break;
        }
    }
    let known = view
        .observed
        .shards
        .get(shard)
        .and_then(|s| s.rules.last())
        .map(|r| r.keys().cloned().collect())
        .unwrap_or_default();
    draft.need(
        Scope::Rules(shard.clone()),
        region,
        AwsCall::ReadRules { listener: https.arn.clone(), known },
        view.settings.audit_often,
    );
    priorities(draft, shard, region);
    certificate::listener::plan(draft, shard, &https.arn, https.certificate.as_ref(), region);
}

/// Rules of ours whose priority somebody moved out of its band, back into it: exact hosts must stand before wildcards.
/// One atomic call, whatever their number.
fn priorities(draft: &mut Draft<'_>, shard: &ShardKey, region: &str) {
    let view = draft.view;
    let Some(rules) = view.observed.shards.get(shard).and_then(|s| s.rules.known()) else { return };
    let mut taken: BTreeSet<u32> = rules.values().map(|r| r.priority).collect();
    let mut moved = BTreeMap::new();
    for (arn, rule) in rules {
        let ours = rule.cluster.as_ref() == Some(&view.settings.cluster_id.0);
        let (Some(namespace), true) = (&rule.namespace, ours && !rule.hosts.is_empty()) else { continue };
        let band = super::rules::band(&rule.hosts, rule.protocol, |w| super::prewire::ready(&view, w));
        if band.contains(&rule.priority) {
            continue;
        }
        if let Some(priority) = super::priority(namespace, &rule.hosts, band, &taken) {
            taken.insert(priority);
            moved.insert(arn.clone(), priority);
        }
    }
    if !moved.is_empty() {
        let call = AwsCall::SetRulePriorities { priorities: moved };
        draft.call("set rule priorities", region, Scope::Rules(shard.clone()), call);
    }
}

/// Whether a rule of ours stands outside its band: until that is mended a new one might stand in the wrong order to it.
pub(super) fn disordered(view: &View<'_>, shard: &ShardKey) -> bool {
    let rules = view.observed.shards.get(shard).and_then(|s| s.rules.known());
    rules.into_iter().flat_map(|r| r.values()).any(|rule| {
        rule.cluster.as_ref() == Some(&view.settings.cluster_id.0)
            && !rule.hosts.is_empty()
            && !super::rules::band(&rule.hosts, rule.protocol, |w| super::prewire::ready(view, w))
                .contains(&rule.priority)
    })
}

/// Why the Region takes no ALB more.
fn region_full(view: &View<'_>, region: &str) -> Option<String> {
    let count = view.observed.load_balancers.get(region)?.last()?.count;
    let quota = view.observed.limits.get(region)?.last()?.load_balancers;
    (count >= quota).then(|| format!("{region} has {count} of {quota} ALBs"))
}

/// Takes an ALB down: only when nothing of ours stands on it, listeners first, protection honoured.
fn remove(draft: &mut Draft<'_>, shard: &ShardKey, alb: &LoadBalancer, region: &str) {
    let view = draft.view;
    if view.load.contains_key(shard) {
        draft.hold(format!(
            "{shard} is kept: {} hosts are published through it; delete or move their apps first",
            view.load[shard].hosts()
        ));
        return;
    }
    if alb.attributes.as_ref().is_some_and(|a| a.get("deletion_protection.enabled").is_some_and(|v| v == "true")) {
        draft.hold(format!("{shard} is kept: deletion protection is on; switch it off in AWS or in spec.attributes"));
        return;
    }
    let listeners = Scope::Listeners(shard.clone());
    if !draft.need(
        listeners.clone(),
        region,
        AwsCall::ReadListeners { load_balancer: alb.arn.clone() },
        view.settings.audit_seldom,
    ) {
        return;
    }
    let Some(have) = view.observed.shards.get(shard).and_then(|s| s.listeners.known()) else { return };
    if let Some(https) = have.get(&ListenerKind::Https) {
        let known = BTreeSet::new();
        let read = AwsCall::ReadRules { listener: https.arn.clone(), known };
        if !draft.need(Scope::Rules(shard.clone()), region, read, view.settings.audit_often) {
            return;
        }
        let foreign =
            view.observed.shards.get(shard).and_then(|s| s.rules.known()).is_some_and(|rules| !rules.is_empty());
        if foreign {
            draft
                .hold(format!("{shard} is kept: its listener still has rules; remove those that are not ours by hand"));
            return;
        }
    }
    match have.values().next() {
        Some(listener) => {
            draft.call("delete listener", region, listeners, AwsCall::DeleteListener { listener: listener.arn.clone() })
        }
        None => {
            let call = AwsCall::DeleteLoadBalancer { load_balancer: alb.arn.clone() };
            draft.call("delete load balancer", region, Scope::LoadBalancer(shard.clone()), call);
        }
    }
}

fn scheme(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::InternetFacing => "internet-facing",
        Scheme::Internal => "internal",
    }
}

pub(super) fn ip_address_type(kind: IpAddressType) -> &'static str {
    match kind {
        IpAddressType::Ipv4 => "ipv4",
        IpAddressType::Dualstack => "dualstack",
        IpAddressType::DualstackWithoutPublicIpv4 => "dualstack-without-public-ipv4",
    }
}
