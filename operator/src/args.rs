//! What can be set, and what is refused at start.

use std::net::IpAddr;

use clap::Parser;
use gatehouse_core::{ClusterId, EdgePods, Settings, Toleration};
use gatehouse_crds::Resources;
use gatehouse_route::{Host, Seconds};

/// The Gatehouse operator: publishes ExposedApps on a shared ALB, with certificates, DNS names and an nginx per namespace.
///
/// It reads ExposedApps, SharedLoadBalancers and ExposurePolicies, and writes AWS objects tagged
/// gatehouse.dev/cluster-id, HostClaims, and the edge of each namespace. AWS credentials, Region endpoints and proxies
/// are found as by every AWS tool (environment, web identity, Pod Identity, instance metadata). One replica leads by a
/// Lease; the others stand by.
#[derive(Parser, Clone, Debug)]
#[command(version = gatehouse_about::VERSION, name = "gatehouse-operator")]
pub struct Args {
    /// Identity of this installation: in every AWS name, tag and TXT record. Never change it.
    #[arg(long, env = "GATEHOUSE_CLUSTER_ID", value_parser = cluster_id)]
    pub cluster_id: String,
    /// Namespace of the operator: its Lease, its Secrets, and who may ask edges for their table.
    #[arg(long, env = "POD_NAMESPACE", default_value = "gatehouse-system")]
    pub namespace: String,
    /// Name under which the lease is held.
    #[arg(long, env = "POD_NAME", default_value_t = default_identity(), hide_default_value = true)]
    pub identity: String,
    /// Image of edges whose SharedLoadBalancer names none.
    #[arg(long, env = "GATEHOUSE_EDGE_IMAGE")]
    pub edge_image: String,
    /// Secrets with which edges pull their image, by name; each namespace must have them.
    #[arg(long, env = "GATEHOUSE_EDGE_IMAGE_PULL_SECRETS", value_name = "NAMES", value_delimiter = ',')]
    pub edge_image_pull_secrets: Vec<String>,
    /// Labels of the nodes on which edges run.
    #[arg(long, env = "GATEHOUSE_EDGE_NODE_SELECTOR", value_name = "KEY=VALUE,...", value_delimiter = ',', value_parser = pair)]
    pub edge_node_selector: Vec<(String, String)>,
    /// Taints on which edges run all the same: a JSON list as in pods, such as [{"key": "edge", "operator": "Exists"}].
    #[arg(long, env = "GATEHOUSE_EDGE_TOLERATIONS", value_name = "JSON", value_parser = tolerations)]
    pub edge_tolerations: Option<Tolerations>,
    /// PriorityClass of edges.
    #[arg(long, env = "GATEHOUSE_EDGE_PRIORITY_CLASS", value_name = "NAME")]
    pub edge_priority_class: Option<String>,
    /// Resources of edges whose SharedLoadBalancer names none: JSON, such as {"requests": {"memory": "64Mi"}}.
    #[arg(long, env = "GATEHOUSE_EDGE_RESOURCES", value_name = "JSON", value_parser = resources)]
    pub edge_resources: Option<Resources>,
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

/// A list that is one argument.
#[derive(Clone, Debug)]
pub struct Tolerations(Vec<Toleration>);

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("is no label of nodes, such as kubernetes.io/arch=arm64")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn tolerations(text: &str) -> Result<Tolerations, String> {
    let all: Vec<Toleration> = serde_json::from_str(text).map_err(|e| format!("is no list of tolerations: {e}"))?;
    let one_of = |field: &str, value: &Option<String>, known: &[&str]| match value {
        Some(value) if !known.contains(&value.as_str()) => {
            Err(format!("{field}: {value:?} is unknown; use {}", known.join(", ")))
        }
        _ => Ok(()),
    };
    for (i, toleration) in all.iter().enumerate() {
        one_of(&format!("[{i}].operator"), &toleration.operator, &["Equal", "Exists"])?;
        one_of(&format!("[{i}].effect"), &toleration.effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"])?;
        if toleration.key.is_none() && toleration.operator.as_deref() != Some("Exists") {
            return Err(format!("[{i}].key: is missing; without a key only operator Exists has a meaning"));
        }
    }
    Ok(Tolerations(all))
}

fn resources(text: &str) -> Result<Resources, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("is no JSON: {e}"))?;
    let keys = value.as_object().ok_or("is no object with requests and limits")?.keys();
    if let Some(other) = keys.into_iter().find(|key| !["requests", "limits"].contains(&key.as_str())) {
        return Err(format!("{other}: is unknown; use requests and limits"));
    }
    serde_json::from_value(value).map_err(|e| format!("quantities are texts, such as \"64Mi\": {e}"))
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
            edge_pods: EdgePods {
                image_pull_secrets: self.edge_image_pull_secrets.clone(),
                node_selector: self.edge_node_selector.iter().cloned().collect(),
                tolerations: self.edge_tolerations.clone().map(|all| all.0).unwrap_or_default(),
                priority_class: self.edge_priority_class.clone(),
                resources: self.edge_resources.clone(),
            },
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

    #[test]
    fn edge_pods_are_as_the_flags_say() {
        let read = |more: &[&str]| {
            let needed = ["operator", "--cluster-id", "x", "--edge-image", "i"];
            Args::try_parse_from(needed.iter().chain(more)).map(|args| args.settings().edge_pods)
        };
        assert_eq!(read(&[]).unwrap(), EdgePods::default(), "what is not said rolls no edge");
        let pods = read(&[
            "--edge-image-pull-secrets=a,b",
            "--edge-node-selector=kubernetes.io/arch=arm64,pool=edge",
            r#"--edge-tolerations=[{"key": "edge", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]"#,
            "--edge-priority-class=edges",
            r#"--edge-resources={"requests": {"cpu": "1"}}"#,
        ])
        .unwrap();
        assert_eq!((pods.image_pull_secrets.len(), pods.node_selector["kubernetes.io/arch"].as_str()), (2, "arm64"));
        assert_eq!(pods.tolerations[0].toleration_seconds, Some(5));
        assert_eq!(pods.priority_class.as_deref(), Some("edges"));
        assert_eq!(pods.resources.unwrap().requests["cpu"], "1");
        for (wrong, says) in [
            ("--edge-node-selector=arm64", "is no label of nodes"),
            (r#"--edge-tolerations={"key": "x"}"#, "is no list of tolerations"),
            (r#"--edge-tolerations=[{"key": "x", "effect": "Never"}]"#, "[0].effect: \"Never\" is unknown"),
            (r#"--edge-tolerations=[{"operator": "Equal"}]"#, "[0].key: is missing"),
            (r#"--edge-resources={"memory": "1Gi"}"#, "memory: is unknown; use requests and limits"),
            (r#"--edge-resources={"limits": {"memory": 5}}"#, "quantities are texts"),
        ] {
            let error = read(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
