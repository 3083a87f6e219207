//! Conditions: judged anew each time, written with the moment of their last change.

use gatehouse_crds::{Condition, ConditionStatus};

use crate::time::Wall;

/// One judged condition: type, status, reason, message.
pub(super) type Judged = (&'static str, ConditionStatus, String, String);

pub(super) fn yes(type_: &'static str, reason: &str) -> Judged {
    (type_, ConditionStatus::True, reason.into(), String::new())
}

pub(super) fn no(type_: &'static str, reason: &str, message: impl Into<String>) -> Judged {
    (type_, ConditionStatus::False, reason.into(), message.into())
}

/// Writes a condition, keeping the transition time unless the status flips.
#[must_use]
pub fn condition(
    before: &[Condition],
    judged: (&str, ConditionStatus, String, String),
    generation: i64,
    now: Wall,
) -> Condition {
    let (type_, status, reason, message) = judged;
    let since = before.iter().find(|c| c.type_ == type_ && c.status == status).map(|c| c.last_transition_time.clone());
    Condition {
        type_: type_.to_owned(),
        status,
        reason,
        message,
        observed_generation: Some(generation),
        last_transition_time: since.unwrap_or_else(|| now.rfc3339()),
    }
}

/// The summary: the first condition that does not hold speaks for all.
#[must_use]
pub fn summary(conditions: &[Condition]) -> (ConditionStatus, String, String) {
    match conditions.iter().find(|c| c.status != ConditionStatus::True) {
        None => (ConditionStatus::True, "Ready".into(), String::new()),
        Some(c) => (ConditionStatus::False, c.reason.clone(), format!("{}: {}", c.type_, c.message)),
    }
}
