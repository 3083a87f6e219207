//! Random clusters: two namespaces with an edge each, the system's, strangers', and pods with whatever labels.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use gatehouse_core::children::Common;
use gatehouse_core::desired::desired;
use gatehouse_core::world::{ChildKind, ClaimFacts, LoadBalancerFacts, Meta, NamespaceFacts, ServiceFacts, TargetPort};
use gatehouse_core::{AppKey, Settings, World};
use gatehouse_crds::{
    AdmittedApp, BackendRef, ClaimState, Edge, HostClaimSpec, HostClaimStatus, NetworkPolicyMode, NetworkPolicyPeer,
    NetworkPolicySettings, Placement, RouteRule, SharedLoadBalancerSpec, Subnet, keys,
};
use gatehouse_route::Host;
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::evaluator::{Labels, Pod};

/// `SplitMix64`: small, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// One app, as it was admitted.
#[derive(Clone, Debug)]
pub struct App {
    pub namespace: &'static str,
    pub mode: NetworkPolicyMode,
    pub additional: Vec<NetworkPolicyPeer>,
    /// Service and port of the Service.
    pub uses: Vec<(String, u16)>,
}

/// A Service: its selector and where its ports lead.
#[derive(Clone, Debug)]
pub struct Service {
    pub selector: Labels,
    pub ports: BTreeMap<u16, TargetPort>,
}

#[derive(Debug)]
pub struct Scene {
    pub namespaces: BTreeMap<String, Labels>,
    pub pods: Vec<Pod>,
    pub services: BTreeMap<(&'static str, String), Service>,
    pub apps: Vec<App>,
    pub resolver: IpAddr,
    pub metrics_from: Vec<String>,
    pub policies: Vec<NetworkPolicy>,
}

/// Namespaces with an edge.
pub const TEAMS: [&str; 2] = ["team-a", "team-b"];
const NAMESPACES: [&str; 6] = ["team-a", "team-b", "kube-system", "gatehouse-system", "monitoring", "stranger"];
pub const ALB_SUBNET: &str = "10.0.9.0/28";
/// Where pods listen and nobody does.
pub const PORTS: [u16; 8] = [53, 80, 443, 8080, 8081, 9000, 9090, 10250];
const SERVICE_PORTS: [u16; 3] = [80, 8080, 9000];

pub fn edge_labels() -> Labels {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    [pair(keys::COMPONENT, keys::EDGE), pair(keys::MANAGED_BY, keys::MANAGED_BY_VALUE)].into()
}

/// A few words, so that selectors and pods meet often; among them half of what makes an edge.
fn labels(dice: &mut Dice, percent: usize) -> Labels {
    let words: [(&str, &[&str]); 5] = [
        ("app", &["web", "api", "db"]),
        ("tier", &["front", "back"]),
        ("k8s-app", &["kube-dns", "metrics"]),
        (keys::COMPONENT, &[keys::EDGE, keys::BACKEND]),
        (keys::MANAGED_BY, &[keys::MANAGED_BY_VALUE, "Helm"]),
    ];
    let mut out = Labels::new();
    for (key, values) in words {
        if dice.chance(percent) {
            out.insert(key.to_owned(), (*dice.one(values)).to_owned());
        }
    }
    out
}

/// What a tenant's Service selects: never nothing, and no labels of ours (those would be the tenant's own edge).
fn selector(dice: &mut Dice) -> Labels {
    loop {
        let found: Labels = labels(dice, 50).into_iter().filter(|(key, _)| key == "app" || key == "tier").collect();
        if !found.is_empty() {
            return found;
        }
    }
}

fn peer(dice: &mut Dice) -> NetworkPolicyPeer {
    loop {
        let namespace_labels: Labels = if dice.chance(60) {
            let name = *dice.one(&NAMESPACES);
            let named = ("kubernetes.io/metadata.name".to_owned(), name.to_owned());
            if dice.chance(50) {
                [named].into()
            } else {
                [("team".to_owned(), (*dice.one(&["a", "b"])).to_owned())].into()
            }
        } else {
            Labels::new()
        };
        let pod_labels = labels(dice, 25);
        if !namespace_labels.is_empty() || !pod_labels.is_empty() {
            return NetworkPolicyPeer { namespace_labels, pod_labels };
        }
    }
}

pub fn scene(dice: &mut Dice) -> Scene {
    let mut namespaces = BTreeMap::new();
    for name in NAMESPACES {
        let mut all = Labels::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
        if dice.chance(50) {
            all.insert("team".to_owned(), (*dice.one(&["a", "b"])).to_owned());
        }
        namespaces.insert(name.to_owned(), all);
    }
    let mut pods = Vec::new();
    for (i, namespace) in NAMESPACES.iter().enumerate() {
        for j in 0..3 + dice.below(3) {
            let mut all = labels(dice, 45);
            // Every team has an edge, whatever else there is.
            if j == 0 && TEAMS.contains(namespace) {
                all = edge_labels();
            }
            if j == 0 && *namespace == "kube-system" {
                all.insert("k8s-app".to_owned(), "kube-dns".to_owned());
            }
            // Some pods have addresses in the load balancer's subnet: nobody forbids it.
            let ip = if dice.chance(8) { format!("10.0.9.{}", 1 + pods.len() % 14) } else { format!("10.1.{i}.{j}") };
            let ports = [("http".to_owned(), *dice.one(&SERVICE_PORTS))].into();
            pods.push(Pod { namespace: (*namespace).to_owned(), labels: all, ip: ip.parse().unwrap(), ports });
        }
    }
    let mut services = BTreeMap::new();
    let mut apps = Vec::new();
    for team in TEAMS {
        for i in 0..1 + dice.below(3) {
            let mut ports = BTreeMap::new();
            for port in SERVICE_PORTS {
                if dice.chance(60) {
                    let named = dice.chance(30);
                    let number = *dice.one(&SERVICE_PORTS);
                    let target = if named { TargetPort::Named("http".to_owned()) } else { TargetPort::Number(number) };
                    ports.insert(port, target);
                }
            }
            services.insert((team, format!("s{i}")), Service { selector: selector(dice), ports });
        }
        for _ in 0..1 + dice.below(3) {
            let mode = *dice.one(&[
                NetworkPolicyMode::Enforce,
                NetworkPolicyMode::Enforce,
                NetworkPolicyMode::EdgeOnly,
                NetworkPolicyMode::Off,
            ]);
            let additional = (0..dice.below(3)).map(|_| peer(dice)).collect();
            // Now and then a Service or a port that does not exist.
            let uses =
                (0..1 + dice.below(2)).map(|_| (format!("s{}", dice.below(4)), *dice.one(&SERVICE_PORTS))).collect();
            apps.push(App { namespace: team, mode, additional, uses });
        }
    }
    let resolver = *dice.one(&["172.20.0.10", "169.254.20.10", "fd00:10::a"]);
    let metrics_from = if dice.chance(50) { vec!["monitoring".to_owned()] } else { Vec::new() };
    let mut out = Scene {
        namespaces,
        pods,
        services,
        apps,
        resolver: resolver.parse().unwrap(),
        metrics_from,
        policies: Vec::new(),
    };
    out.policies = TEAMS.iter().flat_map(|team| policies(&out, team)).collect();
    out
}

/// The policies of one namespace, by the way that the operator goes: from claims through `desired` to fragments.
fn policies(scene: &Scene, team: &str) -> Vec<NetworkPolicy> {
    let mut world = World::default();
    let spec = SharedLoadBalancerSpec {
        subnets: vec![Subnet { id: "subnet-0".into(), zone: "a".into(), cidrs: vec![ALB_SUBNET.into()] }],
        edge: Edge {
            port: 8080,
            replicas: 2,
            max_body_size: "1Mi".into(),
            max_timeout: "60s".into(),
            resolver: Some(scene.resolver.to_string()),
            metrics_from: scene.metrics_from.clone(),
            ..Edge::default()
        },
        ..SharedLoadBalancerSpec::default()
    };
    world.load_balancers.insert("public".into(), Arc::new(LoadBalancerFacts { spec, ..Default::default() }));
    let meta = Meta { uid: team.to_owned(), ..Meta::default() };
    world.namespaces.insert(team.to_owned(), Arc::new(NamespaceFacts { meta, ..Default::default() }));
    for ((namespace, name), service) in &scene.services {
        let Service { selector, ports } = service.clone();
        let facts = ServiceFacts { selector, ports, ..Default::default() };
        world.services.insert(AppKey::new(*namespace, name), Arc::new(facts));
    }
    let mut claims = Vec::new();
    for (i, app) in scene.apps.iter().enumerate().filter(|(_, app)| app.namespace == team) {
        let backends = |(service, port): &(String, u16)| BackendRef {
            service: service.clone(),
            port: i32::from(*port),
            weight: None,
        };
        let routes = app.uses.iter().enumerate().map(|(j, used)| RouteRule {
            path: Some(format!("/r{j}")),
            backends: vec![backends(used)],
            ..RouteRule::default()
        });
        let admitted = AdmittedApp {
            generation: 1,
            routes: routes.collect(),
            network_policy: Some(NetworkPolicySettings { mode: app.mode, additional_from: app.additional.clone() }),
            load_balancers: vec!["public".into()],
            ..AdmittedApp::default()
        };
        let host = format!("h{i}.example.com");
        let status = HostClaimStatus {
            state: ClaimState::Held,
            placement: [("public".to_owned(), Placement { shard: 0, from: None })].into(),
            admitted: [(format!("app-{i}"), Box::new(admitted))].into(),
            ..HostClaimStatus::default()
        };
        let spec = HostClaimSpec { host: host.clone(), namespace: team.to_owned(), namespace_uid: team.to_owned() };
        claims.push((Host::parse(&host).unwrap(), Arc::new(ClaimFacts { spec, status, ..Default::default() })));
    }
    let settings = Settings { cluster_dns: scene.resolver, ..Settings::default() };
    let wanted = desired(&world, &settings, &mut Common::new(&world, &settings), team, &claims, &BTreeMap::new());
    let table = wanted.table.expect("hosts are held");
    assert_eq!((table.resolver, wanted.hosts.len()), (scene.resolver, claims.len()));
    let ours = wanted.children.iter().filter(|(key, _)| key.kind == ChildKind::NetworkPolicy);
    ours.map(|(_, fragment)| serde_json::from_str(&fragment.json()).unwrap()).collect()
}
