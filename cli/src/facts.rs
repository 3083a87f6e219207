//! From documents to the facts that the engine knows, with the place of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use gatehouse_core::ingress::{ConvertedApp, Ports, ServicePorts, app_name, convert, is_ours};
use gatehouse_core::review::Foreign;
use gatehouse_core::world::{AppFacts, LoadBalancerFacts, Meta, NamespaceFacts, PolicyFacts, ServiceFacts, World};
use gatehouse_core::{AppKey, Wall};
use gatehouse_crds::{ExposedApp, ExposurePolicy, HostClaim, SharedLoadBalancer};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::input::{Document, Source, Text};
use crate::report::{Severity, Subject, Told};
use crate::schema::Schemas;

/// An app of the files.
#[derive(Clone, Debug)]
pub struct App {
    /// Namespace and name.
    pub key: AppKey,
    /// Facts; absent when the object cannot be read as an ExposedApp.
    pub facts: Option<AppFacts>,
    /// Index of its subject in [`Objects::subjects`].
    pub subject: usize,
    /// The Ingress that it was read from, so that its fields can be named.
    pub converted: Option<ConvertedApp>,
    /// Whether it is only there to judge others by.
    pub context: bool,
}

/// An Ingress of class gatehouse.
struct OwnIngress {
    key: AppKey,
    facts: AppFacts,
    ingress: Ingress,
    subject: usize,
}

/// An object of a kind that policies may refuse.
#[derive(Clone, Debug)]
pub struct ForeignDocument {
    /// Kind as its API writes it.
    pub kind: String,
    /// Where it stands.
    pub source: Source,
    /// The object.
    pub value: Value,
    /// Its text.
    pub text: Text,
}

/// Everything the files hold.
#[derive(Default)]
pub struct Objects {
    /// Everything but apps.
    pub world: World,
    /// Apps, the oldest first; those without creationTimestamp in the order of the files.
    pub apps: Vec<App>,
    /// Every object of ours, with what is said about it.
    pub subjects: Vec<Subject>,
    /// Subject of each SharedLoadBalancer and ExposurePolicy.
    pub index: BTreeMap<(&'static str, String), usize>,
    /// Objects of kinds that others own and policies may refuse; the later one of two holds.
    pub foreign: BTreeMap<(Foreign, AppKey), ForeignDocument>,
    /// Documents of other kinds, by kind.
    pub skipped: BTreeMap<String, usize>,
    /// What could not be judged.
    pub notes: Vec<String>,
}

/// Reads documents. `now` stands for the creation of what has not been created.
///
/// # Errors
/// Documents that are no Kubernetes objects.
pub fn collect(documents: Vec<Document>, namespace: &str, now: Wall) -> Result<Objects, Vec<String>> {
    let mut reader = Reader {
        out: Objects::default(),
        ingresses: Vec::new(),
        schemas: Schemas::new(),
        problems: Vec::new(),
        text: Text::default(),
        namespace,
        now,
        position: 0,
    };
    for document in documents {
        reader.object(document);
    }
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    let ingresses = std::mem::take(&mut reader.ingresses);
    let mut out = reader.out;
    ingresses.iter().for_each(|one| one.read(&ingresses, &mut out));
    out.apps.sort_by_key(|app| app.facts.as_ref().map(|f| f.meta.created));
    namespaces(&mut out);
    Ok(out)
}

struct Reader<'a> {
    out: Objects,
    ingresses: Vec<OwnIngress>,
    schemas: Schemas,
    problems: Vec<String>,
    /// Of the document that is being read.
    text: Text,
    namespace: &'a str,
    now: Wall,
    position: i64,
}

impl Reader<'_> {
    fn object(&mut self, document: Document) {
        let Document { source, value, text: whole } = document;
        let source = &source;
        self.text = whole.clone();
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api, kind) = (text("apiVersion"), text("kind"));
        if api.is_empty() || kind.is_empty() {
            self.problem(source, "has no apiVersion or no kind; every object needs both");
            return;
        }
        let group = api.split_once('/').map_or("", |(group, _)| group).to_owned();
        if let Some(foreign) = Foreign::of(&group, &kind) {
            let Some(mut key) = self.key(source, &kind, &value) else { return };
            if foreign.cluster_wide() {
                key.namespace.clear();
            }
            let document =
                ForeignDocument { kind: kind.clone(), source: source.clone(), value: value.clone(), text: whole };
            self.out.foreign.insert((foreign, key), document);
        }
        match (group.as_str(), kind.as_str()) {
            (gatehouse_crds::GROUP, "HostClaim") => {
                if let Ok(claim) = read::<HostClaim>(value) {
                    let name = claim.metadata.name.clone().unwrap_or_default();
                    self.out.world.claims.insert(name, gatehouse_core::facts::claim(&claim));
                }
            }
            ("", "Namespace" | "Service") | ("networking.k8s.io" | "extensions", "Ingress") => {
                self.plain(source, &kind, value);
            }
            (gatehouse_crds::GROUP, "ExposedApp" | "SharedLoadBalancer" | "ExposurePolicy") => {
                self.ours(source, &api, &kind, value);
            }
            _ if Foreign::of(&group, &kind).is_some() => {}
            _ => *self.out.skipped.entry(kind).or_default() += 1,
        }
    }

    fn problem(&mut self, source: &Source, what: &str) {
        self.problems.push(format!("{source}: document {}: {what}", source.document));
    }

    /// Namespace (or the default one) and name; without a name nothing can be said about an object.
    fn key(&mut self, source: &Source, kind: &str, value: &Value) -> Option<AppKey> {
        let meta = |key: &str| value.pointer(&format!("/metadata/{key}")).and_then(Value::as_str).unwrap_or_default();
        if meta("name").is_empty() {
            self.problem(source, &format!("{kind}: metadata.name is absent; give it"));
            return None;
        }
        let namespace = if meta("namespace").is_empty() { self.namespace } else { meta("namespace") };
        Some(AppKey::new(namespace, meta("name")))
    }

    /// Kinds of Kubernetes itself.
    fn plain(&mut self, source: &Source, kind: &str, value: Value) {
        let Some(key) = self.key(source, kind, &value) else { return };
        let unreadable = match kind {
            "Namespace" => read::<Namespace>(value).map(|n| {
                let labels = n.metadata.labels.clone().unwrap_or_default();
                let mut facts = NamespaceFacts { meta: self.meta(&n.metadata), labels };
                // A file that has none speaks of the one that stands.
                if let Some(stands) = self.out.world.namespaces.get(&key.name)
                    && n.metadata.uid.is_none()
                {
                    facts.meta.uid.clone_from(&stands.meta.uid);
                }
                self.out.world.namespaces.insert(key.name.clone(), Arc::new(facts));
            }),
            "Service" => read::<Service>(value).map(|s| {
                let facts = ServiceFacts { meta: self.meta(&s.metadata), ..gatehouse_core::facts::service(&s) };
                self.out.world.services.insert(key.clone(), Arc::new(facts));
            }),
            _ => {
                self.ingress(source, key, value);
                return;
            }
        };
        if let Err(e) = unreadable {
            self.problem(source, &format!("{kind} {}: {e}", key.name));
        }
    }

    /// An Ingress; of another class it is a foreign kind and nothing more.
    fn ingress(&mut self, source: &Source, key: AppKey, value: Value) {
        let ingress = match read::<Ingress>(value) {
            Ok(ingress) if is_ours(&ingress) => ingress,
            Ok(_) => return,
            Err(error) => {
                self.problem(source, &format!("Ingress {}: {error}", key.name));
                return;
            }
        };
        let subject = self.subject(source, "Ingress", &key.namespace, &key.name);
        let labels = ingress.metadata.labels.clone().unwrap_or_default();
        let facts = AppFacts { meta: self.meta(&ingress.metadata), labels, ..AppFacts::default() };
        self.ingresses.retain(|known| known.key != key);
        self.ingresses.push(OwnIngress { key, facts, ingress, subject });
    }

    fn ours(&mut self, source: &Source, api: &str, kind: &str, value: Value) {
        let Some(key) = self.key(source, kind, &value) else { return };
        let app = kind == "ExposedApp";
        let subject = self.subject(source, kind, if app { &key.namespace } else { "" }, &key.name);
        let mut told = self.schemas.check(kind, &value);
        let served = format!("{}/{}", gatehouse_crds::GROUP, gatehouse_crds::VERSION);
        if api != served {
            told.push(Told::fault("schema", "apiVersion", format!("is {api:?}; the version served is {served:?}")));
        }
        let well_formed = told.iter().all(|t| t.severity != Severity::Fault);
        let read = match kind {
            "ExposedApp" => read::<ExposedApp>(value).map(|o| {
                let labels = o.metadata.labels.clone().unwrap_or_default();
                Some(AppFacts { meta: self.meta(&o.metadata), labels, spec: o.spec, ..AppFacts::default() })
            }),
            "SharedLoadBalancer" => read::<SharedLoadBalancer>(value).map(|o| {
                let meta = self.meta(&o.metadata);
                let facts = LoadBalancerFacts { meta, spec: o.spec, ..LoadBalancerFacts::default() };
                self.out.world.load_balancers.insert(key.name.clone(), Arc::new(facts));
                self.out.index.insert(("SharedLoadBalancer", key.name.clone()), subject);
                None
            }),
            _ => read::<ExposurePolicy>(value).map(|o| {
                let meta = self.meta(&o.metadata);
                let facts = PolicyFacts { meta, spec: o.spec, status: Default::default() };
                self.out.world.policies.insert(key.name.clone(), Arc::new(facts));
                self.out.index.insert(("ExposurePolicy", key.name.clone()), subject);
                None
            }),
        };
        let facts = match read {
            Ok(facts) => facts,
            // The schema names the field; serde's text is for what the schema cannot say.
            Err(_) if !well_formed => None,
            Err(e) => {
                told.push(Told::fault("schema", "spec", e));
                None
            }
        };
        self.out.subjects[subject].findings.extend(told);
        if app {
            self.out.apps.retain(|a| a.key != key);
            let context = source.context;
            self.out.apps.push(App { key, facts, subject, converted: None, context });
        }
    }

    /// The subject of an object. Given twice, the later one holds, as with kubectl apply.
    fn subject(&mut self, source: &Source, kind: &str, namespace: &str, name: &str) -> usize {
        let subjects = &mut self.out.subjects;
        let same = |s: &Subject| s.kind == kind && s.namespace == namespace && s.name == name;
        let earlier = subjects.iter().position(same);
        let mut subject = Subject {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source: source.clone(),
            findings: Vec::new(),
            text: self.text.clone(),
        };
        let Some(at) = earlier else {
            subjects.push(subject);
            return subjects.len() - 1;
        };
        if subjects[at].source.context {
            subjects[at] = subject;
            return at;
        }
        let message = format!("stands twice; this one replaces the one at {}", subjects[at].source);
        subject.findings.push(Told::warning("duplicate", "metadata.name", message));
        subjects[at] = subject;
        at
    }

    fn meta(&mut self, m: &ObjectMeta) -> Meta {
        // What has no creationTimestamp would be created now, in the order of the files.
        self.position += 1;
        let created = m.creation_timestamp.as_ref().map_or(self.now.0 + self.position, |t| t.0.as_second());
        Meta {
            uid: m.uid.clone().unwrap_or_else(|| format!("file-{}", self.position)),
            resource_version: 0,
            generation: m.generation.unwrap_or(1),
            created: Wall(created),
            deleting: m.deletion_timestamp.is_some(),
            finalizer: false,
            finalizers: m.finalizers.clone().unwrap_or_default(),
        }
    }
}

impl OwnIngress {
    /// Reads it as the operator would: with the names of ports, if the namespace's Services are among the files.
    fn read(&self, all: &[OwnIngress], out: &mut Objects) {
        let namespace = &self.key.namespace;
        let beside: Vec<&Ingress> = all.iter().filter(|o| o.key.namespace == *namespace).map(|o| &o.ingress).collect();
        let names = |s: &ServiceFacts| s.names.iter().map(|(name, port)| (name.clone(), i32::from(*port))).collect();
        let services: ServicePorts = World::within(&out.world.services, namespace)
            .map(|(key, service)| (key.name.clone(), names(service)))
            .collect();
        let ports = if services.is_empty() { Ports::Unknown } else { Ports::Cluster(&services) };
        let found = convert(&self.ingress, Some(&beside), ports);
        out.subjects[self.subject].findings.extend(found.remarks.iter().map(|r| Told::reviewed(&r.finding())));
        for app in found.apps {
            let key = AppKey::new(namespace, app_name(&app.name));
            let facts = AppFacts { spec: app.spec.clone(), ..self.facts.clone() };
            let context = out.subjects[self.subject].source.context;
            out.apps.retain(|known| known.key != key);
            out.apps.push(App { key, facts: Some(facts), subject: self.subject, converted: Some(app), context });
        }
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|e| e.to_string())
}

/// Apps stand in namespaces that other files make: those are taken to exist, without labels.
fn namespaces(out: &mut Objects) {
    let selecting = out.world.policies.values().any(|p| p.spec.namespaces.selector.is_some());
    let used: std::collections::BTreeSet<String> = out.apps.iter().map(|a| a.key.namespace.clone()).collect();
    for name in used {
        if !out.world.namespaces.contains_key(&name) {
            let meta = Meta { uid: format!("namespace-{name}"), ..Meta::default() };
            let facts = NamespaceFacts { meta, labels: BTreeMap::new() };
            out.world.namespaces.insert(name.clone(), Arc::new(facts));
            if selecting {
                out.notes.push(format!(
                    "namespace {name}: no Namespace is given, so policies that select by label do not speak to it; add it with -f"
                ));
            }
        }
        if World::within(&out.world.services, &name).next().is_none() {
            out.notes.push(format!(
                "namespace {name}: no Service is given, so backends are not judged, and as planned and rendered they answer 503; add the Services with -f"
            ));
        }
    }
}
