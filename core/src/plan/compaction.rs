//! Fewer rules for the same hosts: only when the quota presses, and make before break. The merged rule is created
//! through the spare slot; what it makes superfluous goes when it is in the data plane.

use std::collections::BTreeSet;

use gatehouse_route::Host;

use crate::aws::{ListenerRule, ProtocolVersion};
use crate::identity::ShardKey;

use super::Draft;

/// A rule whose hosts another rule of the namespace carries too: the rest of a merge, or of a call that took effect
/// twice. It goes once the other is in the data plane.
pub(super) fn redundant(draft: &mut Draft<'_>, shard: &ShardKey, ours: &[(&String, &ListenerRule)]) -> Option<String> {
    let view = draft.view;
    let changed = |arn: &String| view.observed.shards.get(shard).and_then(|s| s.rule_changed.get(arn)).copied();
    for (arn, rule) in ours {
        let carries = |(other, r): &&(&String, &ListenerRule)| {
            other != arn
                && r.target_group == rule.target_group
                && r.hosts.is_superset(&rule.hosts)
                && (r.hosts.len() > rule.hosts.len() || other < arn)
        };
        let Some((other, _)) = ours.iter().find(carries) else { continue };
        let live = changed(other).map(|at| at.plus(view.settings.rule_settle));
        match live.filter(|until| view.now.mono < *until) {
            Some(until) => draft.wake(until),
            None => return Some((*arn).clone()),
        }
    }
    None
}

/// The hosts of the rule that makes room: those of a rule and of hosts that have none yet, or those of two rules that
/// fit into one; the smallest first, so that most is won with least.
pub(super) fn merge(
    ours: &[(&String, &ListenerRule)],
    missing: &[&Host],
    protocol: ProtocolVersion,
) -> Option<BTreeSet<Host>> {
    let most = protocol.hosts_per_rule();
    let mut rules: Vec<&ListenerRule> = ours.iter().map(|(_, r)| *r).filter(|r| !r.hosts.is_empty()).collect();
    rules.sort_by_key(|r| (r.hosts.len(), r.priority));
    let superfluous =
        |r: &&ListenerRule| rules.iter().any(|o| o.priority != r.priority && o.hosts.is_superset(&r.hosts));
    if rules.iter().any(superfluous) {
        // One merge at a time: the spare slot is taken until the last one is finished.
        return None;
    }
    let wildcard = |r: &ListenerRule| r.hosts.first().is_some_and(Host::is_wildcard);
    for rule in rules.iter().filter(|r| r.hosts.len() < most) {
        let mut fitting = missing.iter().filter(|h| h.is_wildcard() == wildcard(rule)).peekable();
        if fitting.peek().is_some() {
            let more = fitting.take(most - rule.hosts.len()).map(|h| (*h).clone());
            return Some(rule.hosts.iter().cloned().chain(more).collect());
        }
    }
    for (i, a) in rules.iter().enumerate() {
        let fits = |b: &&&ListenerRule| {
            wildcard(a) == wildcard(b) && a.target_group == b.target_group && a.hosts.len() + b.hosts.len() <= most
        };
        if let Some(b) = rules[i + 1..].iter().find(fits) {
            return Some(a.hosts.union(&b.hosts).cloned().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(priority: u32, hosts: &[&str]) -> ListenerRule {
        ListenerRule {
            priority,
            hosts: hosts.iter().map(|h| Host::parse(h).unwrap()).collect(),
            protocol: ProtocolVersion::Http1,
            target_group: Some("arn".into()),
            cluster: None,
            namespace: None,
        }
    }

    fn merged(rules: &[ListenerRule]) -> Option<Vec<String>> {
        let arns: Vec<String> = (0..rules.len()).map(|i| format!("rule-{i}")).collect();
        let ours: Vec<(&String, &ListenerRule)> = arns.iter().zip(rules).collect();
        merge(&ours, &[], ProtocolVersion::Http1).map(|hosts| hosts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn small_rules_of_one_kind_are_merged() {
        let four = rule(1, &["a.example.com", "b.example.com", "c.example.com", "d.example.com"]);
        let (one, two) = (rule(2, &["e.example.com"]), rule(3, &["f.example.com", "g.example.com"]));
        let wild = rule(4, &["*.example.com"]);
        assert_eq!(
            merged(&[four.clone(), one.clone(), two.clone(), wild.clone()]),
            Some(vec!["e.example.com".into(), "f.example.com".into(), "g.example.com".into()])
        );
        assert_eq!(merged(&[four.clone(), wild.clone()]), None, "an exact host and a wildcard are two kinds");
        let whole = rule(5, &["e.example.com", "f.example.com", "g.example.com"]);
        assert_eq!(merged(&[one, two, whole, wild]), None, "the last merge is not finished");
        assert_eq!(merged(&[four, rule(6, &["h.example.com", "i.example.com"])]), None, "six hosts are too many");
    }
}
