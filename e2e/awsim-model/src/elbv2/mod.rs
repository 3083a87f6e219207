//! Elastic Load Balancing v2: one module per resource, and what they share.

mod action;
mod association;
mod attributes;
mod certificate;
pub(crate) mod condition;
mod limits;
mod listener;
mod load_balancer;
mod rule;
mod tags;
mod target;
mod target_group;
mod transform;

pub(crate) use listener::{Listener, ListenerView};
pub(crate) use load_balancer::LoadBalancer;
pub(crate) use rule::Rule;
pub(crate) use target::TargetKey;
pub(crate) use target_group::{Group, parse_codes};
pub(crate) use transform::apply as apply_transforms;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{AwsError, Millis, Tag};
use crate::table::Table;

/// All ELBv2 resources by ARN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Elb {
    pub(crate) load_balancers: Table<LoadBalancer>,
    pub(crate) listeners: Table<Listener>,
    pub(crate) rules: Table<Rule>,
    pub(crate) groups: Table<Group>,
    pub(crate) tags: Table<Tagged>,
}

/// The tags of a resource and when it came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tagged {
    pub(crate) created: Millis,
    pub(crate) tags: BTreeMap<String, String>,
}

/// The kinds of ELBv2 resources, as their ARNs name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    LoadBalancer,
    Listener,
    Rule,
    TargetGroup,
}

impl Kind {
    const ALL: [Self; 4] = [Self::LoadBalancer, Self::Listener, Self::Rule, Self::TargetGroup];

    const fn marker(self) -> &'static str {
        match self {
            Self::LoadBalancer => ":loadbalancer/app/",
            Self::Listener => ":listener/app/",
            Self::Rule => ":listener-rule/app/",
            Self::TargetGroup => ":targetgroup/",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load balancer",
            Self::Listener => "listener",
            Self::Rule => "rule",
            Self::TargetGroup => "target group",
        }
    }

    /// The `...NotFound` error.
    pub(crate) fn not_found(self) -> AwsError {
        let code = match self {
            Self::LoadBalancer => "LoadBalancerNotFound",
            Self::Listener => "ListenerNotFound",
            Self::Rule => "RuleNotFound",
            Self::TargetGroup => "TargetGroupNotFound",
        };
        AwsError::new(code, format!("One or more {}s not found", self.words()))
    }

    /// Which kind an ARN is of.
    pub(crate) fn of(arn: &str) -> Option<Self> {
        let rest = arn.strip_prefix("arn:aws:elasticloadbalancing:")?;
        Self::ALL.into_iter().find(|kind| rest.contains(kind.marker()))
    }

    /// Refuses what is not an ARN of this kind.
    pub(crate) fn check(self, arn: &str) -> Result<(), AwsError> {
        if arn.is_empty() {
            return Err(AwsError::validation(format!("A {} ARN must be specified", self.words())));
        }
        if Self::of(arn) == Some(self) {
            return Ok(());
        }
        Err(AwsError::validation(format!("'{arn}' is not a valid {} ARN", self.words())))
    }
}

/// Cuts one page out of a list. Markers name a position, so a list that changes between pages gives mixed pages.
pub(crate) fn page<T>(
    items: Vec<T>,
    marker: Option<&str>,
    size: Option<i64>,
) -> Result<(Vec<T>, Option<String>), AwsError> {
    let size = match size {
        None => 400,
        Some(size @ 1..=400) => usize::try_from(size).unwrap_or(400),
        Some(size) => {
            return Err(AwsError::validation(format!(
                "1 validation error detected: Value '{size}' at 'pageSize' \
                failed to satisfy constraint: Member must be between 1 and 400"
            )));
        }
    };
    let start = match marker {
        None => 0,
        Some(marker) => marker
            .strip_prefix("position-")
            .and_then(|n| n.parse::<usize>().ok())
            .ok_or_else(|| AwsError::validation(format!("'{marker}' is not a valid marker")))?,
    };
    let total = items.len();
    let next = start.saturating_add(size);
    let page = items.into_iter().skip(start).take(size).collect();
    Ok((page, (next < total).then(|| format!("position-{next}"))))
}

/// Load balancer and target group names.
fn check_name(what: &str, name: &str) -> Result<(), AwsError> {
    if name.is_empty() {
        return Err(AwsError::validation(format!("{what} name must be specified")));
    }
    if name.len() > 32 {
        return Err(AwsError::validation(format!("{what} name '{name}' cannot be longer than '32' characters")));
    }
    if !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        return Err(AwsError::validation(format!(
            "{what} name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(AwsError::validation(format!("{what} name '{name}' cannot begin or end with a hyphen(-)")));
    }
    Ok(())
}

/// A whole number within bounds, or AWS's text.
fn check_range(field: &str, value: i64, low: i64, high: i64) -> Result<(), AwsError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(AwsError::validation(format!("{field} '{value}' must be between {low} and {high} inclusive")))
}

/// Tags as they are stored.
pub(crate) fn tag_map(tags: Option<&[Tag]>) -> BTreeMap<String, String> {
    tags.unwrap_or_default().iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

/// Tags as they are answered.
pub(crate) fn tag_list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::new(key, value)).collect()
}

/// Checks tags of a creation or of AddTags, given those that are there already.
pub(crate) fn check_tags(present: &BTreeMap<String, String>, tags: &[Tag], limit: i64) -> Result<(), AwsError> {
    let mut seen = BTreeSet::new();
    for Tag { key, value } in tags {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(AwsError::validation(format!("Tag key '{key}' must have 1 to 128 characters")));
        }
        if value.chars().count() > 256 {
            return Err(AwsError::validation(format!(
                "Tag value '{value}' of key '{key}' is longer than 256 characters"
            )));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(AwsError::validation(format!("Tag key '{key}' must not begin with 'aws:', which is reserved")));
        }
        let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
        if let Some(c) = key.chars().chain(value.chars()).find(|c| !allowed(*c)) {
            return Err(AwsError::validation(format!(
                "Tag '{key}'='{value}' contains the character '{c}', which is not allowed"
            )));
        }
        if !seen.insert(key.as_str()) {
            return Err(AwsError::new("DuplicateTagKeys", format!("Tag key '{key}' is given twice")));
        }
    }
    let added = seen.iter().filter(|key| !present.contains_key(**key)).count();
    if i64::try_from(present.len() + added).unwrap_or(i64::MAX) > limit {
        return Err(AwsError::new("TooManyTags", format!("A resource can have at most {limit} tags")));
    }
    Ok(())
}
