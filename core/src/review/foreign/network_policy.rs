//! Tenants' NetworkPolicies that reach the pods which Gatehouse runs in their namespace.

use gatehouse_crds::keys;
use serde_json::Value;

use super::{Fault, quoted, texts};

/// NetworkPolicies add up: one more can only open, because the edge's own policy closes it already. So a policy that
/// happens to select the edge is a fault when it lets somebody in; one that selects it by our labels is meant for it and
/// is a fault whatever it says.
pub(super) fn network_policy(object: &Value) -> Vec<Fault> {
    if ours(object) {
        return Vec::new();
    }
    let spec = &object["spec"];
    let Some((named, key)) = selects_edge(&spec["podSelector"]) else { return Vec::new() };
    let opens = spec["ingress"].as_array().is_some_and(|rules| !rules.is_empty());
    if named {
        let message = format!("names {}, pods of Gatehouse; select your own pods", quoted(&key));
        return vec![Fault::ownership("spec.podSelector", message).with([spec.to_string()])];
    }
    if !opens {
        return Vec::new();
    }
    let message = "also opens Gatehouse's pods; add gatehouse.dev/component DoesNotExist";
    let rules = spec["ingress"].as_array().into_iter().flatten().map(Value::to_string);
    vec![Fault::ownership("spec.podSelector", message).with(rules)]
}

/// Our own children. Only the operator can write an object with both labels (config/policy/children.yaml).
fn ours(object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    labels[keys::MANAGED_BY].as_str() == Some(keys::MANAGED_BY_VALUE) && labels[keys::COMPONENT].is_string()
}

/// The value of a label of edge pods; the outer `None` is a label they do not have, the inner one a value not known here.
fn edge_label(key: &str) -> Option<Option<&'static str>> {
    match key {
        keys::COMPONENT => Some(Some(keys::EDGE)),
        keys::MANAGED_BY => Some(Some(keys::MANAGED_BY_VALUE)),
        "pod-template-hash" => Some(None),
        _ => None,
    }
}

/// Whether a selector matches edge pods, and then whether it does so by a label of ours, and which. What cannot be read
/// selects nothing: the API server refuses it.
fn selects_edge(selector: &Value) -> Option<(bool, String)> {
    let mut by = None;
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let have = edge_label(key)?;
        if have.is_some_and(|have| value.as_str() != Some(have)) {
            return None;
        }
        by.get_or_insert_with(|| key.clone());
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values = texts(&expression["values"]);
        let have = edge_label(key);
        let listed = have.is_some_and(|have| have.is_none_or(|have| values.contains(&have)));
        let (matches, names) = match expression["operator"].as_str() {
            Some("In") => (listed, true),
            Some("Exists") => (have.is_some(), true),
            // Of a value that is not known here, nobody can say that it is not listed.
            Some("NotIn") => (!listed || have == Some(None), false),
            Some("DoesNotExist") => (have.is_none(), false),
            _ => (false, false),
        };
        if !matches {
            return None;
        }
        if names {
            by.get_or_insert_with(|| key.to_owned());
        }
    }
    Some((by.is_some(), by.unwrap_or_default()))
}
