//! Elastic Load Balancing v2. Reads page; composite reads are several calls.

mod read;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Certificate, FixedResponseActionConfig, HostHeaderConditionConfig,
    HttpHeaderConditionConfig, IpAddressType, LoadBalancerAttribute, LoadBalancerSchemeEnum, Matcher, ProtocolEnum,
    RedirectActionConfig, RedirectActionStatusCodeEnum, RuleCondition, RulePriorityPair, Tag, TargetDescription,
    TargetGroupAttribute, TargetGroupIpAddressTypeEnum, TargetTypeEnum,
};
use gatehouse_core::aws::{
    AwsAnswer, AwsCall, CONTENT_TYPE, DefaultAction, ListenerKind, ProtocolVersion, Refusal, RefusalClass, Target,
    host_condition,
};

use super::Failure;

pub(super) async fn call(client: &Client, call: AwsCall) -> Result<AwsAnswer, Failure> {
    match call {
        AwsCall::ReadLimits => return read::limits(client).await,
        AwsCall::ReadTargetGroups { prefix } => return read::target_groups(client, &prefix).await,
        AwsCall::ReadTargetGroup { name } => return read::target_group(client, &name).await,
        AwsCall::ReadLoadBalancers { prefix } => return read::load_balancers(client, &prefix).await,
        AwsCall::ReadLoadBalancer { name } => return read::load_balancer(client, &name).await,
        AwsCall::ReadListeners { load_balancer } => return read::listeners(client, &load_balancer).await,
        AwsCall::ReadRules { listener, known } => return read::rules(client, &listener, &known).await,
        AwsCall::ReadListenerCertificates { listener } => return read::listener_certificates(client, &listener).await,
        AwsCall::ReadTargetHealth { target_group } => return read::target_health(client, &target_group).await,
        AwsCall::CreateLoadBalancer { name, subnets, security_groups, scheme, ip_address_type, tags: t } => {
            let answer = client
                .create_load_balancer()
                .name(name)
                .set_subnets(Some(subnets))
                .set_security_groups(Some(security_groups))
                .scheme(LoadBalancerSchemeEnum::from(scheme.as_str()))
                .ip_address_type(IpAddressType::from(ip_address_type.as_str()))
                .set_tags(Some(tags(&t)))
                .send()
                .await?;
            return Ok(AwsAnswer::LoadBalancer(answer.load_balancers().first().and_then(read::balancer)));
        }
        AwsCall::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
            let one = |(k, v)| LoadBalancerAttribute::builder().key(k).value(v).build();
            let attributes = attributes.into_iter().map(one).collect();
            client
                .modify_load_balancer_attributes()
                .load_balancer_arn(load_balancer)
                .set_attributes(Some(attributes))
                .send()
                .await?;
        }
        AwsCall::SetSubnets { load_balancer, subnets } => {
            let subnets = subnets.into_iter().collect();
            client.set_subnets().load_balancer_arn(load_balancer).set_subnets(Some(subnets)).send().await?;
        }
        AwsCall::SetSecurityGroups { load_balancer, security_groups } => {
            let groups = security_groups.into_iter().collect();
            client
                .set_security_groups()
                .load_balancer_arn(load_balancer)
                .set_security_groups(Some(groups))
                .send()
                .await?;
        }
        AwsCall::SetIpAddressType { load_balancer, ip_address_type } => {
            let kind = IpAddressType::from(ip_address_type.as_str());
            client.set_ip_address_type().load_balancer_arn(load_balancer).ip_address_type(kind).send().await?;
        }
        AwsCall::AddTags { resource, tags: t } => {
            client.add_tags().resource_arns(resource).set_tags(Some(tags(&t))).send().await?;
        }
        AwsCall::DeleteLoadBalancer { load_balancer } => {
            client.delete_load_balancer().load_balancer_arn(load_balancer).send().await?;
        }
        AwsCall::CreateListener { load_balancer, kind, certificate: arn, ssl_policy, tags: t } => {
            let (protocol, port) = match kind {
                ListenerKind::Http => (ProtocolEnum::Http, 80),
                ListenerKind::Https => (ProtocolEnum::Https, 443),
            };
            let answer = client
                .create_listener()
                .load_balancer_arn(load_balancer)
                .protocol(protocol)
                .port(port)
                .set_ssl_policy(ssl_policy)
                .set_certificates(arn.map(|arn| vec![certificate(arn)]))
                .default_actions(default_action(kind))
                .set_tags(Some(tags(&t)))
                .send()
                .await?;
            return Ok(AwsAnswer::Listeners(answer.listeners().iter().filter_map(read::listener).collect()));
        }
        AwsCall::ModifyListener { listener, kind, certificate: arn, ssl_policy } => {
            client
                .modify_listener()
                .listener_arn(listener)
                .set_certificates(arn.map(|arn| vec![certificate(arn)]))
                .set_ssl_policy(ssl_policy)
                .default_actions(default_action(kind))
                .send()
                .await?;
        }
        AwsCall::DeleteListener { listener } => {
            client.delete_listener().listener_arn(listener).send().await?;
        }
        AwsCall::AddListenerCertificates { listener, certificate: arn } => {
            client.add_listener_certificates().listener_arn(listener).certificates(certificate(arn)).send().await?;
        }
        AwsCall::RemoveListenerCertificates { listener, certificate: arn } => {
            client.remove_listener_certificates().listener_arn(listener).certificates(certificate(arn)).send().await?;
        }
        AwsCall::CreateRule { listener, priority, hosts, protocol, target_group, tags: t } => {
            let answer = client
                .create_rule()
                .listener_arn(listener)
                .priority(i32::try_from(priority).unwrap_or(i32::MAX))
                .set_conditions(Some(conditions(&hosts, protocol)))
                .actions(Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build())
                .set_tags(Some(tags(&t)))
                .send()
                .await?;
            return arn(answer.rules().first().and_then(|r| r.rule_arn()));
        }
        AwsCall::ModifyRule { rule, hosts, protocol } => {
            client.modify_rule().rule_arn(rule).set_conditions(Some(conditions(&hosts, protocol))).send().await?;
        }
        AwsCall::SetRulePriorities { priorities } => {
            let pair = |(arn, priority)| {
                let priority = i32::try_from(priority).unwrap_or(i32::MAX);
                RulePriorityPair::builder().rule_arn(arn).priority(priority).build()
            };
            let pairs = priorities.into_iter().map(|(a, p): (String, u32)| pair((a, p))).collect();
            client.set_rule_priorities().set_rule_priorities(Some(pairs)).send().await?;
        }
        AwsCall::DeleteRule { rule } => {
            client.delete_rule().rule_arn(rule).send().await?;
        }
        AwsCall::CreateTargetGroup { name, vpc, port, ipv6, health_check: h, tags: t } => {
            let family = if ipv6 { TargetGroupIpAddressTypeEnum::Ipv6 } else { TargetGroupIpAddressTypeEnum::Ipv4 };
            let answer = client
                .create_target_group()
                .name(name)
                .protocol(ProtocolEnum::Http)
                .protocol_version(h.protocol.as_str())
                .port(i32::from(port))
                .vpc_id(vpc)
                .target_type(TargetTypeEnum::Ip)
                .ip_address_type(family)
                .health_check_protocol(ProtocolEnum::Http)
                .health_check_port(h.port.to_string())
                .health_check_path(h.path)
                .health_check_interval_seconds(number(h.interval))
                .health_check_timeout_seconds(number(h.timeout))
                .healthy_threshold_count(number(h.healthy))
                .unhealthy_threshold_count(number(h.unhealthy))
                .matcher(matcher(h.protocol, h.codes))
                .set_tags(Some(tags(&t)))
                .send()
                .await?;
            return arn(answer.target_groups().first().and_then(|g| g.target_group_arn()));
        }
        AwsCall::ModifyTargetGroup { target_group, health_check: h } => {
            client
                .modify_target_group()
                .target_group_arn(target_group)
                .health_check_protocol(ProtocolEnum::Http)
                .health_check_port(h.port.to_string())
                .health_check_path(h.path)
                .health_check_interval_seconds(number(h.interval))
                .health_check_timeout_seconds(number(h.timeout))
                .healthy_threshold_count(number(h.healthy))
                .unhealthy_threshold_count(number(h.unhealthy))
                .matcher(matcher(h.protocol, h.codes))
                .send()
                .await?;
        }
        AwsCall::ModifyTargetGroupAttributes { target_group, attributes } => {
            let one = |(k, v)| TargetGroupAttribute::builder().key(k).value(v).build();
            let attributes = attributes.into_iter().map(one).collect();
            client
                .modify_target_group_attributes()
                .target_group_arn(target_group)
                .set_attributes(Some(attributes))
                .send()
                .await?;
        }
        AwsCall::DeleteTargetGroup { target_group } => {
            client.delete_target_group().target_group_arn(target_group).send().await?;
        }
        AwsCall::RegisterTargets { target_group, targets } => {
            client
                .register_targets()
                .target_group_arn(target_group)
                .set_targets(Some(descriptions(targets)))
                .send()
                .await?;
        }
        AwsCall::DeregisterTargets { target_group, targets } => {
            client
                .deregister_targets()
                .target_group_arn(target_group)
                .set_targets(Some(descriptions(targets)))
                .send()
                .await?;
        }
        other => return Err(invalid(format!("{other:?} is no call of ELBv2"))),
    }
    Ok(AwsAnswer::Done)
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::Refused(Refusal { class: RefusalClass::Invalid, message: message.into() })
}

fn arn(found: Option<&str>) -> Result<AwsAnswer, Failure> {
    found
        .map(|arn| AwsAnswer::Arn(arn.to_owned()))
        .ok_or_else(|| Failure::Unknown("AWS created something and did not name it".into()))
}

fn tags(tags: &[(String, String)]) -> Vec<Tag> {
    tags.iter().filter_map(|(k, v)| Tag::builder().key(k).value(v).build().into()).collect()
}

fn certificate(arn: String) -> Certificate {
    Certificate::builder().certificate_arn(arn).build()
}

fn number(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn default_action(kind: ListenerKind) -> Action {
    match kind.default_action() {
        DefaultAction::RedirectToHttps => redirect(),
        DefaultAction::NotFound => not_found(),
    }
}

fn redirect() -> Action {
    let to = RedirectActionConfig::builder()
        .protocol("HTTPS")
        .port("443")
        .status_code(RedirectActionStatusCodeEnum::Http301)
        .build();
    Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(to).build()
}

fn not_found() -> Action {
    let answer = FixedResponseActionConfig::builder()
        .status_code("404")
        .content_type("text/plain")
        .message_body("not found")
        .build();
    Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(answer).build()
}

fn conditions(hosts: &BTreeSet<gatehouse_route::Host>, protocol: ProtocolVersion) -> Vec<RuleCondition> {
    let (values, regex) = host_condition(hosts);
    let some = |v: Vec<String>| (!v.is_empty()).then_some(v);
    let config = HostHeaderConditionConfig::builder().set_values(some(values)).set_regex_values(some(regex)).build();
    let of_hosts = RuleCondition::builder().field("host-header").host_header_config(config).build();
    let types = some(protocol.content_types().iter().map(ToString::to_string).collect());
    let of_content = types.map(|types| {
        let config = HttpHeaderConditionConfig::builder().http_header_name(CONTENT_TYPE).set_values(Some(types));
        RuleCondition::builder().field("http-header").http_header_config(config.build()).build()
    });
    std::iter::once(of_hosts).chain(of_content).collect()
}

fn matcher(protocol: ProtocolVersion, codes: String) -> Matcher {
    match protocol {
        ProtocolVersion::Http1 => Matcher::builder().http_code(codes).build(),
        ProtocolVersion::Grpc => Matcher::builder().grpc_code(codes).build(),
    }
}

fn descriptions(targets: std::collections::BTreeSet<Target>) -> Vec<TargetDescription> {
    targets
        .into_iter()
        .map(|t| TargetDescription::builder().id(t.ip.to_string()).port(i32::from(t.port)).build())
        .collect()
}

type TagMap = BTreeMap<String, String>;
