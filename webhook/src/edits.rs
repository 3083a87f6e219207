//! Edits of policies and of namespaces' grants: told what they would do to apps that stand, never refused.

use std::sync::Arc;

use gatehouse_core::impact::{Edit, impact};
use gatehouse_core::world::{Meta, PolicyFacts};
use gatehouse_core::{Wall, World};
use gatehouse_crds::{ExposurePolicySpec, GROUP};

use crate::admission::{Answer, Request};

/// What a request would change; `None` if nothing that concerns apps, or nothing that can be read.
#[must_use]
pub fn read(request: &Request) -> Option<Edit> {
    if !request.subresource.is_empty() {
        return None;
    }
    let operation = request.operation.as_str();
    match (request.kind.0.as_str(), request.kind.1.as_str()) {
        (GROUP, "ExposurePolicy") if operation == "DELETE" => Some(Edit::Policy(request.name.clone(), None)),
        (GROUP, "ExposurePolicy") if matches!(operation, "CREATE" | "UPDATE") => {
            // What the schema refuses is not applied.
            let spec: ExposurePolicySpec = serde_json::from_value(request.object["spec"].clone()).ok()?;
            let facts = PolicyFacts { meta: Meta::default(), spec, status: Default::default() };
            Some(Edit::Policy(request.name.clone(), Some(Arc::new(facts))))
        }
        ("", "Namespace") if operation == "UPDATE" => Some(Edit::Labels(request.name.clone(), request.labels())),
        _ => None,
    }
}

/// Admits, with warnings.
#[must_use]
pub fn answer(world: &World, edit: &Edit, now: Wall, more: impl FnMut() -> bool) -> Answer {
    Answer { warnings: impact(world, edit, now, more).warnings(), ..Answer::default() }
}
