//! Claims from birth to release: namespaces made anew, claims lost, transfers, and deletions that nobody asked for.

use gatehouse_core::AppKey;
use gatehouse_crds::{ClaimState, RequestState};

use crate::{app, claims, create, policy, ready, start};
use gatehouse_virtual::Sim;

const HOUR: u64 = 3_600_000;

fn answer(sim: &Sim, verb: &str) -> (RequestState, String) {
    let answers = &sim.cluster.world.load_balancers["public"].status.requests;
    let answer = answers.iter().find(|r| r.verb == verb).unwrap_or_else(|| panic!("no answer to {verb}: {answers:?}"));
    (answer.state, answer.message.clone())
}

fn state(sim: &Sim, host: &str) -> Option<(String, ClaimState)> {
    claims(sim).into_iter().find(|(h, _, _)| h == host).map(|(_, namespace, state)| (namespace, state))
}

/// A host goes from app to app of one namespace without a gap.
#[test]
fn an_app_is_renamed_without_a_gap() {
    let mut sim = start();
    create(&mut sim);
    sim.run(60_000);
    sim.guard.insert("shop.example.com".into(), "team-a".into());
    sim.cluster.app("team-a", "shop-two", &app("[shop.example.com, api.example.com]", "web"));
    sim.run(5_000);
    sim.cluster.delete_app("team-a", "shop");
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop-two") && !sim.cluster.world.apps.contains_key(&AppKey::new("team-a", "shop")));
}

/// A namespace that is gone with everything in it (finalizers stripped) loses nothing at once; after the wait its
/// hosts are free again, and no claim stays behind.
#[test]
fn claims_outlive_their_namespace_and_end() {
    let mut sim = start();
    create(&mut sim);
    sim.run(60_000);
    sim.cluster.lose_namespace("team-b");
    sim.run(HOUR);
    assert_eq!(state(&sim, "blog.example.com"), Some(("team-b".into(), ClaimState::Held)));
    assert!(sim.aws.essence().to_string().contains("blog.example.com"), "the record stays for a day");
    sim.run(27 * HOUR);
    assert_eq!(state(&sim, "blog.example.com"), None, "{}", sim.tail());
    assert!(!sim.aws.essence().to_string().contains("blog.example.com"));
    assert_eq!(sim.client("shop.example.com").as_deref(), Some("team-a"));
}

/// A namespace of the same name is a stranger, until the platform says otherwise.
#[test]
fn a_namespace_made_anew_gets_its_host_by_transfer() {
    let mut sim = start();
    create(&mut sim);
    sim.run(60_000);
    sim.cluster.remake_namespace("team-b");
    sim.cluster.service("team-b", "web", 8080);
    sim.cluster.app("team-b", "blog", &app("[blog.example.com]", "web"));
    sim.run(HOUR);
    assert!(!ready(&sim, "team-b", "blog"), "another UID, another holder");
    sim.cluster.request("public", "claims-transfer", "host=blog.example.com to=team-b");
    sim.run(60_000);
    assert_eq!(answer(&sim, "claims-transfer").0, RequestState::Done);
    assert!(ready(&sim, "team-b", "blog"), "{}", sim.tail());
    assert_eq!(sim.client("blog.example.com").as_deref(), Some("team-b"));
}

/// A transfer takes the host from its holder at once, never leads anybody to a stranger, and waits for no grace.
#[test]
fn the_platform_transfers_a_host() {
    let mut sim = start();
    sim.cluster.app("team-a", "both", &app("[both.example.com]", "web"));
    sim.cluster.app("team-b", "both", &app("[both.example.com]", "api"));
    sim.run(60_000);
    assert_eq!(sim.client("both.example.com").as_deref(), Some("team-a"));
    for (value, why) in [
        ("host=both.example.com to=team-x", "does not exist"),
        ("host=nobody.example.com to=team-b", "nobody holds"),
        ("to=team-b", "has no host"),
    ] {
        sim.cluster.request("public", "claims-transfer", value);
        sim.run(5_000);
        let (state, message) = answer(&sim, "claims-transfer");
        assert!(state == RequestState::Refused && message.contains(why), "{value}: {message}");
    }
    sim.cluster.request("public", "claims-transfer", "host=both.example.com to=team-b");
    sim.run(30_000);
    assert_eq!(answer(&sim, "claims-transfer").0, RequestState::Done, "{}", sim.tail());
    assert_eq!(state(&sim, "both.example.com"), Some(("team-b".into(), ClaimState::Held)));
    assert_eq!(sim.client("both.example.com").as_deref(), Some("team-b"));
    let loser = &sim.cluster.world.apps[&AppKey::new("team-a", "both")];
    assert_eq!(loser.status.conditions[0].reason, "HostNotAvailable");
}

/// A claim deleted by hand is claimed anew; what stands in AWS is not taken down in between.
#[test]
fn a_claim_removed_by_hand_comes_back() {
    let mut sim = start();
    create(&mut sim);
    sim.run(60_000);
    sim.guard.insert("blog.example.com".into(), "team-b".into());
    sim.cluster.lose_claim("h.blog.example.com");
    sim.run(120_000);
    assert_eq!(state(&sim, "blog.example.com"), Some(("team-b".into(), ClaimState::Held)));
}

/// A cluster that was rebuilt without apps takes nothing down for a day; with its apps it takes up what stands.
#[test]
fn an_empty_cluster_takes_nothing_down() {
    let mut sim = start();
    create(&mut sim);
    sim.run(60_000);
    let before = crate::essence(&sim);
    let apps: Vec<AppKey> = sim.cluster.world.apps.keys().cloned().collect();
    apps.iter().for_each(|key| sim.cluster.lose_app(&key.namespace, &key.name));
    let names: Vec<String> = sim.cluster.world.claims.keys().cloned().collect();
    names.iter().for_each(|name| sim.cluster.lose_claim(name));
    sim.change_leader();
    sim.run(20 * HOUR);
    for host in ["shop.example.com", "blog.example.com", "api.example.com"] {
        assert!(sim.client(host).is_some(), "{host} is still answered:\n{}", sim.tail());
    }
    create(&mut sim);
    sim.run(60_000);
    assert!(crate::essence(&sim) == before, "{}", crate::diff(&before, &crate::essence(&sim)));
    // And without them everything of ours ends, after the day.
    let apps: Vec<AppKey> = sim.cluster.world.apps.keys().cloned().collect();
    apps.iter().for_each(|key| sim.cluster.lose_app(&key.namespace, &key.name));
    let names: Vec<String> = sim.cluster.world.claims.keys().cloned().collect();
    names.iter().for_each(|name| sim.cluster.lose_claim(name));
    sim.run(30 * HOUR);
    let aws = sim.aws.essence().to_string();
    assert!(!aws.contains("shop.example.com") && !aws.contains("blog.example.com"), "{}", sim.tail());
}

/// More than five hosts, and more than a tenth, go only when a person has seen and approved which.
#[test]
fn many_lost_hosts_wait_for_approval() {
    let mut sim = start();
    let hosts: Vec<String> = (0..12).map(|i| format!("h{i}.example.com")).collect();
    sim.cluster.policy("many", &policy("team-a", &format!("[{}]", hosts.join(", "))));
    for host in &hosts {
        sim.cluster.app("team-a", &host.replace('.', "-"), &app(&format!("[{host}]"), "web"));
    }
    sim.run(120_000);
    for host in &hosts[..8] {
        sim.cluster.lose_app("team-a", &host.replace('.', "-"));
    }
    sim.run(30 * HOUR);
    let gone = |sim: &Sim| hosts.iter().filter(|h| sim.client(h).is_none()).count();
    assert_eq!(gone(&sim), 0, "8 of 12 are more than five");
    let status = sim.cluster.world.load_balancers["public"].status.clone();
    let inferred = status.inferred_deletions.unwrap();
    assert_eq!(inferred.held_hosts, Some(8));
    assert!(status.held.iter().any(|h| h.contains("gatehouse approve public --digest")), "{:?}", status.held);
    sim.cluster.request("public", "approve", "digest=00000000");
    sim.run(5_000);
    assert_eq!(answer(&sim, "approve").0, RequestState::Refused);
    sim.cluster.request("public", "approve", &format!("digest={}", inferred.held_digest.unwrap()));
    sim.run(HOUR);
    assert_eq!(answer(&sim, "approve").0, RequestState::Done);
    assert_eq!(gone(&sim), 8, "{}", sim.tail());
}

/// The pace is kept across leaders: it stands in the status.
#[test]
fn inferred_deletions_keep_their_pace() {
    let mut sim = start();
    let paced = crate::BALANCER.to_owned() + "limits: {inferredDeletions: {after: 1h, percent: 100, perHour: 2}}\n";
    sim.cluster.load_balancer("public", &paced);
    let hosts: Vec<String> = (0..6).map(|i| format!("h{i}.example.com")).collect();
    sim.cluster.policy("many", &policy("team-a", &format!("[{}]", hosts.join(", "))));
    for host in &hosts {
        sim.cluster.app("team-a", &host.replace('.', "-"), &app(&format!("[{host}]"), "web"));
    }
    sim.run(120_000);
    for host in &hosts {
        sim.cluster.lose_app("team-a", &host.replace('.', "-"));
    }
    let gone = |sim: &Sim| hosts.iter().filter(|h| sim.client(h).is_none()).count();
    let mut most = 0;
    let mut before = 0;
    for hour in 0..8 {
        sim.run(HOUR);
        most = most.max(gone(&sim) - before);
        before = gone(&sim);
        if hour == 2 {
            sim.change_leader();
        }
    }
    assert_eq!((gone(&sim), most), (6, 2), "{}", sim.tail());
}
