//! Names: of objects in the cluster, and of what we make in AWS.
//!
//! Every AWS name carries a hash of the cluster id, and is a function of what it is for: a duplicate creation
//! collides instead of leaking, and two clusters with equal manifests never meet (rule 7).

use std::fmt;

use gatehouse_crds::keys;
use gatehouse_route::{Host, short_hash};
use serde::{Deserialize, Serialize};

use crate::aws::ProtocolVersion;

/// One app: namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl AppKey {
    /// From its two parts.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        AppKey { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One ALB of a SharedLoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardKey {
    /// The SharedLoadBalancer.
    pub load_balancer: String,
    /// Index, from 0.
    pub index: u32,
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.load_balancer, self.index)
    }
}

/// The installation. Immutable: it is in every name, tag and TXT.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub String);

impl ClusterId {
    /// Name of a shard's ALB: at most 32 characters of letters, digits and inner hyphens.
    #[must_use]
    pub fn load_balancer_name(&self, shard: &ShardKey) -> String {
        let readable: String =
            shard.load_balancer.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(14).collect();
        let hash = short_hash(format!("{}\n{}", self.0, shard).as_bytes(), 5);
        format!("gh-{}-{}-{hash}", readable.trim_matches('-'), shard.index)
    }

    /// What every ALB name of ours starts with, whatever the installation.
    pub const LOAD_BALANCER_PREFIX: &str = "gh-";

    /// The shard that an ALB with these tags is, if it is one of this installation.
    #[must_use]
    pub fn shard_of(&self, tags: &std::collections::BTreeMap<String, String>) -> Option<ShardKey> {
        (tags.get(keys::TAG_CLUSTER)? == &self.0).then_some(())?;
        Some(ShardKey {
            load_balancer: tags.get(keys::TAG_LOAD_BALANCER)?.clone(),
            index: tags.get(keys::TAG_SHARD)?.parse().ok()?,
        })
    }

    /// What every target group name of this installation starts with.
    #[must_use]
    pub fn target_group_prefix(&self) -> String {
        format!("gh-{}-", short_hash(self.0.as_bytes(), 4))
    }

    /// Name of the target group of one namespace's edge on one shard for one protocol.
    #[must_use]
    pub fn target_group_name(&self, shard: &ShardKey, namespace: &str, protocol: ProtocolVersion) -> String {
        let what = match protocol {
            ProtocolVersion::Http1 => format!("{shard}\n{namespace}"),
            ProtocolVersion::Grpc => format!("{shard}\n{namespace}\ngrpc"),
        };
        format!("{}{}", self.target_group_prefix(), short_hash(what.as_bytes(), 8))
    }

    /// Tags of everything we make for a shard.
    #[must_use]
    pub fn tags(&self, shard: &ShardKey) -> Vec<(String, String)> {
        vec![
            (keys::TAG_CLUSTER.to_owned(), self.0.clone()),
            (keys::TAG_LOAD_BALANCER.to_owned(), shard.load_balancer.clone()),
            (keys::TAG_SHARD.to_owned(), shard.index.to_string()),
        ]
    }

    /// Tags of everything we make for one namespace on a shard.
    #[must_use]
    pub fn namespace_tags(&self, shard: &ShardKey, namespace: &str) -> Vec<(String, String)> {
        let mut tags = self.tags(shard);
        tags.push((keys::TAG_NAMESPACE.to_owned(), namespace.to_owned()));
        tags
    }

    /// Value of the ownership TXT beside a record, in the form external-dns writes and respects, with our owner id.
    #[must_use]
    pub fn owner_txt(&self, namespace: &str) -> String {
        format!("\"heritage=external-dns,external-dns/owner={},external-dns/resource=exposedapp/{namespace}\"", self.0)
    }

    /// The owner named by an ownership TXT value, if it is one.
    #[must_use]
    pub fn txt_owner(value: &str) -> Option<&str> {
        let inner = value.trim().trim_matches('"');
        let mut parts = inner.split(',');
        (parts.next()? == "heritage=external-dns").then_some(())?;
        parts.find_map(|part| part.strip_prefix("external-dns/owner="))
    }
}

/// Name of our ownership TXT of a host. Its first label has an underscore, which no host has, so that it is never
/// another host's name or marker; it stands below the host, so that long labels fit.
#[must_use]
pub fn marker_name(host: &Host) -> String {
    let label = if host.is_wildcard() { MARKER_WILDCARD } else { MARKER };
    format!("{label}{}", host.suffix())
}

/// The host that one of our markers speaks of.
#[must_use]
pub fn host_of_marker(name: &str) -> Option<Host> {
    let wildcard = name.strip_prefix(MARKER_WILDCARD).map(|suffix| format!("*.{suffix}"));
    let text = wildcard.or_else(|| name.strip_prefix(MARKER).map(str::to_owned))?;
    Host::parse(&text).ok()
}

const MARKER: &str = "_gatehouse.";
const MARKER_WILDCARD: &str = "_gatehouse-wildcard.";

/// Name of the HostClaim of a host: `h.<host>` or `w.<suffix>`, which Kubernetes takes as an object name.
#[must_use]
pub fn claim_name(host: &Host) -> String {
    let prefix = if host.is_wildcard() { "w" } else { "h" };
    format!("{prefix}.{}", host.suffix())
}

/// Name of the headless twin of a tenant's Service: never longer than a label.
#[must_use]
pub fn twin_name(service: &str) -> String {
    let readable: String = service.chars().take(40).collect();
    format!("gh-{}-{}", readable.trim_end_matches('-'), short_hash(service.as_bytes(), 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_aws() {
        let id = ClusterId("prod-eu-1".into());
        let shard = ShardKey { load_balancer: "a-very-long-name-of-a-load-balancer".into(), index: 49 };
        let group = |protocol| id.target_group_name(&shard, "team-a", protocol);
        assert_ne!(group(ProtocolVersion::Http1), group(ProtocolVersion::Grpc));
        for name in [id.load_balancer_name(&shard), group(ProtocolVersion::Grpc)] {
            assert!(name.len() <= 32 && !name.ends_with('-') && !name.starts_with("internal-"), "{name}");
        }
        assert_ne!(
            ClusterId("a".into()).target_group_name(&shard, "x", ProtocolVersion::Http1),
            ClusterId("b".into()).target_group_name(&shard, "x", ProtocolVersion::Http1),
            "two clusters never share a name"
        );
        assert!(twin_name(&"s".repeat(63)).len() <= 63);
    }

    #[test]
    fn the_txt_names_its_owner() {
        let id = ClusterId("prod".into());
        assert_eq!(ClusterId::txt_owner(&id.owner_txt("team-a")), Some("prod"));
        assert_eq!(ClusterId::txt_owner("\"v=spf1 -all\""), None);
        for host in ["shop.example.com", "*.example.com"] {
            let host = Host::parse(host).unwrap();
            assert_eq!(host_of_marker(&marker_name(&host)), Some(host));
        }
    }
}
