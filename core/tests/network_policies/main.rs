//! Only the edge reaches an app's port: proven over random clusters by a reader of NetworkPolicy that knows nothing of
//! how they are written.
//!
//! `POLICY_SEEDS=100000 POLICY_FROM=7 cargo test -p gatehouse-core --test network_policies -- --nocapture`
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod evaluator;
mod scene;

use std::net::IpAddr;

use gatehouse_core::world::TargetPort;
use gatehouse_crds::{NetworkPolicyMode, NetworkPolicyPeer};
use k8s_openapi::api::networking::v1::{NetworkPolicyPeer as PolicyPeer, NetworkPolicySpec};

use evaluator::{Cluster, End, Labels, Pod};
use scene::{ALB_SUBNET, App, Dice, PORTS, Scene, TEAMS, edge_labels};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// Runs the check on many clusters; a failure names its seed.
fn over_clusters(check: impl Fn(&Scene, &Cluster<'_>) -> usize) {
    let (seeds, from) = (number("POLICY_SEEDS", 400), number("POLICY_FROM", 1));
    eprintln!("seeds {from} to {}", from + seeds - 1);
    let mut asked = 0;
    for seed in from..from + seeds {
        let scene = scene::scene(&mut Dice(seed));
        for blocks_take_pods in [true, false] {
            let cluster = Cluster { namespaces: &scene.namespaces, policies: &scene.policies, blocks_take_pods };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&scene, &cluster)));
            asked += result.unwrap_or_else(|_| panic!("seed {seed}: POLICY_SEEDS=1 POLICY_FROM={seed}"));
        }
    }
    eprintln!("{asked} connections judged");
    assert!(asked > 0, "nothing was judged");
}

fn holds(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn is_edge(pod: &Pod, team: &str) -> bool {
    pod.namespace == team && holds(&edge_labels(), &pod.labels)
}

/// The apps of a namespace that close their pods, with each Service that exists and has the port.
fn closing<'a>(scene: &'a Scene, team: &'a str) -> impl Iterator<Item = (&'a App, &'a scene::Service, &'a str)> {
    let apps = scene.apps.iter().filter(move |app| app.namespace == team && app.mode == NetworkPolicyMode::Enforce);
    apps.flat_map(move |app| {
        app.uses.iter().filter_map(move |(name, port)| {
            let (_, service) = scene.services.iter().find(|((ns, n), _)| *ns == team && n == name)?;
            service.ports.contains_key(port).then_some((app, service, name.as_str()))
        })
    })
}

/// The ports of a pod that any app of the namespace uses through this Service.
fn used(scene: &Scene, team: &str, name: &str, pod: &Pod) -> Vec<u16> {
    let apps = scene.apps.iter().filter(|app| app.namespace == team);
    let ports = apps.flat_map(|app| &app.uses).filter(|(n, _)| n == name).map(|(_, port)| port);
    let service = scene.services.iter().find(|((ns, n), _)| *ns == team && n == name).unwrap().1;
    ports
        .filter_map(|port| match service.ports.get(port)? {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Named(name) => pod.ports.get(name).copied(),
        })
        .collect()
}

fn is_peer(scene: &Scene, team: &str, peer: &NetworkPolicyPeer, pod: &Pod) -> bool {
    let namespace = if peer.namespace_labels.is_empty() {
        pod.namespace == team
    } else {
        holds(&peer.namespace_labels, &scene.namespaces[&pod.namespace])
    };
    namespace && holds(&peer.pod_labels, &pod.labels)
}

/// Whether the edge of a namespace has policies of its own: every app must say Off to go without.
fn edge_is_closed(scene: &Scene, team: &str) -> bool {
    scene.apps.iter().any(|app| app.namespace == team && app.mode != NetworkPolicyMode::Off)
}

fn in_subnet(ip: IpAddr) -> bool {
    ALB_SUBNET.parse::<ipnet::IpNet>().unwrap().contains(&ip)
}

/// Who may come in, said in the words of the apps and not of the policies.
fn may_enter(scene: &Scene, cluster: &Cluster<'_>, from: End<'_>, to: &Pod, port: u16) -> bool {
    let team = to.namespace.as_str();
    if !TEAMS.contains(&team) {
        return true;
    }
    let mut closed = false;
    if edge_is_closed(scene, team) && is_edge(to, team) {
        closed = true;
        let balancer = match from {
            End::Pod(pod) => cluster.blocks_take_pods && in_subnet(pod.ip),
            End::Address(ip) => in_subnet(ip),
        };
        let of = |namespace: &str| matches!(from, End::Pod(pod) if pod.namespace == namespace);
        if (balancer && (port == 8080 || port == 8081))
            || (of("gatehouse-system") && port == 8081)
            || (scene.metrics_from.iter().any(|name| of(name)) && port == 9090)
        {
            return true;
        }
    }
    for (app, service, name) in closing(scene, team) {
        if !holds(&service.selector, &to.labels) {
            continue;
        }
        closed = true;
        let End::Pod(pod) = from else { continue };
        if is_edge(pod, team) && used(scene, team, name, to).contains(&port) {
            return true;
        }
        if app.additional.iter().any(|peer| is_peer(scene, team, peer, pod)) {
            return true;
        }
    }
    !closed
}

/// Where an edge may go: its own namespace's pods, and DNS.
fn may_leave(scene: &Scene, cluster: &Cluster<'_>, from: &Pod, to: End<'_>, port: u16) -> bool {
    let team = from.namespace.as_str();
    if !TEAMS.contains(&team) || !is_edge(from, team) || !edge_is_closed(scene, team) {
        return true;
    }
    let node_local: IpAddr = "169.254.20.10".parse().unwrap();
    let is_dns = |ip: IpAddr| port == 53 && (ip == scene.resolver || (scene.resolver.is_ipv4() && ip == node_local));
    match to {
        End::Pod(pod) => {
            pod.namespace == team
                || (pod.namespace == "kube-system" && pod.labels.get("k8s-app").is_some_and(|app| app == "kube-dns"))
                || (cluster.blocks_take_pods && is_dns(pod.ip))
        }
        End::Address(ip) => is_dns(ip),
    }
}

fn outside() -> Vec<IpAddr> {
    // The load balancer, the internet, a node, the API server's Service and address, DNS in its forms, and the addresses
    // at which a node gives its credentials away.
    [
        "10.0.9.5",
        "203.0.113.7",
        "10.1.200.1",
        "172.20.0.1",
        "10.1.200.2",
        "172.20.0.10",
        "169.254.20.10",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd00:10::a",
        "fd00:10::1",
        "2001:db8::7",
    ]
    .map(|text| text.parse().unwrap())
    .into()
}

/// The first connection on which policies and apps differ, and how many were asked.
fn difference(scene: &Scene, cluster: &Cluster<'_>) -> (usize, Option<String>) {
    let mut asked = 0;
    let ends = || scene.pods.iter().map(End::Pod).chain(outside().into_iter().map(End::Address));
    for (from, to) in ends().flat_map(|from| ends().map(move |to| (from, to))) {
        if matches!((from, to), (End::Address(_), End::Address(_))) {
            continue;
        }
        for port in PORTS {
            let leaves = match from {
                End::Pod(pod) => may_leave(scene, cluster, pod, to, port),
                End::Address(_) => true,
            };
            let enters = match to {
                End::Pod(pod) => may_enter(scene, cluster, from, pod, port),
                End::Address(_) => true,
            };
            if cluster.admits(from, to, "TCP", port) != (leaves && enters) {
                let difference = format!("{from:?} -> {to:?}:{port} should be {}\n{:#?}", leaves && enters, scene.apps);
                return (asked, Some(difference));
            }
            asked += 1;
        }
    }
    (asked, None)
}

#[test]
fn policies_say_what_the_apps_say() {
    over_clusters(|scene, cluster| {
        let (asked, found) = difference(scene, cluster);
        assert_eq!(found, None);
        asked
    });
}

/// The comparison must not be blind: each of these mistakes is found.
#[test]
fn a_wrong_policy_is_found() {
    type Mistake = fn(&mut NetworkPolicySpec);
    let mistakes: [(&str, Mistake); 8] = [
        ("no rule", |spec| drop(spec.ingress.take())),
        ("a rule for everybody", |spec| {
            spec.ingress.iter_mut().flatten().for_each(|rule| rule.from = Some(Vec::new()))
        }),
        ("every port of the edge's", |spec| spec.ingress.iter_mut().flatten().for_each(|rule| rule.ports = None)),
        ("other pods", |spec| spec.pod_selector = None),
        ("only Ingress", |spec| spec.policy_types = Some(vec!["Ingress".to_owned()])),
        ("every port of the resolver's", |spec| spec.egress.iter_mut().flatten().for_each(|rule| rule.ports = None)),
        ("no DNS by address", |spec| {
            spec.egress.iter_mut().flatten().for_each(|rule| {
                rule.to.iter_mut().flatten().for_each(|peer| peer.ip_block = None);
            })
        }),
        ("and that became or", |spec| {
            for peers in spec.egress.iter_mut().flatten().filter_map(|rule| rule.to.as_mut()) {
                let split = peers
                    .iter()
                    .filter(|peer| peer.namespace_selector.is_some() && peer.pod_selector.is_some())
                    .cloned();
                let alone: Vec<_> = split.map(|peer| PolicyPeer { pod_selector: None, ..peer }).collect();
                peers.extend(alone);
            }
        }),
    ];
    for (name, mistake) in mistakes {
        let found = (1..=40).filter(|seed| {
            let mut scene = scene::scene(&mut Dice(*seed));
            scene.policies.iter_mut().filter_map(|policy| policy.spec.as_mut()).for_each(mistake);
            let cluster = Cluster { namespaces: &scene.namespaces, policies: &scene.policies, blocks_take_pods: true };
            difference(&scene, &cluster).1.is_some()
        });
        assert!(found.count() > 3, "{name} is not seen");
    }
}

/// The sentence itself, without the oracle: nobody named, nobody comes; and the edge always does.
#[test]
fn only_the_edge_reaches_an_apps_port() {
    over_clusters(|scene, cluster| {
        let mut asked = 0;
        for team in TEAMS {
            let named: Vec<&NetworkPolicyPeer> = closing(scene, team).flat_map(|(app, _, _)| &app.additional).collect();
            for (_, service, name) in closing(scene, team) {
                for to in scene.pods.iter().filter(|pod| pod.namespace == team && holds(&service.selector, &pod.labels))
                {
                    for port in used(scene, team, name, to) {
                        for from in &scene.pods {
                            asked += 1;
                            let admitted = cluster.admits(End::Pod(from), End::Pod(to), "TCP", port);
                            if is_edge(from, team) {
                                assert!(admitted, "the edge is kept out: {from:?} -> {to:?}:{port}");
                            } else if !named.iter().any(|peer| is_peer(scene, team, peer, from)) && !is_edge(to, team) {
                                assert!(!admitted, "a stranger comes in: {from:?} -> {to:?}:{port}");
                            }
                            // The policies are of TCP.
                            let datagram = cluster.admits(End::Pod(from), End::Pod(to), "UDP", port);
                            assert!(
                                !datagram || named.iter().any(|peer| is_peer(scene, team, peer, from)),
                                "UDP {from:?}"
                            );
                        }
                        for from in outside() {
                            let admitted = cluster.admits(End::Address(from), End::Pod(to), "TCP", port);
                            assert!(!admitted || is_edge(to, team), "{from} -> {to:?}:{port}");
                        }
                    }
                }
            }
        }
        asked.max(1)
    });
}

#[test]
fn the_edge_goes_nowhere_else() {
    over_clusters(|scene, cluster| {
        let mut asked = 0;
        for team in TEAMS.into_iter().filter(|team| edge_is_closed(scene, team)) {
            for edge in scene.pods.iter().filter(|pod| is_edge(pod, team)) {
                for (protocol, port) in PORTS.into_iter().flat_map(|port| [("TCP", port), ("UDP", port)]) {
                    for to in outside() {
                        let expected = may_leave(scene, cluster, edge, End::Address(to), port);
                        assert_eq!(
                            cluster.admits(End::Pod(edge), End::Address(to), protocol, port),
                            expected,
                            "{protocol} {to}:{port}"
                        );
                        asked += 1;
                    }
                    // Said once more without the oracle: credentials and the API server are out of reach.
                    for to in [
                        "169.254.169.254",
                        "169.254.170.2",
                        "169.254.170.23",
                        "fd00:ec2::254",
                        "fd00:ec2::23",
                        "172.20.0.1",
                        "10.1.200.2",
                    ] {
                        let to = End::Address(to.parse().unwrap());
                        assert!(!cluster.admits(End::Pod(edge), to, protocol, port), "{protocol} {to:?}:{port}");
                    }
                }
                // DNS: by both protocols, at the Service's address (EKS Auto Mode has no pods of it) and at its pods.
                for protocol in ["UDP", "TCP"] {
                    assert!(cluster.admits(End::Pod(edge), End::Address(scene.resolver), protocol, 53));
                    let pods = scene.pods.iter().filter(|pod| pod.namespace == "kube-system");
                    for dns in pods.filter(|pod| pod.labels.get("k8s-app").is_some_and(|app| app == "kube-dns")) {
                        assert!(cluster.admits(End::Pod(edge), End::Pod(dns), protocol, 53));
                    }
                }
            }
        }
        asked.max(1)
    });
}

/// What is dangerous in the words of a policy is not in ours: an empty list means everybody, an exception breaks unions
/// on the VPC CNI, and an address with host bits is refused.
#[test]
fn policies_are_plain() {
    over_clusters(|scene, _| {
        for policy in &scene.policies {
            let spec = policy.spec.as_ref().unwrap();
            assert!(spec.policy_types.is_some(), "{policy:?}");
            let ingress = spec.ingress.iter().flatten().map(|rule| (rule.from.as_ref(), rule.ports.as_ref()));
            let egress = spec.egress.iter().flatten().map(|rule| (rule.to.as_ref(), rule.ports.as_ref()));
            for (peers, ports) in ingress.chain(egress) {
                assert!(peers.is_some_and(|peers| !peers.is_empty()), "everybody: {policy:?}");
                assert!(ports.is_none_or(|ports| !ports.is_empty() && ports.len() <= 24), "{policy:?}");
                for block in peers.into_iter().flatten().filter_map(|peer| peer.ip_block.as_ref()) {
                    let net: ipnet::IpNet = block.cidr.parse().unwrap();
                    assert_eq!((net.trunc(), &block.except), (net, &None), "{policy:?}");
                }
            }
        }
        scene.policies.len().max(1)
    });
}
