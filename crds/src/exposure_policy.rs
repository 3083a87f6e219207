use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, TlsMode};

/// For some namespaces: which hosts, load balancers and certificates they may use, and which rules they must obey.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[kube(
    group = "gatehouse.dev",
    version = "v1alpha1",
    kind = "ExposurePolicy",
    plural = "exposurepolicies",
    shortname = "xpol",
    category = "gatehouse",
    status = "ExposurePolicyStatus",
    derive = "PartialEq",
    printcolumn(name = "Namespaces", type_ = "integer", json_path = ".status.matchedNamespaces"),
    printcolumn(name = "Violations", type_ = "integer", json_path = ".status.violationCount"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ExposurePolicySpec {
    /// The namespaces this is about.
    pub namespaces: NamespaceMatch,
    /// Hosts and certificates they may use. Policies add up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub grants: Vec<Grant>,
    /// Domains kept ready so that a new app below them needs no AWS call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub prewire: Vec<Prewire>,
    /// SharedLoadBalancers they may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)))]
    pub load_balancers: Vec<String>,
    /// Governance. The strictest of all policies wins.
    #[serde(default)]
    pub rules: Rules,
    /// Named exceptions from governance rules, each with a reason and an end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub exceptions: Vec<Exception>,
    /// What mutation adds where it is absent.
    #[serde(default)]
    pub defaults: Defaults,
}

/// Which namespaces: exactly one of the three.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.names) ? 1 : 0) + (has(self.selector) ? 1 : 0) + ((has(self.all) && self.all) ? 1 : 0) == 1")
        .message("give exactly one of names, selector, all: true")
)]
pub struct NamespaceMatch {
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 500), inner(length(min = 1, max = 63)))]
    pub names: Vec<String>,
    /// By labels that only the platform may set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Every namespace.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// Labels a namespace must have. Keys lie under `grant.gatehouse.dev/`, which tenants cannot set.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// All must be equal.
    #[x_kube(
        validation = Rule::new("size(self) > 0 && self.all(k, k.startsWith('grant.gatehouse.dev/'))")
            .message("keys must start with grant.gatehouse.dev/: other labels can be set by tenants")
    )]
    pub match_labels: BTreeMap<String, String>,
}

/// Hosts and certificates that may be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Exactly these hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(max = 128)))]
    pub hosts: Vec<String>,
    /// Every name below these, at any depth; not the names themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 128)))]
    pub domains: Vec<String>,
    /// ACM certificates that tls.mode Arn may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 256)))]
    pub certificates: Vec<String>,
}

/// A domain kept ready for one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Prewire {
    /// The domain; names one label below it are published.
    #[schemars(length(max = 126))]
    pub domain: String,
    /// The one namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The SharedLoadBalancer.
    #[schemars(length(min = 1, max = 63))]
    pub load_balancer: String,
}

/// Governance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Labels an app must carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub labels: Vec<LabelRequirement>,
    /// Certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsRule>,
    /// Counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RuleLimits>,
    /// Whether access.allowCidrs may name the whole internet. Absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_open_cidr: Option<bool>,
    /// Kinds of objects that publish something past the platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub refuse: Vec<Refusable>,
    /// By rule id (labels, tls-mode, limits, open-cidr, refused-kinds) or `default`. Absent: Enforce.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub enforcement: BTreeMap<String, Enforcement>,
}

/// A label an app must carry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct LabelRequirement {
    /// Label key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// Regular expression for the whole value. Absent: any value that is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub pattern: Option<String>,
}

/// Which sources of certificates are allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct TlsRule {
    /// Allowed modes.
    #[schemars(length(min = 1, max = 3))]
    pub modes: Vec<TlsMode>,
}

/// Counts per namespace unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct RuleLimits {
    /// ExposedApps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub apps: Option<i32>,
    /// Distinct hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub hosts: Option<i32>,
    /// Hosts of one app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    pub hosts_per_app: Option<i32>,
    /// Routes of one app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 200))]
    pub routes_per_app: Option<i32>,
    /// Listener rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub rules: Option<i32>,
    /// Certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub certificates: Option<i32>,
    /// HostClaims, released ones within their grace included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub claims: Option<i32>,
}

/// Kinds of objects that publish something past the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Refusable {
    /// Service of type LoadBalancer, or with a loadBalancerClass.
    ServiceLoadBalancer,
    /// Service of type NodePort.
    ServiceNodePort,
    /// Service with spec.externalIPs.
    ServiceExternalIPs,
    /// Ingress of another class or of none; default IngressClass and IngressClassParams of others.
    ForeignIngress,
    /// Gateway API Gateway, ListenerSet, and routes without hostnames.
    Gateway,
    /// AWS Load Balancer Controller's TargetGroupBinding.
    TargetGroupBinding,
}

/// What a broken governance rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum Enforcement {
    /// Written in status only.
    Audit,
    /// Told at admission, admitted.
    Warn,
    /// Refused.
    #[default]
    Enforce,
}

/// A named exception from a governance rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Exception {
    /// Kind of the object, such as ExposedApp.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Rule id.
    #[schemars(length(min = 1, max = 63))]
    pub rule: String,
    /// Why.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Last day it holds, in UTC, such as 2027-01-31.
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub until: String,
}

/// What mutation adds where it is absent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What the policy finds now.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExposurePolicyStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Namespaces it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_namespaces: Option<i32>,
    /// All violations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation_count: Option<i32>,
    /// How many of them there are by rule id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub violations_by_rule: BTreeMap<String, i32>,
    /// The first 20 violations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Kind of the object, such as ExposedApp, Ingress or Service.
    #[serde(default)]
    pub kind: String,
    /// Namespace of the object; empty where the kind has none.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Rule id.
    pub rule: String,
    /// What the rule does to such an object now.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Field, value and cure.
    pub message: String,
}
