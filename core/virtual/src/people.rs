//! What people, nodes and the namespace controller do to a cluster, beyond creating things. All of it is total: what
//! does not exist is not changed, so that a history may be shrunk at any place.

use std::sync::Arc;

use gatehouse_core::AppKey;
use gatehouse_core::world::{AppFacts, Delta, NamespaceFacts, World};

use crate::cluster::{Cluster, address};

impl Cluster {
    /// Creates a namespace unless it exists.
    pub fn ensure_namespace(&mut self, name: &str) {
        if !self.world.namespaces.contains_key(name) {
            self.namespace(name);
        }
    }

    /// `kubectl delete namespace`: everything in it goes, apps wait for their finalizers, the namespace for the apps.
    pub fn delete_namespace(&mut self, name: &str) {
        let Some(old) = self.world.namespaces.get(name).filter(|n| !n.meta.deleting) else { return };
        let mut facts: NamespaceFacts = (**old).clone();
        facts.meta.deleting = true;
        facts.meta.resource_version = self.bump();
        self.put(Delta::Namespace(name.into(), Some(Arc::new(facts))));
        let services: Vec<AppKey> = World::within(&self.world.services, name).map(|(k, _)| k.clone()).collect();
        for key in services {
            self.put(Delta::Service(key, None));
        }
        let children: Vec<_> = self.world.children.keys().filter(|k| k.namespace == name).cloned().collect();
        for key in children {
            self.put(Delta::Child(key, None));
        }
        self.scale_to_nothing(name);
        let apps: Vec<AppKey> = World::within(&self.world.apps, name).map(|(k, _)| k.clone()).collect();
        for key in apps {
            self.delete_app(name, &key.name);
        }
        self.end_namespaces();
    }

    /// Namespaces that wait for nothing any more are gone.
    pub(crate) fn end_namespaces(&mut self) {
        let ended: Vec<String> = self
            .world
            .namespaces
            .iter()
            .filter(|(name, n)| n.meta.deleting && World::within(&self.world.apps, name).next().is_none())
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            self.put(Delta::Namespace(name, None));
        }
    }

    /// Whether objects can be created in the namespace.
    #[must_use]
    pub fn open(&self, namespace: &str) -> bool {
        self.world.namespaces.get(namespace).is_some_and(|n| !n.meta.deleting)
    }

    /// `kubectl apply` of an app, if its namespace takes it.
    pub fn apply_app(&mut self, namespace: &str, name: &str, spec: &str) {
        let going = self.world.apps.get(&AppKey::new(namespace, name)).is_some_and(|a| a.meta.deleting);
        if self.open(namespace) && !going {
            self.app(namespace, name, spec);
        }
    }

    /// Deletes a policy.
    pub fn delete_policy(&mut self, name: &str) {
        if self.world.policies.contains_key(name) {
            self.put(Delta::Policy(name.into(), None));
        }
    }

    /// Deletes a Service.
    pub fn delete_service(&mut self, namespace: &str, name: &str) {
        let key = AppKey::new(namespace, name);
        if self.world.services.contains_key(&key) {
            self.put(Delta::Service(key, None));
        }
    }

    /// Creates a Service unless it exists or its namespace is going.
    pub fn ensure_service(&mut self, namespace: &str, name: &str) {
        if self.open(namespace) && !self.world.services.contains_key(&AppKey::new(namespace, name)) {
            self.service(namespace, name, 8080);
        }
    }

    /// Sets the labels of an app.
    pub fn label_app(&mut self, namespace: &str, name: &str, key: &str, value: &str) {
        let app = AppKey::new(namespace, name);
        let Some(old) = self.world.apps.get(&app) else { return };
        let mut facts: AppFacts = (**old).clone();
        facts.labels.insert(key.into(), value.into());
        facts.meta.resource_version = self.bump();
        self.put(Delta::App(app, Some(Arc::new(facts))));
    }

    /// Every edge pod of the namespace is replaced by one with another name and address.
    pub fn replace_pods(&mut self, namespace: &str) {
        let pods: Vec<_> = World::within(&self.world.pods, namespace).map(|(k, p)| (k.clone(), p.clone())).collect();
        let last = pods.iter().filter_map(|(_, p)| match p.ip {
            Some(std::net::IpAddr::V4(ip)) => Some(ip.octets()[3]),
            _ => None,
        });
        let mut fourth = last.max().unwrap_or(0);
        for (key, old) in pods {
            fourth = fourth % 250 + 1;
            let mut facts = (*old).clone();
            facts.meta = self.meta();
            facts.ip = Some(address(namespace, fourth));
            facts.target_healthy = None;
            facts.table = None;
            self.put(Delta::Pod(key.clone(), None));
            let uid = facts.meta.uid.clone();
            self.put(Delta::Pod(AppKey::new(namespace, format!("edge-{uid}")), Some(Arc::new(facts))));
        }
    }
}
