//! What runs in the cluster from the start: its DNS.

use serde_json::{Value, json};

use crate::CLUSTER_DNS;
use crate::kit::COREDNS_IMAGE;
use crate::options::ForwardZone;

/// The Corefile. A zone that is forwarded is not cached: who tests a DNS change wants to see it.
fn corefile(zones: &[ForwardZone]) -> String {
    let mut text = ".:53 {\n    errors\n    health :8080\n    ready :8181\n    \
        kubernetes cluster.local in-addr.arpa ip6.arpa {\n        pods insecure\n        ttl 5\n    }\n    \
        cache 5 {\n        disable success cluster.local\n        disable denial cluster.local\n    }\n    \
        reload 2s\n}\n"
        .to_owned();
    for ForwardZone { zone, server } in zones {
        text += &format!("{zone}:53 {{\n    errors\n    forward . {server} {{\n        max_fails 0\n    }}\n}}\n");
    }
    text
}

/// CoreDNS as a pod with the labels and ports that it has on EKS, so that policies for it read the same.
pub(crate) fn dns(zones: &[ForwardZone]) -> Value {
    let meta = json!({"name": "coredns", "namespace": "kube-system"});
    let labels = json!({"k8s-app": "kube-dns"});
    let probe = |path: &str, port: u16| json!({"httpGet": {"path": path, "port": port}, "periodSeconds": 1});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": corefile(zones)}},
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
            "spec": {
                "clusterIP": CLUSTER_DNS, "selector": labels,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        },
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
            "spec": {
                "replicas": 1, "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "serviceAccountName": "coredns", "dnsPolicy": "Default", "terminationGracePeriodSeconds": 5,
                        "priorityClassName": "system-cluster-critical",
                        "containers": [{
                            "name": "coredns", "image": COREDNS_IMAGE, "imagePullPolicy": "Never",
                            "ports": [
                                {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                                {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                            ],
                            "readinessProbe": probe("/ready", 8181),
                            "securityContext": {
                                "runAsNonRoot": true, "runAsUser": 65532, "readOnlyRootFilesystem": true,
                                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                                "seccompProfile": {"type": "RuntimeDefault"},
                            },
                            "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": true}],
                        }],
                        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
                    },
                },
            },
        },
    ]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_zone_gets_a_block_without_cache() {
        let zone: ForwardZone = "eu-central-1.elb.amazonaws.com=10.100.0.1:53".parse().unwrap();
        let text = corefile(&[zone]);
        let block = text.split("eu-central-1.elb.amazonaws.com:53 {").nth(1).unwrap();
        assert!(block.contains("forward . 10.100.0.1:53") && !block.contains("cache"), "{text}");
    }
}
