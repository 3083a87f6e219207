//! Ingresses of the cluster in memory, the apps that are written for them, and the garbage collector.

use std::sync::Arc;

use gatehouse_core::aws::Refusal;
use gatehouse_core::ingress::facts;
use gatehouse_core::plan::KubeWrite;
use gatehouse_core::world::{AppFacts, Delta, IngressFacts, Meta};
use gatehouse_core::{Answer, AppKey};
use gatehouse_crds::ExposedApp;
use k8s_openapi::api::networking::v1::Ingress;

use crate::cluster::{Cluster, stale, yaml};

impl Cluster {
    /// Creates or changes an Ingress; `text` is YAML without apiVersion and kind.
    pub fn ingress(&mut self, namespace: &str, name: &str, text: &str) {
        let key = AppKey::new(namespace, name);
        let mut ingress: Ingress = yaml(text);
        ingress.metadata.name = Some(name.to_owned());
        let read = facts(&ingress);
        let old = self.world.ingresses.get(&key).cloned();
        let meta = match &old {
            Some(old) => Meta { resource_version: self.bump(), ..old.meta.clone() },
            None => self.meta(),
        };
        let addresses = old.map(|o| o.addresses.clone()).unwrap_or_default();
        self.put(Delta::Ingress(key, Some(Arc::new(IngressFacts { meta, addresses, ..(*read).clone() }))));
    }

    /// `kubectl delete`, and then the garbage collector.
    pub fn delete_ingress(&mut self, namespace: &str, name: &str) {
        let key = AppKey::new(namespace, name);
        let Some(old) = self.world.ingresses.get(&key).cloned() else { return };
        self.put(Delta::Ingress(key, None));
        let owned = |app: &AppFacts| app.origin.as_ref().is_some_and(|o| o.uid == old.meta.uid);
        let apps: Vec<AppKey> =
            self.world.apps.iter().filter(|(_, app)| owned(app)).map(|(key, _)| key.clone()).collect();
        apps.into_iter().for_each(|app| self.delete_app(&app.namespace, &app.name));
    }

    /// What the operator writes for an Ingress, and about it.
    pub(crate) fn write_for_ingress(&mut self, write: &KubeWrite) -> Result<Answer, Refusal> {
        match write {
            KubeWrite::ApplyApp { app, fragment, uid } => {
                let old = self.world.apps.get(app).cloned();
                if old.as_ref().map(|o| &o.meta.uid) != uid.as_ref() {
                    return Err(stale("another object of that name"));
                }
                if old.is_none() && self.world.namespaces.get(&app.namespace).is_none_or(|n| n.meta.deleting) {
                    return Err(stale("the namespace is being terminated"));
                }
                let object: ExposedApp = serde_json::from_str(fragment).expect("the operator writes what can be read");
                let read = gatehouse_core::facts::app(&object);
                let facts = Arc::new(match &old {
                    Some(old) => AppFacts {
                        meta: Meta {
                            resource_version: self.bump(),
                            generation: old.meta.generation + i64::from(old.spec != read.spec),
                            ..old.meta.clone()
                        },
                        status: old.status.clone(),
                        ..(*read).clone()
                    },
                    None => AppFacts { meta: self.meta(), ..(*read).clone() },
                });
                self.put(Delta::App(app.clone(), Some(facts.clone())));
                Ok(Answer::App(facts))
            }
            KubeWrite::DeleteApp { app, uid } => {
                if self.world.apps.get(app).is_none_or(|a| a.meta.uid != *uid) {
                    return Err(stale("not that object"));
                }
                self.delete_app(&app.namespace, &app.name);
                Ok(Answer::Nothing)
            }
            KubeWrite::IngressStatus { ingress, uid, addresses } => {
                let Some(old) = self.world.ingresses.get(ingress).filter(|i| i.meta.uid == *uid).cloned() else {
                    return Err(stale("NotFound"));
                };
                let meta = Meta { resource_version: self.bump(), ..old.meta.clone() };
                let facts = Arc::new(IngressFacts { meta, addresses: addresses.clone(), ..(*old).clone() });
                self.put(Delta::Ingress(ingress.clone(), Some(facts.clone())));
                Ok(Answer::Ingress(facts))
            }
            KubeWrite::IngressEvents { ingress, events, .. } => {
                let told = events.iter().map(|(_, reason, note)| format!("{ingress} {reason}: {note}"));
                self.events.extend(told);
                Ok(Answer::Nothing)
            }
            other => unreachable!("{other:?} is about no Ingress"),
        }
    }
}
