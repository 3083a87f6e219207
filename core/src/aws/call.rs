//! What we ask, and which token bucket it draws from.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_route::Host;
use serde::{Deserialize, Serialize};

use super::{CertificateStatus, ChangeAction, HealthCheck, ProtocolVersion, RecordChange, Target};

/// Key and value.
pub type Tags = Vec<(String, String)>;

/// Certificates whose details one listing asks for: more would not fit into a call's deadline at ACM's rate.
pub const DETAILS: usize = 25;

/// Rules that one DescribeRules answers.
pub const RULES_PER_PAGE: usize = 400;

/// Resources that one DescribeTags takes.
pub const TAGS_PER_CALL: usize = 20;

/// A listener of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ListenerKind {
    /// Port 80: redirects to 443.
    Http,
    /// Port 443: answers 404 unless a rule says otherwise.
    Https,
}

impl ListenerKind {
    /// What the listener does with a request that no rule takes.
    #[must_use]
    pub fn default_action(self) -> DefaultAction {
        match self {
            ListenerKind::Http => DefaultAction::RedirectToHttps,
            ListenerKind::Https => DefaultAction::NotFound,
        }
    }
}

/// Default actions of our listeners: no app is reached without a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DefaultAction {
    /// `redirect` to HTTPS on 443 with HTTP_301, host, path and query kept.
    RedirectToHttps,
    /// `fixed-response` 404.
    NotFound,
}

/// One question or order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AwsCall {
    /// DescribeAccountLimits.
    ReadLimits,
    /// ListHostedZones, and GetHostedZone of those in other accounts.
    ReadZones {
        /// Zones of other accounts, with the role to assume for each.
        roles: BTreeMap<String, String>,
    },
    /// ListCertificates with every key type and status; of those not known ListTagsForCertificate, and
    /// DescribeCertificate of ours and of failed ones. At most [`DETAILS`] of them at once: the rest come without.
    ReadCertificates {
        /// Those whose details are known, by the status they had.
        known: BTreeMap<String, CertificateStatus>,
    },
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
    /// DescribeLoadBalancers, and DescribeTags of names with this prefix.
    ReadLoadBalancers {
        /// Name prefix.
        prefix: String,
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
    /// GetHostedZoneLimit: records, and how many there may be.
    ReadZoneLimit {
        /// Zone id.
        zone: String,
    },
    /// ListResourceRecordSets, the whole zone.
    ReadZoneRecords {
        /// Zone id.
        zone: String,
    },
    /// ListResourceRecordSets, started at each of these names.
    ReadRecords {
        /// Zone id.
        zone: String,
        /// The host, and where its ownership TXT may stand.
        names: BTreeSet<String>,
    },
    /// ListResourceRecordSets, started at the name.
    ReadValidation {
        /// Zone id.
        zone: String,
        /// Name of the CNAME.
        name: String,
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
    /// SetSubnets.
    SetSubnets {
        /// The ALB.
        load_balancer: String,
        /// All it should have.
        subnets: BTreeSet<String>,
    },
    /// SetSecurityGroups.
    SetSecurityGroups {
        /// The ALB.
        load_balancer: String,
        /// All it should have.
        security_groups: BTreeSet<String>,
    },
    /// SetIpAddressType.
    SetIpAddressType {
        /// The ALB.
        load_balancer: String,
        /// ipv4, dualstack ...
        ip_address_type: String,
    },
    /// AddTags: ours that were changed or taken off, never the one that says whose it is.
    AddTags {
        /// ARN of an ALB or a target group of ours.
        resource: String,
        /// Tags.
        tags: Tags,
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
    /// ModifyListener: default action, default certificate, TLS policy.
    ModifyListener {
        /// The listener.
        listener: String,
        /// Which: it decides the default action.
        kind: ListenerKind,
        /// Default certificate of an HTTPS listener.
        certificate: Option<String>,
        /// TLS policy of an HTTPS listener.
        ssl_policy: Option<String>,
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
    /// CreateRule: host condition, for gRPC one on the content type too; forward.
    CreateRule {
        /// The listener.
        listener: String,
        /// Priority, 1 to 50000.
        priority: u32,
        /// Hosts: all exact, or all wildcards; at most [`ProtocolVersion::hosts_per_rule`].
        hosts: BTreeSet<Host>,
        /// Which requests for them.
        protocol: ProtocolVersion,
        /// The target group.
        target_group: String,
        /// Tags.
        tags: Tags,
    },
    /// ModifyRule: all its conditions.
    ModifyRule {
        /// The rule.
        rule: String,
        /// Hosts that stay.
        hosts: BTreeSet<Host>,
        /// Which requests for them, as before.
        protocol: ProtocolVersion,
    },
    /// SetRulePriorities: one atomic permutation.
    SetRulePriorities {
        /// New priorities by rule.
        priorities: BTreeMap<String, u32>,
    },
    /// DeleteRule.
    DeleteRule {
        /// The rule.
        rule: String,
    },
    /// CreateTargetGroup, of type ip and of the health check's protocol version.
    CreateTargetGroup {
        /// Name.
        name: String,
        /// VPC.
        vpc: String,
        /// Port of the edge.
        port: u16,
        /// Address family of the targets.
        ipv6: bool,
        /// How targets are asked.
        health_check: HealthCheck,
        /// Tags.
        tags: Tags,
    },
    /// ModifyTargetGroup: the health check.
    ModifyTargetGroup {
        /// The target group.
        target_group: String,
        /// How targets are asked.
        health_check: HealthCheck,
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
    /// RequestCertificate, validated through DNS.
    RequestCertificate {
        /// The first becomes the common name.
        names: Vec<String>,
        /// IdempotencyToken: for one hour the same token gives the same certificate.
        token: String,
        /// Tags.
        tags: Tags,
    },
    /// DeleteCertificate.
    DeleteCertificate {
        /// The certificate.
        certificate: String,
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
                | AwsCall::ReadZones { .. }
                | AwsCall::ReadCertificates { .. }
                | AwsCall::ReadTargetGroups { .. }
                | AwsCall::ReadTargetGroup { .. }
                | AwsCall::ReadLoadBalancers { .. }
                | AwsCall::ReadLoadBalancer { .. }
                | AwsCall::ReadListeners { .. }
                | AwsCall::ReadRules { .. }
                | AwsCall::ReadListenerCertificates { .. }
                | AwsCall::ReadTargetHealth { .. }
                | AwsCall::ReadZoneLimit { .. }
                | AwsCall::ReadZoneRecords { .. }
                | AwsCall::ReadRecords { .. }
                | AwsCall::ReadValidation { .. }
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
            | AwsCall::DeregisterTargets { .. }
            | AwsCall::DeleteCertificate { .. } => true,
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
            | AwsCall::ReadLoadBalancers { .. }
            | AwsCall::ReadLoadBalancer { .. }
            | AwsCall::ReadListeners { .. }
            | AwsCall::ReadRules { .. }
            | AwsCall::ReadListenerCertificates { .. }
            | AwsCall::ReadTargetHealth { .. } => Family::ElbDescribe,
            AwsCall::RegisterTargets { .. } | AwsCall::DeregisterTargets { .. } => Family::ElbRegister,
            AwsCall::ReadZones { .. }
            | AwsCall::ReadZoneLimit { .. }
            | AwsCall::ReadZoneRecords { .. }
            | AwsCall::ReadRecords { .. }
            | AwsCall::ReadValidation { .. }
            | AwsCall::ReadChange { .. }
            | AwsCall::ChangeRecords { .. } => Family::Route53,
            AwsCall::ReadCertificates { .. } | AwsCall::DeleteCertificate { .. } => Family::Acm,
            AwsCall::RequestCertificate { .. } => Family::AcmRequest,
            AwsCall::ModifyLoadBalancerAttributes { .. }
            | AwsCall::ModifyListener { .. }
            | AwsCall::ModifyTargetGroup { .. }
            | AwsCall::SetSubnets { .. }
            | AwsCall::SetSecurityGroups { .. }
            | AwsCall::SetIpAddressType { .. }
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
    /// ACM, without requests.
    Acm,
    /// RequestCertificate: an account has 5,000 a year.
    AcmRequest,
    /// Kubernetes objects.
    Kube,
    /// Kubernetes status and events: never in the way of the rest.
    KubeStatus,
    /// Questions to edges and shards.
    Probe,
}
