//! Rules: creation, change, order, deletion.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Tagged, action, check_tags, page, tag_map, transform};
use crate::Aws;
use crate::api::elbv2::{
    self as api, Action, CreateRule, DeleteRule, DescribeRules, ModifyRule, RuleCondition, RulePriorityPair,
    RuleTransform, Rules, SetRulePriorities,
};
use crate::api::{AwsError, Empty, Millis};
use crate::settings::quota;

/// A rule as it is kept; default rules are part of their listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) arn: String,
    pub(crate) listener: String,
    pub(crate) priority: i64,
    pub(crate) conditions: Vec<RuleCondition>,
    pub(crate) actions: Vec<Action>,
    pub(crate) transforms: Vec<RuleTransform>,
}

impl Aws {
    pub(crate) fn create_rule(&mut self, now: Millis, call: &CreateRule) -> Result<Rules, AwsError> {
        let listener_arn = &call.listener_arn;
        Kind::Listener.check(listener_arn)?;
        check_priority(call.priority)?;
        let listener = self.visible_listener(now, listener_arn)?;
        let load_balancer = listener.load_balancer.clone();
        let conditions = self.normalise_conditions(&call.conditions)?;
        let actions = self.normalise_actions(&call.actions)?;
        action::check_redirects(&listener.protocol, &actions)?;
        let transforms = call.transforms.clone().unwrap_or_default();
        transform::check(&transforms)?;
        check_tags(&BTreeMap::new(), call.tags.as_deref().unwrap_or_default(), self.settings.quotas.get(quota::TAGS))?;
        if listener.rules.contains_key(&call.priority) {
            return Err(in_use(call.priority));
        }
        self.quota(quota::RULES, self.rules_of(&load_balancer) + 1).map_err(|limit| {
            AwsError::new(
                "TooManyRules",
                format!("The maximum number of rules on load balancer '{load_balancer}' has been reached: [{limit}]"),
            )
        })?;
        let groups = action::groups(&actions);
        self.check_association(&load_balancer, &groups, &BTreeSet::new())?;

        let path = listener_arn.rsplit_once(":listener/app/").map(|(_, path)| path.to_owned()).unwrap_or_default();
        let id = self.fresh_id(&format!("rule/{path}/{}", call.priority));
        let arn = self.elb_arn(&format!("listener-rule/app/{path}/{id}"));
        let rule = Rule {
            arn: arn.clone(),
            listener: listener_arn.clone(),
            priority: call.priority,
            conditions,
            actions,
            transforms,
        };
        let answer = show(&rule);
        self.elb.tags.insert(arn.clone(), Tagged { created: now, tags: tag_map(call.tags.as_deref()) });
        self.elb.rules.insert(arn.clone(), rule);
        if let Some(listener) = self.elb.listeners.get_mut(listener_arn) {
            listener.rules.insert(call.priority, arn.clone());
        }
        self.relink(now, &arn, &load_balancer, &BTreeSet::new(), &groups);
        self.publish(now, listener_arn);
        Ok(Rules { rules: vec![answer], next_marker: None })
    }

    pub(crate) fn modify_rule(&mut self, now: Millis, call: &ModifyRule) -> Result<Rules, AwsError> {
        let arn = &call.rule_arn;
        Kind::Rule.check(arn)?;
        self.refuse_default(arn, "modified, use ModifyListener for its actions")?;
        let current = self.rule(arn)?.clone();
        let listener = self.listener(&current.listener)?;
        let load_balancer = listener.load_balancer.clone();
        let mut next = current.clone();
        if let Some(conditions) = call.conditions.as_deref().filter(|c| !c.is_empty()) {
            next.conditions = self.normalise_conditions(conditions)?;
        }
        if let Some(actions) = call.actions.as_deref().filter(|a| !a.is_empty()) {
            next.actions = self.normalise_actions(actions)?;
            action::check_redirects(&listener.protocol, &next.actions)?;
        }
        let transforms = call.transforms.as_deref().unwrap_or_default();
        match (transforms, call.reset_transforms.unwrap_or(false)) {
            ([], false) => {}
            ([], true) => next.transforms = Vec::new(),
            (_, true) => {
                return Err(AwsError::validation(
                    "Transforms and ResetTransforms cannot be specified at the same time",
                ));
            }
            (transforms, false) => {
                transform::check(transforms)?;
                next.transforms = transforms.to_vec();
            }
        }
        let (old, new) = (action::groups(&current.actions), action::groups(&next.actions));
        self.check_association(&load_balancer, &new, &old)?;
        let answer = show(&next);
        self.elb.rules.insert(arn.clone(), next);
        self.relink(now, arn, &load_balancer, &old, &new);
        self.publish(now, &current.listener);
        Ok(Rules { rules: vec![answer], next_marker: None })
    }

    pub(crate) fn delete_rule(&mut self, now: Millis, call: &DeleteRule) -> Result<Empty, AwsError> {
        let arn = &call.rule_arn;
        Kind::Rule.check(arn)?;
        self.refuse_default(arn, "deleted")?;
        let rule = self.rule(arn)?.clone();
        let load_balancer = self.listener(&rule.listener)?.load_balancer.clone();
        self.elb.rules.remove(arn);
        self.elb.tags.remove(arn);
        if let Some(listener) = self.elb.listeners.get_mut(&rule.listener) {
            listener.rules.remove(&rule.priority);
        }
        self.relink(now, arn, &load_balancer, &action::groups(&rule.actions), &BTreeSet::new());
        self.publish(now, &rule.listener);
        Ok(Empty {})
    }

    pub(crate) fn describe_rules(&self, call: &DescribeRules) -> Result<Rules, AwsError> {
        let arns = call.rule_arns.as_deref().unwrap_or_default();
        let mut all = Vec::new();
        match &call.listener_arn {
            Some(_) if !arns.is_empty() => {
                return Err(AwsError::validation("Listener ARN and rule ARNs cannot be specified at the same time"));
            }
            Some(arn) => {
                Kind::Listener.check(arn)?;
                let listener = self.listener(arn)?;
                for rule in listener.rules.values() {
                    all.push(show(self.rule(rule)?));
                }
                all.push(show_default(&listener.default_rule, &listener.default_actions));
            }
            None if arns.is_empty() => {
                return Err(AwsError::validation("You must specify either listener ARN or rule ARN(s)"));
            }
            None => {
                for arn in arns {
                    Kind::Rule.check(arn)?;
                    all.push(match self.default_of(arn) {
                        Some(actions) => show_default(arn, actions),
                        None => show(self.rule(arn)?),
                    });
                }
            }
        }
        let (rules, next_marker) = page(all, call.marker.as_deref(), call.page_size)?;
        Ok(Rules { rules, next_marker })
    }

    pub(crate) fn set_rule_priorities(&mut self, now: Millis, call: &SetRulePriorities) -> Result<Rules, AwsError> {
        if call.rule_priorities.is_empty() {
            return Err(AwsError::validation("At least one rule priority must be specified"));
        }
        let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
        for RulePriorityPair { rule_arn, priority } in &call.rule_priorities {
            Kind::Rule.check(rule_arn)?;
            check_priority(*priority)?;
            self.refuse_default(rule_arn, "moved to another priority")?;
            self.rule(rule_arn)?;
            if wanted.insert(rule_arn, *priority).is_some() {
                return Err(AwsError::validation(format!("Rule '{rule_arn}' is named twice")));
            }
        }
        // Whether the order is free of conflicts is asked of the result only, so any permutation passes.
        let listeners: BTreeSet<String> =
            wanted.keys().filter_map(|arn| self.elb.rules.get(arn)).map(|rule| rule.listener.clone()).collect();
        let mut results = Vec::new();
        for listener in &listeners {
            let mut order = BTreeMap::new();
            for (priority, arn) in &self.listener(listener)?.rules {
                let priority = wanted.get(arn.as_str()).copied().unwrap_or(*priority);
                if order.insert(priority, arn.clone()).is_some() {
                    return Err(in_use(priority));
                }
            }
            results.push((listener, order));
        }
        for (listener_arn, order) in results {
            if let Some(listener) = self.elb.listeners.get_mut(listener_arn) {
                listener.rules = order;
            }
        }
        for (arn, priority) in &wanted {
            if let Some(rule) = self.elb.rules.get_mut(arn) {
                rule.priority = *priority;
            }
        }
        for listener in &listeners {
            self.publish(now, listener);
        }
        let rules = call.rule_priorities.iter().filter_map(|pair| self.rule(&pair.rule_arn).ok()).map(show).collect();
        Ok(Rules { rules, next_marker: None })
    }

    /// The rule of this ARN, or `RuleNotFound`.
    pub(crate) fn rule(&self, arn: &str) -> Result<&Rule, AwsError> {
        self.elb.rules.get(arn).map(AsRef::as_ref).ok_or_else(|| Kind::Rule.not_found())
    }

    /// How many rules a load balancer has, default rules not counted.
    fn rules_of(&self, load_balancer: &str) -> usize {
        let listeners = self.elb.load_balancers.get(load_balancer).map(|lb| &lb.listeners);
        listeners
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|l| self.elb.listeners.get(l))
            .map(|l| l.rules.len())
            .sum()
    }

    /// The actions of the default rule with this ARN.
    fn default_of(&self, rule: &str) -> Option<&[Action]> {
        // A rule's ARN is its listener's with another word and one more part.
        let listener = rule.rsplit_once('/')?.0.replace(":listener-rule/", ":listener/");
        let listener = self.elb.listeners.get(&listener)?;
        (listener.default_rule == rule).then_some(listener.default_actions.as_slice())
    }

    fn refuse_default(&self, arn: &str, what: &str) -> Result<(), AwsError> {
        match self.default_of(arn) {
            Some(_) => Err(AwsError::new("OperationNotPermitted", format!("Default rule '{arn}' cannot be {what}"))),
            None => Ok(()),
        }
    }
}

fn check_priority(priority: i64) -> Result<(), AwsError> {
    super::check_range("Rule priority", priority, 1, 50_000)
}

fn in_use(priority: i64) -> AwsError {
    AwsError::new("PriorityInUse", format!("Priority '{priority}' is currently in use"))
}

fn show(rule: &Rule) -> api::Rule {
    api::Rule {
        rule_arn: rule.arn.clone(),
        priority: rule.priority.to_string(),
        conditions: rule.conditions.clone(),
        actions: rule.actions.clone(),
        is_default: false,
        transforms: (!rule.transforms.is_empty()).then(|| rule.transforms.clone()),
    }
}

fn show_default(arn: &str, actions: &[Action]) -> api::Rule {
    api::Rule {
        rule_arn: arn.to_owned(),
        priority: "default".into(),
        conditions: Vec::new(),
        actions: actions.to_vec(),
        is_default: true,
        transforms: None,
    }
}
