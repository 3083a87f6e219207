use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccessLog, BackendProtocol, Buffering, Condition, Cors, ExternalAuth, HeaderChanges, RateLimit, Redirect,
    SessionAffinity,
};

/// One application and the names under which the world reaches it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[kube(
    group = "gatehouse.dev",
    version = "v1alpha1",
    kind = "ExposedApp",
    namespaced,
    shortname = "xapp",
    category = "gatehouse",
    status = "ExposedAppStatus",
    derive = "PartialEq",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.hosts[0]"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.hosts[0].record"),
    printcolumn(name = "Certificate", type_ = "string", priority = 1, json_path = ".status.hosts[0].certificateArn"),
    printcolumn(name = "Rule", type_ = "string", priority = 1, json_path = ".status.hosts[0].ruleArn"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.tls) || self.tls.mode != 'Arn' || has(self.tls.certificateArn)")
        .message("tls.mode Arn needs tls.certificateArn")
)]
#[x_kube(
    validation = Rule::new("!has(self.tls) || self.tls.mode == 'Arn' || !has(self.tls.certificateArn)")
        .message("tls.certificateArn is only for tls.mode Arn")
)]
pub struct ExposedAppSpec {
    /// SharedLoadBalancers that publish this app. Absent: the one marked default. Several make a split horizon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)))]
    pub load_balancers: Vec<String>,
    /// Host names: exact (shop.example.com) or a wildcard of one label (*.shop.example.com).
    #[schemars(
        length(min = 1, max = 50),
        inner(
            length(max = 128),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$")
        )
    )]
    pub hosts: Vec<String>,
    /// What goes where. The longest path wins, Exact before Prefix.
    #[schemars(length(min = 1, max = 200))]
    pub routes: Vec<RouteRule>,
    /// Where the certificate comes from. Redirect from http to https is always on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Who may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// How the app's pods are closed to everybody but the edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySettings>,
}

/// One route of an app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// Path, compared decoded. Absent: "/".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/[A-Za-z0-9._~!&()+,=:@/-]*$"))]
    pub path: Option<String>,
    /// Prefix (by whole segments; the default) or Exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_type: Option<PathType>,
    /// Services of the same namespace that answer. A route has backends or a redirect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub backends: Vec<BackendRef>,
    /// What the backends speak: HTTP (1.1), H2C (HTTP/2 without TLS) or GRPC. Absent: HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_protocol: Option<BackendProtocol>,
    /// Longest silence between two reads from the backend, such as 30s. Absent: 60s, within the load balancer's maxTimeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    pub timeout: Option<String>,
    /// Larger request bodies get 413. Absent, or above it: the load balancer's maxBodySize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,9}(Ki|Mi|Gi)?$"))]
    pub max_body_size: Option<String>,
    /// Off passes requests and responses on as they come, for server-sent events and streams. Absent: On.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffering: Option<Buffering>,
    /// What the backend sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<HeaderChanges>,
    /// What the client sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<HeaderChanges>,
    /// Calls from other origins. The edge answers preflights itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Sends the client elsewhere instead of to backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// The backend sees the path without the route's prefix. Lossy: encoded characters arrive decoded. Absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<bool>,
    /// How often one client address may ask. More gets 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// A Service of the namespace that is asked about each request first: 2xx lets it pass, 401 and 403 are the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuth>,
    /// Keeps a client at one pod. Only with one backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
    /// Plain text of the edge's answer when no backend gives one (502, 503, 504): visible ASCII and spaces, no '$'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[ -#%-~]+$"))]
    pub error_text: Option<String>,
    /// On writes each request as a line of JSON to the log of the edge's pods, query included. Absent: Off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
}

/// How a path matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum PathType {
    /// This path and everything below it, by whole segments.
    #[default]
    Prefix,
    /// Only this path.
    Exact,
}

/// A port of a Service of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63))]
    pub service: String,
    /// Port of the Service (not of the pods).
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Share among the backends of this route. Absent: 1. 0 takes no traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: Option<i32>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Discover (an issued ACM certificate that covers the host), Request (ask ACM for one) or Arn.
    pub mode: TlsMode,
    /// ACM certificate, with mode Arn only. The namespace's policy must name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub certificate_arn: Option<String>,
}

/// Where the certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum TlsMode {
    /// An issued ACM certificate that covers the host.
    #[default]
    Discover,
    /// Ask ACM for one, validated through Route 53.
    Request,
    /// The one named.
    Arn,
}

/// Who may come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Client networks. Absent or empty: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 43)))]
    pub allow_cidrs: Vec<String>,
}

/// How the app's pods are closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySettings {
    /// Enforce (the edge and additionalFrom reach the pods), EdgeOnly (only the edge is closed, the app's pods stay open) or Off.
    pub mode: NetworkPolicyMode,
    /// Others that may reach the app's pods, such as a metrics collector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub additional_from: Vec<NetworkPolicyPeer>,
}

/// Whether policies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum NetworkPolicyMode {
    /// The edge and `additionalFrom` reach the pods, nobody else.
    #[default]
    Enforce,
    /// Only the edge's own policies.
    EdgeOnly,
    /// No policy for this app's pods, and none for the edge if every app of the namespace says so.
    Off,
}

/// Pods that may reach the app: of this namespace by labels, of others by namespace labels, or both together (and).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicyPeer {
    /// Labels of the namespace.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub namespace_labels: std::collections::BTreeMap<String, String>,
    /// Labels of the pods.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub pod_labels: std::collections::BTreeMap<String, String>,
}

/// What became of the app.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExposedAppStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, ResolvedRefs, CertificateReady, Programmed, DNSReady, NetworkPolicyApplied, Ready; and Stalled while a person must act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Where each host stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostStatus>,
}

/// One host on one load balancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// The host.
    pub host: String,
    /// The SharedLoadBalancer.
    pub load_balancer: String,
    /// Which of its ALBs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<i32>,
    /// The listener rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_arn: Option<String>,
    /// What the Route 53 record points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The certificate clients see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_arn: Option<String>,
}
