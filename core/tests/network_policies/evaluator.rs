//! NetworkPolicy as the API describes it: who may open a connection to whom, as a pure function of policies.
//!
//! Written from the API's own words and from nothing of the renderer. Left out is what no policy can change: traffic from
//! a pod's own node is always let in, and pods of the host network are not covered.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub type Labels = BTreeMap<String, String>;

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub labels: Labels,
    pub ip: IpAddr,
    /// Named container ports.
    pub ports: BTreeMap<String, u16>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    Pod(&'a Pod),
    /// Whatever is no pod: a load balancer, the API server, the node's metadata.
    Address(IpAddr),
}

impl End<'_> {
    fn ip(&self) -> IpAddr {
        match self {
            End::Pod(pod) => pod.ip,
            End::Address(ip) => *ip,
        }
    }
}

/// What policies see of a cluster.
pub struct Cluster<'a> {
    /// Labels of namespaces.
    pub namespaces: &'a BTreeMap<String, Labels>,
    pub policies: &'a [NetworkPolicy],
    /// Whether an ipBlock takes pods with such an address too: the VPC CNI says yes, Cilium no, the API leaves it open.
    pub blocks_take_pods: bool,
}

impl Cluster<'_> {
    /// Whether `from` may open a connection to `to`.
    pub fn admits(&self, from: End<'_>, to: End<'_>, protocol: &str, port: u16) -> bool {
        let out = match from {
            End::Pod(pod) => self.side(pod, "Egress", to, to, protocol, port),
            End::Address(_) => true,
        };
        out && match to {
            End::Pod(pod) => self.side(pod, "Ingress", from, to, protocol, port),
            End::Address(_) => true,
        }
    }

    /// Policies add up: a side is open when no policy of that side selects the pod, or one of them has a rule for it.
    fn side(&self, pod: &Pod, side: &str, peer: End<'_>, to: End<'_>, protocol: &str, port: u16) -> bool {
        let mut selected = false;
        for policy in self.policies {
            let Some(spec) = &policy.spec else { continue };
            let everybody = LabelSelector::default();
            if policy.metadata.namespace.as_deref() != Some(&pod.namespace)
                || !selects(spec.pod_selector.as_ref().unwrap_or(&everybody), &pod.labels)
            {
                continue;
            }
            let types = spec.policy_types.clone().unwrap_or_else(|| {
                let egress = spec.egress.is_some().then(|| "Egress".to_owned());
                ["Ingress".to_owned()].into_iter().chain(egress).collect()
            });
            if !types.iter().any(|t| t == side) {
                continue;
            }
            selected = true;
            let rules: Vec<_> = if side == "Ingress" {
                spec.ingress.iter().flatten().map(|rule| (rule.from.as_ref(), rule.ports.as_ref())).collect()
            } else {
                spec.egress.iter().flatten().map(|rule| (rule.to.as_ref(), rule.ports.as_ref())).collect()
            };
            let open = rules.into_iter().any(|(peers, ports)| {
                // Absent and empty mean the same: everybody, every port.
                let peers = peers
                    .is_none_or(|peers| peers.is_empty() || peers.iter().any(|one| self.is(one, &pod.namespace, peer)));
                let ports = ports
                    .is_none_or(|ports| ports.is_empty() || ports.iter().any(|one| takes(one, to, protocol, port)));
                peers && ports
            });
            if open {
                return true;
            }
        }
        !selected
    }

    /// One item of `from` or `to`: selectors in one item must hold together.
    fn is(&self, item: &NetworkPolicyPeer, own: &str, peer: End<'_>) -> bool {
        if let Some(block) = &item.ip_block {
            assert!(
                item.pod_selector.is_none() && item.namespace_selector.is_none(),
                "the API server refuses {item:?}"
            );
            let inside = |cidr: &String| cidr.parse::<ipnet::IpNet>().unwrap().contains(&peer.ip());
            let counts = self.blocks_take_pods || matches!(peer, End::Address(_));
            return counts && inside(&block.cidr) && !block.except.iter().flatten().any(inside);
        }
        let End::Pod(pod) = peer else { return false };
        let namespace = match &item.namespace_selector {
            Some(selector) => selects(selector, &self.namespaces[&pod.namespace]),
            None => pod.namespace == own,
        };
        namespace && item.pod_selector.as_ref().is_none_or(|selector| selects(selector, &pod.labels))
    }
}

fn takes(item: &NetworkPolicyPort, to: End<'_>, protocol: &str, port: u16) -> bool {
    if item.protocol.as_deref().unwrap_or("TCP") != protocol {
        return false;
    }
    match (&item.port, to) {
        (None, _) => true,
        (Some(IntOrString::Int(first)), _) => (*first..=item.end_port.unwrap_or(*first)).contains(&i32::from(port)),
        // A name means the port that the receiving pod gives it.
        (Some(IntOrString::String(name)), End::Pod(pod)) => pod.ports.get(name) == Some(&port),
        (Some(IntOrString::String(_)), End::Address(_)) => false,
    }
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|one| {
            let value = labels.get(&one.key);
            let listed = value.is_some_and(|value| one.values.iter().flatten().any(|v| v == value));
            match one.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => panic!("operator {other}"),
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(namespace: &str, labels: &[(&str, &str)], ip: &str) -> Pod {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Pod {
            namespace: namespace.to_owned(),
            labels,
            ip: ip.parse().unwrap(),
            ports: [("http".to_owned(), 80)].into(),
        }
    }

    /// The examples of the API's own documentation, and what people get wrong.
    #[test]
    fn the_evaluator_reads_policies_as_the_api_does() {
        let namespaces: BTreeMap<String, Labels> =
            ["a", "b"].map(|name| (name.to_owned(), Labels::from([("name".to_owned(), name.to_owned())]))).into();
        let (web, db, far) = (
            pod("a", &[("app", "web")], "10.0.0.1"),
            pod("a", &[("app", "db")], "10.0.0.2"),
            pod("b", &[("app", "web")], "10.0.1.1"),
        );
        let outside = End::Address("192.0.2.1".parse().unwrap());
        let judge = |specs: &[Value], from: End<'_>, to: End<'_>, port: u16| {
            let policies: Vec<NetworkPolicy> = specs
                .iter()
                .map(|spec| serde_json::from_value(json!({"metadata": {"namespace": "a"}, "spec": spec})).unwrap())
                .collect();
            Cluster { namespaces: &namespaces, policies: &policies, blocks_take_pods: true }
                .admits(from, to, "TCP", port)
        };
        let (web, db, far) = (End::Pod(&web), End::Pod(&db), End::Pod(&far));
        let of_db = |ingress: Value| json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": ingress});
        let select = |what: &str, value: &str| json!({ what: {"matchLabels": {if what == "podSelector" { "app" } else { "name" }: value}} });
        let merged = |one: Value, other: Value| {
            let mut one = one;
            one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
            one
        };
        for (specs, expected) in [
            (vec![], [true, true, true]),
            (vec![json!({"podSelector": {}, "policyTypes": ["Egress"]})], [false, true, true]),
            (vec![of_db(json!([]))], [false, false, false]),
            (vec![of_db(json!([{}]))], [true, true, true]),
            (vec![of_db(json!([{"from": []}]))], [true, true, true]),
            (vec![of_db(json!([{"from": [{"podSelector": {}}]}]))], [true, false, false]),
            (vec![of_db(json!([{"from": [{"namespaceSelector": {}}]}]))], [true, true, false]),
            (vec![of_db(json!([{"from": [select("podSelector", "web")]}]))], [true, false, false]),
            // In one item: and. In two: or.
            (
                vec![of_db(
                    json!([{"from": [merged(select("podSelector", "web"), select("namespaceSelector", "b"))]}]),
                )],
                [false, true, false],
            ),
            (
                vec![of_db(json!([{"from": [select("podSelector", "web"), select("namespaceSelector", "b")]}]))],
                [true, true, false],
            ),
            (vec![of_db(json!([{"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]))], [false, false, true]),
            (
                vec![of_db(json!([{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.1.0/24"]}}]}]))],
                [true, false, true],
            ),
            (vec![of_db(json!([{"ports": [{"port": 80}]}]))], [true, true, true]),
            (vec![of_db(json!([{"ports": [{"port": "http"}]}]))], [true, true, true]),
            (vec![of_db(json!([{"ports": [{"port": 70, "endPort": 79}]}]))], [false, false, false]),
            (vec![of_db(json!([{"ports": [{"port": 80, "protocol": "UDP"}]}]))], [false, false, false]),
            // Policies add up.
            (vec![of_db(json!([])), of_db(json!([{"from": [select("podSelector", "web")]}]))], [true, false, false]),
        ] {
            let got = [web, far, outside].map(|from| judge(&specs, from, db, 80));
            assert_eq!(got, expected, "{specs:?}");
        }
    }
}
