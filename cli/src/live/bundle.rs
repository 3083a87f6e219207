//! What apps of a cluster are judged by: for `check --against-cluster`, and as a file for their repositories.

use gatehouse_crds::{ExposedApp, ExposurePolicy, GROUP, HostClaim, SharedLoadBalancer, VERSION, keys};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Failure, connect, list, run};
use crate::args::ClusterArgs;
use crate::input::Document;
use crate::print::Out;

/// How these documents are called where a file would be named.
const CLUSTER: &str = "<cluster>";

/// Runs `bundle export`.
pub fn export(args: &ClusterArgs, out: &mut Out) -> u8 {
    run(out, 2, async |out| {
        let client = connect(args).await?;
        let mut all = own::<SharedLoadBalancer>(&client, "SharedLoadBalancer").await?;
        all.extend(own::<ExposurePolicy>(&client, "ExposurePolicy").await?);
        let namespaces: Vec<Namespace> = list(&client, "namespaces").await?;
        for object in &mut all {
            let name = object["metadata"]["name"].take();
            object["metadata"] = json!({ "name": name });
            object.as_object_mut().into_iter().for_each(|o| drop(o.remove("status")));
        }
        for namespace in namespaces {
            let labels: serde_json::Map<String, Value> = namespace
                .metadata
                .labels
                .into_iter()
                .flatten()
                .filter(|(key, _)| key.starts_with(keys::GRANT_PREFIX))
                .map(|(key, value)| (key, json!(value)))
                .collect();
            let mut metadata = json!({ "name": namespace.metadata.name });
            if !labels.is_empty() {
                metadata["labels"] = labels.into();
            }
            all.push(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }));
        }
        out.line("# What apps are judged by, for `gatehouse check --policy`. Written by `gatehouse bundle export`.");
        for object in &all {
            let text = serde_saphyr::to_string(object).map_err(|e| Failure::new(format!("cannot be written: {e}")))?;
            out.line("---");
            text.lines().for_each(|line| out.line(line));
        }
        Ok(0)
    })
}

/// Everything of a cluster that decides about an app; `None` if it could not be read, which was told.
pub fn everything(args: &ClusterArgs, out: &mut Out) -> Option<Vec<Document>> {
    let mut found: Option<Vec<Value>> = None;
    run(out, 2, async |_| {
        let client = connect(args).await?;
        let mut all = own::<SharedLoadBalancer>(&client, "SharedLoadBalancer").await?;
        all.extend(own::<ExposurePolicy>(&client, "ExposurePolicy").await?);
        all.extend(own::<HostClaim>(&client, "HostClaim").await?);
        all.extend(own::<ExposedApp>(&client, "ExposedApp").await?);
        let namespaces: Vec<Namespace> = list(&client, "namespaces").await?;
        all.extend(namespaces.iter().map(|namespace| with_type(namespace, "v1", "Namespace")));
        found = Some(all);
        Ok(0)
    });
    let documents = found?.into_iter().enumerate().map(|(i, value)| {
        let mut document = Document::made(CLUSTER, i + 1, value);
        document.source.context = true;
        document
    });
    Some(documents.collect())
}

async fn own<K>(client: &Client, kind: &str) -> Result<Vec<Value>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let all: Vec<K> = list(client, &format!("{}s", kind.to_lowercase())).await?;
    Ok(all.iter().map(|object| with_type(object, &format!("{GROUP}/{VERSION}"), kind)).collect())
}

/// Lists leave out what each entry is.
fn with_type<K: Serialize>(object: &K, api: &str, kind: &str) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = json!(api);
    value["kind"] = json!(kind);
    value
}
