//! The world as the watches last told it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use futures::StreamExt as _;
use gatehouse_core::world::{Delta, Kind};
use gatehouse_core::{AppKey, World};
use gatehouse_crds::{ExposedApp, ExposurePolicy, HostClaim, SharedLoadBalancer};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::facts;

/// What a review needs; all of it must be listed once before anything is judged.
const KINDS: [Kind; 5] = [Kind::App, Kind::LoadBalancer, Kind::Policy, Kind::Claim, Kind::Namespace];

/// The cached world. A lock and not a copy per change: a review reads for well under a millisecond.
#[derive(Debug, Default)]
pub struct Cache {
    world: RwLock<World>,
}

impl Cache {
    /// The world of this moment.
    pub fn read(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies one change.
    pub fn apply(&self, delta: Delta) {
        self.world.write().unwrap_or_else(PoisonError::into_inner).apply(delta);
    }

    /// Says that everything has been listed. For tests and files; watches say it kind by kind.
    pub fn filled(&self) {
        for kind in KINDS {
            self.apply(Delta::Synced(kind));
        }
    }

    /// Whether everything has been listed once.
    #[must_use]
    pub fn complete(&self) -> bool {
        let world = self.read();
        KINDS.iter().all(|kind| world.synced.contains(kind))
    }

    /// How many objects of each kind are held.
    #[must_use]
    pub fn sizes(&self) -> [(&'static str, usize); 5] {
        let world = self.read();
        [
            ("ExposedApp", world.apps.len()),
            ("SharedLoadBalancer", world.load_balancers.len()),
            ("ExposurePolicy", world.policies.len()),
            ("HostClaim", world.claims.len()),
            ("Namespace", world.namespaces.len()),
        ]
    }
}

/// Starts every watch; they live as long as the process.
pub fn watch(client: &Client, cache: &Arc<Cache>) {
    follow::<ExposedApp>(client, cache, Kind::App, |k, o| Delta::App(k, o.map(facts::app)));
    follow::<SharedLoadBalancer>(client, cache, Kind::LoadBalancer, |k, o| {
        Delta::LoadBalancer(k.name, o.map(facts::load_balancer))
    });
    follow::<ExposurePolicy>(client, cache, Kind::Policy, |k, o| Delta::Policy(k.name, o.map(facts::policy)));
    follow::<HostClaim>(client, cache, Kind::Claim, |k, o| Delta::Claim(k.name, o.map(facts::claim)));
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let change = |key: AppKey, object: Option<&PartialObjectMeta<Namespace>>| {
        Some(Delta::Namespace(key.name, object.map(|o| facts::namespace(&o.metadata))))
    };
    tokio::spawn(run(api, Arc::clone(cache), Kind::Namespace, change));
}

/// Follows a kind of ours. An object that cannot be read keeps the facts it last had: forgetting a policy would lift
/// its rules.
fn follow<K>(
    client: &Client,
    cache: &Arc<Cache>,
    kind: Kind,
    delta: impl Fn(AppKey, Option<&K>) -> Delta + Send + Sync + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let change = move |key: AppKey, object: Option<&DeserializeGuard<K>>| match object.map(|guard| &guard.0) {
        None => Some(delta(key, None)),
        Some(Ok(object)) => Some(delta(key, Some(object))),
        Some(Err(invalid)) => {
            tracing::warn!(?kind, object = %key, error = %invalid.error, "object cannot be read; what was known of it stays");
            None
        }
    };
    tokio::spawn(run(api, Arc::clone(cache), kind, change));
}

async fn run<K>(api: Api<K>, cache: Arc<Cache>, kind: Kind, change: impl Fn(AppKey, Option<&K>) -> Option<Delta> + Send)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watcher(api, watcher::Config::default().any_semantic()).default_backoff());
    let (mut known, mut listed) = (BTreeSet::new(), BTreeSet::new());
    // The back-off would repeat one trouble hundreds of times.
    let mut told = String::new();
    let put = |key: AppKey, object: Option<&K>| change(key, object).into_iter().for_each(|delta| cache.apply(delta));
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(object)) => {
                let key = facts::key(object.meta());
                put(key.clone(), Some(&object));
                known.insert(key);
            }
            Ok(watcher::Event::Delete(object)) => {
                let key = facts::key(object.meta());
                known.remove(&key);
                put(key, None);
            }
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                let key = facts::key(object.meta());
                put(key.clone(), Some(&object));
                listed.insert(key);
            }
            Ok(watcher::Event::InitDone) => {
                // What vanished while the watch was down.
                for key in known.difference(&listed) {
                    put(key.clone(), None);
                }
                known = std::mem::take(&mut listed);
                cache.apply(Delta::Synced(kind));
                told.clear();
            }
            Err(error) => {
                let text = error.to_string();
                if told != text {
                    tracing::warn!(?kind, "watch failed; it is taken up again: {text}");
                    told = text;
                }
            }
        }
    }
}
