//! Changes: one call each.

use awsim_model::api::{acm, elbv2 as elb, route53 as r53};
use gatehouse_core::aws::{AwsAnswer, AwsCall, ChangeAction, ListenerKind};

use super::convert::{balancer, conditions, default_action, descriptions, listener, matcher, pairs, record_set, tags};
use super::{Adapter, Result};

impl Adapter<'_> {
    pub(super) fn write(&mut self, call: AwsCall) -> Result<AwsAnswer> {
        Ok(match call {
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
            other => unreachable!("{other:?} is no change"),
        })
    }
}
