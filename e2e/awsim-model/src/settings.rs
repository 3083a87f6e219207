//! What can be set: the account, its network and quotas, and how slow AWS is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::api::{Millis, Tag};
use crate::throttle::{Bucket, Family};

/// Everything that is fixed before the first call (quotas and policies may be changed later).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Twelve digits.
    pub account: String,
    /// `eu-central-1`.
    pub region: String,
    /// How long AWS takes for things.
    pub delays: Delays,
    /// Token buckets; a family that is absent is not throttled.
    pub buckets: BTreeMap<Family, Bucket>,
    /// Limits by AWS's own names.
    pub quotas: Quotas,
    /// The VPC that load balancers stand in.
    pub network: Network,
    /// Hosted zones that exist from the start.
    pub zones: Vec<SeedZone>,
    /// Certificates that exist, ISSUED, from the start.
    pub certificates: Vec<SeedCertificate>,
    /// Where target health comes from.
    pub health: HealthSource,
}

/// Where the model learns whether a target is healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthSource {
    /// A target in use turns healthy by itself after this time, until `observe_target` says otherwise.
    Automatic {
        /// From registration or first use of the group, whichever is later.
        after: Millis,
    },
    /// Only `observe_target` makes a target healthy or unhealthy.
    Observed,
}

/// The waits of a profile; all spans in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Delays {
    /// CreateLoadBalancer until state `active`.
    pub load_balancer_active: Millis,
    /// The data plane takes listener and rule changes at multiples of this span; 0 takes them at once.
    pub rule_batch: Millis,
    /// ChangeResourceRecordSets until INSYNC, which is also when DNS answers change.
    pub route53_insync: Millis,
    /// How long a zone refuses the next change with `PriorRequestNotComplete`.
    pub zone_busy: Millis,
    /// RequestCertificate until DescribeCertificate shows the validation record.
    pub acm_record: Millis,
    /// Validation record visible in DNS until ISSUED.
    pub acm_validation: Millis,
    /// PENDING_VALIDATION until VALIDATION_TIMED_OUT.
    pub acm_timeout: Millis,
    /// CreateListener until CreateRule and others find the listener.
    pub listener_visible: Millis,
    /// DeleteRule, DeleteListener or detaching a certificate until the thing it used can be deleted.
    pub in_use_lag: Millis,
    /// Creation until Describe* without an ARN shows the resource.
    pub describe_lag: Millis,
    /// Creation until GetResources shows the resource.
    pub tagging_lag: Millis,
    /// Upper bound of a target's draining time, whatever the group's attribute says.
    pub draining_cap: Millis,
}

impl Default for Delays {
    fn default() -> Self {
        Self::fast()
    }
}

impl Delays {
    /// No wait at all.
    pub const fn instant() -> Self {
        let none = Millis(0);
        Self {
            load_balancer_active: none,
            rule_batch: none,
            route53_insync: none,
            zone_busy: none,
            acm_record: none,
            acm_validation: none,
            acm_timeout: Millis::secs(72 * 3600),
            listener_visible: none,
            in_use_lag: none,
            describe_lag: none,
            tagging_lag: none,
            draining_cap: none,
        }
    }

    /// Every wait there, none longer than a moment.
    pub const fn fast() -> Self {
        Self {
            load_balancer_active: Millis(50),
            rule_batch: Millis(50),
            route53_insync: Millis(50),
            zone_busy: Millis(5),
            acm_record: Millis(20),
            acm_validation: Millis(50),
            acm_timeout: Millis::secs(72 * 3600),
            listener_visible: Millis(10),
            in_use_lag: Millis(20),
            describe_lag: Millis(0),
            tagging_lag: Millis(50),
            draining_cap: Millis(1000),
        }
    }

    /// What is documented or was measured in the field.
    pub const fn real() -> Self {
        Self {
            load_balancer_active: Millis::secs(120),
            rule_batch: Millis::secs(10),
            route53_insync: Millis::secs(40),
            zone_busy: Millis(200),
            acm_record: Millis::secs(5),
            acm_validation: Millis::secs(180),
            acm_timeout: Millis::secs(72 * 3600),
            listener_visible: Millis::secs(2),
            in_use_lag: Millis::secs(4),
            describe_lag: Millis(0),
            tagging_lag: Millis::secs(10),
            draining_cap: Millis::secs(3600),
        }
    }
}

/// A VPC with its subnets and security groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Network {
    /// `vpc-...`.
    pub vpc_id: String,
    /// The VPC's CIDRs; `ip` targets inside them need no AvailabilityZone.
    pub cidrs: Vec<Ipv4Net>,
    /// At least two in different zones, for a load balancer to be possible.
    pub subnets: Vec<Subnet>,
    /// The first one is the default of CreateLoadBalancer.
    pub security_groups: Vec<String>,
}

/// A subnet of the VPC.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Subnet {
    /// `subnet-...`.
    pub id: String,
    /// `eu-central-1a`.
    pub zone: String,
    /// Load balancer addresses are taken from it, from the tenth upwards.
    pub cidr: Ipv4Net,
}

impl Network {
    /// The subnet of this id.
    pub fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == id)
    }

    /// The zone whose subnet holds `address`.
    pub fn zone_of(&self, address: Ipv4Addr) -> Option<&str> {
        self.subnets.iter().find(|subnet| subnet.cidr.contains(&address)).map(|subnet| subnet.zone.as_str())
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            vpc_id: "vpc-0123456789abcdef0".into(),
            // The second one is where a local cluster has its pods.
            cidrs: vec![net([10, 0, 0, 0], 16), net([10, 244, 0, 0], 16)],
            subnets: vec![
                Subnet { id: "subnet-0aaa".into(), zone: "eu-central-1a".into(), cidr: net([10, 0, 0, 0], 24) },
                Subnet { id: "subnet-0bbb".into(), zone: "eu-central-1b".into(), cidr: net([10, 0, 1, 0], 24) },
            ],
            security_groups: vec!["sg-0ccc".into()],
        }
    }
}

fn net(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(octets.into(), prefix)
}

/// A hosted zone that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SeedZone {
    /// `Z...`.
    pub id: String,
    /// `example.com`.
    pub name: String,
    /// Attached to the VPC instead of public.
    #[serde(default)]
    pub private: bool,
    /// A zone of another account: the role there that reaches it, and nothing else.
    #[serde(default)]
    pub role_arn: Option<String>,
}

/// An imported certificate that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SeedCertificate {
    /// The last part of the ARN; derived from the names when absent.
    #[serde(default)]
    pub id: Option<String>,
    /// The first one is the certificate's DomainName.
    pub names: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

impl Default for Settings {
    fn default() -> Self {
        Self::fast()
    }
}

impl Settings {
    /// No waits, no throttling, targets healthy at once: for tests of logic.
    pub fn instant() -> Self {
        Self {
            account: "123456789012".into(),
            region: "eu-central-1".into(),
            delays: Delays::instant(),
            buckets: BTreeMap::new(),
            quotas: Quotas::default(),
            network: Network::default(),
            zones: vec![SeedZone {
                id: "Z0EXAMPLE1".into(),
                name: "example.com".into(),
                private: false,
                role_arn: None,
            }],
            certificates: vec![SeedCertificate {
                id: Some("00000000-0000-4000-8000-000000000001".into()),
                names: vec!["example.com".into(), "*.example.com".into()],
                tags: Vec::new(),
            }],
            health: HealthSource::Automatic { after: Millis(0) },
        }
    }

    /// Waits of 0 to 50 ms (a second of draining) and buckets that a well-behaved caller does not notice.
    pub fn fast() -> Self {
        Self {
            delays: Delays::fast(),
            buckets: Family::ALL.iter().map(|family| (*family, Bucket { burst: 2000, per_second: 500 })).collect(),
            health: HealthSource::Automatic { after: Millis(50) },
            ..Self::instant()
        }
    }

    /// AWS's own waits and buckets.
    pub fn real() -> Self {
        Self {
            delays: Delays::real(),
            buckets: Family::ALL.iter().map(|family| (*family, family.documented())).collect(),
            health: HealthSource::Automatic { after: Millis::secs(30) },
            ..Self::instant()
        }
    }

    /// The zone id of load balancers' own DNS names in the region.
    pub fn elb_zone_id(&self) -> &'static str {
        match self.region.as_str() {
            "us-east-1" => "Z35SXDOTRQ7X7K",
            "eu-west-1" => "Z32O12XQLNTSW2",
            "eu-central-1" => "Z215JYRZR1TBD5",
            // Any other region: one id will do, callers must take it from the load balancer anyway.
            _ => "Z0ELBOTHERREGION",
        }
    }

    /// The suffix of load balancers' own DNS names, without dots at the ends.
    pub fn elb_suffix(&self) -> String {
        format!("{}.elb.amazonaws.com", self.region)
    }
}

/// Limits by name. For ELBv2 these are the names of DescribeAccountLimits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quotas(BTreeMap<String, i64>);

/// Quotas with their defaults; those with a slash are not part of DescribeAccountLimits.
const QUOTAS: &[(&str, i64)] = &[
    (quota::LOAD_BALANCERS, 50),
    (quota::LISTENERS, 50),
    (quota::RULES, 100),
    (quota::CERTIFICATES, 25),
    (quota::GROUPS_PER_LOAD_BALANCER, 100),
    (quota::GROUPS_PER_ACTION, 5),
    (quota::CONDITION_VALUES, 5),
    (quota::CONDITION_WILDCARDS, 5),
    (quota::TARGETS_PER_LOAD_BALANCER, 1000),
    (quota::TARGETS_PER_GROUP, 1000),
    (quota::GROUPS, 3000),
    (quota::TAGS, 50),
    (quota::RECORDS_PER_ZONE, 10_000),
    (quota::VALUES_PER_RECORD, 400),
    (quota::ZONES, 500),
    (quota::ACM_CERTIFICATES, 2500),
    (quota::ACM_REQUESTS_PER_YEAR, 5000),
    (quota::ACM_NAMES, 10),
];

/// Names of quotas.
#[expect(missing_docs, reason = "the value is AWS's name of the quota")]
pub mod quota {
    pub const LOAD_BALANCERS: &str = "application-load-balancers";
    pub const LISTENERS: &str = "listeners-per-application-load-balancer";
    pub const RULES: &str = "rules-per-application-load-balancer";
    pub const CERTIFICATES: &str = "certificates-per-application-load-balancer";
    pub const GROUPS_PER_LOAD_BALANCER: &str = "target-groups-per-application-load-balancer";
    pub const GROUPS_PER_ACTION: &str = "target-groups-per-action-on-application-load-balancer";
    pub const CONDITION_VALUES: &str = "condition-values-per-alb-rule";
    pub const CONDITION_WILDCARDS: &str = "condition-wildcards-per-alb-rule";
    pub const TARGETS_PER_LOAD_BALANCER: &str = "targets-per-application-load-balancer";
    pub const TARGETS_PER_GROUP: &str = "targets-per-target-group";
    pub const GROUPS: &str = "target-groups";
    pub const TAGS: &str = "tags/per-resource";
    pub const RECORDS_PER_ZONE: &str = "route53/MAX_RRSETS_BY_ZONE";
    pub const VALUES_PER_RECORD: &str = "route53/values-per-record";
    pub const ZONES: &str = "route53/hosted-zones";
    pub const ACM_CERTIFICATES: &str = "acm/certificates";
    pub const ACM_REQUESTS_PER_YEAR: &str = "acm/requests-per-365-days";
    pub const ACM_NAMES: &str = "acm/names-per-certificate";
}

impl Default for Quotas {
    fn default() -> Self {
        Self(QUOTAS.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
    }
}

impl Quotas {
    /// The limit of this name.
    pub fn get(&self, name: &str) -> i64 {
        // A seed file may name only some quotas.
        self.0.get(name).copied().or_else(|| QUOTAS.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)).unwrap_or(0)
    }

    /// Changes a limit.
    ///
    /// # Errors
    /// A text that lists the known names, when `name` is none of them.
    pub fn set(&mut self, name: &str, value: i64) -> Result<(), String> {
        if !QUOTAS.iter().any(|(known, _)| *known == name) {
            let known: Vec<_> = QUOTAS.iter().map(|(known, _)| *known).collect();
            return Err(format!("quota '{name}' is not modelled; known are {}", known.join(", ")));
        }
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// All limits in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let mut all: Vec<_> = QUOTAS.iter().map(|(name, _)| (*name, self.get(name))).collect();
        all.sort_unstable();
        all.into_iter()
    }
}
