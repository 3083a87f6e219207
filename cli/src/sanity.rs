//! What the platform's own objects get wrong: nothing refuses it at admission, and it does not work.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use gatehouse_core::Wall;
use gatehouse_core::plan::ALLOWED_ATTRIBUTES;
use gatehouse_core::review::{Class, Rule, Rulebook};
use gatehouse_core::world::{LoadBalancerFacts, PolicyFacts};
use gatehouse_crds::keys;
use gatehouse_route::{Cidr, INTERNAL_PORT, Label, Seconds, Size};

use crate::facts::Objects;
use crate::report::Told;

/// Rules that a policy may name.
const GOVERNANCE: [Rule; 5] = [Rule::Labels, Rule::TlsMode, Rule::Limits, Rule::OpenCidr, Rule::RefusedKinds];

/// Judges SharedLoadBalancers and ExposurePolicies.
pub fn check(objects: &mut Objects, now: Wall) {
    let mut told: Vec<(usize, Vec<Told>)> = Vec::new();
    let mut balancers: Vec<(usize, &String, &Arc<LoadBalancerFacts>)> = objects
        .world
        .load_balancers
        .iter()
        .filter_map(|(name, lb)| Some((*objects.index.get(&("SharedLoadBalancer", name.clone()))?, name, lb)))
        .collect();
    balancers.sort_by_key(|(_, _, lb)| lb.meta.created);
    for (i, (subject, name, lb)) in balancers.iter().enumerate() {
        let mut out = load_balancer(name, lb);
        for (_, other, earlier) in &balancers[..i] {
            if lb.spec.default && earlier.spec.default {
                let message = format!("is true here and on {other}; mark one only");
                out.push(Told::fault("load-balancer", "spec.default", message));
            }
            if lb.spec.edge.port == earlier.spec.edge.port {
                let message = format!(
                    "is {}, as on {other}; an edge tells load balancers apart by port, so choose another",
                    lb.spec.edge.port
                );
                out.push(Told::fault("load-balancer", "spec.edge.port", message));
            }
        }
        told.push((*subject, out));
    }
    for (name, policy) in &objects.world.policies {
        if let Some(subject) = objects.index.get(&("ExposurePolicy", name.clone())) {
            told.push((*subject, self::policy(name, policy, objects, now)));
        }
    }
    for (subject, findings) in told {
        let have = &mut objects.subjects[subject].findings;
        have.retain(|old| old.rule != "schema" || !findings.iter().any(|new| new.field == old.field));
        have.extend(findings);
    }
}

fn load_balancer(name: &str, lb: &LoadBalancerFacts) -> Vec<Told> {
    let mut out = Vec::new();
    let mut fault = |field: String, message: String| out.push(Told::fault("load-balancer", field, message));
    let spec = &lb.spec;
    if let Err(e) = Label::parse(name) {
        fault("metadata.name".into(), e.to_string());
    }
    let zones: BTreeSet<&str> = spec.subnets.iter().map(|s| s.zone.as_str()).collect();
    if zones.len() < 2 {
        let listed: Vec<&str> = zones.iter().copied().collect();
        fault("spec.subnets".into(), format!("lie in {} ({}); an ALB needs two zones", zones.len(), listed.join(", ")));
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, subnet) in spec.subnets.iter().enumerate() {
        if let Some(first) = seen.insert(&subnet.zone, i) {
            let message = format!("{:?} is the zone of subnets[{first}] too; an ALB takes one per zone", subnet.zone);
            fault(format!("spec.subnets[{i}].zone"), message);
        }
        for (j, text) in subnet.cidrs.iter().enumerate() {
            if let Err(e) = Cidr::parse(text) {
                fault(format!("spec.subnets[{i}].cidrs[{j}]"), e.to_string());
            }
        }
    }
    for (key, value) in &spec.attributes {
        if !ALLOWED_ATTRIBUTES.contains(&key.as_str()) {
            let message = format!("{value:?} is not applied; allowed: {}", ALLOWED_ATTRIBUTES.join(", "));
            fault(format!("spec.attributes[{key}]"), message);
        }
    }
    if let Some(text) = &spec.edge.resolver
        && text.parse::<IpAddr>().is_err()
    {
        fault("spec.edge.resolver".into(), format!("{text:?} is no address; give the cluster DNS such as 172.20.0.10"));
    }
    let own = [INTERNAL_PORT, keys::ADMIN_PORT, keys::METRICS_PORT];
    if own.iter().any(|port| i32::from(*port) == spec.edge.port) {
        let message = format!("{} is used inside the edge; choose another than {own:?}", spec.edge.port);
        fault("spec.edge.port".into(), message);
    }
    if let Err(e) = Size::parse(&spec.edge.max_body_size) {
        fault("spec.edge.maxBodySize".into(), e.to_string());
    }
    for (field, text) in [
        ("spec.edge.maxTimeout", &spec.edge.max_timeout),
        ("spec.limits.inferredDeletions.after", &spec.limits.inferred_deletions.after),
    ] {
        if let Err(e) = Seconds::parse(text) {
            fault(field.into(), e.to_string());
        }
    }
    out
}

fn policy(name: &str, facts: &PolicyFacts, objects: &Objects, now: Wall) -> Vec<Told> {
    let mut out = Vec::new();
    let spec = &facts.spec;
    let which = &spec.namespaces;
    let given = usize::from(!which.names.is_empty()) + usize::from(which.selector.is_some()) + usize::from(which.all);
    if given != 1 {
        out.push(Told::fault("policy", "spec.namespaces", "give exactly one of names, selector, all: true"));
    }
    if let Some(selector) = &which.selector {
        for key in selector.match_labels.keys().filter(|k| !k.starts_with(keys::GRANT_PREFIX)) {
            let message = format!("must start with {}: other labels can be set by tenants", keys::GRANT_PREFIX);
            out.push(Told::fault("policy", format!("spec.namespaces.selector.matchLabels[{key}]"), message));
        }
    }
    // The rulebook says what it cannot read; asked for every namespace, so that the match does not matter.
    let mut everywhere = facts.clone();
    everywhere.spec.namespaces = gatehouse_crds::NamespaceMatch { all: true, ..Default::default() };
    let book = Rulebook::collect(&BTreeMap::from([(name.to_owned(), Arc::new(everywhere))]), "", &BTreeMap::new());
    for text in book.unreadable {
        let text = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text);
        let (field, message) = text.split_once(": ").unwrap_or(("grants", text));
        out.push(Told::fault("policy", format!("spec.{field}"), format!("{message} (it grants nothing)")));
    }
    for (i, required) in spec.rules.labels.iter().enumerate() {
        if let Some(pattern) = &required.pattern
            && let Err(e) = regex_lite::Regex::new(&format!("^(?:{pattern})$"))
        {
            let message = format!("{pattern:?} is no regular expression: {e}");
            out.push(Told::fault("policy", format!("spec.rules.labels[{i}].pattern"), message));
        }
    }
    let known = |id: &str| GOVERNANCE.iter().any(|rule| rule.id() == id && rule.class() == Class::Governance);
    let ids = GOVERNANCE.map(Rule::id).join(", ");
    for rule in spec.rules.enforcement.keys().filter(|id| *id != "default" && !known(id)) {
        let message = format!("names no governance rule and changes nothing; known: default, {ids}");
        out.push(Told::warning("policy", format!("spec.rules.enforcement[{rule}]"), message));
    }
    let today = now.day();
    for (i, exception) in spec.exceptions.iter().enumerate() {
        if !known(&exception.rule) {
            let message = format!("{:?} is no governance rule, and only those have exceptions: {ids}", exception.rule);
            out.push(Told::warning("policy", format!("spec.exceptions[{i}].rule"), message));
        }
        if exception.until < today {
            let message = format!(
                "{:?} is past: the exception of {} {}/{} from {} has expired; renew or remove it",
                exception.until, exception.kind, exception.namespace, exception.name, exception.rule
            );
            out.push(Told::warning("exception-expired", format!("spec.exceptions[{i}].until"), message));
        }
    }
    if !objects.world.load_balancers.is_empty() {
        for (i, lb) in spec.load_balancers.iter().enumerate() {
            if !objects.world.load_balancers.contains_key(lb) {
                let message = format!("{lb:?} is no SharedLoadBalancer of these files");
                out.push(Told::warning("policy", format!("spec.loadBalancers[{i}]"), message));
            }
        }
    }
    out
}
