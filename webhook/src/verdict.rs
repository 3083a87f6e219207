//! What becomes of a request: core's review over the cached world.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_core::review::{
    AppReview, Class, Facts, Finding, Foreign, ForeignFacts, ForeignObject, MAX_WARNING, Rule, Rulebook, Sibling,
    Siblings, default_labels, refusal, review, review_foreign, warning,
};
use gatehouse_core::world::{AppFacts, Meta};
use gatehouse_core::{AppKey, Wall, World, claims};
use gatehouse_crds::{ExposedAppSpec, GROUP};
use gatehouse_route::Host;
use serde_json::json;

use crate::admission::{Answer, Request, pointer_token};

/// The API server passes on 4 kB of warnings for a request.
const MAX_WARNINGS: usize = 15;

/// Refuses or admits.
///
/// The second part is every finding, for the metrics.
#[must_use]
pub fn validate(world: &World, request: &Request, now: Wall) -> (Answer, Vec<Finding>) {
    let ingress = is_ingress(request);
    if !is_app(request) && !ingress {
        let (group, kind) = &request.kind;
        let message = format!(
            "this webhook reviews ExposedApp.{GROUP} and Ingress, not {kind:?} of group {group:?}; correct the rules of its webhook configuration"
        );
        return (Answer::refuse(400, message), Vec::new());
    }
    let reviewed = matches!(request.operation.as_str(), "CREATE" | "UPDATE") && request.subresource.is_empty();
    // What stands is never refused anew for a status, a finalizer or an annotation: it must be able to go, too.
    if !reviewed {
        return (Answer::default(), Vec::new());
    }
    if ingress {
        return crate::ingress::validate(world, request, now);
    }
    if request.changes_nothing() {
        return (Answer { warnings: hazards(request), ..Answer::default() }, Vec::new());
    }
    let spec = match request.spec() {
        Ok(spec) => spec,
        Err((field, why)) => {
            let finding = Finding::new(Rule::Grammar, field, format!("{why}; see `kubectl explain exposedapp.spec`"));
            let answer =
                Answer { refusal: Some((422, finding.to_string())), warnings: hazards(request), patch: vec![] };
            return (answer, vec![finding]);
        }
    };
    // Everything that stands is older than what is only being created, also within the same second.
    let created = match request.operation.as_str() {
        "CREATE" => Wall(i64::MAX),
        _ => request.object["metadata"]["creationTimestamp"].as_str().and_then(Wall::parse).unwrap_or(Wall(i64::MAX)),
    };
    let app = Asked { name: &request.name, created, labels: request.labels(), spec };
    let book = rulebook(world, &request.namespace);
    let AppReview { findings, .. } = judge(world, &book, &request.namespace, app, &|key, _| key == request.name, now);
    (answer(&findings, hazards(request)), findings)
}

/// What is said of findings.
pub(crate) fn answer(findings: &[Finding], hazards: Vec<String>) -> Answer {
    let mut warnings: Vec<String> = findings.iter().filter_map(warning).collect();
    warnings.extend(hazards);
    let more = warnings.len().saturating_sub(MAX_WARNINGS);
    warnings.truncate(MAX_WARNINGS);
    if more > 0 {
        warnings.push(format!("and {more} more warnings"));
    }
    Answer { refusal: refusal(findings).map(|text| (code(findings), text)), warnings, patch: Vec::new() }
}

/// Judges an object of a kind that others own. What is not judged is admitted: these kinds are not ours to hold up.
///
/// The second part is every finding, for the metrics.
#[must_use]
pub fn foreign(world: &World, request: &Request, now: Wall) -> (Answer, Vec<Finding>) {
    let (group, kind) = &request.kind;
    let Some(foreign) = Foreign::of(group, kind) else { return (Answer::default(), Vec::new()) };
    if !matches!(request.operation.as_str(), "CREATE" | "UPDATE") || !request.subresource.is_empty() {
        return (Answer::default(), Vec::new());
    }
    // Of what stands in no namespace, only policies for all namespaces speak.
    let namespace = if foreign.cluster_wide() { "" } else { request.namespace.as_str() };
    let old = (request.operation == "UPDATE").then_some(&request.old);
    let it = ForeignObject { foreign, kind, namespace, name: &request.name, object: &request.object, old };
    // The API server writes the default class into an Ingress before it asks webhooks.
    let facts = ForeignFacts { rulebook: &rulebook(world, namespace), default_class: None, now };
    let findings = review_foreign(&it, &facts);
    let warnings = findings.iter().filter_map(warning).collect();
    let answer = Answer { refusal: refusal(&findings).map(|text| (403, text)), warnings, patch: Vec::new() };
    (answer, findings)
}

/// Adds the policies' default labels where they are absent; nothing else is ever touched.
#[must_use]
pub fn mutate(world: &World, request: &Request) -> Answer {
    let wanted = matches!(request.operation.as_str(), "CREATE" | "UPDATE") && request.subresource.is_empty();
    if !is_app(request) || !wanted || !request.object["metadata"].is_object() {
        return Answer::default();
    }
    let written = &request.object["metadata"]["labels"];
    // A key counts as present whatever its value is: nothing that a person wrote is replaced.
    let present: BTreeMap<String, String> =
        written.as_object().into_iter().flatten().map(|(key, _)| (key.clone(), String::new())).collect();
    let add = default_labels(&present, &rulebook(world, &request.namespace));
    let patch = if add.is_empty() {
        Vec::new()
    } else if written.is_object() {
        let op = |(key, value): (String, String)| json!({ "op": "add", "path": format!("/metadata/labels/{}", pointer_token(&key)), "value": value });
        add.into_iter().map(op).collect()
    } else if written.is_null() {
        vec![json!({ "op": "add", "path": "/metadata/labels", "value": add })]
    } else {
        Vec::new()
    };
    Answer { patch, ..Answer::default() }
}

fn is_ingress(request: &Request) -> bool {
    request.kind.0 == "networking.k8s.io" && request.kind.1 == "Ingress"
}

fn is_app(request: &Request) -> bool {
    request.kind.0 == GROUP && request.kind.1 == "ExposedApp"
}

/// What the policies say to the namespace. One that the cache does not know yet has no labels to be selected by.
pub(crate) fn rulebook(world: &World, namespace: &str) -> Rulebook {
    let none = BTreeMap::new();
    let labels = world.namespaces.get(namespace).map_or(&none, |facts| &facts.labels);
    Rulebook::collect(&world.policies, namespace, labels)
}

/// An app as somebody asks for it.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    pub(crate) created: Wall,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) spec: ExposedAppSpec,
}

/// The review of an app, beside all of its namespace but those that it replaces.
pub(crate) fn judge(
    world: &World,
    book: &Rulebook,
    namespace: &str,
    asked: Asked<'_>,
    replaced: &dyn Fn(&str, &AppFacts) -> bool,
    now: Wall,
) -> AppReview {
    let Asked { name, created, labels, spec } = asked;
    let hosts: BTreeSet<Host> = spec.hosts.iter().filter_map(|text| Host::parse(text).ok()).collect();
    let lists = |holder: &str, host: &Host| {
        if holder == namespace { book.lists(host) } else { rulebook(world, holder).lists(host) }
    };
    let taken: BTreeSet<Host> =
        hosts.into_iter().filter(|host| claims::blocked_by(world, host, namespace, &lists).is_some()).collect();
    let siblings: Siblings = World::within(&world.apps, namespace)
        .filter(|(key, app)| !app.meta.deleting && !replaced(&key.name, app))
        .map(|(key, app)| Sibling { created: app.meta.created, name: key.name.clone(), hosts: app.spec.hosts.clone() })
        .collect();
    let facts = Facts {
        rulebook: book,
        load_balancers: Some(&world.load_balancers),
        // Services may be applied after the app that names them.
        services: None,
        taken: &taken,
        siblings: &siblings,
        now,
    };
    let app = AppFacts { meta: Meta { created, ..Meta::default() }, labels, spec, ..AppFacts::default() };
    review(&AppKey::new(namespace, name), &app, &facts)
}

/// 422 when only grammar stands against it, else 403.
fn code(findings: &[Finding]) -> u16 {
    let about_rights = |f: &Finding| f.refuses() && (f.rule.class() == Class::Governance || f.rule != Rule::Grammar);
    if findings.iter().any(about_rights) { 403 } else { 422 }
}

/// Annotations by which Argo CD would delete and re-create the app, or delete it after the sync: an outage each time.
fn hazards(request: &Request) -> Vec<String> {
    let mut out = Vec::new();
    for (key, value) in request.annotations() {
        let told = match key.as_str() {
            "argocd.argoproj.io/hook" | "argocd.argoproj.io/hook-delete-policy" => {
                "Argo CD deletes this app around a sync; remove it"
            }
            "argocd.argoproj.io/sync-options"
                if value.split(',').any(|option| matches!(option.trim(), "Replace=true" | "Force=true")) =>
            {
                "Replace and Force make Argo CD re-create this app; remove them"
            }
            _ => continue,
        };
        out.push(format!("metadata.annotations[{key}]: {told}").chars().take(MAX_WARNING).collect());
    }
    out
}
