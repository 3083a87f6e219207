//! What an installation fixes once: identity, images, delays. Arguments, not globals.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use gatehouse_crds::Resources;
use gatehouse_route::Host;
use serde::{Deserialize, Serialize};

use crate::identity::ClusterId;

/// Settings of an installation. All delays in milliseconds unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The installation.
    pub cluster_id: ClusterId,
    /// Namespace of the operator: its pods may ask edges for their table hash.
    pub operator_namespace: String,
    /// Image of edges whose SharedLoadBalancer names none.
    pub edge_image: String,
    /// What every edge pod has besides.
    pub edge_pods: EdgePods,
    /// Address of the cluster's DNS, unless the SharedLoadBalancer names one.
    pub cluster_dns: IpAddr,
    /// Suffix of Service names.
    pub cluster_domain: Host,
    /// A call is given up after this long; its effect may still come.
    pub call_deadline: u64,
    /// After that long AWS shows everybody what was done before.
    pub consistency_window: u64,
    /// A rule without a probe counts as live after this long: ALBs apply rules in batches.
    pub rule_settle: u64,
    /// TTL of an alias to an ALB: released names stay claimed at least so long.
    pub record_ttl: u64,
    /// Seconds during which a released host is kept from other namespaces.
    pub release_grace: u64,
    /// Seconds during which a host without grant is still served.
    pub revocation_grace: u64,
    /// A shard on which nothing stands any more is taken down after this long.
    pub shard_idle: u64,
    /// Rules and zones are re-read when older.
    pub audit_often: u64,
    /// Everything else is re-read when older.
    pub audit_seldom: u64,
    /// How soon a moving thing (target health, a provisioning ALB, a pending change) is asked for again.
    pub poll: u64,
}

/// Where edge pods run and what they may take: the platform's nodes decide it, not a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EdgePods {
    /// Secrets with which their image is pulled. Each namespace has its own; whoever makes namespaces puts them there.
    pub image_pull_secrets: Vec<String>,
    /// Labels of the nodes they run on.
    pub node_selector: BTreeMap<String, String>,
    /// Taints they run on all the same.
    pub tolerations: Vec<Toleration>,
    /// Their PriorityClass.
    pub priority_class: Option<String>,
    /// Requests and limits where the SharedLoadBalancer names none; absent: what suits a small namespace.
    pub resources: Option<Resources>,
}

/// A toleration of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Toleration {
    /// Key of the taint; absent with operator Exists: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Equal or Exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// NoSchedule, PreferNoSchedule or NoExecute; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// With NoExecute: how long a pod stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

impl Settings {
    /// Whether the cluster's pods have IPv6 addresses: EKS gives every cluster one family, its DNS included.
    #[must_use]
    pub fn ipv6(&self) -> bool {
        self.cluster_dns.is_ipv6()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            cluster_id: ClusterId("gatehouse".into()),
            operator_namespace: "gatehouse-system".into(),
            edge_image: "gatehouse-edge:dev".into(),
            edge_pods: EdgePods::default(),
            cluster_dns: IpAddr::V4(Ipv4Addr::new(172, 20, 0, 10)),
            cluster_domain: Host::parse("cluster.local").expect("a constant"),
            call_deadline: 10_000,
            consistency_window: 5_000,
            rule_settle: 12_000,
            record_ttl: 60_000,
            release_grace: 3_600,
            revocation_grace: 3_600,
            shard_idle: 3_600_000,
            audit_often: 600_000,
            audit_seldom: 21_600_000,
            poll: 250,
        }
    }
}
