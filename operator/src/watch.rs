//! One plain watch per kind, turned into deltas. A malformed object is told and left out; the watch lives on.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use gatehouse_core::AppKey;
use gatehouse_core::ingress;
use gatehouse_core::review::Foreign;
use gatehouse_core::world::{ChildFacts, ChildKey, ChildKind, Delta, Kind, StandingKey};
use gatehouse_crds::{ExposedApp, ExposurePolicy, HostClaim, SharedLoadBalancer, keys};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tracing::warn;

use crate::facts;

/// Starts the watches that a stand-by keeps warm. Each task ends only with the process.
pub fn start(client: &Client, to: &UnboundedSender<Delta>, tasks: &mut JoinSet<()>) {
    let all = watcher::Config::default();
    let ours = all.clone().labels(&format!("{}={}", keys::MANAGED_BY, keys::MANAGED_BY_VALUE));
    let edges = all.clone().labels(&format!(
        "{}={},{}={}",
        keys::MANAGED_BY,
        keys::MANAGED_BY_VALUE,
        keys::COMPONENT,
        keys::EDGE
    ));
    let mut run = Runner { client, to, tasks };
    run.watch::<ExposedApp>(Kind::App, all.clone(), |k, o| Delta::App(k, o.map(facts::app)));
    run.watch::<ExposurePolicy>(Kind::Policy, all.clone(), |k, o| Delta::Policy(k.name, o.map(facts::policy)));
    run.watch::<Namespace>(Kind::Namespace, all.clone(), |k, o| Delta::Namespace(k.name, o.map(facts::namespace)));
    // Children of ours are Services too; as backends only the tenants' own count.
    let theirs = all.labels(&format!("{}!={}", keys::MANAGED_BY, keys::MANAGED_BY_VALUE));
    run.watch_each::<Service>(Kind::Service, theirs.clone(), |k, o| {
        vec![standing(Foreign::Service, &k, o), Delta::Service(k, o.map(facts::service))]
    });
    // Of every class: what was made of one goes when it is given another.
    run.watch_each::<Ingress>(Kind::Ingress, watcher::Config::default(), |k, o| {
        vec![standing(Foreign::Ingress, &k, o), Delta::Ingress(k, o.map(ingress::facts))]
    });
    // Only audited. Kinds of other projects are not: a watch of a kind that is not installed fails for ever.
    run.watch::<NetworkPolicy>(Kind::Foreign(Foreign::NetworkPolicy), theirs, |k, o| {
        standing(Foreign::NetworkPolicy, &k, o)
    });
    run.watch::<IngressClass>(Kind::Foreign(Foreign::IngressClass), watcher::Config::default(), |k, o| {
        standing(Foreign::IngressClass, &k, o)
    });
    run.watch::<Pod>(Kind::Pod, edges.clone(), |k, o| Delta::Pod(k, o.map(facts::pod)));
    run.watch::<ReplicaSet>(Kind::ReplicaSet, edges, |k, o| Delta::ReplicaSet(k, o.map(facts::replica_set)));
    run.children::<NetworkPolicy>(ChildKind::NetworkPolicy, ours.clone(), facts::child);
    run.children::<ServiceAccount>(ChildKind::ServiceAccount, ours.clone(), facts::child);
    run.children::<ConfigMap>(ChildKind::ConfigMap, ours.clone(), facts::config_map);
    run.children::<Service>(ChildKind::Service, ours.clone(), facts::child);
    run.children::<Deployment>(ChildKind::Deployment, ours.clone(), facts::child);
    run.children::<PodDisruptionBudget>(ChildKind::PodDisruptionBudget, ours, facts::child);
}

/// Starts the watches of what the leader alone writes and decides by: who holds a host, and what a load balancer was
/// told. They begin with the lease, so that nothing is decided by what a former leader has changed since: the listing
/// is the API server's newest, where a warm cache may lag.
pub fn start_of_leader(client: &Client, to: &UnboundedSender<Delta>, tasks: &mut JoinSet<()>) {
    let all = watcher::Config::default();
    let mut run = Runner { client, to, tasks };
    run.watch::<HostClaim>(Kind::Claim, all.clone(), |k, o| Delta::Claim(k.name, o.map(facts::claim)));
    run.watch::<SharedLoadBalancer>(Kind::LoadBalancer, all, |k, o| {
        Delta::LoadBalancer(k.name, o.map(facts::load_balancer))
    });
}

/// What an object of a kind that others own does past the platform.
fn standing<K: Resource<DynamicType = ()> + Serialize>(foreign: Foreign, key: &AppKey, object: Option<&K>) -> Delta {
    let at = StandingKey { namespace: key.namespace.clone(), foreign, name: key.name.clone() };
    Delta::Foreign(at, object.and_then(|object| facts::standing(foreign, object)))
}

struct Runner<'a> {
    client: &'a Client,
    to: &'a UnboundedSender<Delta>,
    tasks: &'a mut JoinSet<()>,
}

impl Runner<'_> {
    fn children<K>(&mut self, kind: ChildKind, config: watcher::Config, read: fn(&K) -> ChildFacts)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        self.watch::<K>(Kind::Child(kind), config, move |k, o| {
            let key = ChildKey { kind, namespace: k.namespace, name: k.name };
            Delta::Child(key, o.map(|o| Arc::new(read(o))))
        });
    }

    fn watch<K>(
        &mut self,
        kind: Kind,
        config: watcher::Config,
        delta: impl Fn(AppKey, Option<&K>) -> Delta + Send + 'static,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        self.watch_each(kind, config, move |key, object| vec![delta(key, object)]);
    }

    /// Follows a kind of which one object says several things.
    fn watch_each<K>(
        &mut self,
        kind: Kind,
        config: watcher::Config,
        deltas: impl Fn(AppKey, Option<&K>) -> Vec<Delta> + Send + 'static,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api: Api<DeserializeGuard<K>> = Api::all(self.client.clone());
        let to = self.to.clone();
        self.tasks.spawn(async move {
            let mut stream = watcher(api, config.any_semantic()).default_backoff().boxed();
            let mut known = BTreeSet::new();
            let mut listed = BTreeSet::new();
            loop {
                let event = match stream.try_next().await {
                    Ok(Some(event)) => event,
                    Ok(None) => return,
                    Err(error) => {
                        warn!(kind = ?kind, %error, "watch failed; it is taken up again");
                        continue;
                    }
                };
                let say = |key: AppKey, object: Option<&K>| {
                    for delta in deltas(key, object) {
                        let _ = to.send(delta);
                    }
                };
                let send = |guard: &DeserializeGuard<K>| {
                    let key = facts::key(guard.meta());
                    match &guard.0 {
                        Ok(object) => say(key.clone(), Some(object)),
                        Err(invalid) => {
                            warn!(kind = ?kind, object = %key, error = %invalid.error, "object cannot be read and is left out");
                            say(key.clone(), None);
                        }
                    }
                    key
                };
                match event {
                    watcher::Event::Apply(o) => {
                        known.insert(send(&o));
                    }
                    watcher::Event::Delete(o) => {
                        let key = facts::key(o.meta());
                        known.remove(&key);
                        say(key, None);
                    }
                    watcher::Event::Init => listed.clear(),
                    watcher::Event::InitApply(o) => {
                        listed.insert(send(&o));
                    }
                    watcher::Event::InitDone => {
                        // What vanished while the watch was down is deleted now.
                        for key in known.difference(&listed) {
                            say(key.clone(), None);
                        }
                        known = std::mem::take(&mut listed);
                        let _ = to.send(Delta::Synced(kind));
                    }
                }
            }
        });
    }
}
