//! What an app is told: conditions, hosts, and its finalizer. Written only on change.

use std::collections::BTreeSet;
use std::sync::Arc;

use gatehouse_crds::{Condition, ConditionStatus, ExposedAppStatus, HostStatus, NetworkPolicyMode, keys};
use gatehouse_route::Host;

use crate::aws::ProtocolVersion;
use crate::desired::HostDesired;
use crate::identity::{AppKey, ShardKey, claim_name};
use crate::reason::Reason;
use crate::review::{AppReview, Class, Finding, Rule};
use crate::world::{AppFacts, ChildKind, ClaimFacts, World};

use super::condition::{Judged, condition, no, stalled, summary, yes, yes_but};
use super::group::Way;
use super::owner::Owner;
use super::{Draft, KubeWrite, PartKey, View, to_json};

pub(super) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    let regions: BTreeSet<&String> = view
        .desired
        .get(namespace)
        .into_iter()
        .flat_map(|d| d.shards.keys())
        .filter_map(|shard| view.world.load_balancers.get(&shard.load_balancer))
        .map(|lb| &lb.spec.region)
        .collect();
    for region in regions {
        super::certificate::wake_for_expiry(draft, region);
    }
    for (key, app) in World::within(&view.world.apps, namespace) {
        finalizer(draft, key, app);
        if app.meta.deleting {
            continue;
        }
        let Some(review) = view.reviews.get(namespace).and_then(|r| r.apps.get(&key.name)) else { continue };
        let status = app_status(draft, key, app, review);
        if status != app.status {
            let event = event(&app.status.conditions, &status.conditions);
            let write =
                KubeWrite::AppStatus { app: key.clone(), uid: app.meta.uid.clone(), status: to_json(&status), event };
            draft.kube(format!("status of {key}"), write);
        }
    }
}

/// The event of a change: that `Ready` is another, or else that a certificate has come near its end.
fn event(before: &[Condition], after: &[Condition]) -> Option<(String, String, String)> {
    let of = |all: &[Condition], type_: &str| {
        all.iter().find(|c| c.type_ == type_).map(|c| (c.status, c.reason.clone(), c.message.clone()))
    };
    let said = |all: &[Condition], type_: &str| of(all, type_).map(|(status, reason, _)| (status, reason));
    if said(before, "Ready") != said(after, "Ready") {
        let (status, reason, message) = of(after, "Ready")?;
        let kind = if status == ConditionStatus::True || reason == "Pending" { "Normal" } else { "Warning" };
        let message = if message.is_empty() { "published".to_owned() } else { message };
        return Some((kind.to_owned(), reason, message));
    }
    let (_, reason, message) = of(after, "CertificateReady")?;
    let ending = reason == "ExpiresSoon" && of(before, "CertificateReady").is_none_or(|(_, old, _)| old != reason);
    ending.then(|| ("Warning".to_owned(), reason, message))
}

/// Hosts that the app has, had or may still have something for.
fn hosts_of(app: &AppFacts) -> impl Iterator<Item = Host> {
    app.spec.hosts.iter().chain(app.status.hosts.iter().map(|h| &h.host)).filter_map(|h| Host::parse(h).ok())
}

/// The finalizer is put on before anything is made for the app, and taken off when its part of AWS is gone.
fn finalizer(draft: &mut Draft<'_>, key: &AppKey, app: &AppFacts) {
    let view = draft.view;
    let uid = view.world.namespaces.get(&key.namespace).map(|n| &n.meta.uid);
    let ours = |c: &&Arc<ClaimFacts>| c.spec.namespace == key.namespace && Some(&c.spec.namespace_uid) == uid;
    let claims = |host: &Host| view.world.claims.get(&claim_name(host)).filter(ours);
    let write = |finalizers: Vec<String>| KubeWrite::AppFinalizers {
        app: key.clone(),
        resource_version: app.meta.resource_version,
        finalizers,
    };
    if !app.meta.deleting {
        let used = hosts_of(app).any(|h| claims(&h).is_some_and(|c| c.status.admitted.contains_key(&key.name)));
        if used && !app.meta.finalizer {
            let mut all = app.meta.finalizers.clone();
            all.push(keys::FINALIZER.to_owned());
            draft.kube(format!("finalizer of {key}"), write(all));
        }
        return;
    }
    if !app.meta.finalizer {
        return;
    }
    for host in hosts_of(app) {
        let Some(claim) = claims(&host) else { continue };
        if claim.status.admitted.contains_key(&key.name) {
            draft.wait(format!("{host} to be taken from {key}"));
            return;
        }
        if !claim.status.admitted.is_empty() {
            continue;
        }
        for (lb, placement) in &claim.status.placement {
            if !view.world.load_balancers.contains_key(lb) {
                continue;
            }
            for shard in super::shards(lb, placement) {
                if !super::claims::off_shard(&view, &key.namespace, &host, &shard)
                    || !super::record::gone(&view, &host, lb)
                {
                    draft.wait(format!("{host} to leave {shard}"));
                    return;
                }
            }
        }
    }
    let rest = app.meta.finalizers.iter().filter(|f| *f != keys::FINALIZER).cloned().collect();
    draft.kube(format!("finalizer of {key}"), write(rest));
}

fn app_status(draft: &Draft<'_>, key: &AppKey, app: &AppFacts, review: &AppReview) -> ExposedAppStatus {
    let view = &draft.view;
    let judged = judge(draft, key, app, review);
    let generation = app.meta.generation;
    let before = &app.status.conditions;
    let mut conditions: Vec<Condition> =
        judged.into_iter().map(|j| condition(before, j, generation, view.now.wall)).collect();
    let (status, reason, message) = summary(&conditions);
    conditions.push(condition(before, ("Ready", status, reason, message), generation, view.now.wall));
    conditions.extend(stalled(before, &conditions, "ExposedApp", generation, view.now.wall));
    ExposedAppStatus { observed_generation: Some(generation), conditions, hosts: host_statuses(view, key, app) }
}

fn join(findings: &[&Finding]) -> String {
    findings.iter().map(|f| format!("{}: {}", f.field, f.message)).collect::<Vec<_>>().join("; ")
}

fn judge(draft: &Draft<'_>, key: &AppKey, app: &AppFacts, review: &AppReview) -> Vec<Judged> {
    let view = &draft.view;
    let desired = view.desired.get(&key.namespace);
    let hosts: Vec<Host> = app.spec.hosts.iter().filter_map(|h| Host::parse(h).ok()).collect();
    let mine = |h: &&Host| desired.and_then(|d| d.hosts.get(*h)).is_some_and(|d| d.apps.contains(&key.name));
    let served: Vec<&Host> = hosts.iter().filter(mine).collect();
    vec![
        accepted(view, key, app, review, &served, &hosts),
        references(desired.and_then(|d| d.notes.get(&key.name)), review),
        super::certificate::judge(view, &key.namespace, &places(view, key, &served)),
        programmed(draft, key, app, &served),
        dns(view, key, &served),
        policies(view, key, app),
    ]
}

fn accepted(
    view: &View<'_>,
    key: &AppKey,
    app: &AppFacts,
    review: &AppReview,
    served: &[&Host],
    hosts: &[Host],
) -> Judged {
    let refusing: Vec<&Finding> = review.findings.iter().filter(|f| f.refuses()).collect();
    if let Some(first) = refusing.first() {
        let still = if served.is_empty() {
            ""
        } else if first.rule.class() == Class::Governance {
            " (served as last admitted)"
        } else {
            " (served until the revocation grace ends)"
        };
        return no("Accepted", first.rule.reason(), format!("{}{still}", join(&refusing)));
    }
    let admitted = |h: &Host| {
        view.world
            .claims
            .get(&claim_name(h))
            .and_then(|c| c.status.admitted.get(&key.name))
            .is_some_and(|a| a.generation == app.meta.generation)
    };
    let homeless = |h: &&&Host| {
        let claim = view.world.claims.get(&claim_name(h));
        claim.is_some_and(|c| c.status.admitted.contains_key(&key.name) && c.status.placement.is_empty())
    };
    if let Some(host) = served.iter().find(homeless) {
        return no(
            "Accepted",
            Reason::NoShardWithRoom,
            format!(
                "{host} has no place: every shard is full; the platform team must raise spec.limits.shards or the account's quotas"
            ),
        );
    }
    match hosts.iter().find(|h| !served.contains(h) || !admitted(h)) {
        Some(waiting) => no("Accepted", Reason::ClaimPending, format!("{waiting} is being claimed")),
        None => yes("Accepted", Reason::Accepted),
    }
}

fn references(notes: Option<&Vec<Finding>>, review: &AppReview) -> Judged {
    let missing: Vec<&Finding> = review.findings.iter().filter(|f| f.rule == Rule::Backend).collect();
    if !missing.is_empty() {
        return no("ResolvedRefs", Rule::Backend.reason(), join(&missing));
    }
    if let Some(notes) = notes {
        let notes: Vec<&Finding> = notes.iter().collect();
        return yes_but("ResolvedRefs", Rule::RouteConflict.reason(), join(&notes));
    }
    yes("ResolvedRefs", Reason::ResolvedRefs)
}

/// A host where it should stand.
pub(super) struct Place<'a> {
    /// What carries a host is judged in its stead.
    pub(super) host: Host,
    pub(super) shard: ShardKey,
    pub(super) wanted: &'a HostDesired,
    /// The host's own, whatever carries it.
    protocols: &'static [ProtocolVersion],
}

/// Hosts with every place where they should stand.
fn places<'a>(view: &View<'a>, key: &AppKey, served: &[&Host]) -> Vec<Place<'a>> {
    let Some(desired) = view.desired.get(&key.namespace) else { return Vec::new() };
    let mut out = Vec::new();
    for host in served {
        let Some(wanted) = desired.hosts.get(*host) else { continue };
        for (lb, index) in &wanted.placement {
            let shard = ShardKey { load_balancer: lb.clone(), index: *index };
            let protocols = wanted.protocols();
            let carrier = wanted.carriers.get(lb).and_then(|w| Some((w.clone(), desired.hosts.get(w)?)));
            let (host, wanted) = carrier.unwrap_or_else(|| ((*host).clone(), wanted));
            out.push(Place { host, shard, wanted, protocols });
        }
    }
    out
}

fn programmed(draft: &Draft<'_>, key: &AppKey, app: &AppFacts, served: &[&Host]) -> Judged {
    const TYPE: &str = "Programmed";
    let view = &draft.view;
    let places = places(view, key, served);
    if places.is_empty() {
        return no(TYPE, Reason::Pending, "waits for the host to be claimed");
    }
    for Place { host, shard, protocols, .. } in &places {
        if let Some(protocol) = super::record::unserved(view, &key.namespace, host, protocols, shard) {
            if let Some((_, refusal)) = refusal_of(view, &key.namespace, shard) {
                let reason = match refusal.class {
                    crate::aws::RefusalClass::Denied => Reason::Denied,
                    crate::aws::RefusalClass::Quota => Reason::QuotaExceeded,
                    _ => Reason::AwsRefused,
                };
                return no(TYPE, reason, refusal.message.clone());
            }
            if !draft.part.held.is_empty() {
                return no(TYPE, Reason::Held, draft.part.held.join("; "));
            }
            let way = Way { shard, namespace: &key.namespace, protocol };
            return no(TYPE, Reason::RulePending, format!("the rule for {host} is not in the data plane of {way} yet"));
        }
        let mut ways = protocols.iter().map(|protocol| Way { shard, namespace: &key.namespace, protocol: *protocol });
        if let Some(way) = ways.find(|way| !way.healthy(view)) {
            return no(TYPE, Reason::NoHealthyTarget, format!("no edge pod of {} is healthy on {way}", key.namespace));
        }
    }
    let current = served.iter().all(|h| {
        view.world
            .claims
            .get(&claim_name(h))
            .and_then(|c| c.status.admitted.get(&key.name))
            .is_some_and(|a| a.generation == app.meta.generation)
    });
    if !current {
        return no(TYPE, Reason::Frozen, "the edge serves what was last admitted");
    }
    if !super::edge::table_served(view, &key.namespace) {
        return no(TYPE, Reason::TablePending, "not every edge pod reports the current routes yet");
    }
    yes(TYPE, Reason::Programmed)
}

/// The last refusal that stands in the way of a namespace on a shard.
fn refusal_of<'a>(
    view: &View<'a>,
    namespace: &str,
    shard: &ShardKey,
) -> Option<(&'a super::StepKey, &'a crate::aws::Refusal)> {
    view.memory.refusals.iter().find(|(step, refusal)| {
        let ours = step.part == PartKey::Namespace(namespace.to_owned()) || step.part == PartKey::Shard(shard.clone());
        // What ACM or a listener says of certificates is told by CertificateReady, to those whom it concerns.
        let certificate = super::certificate::STEPS.iter().any(|prefix| step.what.starts_with(prefix));
        ours && !certificate
            && !matches!(refusal.class, crate::aws::RefusalClass::Throttled | crate::aws::RefusalClass::Stale)
    })
}

fn dns(view: &View<'_>, key: &AppKey, served: &[&Host]) -> Judged {
    const TYPE: &str = "DNSReady";
    let places = places(view, key, served);
    if places.is_empty() {
        return no(TYPE, Reason::Pending, "waits for the host to be claimed");
    }
    if let Some(shadowed) = shadowed(view, key, served) {
        return shadowed;
    }
    let mut handed_over = Vec::new();
    for Place { host, shard, wanted, .. } in places {
        let Some(zones) = super::zones_for(view, &host, &shard.load_balancer) else {
            return no(TYPE, Reason::Pending, "hosted zones are being listed");
        };
        if zones.is_empty() {
            return no(
                TYPE,
                Reason::NoHostedZone,
                format!(
                    "no hosted zone holds {host}; create one or name it in spec.dns.zones of {}",
                    shard.load_balancer
                ),
            );
        }
        for zone in zones {
            let lb = view.world.load_balancers.get(&shard.load_balancer);
            if let (Some(records), Some(lb)) = (view.observed.records_of(&zone, &host), lb) {
                match super::owner::owner(view, &zone, &host, lb, &records) {
                    Owner::Stranger(_) if super::owner::adoptable(lb, &records).is_none() => {
                        return no(
                            TYPE,
                            Reason::DNSConflict,
                            format!(
                                "{host} already has a record that is not ours; remove it or let its owner hand over"
                            ),
                        );
                    }
                    Owner::HandedOver(_) => {
                        handed_over.push(host.as_text());
                        continue;
                    }
                    _ => {}
                }
            }
            match super::record::published(view, &host, &zone) {
                Some(true) => {}
                Some(false) => {
                    return no(TYPE, Reason::Propagating, format!("{host} is on its way to all name servers"));
                }
                None => {
                    if let Some(full) = super::record::no_room(view, &zone, super::record::RECORDS) {
                        return no(TYPE, Reason::QuotaExceeded, format!("{host} gets no record: {full}"));
                    }
                    let missing = super::record::missing(view, &key.namespace, &host, wanted, &shard);
                    let what =
                        if missing.is_empty() { "the record to be written".to_owned() } else { missing.join(", ") };
                    return no(TYPE, Reason::Pending, format!("{host} waits for {what}"));
                }
            }
        }
    }
    if !handed_over.is_empty() {
        let message = format!("{}: records belong to another owner now and are left alone", handed_over.join(", "));
        return yes_but(TYPE, Reason::HandedOver, message);
    }
    yes(TYPE, Reason::Published)
}

/// A carried host that some name below has taken out of DNS, until it has a record of its own.
fn shadowed(view: &View<'_>, key: &AppKey, served: &[&Host]) -> Option<Judged> {
    let desired = view.desired.get(&key.namespace)?;
    for host in served {
        for lb in desired.hosts.get(*host)?.carriers.keys() {
            for zone in super::zones_for(view, host, lb)? {
                let alone = super::record::published(view, host, &zone) != Some(true);
                if alone && super::prewire::shadowed(view, &key.namespace, host, &zone) {
                    let message = format!(
                        "a name below {host} exists, so the wildcard does not answer for it; it gets a record of its own"
                    );
                    return Some(no("DNSReady", Reason::DNSShadowed, message));
                }
            }
        }
    }
    None
}

fn policies(view: &View<'_>, key: &AppKey, app: &AppFacts) -> Judged {
    const TYPE: &str = "NetworkPolicyApplied";
    let mode = app.spec.network_policy.as_ref().map(|p| p.mode).unwrap_or_default();
    if mode == NetworkPolicyMode::Off {
        return yes(TYPE, Reason::Off);
    }
    let Some(desired) = view.desired.get(&key.namespace) else {
        return no(TYPE, Reason::Pending, "waits for the host to be claimed");
    };
    let mut some = false;
    for (child, fragment) in desired.children.iter().filter(|(k, _)| k.kind == ChildKind::NetworkPolicy) {
        some = true;
        if view.world.children.get(child).and_then(|c| c.fragment.as_ref()) != Some(&fragment.hash) {
            return no(TYPE, Reason::Applying, format!("NetworkPolicy {} is being applied", child.name));
        }
    }
    if some { yes(TYPE, Reason::Applied) } else { no(TYPE, Reason::Pending, "waits for the host to be claimed") }
}

fn host_statuses(view: &View<'_>, key: &AppKey, app: &AppFacts) -> Vec<HostStatus> {
    let mut out = Vec::new();
    let Some(desired) = view.desired.get(&key.namespace) else { return out };
    for text in &app.spec.hosts {
        let Ok(host) = Host::parse(text) else { continue };
        let Some(wanted) = desired.hosts.get(&host).filter(|h| h.apps.contains(&key.name)) else { continue };
        for (lb, index) in &wanted.placement {
            let shard = ShardKey { load_balancer: lb.clone(), index: *index };
            let observed = view.observed.shards.get(&shard);
            let carrier = super::prewire::carrier(view, &key.namespace, &host, lb);
            let way = Way { shard: &shard, namespace: &key.namespace, protocol: ProtocolVersion::Http1 };
            let rule_arn = way.rules(view).and_then(|rules| {
                rules.into_iter().find(|(_, r)| r.hosts.contains(carrier)).map(|(arn, _)| arn.clone())
            });
            let published = super::zones_for(view, &host, lb)
                .unwrap_or_default()
                .iter()
                .any(|z| super::record::published(view, carrier, z).is_some());
            let address =
                observed.and_then(|s| s.load_balancer.last()).and_then(Option::as_ref).map(|alb| alb.dns_name.clone());
            out.push(HostStatus {
                host: text.clone(),
                load_balancer: lb.clone(),
                shard: i32::try_from(*index).ok(),
                rule_arn,
                record: address.filter(|_| published),
                certificate_arn: super::certificate_for(view, &key.namespace, &host, lb, wanted)
                    .filter(|_| super::record::certificate_attached(view, &key.namespace, &host, wanted, &shard)),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_another_ready_or_an_end_that_comes_near() {
        let one = |type_: &str, reason: &str| Condition {
            type_: type_.into(),
            status: ConditionStatus::True,
            reason: reason.into(),
            message: "arn expires".into(),
            observed_generation: None,
            last_transition_time: String::new(),
        };
        let calm = [one("CertificateReady", "Attached"), one("Ready", "Ready")];
        let ending = [one("CertificateReady", "ExpiresSoon"), one("Ready", "Ready")];
        let told = Some(("Warning".to_owned(), "ExpiresSoon".to_owned(), "arn expires".to_owned()));
        assert_eq!(event(&calm, &ending), told);
        assert_eq!(event(&ending, &ending), None, "once");
        assert_eq!(event(&ending, &calm), None);
        assert_eq!(event(&[], &calm).map(|(kind, ..)| kind).as_deref(), Some("Normal"));
    }
}
