//! The verdict on an Ingress of our class: what it would become is judged as the apps that the operator would write.

use gatehouse_core::ingress::{Ports, Remark, app_labels, app_name, convert, is_ours};
use gatehouse_core::review::{Finding, Rule};
use gatehouse_core::world::AppFacts;
use gatehouse_core::{AppKey, Wall, World};
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::Value;

use crate::admission::{Answer, Request};
use crate::verdict::{Asked, answer, judge, rulebook};

/// Refuses or admits. One of another class is admitted: whether it may stand is another question (`/foreign`).
pub(crate) fn validate(world: &World, request: &Request, now: Wall) -> (Answer, Vec<Finding>) {
    let ingress: Ingress = match serde_json::from_value(request.object.clone()) {
        Ok(ingress) => ingress,
        Err(error) => {
            let finding = Finding::new(Rule::Grammar, "spec", format!("cannot be read: {error}"));
            return (answer(std::slice::from_ref(&finding), Vec::new()), vec![finding]);
        }
    };
    if !is_ours(&ingress) || changes_nothing(request) {
        return (Answer::default(), Vec::new());
    }
    // Ports by name are found by the operator, and the webhook knows no other Ingress: neither decides what is allowed.
    let converted = convert(&ingress, None, Ports::Unknown);
    let mut findings: Vec<Finding> = converted.remarks.iter().map(Remark::finding).collect();
    let namespace = request.namespace.as_str();
    let book = rulebook(world, namespace);
    let labels = app_labels(&request.labels(), &book);
    let uid = request.object["metadata"]["uid"].as_str();
    let own = |app: &AppFacts| app.origin.as_ref().is_some_and(|origin| Some(origin.uid.as_str()) == uid);
    for app in &converted.apps {
        let name = app_name(&app.name);
        let stands = world.apps.get(&AppKey::new(namespace, &name)).filter(|stands| own(stands));
        let created = stands.map_or(Wall(i64::MAX), |stands| stands.meta.created);
        let asked = Asked { name: &name, created, labels: labels.clone(), spec: app.spec.clone() };
        let review = judge(world, &book, namespace, asked, &|known, facts| known == name || own(facts), now);
        for mut finding in review.findings {
            finding.field = app.field(&finding.field);
            // What several apps share, such as a label, is said once.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    (answer(&findings, Vec::new()), findings)
}

/// Whether an update leaves everything that is looked at as it was.
fn changes_nothing(request: &Request) -> bool {
    let looked_at = |object: &Value| {
        let mut annotations = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        let labels = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        (object["spec"].clone(), labels, annotations)
    };
    request.operation == "UPDATE"
        && request.old["spec"].is_object()
        && looked_at(&request.old) == looked_at(&request.object)
}
