//! Review: the one judge of objects. The webhook, the operator and the command line call it with the facts they
//! have; a missing fact is `None`, and each rule says what that means.

mod about;
mod finding;
mod foreign;
mod options;
mod parse;
mod rulebook;

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::{Enforcement, TlsMode};
use gatehouse_route::{Host, Label, Port, short_hash};

pub use about::About;
pub use finding::{Class, Finding, Rule, refusal};
pub use foreign::{Foreign, ForeignFacts, ForeignObject, MAX_WARNING, Standing, default_class, review_foreign};
pub use parse::{ParsedApp, ParsedAuth, ParsedBackend, ParsedRoute, parse};
pub use rulebook::{Rulebook, matches};

use crate::identity::AppKey;
use crate::time::Wall;
use crate::world::{AppFacts, LoadBalancerFacts, ServiceFacts};

/// What a review may look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What the policies say to the namespace.
    pub rulebook: &'a Rulebook,
    /// Load balancers; `None` where they are not known: then attachment is judged by policy alone.
    pub load_balancers: Option<&'a BTreeMap<String, std::sync::Arc<LoadBalancerFacts>>>,
    /// Services of the namespace; `None` where they are not known (admission: they may be applied later): then backends are not judged.
    pub services: Option<&'a BTreeMap<String, std::sync::Arc<ServiceFacts>>>,
    /// Hosts of this app that another namespace holds or waits for.
    pub taken: &'a BTreeSet<Host>,
    /// The namespace's other apps, for counts: the oldest come first in line.
    pub siblings: &'a Siblings,
    /// Today, for exceptions.
    pub now: Wall,
}

/// Another app of the namespace, as counts need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sibling {
    /// Creation.
    pub created: Wall,
    /// Name.
    pub name: String,
    /// Hosts as written.
    pub hosts: Vec<String>,
}

/// The apps of a namespace in the order in which limits serve them, the oldest first. Counting is done once for all.
#[derive(Clone, Debug, Default)]
pub struct Siblings {
    /// Creation and name.
    order: Vec<(Wall, String)>,
    /// Position of the first app that names each host.
    first: BTreeMap<String, usize>,
    /// How many different hosts the apps before each position name.
    before: Vec<usize>,
}

impl FromIterator<Sibling> for Siblings {
    fn from_iter<I: IntoIterator<Item = Sibling>>(all: I) -> Siblings {
        let mut all: Vec<Sibling> = all.into_iter().collect();
        all.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        let mut out = Siblings { before: vec![0], ..Siblings::default() };
        for (position, Sibling { created, name, hosts }) in all.into_iter().enumerate() {
            for host in hosts {
                out.first.entry(host).or_insert(position);
            }
            out.before.push(out.first.len());
            out.order.push((created, name));
        }
        out
    }
}

impl Siblings {
    /// How many apps, and how many different hosts, stand up to an app: itself and what is older.
    fn up_to(&self, created: Wall, name: &str, hosts: &[String]) -> (usize, usize) {
        let older = self.order.partition_point(|(c, n)| (*c, n.as_str()) < (created, name));
        let new = |host: &&String| self.first.get(*host).is_none_or(|first| *first >= older);
        let own: BTreeSet<&String> = hosts.iter().filter(new).collect();
        (older + 1, self.before.get(older).copied().unwrap_or(0) + own.len())
    }
}

/// What became of one app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppReview {
    /// All findings, most important first.
    pub findings: Vec<Finding>,
    /// The parsed app, when every field is within its grammar.
    pub parsed: Option<ParsedApp>,
    /// The load balancers it ends up on.
    pub load_balancers: Vec<String>,
}

impl AppReview {
    /// Whether a governance rule stands against it.
    #[must_use]
    pub fn frozen(&self) -> bool {
        self.findings.iter().any(|f| f.rule.class() == Class::Governance && f.refuses())
    }

    /// Whether an ownership rule stands against the whole app, not only against a host.
    #[must_use]
    pub fn withdrawn(&self) -> bool {
        self.parsed.is_none() || self.findings.iter().any(|f| f.rule.class() == Class::Ownership && f.host.is_none())
    }

    /// Whether an ownership rule stands against this host.
    #[must_use]
    pub fn host_refused(&self, host: &Host) -> bool {
        self.findings.iter().any(|f| f.rule.class() == Class::Ownership && f.host.as_ref() == Some(host))
    }
}

/// The opaque id in a refusal, so that the platform team can look up what the tenant is not told.
#[must_use]
pub fn refusal_id(host: &Host, namespace: &str) -> String {
    short_hash(format!("{host}\n{namespace}").as_bytes(), 4)
}

/// Judges one app. All rules speak; nothing stops at the first fault.
#[must_use]
pub fn review(key: &AppKey, app: &AppFacts, facts: &Facts<'_>) -> AppReview {
    let mut findings = Vec::new();
    let parsed = match parse(&app.spec) {
        Ok(parsed) => Some(parsed),
        Err(faults) => {
            findings.extend(faults);
            None
        }
    };
    let load_balancers = attachment(&app.spec.load_balancers, key, facts, &mut findings);
    hosts(&app.spec.hosts, key, facts, &mut findings);
    certificate(app, key, facts, &load_balancers, &mut findings);
    let mut governance = Vec::new();
    labels(&app.labels, facts, &mut governance);
    tls_mode(app, facts, &load_balancers, &mut governance);
    limits(key, app, facts, &mut governance);
    if let Some(parsed) = &parsed {
        open_cidr(parsed, facts, &mut governance);
        backends(parsed, facts, &mut findings);
    }
    for mut finding in governance {
        finding.enforcement =
            facts.rulebook.enforcement(finding.rule, "ExposedApp", &key.namespace, &key.name, facts.now);
        findings.push(finding);
    }
    findings.sort_by(|a, b| (a.rule.class(), a.rule, &a.field).cmp(&(b.rule.class(), b.rule, &b.field)));
    AppReview { findings, parsed, load_balancers }
}

fn attachment(asked: &[String], key: &AppKey, facts: &Facts<'_>, out: &mut Vec<Finding>) -> Vec<String> {
    let asked: Vec<String> = if asked.is_empty() {
        match facts.load_balancers {
            None => return Vec::new(),
            Some(known) => match known.iter().find(|(_, lb)| lb.spec.default) {
                Some((name, _)) => vec![name.clone()],
                None => {
                    out.push(Finding::new(
                        Rule::Attachment,
                        "spec.loadBalancers",
                        "is absent and no SharedLoadBalancer is marked default; name one",
                    ));
                    return Vec::new();
                }
            },
        }
    } else {
        asked.to_vec()
    };
    let mut good = Vec::new();
    for (i, name) in asked.iter().enumerate() {
        let known = facts.load_balancers.is_none_or(|known| known.contains_key(name));
        if !known || !facts.rulebook.load_balancers.contains(name) {
            // An absent one reads as a forbidden one: names of load balancers are not for tenants to probe.
            let message = format!(
                "{name:?} is not open to namespace {}; allowed: {}",
                key.namespace,
                listed(facts.rulebook.load_balancers.iter().map(String::as_str))
            );
            out.push(Finding::new(Rule::Attachment, format!("spec.loadBalancers[{i}]"), message));
        } else if !good.contains(name) {
            good.push(name.clone());
        }
    }
    good
}

fn hosts(texts: &[String], key: &AppKey, facts: &Facts<'_>, out: &mut Vec<Finding>) {
    for (i, text) in texts.iter().enumerate() {
        let Ok(host) = Host::parse(text) else { continue };
        if !facts.rulebook.grants(&host) || facts.taken.contains(&host) {
            let message = format!(
                "{text:?} is not available to namespace {}; granted: {} (ask the platform team, reference {})",
                key.namespace,
                granted(facts.rulebook),
                refusal_id(&host, &key.namespace)
            );
            out.push(Finding::new(Rule::Host, format!("spec.hosts[{i}]"), message).for_host(&host));
        }
    }
}

fn granted(book: &Rulebook) -> String {
    let names: Vec<String> = book
        .hosts
        .iter()
        .map(ToString::to_string)
        .chain(book.domains.iter().map(|d| format!("names below {d}")))
        .take(4)
        .collect();
    let more = (book.hosts.len() + book.domains.len()).saturating_sub(names.len());
    match (names.len(), more) {
        (0, _) => "nothing".to_owned(),
        (_, 0) => names.join(", "),
        (_, more) => format!("{} and {more} more", names.join(", ")),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn certificate(app: &AppFacts, key: &AppKey, facts: &Facts<'_>, load_balancers: &[String], out: &mut Vec<Finding>) {
    let Some(tls) = app.spec.tls.as_ref().filter(|t| t.mode == TlsMode::Arn) else { return };
    let Some(arn) = &tls.certificate_arn else {
        out.push(Finding::new(Rule::Grammar, "spec.tls.certificateArn", "is absent; tls.mode Arn needs it"));
        return;
    };
    let shared = facts.load_balancers.is_some_and(|known| {
        !load_balancers.is_empty()
            && load_balancers.iter().filter_map(|name| known.get(name)).all(|lb| {
                lb.spec.certificates.shared.contains(arn) || lb.spec.certificates.default.as_ref() == Some(arn)
            })
    });
    if !shared && !facts.rulebook.certificates.contains(arn) {
        out.push(Finding::new(
            Rule::Certificate,
            "spec.tls.certificateArn",
            format!(
                "{arn:?} is not granted to namespace {}; use tls.mode Discover or ask the platform team",
                key.namespace
            ),
        ));
    }
}

fn labels(labels: &BTreeMap<String, String>, facts: &Facts<'_>, out: &mut Vec<Finding>) {
    for required in &facts.rulebook.labels {
        let field = format!("metadata.labels[{}]", required.key);
        let wanted =
            required.pattern.as_ref().map_or_else(|| "any value".to_owned(), |p| format!("a value matching {p}"));
        match labels.get(&required.key).filter(|v| !v.is_empty()) {
            None => out.push(Finding::new(Rule::Labels, field, format!("is missing; set it to {wanted}"))),
            Some(value) => {
                if let Some(pattern) = &required.pattern {
                    match regex_lite::Regex::new(&format!("^(?:{pattern})$")) {
                        Ok(regex) if regex.is_match(value) => {}
                        Ok(_) => out.push(Finding::new(Rule::Labels, field, format!("is {value:?}; set it to {wanted}"))),
                        Err(_) => out.push(Finding::new(
                            Rule::Labels,
                            field,
                            format!("cannot be judged: the policy's pattern {pattern:?} is no regular expression; ask the platform team"),
                        )),
                    }
                }
            }
        }
    }
}

fn tls_mode(app: &AppFacts, facts: &Facts<'_>, load_balancers: &[String], out: &mut Vec<Finding>) {
    let modes: BTreeSet<TlsMode> = match (&app.spec.tls, facts.load_balancers) {
        (Some(tls), _) => [tls.mode].into(),
        // An app that does not say gets what each of its load balancers gives; unknown ones give Discover.
        (None, Some(known)) if !load_balancers.is_empty() => {
            load_balancers.iter().filter_map(|name| known.get(name)).map(|lb| crate::plan::default_mode(lb)).collect()
        }
        (None, _) => [TlsMode::default()].into(),
    };
    // How many certificates the hosts need is known where they are bundled: there the operator waits. None is never enough.
    if modes.contains(&TlsMode::Request) && facts.rulebook.limits.certificates == Some(0) {
        let message = "Request needs a certificate of its own, the limit of certificates is 0; use another mode";
        out.push(Finding::new(Rule::Limits, "spec.tls.mode", message));
    }
    let Some(allowed) = &facts.rulebook.tls_modes else { return };
    for mode in modes.difference(allowed) {
        let names: Vec<String> = allowed.iter().map(|m| format!("{m:?}")).collect();
        out.push(Finding::new(
            Rule::TlsMode,
            "spec.tls.mode",
            format!("{mode:?} is not allowed here; allowed: {}", listed(names.iter().map(String::as_str))),
        ));
    }
}

fn limits(key: &AppKey, app: &AppFacts, facts: &Facts<'_>, out: &mut Vec<Finding>) {
    let limits = &facts.rulebook.limits;
    let mut over = |limit: Option<i32>, count: usize, field: &str, what: &str| {
        if let Some(limit) = limit
            && count > usize::try_from(limit).unwrap_or(0)
        {
            out.push(Finding::new(Rule::Limits, field, format!("makes {count} {what}, the limit is {limit}")));
        }
    };
    over(limits.hosts_per_app, app.spec.hosts.len(), "spec.hosts", "hosts of one app");
    over(limits.routes_per_app, app.spec.routes.len(), "spec.routes", "routes of one app");
    // Over a limit the newest are refused: an app counts itself and what is older.
    let (apps, hosts) = facts.siblings.up_to(app.meta.created, &key.name, &app.spec.hosts);
    over(limits.apps, apps, "metadata.name", "apps in the namespace");
    over(limits.hosts, hosts, "spec.hosts", "hosts in the namespace");
    over(limits.claims, hosts, "spec.hosts", "claims of the namespace");
    // As many as there must be: how many there are beyond that depends on when the hosts came (decision 0013).
    over(limits.rules, hosts.div_ceil(HOSTS_PER_RULE), "spec.hosts", "listener rules of the namespace at least");
}

/// Hosts that one listener rule can hold: an ALB takes five condition values.
const HOSTS_PER_RULE: usize = 5;

fn open_cidr(app: &ParsedApp, facts: &Facts<'_>, out: &mut Vec<Finding>) {
    if facts.rulebook.open_cidr {
        return;
    }
    // Without a list everybody may come, which is the same as naming the whole internet.
    if app.allow.is_empty() || app.allow.iter().any(gatehouse_route::Cidr::is_open) {
        out.push(Finding::new(
            Rule::OpenCidr,
            "spec.access.allowCidrs",
            "admits every address, which the policy forbids; list the client networks",
        ));
    }
}

fn backends(app: &ParsedApp, facts: &Facts<'_>, out: &mut Vec<Finding>) {
    let Some(services) = facts.services else { return };
    for (i, route) in app.routes.iter().enumerate() {
        for (j, backend) in route.backends.iter().enumerate() {
            let at = format!("spec.routes[{i}].backends[{j}]");
            reached(services, (&backend.service, backend.port), &at, "its share answers 503", out);
        }
        if let Some(auth) = &route.auth {
            let at = format!("spec.routes[{i}].externalAuth");
            reached(services, (&auth.service, auth.port), &at, "the route answers 503", out);
        }
    }
}

/// Whether a Service is one whose pods the edge can reach.
fn reached(
    services: &BTreeMap<String, std::sync::Arc<ServiceFacts>>,
    (name, port): (&Label, Port),
    at: &str,
    meanwhile: &str,
    out: &mut Vec<Finding>,
) {
    let mut tell = |field: &str, message| out.push(Finding::new(Rule::Backend, format!("{at}.{field}"), message));
    match services.get(name.as_str()) {
        None => tell("service", format!("\"{name}\" does not exist in this namespace; {meanwhile} until it does")),
        Some(service) if service.external_name => {
            let message = format!("\"{name}\" is an ExternalName; only Services with a selector are backends");
            tell("service", message);
        }
        Some(service) if service.selector.is_empty() => {
            let message = format!("\"{name}\" has no selector; only Services that select pods are backends");
            tell("service", message);
        }
        Some(service) if !service.ports.contains_key(&port.get()) => {
            let ports: Vec<String> = service.ports.keys().map(ToString::to_string).collect();
            let ports = listed(ports.iter().map(String::as_str));
            tell("port", format!("{} is no port of Service \"{name}\"; it has {ports}", port.get()));
        }
        Some(_) => {}
    }
}

/// Labels that mutation adds: the policies' defaults where the key is absent. Nothing else is ever changed.
#[must_use]
pub fn default_labels(labels: &BTreeMap<String, String>, rulebook: &Rulebook) -> BTreeMap<String, String> {
    rulebook
        .default_labels
        .iter()
        .filter(|(key, _)| !labels.contains_key(*key))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// What a finding that is only told says at admission; the rule's id stays whatever has to be cut.
#[must_use]
pub fn warning(finding: &Finding) -> Option<String> {
    if finding.rule.class() != Class::Reference && finding.enforcement != Enforcement::Warn {
        return None;
    }
    let whole = finding.to_string();
    if whole.chars().count() <= MAX_WARNING {
        return Some(whole);
    }
    let end = format!("... [{}]", finding.rule.id());
    let start: String = whole.chars().take(MAX_WARNING - end.chars().count()).collect();
    Some(start + &end)
}
