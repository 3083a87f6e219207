//! What a policy finds now: the namespaces it speaks of, the apps that break its rules.

use gatehouse_crds::{ConditionStatus, ExposurePolicyStatus, Violation};

use crate::reason::Reason;
use crate::review::{Class, Finding, Rulebook, matches};

use super::condition::{stalled, summary};
use super::{Draft, KubeWrite, condition, to_json};

/// Violations that a status lists; the count tells of all.
const LISTED: usize = 20;

pub(super) fn plan(draft: &mut Draft<'_>, name: &str) {
    let view = draft.view;
    let Some(policy) = view.world.policies.get(name) else { return };
    let mut namespaces = 0_usize;
    let mut violations = Vec::new();
    let all = &view.world.namespaces;
    let named = &policy.spec.namespaces.names;
    // A policy that names its namespaces need not look at the thousand others.
    let candidates: Vec<_> = if named.is_empty() {
        all.iter().collect()
    } else {
        named.iter().filter_map(|n| all.get_key_value(n)).collect()
    };
    for (namespace, facts) in candidates {
        if !matches(&policy.spec.namespaces, namespace, &facts.labels) {
            continue;
        }
        namespaces += 1;
        for (app, review) in view.reviews.get(namespace).into_iter().flat_map(|r| &r.apps) {
            let broken = |f: &&Finding| f.rule.class() != Class::Reference;
            violations.extend(review.findings.iter().filter(broken).map(|f| Violation {
                namespace: namespace.clone(),
                name: app.clone(),
                rule: f.rule.id().to_owned(),
                message: format!("{}: {}", f.field, f.message),
            }));
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
        violation_count: i32::try_from(violations.len()).ok(),
        violations: violations.into_iter().take(LISTED).collect(),
    };
    if status != policy.status {
        draft.kube(
            format!("status of policy {name}"),
            KubeWrite::PolicyStatus { name: name.to_owned(), status: to_json(&status) },
        );
    }
}
