//! What an app is told about its certificates.

use gatehouse_crds::TlsMode;
use gatehouse_route::Host;

use crate::aws::{CertificateStatus, RefusalClass};
use crate::certificates::Certificates;
use crate::desired::HostDesired;
use crate::identity::ShardKey;
use crate::plan::app::Place;
use crate::plan::condition::{Judged, no, yes, yes_but};
use crate::plan::{PartKey, View};
use crate::reason::Reason;
use crate::time::Wall;

use super::request::{Standing, standing};
use super::{attached, certificate_for, listener, mode, region_of, request, ungranted, validation};

const TYPE: &str = "CertificateReady";

/// The condition `CertificateReady` of an app that stands at these places: the first host without certificate speaks;
/// else the certificate that ends first, once its end is near.
pub(in crate::plan) fn judge(view: &View<'_>, namespace: &str, places: &[Place<'_>]) -> Judged {
    if places.is_empty() {
        return no(TYPE, Reason::Pending, "waits for the host to be claimed");
    }
    let mut ending: Option<(i64, String)> = None;
    for Place { host, shard, wanted, .. } in places {
        let Some(lb) = view.world.load_balancers.get(&shard.load_balancer) else { continue };
        let region = &lb.spec.region;
        let Some(listing) = view.observed.certificates.get(region).and_then(|c| c.known()) else {
            return no(TYPE, Reason::Pending, format!("certificates of {region} are being listed"));
        };
        let Some(arn) = certificate_for(view, namespace, host, &shard.load_balancer, wanted) else {
            return match mode(lb, wanted) {
                TlsMode::Arn => named(view, namespace, host, region, listing, wanted),
                TlsMode::Discover => undiscovered(view, namespace, host, region, listing),
                TlsMode::Request => requested(view, namespace, host, shard, region, listing),
            };
        };
        if !attached(view, shard, &arn) {
            let (used, limit) = listener::quota(view, shard, region);
            if used + 1 >= limit {
                return no(
                    TYPE,
                    Reason::QuotaExceeded,
                    format!("{arn} is not attached: {}", listener::full(shard, used, limit)),
                );
            }
            let step = format!("{}{arn}", listener::ATTACH);
            return refused(view, &PartKey::Shard(shard.clone()), &step, &format!("{arn} is not attached to {shard}"))
                .unwrap_or_else(|| no(TYPE, Reason::Attaching, format!("{arn} is being attached to {shard}")));
        }
        if let Some(certificate) = listing.get(&arn).filter(|c| c.expires_soon(view.now.wall)) {
            let this = (certificate.not_after, arn);
            ending = Some(ending.map_or(this.clone(), |other| other.min(this)));
        }
    }
    match ending {
        None => yes(TYPE, Reason::Attached),
        Some((end, arn)) => {
            let date = Wall(end).rfc3339();
            let message = format!("{arn} expires on {date}; renew it or import another, which is taken by itself");
            yes_but(TYPE, Reason::ExpiresSoon, message)
        }
    }
}

fn named(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    region: &str,
    listing: &Certificates,
    wanted: &HostDesired,
) -> Judged {
    let arn = wanted.tls.as_ref().and_then(|tls| tls.certificate_arn.clone()).unwrap_or_default();
    let field = format!("spec.tls.certificateArn: {arn:?}");
    if region_of(&arn) != region {
        let there = region_of(&arn);
        return no(
            TYPE,
            Reason::CertificateInOtherRegion,
            format!("{field} is in {there}, the load balancer in {region}; name one of {region}"),
        );
    }
    let Some(certificate) = listing.get(&arn) else {
        return no(
            TYPE,
            Reason::CertificateNotFound,
            format!("{field} does not exist in {region}; name one that does"),
        );
    };
    let state = match certificate.status {
        CertificateStatus::Issued if certificate.usable(view.now.wall) => None,
        CertificateStatus::Issued => Some(format!("expired on {}", Wall(certificate.not_after).rfc3339())),
        CertificateStatus::Pending => Some("is not issued yet (PENDING_VALIDATION)".to_owned()),
        CertificateStatus::Failed => {
            let reason = certificate.details.as_ref().and_then(|d| d.failure.clone());
            Some(format!("FAILED ({})", reason.unwrap_or_else(|| "no FailureReason".into())))
        }
        CertificateStatus::TimedOut => Some("timed out (VALIDATION_TIMED_OUT)".to_owned()),
        CertificateStatus::Unusable => Some("is expired, revoked or inactive".to_owned()),
    };
    if let Some(state) = state {
        return no(TYPE, Reason::CertificateNotUsable, format!("{field} {state}; name an issued certificate"));
    }
    if !certificate.covers(host) {
        let names: Vec<&str> = certificate.names.iter().map(String::as_str).take(10).collect();
        return no(
            TYPE,
            Reason::CertificateDoesNotCover,
            format!("{field} covers {}, not {host}; name one that covers it", names.join(", ")),
        );
    }
    let name = ungranted(view, namespace, listing, &arn).unwrap_or_default();
    no(TYPE, Reason::CertificateNotGranted, foreign(&field, &name, namespace))
}

fn foreign(what: &str, name: &str, namespace: &str) -> String {
    format!(
        "{what} carries the name {name:?}, which is not granted to namespace {namespace}; use a certificate with granted \
         names only, or ask the platform team to grant the name or to share the certificate"
    )
}

fn undiscovered(view: &View<'_>, namespace: &str, host: &Host, region: &str, listing: &Certificates) -> Judged {
    let stranger = listing
        .covering(host)
        .filter(|(_, c)| c.usable(view.now.wall) && !c.private_ca)
        .find_map(|(arn, _)| Some((arn, ungranted(view, namespace, listing, arn)?)));
    if let Some((arn, name)) = stranger {
        return no(TYPE, Reason::CertificateNotGranted, foreign(&format!("{host}: {arn}"), &name, namespace));
    }
    no(
        TYPE,
        Reason::NoCertificate,
        format!(
            "no issued ACM certificate in {region} covers {host} with names granted to this namespace; request or \
             import one, or use spec.tls.mode: Request"
        ),
    )
}

fn requested(
    view: &View<'_>,
    namespace: &str,
    host: &Host,
    shard: &ShardKey,
    region: &str,
    listing: &Certificates,
) -> Judged {
    match standing(view, namespace, host, &shard.load_balancer, region) {
        Standing::Unknown(what) => no(TYPE, Reason::Requesting, format!("{host}: waits for {what}")),
        Standing::Pending(arn) => {
            let records = listing.get(&arn).and_then(|c| c.details.as_ref()).map(|d| &d.records);
            if let Some(obstacle) = records.and_then(|r| validation::obstacle(view, namespace, r)) {
                return no(TYPE, Reason::RecordConflict, format!("{host}: {arn} cannot be validated: {obstacle}"));
            }
            no(TYPE, Reason::Validating, format!("{host}: ACM validates {arn}, usually within minutes"))
        }
        Standing::Failed { arn, why, next, .. } => {
            let next = next.rfc3339();
            no(
                TYPE,
                Reason::RequestFailed,
                format!(
                    "{host}: ACM refused {arn}: {why}; mend the cause (CAA records, the zone's delegation), the next request goes out at {next}"
                ),
            )
        }
        Standing::NoZone => no(
            TYPE,
            Reason::NoHostedZone,
            format!(
                "no public hosted zone that {} may write to holds {host}, so ACM cannot validate a certificate; name the zone in its spec.dns.zones, or import a certificate",
                shard.load_balancer
            ),
        ),
        Standing::Wanted { zone, .. } => wanted(view, namespace, host, region, &zone, listing),
    }
}

fn wanted(view: &View<'_>, namespace: &str, host: &Host, region: &str, zone: &str, listing: &Certificates) -> Judged {
    if request::allowance(view, namespace, listing) == 0 {
        return no(
            TYPE,
            Reason::LimitExceeded,
            format!(
                "{host} needs another certificate, and the policy's limits.certificates of namespace {namespace} is reached; use fewer hosts or ask the platform team"
            ),
        );
    }
    if let Some(too_long) = request::too_long(view, namespace, host, region, zone) {
        return no(TYPE, Reason::NameTooLong, too_long);
    }
    let part = PartKey::Namespace(namespace.to_owned());
    refused(view, &part, &request::step_prefix(region), &format!("{host}: RequestCertificate")).unwrap_or_else(|| {
        no(TYPE, Reason::Requesting, format!("{host}: a certificate is about to be requested in {region}"))
    })
}

/// What AWS last said to a step, if a person must act on it.
fn refused(view: &View<'_>, part: &PartKey, prefix: &str, what: &str) -> Option<Judged> {
    let (_, refusal) =
        view.memory.refusals.iter().find(|(key, _)| key.part == *part && key.what.starts_with(prefix))?;
    let reason = match refusal.class {
        RefusalClass::Throttled | RefusalClass::Stale | RefusalClass::Transient => return None,
        RefusalClass::Denied => Reason::Denied,
        RefusalClass::Quota => Reason::QuotaExceeded,
        RefusalClass::Invalid => Reason::AwsRefused,
    };
    Some(no(TYPE, reason, format!("{what}: {}", refusal.message)))
}
