//! What scopes, lanes and orders are called where people read them. Nothing here is ever parsed.

use std::fmt;

use serde_json::Value;

use crate::aws::AwsCall;
use crate::observed::Scope;
use crate::plan::{KubeWrite, Lane, Order, Probe};

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Limits(region) => write!(f, "quotas of {region}"),
            Scope::Zones => write!(f, "hosted zones"),
            Scope::Certificates(region) => write!(f, "certificates of {region}"),
            Scope::Requests(region, namespace) => write!(f, "certificate requests of {namespace} in {region}"),
            Scope::Groups(region) => write!(f, "target groups of {region}"),
            Scope::Group(name) => write!(f, "target group {name}"),
            Scope::LoadBalancers(region) => write!(f, "load balancers of {region}"),
            Scope::LoadBalancer(shard) => write!(f, "load balancer {shard}"),
            Scope::Listeners(shard) => write!(f, "listeners of {shard}"),
            Scope::Rules(shard) => write!(f, "rules of {shard}"),
            Scope::ListenerCertificates(shard) => write!(f, "certificates on {shard}"),
            Scope::Targets(name) => write!(f, "targets of {name}"),
            Scope::ZoneLimit(zone) => write!(f, "quota of zone {zone}"),
            Scope::Zone(zone) => write!(f, "zone {zone}"),
            Scope::Records(zone, host) => write!(f, "records of {host} in zone {zone}"),
            Scope::Validation(zone, name) => write!(f, "validation record {name} in zone {zone}"),
            Scope::Change(id) => write!(f, "change {id}"),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lane::Scope(scope) => scope.fmt(f),
            Lane::Zone(zone) => write!(f, "zone {zone}"),
            Lane::Object(object) => f.write_str(object),
            Lane::Placement => f.write_str("placement of a host"),
            Lane::Probe(address) => write!(f, "probe {address}"),
        }
    }
}

/// In short: the call and what it is about. Fragments and statuses are left out: they are long, and theirs to show is
/// the API server.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Aws { call, .. } => f.write_str(&aws(call)),
            Order::Kube(write) => f.write_str(&kube(write)),
            Order::Probe(Probe::Edge { ip, .. }) => write!(f, "ask edge pod {ip} for its routes"),
            Order::Probe(Probe::Shard { shard, host, .. }) => write!(f, "ask {shard} for {host}"),
        }
    }
}

/// What a call is about, the most telling first; three are enough. A field that is not named here is not shown, so a new one can never
/// show what nobody thought of.
const SUBJECTS: [&str; 14] = [
    "names",
    "hosts",
    "name",
    "host",
    "kind",
    "priority",
    "load_balancer",
    "target_group",
    "rule",
    "listener",
    "certificate",
    "zone",
    "change",
    "prefix",
];

fn aws(call: &AwsCall) -> String {
    if let AwsCall::ChangeRecords { zone, changes } = call {
        let names: Vec<String> = changes.iter().map(|c| format!("{:?} {}", c.action, c.record.name)).collect();
        return format!("ChangeRecords {} in zone {zone}", few(&names));
    }
    let Ok(Value::Object(call)) = serde_json::to_value(call) else { return format!("{call:?}") };
    let Some((name, fields)) = call.into_iter().next() else { return String::new() };
    let words = SUBJECTS.iter().filter_map(|key| {
        let text = match fields.get(*key)? {
            Value::String(text) => short(text),
            Value::Number(number) => number.to_string(),
            Value::Array(all) => few(&all.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()),
            _ => return None,
        };
        Some(if *key == "priority" { format!("priority {text}") } else { text })
    });
    std::iter::once(name).chain(words.take(3)).collect::<Vec<_>>().join(" ")
}

/// The first three and how many more.
fn few(all: &[String]) -> String {
    let more = if all.len() > 3 { format!(" and {} more", all.len() - 3) } else { String::new() };
    format!("{}{more}", all.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", "))
}

/// Of an ARN what comes after the account.
fn short(text: &str) -> String {
    if text.starts_with("arn:") { text.splitn(6, ':').last().unwrap_or(text).to_owned() } else { text.to_owned() }
}

fn kube(write: &KubeWrite) -> String {
    match write {
        KubeWrite::ApplyChild { key, .. } => format!("apply {:?} {}/{}", key.kind, key.namespace, key.name),
        KubeWrite::DeleteChild { key, .. } => format!("delete {:?} {}/{}", key.kind, key.namespace, key.name),
        KubeWrite::ApplyApp { app, .. } => format!("apply ExposedApp {app} for its Ingress"),
        KubeWrite::DeleteApp { app, .. } => format!("delete ExposedApp {app}, which its Ingress needs no more"),
        KubeWrite::IngressStatus { ingress, .. } => format!("status of Ingress {ingress}"),
        KubeWrite::IngressEvents { ingress, events, .. } => format!("{} events of Ingress {ingress}", events.len()),
        KubeWrite::CreateClaim { name, spec } => format!("create HostClaim {name} for {}", spec.namespace),
        KubeWrite::ClaimStatus { name, .. } => format!("status of HostClaim {name}"),
        KubeWrite::ClaimSpec { name, spec, .. } => format!("give HostClaim {name} to {}", spec.namespace),
        KubeWrite::DeleteClaim { name, .. } => format!("delete HostClaim {name}"),
        KubeWrite::AppFinalizers { app, .. } => format!("finalizers of ExposedApp {app}"),
        KubeWrite::LoadBalancerFinalizers { name, .. } => format!("finalizers of SharedLoadBalancer {name}"),
        KubeWrite::AppStatus { app, .. } => format!("status of ExposedApp {app}"),
        KubeWrite::LoadBalancerStatus { name, .. } => format!("status of SharedLoadBalancer {name}"),
        KubeWrite::PolicyStatus { name, .. } => format!("status of ExposurePolicy {name}"),
        KubeWrite::PodTable { pod, .. } => format!("point pod {pod} to its new routes"),
        KubeWrite::PodHealthy { pod, healthy, .. } => format!("readiness gate of pod {pod}: {healthy}"),
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_route::Host;

    use super::*;

    #[test]
    fn a_call_is_short_and_shows_no_tags_and_tokens() {
        let host = |text: &str| Host::parse(text).unwrap();
        let hosts = ["a.example.com", "b.example.com", "c.example.com", "d.example.com"].map(host);
        let call = AwsCall::CreateRule {
            listener: "arn:aws:elasticloadbalancing:eu-central-1:1:listener/app/gh/1".into(),
            priority: 7,
            hosts: hosts.into(),
            protocol: Default::default(),
            target_group: "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/gh-1/2".into(),
            tags: vec![("k".into(), "v".into())],
        };
        assert_eq!(
            aws(&call),
            "CreateRule a.example.com, b.example.com, c.example.com and 1 more priority 7 targetgroup/gh-1/2"
        );
        assert_eq!(aws(&AwsCall::ReadZones { roles: Default::default() }), "ReadZones");
        let request =
            AwsCall::RequestCertificate { names: vec!["a.example.com".into()], token: "t0ken".into(), tags: vec![] };
        assert_eq!(aws(&request), "RequestCertificate a.example.com");
    }
}
