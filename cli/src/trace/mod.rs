//! The way of a request to a host, hop by hop, as a function of what could be read of the cluster: which hop is the first
//! that is broken, which object and field mend it. What may not be read makes a hop hidden, never broken.

mod back;
mod front;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gatehouse_core::Reason;
use gatehouse_core::engine::report::Report;
use gatehouse_crds::{Condition, ConditionStatus, ExposedApp, HostClaim, PathType, SharedLoadBalancer};
use gatehouse_route::{Host, Path, answering};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::Serialize;

/// What was asked of the cluster.
#[derive(Clone, Debug)]
pub enum Read<T> {
    /// It answered.
    Seen(T),
    /// It did not, in words.
    Hidden(String),
}

impl<T> Read<T> {
    /// What was seen.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Read::Seen(it) => Some(it),
            Read::Hidden(_) => None,
        }
    }
}

/// What this machine's resolver said.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Addresses.
    Addresses(BTreeSet<IpAddr>),
    /// None, in its words.
    None(String),
}

/// Everything that was read.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The host, as asked for.
    pub host: Host,
    /// The path, as asked for.
    pub path: String,
    /// ExposedApps of every namespace that was read.
    pub apps: Vec<ExposedApp>,
    /// What the resolver said of the host; `None` if it was not asked.
    pub dns: Option<Answer>,
    /// Where the names of load balancers lead.
    pub addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The claim of the host that the app names.
    pub claim: Read<Option<HostClaim>>,
    /// Load balancers.
    pub load_balancers: Read<Vec<SharedLoadBalancer>>,
    /// Edge pods of the namespace.
    pub pods: Read<Vec<Pod>>,
    /// The namespace's table, as it stands in its ConfigMap.
    pub table: Read<Option<String>>,
    /// Services of the namespace.
    pub services: Read<Vec<Service>>,
    /// EndpointSlices of the namespace.
    pub slices: Read<Vec<EndpointSlice>>,
    /// The leader's plan.
    pub plan: Read<Report>,
}

/// How a hop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// As it should.
    Ok,
    /// A person must act.
    Broken,
    /// For time, or for another hop.
    Waits,
    /// Not visible.
    Hidden,
}

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Which.
    pub hop: &'static str,
    /// How it stands.
    pub mark: Mark,
    /// Where, if there are several of its kind: a shard, a Service.
    pub at: String,
    /// What was found.
    pub text: String,
    /// The object to change.
    pub object: String,
    /// Its field.
    pub field: String,
    /// What to do.
    pub cure: String,
}

impl Hop {
    fn new(hop: &'static str, mark: Mark, text: impl Into<String>) -> Hop {
        let empty = String::new;
        Hop { hop, mark, at: empty(), text: text.into(), object: empty(), field: empty(), cure: empty() }
    }

    fn ok(hop: &'static str, text: impl Into<String>) -> Hop {
        Hop::new(hop, Mark::Ok, text)
    }

    fn waits(hop: &'static str, text: impl Into<String>) -> Hop {
        Hop::new(hop, Mark::Waits, text)
    }

    fn hidden(hop: &'static str, text: impl Into<String>) -> Hop {
        Hop::new(hop, Mark::Hidden, text)
    }

    fn broken(hop: &'static str, text: impl Into<String>, object: impl Into<String>, field: impl Into<String>) -> Hop {
        Hop { object: object.into(), field: field.into(), ..Hop::new(hop, Mark::Broken, text) }
    }

    fn cure(self, cure: impl Into<String>) -> Hop {
        Hop { cure: cure.into(), ..self }
    }

    fn at(self, at: impl Into<String>) -> Hop {
        Hop { at: at.into(), ..self }
    }
}

/// The whole way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Whose host it is, if an app names it.
    pub app: Option<(String, String)>,
    /// Hop by hop.
    pub hops: Vec<Hop>,
    /// What the leader says of the host; `None` if it may not be asked.
    pub plan: Option<Vec<String>>,
}

impl Trace {
    /// The first broken hop; else the first that waits.
    pub fn first(&self) -> Option<usize> {
        let of = |mark| self.hops.iter().position(|hop| hop.mark == mark);
        of(Mark::Broken).or_else(|| of(Mark::Waits))
    }
}

/// The apps of one namespace that name a host, the oldest first.
#[derive(Debug)]
pub struct Publisher<'a> {
    /// The namespace.
    pub namespace: String,
    /// The host as they name it: it may be a wildcard.
    pub host: Host,
    apps: Vec<&'a ExposedApp>,
}

/// Who publishes a host. Of several namespaces the one that stands on a load balancer, then who names it exactly, then
/// the oldest: as claims decide.
pub fn publisher<'a>(apps: &'a [ExposedApp], host: &Host) -> Option<Publisher<'a>> {
    let named = |app: &'a ExposedApp| {
        let mut hosts: Vec<Host> = app.spec.hosts.iter().filter_map(|h| Host::parse(h).ok()).collect();
        hosts.sort_by_key(Host::is_wildcard);
        let named = hosts.into_iter().find(|own| own == host || own.is_wildcard() && own.covers(host))?;
        Some((app, named))
    };
    let place = |(app, named): &(&ExposedApp, Host)| {
        let text = named.as_text();
        let stands = app.status.iter().flat_map(|s| &s.hosts).any(|h| h.host == text);
        (!stands, named.is_wildcard(), app.metadata.creation_timestamp.clone().map(|t| t.0), app.metadata.name.clone())
    };
    let mut all: Vec<(&ExposedApp, Host)> = apps.iter().filter_map(named).collect();
    all.sort_by_key(place);
    let (first, host) = all.first().cloned()?;
    let namespace = first.metadata.namespace.clone().unwrap_or_default();
    let own =
        |(app, named): &&(&ExposedApp, Host)| app.metadata.namespace.as_ref() == Some(&namespace) && *named == host;
    let mut apps: Vec<&ExposedApp> = all.iter().filter(own).map(|(app, _)| *app).collect();
    apps.sort_by_key(|app| (app.metadata.creation_timestamp.clone().map(|t| t.0), app.metadata.name.clone()));
    Some(Publisher { namespace, host, apps })
}

/// What the hops have in common.
struct Way<'a> {
    facts: &'a Facts,
    namespace: &'a str,
    /// As the app names it.
    host: &'a Host,
    app: &'a ExposedApp,
    /// Index of the route that answers the path.
    route: Option<usize>,
}

/// The way of a request, as far as it is visible.
pub fn trace(facts: &Facts) -> Trace {
    let Some(publisher) = publisher(&facts.apps, &facts.host) else {
        let text = format!("no ExposedApp that you may see names {}", facts.host);
        let hop = Hop::broken("app", text, "ExposedApp", "spec.hosts").cure(
            "name the host in an ExposedApp (or in an Ingress of class gatehouse), or look into its namespace with -n",
        );
        return Trace { app: None, hops: vec![hop], plan: None };
    };
    let (app, route) = answerer(&publisher, &facts.path);
    let way = Way { facts, namespace: &publisher.namespace, host: &publisher.host, app, route };
    let mut hops = front::hops(&way);
    hops.extend(back::hops(&way));
    let name = app.metadata.name.clone().unwrap_or_default();
    Trace { plan: plan(&way), app: Some((publisher.namespace.clone(), name)), hops }
}

/// The app and the route that answer a path; of equal paths the oldest app has it. No route: the oldest app.
fn answerer<'a>(publisher: &Publisher<'a>, path: &str) -> (&'a ExposedApp, Option<usize>) {
    let mut routes = BTreeMap::new();
    for app in &publisher.apps {
        for (i, route) in app.spec.routes.iter().enumerate() {
            let Ok(path) = Path::parse(route.path.as_deref().unwrap_or("/")) else { continue };
            let key = match route.path_type.unwrap_or_default() {
                PathType::Prefix => (path.without_final_slash(), gatehouse_route::PathType::Prefix),
                PathType::Exact => (path, gatehouse_route::PathType::Exact),
            };
            routes.entry(key).or_insert((*app, i));
        }
    }
    match answering(&routes, path) {
        Some((_, (app, i))) => (*app, Some(*i)),
        None => (publisher.apps[0], None),
    }
}

impl<'a> Way<'a> {
    fn condition(&self, type_: &str) -> Option<&'a Condition> {
        self.app.status.as_ref()?.conditions.iter().find(|c| c.type_ == type_)
    }

    /// Status and reason of a condition; Unknown without a word if nobody has looked yet.
    fn judged(&self, type_: &str) -> (ConditionStatus, &'a str) {
        self.condition(type_).map_or((ConditionStatus::Unknown, ""), |c| (c.status, c.reason.as_str()))
    }

    /// The app, as a person names it.
    fn object(&self) -> String {
        format!("ExposedApp {}/{}", self.namespace, self.app.metadata.name.clone().unwrap_or_default())
    }

    /// A hop that a condition speaks for: broken where waiting is of no use.
    fn by_condition(&self, hop: &'static str, condition: &Condition, object: &str, field: &str) -> Hop {
        let text = said(condition);
        let told = Reason::of(&condition.reason).and_then(|r| r.in_condition("ExposedApp", &condition.type_));
        match told {
            Some(told) if told.stalls => {
                let field = named_field(&condition.message).unwrap_or(field);
                Hop::broken(hop, text, object, field).cure(told.cure)
            }
            Some(told) => Hop::waits(hop, text).cure(told.cure),
            None => Hop::waits(hop, text),
        }
    }
}

fn said(condition: &Condition) -> String {
    if condition.message.is_empty() {
        condition.reason.clone()
    } else {
        format!("{}: {}", condition.reason, condition.message)
    }
}

/// Messages of admission begin with the field.
fn named_field(message: &str) -> Option<&str> {
    let (field, _) = message.split_once(": ")?;
    let named = (field.starts_with("spec.") || field.starts_with("metadata.")) && !field.contains(' ');
    named.then_some(field)
}

/// What the leader says about the host: of the namespace's part, and of its shards'.
fn plan(way: &Way<'_>) -> Option<Vec<String>> {
    let report = way.facts.plan.seen()?;
    let shards: BTreeSet<String> =
        front::places(way).map(|p| format!("{}#{}", p.load_balancer, p.shard.unwrap_or(0))).collect();
    let host = way.host.as_text();
    let mut out = Vec::new();
    for part in &report.parts {
        let ours = match part.part.kind.as_str() {
            "Namespace" => part.part.name == way.namespace,
            "Shard" => shards.contains(&part.part.name),
            _ => false,
        };
        if !ours {
            continue;
        }
        // What a shard or a namespace as a whole is held for concerns each of its hosts.
        out.extend(part.held.iter().map(|text| format!("held: {text}")));
        out.extend(part.waiting.iter().filter(|text| text.contains(&host)).map(|text| format!("waits for {text}")));
        for step in &part.steps {
            if let Some(refusal) = &step.refusal {
                out.push(format!("{}: {refusal}", step.order));
            }
        }
    }
    Some(out)
}
