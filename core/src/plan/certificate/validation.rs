//! The CNAMEs that prove names to ACM, for the first issue and for every renewal.
//!
//! They are created and never deleted. The CNAME of a domain is the same for every certificate of the account, in every
//! Region and for every service: one that we cannot see (CloudFront's, say) may renew by it (decision 0010).

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::{AwsCall, CertificateStatus, ChangeAction, Record, RecordChange, RecordData, ValidationRecord};
use crate::observed::Scope;
use crate::plan::dns::{public_zone, role};
use crate::plan::{Draft, Lane, Order, Urgency, View};

use super::ours_for;

/// TTL of a validation record, in seconds.
const TTL: u32 = 300;

pub(in crate::plan) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    for (zone, record) in wanted(&draft.view, namespace) {
        ensure(draft, &zone, &record);
    }
}

/// The records of our certificates of a namespace that cover one of its hosts, with the zone each belongs to.
fn wanted(view: &View<'_>, namespace: &str) -> BTreeSet<(String, ValidationRecord)> {
    let mut out = BTreeSet::new();
    let Some(desired) = view.desired.get(namespace) else { return out };
    for (host, wanted) in &desired.hosts {
        for name in wanted.placement.keys() {
            let Some(lb) = view.world.load_balancers.get(name) else { continue };
            let Some(listing) = view.observed.certificates.get(&lb.spec.region).and_then(|c| c.known()) else {
                continue;
            };
            for (_, certificate) in listing.covering(host).filter(|(_, c)| ours_for(view, namespace, c)) {
                if !matches!(certificate.status, CertificateStatus::Pending | CertificateStatus::Issued) {
                    continue;
                }
                for record in certificate.details.iter().flat_map(|d| &d.records) {
                    out.extend(public_zone(view, &record.domain, name).map(|zone| (zone, record.clone())));
                }
            }
        }
    }
    out
}

fn ensure(draft: &mut Draft<'_>, zone: &str, record: &ValidationRecord) {
    let view = draft.view;
    let (zone, name) = (zone.to_owned(), record.name.clone());
    if view.observed.zone_lists.get(&zone).is_none_or(|c| c.known().is_none()) {
        draft.wait(format!("zone {zone} to be listed"));
        return;
    }
    let scope = Scope::Validation(zone.clone(), name.clone());
    if view.observed.validations.contains_key(&(zone.clone(), name.clone())) {
        let read = AwsCall::ReadValidation { zone: zone.clone(), name: name.clone() };
        if !draft.need(scope.clone(), &role(&view, &zone), read, u64::MAX) {
            return;
        }
    }
    match view.observed.validation(&zone, &name) {
        None => {}
        Some(Some(value)) if value == record.value => {}
        Some(Some(other)) => draft.hold(conflict(&zone, record, other)),
        Some(None) => {
            let data = RecordData::Cname { ttl: TTL, value: record.value.clone() };
            let changes =
                vec![RecordChange { action: ChangeAction::Create, record: Record::simple(name.clone(), data) }];
            let region = role(&view, &zone);
            draft.step(
                format!("validation record {name} in {zone}"),
                Lane::Zone(zone.clone()),
                vec![scope],
                Order::Aws { region, call: AwsCall::ChangeRecords { zone, changes } },
                Urgency::Awaited,
            );
        }
    }
}

fn conflict(zone: &str, record: &ValidationRecord, other: &str) -> String {
    format!(
        "zone {zone} has a CNAME {} that points to {other}, but ACM asks for {}; delete it",
        record.name, record.value
    )
}

/// What keeps a certificate of the namespace from being proved, as far as its records show.
pub(super) fn obstacle(view: &View<'_>, namespace: &str, arn_records: &BTreeSet<ValidationRecord>) -> Option<String> {
    let zones: BTreeMap<ValidationRecord, String> =
        wanted(view, namespace).into_iter().map(|(zone, record)| (record, zone)).collect();
    arn_records.iter().find_map(|record| {
        let zone = zones.get(record)?;
        match view.observed.validation(zone, &record.name) {
            Some(Some(other)) if other != record.value => Some(conflict(zone, record, other)),
            _ => None,
        }
    })
}
