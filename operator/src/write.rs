//! The engine's writes to Kubernetes. Every one is guarded by UID or version, or is a server-side apply of our own
//! fragment; none is retried here.

use std::sync::Arc;

use gatehouse_core::aws::{Refusal, RefusalClass};
use gatehouse_core::plan::KubeWrite;
use gatehouse_core::world::{ChildFacts, ChildKey, ChildKind};
use gatehouse_core::{Answer, AppKey, Reason};
use gatehouse_crds::{ExposedApp, ExposurePolicy, HostClaim, SharedLoadBalancer, keys};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource};
use serde_json::json;

use crate::aws::Failure;
use crate::facts;

/// Performs writes.
pub struct Writer {
    client: Client,
    recorder: Recorder,
}

impl Writer {
    /// A writer that records events under this name.
    pub fn new(client: Client, identity: &str) -> Writer {
        let reporter = kube::runtime::events::Reporter {
            controller: "gatehouse-operator".into(),
            instance: Some(identity.to_owned()),
        };
        Writer { recorder: Recorder::new(client.clone(), reporter), client }
    }

    /// Performs one write.
    ///
    /// # Errors
    /// Refused by the API server, or of unknown outcome.
    pub async fn write(&self, write: KubeWrite) -> Result<Answer, Failure> {
        self.perform(write).await.map_err(failure)
    }

    async fn perform(&self, write: KubeWrite) -> Result<Answer, kube::Error> {
        let plain = PatchParams::default();
        Ok(match write {
            KubeWrite::ApplyChild { key, fragment, uid } => self.apply(key, &fragment, uid).await?,
            KubeWrite::DeleteChild { key, uid } => {
                self.delete_child(&key, uid).await?;
                Answer::Nothing
            }
            KubeWrite::CreateClaim { name, spec } => {
                let api: Api<HostClaim> = Api::all(self.client.clone());
                let made = api.create(&PostParams::default(), &HostClaim::new(&name, spec.into())).await?;
                Answer::Claim(facts::claim(&made))
            }
            KubeWrite::ClaimStatus { name, resource_version, status } => {
                let api: Api<HostClaim> = Api::all(self.client.clone());
                // A replacement, not a merge: what is remembered no more must go.
                let mut claim = HostClaim::new(&name, gatehouse_crds::HostClaimSpec::default());
                claim.metadata.resource_version = Some(resource_version.to_string());
                claim.status = serde_json::from_str(&status).ok();
                Answer::Claim(facts::claim(&api.replace_status(&name, &PostParams::default(), &claim).await?))
            }
            KubeWrite::ClaimSpec { name, resource_version, spec } => {
                let api: Api<HostClaim> = Api::all(self.client.clone());
                let patch = json!({
                    "metadata": { "resourceVersion": resource_version.to_string() },
                    "spec": gatehouse_crds::HostClaimSpec::from(spec),
                });
                Answer::Claim(facts::claim(&api.patch(&name, &plain, &Patch::Merge(patch)).await?))
            }
            KubeWrite::DeleteClaim { name, uid, resource_version } => {
                let api: Api<HostClaim> = Api::all(self.client.clone());
                let only = Preconditions { uid: Some(uid), resource_version: Some(resource_version.to_string()) };
                api.delete(&name, &DeleteParams::default().preconditions(only)).await?;
                Answer::Nothing
            }
            KubeWrite::AppFinalizers { app, resource_version, finalizers } => {
                let api: Api<ExposedApp> = Api::namespaced(self.client.clone(), &app.namespace);
                let done =
                    api.patch(&app.name, &plain, &Patch::Merge(finalizer_patch(resource_version, &finalizers))).await?;
                let gone = done.metadata.deletion_timestamp.is_some() && finalizers.is_empty();
                if gone { Answer::Nothing } else { Answer::App(facts::app(&done)) }
            }
            KubeWrite::LoadBalancerFinalizers { name, resource_version, finalizers } => {
                let api: Api<SharedLoadBalancer> = Api::all(self.client.clone());
                let done =
                    api.patch(&name, &plain, &Patch::Merge(finalizer_patch(resource_version, &finalizers))).await?;
                let gone = done.metadata.deletion_timestamp.is_some() && finalizers.is_empty();
                if gone { Answer::Nothing } else { Answer::LoadBalancer(facts::load_balancer(&done)) }
            }
            KubeWrite::AppStatus { app, uid, status, event } => {
                let api: Api<ExposedApp> = Api::namespaced(self.client.clone(), &app.namespace);
                let done = api.patch_status(&app.name, &plain, &Patch::Json::<()>(status_patch(&uid, &status))).await?;
                if let Some((kind, reason, note)) = event {
                    if let Some(ingress) = origin(&done) {
                        self.event(&ingress, &kind, reason.clone(), note.clone()).await;
                    }
                    self.event(&done.object_ref(&()), &kind, reason, note).await;
                }
                Answer::App(facts::app(&done))
            }
            KubeWrite::ApplyApp { app, fragment, uid } => {
                let body = with_uid(&fragment, uid)?;
                let api: Api<ExposedApp> = Api::namespaced(self.client.clone(), &app.namespace);
                let ours = PatchParams::apply(keys::FIELD_MANAGER).force();
                Answer::App(facts::app(&api.patch(&app.name, &ours, &Patch::Apply(&body)).await?))
            }
            KubeWrite::DeleteApp { app, uid } => {
                let api: Api<ExposedApp> = Api::namespaced(self.client.clone(), &app.namespace);
                let only = Preconditions { uid: Some(uid), resource_version: None };
                api.delete(&app.name, &DeleteParams::default().preconditions(only)).await?;
                Answer::Nothing
            }
            KubeWrite::IngressStatus { ingress, uid, addresses } => {
                let api: Api<Ingress> = Api::namespaced(self.client.clone(), &ingress.namespace);
                let shown: Vec<_> = addresses.iter().map(|name| json!({ "hostname": name })).collect();
                let status = json!({ "loadBalancer": { "ingress": shown } }).to_string();
                let patch = Patch::Json::<()>(status_patch(&uid, &status));
                let done = api.patch_status(&ingress.name, &plain, &patch).await?;
                Answer::Ingress(gatehouse_core::ingress::facts(&done))
            }
            KubeWrite::IngressEvents { ingress, uid, events, .. } => {
                let about = ingress_reference(&ingress.namespace, &ingress.name, &uid);
                for (kind, reason, note) in events {
                    self.event(&about, &kind, reason, note).await;
                }
                Answer::Nothing
            }
            KubeWrite::LoadBalancerStatus { name, status } => {
                let api: Api<SharedLoadBalancer> = Api::all(self.client.clone());
                let done = api.patch_status(&name, &plain, &Patch::Json::<()>(status_patch("", &status))).await?;
                Answer::LoadBalancer(facts::load_balancer(&done))
            }
            KubeWrite::PolicyStatus { name, status } => {
                let api: Api<ExposurePolicy> = Api::all(self.client.clone());
                let done = api.patch_status(&name, &plain, &Patch::Json::<()>(status_patch("", &status))).await?;
                Answer::Policy(facts::policy(&done))
            }
            KubeWrite::PodTable { pod, uid, table } => {
                let patch = json!({ "metadata": { "uid": uid, "annotations": { keys::TABLE: table } } });
                self.pods(&pod).patch(&pod.name, &plain, &Patch::Merge(patch)).await?;
                Answer::Nothing
            }
            KubeWrite::PodHealthy { pod, uid, healthy } => {
                let condition = json!({
                    "type": keys::TARGET_HEALTHY,
                    "status": if healthy { "True" } else { "False" },
                    "lastTransitionTime": jiff::Timestamp::now().to_string(),
                    "reason": Reason::TargetHealthy.word(),
                    "message": "healthy in every target group that a rule uses",
                });
                let patch = json!({ "metadata": { "uid": uid }, "status": { "conditions": [condition] } });
                self.pods(&pod).patch_status(&pod.name, &plain, &Patch::Strategic(patch)).await?;
                Answer::Nothing
            }
        })
    }

    fn pods(&self, pod: &AppKey) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace)
    }

    /// An event is news, not state: if it cannot be recorded the status still says it.
    async fn event(&self, about: &ObjectReference, kind: &str, reason: String, note: String) {
        let type_ = if kind == "Warning" { EventType::Warning } else { EventType::Normal };
        let note = note.chars().take(1000).collect();
        let event = Event { type_, reason, note: Some(note), action: "Publish".into(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::debug!(%error, "event not recorded");
        }
    }

    async fn apply(&self, key: ChildKey, fragment: &str, uid: Option<String>) -> Result<Answer, kube::Error> {
        // With the UID in the fragment the API server refuses to touch another object of that name; without one the
        // object must not exist, which the engine knows from the watch and rechecks through the label afterwards.
        let body = with_uid(fragment, uid)?;
        let facts = match key.kind {
            ChildKind::NetworkPolicy => self.ssa::<NetworkPolicy>(&key, &body, facts::child).await?,
            ChildKind::ServiceAccount => self.ssa::<ServiceAccount>(&key, &body, facts::child).await?,
            ChildKind::ConfigMap => self.ssa::<ConfigMap>(&key, &body, facts::config_map).await?,
            ChildKind::Service => self.ssa::<Service>(&key, &body, facts::child).await?,
            ChildKind::Deployment => self.ssa::<Deployment>(&key, &body, facts::child).await?,
            ChildKind::PodDisruptionBudget => self.ssa::<PodDisruptionBudget>(&key, &body, facts::child).await?,
        };
        Ok(Answer::Child(Arc::new(facts)))
    }

    async fn ssa<K>(
        &self,
        key: &ChildKey,
        body: &serde_json::Value,
        read: fn(&K) -> ChildFacts,
    ) -> Result<ChildFacts, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.namespace);
        let done = api.patch(&key.name, &PatchParams::apply(keys::FIELD_MANAGER).force(), &Patch::Apply(body)).await?;
        Ok(read(&done))
    }

    async fn delete_child(&self, key: &ChildKey, uid: String) -> Result<(), kube::Error> {
        let only = Preconditions { uid: Some(uid), resource_version: None };
        let params =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() }
                .preconditions(only);
        let (client, ns, name) = (self.client.clone(), &key.namespace, &key.name);
        match key.kind {
            ChildKind::NetworkPolicy => drop(Api::<NetworkPolicy>::namespaced(client, ns).delete(name, &params).await?),
            ChildKind::ServiceAccount => {
                drop(Api::<ServiceAccount>::namespaced(client, ns).delete(name, &params).await?)
            }
            ChildKind::ConfigMap => drop(Api::<ConfigMap>::namespaced(client, ns).delete(name, &params).await?),
            ChildKind::Service => drop(Api::<Service>::namespaced(client, ns).delete(name, &params).await?),
            ChildKind::Deployment => drop(Api::<Deployment>::namespaced(client, ns).delete(name, &params).await?),
            ChildKind::PodDisruptionBudget => {
                drop(Api::<PodDisruptionBudget>::namespaced(client, ns).delete(name, &params).await?)
            }
        }
        Ok(())
    }
}

/// A fragment that may only be applied to this object.
fn with_uid(fragment: &str, uid: Option<String>) -> Result<serde_json::Value, kube::Error> {
    let mut body: serde_json::Value = serde_json::from_str(fragment).map_err(kube::Error::SerdeError)?;
    if let Some(uid) = uid {
        body["metadata"]["uid"] = json!(uid);
    }
    Ok(body)
}

fn ingress_reference(namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("networking.k8s.io/v1".into()),
        kind: Some("Ingress".into()),
        namespace: Some(namespace.into()),
        name: Some(name.into()),
        uid: Some(uid.into()),
        ..ObjectReference::default()
    }
}

/// The Ingress that an app stands for: what happens to the app is news for its owner.
fn origin(app: &ExposedApp) -> Option<ObjectReference> {
    let owner = app.metadata.owner_references.iter().flatten().find(|o| o.kind == "Ingress")?;
    Some(ingress_reference(app.metadata.namespace.as_deref()?, &owner.name, &owner.uid))
}

fn finalizer_patch(resource_version: u64, finalizers: &[String]) -> serde_json::Value {
    json!({ "metadata": { "resourceVersion": resource_version.to_string(), "finalizers": finalizers } })
}

/// Replaces the whole status: a merge would keep what is absent now. With a UID only of that very object.
fn status_patch(uid: &str, status: &str) -> json_patch::Patch {
    let status: serde_json::Value = serde_json::from_str(status).unwrap_or_default();
    let mut steps = Vec::new();
    if !uid.is_empty() {
        steps.push(json!({ "op": "test", "path": "/metadata/uid", "value": uid }));
    }
    steps.push(json!({ "op": "add", "path": "/status", "value": status }));
    serde_json::from_value(steps.into()).expect("a patch of two known forms")
}

fn failure(error: kube::Error) -> Failure {
    let kube::Error::Api(status) = &error else {
        return Failure::Unknown(error.to_string());
    };
    let class = match status.code {
        404 | 409 | 410 | 412 => RefusalClass::Stale,
        401 | 403 => RefusalClass::Denied,
        429 => RefusalClass::Throttled,
        400 | 405 | 413 | 415 | 422 => RefusalClass::Invalid,
        _ => return Failure::Unknown(status.message.clone()),
    };
    Failure::Refused(Refusal { class, message: status.message.clone() })
}
