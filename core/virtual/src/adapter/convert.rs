//! The engine's words and the model's, one for the other.

use std::collections::{BTreeMap, BTreeSet};

use awsim_model::Millis;
use awsim_model::api::{Tag, acm, elbv2 as elb, route53 as r53};
use gatehouse_core::aws::{
    Alias, CONTENT_TYPE, Certificate, CertificateDetails, CertificateStatus, DefaultAction, HealthCheck, Listener,
    ListenerKind, ListenerRule, LoadBalancer, ProtocolVersion, Record, RecordData, Routing, RuleCondition, Target,
    ValidationRecord, host_condition, meaning,
};
use gatehouse_crds::keys;

/// The wall clock's seconds at the model's start.
const EPOCH: i64 = 1_800_000_000;

pub(super) fn tags(tags: &[(String, String)]) -> Option<Vec<Tag>> {
    Some(tags.iter().map(|(k, v)| Tag::new(k, v)).collect())
}

pub(super) fn plain(name: &str) -> String {
    name.trim_end_matches('.').replace("\\052", "*").to_lowercase()
}

/// The model counts from its own start, the engine's wall clock from 1970.
fn wall(at: Option<Millis>) -> i64 {
    at.map_or(0, |at| EPOCH + i64::try_from(at.0 / 1000).unwrap())
}

pub(super) fn certificate(c: &acm::CertificateSummary) -> Certificate {
    Certificate {
        names: c.subject_alternative_name_summaries.iter().cloned().collect(),
        status: match c.status.as_str() {
            "ISSUED" => CertificateStatus::Issued,
            "PENDING_VALIDATION" => CertificateStatus::Pending,
            "FAILED" => CertificateStatus::Failed,
            "VALIDATION_TIMED_OUT" => CertificateStatus::TimedOut,
            _ => CertificateStatus::Unusable,
        },
        not_after: wall(c.not_after),
        created: wall(c.created_at),
        private_ca: c.kind == "PRIVATE",
        in_use: c.in_use,
        // Only what ACM issues can be ours.
        details: (c.kind != "AMAZON_ISSUED").then(CertificateDetails::default),
    }
}

pub(super) fn validation(name: &str, record: Option<acm::ValidationRecord>) -> Option<ValidationRecord> {
    let record = record?;
    let domain = name.trim_start_matches("*.").to_owned();
    Some(ValidationRecord { domain, name: plain(&record.name), value: plain(&record.value) })
}

pub(super) fn pairs(attributes: BTreeMap<String, String>) -> Vec<elb::Attribute> {
    attributes.into_iter().map(|(key, value)| elb::Attribute { key, value }).collect()
}

pub(super) fn descriptions(targets: &BTreeSet<Target>) -> Vec<elb::TargetDescription> {
    targets
        .iter()
        .map(|t| elb::TargetDescription {
            id: t.ip.to_string(),
            port: Some(i64::from(t.port)),
            availability_zone: None,
        })
        .collect()
}

pub(super) fn balancer(lb: elb::LoadBalancer) -> LoadBalancer {
    LoadBalancer {
        arn: lb.load_balancer_arn,
        dns_name: lb.dns_name.to_lowercase(),
        zone_id: lb.canonical_hosted_zone_id,
        active: lb.state.code == "active",
        subnets: lb.availability_zones.into_iter().map(|z| z.subnet_id).collect(),
        security_groups: lb.security_groups.into_iter().collect(),
        ip_address_type: lb.ip_address_type,
        tags: None,
        attributes: None,
    }
}

pub(super) fn listener(l: elb::Listener) -> Option<(ListenerKind, Listener)> {
    let kind = match l.port {
        80 => ListenerKind::Http,
        443 => ListenerKind::Https,
        _ => return None,
    };
    let default_action = l.default_actions.len() == 1 && means(kind, &l.default_actions[0]);
    let certificate = l.certificates.unwrap_or_default().into_iter().next().map(|c| c.certificate_arn);
    Some((kind, Listener { arn: l.listener_arn, certificate, ssl_policy: l.ssl_policy, default_action }))
}

pub(super) fn default_action(kind: ListenerKind) -> elb::Action {
    match kind.default_action() {
        DefaultAction::RedirectToHttps => elb::Action {
            kind: "redirect".into(),
            redirect_config: Some(elb::RedirectConfig {
                protocol: Some("HTTPS".into()),
                port: Some("443".into()),
                status_code: "HTTP_301".into(),
                ..Default::default()
            }),
            ..Default::default()
        },
        DefaultAction::NotFound => elb::Action {
            kind: "fixed-response".into(),
            fixed_response_config: Some(elb::FixedResponseConfig { status_code: "404".into(), ..Default::default() }),
            ..Default::default()
        },
    }
}

fn means(kind: ListenerKind, action: &elb::Action) -> bool {
    match kind.default_action() {
        DefaultAction::RedirectToHttps => action.redirect_config.as_ref().is_some_and(|r| {
            r.protocol.as_deref() == Some("HTTPS") && r.port.as_deref() == Some("443") && r.status_code == "HTTP_301"
        }),
        DefaultAction::NotFound => action.fixed_response_config.as_ref().is_some_and(|f| f.status_code == "404"),
    }
}

pub(super) fn health_check(group: &elb::TargetGroup) -> HealthCheck {
    let number = |n: i64| u32::try_from(n).unwrap();
    HealthCheck {
        protocol: group.protocol_version.as_deref().and_then(ProtocolVersion::parse).unwrap_or_default(),
        path: group.health_check_path.clone().unwrap_or_default(),
        port: group.health_check_port.parse().unwrap_or(0),
        interval: number(group.health_check_interval_seconds),
        timeout: number(group.health_check_timeout_seconds),
        healthy: number(group.healthy_threshold_count),
        unhealthy: number(group.unhealthy_threshold_count),
        codes: group.matcher.as_ref().and_then(|m| m.http_code.clone().or(m.grpc_code.clone())).unwrap_or_default(),
    }
}

pub(super) fn matcher(protocol: ProtocolVersion, codes: String) -> elb::Matcher {
    match protocol {
        ProtocolVersion::Http1 => elb::Matcher { http_code: Some(codes), grpc_code: None },
        ProtocolVersion::Grpc => elb::Matcher { http_code: None, grpc_code: Some(codes) },
    }
}

pub(super) fn conditions(
    hosts: &BTreeSet<gatehouse_route::Host>,
    protocol: ProtocolVersion,
) -> Vec<elb::RuleCondition> {
    let (values, regex) = host_condition(hosts);
    let some = |v: Vec<String>| (!v.is_empty()).then_some(v);
    let of_hosts = elb::RuleCondition {
        field: Some("host-header".into()),
        host_header_config: Some(elb::HostHeaderConfig { values: some(values), regex_values: some(regex) }),
        ..Default::default()
    };
    let types: Vec<String> = protocol.content_types().iter().map(ToString::to_string).collect();
    let of_content = (!types.is_empty()).then(|| elb::RuleCondition {
        field: Some("http-header".into()),
        http_header_config: Some(elb::HttpHeaderConfig {
            http_header_name: Some(CONTENT_TYPE.into()),
            values: Some(types),
            ..Default::default()
        }),
        ..Default::default()
    });
    std::iter::once(of_hosts).chain(of_content).collect()
}

pub(super) fn rule(r: &elb::Rule, tags: Option<&BTreeMap<String, String>>) -> ListenerRule {
    let transforms = r.transforms.iter().flatten().map(|_| RuleCondition::Other);
    let (hosts, protocol) = meaning(r.conditions.iter().map(condition).chain(transforms));
    ListenerRule {
        priority: r.priority.parse().unwrap(),
        hosts,
        protocol,
        target_group: r.actions.first().and_then(|a| a.target_group_arn.clone()),
        cluster: tags.and_then(|t| t.get(keys::TAG_CLUSTER).cloned()),
        namespace: tags.and_then(|t| t.get(keys::TAG_NAMESPACE).cloned()),
    }
}

fn condition(c: &elb::RuleCondition) -> RuleCondition<'_> {
    fn list(texts: &Option<Vec<String>>) -> &[String] {
        texts.as_deref().unwrap_or_default()
    }
    match (&c.host_header_config, &c.http_header_config) {
        (Some(host), None) => RuleCondition::Host { values: list(&host.values), regex: list(&host.regex_values) },
        (None, Some(header)) => RuleCondition::Header {
            name: header.http_header_name.as_deref().unwrap_or_default(),
            values: list(&header.values),
            regex: list(&header.regex_values),
        },
        _ => RuleCondition::Other,
    }
}

pub(super) fn record(set: &r53::ResourceRecordSet) -> Option<Record> {
    let alias = set.alias_target.as_ref().map(|a| Alias {
        dns_name: plain(&a.dns_name),
        zone_id: a.hosted_zone_id.clone(),
        evaluate_target_health: a.evaluate_target_health,
    });
    let ttl = u32::try_from(set.ttl.unwrap_or(0)).unwrap();
    let values: Vec<String> = set.resource_records.iter().flatten().map(|r| r.value.clone()).collect();
    let data = match (set.kind.as_str(), alias) {
        ("A", Some(alias)) => RecordData::A(alias),
        ("AAAA", Some(alias)) => RecordData::Aaaa(alias),
        ("TXT", _) => RecordData::Txt { ttl, value: values.first()?.clone() },
        ("CNAME", _) => RecordData::Cname { ttl, value: plain(values.first()?) },
        ("A" | "AAAA", _) => RecordData::Addresses { kind: set.kind.clone(), ttl, values },
        _ => return None,
    };
    let routing = set
        .set_identifier
        .clone()
        .map(|set_identifier| Routing { set_identifier, weight: set.weight.map(|w| u8::try_from(w).unwrap()) });
    Some(Record { name: plain(&set.name), routing, data })
}

pub(super) fn record_set(record: Record) -> r53::ResourceRecordSet {
    let alias = |a: Alias| {
        Some(r53::AliasTarget {
            hosted_zone_id: a.zone_id,
            dns_name: a.dns_name,
            evaluate_target_health: a.evaluate_target_health,
        })
    };
    let base = r53::ResourceRecordSet {
        name: record.name,
        set_identifier: record.routing.as_ref().map(|r| r.set_identifier.clone()),
        weight: record.routing.and_then(|r| r.weight).map(i64::from),
        ..Default::default()
    };
    let plain = |kind: &str, ttl: u32, values: Vec<String>| r53::ResourceRecordSet {
        kind: kind.into(),
        ttl: Some(i64::from(ttl)),
        resource_records: Some(values.into_iter().map(|value| r53::ResourceRecord { value }).collect()),
        ..base.clone()
    };
    match record.data {
        RecordData::A(a) => r53::ResourceRecordSet { kind: "A".into(), alias_target: alias(a), ..base },
        RecordData::Aaaa(a) => r53::ResourceRecordSet { kind: "AAAA".into(), alias_target: alias(a), ..base },
        RecordData::Txt { ttl, value } => plain("TXT", ttl, vec![value]),
        RecordData::Cname { ttl, value } => plain("CNAME", ttl, vec![value]),
        RecordData::Addresses { kind, ttl, values } => plain(&kind, ttl, values),
    }
}
