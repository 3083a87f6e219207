//! What a policy finds now: the namespaces it speaks of, and the objects there that break rules.

use std::collections::BTreeMap;

use gatehouse_crds::{ConditionStatus, ExposurePolicyStatus, Violation};
use k8s_openapi::api::networking::v1::Ingress;

use crate::identity::AppKey;
use crate::ingress::{Ports, app_name, convert};
use crate::reason::Reason;
use crate::review::{Class, Finding, Rulebook, matches};
use crate::world::World;

use super::condition::{stalled, summary};
use super::{Draft, KubeWrite, NamespaceReview, View, condition, to_json};

/// Violations that a status lists; the counts tell of all.
const LISTED: usize = 20;

/// Where the webhook is not asked either: what runs the cluster is the platform's own.
const SYSTEM: [&str; 2] = ["kube-system", "kube-node-lease"];

pub(super) fn plan(draft: &mut Draft<'_>, name: &str) {
    let view = draft.view;
    let Some(policy) = view.world.policies.get(name) else { return };
    let mut namespaces = 0_usize;
    let mut found = Found::default();
    let all = &view.world.namespaces;
    let named = &policy.spec.namespaces.names;
    // A policy that names its namespaces need not look at the thousand others.
    let candidates: Vec<_> = if named.is_empty() {
        all.iter().collect()
    } else {
        named.iter().filter_map(|n| all.get_key_value(n)).collect()
    };
    // What stands in no namespace hears policies for all of them only.
    if policy.spec.namespaces.all {
        let book = Rulebook::collect(&view.world.policies, "", &BTreeMap::new());
        found.standing(&view, "", &book);
    }
    for (namespace, facts) in candidates {
        if !matches(&policy.spec.namespaces, namespace, &facts.labels) {
            continue;
        }
        namespaces += 1;
        let Some(review) = view.reviews.get(namespace) else { continue };
        found.apps(&view, namespace, review);
        if !SYSTEM.contains(&namespace.as_str()) && *namespace != view.settings.operator_namespace {
            found.standing(&view, namespace, &review.rulebook);
        }
    }
    let alone = [(name.to_owned(), policy.clone())].into();
    let unreadable = Rulebook::collect_all(&alone).unreadable;
    let accepted = if unreadable.is_empty() {
        ("Accepted", ConditionStatus::True, Reason::Accepted.into(), String::new())
    } else {
        (
            "Accepted",
            ConditionStatus::False,
            Reason::InvalidGrant.into(),
            format!("these grant nothing: {}", unreadable.join("; ")),
        )
    };
    let generation = policy.meta.generation;
    let before = &policy.status.conditions;
    let mut conditions = vec![condition(before, accepted, generation, view.now.wall)];
    let (ready, reason, message) = summary(&conditions);
    conditions.push(condition(before, ("Ready", ready, reason, message), generation, view.now.wall));
    conditions.extend(stalled(before, &conditions, "ExposurePolicy", generation, view.now.wall));
    let status = ExposurePolicyStatus {
        observed_generation: Some(generation),
        conditions,
        matched_namespaces: i32::try_from(namespaces).ok(),
        violation_count: Some(found.by_rule.values().sum()),
        violations_by_rule: found.by_rule,
        violations: found.listed,
    };
    if status != policy.status {
        draft.kube(
            format!("status of policy {name}"),
            KubeWrite::PolicyStatus { name: name.to_owned(), status: to_json(&status) },
        );
    }
}

/// What was found: all of it counted, the first of it listed. Thousands may stand, so nothing is written out for those
/// that are only counted.
#[derive(Default)]
struct Found {
    by_rule: BTreeMap<String, i32>,
    listed: Vec<Violation>,
}

impl Found {
    fn add(&mut self, finding: &Finding, of: impl FnOnce() -> (String, AppKey, String)) {
        if finding.rule.class() == Class::Reference {
            return;
        }
        let id = finding.rule.id();
        if self.listed.len() < LISTED {
            let (kind, AppKey { namespace, name }, field) = of();
            let message = format!("{field}: {}", finding.message);
            let enforcement = finding.enforcement;
            let violation = Violation { kind, namespace, name, rule: id.to_owned(), enforcement, message };
            // What several apps of one Ingress share, such as a label, is said once.
            if self.listed.contains(&violation) {
                return;
            }
            self.listed.push(violation);
        }
        *self.by_rule.entry(id.to_owned()).or_default() += 1;
    }

    /// Apps, and Ingresses of our class: by the field that a person wrote.
    fn apps(&mut self, view: &View<'_>, namespace: &str, review: &NamespaceReview) {
        for (app, judged) in &review.apps {
            for finding in &judged.findings {
                self.add(finding, || written(view, AppKey::new(namespace, app), finding));
            }
        }
        for (ingress, derived) in &review.ingresses {
            let key = || AppKey::new(namespace, ingress);
            for remark in derived.remarks.iter().filter(|remark| remark.fate.refuses()) {
                self.add(&remark.finding(), || ("Ingress".to_owned(), key(), remark.field.clone()));
            }
        }
    }

    /// Objects of kinds that others own.
    fn standing(&mut self, view: &View<'_>, namespace: &str, book: &Rulebook) {
        for (key, standing) in view.world.standing(namespace) {
            for finding in standing.review(namespace, &key.name, book, view.now.wall) {
                let key = || AppKey::new(namespace, key.name.clone());
                self.add(&finding, || (standing.kind.clone(), key(), finding.field.clone()));
            }
        }
    }
}

/// Kind, name and field as they were written: an app may stand for an Ingress.
fn written(view: &View<'_>, app: AppKey, finding: &Finding) -> (String, AppKey, String) {
    let uid = view.world.apps.get(&app).and_then(|facts| facts.origin.as_ref()).map(|origin| &origin.uid);
    let mut ingresses = World::within(&view.world.ingresses, &app.namespace);
    let of = uid.and_then(|uid| ingresses.find(|(_, facts)| facts.meta.uid == *uid));
    let Some((key, facts)) = of else { return ("ExposedApp".to_owned(), app, finding.field.clone()) };
    let text = facts.text.as_deref().unwrap_or_default();
    let converted = serde_json::from_str::<Ingress>(text).map(|ingress| convert(&ingress, None, Ports::Unknown));
    let part = converted.ok().and_then(|all| all.apps.into_iter().find(|part| app_name(&part.name) == app.name));
    let field = part.map_or_else(|| finding.field.clone(), |part| part.field(&finding.field));
    ("Ingress".to_owned(), key.clone(), field)
}
