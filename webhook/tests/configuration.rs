//! What the shipped webhook configurations ask of the API server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use gatehouse_core::review::Foreign;
use serde_json::Value;

/// Every webhook of `config/webhook/configurations.yaml`.
fn webhooks() -> Vec<Value> {
    let text = include_str!("../../config/webhook/configurations.yaml");
    let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    documents.flat_map(|document| document["webhooks"].as_array().unwrap().clone()).collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_webhook_is_narrow_and_quick() {
    for webhook in webhooks() {
        let name = webhook["name"].as_str().unwrap();
        assert!(webhook["timeoutSeconds"].as_i64().unwrap() <= 3, "{name}");
        assert_eq!(webhook["sideEffects"], "None", "{name}");
        assert_eq!(webhook["matchPolicy"], "Equivalent", "{name}");
        assert_eq!(webhook["clientConfig"]["caBundle"], Value::Null, "{name}: the operator owns it");
        assert_eq!(webhook["objectSelector"], Value::Null, "{name}: tenants could label themselves out");
        assert!(webhook["matchConditions"].as_array().unwrap().len() <= 64, "{name}");
        for rule in webhook["rules"].as_array().unwrap() {
            for key in ["apiGroups", "apiVersions", "resources", "operations"] {
                assert!(texts(&rule[key]).iter().all(|text| !text.contains(['*', '/'])), "{name} {key}");
            }
            assert!(texts(&rule["operations"]).iter().all(|o| o == "CREATE" || o == "UPDATE"), "{name}");
            for vital in ["pods", "nodes", "leases", "endpoints", "endpointslices", "tokenreviews"] {
                assert!(!texts(&rule["resources"]).iter().any(|resource| resource == vital), "{name} {vital}");
            }
            // What stands in no namespace has none to be left out by.
            if rule["scope"] == "Namespaced" {
                let left_out = texts(&webhook["namespaceSelector"]["matchExpressions"][0]["values"]);
                assert_eq!(left_out, ["kube-system", "kube-node-lease", "gatehouse-system"], "{name}");
            }
        }
    }
}

#[test]
fn only_kinds_of_ours_are_closed_when_the_webhook_is_down() {
    for webhook in webhooks() {
        let groups: BTreeSet<String> =
            webhook["rules"].as_array().unwrap().iter().flat_map(|rule| texts(&rule["apiGroups"])).collect();
        // Ingresses of our class are ours.
        let class = webhook["matchConditions"].as_array().unwrap().iter().any(|c| c["name"] == "ours");
        let ours = class || groups.iter().all(|group| group == "gatehouse.dev");
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        let policy = if path == "/validate" { "Fail" } else { "Ignore" };
        assert_eq!(webhook["failurePolicy"], policy, "{}", webhook["name"]);
        assert_eq!(ours, path != "/foreign", "{}", webhook["name"]);
    }
}

#[test]
fn what_is_asked_about_is_judged_and_the_other_way_round() {
    let mut asked: BTreeSet<Foreign> = BTreeSet::new();
    for webhook in webhooks().iter().filter(|w| w["clientConfig"]["service"]["path"] == "/foreign") {
        for rule in webhook["rules"].as_array().unwrap() {
            for (group, resource) in texts(&rule["apiGroups"])
                .iter()
                .flat_map(|g| texts(&rule["resources"]).into_iter().map(move |r| (g, r)))
            {
                let kind = match resource.as_str() {
                    "services" => "Service",
                    "ingresses" => "Ingress",
                    "ingressclasses" => "IngressClass",
                    "ingressclassparams" => "IngressClassParams",
                    "networkpolicies" => "NetworkPolicy",
                    "targetgroupbindings" => "TargetGroupBinding",
                    "gateways" => "Gateway",
                    "listenersets" => "ListenerSet",
                    "xlistenersets" => "XListenerSet",
                    "httproutes" => "HTTPRoute",
                    "grpcroutes" => "GRPCRoute",
                    "tlsroutes" => "TLSRoute",
                    "tcproutes" => "TCPRoute",
                    "udproutes" => "UDPRoute",
                    other => panic!("{other} has no kind here"),
                };
                let foreign = Foreign::of(group, kind);
                assert!(foreign.is_some(), "{group} {kind} is asked about and not judged");
                assert_eq!(foreign.unwrap().cluster_wide(), rule["scope"] == "Cluster", "{kind}");
                asked.extend(foreign);
            }
        }
    }
    assert_eq!(asked.len(), 9, "a kind that is judged and not asked about: {asked:?}");
}
