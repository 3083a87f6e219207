//! Which load balancer a target group belongs to: a matter of the rules and listeners that name it.

use std::collections::BTreeSet;

use crate::Aws;
use crate::api::{AwsError, Millis};
use crate::settings::quota;

impl Aws {
    /// Whether a rule or listener of the load balancer may name these groups in place of `old`.
    pub(super) fn check_association(
        &self,
        load_balancer: &str,
        new: &BTreeSet<String>,
        old: &BTreeSet<String>,
    ) -> Result<(), AwsError> {
        for arn in new {
            if self.group(arn)?.load_balancer.as_ref().is_some_and(|other| other != load_balancer) {
                return Err(AwsError::new(
                    "TargetGroupAssociationLimit",
                    format!("The following target groups cannot be associated with more than one load balancer: {arn}"),
                ));
            }
        }
        let mut after = self.load_balancer(load_balancer)?.groups.clone();
        if new.is_subset(&after) {
            return Ok(());
        }
        after.retain(|arn| {
            new.contains(arn) || !old.contains(arn) || self.elb.groups.get(arn).is_some_and(|g| g.used_by.len() > 1)
        });
        after.extend(new.iter().cloned());
        self.quota(quota::GROUPS_PER_LOAD_BALANCER, after.len()).map_err(|limit| {
            AwsError::new(
                "TooManyUniqueTargetGroupsPerLoadBalancer",
                format!("You have reached the maximum number of unique target groups that you can associate with a load balancer of type 'application': [{limit}]"),
            )
        })?;
        let targets = after.iter().filter_map(|arn| self.elb.groups.get(arn)).map(|group| group.targets.len()).sum();
        self.check_targets_per_load_balancer(load_balancer, targets)
    }

    pub(super) fn check_targets_per_load_balancer(&self, arn: &str, targets: usize) -> Result<(), AwsError> {
        self.quota(quota::TARGETS_PER_LOAD_BALANCER, targets).map_err(|limit| {
            AwsError::new(
                "TooManyTargets",
                format!("The maximum number of targets on load balancer '{arn}' has been reached: [{limit}]"),
            )
        })
    }

    /// Records that `owner`, a rule or listener, names `new` in place of `old`.
    pub(super) fn relink(
        &mut self,
        now: Millis,
        owner: &str,
        load_balancer: &str,
        old: &BTreeSet<String>,
        new: &BTreeSet<String>,
    ) {
        for arn in old.difference(new) {
            let Some(group) = self.elb.groups.get_mut(arn) else { continue };
            group.used_by.remove(owner);
            group.released = Some(now);
            if group.used_by.is_empty() {
                group.load_balancer = None;
                if let Some(load_balancer) = self.elb.load_balancers.get_mut(load_balancer) {
                    load_balancer.groups.remove(arn);
                }
            }
        }
        for arn in new.difference(old) {
            let Some(group) = self.elb.groups.get_mut(arn) else { continue };
            group.used_by.insert(owner.to_owned());
            if group.load_balancer.is_none() {
                group.load_balancer = Some(load_balancer.to_owned());
                group.in_use_since = now;
                // Checks start afresh when a group comes into use.
                for target in group.targets.values_mut() {
                    target.observed = None;
                }
                if let Some(load_balancer) = self.elb.load_balancers.get_mut(load_balancer) {
                    load_balancer.groups.insert(arn.clone());
                }
            }
        }
    }
}
