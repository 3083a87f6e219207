//! Conditions of rules: validation, the form in which AWS answers them, and matching of requests.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::Aws;
use crate::api::AwsError;
use crate::api::elbv2::{
    HostHeaderConfig, HttpHeaderConfig, HttpRequestMethodConfig, PathPatternConfig, QueryStringConfig,
    QueryStringKeyValuePair, RuleCondition, SourceIpConfig,
};
use crate::data_plane::Exchange;
use crate::iam::glob;
use crate::settings::quota;

const HOST: &str = "host-header";
const PATH: &str = "path-pattern";
const HEADER: &str = "http-header";
const QUERY: &str = "query-string";
const METHOD: &str = "http-request-method";
const SOURCE: &str = "source-ip";

impl Aws {
    /// Checks the conditions of one rule and brings them into the form in which AWS answers them.
    pub(super) fn normalise_conditions(&self, conditions: &[RuleCondition]) -> Result<Vec<RuleCondition>, AwsError> {
        if conditions.is_empty() {
            return Err(AwsError::validation("A condition must be specified"));
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut values, mut wildcards) = (0, 0);
        let mut answer = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let field = condition.field.as_deref().unwrap_or_default();
            let known = [HOST, PATH, HEADER, QUERY, METHOD, SOURCE].into_iter().find(|f| *f == field);
            let Some(field) = known else {
                return Err(AwsError::validation(format!(
                    "Condition field '{field}' must be one of '[{PATH}, {HOST}, {METHOD}, {SOURCE}, {HEADER}, {QUERY}]'"
                )));
            };
            let count = seen.entry(field).or_default();
            *count += 1;
            if *count > 1 && ![HEADER, QUERY].contains(&field) {
                return Err(AwsError::validation(format!("A rule can only have '1' '{field}' conditions")));
            }
            let normal = normalise(field, condition)?;
            let (v, w) = size(&normal);
            values += v;
            wildcards += w;
            answer.push(normal);
        }
        let limit = self.settings.quotas.get(quota::CONDITION_VALUES);
        if values > limit {
            return Err(AwsError::validation(format!("A rule can only have '{limit}' condition values, not {values}")));
        }
        let limit = self.settings.quotas.get(quota::CONDITION_WILDCARDS);
        if wildcards > limit {
            return Err(AwsError::validation(format!(
                "A rule can only have '{limit}' condition wildcards, not {wildcards}"
            )));
        }
        Ok(answer)
    }
}

fn normalise(field: &str, condition: &RuleCondition) -> Result<RuleCondition, AwsError> {
    let configs = [
        (HOST, condition.host_header_config.is_some()),
        (PATH, condition.path_pattern_config.is_some()),
        (HEADER, condition.http_header_config.is_some()),
        (QUERY, condition.query_string_config.is_some()),
        (METHOD, condition.http_request_method_config.is_some()),
        (SOURCE, condition.source_ip_config.is_some()),
    ];
    if let Some((other, _)) = configs.iter().find(|(of, given)| *given && *of != field) {
        return Err(AwsError::validation(format!("A condition of field '{field}' has the settings of '{other}'")));
    }
    let old = condition.values.clone().filter(|v| !v.is_empty());
    let old_regex = condition.regex_values.clone().filter(|v| !v.is_empty());
    let mut answer = RuleCondition { field: Some(field.to_owned()), ..RuleCondition::default() };
    match field {
        HOST | PATH => {
            let (new, new_regex) = match field {
                HOST => condition.host_header_config.clone().map(|c| (c.values, c.regex_values)),
                _ => condition.path_pattern_config.clone().map(|c| (c.values, c.regex_values)),
            }
            .unwrap_or_default();
            let plain = either(field, old, new)?;
            let regex = either(field, old_regex, new_regex)?;
            exclusive(field, plain.as_deref(), regex.as_deref())?;
            for value in plain.iter().flatten() {
                if field == HOST { check_host(value) } else { check_path(value) }?;
            }
            check_regexes(field, regex.as_deref())?;
            answer.values.clone_from(&plain);
            answer.regex_values.clone_from(&regex);
            if field == HOST {
                answer.host_header_config = Some(HostHeaderConfig { values: plain, regex_values: regex });
            } else {
                answer.path_pattern_config = Some(PathPatternConfig { values: plain, regex_values: regex });
            }
        }
        HEADER => {
            let config = condition.http_header_config.clone().unwrap_or_default();
            let name = config.http_header_name.clone().unwrap_or_default();
            if name.is_empty() || name.len() > 40 || !name.bytes().all(is_header_character) {
                return Err(AwsError::validation(format!(
                    "The HTTP header name '{name}' must have 1 to 40 characters of a header name"
                )));
            }
            if name.eq_ignore_ascii_case("host") {
                return Err(AwsError::validation(format!(
                    "The HTTP header name '{name}' is not allowed, use a {HOST} condition"
                )));
            }
            let plain = config.values.filter(|v| !v.is_empty());
            let regex = either(field, old_regex, config.regex_values)?;
            exclusive(field, plain.as_deref(), regex.as_deref())?;
            for value in plain.iter().flatten() {
                check_length(field, value)?;
            }
            check_regexes(field, regex.as_deref())?;
            answer.regex_values.clone_from(&regex);
            answer.http_header_config =
                Some(HttpHeaderConfig { http_header_name: Some(name), values: plain, regex_values: regex });
        }
        QUERY => {
            let pairs = condition.query_string_config.clone().and_then(|c| c.values).unwrap_or_default();
            if pairs.is_empty() {
                return Err(no_value(field));
            }
            for pair in &pairs {
                let value = pair.value.as_deref().unwrap_or_default();
                check_length(field, value)?;
                if let Some(key) = &pair.key {
                    check_length(field, key)?;
                }
            }
            answer.query_string_config = Some(QueryStringConfig { values: Some(pairs) });
        }
        METHOD => {
            let methods = condition.http_request_method_config.clone().and_then(|c| c.values).unwrap_or_default();
            if methods.is_empty() {
                return Err(no_value(field));
            }
            for method in &methods {
                let fits = method.bytes().all(|c| c.is_ascii_uppercase() || c == b'-' || c == b'_');
                if method.is_empty() || method.len() > 40 || !fits {
                    return Err(AwsError::validation(format!(
                        "The HTTP request method '{method}' must be 1 to 40 of the characters A-Z, hyphen, underscore"
                    )));
                }
            }
            answer.http_request_method_config = Some(HttpRequestMethodConfig { values: Some(methods) });
        }
        _ => {
            let sources = condition.source_ip_config.clone().and_then(|c| c.values).unwrap_or_default();
            if sources.is_empty() {
                return Err(no_value(field));
            }
            for source in &sources {
                if source.parse::<IpNet>().is_err() || source == "255.255.255.255/32" {
                    return Err(AwsError::validation(format!("The source IP '{source}' must be a CIDR block")));
                }
            }
            answer.source_ip_config = Some(SourceIpConfig { values: Some(sources) });
        }
    }
    Ok(answer)
}

fn no_value(field: &str) -> AwsError {
    AwsError::validation(format!("A condition of field '{field}' must have at least one value"))
}

/// The old place of values or the new one; both only when equal.
fn either(field: &str, old: Option<Vec<String>>, new: Option<Vec<String>>) -> Result<Option<Vec<String>>, AwsError> {
    match (old, new.filter(|v| !v.is_empty())) {
        (Some(old), Some(new)) if old != new => {
            Err(AwsError::validation(format!("A condition of field '{field}' has values in two places that differ")))
        }
        (old, new) => Ok(new.or(old)),
    }
}

fn exclusive(field: &str, plain: Option<&[String]>, regex: Option<&[String]>) -> Result<(), AwsError> {
    match (plain, regex) {
        (Some(_), Some(_)) => Err(AwsError::validation(format!(
            "A condition of field '{field}' can have Values or RegexValues, not both"
        ))),
        (None, None) => Err(no_value(field)),
        _ => Ok(()),
    }
}

fn check_length(field: &str, value: &str) -> Result<(), AwsError> {
    if value.is_empty() || value.len() > 128 {
        return Err(AwsError::validation(format!(
            "The {field} condition value '{value}' must have 1 to 128 characters"
        )));
    }
    Ok(())
}

fn check_host(value: &str) -> Result<(), AwsError> {
    check_length(HOST, value)?;
    if let Some(c) = value.chars().find(|c| !(c.is_ascii_alphanumeric() || "-.*?".contains(*c))) {
        return Err(AwsError::validation(format!(
            "The {HOST} condition value '{value}' contains the character '{c}', which is not allowed"
        )));
    }
    let fits = value
        .rsplit_once('.')
        .is_some_and(|(_, last)| !last.is_empty() && last.bytes().all(|c| c.is_ascii_alphabetic()));
    if !fits {
        return Err(AwsError::validation(format!(
            "The {HOST} condition value '{value}' must contain a '.' and only letters after the last one"
        )));
    }
    Ok(())
}

fn check_path(value: &str) -> Result<(), AwsError> {
    check_length(PATH, value)?;
    match value.chars().find(|c| !(c.is_ascii_alphanumeric() || "_-.$/~\"'@:+&*?".contains(*c))) {
        Some(c) => Err(AwsError::validation(format!(
            "The {PATH} condition value '{value}' contains the character '{c}', which is not allowed"
        ))),
        None => Ok(()),
    }
}

fn check_regexes(field: &str, regexes: Option<&[String]>) -> Result<(), AwsError> {
    for regex in regexes.unwrap_or_default() {
        check_length(field, regex)?;
        check_regex(regex)?;
    }
    Ok(())
}

/// Refuses what AWS's regex engine does not have; ours has look-around and back-references neither.
pub(super) fn check_regex(regex: &str) -> Result<(), AwsError> {
    let refused = |why: &str| AwsError::validation(format!("The regular expression '{regex}' is not valid: {why}"));
    if regex.contains("(?R") {
        // Ours reads this as a flag.
        return Err(refused("recursion is not supported"));
    }
    let mut quantified = false;
    let mut in_class = false;
    let mut characters = regex.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next();
                quantified = false;
            }
            '[' => in_class = true,
            ']' => (in_class, quantified) = (false, false),
            '+' if quantified && !in_class => return Err(refused("possessive quantifiers are not supported")),
            '*' | '+' | '?' | '}' if !in_class => quantified = true,
            _ => quantified = false,
        }
    }
    regex_lite::Regex::new(regex).map(|_| ()).map_err(|e| refused(&e.to_string()))
}

const fn is_header_character(c: u8) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(
            c,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// How many values and wildcards a normalised condition has.
fn size(condition: &RuleCondition) -> (i64, i64) {
    let plain: Vec<&str> = plain_values(condition);
    let regexes = condition.regex_values.as_ref().map_or(0, Vec::len);
    let wildcards: usize = match condition.field.as_deref() {
        Some(METHOD | SOURCE) => 0,
        _ => plain.iter().map(|value| value.bytes().filter(|c| matches!(c, b'*' | b'?')).count()).sum(),
    };
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    (count(plain.len() + regexes), count(wildcards))
}

fn plain_values(condition: &RuleCondition) -> Vec<&str> {
    if let Some(config) = &condition.query_string_config {
        return config.values.iter().flatten().filter_map(|pair| pair.value.as_deref()).collect();
    }
    let list = condition
        .values
        .as_ref()
        .or_else(|| condition.http_header_config.as_ref()?.values.as_ref())
        .or_else(|| condition.http_request_method_config.as_ref()?.values.as_ref())
        .or_else(|| condition.source_ip_config.as_ref()?.values.as_ref());
    list.into_iter().flatten().map(String::as_str).collect()
}

/// Whether a request satisfies a normalised condition.
pub(crate) fn matches(condition: &RuleCondition, exchange: &Exchange) -> bool {
    let plain = plain_values(condition);
    let regex = |text: &str| {
        condition
            .regex_values
            .iter()
            .flatten()
            .any(|pattern| regex_lite::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text)))
    };
    match condition.field.as_deref() {
        Some(HOST) => {
            // Plain values see the name alone; a regular expression sees the header as it was sent.
            let name = exchange.host_name().to_ascii_lowercase();
            plain.iter().any(|value| glob(&value.to_ascii_lowercase(), &name)) || regex(&exchange.host)
        }
        Some(PATH) => plain.iter().any(|value| glob(value, &exchange.path)) || regex(&exchange.path),
        Some(HEADER) => {
            let name = condition.http_header_config.as_ref().and_then(|c| c.http_header_name.as_deref());
            exchange.headers.iter().filter(|(key, _)| name.is_some_and(|n| n.eq_ignore_ascii_case(key))).any(
                |(_, header)| {
                    let lower = header.to_ascii_lowercase();
                    plain.iter().any(|value| glob(&value.to_ascii_lowercase(), &lower)) || regex(header)
                },
            )
        }
        Some(QUERY) => condition
            .query_string_config
            .iter()
            .flat_map(|config| config.values.iter().flatten())
            .any(|pair| query_matches(pair, &exchange.query)),
        Some(METHOD) => plain.contains(&exchange.method.as_str()),
        Some(SOURCE) => plain.iter().any(|value| {
            let source: Option<IpAddr> = exchange.source;
            source.is_some_and(|source| value.parse::<IpNet>().is_ok_and(|net| net.contains(&source)))
        }),
        _ => false,
    }
}

fn query_matches(pair: &QueryStringKeyValuePair, query: &str) -> bool {
    let fits = |pattern: &str, text: &str| glob(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase());
    query.split('&').any(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        pair.key.as_deref().is_none_or(|pattern| fits(pattern, key))
            && pair.value.as_deref().is_some_and(|pattern| fits(pattern, value))
    })
}
