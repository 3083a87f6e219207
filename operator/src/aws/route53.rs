//! Route 53.

use std::collections::BTreeSet;

use aws_sdk_route53::Client;
use aws_sdk_route53::error::ProvideErrorMetadata;
use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction as SdkAction, ChangeBatch, ChangeStatus, HostedZoneLimitType, ResourceRecord,
    ResourceRecordSet, RrType,
};
use gatehouse_core::aws::{
    Alias, AwsAnswer, AwsCall, ChangeAction, HostedZone, Record, RecordChange, RecordData, Refusal, RefusalClass,
    Routing, ZoneRoom,
};

use super::Failure;

pub(super) async fn call(client: &Client, call: AwsCall) -> Result<AwsAnswer, Failure> {
    match call {
        AwsCall::ReadZoneLimit { zone } => {
            let kind = HostedZoneLimitType::MaxRrsetsByZone;
            let answer = client.get_hosted_zone_limit().hosted_zone_id(zone).r#type(kind).send().await?;
            let count = |n: i64| u64::try_from(n).unwrap_or(0);
            let limit = answer.limit().map_or(u64::MAX, |l| count(l.value()));
            Ok(AwsAnswer::ZoneLimit(ZoneRoom { records: count(answer.count()), limit }))
        }
        AwsCall::ReadZoneRecords { zone } => {
            let (records, others) = records(client, &zone, None).await?;
            Ok(AwsAnswer::ZoneRecords { records, others })
        }
        AwsCall::ReadRecords { zone, names } => {
            let mut found = Vec::new();
            for name in names {
                found.extend(records(client, &zone, Some(&name)).await?.0);
            }
            Ok(AwsAnswer::Records(found))
        }
        AwsCall::ReadValidation { zone, name } => Ok(AwsAnswer::Records(records(client, &zone, Some(&name)).await?.0)),
        AwsCall::ReadChange { change } => {
            let answer = client.get_change().id(&change).send().await?;
            let in_sync = answer.change_info().is_some_and(|i| *i.status() == ChangeStatus::Insync);
            Ok(AwsAnswer::Change { id: change, in_sync })
        }
        AwsCall::ChangeRecords { zone, changes } => change(client, &zone, changes).await,
        other => Err(Failure::Refused(Refusal {
            class: RefusalClass::Invalid,
            message: format!("{other:?} is no call of Route 53"),
        })),
    }
}

/// Every zone of our own account.
pub(super) async fn zones(client: &Client) -> Result<Vec<HostedZone>, Failure> {
    let mut out = Vec::new();
    let mut marker = None;
    loop {
        let page = client.list_hosted_zones().set_marker(marker).send().await?;
        out.extend(page.hosted_zones().iter().map(hosted_zone));
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            return Ok(out);
        }
    }
}

/// One zone, asked of its own account.
pub(super) async fn zone(client: &Client, id: &str) -> Result<Option<HostedZone>, Failure> {
    match client.get_hosted_zone().id(id).send().await {
        Ok(answer) => Ok(answer.hosted_zone().map(hosted_zone)),
        Err(e) if e.code() == Some("NoSuchHostedZone") => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn hosted_zone(zone: &aws_sdk_route53::types::HostedZone) -> HostedZone {
    HostedZone {
        id: zone.id().trim_start_matches("/hostedzone/").to_owned(),
        name: plain(zone.name()),
        private: zone.config().is_some_and(aws_sdk_route53::types::HostedZoneConfig::private_zone),
    }
}

/// Records of a zone, or of one name in it (the list starts at a name, it does not filter), and the names of those that
/// are of other types than we read.
async fn records(client: &Client, zone: &str, only: Option<&str>) -> Result<(Vec<Record>, BTreeSet<String>), Failure> {
    let mut out = Vec::new();
    let mut others = BTreeSet::new();
    let mut name = only.map(str::to_owned);
    let mut kind: Option<RrType> = None;
    loop {
        let page = client
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .set_start_record_name(name)
            .set_start_record_type(kind)
            .set_max_items(only.map(|_| 20))
            .send()
            .await?;
        let mut past = false;
        for set in page.resource_record_sets() {
            if only.is_some_and(|only| plain(set.name()) != only) {
                past = true;
                break;
            }
            match record(set) {
                Some(record) => out.push(record),
                None => drop(others.insert(plain(set.name()))),
            }
        }
        name = page.next_record_name().map(str::to_owned);
        kind = page.next_record_type().cloned();
        if past || !page.is_truncated() || name.is_none() {
            return Ok((out, others));
        }
    }
}

/// Names as we write them: no final dot, `*` as itself, lower case.
pub(super) fn plain(name: &str) -> String {
    name.trim_end_matches('.').replace("\\052", "*").to_lowercase()
}

fn record(set: &ResourceRecordSet) -> Option<Record> {
    let alias = set.alias_target().map(|a| Alias {
        dns_name: plain(a.dns_name()),
        zone_id: a.hosted_zone_id().to_owned(),
        evaluate_target_health: a.evaluate_target_health(),
    });
    let ttl = set.ttl().and_then(|t| u32::try_from(t).ok()).unwrap_or(0);
    let values = || set.resource_records().iter().map(|r| r.value().to_owned()).collect::<Vec<_>>();
    let data = match (set.r#type(), alias) {
        (RrType::A, Some(alias)) => RecordData::A(alias),
        (RrType::Aaaa, Some(alias)) => RecordData::Aaaa(alias),
        (RrType::Txt, _) => RecordData::Txt { ttl, value: values().into_iter().next()? },
        (RrType::Cname, _) => RecordData::Cname { ttl, value: plain(&values().into_iter().next()?) },
        (kind @ (RrType::A | RrType::Aaaa), None) => {
            RecordData::Addresses { kind: kind.as_str().to_owned(), ttl, values: values() }
        }
        // NS, SOA, MX, CAA and the like may stand beside an alias.
        _ => return None,
    };
    let routing = set.set_identifier().map(|set_identifier| Routing {
        set_identifier: set_identifier.to_owned(),
        weight: set.weight().and_then(|w| u8::try_from(w).ok()),
    });
    Some(Record { name: plain(set.name()), routing, data })
}

async fn change(client: &Client, zone: &str, changes: Vec<RecordChange>) -> Result<AwsAnswer, Failure> {
    let built: Result<Vec<Change>, aws_smithy_types::error::operation::BuildError> =
        changes.into_iter().map(sdk_change).collect();
    let batch = built.and_then(|all| ChangeBatch::builder().set_changes(Some(all)).build());
    let batch =
        batch.map_err(|e| Failure::Refused(Refusal { class: RefusalClass::Invalid, message: e.to_string() }))?;
    let answer = client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await?;
    let info = answer
        .change_info()
        .ok_or_else(|| Failure::Unknown("ChangeResourceRecordSets answered without ChangeInfo".into()))?;
    let id = info.id().trim_start_matches("/change/").to_owned();
    Ok(AwsAnswer::Change { id, in_sync: *info.status() == ChangeStatus::Insync })
}

fn sdk_change(change: RecordChange) -> Result<Change, aws_smithy_types::error::operation::BuildError> {
    let RecordChange { action, record } = change;
    let set = ResourceRecordSet::builder()
        .name(record.name)
        .set_set_identifier(record.routing.as_ref().map(|r| r.set_identifier.clone()))
        .set_weight(record.routing.and_then(|r| r.weight).map(i64::from));
    let alias = |a: Alias| {
        AliasTarget::builder()
            .hosted_zone_id(a.zone_id)
            .dns_name(a.dns_name)
            .evaluate_target_health(a.evaluate_target_health)
            .build()
    };
    let values = |values: Vec<String>| {
        values.into_iter().map(|value| ResourceRecord::builder().value(value).build()).collect::<Result<Vec<_>, _>>()
    };
    let set = match record.data {
        RecordData::A(a) => set.r#type(RrType::A).alias_target(alias(a)?),
        RecordData::Aaaa(a) => set.r#type(RrType::Aaaa).alias_target(alias(a)?),
        RecordData::Txt { ttl, value } => {
            set.r#type(RrType::Txt).ttl(i64::from(ttl)).set_resource_records(Some(values(vec![value])?))
        }
        RecordData::Cname { ttl, value } => {
            set.r#type(RrType::Cname).ttl(i64::from(ttl)).set_resource_records(Some(values(vec![value])?))
        }
        RecordData::Addresses { kind, ttl, values: all } => {
            set.r#type(RrType::from(kind.as_str())).ttl(i64::from(ttl)).set_resource_records(Some(values(all)?))
        }
    };
    let action = match action {
        ChangeAction::Create => SdkAction::Create,
        ChangeAction::Delete => SdkAction::Delete,
    };
    Change::builder().action(action).resource_record_set(set.build()?).build()
}
