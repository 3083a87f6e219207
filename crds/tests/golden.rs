//! The committed CRDs are the ones the types give, and keep what tools rely on.

use gatehouse_crds::{custom_resource_definitions, custom_resource_definitions_yaml};

#[test]
fn committed_crds_are_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/crd/gatehouse.dev.yaml");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let generated = custom_resource_definitions_yaml().unwrap();
    assert!(committed == generated, "config/crd/gatehouse.dev.yaml differs from the types: run `make gen`");
}

#[test]
fn every_field_is_described_and_no_list_item_has_a_default() {
    for crd in custom_resource_definitions() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        walk(&crd.spec.names.kind, &schema["openAPIV3Schema"], false);
    }
}

fn walk(at: &str, schema: &serde_json::Value, in_list: bool) {
    assert!(schema.get("x-kubernetes-preserve-unknown-fields").is_none(), "{at} hides changes from diffs");
    assert!(
        !in_list || at.contains(".status.") || schema.get("default").is_none(),
        "{at}: a default inside a list item is permanent drift for GitOps"
    );
    if let Some(format) = schema.get("format").and_then(|f| f.as_str()) {
        assert!(!format.starts_with("uint"), "{at} has format {format}, at which the API server warns");
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let here = format!("{at}.{name}");
        assert!(
            field.get("description").is_some() || at.ends_with("Selector") || here.ends_with(".metadata"),
            "{here} has no description"
        );
        walk(&here, field, in_list);
    }
    if schema["items"].is_object() {
        walk(&format!("{at}[]"), &schema["items"], true);
    }
    if schema["additionalProperties"].is_object() {
        walk(&format!("{at}{{}}"), &schema["additionalProperties"], true);
    }
}

#[test]
fn conditions_merge_by_type_and_start_unknown() {
    for crd in custom_resource_definitions() {
        let status =
            serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"]["properties"]["status"]
                .clone();
        let conditions = &status["properties"]["conditions"];
        if conditions.is_object() {
            assert_eq!(conditions["x-kubernetes-list-type"], "map", "{}", crd.spec.names.kind);
        }
        if crd.spec.names.kind == "ExposedApp" {
            assert_eq!(status["default"]["conditions"][0]["status"], "Unknown");
        }
    }
}
