//! A cluster in memory: it keeps objects, checks preconditions, tells what changed, and runs edges.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gatehouse_core::aws::{Refusal, RefusalClass};
use gatehouse_core::plan::KubeWrite;
use gatehouse_core::time::Wall;
use gatehouse_core::world::{
    AppFacts, ChildFacts, ChildKey, ChildKind, ClaimFacts, Delta, Kind, LoadBalancerFacts, Meta, NamespaceFacts,
    PodFacts, PolicyFacts, ReplicaSetFacts, ServiceFacts, TargetPort, World,
};
use gatehouse_core::{Answer, AppKey};
use gatehouse_crds::keys;
use gatehouse_route::RouteTable;

/// Kubernetes, as far as the operator sees it.
#[derive(Clone, Default)]
pub struct Cluster {
    /// Every object.
    pub world: World,
    version: u64,
    uids: u64,
    /// Seconds since 1970, for creation timestamps.
    pub wall: i64,
    /// Changes that no watch has shown yet.
    pub changes: Vec<Delta>,
    /// What owners of Ingresses were told.
    pub events: Vec<String>,
}

pub(crate) fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

pub(crate) fn stale(message: impl Into<String>) -> Refusal {
    Refusal { class: RefusalClass::Stale, message: message.into() }
}

impl Cluster {
    /// An empty one at this second since 1970.
    #[must_use]
    pub fn new(wall: i64) -> Cluster {
        Cluster { wall, ..Cluster::default() }
    }

    pub(crate) fn meta(&mut self) -> Meta {
        self.version += 1;
        self.uids += 1;
        Meta {
            uid: format!("uid-{}", self.uids),
            resource_version: self.version,
            generation: 1,
            created: Wall(self.wall),
            ..Meta::default()
        }
    }

    pub(crate) fn bump(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub(crate) fn put(&mut self, delta: Delta) {
        self.world.apply(delta.clone());
        self.changes.push(delta);
    }

    /// Everything there is, as a fresh watch shows it.
    #[must_use]
    pub fn listed(&self) -> Vec<Delta> {
        let w = &self.world;
        let mut out: Vec<Delta> = Vec::new();
        out.extend(w.namespaces.iter().map(|(k, v)| Delta::Namespace(k.clone(), Some(v.clone()))));
        out.extend(w.load_balancers.iter().map(|(k, v)| Delta::LoadBalancer(k.clone(), Some(v.clone()))));
        out.extend(w.policies.iter().map(|(k, v)| Delta::Policy(k.clone(), Some(v.clone()))));
        out.extend(w.claims.iter().map(|(k, v)| Delta::Claim(k.clone(), Some(v.clone()))));
        out.extend(w.services.iter().map(|(k, v)| Delta::Service(k.clone(), Some(v.clone()))));
        out.extend(w.apps.iter().map(|(k, v)| Delta::App(k.clone(), Some(v.clone()))));
        out.extend(w.ingresses.iter().map(|(k, v)| Delta::Ingress(k.clone(), Some(v.clone()))));
        out.extend(w.foreign.iter().map(|(k, v)| Delta::Foreign(k.clone(), Some(v.clone()))));
        out.extend(w.children.iter().map(|(k, v)| Delta::Child(k.clone(), Some(v.clone()))));
        out.extend(w.replica_sets.iter().map(|(k, v)| Delta::ReplicaSet(k.clone(), Some(v.clone()))));
        out.extend(w.pods.iter().map(|(k, v)| Delta::Pod(k.clone(), Some(v.clone()))));
        out.extend(Kind::ALL.into_iter().map(Delta::Synced));
        out
    }

    /// Creates a namespace.
    pub fn namespace(&mut self, name: &str) {
        let facts = NamespaceFacts { meta: self.meta(), labels: BTreeMap::new() };
        self.put(Delta::Namespace(name.into(), Some(Arc::new(facts))));
    }

    /// Creates a SharedLoadBalancer; `spec` is YAML.
    pub fn load_balancer(&mut self, name: &str, spec: &str) {
        let facts = LoadBalancerFacts { meta: self.meta(), spec: yaml(spec), ..LoadBalancerFacts::default() };
        self.put(Delta::LoadBalancer(name.into(), Some(Arc::new(facts))));
    }

    /// Creates or replaces a policy; `spec` is YAML.
    pub fn policy(&mut self, name: &str, spec: &str) {
        let facts = PolicyFacts { meta: self.meta(), spec: yaml(spec), status: Default::default() };
        self.put(Delta::Policy(name.into(), Some(Arc::new(facts))));
    }

    /// Creates a Service.
    pub fn service(&mut self, namespace: &str, name: &str, port: u16) {
        let facts = ServiceFacts {
            meta: self.meta(),
            selector: [("app".to_owned(), name.to_owned())].into(),
            external_name: false,
            ports: [(port, TargetPort::Number(port))].into(),
            names: BTreeMap::new(),
        };
        self.put(Delta::Service(AppKey::new(namespace, name), Some(Arc::new(facts))));
    }

    /// Creates or changes an app.
    pub fn app(&mut self, namespace: &str, name: &str, spec: &str) {
        let key = AppKey::new(namespace, name);
        let mut facts = match self.world.apps.get(&key) {
            Some(old) => (**old).clone(),
            None => AppFacts { meta: self.meta(), ..AppFacts::default() },
        };
        facts.spec = yaml(spec);
        facts.meta.generation += 1;
        facts.meta.resource_version = self.bump();
        self.put(Delta::App(key, Some(Arc::new(facts))));
    }

    /// `kubectl delete`: waits for finalizers.
    pub fn delete_app(&mut self, namespace: &str, name: &str) {
        let key = AppKey::new(namespace, name);
        let Some(old) = self.world.apps.get(&key) else { return };
        let mut facts = (**old).clone();
        facts.meta.deleting = true;
        facts.meta.resource_version = self.bump();
        let gone = facts.meta.finalizers.is_empty();
        self.put(Delta::App(key, (!gone).then(|| Arc::new(facts))));
        self.end_namespaces();
    }

    /// The object is gone although nobody asked: finalizers stripped by force.
    pub fn lose_app(&mut self, namespace: &str, name: &str) {
        self.put(Delta::App(AppKey::new(namespace, name), None));
        self.end_namespaces();
    }

    /// `kubectl delete`: waits for finalizers.
    pub fn delete_load_balancer(&mut self, name: &str) {
        let Some(old) = self.world.load_balancers.get(name) else { return };
        let mut facts = (**old).clone();
        facts.meta.deleting = true;
        facts.meta.resource_version = self.bump();
        let gone = facts.meta.finalizers.is_empty();
        self.put(Delta::LoadBalancer(name.into(), (!gone).then(|| Arc::new(facts))));
    }

    /// What a person writes into an annotation.
    pub fn request(&mut self, load_balancer: &str, verb: &str, value: &str) {
        let mut facts = (*self.world.load_balancers[load_balancer]).clone();
        facts.requests.insert(verb.into(), value.into());
        facts.meta.resource_version = self.bump();
        self.put(Delta::LoadBalancer(load_balancer.into(), Some(Arc::new(facts))));
    }

    /// The namespace is deleted with everything in it, and made anew with another UID.
    pub fn remake_namespace(&mut self, name: &str) {
        self.lose_namespace(name);
        self.namespace(name);
    }

    /// The namespace is gone, and everything in it.
    pub fn lose_namespace(&mut self, name: &str) {
        let within = |key: &AppKey| key.namespace == name;
        let apps: Vec<AppKey> = self.world.apps.keys().filter(|k| within(k)).cloned().collect();
        apps.into_iter().for_each(|key| self.put(Delta::App(key, None)));
        let services: Vec<AppKey> = self.world.services.keys().filter(|k| within(k)).cloned().collect();
        services.into_iter().for_each(|key| self.put(Delta::Service(key, None)));
        let children: Vec<ChildKey> = self.world.children.keys().filter(|k| k.namespace == name).cloned().collect();
        children.into_iter().for_each(|key| self.put(Delta::Child(key, None)));
        self.scale_to_nothing(name);
        self.put(Delta::Namespace(name.into(), None));
    }

    /// Somebody deletes a claim by hand.
    pub fn lose_claim(&mut self, name: &str) {
        self.put(Delta::Claim(name.into(), None));
    }

    /// What an edge of the namespace serves.
    #[must_use]
    pub fn table(&self, namespace: &str) -> Option<String> {
        let key = ChildKey { kind: ChildKind::ConfigMap, namespace: namespace.into(), name: keys::EDGE_NAME.into() };
        self.world.children.get(&key).and_then(|c| c.content.clone())
    }

    /// Performs a write of the operator.
    pub fn write(&mut self, write: &KubeWrite) -> Result<Answer, Refusal> {
        match write.clone() {
            KubeWrite::ApplyChild { key, fragment, uid } => {
                let old = self.world.children.get(&key).cloned();
                if old.as_ref().map(|o| &o.meta.uid) != uid.as_ref() {
                    return Err(stale("another object of that name"));
                }
                if old.is_none() && self.world.namespaces.get(&key.namespace).is_none_or(|n| n.meta.deleting) {
                    return Err(stale("the namespace is being terminated"));
                }
                let body: serde_json::Value = serde_json::from_str(&fragment).unwrap();
                let meta = match &old {
                    Some(old) => Meta { resource_version: self.bump(), ..old.meta.clone() },
                    None => self.meta(),
                };
                let content = body["data"][keys::TABLE_KEY].as_str().map(|t| RouteTable::from_json(t).unwrap().hash());
                let facts = Arc::new(ChildFacts {
                    meta: meta.clone(),
                    managed: body["metadata"]["labels"][keys::MANAGED_BY] == keys::MANAGED_BY_VALUE,
                    fragment: body["metadata"]["annotations"][keys::FRAGMENT].as_str().map(str::to_owned),
                    content,
                });
                self.put(Delta::Child(key.clone(), Some(facts.clone())));
                if key.kind == ChildKind::Deployment && old.is_none() {
                    self.roll_out(&key, &meta.uid, body["spec"]["replicas"].as_u64().unwrap());
                }
                Ok(Answer::Child(facts))
            }
            KubeWrite::DeleteChild { key, uid } => {
                if self.world.children.get(&key).is_none_or(|c| c.meta.uid != uid) {
                    return Err(stale("not that object"));
                }
                self.put(Delta::Child(key.clone(), None));
                if key.kind == ChildKind::Deployment {
                    self.scale_to_nothing(&key.namespace);
                }
                Ok(Answer::Nothing)
            }
            KubeWrite::CreateClaim { name, spec } => {
                if self.world.claims.contains_key(&name) {
                    return Err(stale("AlreadyExists"));
                }
                let facts = Arc::new(ClaimFacts { meta: self.meta(), spec: spec.into(), status: Default::default() });
                self.put(Delta::Claim(name, Some(facts.clone())));
                Ok(Answer::Claim(facts))
            }
            KubeWrite::ClaimStatus { name, resource_version, status } => {
                self.claim(name, resource_version, |c| c.status = serde_json::from_str(&status).unwrap())
            }
            KubeWrite::ClaimSpec { name, resource_version, spec } => {
                self.claim(name, resource_version, |c| c.spec = spec.into())
            }
            KubeWrite::DeleteClaim { name, uid, resource_version } => {
                let fits = |c: &Arc<ClaimFacts>| c.meta.uid == uid && c.meta.resource_version == resource_version;
                if !self.world.claims.get(&name).is_some_and(fits) {
                    return Err(stale("Conflict"));
                }
                self.put(Delta::Claim(name, None));
                Ok(Answer::Nothing)
            }
            KubeWrite::AppFinalizers { app, resource_version, finalizers } => {
                let Some(old) = self.world.apps.get(&app).filter(|a| a.meta.resource_version == resource_version)
                else {
                    return Err(stale("Conflict"));
                };
                let mut facts = (**old).clone();
                facts.meta.finalizer = finalizers.iter().any(|f| f == keys::FINALIZER);
                facts.meta.finalizers = finalizers;
                facts.meta.resource_version = self.bump();
                let gone = facts.meta.deleting && facts.meta.finalizers.is_empty();
                let facts = Arc::new(facts);
                self.put(Delta::App(app, (!gone).then(|| facts.clone())));
                self.end_namespaces();
                Ok(if gone { Answer::Nothing } else { Answer::App(facts) })
            }
            KubeWrite::LoadBalancerFinalizers { name, resource_version, finalizers } => {
                let Some(old) =
                    self.world.load_balancers.get(&name).filter(|a| a.meta.resource_version == resource_version)
                else {
                    return Err(stale("Conflict"));
                };
                let mut facts = (**old).clone();
                facts.meta.finalizer = finalizers.iter().any(|f| f == keys::FINALIZER);
                facts.meta.finalizers = finalizers;
                facts.meta.resource_version = self.bump();
                let gone = facts.meta.deleting && facts.meta.finalizers.is_empty();
                let facts = Arc::new(facts);
                self.put(Delta::LoadBalancer(name, (!gone).then(|| facts.clone())));
                Ok(if gone { Answer::Nothing } else { Answer::LoadBalancer(facts) })
            }
            KubeWrite::AppStatus { app, status, .. } => {
                let Some(old) = self.world.apps.get(&app) else { return Err(stale("NotFound")) };
                let mut facts = (**old).clone();
                facts.status = serde_json::from_str(&status).unwrap();
                facts.meta.resource_version = self.bump();
                let facts = Arc::new(facts);
                self.put(Delta::App(app, Some(facts.clone())));
                Ok(Answer::App(facts))
            }
            KubeWrite::LoadBalancerStatus { name, status } => {
                let Some(old) = self.world.load_balancers.get(&name) else { return Err(stale("NotFound")) };
                let mut facts = (**old).clone();
                facts.status = serde_json::from_str(&status).unwrap();
                facts.meta.resource_version = self.bump();
                let facts = Arc::new(facts);
                self.put(Delta::LoadBalancer(name, Some(facts.clone())));
                Ok(Answer::LoadBalancer(facts))
            }
            KubeWrite::PolicyStatus { name, status } => {
                let Some(old) = self.world.policies.get(&name) else { return Err(stale("NotFound")) };
                let mut facts = (**old).clone();
                facts.status = serde_json::from_str(&status).unwrap();
                facts.meta.resource_version = self.bump();
                let facts = Arc::new(facts);
                self.put(Delta::Policy(name, Some(facts.clone())));
                Ok(Answer::Policy(facts))
            }
            KubeWrite::ApplyApp { .. }
            | KubeWrite::DeleteApp { .. }
            | KubeWrite::IngressStatus { .. }
            | KubeWrite::IngressEvents { .. } => self.write_for_ingress(write),
            KubeWrite::PodTable { pod, table, .. } => self.pod(&pod, |p| p.table = Some(table)),
            KubeWrite::PodHealthy { pod, healthy, .. } => self.pod(&pod, |p| p.target_healthy = Some(healthy)),
        }
    }

    fn claim(
        &mut self,
        name: String,
        resource_version: u64,
        change: impl FnOnce(&mut ClaimFacts),
    ) -> Result<Answer, Refusal> {
        let Some(old) = self.world.claims.get(&name).filter(|c| c.meta.resource_version == resource_version) else {
            return Err(stale("Conflict"));
        };
        let mut facts = (**old).clone();
        change(&mut facts);
        facts.meta.resource_version = self.bump();
        let facts = Arc::new(facts);
        self.put(Delta::Claim(name, Some(facts.clone())));
        Ok(Answer::Claim(facts))
    }

    fn pod(&mut self, key: &AppKey, change: impl FnOnce(&mut PodFacts)) -> Result<Answer, Refusal> {
        let Some(old) = self.world.pods.get(key) else { return Err(stale("NotFound")) };
        let mut facts = (**old).clone();
        change(&mut facts);
        facts.meta.resource_version = self.bump();
        self.put(Delta::Pod(key.clone(), Some(Arc::new(facts))));
        Ok(Answer::Nothing)
    }

    fn roll_out(&mut self, key: &ChildKey, deployment: &str, replicas: u64) {
        let set = ReplicaSetFacts { meta: self.meta(), deployment: Some(deployment.to_owned()) };
        let set_uid = set.meta.uid.clone();
        self.put(Delta::ReplicaSet(AppKey::new(&key.namespace, "edge-1"), Some(Arc::new(set))));
        for i in 0..replicas {
            let facts = PodFacts {
                meta: self.meta(),
                replica_set: Some(set_uid.clone()),
                ip: Some(address(&key.namespace, u8::try_from(i + 1).unwrap())),
                containers_ready: true,
                target_healthy: None,
                table: None,
            };
            self.put(Delta::Pod(AppKey::new(&key.namespace, format!("edge-1-{i}")), Some(Arc::new(facts))));
        }
    }

    pub(crate) fn scale_to_nothing(&mut self, namespace: &str) {
        let pods: Vec<AppKey> = World::within(&self.world.pods, namespace).map(|(k, _)| k.clone()).collect();
        for pod in pods {
            self.put(Delta::Pod(pod, None));
        }
        self.put(Delta::ReplicaSet(AppKey::new(namespace, "edge-1"), None));
    }
}

/// A function of the namespace, so that the end state does not depend on who came first.
pub(crate) fn address(namespace: &str, fourth: u8) -> IpAddr {
    let third = namespace.bytes().fold(7_u8, |sum, b| sum.wrapping_mul(31).wrapping_add(b));
    IpAddr::V4(Ipv4Addr::new(10, 244, third, fourth))
}
