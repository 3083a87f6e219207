//! Route 53, API version 2013-04-01: the shapes of requests and answers, under AWS's own names.

use super::{Tag, Timestamp};

shapes! {
    HostedZone {
        id: String,
        name: String,
        caller_reference: String,
        config: HostedZoneConfig,
        resource_record_set_count: i64,
    }
    HostedZoneConfig { comment: Option<String>, private_zone: bool }
    Vpc {
        #[serde(rename = "VPCRegion")]
        vpc_region: Option<String>,
        #[serde(rename = "VPCId")]
        vpc_id: Option<String>,
    }
    DelegationSet { id: Option<String>, caller_reference: Option<String>, name_servers: Vec<String> }
    ResourceRecordSet {
        name: String,
        #[serde(rename = "Type")]
        kind: String,
        set_identifier: Option<String>,
        weight: Option<i64>,
        region: Option<String>,
        failover: Option<String>,
        multi_value_answer: Option<bool>,
        #[serde(rename = "TTL")]
        ttl: Option<i64>,
        resource_records: Option<Vec<ResourceRecord>>,
        alias_target: Option<AliasTarget>,
        health_check_id: Option<String>,
    }
    ResourceRecord { value: String }
    AliasTarget {
        hosted_zone_id: String,
        #[serde(rename = "DNSName")]
        dns_name: String,
        evaluate_target_health: bool,
    }
    Change { action: String, resource_record_set: ResourceRecordSet }
    ChangeBatch { comment: Option<String>, changes: Vec<Change> }
    ChangeInfo { id: String, status: String, submitted_at: Timestamp, comment: Option<String> }
    HostedZoneLimit {
        #[serde(rename = "Type")]
        kind: String,
        value: i64,
    }
    ResourceTagSet { resource_type: String, resource_id: String, tags: Vec<Tag> }

    ListHostedZones {
        marker: Option<String>,
        max_items: Option<i64>,
        delegation_set_id: Option<String>,
        hosted_zone_type: Option<String>,
    }
    ListHostedZonesByName {
        #[serde(rename = "DNSName")]
        dns_name: Option<String>,
        hosted_zone_id: Option<String>,
        max_items: Option<i64>,
    }
    GetHostedZone { id: String }
    CreateHostedZone {
        name: String,
        #[serde(rename = "VPC")]
        vpc: Option<Vpc>,
        caller_reference: String,
        hosted_zone_config: Option<HostedZoneConfig>,
        delegation_set_id: Option<String>,
    }
    DeleteHostedZone { id: String }
    ListResourceRecordSets {
        hosted_zone_id: String,
        start_record_name: Option<String>,
        start_record_type: Option<String>,
        start_record_identifier: Option<String>,
        max_items: Option<i64>,
    }
    ChangeResourceRecordSets { hosted_zone_id: String, change_batch: ChangeBatch }
    GetChange { id: String }
    GetHostedZoneLimit {
        #[serde(rename = "Type")]
        kind: String,
        hosted_zone_id: String,
    }
    ListTagsForResource { resource_type: String, resource_id: String }
    ChangeTagsForResource {
        resource_type: String,
        resource_id: String,
        add_tags: Option<Vec<Tag>>,
        remove_tag_keys: Option<Vec<String>>,
    }

    HostedZones {
        hosted_zones: Vec<HostedZone>,
        marker: Option<String>,
        is_truncated: bool,
        next_marker: Option<String>,
        max_items: String,
    }
    HostedZonesByName {
        hosted_zones: Vec<HostedZone>,
        #[serde(rename = "DNSName")]
        dns_name: Option<String>,
        hosted_zone_id: Option<String>,
        is_truncated: bool,
        #[serde(rename = "NextDNSName")]
        next_dns_name: Option<String>,
        next_hosted_zone_id: Option<String>,
        max_items: String,
    }
    HostedZoneAnswer {
        hosted_zone: HostedZone,
        change_info: Option<ChangeInfo>,
        delegation_set: Option<DelegationSet>,
        #[serde(rename = "VPCs")]
        vpcs: Option<Vec<Vpc>>,
        #[serde(rename = "VPC")]
        vpc: Option<Vpc>,
        /// Where the new zone stands, `/2013-04-01/hostedzone/ID`: an HTTP header, not part of the body.
        location: Option<String>,
    }
    ChangeAnswer { change_info: ChangeInfo }
    ResourceRecordSets {
        resource_record_sets: Vec<ResourceRecordSet>,
        is_truncated: bool,
        next_record_name: Option<String>,
        next_record_type: Option<String>,
        next_record_identifier: Option<String>,
        max_items: String,
    }
    ZoneLimit { limit: HostedZoneLimit, count: i64 }
    ResourceTags { resource_tag_set: ResourceTagSet }
}
