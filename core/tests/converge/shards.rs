//! Several ALBs: the quota model, moves without a gap, rules merged under pressure.

use gatehouse_crds::RequestState;

use crate::{BALANCER, app, aws, policy, ready, settings};
use gatehouse_virtual::Sim;

/// One load balancer whose ALBs take so many rules.
fn start(rules: i64) -> Sim {
    let mut aws = aws();
    aws.quotas.set(awsim_model::settings::quota::RULES, rules).unwrap();
    let mut sim = Sim::new(settings(), aws);
    for ns in ["team-a", "team-b", "team-c", "team-d"] {
        sim.cluster.namespace(ns);
        sim.cluster.service(ns, "web", 8080);
        let hosts: Vec<String> = (0..8).map(|i| format!("{ns}-{i}.example.com")).collect();
        sim.cluster.policy(ns, &policy(ns, &format!("[{}]", hosts.join(", "))));
    }
    sim.cluster.load_balancer("public", BALANCER);
    sim
}

fn publish(sim: &mut Sim, namespace: &str, index: usize) {
    sim.cluster.app(namespace, &format!("app-{index}"), &app(&format!("[{namespace}-{index}.example.com]"), "web"));
}

fn balancers(sim: &Sim) -> usize {
    sim.aws.essence()["loadBalancers"].as_object().unwrap().len()
}

fn shard_of(sim: &Sim, host: &str) -> i32 {
    let claim = &sim.cluster.world.claims[&format!("h.{host}")];
    assert_eq!(claim.status.placement["public"].from, None, "{host} is on the move");
    claim.status.placement["public"].shard
}

/// With a quota of three rules, two may be used: the third namespace opens the second ALB, and no call is wasted on
/// what cannot fit. The second ALB goes when nothing stands on it.
#[test]
fn a_full_shard_opens_the_next_and_an_empty_one_goes() {
    let mut sim = start(3);
    for ns in ["team-a", "team-b", "team-c"] {
        publish(&mut sim, ns, 0);
        sim.run(30_000);
    }
    sim.run(60_000);
    assert_eq!(balancers(&sim), 2);
    for ns in ["team-a", "team-b", "team-c"] {
        assert_eq!(sim.client(&format!("{ns}-0.example.com")).as_deref(), Some(ns), "{}", sim.tail());
    }
    assert_eq!((shard_of(&sim, "team-b-0.example.com"), shard_of(&sim, "team-c-0.example.com")), (0, 1));
    assert!(sim.quota_refusals.is_empty(), "a call was wasted");
    sim.cluster.delete_app("team-c", "app-0");
    sim.run(600_000);
    assert_eq!(balancers(&sim), 2, "it may be needed again soon");
    sim.run(2 * 3_600_000);
    assert_eq!(balancers(&sim), 1, "{}", sim.tail());
}

/// What is held for a quota follows its raise within ten minutes, not at the look of six hours.
#[test]
fn a_raised_quota_is_noticed_where_it_binds() {
    let mut sim = start(3);
    sim.cluster.load_balancer("public", &format!("{BALANCER}limits: {{shards: 1}}\n"));
    for ns in ["team-a", "team-b", "team-c"] {
        publish(&mut sim, ns, 0);
        sim.run(30_000);
    }
    assert_eq!(sim.client("team-c-0.example.com"), None, "{}", sim.tail());
    sim.run(60_000);
    sim.aws.settings_mut().quotas.set(awsim_model::settings::quota::RULES, 100).unwrap();
    sim.run(11 * 60_000);
    assert_eq!(sim.client("team-c-0.example.com").as_deref(), Some("team-c"), "{}", sim.tail());
    assert!(sim.quota_refusals.is_empty(), "a call was wasted");
}

/// Namespaces that come at the same moment go where all their hosts fit: one target group each, and no rule is merged.
#[test]
fn namespaces_that_come_together_find_whole_places() {
    let mut sim = start(3);
    sim.cluster.load_balancer("public", &format!("{BALANCER}limits: {{shards: 3}}\n"));
    // Two shards are opened, and both are empty.
    for ns in ["team-a", "team-b", "team-c"] {
        publish(&mut sim, ns, 0);
        sim.run(30_000);
    }
    for ns in ["team-a", "team-b", "team-c"] {
        sim.cluster.delete_app(ns, "app-0");
    }
    sim.run(300_000);
    assert_eq!((balancers(&sim), crate::claims(&sim).len()), (2, 0), "{}", sim.tail());
    sim.aws.settings_mut().quotas.set(awsim_model::settings::quota::RULES, 18).unwrap();
    sim.change_leader();
    sim.run(60_000);
    sim.tally = true;
    for index in 0..8 {
        for ns in ["team-a", "team-b", "team-c", "team-d"] {
            publish(&mut sim, ns, index);
        }
    }
    sim.run(120_000);
    let mut places = std::collections::BTreeMap::<String, std::collections::BTreeSet<i32>>::new();
    for index in 0..8 {
        for ns in ["team-a", "team-b", "team-c", "team-d"] {
            assert!(ready(&sim, ns, &format!("app-{index}")), "{}", sim.tail());
            places.entry(ns.into()).or_default().insert(shard_of(&sim, &format!("{ns}-{index}.example.com")));
        }
    }
    assert!(places.values().all(|shards| shards.len() == 1), "{places:?}");
    assert_eq!(sim.by_name.get("DeleteRule"), None, "nothing was merged");
}

/// A host that fits its namespace's shard only by merging rules goes to one that stands and has a rule to give.
#[test]
fn a_standing_shard_with_room_is_used_before_rules_are_merged() {
    let mut sim = start(4);
    for ns in ["team-a", "team-b", "team-c", "team-d"] {
        publish(&mut sim, ns, 0);
        sim.run(30_000);
    }
    assert_eq!((balancers(&sim), shard_of(&sim, "team-d-0.example.com")), (2, 1));
    sim.tally = true;
    publish(&mut sim, "team-a", 1);
    sim.run(30_000);
    assert_eq!(sim.client("team-a-1.example.com").as_deref(), Some("team-a"), "{}", sim.tail());
    assert_eq!(shard_of(&sim, "team-a-1.example.com"), 1);
    assert_eq!(sim.by_name.get("DeleteRule"), None, "{}", sim.tail());
}

/// An edge that two load balancers share has the larger number of replicas, and each of them is a target of both: one
/// that is not would never be ready, and a rollout would stand still.
#[test]
fn every_edge_of_two_load_balancers_is_a_target_of_both() {
    let mut sim = start(10);
    let internal = BALANCER.replace("default: true", "default: false").replace("internet-facing", "internal");
    sim.cluster.load_balancer("internal", &internal.replace("{port: 8080}", "{port: 8081, replicas: 1}"));
    sim.cluster.load_balancer("public", &BALANCER.replace("{port: 8080}", "{port: 8080, replicas: 3}"));
    sim.cluster.policy(
        "team-a",
        "namespaces: {names: [team-a]}\ngrants: [{hosts: [team-a-0.example.com]}]\nloadBalancers: [public, internal]\n",
    );
    let both = format!("loadBalancers: [public, internal]\n{}", app("[team-a-0.example.com]", "web"));
    sim.cluster.app("team-a", "app-0", &both);
    sim.run(60_000);
    let healthy: Vec<_> = sim.cluster.world.pods.values().map(|pod| pod.target_healthy).collect();
    assert_eq!(healthy, [Some(true); 3], "{}", sim.tail());
}

/// A leader that knows nothing finds the second ALB although nothing is placed on it.
#[test]
fn a_new_leader_finds_an_idle_shard() {
    let mut sim = start(3);
    for ns in ["team-a", "team-b", "team-c"] {
        publish(&mut sim, ns, 0);
        sim.run(30_000);
    }
    sim.cluster.delete_app("team-c", "app-0");
    sim.run(600_000);
    sim.change_leader();
    sim.run(2 * 3_600_000);
    assert_eq!(balancers(&sim), 1, "{}", sim.tail());
}

/// When no shard has room the app is told which quota binds; the others go on; room heals it.
#[test]
fn without_room_the_binding_quota_is_told() {
    let mut sim = start(3);
    let one = BALANCER.to_owned() + "limits: {shards: 1}\n";
    sim.cluster.load_balancer("public", &one);
    for ns in ["team-a", "team-b", "team-c"] {
        publish(&mut sim, ns, 0);
        sim.run(30_000);
    }
    let app = &sim.cluster.world.apps[&gatehouse_core::AppKey::new("team-c", "app-0")];
    let accepted = app.status.conditions.iter().find(|c| c.type_ == "Accepted").unwrap();
    assert_eq!(accepted.reason, "NoShardWithRoom", "{accepted:?}");
    sim.cluster.delete_app("team-b", "app-0");
    sim.run(200_000);
    assert!(ready(&sim, "team-c", "app-0"), "{}", sim.tail());
}

/// Hosts added one by one have a rule each; when the quota presses they are merged, and no request fails meanwhile.
#[test]
fn rules_are_merged_under_pressure() {
    let mut sim = start(5);
    for i in 0..4 {
        publish(&mut sim, "team-a", i);
        sim.run(30_000);
    }
    for i in 0..4 {
        sim.guard.insert(format!("team-a-{i}.example.com"), "team-a".into());
    }
    publish(&mut sim, "team-b", 0);
    sim.run(300_000);
    assert!(ready(&sim, "team-b", "app-0"), "{}", sim.tail());
    assert_eq!(shard_of(&sim, "team-b-0.example.com"), 0);
    assert_eq!(balancers(&sim), 1);
    assert!(sim.quota_refusals.is_empty(), "a call was wasted");
}

/// A namespace moves by request: every moment of the way a client reaches its edge.
#[test]
fn a_namespace_moves_without_a_gap() {
    let mut sim = start(100);
    publish(&mut sim, "team-a", 0);
    publish(&mut sim, "team-a", 1);
    publish(&mut sim, "team-b", 0);
    sim.run(60_000);
    for host in ["team-a-0.example.com", "team-a-1.example.com"] {
        sim.guard.insert(host.into(), "team-a".into());
    }
    sim.guard.insert("team-b-0.example.com".into(), "team-b".into());
    sim.cluster.request("public", "move", "namespace=team-a shard=7");
    sim.run(5_000);
    let status = sim.cluster.world.load_balancers["public"].status.clone();
    assert_eq!(status.requests[0].state, RequestState::Refused, "{:?}", status.requests);
    sim.cluster.request("public", "move", "namespace=team-a shard=1");
    sim.run(120_000);
    let status = sim.cluster.world.load_balancers["public"].status.clone();
    assert_eq!((status.requests[0].state, status.moves.len()), (RequestState::Working, 1), "{:?}", status.requests);
    let rules = |sim: &Sim| {
        let aws = sim.aws.essence();
        let listeners = aws["loadBalancers"].as_object().unwrap().values().map(|lb| lb["listeners"]["443"].clone());
        listeners.map(|l| l["rules"].as_array().unwrap().len()).collect::<Vec<_>>()
    };
    assert_eq!(rules(&sim).iter().sum::<usize>(), 5, "both sides stand while clients may keep a connection");
    // client_keep_alive is an hour.
    sim.run(2 * 3_600_000);
    let status = sim.cluster.world.load_balancers["public"].status.clone();
    assert_eq!((status.requests[0].state, status.moves.len()), (RequestState::Done, 0), "{:?}", status.requests);
    assert_eq!(rules(&sim).iter().sum::<usize>(), 3, "{}", sim.tail());
    assert_eq!((shard_of(&sim, "team-a-0.example.com"), shard_of(&sim, "team-b-0.example.com")), (1, 0));
}

/// An app goes from one load balancer to another: names flip when the new side is whole, and the old side serves on until
/// no client can remember it.
#[test]
fn an_app_changes_its_load_balancer_without_a_gap() {
    let mut sim = start(100);
    let second = BALANCER.replace("default: true", "default: false").replace("port: 8080", "port: 8082");
    sim.cluster.load_balancer("second", &second);
    let both = policy("team-a", "[team-a-0.example.com]").replace("[public]", "[public, second]");
    sim.cluster.policy("team-a", &both);
    publish(&mut sim, "team-a", 0);
    sim.run(60_000);
    sim.guard.insert("team-a-0.example.com".into(), "team-a".into());
    let moved = app("[team-a-0.example.com]", "web") + "loadBalancers: [second]\n";
    sim.cluster.app("team-a", "app-0", &moved);
    sim.run(120_000);
    let rules = |sim: &Sim| sim.aws.essence().to_string().matches("team-a-0.example.com\"]").count();
    let table = sim.engine.desired()["team-a"].table.clone().unwrap();
    assert_eq!(table.ports.len(), 2, "the old side serves on while clients may come: {:?}", table.ports.keys());
    assert!(ready(&sim, "team-a", "app-0"), "{}", sim.tail());
    let before = rules(&sim);
    assert!(before >= 2, "a rule on each side");
    sim.run(2 * 3_600_000);
    assert_eq!(sim.engine.desired()["team-a"].table.clone().unwrap().ports.len(), 1, "{}", sim.tail());
    assert_eq!(rules(&sim), before / 2, "{}", sim.tail());
}
