//! Edits of policies and of grants, told what they would do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use gatehouse_core::AppKey;
use gatehouse_core::world::Delta;
use gatehouse_webhook::facts;
use gatehouse_webhook::http::State;
use serde_json::{Value, json};

use support::{app, ask, post, state};

fn live(state: &State, namespace: &str, name: &str, host: &str) {
    let mut object = app(namespace, &[host]);
    object["metadata"]["name"] = json!(name);
    let read = facts::app(&serde_json::from_value(object).unwrap());
    state.cache.apply(Delta::App(AppKey::new(namespace, name), Some(read)));
}

fn edit(operation: &str, kind: (&str, &str), name: &str, object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "7f3c", "operation": operation, "kind": { "group": kind.0, "version": "v1", "kind": kind.1 },
            "name": name, "object": object, "oldObject": null,
        },
    })
}

const POLICY: (&str, &str) = ("gatehouse.dev", "ExposurePolicy");

#[tokio::test]
async fn an_edit_is_told_what_it_would_do() {
    let state = state();
    live(&state, "team-a", "shop", "shop.example.com");
    live(&state, "team-a", "one", "one.a.example.com");
    live(&state, "team-b", "blog", "blog.example.com");
    let strict = json!({ "spec": { "namespaces": { "all": true }, "rules": { "limits": { "hostsPerApp": 0 } } } });
    let response = ask(&state, "/edits", &edit("CREATE", POLICY, "strict", &strict)).await;
    assert_eq!(
        response,
        json!({ "uid": "7f3c", "allowed": true, "warnings": [
            "3 live apps would freeze (served as before, changes wait)",
        ] })
    );
    let fewer = json!({ "spec": { "namespaces": { "names": ["team-a"] }, "loadBalancers": ["public"],
        "grants": [{ "domains": ["a.example.com"] }] } });
    let lost = json!(["1 live app would lose hosts after the grace"]);
    assert_eq!(ask(&state, "/edits", &edit("UPDATE", POLICY, "team-a", &fewer)).await["warnings"], lost);
    let gone = ask(&state, "/edits", &edit("DELETE", POLICY, "team-a", &Value::Null)).await;
    assert_eq!(gone["warnings"], json!(["2 live apps would lose hosts after the grace"]));

    // Of labels only those that grant something matter.
    let policy = json!({ "namespaces": { "selector": { "matchLabels": { "grant.gatehouse.dev/tier": "gold" } } },
        "rules": { "tls": { "modes": ["Request"] } } });
    support::policy(&state.cache, "gold", policy);
    let labelled = |labels: Value| json!({ "metadata": { "name": "team-b", "labels": labels } });
    let gold = labelled(json!({ "grant.gatehouse.dev/tier": "gold" }));
    let response = ask(&state, "/edits", &edit("UPDATE", ("", "Namespace"), "team-b", &gold)).await;
    let freeze = json!(["1 live app would freeze (served as before, changes wait)"]);
    assert_eq!((&response["allowed"], &response["warnings"]), (&json!(true), &freeze));
    let plain = labelled(json!({ "team": "b" }));
    let response = ask(&state, "/edits", &edit("UPDATE", ("", "Namespace"), "team-b", &plain)).await;
    assert_eq!(response, json!({ "uid": "7f3c", "allowed": true }));
}

/// What is asked is admitted whatever it is: others decide about it.
#[tokio::test]
async fn edits_are_never_refused() {
    let state = state();
    live(&state, "team-a", "shop", "shop.example.com");
    let admitted = json!({ "uid": "7f3c", "allowed": true });
    for object in [json!(7), json!({}), json!({ "spec": 7 }), json!({ "spec": { "namespaces": 7 } }), Value::Null] {
        assert_eq!(ask(&state, "/edits", &edit("UPDATE", POLICY, "team-a", &object)).await, admitted, "{object}");
    }
    let mut status = edit("DELETE", POLICY, "team-a", &Value::Null);
    status["request"]["subResource"] = json!("status");
    assert_eq!(ask(&state, "/edits", &status).await, admitted);
    assert_eq!(ask(&state, "/edits", &edit("CREATE", ("apps", "Deployment"), "x", &Value::Null)).await, admitted);
    assert_eq!(post(&state, "/edits", "nonsense").await.0, 400);
    let empty = State::new(std::sync::Arc::default(), state.metrics.clone());
    let asked = edit("DELETE", POLICY, "team-a", &Value::Null).to_string();
    assert_eq!(post(&empty, "/edits", asked).await.0, 503);
}

/// As Pod Security Admission does it: 3,000 objects, a second.
#[tokio::test]
async fn the_look_at_live_apps_is_bounded() {
    let state = state();
    for i in 0..3_500 {
        live(&state, "team-a", &format!("app-{i:04}"), &format!("h{i}.a.example.com"));
    }
    let response = ask(&state, "/edits", &edit("DELETE", POLICY, "team-a", &Value::Null)).await;
    let warnings: Vec<&str> = response["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    assert!(warnings.iter().all(|w| w.chars().count() <= 120), "{warnings:?}");
    let [lost, partial] = warnings[..] else { panic!("{warnings:?}") };
    assert!(lost.ends_with(" live apps would lose hosts after the grace"), "{lost}");
    let judged: usize = partial.split(' ').nth(3).unwrap().parse().unwrap();
    assert!(partial.starts_with("only the first ") && judged <= 3_000, "{partial}");
}
