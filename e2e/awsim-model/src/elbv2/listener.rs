//! Listeners, and the versions of a listener that the data plane takes over in batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Kind, Rule, Tagged, action, attributes, check_tags, page, tag_map};
use crate::Aws;
use crate::api::elbv2::{
    self as api, Action, Attributes, Certificate, CreateListener, DeleteListener, DescribeListenerAttributes,
    DescribeListeners, Listeners, ModifyListener, ModifyListenerAttributes,
};
use crate::api::{AwsError, Empty, Millis};
use crate::settings::quota;

/// A listener as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Listener {
    pub(crate) arn: String,
    pub(crate) load_balancer: String,
    pub(crate) created: Millis,
    pub(crate) port: i64,
    pub(crate) protocol: String,
    pub(crate) ssl_policy: Option<String>,
    /// The default certificate; HTTPS only.
    pub(crate) certificate: Option<String>,
    /// The SNI list.
    pub(crate) certificates: BTreeSet<String>,
    pub(crate) default_actions: Vec<Action>,
    pub(crate) default_rule: String,
    /// Priority to rule ARN, the default rule not among them.
    pub(crate) rules: BTreeMap<i64, String>,
    pub(crate) attributes: BTreeMap<String, String>,
    /// What the data plane runs from which moment on, oldest first.
    pub(crate) versions: Vec<(Millis, Arc<ListenerView>)>,
}

/// A listener as the data plane sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ListenerView {
    pub(crate) https: bool,
    /// The default certificate first.
    pub(crate) certificates: Vec<String>,
    /// In order of priority.
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) default_rule: String,
    pub(crate) default_actions: Vec<Action>,
}

/// Protocol with what belongs to it.
struct Front {
    protocol: String,
    ssl_policy: Option<String>,
    certificate: Option<String>,
}

impl Aws {
    pub(crate) fn create_listener(&mut self, now: Millis, call: &CreateListener) -> Result<Listeners, AwsError> {
        let load_balancer_arn = &call.load_balancer_arn;
        Kind::LoadBalancer.check(load_balancer_arn)?;
        let load_balancer = self.load_balancer(load_balancer_arn)?.clone();
        let port = call.port.ok_or_else(|| AwsError::validation("A listener port must be specified"))?;
        super::check_range("Listener port", port, 1, 65_535)?;
        let protocol =
            call.protocol.as_deref().ok_or_else(|| AwsError::validation("A listener protocol must be specified"))?;
        let front = self.check_front(now, protocol, call.ssl_policy.as_deref(), call.certificates.as_deref())?;
        let default_actions = self.normalise_actions(&call.default_actions)?;
        action::check_redirects(&front.protocol, &default_actions)?;
        let tags = call.tags.as_deref().unwrap_or_default();
        check_tags(&BTreeMap::new(), tags, self.settings.quotas.get(quota::TAGS))?;

        if let Some(existing) = load_balancer.listeners.get(&port).and_then(|arn| self.elb.listeners.get(arn)) {
            let same = existing.protocol == front.protocol
                && existing.ssl_policy == front.ssl_policy
                && existing.certificate == front.certificate
                && existing.default_actions == default_actions;
            if same {
                return Ok(Listeners { listeners: vec![show(existing)], next_marker: None });
            }
            return Err(duplicate(load_balancer_arn));
        }
        self.quota(quota::LISTENERS, load_balancer.listeners.len() + 1).map_err(|limit| {
            AwsError::new(
                "TooManyListeners",
                format!(
                    "The maximum number of listeners has been reached on load balancer '{load_balancer_arn}': [{limit}]"
                ),
            )
        })?;
        let groups = action::groups(&default_actions);
        self.check_association(load_balancer_arn, &groups, &BTreeSet::new())?;

        let path = load_balancer_arn.rsplit_once(":loadbalancer/app/").map(|(_, path)| path).unwrap_or_default();
        let id = self.fresh_id(&format!("listener/{path}/{port}"));
        let arn = self.elb_arn(&format!("listener/app/{path}/{id}"));
        let rule_id = self.fresh_id(&format!("rule/{path}/{id}/default"));
        let default_rule = self.elb_arn(&format!("listener-rule/app/{path}/{id}/{rule_id}"));
        let listener = Listener {
            arn: arn.clone(),
            load_balancer: load_balancer_arn.clone(),
            created: now,
            port,
            protocol: front.protocol,
            ssl_policy: front.ssl_policy,
            certificate: front.certificate,
            certificates: BTreeSet::new(),
            default_actions,
            default_rule: default_rule.clone(),
            rules: BTreeMap::new(),
            attributes: attributes::defaults(attributes::LISTENER),
            versions: Vec::new(),
        };
        let answer = show(&listener);
        self.elb.tags.insert(arn.clone(), Tagged { created: now, tags: tag_map(call.tags.as_deref()) });
        self.elb.tags.insert(default_rule, Tagged { created: now, tags: BTreeMap::new() });
        self.elb.listeners.insert(arn.clone(), listener);
        if let Some(load_balancer) = self.elb.load_balancers.get_mut(load_balancer_arn) {
            load_balancer.listeners.insert(port, arn.clone());
        }
        self.relink(now, &arn, load_balancer_arn, &BTreeSet::new(), &groups);
        self.publish(now, &arn);
        Ok(Listeners { listeners: vec![answer], next_marker: None })
    }

    pub(crate) fn modify_listener(&mut self, now: Millis, call: &ModifyListener) -> Result<Listeners, AwsError> {
        let arn = &call.listener_arn;
        Kind::Listener.check(arn)?;
        let current = self.visible_listener(now, arn)?.clone();
        let port = call.port.unwrap_or(current.port);
        super::check_range("Listener port", port, 1, 65_535)?;
        let load_balancer = self.load_balancer(&current.load_balancer)?;
        if port != current.port && load_balancer.listeners.contains_key(&port) {
            return Err(duplicate(&current.load_balancer));
        }
        let protocol = call.protocol.as_deref().unwrap_or(&current.protocol);
        // Going to HTTP drops certificate and policy, staying keeps what the call leaves out.
        let kept: Option<Vec<Certificate>> = (protocol == "HTTPS").then(|| {
            current.certificate.iter().map(|c| Certificate { certificate_arn: c.clone(), is_default: None }).collect()
        });
        let certificates = call.certificates.clone().filter(|c| !c.is_empty()).or(kept);
        let policy = call.ssl_policy.clone().or_else(|| current.ssl_policy.clone().filter(|_| protocol == "HTTPS"));
        let front = self.check_front(now, protocol, policy.as_deref(), certificates.as_deref())?;
        let default_actions = match call.default_actions.as_deref() {
            None | Some([]) => current.default_actions.clone(),
            Some(actions) => self.normalise_actions(actions)?,
        };
        action::check_redirects(&front.protocol, &default_actions)?;
        let (old, new) = (action::groups(&current.default_actions), action::groups(&default_actions));
        self.check_association(&current.load_balancer, &new, &old)?;

        let dropped: Vec<String> = match (&current.certificate, &front.certificate) {
            (Some(before), after) if after.as_ref() != Some(before) => vec![before.clone()],
            _ => Vec::new(),
        };
        if let Some(listener) = self.elb.listeners.get_mut(arn) {
            listener.port = port;
            listener.protocol = front.protocol;
            listener.ssl_policy = front.ssl_policy;
            listener.certificate = front.certificate;
            listener.default_actions = default_actions;
            if protocol == "HTTP" {
                listener.certificates.clear();
            }
        }
        if let Some(load_balancer) = self.elb.load_balancers.get_mut(&current.load_balancer) {
            load_balancer.listeners.remove(&current.port);
            load_balancer.listeners.insert(port, arn.clone());
        }
        self.acm.released(now, &dropped);
        self.relink(now, arn, &current.load_balancer, &old, &new);
        self.publish(now, arn);
        Ok(Listeners { listeners: vec![show(self.listener(arn)?)], next_marker: None })
    }

    pub(crate) fn describe_listeners(&self, call: &DescribeListeners) -> Result<Listeners, AwsError> {
        let arns = call.listener_arns.as_deref().unwrap_or_default();
        let mut all = Vec::new();
        match &call.load_balancer_arn {
            Some(_) if !arns.is_empty() => {
                return Err(AwsError::validation(
                    "Load balancer ARN and listener ARNs cannot be specified at the same time",
                ));
            }
            Some(load_balancer) => {
                Kind::LoadBalancer.check(load_balancer)?;
                for arn in self.load_balancer(load_balancer)?.listeners.values() {
                    all.push(show(self.listener(arn)?));
                }
            }
            None if arns.is_empty() => {
                return Err(AwsError::validation("You must specify either listener ARNs or a load balancer ARN"));
            }
            None => {
                for arn in arns {
                    Kind::Listener.check(arn)?;
                    all.push(show(self.listener(arn)?));
                }
            }
        }
        let (listeners, next_marker) = page(all, call.marker.as_deref(), call.page_size)?;
        Ok(Listeners { listeners, next_marker })
    }

    pub(crate) fn delete_listener(&mut self, now: Millis, call: &DeleteListener) -> Result<Empty, AwsError> {
        Kind::Listener.check(&call.listener_arn)?;
        self.listener(&call.listener_arn)?;
        self.drop_listener(now, &call.listener_arn);
        Ok(Empty {})
    }

    pub(crate) fn describe_listener_attributes(
        &self,
        call: &DescribeListenerAttributes,
    ) -> Result<Attributes, AwsError> {
        Kind::Listener.check(&call.listener_arn)?;
        Ok(Attributes { attributes: attributes::list(&self.listener(&call.listener_arn)?.attributes) })
    }

    pub(crate) fn modify_listener_attributes(
        &mut self,
        call: &ModifyListenerAttributes,
    ) -> Result<Attributes, AwsError> {
        Kind::Listener.check(&call.listener_arn)?;
        let current = &self.listener(&call.listener_arn)?.attributes;
        let next = attributes::modify("Listener", attributes::LISTENER, current, &call.attributes)?;
        let answer = Attributes { attributes: attributes::list(&next) };
        if let Some(listener) = self.elb.listeners.get_mut(&call.listener_arn) {
            listener.attributes = next;
        }
        Ok(answer)
    }

    /// The listener of this ARN, or `ListenerNotFound`.
    pub(crate) fn listener(&self, arn: &str) -> Result<&Listener, AwsError> {
        self.elb.listeners.get(arn).map(AsRef::as_ref).ok_or_else(|| Kind::Listener.not_found())
    }

    /// The same, for calls that do not see a listener created a moment ago.
    pub(crate) fn visible_listener(&self, now: Millis, arn: &str) -> Result<&Listener, AwsError> {
        let listener = self.listener(arn)?;
        if now < listener.created + self.settings.delays.listener_visible {
            return Err(Kind::Listener.not_found());
        }
        Ok(listener)
    }

    /// Removes a listener with its rules.
    pub(super) fn drop_listener(&mut self, now: Millis, arn: &str) {
        let Some(listener) = self.elb.listeners.remove(arn) else { return };
        for rule_arn in listener.rules.values() {
            if let Some(rule) = self.elb.rules.remove(rule_arn) {
                self.relink(now, rule_arn, &listener.load_balancer, &action::groups(&rule.actions), &BTreeSet::new());
            }
            self.elb.tags.remove(rule_arn);
        }
        let groups = action::groups(&listener.default_actions);
        self.relink(now, arn, &listener.load_balancer, &groups, &BTreeSet::new());
        self.elb.tags.remove(arn);
        self.elb.tags.remove(&listener.default_rule);
        let certificates: Vec<String> = listener.certificate.iter().chain(&listener.certificates).cloned().collect();
        self.acm.released(now, &certificates);
        if let Some(load_balancer) = self.elb.load_balancers.get_mut(&listener.load_balancer) {
            load_balancer.listeners.remove(&listener.port);
        }
    }

    /// Hands the listener's present state to the data plane, at the next batch.
    pub(super) fn publish(&mut self, now: Millis, arn: &str) {
        let Ok(listener) = self.listener(arn) else { return };
        let view = ListenerView {
            https: listener.protocol == "HTTPS",
            certificates: listener.certificate.iter().chain(&listener.certificates).cloned().collect(),
            rules: listener.rules.values().filter_map(|rule| self.elb.rules.get(rule).cloned()).collect(),
            default_rule: listener.default_rule.clone(),
            default_actions: listener.default_actions.clone(),
        };
        let batch = self.settings.delays.rule_batch.0;
        let from = now.0.checked_div(batch).map_or(now, |number| Millis((number + 1) * batch));
        let Some(listener) = self.elb.listeners.get_mut(arn) else { return };
        // Only the newest version that already runs is still of use, and one change per batch.
        let running = listener.versions.iter().rposition(|(at, _)| *at <= now).unwrap_or(0);
        listener.versions.drain(..running);
        listener.versions.retain(|(at, _)| *at != from);
        listener.versions.push((from, Arc::new(view)));
    }

    fn check_front(
        &self,
        now: Millis,
        protocol: &str,
        policy: Option<&str>,
        certificates: Option<&[Certificate]>,
    ) -> Result<Front, AwsError> {
        let certificates = certificates.unwrap_or_default();
        match protocol {
            "HTTP" => {
                if !certificates.is_empty() || policy.is_some() {
                    return Err(AwsError::validation(
                        "A listener of protocol 'HTTP' cannot have certificates or an SSL policy",
                    ));
                }
                Ok(Front { protocol: protocol.into(), ssl_policy: None, certificate: None })
            }
            "HTTPS" => {
                let policy = policy.unwrap_or("ELBSecurityPolicy-2016-08");
                if !super::limits::SSL_POLICIES.contains(&policy) {
                    return Err(AwsError::new("SSLPolicyNotFound", format!("SSL policy '{policy}' not found")));
                }
                let [certificate] = certificates else {
                    return Err(AwsError::validation(format!(
                        "A listener of protocol 'HTTPS' must have exactly one default certificate, not {}",
                        certificates.len()
                    )));
                };
                self.check_certificate(now, &certificate.certificate_arn)?;
                Ok(Front {
                    protocol: protocol.into(),
                    ssl_policy: Some(policy.into()),
                    certificate: Some(certificate.certificate_arn.clone()),
                })
            }
            other => Err(AwsError::validation(format!("Listener protocol '{other}' must be one of 'HTTP, HTTPS'"))),
        }
    }
}

fn duplicate(load_balancer: &str) -> AwsError {
    AwsError::new(
        "DuplicateListener",
        format!("A listener already exists on this port for this load balancer '{load_balancer}'"),
    )
}

fn show(listener: &Listener) -> api::Listener {
    api::Listener {
        listener_arn: listener.arn.clone(),
        load_balancer_arn: listener.load_balancer.clone(),
        port: listener.port,
        protocol: listener.protocol.clone(),
        certificates: listener
            .certificate
            .as_ref()
            .map(|arn| vec![Certificate { certificate_arn: arn.clone(), is_default: None }]),
        ssl_policy: listener.ssl_policy.clone(),
        default_actions: listener.default_actions.clone(),
    }
}
