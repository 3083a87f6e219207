use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold; the reason says why.
    False,
    /// Not looked at yet, or not to be known now.
    Unknown,
}

/// One condition, with the meaning of metav1.Condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is judged, such as `Ready`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One stable word.
    pub reason: String,
    /// For people: the field, its value and the cure.
    #[serde(default)]
    pub message: String,
    /// The generation this was judged for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed, RFC 3339 in UTC.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// The conditions an object has before the operator has looked at it.
#[must_use]
pub fn conditions_default(types: &[&str]) -> Vec<Condition> {
    types
        .iter()
        .map(|type_| Condition {
            type_: (*type_).to_owned(),
            status: ConditionStatus::Unknown,
            reason: "Pending".to_owned(),
            message: "Waiting for the operator".to_owned(),
            observed_generation: None,
            last_transition_time: "1970-01-01T00:00:00Z".to_owned(),
        })
        .collect()
}
