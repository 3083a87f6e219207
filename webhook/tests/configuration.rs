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
            // A policy may be deleted like anything else; what that does is told.
            let deleted = name == "edits.gatehouse.dev";
            assert!(
                texts(&rule["operations"]).iter().all(|o| o == "CREATE" || o == "UPDATE" || (deleted && o == "DELETE")),
                "{name}"
            );
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
        if path != "/edits" {
            assert_eq!(ours, path != "/foreign", "{}", webhook["name"]);
        }
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

/// A condition that fails counts as the failurePolicy says: an optional field must be asked for before it is read.
#[test]
fn conditions_ask_before_they_read() {
    // What every request and every object of these kinds has.
    let certain = ["userInfo.username", "metadata.name", "deletionTimestamp"];
    let mut looked_at = 0;
    for webhook in webhooks() {
        for condition in webhook["matchConditions"].as_array().unwrap() {
            let text = condition["expression"].as_str().unwrap();
            let name = format!("{} {}", webhook["name"], condition["name"]);
            for optional in [
                "spec.type",
                "spec.loadBalancerClass",
                "spec.externalIPs",
                "metadata.labels",
                "metadata.annotations",
                "userInfo.groups",
                "spec.ingressClassName",
            ] {
                for subject in ["object", "oldObject", "request"] {
                    let path = format!("{subject}.{optional}");
                    let reads = text.matches(&path).count();
                    if reads == 0 || certain.contains(&optional) {
                        continue;
                    }
                    // `object.` is also the end of `oldObject.`, which is judged by itself.
                    let own = |text: &str| !text.ends_with("old") && !text.ends_with(char::is_alphanumeric);
                    let first = text.match_indices(&path).find(|(at, _)| own(&text[..*at]));
                    let Some((at, _)) = first else { continue };
                    assert!(text[..at].ends_with("has("), "{name} reads {path} before it asks for it");
                    looked_at += 1;
                }
            }
            // What is created has no old object, and what is deleted no new one.
            if let Some(at) = text.find("oldObject.") {
                let only_updates =
                    webhook["rules"].as_array().unwrap().iter().all(|r| texts(&r["operations"]) == ["UPDATE"]);
                assert!(only_updates || text[..at].contains("oldObject == null"), "{name}");
            }
        }
    }
    assert!(looked_at >= 8, "{looked_at}");
}

/// Rules of every role of a file, as (groups, resources, verbs).
fn rights(text: &str) -> Vec<(Vec<String>, Vec<String>, Vec<String>)> {
    let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    documents
        .flat_map(|document| document["rules"].as_array().cloned().unwrap_or_default())
        .map(|rule| (texts(&rule["apiGroups"]), texts(&rule["resources"]), texts(&rule["verbs"])))
        .collect()
}

#[test]
fn the_account_only_reads() {
    let rules = rights(include_str!("../../config/rbac/webhook.yaml"));
    assert!(!rules.is_empty());
    for (groups, resources, verbs) in rules {
        assert!(verbs.iter().all(|verb| verb == "list" || verb == "watch"), "{resources:?}: {verbs:?}");
        assert!(!resources.iter().any(|resource| resource == "secrets" || resource.contains('*')), "{resources:?}");
        assert!(!groups.iter().any(|group| group.contains('*')));
    }
}

/// Whoever takes the configuration away in an emergency has done it: nothing of ours makes it anew.
#[test]
fn the_operator_cannot_bring_a_configuration_back() {
    let mut found = 0;
    for (_, resources, verbs) in rights(include_str!("../../config/rbac/operator.yaml")) {
        assert!(!resources.iter().any(|resource| resource.contains('*')), "{resources:?}");
        if resources.iter().any(|resource| resource.ends_with("webhookconfigurations")) {
            assert!(!verbs.iter().any(|verb| matches!(verb.as_str(), "create" | "delete" | "*")), "{verbs:?}");
            found += 1;
        }
    }
    assert!(found > 0);
    // A server-side apply of what is not there is a creation, which the account's own policy refuses as well.
    assert!(
        include_str!("../../config/policy/operator.yaml")
            .contains("!variables.isWebhook || (request.operation == 'UPDATE'")
    );
}
