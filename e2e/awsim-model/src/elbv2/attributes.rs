//! Attributes of load balancers, listeners and target groups: keys, defaults, allowed values.

use std::collections::BTreeMap;

use crate::api::AwsError;
use crate::api::elbv2::Attribute;

/// What a value may be.
#[derive(Clone, Copy)]
pub(super) enum Allowed {
    Bool,
    Range(i64, i64),
    /// Zero, or a range: `slow_start`.
    ZeroOr(i64, i64),
    /// The word `off`, or a range: thresholds.
    OffOr(i64, i64),
    OneOf(&'static [&'static str]),
    Text,
}

/// Key, default, allowed values.
type Spec = (&'static str, &'static str, Allowed);

pub(super) const LOAD_BALANCER: &[Spec] = &[
    ("access_logs.s3.bucket", "", Allowed::Text),
    ("access_logs.s3.enabled", "false", Allowed::Bool),
    ("access_logs.s3.prefix", "", Allowed::Text),
    ("client_keep_alive.seconds", "3600", Allowed::Range(60, 604_800)),
    ("connection_logs.s3.bucket", "", Allowed::Text),
    ("connection_logs.s3.enabled", "false", Allowed::Bool),
    ("connection_logs.s3.prefix", "", Allowed::Text),
    ("deletion_protection.enabled", "false", Allowed::Bool),
    ("idle_timeout.timeout_seconds", "60", Allowed::Range(1, 4000)),
    ("ipv6.deny_all_igw_traffic", "false", Allowed::Bool),
    ("load_balancing.cross_zone.enabled", "true", Allowed::OneOf(&["true"])),
    ("routing.http.desync_mitigation_mode", "defensive", Allowed::OneOf(&["monitor", "defensive", "strictest"])),
    ("routing.http.drop_invalid_header_fields.enabled", "false", Allowed::Bool),
    ("routing.http.preserve_host_header.enabled", "false", Allowed::Bool),
    ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Allowed::Bool),
    ("routing.http.xff_client_port.enabled", "false", Allowed::Bool),
    ("routing.http.xff_header_processing.mode", "append", Allowed::OneOf(&["append", "preserve", "remove"])),
    ("routing.http2.enabled", "true", Allowed::Bool),
    ("waf.fail_open.enabled", "false", Allowed::Bool),
    ("zonal_shift.config.enabled", "false", Allowed::Bool),
];

pub(super) const LISTENER: &[Spec] = &[
    ("routing.http.response.server.enabled", "true", Allowed::Bool),
    ("routing.http.response.access_control_allow_credentials.header_value", "", Allowed::Text),
    ("routing.http.response.access_control_allow_headers.header_value", "", Allowed::Text),
    ("routing.http.response.access_control_allow_methods.header_value", "", Allowed::Text),
    ("routing.http.response.access_control_allow_origin.header_value", "", Allowed::Text),
    ("routing.http.response.access_control_expose_headers.header_value", "", Allowed::Text),
    ("routing.http.response.access_control_max_age.header_value", "", Allowed::Text),
    ("routing.http.response.content_security_policy.header_value", "", Allowed::Text),
    ("routing.http.response.strict_transport_security.header_value", "", Allowed::Text),
    ("routing.http.response.x_content_type_options.header_value", "", Allowed::Text),
    ("routing.http.response.x_frame_options.header_value", "", Allowed::Text),
];

pub(super) const TARGET_GROUP: &[Spec] = &[
    ("deregistration_delay.timeout_seconds", "300", Allowed::Range(0, 3600)),
    ("load_balancing.algorithm.anomaly_mitigation", "off", Allowed::OneOf(&["on", "off"])),
    (
        "load_balancing.algorithm.type",
        "round_robin",
        Allowed::OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
    ),
    (
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        Allowed::OneOf(&["true", "false", "use_load_balancer_configuration"]),
    ),
    ("slow_start.duration_seconds", "0", Allowed::ZeroOr(30, 900)),
    ("stickiness.app_cookie.cookie_name", "", Allowed::Text),
    ("stickiness.app_cookie.duration_seconds", "86400", Allowed::Range(1, 604_800)),
    ("stickiness.enabled", "false", Allowed::Bool),
    ("stickiness.lb_cookie.duration_seconds", "86400", Allowed::Range(1, 604_800)),
    ("stickiness.type", "lb_cookie", Allowed::OneOf(&["lb_cookie", "app_cookie"])),
    (DNS_COUNT, "1", Allowed::OffOr(0, 1000)),
    ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", Allowed::OffOr(0, 100)),
    (ROUTING_COUNT, "1", Allowed::Range(1, 1000)),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off", Allowed::OffOr(1, 100)),
];

/// How many healthy targets keep a zone's addresses in DNS; `0` and `off` switch that off.
pub(crate) const DNS_COUNT: &str = "target_group_health.dns_failover.minimum_healthy_targets.count";
/// How many healthy targets keep a group from failing open.
pub(crate) const ROUTING_COUNT: &str = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count";

/// All attributes at their defaults.
pub(super) fn defaults(specs: &[Spec]) -> BTreeMap<String, String> {
    specs.iter().map(|(key, value, _)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Sets attributes, all or none.
pub(super) fn modify(
    what: &str,
    specs: &[Spec],
    current: &BTreeMap<String, String>,
    changes: &[Attribute],
) -> Result<BTreeMap<String, String>, AwsError> {
    if changes.is_empty() {
        return Err(AwsError::validation(format!("At least one {what} attribute must be specified")));
    }
    let mut next = current.clone();
    for Attribute { key, value } in changes {
        let Some((_, _, allowed)) = specs.iter().find(|(known, _, _)| known == key) else {
            return Err(AwsError::validation(format!("{what} attribute key '{key}' is not recognized")));
        };
        if !allowed.fits(value) {
            return Err(AwsError::validation(format!("{what} attribute '{key}' cannot have the value '{value}'")));
        }
        next.insert(key.clone(), value.clone());
    }
    Ok(next)
}

/// Attributes as they are answered.
pub(super) fn list(attributes: &BTreeMap<String, String>) -> Vec<Attribute> {
    attributes.iter().map(|(key, value)| Attribute { key: key.clone(), value: value.clone() }).collect()
}

impl Allowed {
    fn fits(self, value: &str) -> bool {
        let number = value.parse::<i64>().ok();
        match self {
            Self::Bool => value == "true" || value == "false",
            Self::Range(low, high) => number.is_some_and(|n| (low..=high).contains(&n)),
            Self::ZeroOr(low, high) => number.is_some_and(|n| n == 0 || (low..=high).contains(&n)),
            Self::OffOr(low, high) => value == "off" || number.is_some_and(|n| (low..=high).contains(&n)),
            Self::OneOf(words) => words.contains(&value),
            Self::Text => value.len() <= 1024,
        }
    }
}
