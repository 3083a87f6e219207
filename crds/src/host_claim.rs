use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, NetworkPolicySettings, RouteRule, Tls};

/// Who holds one host, cluster-wide. Written by the operator only.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[kube(
    group = "gatehouse.dev",
    version = "v1alpha1",
    kind = "HostClaim",
    shortname = "hclaim",
    category = "gatehouse",
    status = "HostClaimStatus",
    derive = "PartialEq",
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Released", type_ = "date", json_path = ".status.releasedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.host == oldSelf.host").message("a claim's host is immutable; claims are made anew").reason(Reason::FieldValueForbidden))]
pub struct HostClaimSpec {
    /// The host.
    #[schemars(length(min = 1, max = 128))]
    pub host: String,
    /// The namespace that holds it.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// UID of that namespace: one re-created under the same name is a stranger until the platform says otherwise.
    #[serde(rename = "namespaceUID")]
    #[schemars(length(min = 1, max = 64))]
    pub namespace_uid: String,
}

/// Life of a claim. Absent status means Pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum ClaimState {
    /// Not yet known to be free of overlap.
    #[default]
    Pending,
    /// Held: the only state that publishes.
    Held,
    /// Given back; others must wait for the grace.
    Released,
}

/// What is remembered for a host.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct HostClaimStatus {
    /// Where it stands.
    #[serde(default)]
    pub state: ClaimState,
    /// When it was released, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<String>,
    /// When the grant was found missing, RFC 3339; withdrawn after the revocation grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// Apps of the namespace that use the host, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<String>,
    /// Where it stands, by SharedLoadBalancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub placement: BTreeMap<String, Placement>,
    /// The namespace to which the platform transfers the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_to: Option<String>,
    /// Last Route 53 change, by hosted zone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dns_changes: BTreeMap<String, String>,
    /// What was last admitted, by app. Written before the table, so that a refused change never alters what is served.
    // Beside the map, which has room for eleven in each of its nodes: nearly every claim has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub admitted: BTreeMap<String, Box<AdmittedApp>>,
}

/// Where a host stands on one SharedLoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Index of the ALB.
    pub shard: i32,
    /// Index of the ALB it comes from, while clients may still go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
}

/// What was last admitted of one app.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct AdmittedApp {
    /// The generation that was admitted.
    pub generation: i64,
    /// Its routes.
    pub routes: Vec<RouteRule>,
    /// Its certificate source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Who may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// How its pods are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySettings>,
    /// Its load balancers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_balancers: Vec<String>,
}
