//! Composite reads.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::error::ProvideErrorMetadata;
use aws_sdk_elasticloadbalancingv2::types::{
    self as sdk, LoadBalancerStateEnum, LoadBalancerTypeEnum, TargetHealthStateEnum,
};
use futures::StreamExt as _;
use gatehouse_core::aws::{
    AwsAnswer, DefaultAction, HealthCheck, Limits, Listener, ListenerKind, ListenerRule, LoadBalancer, ProtocolVersion,
    RULES_PER_PAGE, RuleCondition, TAGS_PER_CALL, Target, TargetGroup, TargetState, meaning,
};
use gatehouse_crds::keys;

use super::{Failure, TagMap, invalid};

pub(super) async fn limits(client: &Client) -> Result<AwsAnswer, Failure> {
    let mut all: BTreeMap<String, u32> = BTreeMap::new();
    let mut marker = None;
    loop {
        let page = client.describe_account_limits().set_marker(marker).send().await?;
        for limit in page.limits() {
            if let (Some(name), Some(Ok(max))) = (limit.name(), limit.max().map(str::parse)) {
                all.insert(name.to_owned(), max);
            }
        }
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    let get = |name: &str| {
        all.get(name).copied().ok_or_else(|| invalid(format!("DescribeAccountLimits did not name {name}")))
    };
    Ok(AwsAnswer::Limits(Limits {
        rules: get("rules-per-application-load-balancer")?,
        target_groups: get("target-groups-per-application-load-balancer")?,
        targets: get("targets-per-application-load-balancer")?,
        certificates: get("certificates-per-application-load-balancer")?,
        load_balancers: get("application-load-balancers")?,
        region_target_groups: get("target-groups")?,
    }))
}

/// Calls of one question that are under way at once.
const AT_ONCE: usize = 8;

/// Tags by ARN. A thousand rules are fifty calls, and a new leader waits for the last of them.
async fn tags(client: &Client, arns: Vec<String>) -> Result<BTreeMap<String, TagMap>, Failure> {
    let ask = |chunk: &[String]| client.describe_tags().set_resource_arns(Some(chunk.to_vec())).send();
    let mut answers = futures::stream::iter(arns.chunks(TAGS_PER_CALL)).map(ask).buffer_unordered(AT_ONCE);
    let mut out = BTreeMap::new();
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        for description in answer.tag_descriptions() {
            let tags = description
                .tags()
                .iter()
                .filter_map(|t| Some((t.key()?.to_owned(), t.value().unwrap_or("").to_owned())));
            out.insert(description.resource_arn().unwrap_or("").to_owned(), tags.collect());
        }
    }
    Ok(out)
}

pub(super) async fn target_groups(client: &Client, prefix: &str) -> Result<AwsAnswer, Failure> {
    let mut found = Vec::new();
    let mut others = 0_u32;
    let mut marker = None;
    loop {
        let page = client.describe_target_groups().page_size(400).set_marker(marker).send().await?;
        for group in page.target_groups() {
            if group.target_group_name().is_some_and(|n| n.starts_with(prefix)) {
                found.push(group.clone());
            } else {
                others += 1;
            }
        }
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    let mut tags = tags(client, found.iter().filter_map(|g| g.target_group_arn().map(str::to_owned)).collect()).await?;
    let one = |g: sdk::TargetGroup| {
        let arn = g.target_group_arn()?.to_owned();
        Some((
            g.target_group_name()?.to_owned(),
            TargetGroup {
                tags: tags.remove(&arn).unwrap_or_default(),
                health_check: health_check(&g),
                arn,
                attributes: None,
            },
        ))
    };
    Ok(AwsAnswer::RegionGroups { ours: found.into_iter().filter_map(one).collect(), others })
}

pub(super) async fn target_group(client: &Client, name: &str) -> Result<AwsAnswer, Failure> {
    let page = match client.describe_target_groups().names(name).send().await {
        Ok(page) => page,
        Err(e) if e.code() == Some("TargetGroupNotFound") => return Ok(AwsAnswer::TargetGroups(BTreeMap::new())),
        Err(e) => return Err(e.into()),
    };
    let Some(group) = page.target_groups().first() else { return Ok(AwsAnswer::TargetGroups(BTreeMap::new())) };
    let health_check = health_check(group);
    let Some(arn) = group.target_group_arn().map(str::to_owned) else {
        return Ok(AwsAnswer::TargetGroups(BTreeMap::new()));
    };
    let tags = tags(client, vec![arn.clone()]).await?.remove(&arn).unwrap_or_default();
    let answer = client.describe_target_group_attributes().target_group_arn(&arn).send().await?;
    let attributes = answer
        .attributes()
        .iter()
        .filter_map(|a| Some((a.key()?.to_owned(), a.value().unwrap_or("").to_owned())))
        .collect();
    let group = TargetGroup { arn, tags, health_check, attributes: Some(attributes) };
    Ok(AwsAnswer::TargetGroups([(name.to_owned(), group)].into()))
}

fn health_check(group: &sdk::TargetGroup) -> HealthCheck {
    let number = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    HealthCheck {
        protocol: group.protocol_version().and_then(ProtocolVersion::parse).unwrap_or_default(),
        path: group.health_check_path().unwrap_or("").to_owned(),
        port: group.health_check_port().and_then(|p| p.parse().ok()).unwrap_or(0),
        interval: number(group.health_check_interval_seconds()),
        timeout: number(group.health_check_timeout_seconds()),
        healthy: number(group.healthy_threshold_count()),
        unhealthy: number(group.unhealthy_threshold_count()),
        codes: group.matcher().and_then(|m| m.http_code().or(m.grpc_code())).unwrap_or("").to_owned(),
    }
}

pub(super) async fn load_balancers(client: &Client, prefix: &str) -> Result<AwsAnswer, Failure> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut count = 0;
    let mut marker = None;
    loop {
        let page = client.describe_load_balancers().page_size(400).set_marker(marker).send().await?;
        // Network load balancers have a quota of their own.
        let albs = page.load_balancers().iter().filter(|lb| lb.r#type() == Some(&LoadBalancerTypeEnum::Application));
        for lb in albs {
            count += 1;
            if let (Some(name), Some(arn)) = (lb.load_balancer_name(), lb.load_balancer_arn())
                && name.starts_with(prefix)
            {
                names.insert(arn.to_owned(), name.to_owned());
            }
        }
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    let mut tags = tags(client, names.keys().cloned().collect()).await?;
    let tags = names.into_iter().map(|(arn, name)| (name, tags.remove(&arn).unwrap_or_default())).collect();
    Ok(AwsAnswer::LoadBalancers { count, tags })
}

pub(super) fn balancer(lb: &sdk::LoadBalancer) -> Option<LoadBalancer> {
    Some(LoadBalancer {
        arn: lb.load_balancer_arn()?.to_owned(),
        dns_name: lb.dns_name()?.to_lowercase(),
        zone_id: lb.canonical_hosted_zone_id()?.to_owned(),
        active: lb.state().and_then(|s| s.code()) == Some(&LoadBalancerStateEnum::Active),
        subnets: lb.availability_zones().iter().filter_map(|z| z.subnet_id().map(str::to_owned)).collect(),
        security_groups: lb.security_groups().iter().cloned().collect(),
        ip_address_type: lb.ip_address_type().map_or_else(|| "ipv4".to_owned(), |t| t.as_str().to_owned()),
        tags: None,
        attributes: None,
    })
}

pub(super) async fn load_balancer(client: &Client, name: &str) -> Result<AwsAnswer, Failure> {
    let page = match client.describe_load_balancers().names(name).send().await {
        Ok(page) => page,
        Err(e) if e.code() == Some("LoadBalancerNotFound") => return Ok(AwsAnswer::LoadBalancer(None)),
        Err(e) => return Err(e.into()),
    };
    let Some(lb) = page.load_balancers().first().and_then(balancer) else { return Ok(AwsAnswer::LoadBalancer(None)) };
    let tags = tags(client, vec![lb.arn.clone()]).await?.remove(&lb.arn).unwrap_or_default();
    let answer = client.describe_load_balancer_attributes().load_balancer_arn(&lb.arn).send().await?;
    let attributes = answer
        .attributes()
        .iter()
        .filter_map(|a| Some((a.key()?.to_owned(), a.value().unwrap_or("").to_owned())))
        .collect();
    Ok(AwsAnswer::LoadBalancer(Some(LoadBalancer { tags: Some(tags), attributes: Some(attributes), ..lb })))
}

pub(super) fn listener(l: &sdk::Listener) -> Option<(ListenerKind, Listener)> {
    let kind = match l.port()? {
        80 => ListenerKind::Http,
        443 => ListenerKind::Https,
        _ => return None,
    };
    let certificate = l.certificates().first().and_then(|c| c.certificate_arn()).map(str::to_owned);
    let default_action = matches!(l.default_actions(), [only] if means(kind, only));
    let ssl_policy = l.ssl_policy().map(str::to_owned);
    Some((kind, Listener { arn: l.listener_arn()?.to_owned(), certificate, ssl_policy, default_action }))
}

/// Whether the action is the one that the listener should fall back to.
fn means(kind: ListenerKind, action: &sdk::Action) -> bool {
    match kind.default_action() {
        DefaultAction::RedirectToHttps => action.redirect_config().is_some_and(|r| {
            r.protocol() == Some("HTTPS")
                && r.port() == Some("443")
                && r.status_code() == Some(&sdk::RedirectActionStatusCodeEnum::Http301)
        }),
        DefaultAction::NotFound => action.fixed_response_config().is_some_and(|f| f.status_code() == Some("404")),
    }
}

pub(super) async fn listeners(client: &Client, load_balancer: &str) -> Result<AwsAnswer, Failure> {
    let mut out = BTreeMap::new();
    let mut marker = None;
    loop {
        let page = client.describe_listeners().load_balancer_arn(load_balancer).set_marker(marker).send().await?;
        out.extend(page.listeners().iter().filter_map(listener));
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            return Ok(AwsAnswer::Listeners(out));
        }
    }
}

pub(super) async fn rules(client: &Client, listener: &str, known: &BTreeSet<String>) -> Result<AwsAnswer, Failure> {
    let page = i32::try_from(RULES_PER_PAGE).unwrap_or(i32::MAX);
    let mut found: BTreeMap<String, sdk::Rule> = BTreeMap::new();
    let mut marker = None;
    loop {
        let page = client.describe_rules().listener_arn(listener).page_size(page).set_marker(marker).send().await?;
        for rule in page.rules().iter().filter(|r| r.is_default() != Some(true)) {
            if let Some(arn) = rule.rule_arn() {
                found.insert(arn.to_owned(), rule.clone());
            }
        }
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    let tags = tags(client, found.keys().filter(|arn| !known.contains(*arn)).cloned().collect()).await?;
    Ok(AwsAnswer::Rules(
        found.into_iter().filter_map(|(arn, r)| Some((arn.clone(), rule(&r, tags.get(&arn))?))).collect(),
    ))
}

fn rule(rule: &sdk::Rule, tags: Option<&TagMap>) -> Option<ListenerRule> {
    let conditions = rule.conditions().iter().map(condition);
    let transforms = rule.transforms().iter().map(|_| RuleCondition::Other);
    let (hosts, protocol) = meaning(conditions.chain(transforms));
    let target_group = match rule.actions() {
        [only] => only.target_group_arn().map(str::to_owned).or_else(|| match only.forward_config()?.target_groups() {
            [group] => group.target_group_arn().map(str::to_owned),
            _ => None,
        }),
        _ => None,
    };
    Some(ListenerRule {
        priority: rule.priority()?.parse().ok()?,
        hosts,
        protocol,
        target_group,
        cluster: tags.and_then(|t| t.get(keys::TAG_CLUSTER).cloned()),
        namespace: tags.and_then(|t| t.get(keys::TAG_NAMESPACE).cloned()),
    })
}

fn condition(condition: &sdk::RuleCondition) -> RuleCondition<'_> {
    match (condition.host_header_config(), condition.http_header_config()) {
        (Some(host), None) => RuleCondition::Host { values: host.values(), regex: host.regex_values() },
        (None, Some(header)) => RuleCondition::Header {
            name: header.http_header_name().unwrap_or(""),
            values: header.values(),
            regex: header.regex_values(),
        },
        _ => RuleCondition::Other,
    }
}

pub(super) async fn listener_certificates(client: &Client, listener: &str) -> Result<AwsAnswer, Failure> {
    let mut out = BTreeSet::new();
    let mut marker = None;
    loop {
        let page = client.describe_listener_certificates().listener_arn(listener).set_marker(marker).send().await?;
        let extra = page.certificates().iter().filter(|c| c.is_default() != Some(true));
        out.extend(extra.filter_map(|c| c.certificate_arn().map(str::to_owned)));
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            return Ok(AwsAnswer::ListenerCertificates(out));
        }
    }
}

pub(super) async fn target_health(client: &Client, target_group: &str) -> Result<AwsAnswer, Failure> {
    let page = client.describe_target_health().target_group_arn(target_group).send().await?;
    let one = |d: &sdk::TargetHealthDescription| {
        let target = Target { ip: d.target()?.id()?.parse().ok()?, port: u16::try_from(d.target()?.port()?).ok()? };
        let state = match d.target_health()?.state()? {
            TargetHealthStateEnum::Initial => TargetState::Initial,
            TargetHealthStateEnum::Healthy => TargetState::Healthy,
            TargetHealthStateEnum::Unhealthy => TargetState::Unhealthy,
            TargetHealthStateEnum::Unused => TargetState::Unused,
            TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining => TargetState::Draining,
            _ => TargetState::Unavailable,
        };
        Some((target, state))
    };
    Ok(AwsAnswer::TargetHealth(page.target_health_descriptions().iter().filter_map(one).collect()))
}
