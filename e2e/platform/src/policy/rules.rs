//! The translation: NetworkPolicies, Pods and Namespaces in, an nftables script out.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::model::{Peer, Subject, World};
use crate::{NODE_GATEWAY, NODE_IP};

const TABLE: &str = "inet gatehouse_policy";

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Ingress,
    Egress,
}

/// The script that replaces all rules at once: `nft -f` applies it as one transaction. It holds addresses and numbers
/// only, never text of a user.
///
/// Each pod that a policy isolates in a direction is sent to a chain that returns for what is allowed and drops the
/// rest. A connection must return from the egress chain of its source and the ingress chain of its destination.
pub fn ruleset(
    policies: &[impl Borrow<NetworkPolicy>],
    pods: &[impl Borrow<Pod>],
    namespaces: &[impl Borrow<Namespace>],
) -> String {
    let world = World::new(pods, namespaces);
    let mut script = format!("table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n");
    for (direction, chain, field) in [(Direction::Egress, "egress", "saddr"), (Direction::Ingress, "ingress", "daddr")]
    {
        // Pods with equal rules share a chain: a Deployment's replicas usually do.
        let mut bodies: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        for pod in &world.pods {
            if let Some(body) = body(&world, pod, policies, direction) {
                bodies.entry(body).or_default().push(pod.ip);
            }
        }
        let mut verdicts = Vec::new();
        for (index, (body, pods)) in bodies.iter().enumerate() {
            let _ = write!(script, "  chain {chain}{index} {{\n{body}    counter drop\n  }}\n");
            verdicts.extend(pods.iter().map(|ip| format!("{ip} : jump {chain}{index}")));
        }
        let _ = writeln!(script, "  chain {chain} {{");
        if !verdicts.is_empty() {
            let _ = writeln!(script, "    ip {field} vmap {{ {} }}", verdicts.join(", "));
        }
        script += "  }\n";
    }
    // A pod always reaches itself, also through its own Service.
    let itself: Vec<String> = world.pods.iter().map(|pod| format!("{0} . {0}", pod.ip)).collect();
    let itself = match itself.as_slice() {
        [] => String::new(),
        pairs => format!("    ip saddr . ip daddr {{ {} }} accept\n", pairs.join(", ")),
    };
    let hook = |name: &str| {
        format!(
            "  chain {name} {{\n    type filter hook {name} priority filter; policy accept;\n    \
             ct state established,related accept\n"
        )
    };
    script += &format!("{}{itself}    jump egress\n    jump ingress\n  }}\n", hook("forward"));
    script += &format!("{}    jump egress\n  }}\n", hook("input"));
    script +=
        &format!("{}    ip saddr {{ {NODE_IP}, {NODE_GATEWAY} }} accept\n    jump ingress\n  }}\n", hook("output"));
    script += "}\n";
    script
}

/// The rules of a pod in one direction; absent when no policy isolates it there.
fn body(world: &World, pod: &Subject, policies: &[impl Borrow<NetworkPolicy>], direction: Direction) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut isolated = false;
    for policy in policies {
        let policy: &NetworkPolicy = policy.borrow();
        let (Some(home), Some(spec)) = (&policy.metadata.namespace, &policy.spec) else { continue };
        let everything = spec.pod_selector.as_ref().is_none_or(|selector| pod.selected(selector));
        if *home != pod.namespace || !everything || !isolates(spec, direction) {
            continue;
        }
        isolated = true;
        match direction {
            Direction::Ingress => {
                for rule in spec.ingress.iter().flatten() {
                    let peers = world.peers(home, rule.from.as_ref());
                    lines.extend(allow(world, pod, direction, &peers, rule.ports.as_ref()));
                }
            }
            Direction::Egress => {
                for rule in spec.egress.iter().flatten() {
                    let peers = world.peers(home, rule.to.as_ref());
                    lines.extend(allow(world, pod, direction, &peers, rule.ports.as_ref()));
                }
            }
        }
    }
    lines.sort();
    lines.dedup();
    isolated.then(|| lines.concat())
}

fn isolates(spec: &NetworkPolicySpec, direction: Direction) -> bool {
    match &spec.policy_types {
        Some(types) if !types.is_empty() => {
            types.iter().any(|t| t == if direction == Direction::Ingress { "Ingress" } else { "Egress" })
        }
        // The API server fills the field in; this is its rule.
        _ => direction == Direction::Ingress || spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    }
}

/// One line for each peer and port.
fn allow(
    world: &World,
    pod: &Subject,
    direction: Direction,
    peers: &[Peer],
    ports: Option<&Vec<NetworkPolicyPort>>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for peer in peers {
        let Some(who) = address(peer, direction) else { continue };
        match ports.filter(|ports| !ports.is_empty()) {
            None => lines.push(format!("    {who}return\n")),
            Some(ports) => {
                for port in ports {
                    let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
                    match &port.port {
                        None => lines.push(format!("    {who}meta l4proto {protocol} return\n")),
                        Some(IntOrString::Int(first)) => {
                            let last = port.end_port.filter(|last| last > first);
                            let range = last.map(|last| format!("-{last}")).unwrap_or_default();
                            lines.push(format!("    {who}{protocol} dport {first}{range} return\n"));
                        }
                        Some(IntOrString::String(name)) if direction == Direction::Ingress => {
                            for number in pod.port(name, &protocol) {
                                lines.push(format!("    {who}{protocol} dport {number} return\n"));
                            }
                        }
                        Some(IntOrString::String(name)) => lines.extend(named_egress(world, peer, name, &protocol)),
                    }
                }
            }
        }
    }
    lines
}

/// A name in an egress rule is looked up in each pod that the rule lets through; no block of addresses has one.
fn named_egress(world: &World, peer: &Peer, name: &str, protocol: &str) -> Option<String> {
    let reached = |pod: &&Subject| match peer {
        Peer::Anyone => true,
        Peer::Pods(pods) => pods.contains(&pod.ip),
        Peer::Block { .. } => false,
    };
    let pairs: Vec<String> = world
        .pods
        .iter()
        .filter(reached)
        .flat_map(|pod| pod.port(name, protocol).into_iter().map(|number| format!("{} . {number}", pod.ip)))
        .collect();
    (!pairs.is_empty()).then(|| format!("    ip daddr . {protocol} dport {{ {} }} return\n", pairs.join(", ")))
}

/// The match on the peer's address; absent when nobody has it.
fn address(peer: &Peer, direction: Direction) -> Option<String> {
    let field = if direction == Direction::Ingress { "ip saddr" } else { "ip daddr" };
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    match peer {
        Peer::Anyone => Some(String::new()),
        Peer::Pods(pods) if pods.is_empty() => None,
        Peer::Pods(pods) => Some(format!("{field} {{ {} }} ", list(&mut pods.iter().map(ToString::to_string)))),
        Peer::Block { cidr, except } if except.is_empty() => Some(format!("{field} {cidr} ")),
        Peer::Block { cidr, except } => {
            Some(format!("{field} {cidr} {field} != {{ {} }} ", list(&mut except.iter().map(ToString::to_string))))
        }
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
