//! Every write the operator makes to Kubernetes: rule 15 of the design, as a type.

use gatehouse_crds::HostClaimSpec;
use serde::{Deserialize, Serialize};

use crate::identity::AppKey;
use crate::world::{ChildKey, Delta};

/// A write to Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KubeWrite {
    /// Server-side apply of a child.
    ApplyChild {
        /// Which.
        key: ChildKey,
        /// The fragment as JSON.
        fragment: String,
        /// UID it must have, if it exists: never adopt a stranger that appeared meanwhile.
        uid: Option<String>,
    },
    /// Deletion of a child.
    DeleteChild {
        /// Which.
        key: ChildKey,
        /// Precondition.
        uid: String,
    },
    /// Server-side apply of an ExposedApp that stands for an Ingress.
    ApplyApp {
        /// Which.
        app: AppKey,
        /// The fragment as JSON.
        fragment: String,
        /// UID it must have, if it exists.
        uid: Option<String>,
    },
    /// Deletion of such an app.
    DeleteApp {
        /// Which.
        app: AppKey,
        /// Precondition.
        uid: String,
    },
    /// `status.loadBalancer` of an Ingress.
    IngressStatus {
        /// Which.
        ingress: AppKey,
        /// Precondition.
        uid: String,
        /// Names of load balancers.
        addresses: Vec<String>,
    },
    /// News for the owner of an Ingress.
    IngressEvents {
        /// Which.
        ingress: AppKey,
        /// Its UID.
        uid: String,
        /// Type, reason and message of each.
        events: Vec<(String, String, String)>,
        /// Digest of all of them.
        digest: String,
    },
    /// Creation of a claim.
    CreateClaim {
        /// Object name.
        name: String,
        /// Spec.
        spec: ClaimSpec,
    },
    /// Status of a claim, whole, guarded by its version.
    ClaimStatus {
        /// Object name.
        name: String,
        /// Precondition.
        resource_version: u64,
        /// The whole status as JSON.
        status: String,
    },
    /// Spec of a claim that changes hands, guarded by its version.
    ClaimSpec {
        /// Object name.
        name: String,
        /// Precondition.
        resource_version: u64,
        /// Whose it is from now on.
        spec: ClaimSpec,
    },
    /// Deletion of a claim, guarded by UID and version.
    DeleteClaim {
        /// Object name.
        name: String,
        /// Precondition.
        uid: String,
        /// Precondition.
        resource_version: u64,
    },
    /// Finalizers of an app, whole, guarded by its version.
    AppFinalizers {
        /// Which.
        app: AppKey,
        /// Precondition.
        resource_version: u64,
        /// All finalizers.
        finalizers: Vec<String>,
    },
    /// Finalizers of a SharedLoadBalancer.
    LoadBalancerFinalizers {
        /// Which.
        name: String,
        /// Precondition.
        resource_version: u64,
        /// All finalizers.
        finalizers: Vec<String>,
    },
    /// Status of an app.
    AppStatus {
        /// Which.
        app: AppKey,
        /// UID, for the event.
        uid: String,
        /// The whole status as JSON.
        status: String,
        /// Event to record beside it: type, reason, message.
        event: Option<(String, String, String)>,
    },
    /// Status of a SharedLoadBalancer.
    LoadBalancerStatus {
        /// Which.
        name: String,
        /// The whole status as JSON.
        status: String,
    },
    /// Status of an ExposurePolicy.
    PolicyStatus {
        /// Which.
        name: String,
        /// The whole status as JSON.
        status: String,
    },
    /// The table annotation of an edge pod.
    PodTable {
        /// Which.
        pod: AppKey,
        /// Precondition.
        uid: String,
        /// Hash.
        table: String,
    },
    /// Our readiness gate's condition of an edge pod.
    PodHealthy {
        /// Which.
        pod: AppKey,
        /// Precondition.
        uid: String,
        /// Value.
        healthy: bool,
    },
}

/// Spec of a claim, orderable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClaimSpec {
    /// The host.
    pub host: String,
    /// The namespace.
    pub namespace: String,
    /// Its UID.
    pub namespace_uid: String,
}

impl From<ClaimSpec> for HostClaimSpec {
    fn from(s: ClaimSpec) -> Self {
        HostClaimSpec { host: s.host, namespace: s.namespace, namespace_uid: s.namespace_uid }
    }
}

impl KubeWrite {
    /// Whether the delta is the end of the object that is written.
    pub(crate) fn ended_by(&self, delta: &Delta) -> bool {
        match (self, delta) {
            (KubeWrite::ApplyChild { key, .. } | KubeWrite::DeleteChild { key, .. }, Delta::Child(gone, None)) => {
                key == gone
            }
            (
                KubeWrite::CreateClaim { name, .. }
                | KubeWrite::ClaimStatus { name, .. }
                | KubeWrite::DeleteClaim { name, .. },
                Delta::Claim(gone, None),
            )
            | (
                KubeWrite::LoadBalancerFinalizers { name, .. } | KubeWrite::LoadBalancerStatus { name, .. },
                Delta::LoadBalancer(gone, None),
            )
            | (KubeWrite::PolicyStatus { name, .. }, Delta::Policy(gone, None)) => name == gone,
            (
                KubeWrite::AppFinalizers { app, .. }
                | KubeWrite::AppStatus { app, .. }
                | KubeWrite::ApplyApp { app, .. }
                | KubeWrite::DeleteApp { app, .. },
                Delta::App(gone, None),
            ) => app == gone,
            (KubeWrite::IngressStatus { ingress, .. }, Delta::Ingress(gone, None)) => ingress == gone,
            // What is written to a pod is only laid over a pod that is there.
            _ => false,
        }
    }

    pub(super) fn is_status(&self) -> bool {
        matches!(
            self,
            KubeWrite::AppStatus { .. }
                | KubeWrite::LoadBalancerStatus { .. }
                | KubeWrite::PolicyStatus { .. }
                | KubeWrite::IngressStatus { .. }
                | KubeWrite::IngressEvents { .. }
        )
    }
}
