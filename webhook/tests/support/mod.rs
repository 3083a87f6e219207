//! Two teams, their policies, and requests to the router as the API server makes them.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use gatehouse_core::Wall;
use gatehouse_core::world::Delta;
use gatehouse_crds::{ExposurePolicy, HostClaim, SharedLoadBalancer};
use gatehouse_route::Host;
use gatehouse_webhook::cache::Cache;
use gatehouse_webhook::facts;
use gatehouse_webhook::http::{self, State};
use gatehouse_webhook::metrics::Metrics;
use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Two teams: each has a host and a domain of its own, and both may use names below shared.example.com.
pub fn state() -> State {
    let cache = Cache::default();
    for namespace in ["team-a", "team-b"] {
        let meta = json!({ "name": namespace, "uid": format!("uid-{namespace}") });
        let meta: ObjectMeta = serde_json::from_value(meta).unwrap();
        cache.apply(Delta::Namespace(namespace.into(), Some(facts::namespace(&meta))));
    }
    policy(
        &cache,
        "team-a",
        json!({
            "namespaces": { "names": ["team-a"] },
            "loadBalancers": ["public"],
            "grants": [{ "hosts": ["shop.example.com"], "domains": ["a.example.com", "shared.example.com"] }],
            "rules": {
                "labels": [{ "key": "team" }, { "key": "cost-center", "pattern": "[0-9]{4}" }],
                "tls": { "modes": ["Discover"] },
            },
            "defaults": { "labels": { "cost-center": "0000" } },
        }),
    );
    policy(
        &cache,
        "team-b",
        json!({
            "namespaces": { "names": ["team-b"] },
            "loadBalancers": ["public"],
            "grants": [{ "hosts": ["blog.example.com"], "domains": ["b.example.com", "shared.example.com"] }],
        }),
    );
    let balancer: SharedLoadBalancer = serde_json::from_value(json!({
        "apiVersion": "gatehouse.dev/v1alpha1", "kind": "SharedLoadBalancer", "metadata": { "name": "public" },
        "spec": {
            "default": true, "region": "eu-central-1", "vpcId": "vpc-1", "scheme": "internet-facing",
            "subnets": [{ "id": "subnet-1", "zone": "eu-central-1a", "cidrs": ["10.0.0.0/24"] }, { "id": "subnet-2", "zone": "eu-central-1b", "cidrs": ["10.0.1.0/24"] }],
            "securityGroups": ["sg-1"], "edge": { "port": 8080 },
        },
    }))
    .unwrap();
    cache.apply(Delta::LoadBalancer("public".into(), Some(facts::load_balancer(&balancer))));
    cache.filled();
    let mut state = State::new(Arc::new(cache), Metrics::new().unwrap());
    state.clock = || Wall::parse("2026-11-21T12:00:00Z").unwrap();
    state
}

pub fn policy(cache: &Cache, name: &str, spec: Value) {
    let object = json!({
        "apiVersion": "gatehouse.dev/v1alpha1", "kind": "ExposurePolicy", "metadata": { "name": name }, "spec": spec,
    });
    let policy: ExposurePolicy = serde_json::from_value(object).unwrap();
    cache.apply(Delta::Policy(name.into(), Some(facts::policy(&policy))));
}

pub fn claim(cache: &Cache, host: &str, namespace: &str) {
    let name = gatehouse_core::identity::claim_name(&Host::parse(host).unwrap());
    let claim: HostClaim = serde_json::from_value(json!({
        "apiVersion": "gatehouse.dev/v1alpha1", "kind": "HostClaim", "metadata": { "name": name },
        "spec": { "host": host, "namespace": namespace, "namespaceUID": format!("uid-{namespace}") },
        "status": { "state": "Held" },
    }))
    .unwrap();
    cache.apply(Delta::Claim(name, Some(facts::claim(&claim))));
}

pub fn app(namespace: &str, hosts: &[&str]) -> Value {
    json!({
        "apiVersion": "gatehouse.dev/v1alpha1", "kind": "ExposedApp",
        "metadata": { "name": "shop", "namespace": namespace, "labels": { "team": "a", "cost-center": "1234" } },
        "spec": { "hosts": hosts, "routes": [{ "backends": [{ "service": "web", "port": 80 }] }] },
    })
}

pub fn review_of(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "7f3c", "operation": "CREATE", "dryRun": false,
            "kind": { "group": "gatehouse.dev", "version": "v1alpha1", "kind": "ExposedApp" },
            "namespace": object["metadata"]["namespace"], "name": object["metadata"]["name"],
            "object": object, "oldObject": null,
        },
    })
}

pub fn update_of(old: &Value, new: &Value) -> Value {
    let mut review = review_of(new);
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["oldObject"] = old.clone();
    review
}

pub async fn post(state: &State, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::post(path).body(body.into()).unwrap();
    let response = http::router(state.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub async fn ask(state: &State, path: &str, review: &Value) -> Value {
    let (status, body) = post(state, path, review.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["apiVersion"], review["apiVersion"]);
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], "7f3c");
    for warning in answer["response"]["warnings"].as_array().into_iter().flatten() {
        assert!(warning.as_str().unwrap().chars().count() <= 120, "{warning}");
    }
    answer["response"].clone()
}

pub async fn validate(state: &State, object: &Value) -> Value {
    ask(state, "/validate", &review_of(object)).await
}

pub fn message(response: &Value) -> &str {
    assert_eq!(response["allowed"], false, "{response}");
    let text = response["status"]["message"].as_str().unwrap();
    assert!(!text.contains('\n'), "{text}");
    text
}
