//! Objects of kinds that others own, judged as the webhook would judge their creation.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_core::Wall;
use gatehouse_core::review::{Foreign, ForeignFacts, ForeignObject, Rulebook, default_class, review_foreign};

use crate::facts::Objects;
use crate::report::{Subject, Told};

/// Judges them. Only those with findings become subjects: the rest has nothing to do with Gatehouse.
pub fn check(objects: &mut Objects, now: Wall) {
    let default = objects
        .foreign
        .iter()
        .filter(|((foreign, _), _)| *foreign == Foreign::IngressClass)
        .find_map(|(_, document)| default_class(&document.value));
    let mut books: BTreeMap<&str, Rulebook> = BTreeMap::new();
    let mut unlabelled: BTreeSet<&str> = BTreeSet::new();
    let mut subjects: Vec<Subject> = Vec::new();
    let selecting = objects.world.policies.values().any(|policy| policy.spec.namespaces.selector.is_some());
    for ((foreign, key), document) in &objects.foreign {
        let namespace = key.namespace.as_str();
        let book = books.entry(namespace).or_insert_with(|| {
            let none = BTreeMap::new();
            let known = objects.world.namespaces.get(namespace);
            if known.is_none() && selecting && !namespace.is_empty() {
                unlabelled.insert(namespace);
            }
            Rulebook::collect(&objects.world.policies, namespace, known.map_or(&none, |facts| &facts.labels))
        });
        let (kind, object) = (document.kind.as_str(), &document.value);
        let it = ForeignObject { foreign: *foreign, kind, namespace, name: &key.name, object, old: None };
        let found = review_foreign(&it, &ForeignFacts { rulebook: book, default_class: default, now });
        if !found.is_empty() {
            subjects.push(Subject {
                kind: document.kind.clone(),
                namespace: namespace.to_owned(),
                name: key.name.clone(),
                source: document.source.clone(),
                findings: found.iter().map(Told::reviewed).collect(),
                text: document.text.clone(),
            });
        }
    }
    let notes = unlabelled.into_iter().map(|name| {
        format!(
            "namespace {name}: no Namespace is given, so policies that select by label do not speak to it; add it with -f"
        )
    });
    let notes: Vec<String> = notes.filter(|note| !objects.notes.contains(note)).collect();
    objects.notes.extend(notes);
    subjects.sort_by(|a, b| a.source.cmp(&b.source));
    objects.subjects.extend(subjects);
}
