//! From written text to values that cannot be wrong. What parses is renderable.

use std::collections::BTreeSet;

use gatehouse_crds::{ExposedAppSpec, NetworkPolicySettings, Tls};
use gatehouse_route::{
    Cidr, Host, Label, Path, PathType, Port, RESERVED_PREFIX, RequestHeader, RouteOptions, Seconds, Weight,
};

use super::options::{external_auth, options};
use super::{Finding, Rule};

/// An app whose every field is within its grammar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ParsedApp {
    /// Hosts in the order written, without repetition.
    pub hosts: Vec<Host>,
    /// Load balancers as written; empty means the default one.
    pub load_balancers: Vec<String>,
    /// Routes.
    pub routes: Vec<ParsedRoute>,
    /// Certificate source; `None` is what the load balancer gives.
    pub tls: Option<Tls>,
    /// Client networks; empty admits everybody.
    pub allow: BTreeSet<Cidr>,
    /// How the pods are closed.
    pub network_policy: NetworkPolicySettings,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParsedRoute {
    /// Path.
    pub path: Path,
    /// How it matches.
    pub path_type: PathType,
    /// Backends.
    pub backends: Vec<ParsedBackend>,
    /// Asked timeout.
    pub timeout: Option<Seconds>,
    /// Who is asked about each request first.
    pub auth: Option<ParsedAuth>,
    /// What else it asks for.
    pub options: RouteOptions,
}

/// Who is asked about each request first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParsedAuth {
    /// Service.
    pub service: Label,
    /// Port of the Service.
    pub port: Port,
    /// What it is asked for.
    pub path: Path,
    /// Headers of its answer that the backend gets.
    pub response_headers: BTreeSet<RequestHeader>,
}

impl ParsedRoute {
    /// Every Service and port that the edge must reach for it.
    pub fn services(&self) -> impl Iterator<Item = (&Label, Port)> {
        let backends = self.backends.iter().map(|b| (&b.service, b.port));
        backends.chain(self.auth.iter().map(|a| (&a.service, a.port)))
    }
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParsedBackend {
    /// Service.
    pub service: Label,
    /// Port of the Service.
    pub port: Port,
    /// Share.
    pub weight: Weight,
}

/// Reads every field; all faults are reported, not only the first.
///
/// # Errors
/// One finding of rule `grammar` per field outside its grammar.
pub fn parse(spec: &ExposedAppSpec) -> Result<ParsedApp, Vec<Finding>> {
    let mut faults = Vec::new();
    let mut app = ParsedApp {
        tls: spec.tls.clone(),
        network_policy: spec.network_policy.clone().unwrap_or_default(),
        ..ParsedApp::default()
    };
    let mut fault = |field: String, message: String| faults.push(Finding::new(Rule::Grammar, field, message));

    for (i, text) in spec.load_balancers.iter().enumerate() {
        match Label::parse(text) {
            Ok(_) => app.load_balancers.push(text.clone()),
            Err(e) => fault(format!("spec.loadBalancers[{i}]"), e.to_string()),
        }
    }
    if spec.hosts.is_empty() {
        fault("spec.hosts".into(), "is empty; name at least one host".into());
    }
    for (i, text) in spec.hosts.iter().enumerate() {
        match Host::parse(text) {
            Ok(host) if app.hosts.contains(&host) => {
                fault(format!("spec.hosts[{i}]"), format!("{text:?} stands twice; keep one"))
            }
            Ok(host) => app.hosts.push(host),
            Err(e) => fault(format!("spec.hosts[{i}]"), e.to_string()),
        }
    }
    if spec.routes.is_empty() {
        fault("spec.routes".into(), "is empty; give at least one route".into());
    }
    let mut seen = BTreeSet::new();
    for (i, rule) in spec.routes.iter().enumerate() {
        let at = format!("spec.routes[{i}]");
        let path = match Path::parse(rule.path.as_deref().unwrap_or("/")) {
            Ok(path) if path.as_str().starts_with(RESERVED_PREFIX) => {
                fault(
                    format!("{at}.path"),
                    format!(
                        "{:?} lies below {RESERVED_PREFIX}, which is the platform's; choose another",
                        path.as_str()
                    ),
                );
                None
            }
            Ok(path) => Some(path),
            Err(e) => {
                fault(format!("{at}.path"), e.to_string());
                None
            }
        };
        let path_type = match rule.path_type.unwrap_or_default() {
            gatehouse_crds::PathType::Prefix => PathType::Prefix,
            gatehouse_crds::PathType::Exact => PathType::Exact,
        };
        // A trailing slash means nothing on a prefix, so "/a" and "/a/" would be one route twice.
        let identity = path
            .as_ref()
            .map(|p| (if path_type == PathType::Prefix { p.without_final_slash() } else { p.clone() }, path_type));
        if let Some(identity) = identity
            && !seen.insert(identity)
        {
            fault(
                format!("{at}.path"),
                format!("{:?} stands twice with the same pathType; keep one", rule.path.as_deref().unwrap_or("/")),
            );
        }
        let timeout = rule.timeout.as_deref().and_then(|text| match Seconds::parse(text) {
            Ok(seconds) => Some(seconds),
            Err(e) => {
                fault(format!("{at}.timeout"), e.to_string());
                None
            }
        });
        let mut backends = Vec::new();
        for (j, backend) in rule.backends.iter().enumerate() {
            let at = format!("{at}.backends[{j}]");
            let service = Label::parse(&backend.service).map_err(|e| fault(format!("{at}.service"), e.to_string()));
            let port = Port::try_from(i64::from(backend.port)).map_err(|e| fault(format!("{at}.port"), e.to_string()));
            let weight = match backend.weight {
                None => Ok(Weight::ONE),
                Some(weight) => {
                    Weight::try_from(i64::from(weight)).map_err(|e| fault(format!("{at}.weight"), e.to_string()))
                }
            };
            if let (Ok(service), Ok(port), Ok(weight)) = (service, port, weight) {
                backends.push(ParsedBackend { service, port, weight });
            }
        }
        if rule.backends.is_empty() && rule.redirect.is_none() {
            fault(format!("{at}.backends"), "is empty; name at least one Service, or a redirect".into());
        }
        let auth = external_auth(rule, &at, &mut fault);
        let options = options(rule, path_type, &at, &mut fault);
        if let Some(path) = path {
            app.routes.push(ParsedRoute { path, path_type, backends, timeout, auth, options });
        }
    }
    for (i, text) in spec.access.iter().flat_map(|a| &a.allow_cidrs).enumerate() {
        match Cidr::parse(text) {
            Ok(cidr) => {
                app.allow.insert(cidr);
            }
            Err(e) => fault(format!("spec.access.allowCidrs[{i}]"), e.to_string()),
        }
    }
    if let Some(arn) = spec.tls.as_ref().and_then(|t| t.certificate_arn.as_deref())
        && !(arn.starts_with("arn:aws")
            && arn.contains(":acm:")
            && arn.contains(":certificate/")
            && arn.bytes().all(|b| b.is_ascii_graphic()))
    {
        fault("spec.tls.certificateArn".into(), format!("{arn:?} is not the ARN of an ACM certificate"));
    }
    for (i, peer) in app.network_policy.additional_from.iter().enumerate() {
        if peer.namespace_labels.is_empty() && peer.pod_labels.is_empty() {
            fault(
                format!("spec.networkPolicy.additionalFrom[{i}]"),
                "selects everything; give namespaceLabels or podLabels".into(),
            );
        }
    }
    if let Some(message) = too_large(&app) {
        fault("spec.routes".into(), message);
    }
    if faults.is_empty() { Ok(app) } else { Err(faults) }
}

/// The edge's table is a ConfigMap, which ends at 1 MiB; and a HostClaim remembers the routes of its host.
const MAX_TABLE: usize = 1 << 20;

/// What the app alone would put into the edge's table, when that is too much. It is reckoned from above: the table's own
/// JSON of the options, and for each part the longest that its frame can be.
fn too_large(app: &ParsedApp) -> Option<String> {
    let route = |r: &ParsedRoute| {
        let options = serde_json::to_string_pretty(&r.options).map_or(0, |json| {
            // The table indents it deeper than it stands alone.
            json.len() + 16 * json.lines().count()
        });
        // At most 16 names of 64 characters, each on a line of its own, and the path.
        let auth = r.auth.as_ref().map_or(0, |a| a.path.as_str().len() + 96 * a.response_headers.len() + 512);
        options + auth + r.path.as_str().len() + 256 * r.backends.len() + 64 * app.allow.len() + 256
    };
    let size = app.hosts.len() * app.routes.iter().map(route).sum::<usize>();
    (size > MAX_TABLE).then(|| {
        format!(
            "make about {} KiB of the edge's table for {} hosts, which holds {} KiB; use fewer or shorter routes, \
             headers and origins, or split the app",
            size >> 10,
            app.hosts.len(),
            MAX_TABLE >> 10
        )
    })
}
