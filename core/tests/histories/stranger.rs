//! Somebody else in the account: makes things of their own, and puts a hand on ours.

use awsim_model::api::elbv2 as elb;
use awsim_model::api::route53 as r53;
use awsim_model::{AwsError, Millis};
use gatehouse_crds::keys;
use gatehouse_virtual::Sim;

use crate::history::Stranger;

pub const ZONE: &str = "Z0EXAMPLE1";

/// What is theirs, to be found unchanged in the end.
#[derive(Clone, Debug, Default)]
pub struct Theirs {
    pub records: Vec<String>,
    pub rules: Vec<String>,
    pub groups: Vec<String>,
}

/// Performs it; whether something of ours was touched.
pub fn perform(sim: &mut Sim, theirs: &mut Theirs, what: &Stranger) -> bool {
    attempt(sim, theirs, what).unwrap_or(false)
}

fn attempt(sim: &mut Sim, theirs: &mut Theirs, what: &Stranger) -> Result<bool, AwsError> {
    match what {
        Stranger::Record { host } => {
            let set = r53::ResourceRecordSet {
                name: host.clone(),
                kind: "CNAME".into(),
                ttl: Some(60),
                resource_records: Some(vec![r53::ResourceRecord { value: "elsewhere.example.net".into() }]),
                ..Default::default()
            };
            change(sim, vec![("CREATE", set)])?;
            theirs.records.push(host.clone());
            Ok(false)
        }
        Stranger::Rule { priority, host } => {
            let Some(listener) = listeners(sim).into_iter().next() else { return Ok(false) };
            let condition = elb::RuleCondition {
                field: Some("host-header".into()),
                host_header_config: Some(elb::HostHeaderConfig {
                    values: Some(vec![host.clone()]),
                    regex_values: None,
                }),
                ..Default::default()
            };
            let action = elb::Action {
                kind: "fixed-response".into(),
                fixed_response_config: Some(elb::FixedResponseConfig {
                    status_code: "404".into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let made = sim.try_stranger(elb::CreateRule {
                listener_arn: listener,
                conditions: vec![condition],
                priority: i64::from(*priority),
                actions: vec![action],
                ..Default::default()
            })?;
            theirs.rules.extend(made.rules.into_iter().map(|r| r.rule_arn));
            Ok(true)
        }
        Stranger::Group { name } => {
            let made = sim.try_stranger(elb::CreateTargetGroup {
                name: name.clone(),
                protocol: Some("HTTP".into()),
                port: Some(80),
                vpc_id: Some("vpc-0123456789abcdef0".into()),
                target_type: Some("ip".into()),
                ..Default::default()
            })?;
            theirs.groups.extend(made.target_groups.into_iter().map(|g| g.target_group_arn));
            Ok(false)
        }
        Stranger::DropRule { nth } => {
            let ours = our_rules(sim);
            let Some(rule) = ours.get(nth % ours.len().max(1)) else { return Ok(false) };
            sim.try_stranger(elb::DeleteRule { rule_arn: rule.clone() })?;
            Ok(true)
        }
        Stranger::DropRecord { host } => {
            let sets = records(sim);
            let name = format!("{}.", host.replace('*', "\\052"));
            let gone: Vec<_> = sets
                .into_iter()
                .filter(|s| s.name == name && s.kind == "A" || s.name == format!("a-{name}") && s.kind == "TXT")
                .map(|s| ("DELETE", s))
                .collect();
            if gone.is_empty() {
                return Ok(false);
            }
            change(sim, gone)?;
            Ok(true)
        }
        Stranger::DropGroup { nth } => {
            let ours = our_groups(sim);
            let Some(group) = ours.get(nth % ours.len().max(1)) else { return Ok(false) };
            let used: Vec<String> = listeners(sim)
                .into_iter()
                .flat_map(|l| rules(sim, &l))
                .filter(|r| r.actions.iter().any(|a| a.target_group_arn.as_ref() == Some(group)))
                .map(|r| r.rule_arn)
                .collect();
            for rule_arn in used {
                sim.try_stranger(elb::DeleteRule { rule_arn })?;
            }
            sim.run(5_000);
            let _ = sim.try_stranger(elb::DeleteTargetGroup { target_group_arn: group.clone() });
            Ok(true)
        }
        Stranger::DropTargets { nth } => {
            let ours = our_groups(sim);
            let Some(group) = ours.get(nth % ours.len().max(1)) else { return Ok(false) };
            let health =
                sim.try_stranger(elb::DescribeTargetHealth { target_group_arn: group.clone(), ..Default::default() })?;
            let targets = health.target_health_descriptions.into_iter().map(|d| d.target).collect();
            sim.try_stranger(elb::DeregisterTargets { target_group_arn: group.clone(), targets })?;
            Ok(true)
        }
    }
}

fn change(sim: &mut Sim, changes: Vec<(&str, r53::ResourceRecordSet)>) -> Result<(), AwsError> {
    let changes = changes
        .into_iter()
        .map(|(action, resource_record_set)| r53::Change { action: action.into(), resource_record_set })
        .collect();
    let change_batch = r53::ChangeBatch { comment: None, changes };
    sim.try_stranger(r53::ChangeResourceRecordSets { hosted_zone_id: ZONE.into(), change_batch })?;
    Ok(())
}

/// All records of the zone.
pub fn records(sim: &mut Sim) -> Vec<r53::ResourceRecordSet> {
    let call = r53::ListResourceRecordSets { hosted_zone_id: ZONE.into(), ..Default::default() };
    sim.try_stranger(call).map(|page| page.resource_record_sets).unwrap_or_default()
}

/// HTTPS listeners.
pub fn listeners(sim: &Sim) -> Vec<String> {
    let live = sim.aws.live_listeners(Millis(sim.now));
    live.into_iter().filter(|l| l.port == 443).map(|l| l.listener_arn).collect()
}

pub fn rules(sim: &mut Sim, listener: &str) -> Vec<elb::Rule> {
    let call = elb::DescribeRules { listener_arn: Some(listener.to_owned()), ..Default::default() };
    let page = sim.try_stranger(call).map(|page| page.rules).unwrap_or_default();
    page.into_iter().filter(|r| !r.is_default).collect()
}

fn ours(sim: &mut Sim, arns: Vec<String>) -> Vec<String> {
    let mut out = Vec::new();
    for chunk in arns.chunks(20) {
        let tags = sim.try_stranger(elb::DescribeTags { resource_arns: chunk.to_vec() });
        for one in tags.map(|t| t.tag_descriptions).unwrap_or_default() {
            if one.tags.iter().any(|t| t.key == keys::TAG_CLUSTER) {
                out.push(one.resource_arn);
            }
        }
    }
    out
}

fn our_rules(sim: &mut Sim) -> Vec<String> {
    let all = listeners(sim).into_iter().flat_map(|l| rules(sim, &l)).map(|r| r.rule_arn).collect();
    ours(sim, all)
}

/// Target groups that carry our tag.
pub fn our_groups(sim: &mut Sim) -> Vec<String> {
    let page = sim.try_stranger(elb::DescribeTargetGroups::default());
    let all = page.map(|p| p.target_groups).unwrap_or_default().into_iter().map(|g| g.target_group_arn).collect();
    ours(sim, all)
}

/// Takes their rules away again: an ALB with foreign rules is never deleted.
pub fn leave(sim: &mut Sim, theirs: &mut Theirs) {
    for rule_arn in std::mem::take(&mut theirs.rules) {
        let _ = sim.try_stranger(elb::DeleteRule { rule_arn });
    }
}

/// What of theirs has changed or gone.
pub fn missing(sim: &mut Sim, theirs: &Theirs) -> Vec<String> {
    let mut out = Vec::new();
    let sets = records(sim);
    for host in &theirs.records {
        let name = format!("{}.", host.replace('*', "\\052"));
        let stands = sets.iter().any(|s| {
            s.name == name
                && s.kind == "CNAME"
                && s.resource_records.iter().flatten().any(|r| r.value == "elsewhere.example.net")
        });
        if !stands {
            out.push(format!("their record {host}"));
        }
    }
    let standing: Vec<String> = listeners(sim).into_iter().flat_map(|l| rules(sim, &l)).map(|r| r.rule_arn).collect();
    out.extend(theirs.rules.iter().filter(|r| !standing.contains(r)).map(|r| format!("their rule {r}")));
    let page = sim.try_stranger(elb::DescribeTargetGroups::default());
    let groups: Vec<String> =
        page.map(|p| p.target_groups).unwrap_or_default().into_iter().map(|g| g.target_group_arn).collect();
    out.extend(theirs.groups.iter().filter(|g| !groups.contains(g)).map(|g| format!("their target group {g}")));
    out
}
