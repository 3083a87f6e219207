//! An Ingress read as ExposedApps: what it says that has an exact meaning here, and a remark on all the rest.
//!
//! Nothing is ignored in silence: what an Ingress controller would have done and Gatehouse will not is said, field by
//! field. A pure function of the object, of the canaries beside it, and of the Services' port names.

mod annotation;
mod canary;
mod class;
mod cors;
mod derived;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use gatehouse_crds::{Access, BackendRef, Enforcement, ExposedAppSpec, PathType, RouteRule};
use gatehouse_route::{Host, Path, short_hash};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};

use crate::review::{Finding, Rule};

pub use class::is_ours;
pub use derived::{AppFragment, Derived, app_labels, app_name, derive, facts};

/// What the schema of an ExposedApp takes.
const MOST_HOSTS: usize = 50;
const MOST_ROUTES: usize = 200;

/// What an Ingress became.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Converted {
    /// One app for all hosts with the same routes. None if anything was refused, and of a canary.
    pub apps: Vec<ConvertedApp>,
    /// What was not carried over as it stands.
    pub remarks: Vec<Remark>,
}

/// An app that an Ingress became, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConvertedApp {
    /// The Ingress's name, and a hash for all but the first.
    pub name: String,
    /// What it asks for.
    pub spec: ExposedAppSpec,
    /// Field of the Ingress that each host comes from.
    hosts: Vec<String>,
    /// Field of the Ingress that each route comes from.
    routes: Vec<String>,
}

impl ConvertedApp {
    /// The field of the Ingress behind a field of the app, as far as there is one.
    #[must_use]
    pub fn field(&self, of_app: &str) -> String {
        let entry = |list: &str, fields: &[String]| {
            let (index, rest) = of_app.strip_prefix(list)?.split_once(']')?;
            let from = fields.get(index.parse::<usize>().ok()?)?;
            // One backend is a field of its own there, and its Service has more than a name.
            let rest = rest.replace(".backends[0].service", ".backend.service.name");
            let rest = rest.replace(".backends[0].port", ".backend.service.port").replace(".backends[0]", ".backend");
            Some(if from.ends_with("Backend") { from.clone() } else { format!("{from}{rest}") })
        };
        entry("spec.hosts[", &self.hosts)
            .or_else(|| entry("spec.routes[", &self.routes))
            .unwrap_or_else(|| of_app.to_owned())
    }
}

impl Converted {
    /// Whether it could not be read as an app at all.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.remarks.iter().any(|r| r.fate.refuses())
    }
}

/// One thing that was not carried over as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remark {
    /// What became of it.
    pub fate: Fate,
    /// Field of the Ingress.
    pub field: String,
    /// Value and cure.
    pub message: String,
}

impl Remark {
    /// What admission makes of it: what would be served otherwise than it says is told, what cannot be served refused.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let rule = if self.fate == Fate::HostMissing { Rule::HostMissing } else { Rule::Ingress };
        let finding = Finding::new(rule, self.field.clone(), self.message.clone());
        if self.fate.refuses() { finding } else { Finding { enforcement: Enforcement::Warn, ..finding } }
    }
}

/// What became of something an Ingress says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It names no host, so nothing can be published.
    HostMissing,
    /// No app can be made of the Ingress as long as it stands.
    Refused,
    /// The app will behave differently without it.
    Lost,
    /// It has no work to do here; nothing is lost.
    Needless,
}

impl Fate {
    /// Whether nothing can be made of the Ingress.
    #[must_use]
    pub fn refuses(self) -> bool {
        matches!(self, Fate::HostMissing | Fate::Refused)
    }

    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::HostMissing | Fate::Refused => "refused",
            Fate::Lost => "lost",
            Fate::Needless => "needless",
        }
    }
}

/// Numbers of the named ports of Services, by Service.
pub type ServicePorts = BTreeMap<String, BTreeMap<String, i32>>;

/// What is known of the Services' ports.
#[derive(Clone, Copy, Debug)]
pub enum Ports<'a> {
    /// What files tell. A name that they do not tell is refused: an app has numbers only.
    Files(&'a ServicePorts),
    /// What a cluster has. A name that is not there leads nowhere until it is: the route stands, and answers 503.
    Cluster(&'a ServicePorts),
    /// Nothing: at admission a Service may come after the Ingress that names it.
    Unknown,
}

/// A host of an Ingress: its name, where it stands, and its routes, each with where it stands.
type NamedHost = (String, String, Vec<(RouteRule, String)>);

struct Reader<'a> {
    ports: Ports<'a>,
    remarks: Vec<Remark>,
}

impl Reader<'_> {
    fn say(&mut self, fate: Fate, field: impl Into<String>, message: impl Into<String>) {
        self.remarks.push(Remark { fate, field: field.into(), message: message.into() });
    }

    /// Adds a route unless the host has one for the path.
    fn add(&mut self, routes: &mut Vec<(RouteRule, String)>, route: RouteRule, field: &str, told: bool) {
        if routes.iter().any(|(r, _)| r.path == route.path && r.path_type == route.path_type) {
            if told {
                let path = route.path.unwrap_or_default();
                self.say(Fate::Lost, field, format!("\"{path}\" stands twice for this host; the first is kept"));
            }
            return;
        }
        routes.push((route, field.to_owned()));
    }

    fn route(&mut self, path: &HTTPIngressPath, field: &str) -> Option<RouteRule> {
        let path_type = match path.path_type.as_str() {
            "Exact" => PathType::Exact,
            "Prefix" => PathType::Prefix,
            other => {
                self.say(Fate::Needless, format!("{field}.pathType"), format!("\"{other}\" is read as Prefix"));
                PathType::Prefix
            }
        };
        let text = path.path.as_deref().unwrap_or("/");
        if let Err(error) = Path::parse(text) {
            let pattern = text.contains(['(', '*', '[', '|', '^', '$', '\\', '?']);
            let cure = if pattern { "; a pattern has no meaning here: write the paths as Prefix or Exact" } else { "" };
            self.say(Fate::Refused, format!("{field}.path"), format!("{error}{cure}"));
            return None;
        }
        let backend = self.backend(&path.backend, &format!("{field}.backend"))?;
        // Both are what an app says by saying nothing.
        let path_type = Some(path_type).filter(|t| *t != PathType::Prefix);
        let path = Some(text.to_owned()).filter(|text| text != "/" || path_type.is_some());
        Some(RouteRule { path, path_type, backends: vec![backend], ..RouteRule::default() })
    }

    fn backend(&mut self, backend: &IngressBackend, field: &str) -> Option<BackendRef> {
        let Some(service) = &backend.service else {
            self.say(Fate::Refused, format!("{field}.resource"), "is no Service; name a Service of this namespace");
            return None;
        };
        let port = service.port.clone().unwrap_or_default();
        let number = match (port.number, &port.name) {
            (Some(number), _) => Some(number),
            (None, Some(name)) => self.named(&service.name, name, field),
            (None, None) => {
                self.say(Fate::Refused, format!("{field}.service.port"), "is empty; write a number");
                None
            }
        };
        Some(BackendRef { service: service.name.clone(), port: number?, weight: None })
    }

    /// The number of a named port.
    fn named(&mut self, service: &str, name: &str, field: &str) -> Option<i32> {
        let of = |all: &ServicePorts| all.get(service).and_then(|ports| ports.get(name)).copied();
        let field = format!("{field}.service.port.name");
        match self.ports {
            Ports::Unknown => Some(1),
            Ports::Files(all) => {
                let known = of(all);
                if known.is_none() {
                    let message = format!(
                        "\"{name}\" is a name, and Service {service} is not among the files or has no such port; give its file too, or write the number"
                    );
                    self.say(Fate::Refused, field, message);
                }
                known
            }
            Ports::Cluster(all) => of(all).or_else(|| {
                let message = format!("Service {service} has no port \"{name}\"; the route answers 503 until it has");
                self.say(Fate::Lost, field, message);
                // A number that the Service does not have either: what is missing is found missing.
                let taken = |n: &i32| all.get(service).is_some_and(|ports| ports.values().any(|p| p == n));
                (1..=65535).find(|n| !taken(n))
            }),
        }
    }
}

/// Reads an Ingress. `beside` are those of its namespace that are ours, as far as they are known: some may be canaries
/// of it.
///
/// A rule without host and the default backend serve the hosts that the same Ingress names, as they would have, after
/// the host's own paths.
#[must_use]
pub fn convert(ingress: &Ingress, beside: Option<&[&Ingress]>, ports: Ports<'_>) -> Converted {
    let mut reader = Reader { ports, remarks: Vec::new() };
    if canary::is(ingress) {
        canary::judge(&mut reader, ingress, beside);
        return Converted { apps: Vec::new(), remarks: reader.remarks };
    }
    let name = ingress.metadata.name.clone().unwrap_or_default();
    let mut hosts = hosts(&mut reader, ingress);
    if hosts.is_empty() {
        reader.say(
            Fate::HostMissing,
            "spec.rules",
            "names no host; the shared load balancer knows apps by their hosts",
        );
    }
    for (i, tls) in ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten()).enumerate() {
        if let Some(secret) = &tls.secret_name {
            let message = format!("\"{secret}\" is not read: the load balancer ends TLS with a certificate of ACM");
            reader.say(Fate::Needless, format!("spec.tls[{i}].secretName"), message);
        }
    }
    let said = annotation::read(&mut reader, ingress.metadata.annotations.iter().flatten());
    for (_, _, routes) in &mut hosts {
        for (route, _) in routes {
            let RouteRule { path, path_type, backends, .. } = std::mem::take(route);
            *route = RouteRule { path, path_type, backends, ..said.route.clone() };
        }
    }
    canary::merge(&mut reader, &mut hosts, beside.unwrap_or_default());
    for (host, field, routes) in &hosts {
        if routes.len() > MOST_ROUTES {
            let message =
                format!("{host} has {} paths, and one app takes {MOST_ROUTES}; use several Ingresses", routes.len());
            reader.say(Fate::Refused, field, message);
        }
    }
    let mut converted = Converted { apps: Vec::new(), remarks: reader.remarks };
    if !converted.refused() {
        let access = (!said.allow.is_empty()).then(|| Access { allow_cidrs: said.allow.clone() });
        let all = ExposedAppSpec { load_balancers: said.load_balancers, tls: said.tls, access, ..Default::default() };
        converted.apps = apps(&name, hosts, &all);
    }
    converted
}

/// The hosts that an Ingress names, each with its routes.
fn hosts(reader: &mut Reader<'_>, ingress: &Ingress) -> Vec<NamedHost> {
    let spec = ingress.spec.clone().unwrap_or_default();
    let mut hosts: Vec<NamedHost> = Vec::new();
    let mut everywhere: Vec<(RouteRule, String)> = Vec::new();
    for (i, rule) in spec.rules.iter().flatten().enumerate() {
        let field = format!("spec.rules[{i}]");
        let mut routes = Vec::new();
        for (j, path) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
            let at = format!("{field}.http.paths[{j}]");
            routes.extend(reader.route(path, &at).map(|route| (route, at)));
        }
        match rule.host.as_deref().filter(|h| !h.is_empty()) {
            None => everywhere.extend(routes),
            Some(host) => {
                let field = format!("{field}.host");
                if let Err(error) = Host::parse(host) {
                    reader.say(Fate::Refused, &field, error.to_string());
                }
                let at = hosts.iter().position(|(known, ..)| known == host).unwrap_or_else(|| {
                    hosts.push((host.to_owned(), field, Vec::new()));
                    hosts.len() - 1
                });
                for (route, field) in routes {
                    reader.add(&mut hosts[at].2, route, &field, true);
                }
            }
        }
    }
    let default = spec.default_backend.as_ref().and_then(|b| reader.backend(b, "spec.defaultBackend"));
    if !everywhere.is_empty() || default.is_some() {
        for (i, tls) in spec.tls.iter().flatten().enumerate() {
            for (j, host) in tls.hosts.iter().flatten().enumerate() {
                let field = format!("spec.tls[{i}].hosts[{j}]");
                match Host::parse(host) {
                    Ok(_) if hosts.iter().all(|(known, ..)| known != host) => {
                        hosts.push((host.clone(), field, Vec::new()));
                    }
                    Ok(_) => {}
                    Err(why) => reader.say(Fate::Lost, field, format!("is not published: {why}")),
                }
            }
        }
    }
    for (host, _, routes) in &mut hosts {
        for (route, field) in &everywhere {
            reader.add(routes, route.clone(), field, false);
        }
        if let Some(backend) = &default {
            let rest = RouteRule { backends: vec![backend.clone()], ..RouteRule::default() };
            reader.add(routes, rest, "spec.defaultBackend", false);
        }
        if routes.is_empty() && !reader.remarks.iter().any(|r| r.fate.refuses()) {
            reader.say(Fate::Refused, "spec.rules", format!("{host} has no path and there is no default backend"));
        }
    }
    hosts
}

/// One app for all hosts with the same routes, as many as one app takes. The first has the Ingress's name.
fn apps(name: &str, hosts: Vec<NamedHost>, all: &ExposedAppSpec) -> Vec<ConvertedApp> {
    let mut out: Vec<ConvertedApp> = Vec::new();
    for (host, field, routes) in hosts {
        let (routes, fields): (Vec<RouteRule>, Vec<String>) = routes.into_iter().unzip();
        let fits = |app: &&mut ConvertedApp| app.spec.routes == routes && app.hosts.len() < MOST_HOSTS;
        if let Some(app) = out.iter_mut().find(fits) {
            app.spec.hosts.push(host);
            app.hosts.push(field);
            continue;
        }
        let name = if out.is_empty() { name.to_owned() } else { format!("{name}-{}", short_hash(host.as_bytes(), 3)) };
        let spec = ExposedAppSpec { hosts: vec![host], routes, ..all.clone() };
        out.push(ConvertedApp { name, spec, hosts: vec![field], routes: fields });
    }
    out
}
