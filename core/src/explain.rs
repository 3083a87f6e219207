//! What a tenant is not told: which host and namespace a reference speaks of, and who or what stands in the way.
//!
//! A refusal carries an opaque reference ([`refusal_id`]) so that a tenant cannot probe who holds what. The platform
//! team, who may read claims and policies, turns it back here; on a live cluster and on files alike.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::ClaimState;
use gatehouse_route::Host;
use serde::Serialize;

use crate::claims::blocked_by;
use crate::identity::{AppKey, claim_name};
use crate::review::{Rulebook, refusal_id};
use crate::time::Wall;
use crate::world::{ClaimFacts, World};

/// Everything there is to say about one host and one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The reference that tenants read.
    pub reference: String,
    /// The host.
    pub host: String,
    /// The namespace that asks for it.
    pub namespace: String,
    /// Whether that namespace exists.
    pub namespace_exists: bool,
    /// Its apps that name the host.
    pub apps: Vec<String>,
    /// Policies that speak to the namespace.
    pub policies: Vec<String>,
    /// Those of them that grant it the host.
    pub granted_by: Vec<String>,
    /// Its own claim of the host, if it has one.
    pub own: Option<ClaimState>,
    /// The claim that stands in the way.
    pub blocked_by: Option<Blocking>,
    /// What became of it.
    pub verdict: Verdict,
    /// What the platform team can do, the best first.
    pub cures: Vec<Cure>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The namespace holds it: nothing stands in the way.
    Held,
    /// Nothing stands in the way; it gets the host when it asks.
    Free,
    /// No policy grants it, whoever holds it.
    NotGranted,
    /// It is granted, and another claim stands in the way.
    Taken,
}

/// A claim that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocking {
    /// Object name of the claim.
    pub claim: String,
    /// Its host: the same, or a wildcard that overlaps.
    pub host: String,
    /// Who holds it.
    pub namespace: String,
    /// Whether that namespace is gone, or was made anew under its name: then nobody in the cluster can give it back.
    pub namespace_gone: bool,
    /// Pending, Held or Released.
    pub state: ClaimState,
    /// Apps that use it.
    pub apps: Vec<String>,
    /// Shards by load balancer.
    pub placement: BTreeMap<String, i32>,
    /// Since when the claim exists, RFC 3339.
    pub since: String,
    /// Of a released one: until when it is kept from others, RFC 3339.
    pub kept_until: Option<String>,
    /// To whom the platform is transferring it already.
    pub transfer_to: Option<String>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cure {
    /// In words.
    pub what: String,
    /// The command, where one does it.
    pub command: Option<String>,
}

impl Cure {
    fn word(what: impl Into<String>) -> Cure {
        Cure { what: what.into(), command: None }
    }

    fn command(what: impl Into<String>, command: String) -> Cure {
        Cure { what: what.into(), command: Some(command) }
    }
}

/// The host and namespace that a reference speaks of. The reference is a hash, so what exists is tried: first what
/// apps ask for, then every host that anybody asks for, holds or is granted by name, for every namespace.
#[must_use]
pub fn find(world: &World, reference: &str) -> Option<(Host, String)> {
    let fits = |host: &Host, namespace: &str| refusal_id(host, namespace) == reference;
    let asked = world.apps.iter().flat_map(|(key, app)| {
        app.spec.hosts.iter().filter_map(|h| Host::parse(h).ok()).map(|host| (host, key.namespace.as_str()))
    });
    if let Some((host, namespace)) = asked.into_iter().find(|(host, namespace)| fits(host, namespace)) {
        return Some((host, namespace.to_owned()));
    }
    // What admission refused was never stored; its host may still be somebody's.
    let mut hosts: BTreeSet<Host> = Rulebook::collect_all(&world.policies).hosts;
    hosts.extend(world.apps.values().flat_map(|a| &a.spec.hosts).filter_map(|h| Host::parse(h).ok()));
    hosts.extend(world.claims.values().filter_map(|c| Host::parse(&c.spec.host).ok()));
    hosts.into_iter().find_map(|host| {
        let namespace = world.namespaces.keys().find(|namespace| fits(&host, namespace))?.clone();
        Some((host, namespace))
    })
}

/// Explains. `release_grace` is the operator's `--release-grace` in seconds.
#[must_use]
pub fn explain(world: &World, host: &Host, namespace: &str, release_grace: u64) -> Explanation {
    let text = host.as_text();
    let named = |(_, app): &(&AppKey, &std::sync::Arc<crate::world::AppFacts>)| {
        app.spec.hosts.iter().any(|h| Host::parse(h).is_ok_and(|h| h == *host))
    };
    let apps: Vec<String> = World::within(&world.apps, namespace).filter(named).map(|(k, _)| k.name.clone()).collect();
    let book = rulebook(world, namespace);
    let granted_by: Vec<String> = book
        .policies
        .iter()
        .filter(|name| {
            let one = world.policies.get_key_value(*name).map(|(k, v)| (k.clone(), v.clone()));
            Rulebook::collect_all(&one.into_iter().collect()).grants(host)
        })
        .cloned()
        .collect();
    let uid = world.namespaces.get(namespace).map(|n| &n.meta.uid);
    let own = world
        .claims
        .get(&claim_name(host))
        .filter(|c| c.spec.namespace == namespace && Some(&c.spec.namespace_uid) == uid)
        .map(|c| c.status.state);
    let lists = |namespace: &str, host: &Host| rulebook(world, namespace).lists(host);
    let blocked_by = blocked_by(world, host, namespace, &lists).map(|claim| blocking(world, claim, release_grace));
    let verdict = match (&blocked_by, granted_by.is_empty(), own) {
        (_, true, _) => Verdict::NotGranted,
        (Some(_), false, _) => Verdict::Taken,
        (None, false, Some(ClaimState::Held)) => Verdict::Held,
        (None, false, _) => Verdict::Free,
    };
    let cures = cures(host, namespace, &book, verdict, blocked_by.as_ref());
    Explanation {
        reference: refusal_id(host, namespace),
        host: text,
        namespace: namespace.to_owned(),
        namespace_exists: uid.is_some(),
        apps,
        policies: book.policies,
        granted_by,
        own,
        blocked_by,
        verdict,
        cures,
    }
}

fn rulebook(world: &World, namespace: &str) -> Rulebook {
    let empty = BTreeMap::new();
    let labels = world.namespaces.get(namespace).map_or(&empty, |n| &n.labels);
    Rulebook::collect(&world.policies, namespace, labels)
}

fn blocking(world: &World, claim: &ClaimFacts, release_grace: u64) -> Blocking {
    let holder = world.namespaces.get(&claim.spec.namespace);
    let released = claim.status.released_at.as_deref().and_then(Wall::parse);
    Blocking {
        claim: Host::parse(&claim.spec.host).map(|h| claim_name(&h)).unwrap_or_default(),
        host: claim.spec.host.clone(),
        namespace: claim.spec.namespace.clone(),
        namespace_gone: holder.is_none_or(|n| n.meta.uid != claim.spec.namespace_uid),
        state: claim.status.state,
        apps: claim.status.apps.clone(),
        placement: claim.status.placement.iter().map(|(name, p)| (name.clone(), p.shard)).collect(),
        since: claim.meta.created.rfc3339(),
        kept_until: released
            .filter(|_| claim.status.state == ClaimState::Released)
            .map(|at| at.plus(release_grace).rfc3339()),
        transfer_to: claim.status.transfer_to.clone(),
    }
}

fn cures(host: &Host, namespace: &str, book: &Rulebook, verdict: Verdict, blocking: Option<&Blocking>) -> Vec<Cure> {
    let mut out = Vec::new();
    match verdict {
        Verdict::Held => out.push(Cure::word(format!("nothing: {namespace} holds {host}"))),
        Verdict::Free => out.push(Cure::word(format!(
            "nothing: {namespace} gets {host} when its app is applied, or by itself if the app is there"
        ))),
        Verdict::NotGranted => {
            let whose = match &book.policies[..] {
                [] => "make an ExposurePolicy that speaks to it".to_owned(),
                names => format!("add it to spec.grants[].hosts of {}, or of a policy of its own", names.join(" or ")),
            };
            out.push(Cure::word(format!("grant {host} to {namespace}: {whose}; or let the tenant take another host")));
        }
        Verdict::Taken => {}
    }
    let Some(blocking) = blocking else { return out };
    if blocking.transfer_to.as_deref() == Some(namespace) {
        out.push(Cure::word(format!("wait: {} is on its way to {namespace} already", blocking.host)));
        return out;
    }
    let after = if verdict == Verdict::NotGranted { "then " } else { "" };
    if blocking.host != host.as_text() {
        // Wildcard against exact: whoever is listed by name may stand beside the wildcard.
        let (listed, whose) = if host.is_wildcard() {
            (blocking.host.as_str(), blocking.namespace.as_str())
        } else {
            (&*host.as_text(), namespace)
        };
        out.push(Cure::word(format!(
            "{after}let both stand: name {listed} in spec.grants[].hosts of a policy for {whose}; an exact host that a grant lists may stand beside a stranger's wildcard"
        )));
        return out;
    }
    if let Some(until) = &blocking.kept_until {
        out.push(Cure::word(format!(
            "{after}wait: {} let it go, and from {until} on anybody may take it",
            blocking.namespace
        )));
    }
    if blocking.state == ClaimState::Pending {
        out.push(Cure::word(format!(
            "{after}look at {}: its claim is older and not confirmed yet; it holds the host as soon as it is",
            blocking.namespace
        )));
    } else {
        let how = match (blocking.state, blocking.namespace_gone) {
            (ClaimState::Released, _) => "at once, without the wait",
            (_, true) => "its holder is gone, so nobody else can",
            _ => "if its holder agrees: names go first, then the rule",
        };
        out.push(Cure::command(
            format!("{after}give {host} to {namespace}, {how}"),
            format!("gatehouse claims transfer {host} --to {namespace}"),
        ));
    }
    out
}

#[cfg(test)]
mod tests;
