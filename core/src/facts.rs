//! From Kubernetes objects to facts: what operator, webhook and command line read alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use gatehouse_crds::{ExposedApp, ExposurePolicy, HostClaim, SharedLoadBalancer, keys};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::identity::AppKey;
use crate::time::Wall;
use crate::world::{
    AppFacts, ClaimFacts, LoadBalancerFacts, Meta, NamespaceFacts, Origin, PolicyFacts, ServiceFacts, TargetPort,
};

/// Namespace (empty for cluster-scoped kinds) and name.
#[must_use]
pub fn key(meta: &ObjectMeta) -> AppKey {
    AppKey::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// Metadata.
#[must_use]
pub fn meta(m: &ObjectMeta) -> Meta {
    let finalizers = m.finalizers.clone().unwrap_or_default();
    Meta {
        uid: m.uid.clone().unwrap_or_default(),
        // Comparable as a number since Kubernetes promises it; an unreadable one never wins over what we know.
        resource_version: m.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0),
        generation: m.generation.unwrap_or(0),
        created: m.creation_timestamp.as_ref().map_or(Wall(0), |t| Wall(t.0.as_second())),
        deleting: m.deletion_timestamp.is_some(),
        finalizer: finalizers.iter().any(|f| f == keys::FINALIZER),
        finalizers,
    }
}

/// Requests of people: annotations with our prefix, by verb.
#[must_use]
pub fn requests(m: &ObjectMeta) -> BTreeMap<String, String> {
    let annotations = m.annotations.iter().flatten();
    annotations.filter_map(|(k, v)| Some((k.strip_prefix(keys::REQUEST_PREFIX)?.to_owned(), v.clone()))).collect()
}

/// An ExposedApp.
#[must_use]
pub fn app(o: &ExposedApp) -> Arc<AppFacts> {
    Arc::new(AppFacts {
        meta: meta(&o.metadata),
        labels: o.metadata.labels.clone().unwrap_or_default(),
        spec: o.spec.clone(),
        status: o.status.clone().unwrap_or_default(),
        origin: origin(&o.metadata),
    })
}

/// The Ingress that an ExposedApp stands for: only what the operator wrote stands for one.
#[must_use]
pub fn origin(m: &ObjectMeta) -> Option<Origin> {
    let label = |key: &str| m.labels.as_ref().and_then(|all| all.get(key)).map(String::as_str);
    if label(keys::MANAGED_BY) != Some(keys::MANAGED_BY_VALUE) || label(keys::COMPONENT) != Some(keys::INGRESS) {
        return None;
    }
    let owner = m.owner_references.iter().flatten().find(|o| o.kind == "Ingress" && o.controller == Some(true))?;
    let fragment = m.annotations.as_ref().and_then(|all| all.get(keys::FRAGMENT).cloned());
    Some(Origin { uid: owner.uid.clone(), fragment })
}

/// A SharedLoadBalancer.
#[must_use]
pub fn load_balancer(o: &SharedLoadBalancer) -> Arc<LoadBalancerFacts> {
    Arc::new(LoadBalancerFacts {
        meta: meta(&o.metadata),
        requests: requests(&o.metadata),
        spec: o.spec.clone(),
        status: o.status.clone().unwrap_or_default(),
    })
}

/// An ExposurePolicy.
#[must_use]
pub fn policy(o: &ExposurePolicy) -> Arc<PolicyFacts> {
    Arc::new(PolicyFacts {
        meta: meta(&o.metadata),
        spec: o.spec.clone(),
        status: o.status.clone().unwrap_or_default(),
    })
}

/// A HostClaim.
#[must_use]
pub fn claim(o: &HostClaim) -> Arc<ClaimFacts> {
    Arc::new(ClaimFacts { meta: meta(&o.metadata), spec: o.spec.clone(), status: o.status.clone().unwrap_or_default() })
}

/// A Namespace.
#[must_use]
pub fn namespace(o: &Namespace) -> Arc<NamespaceFacts> {
    Arc::new(NamespaceFacts { meta: meta(&o.metadata), labels: o.metadata.labels.clone().unwrap_or_default() })
}

/// A Service.
#[must_use]
pub fn service(o: &Service) -> ServiceFacts {
    let spec = o.spec.clone().unwrap_or_default();
    let (mut ports, mut names) = (BTreeMap::new(), BTreeMap::new());
    for port in spec.ports.unwrap_or_default() {
        let Ok(number) = u16::try_from(port.port) else { continue };
        let target = match port.target_port {
            None => TargetPort::Number(number),
            Some(IntOrString::Int(n)) => TargetPort::Number(u16::try_from(n).unwrap_or(number)),
            Some(IntOrString::String(name)) => TargetPort::Named(name),
        };
        ports.insert(number, target);
        names.extend(port.name.map(|name| (name, number)));
    }
    ServiceFacts {
        meta: meta(&o.metadata),
        selector: spec.selector.unwrap_or_default(),
        external_name: spec.type_.as_deref() == Some("ExternalName"),
        ports,
        names,
    }
}
