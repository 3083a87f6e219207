//! Mutation: add-only and idempotent.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use base64::Engine as _;
use gatehouse_webhook::http::State;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{app, ask, policy, review_of, state};

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
