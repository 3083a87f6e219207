//! What a single record set may be.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::name;
use crate::api::AwsError;
use crate::api::route53::{AliasTarget, Change, ResourceRecordSet};
use crate::settings::Settings;

const TYPES: [&str; 14] =
    ["A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SRV", "SVCB", "TXT"];

/// Whether Route 53 has records of this type.
pub(super) fn is_type(kind: &str) -> bool {
    TYPES.contains(&kind)
}

/// Checks a change by itself and brings its record set into the stored form.
///
/// The outer error refuses the request (`InvalidInput`), the inner one is a text of `InvalidChangeBatch`.
pub(super) fn normalise(
    settings: &Settings,
    change: &Change,
    values_limit: i64,
) -> Result<Result<ResourceRecordSet, String>, AwsError> {
    let set = &change.resource_record_set;
    if !["CREATE", "DELETE", "UPSERT"].contains(&change.action.as_str()) {
        return Err(AwsError::new(
            "InvalidInput",
            format!("Invalid XML ; Value '{}' of Action must be one of CREATE, DELETE, UPSERT", change.action),
        ));
    }
    if !is_type(&set.kind) {
        return Err(AwsError::new(
            "InvalidInput",
            format!("Invalid XML ; Value '{}' of Type must be one of {}", set.kind, TYPES.join(", ")),
        ));
    }
    let stored = match name::normalise(&set.name) {
        Ok(stored) => stored,
        Err(why) => return Ok(Err(format!("FATAL problem: {why}"))),
    };
    let records = set.resource_records.as_deref().unwrap_or_default();
    let about = || {
        format!(
            "in Change with [Action={}, Name={stored}, Type={}, SetIdentifier={}]",
            change.action,
            set.kind,
            set.set_identifier.as_deref().unwrap_or("null")
        )
    };
    let expected = "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId]";
    match (&set.alias_target, set.ttl, records.is_empty()) {
        (Some(_), None, true) | (None, Some(_), false) => {}
        (Some(_), ..) => {
            return Err(AwsError::new("InvalidInput", format!("{expected}, but found more than one {}", about())));
        }
        (None, ..) => return Err(AwsError::new("InvalidInput", format!("{expected}, but found none {}", about()))),
    }
    if let Some(ttl) = set.ttl.filter(|ttl| !(0..=i64::from(i32::MAX)).contains(ttl)) {
        return Err(AwsError::new("InvalidInput", format!("Invalid TTL '{ttl}': must be 0 to 2147483647 {}", about())));
    }
    let mut normal = set.clone();
    normal.name = stored;
    if records.is_empty() {
        normal.resource_records = None;
    }
    if let Some(alias) = &set.alias_target {
        // What is deleted is compared with what is there, and need not make sense.
        let checked =
            if change.action == "DELETE" { stored_alias(alias) } else { check_alias(settings, &normal, alias) };
        match checked {
            Ok(alias) => normal.alias_target = Some(alias),
            Err(why) => return Ok(Err(why)),
        }
        return Ok(Ok(normal));
    }
    if i64::try_from(records.len()).unwrap_or(i64::MAX) > values_limit {
        return Ok(Err(format!(
            "Number of values limit of {values_limit} exceeded by record set [name='{}', type='{}']",
            normal.name, set.kind
        )));
    }
    let mut seen = BTreeSet::new();
    for record in records {
        if let Err(why) = check_value(&set.kind, &record.value) {
            return Ok(Err(format!(
                "Invalid Resource Record: 'FATAL problem: {why} encountered with '{}''",
                record.value
            )));
        }
        if !seen.insert(&record.value) {
            return Ok(Err(format!("Duplicate Resource Record: '{}'", record.value)));
        }
    }
    if ["CNAME", "SOA"].contains(&set.kind.as_str()) && records.len() > 1 {
        return Ok(Err(format!(
            "Invalid Resource Record: 'FATAL problem: TooManyRecords ({} record sets have one value) encountered with '{}''",
            set.kind, normal.name
        )));
    }
    Ok(Ok(normal))
}

fn stored_alias(alias: &AliasTarget) -> Result<AliasTarget, String> {
    Ok(AliasTarget {
        hosted_zone_id: alias.hosted_zone_id.trim_start_matches("/hostedzone/").to_owned(),
        dns_name: name::normalise(&alias.dns_name).map_err(|why| format!("FATAL problem: {why}"))?,
        evaluate_target_health: alias.evaluate_target_health,
    })
}

fn check_alias(settings: &Settings, set: &ResourceRecordSet, alias: &AliasTarget) -> Result<AliasTarget, String> {
    let stored = stored_alias(alias)?;
    let (zone, target) = (&stored.hosted_zone_id, &stored.dns_name);
    let create = format!("Tried to create an alias that targets {target}, type {} in zone {zone}", set.kind);
    // Of other zones the batch knows whether they exist.
    if (zone == settings.elb_zone_id()) != target.ends_with(&format!(".{}.", settings.elb_suffix())) {
        return Err(format!("{create}, but the alias target name does not lie within the target zone"));
    }
    if zone == settings.elb_zone_id() && !["A", "AAAA"].contains(&set.kind.as_str()) {
        return Err(format!("{create}, but that target was not found"));
    }
    Ok(stored)
}

fn check_value(kind: &str, value: &str) -> Result<(), String> {
    let fits = match kind {
        "A" => value
            .parse::<Ipv4Addr>()
            .is_ok()
            .then_some(())
            .ok_or("ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"),
        "AAAA" => value
            .parse::<Ipv6Addr>()
            .is_ok()
            .then_some(())
            .ok_or("AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"),
        "CNAME" | "NS" | "PTR" => {
            name::normalise(value).is_ok().then_some(()).ok_or("InvalidDomainName (Value is not a valid domain name)")
        }
        "TXT" => check_strings(value),
        _ => (!value.is_empty()).then_some(()).ok_or("RRDATANotPresent (Value is empty)"),
    };
    fits.map_err(Into::into)
}

/// One or more character strings in quotation marks, each of at most 255 characters.
fn check_strings(value: &str) -> Result<(), &'static str> {
    let unquoted = Err("InvalidCharacterString (Value should be enclosed in quotation marks)");
    let mut characters = value.chars();
    let mut strings = 0;
    while let Some(c) = characters.next() {
        if c == ' ' && strings > 0 {
            continue;
        }
        if c != '"' {
            return unquoted;
        }
        let mut length = 0;
        loop {
            match characters.next() {
                None => return unquoted,
                Some('"') => break,
                Some('\\') => {
                    characters.next();
                }
                Some(_) => {}
            }
            length += 1;
        }
        if length > 255 {
            return Err("CharacterStringTooLong (Value is too long)");
        }
        strings += 1;
    }
    if strings == 0 { unquoted } else { Ok(()) }
}
