//! What an installation fixes once: identity, images, delays. Arguments, not globals.

use std::net::{IpAddr, Ipv4Addr};

use gatehouse_route::Host;

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
