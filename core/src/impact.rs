//! What an edit of a policy, or other labels of a namespace, would do to apps that stand: told while it can still be
//! taken back. A running app is never refused for it; it would be frozen, or withdrawn after the grace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_route::Host;

use crate::claims::blocked_by;
use crate::identity::AppKey;
use crate::review::{AppReview, Facts, Rulebook, Sibling, Siblings, matches, review};
use crate::time::Wall;
use crate::world::{AppFacts, PolicyFacts, World};

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A policy: as it would be, or gone.
    Policy(String, Option<Arc<PolicyFacts>>),
    /// A namespace's labels as they would be.
    Labels(String, BTreeMap<String, String>),
}

/// What it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Apps that would be served as last admitted, without further changes.
    pub frozen: Vec<AppKey>,
    /// Apps of which at least a host would be taken down after the grace.
    pub withdrawn: Vec<AppKey>,
    /// Apps that were judged.
    pub judged: usize,
    /// Whether there was no time for the others.
    pub partial: bool,
}

/// How an app fares, the worse the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Served,
    Frozen,
    Withdrawn,
}

fn fate(app: &AppFacts, judged: &AppReview) -> Fate {
    let refused = |text: &String| Host::parse(text).is_ok_and(|host| judged.host_refused(&host));
    if judged.withdrawn() || app.spec.hosts.iter().any(refused) {
        Fate::Withdrawn
    } else if judged.frozen() {
        Fate::Frozen
    } else {
        Fate::Served
    }
}

/// Judges the apps of the namespaces that the edit concerns, by the rules before and after it, as long as `more` says so.
pub fn impact(world: &World, edit: &Edit, now: Wall, mut more: impl FnMut() -> bool) -> Impact {
    let none = BTreeMap::new();
    let before = |namespace: &str| world.namespaces.get(namespace).map_or(&none, |facts| &facts.labels);
    let after = |namespace: &str| match edit {
        Edit::Labels(name, labels) if name == namespace => labels,
        _ => before(namespace),
    };
    let mut policies = world.policies.clone();
    if let Edit::Policy(name, policy) = edit {
        match policy {
            Some(policy) => policies.insert(name.clone(), policy.clone()),
            None => policies.remove(name),
        };
    }
    let concerned = |namespace: &str| match edit {
        Edit::Labels(name, _) => name == namespace,
        Edit::Policy(name, _) => [world.policies.get(name), policies.get(name)]
            .into_iter()
            .flatten()
            .any(|policy| matches(&policy.spec.namespaces, namespace, before(namespace))),
    };
    let mut out = Impact::default();
    for namespace in world.namespaces.keys().filter(|name| concerned(name)) {
        let old = Rulebook::collect(&world.policies, namespace, before(namespace));
        let new = Rulebook::collect(&policies, namespace, after(namespace));
        if old == new {
            continue;
        }
        let siblings: Siblings = World::within(&world.apps, namespace)
            .filter(|(_, app)| !app.meta.deleting)
            .map(|(key, app)| Sibling {
                created: app.meta.created,
                name: key.name.clone(),
                hosts: app.spec.hosts.clone(),
            })
            .collect();
        for (key, app) in World::within(&world.apps, namespace).filter(|(_, app)| !app.meta.deleting) {
            if !more() {
                out.partial = true;
                return out;
            }
            out.judged += 1;
            let judged = |book: &Rulebook, elsewhere: &dyn Fn(&str) -> Rulebook| {
                let lists = |holder: &str, host: &Host| {
                    if holder == namespace { book.lists(host) } else { elsewhere(holder).lists(host) }
                };
                let hosts = app.spec.hosts.iter().filter_map(|text| Host::parse(text).ok());
                let taken: BTreeSet<Host> =
                    hosts.filter(|host| blocked_by(world, host, namespace, &lists).is_some()).collect();
                let facts = Facts {
                    rulebook: book,
                    load_balancers: Some(&world.load_balancers),
                    services: None,
                    taken: &taken,
                    siblings: &siblings,
                    now,
                };
                fate(app, &review(key, app, &facts))
            };
            let was = judged(&old, &|holder| Rulebook::collect(&world.policies, holder, before(holder)));
            let becomes = judged(&new, &|holder| Rulebook::collect(&policies, holder, after(holder)));
            match becomes {
                Fate::Frozen if becomes > was => out.frozen.push(key.clone()),
                Fate::Withdrawn if becomes > was => out.withdrawn.push(key.clone()),
                _ => {}
            }
        }
    }
    out
}

impl Impact {
    /// It in warnings. They count and name nobody: whoever reaches the webhook can ask it, and the policy's status names
    /// the apps afterwards to those who may read it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (apps, what) in
            [(&self.withdrawn, "lose hosts after the grace"), (&self.frozen, "freeze (served as before, changes wait)")]
        {
            match apps.len() {
                0 => {}
                1 => out.push(format!("1 live app would {what}")),
                count => out.push(format!("{count} live apps would {what}")),
            }
        }
        if self.partial {
            out.push(format!("only the first {} live apps were judged in time; there may be more", self.judged));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Meta, NamespaceFacts};

    fn policy(spec: serde_json::Value) -> Arc<PolicyFacts> {
        Arc::new(PolicyFacts { spec: serde_json::from_value(spec).unwrap(), ..PolicyFacts::default() })
    }

    fn app(world: &mut World, namespace: &str, name: &str, host: &str, created: i64) {
        let spec =
            serde_json::json!({ "hosts": [host], "routes": [{ "backends": [{ "service": "web", "port": 80 }] }] });
        let facts = AppFacts {
            meta: Meta { created: Wall(created), ..Meta::default() },
            spec: serde_json::from_value(spec).unwrap(),
            ..AppFacts::default()
        };
        world.apps.insert(AppKey::new(namespace, name), Arc::new(facts));
    }

    /// Team a by name, team b by a label; each has three apps below its domain.
    fn world() -> World {
        let mut world = World::default();
        for (name, label) in [("team-a", None), ("team-b", Some("gold"))] {
            let labels = label.map(|value| ("grant.gatehouse.dev/tier".to_owned(), value.to_owned()));
            let facts = NamespaceFacts { labels: labels.into_iter().collect(), ..NamespaceFacts::default() };
            world.namespaces.insert(name.into(), Arc::new(facts));
            for i in 0..3 {
                app(&mut world, name, &format!("app{i}"), &format!("h{i}.{name}.example.com"), i);
            }
        }
        let balancer = serde_json::json!({ "default": true, "region": "r", "vpcId": "v", "scheme": "internal",
            "subnets": [], "securityGroups": [], "edge": { "port": 8080 } });
        let facts = crate::world::LoadBalancerFacts {
            spec: serde_json::from_value(balancer).unwrap(),
            ..crate::world::LoadBalancerFacts::default()
        };
        world.load_balancers.insert("public".into(), Arc::new(facts));
        world.policies.insert("a".into(), a(&["team-a.example.com"]));
        world.policies.insert(
            "gold".into(),
            policy(serde_json::json!({
                "namespaces": { "selector": { "matchLabels": { "grant.gatehouse.dev/tier": "gold" } } },
                "loadBalancers": ["public"], "grants": [{ "domains": ["team-b.example.com"] }],
            })),
        );
        world
    }

    fn a(domains: &[&str]) -> Arc<PolicyFacts> {
        policy(serde_json::json!({
            "namespaces": { "names": ["team-a"] }, "loadBalancers": ["public"], "grants": [{ "domains": domains }],
        }))
    }

    fn told(edit: &Edit) -> Vec<String> {
        let found = impact(&world(), edit, Wall(0), || true);
        let warnings = found.warnings();
        assert!(warnings.iter().all(|w| w.chars().count() <= crate::review::MAX_WARNING), "{warnings:?}");
        warnings
    }

    #[test]
    fn a_lost_grant_withdraws_and_a_stricter_rule_freezes() {
        let withdrawn = "3 live apps would lose hosts after the grace";
        assert_eq!(told(&Edit::Policy("a".into(), Some(a(&["other.example.com"])))), [withdrawn]);
        assert_eq!(told(&Edit::Policy("a".into(), None)), [withdrawn]);
        let strict =
            policy(serde_json::json!({ "namespaces": { "all": true }, "rules": { "labels": [{ "key": "team" }] } }));
        let frozen = "6 live apps would freeze (served as before, changes wait)";
        assert_eq!(told(&Edit::Policy("strict".into(), Some(strict))), [frozen]);
        let limit = policy(serde_json::json!({ "namespaces": { "all": true }, "rules": { "limits": { "apps": 2 } } }));
        let found = impact(&world(), &Edit::Policy("limit".into(), Some(limit)), Wall(0), || true);
        let newest = [AppKey::new("team-a", "app2"), AppKey::new("team-b", "app2")];
        assert_eq!((found.frozen, found.withdrawn), (newest.to_vec(), Vec::new()));
        let unlabelled = Edit::Labels("team-b".into(), BTreeMap::new());
        assert!(told(&unlabelled)[0].starts_with("3 live apps would lose hosts"));
    }

    #[test]
    fn what_changes_nothing_for_the_worse_is_not_told() {
        let warn = serde_json::json!({ "namespaces": { "all": true },
            "rules": { "labels": [{ "key": "team" }], "enforcement": { "labels": "Warn" } } });
        for edit in [
            Edit::Policy("a".into(), Some(a(&["team-a.example.com"]))),
            Edit::Policy("a".into(), Some(a(&["team-a.example.com", "more.example.com"]))),
            Edit::Policy("warn".into(), Some(policy(warn))),
            Edit::Policy("nobody".into(), None),
            Edit::Labels("team-a".into(), [("grant.gatehouse.dev/tier".to_owned(), "gold".to_owned())].into()),
            Edit::Labels("nowhere".into(), BTreeMap::new()),
        ] {
            assert_eq!(told(&edit), Vec::<String>::new(), "{edit:?}");
        }
        // What is refused already is no news.
        let mut world = world();
        app(&mut world, "team-a", "old", "x.example.org", 9);
        let edit = Edit::Policy("a".into(), Some(a(&["team-a.example.com", "y.example.org"])));
        assert_eq!(impact(&world, &edit, Wall(0), || true).warnings(), Vec::<String>::new());
    }

    #[test]
    fn it_ends_when_there_is_no_time_and_says_so() {
        let mut left = 4;
        let strict =
            policy(serde_json::json!({ "namespaces": { "all": true }, "rules": { "labels": [{ "key": "team" }] } }));
        let found = impact(&world(), &Edit::Policy("s".into(), Some(strict)), Wall(0), || {
            left -= 1;
            left >= 0
        });
        assert_eq!((found.judged, found.frozen.len(), found.partial), (4, 4, true));
        assert_eq!(found.warnings()[1], "only the first 4 live apps were judged in time; there may be more");
    }
}
