//! One ALB: itself, its attributes, listeners and certificates.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::{IpAddressType, Scheme, keys};

use crate::aws::{AwsCall, ListenerKind, LoadBalancer};
use crate::identity::ShardKey;
use crate::observed::Scope;
use crate::world::LoadBalancerFacts;

use super::{Draft, View, certificate_for};

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
    let observed = view.observed.shards.get(shard);
    let Some(alb) = observed.and_then(|s| s.load_balancer.known()).and_then(Option::as_ref) else {
        // The first one always stands; others only while something is placed on them.
        let wanted = shard.index == 0 || view.load.get(shard).is_some_and(|load| load.rules() > 0);
        if !lb.meta.deleting && wanted {
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
            super::Lane::Scope(scope.clone()),
            vec![scope],
            super::Order::Aws { region, call: AwsCall::ReadLoadBalancer { name } },
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
    if lb.meta.deleting {
        remove(draft, shard, alb, &region);
        return;
    }
    let wrong: BTreeMap<String, String> = attributes(lb)
        .into_iter()
        .filter(|(key, value)| alb.attributes.as_ref().is_some_and(|have| have.get(key) != Some(value)))
        .collect();
    if !wrong.is_empty() {
        let call = AwsCall::ModifyLoadBalancerAttributes { load_balancer: alb.arn.clone(), attributes: wrong };
        draft.call("set attributes", &region, scope, call);
    }
    listeners(draft, shard, lb, alb, &region);
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
    let default = default_certificate(&view, shard, lb);
    let Some(https) = have.get(&ListenerKind::Https) else {
        match default {
            Some(arn) => create(draft, ListenerKind::Https, Some(arn), Some(lb.spec.ssl_policy.clone())),
            None => draft.wait("a default certificate: set spec.certificates.default, or publish an app whose host an issued certificate covers"),
        }
        return;
    };
    if let Some(arn) = &default
        && (https.certificate.as_ref() != Some(arn) || https.ssl_policy.as_ref() != Some(&lb.spec.ssl_policy))
    {
        let call = AwsCall::ModifyListener {
            listener: https.arn.clone(),
            certificate: arn.clone(),
            ssl_policy: lb.spec.ssl_policy.clone(),
        };
        draft.call("modify listener", region, scope, call);
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
    certificates(draft, shard, https.arn.clone(), https.certificate.as_ref(), region);
}

/// The one the spec names; else the one the listener has; else the first that any host needs.
fn default_certificate(view: &View<'_>, shard: &ShardKey, lb: &LoadBalancerFacts) -> Option<String> {
    if let Some(arn) = &lb.spec.certificates.default {
        return Some(arn.clone());
    }
    let current = view
        .observed
        .shards
        .get(shard)?
        .listeners
        .known()?
        .get(&ListenerKind::Https)
        .and_then(|l| l.certificate.clone());
    current.or_else(|| wanted_certificates(view, shard).into_iter().next())
}

/// Certificates that hosts on the shard need.
fn wanted_certificates(view: &View<'_>, shard: &ShardKey) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (namespace, desired) in view.desired {
        for host in desired.shards.get(shard).into_iter().flatten() {
            out.extend(certificate_for(view, namespace, host, &shard.load_balancer, &desired.hosts[host]));
        }
    }
    out
}

fn certificates(draft: &mut Draft<'_>, shard: &ShardKey, listener: String, default: Option<&String>, region: &str) {
    let view = draft.view;
    let scope = Scope::ListenerCertificates(shard.clone());
    let read = AwsCall::ReadListenerCertificates { listener: listener.clone() };
    if !draft.need(scope.clone(), region, read, view.settings.audit_seldom) {
        return;
    }
    let Some(have) = view.observed.shards.get(shard).and_then(|s| s.certificates.known()) else { return };
    let wanted = wanted_certificates(&view, shard);
    if let Some(missing) = wanted.iter().find(|arn| Some(*arn) != default && !have.contains(*arn)) {
        let limit = view.observed.limits.get(region).and_then(|c| c.known()).map_or(25, |l| l.certificates);
        if u32::try_from(have.len()).unwrap_or(u32::MAX) >= limit {
            draft.hold(format!("certificate {missing} is not attached: the listener has {limit} of {limit}; use a wildcard or ask AWS for more"));
        } else {
            let call = AwsCall::AddListenerCertificates { listener, certificate: missing.clone() };
            draft.call("attach certificate", region, scope, call);
        }
        return;
    }
    // An unknown inventory would read as "nothing is needed".
    let inventory_known = view.observed.certificates.get(region).is_some_and(|c| c.known().is_some());
    if inventory_known && let Some(extra) = have.iter().find(|arn| !wanted.contains(*arn)) {
        let call = AwsCall::RemoveListenerCertificates { listener, certificate: extra.clone() };
        draft.call("detach certificate", region, scope, call);
    }
}

/// Takes an ALB down: only when nothing of ours stands on it, listeners first, protection honoured.
fn remove(draft: &mut Draft<'_>, shard: &ShardKey, alb: &LoadBalancer, region: &str) {
    let view = draft.view;
    if view.load.get(shard).is_some_and(|load| load.rules() > 0) {
        draft.hold(format!(
            "{shard} is kept: {} hosts are published through it; delete or move their apps first",
            view.load[shard].rules()
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

fn ip_address_type(kind: IpAddressType) -> &'static str {
    match kind {
        IpAddressType::Ipv4 => "ipv4",
        IpAddressType::Dualstack => "dualstack",
        IpAddressType::DualstackWithoutPublicIpv4 => "dualstack-without-public-ipv4",
    }
}
