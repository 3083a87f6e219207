use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_crds::{Enforcement, Exception, LabelRequirement, NamespaceMatch, Refusable, RuleLimits, TlsMode};
use gatehouse_route::Host;

use super::Rule;
use crate::time::Wall;
use crate::world::PolicyFacts;

/// What all policies together say to one namespace: grants add up, of governance the strictest wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rulebook {
    /// The policies it was made from, for messages.
    pub policies: Vec<String>,
    /// Exactly these hosts.
    pub hosts: BTreeSet<Host>,
    /// Every name below these.
    pub domains: BTreeSet<Host>,
    /// Certificates that `tls.mode: Arn` may name.
    pub certificates: BTreeSet<String>,
    /// Load balancers.
    pub load_balancers: BTreeSet<String>,
    /// Labels.
    pub labels: Vec<LabelRequirement>,
    /// Allowed certificate sources; `None` allows all.
    pub tls_modes: Option<BTreeSet<TlsMode>>,
    /// Counts.
    pub limits: RuleLimits,
    /// Whether the whole internet may be named.
    pub open_cidr: bool,
    /// Refused kinds.
    pub refuse: BTreeSet<Refusable>,
    /// Enforcement by rule id; the strictest of all.
    pub enforcement: BTreeMap<String, Enforcement>,
    /// Exceptions.
    pub exceptions: Vec<Exception>,
    /// Wildcards that are kept ready for this namespace, with the load balancer of each.
    pub prewired: BTreeMap<Host, String>,
    /// Labels that mutation adds.
    pub default_labels: BTreeMap<String, String>,
    /// Grants that could not be read, each with its policy: they grant nothing.
    pub unreadable: Vec<String>,
}

impl Rulebook {
    /// Collects what the policies say to a namespace with these labels. An unreadable grant grants nothing.
    #[must_use]
    pub fn collect(
        policies: &BTreeMap<String, Arc<PolicyFacts>>,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let mut book = Rulebook { open_cidr: true, ..Rulebook::default() };
        for (name, policy) in policies {
            if policy.meta.deleting || !matches(&policy.spec.namespaces, namespace, labels) {
                continue;
            }
            book.policies.push(name.clone());
            book.add(name, policy);
            for prewire in policy.spec.prewire.iter().filter(|p| p.namespace == namespace) {
                if let Ok(wildcard) = Host::parse(&format!("*.{}", prewire.domain)) {
                    book.prewired.entry(wildcard).or_insert_with(|| prewire.load_balancer.clone());
                }
            }
        }
        // Nothing is kept ready that the namespace may not use.
        let mut prewired = std::mem::take(&mut book.prewired);
        prewired.retain(|host, lb| book.grants(host) && book.load_balancers.contains(lb));
        book.prewired = prewired;
        book
    }

    /// Collects the policies whatever namespaces they speak of: to find what in them cannot be read.
    #[must_use]
    pub fn collect_all(policies: &BTreeMap<String, Arc<PolicyFacts>>) -> Self {
        let mut book = Rulebook { open_cidr: true, ..Rulebook::default() };
        for (name, policy) in policies {
            book.add(name, policy);
        }
        book
    }

    fn add(&mut self, name: &str, policy: &PolicyFacts) {
        for (i, grant) in policy.spec.grants.iter().enumerate() {
            for (field, texts, into) in
                [("hosts", &grant.hosts, &mut self.hosts), ("domains", &grant.domains, &mut self.domains)]
            {
                for text in texts {
                    match Host::parse(text) {
                        Ok(host) if field == "hosts" || !host.is_wildcard() => {
                            into.insert(host);
                        }
                        Ok(_) => self.unreadable.push(format!(
                            "{name}: grants[{i}].domains: {text:?} has '*'; a domain covers every name below it"
                        )),
                        Err(e) => self.unreadable.push(format!("{name}: grants[{i}].{field}: {e}")),
                    }
                }
            }
            self.certificates.extend(grant.certificates.iter().cloned());
        }
        self.load_balancers.extend(policy.spec.load_balancers.iter().cloned());
        let rules = &policy.spec.rules;
        for requirement in &rules.labels {
            if !self.labels.contains(requirement) {
                self.labels.push(requirement.clone());
            }
        }
        if let Some(tls) = &rules.tls {
            let modes: BTreeSet<TlsMode> = tls.modes.iter().copied().collect();
            self.tls_modes = Some(match self.tls_modes.take() {
                None => modes,
                Some(others) => others.intersection(&modes).copied().collect(),
            });
        }
        if let Some(l) = &rules.limits {
            let RuleLimits { apps, hosts, hosts_per_app, routes_per_app, rules, certificates, claims } = l;
            let mine = &mut self.limits;
            for (ours, theirs) in [
                (&mut mine.apps, apps),
                (&mut mine.hosts, hosts),
                (&mut mine.hosts_per_app, hosts_per_app),
                (&mut mine.routes_per_app, routes_per_app),
                (&mut mine.rules, rules),
                (&mut mine.certificates, certificates),
                (&mut mine.claims, claims),
            ] {
                *ours = match (*ours, *theirs) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
        }
        self.open_cidr &= rules.allow_open_cidr.unwrap_or(true);
        self.refuse.extend(rules.refuse.iter().copied());
        for (rule, enforcement) in &rules.enforcement {
            let entry = self.enforcement.entry(rule.clone()).or_insert(*enforcement);
            *entry = (*entry).max(*enforcement);
        }
        self.exceptions.extend(policy.spec.exceptions.iter().cloned());
        for (key, value) in &policy.spec.defaults.labels {
            self.default_labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Whether the namespace may use the host. A domain covers every name below it, not itself.
    #[must_use]
    pub fn grants(&self, host: &Host) -> bool {
        self.hosts.contains(host) || self.domains.iter().any(|domain| host.is_below(domain))
    }

    /// Whether the host itself is listed, which lets it stand beside another namespace's wildcard.
    #[must_use]
    pub fn lists(&self, host: &Host) -> bool {
        self.hosts.contains(host)
    }

    /// What a governance rule does to this object now: exceptions hold to the end of their last day.
    #[must_use]
    pub fn enforcement(&self, rule: Rule, kind: &str, namespace: &str, name: &str, now: Wall) -> Enforcement {
        let today = now.day();
        let excepted = self.exceptions.iter().any(|e| {
            e.kind == kind && e.namespace == namespace && e.name == name && e.rule == rule.id() && e.until >= today
        });
        if excepted {
            return Enforcement::Audit;
        }
        let by_default = self.enforcement.get("default").copied().unwrap_or(Enforcement::Enforce);
        self.enforcement.get(rule.id()).copied().unwrap_or(by_default)
    }
}

/// Whether a policy speaks to a namespace. An empty match speaks to nobody.
#[must_use]
pub fn matches(which: &NamespaceMatch, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    which.all
        || which.names.iter().any(|name| name == namespace)
        || which.selector.as_ref().is_some_and(|selector| {
            !selector.match_labels.is_empty()
                && selector.match_labels.iter().all(|(key, value)| {
                    key.starts_with(gatehouse_crds::keys::GRANT_PREFIX) && labels.get(key) == Some(value)
                })
        })
}
