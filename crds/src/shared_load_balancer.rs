use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// One load balancer shared by many namespaces; several ALBs (shards) only when AWS quotas force it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[kube(
    group = "gatehouse.dev",
    version = "v1alpha1",
    kind = "SharedLoadBalancer",
    shortname = "slb",
    category = "gatehouse",
    status = "SharedLoadBalancerStatus",
    derive = "PartialEq",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Scheme", type_ = "string", json_path = ".spec.scheme"),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.shardCount"),
    printcolumn(name = "Binding", type_ = "string", json_path = ".status.bindingQuota"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.region == oldSelf.region").message("region is immutable: an ALB cannot move").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("self.vpcId == oldSelf.vpcId").message("vpcId is immutable: an ALB cannot move").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("self.scheme == oldSelf.scheme").message("scheme is immutable: it is fixed at the ALB's creation").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("self.edge.port == oldSelf.edge.port").message("edge.port is immutable: target groups are made for it").reason(Reason::FieldValueForbidden))]
pub struct SharedLoadBalancerSpec {
    /// Whether apps that name no load balancer use this one. Mark one only.
    #[serde(default)]
    pub default: bool,
    /// AWS Region, such as eu-central-1. Immutable.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"))]
    pub region: String,
    /// VPC of the ALB. Immutable.
    #[schemars(length(max = 32), regex(pattern = r"^vpc-[0-9a-f]+$"))]
    pub vpc_id: String,
    /// Subnets in at least two zones. Their CIDRs feed network policies and trusted proxies.
    #[schemars(length(min = 2, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub subnets: Vec<Subnet>,
    /// Security groups of the ALB.
    #[schemars(length(min = 1, max = 5), inner(regex(pattern = r"^sg-[0-9a-f]+$")))]
    pub security_groups: Vec<String>,
    /// internet-facing or internal. Immutable.
    pub scheme: Scheme,
    /// Address families of the ALB.
    #[serde(default)]
    pub ip_address_type: IpAddressType,
    /// TLS policy of the HTTPS listener.
    #[serde(default = "default_ssl_policy")]
    #[schemars(length(max = 64), regex(pattern = r"^ELBSecurityPolicy-[A-Za-z0-9-]+$"))]
    pub ssl_policy: String,
    /// Load balancer attributes; only allow-listed keys. X-Forwarded-For mode is always append.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Certificates of the HTTPS listener.
    #[serde(default)]
    pub certificates: Certificates,
    /// Hosted zones.
    #[serde(default)]
    pub dns: Dns,
    /// Settings of the nginx in each namespace.
    pub edge: Edge,
    /// How far this load balancer may grow, and how fast it may shrink.
    #[serde(default)]
    pub limits: Limits,
}

fn default_ssl_policy() -> String {
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06".to_owned()
}

/// A subnet of the ALB.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// Subnet id.
    #[schemars(regex(pattern = r"^subnet-[0-9a-f]+$"))]
    pub id: String,
    /// Availability Zone.
    #[schemars(length(min = 1, max = 32))]
    pub zone: String,
    /// Its networks: the addresses from which the ALB reaches the edges.
    #[schemars(length(min = 1, max = 4), inner(length(max = 43)))]
    pub cidrs: Vec<String>,
}

/// Who can reach the ALB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Public addresses.
    #[default]
    InternetFacing,
    /// Private addresses only.
    Internal,
}

/// Address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum IpAddressType {
    /// IPv4 only.
    #[default]
    Ipv4,
    /// Both.
    Dualstack,
    /// Both, with private IPv4 addresses only (no public IPv4 charge).
    DualstackWithoutPublicIpv4,
}

/// Certificates of the HTTPS listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    /// What apps get that do not say.
    #[serde(default)]
    pub mode: CertificateMode,
    /// ARN of the listener's default certificate. Absent: the first that is discovered, kept thereafter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub default: Option<String>,
    /// ARNs that may serve every namespace, such as a company wildcard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 256)))]
    pub shared: Vec<String>,
}

/// What apps get that do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum CertificateMode {
    /// An issued ACM certificate that covers the host.
    #[default]
    Discover,
    /// Ask ACM.
    Request,
}

/// Hosted zones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// Zones to write to. Absent: public zones found by name, the longest suffix first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub zones: Vec<Zone>,
    /// Owners (of external-dns) whose records are taken over when an app asks for their host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["owner".into()]))]
    pub adopt_owners: Vec<AdoptOwner>,
    /// Weighted routing: a second cluster publishes the same names with another set identifier. Absent: simple routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<DnsRouting>,
}

/// An owner of records, with the flags that its external-dns runs with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct AdoptOwner {
    /// Its `--txt-owner-id`.
    #[schemars(length(min = 1, max = 128))]
    pub owner: String,
    /// Its `--txt-prefix`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub txt_prefix: String,
    /// Its `--txt-suffix`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub txt_suffix: String,
    /// Its `--txt-wildcard-replacement`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub txt_wildcard_replacement: String,
}

/// Weighted routing of every record of the load balancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct DnsRouting {
    /// SetIdentifier, another one in each cluster.
    #[schemars(length(min = 1, max = 128))]
    pub set_identifier: String,
    /// Share of the answers, against the other clusters' weights.
    #[schemars(range(min = 0, max = 255))]
    pub weight: i32,
}

/// A hosted zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Hosted zone id, without /hostedzone/.
    #[schemars(regex(pattern = r"^Z[A-Z0-9]{1,31}$"))]
    pub id: String,
    /// Public or Private. Absent: Public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// ARN of a role to assume for it: the zone of another account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.{1,512}$"))]
    pub role_arn: Option<String>,
}

/// Who sees a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum Visibility {
    /// The internet.
    #[default]
    Public,
    /// Associated VPCs.
    Private,
}

/// Settings of the nginx in each namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Port on which edges listen for this load balancer; one per SharedLoadBalancer. Immutable. Not 8079, 8081 or 9090.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
    /// Pods per namespace.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 50))]
    pub replicas: i32,
    /// Image of the edge. Absent: the operator's `--edge-image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Requests and limits.
    #[serde(default)]
    pub resources: Resources,
    /// Address of the cluster's DNS. Absent: the operator's `--cluster-dns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    pub resolver: Option<String>,
    /// Larger request bodies get 413.
    #[serde(default = "default_body")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,9}(Ki|Mi|Gi)?$"))]
    pub max_body_size: String,
    /// Longest timeout a route may ask for.
    #[serde(default = "default_timeout")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    pub max_timeout: String,
    /// Namespaces (by name) whose pods may read the edges' metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub metrics_from: Vec<String>,
}

fn default_replicas() -> i32 {
    2
}
fn default_body() -> String {
    "50Mi".to_owned()
}
fn default_timeout() -> String {
    "300s".to_owned()
}

/// Requests and limits, as Kubernetes quantities.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Requests by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
    /// Limits by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
}

/// How far this load balancer may grow, and how fast it may shrink.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most ALBs.
    #[serde(default = "default_shards")]
    #[schemars(range(min = 1, max = 50))]
    pub shards: i32,
    /// What happens to things of ours in AWS whose object vanished from the cluster unseen.
    #[serde(default)]
    pub inferred_deletions: InferredDeletions,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { shards: default_shards(), inferred_deletions: InferredDeletions::default() }
    }
}

fn default_shards() -> i32 {
    4
}

/// Pace of inferred deletions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InferredDeletions {
    /// How long they wait.
    #[serde(default = "default_after")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    pub after: String,
    /// Above this share of the load balancer's hosts (and above 5) they are held until approved.
    #[serde(default = "default_percent")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: i32,
    /// Most per hour.
    #[serde(default = "default_per_hour")]
    #[schemars(range(min = 1, max = 100_000))]
    pub per_hour: i32,
}

impl Default for InferredDeletions {
    fn default() -> Self {
        InferredDeletions { after: default_after(), percent: default_percent(), per_hour: default_per_hour() }
    }
}

fn default_after() -> String {
    "24h".to_owned()
}
fn default_percent() -> i32 {
    10
}
fn default_per_hour() -> i32 {
    100
}

/// What stands in AWS.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct SharedLoadBalancerStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, Programmed, Ready; and Stalled while a person must act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Number of ALBs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_count: Option<i32>,
    /// The quota nearest to its end, such as "rules 63/100".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding_quota: Option<String>,
    /// The ALBs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardStatus>,
    /// Changes held back, each with the reason and the cure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
    /// Answers to the requests that stand in annotations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["verb".into()]))]
    pub requests: Vec<RequestAnswer>,
    /// Namespaces on their way to another ALB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into()]))]
    pub moves: Vec<NamespaceMove>,
    /// What of ours has no object in the cluster any more, and how much of it may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inferred_deletions: Option<InferredDeletionsStatus>,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct RequestAnswer {
    /// What was asked: approve, move, release, claims-transfer.
    pub verb: String,
    /// The annotation's value that this answers.
    pub value: String,
    /// How far it is.
    pub state: RequestState,
    /// What happened, what is waited for, or why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it stands so, RFC 3339.
    pub since: String,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum RequestState {
    /// Taken up, not finished.
    #[default]
    Working,
    /// Finished.
    Done,
    /// Not taken up.
    Refused,
}

/// A namespace on its way to another ALB.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceMove {
    /// The namespace.
    pub namespace: String,
    /// Index of the ALB it goes to.
    pub shard: i32,
    /// Why.
    pub reason: String,
}

/// Pace of inferred deletions: kept here so that a new leader goes on counting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct InferredDeletionsStatus {
    /// When the hour began in which `thisHour` counts, RFC 3339.
    pub hour: String,
    /// Hosts let go in that hour.
    pub this_hour: i32,
    /// Hosts that may go now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releasing: Vec<String>,
    /// Hosts that a person approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<String>,
    /// Digest of the hosts that are held: `gatehouse approve` names it, so that what is approved is what was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_digest: Option<String>,
    /// How many hosts are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_hosts: Option<i32>,
}

/// One ALB.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Index, from 0.
    pub shard: i32,
    /// ARN of the ALB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// DNS name of the ALB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// "used/quota".
    pub rules: String,
    /// "used/quota".
    pub target_groups: String,
    /// "used/quota".
    pub targets: String,
    /// "used/quota", the default certificate not counted.
    pub certificates: String,
}
