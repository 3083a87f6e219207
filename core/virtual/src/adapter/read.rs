//! Questions: each may be several calls.

use std::collections::BTreeMap;

use awsim_model::Millis;
use awsim_model::api::{acm, elbv2 as elb, route53 as r53};
use gatehouse_core::aws::{
    AwsAnswer, AwsCall, Certificate, CertificateDetails, CertificateStatus, DETAILS, HostedZone, Limits, LoadBalancer,
    Record, Target, TargetGroup, TargetState, ZoneRoom,
};

use super::convert::{balancer, certificate, health_check, listener, plain, record, rule, validation};
use super::{Adapter, Result};

impl Adapter<'_> {
    pub(super) fn read(&mut self, call: AwsCall) -> Result<AwsAnswer> {
        Ok(match call {
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
            other => unreachable!("{other:?} is no question"),
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
