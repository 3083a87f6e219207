//! ChangeResourceRecordSets: validated as a whole, applied in one step or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{RecordKey, Records, name, record};
use crate::Aws;
use crate::api::route53::{Change, ChangeAnswer, ChangeResourceRecordSets, ResourceRecordSet};
use crate::api::{AwsError, Millis};
use crate::settings::quota;

/// ResourceRecord elements per batch; an alias is one, UPSERT counts twice.
const MOST_RECORDS: usize = 1000;
/// Characters of all Value elements; UPSERT counts twice.
const MOST_CHARACTERS: usize = 32_000;

impl Aws {
    pub(crate) fn change_resource_record_sets(
        &mut self,
        now: Millis,
        call: &ChangeResourceRecordSets,
    ) -> Result<ChangeAnswer, AwsError> {
        let zone = self.zone(&call.hosted_zone_id)?;
        let changes = &call.change_batch.changes;
        if changes.is_empty() {
            return Err(AwsError::new("InvalidInput", "Invalid XML ; a ChangeBatch must have at least one Change"));
        }
        if now < zone.busy_until {
            return Err(AwsError::new(
                "PriorRequestNotComplete",
                "The request was rejected because Route 53 was still processing a prior request.",
            ));
        }
        check_size(changes)?;
        let values_limit = self.settings.quotas.get(quota::VALUES_PER_RECORD);
        let mut faults = Vec::new();
        let mut normal = Vec::with_capacity(changes.len());
        for change in changes {
            match record::normalise(&self.settings, change, values_limit)? {
                Err(why) => faults.push(why),
                Ok(set) if !name::within(&set.name, &zone.name) => {
                    faults.push(format!("RRSet with DNS name {} is not permitted in zone {}", set.name, zone.name));
                }
                Ok(set) => normal.push((change.action.as_str(), set)),
            }
        }
        for (_, set) in normal.iter().filter(|(action, _)| *action != "DELETE") {
            let Some(alias) = &set.alias_target else { continue };
            let zone = &alias.hosted_zone_id;
            if *zone != self.settings.elb_zone_id() && !self.route53.zones.contains(zone) {
                faults.push(format!(
                    "Tried to create an alias that targets {}, type {} in zone {zone}, but that zone was not found",
                    alias.dns_name, set.kind
                ));
            }
        }
        let next = apply(&zone.name, &zone.id, &zone.records, &normal, &mut faults);
        let limit = self.settings.quotas.get(quota::RECORDS_PER_ZONE);
        if faults.is_empty() && i64::try_from(next.len()).unwrap_or(i64::MAX) > limit && next.len() > zone.records.len()
        {
            faults.push(format!("Number of records limit of {limit} exceeded."));
        }
        if !faults.is_empty() {
            let mut error = AwsError::new("InvalidChangeBatch", format!("[{}]", faults.join(", ")));
            error.messages = faults;
            return Err(error);
        }
        let id = zone.id.clone();
        let delays = self.settings.delays;
        let role = self.zone(&call.hosted_zone_id)?.role.clone();
        let change_info = self.new_change(now, call.change_batch.comment.clone(), role);
        if let Some(zone) = self.route53.zones.get_mut(&id) {
            let next = Arc::new(next);
            let from = now + delays.route53_insync;
            // Of what already answers only the newest is still of use.
            let running = zone.versions.iter().rposition(|(at, _)| *at <= now).unwrap_or(0);
            zone.versions.drain(..running);
            zone.versions.retain(|(at, _)| *at != from);
            zone.versions.push((from, Arc::clone(&next)));
            zone.records = next;
            zone.busy_until = now + delays.zone_busy;
        }
        Ok(ChangeAnswer { change_info })
    }
}

fn check_size(changes: &[Change]) -> Result<(), AwsError> {
    let (mut records, mut characters) = (0, 0);
    for change in changes {
        let times = if change.action == "UPSERT" { 2 } else { 1 };
        let values = change.resource_record_set.resource_records.as_deref().unwrap_or_default();
        records += times * values.len().max(1);
        characters += times * values.iter().map(|record| record.value.chars().count()).sum::<usize>();
    }
    let exceeded = |text: String| {
        let mut error = AwsError::new("InvalidChangeBatch", format!("[{text}]"));
        error.messages = vec![text];
        Err(error)
    };
    if records > MOST_RECORDS {
        return exceeded(format!("Number of records limit of {MOST_RECORDS} exceeded."));
    }
    if characters > MOST_CHARACTERS {
        return exceeded(format!("Number of characters limit of {MOST_CHARACTERS} exceeded."));
    }
    Ok(())
}

/// The records after the batch; what cannot be goes to `faults`.
fn apply(
    zone: &str,
    zone_id: &str,
    current: &Records,
    changes: &[(&str, ResourceRecordSet)],
    faults: &mut Vec<String>,
) -> Records {
    let mut next = current.clone();
    let mut seen: BTreeMap<RecordKey, Vec<&str>> = BTreeMap::new();
    for (action, set) in changes {
        let key = key_of(set);
        let actions = seen.entry(key.clone()).or_default();
        // A set may be replaced by DELETE and CREATE in one batch; any other pair makes no sense.
        let replaces = matches!((actions.as_slice(), *action), (["DELETE"], "CREATE") | (["CREATE"], "DELETE"));
        if !actions.is_empty() && !replaces {
            faults.push(format!(
                "The request contains an invalid set of changes for a resource record set '{} {}'",
                set.kind, set.name
            ));
        }
        actions.push(action);
        if *action != "DELETE" {
            continue;
        }
        let what = format!("[name='{}', type='{}'{}]", set.name, set.kind, identifier(set));
        match current.get(&key) {
            None => faults.push(format!("Tried to delete resource record set {what} but it was not found")),
            Some(present) if !equal(present, set) => faults.push(format!(
                "Tried to delete resource record set {what} but the values provided do not match the current values"
            )),
            Some(_) if set.name == zone && set.kind == "SOA" => {
                faults.push("A HostedZone must contain exactly one SOA record.".into());
            }
            Some(_) if set.name == zone && set.kind == "NS" => {
                faults.push("A HostedZone must contain at least one NS record for the zone itself.".into());
            }
            Some(_) => {
                next.remove(&key);
            }
        }
    }
    let mut touched = BTreeSet::new();
    for (action, set) in changes.iter().filter(|(action, _)| *action != "DELETE") {
        let key = key_of(set);
        if *action == "CREATE" && next.contains_key(&key) {
            faults.push(format!(
                "Tried to create resource record set [name='{}', type='{}'{}] but it already exists",
                set.name,
                set.kind,
                identifier(set)
            ));
            continue;
        }
        if set.kind == "CNAME" && set.name == zone {
            faults.push(format!(
                "RRSet of type CNAME with DNS name {} is not permitted at apex in zone {zone}",
                set.name
            ));
        }
        touched.insert(key.reversed.clone());
        next.insert(key, Arc::new(set.clone()));
    }
    check_aliases(zone_id, &next, changes, faults);
    for reversed in touched {
        check_neighbours(zone, &next, &reversed, faults);
    }
    next
}

/// An alias to a record of the same zone needs that record, of the same type.
fn check_aliases(zone_id: &str, next: &Records, changes: &[(&str, ResourceRecordSet)], faults: &mut Vec<String>) {
    for (_, set) in changes.iter().filter(|(action, _)| *action != "DELETE") {
        let Some(alias) = set.alias_target.as_ref().filter(|alias| alias.hosted_zone_id == zone_id) else { continue };
        let target = RecordKey::new(&alias.dns_name, &set.kind, "");
        let found = next.range(target.clone()..).next();
        if !found.is_some_and(|(key, _)| key.reversed == target.reversed && key.kind == target.kind) {
            faults.push(format!(
                "Tried to create an alias that targets {}, type {} in zone {zone_id}, but that target was not found",
                alias.dns_name, set.kind
            ));
        }
    }
}

/// A CNAME stands alone at its name, and simple sets do not mix with those that have an identifier.
fn check_neighbours(zone: &str, next: &Records, reversed: &str, faults: &mut Vec<String>) {
    let start = RecordKey { reversed: reversed.to_owned(), kind: String::new(), set: String::new() };
    let here: Vec<_> = next.range(start..).take_while(|(key, _)| key.reversed == reversed).collect();
    let types: BTreeSet<&str> = here.iter().map(|(key, _)| key.kind.as_str()).collect();
    let Some((_, set)) = here.first() else { return };
    if types.contains("CNAME") && types.len() > 1 {
        faults.push(format!(
            "RRSet of type CNAME with DNS name {} is not permitted as it conflicts with other records with the same DNS name in zone {zone}",
            set.name
        ));
    }
    for kind in types {
        let sets: Vec<_> = here.iter().filter(|(key, _)| key.kind == kind).collect();
        if sets.len() > 1 && sets.iter().any(|(key, _)| key.set.is_empty()) {
            faults.push(format!(
                "RRSet with DNS name {}, type {kind} cannot be created because a non-weighted set with the same name and type exists",
                set.name
            ));
        }
    }
}

fn key_of(set: &ResourceRecordSet) -> RecordKey {
    RecordKey::new(&set.name, &set.kind, set.set_identifier.as_deref().unwrap_or_default())
}

fn identifier(set: &ResourceRecordSet) -> String {
    set.set_identifier.as_ref().map(|id| format!(", set-identifier='{id}'")).unwrap_or_default()
}

/// Equal but for the order of the values.
fn equal(a: &ResourceRecordSet, b: &ResourceRecordSet) -> bool {
    let sorted = |set: &ResourceRecordSet| {
        let mut set = set.clone();
        if let Some(records) = &mut set.resource_records {
            if records.is_empty() {
                set.resource_records = None;
            } else {
                records.sort_by(|a, b| a.value.cmp(&b.value));
            }
        }
        set
    };
    sorted(a) == sorted(b)
}
