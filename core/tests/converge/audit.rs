//! What stands is judged too: violations of the moment in a policy's status, counted by rule.

use gatehouse_crds::{Enforcement, ExposurePolicyStatus};
use gatehouse_virtual::Sim;
use serde_json::json;

use crate::{app, start};

fn service(namespace: &str, name: &str, kind: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": namespace },
        "spec": { "type": kind, "selector": { "app": name }, "ports": [{ "port": 80 }] },
    })
}

fn status(sim: &Sim, policy: &str) -> ExposurePolicyStatus {
    sim.cluster.world.policies[policy].status.clone()
}

fn doors(enforcement: &str) -> String {
    format!(
        "namespaces: {{all: true}}\nrules: {{refuse: [ServiceNodePort, ServiceLoadBalancer, ForeignIngress], enforcement: {{refused-kinds: {enforcement}}}}}\n\
         exceptions: [{{kind: Service, namespace: team-b, name: legacy, rule: refused-kinds, reason: r, until: '2030-01-01'}}]\n"
    )
}

#[test]
fn what_stands_past_the_platform_is_told_and_counted() {
    let mut sim = start();
    sim.oracle = true;
    sim.cluster.apply(&service("team-a", "inside", "ClusterIP"));
    sim.cluster.apply(&service("team-a", "open", "NodePort"));
    sim.cluster.apply(&service("team-b", "legacy", "NodePort"));
    // Of nobody's concern: the cluster's own, and a namespace that is not there.
    sim.cluster.namespace("kube-system");
    sim.cluster.apply(&service("kube-system", "dns", "LoadBalancer"));
    sim.cluster.apply(&service("gone", "dns", "LoadBalancer"));
    sim.cluster.apply(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "open", "namespace": "team-a" }, "spec": { "podSelector": {}, "ingress": [{}] },
    }));
    sim.cluster.apply(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": "alb", "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } },
    }));
    sim.cluster.policy("doors", &doors("Warn"));
    sim.run(5_000);
    let told = status(&sim, "doors");
    let lines: Vec<String> = told
        .violations
        .iter()
        .map(|v| format!("{} {}/{} {:?} [{}] {}", v.kind, v.namespace, v.name, v.enforcement, v.rule, v.message))
        .collect();
    assert_eq!(
        lines,
        [
            "IngressClass /alb Warn [refused-kinds] metadata.annotations[ingressclass.kubernetes.io/is-default-class]: is \"true\"; remove it",
            "Service team-a/open Warn [refused-kinds] spec.type: NodePort opens a port on every node; use ClusterIP and an ExposedApp",
            "NetworkPolicy team-a/open Enforce [managed-pods] spec.podSelector: also opens Gatehouse's pods; add gatehouse.dev/component DoesNotExist",
            "Service team-b/legacy Audit [refused-kinds] spec.type: NodePort opens a port on every node; use ClusterIP and an ExposedApp",
        ]
    );
    assert_eq!(told.violation_count, Some(4));
    assert_eq!(json!(told.violations_by_rule), json!({ "managed-pods": 1, "refused-kinds": 3 }));
    // A policy that speaks of one namespace tells of that one, by the strictest of all policies.
    assert_eq!(json!(status(&sim, "b").violations_by_rule), json!({ "refused-kinds": 1 }));

    // Repaired, deleted, or no longer minded: gone from the status, and nothing is written while nothing changes.
    sim.cluster.apply(&service("team-a", "open", "ClusterIP"));
    sim.cluster.policy("doors", "namespaces: {all: true}\n");
    sim.run(5_000);
    assert_eq!(json!(status(&sim, "doors").violations_by_rule), json!({ "managed-pods": 1 }));
    let before = sim.calls;
    sim.run(30_000);
    assert_eq!(sim.calls, before, "{}", sim.tail());
}

#[test]
fn a_thousand_side_doors_are_counted_and_twenty_listed() {
    let mut sim = start();
    for i in 0..1_000 {
        sim.cluster.apply(&service("team-a", &format!("s{i:04}"), "LoadBalancer"));
    }
    sim.cluster.policy("doors", &doors("Enforce"));
    sim.run(120_000);
    let told = status(&sim, "doors");
    assert_eq!((told.violation_count, told.violations.len()), (Some(1_000), 20));
    assert_eq!((told.violations[0].name.as_str(), told.violations[0].enforcement), ("s0000", Enforcement::Enforce));
    let before = sim.calls;
    sim.cluster.apply(&service("team-a", "s0500", "ClusterIP"));
    sim.run(5_000);
    assert_eq!(status(&sim, "doors").violation_count, Some(999));
    assert!(sim.calls - before <= 2, "one status for each policy that tells of it");
}

/// What an Ingress became is told by the fields that its owner wrote, and what several of its apps share once.
#[test]
fn an_ingress_is_told_by_its_own_fields() {
    let mut sim = start();
    let rules = json!([
        { "host": "shop.example.com", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "web", "port": { "number": 8080 } } } }] } },
        { "host": "blog.example.com", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "api", "port": { "number": 8080 } } } }] } },
    ]);
    let ingress = |name: &str, rules: &serde_json::Value| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": name, "namespace": "team-a" },
            "spec": { "ingressClassName": "gatehouse", "rules": rules },
        })
    };
    sim.cluster.policy("labels", "namespaces: {all: true}\nrules: {labels: [{key: team}]}\n");
    sim.cluster.apply(&ingress("web", &rules));
    sim.cluster.apply(&ingress("nowhere", &json!([])));
    sim.cluster.app("team-a", "plain", &app("[api.example.com]", "web"));
    sim.run(5_000);
    let told = status(&sim, "labels");
    let mut lines: Vec<String> =
        told.violations.iter().map(|v| format!("{} {} {} {}", v.kind, v.name, v.rule, v.message)).collect();
    lines.iter_mut().for_each(|line| line.truncate(60));
    lines.sort();
    assert_eq!(
        lines,
        [
            "ExposedApp plain labels metadata.labels[team]: is missing; s",
            "Ingress nowhere host-missing spec.rules: names no host; the ",
            "Ingress web host spec.rules[1].host: \"blog.example.com\" is n",
            "Ingress web labels metadata.labels[team]: is missing; set it",
        ]
    );
}
