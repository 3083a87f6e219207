//! Target groups: creation, health check settings, attributes, association with a load balancer, deletion.

use std::collections::{BTreeMap, BTreeSet};

use super::target::{Target, TargetKey};
use super::{Kind, Tagged, attributes, check_name, check_range, check_tags, page, tag_map};
use crate::Aws;
use crate::api::elbv2::{
    self as api, Attributes, CreateTargetGroup, DeleteTargetGroup, DescribeTargetGroupAttributes, DescribeTargetGroups,
    Matcher, ModifyTargetGroup, ModifyTargetGroupAttributes, TargetGroups,
};
use crate::api::{AwsError, Empty, Millis};
use crate::settings::quota;

/// A target group as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) created: Millis,
    pub(crate) protocol: String,
    pub(crate) protocol_version: String,
    pub(crate) port: i64,
    pub(crate) vpc_id: String,
    pub(crate) target_type: String,
    pub(crate) ip_address_type: String,
    pub(crate) health_check: HealthCheck,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Rules and listeners whose actions name the group.
    pub(crate) used_by: BTreeSet<String>,
    /// The load balancer of those.
    pub(crate) load_balancer: Option<String>,
    pub(crate) in_use_since: Millis,
    /// When something stopped using it; deletion is refused for a while after.
    pub(crate) released: Option<Millis>,
    pub(crate) targets: BTreeMap<TargetKey, Target>,
}

/// Health check settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HealthCheck {
    pub(crate) enabled: bool,
    pub(crate) protocol: String,
    pub(crate) port: String,
    pub(crate) path: String,
    pub(crate) interval: i64,
    pub(crate) timeout: i64,
    pub(crate) healthy: i64,
    pub(crate) unhealthy: i64,
    pub(crate) matcher: Matcher,
}

/// The health check members that CreateTargetGroup and ModifyTargetGroup share.
struct Changes<'a> {
    enabled: Option<bool>,
    protocol: &'a Option<String>,
    port: &'a Option<String>,
    path: &'a Option<String>,
    interval: Option<i64>,
    timeout: Option<i64>,
    healthy: Option<i64>,
    unhealthy: Option<i64>,
    matcher: &'a Option<Matcher>,
}

macro_rules! changes {
    ($call:expr) => {
        Changes {
            enabled: $call.health_check_enabled,
            protocol: &$call.health_check_protocol,
            port: &$call.health_check_port,
            path: &$call.health_check_path,
            interval: $call.health_check_interval_seconds,
            timeout: $call.health_check_timeout_seconds,
            healthy: $call.healthy_threshold_count,
            unhealthy: $call.unhealthy_threshold_count,
            matcher: &$call.matcher,
        }
    };
}

impl Aws {
    pub(crate) fn create_target_group(
        &mut self,
        now: Millis,
        call: &CreateTargetGroup,
    ) -> Result<TargetGroups, AwsError> {
        check_name("Target group", &call.name)?;
        let target_type = call.target_type.clone().unwrap_or_else(|| "instance".into());
        if !["ip", "instance"].contains(&target_type.as_str()) {
            return Err(AwsError::validation(format!(
                "Target type '{target_type}' is not modelled or not valid, 'ip' and 'instance' are"
            )));
        }
        let protocol = call.protocol.clone().ok_or_else(|| AwsError::validation("A protocol must be specified"))?;
        let http = ["HTTP", "HTTPS"].contains(&protocol.as_str());
        if !http && !["TCP", "TLS", "UDP", "TCP_UDP"].contains(&protocol.as_str()) {
            return Err(AwsError::validation(format!(
                "Target group protocol '{protocol}' must be one of HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP"
            )));
        }
        let protocol_version = call.protocol_version.clone().unwrap_or_else(|| "HTTP1".into());
        if !["HTTP1", "HTTP2", "GRPC"].contains(&protocol_version.as_str()) {
            return Err(AwsError::validation(format!(
                "Protocol version '{protocol_version}' must be one of HTTP1, HTTP2, GRPC"
            )));
        }
        let port = call.port.ok_or_else(|| AwsError::validation("A port must be specified"))?;
        check_range("Target group port", port, 1, 65_535)?;
        let vpc_id = call.vpc_id.clone().ok_or_else(|| AwsError::validation("A VPC ID must be specified"))?;
        if vpc_id != self.settings.network.vpc_id {
            return Err(AwsError::validation(format!("The VPC ID '{vpc_id}' is not found")));
        }
        let ip_address_type = call.ip_address_type.clone().unwrap_or_else(|| "ipv4".into());
        if !["ipv4", "ipv6"].contains(&ip_address_type.as_str()) {
            return Err(AwsError::validation(format!(
                "Target group IP address type '{ip_address_type}' must be ipv4 or ipv6"
            )));
        }
        // Groups of network load balancers can be created, so that application load balancers can refuse them.
        let protocol_version = if http { protocol_version } else { String::new() };
        let grpc = protocol_version == "GRPC";
        let initial = HealthCheck {
            enabled: true,
            protocol: if http { protocol.clone() } else { "TCP".into() },
            port: "traffic-port".into(),
            path: if grpc { "/AWS.ALB/healthcheck" } else { "/" }.into(),
            interval: 30,
            timeout: 5,
            healthy: 5,
            unhealthy: 2,
            matcher: if grpc {
                Matcher { grpc_code: Some("12".into()), http_code: None }
            } else {
                Matcher { http_code: Some("200".into()), grpc_code: None }
            },
        };
        let health_check = change(&initial, &changes!(call), grpc)?;
        check_tags(&BTreeMap::new(), call.tags.as_deref().unwrap_or_default(), self.settings.quotas.get(quota::TAGS))?;

        if let Some(existing) = self.elb.groups.values().find(|group| group.name == call.name) {
            let same = existing.protocol == protocol
                && existing.protocol_version == protocol_version
                && existing.port == port
                && existing.vpc_id == vpc_id
                && existing.target_type == target_type
                && existing.ip_address_type == ip_address_type
                && existing.health_check == health_check;
            if same {
                return Ok(TargetGroups { target_groups: vec![show(existing)], next_marker: None });
            }
            return Err(AwsError::new(
                "DuplicateTargetGroupName",
                format!("A target group with the same name '{}' exists, but with different settings", call.name),
            ));
        }
        self.quota(quota::GROUPS, self.elb.groups.len() + 1).map_err(|limit| {
            AwsError::new(
                "TooManyTargetGroups",
                format!("The maximum number of target groups has been reached: [{limit}]"),
            )
        })?;
        let id = self.fresh_id(&format!("targetgroup/{}", call.name));
        let group = Group {
            arn: self.elb_arn(&format!("targetgroup/{}/{id}", call.name)),
            name: call.name.clone(),
            created: now,
            protocol,
            protocol_version,
            port,
            vpc_id,
            target_type,
            ip_address_type,
            health_check,
            attributes: attributes::defaults(attributes::TARGET_GROUP),
            used_by: BTreeSet::new(),
            load_balancer: None,
            in_use_since: Millis(0),
            released: None,
            targets: BTreeMap::new(),
        };
        let answer = show(&group);
        self.elb.tags.insert(group.arn.clone(), Tagged { created: now, tags: tag_map(call.tags.as_deref()) });
        self.elb.groups.insert(group.arn.clone(), group);
        Ok(TargetGroups { target_groups: vec![answer], next_marker: None })
    }

    pub(crate) fn modify_target_group(&mut self, call: &ModifyTargetGroup) -> Result<TargetGroups, AwsError> {
        let arn = &call.target_group_arn;
        Kind::TargetGroup.check(arn)?;
        let current = self.group(arn)?;
        let health_check = change(&current.health_check, &changes!(call), current.protocol_version == "GRPC")?;
        if let Some(group) = self.elb.groups.get_mut(arn) {
            group.health_check = health_check;
        }
        Ok(TargetGroups { target_groups: vec![show(self.group(arn)?)], next_marker: None })
    }

    pub(crate) fn modify_target_group_attributes(
        &mut self,
        call: &ModifyTargetGroupAttributes,
    ) -> Result<Attributes, AwsError> {
        Kind::TargetGroup.check(&call.target_group_arn)?;
        let current = &self.group(&call.target_group_arn)?.attributes;
        let next = attributes::modify("Target group", attributes::TARGET_GROUP, current, &call.attributes)?;
        let number = |key: &str| next.get(key).and_then(|v| v.parse::<i64>().ok());
        if let (Some(dns), Some(routing)) = (number(attributes::DNS_COUNT), number(attributes::ROUTING_COUNT))
            && dns != 0
            && dns < routing
        {
            return Err(AwsError::validation(format!(
                "The DNS failover threshold '{dns}' cannot be less than the routing failover threshold '{routing}'"
            )));
        }
        let answer = Attributes { attributes: attributes::list(&next) };
        if let Some(group) = self.elb.groups.get_mut(&call.target_group_arn) {
            group.attributes = next;
        }
        Ok(answer)
    }

    pub(crate) fn describe_target_group_attributes(
        &self,
        call: &DescribeTargetGroupAttributes,
    ) -> Result<Attributes, AwsError> {
        Kind::TargetGroup.check(&call.target_group_arn)?;
        Ok(Attributes { attributes: attributes::list(&self.group(&call.target_group_arn)?.attributes) })
    }

    pub(crate) fn describe_target_groups(
        &self,
        now: Millis,
        call: &DescribeTargetGroups,
    ) -> Result<TargetGroups, AwsError> {
        let arns = call.target_group_arns.as_deref().unwrap_or_default();
        let names = call.names.as_deref().unwrap_or_default();
        let given = [!arns.is_empty(), !names.is_empty(), call.load_balancer_arn.is_some()];
        if given.iter().filter(|g| **g).count() > 1 {
            return Err(AwsError::validation(
                "Target group ARNs, names and a load balancer ARN cannot be specified at the same time",
            ));
        }
        let mut all = Vec::new();
        if let Some(load_balancer) = &call.load_balancer_arn {
            Kind::LoadBalancer.check(load_balancer)?;
            for arn in &self.load_balancer(load_balancer)?.groups {
                all.push(show(self.group(arn)?));
            }
        }
        for arn in arns {
            Kind::TargetGroup.check(arn)?;
            all.push(show(self.group(arn)?));
        }
        for name in names {
            all.push(show(
                self.elb.groups.values().find(|group| group.name == *name).ok_or_else(|| {
                    AwsError::new("TargetGroupNotFound", format!("Target groups '[{name}]' not found"))
                })?,
            ));
        }
        if given == [false; 3] {
            let lag = self.settings.delays.describe_lag;
            all.extend(self.elb.groups.values().filter(|group| group.created + lag <= now).map(|group| show(group)));
        }
        let (target_groups, next_marker) = page(all, call.marker.as_deref(), call.page_size)?;
        Ok(TargetGroups { target_groups, next_marker })
    }

    pub(crate) fn delete_target_group(&mut self, now: Millis, call: &DeleteTargetGroup) -> Result<Empty, AwsError> {
        let arn = &call.target_group_arn;
        Kind::TargetGroup.check(arn)?;
        let Some(group) = self.elb.groups.get(arn) else {
            return Ok(Empty {});
        };
        let lag = self.settings.delays.in_use_lag;
        if !group.used_by.is_empty() || group.released.is_some_and(|at| now < at + lag) {
            return Err(AwsError::new(
                "ResourceInUse",
                format!("Target group '{arn}' is currently in use by a listener or a rule"),
            ));
        }
        self.elb.groups.remove(arn);
        self.elb.tags.remove(arn);
        Ok(Empty {})
    }

    /// The target group of this ARN, or `TargetGroupNotFound`.
    pub(crate) fn group(&self, arn: &str) -> Result<&Group, AwsError> {
        self.elb.groups.get(arn).map(AsRef::as_ref).ok_or_else(|| Kind::TargetGroup.not_found())
    }
}

fn change(current: &HealthCheck, changes: &Changes<'_>, grpc: bool) -> Result<HealthCheck, AwsError> {
    let mut next = current.clone();
    if changes.enabled == Some(false) {
        return Err(AwsError::validation(
            "Health checks cannot be disabled for target groups of type 'ip' and 'instance'",
        ));
    }
    if let Some(protocol) = changes.protocol {
        if !["HTTP", "HTTPS"].contains(&protocol.as_str()) {
            return Err(AwsError::validation(format!("Health check protocol '{protocol}' must be HTTP or HTTPS")));
        }
        next.protocol.clone_from(protocol);
    }
    if let Some(port) = changes.port {
        if port != "traffic-port" && !port.parse::<u16>().is_ok_and(|p| p > 0) {
            return Err(AwsError::validation(format!(
                "Health check port '{port}' must be 'traffic-port' or 1 to 65535"
            )));
        }
        next.port.clone_from(port);
    }
    if let Some(path) = changes.path {
        if !path.starts_with('/') || path.len() > 1024 {
            return Err(AwsError::validation(format!(
                "Health check path '{path}' must start with '/' and have at most 1024 characters"
            )));
        }
        next.path.clone_from(path);
    }
    next.interval = changes.interval.unwrap_or(next.interval);
    next.timeout = changes.timeout.unwrap_or(next.timeout);
    next.healthy = changes.healthy.unwrap_or(next.healthy);
    next.unhealthy = changes.unhealthy.unwrap_or(next.unhealthy);
    check_range("Health check interval", next.interval, 5, 300)?;
    check_range("Health check timeout", next.timeout, 2, 120)?;
    check_range("Healthy threshold count", next.healthy, 2, 10)?;
    check_range("Unhealthy threshold count", next.unhealthy, 2, 10)?;
    if next.timeout >= next.interval {
        // An interval of 5 with the default timeout of 5 is refused by AWS as well.
        return Err(AwsError::validation(format!(
            "Health check timeout '{}' must be smaller than the interval '{}'",
            next.timeout, next.interval
        )));
    }
    if let Some(matcher) = changes.matcher {
        let (code, low, high) = if grpc { (&matcher.grpc_code, 0, 99) } else { (&matcher.http_code, 200, 499) };
        let Some(code) = code else {
            return Err(AwsError::validation("The matcher does not fit the protocol version of the target group"));
        };
        if !parse_codes(code)
            .is_some_and(|ranges| ranges.iter().all(|(from, to)| low <= *from && from <= to && *to <= high))
        {
            return Err(AwsError::validation(format!(
                "Health check matcher code '{code}' must be within {low}-{high}"
            )));
        }
        next.matcher = if grpc {
            Matcher { grpc_code: Some(code.clone()), http_code: None }
        } else {
            Matcher { http_code: Some(code.clone()), grpc_code: None }
        };
    }
    Ok(next)
}

/// `200`, `200,202`, `200-299`.
pub(crate) fn parse_codes(text: &str) -> Option<Vec<(u16, u16)>> {
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((from, to)) => Some((from.trim().parse().ok()?, to.trim().parse().ok()?)),
            None => part.trim().parse().ok().map(|code| (code, code)),
        })
        .collect()
}

fn show(group: &Group) -> api::TargetGroup {
    let check = &group.health_check;
    api::TargetGroup {
        target_group_arn: group.arn.clone(),
        target_group_name: group.name.clone(),
        protocol: group.protocol.clone(),
        port: group.port,
        vpc_id: group.vpc_id.clone(),
        health_check_protocol: check.protocol.clone(),
        health_check_port: check.port.clone(),
        health_check_enabled: check.enabled,
        health_check_interval_seconds: check.interval,
        health_check_timeout_seconds: check.timeout,
        healthy_threshold_count: check.healthy,
        unhealthy_threshold_count: check.unhealthy,
        health_check_path: (check.protocol != "TCP").then(|| check.path.clone()),
        matcher: (check.protocol != "TCP").then(|| check.matcher.clone()),
        load_balancer_arns: group.load_balancer.iter().cloned().collect(),
        target_type: group.target_type.clone(),
        protocol_version: Some(group.protocol_version.clone()).filter(|version| !version.is_empty()),
        ip_address_type: group.ip_address_type.clone(),
    }
}
