//! From Kubernetes objects to the small facts that the engine keeps.

use std::sync::Arc;

use gatehouse_core::facts::meta;
pub use gatehouse_core::facts::{app, claim, key, load_balancer, namespace, policy};
use gatehouse_core::review::{Foreign, Standing};
use gatehouse_core::world::{ChildFacts, PodFacts, ReplicaSetFacts, ServiceFacts};
use gatehouse_crds::keys;
use gatehouse_route::RouteTable;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Serialize;

/// A Service.
pub fn service(o: &Service) -> Arc<ServiceFacts> {
    Arc::new(gatehouse_core::facts::service(o))
}

/// What an object does past the platform.
pub fn standing<K: Resource<DynamicType = ()> + Serialize>(foreign: Foreign, o: &K) -> Option<Arc<Standing>> {
    let object = serde_json::to_value(o).ok()?;
    Standing::of(foreign, &K::kind(&()), &object).map(Arc::new)
}

/// UID of the controlling owner of a kind.
fn controller(meta: &ObjectMeta, kind: &str) -> Option<String> {
    let owners = meta.owner_references.iter().flatten();
    owners.filter(|o| o.kind == kind && o.controller == Some(true)).map(|o| o.uid.clone()).next()
}

/// An edge pod.
pub fn pod(o: &Pod) -> Arc<PodFacts> {
    let status = o.status.clone().unwrap_or_default();
    let condition =
        |type_: &str| status.conditions.iter().flatten().find(|c| c.type_ == type_).map(|c| c.status == "True");
    Arc::new(PodFacts {
        meta: meta(&o.metadata),
        replica_set: controller(&o.metadata, "ReplicaSet"),
        ip: status.pod_ip.as_ref().and_then(|ip| ip.parse().ok()),
        containers_ready: condition("ContainersReady") == Some(true),
        target_healthy: condition(keys::TARGET_HEALTHY),
        table: o.metadata.annotations.as_ref().and_then(|a| a.get(keys::TABLE).cloned()),
    })
}

/// An edge's ReplicaSet.
pub fn replica_set(o: &ReplicaSet) -> Arc<ReplicaSetFacts> {
    Arc::new(ReplicaSetFacts { meta: meta(&o.metadata), deployment: controller(&o.metadata, "Deployment") })
}

/// A child of any kind, by its metadata.
pub fn child<K: Resource>(o: &K) -> ChildFacts {
    let m = o.meta();
    let label = |key: &str| m.labels.as_ref().and_then(|l| l.get(key));
    ChildFacts {
        meta: meta(m),
        managed: label(keys::MANAGED_BY).is_some_and(|v| v == keys::MANAGED_BY_VALUE),
        fragment: m.annotations.as_ref().and_then(|a| a.get(keys::FRAGMENT).cloned()),
        content: None,
    }
}

/// The edge's ConfigMap: the hash of the table it really holds.
pub fn config_map(o: &ConfigMap) -> ChildFacts {
    let text = o.data.as_ref().and_then(|d| d.get(keys::TABLE_KEY));
    ChildFacts { content: text.and_then(|t| RouteTable::from_json(t).ok()).map(|t| t.hash()), ..child(o) }
}
