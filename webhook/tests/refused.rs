//! Kinds that others own, through the webhook's router.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use axum::http::StatusCode;
use gatehouse_core::world::Delta;
use gatehouse_webhook::http::State;
use serde_json::{Value, json};

use support::{ask, message, policy, post, review_of, state, update_of};

/// A request about any object, as the API server makes it.
fn about(object: &Value) -> Value {
    let mut review = review_of(object);
    let api = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api.split_once('/').unwrap_or(("", api));
    review["request"]["kind"] = json!({ "group": group, "version": version, "kind": object["kind"] });
    review
}

fn changed(old: &Value, new: &Value) -> Value {
    let mut review = update_of(old, new);
    review["request"]["kind"] = about(new)["request"]["kind"].clone();
    review
}

fn refusing(enforcement: &str) -> State {
    let state = state();
    let refuse = [
        "ServiceLoadBalancer",
        "ServiceNodePort",
        "ServiceExternalIPs",
        "ForeignIngress",
        "Gateway",
        "TargetGroupBinding",
    ];
    let rules = json!({ "refuse": refuse, "enforcement": { "refused-kinds": enforcement } });
    policy(&state.cache, "doors", json!({ "namespaces": { "names": ["team-a"] }, "rules": rules }));
    state
}

fn service(kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": "team-a" },
        "spec": { "type": kind, "ports": [{ "port": 80 }] },
    })
}

#[tokio::test]
async fn a_side_door_is_refused_with_its_cure() {
    let state = refusing("Enforce");
    let response = ask(&state, "/foreign", &about(&service("NodePort"))).await;
    assert_eq!(
        message(&response),
        "spec.type: NodePort opens a port on every node; use ClusterIP and an ExposedApp [refused-kinds]"
    );
    assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(403), &json!("Forbidden")));
    let admitted = json!({ "uid": "7f3c", "allowed": true });
    assert_eq!(ask(&state, "/foreign", &about(&service("ClusterIP"))).await, admitted);
    let mut elsewhere = service("NodePort");
    elsewhere["metadata"]["namespace"] = json!("team-b");
    assert_eq!(ask(&state, "/foreign", &about(&elsewhere)).await, admitted, "no policy there minds");
    let metrics = state.metrics.text(&state.cache);
    for line in [
        "gatehouse_webhook_decisions_total{endpoint=\"foreign\",verdict=\"denied\"} 1",
        "gatehouse_webhook_findings_total{enforcement=\"Enforce\",rule=\"refused-kinds\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn warned_audited_and_ownership() {
    let response = ask(&refusing("Warn"), "/foreign", &about(&service("LoadBalancer"))).await;
    assert_eq!(response["allowed"], true);
    let text = "spec.type: LoadBalancer publishes past the platform; use ClusterIP and an ExposedApp [refused-kinds]";
    assert_eq!(response["warnings"], json!([text]));
    let audit = refusing("Audit");
    let response = ask(&audit, "/foreign", &about(&service("LoadBalancer"))).await;
    assert_eq!(response, json!({ "uid": "7f3c", "allowed": true }));
    assert!(
        audit.metrics.text(&audit.cache).contains("findings_total{enforcement=\"Audit\",rule=\"refused-kinds\"} 1")
    );
    let opening = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "open", "namespace": "team-a" }, "spec": { "podSelector": {}, "ingress": [{}] },
    });
    let response = ask(&audit, "/foreign", &about(&opening)).await;
    assert!(message(&response).ends_with("[managed-pods]"), "no policy softens ownership: {response}");
    let long = "x".repeat(300);
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": { "ingressClassName": long },
        "metadata": { "name": "x", "namespace": "team-a", "annotations": { "kubernetes.io/ingress.class": long } },
    });
    let response = ask(&refusing("Warn"), "/foreign", &about(&object)).await;
    let warnings = response["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2);
    assert!(warnings.iter().all(|w| w.as_str().unwrap().chars().count() <= 120), "{warnings:?}");
}

#[tokio::test]
async fn what_stood_before_can_be_repaired_and_deleted() {
    let state = refusing("Enforce");
    let old = service("NodePort");
    let mut repaired = old.clone();
    repaired["metadata"]["labels"] = json!({ "team": "a" });
    repaired["spec"]["ports"] = json!([{ "port": 81 }]);
    assert_eq!(ask(&state, "/foreign", &changed(&old, &repaired)).await["allowed"], true);
    assert_eq!(ask(&state, "/foreign", &changed(&old, &service("LoadBalancer"))).await["allowed"], false);
    assert_eq!(ask(&state, "/foreign", &changed(&service("ClusterIP"), &old)).await["allowed"], false);
    for operation in ["DELETE", "CONNECT", "", "FUTURE"] {
        let mut review = about(&old);
        review["request"]["operation"] = json!(operation);
        review["request"]["oldObject"] = old.clone();
        assert_eq!(ask(&state, "/foreign", &review).await["allowed"], true, "{operation}");
    }
    let mut status = changed(&service("ClusterIP"), &old);
    status["request"]["subResource"] = json!("status");
    assert_eq!(ask(&state, "/foreign", &status).await["allowed"], true);
    let mut going = old.clone();
    going["metadata"]["deletionTimestamp"] = json!("2026-11-21T12:00:00Z");
    assert_eq!(ask(&state, "/foreign", &changed(&service("ClusterIP"), &going)).await["allowed"], true);
    // A create that claims an old object gains nothing by it.
    let mut forged = about(&old);
    forged["request"]["oldObject"] = old.clone();
    assert_eq!(ask(&state, "/foreign", &forged).await["allowed"], false);
}

#[tokio::test]
async fn strange_requests_are_answered() {
    let state = refusing("Enforce");
    for body in ["nonsense", "[]", "{}", r#"{"request":{"uid":""}}"#] {
        assert_eq!(post(&state, "/foreign", body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    let admitted = json!({ "uid": "7f3c", "allowed": true });
    for (group, kind) in
        [("apps", "Deployment"), ("gatehouse.dev", "ExposedApp"), ("serving.knative.dev", "Service"), ("", "")]
    {
        let mut review = about(&service("NodePort"));
        review["request"]["kind"] = json!({ "group": group, "version": "v9", "kind": kind });
        assert_eq!(ask(&state, "/foreign", &review).await, admitted, "{group} {kind}");
    }
    for kind in [json!(7), json!([]), Value::Null] {
        let mut review = about(&service("NodePort"));
        review["request"]["kind"] = kind;
        assert_eq!(ask(&state, "/foreign", &review).await, admitted);
    }
    for object in [json!(7), json!("x"), json!([]), json!({}), json!({ "metadata": 7, "spec": [] }), Value::Null] {
        let mut review = about(&service("NodePort"));
        review["request"]["object"] = object.clone();
        assert_eq!(ask(&state, "/foreign", &review).await, admitted, "what says nothing publishes nothing: {object}");
    }
    for old in [json!("?"), json!([]), json!({ "spec": 7 }), Value::Null] {
        assert_eq!(ask(&state, "/foreign", &changed(&old, &service("NodePort"))).await["allowed"], false, "{old}");
    }
    // The other endpoint stays for ExposedApps: a rule that leads the wrong way is told.
    assert_eq!(ask(&state, "/validate", &about(&service("NodePort"))).await["allowed"], false);
    let empty = State::new(std::sync::Arc::default(), state.metrics.clone());
    assert_eq!(
        post(&empty, "/foreign", about(&service("NodePort")).to_string()).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn kinds_without_a_namespace_obey_policies_for_all() {
    let class = json!({
        "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "IngressClassParams", "metadata": { "name": "mine" }, "spec": {},
    });
    let state = refusing("Enforce");
    assert_eq!(ask(&state, "/foreign", &about(&class)).await["allowed"], true, "a policy for team-a");
    let mut forged = about(&class);
    forged["request"]["namespace"] = json!("team-a");
    assert_eq!(ask(&state, "/foreign", &forged).await["allowed"], true, "has no namespace, whatever the request says");
    policy(&state.cache, "all", json!({ "namespaces": { "all": true }, "rules": { "refuse": ["ForeignIngress"] } }));
    assert_eq!(ask(&state, "/foreign", &about(&class)).await["allowed"], false);
}

/// The files that the command line judges in cli/tests/cli/refused.rs, with the same list of findings. Excepted and
/// audited findings are not told at admission.
#[tokio::test]
async fn the_same_findings_as_the_command_line() {
    let state = state();
    for name in ["team-a", "team-b"] {
        state.cache.apply(Delta::Policy(name.into(), None));
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples/refused");
    let read = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
    };
    policy(&state.cache, "no-side-doors", read("policy.yaml")[0]["spec"].clone());
    let mut told: Vec<String> = Vec::new();
    for object in read("objects.yaml") {
        let response = ask(&state, "/foreign", &about(&object)).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = format!(
            "{} {}/{}: fault",
            text(&object["kind"]),
            text(&object["metadata"]["namespace"]),
            text(&object["metadata"]["name"])
        );
        let refusal = text(&response["status"]["message"]);
        let faults = refusal.split_once(" faults: ").map_or(refusal.as_str(), |(_, faults)| faults);
        // A message may hold "; ": what ends one is its rule's id.
        let mut lines: Vec<String> =
            faults.replace("]; spec", "]\nspec").lines().map(|fault| format!("{name} {fault}")).collect();
        assert_eq!(response["allowed"] == true, lines.is_empty());
        told.append(&mut lines);
    }
    let listed = include_str!("refused.txt").lines().filter(|line| !line.contains(": audit "));
    assert_eq!(told, listed.collect::<Vec<_>>());
}
