//! An Ingress read as ExposedApps: what it says that has an exact meaning here, and a remark on all the rest.
//!
//! Nothing is ignored in silence: what an Ingress controller would have done and Gatehouse will not is said, field by
//! field. A pure function of the object and of the Services' port names.

mod annotation;
mod cors;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use gatehouse_crds::{Access, BackendRef, ExposedAppSpec, PathType, RouteRule};
use gatehouse_route::{Host, Path, short_hash};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};

/// What an Ingress became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Converted {
    /// Apps by name: one for all hosts with the same routes. None if anything was refused.
    pub apps: Vec<(String, ExposedAppSpec)>,
    /// What was not carried over as it stands.
    pub remarks: Vec<Remark>,
}

impl Converted {
    /// Whether it could not be read as an app at all.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.remarks.iter().any(|r| r.fate == Fate::Refused)
    }
}

/// One thing that was not carried over as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What became of it.
    pub fate: Fate,
    /// Field of the Ingress.
    pub field: String,
    /// Value and cure.
    pub message: String,
}

/// What became of something an Ingress says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// No app can be made of the Ingress as long as it stands.
    Refused,
    /// The app will behave differently without it.
    Lost,
    /// It has no work to do here; nothing is lost.
    Needless,
}

impl Fate {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Refused => "refused",
            Fate::Lost => "lost",
            Fate::Needless => "needless",
        }
    }
}

/// Numbers of the named ports of Services, by Service.
pub type ServicePorts = BTreeMap<String, BTreeMap<String, i32>>;

struct Reader<'a> {
    services: &'a ServicePorts,
    remarks: Vec<Remark>,
}

impl Reader<'_> {
    fn say(&mut self, fate: Fate, field: impl Into<String>, message: impl Into<String>) {
        self.remarks.push(Remark { fate, field: field.into(), message: message.into() });
    }

    /// Adds a route unless the host has one for the path.
    fn add(&mut self, routes: &mut Vec<RouteRule>, route: Option<RouteRule>, field: &str, told: bool) {
        let Some(route) = route else { return };
        if routes.iter().any(|r| r.path == route.path && r.path_type == route.path_type) {
            if told {
                let path = route.path.unwrap_or_default();
                self.say(Fate::Lost, field, format!("\"{path}\" stands twice for this host; the first is kept"));
            }
            return;
        }
        routes.push(route);
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
            (None, Some(name)) => {
                let known = self.services.get(&service.name).and_then(|ports| ports.get(name)).copied();
                if known.is_none() {
                    let message = format!(
                        "\"{name}\" is a name, and Service {} is not among the files or has no such port; give its file too, or write the number",
                        service.name
                    );
                    self.say(Fate::Refused, format!("{field}.service.port.name"), message);
                }
                known
            }
            (None, None) => {
                self.say(Fate::Refused, format!("{field}.service.port"), "is empty; write a number");
                None
            }
        };
        Some(BackendRef { service: service.name.clone(), port: number?, weight: None })
    }
}

/// Reads an Ingress.
///
/// A rule without host and the default backend serve the hosts that the same Ingress names, as they would have, after
/// the host's own paths.
#[must_use]
pub fn convert(ingress: &Ingress, services: &ServicePorts) -> Converted {
    let mut reader = Reader { services, remarks: Vec::new() };
    let name = ingress.metadata.name.clone().unwrap_or_default();
    let spec = ingress.spec.clone().unwrap_or_default();
    let mut hosts: Vec<(String, Vec<RouteRule>)> = Vec::new();
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
                if let Err(error) = Host::parse(host) {
                    reader.say(Fate::Refused, format!("{field}.host"), error.to_string());
                }
                let at = hosts.iter().position(|(known, _)| known == host).unwrap_or_else(|| {
                    hosts.push((host.to_owned(), Vec::new()));
                    hosts.len() - 1
                });
                for (route, field) in routes {
                    reader.add(&mut hosts[at].1, Some(route), &field, true);
                }
            }
        }
    }
    let default = spec.default_backend.as_ref().and_then(|b| reader.backend(b, "spec.defaultBackend"));
    if !everywhere.is_empty() || default.is_some() {
        for host in spec.tls.iter().flatten().flat_map(|tls| tls.hosts.iter().flatten()) {
            if hosts.iter().all(|(known, _)| known != host) && Host::parse(host).is_ok() {
                hosts.push((host.clone(), Vec::new()));
            }
        }
    }
    for (host, routes) in &mut hosts {
        for (route, field) in &everywhere {
            reader.add(routes, Some(route.clone()), field, false);
        }
        let rest = default.clone().map(|backend| RouteRule { backends: vec![backend], ..RouteRule::default() });
        reader.add(routes, rest, "spec.defaultBackend", false);
        if routes.is_empty() && reader.remarks.iter().all(|r| r.fate != Fate::Refused) {
            reader.say(Fate::Refused, "spec.rules", format!("{host} has no path and there is no default backend"));
        }
    }
    if hosts.is_empty() {
        reader.say(Fate::Refused, "spec.rules", "names no host; the shared load balancer knows apps by their hosts");
    }
    for (i, tls) in spec.tls.iter().flatten().enumerate() {
        if let Some(secret) = &tls.secret_name {
            let message = format!("\"{secret}\" is not read: the load balancer ends TLS with a certificate of ACM");
            reader.say(Fate::Needless, format!("spec.tls[{i}].secretName"), message);
        }
    }
    let said = annotation::read(&mut reader, ingress.metadata.annotations.iter().flatten());
    for (_, routes) in &mut hosts {
        for route in routes {
            let RouteRule { path, path_type, backends, .. } = std::mem::take(route);
            *route = RouteRule { path, path_type, backends, ..said.route.clone() };
        }
    }
    let access = (!said.allow.is_empty()).then(|| Access { allow_cidrs: said.allow.clone() });
    let mut converted = Converted { apps: Vec::new(), remarks: reader.remarks };
    if !converted.refused() {
        converted.apps = apps(&name, hosts, access.as_ref());
    }
    converted
}

/// One app for all hosts with the same routes. The first has the Ingress's name.
fn apps(name: &str, hosts: Vec<(String, Vec<RouteRule>)>, access: Option<&Access>) -> Vec<(String, ExposedAppSpec)> {
    let mut out: Vec<(String, ExposedAppSpec)> = Vec::new();
    for (host, routes) in hosts {
        if let Some((_, app)) = out.iter_mut().find(|(_, app)| app.routes == routes) {
            app.hosts.push(host);
            continue;
        }
        let name = if out.is_empty() { name.to_owned() } else { format!("{name}-{}", short_hash(host.as_bytes(), 3)) };
        let access = access.cloned();
        out.push((name, ExposedAppSpec { hosts: vec![host], routes, access, ..ExposedAppSpec::default() }));
    }
    out
}
