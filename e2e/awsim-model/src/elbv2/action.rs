//! Actions of rules and listeners: validation, and the form in which AWS answers them.

use std::collections::BTreeSet;

use super::Kind;
use crate::Aws;
use crate::api::AwsError;
use crate::api::elbv2::{
    Action, FixedResponseConfig, ForwardConfig, RedirectConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};
use crate::settings::quota;

const CONTENT_TYPES: [&str; 5] = ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// The target groups that these actions forward to.
pub(super) fn groups(actions: &[Action]) -> BTreeSet<String> {
    actions
        .iter()
        .filter_map(|action| action.forward_config.as_ref())
        .flat_map(|forward| forward.target_groups.iter().map(|group| group.target_group_arn.clone()))
        .collect()
}

/// A listener of HTTPS does not send its clients to HTTP.
pub(super) fn check_redirects(listener_protocol: &str, actions: &[Action]) -> Result<(), AwsError> {
    let to_http = |action: &Action| {
        action.redirect_config.as_ref().is_some_and(|redirect| redirect.protocol.as_deref() == Some("HTTP"))
    };
    if listener_protocol == "HTTPS" && actions.iter().any(to_http) {
        return Err(AwsError::new(
            "InvalidLoadBalancerAction",
            "A listener of protocol 'HTTPS' cannot redirect to protocol 'HTTP'",
        ));
    }
    Ok(())
}

impl Aws {
    /// Checks actions and brings them into the form in which AWS answers them.
    pub(super) fn normalise_actions(&self, actions: &[Action]) -> Result<Vec<Action>, AwsError> {
        let [action] = actions else {
            // authenticate-* actions, which may come before, are not modelled.
            return Err(AwsError::validation(format!(
                "Exactly one action of type forward, redirect or fixed-response must be specified, not {}",
                actions.len()
            )));
        };
        let misplaced = match action.kind.as_str() {
            "forward" => action.redirect_config.is_some() || action.fixed_response_config.is_some(),
            "redirect" => action.forward_config.is_some() || action.fixed_response_config.is_some(),
            "fixed-response" => action.forward_config.is_some() || action.redirect_config.is_some(),
            other => return Err(AwsError::validation(format!("Action type '{other}' is not modelled or not valid"))),
        };
        if misplaced || (action.kind != "forward" && action.target_group_arn.is_some()) {
            return Err(AwsError::validation(format!(
                "An action of type '{}' has the settings of another type",
                action.kind
            )));
        }
        if let Some(order) = action.order {
            super::check_range("Action order", order, 1, 50_000)?;
        }
        let mut answer = Action { kind: action.kind.clone(), order: action.order, ..Action::default() };
        match action.kind.as_str() {
            "forward" => {
                let forward = self.normalise_forward(action)?;
                if let [only] = forward.target_groups.as_slice() {
                    answer.target_group_arn = Some(only.target_group_arn.clone());
                }
                answer.forward_config = Some(forward);
            }
            "redirect" => answer.redirect_config = Some(normalise_redirect(action.redirect_config.as_ref())?),
            _ => {
                check_fixed_response(action.fixed_response_config.as_ref())?;
                answer.fixed_response_config.clone_from(&action.fixed_response_config);
            }
        }
        Ok(vec![answer])
    }

    fn normalise_forward(&self, action: &Action) -> Result<ForwardConfig, AwsError> {
        let tuples = match (&action.forward_config, &action.target_group_arn) {
            (Some(forward), arn) => {
                if let Some(arn) = arn
                    && (forward.target_groups.len() != 1 || forward.target_groups[0].target_group_arn != *arn)
                {
                    return Err(AwsError::validation(format!(
                        "TargetGroupArn '{arn}' and ForwardConfig name different target groups"
                    )));
                }
                forward.target_groups.clone()
            }
            (None, Some(arn)) => vec![TargetGroupTuple { target_group_arn: arn.clone(), weight: None }],
            (None, None) => return Err(AwsError::validation("A forward action must specify a target group")),
        };
        let limit = self.settings.quotas.get(quota::GROUPS_PER_ACTION);
        if tuples.is_empty() {
            return Err(AwsError::validation("A forward action must specify a target group"));
        }
        if i64::try_from(tuples.len()).unwrap_or(i64::MAX) > limit {
            return Err(AwsError::new(
                "TooManyTargetGroups",
                format!("A forward action can have at most '{limit}' target groups, not {}", tuples.len()),
            ));
        }
        let mut seen = BTreeSet::new();
        let single = tuples.len() == 1;
        let mut target_groups = Vec::new();
        for tuple in tuples {
            let arn = tuple.target_group_arn;
            Kind::TargetGroup.check(&arn)?;
            let protocol = &self.group(&arn)?.protocol;
            if !["HTTP", "HTTPS"].contains(&protocol.as_str()) {
                return Err(AwsError::new(
                    "IncompatibleProtocols",
                    format!(
                        "Target group '{arn}' of protocol '{protocol}' cannot be used by an application load balancer"
                    ),
                ));
            }
            if !seen.insert(arn.clone()) {
                return Err(AwsError::validation(format!("Target group '{arn}' is named twice in a forward action")));
            }
            if let Some(weight) = tuple.weight {
                super::check_range("Target group weight", weight, 0, 999)?;
            } else if !single {
                return Err(AwsError::validation(format!(
                    "Target group '{arn}' has no weight, which a forward action with several needs"
                )));
            }
            target_groups.push(TargetGroupTuple { target_group_arn: arn, weight: Some(tuple.weight.unwrap_or(1)) });
        }
        let asked = action.forward_config.as_ref().and_then(|f| f.target_group_stickiness_config.clone());
        let stickiness = asked.unwrap_or_default();
        if let Some(seconds) = stickiness.duration_seconds {
            super::check_range("Stickiness duration", seconds, 1, 604_800)?;
        } else if stickiness.enabled == Some(true) {
            return Err(AwsError::validation("Target group stickiness needs DurationSeconds"));
        }
        let config = TargetGroupStickinessConfig {
            enabled: Some(stickiness.enabled.unwrap_or(false)),
            duration_seconds: stickiness.duration_seconds,
        };
        Ok(ForwardConfig { target_groups, target_group_stickiness_config: Some(config) })
    }
}

fn normalise_redirect(redirect: Option<&RedirectConfig>) -> Result<RedirectConfig, AwsError> {
    let Some(redirect) = redirect else {
        return Err(AwsError::validation("A redirect action must specify a redirect configuration"));
    };
    if !["HTTP_301", "HTTP_302"].contains(&redirect.status_code.as_str()) {
        return Err(AwsError::validation(format!(
            "Redirect status code '{}' must be HTTP_301 or HTTP_302",
            redirect.status_code
        )));
    }
    // AWS fills in what is left out with the variables that keep the original part.
    let part = |value: &Option<String>, keep: &str| value.clone().unwrap_or_else(|| keep.to_owned());
    let protocol = part(&redirect.protocol, "#{protocol}");
    let port = part(&redirect.port, "#{port}");
    let host = part(&redirect.host, "#{host}");
    let path = part(&redirect.path, "/#{path}");
    let query = part(&redirect.query, "#{query}");
    if !["HTTP", "HTTPS", "#{protocol}"].contains(&protocol.as_str()) {
        return Err(AwsError::validation(format!(
            "Redirect protocol '{protocol}' must be HTTP, HTTPS or #{{protocol}}"
        )));
    }
    if port != "#{port}" && !port.parse::<u16>().is_ok_and(|p| p > 0) {
        return Err(AwsError::validation(format!("Redirect port '{port}' must be 1 to 65535 or #{{port}}")));
    }
    if host.is_empty() || host.len() > 128 {
        return Err(AwsError::validation(format!("Redirect host '{host}' must have 1 to 128 characters")));
    }
    if !path.starts_with('/') || path.len() > 128 {
        return Err(AwsError::validation(format!(
            "Redirect path '{path}' must start with '/' and have at most 128 characters"
        )));
    }
    if query.len() > 128 || query.starts_with('?') {
        return Err(AwsError::validation(format!(
            "Redirect query '{query}' must have at most 128 characters and no leading '?'"
        )));
    }
    if protocol == "#{protocol}" && port == "#{port}" && host == "#{host}" && path == "/#{path}" {
        return Err(AwsError::new(
            "InvalidLoadBalancerAction",
            "The redirect configuration is not valid because it creates a loop; at least one of protocol, port, host, path must change",
        ));
    }
    Ok(RedirectConfig {
        protocol: Some(protocol),
        port: Some(port),
        host: Some(host),
        path: Some(path),
        query: Some(query),
        status_code: redirect.status_code.clone(),
    })
}

fn check_fixed_response(fixed: Option<&FixedResponseConfig>) -> Result<(), AwsError> {
    let Some(fixed) = fixed else {
        return Err(AwsError::validation("A fixed-response action must specify a fixed response configuration"));
    };
    let code = fixed.status_code.as_bytes();
    if !(code.len() == 3 && matches!(code[0], b'2' | b'4' | b'5') && code.iter().all(u8::is_ascii_digit)) {
        return Err(AwsError::validation(format!(
            "Fixed response status code '{}' must be 2XX, 4XX or 5XX",
            fixed.status_code
        )));
    }
    if let Some(body) = &fixed.message_body
        && body.len() > 1024
    {
        return Err(AwsError::validation(format!(
            "Fixed response message body has {} characters, at most 1024 are allowed",
            body.len()
        )));
    }
    match &fixed.content_type {
        Some(kind) if !CONTENT_TYPES.contains(&kind.as_str()) => Err(AwsError::validation(format!(
            "Fixed response content type '{kind}' must be one of {}",
            CONTENT_TYPES.join(", ")
        ))),
        _ => Ok(()),
    }
}
