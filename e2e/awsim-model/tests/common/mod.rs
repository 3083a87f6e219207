//! A small world for tests: an account, a caller, and the usual resources in one line each.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "part of tests; each file uses its part")]

use awsim_model::api::elbv2::*;
use awsim_model::api::route53::{
    AliasTarget, Change, ChangeBatch, ChangeResourceRecordSets, ResourceRecord, ResourceRecordSet,
};
use awsim_model::{Aws, AwsError, Call, Caller, Millis, Settings};

pub const ZONE: &str = "Z0EXAMPLE1";
pub const CERTIFICATE: &str = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000001";

pub struct World {
    pub aws: Aws,
    pub now: Millis,
    pub caller: Caller,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        Self { aws: Aws::new(settings).unwrap(), now: Millis(1_000_000), caller: Caller::admin("admin") }
    }

    pub fn instant() -> Self {
        Self::new(Settings::instant())
    }

    pub fn wait(&mut self, span: Millis) {
        self.now = self.now + span;
    }

    pub fn ask<C: Call>(&mut self, call: C) -> Result<C::Answer, AwsError> {
        self.aws.ask(self.now, &self.caller, call)
    }

    #[track_caller]
    pub fn ok<C: Call>(&mut self, call: C) -> C::Answer {
        self.ask(call).unwrap()
    }

    #[track_caller]
    pub fn code<C: Call>(&mut self, call: C) -> String {
        match self.ask(call) {
            Ok(_) => "ok".into(),
            Err(error) => error.code,
        }
    }

    pub fn load_balancer(&mut self, name: &str) -> LoadBalancer {
        self.ok(new_load_balancer(name)).load_balancers.remove(0)
    }

    pub fn listener(&mut self, load_balancer: &str, port: i64) -> String {
        self.ok(CreateListener {
            load_balancer_arn: load_balancer.into(),
            protocol: Some("HTTP".into()),
            port: Some(port),
            default_actions: vec![fixed("404")],
            ..Default::default()
        })
        .listeners
        .remove(0)
        .listener_arn
    }

    pub fn group(&mut self, name: &str) -> String {
        self.ok(new_group(name)).target_groups.remove(0).target_group_arn
    }

    pub fn rule(&mut self, listener: &str, priority: i64, hosts: &[&str], action: Action) -> String {
        self.ok(new_rule(listener, priority, hosts, action)).rules.remove(0).rule_arn
    }

    pub fn priorities(&mut self, listener: &str) -> Vec<(String, String)> {
        let call = DescribeRules { listener_arn: Some(listener.into()), ..Default::default() };
        self.ok(call).rules.into_iter().map(|rule| (rule.priority, rule.rule_arn)).collect()
    }

    pub fn state(&mut self, group: &str) -> Vec<String> {
        let call = DescribeTargetHealth { target_group_arn: group.into(), ..Default::default() };
        self.ok(call).target_health_descriptions.into_iter().map(|d| d.target_health.state).collect()
    }
}

pub fn new_load_balancer(name: &str) -> CreateLoadBalancer {
    CreateLoadBalancer {
        name: name.into(),
        subnets: Some(vec!["subnet-0aaa".into(), "subnet-0bbb".into()]),
        security_groups: Some(vec!["sg-0ccc".into()]),
        ..Default::default()
    }
}

pub fn new_group(name: &str) -> CreateTargetGroup {
    CreateTargetGroup {
        name: name.into(),
        protocol: Some("HTTP".into()),
        port: Some(8080),
        vpc_id: Some("vpc-0123456789abcdef0".into()),
        target_type: Some("ip".into()),
        ..Default::default()
    }
}

pub fn new_rule(listener: &str, priority: i64, hosts: &[&str], action: Action) -> CreateRule {
    CreateRule {
        listener_arn: listener.into(),
        priority,
        conditions: vec![host(hosts)],
        actions: vec![action],
        ..Default::default()
    }
}

pub fn host(values: &[&str]) -> RuleCondition {
    RuleCondition {
        field: Some("host-header".into()),
        host_header_config: Some(HostHeaderConfig { values: Some(texts(values)), regex_values: None }),
        ..Default::default()
    }
}

pub fn path(values: &[&str]) -> RuleCondition {
    RuleCondition {
        field: Some("path-pattern".into()),
        path_pattern_config: Some(PathPatternConfig { values: Some(texts(values)), regex_values: None }),
        ..Default::default()
    }
}

pub fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

pub fn fixed(code: &str) -> Action {
    Action {
        kind: "fixed-response".into(),
        fixed_response_config: Some(FixedResponseConfig { status_code: code.into(), ..Default::default() }),
        ..Default::default()
    }
}

pub fn forward(group: &str) -> Action {
    Action { kind: "forward".into(), target_group_arn: Some(group.into()), ..Default::default() }
}

pub fn target(id: &str, port: i64) -> TargetDescription {
    TargetDescription { id: id.into(), port: Some(port), availability_zone: None }
}

pub fn record(name: &str, kind: &str, values: &[&str]) -> ResourceRecordSet {
    ResourceRecordSet {
        name: name.into(),
        kind: kind.into(),
        ttl: Some(60),
        resource_records: Some(values.iter().map(|value| ResourceRecord { value: (*value).into() }).collect()),
        ..Default::default()
    }
}

pub fn alias(name: &str, load_balancer: &LoadBalancer) -> ResourceRecordSet {
    ResourceRecordSet {
        name: name.into(),
        kind: "A".into(),
        alias_target: Some(AliasTarget {
            hosted_zone_id: load_balancer.canonical_hosted_zone_id.clone(),
            dns_name: load_balancer.dns_name.clone(),
            evaluate_target_health: false,
        }),
        ..Default::default()
    }
}

pub fn batch(changes: Vec<(&str, ResourceRecordSet)>) -> ChangeResourceRecordSets {
    let changes = changes
        .into_iter()
        .map(|(action, resource_record_set)| Change { action: action.into(), resource_record_set })
        .collect();
    ChangeResourceRecordSets { hosted_zone_id: ZONE.into(), change_batch: ChangeBatch { comment: None, changes } }
}
