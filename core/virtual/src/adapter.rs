//! Puts the engine's calls to the model of AWS, as the operator's adapter does on the wire.

use std::collections::{BTreeMap, BTreeSet};

use awsim_model::api::{Tag, acm, elbv2 as elb, route53 as r53, sts};
use awsim_model::{Aws, AwsError, Call, Caller, Millis};
use gatehouse_core::aws::{
    Alias, AwsAnswer, AwsCall, Certificate, CertificateDetails, CertificateStatus, ChangeAction, DETAILS,
    DefaultAction, HealthCheck, HostedZone, Limits, Listener, ListenerKind, ListenerRule, LoadBalancer,
    ProtocolVersion, Record, RecordData, Refusal, RefusalClass, Routing, Target, TargetGroup, TargetState,
    ValidationRecord, ZoneRoom, host_condition, hosts_of_condition,
};
use gatehouse_crds::keys;

/// The wall clock's seconds at the model's start.
const EPOCH: i64 = 1_800_000_000;

/// The model and who calls it.
pub struct Adapter<'a> {
    /// AWS.
    pub aws: &'a mut Aws,
    /// Milliseconds.
    pub now: u64,
    /// Who calls.
    pub caller: &'a Caller,
    /// The role of another account to call as; empty for our own.
    pub role: &'a str,
}

type Result<T> = std::result::Result<T, Refusal>;

fn refusal(error: AwsError) -> Refusal {
    let class = match error.code.as_str() {
        "Throttling" | "ThrottlingException" => RefusalClass::Throttled,
        "PriorRequestNotComplete" | "InternalFailure" | "ServiceUnavailable" => RefusalClass::Transient,
        "AccessDenied" | "AccessDeniedException" => RefusalClass::Denied,
        code if code.starts_with("TooMany") || code == "LimitExceededException" => RefusalClass::Quota,
        "ValidationError" | "ValidationException" | "InvalidConfigurationRequest" => RefusalClass::Invalid,
        _ => RefusalClass::Stale,
    };
    Refusal { class, message: error.to_string() }
}

fn tags(tags: &[(String, String)]) -> Option<Vec<Tag>> {
    Some(tags.iter().map(|(k, v)| Tag::new(k, v)).collect())
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').replace("\\052", "*").to_lowercase()
}

impl Adapter<'_> {
    fn ask<C: Call>(&mut self, call: C) -> Result<C::Answer> {
        self.aws.ask(Millis(self.now), self.caller, call).map_err(refusal)
    }

    /// Calls as a role of another account.
    fn assumed(&mut self, role: &str) -> Result<Caller> {
        let (role_arn, role_session_name) = (role.to_owned(), "gatehouse".to_owned());
        let session = self.ask(sts::AssumeRole { role_arn, role_session_name, ..Default::default() })?;
        Ok(Caller::admin(session.credentials.access_key_id))
    }

    fn tags_of(&mut self, arns: Vec<String>) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let mut out = BTreeMap::new();
        for chunk in arns.chunks(20) {
            let answer = self.ask(elb::DescribeTags { resource_arns: chunk.to_vec() })?;
            for d in answer.tag_descriptions {
                out.insert(d.resource_arn, d.tags.into_iter().map(|t| (t.key, t.value)).collect());
            }
        }
        Ok(out)
    }

    /// Answers one call.
    ///
    /// # Errors
    /// AWS's refusal, in the engine's words.
    ///
    /// # Panics
    /// When the model answers in a shape that AWS does not have.
    pub fn call(&mut self, call: &AwsCall) -> Result<AwsAnswer> {
        let zonal = matches!(
            call,
            AwsCall::ReadZoneLimit { .. }
                | AwsCall::ReadZoneRecords { .. }
                | AwsCall::ReadRecords { .. }
                | AwsCall::ReadValidation { .. }
                | AwsCall::ReadChange { .. }
                | AwsCall::ChangeRecords { .. }
        );
        if zonal && !self.role.is_empty() {
            let caller = self.assumed(self.role)?;
            return Adapter { aws: self.aws, now: self.now, caller: &caller, role: "" }.call(call);
        }
        Ok(match call.clone() {
            AwsCall::ReadLimits => {
                let all: BTreeMap<String, u32> = self
                    .ask(elb::DescribeAccountLimits::default())?
                    .limits
                    .into_iter()
                    .map(|l| (l.name, l.max.parse().unwrap()))
                    .collect();
                AwsAnswer::Limits(Limits {
                    rules: all["rules-per-application-load-balancer"],
                    target_groups: all["target-groups-per-application-load-balancer"],
                    targets: all["targets-per-application-load-balancer"],
                    certificates: all["certificates-per-application-load-balancer"],
                    load_balancers: all["application-load-balancers"],
                    region_target_groups: all["target-groups"],
                })
            }
            AwsCall::ReadZones { roles } => {
                let mut zones = self.ask(r53::ListHostedZones::default())?.hosted_zones;
                for (id, role) in roles {
                    // A role that cannot be assumed hides its zone only.
                    let Ok(caller) = self.assumed(&role) else { continue };
                    let found = self.aws.ask(Millis(self.now), &caller, r53::GetHostedZone { id });
                    zones.extend(found.map(|answer| answer.hosted_zone));
                }
                let zone = |z: r53::HostedZone| HostedZone {
                    id: z.id.trim_start_matches("/hostedzone/").to_owned(),
                    name: plain(&z.name),
                    private: z.config.private_zone,
                };
                AwsAnswer::Zones(zones.into_iter().map(zone).collect())
            }
            AwsCall::ReadCertificates { known } => AwsAnswer::Certificates(self.certificates(&known)?),
            AwsCall::RequestCertificate { names, token, tags: t } => {
                let call = acm::RequestCertificate {
                    domain_name: names[0].clone(),
                    subject_alternative_names: Some(names),
                    validation_method: Some("DNS".into()),
                    idempotency_token: Some(token),
                    tags: tags(&t),
                    ..Default::default()
                };
                AwsAnswer::Arn(self.ask(call)?.certificate_arn)
            }
            AwsCall::DeleteCertificate { certificate } => {
                self.ask(acm::DeleteCertificate { certificate_arn: certificate })?;
                AwsAnswer::Done
            }
            AwsCall::ReadValidation { zone, name } => {
                AwsAnswer::Records(self.records(&zone)?.into_iter().filter(|r| r.name == name).collect())
            }
            AwsCall::ReadTargetGroups { prefix } => {
                let (mut ours, mut others) = (Vec::new(), 0);
                let mut marker = None;
                loop {
                    let page = self.ask(elb::DescribeTargetGroups { marker, ..Default::default() })?;
                    let (mine, theirs): (Vec<_>, Vec<_>) =
                        page.target_groups.into_iter().partition(|g| g.target_group_name.starts_with(&prefix));
                    ours.extend(mine);
                    others += u32::try_from(theirs.len()).unwrap();
                    marker = page.next_marker;
                    if marker.is_none() {
                        break;
                    }
                }
                AwsAnswer::RegionGroups { ours: self.groups(ours, false)?, others }
            }
            AwsCall::ReadTargetGroup { name } => {
                let found = match self.ask(elb::DescribeTargetGroups { names: Some(vec![name]), ..Default::default() })
                {
                    Ok(page) => page.target_groups,
                    Err(e) if e.message.starts_with("TargetGroupNotFound") => Vec::new(),
                    Err(e) => return Err(e),
                };
                AwsAnswer::TargetGroups(self.groups(found, true)?)
            }
            AwsCall::ReadLoadBalancers { prefix } => {
                let mut all = Vec::new();
                let mut marker = None;
                loop {
                    let page = self.ask(elb::DescribeLoadBalancers { marker, ..Default::default() })?;
                    all.extend(page.load_balancers);
                    marker = page.next_marker;
                    if marker.is_none() {
                        break;
                    }
                }
                let count = u32::try_from(all.len()).unwrap();
                all.retain(|lb| lb.load_balancer_name.starts_with(&prefix));
                let mut tags = self.tags_of(all.iter().map(|lb| lb.load_balancer_arn.clone()).collect())?;
                let tags = all
                    .into_iter()
                    .map(|lb| (lb.load_balancer_name, tags.remove(&lb.load_balancer_arn).unwrap_or_default()))
                    .collect();
                AwsAnswer::LoadBalancers { count, tags }
            }
            AwsCall::ReadLoadBalancer { name } => {
                let found = match self.ask(elb::DescribeLoadBalancers { names: Some(vec![name]), ..Default::default() })
                {
                    Ok(page) => page.load_balancers.into_iter().next(),
                    Err(e) if e.message.starts_with("LoadBalancerNotFound") => None,
                    Err(e) => return Err(e),
                };
                let Some(lb) = found else { return Ok(AwsAnswer::LoadBalancer(None)) };
                let arn = lb.load_balancer_arn.clone();
                let tags = self.tags_of(vec![arn.clone()])?.remove(&arn);
                let attributes = self.ask(elb::DescribeLoadBalancerAttributes { load_balancer_arn: arn })?.attributes;
                let attributes = attributes.into_iter().map(|a| (a.key, a.value)).collect();
                AwsAnswer::LoadBalancer(Some(LoadBalancer { tags, attributes: Some(attributes), ..balancer(lb) }))
            }
            AwsCall::ReadListeners { load_balancer } => {
                let page =
                    self.ask(elb::DescribeListeners { load_balancer_arn: Some(load_balancer), ..Default::default() })?;
                AwsAnswer::Listeners(page.listeners.into_iter().filter_map(listener).collect())
            }
            AwsCall::ReadRules { listener, known } => {
                let mut rules = Vec::new();
                let mut marker = None;
                loop {
                    let page = self.ask(elb::DescribeRules {
                        listener_arn: Some(listener.clone()),
                        marker,
                        ..Default::default()
                    })?;
                    rules.extend(page.rules);
                    marker = page.next_marker;
                    if marker.is_none() {
                        break;
                    }
                }
                rules.retain(|r| !r.is_default);
                let unknown = rules.iter().map(|r| r.rule_arn.clone()).filter(|arn| !known.contains(arn)).collect();
                let tags = self.tags_of(unknown)?;
                AwsAnswer::Rules(
                    rules.into_iter().map(|r| (r.rule_arn.clone(), rule(&r, tags.get(&r.rule_arn)))).collect(),
                )
            }
            AwsCall::ReadListenerCertificates { listener } => {
                let page =
                    self.ask(elb::DescribeListenerCertificates { listener_arn: listener, ..Default::default() })?;
                let extra =
                    page.certificates.into_iter().filter(|c| c.is_default != Some(true)).map(|c| c.certificate_arn);
                AwsAnswer::ListenerCertificates(extra.collect())
            }
            AwsCall::ReadTargetHealth { target_group } => {
                let page =
                    self.ask(elb::DescribeTargetHealth { target_group_arn: target_group, ..Default::default() })?;
                let one = |d: elb::TargetHealthDescription| {
                    let target = Target {
                        ip: d.target.id.parse().unwrap(),
                        port: u16::try_from(d.target.port.unwrap()).unwrap(),
                    };
                    let state = match d.target_health.state.as_str() {
                        "initial" => TargetState::Initial,
                        "healthy" => TargetState::Healthy,
                        "unhealthy" => TargetState::Unhealthy,
                        "unused" => TargetState::Unused,
                        "draining" => TargetState::Draining,
                        _ => TargetState::Unavailable,
                    };
                    (target, state)
                };
                AwsAnswer::TargetHealth(page.target_health_descriptions.into_iter().map(one).collect())
            }
            AwsCall::ReadZoneLimit { zone } => {
                let kind = "MAX_RRSETS_BY_ZONE".to_owned();
                let answer = self.ask(r53::GetHostedZoneLimit { kind, hosted_zone_id: zone })?;
                let count = |n: i64| u64::try_from(n).unwrap();
                AwsAnswer::ZoneLimit(ZoneRoom { records: count(answer.count), limit: count(answer.limit.value) })
            }
            AwsCall::ReadZoneRecords { zone } => {
                let sets = self.record_sets(&zone)?;
                let others = sets.iter().filter(|set| record(set).is_none()).map(|set| plain(&set.name)).collect();
                AwsAnswer::ZoneRecords { records: sets.iter().filter_map(record).collect(), others }
            }
            AwsCall::ReadRecords { zone, names } => {
                AwsAnswer::Records(self.records(&zone)?.into_iter().filter(|r| names.contains(&r.name)).collect())
            }
            AwsCall::ReadChange { change } => {
                let info = self.ask(r53::GetChange { id: change.clone() })?.change_info;
                AwsAnswer::Change { id: change, in_sync: info.status == "INSYNC" }
            }
            AwsCall::CreateLoadBalancer { name, subnets, security_groups, scheme, ip_address_type, tags: t } => {
                let call = elb::CreateLoadBalancer {
                    name,
                    subnets: Some(subnets),
                    security_groups: Some(security_groups),
                    scheme: Some(scheme),
                    ip_address_type: Some(ip_address_type),
                    tags: tags(&t),
                    ..Default::default()
                };
                AwsAnswer::LoadBalancer(self.ask(call)?.load_balancers.into_iter().next().map(balancer))
            }
            AwsCall::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
                self.ask(elb::ModifyLoadBalancerAttributes {
                    load_balancer_arn: load_balancer,
                    attributes: pairs(attributes),
                })?;
                AwsAnswer::Done
            }
            AwsCall::DeleteLoadBalancer { load_balancer } => {
                self.ask(elb::DeleteLoadBalancer { load_balancer_arn: load_balancer })?;
                AwsAnswer::Done
            }
            AwsCall::SetSubnets { load_balancer, subnets } => {
                self.ask(elb::SetSubnets {
                    load_balancer_arn: load_balancer,
                    subnets: Some(subnets.into_iter().collect()),
                    ..Default::default()
                })?;
                AwsAnswer::Done
            }
            AwsCall::SetSecurityGroups { load_balancer, security_groups } => {
                self.ask(elb::SetSecurityGroups {
                    load_balancer_arn: load_balancer,
                    security_groups: security_groups.into_iter().collect(),
                })?;
                AwsAnswer::Done
            }
            AwsCall::SetIpAddressType { load_balancer, ip_address_type } => {
                self.ask(elb::SetIpAddressType { load_balancer_arn: load_balancer, ip_address_type })?;
                AwsAnswer::Done
            }
            AwsCall::AddTags { resource, tags: t } => {
                self.ask(elb::AddTags { resource_arns: vec![resource], tags: tags(&t).unwrap_or_default() })?;
                AwsAnswer::Done
            }
            AwsCall::CreateListener { load_balancer, kind, certificate, ssl_policy, tags: t } => {
                let http = kind == ListenerKind::Http;
                let call = elb::CreateListener {
                    load_balancer_arn: load_balancer,
                    protocol: Some(if http { "HTTP" } else { "HTTPS" }.into()),
                    port: Some(if http { 80 } else { 443 }),
                    ssl_policy,
                    certificates: certificate
                        .map(|arn| vec![elb::Certificate { certificate_arn: arn, is_default: None }]),
                    default_actions: vec![default_action(kind)],
                    tags: tags(&t),
                };
                AwsAnswer::Listeners(self.ask(call)?.listeners.into_iter().filter_map(listener).collect())
            }
            AwsCall::ModifyListener { listener, kind, certificate, ssl_policy } => {
                let call = elb::ModifyListener {
                    listener_arn: listener,
                    certificates: certificate
                        .map(|arn| vec![elb::Certificate { certificate_arn: arn, is_default: None }]),
                    ssl_policy,
                    default_actions: Some(vec![default_action(kind)]),
                    ..Default::default()
                };
                self.ask(call)?;
                AwsAnswer::Done
            }
            AwsCall::DeleteListener { listener } => {
                self.ask(elb::DeleteListener { listener_arn: listener })?;
                AwsAnswer::Done
            }
            AwsCall::AddListenerCertificates { listener, certificate } => {
                let certificates = vec![elb::Certificate { certificate_arn: certificate, is_default: None }];
                self.ask(elb::AddListenerCertificates { listener_arn: listener, certificates })?;
                AwsAnswer::Done
            }
            AwsCall::RemoveListenerCertificates { listener, certificate } => {
                let certificates = vec![elb::Certificate { certificate_arn: certificate, is_default: None }];
                self.ask(elb::RemoveListenerCertificates { listener_arn: listener, certificates })?;
                AwsAnswer::Done
            }
            AwsCall::CreateRule { listener, priority, hosts, protocol, target_group, tags: t } => {
                let call = elb::CreateRule {
                    listener_arn: listener,
                    conditions: conditions(&hosts, protocol),
                    priority: i64::from(priority),
                    actions: vec![elb::Action {
                        kind: "forward".into(),
                        target_group_arn: Some(target_group),
                        ..Default::default()
                    }],
                    tags: tags(&t),
                    ..Default::default()
                };
                AwsAnswer::Arn(self.ask(call)?.rules.remove(0).rule_arn)
            }
            AwsCall::ModifyRule { rule, hosts, protocol } => {
                self.ask(elb::ModifyRule {
                    rule_arn: rule,
                    conditions: Some(conditions(&hosts, protocol)),
                    ..Default::default()
                })?;
                AwsAnswer::Done
            }
            AwsCall::SetRulePriorities { priorities } => {
                let pair = |(rule_arn, priority)| elb::RulePriorityPair { rule_arn, priority: i64::from(priority) };
                self.ask(elb::SetRulePriorities {
                    rule_priorities: priorities.into_iter().map(|(a, p)| pair((a, p))).collect(),
                })?;
                AwsAnswer::Done
            }
            AwsCall::DeleteRule { rule } => {
                self.ask(elb::DeleteRule { rule_arn: rule })?;
                AwsAnswer::Done
            }
            AwsCall::CreateTargetGroup { name, vpc, port, ipv6, health_check: h, tags: t } => {
                let call = elb::CreateTargetGroup {
                    name,
                    protocol: Some("HTTP".into()),
                    protocol_version: Some(h.protocol.as_str().into()),
                    port: Some(i64::from(port)),
                    vpc_id: Some(vpc),
                    target_type: Some("ip".into()),
                    ip_address_type: Some(if ipv6 { "ipv6" } else { "ipv4" }.into()),
                    health_check_protocol: Some("HTTP".into()),
                    health_check_port: Some(h.port.to_string()),
                    health_check_path: Some(h.path),
                    health_check_interval_seconds: Some(i64::from(h.interval)),
                    health_check_timeout_seconds: Some(i64::from(h.timeout)),
                    healthy_threshold_count: Some(i64::from(h.healthy)),
                    unhealthy_threshold_count: Some(i64::from(h.unhealthy)),
                    matcher: Some(matcher(h.protocol, h.codes)),
                    tags: tags(&t),
                    ..Default::default()
                };
                AwsAnswer::Arn(self.ask(call)?.target_groups.remove(0).target_group_arn)
            }
            AwsCall::ModifyTargetGroupAttributes { target_group, attributes } => {
                self.ask(elb::ModifyTargetGroupAttributes {
                    target_group_arn: target_group,
                    attributes: pairs(attributes),
                })?;
                AwsAnswer::Done
            }
            AwsCall::ModifyTargetGroup { target_group, health_check: h } => {
                self.ask(elb::ModifyTargetGroup {
                    target_group_arn: target_group,
                    health_check_protocol: Some("HTTP".into()),
                    health_check_port: Some(h.port.to_string()),
                    health_check_path: Some(h.path),
                    health_check_interval_seconds: Some(i64::from(h.interval)),
                    health_check_timeout_seconds: Some(i64::from(h.timeout)),
                    healthy_threshold_count: Some(i64::from(h.healthy)),
                    unhealthy_threshold_count: Some(i64::from(h.unhealthy)),
                    matcher: Some(matcher(h.protocol, h.codes)),
                    ..Default::default()
                })?;
                AwsAnswer::Done
            }
            AwsCall::DeleteTargetGroup { target_group } => {
                self.ask(elb::DeleteTargetGroup { target_group_arn: target_group })?;
                AwsAnswer::Done
            }
            AwsCall::RegisterTargets { target_group, targets } => {
                self.ask(elb::RegisterTargets { target_group_arn: target_group, targets: descriptions(&targets) })?;
                AwsAnswer::Done
            }
            AwsCall::DeregisterTargets { target_group, targets } => {
                self.ask(elb::DeregisterTargets { target_group_arn: target_group, targets: descriptions(&targets) })?;
                AwsAnswer::Done
            }
            AwsCall::ChangeRecords { zone, changes } => {
                let changes = changes.into_iter().map(|c| r53::Change {
                    action: if c.action == ChangeAction::Create { "CREATE" } else { "DELETE" }.into(),
                    resource_record_set: record_set(c.record),
                });
                let change_batch = r53::ChangeBatch { comment: None, changes: changes.collect() };
                let info = self.ask(r53::ChangeResourceRecordSets { hosted_zone_id: zone, change_batch })?.change_info;
                AwsAnswer::Change { id: info.id, in_sync: info.status == "INSYNC" }
            }
        })
    }

    fn certificates(&mut self, known: &BTreeMap<String, CertificateStatus>) -> Result<BTreeMap<String, Certificate>> {
        let types = ["RSA_2048", "EC_prime256v1"].map(str::to_owned).to_vec();
        let mut out = BTreeMap::new();
        let mut next_token = None;
        loop {
            let includes = Some(acm::CertificateFilters { key_types: Some(types.clone()), ..Default::default() });
            let page = self.ask(acm::ListCertificates { includes, next_token, ..Default::default() })?;
            for summary in page.certificate_summary_list {
                out.insert(summary.certificate_arn.clone(), certificate(&summary));
            }
            next_token = page.next_token;
            if next_token.is_none() {
                break;
            }
        }
        let unknown = out.iter_mut().filter(|(arn, c)| c.details.is_none() && known.get(*arn) != Some(&c.status));
        for (arn, certificate) in unknown.take(DETAILS) {
            let tags = self.ask(acm::ListTagsForCertificate { certificate_arn: arn.clone() })?.tags;
            let tags = tags.into_iter().map(|t| (t.key, t.value)).collect();
            let mut details = CertificateDetails::from_tags(&tags);
            if details.cluster.is_some() || certificate.status == CertificateStatus::Failed {
                let whole = self.ask(acm::DescribeCertificate { certificate_arn: arn.clone() })?.certificate;
                details.failure = whole.failure_reason;
                let options = whole.domain_validation_options.into_iter().flatten();
                details.records = options.filter_map(|o| validation(&o.domain_name, o.resource_record)).collect();
            }
            certificate.details = Some(details);
        }
        Ok(out)
    }

    fn groups(&mut self, found: Vec<elb::TargetGroup>, attributes: bool) -> Result<BTreeMap<String, TargetGroup>> {
        let tags = self.tags_of(found.iter().map(|g| g.target_group_arn.clone()).collect())?;
        let mut out = BTreeMap::new();
        for group in found {
            let health_check = health_check(&group);
            let arn = group.target_group_arn;
            let attributes = if attributes {
                let all = self.ask(elb::DescribeTargetGroupAttributes { target_group_arn: arn.clone() })?.attributes;
                Some(all.into_iter().map(|a| (a.key, a.value)).collect())
            } else {
                None
            };
            out.insert(
                group.target_group_name,
                TargetGroup { tags: tags.get(&arn).cloned().unwrap_or_default(), arn, health_check, attributes },
            );
        }
        Ok(out)
    }

    fn records(&mut self, zone: &str) -> Result<Vec<Record>> {
        Ok(self.record_sets(zone)?.iter().filter_map(record).collect())
    }

    fn record_sets(&mut self, zone: &str) -> Result<Vec<r53::ResourceRecordSet>> {
        let mut out = Vec::new();
        let mut next: Option<(String, String)> = None;
        loop {
            let (name, kind) = next.clone().unzip();
            let call = r53::ListResourceRecordSets {
                hosted_zone_id: zone.to_owned(),
                start_record_name: name,
                start_record_type: kind,
                ..Default::default()
            };
            let page = self.ask(call)?;
            out.extend(page.resource_record_sets);
            match (page.next_record_name, page.next_record_type) {
                (Some(name), Some(kind)) => next = Some((name, kind)),
                _ => return Ok(out),
            }
        }
    }
}

/// The model counts from its own start, the engine's wall clock from 1970.
fn wall(at: Option<Millis>) -> i64 {
    at.map_or(0, |at| EPOCH + i64::try_from(at.0 / 1000).unwrap())
}

fn certificate(c: &acm::CertificateSummary) -> Certificate {
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

fn validation(name: &str, record: Option<acm::ValidationRecord>) -> Option<ValidationRecord> {
    let record = record?;
    let domain = name.trim_start_matches("*.").to_owned();
    Some(ValidationRecord { domain, name: plain(&record.name), value: plain(&record.value) })
}

fn pairs(attributes: BTreeMap<String, String>) -> Vec<elb::Attribute> {
    attributes.into_iter().map(|(key, value)| elb::Attribute { key, value }).collect()
}

fn descriptions(targets: &BTreeSet<Target>) -> Vec<elb::TargetDescription> {
    targets
        .iter()
        .map(|t| elb::TargetDescription {
            id: t.ip.to_string(),
            port: Some(i64::from(t.port)),
            availability_zone: None,
        })
        .collect()
}

fn balancer(lb: elb::LoadBalancer) -> LoadBalancer {
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

fn listener(l: elb::Listener) -> Option<(ListenerKind, Listener)> {
    let kind = match l.port {
        80 => ListenerKind::Http,
        443 => ListenerKind::Https,
        _ => return None,
    };
    let default_action = l.default_actions.len() == 1 && means(kind, &l.default_actions[0]);
    let certificate = l.certificates.unwrap_or_default().into_iter().next().map(|c| c.certificate_arn);
    Some((kind, Listener { arn: l.listener_arn, certificate, ssl_policy: l.ssl_policy, default_action }))
}

fn default_action(kind: ListenerKind) -> elb::Action {
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

fn health_check(group: &elb::TargetGroup) -> HealthCheck {
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

fn matcher(protocol: ProtocolVersion, codes: String) -> elb::Matcher {
    match protocol {
        ProtocolVersion::Http1 => elb::Matcher { http_code: Some(codes), grpc_code: None },
        ProtocolVersion::Grpc => elb::Matcher { http_code: None, grpc_code: Some(codes) },
    }
}

fn conditions(hosts: &BTreeSet<gatehouse_route::Host>, protocol: ProtocolVersion) -> Vec<elb::RuleCondition> {
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
            http_header_name: Some("content-type".into()),
            values: Some(types),
            ..Default::default()
        }),
        ..Default::default()
    });
    std::iter::once(of_hosts).chain(of_content).collect()
}

fn rule(r: &elb::Rule, tags: Option<&BTreeMap<String, String>>) -> ListenerRule {
    let list = |v: &Option<Vec<String>>| v.clone().unwrap_or_default();
    let of_hosts = r.conditions.iter().find_map(|c| c.host_header_config.as_ref());
    let of_content = r.conditions.iter().find_map(|c| c.http_header_config.as_ref());
    let types = of_content.map(|h| list(&h.values)).unwrap_or_default();
    let protocol = ProtocolVersion::of_content_types(types.iter().map(String::as_str));
    let whole = r.conditions.len() == usize::from(of_hosts.is_some()) + usize::from(of_content.is_some())
        && of_content
            .is_none_or(|h| h.http_header_name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case("content-type")))
        && r.transforms.as_ref().is_none_or(Vec::is_empty);
    let hosts = of_hosts.filter(|_| whole && protocol.is_some()).map_or_else(BTreeSet::new, |h| {
        let (values, regex) = (list(&h.values), list(&h.regex_values));
        hosts_of_condition(values.iter().map(String::as_str), regex.iter().map(String::as_str))
    });
    ListenerRule {
        priority: r.priority.parse().unwrap(),
        hosts,
        protocol: protocol.unwrap_or_default(),
        target_group: r.actions.first().and_then(|a| a.target_group_arn.clone()),
        cluster: tags.and_then(|t| t.get(keys::TAG_CLUSTER).cloned()),
        namespace: tags.and_then(|t| t.get(keys::TAG_NAMESPACE).cloned()),
    }
}

fn record(set: &r53::ResourceRecordSet) -> Option<Record> {
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

fn record_set(record: Record) -> r53::ResourceRecordSet {
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
