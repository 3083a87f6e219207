//! Objects of other kinds that publish something past the platform, or open the pods that Gatehouse manages.
//!
//! They are read as JSON and leniently: other controllers own these kinds, so a field or a value that is not known here
//! is never a fault. What an object publishes is told as *parts* (a class, an address, a listener): an update is judged
//! only by the parts that the object did not have before, so that an old object can be repaired, shrunk and deleted.

mod gateway;
mod network_policy;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::BTreeSet;

use gatehouse_crds::Refusable;
use serde_json::Value;

use super::{Class, Finding, Rule, Rulebook};
use crate::time::Wall;

/// A warning longer than this may be cut by whoever shows it.
pub const MAX_WARNING: usize = 120;

/// A kind that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Foreign {
    /// Service.
    Service,
    /// Ingress.
    Ingress,
    /// IngressClass, which may become the cluster's default.
    IngressClass,
    /// AWS Load Balancer Controller's IngressClassParams.
    IngressClassParams,
    /// AWS Load Balancer Controller's TargetGroupBinding.
    TargetGroupBinding,
    /// Gateway API Gateway.
    Gateway,
    /// Gateway API ListenerSet.
    ListenerSet,
    /// Gateway API route of any protocol.
    Route,
    /// NetworkPolicy.
    NetworkPolicy,
}

impl Foreign {
    /// The kind of an object, by API group and kind; `None` for what is not judged, which is admitted.
    #[must_use]
    pub fn of(group: &str, kind: &str) -> Option<Foreign> {
        Some(match (group, kind) {
            ("", "Service") => Foreign::Service,
            ("networking.k8s.io" | "extensions", "Ingress") => Foreign::Ingress,
            ("networking.k8s.io", "IngressClass") => Foreign::IngressClass,
            ("networking.k8s.io" | "extensions", "NetworkPolicy") => Foreign::NetworkPolicy,
            ("elbv2.k8s.aws", "IngressClassParams") => Foreign::IngressClassParams,
            ("elbv2.k8s.aws", "TargetGroupBinding") => Foreign::TargetGroupBinding,
            ("gateway.networking.k8s.io", "Gateway") => Foreign::Gateway,
            ("gateway.networking.k8s.io", "ListenerSet") | ("gateway.networking.x-k8s.io", "XListenerSet") => {
                Foreign::ListenerSet
            }
            ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute") => {
                Foreign::Route
            }
            _ => return None,
        })
    }

    /// Whether objects of the kind stand in no namespace. They are judged by the policies that speak to all namespaces.
    #[must_use]
    pub fn cluster_wide(self) -> bool {
        matches!(self, Foreign::IngressClass | Foreign::IngressClassParams)
    }
}

/// An object of such a kind.
#[derive(Clone, Copy, Debug)]
pub struct ForeignObject<'a> {
    /// What it is.
    pub foreign: Foreign,
    /// Kind as its API writes it: exceptions name it.
    pub kind: &'a str,
    /// Namespace; empty for kinds without one.
    pub namespace: &'a str,
    /// Name; empty while it is to be generated.
    pub name: &'a str,
    /// The object as it would be stored.
    pub object: &'a Value,
    /// The object as it is stored, for an update. One that cannot be read counts as having had no parts.
    pub old: Option<&'a Value>,
}

/// What such a review may look at.
#[derive(Clone, Copy, Debug)]
pub struct ForeignFacts<'a> {
    /// What the policies say to the namespace.
    pub rulebook: &'a Rulebook,
    /// The cluster's default IngressClass. `None` where there is none or it is not known. Admission needs not know it:
    /// the API server has written it into an Ingress before webhooks see it.
    pub default_class: Option<&'a str>,
    /// Today, for exceptions.
    pub now: Wall,
}

/// What one object does past the platform, before any policy is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fault {
    /// The word of `rules.refuse` it falls under; `None` where ownership is broken.
    refusable: Option<Refusable>,
    field: String,
    message: String,
    /// What of it is published.
    parts: BTreeSet<String>,
}

impl Fault {
    fn new(refusable: Refusable, field: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault { refusable: Some(refusable), field: field.into(), message: message.into(), parts: BTreeSet::new() }
    }

    fn ownership(field: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault { refusable: None, field: field.into(), message: message.into(), parts: BTreeSet::new() }
    }

    fn with(mut self, parts: impl IntoIterator<Item = String>) -> Fault {
        self.parts.extend(parts);
        self
    }

    /// Whether an object that had the older faults did all of this already.
    fn stood(&self, older: &[Fault]) -> bool {
        older.iter().any(|o| o.refusable == self.refusable && o.parts.is_superset(&self.parts))
    }
}

/// Judges an object of a foreign kind. Empty when it does nothing past the platform, when no policy minds, and for an
/// object on its way out. Deletions must not be asked about.
#[must_use]
pub fn review_foreign(it: &ForeignObject<'_>, facts: &ForeignFacts<'_>) -> Vec<Finding> {
    let book = facts.rulebook;
    // Of nobody's namespace nothing is known, and nothing of ours stands there.
    if book.policies.is_empty() || !it.object["metadata"]["deletionTimestamp"].is_null() {
        return Vec::new();
    }
    let faults = faults(it.foreign, it.object, facts.default_class);
    if faults.is_empty() {
        return Vec::new();
    }
    let older = it.old.map(|old| self::faults(it.foreign, old, facts.default_class)).unwrap_or_default();
    let new = faults.into_iter().filter(|fault| !fault.stood(&older));
    told(new, (it.kind, it.namespace, it.name), book, facts.now)
}

/// What is kept of an object that stands: all that its audit needs, and nothing of the rest of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Kind as its API writes it.
    pub kind: String,
    /// Version of the object.
    pub version: u64,
    faults: Vec<Fault>,
}

impl Standing {
    /// Of an object as the API server gives it; `None` if it does nothing past the platform or is on its way out.
    ///
    /// A class-less Ingress counts as one that whoever takes it may serve: had there been a default class when it was
    /// created, the API server would have written it down.
    #[must_use]
    pub fn of(foreign: Foreign, kind: &str, object: &Value) -> Option<Standing> {
        let meta = &object["metadata"];
        if !meta["deletionTimestamp"].is_null() {
            return None;
        }
        let faults = faults(foreign, object, None);
        let version = meta["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        (!faults.is_empty()).then(|| Standing { kind: kind.to_owned(), version, faults })
    }

    /// What the policies have against it now. The same findings that its creation would get.
    #[must_use]
    pub fn review(&self, namespace: &str, name: &str, rulebook: &Rulebook, now: Wall) -> Vec<Finding> {
        told(self.faults.iter().cloned(), (&self.kind, namespace, name), rulebook, now)
    }
}

/// The faults that the policies mind, with what they do about them.
fn told(
    faults: impl Iterator<Item = Fault>,
    (kind, namespace, name): (&str, &str, &str),
    book: &Rulebook,
    now: Wall,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = faults
        .filter(|fault| minds(book, fault))
        .map(|fault| {
            let rule = if fault.refusable.is_some() { Rule::RefusedKinds } else { Rule::ManagedPods };
            let mut finding = Finding::new(rule, fault.field, fault.message);
            if rule.class() == Class::Governance {
                finding.enforcement = book.enforcement(rule, kind, namespace, name, now);
            }
            finding
        })
        .collect();
    findings.sort_by(|a, b| (a.rule.class(), a.rule, &a.field).cmp(&(b.rule.class(), b.rule, &b.field)));
    findings
}

fn minds(book: &Rulebook, fault: &Fault) -> bool {
    match fault.refusable {
        Some(word) => book.refuse.contains(&word),
        // A namespace that may use no load balancer has no edge that anybody could reach.
        None => !book.load_balancers.is_empty(),
    }
}

/// The name of an IngressClass that is marked as the cluster's default, else `None`.
#[must_use]
pub fn default_class(object: &Value) -> Option<&str> {
    object["metadata"]["name"].as_str().filter(|_| workload::is_default(object))
}

fn faults(foreign: Foreign, object: &Value, default_class: Option<&str>) -> Vec<Fault> {
    match foreign {
        Foreign::Service => workload::service(object),
        Foreign::Ingress => workload::ingress(object, default_class),
        Foreign::IngressClass => workload::ingress_class(object),
        Foreign::IngressClassParams => workload::ingress_class_params(object),
        Foreign::TargetGroupBinding => workload::target_group_binding(object),
        Foreign::Gateway => gateway::gateway(object),
        Foreign::ListenerSet => gateway::listener_set(object),
        Foreign::Route => gateway::route(object),
        Foreign::NetworkPolicy => network_policy::network_policy(object),
    }
}

/// A text of the object, quoted and cut: an annotation may hold anything, and a warning must stay short and readable.
fn quoted(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && c != '"' { c } else { '?' };
    let mut short: String = text.chars().take(20).map(plain).collect();
    if text.chars().nth(20).is_some() {
        short.push_str("...");
    }
    format!("\"{short}\"")
}

/// The texts of a list; what is no text is left out.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
