//! Ingresses of our class, through the webhook's router.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use gatehouse_core::world::{AppFacts, Delta, Meta, Origin};
use gatehouse_core::{AppKey, Wall};
use serde_json::{Value, json};

use support::{app, ask, claim, message, review_of, state, update_of};

fn ingress(hosts: &[&str]) -> Value {
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "web", "port": { "name": "http" } } } });
    let rules: Vec<Value> = hosts.iter().map(|h| json!({ "host": h, "http": { "paths": [path] } })).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": "shop", "namespace": "team-a", "uid": "uid-shop", "labels": { "team": "a" } },
        "spec": { "ingressClassName": "gatehouse", "rules": rules },
    })
}

fn about(mut review: Value) -> Value {
    review["request"]["kind"] = json!({ "group": "networking.k8s.io", "version": "v1", "kind": "Ingress" });
    review
}

fn annotated(annotations: Value) -> Value {
    let mut object = ingress(&["shop.example.com"]);
    object["metadata"]["annotations"] = annotations;
    object
}

#[tokio::test]
async fn what_is_granted_is_admitted_and_labels_may_come_by_default() {
    let response =
        ask(&state(), "/validate", &about(review_of(&ingress(&["shop.example.com", "x.a.example.com"])))).await;
    assert_eq!(response["allowed"], true, "{}", message(&response));
    assert_eq!(response["warnings"], Value::Null);
}

/// As an ExposedApp would be, and by the field of the Ingress: an ungranted and a taken host read the same.
#[tokio::test]
async fn every_fault_is_named_where_the_ingress_has_it() {
    let state = state();
    claim(&state.cache, "taken.shared.example.com", "team-b");
    let mut object = ingress(&["shop.example.com", "blog.example.com", "taken.shared.example.com"]);
    object["metadata"]["labels"] = json!({ "cost-center": "none" });
    let response = ask(&state, "/validate", &about(review_of(&object))).await;
    let said = message(&response);
    assert_eq!(response["status"]["code"], 403);
    for part in [
        "4 faults",
        "spec.rules[1].host: \"blog.example.com\" is not available",
        "spec.rules[2].host: \"taken.shared.example.com\" is not available",
        "metadata.labels[team]",
        "metadata.labels[cost-center]",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn what_has_no_meaning_here_is_refused_or_told() {
    let key = |name: &str| format!("nginx.ingress.kubernetes.io/{name}");
    let refused = annotated(json!({ key("configuration-snippet"): "deny all;", key("proxy-body-size"): "8m" }));
    let response = ask(&state(), "/validate", &about(review_of(&refused))).await;
    assert!(message(&response).contains("-snippet]: text of others never becomes"), "{}", message(&response));
    assert!(message(&response).ends_with("[ingress]"));

    let lost = annotated(json!({ key("server-alias"): "www.example.com", "cert-manager.io/issuer": "acme" }));
    let response = ask(&state(), "/validate", &about(review_of(&lost))).await;
    let warnings = response["warnings"].as_array().unwrap();
    assert_eq!((response["allowed"].as_bool(), warnings.len()), (Some(true), 2), "{response}");

    let response = ask(&state(), "/validate", &about(review_of(&ingress(&[])))).await;
    assert!(message(&response).ends_with("[host-missing]"), "{}", message(&response));
}

#[tokio::test]
async fn other_classes_deletions_and_unchanged_objects_are_none_of_its_business() {
    let state = state();
    let mut other = ingress(&["blog.example.com"]);
    other["spec"]["ingressClassName"] = json!("nginx");
    assert_eq!(ask(&state, "/validate", &about(review_of(&other))).await["allowed"], true);

    let bad = ingress(&["blog.example.com"]);
    let mut touched = bad.clone();
    touched["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": "{}" });
    touched["metadata"]["finalizers"] = json!(["example.com/x"]);
    assert_eq!(ask(&state, "/validate", &about(update_of(&bad, &touched))).await["allowed"], true);
    touched["metadata"]["annotations"] = json!({ "nginx.ingress.kubernetes.io/proxy-body-size": "1m" });
    assert_eq!(ask(&state, "/validate", &about(update_of(&bad, &touched))).await["allowed"], false);
}

/// An Ingress is never in its own way: not by the apps that stand for it, nor by the limit that they fill.
#[tokio::test]
async fn an_update_is_judged_without_what_it_replaces() {
    let state = state();
    support::policy(
        &state.cache,
        "few",
        json!({ "namespaces": { "names": ["team-a"] }, "rules": { "limits": { "apps": 1, "hosts": 1 } } }),
    );
    let object: gatehouse_crds::ExposedApp = serde_json::from_value(app("team-a", &["shop.example.com"])).unwrap();
    let standing = |uid: &str| AppFacts {
        meta: Meta { uid: uid.into(), created: Wall(5), ..Meta::default() },
        labels: [("team".to_owned(), "a".to_owned())].into(),
        spec: object.spec.clone(),
        origin: Some(Origin { uid: uid.into(), fragment: None }),
        ..AppFacts::default()
    };
    let put = |name: &str, uid: &str| {
        state.cache.apply(Delta::App(AppKey::new("team-a", name), Some(standing(uid).into())));
    };
    put("ingress-shop", "uid-shop");
    put("ingress-shop-0a1b2c", "uid-shop");
    let (old, new) = (ingress(&["shop.example.com"]), ingress(&["x.a.example.com"]));
    let response = ask(&state, "/validate", &about(update_of(&old, &new))).await;
    assert_eq!(response["allowed"], true, "{}", message(&response));
    put("ingress-other", "uid-other");
    let response = ask(&state, "/validate", &about(update_of(&old, &new))).await;
    assert!(message(&response).contains("[limits]"), "{}", message(&response));
}

/// Hostile objects get an answer: never a panic, never an admission.
#[tokio::test]
async fn an_ingress_of_the_wrong_shape_is_refused() {
    let state = state();
    for (pointer, value) in [
        ("/spec/rules", json!("x")),
        ("/spec/rules/0/http/paths/0/backend/service/port/number", json!("x")),
        ("/spec/rules/0/host", json!("..")),
        ("/spec/rules/0/host", json!("a\nb.example.com")),
        ("/spec/rules/0/http/paths/0/path", json!("/a b")),
    ] {
        let mut object = ingress(&["shop.example.com"]);
        *object.pointer_mut(pointer).unwrap_or(&mut Value::Null) = value.clone();
        if object.pointer(pointer).is_none() {
            object["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = json!({ "number": value });
        }
        let response = ask(&state, "/validate", &about(review_of(&object))).await;
        assert_eq!(response["allowed"], false, "{pointer} {value}");
    }
}
