//! The simulator's call log, and what the account's token buckets allow.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

/// The account's buckets: family, burst, tokens a second. AWS's documented figures, or the safe assumption where none is
/// documented: those of the simulator's profile `real`, while its waits are those of `fast`.
pub const BUCKETS: &[(&str, u32, u32)] = &[
    ("elbv2Describe", 200, 50),
    ("elbv2Targets", 20, 4),
    ("elbv2Modify", 20, 3),
    ("elbv2Create", 20, 3),
    ("route53", 50, 10),
    ("route53Changes", 1500, 100),
    ("acm", 10, 5),
    ("tagging", 15, 15),
];

/// The simulator's settings for them.
pub fn buckets() -> Value {
    BUCKETS
        .iter()
        .map(|(family, burst, rate)| ((*family).to_owned(), json!({ "burst": burst, "perSecond": rate })))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// One line of the log.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// Position in the log.
    pub seq: u64,
    /// When it took effect: milliseconds since the epoch.
    pub time: f64,
    /// `elbv2`, `route53` ...
    pub service: String,
    /// AWS's name of it.
    pub action: String,
    /// Access key.
    pub caller: String,
    /// Its members.
    pub params: Value,
    /// `ok`, or an error code.
    pub outcome: String,
    /// From its arrival to its effect.
    pub latency_ms: f64,
}

impl Call {
    /// When the simulator got it.
    pub fn arrived(&self) -> f64 {
        self.time - self.latency_ms
    }

    /// Whether it changes nothing.
    pub fn reads(&self) -> bool {
        ["Describe", "List", "Get"].iter().any(|p| self.action.starts_with(p))
    }

    /// A question whether a change has reached every name server.
    pub fn polls(&self) -> bool {
        self.action == "GetChange"
    }

    /// Whether AWS refused it. That something does not exist is an answer to who asked whether it does.
    pub fn refused(&self) -> bool {
        self.outcome != "ok" && !(self.reads() && self.outcome.ends_with("NotFound"))
    }

    /// Whether it is about this host.
    pub fn names(&self, host: &str) -> bool {
        // A host, or a record's name with its dot; not a longer host that ends so.
        let text = self.params.to_string();
        text.contains(&format!("\"{host}\"")) || text.contains(&format!("\"{host}.\""))
    }

    /// What it takes out of which buckets.
    fn costs(&self) -> Vec<(&'static str, f64)> {
        let action = self.action.as_str();
        match self.service.to_ascii_lowercase().as_str() {
            "route53" => {
                let changes = self.params["ChangeBatch"]["Changes"].as_array();
                let cost = |c: &Value| if c["Action"] == "UPSERT" { 2.0 } else { 1.0 };
                let changes: f64 = changes.into_iter().flatten().map(cost).sum();
                vec![("route53", 1.0), ("route53Changes", changes)]
            }
            "acm" => vec![("acm", 1.0)],
            "tagging" => vec![("tagging", 1.0)],
            "elbv2" if action.starts_with("Describe") => vec![("elbv2Describe", 1.0)],
            "elbv2" if action.ends_with("gisterTargets") => vec![("elbv2Targets", 1.0)],
            "elbv2" if action == "SetRulePriorities" => vec![("elbv2Create", 1.0)],
            "elbv2" if action.starts_with("Modify") || action.starts_with("Set") => vec![("elbv2Modify", 1.0)],
            "elbv2" => vec![("elbv2Create", 1.0)],
            _ => Vec::new(),
        }
    }
}

/// Reads a log.
///
/// # Errors
/// A line that is no call.
pub fn parse(log: &str) -> Result<Vec<Call>> {
    log.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Calls by action, the most frequent first: `CreateRule 20, ...`.
pub fn by_action<'a>(calls: impl IntoIterator<Item = &'a Call>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls {
        *counts.entry(&call.action).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    counts.iter().map(|(action, n)| format!("{action} {n}")).collect::<Vec<_>>().join(", ")
}

/// What one bucket allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    /// The bucket.
    pub family: &'static str,
    /// Tokens that the calls took.
    pub tokens: f64,
    /// Seconds that a full bucket needs to give them.
    pub seconds: f64,
}

/// What the token buckets alone need for these calls, if all are full at first: the slowest bucket first.
pub fn floors(calls: &[Call]) -> Vec<Floor> {
    let mut taken: BTreeMap<&str, f64> = BTreeMap::new();
    for (family, cost) in calls.iter().flat_map(Call::costs) {
        *taken.entry(family).or_default() += cost;
    }
    let of = |(family, burst, rate): &(&'static str, u32, u32)| {
        let tokens = taken.get(family).copied().unwrap_or(0.0);
        Floor { family, tokens, seconds: ((tokens - f64::from(*burst)) / f64::from(*rate)).max(0.0) }
    };
    let mut floors: Vec<Floor> = BUCKETS.iter().map(of).filter(|f| f.tokens > 0.0).collect();
    floors.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    floors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(service: &str, action: &str, params: Value) -> Call {
        let (service, action, outcome) = (service.to_owned(), action.to_owned(), "ok".to_owned());
        Call { seq: 0, time: 0.0, service, action, caller: String::new(), params, outcome, latency_ms: 0.0 }
    }

    #[test]
    fn the_slowest_bucket_is_the_floor() {
        let mut calls = vec![call("elbv2", "CreateRule", json!({})); 50];
        calls.extend(vec![call("elbv2", "DescribeRules", json!({})); 60]);
        let floors = floors(&calls);
        assert_eq!(floors[0], Floor { family: "elbv2Create", tokens: 50.0, seconds: 10.0 });
        assert_eq!((floors[1].family, floors[1].seconds), ("elbv2Describe", 0.0));
    }

    #[test]
    fn a_batch_costs_by_its_changes() {
        let changes = json!({ "ChangeBatch": { "Changes": [{ "Action": "UPSERT" }, { "Action": "CREATE" }] } });
        let floors = floors(&[call("route53", "ChangeResourceRecordSets", changes)]);
        assert!(floors.iter().any(|f| f.family == "route53Changes" && f.tokens == 3.0), "{floors:?}");
    }

    #[test]
    fn a_call_is_about_a_host_or_its_record() {
        let of = |name: &str| call("elbv2", "CreateRule", json!({ "Values": [name] }));
        assert!(of("a.example.com").names("a.example.com"));
        assert!(of("a.example.com.").names("a.example.com"));
        assert!(!of("b-a.example.com").names("a.example.com"));
    }
}
