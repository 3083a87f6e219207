//! Children of a namespace: the exact fragments for server-side apply.
//!
//! Nothing is copied from parents (labels and annotations of tools would make them prune our children), and every
//! child carries the hash of its fragment so that a new leader need not apply what already stands.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gatehouse_crds::{NetworkPolicyPeer, keys};
use gatehouse_route::{Label, Port, RouteTable, short_hash};
use serde_json::{Value, json};

use crate::desired::{BackendService, subnet_cidrs};
use crate::identity::twin_name;
use crate::settings::{EdgePods, Settings};
use crate::world::{ChildKey, ChildKind, World};

/// Where a DNS cache on the node listens, by the convention of Kubernetes' own.
const NODE_LOCAL_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10));

/// Seconds an edge goes on serving after it was told to stop: longer than the deregistration delay.
const DRAIN_SECONDS: u32 = 30;

impl ChildKind {
    /// apiVersion and kind.
    #[must_use]
    pub fn api(self) -> (&'static str, &'static str) {
        match self {
            ChildKind::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy"),
            ChildKind::ServiceAccount => ("v1", "ServiceAccount"),
            ChildKind::ConfigMap => ("v1", "ConfigMap"),
            ChildKind::Service => ("v1", "Service"),
            ChildKind::Deployment => ("apps/v1", "Deployment"),
            ChildKind::PodDisruptionBudget => ("policy/v1", "PodDisruptionBudget"),
        }
    }
}

/// One child as it should be: the exact fragment for server-side apply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// apiVersion and kind, up to the opening of the metadata.
    head: String,
    /// The metadata but for the annotation with the hash.
    metadata: String,
    /// The rest, as many namespaces share it.
    section: Arc<str>,
    /// Hash of the fragment.
    pub hash: String,
    /// For the ConfigMap, the hash of the table in it.
    pub content: Option<String>,
}

impl Fragment {
    fn new(key: &ChildKey, component: &str, content: Option<String>, section: Arc<str>) -> Self {
        let (api_version, kind) = key.kind.api();
        let head = format!("{{\"apiVersion\":\"{api_version}\",\"kind\":\"{kind}\",\"metadata\":{{");
        let labels = json!({ keys::MANAGED_BY: keys::MANAGED_BY_VALUE, keys::COMPONENT: component });
        let (name, namespace) = (json!(key.name), json!(key.namespace));
        let metadata = format!("\"labels\":{labels},\"name\":{name},\"namespace\":{namespace}");
        let hash = short_hash(format!("{head}{metadata}}},{section}}}").as_bytes(), 8);
        Fragment { head, metadata, section, hash, content }
    }

    /// The JSON, with its hash in an annotation.
    #[must_use]
    pub fn json(&self) -> String {
        let Fragment { head, metadata, section, hash, .. } = self;
        format!("{head}\"annotations\":{{\"{}\":\"{hash}\"}},{metadata}}},{section}}}", keys::FRAGMENT)
    }
}

/// `"name":value`, the way a section of a fragment is written.
fn section(name: &str, value: &Value) -> Arc<str> {
    format!("\"{name}\":{value}").into()
}

/// What Deployment and policy of an edge depend on: its ports, their load balancers, and the resolver.
type EdgeKind = (Vec<(Port, Label)>, IpAddr);

/// What the edges of namespaces have in common: made once for many of them.
pub struct Common<'a> {
    world: &'a World,
    settings: &'a Settings,
    account: Arc<str>,
    budget: Arc<str>,
    service: Arc<str>,
    edges: BTreeMap<EdgeKind, (Arc<str>, Arc<str>)>,
}

impl<'a> Common<'a> {
    /// Of this world.
    #[must_use]
    pub fn new(world: &'a World, settings: &'a Settings) -> Self {
        let budget = json!({ "maxUnavailable": 1, "selector": { "matchLabels": edge_labels() } });
        let metrics = json!({ "name": "metrics", "port": keys::METRICS_PORT, "protocol": "TCP" });
        let service = json!({ "clusterIP": "None", "selector": edge_labels(), "ports": [metrics] });
        Common {
            world,
            settings,
            account: section("automountServiceAccountToken", &json!(false)),
            budget: section("spec", &budget),
            service: section("spec", &service),
            edges: BTreeMap::new(),
        }
    }

    fn edge(&mut self, table: &RouteTable) -> (Arc<str>, Arc<str>) {
        let ports = table.ports.iter().map(|(port, served)| (*port, served.load_balancer.clone())).collect();
        let made = self.edges.entry((ports, table.resolver)).or_insert_with(|| {
            let deployment = deployment(self.world, self.settings, table);
            (section("spec", &deployment), section("spec", &edge_policy(self.world, self.settings, table)))
        });
        made.clone()
    }

    /// Every child of a namespace with this table.
    #[must_use]
    pub fn fragments(
        &mut self,
        namespace: &str,
        table: &RouteTable,
        edge_policies: bool,
        backends: &[BackendService],
    ) -> BTreeMap<ChildKey, Fragment> {
        let mut out = BTreeMap::new();
        let mut put = |kind: ChildKind, name: &str, component: &str, content: Option<String>, section: Arc<str>| {
            let key = ChildKey { kind, namespace: namespace.to_owned(), name: name.to_owned() };
            let fragment = Fragment::new(&key, component, content, section);
            out.insert(key, fragment);
        };
        let (name, edge) = (keys::EDGE_NAME, keys::EDGE);
        let text = table.to_json();
        let content = Some(RouteTable::hash_of(&text));
        let (deployment, policy) = self.edge(table);
        put(ChildKind::ServiceAccount, name, edge, None, self.account.clone());
        put(ChildKind::ConfigMap, name, edge, content, section("data", &json!({ keys::TABLE_KEY: text })));
        put(ChildKind::Deployment, name, edge, None, deployment);
        put(ChildKind::PodDisruptionBudget, name, edge, None, self.budget.clone());
        put(ChildKind::Service, name, edge, None, self.service.clone());
        if edge_policies {
            put(ChildKind::NetworkPolicy, name, edge, None, policy);
        }
        for backend in backends {
            let name = twin_name(&backend.service);
            put(ChildKind::Service, &name, keys::BACKEND, None, section("spec", &twin(backend)));
            if let Some(peers) = &backend.closed_to {
                let policy = section("spec", &backend_policy(backend, peers));
                put(ChildKind::NetworkPolicy, &name, keys::BACKEND, None, policy);
            }
        }
        out
    }
}

/// Labels by which edge pods are selected inside their namespace.
fn edge_labels() -> Value {
    json!({ keys::COMPONENT: keys::EDGE, keys::MANAGED_BY: keys::MANAGED_BY_VALUE })
}

fn deployment(world: &World, settings: &Settings, table: &RouteTable) -> Value {
    let balancers: Vec<_> =
        table.ports.values().filter_map(|p| world.load_balancers.get(p.load_balancer.as_str())).collect();
    let replicas = balancers.iter().map(|lb| lb.spec.edge.replicas).max().unwrap_or(2);
    let image =
        balancers.iter().find_map(|lb| lb.spec.edge.image.clone()).unwrap_or_else(|| settings.edge_image.clone());
    let mut resources = json!({ "requests": { "cpu": "10m", "memory": "32Mi" }, "limits": { "memory": "256Mi" } });
    if let Some(own) = &settings.edge_pods.resources {
        resources = json!({ "requests": own.requests, "limits": own.limits });
    }
    if let Some(lb) = balancers.iter().find(|lb| lb.spec.edge.resources != gatehouse_crds::Resources::default()) {
        resources = json!({ "requests": lb.spec.edge.resources.requests, "limits": lb.spec.edge.resources.limits });
    }
    let mut ports: Vec<Value> = table
        .ports
        .keys()
        .map(|p| json!({ "name": format!("p{}", p.get()), "containerPort": p.get(), "protocol": "TCP" }))
        .collect();
    ports.push(json!({ "name": "admin", "containerPort": keys::ADMIN_PORT, "protocol": "TCP" }));
    ports.push(json!({ "name": "metrics", "containerPort": keys::METRICS_PORT, "protocol": "TCP" }));
    let mut deployment = json!({
        "replicas": replicas,
        "revisionHistoryLimit": 2,
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "selector": { "matchLabels": edge_labels() },
        "template": {
            "metadata": { "labels": edge_labels() },
            "spec": {
                "serviceAccountName": keys::EDGE_NAME,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 75,
                "readinessGates": [{ "conditionType": keys::TARGET_HEALTHY }],
                "topologySpreadConstraints": [{
                    "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": { "matchLabels": edge_labels() },
                }],
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [{
                    "name": "edge",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "args": [
                        format!("--table=/etc/gatehouse/{}", keys::TABLE_KEY),
                        format!("--admin-port={}", keys::ADMIN_PORT),
                        format!("--metrics-port={}", keys::METRICS_PORT),
                        format!("--drain={DRAIN_SECONDS}"),
                    ],
                    "ports": ports,
                    "readinessProbe": { "httpGet": { "path": "/readyz", "port": "admin" }, "periodSeconds": 2, "failureThreshold": 2 },
                    "startupProbe": { "httpGet": { "path": "/readyz", "port": "admin" }, "periodSeconds": 1, "failureThreshold": 60 },
                    "livenessProbe": { "httpGet": { "path": "/livez", "port": "admin" }, "periodSeconds": 10, "timeoutSeconds": 3 },
                    "resources": resources,
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
                    },
                    "volumeMounts": [
                        { "name": "table", "mountPath": "/etc/gatehouse", "readOnly": true },
                        { "name": "tmp", "mountPath": "/tmp" },
                    ],
                }],
                "volumes": [
                    { "name": "table", "configMap": { "name": keys::EDGE_NAME } },
                    { "name": "tmp", "emptyDir": { "sizeLimit": "1Gi" } },
                ],
            },
        },
    });
    on_nodes(&settings.edge_pods, &mut deployment["template"]["spec"]);
    deployment
}

/// What is not set is not written: a field that appears rolls every edge.
fn on_nodes(pods: &EdgePods, spec: &mut Value) {
    if !pods.image_pull_secrets.is_empty() {
        spec["imagePullSecrets"] = pods.image_pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    }
    if !pods.node_selector.is_empty() {
        spec["nodeSelector"] = json!(pods.node_selector);
    }
    if !pods.tolerations.is_empty() {
        spec["tolerations"] = json!(pods.tolerations);
    }
    if let Some(class) = &pods.priority_class {
        spec["priorityClassName"] = json!(class);
    }
}

/// A headless copy of the tenant's Service: its name resolves to pods, so that pod churn needs no reload.
fn twin(backend: &BackendService) -> Value {
    let ports: Vec<Value> = backend
        .ports
        .iter()
        .map(|(number, name)| {
            if name.is_empty() {
                json!({ "name": format!("p{number}"), "port": number, "targetPort": number, "protocol": "TCP" })
            } else {
                // The number of a headless port is not used; the SRV record carries the pod's own.
                json!({ "name": name, "port": 1, "targetPort": name, "protocol": "TCP" })
            }
        })
        .collect();
    json!({ "clusterIP": "None", "selector": backend.selector, "ports": ports })
}

/// The app's pods: from the edge on the used ports, and from whom the app names.
fn backend_policy(backend: &BackendService, peers: &[NetworkPolicyPeer]) -> Value {
    let ports: Vec<Value> = backend
        .ports
        .iter()
        .map(|(number, name)| json!({ "protocol": "TCP", "port": if name.is_empty() { json!(number) } else { json!(name) } }))
        .collect();
    let mut ingress = vec![json!({ "from": [{ "podSelector": { "matchLabels": edge_labels() } }], "ports": ports })];
    for peer in peers {
        let mut from = json!({});
        if !peer.pod_labels.is_empty() || peer.namespace_labels.is_empty() {
            from["podSelector"] = json!({ "matchLabels": peer.pod_labels });
        }
        if !peer.namespace_labels.is_empty() {
            from["namespaceSelector"] = json!({ "matchLabels": peer.namespace_labels });
        }
        ingress.push(json!({ "from": [from] }));
    }
    json!({ "podSelector": { "matchLabels": backend.selector }, "policyTypes": ["Ingress"], "ingress": ingress })
}

/// The edge: in from the load balancers' subnets, the operator and the metrics readers; out to its namespace and DNS.
fn edge_policy(world: &World, settings: &Settings, table: &RouteTable) -> Value {
    let tcp = |port: u16| json!({ "protocol": "TCP", "port": port });
    let mut ingress = Vec::new();
    let mut readers: Vec<String> = Vec::new();
    for (port, served) in &table.ports {
        let Some(lb) = world.load_balancers.get(served.load_balancer.as_str()) else { continue };
        let blocks: Vec<Value> =
            subnet_cidrs(lb).iter().map(|c| json!({ "ipBlock": { "cidr": c.as_text() } })).collect();
        if !blocks.is_empty() {
            ingress.push(json!({ "from": blocks, "ports": [tcp(port.get()), tcp(keys::ADMIN_PORT)] }));
        }
        readers.extend(lb.spec.edge.metrics_from.iter().cloned());
    }
    let namespace =
        |name: &str| json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } } });
    ingress.push(json!({ "from": [namespace(&settings.operator_namespace)], "ports": [tcp(keys::ADMIN_PORT)] }));
    readers.sort();
    readers.dedup();
    if !readers.is_empty() {
        let from: Vec<Value> = readers.iter().map(|r| namespace(r)).collect();
        ingress.push(json!({ "from": from, "ports": [tcp(keys::METRICS_PORT)] }));
    }
    // By address as well: EKS Auto Mode has DNS on the node and no pods of it, and some enforcers judge before a Service's
    // address becomes a pod's.
    let mut resolvers = vec![table.resolver];
    if table.resolver.is_ipv4() && table.resolver != NODE_LOCAL_DNS {
        resolvers.push(NODE_LOCAL_DNS);
    }
    let alone = |ip: &IpAddr| json!({ "ipBlock": { "cidr": format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }) } });
    let resolvers: Vec<Value> = resolvers.iter().map(alone).collect();
    let dns = json!([{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }]);
    json!({
        "podSelector": { "matchLabels": edge_labels() },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": [
            { "to": [{ "podSelector": {} }] },
            // The DNS pods' own port differs between distributions, so the peer is named and the port left open.
            { "to": [{
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } },
                "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
            }] },
            { "to": resolvers, "ports": dns },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Toleration;

    #[test]
    fn edge_pods_run_where_the_platform_says() {
        let table = r#"{"version": 1, "namespace": "team-a", "clusterDomain": "cluster.local", "resolver": "172.20.0.10", "ports": {}}"#;
        let table = RouteTable::from_json(table).unwrap();
        let spec = |settings: &Settings| deployment(&World::default(), settings, &table)["template"]["spec"].clone();
        let plain = spec(&Settings::default());
        for field in ["imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName"] {
            assert!(plain.get(field).is_none(), "{field} would roll every edge");
        }
        let toleration =
            Toleration { key: Some("edge".into()), operator: Some("Exists".into()), ..Toleration::default() };
        let edge_pods = EdgePods {
            image_pull_secrets: vec!["registry".into()],
            node_selector: [("pool".to_owned(), "edge".to_owned())].into(),
            tolerations: vec![toleration],
            priority_class: Some("edges".into()),
            resources: Some(gatehouse_crds::Resources {
                requests: [("memory".to_owned(), "64Mi".to_owned())].into(),
                limits: BTreeMap::new(),
            }),
        };
        let set = spec(&Settings { edge_pods, ..Settings::default() });
        assert_eq!(set["imagePullSecrets"], json!([{ "name": "registry" }]));
        assert_eq!(set["nodeSelector"], json!({ "pool": "edge" }));
        assert_eq!(set["tolerations"], json!([{ "key": "edge", "operator": "Exists" }]));
        assert_eq!(set["priorityClassName"], "edges");
        assert_eq!(set["containers"][0]["resources"]["requests"], json!({ "memory": "64Mi" }));
        assert_eq!(set["securityContext"], plain["securityContext"]);
    }
}
