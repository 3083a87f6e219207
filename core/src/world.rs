//! The small facts we need from Kubernetes, as an immutable snapshot. Never whole Pods or Services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use gatehouse_crds::{
    ExposedAppSpec, ExposedAppStatus, ExposurePolicySpec, ExposurePolicyStatus, HostClaimSpec, HostClaimStatus,
    SharedLoadBalancerSpec, SharedLoadBalancerStatus,
};
use serde::{Deserialize, Serialize};

use crate::identity::AppKey;
use crate::review::{Foreign, Standing};
use crate::time::Wall;

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Meta {
    /// UID.
    pub uid: String,
    /// Version, as the number it is; 0 in files.
    pub resource_version: u64,
    /// Generation; 0 where the kind has none.
    pub generation: i64,
    /// Creation.
    pub created: Wall,
    /// Whether a deletionTimestamp is set.
    pub deleting: bool,
    /// Whether our finalizer is on it.
    pub finalizer: bool,
    /// All finalizers, to write them back whole.
    pub finalizers: Vec<String>,
}

/// An ExposedApp.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AppFacts {
    /// Metadata.
    pub meta: Meta,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What is asked.
    pub spec: ExposedAppSpec,
    /// What we last wrote.
    pub status: ExposedAppStatus,
    /// What it stands for, if the operator wrote it.
    pub origin: Option<Origin>,
}

/// The Ingress that an app was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// UID of the Ingress.
    pub uid: String,
    /// Hash of the fragment that was applied.
    pub fragment: Option<String>,
}

/// An Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IngressFacts {
    /// Metadata.
    pub meta: Meta,
    /// Labels; empty if it is of another class.
    pub labels: BTreeMap<String, String>,
    /// Name, annotations and spec as JSON; absent if it is of another class.
    pub text: Option<String>,
    /// Names that its status shows.
    pub addresses: Vec<String>,
}

/// A SharedLoadBalancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LoadBalancerFacts {
    /// Metadata.
    pub meta: Meta,
    /// What is asked.
    pub spec: SharedLoadBalancerSpec,
    /// Requests of people, by verb.
    pub requests: BTreeMap<String, String>,
    /// What we last wrote.
    pub status: SharedLoadBalancerStatus,
}

/// An ExposurePolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PolicyFacts {
    /// Metadata.
    pub meta: Meta,
    /// What is asked.
    pub spec: ExposurePolicySpec,
    /// What we last wrote.
    pub status: ExposurePolicyStatus,
}

/// A HostClaim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClaimFacts {
    /// Metadata.
    pub meta: Meta,
    /// Who holds what.
    pub spec: HostClaimSpec,
    /// What is remembered.
    pub status: HostClaimStatus,
}

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespaceFacts {
    /// Metadata.
    pub meta: Meta,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A Service a tenant may name as backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceFacts {
    /// Metadata.
    pub meta: Meta,
    /// Pod selector; empty means that somebody else writes the endpoints.
    pub selector: BTreeMap<String, String>,
    /// Whether it is an alias of an outside name.
    pub external_name: bool,
    /// Ports by Service port number.
    pub ports: BTreeMap<u16, TargetPort>,
    /// Their numbers by name.
    pub names: BTreeMap<String, u16>,
}

impl ServiceFacts {
    /// Whether it may be a backend: it leads to pods of its namespace that its selector names, and to nothing else.
    #[must_use]
    pub fn may_be_backend(&self) -> bool {
        !self.external_name && !self.selector.is_empty()
    }
}

/// Where a Service port leads on the pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// The same number everywhere.
    Number(u16),
    /// A named container port.
    Named(String),
}

/// A pod of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodFacts {
    /// Metadata.
    pub meta: Meta,
    /// UID of the controlling ReplicaSet.
    pub replica_set: Option<String>,
    /// Address.
    pub ip: Option<IpAddr>,
    /// Condition ContainersReady.
    pub containers_ready: bool,
    /// Our readiness gate's condition, if written.
    pub target_healthy: Option<bool>,
    /// Our table annotation.
    pub table: Option<String>,
}

/// Kinds of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChildKind {
    /// First: pods are born closed.
    NetworkPolicy,
    /// The edge's identity, without any right.
    ServiceAccount,
    /// The table.
    ConfigMap,
    /// Headless twins of backends.
    Service,
    /// The edge.
    Deployment,
    /// So that node drains keep one edge.
    PodDisruptionBudget,
}

/// One child.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChildKey {
    /// Kind.
    pub kind: ChildKind,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What we know of a child.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChildFacts {
    /// Metadata.
    pub meta: Meta,
    /// Whether it carries our label; without it, it is a stranger and stays untouched.
    pub managed: bool,
    /// Hash of the fragment that was applied.
    pub fragment: Option<String>,
    /// For a ConfigMap the hash of the table it holds, so that an edit by hand is seen.
    pub content: Option<String>,
}

/// A ReplicaSet of an edge: the middle of a pod's owner chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReplicaSetFacts {
    /// Metadata.
    pub meta: Meta,
    /// UID of the controlling Deployment.
    pub deployment: Option<String>,
}

/// A standing object of a kind that others own. Those of a namespace stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StandingKey {
    /// Namespace; empty for kinds without one.
    pub namespace: String,
    /// Kind.
    pub foreign: Foreign,
    /// Name.
    pub name: String,
}

/// One change in the cluster. `None` means gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Delta {
    /// An ExposedApp.
    App(AppKey, Option<Arc<AppFacts>>),
    /// A SharedLoadBalancer.
    LoadBalancer(String, Option<Arc<LoadBalancerFacts>>),
    /// An ExposurePolicy.
    Policy(String, Option<Arc<PolicyFacts>>),
    /// A HostClaim, by object name.
    Claim(String, Option<Arc<ClaimFacts>>),
    /// A Namespace.
    Namespace(String, Option<Arc<NamespaceFacts>>),
    /// A Service.
    Service(AppKey, Option<Arc<ServiceFacts>>),
    /// An edge pod.
    Pod(AppKey, Option<Arc<PodFacts>>),
    /// An edge's ReplicaSet.
    ReplicaSet(AppKey, Option<Arc<ReplicaSetFacts>>),
    /// A child.
    Child(ChildKey, Option<Arc<ChildFacts>>),
    /// An Ingress.
    Ingress(AppKey, Option<Arc<IngressFacts>>),
    /// A standing object that does something past the platform; `None` also for one that does not.
    Foreign(StandingKey, Option<Arc<Standing>>),
    /// The initial list of a kind is complete.
    Synced(Kind),
}

/// Kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// ExposedApps.
    App,
    /// SharedLoadBalancers.
    LoadBalancer,
    /// ExposurePolicies.
    Policy,
    /// HostClaims.
    Claim,
    /// Namespaces.
    Namespace,
    /// Services.
    Service,
    /// Edge pods.
    Pod,
    /// ReplicaSets of edges.
    ReplicaSet,
    /// Ingresses.
    Ingress,
    /// Children of one kind.
    Child(ChildKind),
    /// A kind that is only audited.
    Foreign(Foreign),
}

impl Kind {
    /// Every kind that decisions rest on, all of which must be listed once before anything is decided. What is only
    /// audited is not waited for.
    pub const ALL: [Kind; 15] = [
        Kind::App,
        Kind::LoadBalancer,
        Kind::Policy,
        Kind::Claim,
        Kind::Namespace,
        Kind::Service,
        Kind::Pod,
        Kind::ReplicaSet,
        Kind::Ingress,
        Kind::Child(ChildKind::NetworkPolicy),
        Kind::Child(ChildKind::ServiceAccount),
        Kind::Child(ChildKind::ConfigMap),
        Kind::Child(ChildKind::Service),
        Kind::Child(ChildKind::Deployment),
        Kind::Child(ChildKind::PodDisruptionBudget),
    ];
}

/// The snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// ExposedApps.
    pub apps: BTreeMap<AppKey, Arc<AppFacts>>,
    /// SharedLoadBalancers.
    pub load_balancers: BTreeMap<String, Arc<LoadBalancerFacts>>,
    /// ExposurePolicies.
    pub policies: BTreeMap<String, Arc<PolicyFacts>>,
    /// HostClaims by object name.
    pub claims: BTreeMap<String, Arc<ClaimFacts>>,
    /// Namespaces.
    pub namespaces: BTreeMap<String, Arc<NamespaceFacts>>,
    /// Services.
    pub services: BTreeMap<AppKey, Arc<ServiceFacts>>,
    /// Edge pods.
    pub pods: BTreeMap<AppKey, Arc<PodFacts>>,
    /// ReplicaSets of edges.
    pub replica_sets: BTreeMap<AppKey, Arc<ReplicaSetFacts>>,
    /// Children.
    pub children: BTreeMap<ChildKey, Arc<ChildFacts>>,
    /// Ingresses.
    pub ingresses: BTreeMap<AppKey, Arc<IngressFacts>>,
    /// Standing objects of others' kinds that do something past the platform.
    pub foreign: BTreeMap<StandingKey, Arc<Standing>>,
    /// Kinds whose initial list is complete.
    pub synced: BTreeSet<Kind>,
}

/// Applies one change to a map unless what we hold is newer: outcomes of our own writes arrive before the watch.
fn put<K: Ord, V>(map: &mut BTreeMap<K, Arc<V>>, key: K, value: Option<Arc<V>>, version: impl Fn(&V) -> u64) -> bool
where
    V: PartialEq,
{
    match value {
        None => map.remove(&key).is_some(),
        Some(new) => {
            if let Some(old) = map.get(&key)
                && (version(old) > version(&new) || **old == *new)
            {
                return false;
            }
            map.insert(key, new);
            true
        }
    }
}

impl World {
    /// Applies one change; false if it changed nothing.
    pub fn apply(&mut self, delta: Delta) -> bool {
        match delta {
            Delta::App(key, v) => put(&mut self.apps, key, v, |f| f.meta.resource_version),
            Delta::LoadBalancer(key, v) => put(&mut self.load_balancers, key, v, |f| f.meta.resource_version),
            Delta::Policy(key, v) => put(&mut self.policies, key, v, |f| f.meta.resource_version),
            Delta::Claim(key, v) => put(&mut self.claims, key, v, |f| f.meta.resource_version),
            Delta::Namespace(key, v) => put(&mut self.namespaces, key, v, |f| f.meta.resource_version),
            Delta::Service(key, v) => put(&mut self.services, key, v, |f| f.meta.resource_version),
            Delta::Pod(key, v) => put(&mut self.pods, key, v, |f| f.meta.resource_version),
            Delta::ReplicaSet(key, v) => put(&mut self.replica_sets, key, v, |f| f.meta.resource_version),
            Delta::Child(key, v) => put(&mut self.children, key, v, |f| f.meta.resource_version),
            Delta::Ingress(key, v) => put(&mut self.ingresses, key, v, |f| f.meta.resource_version),
            Delta::Foreign(key, v) => put(&mut self.foreign, key, v, |f| f.version),
            Delta::Synced(kind) => self.synced.insert(kind),
        }
    }

    /// Whether every kind has been listed once. Before that an empty map would read as "everything was deleted".
    #[must_use]
    pub fn complete(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.synced.contains(kind))
    }

    /// Entries of one namespace in a map keyed by namespace and name.
    pub fn within<'a, V>(
        map: &'a BTreeMap<AppKey, Arc<V>>,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a AppKey, &'a Arc<V>)> + use<'a, V> {
        let namespace = namespace.to_owned();
        let start = AppKey::new(namespace.clone(), "");
        map.range(start..).take_while(move |(key, _)| key.namespace == namespace)
    }

    /// Standing objects of others' kinds in a namespace.
    pub fn standing(&self, namespace: &str) -> impl Iterator<Item = (&StandingKey, &Arc<Standing>)> {
        // The kind that is declared first.
        let first = StandingKey { namespace: namespace.to_owned(), foreign: Foreign::Service, name: String::new() };
        let namespace = namespace.to_owned();
        self.foreign.range(first..).take_while(move |(key, _)| key.namespace == namespace)
    }

    /// Edge pods of a namespace whose owner chain, by UID, ends at our Deployment.
    #[must_use]
    pub fn edge_pods(&self, namespace: &str) -> Vec<(&AppKey, &Arc<PodFacts>)> {
        let deployment = ChildKey {
            kind: ChildKind::Deployment,
            namespace: namespace.to_owned(),
            name: gatehouse_crds::keys::EDGE_NAME.to_owned(),
        };
        let Some(deployment) = self.children.get(&deployment).filter(|d| d.managed) else { return Vec::new() };
        let sets: BTreeSet<&str> = World::within(&self.replica_sets, namespace)
            .filter(|(_, set)| set.deployment.as_deref() == Some(deployment.meta.uid.as_str()))
            .map(|(_, set)| set.meta.uid.as_str())
            .collect();
        World::within(&self.pods, namespace)
            .filter(|(_, pod)| pod.replica_set.as_deref().is_some_and(|uid| sets.contains(uid)))
            .collect()
    }
}
