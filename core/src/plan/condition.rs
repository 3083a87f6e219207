//! Conditions: judged anew each time, written with the moment of their last change.

use gatehouse_crds::{Condition, ConditionStatus, keys};

use crate::reason::Reason;
use crate::time::Wall;

/// One judged condition: type, status, reason, message.
pub(super) type Judged = (&'static str, ConditionStatus, String, String);

pub(super) fn yes(type_: &'static str, reason: Reason) -> Judged {
    told(type_, ConditionStatus::True, reason, String::new())
}

pub(super) fn no(type_: &'static str, reason: Reason, message: impl Into<String>) -> Judged {
    told(type_, ConditionStatus::False, reason, message.into())
}

/// A condition that holds, with something to say.
pub(super) fn yes_but(type_: &'static str, reason: Reason, message: impl Into<String>) -> Judged {
    told(type_, ConditionStatus::True, reason, message.into())
}

fn told(type_: &'static str, status: ConditionStatus, reason: Reason, message: String) -> Judged {
    debug_assert!(
        reason.told().iter().any(|t| t.condition == type_),
        "{} is not told of in {type_}: see core/src/reason.rs",
        reason.word()
    );
    (type_, status, reason.into(), message)
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

/// `Stalled`, if a condition does not hold for a reason that waiting does not mend: a person must act.
#[must_use]
pub fn stalled(
    before: &[Condition],
    conditions: &[Condition],
    kind: &str,
    generation: i64,
    now: Wall,
) -> Option<Condition> {
    let stalls = |c: &&Condition| {
        let told = Reason::of(&c.reason).and_then(|reason| reason.in_condition(kind, &c.type_));
        c.status == ConditionStatus::False && told.is_some_and(|told| told.stalls)
    };
    let cause = conditions.iter().find(stalls)?;
    let judged = (keys::STALLED, ConditionStatus::True, cause.reason.clone(), cause.message.clone());
    Some(condition(before, judged, generation, now))
}

/// The summary: the first condition that does not hold speaks for all.
#[must_use]
pub fn summary(conditions: &[Condition]) -> (ConditionStatus, String, String) {
    match conditions.iter().find(|c| c.status != ConditionStatus::True) {
        None => (ConditionStatus::True, "Ready".into(), String::new()),
        Some(c) => (ConditionStatus::False, c.reason.clone(), format!("{}: {}", c.type_, c.message)),
    }
}
