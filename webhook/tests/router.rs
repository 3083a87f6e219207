//! The webhook through its router, without sockets: what people read when an app is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use gatehouse_core::AppKey;
use gatehouse_core::review::refusal_id;
use gatehouse_core::world::Delta;
use gatehouse_crds::ExposedApp;
use gatehouse_route::Host;
use gatehouse_webhook::facts;
use gatehouse_webhook::http::{self, State};
use gatehouse_webhook::metrics::Metrics;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use support::{app, ask, claim, message, policy, post, review_of, state, update_of, validate};

#[tokio::test]
async fn a_right_app_is_admitted_without_a_word() {
    let response = validate(&state(), &app("team-a", &["shop.example.com", "x.y.a.example.com"])).await;
    assert_eq!(response, json!({ "uid": "7f3c", "allowed": true }));
}

#[tokio::test]
async fn every_fault_stands_in_one_answer() {
    let mut object = app("team-a", &["blog.example.com"]);
    object["metadata"]["labels"] = json!({ "cost-center": "1234" });
    object["spec"]["tls"] = json!({ "mode": "Request" });
    let response = validate(&state(), &object).await;
    let reference = refusal_id(&Host::parse("blog.example.com").unwrap(), "team-a");
    assert_eq!(
        message(&response),
        format!(
            "3 faults: spec.hosts[0]: \"blog.example.com\" is not available to namespace team-a; granted: \
             shop.example.com, names below a.example.com, names below shared.example.com (ask the platform team, \
             reference {reference}) [host]; metadata.labels[team]: is missing; set it to any value [labels]; \
             spec.tls.mode: Request is not allowed here; allowed: Discover [tls-mode]"
        )
    );
    assert_eq!(response["status"]["code"], 403);
    assert_eq!(response["status"]["reason"], "Forbidden");
}

#[tokio::test]
async fn grammar_is_unprocessable_and_rights_are_forbidden() {
    let mut object = app("team-a", &["shop.example.com"]);
    object["spec"]["routes"][0]["path"] = json!("/a/../b");
    let response = validate(&state(), &object).await;
    assert_eq!(
        message(&response),
        "spec.routes[0].path: \"/a/../b\" has a '.' or '..' segment, which nginx would resolve away [grammar]"
    );
    assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(422), &json!("Invalid")));

    object["spec"]["loadBalancers"] = json!(["internal"]);
    let response = validate(&state(), &object).await;
    assert!(message(&response).starts_with("2 faults: "), "{response}");
    assert_eq!(response["status"]["code"], 403);

    object["spec"] = json!({ "hosts": "shop.example.com" });
    let response = validate(&state(), &object).await;
    assert_eq!(
        message(&response),
        "spec.hosts: cannot be read: invalid type: string \"shop.example.com\", expected a sequence; see `kubectl \
         explain exposedapp.spec` [grammar]"
    );
    assert_eq!(response["status"]["code"], 422);

    object["spec"] = Value::Null;
    assert!(message(&validate(&state(), &object).await).starts_with("spec: is missing"));
}

#[tokio::test]
async fn a_taken_host_reads_as_an_ungranted_one() {
    let state = state();
    claim(&state.cache, "x.shared.example.com", "team-b");
    claim(&state.cache, "*.w.shared.example.com", "team-b");
    claim(&state.cache, "one.e.shared.example.com", "team-b");
    let text = async |host: &str| {
        let response = validate(&state, &app("team-a", &[host])).await;
        let reference = refusal_id(&Host::parse(host).unwrap(), "team-a");
        assert_eq!(response["status"]["code"], 403);
        message(&response).replace(host, "HOST").replace(&reference, "REFERENCE")
    };
    let ungranted = text("free.example.org").await;
    assert_eq!(text("x.shared.example.com").await, ungranted, "the same host");
    assert_eq!(text("y.w.shared.example.com").await, ungranted, "below another's wildcard");
    assert_eq!(text("*.e.shared.example.com").await, ungranted, "a wildcard above another's host");

    // Nobody is hindered by what is his own, or only near.
    for (namespace, host) in
        [("team-b", "x.shared.example.com"), ("team-b", "y.w.shared.example.com"), ("team-a", "y.shared.example.com")]
    {
        assert_eq!(validate(&state, &app(namespace, &[host])).await["allowed"], true, "{namespace} {host}");
    }
}

#[tokio::test]
async fn a_domain_is_compared_by_labels() {
    let state = state();
    for host in
        ["evila.example.com", "a.example.com", "a.example.com.", "A.example.com", "*.example.com", "example.com"]
    {
        assert_eq!(validate(&state, &app("team-a", &[host])).await["allowed"], false, "{host}");
    }
}

#[tokio::test]
async fn warnings_admit_and_exceptions_are_silent() {
    let state = state();
    let mut object = app("team-b", &["blog.example.com"]);
    object["spec"]["tls"] = json!({ "mode": "Request" });
    let rules = json!({ "tls": { "modes": ["Discover"] }, "enforcement": { "tls-mode": "Warn" } });
    policy(&state.cache, "all", json!({ "namespaces": { "all": true }, "rules": rules }));
    let response = validate(&state, &object).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(
        response["warnings"],
        json!(["spec.tls.mode: Request is not allowed here; allowed: Discover [tls-mode]"])
    );

    let rules = json!({ "tls": { "modes": ["Discover"] } });
    let exception = |until: &str| json!([{ "kind": "ExposedApp", "namespace": "team-b", "name": "shop", "rule": "tls-mode", "reason": "r", "until": until }]);
    for (until, allowed) in [("2026-11-20", false), ("2026-11-21", true), ("2027-01-31", true)] {
        let spec = json!({ "namespaces": { "all": true }, "rules": rules, "exceptions": exception(until) });
        policy(&state.cache, "all", spec);
        let response = validate(&state, &object).await;
        assert_eq!(response["allowed"], allowed, "until {until}");
        assert_eq!(response["warnings"], Value::Null, "until {until}");
    }
}

#[tokio::test]
async fn limits_count_what_stands() {
    let state = state();
    let rules = json!({ "limits": { "apps": 1 } });
    policy(&state.cache, "all", json!({ "namespaces": { "all": true }, "rules": rules }));
    let object = app("team-b", &["blog.example.com"]);
    assert_eq!(validate(&state, &object).await["allowed"], true);

    let mut other = app("team-b", &["x.b.example.com"]);
    other["metadata"]["name"] = json!("zz-older");
    other["metadata"]["creationTimestamp"] = json!("2026-11-21T12:00:00Z");
    let facts = facts::app(&serde_json::from_value::<ExposedApp>(other.clone()).unwrap());
    state.cache.apply(Delta::App(AppKey::new("team-b", "zz-older"), Some(facts)));
    let response = validate(&state, &object).await;
    assert_eq!(message(&response), "metadata.name: makes 2 apps in the namespace, the limit is 1 [limits]");
    // The one that stands may still be changed.
    let mut changed = other.clone();
    changed["spec"]["hosts"] = json!(["y.b.example.com"]);
    assert_eq!(ask(&state, "/validate", &update_of(&other, &changed)).await["allowed"], true);
}

#[tokio::test]
async fn limits_on_what_aws_counts() {
    let state = state();
    let limit = |limits: Value| {
        let rules = json!({ "limits": limits });
        policy(&state.cache, "all", json!({ "namespaces": { "all": true }, "rules": rules }));
    };
    limit(json!({ "rules": 1, "certificates": 0 }));
    let hosts: Vec<String> = (0..6).map(|i| format!("h{i}.b.example.com")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    assert_eq!(validate(&state, &app("team-b", &hosts[..5])).await["allowed"], true, "five share a rule");
    assert_eq!(
        message(&validate(&state, &app("team-b", &hosts)).await),
        "spec.hosts: makes 2 listener rules of the namespace at least, the limit is 1 [limits]"
    );
    let mut object = app("team-b", &["blog.example.com"]);
    object["spec"]["tls"] = json!({ "mode": "Request" });
    assert_eq!(
        message(&validate(&state, &object).await),
        "spec.tls.mode: Request needs a certificate of its own, the limit of certificates is 0; use another mode [limits]"
    );
    limit(json!({ "certificates": 1 }));
    assert_eq!(validate(&state, &object).await["allowed"], true, "beyond none, the operator counts");
}

#[tokio::test]
async fn what_a_review_does_not_look_at_may_always_change() {
    let state = state();
    let old = app("team-a", &["blog.example.com"]);
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!(["gatehouse.dev/cleanup"]);
    new["metadata"]["annotations"] = json!({ "note": "x" });
    new["status"] = json!({ "observedGeneration": 3 });
    assert_eq!(ask(&state, "/validate", &update_of(&old, &new)).await, json!({ "uid": "7f3c", "allowed": true }));
    new["metadata"]["annotations"] = json!({ "argocd.argoproj.io/hook": "Sync" });
    assert!(
        ask(&state, "/validate", &update_of(&old, &new)).await["warnings"].is_array(),
        "hazards are told all the same"
    );

    let mut relabelled = old.clone();
    relabelled["metadata"]["labels"]["team"] = json!("b");
    assert_eq!(ask(&state, "/validate", &update_of(&old, &relabelled)).await["allowed"], false);

    let mut deletion = review_of(&Value::Null);
    deletion["request"]["operation"] = json!("DELETE");
    deletion["request"]["oldObject"] = old.clone();
    assert_eq!(ask(&state, "/validate", &deletion).await["allowed"], true);

    // An old object that cannot be read must not keep its own repair out, nor let anything in.
    let good = app("team-a", &["shop.example.com"]);
    for garbage in [json!("?"), json!([]), json!({ "spec": 7 }), json!({ "metadata": [] }), Value::Null] {
        assert_eq!(ask(&state, "/validate", &update_of(&garbage, &good)).await["allowed"], true, "{garbage}");
        assert_eq!(ask(&state, "/validate", &update_of(&garbage, &old)).await["allowed"], false, "{garbage}");
    }
}

#[tokio::test]
async fn argo_hazards_are_told() {
    let mut object = app("team-a", &["shop.example.com"]);
    object["metadata"]["annotations"] = json!({
        "argocd.argoproj.io/hook": "PreSync",
        "argocd.argoproj.io/sync-options": "Prune=false, Replace=true",
        "argocd.argoproj.io/sync-wave": "1",
    });
    let response = validate(&state(), &object).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(
        response["warnings"],
        json!([
            "metadata.annotations[argocd.argoproj.io/hook]: Argo CD deletes this app around a sync; remove it",
            "metadata.annotations[argocd.argoproj.io/sync-options]: Replace and Force make Argo CD re-create this app; remove them",
        ])
    );
}

#[tokio::test]
async fn many_warnings_are_counted_and_short() {
    let state = state();
    let labels: Vec<Value> = (0..30).map(|i| json!({ "key": format!("l{i}-{}", "x".repeat(250)) })).collect();
    let rules = json!({ "labels": labels, "enforcement": { "labels": "Warn" } });
    policy(&state.cache, "all", json!({ "namespaces": { "all": true }, "rules": rules }));
    let response = validate(&state, &app("team-b", &["blog.example.com"])).await;
    let warnings = response["warnings"].as_array().unwrap();
    assert_eq!((response["allowed"].clone(), warnings.len()), (json!(true), 16));
    assert_eq!(warnings[15], "and 15 more warnings");
    let cut = warnings[0].as_str().unwrap();
    assert!(
        cut.chars().count() == 120 && cut.starts_with("metadata.labels[l0-xx") && cut.ends_with("x... [labels]"),
        "{cut}"
    );
}

#[tokio::test]
async fn strange_bodies_are_answered() {
    let state = state();
    for (body, why) in [
        ("nonsense", "the body is not JSON: expected ident at line 1 column 2\n"),
        ("{}", "the body is no AdmissionReview: request.uid is missing\n"),
    ] {
        assert_eq!(post(&state, "/validate", body).await, (StatusCode::BAD_REQUEST, why.to_owned()));
    }
    let mut wrong = review_of(&app("team-a", &["shop.example.com"]));
    wrong["request"]["kind"] = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    let response = ask(&state, "/validate", &wrong).await;
    assert_eq!(
        message(&response),
        "this webhook reviews ExposedApp.gatehouse.dev and Ingress, not \"Deployment\" of group \"apps\"; correct the rules of its webhook configuration"
    );
    assert_eq!(ask(&state, "/mutate", &wrong).await, json!({ "uid": "7f3c", "allowed": true }));

    let mut unknown = app("team-a", &["shop.example.com"]);
    unknown["spec"]["futureField"] = json!({ "a": [1] });
    assert_eq!(validate(&state, &unknown).await["allowed"], true, "fields of a newer version are no fault");

    for object in [json!(7), json!("x"), json!([]), json!({}), json!({ "metadata": 7, "spec": {} })] {
        let mut review = review_of(&app("team-a", &[]));
        review["request"]["object"] = object.clone();
        assert_eq!(ask(&state, "/validate", &review).await["allowed"], false, "{object}");
        assert_eq!(ask(&state, "/mutate", &review).await["patch"], Value::Null, "{object}");
    }
    // A namespace that the cache does not know has no grants.
    assert_eq!(validate(&state, &app("new", &["shop.example.com"])).await["allowed"], false);
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let state = state();
    let mut object = app("team-a", &["shop.example.com"]);
    object["metadata"]["annotations"] = json!({ "big": "x".repeat(3 << 20) });
    assert_eq!(validate(&state, &object).await["allowed"], true, "3 MB are served");
    let (status, text) = post(&state, "/validate", vec![b' '; 8 << 20]).await;
    assert_eq!((status, text.as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 7 MiB\n"));
    let metrics = state.metrics.text(&state.cache);
    for line in [
        "gatehouse_webhook_body_too_large_total 1",
        "gatehouse_webhook_decisions_total{endpoint=\"validate\",verdict=\"allowed\"} 1",
        "gatehouse_webhook_decisions_total{endpoint=\"validate\",verdict=\"too-large\"} 1",
        "gatehouse_webhook_cache_objects{kind=\"ExposurePolicy\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

/// Fifty senders of large bodies cannot fill the memory, and nobody waits for them.
#[tokio::test]
async fn large_bodies_share_their_room() {
    let state = state();
    let mut object = app("team-a", &["shop.example.com"]);
    object["metadata"]["annotations"] = json!({ "big": "x".repeat(3 << 20) });
    let all = state.room.available_permits();
    let taken = state.room.clone().acquire_many_owned(u32::try_from(all - (2 << 10)).unwrap()).await.unwrap();
    let (status, text) = post(&state, "/validate", review_of(&object).to_string()).await;
    assert_eq!(
        (status, text.as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "too many large requests at once; ask again\n")
    );
    assert_eq!(validate(&state, &app("team-a", &["shop.example.com"])).await["allowed"], true, "small ones need none");
    // Without a length it may become as large as any.
    let stream = Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>("{}")]));
    assert_eq!(post(&state, "/validate", stream).await.0, StatusCode::TOO_MANY_REQUESTS);
    drop(taken);
    assert_eq!(validate(&state, &object).await["allowed"], true);
    assert_eq!(state.room.available_permits(), all, "and it is given back");
    // What is asked of no endpoint leaves nothing behind.
    assert_eq!(post(&state, "/elsewhere", vec![b' '; 8 << 20]).await.0, StatusCode::NOT_FOUND);
    assert!(!state.metrics.text(&state.cache).contains("elsewhere"));
}

#[tokio::test]
async fn nothing_is_judged_before_the_caches_are_filled() {
    let state = State::new(Arc::default(), Metrics::new().unwrap());
    let review = review_of(&app("team-a", &["shop.example.com"])).to_string();
    for path in ["/validate", "/mutate"] {
        assert_eq!(post(&state, path, review.clone()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
    let ready = async || {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let response = http::health(state.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    };
    assert_eq!(ready().await, (StatusCode::SERVICE_UNAVAILABLE, "waiting for a certificate\n".into()));
    state.certified.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(ready().await, (StatusCode::SERVICE_UNAVAILABLE, "waiting for the caches\n".into()));
    state.cache.filled();
    assert_eq!(ready().await, (StatusCode::OK, "ok\n".into()));
    state.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(ready().await, (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into()));
    assert_eq!(post(&state, "/validate", review).await.0, StatusCode::OK, "what arrives while stopping is answered");
}

/// Not a bench, but a figure to watch: the worst request (a wildcard looks at every claim) over 12,000 hosts.
#[tokio::test]
async fn a_review_over_many_hosts_is_quick() {
    let state = state();
    for i in 0..12_000 {
        claim(&state.cache, &format!("h{i}.n{}.b.example.com", i % 100), "team-b");
    }
    for (what, host) in [("exact", "shop.example.com"), ("wildcard", "*.x.a.example.com")] {
        let review = review_of(&app("team-a", &[host])).to_string();
        let mut took: Vec<_> = Vec::new();
        for _ in 0..200 {
            let begun = Instant::now();
            let (status, _) = post(&state, "/validate", review.clone()).await;
            took.push(begun.elapsed());
            assert_eq!(status, StatusCode::OK);
        }
        took.sort();
        eprintln!("{what}: p50 {:?}, p99 {:?}", took[100], took[197]);
        assert!(took[100].as_millis() < 20, "{what}: {:?}", took[100]);
    }
}
