//! What holds in every state, and what holds at rest.

use awsim_model::api::{elbv2 as elb, route53 as r53};
use awsim_model::{Caller, Millis};
use gatehouse_core::identity::claim_name;
use gatehouse_crds::{ClaimState, keys};
use gatehouse_route::Host;

use crate::state::State;

pub const ZONE: &str = "Z0EXAMPLE1";
pub const FOREIGN: &str = "elsewhere.example.net";

struct Rule {
    hosts: Vec<String>,
    namespace: Option<String>,
}

impl State {
    fn ask<C: awsim_model::Call>(&self, call: C) -> Option<C::Answer> {
        // Describe* changes nothing but token buckets, and there are none; the clone shares everything.
        self.aws.clone().ask(Millis(self.now), &Caller::admin("auditor"), call).ok()
    }

    pub fn rule_stands(&self, arn: &str) -> bool {
        self.ask(elb::DescribeRules { rule_arns: Some(vec![arn.to_owned()]), ..Default::default() }).is_some()
    }

    fn rules(&self) -> Vec<Rule> {
        let mut out = Vec::new();
        for listener in self.aws.live_listeners(Millis(self.now)).into_iter().filter(|l| l.port == 443) {
            let call = elb::DescribeRules { listener_arn: Some(listener.listener_arn), ..Default::default() };
            for rule in self.ask(call).map(|page| page.rules).unwrap_or_default() {
                if rule.is_default {
                    continue;
                }
                let config = rule.conditions.first().and_then(|c| c.host_header_config.clone()).unwrap_or_default();
                let lists = |v: &Option<Vec<String>>| v.clone().unwrap_or_default();
                let hosts = gatehouse_core::aws::hosts_of_condition(
                    lists(&config.values).iter().map(String::as_str),
                    lists(&config.regex_values).iter().map(String::as_str),
                );
                let tags = self.ask(elb::DescribeTags { resource_arns: vec![rule.rule_arn] });
                let tags = tags.and_then(|t| t.tag_descriptions.into_iter().next()).map(|d| d.tags).unwrap_or_default();
                let namespace = tags.into_iter().find(|t| t.key == keys::TAG_NAMESPACE).map(|t| t.value);
                out.push(Rule { hosts: hosts.iter().map(Host::as_text).collect(), namespace });
            }
        }
        out
    }

    fn records(&self) -> Vec<r53::ResourceRecordSet> {
        let call = r53::ListResourceRecordSets { hosted_zone_id: ZONE.into(), ..Default::default() };
        self.ask(call).map(|page| page.resource_record_sets).unwrap_or_default()
    }

    /// Every state.
    pub fn check(&self) -> Option<String> {
        if let Some(broken) = &self.broken {
            return Some(broken.clone());
        }
        let claims = &self.cluster.world.claims;
        let rules = self.rules();
        for rule in &rules {
            let Some(namespace) = &rule.namespace else { continue };
            for host in &rule.hosts {
                let claim = claims.get(&claim_name(&Host::parse(host).unwrap()));
                // Released keeps others away still; only an effect that nobody waited for can meet it.
                let holds = claim.is_some_and(|c| {
                    let state =
                        c.status.state == ClaimState::Held || self.haunted && c.status.state == ClaimState::Released;
                    state && c.spec.namespace == *namespace
                });
                if !holds {
                    return Some(format!("the rule of {host} leads to {namespace}, which does not hold it"));
                }
            }
        }
        let held: Vec<_> = claims.values().filter(|c| c.status.state == ClaimState::Held).collect();
        for (i, one) in held.iter().enumerate() {
            for other in &held[i + 1..] {
                let (a, b) = (Host::parse(&one.spec.host).unwrap(), Host::parse(&other.spec.host).unwrap());
                if one.spec.namespace != other.spec.namespace && (a.covers(&b) || b.covers(&a)) {
                    return Some(format!(
                        "{a} of {} and {b} of {} are both Held",
                        one.spec.namespace, other.spec.namespace
                    ));
                }
            }
        }
        let sets = self.records();
        for set in sets.iter().filter(|s| s.kind == "A") {
            let host = set.name.trim_end_matches('.').replace("\\052", "*");
            // A former leader's last CREATE may come after its successor has read the zone: seen by the next audit, and
            // mended by the time of rest.
            if !self.haunted && !rules.iter().any(|r| r.hosts.contains(&host)) {
                return Some(format!("{host} stands in DNS without a rule"));
            }
        }
        let theirs = sets.iter().any(|s| s.resource_records.iter().flatten().any(|r| r.value == FOREIGN));
        if !theirs || !rules.iter().any(|r| r.namespace.is_none()) {
            return Some("something of a stranger's has changed".into());
        }
        None
    }

    /// At rest: nothing is left to be done, and what is held is published.
    pub fn check_rest(&self) -> Option<String> {
        let steps: Vec<String> = self
            .engine
            .full_plan(self.clock())
            .values()
            .flat_map(|part| part.steps.iter().map(|s| s.key.what.clone()))
            .filter(|what| !what.starts_with("read "))
            .collect();
        if !steps.is_empty() {
            return Some(format!("at rest the plan is not empty: {steps:?}"));
        }
        let (rules, sets) = (self.rules(), self.records());
        for claim in self.cluster.world.claims.values().filter(|c| c.status.state == ClaimState::Held) {
            let host = &claim.spec.host;
            if claim.status.placement.is_empty() {
                continue;
            }
            let count = rules.iter().filter(|r| r.hosts.contains(host)).count();
            let name = format!("{}.", host.replace('*', "\\052"));
            let published = sets.iter().any(|s| s.kind == "A" && s.name == name);
            // A former leader's last rule may carry a host that its successor has packed into another one: both lead to
            // the same group, and they go together.
            if count == 0 || count > 1 && !self.haunted || !published {
                return Some(format!("at rest {host} is held with {count} rules, in DNS: {published}"));
            }
        }
        let stuck: Vec<_> = self.cluster.world.apps.iter().filter(|(_, a)| a.meta.deleting).map(|(k, _)| k).collect();
        if !stuck.is_empty() {
            return Some(format!("at rest apps are stuck with a finalizer: {stuck:?}"));
        }
        let orphans: Vec<_> = rules
            .iter()
            .filter(|r| r.namespace.is_some())
            .flat_map(|r| &r.hosts)
            .filter(|h| !self.cluster.world.claims.contains_key(&claim_name(&Host::parse(h).unwrap())))
            .collect();
        if !orphans.is_empty() {
            return Some(format!("at rest rules are left over: {orphans:?}"));
        }
        None
    }
}
