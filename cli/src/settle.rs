//! A cluster that takes everything the operator writes, and an AWS that never answers.
//!
//! The engine itself is run, on the objects of the files, as if they were created one after the other: an app goes
//! through admission, and if it is admitted the engine claims its hosts, places them and makes its namespace's edge.
//! Nothing of that is written anew here, so what is planned is what the operator would do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_core::claims::blocked_by;
use gatehouse_core::plan::KubeWrite;
use gatehouse_core::review::{Facts, Rule, Rulebook, Sibling, Siblings, default_labels, review};
use gatehouse_core::world::{AppFacts, ChildFacts, ClaimFacts, Delta, Kind, Meta, ServiceFacts, World};
use gatehouse_core::{Answer, AppKey, Buckets, Engine, Event, Mono, Now, Outcome, Settings, Wall};
use gatehouse_crds::keys;
use gatehouse_route::Host;

use crate::facts::{App, Objects};
use crate::report::{Severity, Told};

/// Lets every app through admission in order; what is admitted is served. Findings go to the objects' subjects.
pub fn settle(objects: &mut Objects, settings: &Settings, wall: Wall) -> Engine {
    let now = Now { mono: Mono(1), wall };
    // No buckets: nothing is sent anywhere.
    let mut cluster = Cluster { engine: Engine::new(settings.clone(), Buckets::default()), now, version: 0 };
    cluster.engine.handle(now, Event::Lease { valid_until: Mono(u64::MAX) });
    let world = &objects.world;
    let mut deltas: Vec<Delta> = Vec::new();
    deltas.extend(world.namespaces.iter().map(|(k, v)| Delta::Namespace(k.clone(), Some(v.clone()))));
    deltas.extend(world.load_balancers.iter().map(|(k, v)| Delta::LoadBalancer(k.clone(), Some(v.clone()))));
    deltas.extend(world.policies.iter().map(|(k, v)| Delta::Policy(k.clone(), Some(v.clone()))));
    deltas.extend(world.claims.iter().map(|(k, v)| Delta::Claim(k.clone(), Some(v.clone()))));
    deltas.extend(world.services.iter().map(|(k, v)| Delta::Service(k.clone(), Some(v.clone()))));
    deltas.extend(Kind::ALL.into_iter().map(Delta::Synced));
    for delta in deltas {
        cluster.engine.handle(now, Event::Kube(delta));
    }
    cluster.run();
    let books: BTreeMap<String, Rulebook> = world
        .namespaces
        .iter()
        .map(|(name, facts)| (name.clone(), Rulebook::collect(&world.policies, name, &facts.labels)))
        .collect();
    let apps = objects.apps.clone();
    for app in apps {
        let Some(mut facts) = app.facts.clone() else { continue };
        if let Some(book) = books.get(&app.key.namespace) {
            facts.labels.extend(default_labels(&facts.labels, book));
        }
        let told = admission(cluster.engine.world(), &books, &app, &facts, objects, wall);
        let subject = &mut objects.subjects[app.subject];
        // Where the schema and the grammar speak of one field, the grammar says more.
        subject.findings.retain(|old| old.rule != "schema" || !told.iter().any(|new| new.field == old.field));
        let refused = told.iter().any(|t| t.severity == Severity::Fault);
        subject.findings.extend(told);
        // Of an Ingress one app may be served and another not.
        let stands = if app.converted.is_some() { !refused } else { !subject.refused() };
        if stands {
            cluster.engine.handle(now, Event::Kube(Delta::App(app.key.clone(), Some(Arc::new(facts)))));
            cluster.run();
        }
    }
    for app in &objects.apps {
        let notes = cluster.engine.desired().get(&app.key.namespace).and_then(|d| d.notes.get(&app.key.name));
        objects.subjects[app.subject].findings.extend(notes.into_iter().flatten().map(Told::reviewed));
    }
    cluster.engine
}

/// What the webhook would say, with the facts it would have at that moment.
fn admission(
    world: &World,
    books: &BTreeMap<String, Rulebook>,
    app: &App,
    facts: &AppFacts,
    objects: &Objects,
    now: Wall,
) -> Vec<Told> {
    let namespace = app.key.namespace.as_str();
    let empty = Rulebook::default();
    let rulebook = books.get(namespace).unwrap_or(&empty);
    let lists = |ns: &str, host: &Host| books.get(ns).is_some_and(|book| book.lists(host));
    let hosts = facts.spec.hosts.iter().filter_map(|h| Host::parse(h).ok());
    let blocked: BTreeMap<Host, &ClaimFacts> =
        hosts.filter_map(|host| Some((host.clone(), blocked_by(world, &host, namespace, &lists)?))).collect();
    let taken: BTreeSet<Host> = blocked.keys().cloned().collect();
    let services: BTreeMap<String, Arc<ServiceFacts>> =
        World::within(&world.services, namespace).map(|(key, s)| (key.name.clone(), s.clone())).collect();
    let siblings: Siblings = World::within(&world.apps, namespace)
        .map(|(key, a)| Sibling { created: a.meta.created, name: key.name.clone(), hosts: a.spec.hosts.clone() })
        .collect();
    let known = Facts {
        rulebook,
        load_balancers: Some(&world.load_balancers),
        services: (!services.is_empty()).then_some(&services),
        taken: &taken,
        siblings: &siblings,
        now,
    };
    // What is only being created is younger than everything that stands, also within the same second.
    let mut newest = facts.clone();
    newest.meta.created = Wall(i64::MAX);
    let found = review(&app.key, &newest, &known);
    found
        .findings
        .iter()
        .map(|finding| {
            let claim = finding.host.as_ref().filter(|h| rulebook.grants(h)).and_then(|h| blocked.get(h));
            let hint = match claim {
                Some(claim) => Some(holder(claim, objects)),
                None if finding.rule == Rule::Host && rulebook.policies.is_empty() => {
                    Some(format!("no ExposurePolicy of these files speaks to namespace {namespace}"))
                }
                None => None,
            };
            let told = Told::reviewed(finding);
            let field = app.converted.as_ref().map_or(told.field.clone(), |from| from.field(&told.field));
            Told { hint, field, ..told }
        })
        .collect()
}

/// Who has the host. Tenants are not told; whoever has all files may know.
fn holder(claim: &ClaimFacts, objects: &Objects) -> String {
    let name = claim.status.apps.first().cloned().unwrap_or_default();
    let key = AppKey::new(&claim.spec.namespace, name);
    let place = objects.apps.iter().find(|a| a.key == key).map(|a| objects.subjects[a.subject].source.to_string());
    format!("in these files {key} ({}) has {} first", place.unwrap_or_default(), claim.spec.host)
}

struct Cluster {
    engine: Engine,
    now: Now,
    version: u64,
}

impl Cluster {
    /// Lets the engine act until nothing is left that the cluster could answer. Questions to AWS and statuses stay under
    /// way for ever, so everything that depends on AWS waits, and nothing is decided by an invented answer.
    fn run(&mut self) {
        while let Some(effect) = self.engine.next(self.now) {
            let gatehouse_core::plan::Order::Kube(write) = &effect.order else { continue };
            if let Some(answer) = self.answer(write) {
                self.engine.handle(self.now, Event::Outcome { id: effect.id, outcome: Outcome::Done(answer) });
            }
        }
    }

    fn answer(&mut self, write: &KubeWrite) -> Option<Answer> {
        self.version += 1;
        let world = self.engine.world();
        let version = self.version;
        Some(match write {
            KubeWrite::CreateClaim { name, spec } => {
                let meta = Meta {
                    uid: name.clone(),
                    resource_version: version,
                    created: Wall(self.now.wall.0 + i64::try_from(version).unwrap_or(i64::MAX)),
                    ..Meta::default()
                };
                Answer::Claim(Arc::new(ClaimFacts { meta, spec: spec.clone().into(), status: Default::default() }))
            }
            KubeWrite::ClaimStatus { name, status, .. } => {
                let mut facts = (**world.claims.get(name)?).clone();
                facts.status = serde_json::from_str(status).ok()?;
                facts.meta.resource_version = version;
                Answer::Claim(Arc::new(facts))
            }
            KubeWrite::ApplyChild { key, .. } => {
                let wanted = self.engine.desired().get(&key.namespace)?.children.get(key)?;
                let uid = format!("{} {}/{}", key.kind.api().1, key.namespace, key.name);
                Answer::Child(Arc::new(ChildFacts {
                    meta: Meta { uid, resource_version: version, ..Meta::default() },
                    managed: true,
                    fragment: Some(wanted.hash.clone()),
                    content: wanted.content.clone(),
                }))
            }
            KubeWrite::AppFinalizers { app, finalizers, .. } => {
                let mut facts = (**world.apps.get(app)?).clone();
                finalize(&mut facts.meta, finalizers, version);
                Answer::App(Arc::new(facts))
            }
            KubeWrite::LoadBalancerFinalizers { name, finalizers, .. } => {
                let mut facts = (**world.load_balancers.get(name)?).clone();
                finalize(&mut facts.meta, finalizers, version);
                Answer::LoadBalancer(Arc::new(facts))
            }
            KubeWrite::DeleteClaim { .. } | KubeWrite::DeleteChild { .. } => Answer::Nothing,
            // Ingresses of files were read as apps before.
            KubeWrite::ApplyApp { .. }
            | KubeWrite::DeleteApp { .. }
            | KubeWrite::IngressStatus { .. }
            | KubeWrite::IngressEvents { .. }
            | KubeWrite::AppStatus { .. }
            | KubeWrite::LoadBalancerStatus { .. }
            | KubeWrite::PolicyStatus { .. }
            | KubeWrite::ClaimSpec { .. }
            | KubeWrite::PodTable { .. }
            | KubeWrite::PodHealthy { .. } => return None,
        })
    }
}

fn finalize(meta: &mut Meta, finalizers: &[String], version: u64) {
    meta.finalizer = finalizers.iter().any(|f| f == keys::FINALIZER);
    meta.finalizers = finalizers.to_vec();
    meta.resource_version = version;
}
