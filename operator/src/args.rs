//! What can be set, and what is refused at start.

use std::net::IpAddr;

use clap::Parser;
use gatehouse_core::{ClusterId, Settings};
use gatehouse_route::{Host, Seconds};

/// The Gatehouse operator: publishes ExposedApps on a shared ALB, with certificates, DNS names and an nginx per namespace.
///
/// It reads ExposedApps, SharedLoadBalancers and ExposurePolicies, and writes AWS objects tagged
/// gatehouse.dev/cluster-id, HostClaims, and the edge of each namespace. AWS credentials, Region endpoints and proxies
/// are found as by every AWS tool (environment, web identity, Pod Identity, instance metadata). One replica leads by a
/// Lease; the others stand by.
#[derive(Parser, Clone, Debug)]
#[command(version, name = "gatehouse-operator")]
pub struct Args {
    /// Identity of this installation: in every AWS name, tag and TXT record. Never change it.
    #[arg(long, env = "GATEHOUSE_CLUSTER_ID", value_parser = cluster_id)]
    pub cluster_id: String,
    /// Namespace of the operator: its Lease, its Secrets, and who may ask edges for their table.
    #[arg(long, env = "POD_NAMESPACE", default_value = "gatehouse-system")]
    pub namespace: String,
    /// Name under which the lease is held.
    #[arg(long, env = "POD_NAME", default_value_t = default_identity())]
    pub identity: String,
    /// Image of edges whose SharedLoadBalancer names none.
    #[arg(long, env = "GATEHOUSE_EDGE_IMAGE")]
    pub edge_image: String,
    /// Address of the cluster's DNS Service.
    #[arg(long, env = "GATEHOUSE_CLUSTER_DNS", default_value = "172.20.0.10")]
    pub cluster_dns: IpAddr,
    /// Suffix of Service names.
    #[arg(long, env = "GATEHOUSE_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: Host,
    /// How long a released host is kept from other namespaces.
    #[arg(long, env = "GATEHOUSE_RELEASE_GRACE", default_value = "1h")]
    pub release_grace: Seconds,
    /// How long a host is served on after its grant was taken away.
    #[arg(long, env = "GATEHOUSE_REVOCATION_GRACE", default_value = "1h")]
    pub revocation_grace: Seconds,
    /// How long resolvers may remember a deleted name: the TTL of aliases to an ALB.
    #[arg(long, env = "GATEHOUSE_RECORD_TTL", default_value = "60s")]
    pub record_ttl: Seconds,
    /// A call to AWS or the API server is given up after this long.
    #[arg(long, env = "GATEHOUSE_CALL_DEADLINE", default_value = "10s")]
    pub call_deadline: Seconds,
    /// How long leadership lasts without renewal: the longest wait after a leader died without giving it back.
    #[arg(long, env = "GATEHOUSE_LEASE_DURATION", default_value = "10s")]
    pub lease_duration: Seconds,
    /// Where /healthz and /readyz answer.
    #[arg(long, env = "GATEHOUSE_HEALTH_ADDRESS", default_value = "0.0.0.0:8080")]
    pub health_address: std::net::SocketAddr,
    /// Where /metrics answers.
    #[arg(long, env = "GATEHOUSE_METRICS_ADDRESS", default_value = "0.0.0.0:9090")]
    pub metrics_address: std::net::SocketAddr,
    /// Where /plan answers, for `gatehouse plan --live` by port-forward; loopback only.
    #[arg(long, env = "GATEHOUSE_PLAN_ADDRESS", default_value = "127.0.0.1:8082", value_parser = loopback)]
    pub plan_address: std::net::SocketAddr,
    /// Log filter, such as info or gatehouse_operator=debug.
    #[arg(long, env = "GATEHOUSE_LOG", default_value = "info")]
    pub log: String,
    /// Log as text or as JSON lines.
    #[arg(long, env = "GATEHOUSE_LOG_FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub log_format: String,
    /// Manage the webhook's certificates and caBundle. Off where the webhook is not installed.
    #[arg(long, env = "GATEHOUSE_WEBHOOK_CERTIFICATES", default_value_t = true, action = clap::ArgAction::Set)]
    pub webhook_certificates: bool,
}

fn default_identity() -> String {
    format!("gatehouse-operator-{}", std::process::id())
}

/// The plan names every host and namespace: who may read it is decided by the right to port-forward.
fn loopback(text: &str) -> Result<std::net::SocketAddr, String> {
    let address: std::net::SocketAddr =
        text.parse().map_err(|_| "is no address and port, such as 127.0.0.1:8082".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("must be on loopback, such as 127.0.0.1:8082".to_owned()) }
}

/// 1 to 63 characters that AWS tags, TXT values and people can carry; never the placeholder of the manifests.
fn cluster_id(text: &str) -> Result<String, String> {
    let plain = !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if !plain {
        return Err("must be 1 to 63 letters, digits, dots and hyphens, such as prod-eu-1".into());
    }
    if text == "change-me" {
        return Err(
            "is the placeholder of the manifests; choose a name that no other cluster of the AWS account has".into()
        );
    }
    Ok(text.to_owned())
}

impl Args {
    /// The engine's settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            cluster_id: ClusterId(self.cluster_id.clone()),
            operator_namespace: self.namespace.clone(),
            edge_image: self.edge_image.clone(),
            cluster_dns: self.cluster_dns,
            cluster_domain: self.cluster_domain.clone(),
            call_deadline: u64::from(self.call_deadline.get()) * 1000,
            record_ttl: u64::from(self.record_ttl.get()) * 1000,
            release_grace: u64::from(self.release_grace.get()),
            revocation_grace: u64::from(self.revocation_grace.get()),
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn flags_are_sound() {
        Args::command().debug_assert();
        assert!(cluster_id("change-me").is_err());
        assert!(cluster_id("prod\n").is_err());
        assert!(cluster_id("prod-eu-1").is_ok());
        assert!(loopback("0.0.0.0:8082").is_err());
        assert!(loopback("[::1]:8082").is_ok());
    }
}
