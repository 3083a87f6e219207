//! Pods and policies as the translation sees them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::{Container, Namespace, Pod};
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

type Labels = BTreeMap<String, String>;

/// A pod with an address of its own.
pub(super) struct Subject {
    pub(super) ip: Ipv4Addr,
    pub(super) namespace: String,
    labels: Labels,
    ports: Vec<(String, String, u16)>,
}

impl Subject {
    fn of(pod: &Pod) -> Option<Subject> {
        let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
        let finished = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if spec.host_network == Some(true) || finished {
            return None;
        }
        let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let named = |container: &Container| -> Vec<(String, String, u16)> {
            let ports = container.ports.iter().flatten();
            ports
                .filter_map(|port| {
                    let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
                    Some((port.name.clone()?, protocol, u16::try_from(port.container_port).ok()?))
                })
                .collect()
        };
        Some(Subject {
            ip: status.pod_ip.as_ref()?.parse().ok()?,
            namespace: pod.metadata.namespace.clone()?,
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            ports: spec.containers.iter().chain(sidecars).flat_map(named).collect(),
        })
    }

    /// The numbers behind a port's name.
    pub(super) fn port(&self, name: &str, protocol: &str) -> BTreeSet<u16> {
        let same = |(n, p, _): &&(String, String, u16)| n == name && p == protocol;
        self.ports.iter().filter(same).map(|(.., number)| *number).collect()
    }

    pub(super) fn selected(&self, selector: &LabelSelector) -> bool {
        matches(selector, &self.labels)
    }
}

/// All pods and the labels of their namespaces.
pub(super) struct World {
    pub(super) pods: Vec<Subject>,
    namespaces: BTreeMap<String, Labels>,
}

/// The other end of a rule.
pub(super) enum Peer {
    Anyone,
    Pods(BTreeSet<Ipv4Addr>),
    Block { cidr: Ipv4Net, except: Vec<Ipv4Net> },
}

impl World {
    pub(super) fn new(pods: &[impl Borrow<Pod>], namespaces: &[impl Borrow<Namespace>]) -> World {
        let mut pods: Vec<Subject> = pods.iter().filter_map(|pod| Subject::of(pod.borrow())).collect();
        pods.sort_by_key(|pod| pod.ip);
        let namespaces = namespaces
            .iter()
            .filter_map(|namespace| {
                let meta = &namespace.borrow().metadata;
                Some((meta.name.clone()?, meta.labels.clone().unwrap_or_default()))
            })
            .collect();
        World { pods, namespaces }
    }

    /// The peers of a rule of a policy in `home`. No list at all, and an empty one, mean everybody; items add up, and
    /// the selectors within one item both have to match.
    pub(super) fn peers(&self, home: &str, items: Option<&Vec<NetworkPolicyPeer>>) -> Vec<Peer> {
        match items {
            None => vec![Peer::Anyone],
            Some(items) if items.is_empty() => vec![Peer::Anyone],
            Some(items) => items.iter().filter_map(|item| self.peer(home, item)).collect(),
        }
    }

    fn peer(&self, home: &str, item: &NetworkPolicyPeer) -> Option<Peer> {
        if let Some(block) = &item.ip_block {
            return self::block(block);
        }
        let (pod_selector, namespace_selector) = (item.pod_selector.as_ref(), item.namespace_selector.as_ref());
        if pod_selector.is_none() && namespace_selector.is_none() {
            return None;
        }
        let chosen = |pod: &&Subject| {
            let namespace = match namespace_selector {
                None => pod.namespace == home,
                Some(selector) => self.namespaces.get(&pod.namespace).is_some_and(|labels| matches(selector, labels)),
            };
            namespace && pod_selector.is_none_or(|selector| pod.selected(selector))
        };
        Some(Peer::Pods(self.pods.iter().filter(chosen).map(|pod| pod.ip).collect()))
    }
}

/// An IPv6 block names nobody here.
fn block(block: &IPBlock) -> Option<Peer> {
    let cidr: Ipv4Net = block.cidr.parse().ok()?;
    let except = block.except.iter().flatten().filter_map(|text| text.parse::<Ipv4Net>().ok());
    // nft refuses a set whose elements overlap.
    let except = Ipv4Net::aggregate(&except.map(|net| net.trunc()).collect());
    Some(Peer::Block { cidr: cidr.trunc(), except })
}

/// The API server has validated the selector; one that cannot be read selects nothing.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}
