//! What AWS answers, as far as we look at it, and how it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gatehouse_route::Host;
use serde::{Deserialize, Serialize};

use super::{Certificate, ListenerKind, ProtocolVersion};

/// A target of type ip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Address of the pod.
    pub ip: IpAddr,
    /// Port of the edge.
    pub port: u16,
}

/// State of a target, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TargetState {
    /// First health checks are running.
    Initial,
    /// Serving.
    Healthy,
    /// Failing.
    Unhealthy,
    /// No rule uses the group, or not registered.
    Unused,
    /// Going.
    Draining,
    /// Health checks off or not to be known.
    Unavailable,
}

/// One change of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordChange {
    /// What to do.
    pub action: ChangeAction,
    /// The record, whole: a delete names what it deletes.
    pub record: Record,
}

/// Route 53's actions that we use. Never UPSERT: CREATE claims the name, DELETE compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChangeAction {
    /// Fails if the set exists.
    Create,
    /// Fails unless every value is equal.
    Delete,
}

/// A record set, whole: what is deleted must be named exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Lower case, no final dot, `*` as itself.
    pub name: String,
    /// The routing policy it is part of; `None` is simple routing.
    pub routing: Option<Routing>,
    /// What it holds.
    pub data: RecordData,
}

impl Record {
    /// A record of simple routing.
    #[must_use]
    pub fn simple(name: impl Into<String>, data: RecordData) -> Record {
        Record { name: name.into(), routing: None, data }
    }
}

/// One of several record sets of one name and type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Routing {
    /// SetIdentifier.
    pub set_identifier: String,
    /// Weight, 0 to 255; `None` for a policy other than weighted, which we never write.
    pub weight: Option<u8>,
}

/// Contents of a record set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordData {
    /// Alias of type A.
    A(Alias),
    /// Alias of type AAAA.
    Aaaa(Alias),
    /// Another name.
    Cname {
        /// Seconds.
        ttl: u32,
        /// Name.
        value: String,
    },
    /// Text, quoted as Route 53 stores it.
    Txt {
        /// Seconds.
        ttl: u32,
        /// One value.
        value: String,
    },
    /// A or AAAA with addresses: never written by us, deleted when its owner hands over.
    Addresses {
        /// `A` or `AAAA`.
        kind: String,
        /// Seconds.
        ttl: u32,
        /// Addresses.
        values: Vec<String>,
    },
}

/// Target of an alias.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alias {
    /// DNS name of the ALB, lower case, no final dot.
    pub dns_name: String,
    /// CanonicalHostedZoneId of the ALB.
    pub zone_id: String,
    /// EvaluateTargetHealth. Ours never: with it one tenant's broken app would degrade every name on the ALB.
    pub evaluate_target_health: bool,
}

/// A load balancer as read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// ARN.
    pub arn: String,
    /// DNS name, lower case.
    pub dns_name: String,
    /// CanonicalHostedZoneId.
    pub zone_id: String,
    /// State `active`.
    pub active: bool,
    /// Subnet ids.
    pub subnets: BTreeSet<String>,
    /// Security group ids.
    pub security_groups: BTreeSet<String>,
    /// `ipv4`, `dualstack` ...
    pub ip_address_type: String,
    /// Tags; `None` right after creation, until they are read.
    pub tags: Option<BTreeMap<String, String>>,
    /// Attributes; `None` right after creation.
    pub attributes: Option<BTreeMap<String, String>>,
}

/// A listener as read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// ARN.
    pub arn: String,
    /// Default certificate.
    pub certificate: Option<String>,
    /// TLS policy.
    pub ssl_policy: Option<String>,
    /// Whether its default action is the one of [`super::DefaultAction`].
    pub default_action: bool,
}

/// A rule as read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListenerRule {
    /// Priority.
    pub priority: u32,
    /// Hosts, when the rule has the conditions that we write; empty otherwise.
    pub hosts: BTreeSet<Host>,
    /// Which requests for them: gRPC calls only, or all.
    pub protocol: ProtocolVersion,
    /// The one target group it forwards to.
    pub target_group: Option<String>,
    /// Value of our cluster tag, if any.
    pub cluster: Option<String>,
    /// Value of our namespace tag, if any.
    pub namespace: Option<String>,
}

/// A target group as read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetGroup {
    /// ARN.
    pub arn: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// How its targets are asked.
    pub health_check: HealthCheck,
    /// Attributes; `None` when not read.
    pub attributes: Option<BTreeMap<String, String>>,
}

/// How an ALB asks a target whether it is well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The group's: it decides what `codes` are.
    pub protocol: ProtocolVersion,
    /// Path; of gRPC the method.
    pub path: String,
    /// Port.
    pub port: u16,
    /// Seconds between checks.
    pub interval: u32,
    /// Seconds until a check has failed.
    pub timeout: u32,
    /// Checks in a row until healthy.
    pub healthy: u32,
    /// Checks in a row until unhealthy.
    pub unhealthy: u32,
    /// Good status codes, of HTTP or of gRPC.
    pub codes: String,
}

/// A hosted zone as read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostedZone {
    /// Id without `/hostedzone/`.
    pub id: String,
    /// Name without final dot.
    pub name: String,
    /// Whether only VPCs see it.
    pub private: bool,
}

/// The account's numbers, from DescribeAccountLimits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Rules per ALB, default rules not counted.
    pub rules: u32,
    /// Target groups per ALB.
    pub target_groups: u32,
    /// Targets per ALB.
    pub targets: u32,
    /// Certificates per ALB, the default not counted.
    pub certificates: u32,
    /// ALBs per Region.
    pub load_balancers: u32,
    /// Target groups per Region.
    pub region_target_groups: u32,
}

impl Default for Limits {
    /// What AWS gives an account that asked for nothing.
    fn default() -> Self {
        Limits {
            rules: 100,
            target_groups: 100,
            targets: 1_000,
            certificates: 25,
            load_balancers: 50,
            region_target_groups: 3_000,
        }
    }
}

/// Records of a zone against its quota, from GetHostedZoneLimit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ZoneRoom {
    /// Record sets there are.
    pub records: u64,
    /// Record sets there may be.
    pub limit: u64,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AwsAnswer {
    /// To an order that returns nothing of use.
    Done,
    /// To `ReadLimits`.
    Limits(Limits),
    /// To `ReadZones`.
    Zones(Vec<HostedZone>),
    /// To `ReadCertificates`, by ARN.
    Certificates(BTreeMap<String, Certificate>),
    /// To `ReadTargetGroups`.
    RegionGroups {
        /// With our prefix, by name.
        ours: BTreeMap<String, TargetGroup>,
        /// How many others the Region has: they count against one quota.
        others: u32,
    },
    /// To `ReadTargetGroup`, by name.
    TargetGroups(BTreeMap<String, TargetGroup>),
    /// To `ReadLoadBalancers`: how many the Region has, and the tags of those with our prefix.
    LoadBalancers {
        /// All of the account.
        count: u32,
        /// Tags by name.
        tags: BTreeMap<String, BTreeMap<String, String>>,
    },
    /// To `ReadLoadBalancer` and `CreateLoadBalancer`.
    LoadBalancer(Option<LoadBalancer>),
    /// To `ReadListeners` and `CreateListener` (which gives the one).
    Listeners(BTreeMap<ListenerKind, Listener>),
    /// To `ReadRules`, by ARN; rules named in `known` come without tags.
    Rules(BTreeMap<String, ListenerRule>),
    /// To `CreateRule`, `CreateTargetGroup`, `RequestCertificate`: the ARN.
    Arn(String),
    /// To `ReadListenerCertificates`: without the default.
    ListenerCertificates(BTreeSet<String>),
    /// To `ReadTargetHealth`.
    TargetHealth(BTreeMap<Target, TargetState>),
    /// To `ReadZoneLimit`.
    ZoneLimit(ZoneRoom),
    /// To `ReadZoneRecords`.
    ZoneRecords {
        /// Of the types we write, and addresses.
        records: Vec<Record>,
        /// Names of records of every other type: they make names exist too.
        others: BTreeSet<String>,
    },
    /// To `ReadRecords` and `ReadValidation`.
    Records(Vec<Record>),
    /// To `ChangeRecords` (the new change) and `ReadChange`.
    Change {
        /// Change id.
        id: String,
        /// INSYNC.
        in_sync: bool,
    },
}

/// Why a call was refused. It had no effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind.
    pub class: RefusalClass,
    /// AWS's code and words, or the API server's.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RefusalClass {
    /// Too fast: the bucket empties, nothing else is concluded.
    Throttled,
    /// Try again: a prior change is in progress, or the service is ill.
    Transient,
    /// IAM or RBAC: a person must act.
    Denied,
    /// What we thought to exist does not, or the other way round: look again.
    Stale,
    /// A quota: a person must act, or another shard.
    Quota,
    /// Anything else AWS finds wrong with the request.
    Invalid,
}
