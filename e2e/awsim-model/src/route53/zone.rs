//! Hosted zones: creation, listing, records as pages, tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, name, record};
use crate::Aws;
use crate::api::route53::{
    ChangeAnswer, ChangeInfo, ChangeTagsForResource, CreateHostedZone, DelegationSet, DeleteHostedZone, GetChange,
    GetHostedZone, GetHostedZoneLimit, HostedZone, HostedZoneAnswer, HostedZoneConfig, HostedZoneLimit, HostedZones,
    HostedZonesByName, ListHostedZones, ListHostedZonesByName, ListResourceRecordSets, ListTagsForResource,
    ResourceRecord, ResourceRecordSet, ResourceRecordSets, ResourceTagSet, ResourceTags, Vpc, ZoneLimit,
};
use crate::api::{AwsError, Caller, Empty, Millis, Tag};
use crate::settings::quota;

/// Record sets in AWS's order.
pub(crate) type Records = BTreeMap<RecordKey, Arc<ResourceRecordSet>>;

/// Reversed name, type, set identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordKey {
    pub(crate) reversed: String,
    pub(crate) kind: String,
    pub(crate) set: String,
}

impl RecordKey {
    pub(crate) fn new(name: &str, kind: &str, set: &str) -> Self {
        Self { reversed: name::reversed(name), kind: kind.to_owned(), set: set.to_owned() }
    }
}

/// A hosted zone as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Zone {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) caller_reference: String,
    pub(crate) comment: Option<String>,
    pub(crate) private: bool,
    pub(crate) vpcs: Vec<Vpc>,
    pub(crate) records: Arc<Records>,
    /// What DNS answers from which moment on, oldest first.
    pub(crate) versions: Vec<(Millis, Arc<Records>)>,
    /// Until then changes meet `PriorRequestNotComplete`.
    pub(crate) busy_until: Millis,
    pub(crate) tags: BTreeMap<String, String>,
    /// The role that reaches it, if it is another account's.
    pub(crate) role: Option<String>,
}

const NAME_SERVERS: [&str; 4] =
    ["ns-1.awsdns-01.org.", "ns-2.awsdns-02.com.", "ns-3.awsdns-03.net.", "ns-4.awsdns-04.co.uk."];

impl Zone {
    pub(crate) fn new(id: String, name: String, caller_reference: String, private: bool) -> Self {
        let set = |kind: &str, ttl, values: Vec<String>| {
            let set = ResourceRecordSet {
                name: name.clone(),
                kind: kind.into(),
                ttl: Some(ttl),
                resource_records: Some(values.into_iter().map(|value| ResourceRecord { value }).collect()),
                ..ResourceRecordSet::default()
            };
            (RecordKey::new(&name, kind, ""), Arc::new(set))
        };
        let soa = format!("{} awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400", NAME_SERVERS[0]);
        let servers = NAME_SERVERS.iter().map(|s| (*s).to_owned()).collect();
        let records = Arc::new(Records::from([set("NS", 172_800, servers), set("SOA", 900, vec![soa])]));
        Self {
            id,
            name,
            caller_reference,
            comment: None,
            private,
            vpcs: Vec::new(),
            versions: vec![(Millis(0), Arc::clone(&records))],
            records,
            busy_until: Millis(0),
            tags: BTreeMap::new(),
            role: None,
        }
    }

    /// The records that DNS answers from at this moment.
    pub(crate) fn live(&self, now: Millis) -> Option<&Records> {
        self.versions.iter().rev().find(|(from, _)| *from <= now).map(|(_, records)| records.as_ref())
    }

    fn show(&self) -> HostedZone {
        HostedZone {
            id: format!("/hostedzone/{}", self.id),
            name: self.name.clone(),
            caller_reference: self.caller_reference.clone(),
            config: HostedZoneConfig { comment: self.comment.clone(), private_zone: self.private },
            resource_record_set_count: i64::try_from(self.records.len()).unwrap_or(i64::MAX),
        }
    }

    fn delegation(&self) -> Option<DelegationSet> {
        (!self.private).then(|| DelegationSet {
            name_servers: NAME_SERVERS.iter().map(|s| s.trim_end_matches('.').to_owned()).collect(),
            ..DelegationSet::default()
        })
    }
}

/// An id without AWS's path before it.
fn bare(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, id)| id)
}

impl Aws {
    pub(crate) fn zone(&self, id: &str) -> Result<&Zone, AwsError> {
        self.route53.zones.get(bare(id)).map(AsRef::as_ref).ok_or_else(|| {
            AwsError::status(404, "NoSuchHostedZone", format!("No hosted zone found with ID: {}", bare(id)))
        })
    }

    /// Registers a change and returns what AWS says about it.
    pub(super) fn new_change(&mut self, now: Millis, comment: Option<String>, role: Option<String>) -> ChangeInfo {
        let id = format!("C{}", self.fresh_id("change").to_uppercase());
        let change = Change { submitted: now, in_sync: now + self.settings.delays.route53_insync, comment, role };
        let info = show_change(now, &id, &change);
        self.route53.changes.insert(id, change);
        info
    }

    pub(crate) fn get_change(&self, now: Millis, caller: &Caller, call: &GetChange) -> Result<ChangeAnswer, AwsError> {
        let id = bare(&call.id);
        // An account knows its own changes only.
        let change = self.route53.changes.get(id).filter(|change| change.role.as_deref() == self.role_of(caller));
        let change = change
            .ok_or_else(|| AwsError::status(404, "NoSuchChange", format!("Could not find resource with ID: {id}")))?;
        Ok(ChangeAnswer { change_info: show_change(now, id, change) })
    }

    pub(crate) fn create_hosted_zone(
        &mut self,
        now: Millis,
        call: &CreateHostedZone,
    ) -> Result<HostedZoneAnswer, AwsError> {
        let name = name::normalise(&call.name).map_err(|why| {
            AwsError::new("InvalidDomainName", format!("{} is not a valid domain name: {why}", call.name))
        })?;
        if call.caller_reference.is_empty() {
            return Err(AwsError::new("InvalidInput", "CallerReference must be specified"));
        }
        if self.route53.zones.values().any(|zone| zone.caller_reference == call.caller_reference) {
            return Err(AwsError::status(
                409,
                "HostedZoneAlreadyExists",
                format!(
                    "A hosted zone has already been created with the specified caller reference '{}'",
                    call.caller_reference
                ),
            ));
        }
        let config = call.hosted_zone_config.clone().unwrap_or_default();
        let private = config.private_zone || call.vpc.is_some();
        if private && call.vpc.is_none() {
            return Err(AwsError::new("InvalidInput", "A private hosted zone needs a VPC"));
        }
        self.quota(quota::ZONES, self.route53.zones.len() + 1).map_err(|limit| {
            AwsError::new("TooManyHostedZones", format!("Limits Exceeded: MAX_HOSTED_ZONES_BY_OWNER is {limit}"))
        })?;
        let id = format!("Z{}", self.fresh_id(&format!("zone/{name}")).to_uppercase());
        let mut zone = Zone::new(id.clone(), name, call.caller_reference.clone(), private);
        zone.comment = config.comment;
        zone.vpcs = call.vpc.iter().cloned().collect();
        zone.versions = vec![(now + self.settings.delays.route53_insync, Arc::clone(&zone.records))];
        let answer = HostedZoneAnswer {
            hosted_zone: zone.show(),
            change_info: Some(self.new_change(now, None, None)),
            delegation_set: zone.delegation(),
            vpcs: None,
            vpc: call.vpc.clone(),
            location: Some(format!("/2013-04-01/hostedzone/{id}")),
        };
        self.route53.zones.insert(id, zone);
        Ok(answer)
    }

    pub(crate) fn get_hosted_zone(&self, call: &GetHostedZone) -> Result<HostedZoneAnswer, AwsError> {
        let zone = self.zone(&call.id)?;
        Ok(HostedZoneAnswer {
            hosted_zone: zone.show(),
            delegation_set: zone.delegation(),
            vpcs: zone.private.then(|| zone.vpcs.clone()),
            ..HostedZoneAnswer::default()
        })
    }

    pub(crate) fn delete_hosted_zone(
        &mut self,
        now: Millis,
        call: &DeleteHostedZone,
    ) -> Result<ChangeAnswer, AwsError> {
        let zone = self.zone(&call.id)?;
        // The zone's own NS and SOA go with it.
        if zone.records.len() > 2 {
            return Err(AwsError::new(
                "HostedZoneNotEmpty",
                "The specified hosted zone contains non-required resource record sets and so cannot be deleted.",
            ));
        }
        let id = zone.id.clone();
        self.route53.zones.remove(&id);
        Ok(ChangeAnswer { change_info: self.new_change(now, None, None) })
    }

    pub(crate) fn list_hosted_zones(&self, caller: &Caller, call: &ListHostedZones) -> Result<HostedZones, AwsError> {
        let max = max_items(call.max_items, 100)?;
        let start = call.marker.as_deref().map(bare);
        if let Some(start) = start.filter(|id| !self.route53.zones.contains(id)) {
            return Err(AwsError::new("InvalidInput", format!("No hosted zone found with the marker '{start}'")));
        }
        let mut rest = self
            .route53
            .zones
            .values()
            .filter(|zone| zone.role.as_deref() == self.role_of(caller))
            .filter(|zone| start.is_none_or(|start| zone.id.as_str() >= start))
            .filter(|zone| call.hosted_zone_type.as_deref() != Some("PrivateHostedZone") || zone.private);
        let hosted_zones: Vec<_> = rest.by_ref().take(max).map(|zone| zone.show()).collect();
        let next = rest.next();
        Ok(HostedZones {
            hosted_zones,
            marker: call.marker.clone(),
            is_truncated: next.is_some(),
            next_marker: next.map(|zone| zone.id.clone()),
            max_items: max.to_string(),
        })
    }

    pub(crate) fn list_hosted_zones_by_name(
        &self,
        caller: &Caller,
        call: &ListHostedZonesByName,
    ) -> Result<HostedZonesByName, AwsError> {
        let max = max_items(call.max_items, 100)?;
        if call.hosted_zone_id.is_some() && call.dns_name.is_none() {
            return Err(AwsError::new("InvalidInput", "HostedZoneId cannot be specified without DNSName"));
        }
        let start = match &call.dns_name {
            None => (String::new(), String::new()),
            Some(given) => {
                let name = name::normalise(given).map_err(|why| {
                    AwsError::new("InvalidDomainName", format!("{given} is not a valid domain name: {why}"))
                })?;
                (name::reversed(&name), call.hosted_zone_id.as_deref().map(bare).unwrap_or_default().to_owned())
            }
        };
        let own = self.route53.zones.values().filter(|zone| zone.role.as_deref() == self.role_of(caller));
        let mut all: Vec<_> = own.map(|zone| ((name::reversed(&zone.name), zone.id.clone()), zone)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        // The list starts at the name; it does not filter.
        let mut rest = all.into_iter().filter(|(key, _)| *key >= start).map(|(_, zone)| zone);
        let hosted_zones: Vec<_> = rest.by_ref().take(max).map(|zone| zone.show()).collect();
        let next = rest.next();
        Ok(HostedZonesByName {
            hosted_zones,
            dns_name: call.dns_name.clone(),
            hosted_zone_id: call.hosted_zone_id.clone(),
            is_truncated: next.is_some(),
            next_dns_name: next.map(|zone| zone.name.clone()),
            next_hosted_zone_id: next.map(|zone| zone.id.clone()),
            max_items: max.to_string(),
        })
    }

    pub(crate) fn list_resource_record_sets(
        &self,
        call: &ListResourceRecordSets,
    ) -> Result<ResourceRecordSets, AwsError> {
        let zone = self.zone(&call.hosted_zone_id)?;
        let max = max_items(call.max_items, 300)?;
        if call.start_record_type.is_some() && call.start_record_name.is_none() {
            return Err(AwsError::new("InvalidInput", "StartRecordType cannot be specified without StartRecordName"));
        }
        if call.start_record_identifier.is_some() && call.start_record_type.is_none() {
            return Err(AwsError::new(
                "InvalidInput",
                "StartRecordIdentifier cannot be specified without StartRecordType",
            ));
        }
        if let Some(kind) = call.start_record_type.as_deref().filter(|kind| !record::is_type(kind)) {
            return Err(AwsError::new("InvalidInput", format!("StartRecordType '{kind}' is not a record type")));
        }
        let start = match &call.start_record_name {
            None => RecordKey { reversed: String::new(), kind: String::new(), set: String::new() },
            Some(given) => {
                let name = name::normalise(given).map_err(|why| {
                    AwsError::new("InvalidInput", format!("StartRecordName '{given}' is not valid: {why}"))
                })?;
                let kind = call.start_record_type.as_deref().unwrap_or_default();
                RecordKey::new(&name, kind, call.start_record_identifier.as_deref().unwrap_or_default())
            }
        };
        let mut rest = zone.records.range(start..);
        let resource_record_sets = rest.by_ref().take(max).map(|(_, set)| set.as_ref().clone()).collect();
        let next = rest.next().map(|(_, set)| set);
        Ok(ResourceRecordSets {
            resource_record_sets,
            is_truncated: next.is_some(),
            next_record_name: next.map(|set| set.name.clone()),
            next_record_type: next.map(|set| set.kind.clone()),
            next_record_identifier: next.and_then(|set| set.set_identifier.clone()),
            max_items: max.to_string(),
        })
    }

    pub(crate) fn get_hosted_zone_limit(&self, call: &GetHostedZoneLimit) -> Result<ZoneLimit, AwsError> {
        let zone = self.zone(&call.hosted_zone_id)?;
        let (value, count) = match call.kind.as_str() {
            "MAX_RRSETS_BY_ZONE" => (self.settings.quotas.get(quota::RECORDS_PER_ZONE), zone.records.len()),
            "MAX_VPCS_ASSOCIATED_BY_ZONE" if zone.private => (300, zone.vpcs.len()),
            "MAX_VPCS_ASSOCIATED_BY_ZONE" => {
                return Err(AwsError::new(
                    "HostedZoneNotPrivate",
                    format!("The hosted zone '{}' is not private", zone.id),
                ));
            }
            other => return Err(AwsError::new("InvalidInput", format!("Limit type '{other}' is not valid"))),
        };
        Ok(ZoneLimit {
            limit: HostedZoneLimit { kind: call.kind.clone(), value },
            count: i64::try_from(count).unwrap_or(i64::MAX),
        })
    }

    pub(crate) fn list_tags_for_resource(&self, call: &ListTagsForResource) -> Result<ResourceTags, AwsError> {
        let zone = self.tagged_zone(&call.resource_type, &call.resource_id)?;
        Ok(ResourceTags {
            resource_tag_set: ResourceTagSet {
                resource_type: "hostedzone".into(),
                resource_id: zone.id.clone(),
                tags: zone.tags.iter().map(|(key, value)| Tag::new(key, value)).collect(),
            },
        })
    }

    pub(crate) fn change_tags_for_resource(&mut self, call: &ChangeTagsForResource) -> Result<Empty, AwsError> {
        let zone = self.tagged_zone(&call.resource_type, &call.resource_id)?;
        let mut tags = zone.tags.clone();
        let id = zone.id.clone();
        for key in call.remove_tag_keys.iter().flatten() {
            tags.remove(key);
        }
        tags.extend(call.add_tags.iter().flatten().map(|tag| (tag.key.clone(), tag.value.clone())));
        if tags.len() > 10 {
            return Err(AwsError::new(
                "InvalidInput",
                format!("A hosted zone can have at most 10 tags, not {}", tags.len()),
            ));
        }
        if let Some(zone) = self.route53.zones.get_mut(&id) {
            zone.tags = tags;
        }
        Ok(Empty {})
    }

    fn tagged_zone(&self, kind: &str, id: &str) -> Result<&Zone, AwsError> {
        if kind != "hostedzone" {
            return Err(AwsError::new(
                "InvalidInput",
                format!("Resource type '{kind}' is not modelled, only 'hostedzone' is"),
            ));
        }
        self.zone(id)
    }
}

fn show_change(now: Millis, id: &str, change: &Change) -> ChangeInfo {
    ChangeInfo {
        id: format!("/change/{id}"),
        status: if now >= change.in_sync { "INSYNC" } else { "PENDING" }.into(),
        submitted_at: change.submitted,
        comment: change.comment.clone(),
    }
}

fn max_items(given: Option<i64>, most: usize) -> Result<usize, AwsError> {
    match given {
        None => Ok(most),
        Some(n) if n >= 1 => Ok(usize::try_from(n).unwrap_or(most).min(most)),
        Some(n) => Err(AwsError::new("InvalidInput", format!("MaxItems '{n}' must be at least 1"))),
    }
}
