//! The ExposedApps that the operator writes for the Ingresses of a namespace.
//!
//! They belong to their Ingress by an owner reference, so the cluster removes them with it, whether the operator runs
//! or not. Their names begin with a prefix: whoever moves from Ingress to ExposedApp can apply the new app beside the
//! derived one and delete the Ingress then, without a gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use gatehouse_crds::{ExposedAppSpec, GROUP, VERSION, keys};
use gatehouse_route::{Label, short_hash};
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::{Value, json};

use super::{Converted, Ports, Remark, ServicePorts, convert, is_ours};
use crate::review::{Rulebook, default_labels};
use crate::world::{IngressFacts, ServiceFacts};

const PREFIX: &str = "ingress-";

/// What one Ingress became.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Derived {
    /// Apps by name.
    pub apps: BTreeMap<String, AppFragment>,
    /// What was not carried over as it stands.
    pub remarks: Vec<Remark>,
    /// Whether it cannot be read at all: what stands for it stays as it is.
    pub refused: bool,
}

/// One ExposedApp as it should be: the exact fragment for server-side apply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppFragment {
    /// As JSON, with its hash in an annotation.
    pub json: String,
    /// The hash.
    pub hash: String,
}

/// Facts of an Ingress; of one that is not of our class only whose it was.
#[must_use]
pub fn facts(ingress: &Ingress) -> Arc<IngressFacts> {
    let text = is_ours(ingress).then(|| {
        let mut annotations = ingress.metadata.annotations.clone().unwrap_or_default();
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        let name = ingress.metadata.name.clone().unwrap_or_default();
        json!({ "metadata": { "name": name, "annotations": annotations }, "spec": ingress.spec }).to_string()
    });
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let shown = balancer.into_iter().flat_map(|b| b.ingress.iter().flatten());
    Arc::new(IngressFacts {
        meta: crate::facts::meta(&ingress.metadata),
        labels: if text.is_some() { ingress.metadata.labels.clone().unwrap_or_default() } else { BTreeMap::new() },
        text,
        addresses: shown.filter_map(|entry| entry.hostname.clone()).collect(),
    })
}

/// The name of a derived app, by the name it has as converted.
#[must_use]
pub fn app_name(converted: &str) -> String {
    let name = format!("{PREFIX}{converted}");
    if Label::parse(&name).is_ok() { name } else { format!("{PREFIX}{}", short_hash(converted.as_bytes(), 8)) }
}

/// Labels of a derived app: those that the policies ask for, as the Ingress has them, or by default. No others: labels of
/// tools would make them prune what they did not write.
#[must_use]
pub fn app_labels(of_ingress: &BTreeMap<String, String>, rulebook: &Rulebook) -> BTreeMap<String, String> {
    let asked = |key: &str| rulebook.labels.iter().any(|l| l.key == key) || rulebook.default_labels.contains_key(key);
    let mut out: BTreeMap<String, String> =
        of_ingress.iter().filter(|(key, _)| asked(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    out.extend(default_labels(of_ingress, rulebook));
    out
}

/// What the Ingresses of a namespace became, by name.
#[must_use]
pub fn derive<'a>(
    namespace: &str,
    ingresses: impl Iterator<Item = (&'a str, &'a IngressFacts)>,
    services: &BTreeMap<String, Arc<ServiceFacts>>,
    rulebook: &Rulebook,
) -> BTreeMap<String, Derived> {
    let read: Vec<(&str, &IngressFacts, Ingress)> = ingresses
        .filter(|(_, facts)| !facts.meta.deleting)
        .filter_map(|(name, facts)| Some((name, facts, serde_json::from_str(facts.text.as_ref()?).ok()?)))
        .collect();
    if read.is_empty() {
        return BTreeMap::new();
    }
    let ports: ServicePorts = services
        .iter()
        .map(|(name, s)| (name.clone(), s.names.iter().map(|(n, port)| (n.clone(), i32::from(*port))).collect()))
        .collect();
    let all: Vec<&Ingress> = read.iter().map(|(.., ingress)| ingress).collect();
    read.iter()
        .map(|(name, facts, ingress)| {
            let converted = convert(ingress, Some(&all), Ports::Cluster(&ports));
            let refused = converted.refused();
            let Converted { apps, remarks } = converted;
            let labels = app_labels(&facts.labels, rulebook);
            let apps = apps
                .into_iter()
                .map(|app| {
                    let name = app_name(&app.name);
                    let fragment = fragment((namespace, &name), (ingress, &facts.meta.uid), &labels, &app.spec);
                    (name, fragment)
                })
                .collect();
            ((*name).to_owned(), Derived { apps, remarks, refused })
        })
        .collect()
}

fn fragment(
    (namespace, name): (&str, &str),
    (ingress, uid): (&Ingress, &str),
    labels: &BTreeMap<String, String>,
    spec: &ExposedAppSpec,
) -> AppFragment {
    let mut labels = labels.clone();
    labels.insert(keys::MANAGED_BY.to_owned(), keys::MANAGED_BY_VALUE.to_owned());
    labels.insert(keys::COMPONENT.to_owned(), keys::INGRESS.to_owned());
    let owner = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": ingress.metadata.name, "uid": uid,
        "controller": true, "blockOwnerDeletion": false,
    });
    let mut object: Value = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ExposedApp",
        "metadata": { "name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner] },
        "spec": spec,
    });
    let hash = short_hash(object.to_string().as_bytes(), 8);
    object["metadata"]["annotations"] = json!({ keys::FRAGMENT: hash });
    AppFragment { json: object.to_string(), hash }
}
