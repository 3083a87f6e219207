//! Targets: registration, states, draining.

use std::net::{IpAddr, Ipv4Addr};

use super::{Group, Kind};
use crate::Aws;
use crate::api::elbv2::{
    DeregisterTargets, DescribeTargetHealth, RegisterTargets, TargetDescription, TargetHealth, TargetHealthDescription,
    TargetHealths,
};
use crate::api::{AwsError, Empty, Millis};
use crate::settings::{HealthSource, quota};

/// What makes a target: one address on two ports is two targets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TargetKey {
    pub(crate) id: String,
    pub(crate) port: i64,
}

/// A registered target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) zone: Option<String>,
    pub(crate) registered: Millis,
    pub(crate) observed: Option<Observed>,
    /// Set by deregistration: connections drain until then, afterwards it is gone.
    pub(crate) draining_until: Option<Millis>,
}

/// The verdict of health checks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Observed {
    pub(crate) healthy: bool,
    /// AWS's words for why not.
    pub(crate) description: String,
}

impl Aws {
    pub(crate) fn register_targets(&mut self, now: Millis, call: &RegisterTargets) -> Result<Empty, AwsError> {
        let arn = &call.target_group_arn;
        Kind::TargetGroup.check(arn)?;
        let group = self.group(arn)?;
        if call.targets.is_empty() {
            return Err(AwsError::validation("At least one target must be specified"));
        }
        for target in &call.targets {
            self.check_target(group, target)?;
        }
        let mut next = group.clone();
        forget_drained(&mut next, now);
        for target in &call.targets {
            let entry = next.targets.entry(key(&next, target));
            let fresh = Target {
                zone: target.availability_zone.clone(),
                registered: now,
                observed: None,
                draining_until: None,
            };
            // Registering what is registered changes nothing; what drains starts again.
            entry
                .and_modify(|present| {
                    if present.draining_until.is_some() {
                        *present = fresh.clone();
                    }
                })
                .or_insert(fresh);
        }
        self.quota(quota::TARGETS_PER_GROUP, next.targets.len()).map_err(|limit| {
            AwsError::new(
                "TooManyTargets",
                format!("The maximum number of targets in target group '{arn}' has been reached: [{limit}]"),
            )
        })?;
        if let Some(load_balancer) = &next.load_balancer {
            let others: usize = self
                .load_balancer(load_balancer)?
                .groups
                .iter()
                .filter(|other| *other != arn)
                .filter_map(|other| self.elb.groups.get(other))
                .map(|other| other.targets.len())
                .sum();
            self.check_targets_per_load_balancer(load_balancer, others + next.targets.len())?;
        }
        self.elb.groups.insert(arn.clone(), next);
        Ok(Empty {})
    }

    pub(crate) fn deregister_targets(&mut self, now: Millis, call: &DeregisterTargets) -> Result<Empty, AwsError> {
        let arn = &call.target_group_arn;
        Kind::TargetGroup.check(arn)?;
        let group = self.group(arn)?;
        if call.targets.is_empty() {
            return Err(AwsError::validation("At least one target must be specified"));
        }
        let mut next = group.clone();
        forget_drained(&mut next, now);
        let asked = next.attributes.get("deregistration_delay.timeout_seconds").and_then(|v| v.parse().ok());
        let delay = Millis::secs(asked.unwrap_or(300)).min(self.settings.delays.draining_cap);
        for target in &call.targets {
            let key = key(&next, target);
            if next.load_balancer.is_none() || delay == Millis(0) {
                next.targets.remove(&key);
            } else if let Some(present) = next.targets.get_mut(&key) {
                present.draining_until.get_or_insert(now + delay);
            }
        }
        self.elb.groups.insert(arn.clone(), next);
        Ok(Empty {})
    }

    pub(crate) fn describe_target_health(
        &self,
        now: Millis,
        call: &DescribeTargetHealth,
    ) -> Result<TargetHealths, AwsError> {
        Kind::TargetGroup.check(&call.target_group_arn)?;
        let group = self.group(&call.target_group_arn)?;
        let keys: Vec<TargetKey> = match call.targets.as_deref() {
            None | Some([]) => group
                .targets
                .iter()
                .filter(|(_, t)| t.draining_until.is_none_or(|until| now < until))
                .map(|(k, _)| k.clone())
                .collect(),
            Some(targets) => targets.iter().map(|target| key(group, target)).collect(),
        };
        let target_health_descriptions = keys
            .into_iter()
            .map(|key| TargetHealthDescription {
                target_health: self.target_health(now, group, &key),
                health_check_port: match group.health_check.port.as_str() {
                    "traffic-port" => key.port.to_string(),
                    port => port.to_owned(),
                },
                target: TargetDescription {
                    port: Some(key.port),
                    availability_zone: group.targets.get(&key).and_then(|t| t.zone.clone()),
                    id: key.id,
                },
            })
            .collect();
        Ok(TargetHealths { target_health_descriptions })
    }

    /// The state of a target, registered or not.
    pub(crate) fn target_health(&self, now: Millis, group: &Group, key: &TargetKey) -> TargetHealth {
        let health = |state: &str, reason: Option<&str>, description: Option<&str>| TargetHealth {
            state: state.into(),
            reason: reason.map(Into::into),
            description: description.map(Into::into),
        };
        let Some(target) = group.targets.get(key).filter(|t| t.draining_until.is_none_or(|until| now < until)) else {
            return health(
                "unused",
                Some("Target.NotRegistered"),
                Some("Target is not registered to the target group"),
            );
        };
        if target.draining_until.is_some() {
            return health(
                "draining",
                Some("Target.DeregistrationInProgress"),
                Some("Target deregistration is in progress"),
            );
        }
        let Some(load_balancer) = group.load_balancer.as_ref().and_then(|arn| self.elb.load_balancers.get(arn)) else {
            return health(
                "unused",
                Some("Target.NotInUse"),
                Some("Target group is not configured to receive traffic from the load balancer"),
            );
        };
        match (&target.observed, self.settings.health) {
            (Some(Observed { healthy: true, .. }), _) => health("healthy", None, None),
            (Some(observed), _) => {
                let reason = if observed.description.contains("codes") {
                    "Target.ResponseCodeMismatch"
                } else if observed.description.contains("timed out") {
                    "Target.Timeout"
                } else {
                    "Target.FailedHealthChecks"
                };
                health("unhealthy", Some(reason), Some(&observed.description))
            }
            (None, HealthSource::Automatic { after })
                if now >= checked_from(target, group, load_balancer.active_at) + after =>
            {
                health("healthy", None, None)
            }
            (None, _) => {
                health("initial", Some("Elb.RegistrationInProgress"), Some("Target registration is in progress"))
            }
        }
    }

    /// When a target turns healthy by itself, if it will.
    pub(crate) fn healthy_at(&self, group: &Group, target: &Target) -> Option<Millis> {
        let HealthSource::Automatic { after } = self.settings.health else { return None };
        let load_balancer = self.elb.load_balancers.get(group.load_balancer.as_ref()?)?;
        (target.observed.is_none() && target.draining_until.is_none())
            .then(|| checked_from(target, group, load_balancer.active_at) + after)
    }

    /// Tells the model what health checks found. `target` is address and port; what is not registered is ignored.
    pub fn observe_target(&mut self, target_group: &str, target: (&str, u16), healthy: bool, description: &str) {
        let key = TargetKey { id: target.0.to_owned(), port: i64::from(target.1) };
        let wanted = Observed { healthy, description: description.to_owned() };
        let present = self.elb.groups.get(target_group).and_then(|group| group.targets.get(&key));
        if present.is_none_or(|target| target.observed.as_ref() == Some(&wanted)) {
            return;
        }
        if let Some(target) = self.elb.groups.get_mut(target_group).and_then(|group| group.targets.get_mut(&key)) {
            target.observed = Some(wanted);
        }
    }

    fn check_target(&self, group: &Group, target: &TargetDescription) -> Result<(), AwsError> {
        let TargetDescription { id, port, availability_zone } = target;
        let invalid = |why: String| AwsError::new("InvalidTarget", why);
        if let Some(port) = port {
            super::check_range("Target port", *port, 1, 65_535)?;
        }
        let network = &self.settings.network;
        let known_zone = |zone: &str| zone == "all" || network.subnets.iter().any(|s| s.zone == zone);
        if let Some(zone) = availability_zone.as_deref().filter(|zone| !known_zone(zone)) {
            return Err(AwsError::validation(format!("The Availability Zone '{zone}' of target '{id}' is not valid")));
        }
        if group.target_type == "instance" {
            if !id.starts_with("i-") {
                return Err(invalid(format!("The target ID '{id}' is not a valid instance ID")));
            }
            return Ok(());
        }
        let address: IpAddr =
            id.parse().map_err(|_| invalid(format!("The target ID '{id}' is not a valid IP address")))?;
        match address {
            IpAddr::V4(_) if group.ip_address_type != "ipv4" => Err(invalid(format!(
                "The IP address '{id}' does not fit the target group's type '{}'",
                group.ip_address_type
            ))),
            IpAddr::V6(_) if group.ip_address_type != "ipv6" => Err(invalid(format!(
                "The IP address '{id}' does not fit the target group's type '{}'",
                group.ip_address_type
            ))),
            IpAddr::V4(address) if network.cidrs.iter().any(|cidr| cidr.contains(&address)) => Ok(()),
            IpAddr::V4(address) if !(address.is_private() || shared(address)) => Err(invalid(format!(
                "The IP address '{id}' must be within the VPC, RFC 1918 or 100.64.0.0/10; public addresses are not allowed"
            ))),
            IpAddr::V4(_) if availability_zone.as_deref() != Some("all") => Err(AwsError::validation(format!(
                "You must specify the Availability Zone 'all' for IP address '{id}', which is outside the VPC"
            ))),
            _ => Ok(()),
        }
    }
}

/// 100.64.0.0/10.
fn shared(address: Ipv4Addr) -> bool {
    let octets = address.octets();
    octets[0] == 100 && octets[1] & 0xc0 == 64
}

fn checked_from(target: &Target, group: &Group, active_at: Millis) -> Millis {
    target.registered.max(group.in_use_since).max(active_at)
}

fn forget_drained(group: &mut Group, now: Millis) {
    group.targets.retain(|_, target| target.draining_until.is_none_or(|until| now < until));
}

fn key(group: &Group, target: &TargetDescription) -> TargetKey {
    TargetKey { id: target.id.clone(), port: target.port.unwrap_or(group.port) }
}
