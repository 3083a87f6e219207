//! What we ask of AWS, in AWS's words, and what it answers, as plain values.
//!
//! Reads are composite: one `AwsCall` is one question of ours, which the adapter may answer with several pages or
//! with a describe call and the tags that belong to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gatehouse_route::Host;
use serde::{Deserialize, Serialize};

/// Key and value.
pub type Tags = Vec<(String, String)>;

/// A listener of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ListenerKind {
    /// Port 80: redirects to 443.
    Http,
    /// Port 443: answers 404 unless a rule says otherwise.
    Https,
}

/// One question or order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AwsCall {
    /// DescribeAccountLimits.
    ReadLimits,
    /// ListHostedZones.
    ReadZones,
    /// ListCertificates with every key type, issued ones only.
    ReadCertificates,
    /// DescribeTargetGroups and DescribeTags, of names with this prefix.
    ReadTargetGroups {
        /// Name prefix.
        prefix: String,
    },
    /// DescribeTargetGroups, DescribeTags and DescribeTargetGroupAttributes of one name.
    ReadTargetGroup {
        /// Name.
        name: String,
    },
    /// DescribeLoadBalancers, DescribeTags and DescribeLoadBalancerAttributes of one name.
    ReadLoadBalancer {
        /// Name.
        name: String,
    },
    /// DescribeListeners.
    ReadListeners {
        /// The ALB.
        load_balancer: String,
    },
    /// DescribeRules, and DescribeTags for rules that are not known yet.
    ReadRules {
        /// The listener.
        listener: String,
        /// Rules whose tags are known.
        known: BTreeSet<String>,
    },
    /// DescribeListenerCertificates.
    ReadListenerCertificates {
        /// The listener.
        listener: String,
    },
    /// DescribeTargetHealth.
    ReadTargetHealth {
        /// The target group.
        target_group: String,
    },
    /// ListResourceRecordSets, the whole zone.
    ReadZoneRecords {
        /// Zone id.
        zone: String,
    },
    /// ListResourceRecordSets, started at the host and at its ownership TXT.
    ReadRecords {
        /// Zone id.
        zone: String,
        /// The host.
        host: Host,
    },
    /// GetChange.
    ReadChange {
        /// Change id.
        change: String,
    },

    /// CreateLoadBalancer.
    CreateLoadBalancer {
        /// Name.
        name: String,
        /// Subnet ids.
        subnets: Vec<String>,
        /// Security group ids.
        security_groups: Vec<String>,
        /// internet-facing or internal.
        scheme: String,
        /// ipv4, dualstack ...
        ip_address_type: String,
        /// Tags.
        tags: Tags,
    },
    /// ModifyLoadBalancerAttributes.
    ModifyLoadBalancerAttributes {
        /// The ALB.
        load_balancer: String,
        /// Only what differs.
        attributes: BTreeMap<String, String>,
    },
    /// DeleteLoadBalancer.
    DeleteLoadBalancer {
        /// The ALB.
        load_balancer: String,
    },
    /// CreateListener.
    CreateListener {
        /// The ALB.
        load_balancer: String,
        /// Which.
        kind: ListenerKind,
        /// Default certificate of an HTTPS listener.
        certificate: Option<String>,
        /// TLS policy of an HTTPS listener.
        ssl_policy: Option<String>,
        /// Tags.
        tags: Tags,
    },
    /// ModifyListener: default certificate and TLS policy.
    ModifyListener {
        /// The listener.
        listener: String,
        /// Default certificate.
        certificate: String,
        /// TLS policy.
        ssl_policy: String,
    },
    /// DeleteListener.
    DeleteListener {
        /// The listener.
        listener: String,
    },
    /// AddListenerCertificates.
    AddListenerCertificates {
        /// The listener.
        listener: String,
        /// One certificate.
        certificate: String,
    },
    /// RemoveListenerCertificates.
    RemoveListenerCertificates {
        /// The listener.
        listener: String,
        /// One certificate.
        certificate: String,
    },
    /// CreateRule: host condition, forward.
    CreateRule {
        /// The listener.
        listener: String,
        /// Priority, 1 to 50000.
        priority: u32,
        /// Hosts: all exact, or all wildcards; at most five.
        hosts: BTreeSet<Host>,
        /// The target group.
        target_group: String,
        /// Tags.
        tags: Tags,
    },
    /// ModifyRule: the host condition.
    ModifyRule {
        /// The rule.
        rule: String,
        /// Hosts that stay.
        hosts: BTreeSet<Host>,
    },
    /// DeleteRule.
    DeleteRule {
        /// The rule.
        rule: String,
    },
    /// CreateTargetGroup, of type ip.
    CreateTargetGroup {
        /// Name.
        name: String,
        /// VPC.
        vpc: String,
        /// Port of the edge.
        port: u16,
        /// Port of the health check; its path is `/healthz`.
        health_port: u16,
        /// Tags.
        tags: Tags,
    },
    /// ModifyTargetGroupAttributes.
    ModifyTargetGroupAttributes {
        /// The target group.
        target_group: String,
        /// All that we own.
        attributes: BTreeMap<String, String>,
    },
    /// DeleteTargetGroup.
    DeleteTargetGroup {
        /// The target group.
        target_group: String,
    },
    /// RegisterTargets.
    RegisterTargets {
        /// The target group.
        target_group: String,
        /// Targets.
        targets: BTreeSet<Target>,
    },
    /// DeregisterTargets.
    DeregisterTargets {
        /// The target group.
        target_group: String,
        /// Targets.
        targets: BTreeSet<Target>,
    },
    /// ChangeResourceRecordSets: one atomic batch.
    ChangeRecords {
        /// Zone id.
        zone: String,
        /// Changes, in order.
        changes: Vec<RecordChange>,
    },
}

impl AwsCall {
    /// Whether it only asks.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            AwsCall::ReadLimits
                | AwsCall::ReadZones
                | AwsCall::ReadCertificates
                | AwsCall::ReadTargetGroups { .. }
                | AwsCall::ReadTargetGroup { .. }
                | AwsCall::ReadLoadBalancer { .. }
                | AwsCall::ReadListeners { .. }
                | AwsCall::ReadRules { .. }
                | AwsCall::ReadListenerCertificates { .. }
                | AwsCall::ReadTargetHealth { .. }
                | AwsCall::ReadZoneRecords { .. }
                | AwsCall::ReadRecords { .. }
                | AwsCall::ReadChange { .. }
        )
    }

    /// Whether it takes something away. A new leader waits before these.
    #[must_use]
    pub fn is_destructive(&self) -> bool {
        match self {
            AwsCall::DeleteLoadBalancer { .. }
            | AwsCall::DeleteListener { .. }
            | AwsCall::RemoveListenerCertificates { .. }
            | AwsCall::ModifyRule { .. }
            | AwsCall::DeleteRule { .. }
            | AwsCall::DeleteTargetGroup { .. }
            | AwsCall::DeregisterTargets { .. } => true,
            AwsCall::ChangeRecords { changes, .. } => changes.iter().any(|c| c.action == ChangeAction::Delete),
            _ => false,
        }
    }

    /// The token bucket it draws from.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            AwsCall::ReadLimits
            | AwsCall::ReadTargetGroups { .. }
            | AwsCall::ReadTargetGroup { .. }
            | AwsCall::ReadLoadBalancer { .. }
            | AwsCall::ReadListeners { .. }
            | AwsCall::ReadRules { .. }
            | AwsCall::ReadListenerCertificates { .. }
            | AwsCall::ReadTargetHealth { .. } => Family::ElbDescribe,
            AwsCall::RegisterTargets { .. } | AwsCall::DeregisterTargets { .. } => Family::ElbRegister,
            AwsCall::ReadZones
            | AwsCall::ReadZoneRecords { .. }
            | AwsCall::ReadRecords { .. }
            | AwsCall::ReadChange { .. }
            | AwsCall::ChangeRecords { .. } => Family::Route53,
            AwsCall::ReadCertificates => Family::Acm,
            AwsCall::ModifyLoadBalancerAttributes { .. }
            | AwsCall::ModifyListener { .. }
            | AwsCall::ModifyRule { .. }
            | AwsCall::ModifyTargetGroupAttributes { .. } => Family::ElbModify,
            _ => Family::ElbWrite,
        }
    }
}

/// Calls that share a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// ELBv2 Describe*.
    ElbDescribe,
    /// RegisterTargets, DeregisterTargets.
    ElbRegister,
    /// ELBv2 Modify*.
    ElbModify,
    /// ELBv2 Create*, Delete*, Add*, Remove*.
    ElbWrite,
    /// Route 53.
    Route53,
    /// ACM.
    Acm,
    /// Kubernetes objects.
    Kube,
    /// Kubernetes status and events: never in the way of the rest.
    KubeStatus,
    /// Questions to edges and shards.
    Probe,
}

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

/// A record set as far as we write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Lower case, no final dot, `*` as itself.
    pub name: String,
    /// What it holds.
    pub data: RecordData,
}

/// Contents of a record set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordData {
    /// Alias of type A.
    A(Alias),
    /// Alias of type AAAA.
    Aaaa(Alias),
    /// Text, quoted as Route 53 stores it.
    Txt {
        /// Seconds.
        ttl: u32,
        /// One value.
        value: String,
    },
    /// Anything else: kept so that it is seen, never written.
    Other(String),
}

/// Target of an alias.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alias {
    /// DNS name of the ALB, lower case, no final dot.
    pub dns_name: String,
    /// CanonicalHostedZoneId of the ALB.
    pub zone_id: String,
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
}

/// A rule as read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListenerRule {
    /// Priority.
    pub priority: u32,
    /// Hosts, when the rule has one host condition of a form we write; empty otherwise.
    pub hosts: BTreeSet<Host>,
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
    /// Attributes; `None` when not read.
    pub attributes: Option<BTreeMap<String, String>>,
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

/// An issued certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// Names as written, wildcards included.
    pub names: BTreeSet<String>,
    /// End of validity, seconds since 1970; 0 if unknown.
    pub not_after: i64,
    /// Issued by a private CA: never discovered.
    pub private_ca: bool,
}

impl Certificate {
    /// Whether it covers the host. A wildcard covers one label; a wildcard host needs the same wildcard.
    #[must_use]
    pub fn covers(&self, host: &Host) -> bool {
        let text = host.as_text();
        self.names.contains(&text)
            || host.parent_wildcard().is_some_and(|w| !host.is_wildcard() && self.names.contains(&w.as_text()))
    }
}

/// The account's numbers, from DescribeAccountLimits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Rules per ALB, default rules not counted.
    pub rules: u32,
    /// Target groups per ALB.
    pub target_groups: u32,
    /// Targets per ALB.
    pub targets: u32,
    /// Certificates per ALB, the default not counted.
    pub certificates: u32,
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
    /// To `ReadTargetGroups` and `ReadTargetGroup`, by name.
    TargetGroups(BTreeMap<String, TargetGroup>),
    /// To `ReadLoadBalancer` and `CreateLoadBalancer`.
    LoadBalancer(Option<LoadBalancer>),
    /// To `ReadListeners` and `CreateListener` (which gives the one).
    Listeners(BTreeMap<ListenerKind, Listener>),
    /// To `ReadRules`, by ARN; rules named in `known` come without tags.
    Rules(BTreeMap<String, ListenerRule>),
    /// To `CreateRule`, `CreateTargetGroup`: the ARN.
    Arn(String),
    /// To `ReadListenerCertificates`: without the default.
    ListenerCertificates(BTreeSet<String>),
    /// To `ReadTargetHealth`.
    TargetHealth(BTreeMap<Target, TargetState>),
    /// To `ReadZoneRecords` and `ReadRecords`.
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

/// Most hosts of one rule: AWS takes five condition values, wildcards as regular expressions included.
pub const HOSTS_PER_RULE: usize = 5;

/// The host condition of a rule, as ELBv2 takes it: plain values for exact hosts, or regular expressions for
/// wildcards, because an ALB's own `*` would cross dots and catch deeper names of other tenants.
/// The expression allows a port: regular expressions see the Host header as it was sent.
#[must_use]
pub fn host_condition(hosts: &BTreeSet<Host>) -> (Vec<String>, Vec<String>) {
    let (wildcards, exact): (Vec<&Host>, Vec<&Host>) = hosts.iter().partition(|h| h.is_wildcard());
    let regex = |h: &&Host| format!("{REGEX_START}{}{REGEX_END}", h.suffix().replace('.', "\\."));
    (exact.iter().map(ToString::to_string).collect(), wildcards.iter().map(regex).collect())
}

const REGEX_START: &str = "^[^.]+\\.";
const REGEX_END: &str = "(:[0-9]+)?$";

/// The hosts of a condition, if it has a form that [`host_condition`] writes; empty otherwise.
#[must_use]
pub fn hosts_of_condition<'a>(
    values: impl IntoIterator<Item = &'a str>,
    regex: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<Host> {
    let exact = values.into_iter().map(|v| Host::parse(v).ok());
    let wildcards = regex.into_iter().map(|r| {
        let suffix = r.strip_prefix(REGEX_START)?.strip_suffix(REGEX_END)?.replace("\\.", ".");
        Host::parse(&format!("*.{suffix}")).ok()
    });
    exact.chain(wildcards).collect::<Option<BTreeSet<Host>>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_condition_reads_back() {
        for hosts in [vec!["a.example.com", "b.example.com"], vec!["*.example.com", "*.shop.example.com"]] {
            let hosts: BTreeSet<Host> = hosts.into_iter().map(|h| Host::parse(h).unwrap()).collect();
            let (values, regex) = host_condition(&hosts);
            assert_eq!(hosts_of_condition(values.iter().map(String::as_str), regex.iter().map(String::as_str)), hosts);
        }
        assert!(hosts_of_condition(["*.example.com*"], []).is_empty());
    }

    #[test]
    fn certificates_cover_one_label() {
        let certificate = Certificate { names: ["*.example.com".to_owned()].into(), not_after: 0, private_ca: false };
        for (host, covered) in
            [("a.example.com", true), ("*.example.com", true), ("example.com", false), ("b.a.example.com", false)]
        {
            assert_eq!(certificate.covers(&Host::parse(host).unwrap()), covered, "{host}");
        }
    }
}
