//! `gatehouse convert`: the ExposedApps that Ingresses become.

use std::collections::BTreeMap;

use gatehouse_core::ingress::{Fate, Ports, ServicePorts, convert};
use gatehouse_crds::ExposedAppSpec;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use serde::Serialize;

use crate::args::ConvertArgs;
use crate::input::{self, Document};
use crate::print::Out;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: ExposedAppSpec,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: String,
    namespace: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// Runs the command; returns the exit code.
pub fn run(args: &ConvertArgs, out: &mut Out) -> u8 {
    let documents = match input::read(&args.from) {
        Ok(documents) => documents,
        Err(problems) => {
            problems.iter().for_each(|problem| out.complain(&format!("error: {problem}")));
            return 2;
        }
    };
    let mut services: BTreeMap<String, ServicePorts> = BTreeMap::new();
    for document in documents.iter().filter(|d| is(d, "v1", "Service")) {
        let Ok(service) = serde_json::from_value::<Service>(document.value.clone()) else { continue };
        let ports = service.spec.unwrap_or_default().ports.unwrap_or_default();
        let named = ports.into_iter().filter_map(|p| Some((p.name?, p.port))).collect();
        let namespace = service.metadata.namespace.unwrap_or_else(|| args.from.namespace.clone());
        services.entry(namespace).or_default().insert(service.metadata.name.unwrap_or_default(), named);
    }
    let mut failed = false;
    let mut apps: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut ingresses: Vec<(&Document, Ingress)> = Vec::new();
    for document in documents.iter().filter(|d| is(d, "networking.k8s.io/v1", "Ingress")) {
        match serde_json::from_value(document.value.clone()) {
            Ok(ingress) => ingresses.push((document, ingress)),
            Err(error) => {
                out.complain(&format!("error: {}: Ingress: {error}", document.source));
                return 2;
            }
        }
    }
    let namespace_of = |i: &Ingress| i.metadata.namespace.clone().unwrap_or_else(|| args.from.namespace.clone());
    for (document, ingress) in &ingresses {
        let namespace = &namespace_of(ingress);
        let name = ingress.metadata.name.as_deref().unwrap_or_default();
        // Whatever their class is: they are to be converted.
        let beside: Vec<&Ingress> =
            ingresses.iter().map(|(_, i)| i).filter(|i| namespace_of(i) == *namespace).collect();
        let none = BTreeMap::new();
        let found = convert(ingress, Some(&beside), Ports::Files(services.get(namespace).unwrap_or(&none)));
        if !found.remarks.is_empty() {
            out.complain(&format!("Ingress {namespace}/{name} ({})", document.source));
        }
        for remark in &found.remarks {
            failed |= remark.fate != Fate::Needless;
            out.complain(&format!("  {:<8}  {}: {}", remark.fate.as_str(), remark.field, remark.message));
        }
        for app in found.apps {
            let (app, spec) = (app.name, app.spec);
            let key = (namespace.to_owned(), app.clone());
            if let Some(other) = apps.insert(key, name.to_owned()) {
                out.complain(&format!(
                    "error: Ingress {name} and {other} of {namespace} both become the app {app}; rename one"
                ));
                return 2;
            }
            let metadata =
                Metadata { name: app, namespace, labels: ingress.metadata.labels.clone().unwrap_or_default() };
            let printed = Printed { api_version: "gatehouse.dev/v1alpha1", kind: "ExposedApp", metadata, spec };
            match serde_saphyr::to_string(&printed) {
                Ok(text) => {
                    out.line("---");
                    text.lines().for_each(|line| out.line(line));
                }
                Err(error) => {
                    out.complain(&format!("error: {namespace}/{name} cannot be written as YAML: {error}"));
                    return 2;
                }
            }
        }
    }
    if ingresses.is_empty() {
        out.complain("error: nothing to convert: no Ingress of networking.k8s.io/v1 in the input");
        return 2;
    }
    u8::from(failed)
}

fn is(document: &Document, api: &str, kind: &str) -> bool {
    document.value.get("apiVersion").is_some_and(|v| v == api) && document.value.get("kind").is_some_and(|v| v == kind)
}
