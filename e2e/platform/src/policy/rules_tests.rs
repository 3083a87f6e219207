use super::*;

use serde_json::{Value, json};

fn pod(namespace: &str, ip: &str, labels: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": ip, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": ip, "phase": "Running"},
    }))
    .unwrap()
}

fn namespace(name: &str, labels: &Value) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
}

/// Pods: a/web .1, a/client .2, b/client .3, b/other .4.
fn script(spec: &Value) -> String {
    let policy: NetworkPolicy =
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a"}, "spec": spec})).unwrap();
    let pods = [
        pod("b", "10.244.0.4", &json!({"app": "other"})),
        pod("b", "10.244.0.3", &json!({"app": "client"})),
        pod("a", "10.244.0.2", &json!({"app": "client"})),
        pod("a", "10.244.0.1", &json!({"app": "web"})),
    ];
    let namespaces = [namespace("a", &json!({})), namespace("b", &json!({"team": "b"}))];
    ruleset(&[policy], &pods, &namespaces)
}

fn web(ingress: &Value) -> String {
    script(&json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": ingress}))
}

fn chain<'a>(script: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("  chain {name} {{\n");
    let body = script.split(&start).nth(1).unwrap_or_else(|| panic!("no chain {name} in\n{script}"));
    body.split("  }\n").next().unwrap().lines().map(str::trim).collect()
}

#[test]
fn without_policies_nothing_is_judged() {
    let script = ruleset(&[] as &[NetworkPolicy], &[] as &[Pod], &[] as &[Namespace]);
    assert!(chain(&script, "ingress").is_empty() && chain(&script, "egress").is_empty(), "{script}");
    assert!(script.starts_with("table inet gatehouse_policy\ndelete table inet gatehouse_policy\n"));
}

#[test]
fn default_deny_drops_and_leaves_the_other_direction_open() {
    let script = web(&json!([]));
    assert_eq!(chain(&script, "ingress0"), ["counter drop"]);
    assert_eq!(chain(&script, "ingress"), ["ip daddr vmap { 10.244.0.1 : jump ingress0 }"]);
    assert!(chain(&script, "egress").is_empty());
}

#[test]
fn an_absent_peer_list_means_everybody_but_an_absent_rule_nobody() {
    assert_eq!(chain(&web(&json!([{}])), "ingress0"), ["return", "counter drop"]);
    assert_eq!(chain(&web(&json!([{"from": []}])), "ingress0"), ["return", "counter drop"]);
}

#[test]
fn selectors_in_one_item_are_and_items_are_or() {
    let pods = json!({"podSelector": {"matchLabels": {"app": "client"}}});
    let spaces = json!({"namespaceSelector": {"matchLabels": {"team": "b"}}});
    let both = json!({"podSelector": {"matchLabels": {"app": "client"}},
                      "namespaceSelector": {"matchLabels": {"team": "b"}}});
    let first = |from: Value| chain(&web(&json!([{"from": from}])), "ingress0")[..].join(" | ");
    assert_eq!(first(json!([pods])), "ip saddr { 10.244.0.2 } return | counter drop");
    assert_eq!(first(json!([spaces])), "ip saddr { 10.244.0.3, 10.244.0.4 } return | counter drop");
    assert_eq!(first(json!([both])), "ip saddr { 10.244.0.3 } return | counter drop");
    assert_eq!(
        first(json!([pods, spaces])),
        "ip saddr { 10.244.0.2 } return | ip saddr { 10.244.0.3, 10.244.0.4 } return | counter drop"
    );
    assert_eq!(first(json!([{"podSelector": {"matchLabels": {"app": "nobody"}}}])), "counter drop");
}

#[test]
fn blocks_carry_their_exceptions_without_overlap() {
    let block = json!({"ipBlock": {"cidr": "10.0.0.7/16", "except": ["10.0.1.0/24", "10.0.1.128/25"]}});
    assert_eq!(
        chain(&web(&json!([{"from": [block]}])), "ingress0")[0],
        "ip saddr 10.0.0.0/16 ip saddr != { 10.0.1.0/24 } return"
    );
    let six = json!([{"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}]);
    assert_eq!(chain(&web(&six), "ingress0"), ["counter drop"]);
}

#[test]
fn ports_by_number_range_name_and_protocol() {
    let one = |port: Value| chain(&web(&json!([{"ports": [port]}])), "ingress0")[0].to_owned();
    assert_eq!(one(json!({"port": 80})), "tcp dport 80 return");
    assert_eq!(one(json!({"port": 80, "endPort": 90, "protocol": "UDP"})), "udp dport 80-90 return");
    assert_eq!(one(json!({"port": "http"})), "tcp dport 8080 return");
    assert_eq!(one(json!({"port": "http", "protocol": "UDP"})), "counter drop");
    assert_eq!(one(json!({"protocol": "SCTP"})), "meta l4proto sctp return");
}

#[test]
fn egress_names_are_those_of_the_reached_pods() {
    let to = |peer: Value| {
        let script = script(&json!({
            "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [peer], "ports": [{"port": "http"}]}],
        }));
        assert!(chain(&script, "ingress").is_empty());
        chain(&script, "egress0")[0].to_owned()
    };
    assert_eq!(
        to(json!({"namespaceSelector": {"matchLabels": {"team": "b"}}})),
        "ip daddr . tcp dport { 10.244.0.3 . 8080, 10.244.0.4 . 8080 } return"
    );
    assert_eq!(to(json!({"ipBlock": {"cidr": "10.0.0.0/8"}})), "counter drop");
}

#[test]
fn absent_policy_types_mean_ingress_and_egress_where_it_has_rules() {
    let open = script(&json!({"podSelector": {}}));
    assert!(!chain(&open, "ingress").is_empty() && chain(&open, "egress").is_empty());
    let both = script(&json!({"podSelector": {}, "egress": [{}]}));
    assert!(!chain(&both, "ingress").is_empty() && !chain(&both, "egress").is_empty());
}

#[test]
fn replicas_share_a_chain() {
    let script = script(&json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    assert_eq!(chain(&script, "ingress"), ["ip daddr vmap { 10.244.0.1 : jump ingress0, 10.244.0.2 : jump ingress0 }"]);
}

#[test]
fn finished_and_host_network_pods_are_not_looked_at() {
    let mut done = pod("a", "10.244.0.1", &json!({}));
    done.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    let mut host = pod("a", "10.100.0.1", &json!({}));
    host.spec.as_mut().unwrap().host_network = Some(true);
    let policy: NetworkPolicy =
        serde_json::from_value(json!({"metadata": {"namespace": "a"}, "spec": {"podSelector": {}}})).unwrap();
    let script = ruleset(&[policy], &[done, host], &[namespace("a", &json!({}))]);
    assert!(chain(&script, "ingress").is_empty(), "{script}");
}
