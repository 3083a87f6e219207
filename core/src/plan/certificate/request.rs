//! Asking ACM for certificates.
//!
//! A request belongs to the part of its namespace: the engine takes turns between namespaces, so one that wants a
//! hundred certificates does not spend the Region's budget before its neighbour got the first. Nothing is remembered:
//! the listing and its tags tell what was asked for, how often that failed, and therefore what to ask for next. What a
//! certificate covers, or will once it is issued, is never asked for again, so a new host never moves an old one.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::TlsMode;
use gatehouse_route::{Host, short_hash};

use crate::aws::{AwsCall, Certificate, CertificateStatus};
use crate::certificates::Certificates;
use crate::desired::HostDesired;
use crate::observed::Scope;
use crate::plan::dns::public_zone;
use crate::plan::{Draft, Lane, Order, Urgency, View};
use crate::time::Wall;

use super::{certificate_for, may_use, mode, ours_for, tags, wake_at_wall};

/// How the keys of requests begin.
pub(super) const STEP: &str = "request certificate ";

/// Names of one certificate: ACM's default quota.
const NAMES: usize = 10;
/// A common name has at most so many characters.
const COMMON_NAME: usize = 64;
/// Seconds before the second attempt, doubled with each.
const FIRST_WAIT: u64 = 3_600;
/// Seconds between attempts at most.
const LONGEST_WAIT: u64 = 86_400;

/// Where the certificate of a host with mode Request stands that has none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Something must be read first.
    Unknown(String),
    /// It has been asked for.
    Pending(String),
    /// The last one failed; the next is asked for later.
    Failed {
        /// The last one.
        arn: String,
        /// FailureReason or status.
        why: String,
        /// When that is.
        next: Wall,
        /// Seconds until then.
        wait: u64,
    },
    /// No public zone could prove it.
    NoZone,
    /// To be asked for now.
    Wanted {
        /// Zone that proves it.
        zone: String,
        /// Failed requests so far.
        attempt: u32,
    },
}

/// Seconds from one request to the next after so many failures.
#[must_use]
pub(super) fn wait_after(failures: u32) -> u64 {
    (FIRST_WAIT << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT)
}

/// Whether a host of the namespace should be asked for: mode Request, and no certificate fits.
pub(super) fn lacks(view: &View<'_>, namespace: &str, host: &Host, load_balancer: &str, wanted: &HostDesired) -> bool {
    view.world.load_balancers.get(load_balancer).is_some_and(|lb| mode(lb, wanted) == TlsMode::Request)
        && certificate_for(view, namespace, host, load_balancer, wanted).is_none()
}

/// Where the certificate of such a host stands.
pub(super) fn standing(view: &View<'_>, namespace: &str, host: &Host, load_balancer: &str, region: &str) -> Standing {
    let Some(listing) = view.observed.certificates.get(region).and_then(|c| c.known()) else {
        return Standing::Unknown(format!("certificates of {region} to be listed"));
    };
    if !view.observed.requests_settled(region, namespace) {
        return Standing::Unknown("the last request to ACM to be answered".into());
    }
    let mut failed: Option<(&String, &Certificate, u32)> = None;
    for (arn, certificate) in listing.covering(host) {
        let Some(details) = &certificate.details else {
            return Standing::Unknown(format!("tags of {arn} to be read"));
        };
        if !ours_for(view, namespace, certificate) {
            continue;
        }
        match certificate.status {
            CertificateStatus::Pending => return Standing::Pending(arn.clone()),
            CertificateStatus::Failed | CertificateStatus::TimedOut
                if failed.is_none_or(|(_, _, attempt)| details.attempt >= attempt) =>
            {
                failed = Some((arn, certificate, details.attempt));
            }
            _ => {}
        }
    }
    let attempt = match failed {
        None => 0,
        Some((arn, certificate, attempt)) => {
            let failures = attempt + 1;
            let age = view.now.wall.since(Wall(certificate.created));
            // A bundle that failed is split at once: most of its hosts may be well.
            let bundle = attempt == 0 && certificate.names.len() > 1;
            if age < wait_after(failures) && !bundle {
                let reason = certificate.details.as_ref().and_then(|d| d.failure.clone());
                let why = reason.unwrap_or_else(|| match certificate.status {
                    CertificateStatus::TimedOut => "VALIDATION_TIMED_OUT".to_owned(),
                    _ => "FAILED".to_owned(),
                });
                let wait = wait_after(failures);
                let next = Wall(certificate.created.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX)));
                return Standing::Failed { arn: arn.clone(), why, next, wait: wait - age };
            }
            failures
        }
    };
    if view.observed.zones.known().is_none() {
        return Standing::Unknown("hosted zones to be listed".into());
    }
    match public_zone(view, host.suffix(), load_balancer) {
        Some(zone) => Standing::Wanted { zone, attempt },
        None => Standing::NoZone,
    }
}

/// How many certificates the policies still let the namespace have in a Region.
pub(super) fn allowance(view: &View<'_>, namespace: &str, listing: &Certificates) -> usize {
    let limit = view.reviews.get(namespace).and_then(|r| r.rulebook.limits.certificates);
    let Some(limit) = limit.map(|l| usize::try_from(l).unwrap_or(0)) else { return usize::MAX };
    let counts = |c: &Certificate| matches!(c.status, CertificateStatus::Issued | CertificateStatus::Pending);
    limit.saturating_sub(listing.iter().filter(|(_, c)| counts(c) && ours_for(view, namespace, c)).count())
}

pub(in crate::plan) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    let Some(desired) = view.desired.get(namespace) else { return };
    // By Region, zone and, after a failure, host: what shares a zone is proved or refused together; a bundle that
    // failed is asked for host by host, so that one name that ACM refuses does not keep the others from theirs.
    let mut groups: BTreeMap<(String, String, u32, Option<Host>), BTreeSet<Host>> = BTreeMap::new();
    for (host, wanted) in &desired.hosts {
        for load_balancer in wanted.placement.keys() {
            if !lacks(&view, namespace, host, load_balancer, wanted) {
                continue;
            }
            let region = &view.world.load_balancers[load_balancer].spec.region;
            match standing(&view, namespace, host, load_balancer, region) {
                Standing::Wanted { zone, attempt } => {
                    let alone = (attempt > 0).then(|| host.clone());
                    groups.entry((region.clone(), zone, attempt, alone)).or_default().insert(host.clone());
                }
                Standing::Failed { wait, .. } => wake_at_wall(draft, wait),
                Standing::Unknown(what) => draft.wait(format!("{host}: {what}")),
                Standing::Pending(_) | Standing::NoZone => {}
            }
        }
    }
    for ((region, zone, attempt, alone), hosts) in groups {
        if alone.is_none()
            && let Some(coming) = hosts.iter().find_map(|host| coming(&view, namespace, &desired.hosts[host]))
        {
            draft.wait(format!("{coming} to be claimed, to share its app's certificate"));
            continue;
        }
        let listing = view.observed.certificates.get(&region).and_then(|c| c.known());
        if listing.is_none_or(|l| allowance(&view, namespace, l) == 0) {
            draft.wait("the policy to allow another certificate");
            continue;
        }
        let may = |host: &Host| may_use(&view, namespace, host);
        let Some(names) = bundle(&hosts, may, companions(&view, namespace, &region, &zone)) else { continue };
        let token = token(&view.settings.cluster_id.0, namespace, &names, attempt);
        let about = alone.map_or_else(|| format!("zone {zone}"), |host| host.as_text());
        let call = AwsCall::RequestCertificate { names, token, tags: tags(&view, namespace, attempt) };
        let scope = Scope::Requests(region.clone(), namespace.to_owned());
        draft.step(
            format!("{} {about}", step_prefix(&region)),
            Lane::Scope(scope.clone()),
            vec![scope],
            Order::Aws { region, call },
            Urgency::Awaited,
        );
    }
}

/// Hosts that the namespace publishes in a Region and that the zone proves.
fn companions<'a>(view: &View<'a>, namespace: &str, region: &str, zone: &str) -> impl Iterator<Item = &'a Host> {
    let (view, region, zone) = (*view, region.to_owned(), zone.to_owned());
    view.desired.get(namespace).into_iter().flat_map(|d| &d.hosts).filter_map(move |(host, wanted)| {
        let here = |lb: &String| {
            view.world.load_balancers.get(lb).is_some_and(|lb| lb.spec.region == region)
                && public_zone(&view, host.suffix(), lb).as_ref() == Some(&zone)
        };
        wanted.placement.keys().any(here).then_some(host)
    })
}

/// Why no certificate can be asked for a host, when its length is the reason.
pub(super) fn too_long(view: &View<'_>, namespace: &str, host: &Host, region: &str, zone: &str) -> Option<String> {
    let may = |host: &Host| may_use(view, namespace, host);
    let alone = BTreeSet::from([host.clone()]);
    bundle(&alone, may, companions(view, namespace, region, zone)).is_none().then(|| {
        let wildcard = host.parent_wildcard().map_or_else(String::new, |w| format!("grant {w} to the namespace, "));
        format!(
            "{host} has {} characters, and the common name of a certificate {COMMON_NAME} at most; {wildcard}publish a \
             shorter host of the zone too, or import a certificate",
            host.as_text().len()
        )
    })
}

/// How the keys of these steps begin: a status looks up their refusals.
pub(super) fn step_prefix(region: &str) -> String {
    format!("{STEP}in {region} for")
}

/// A host of the same apps that is about to be claimed: asking now would need a second certificate a moment later.
fn coming(view: &View<'_>, namespace: &str, wanted: &HostDesired) -> Option<Host> {
    let reviews = view.reviews.get(namespace)?;
    let hosts_of = |app: &String| {
        let review = reviews.apps.get(app).filter(|r| !r.withdrawn() && !r.frozen())?;
        let hosts = &review.parsed.as_ref()?.hosts;
        hosts.iter().find(|host| {
            let claim = view.world.claims.get(&crate::identity::claim_name(host));
            !review.host_refused(host)
                && claim.is_none_or(|c| c.spec.namespace == namespace && !c.status.admitted.contains_key(app))
        })
    };
    wanted.apps.iter().find_map(hosts_of).cloned()
}

/// The names of one certificate for the first of these hosts, the common name first; `None` when no name fits there.
///
/// Hosts are ordered by their labels from the right, so what shares a suffix shares a certificate. A common name has
/// 64 characters: a longer host stands behind a shorter one, be it the wildcard above it, if the namespace may use
/// that, or another host that the namespace publishes in the zone.
pub(super) fn bundle<'a>(
    hosts: &BTreeSet<Host>,
    may: impl Fn(&Host) -> bool,
    companions: impl Iterator<Item = &'a Host>,
) -> Option<Vec<String>> {
    let short = |host: &Host| host.as_text().len() <= COMMON_NAME;
    let mut names: Vec<String> = hosts.iter().take(NAMES).map(Host::as_text).collect();
    if let Some(at) = names.iter().position(|name| name.len() <= COMMON_NAME) {
        let first = names.remove(at);
        names.insert(0, first);
        return Some(names);
    }
    let wildcards = hosts.iter().filter_map(Host::parent_wildcard).find(|w| short(w) && may(w));
    let first = wildcards.or_else(|| companions.filter(|host| short(host) && may(host)).min().cloned())?;
    names.retain(|name| !Host::parse(name).is_ok_and(|host| first.covers(&host)));
    names.truncate(NAMES - 1);
    names.insert(0, first.as_text());
    Some(names)
}

/// For one hour ACM answers an equal token with the certificate it made before: a request whose answer was lost, or
/// that a former leader sent, makes no second one.
fn token(cluster: &str, namespace: &str, names: &[String], attempt: u32) -> String {
    let sorted: BTreeSet<&String> = names.iter().collect();
    short_hash(format!("{cluster}\n{namespace}\n{sorted:?}\n{attempt}").as_bytes(), 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(texts: &[&str]) -> BTreeSet<Host> {
        texts.iter().map(|t| Host::parse(t).unwrap()).collect()
    }

    #[test]
    fn hosts_of_one_suffix_share_a_certificate_up_to_ten_names() {
        let texts: Vec<String> = (0..12).map(|i| format!("h{i:02}.example.com")).collect();
        let all = hosts(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let names = bundle(&all, |_| true, std::iter::empty()).unwrap();
        assert_eq!((names.len(), names[0].as_str()), (10, "h00.example.com"));
    }

    #[test]
    fn a_long_host_stands_behind_a_short_name() {
        let long = format!("{}.example.com", "x".repeat(60));
        let names = |more: &[&str], may: bool, companion: &[&str]| {
            let mut all = hosts(more);
            all.insert(Host::parse(&long).unwrap());
            bundle(&all, |_| may, hosts(companion).iter())
        };
        assert_eq!(names(&["zoo.example.com"], false, &[]).unwrap(), ["zoo.example.com".to_owned(), long.clone()]);
        assert_eq!(names(&[], true, &[]).unwrap(), ["*.example.com"], "the wildcard covers it");
        assert_eq!(names(&[], false, &["zoo.example.com"]), None, "a companion must be granted too");
        let may = |host: &Host| !host.is_wildcard();
        let all = hosts(&[&long]);
        let companion = hosts(&["zoo.example.com"]);
        assert_eq!(bundle(&all, may, companion.iter()).unwrap(), ["zoo.example.com".to_owned(), long.clone()]);
    }

    #[test]
    fn waits_double_up_to_a_day() {
        let waits: Vec<u64> = [1, 2, 3, 4, 5, 6, 40].into_iter().map(wait_after).map(|s| s / 3600).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 24, 24]);
    }

    #[test]
    fn tokens_are_words_of_at_most_32_characters() {
        let names = ["b.example.com".to_owned(), "a.example.com".to_owned()];
        let one = token("prod", "team-a", &names, 0);
        assert!(one.len() <= 32 && one.bytes().all(|b| b.is_ascii_alphanumeric()), "{one}");
        assert_eq!(one, token("prod", "team-a", &[names[1].clone(), names[0].clone()], 0), "order means nothing");
        assert_ne!(one, token("prod", "team-a", &names, 1));
    }
}
