//! Objects as files hold them, put into the cluster in memory as an API server without admission would.

use std::sync::Arc;

use gatehouse_core::facts;
use gatehouse_core::review::{Foreign, Standing};
use gatehouse_core::world::{
    AppFacts, ClaimFacts, Delta, LoadBalancerFacts, NamespaceFacts, PolicyFacts, ServiceFacts, StandingKey,
};
use gatehouse_crds::{ExposedApp, ExposurePolicy, GROUP, HostClaim, SharedLoadBalancer};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cluster::Cluster;

fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap_or_else(|e| panic!("{e}\n{object}"))
}

impl Cluster {
    /// Creates an object of any kind that the operator looks at.
    ///
    /// # Panics
    /// When it is no object of its kind, or one that the operator does not look at.
    pub fn apply(&mut self, object: &Value) {
        let group = object["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group);
        let kind = object["kind"].as_str().unwrap_or_default();
        let typed: ObjectMeta = read(&object["metadata"]);
        let key = facts::key(&typed);
        if let Some(foreign) = Foreign::of(group, kind) {
            self.stand(foreign, kind, object);
        }
        match (group, kind) {
            ("", "Namespace") => {
                let o: Namespace = read(object);
                let facts = NamespaceFacts { meta: self.meta(), ..(*facts::namespace(&o)).clone() };
                self.put(Delta::Namespace(key.name, Some(Arc::new(facts))));
            }
            ("", "Service") => {
                let o: Service = read(object);
                let facts = ServiceFacts { meta: self.meta(), ..facts::service(&o) };
                self.put(Delta::Service(key, Some(Arc::new(facts))));
            }
            ("networking.k8s.io", "Ingress") => self.ingress(&key.namespace, &key.name, &object.to_string()),
            (GROUP, "ExposedApp") => {
                let o: ExposedApp = read(object);
                let facts = AppFacts { meta: self.meta(), ..(*facts::app(&o)).clone() };
                self.put(Delta::App(key, Some(Arc::new(facts))));
            }
            (GROUP, "SharedLoadBalancer") => {
                let o: SharedLoadBalancer = read(object);
                let facts = LoadBalancerFacts { meta: self.meta(), ..(*facts::load_balancer(&o)).clone() };
                self.put(Delta::LoadBalancer(key.name, Some(Arc::new(facts))));
            }
            (GROUP, "ExposurePolicy") => {
                let o: ExposurePolicy = read(object);
                let facts = PolicyFacts { meta: self.meta(), ..(*facts::policy(&o)).clone() };
                self.put(Delta::Policy(key.name, Some(Arc::new(facts))));
            }
            (GROUP, "HostClaim") => {
                let o: HostClaim = read(object);
                let facts = ClaimFacts { meta: self.meta(), ..(*facts::claim(&o)).clone() };
                self.put(Delta::Claim(key.name, Some(Arc::new(facts))));
            }
            _ => assert!(Foreign::of(group, kind).is_some(), "the operator does not look at {group} {kind}"),
        }
    }

    /// What is kept of an object of a kind that others own.
    fn stand(&mut self, foreign: Foreign, kind: &str, object: &Value) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = StandingKey { namespace: text("namespace"), foreign, name: text("name") };
        let mut stored = object.clone();
        stored["metadata"]["resourceVersion"] = self.bump().to_string().into();
        let standing = Standing::of(foreign, kind, &stored).map(Arc::new);
        self.put(Delta::Foreign(key, standing));
    }
}
