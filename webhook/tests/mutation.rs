//! Mutation: add-only and idempotent.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use base64::Engine as _;
use gatehouse_webhook::http::State;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{app, ask, message, policy, review_of, state};

/// The object after mutation, and the operations.
async fn mutated(state: &State, object: &Value) -> (Value, Vec<Value>) {
    let response = ask(state, "/mutate", &review_of(object)).await;
    assert_eq!(response["allowed"], true);
    let mut object = object.clone();
    let Some(patch) = response["patch"].as_str() else { return (object, Vec::new()) };
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
    json_patch::patch(&mut object, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap()).unwrap();
    (object, serde_json::from_slice(&patch).unwrap())
}

#[tokio::test]
async fn absent_labels_get_their_default() {
    let state = state();
    let mut object = app("team-a", &["shop.example.com"]);
    assert_eq!(mutated(&state, &object).await.1, Vec::<Value>::new());
    object["metadata"]["labels"] = json!({ "team": "a" });
    let add = json!([{ "op": "add", "path": "/metadata/labels/cost-center", "value": "0000" }]);
    assert_eq!(json!(mutated(&state, &object).await.1), add);
    object["metadata"].as_object_mut().unwrap().remove("labels");
    let add = json!([{ "op": "add", "path": "/metadata/labels", "value": { "cost-center": "0000" } }]);
    assert_eq!(json!(mutated(&state, &object).await.1), add);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Add-only and idempotent, whatever the keys.
    #[test]
    fn mutation_only_adds(
        defaults in proptest::collection::btree_map("[a-c]{1,2}(/[a-c~]{1,2})?", "[a-z0-9]{0,4}", 0..5),
        labels in proptest::option::of(proptest::collection::btree_map("[a-c]{1,2}(/[a-c~]{1,2})?", "[a-z0-9]{0,4}", 0..5)),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let state = state();
            policy(&state.cache, "defaults", json!({ "namespaces": { "all": true }, "defaults": { "labels": defaults } }));
            let mut object = app("team-b", &["blog.example.com"]);
            match &labels {
                Some(labels) => object["metadata"]["labels"] = json!(labels),
                None => drop(object["metadata"].as_object_mut().unwrap().remove("labels")),
            }
            let (once, patch) = mutated(&state, &object).await;
            for op in &patch {
                assert_eq!(op["op"], "add");
                assert!(op["path"].as_str().unwrap().starts_with("/metadata/labels"));
            }
            let mut expected: BTreeMap<String, String> = defaults.clone();
            expected.extend(labels.clone().unwrap_or_default());
            assert_eq!(once["metadata"]["labels"], if expected.is_empty() { object["metadata"]["labels"].clone() } else { json!(expected) });
            let mut rest = once.clone();
            rest["metadata"]["labels"] = Value::Null;
            object["metadata"]["labels"] = Value::Null;
            assert_eq!(rest, object);
            assert_eq!(mutated(&state, &once).await, (once, Vec::new()));
        });
    }
}

/// Validation looks at what will be stored, whatever became of it on the way.
#[tokio::test]
async fn what_another_takes_off_again_is_refused() {
    let state = state();
    let mut object = app("team-a", &["shop.example.com"]);
    object["metadata"]["labels"] = json!({ "team": "a" });
    let (mut stored, patch) = mutated(&state, &object).await;
    assert_eq!(patch.len(), 1);
    assert_eq!(ask(&state, "/validate", &review_of(&stored)).await["allowed"], true);
    stored["metadata"]["labels"].as_object_mut().unwrap().remove("cost-center");
    let response = ask(&state, "/validate", &review_of(&stored)).await;
    assert!(message(&response).starts_with("metadata.labels[cost-center]: is missing"), "{response}");
}

/// Another one that adds labels of its own, also one of ours: before, after or in between, ours ends the same way.
#[tokio::test]
async fn beside_another_mutator_the_order_does_not_matter() {
    let state = state();
    let other = |mut object: Value| {
        let labels = object["metadata"]["labels"].as_object_mut().unwrap();
        labels.insert("injected".into(), json!("yes"));
        labels.insert("cost-center".into(), json!("4711"));
        object
    };
    let mut object = app("team-a", &["shop.example.com"]);
    object["metadata"]["labels"] = json!({ "team": "a" });
    let before = mutated(&state, &other(object.clone())).await;
    assert_eq!(before.1, Vec::<Value>::new(), "what another wrote is not replaced");
    let between = other(mutated(&state, &object).await.0);
    let after = mutated(&state, &between).await;
    assert_eq!((&after.0, after.1), (&before.0, Vec::new()));
}
