//! Gateway API.

use gatehouse_crds::Refusable;
use serde_json::Value;

use super::{Fault, quoted};

/// A Gateway is a load balancer of its own.
pub(super) fn gateway(object: &Value) -> Vec<Fault> {
    let class = object["spec"]["gatewayClassName"].as_str().unwrap_or_default();
    let message = format!("{} publishes past the platform; use an ExposedApp", quoted(class));
    let parts = listeners(object).chain([format!("class {class}")]);
    vec![Fault::new(Refusable::Gateway, "spec.gatewayClassName", message).with(parts)]
}

/// A ListenerSet adds listeners to another's Gateway.
pub(super) fn listener_set(object: &Value) -> Vec<Fault> {
    let parent = &object["spec"]["parentRef"];
    let name = parent["name"].as_str().unwrap_or_default();
    let message = format!("{} gets listeners past the platform; use an ExposedApp", quoted(name));
    let parts = listeners(object).chain([format!("parent {}", reference(parent))]);
    vec![Fault::new(Refusable::Gateway, "spec.parentRef.name", message).with(parts)]
}

/// What each listener opens, whatever it is called.
fn listeners(object: &Value) -> impl Iterator<Item = String> {
    object["spec"]["listeners"].as_array().into_iter().flatten().map(|listener| {
        let hostname = listener["hostname"].as_str().unwrap_or("*");
        format!("listener {} {} {hostname}", listener["protocol"].as_str().unwrap_or_default(), listener["port"])
    })
}

/// A route without hostnames answers for every host of its listener, those of other tenants included. With hostnames it
/// takes what the platform's Gateway lets it take. A route between Services (a mesh) publishes nothing.
pub(super) fn route(object: &Value) -> Vec<Fault> {
    let spec = &object["spec"];
    let named = spec["hostnames"].as_array().is_some_and(|all| {
        !all.is_empty() && all.iter().all(|name| name.as_str().is_some_and(|name| !name.is_empty() && name != "*"))
    });
    let parents: Vec<String> = spec["parentRefs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parent| parent["kind"].as_str().is_none_or(|kind| kind != "Service"))
        .map(reference)
        .collect();
    if named || parents.is_empty() {
        return Vec::new();
    }
    let message = "is absent: it takes every host of its listener; name the hosts, or use an ExposedApp";
    vec![Fault::new(Refusable::Gateway, "spec.hostnames", message).with(parents)]
}

fn reference(parent: &Value) -> String {
    let text = |key: &str| parent[key].as_str().unwrap_or_default().to_owned();
    format!("{} {}/{} {} {}", text("kind"), text("namespace"), text("name"), text("sectionName"), parent["port"])
}
