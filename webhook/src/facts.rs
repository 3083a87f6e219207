//! From Kubernetes objects to the small facts that a review looks at. What no review reads is left out: thousands of
//! statuses would be the larger part of the memory.

use std::sync::Arc;

pub use gatehouse_core::facts::key;
use gatehouse_core::facts::{meta, origin};
use gatehouse_core::world::{AppFacts, ClaimFacts, LoadBalancerFacts, NamespaceFacts, PolicyFacts};
use gatehouse_crds::{
    ExposedApp, ExposedAppStatus, ExposurePolicy, ExposurePolicyStatus, HostClaim, HostClaimStatus, SharedLoadBalancer,
    SharedLoadBalancerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// An ExposedApp.
#[must_use]
pub fn app(o: &ExposedApp) -> Arc<AppFacts> {
    Arc::new(AppFacts {
        meta: meta(&o.metadata),
        labels: o.metadata.labels.clone().unwrap_or_default(),
        spec: o.spec.clone(),
        status: ExposedAppStatus::default(),
        origin: origin(&o.metadata),
    })
}

/// A SharedLoadBalancer.
#[must_use]
pub fn load_balancer(o: &SharedLoadBalancer) -> Arc<LoadBalancerFacts> {
    let status = SharedLoadBalancerStatus::default();
    Arc::new(LoadBalancerFacts {
        meta: meta(&o.metadata),
        spec: o.spec.clone(),
        status,
        ..LoadBalancerFacts::default()
    })
}

/// An ExposurePolicy.
#[must_use]
pub fn policy(o: &ExposurePolicy) -> Arc<PolicyFacts> {
    let status = ExposurePolicyStatus::default();
    Arc::new(PolicyFacts { meta: meta(&o.metadata), spec: o.spec.clone(), status })
}

/// A HostClaim: of its status only the state.
#[must_use]
pub fn claim(o: &HostClaim) -> Arc<ClaimFacts> {
    let state = o.status.as_ref().map(|status| status.state).unwrap_or_default();
    let status = HostClaimStatus { state, ..HostClaimStatus::default() };
    Arc::new(ClaimFacts { meta: meta(&o.metadata), spec: o.spec.clone(), status })
}

/// A Namespace, of which only the metadata is watched.
#[must_use]
pub fn namespace(m: &ObjectMeta) -> Arc<NamespaceFacts> {
    Arc::new(NamespaceFacts { meta: meta(m), labels: m.labels.clone().unwrap_or_default() })
}
