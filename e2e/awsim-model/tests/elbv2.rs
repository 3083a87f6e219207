//! ELBv2: names, idempotency, quotas, rules, target states, windows, the data plane.

mod common;

use awsim_model::api::elbv2::*;
use awsim_model::settings::{HealthSource, quota};
use awsim_model::{DataPlaneAction, Exchange, Millis, Settings, Tag};
use common::*;
use proptest::prelude::*;

#[test]
fn names_table() {
    let mut w = World::instant();
    for (name, expected) in [
        ("ok", "ok"),
        ("a-b-9", "ok"),
        ("", "ValidationError"),
        ("-a", "ValidationError"),
        ("a-", "ValidationError"),
        ("a_b", "ValidationError"),
        ("internal-a", "ValidationError"),
        ("abcdefghijklmnopqrstuvwxyz0123456", "ValidationError"),
        ("abcdefghijklmnopqrstuvwxyz012345", "ok"),
    ] {
        assert_eq!(w.code(new_load_balancer(name)), expected, "load balancer '{name}'");
        let group = if name == "internal-a" { "ok" } else { expected };
        assert_eq!(w.code(new_group(name)), group, "target group '{name}'");
    }
}

#[test]
fn creation_is_idempotent_except_for_rules() {
    let mut w = World::instant();
    let first = w.load_balancer("lb");
    assert_eq!(w.load_balancer("lb"), first);
    let other = CreateLoadBalancer { scheme: Some("internal".into()), ..new_load_balancer("lb") };
    assert_eq!(w.code(other), "DuplicateLoadBalancerName");
    assert_eq!(w.group("tg"), w.group("tg"));
    assert_eq!(w.code(CreateTargetGroup { port: Some(1), ..new_group("tg") }), "DuplicateTargetGroupName");
    let arn = first.load_balancer_arn;
    let listener = w.listener(&arn, 80);
    assert_eq!(w.listener(&arn, 80), listener);
    w.rule(&listener, 1, &["a.example.com"], fixed("200"));
    assert_eq!(w.code(new_rule(&listener, 1, &["a.example.com"], fixed("200"))), "PriorityInUse");
}

#[test]
fn quotas_table() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb").load_balancer_arn;
    let listener = w.listener(&lb, 80);
    for (name, limit) in [
        (quota::LOAD_BALANCERS, 1),
        (quota::LISTENERS, 1),
        (quota::RULES, 1),
        (quota::GROUPS_PER_LOAD_BALANCER, 1),
        (quota::GROUPS, 3),
        (quota::TARGETS_PER_GROUP, 1),
    ] {
        w.aws.settings_mut().quotas.set(name, limit).unwrap();
    }
    let (one, two, _) = (w.group("one"), w.group("two"), w.group("three"));
    assert_eq!(w.code(new_load_balancer("lb2")), "TooManyLoadBalancers");
    assert_eq!(w.code(new_group("four")), "TooManyTargetGroups");
    let rule = w.rule(&listener, 1, &["a.example.com"], forward(&one));
    assert_eq!(w.code(new_rule(&listener, 2, &["b.example.com"], fixed("200"))), "TooManyRules");
    let mut second = ModifyRule { rule_arn: rule, actions: Some(vec![forward(&two)]), ..Default::default() };
    assert_eq!(w.code(second.clone()), "ok", "in place of the first group");
    let forward_both = Action {
        kind: "forward".into(),
        forward_config: Some(ForwardConfig {
            target_groups: [&one, &two]
                .map(|arn| TargetGroupTuple { target_group_arn: arn.clone(), weight: Some(1) })
                .to_vec(),
            ..Default::default()
        }),
        ..Default::default()
    };
    second.actions = Some(vec![forward_both]);
    assert_eq!(w.code(second), "TooManyUniqueTargetGroupsPerLoadBalancer");
    let both = RegisterTargets { target_group_arn: one, targets: vec![target("10.0.0.1", 1), target("10.0.0.1", 2)] };
    assert_eq!(w.code(both), "TooManyTargets");
}

#[test]
fn condition_values_are_summed() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb").load_balancer_arn;
    let listener = w.listener(&lb, 80);
    let five = ["a.a.com", "b.a.com", "c.a.com"];
    let mut call = new_rule(&listener, 1, &five, fixed("200"));
    call.conditions.push(path(&["/a", "/b"]));
    let mut six = call.clone();
    six.conditions[1] = path(&["/a", "/b", "/c"]);
    assert_eq!(w.code(six), "ValidationError");
    assert_eq!(w.code(call), "ok");
}

#[test]
fn forward_and_values_are_echoed_in_both_forms() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb").load_balancer_arn;
    let (listener, group) = (w.listener(&lb, 80), w.group("tg"));
    let rule = w.ok(new_rule(&listener, 1, &["a.example.com"], forward(&group))).rules.remove(0);
    assert_eq!(rule.priority, "1");
    let condition = &rule.conditions[0];
    assert_eq!(condition.values, condition.host_header_config.as_ref().unwrap().values);
    let action = &rule.actions[0];
    assert_eq!(action.target_group_arn.as_deref(), Some(group.as_str()));
    let tuples = &action.forward_config.as_ref().unwrap().target_groups;
    assert_eq!(tuples, &[TargetGroupTuple { target_group_arn: group, weight: Some(1) }]);
}

#[test]
fn one_load_balancer_per_group_and_use_blocks_deletion() {
    let mut w = World::instant();
    w.aws.settings_mut().delays.in_use_lag = Millis(100);
    let (a, b) = (w.load_balancer("a").load_balancer_arn, w.load_balancer("b").load_balancer_arn);
    let (la, lb, group) = (w.listener(&a, 80), w.listener(&b, 80), w.group("tg"));
    let rule = w.rule(&la, 1, &["a.example.com"], forward(&group));
    let elsewhere = new_rule(&lb, 1, &["a.example.com"], forward(&group));
    assert_eq!(w.code(elsewhere.clone()), "TargetGroupAssociationLimit");
    let delete = DeleteTargetGroup { target_group_arn: group };
    assert_eq!(w.code(delete.clone()), "ResourceInUse");
    w.ok(DeleteRule { rule_arn: rule.clone() });
    assert_eq!(w.code(DeleteRule { rule_arn: rule }), "RuleNotFound");
    assert_eq!(w.code(delete.clone()), "ResourceInUse", "for a while after");
    w.wait(Millis(100));
    assert_eq!(w.code(delete), "ok");
    assert_eq!(w.code(elsewhere), "TargetGroupNotFound");
}

#[test]
fn deletion_protection_and_what_goes_with_a_load_balancer() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb").load_balancer_arn;
    let listener = w.listener(&lb, 80);
    let rule = w.rule(&listener, 1, &["a.example.com"], fixed("200"));
    let protect = |value: &str| ModifyLoadBalancerAttributes {
        load_balancer_arn: lb.clone(),
        attributes: vec![Attribute { key: "deletion_protection.enabled".into(), value: value.into() }],
    };
    let delete = DeleteLoadBalancer { load_balancer_arn: lb.clone() };
    w.ok(protect("true"));
    assert_eq!(w.code(delete.clone()), "OperationNotPermitted");
    w.ok(protect("false"));
    assert_eq!(w.code(delete.clone()), "ok");
    assert_eq!(w.code(delete), "ok", "deleting what is absent succeeds");
    assert_eq!(w.code(DescribeRules { rule_arns: Some(vec![rule]), ..Default::default() }), "RuleNotFound");
    let by_arn = DescribeListeners { listener_arns: Some(vec![listener]), ..Default::default() };
    assert_eq!(w.code(by_arn), "ListenerNotFound");
    let again = w.load_balancer("lb").load_balancer_arn;
    assert_ne!(again, lb, "a new load balancer has a new ARN");
}

#[test]
fn target_states() {
    let mut w = World::new(Settings { health: HealthSource::Automatic { after: Millis(100) }, ..Settings::instant() });
    w.aws.settings_mut().delays.draining_cap = Millis(50);
    let lb = w.load_balancer("lb").load_balancer_arn;
    let (listener, group) = (w.listener(&lb, 80), w.group("tg"));
    let targets = vec![target("10.0.0.9", 8080)];
    w.ok(RegisterTargets { target_group_arn: group.clone(), targets: targets.clone() });
    w.wait(Millis(1000));
    assert_eq!(w.state(&group), ["unused"]);
    w.rule(&listener, 1, &["a.example.com"], forward(&group));
    assert_eq!(w.state(&group), ["initial"]);
    assert_eq!(w.aws.next_event(w.now), Some(w.now + Millis(100)));
    w.wait(Millis(100));
    assert_eq!(w.state(&group), ["healthy"]);
    w.aws.observe_target(&group, ("10.0.0.9", 8080), false, "Health checks failed with these codes: [500]");
    assert_eq!(w.state(&group), ["unhealthy"]);
    w.ok(DeregisterTargets { target_group_arn: group.clone(), targets: targets.clone() });
    assert_eq!(w.state(&group), ["draining"]);
    w.wait(Millis(50));
    assert_eq!(w.state(&group), Vec::<String>::new());
    let asked = DescribeTargetHealth { target_group_arn: group, targets: Some(targets), include: None };
    assert_eq!(w.ok(asked).target_health_descriptions[0].target_health.reason.as_deref(), Some("Target.NotRegistered"));
}

#[test]
fn targets_table() {
    let mut w = World::instant();
    let group = w.group("tg");
    for (id, zone, expected) in [
        ("10.0.0.5", None, "ok"),
        ("10.0.0.5", Some("eu-central-1a"), "ok"),
        ("192.168.1.1", None, "ValidationError"),
        ("192.168.1.1", Some("all"), "ok"),
        ("100.64.1.1", Some("all"), "ok"),
        ("8.8.8.8", Some("all"), "InvalidTarget"),
        ("i-0123", None, "InvalidTarget"),
        ("10.0.0.5", Some("nowhere"), "ValidationError"),
    ] {
        let target = TargetDescription { id: id.into(), port: None, availability_zone: zone.map(Into::into) };
        let call = RegisterTargets { target_group_arn: group.clone(), targets: vec![target] };
        assert_eq!(w.code(call), expected, "{id} in {zone:?}");
    }
}

#[test]
fn a_new_listener_is_not_found_for_a_moment() {
    let mut w = World::instant();
    w.aws.settings_mut().delays.listener_visible = Millis(100);
    let lb = w.load_balancer("lb").load_balancer_arn;
    let listener = w.listener(&lb, 80);
    let call = new_rule(&listener, 1, &["a.example.com"], fixed("200"));
    assert_eq!(w.code(call.clone()), "ListenerNotFound");
    w.wait(Millis(100));
    assert_eq!(w.code(call), "ok");
}

#[test]
fn tags_and_their_limits() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb").load_balancer_arn;
    let add = |tags: Vec<Tag>| AddTags { resource_arns: vec![lb.clone()], tags };
    assert_eq!(w.code(add(vec![Tag::new("aws:x", "1")])), "ValidationError");
    assert_eq!(w.code(add(vec![Tag::new("x".repeat(129), "1")])), "ValidationError");
    assert_eq!(w.code(add(vec![Tag::new("a", "1"), Tag::new("a", "2")])), "DuplicateTagKeys");
    assert_eq!(w.code(add((0..50).map(|n| Tag::new(format!("k{n}"), "v")).collect())), "ok");
    assert_eq!(w.code(add(vec![Tag::new("k0", "w")])), "ok", "replacing is not adding");
    assert_eq!(w.code(add(vec![Tag::new("one-more", "v")])), "TooManyTags");
    assert_eq!(w.code(DescribeTags { resource_arns: vec![lb.clone(); 21] }), "ValidationError");
}

#[test]
fn the_data_plane_lags_by_the_batch() {
    let mut w = World::instant();
    w.aws.settings_mut().delays.rule_batch = Millis(10_000);
    let lb = w.load_balancer("lb").load_balancer_arn;
    let listener = w.listener(&lb, 80);
    let request = Exchange { port: 80, host: "a.example.com".into(), path: "/".into(), ..Default::default() };
    assert_eq!(w.aws.route(w.now, &lb, 80, &request), None);
    w.wait(Millis(10_000));
    let default = w.aws.route(w.now, &lb, 80, &request).unwrap();
    let rule = w.rule(&listener, 1, &["a.example.com"], fixed("200"));
    assert_eq!(w.aws.route(w.now, &lb, 80, &request).unwrap(), default);
    let next = w.aws.next_event(w.now).unwrap();
    assert!(next <= w.now + Millis(10_000), "{next:?}");
    assert_eq!(w.aws.route(next, &lb, 80, &request).unwrap().rule_arn, rule);
}

#[test]
fn rules_match_in_order_and_wildcards_cross_dots() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb").load_balancer_arn;
    let listener = w.listener(&lb, 80);
    w.rule(&listener, 20, &["*.example.com"], fixed("220"));
    w.rule(&listener, 10, &["a.example.com"], fixed("210"));
    let mut call = new_rule(&listener, 5, &["A.example.com"], fixed("205"));
    call.conditions.push(path(&["/Foo", "/Foo/*"]));
    w.ok(call);
    for (host, path, expected) in [
        ("a.example.com", "/", 210),
        ("a.example.com:80", "/", 210),
        ("A.EXAMPLE.com", "/Foo/x", 205),
        ("a.example.com", "/foo", 210),
        ("b.a.example.com", "/", 220),
        ("example.com", "/", 404),
    ] {
        let request = Exchange { port: 80, host: host.into(), path: path.into(), ..Default::default() };
        let action = w.aws.route(w.now, &lb, 80, &request).unwrap().action;
        assert!(
            matches!(action, DataPlaneAction::Fixed { status, .. } if status == expected),
            "{host}{path}: {action:?}"
        );
    }
}

#[test]
fn redirects_and_forwarding() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb").load_balancer_arn;
    let redirect = Action {
        kind: "redirect".into(),
        redirect_config: Some(RedirectConfig {
            protocol: Some("HTTPS".into()),
            port: Some("443".into()),
            status_code: "HTTP_301".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let listener = w.listener(&lb, 80);
    w.ok(ModifyListener {
        listener_arn: listener.clone(),
        default_actions: Some(vec![redirect]),
        ..Default::default()
    });
    let mut request = Exchange {
        port: 80,
        host: "a.example.com".into(),
        path: "/x".into(),
        query: "y=1".into(),
        ..Default::default()
    };
    let action = w.aws.route(w.now, &lb, 80, &request).unwrap().action;
    let location = "https://a.example.com:443/x?y=1".to_owned();
    assert_eq!(action, DataPlaneAction::Redirect { status: 301, location });

    let group = w.group("tg");
    w.rule(&listener, 1, &["a.example.com"], forward(&group));
    let routed = |w: &World, request: &Exchange| w.aws.route(w.now, &lb, 80, request).unwrap().action;
    assert_eq!(routed(&w, &request), DataPlaneAction::NoTargets { target_group: Some(group.clone()) });
    let targets = vec![target("10.0.0.8", 8080), target("10.0.0.9", 8080)];
    w.ok(RegisterTargets { target_group_arn: group.clone(), targets });
    let count = |action| match action {
        DataPlaneAction::Forward { targets, fail_open, .. } => (targets.len(), fail_open),
        other => panic!("{other:?}"),
    };
    request.dice = 7;
    assert_eq!(count(routed(&w, &request)), (2, false));
    w.aws.observe_target(&group, ("10.0.0.8", 8080), false, "x");
    assert_eq!(count(routed(&w, &request)), (1, false));
    w.aws.observe_target(&group, ("10.0.0.9", 8080), false, "x");
    assert_eq!(count(routed(&w, &request)), (2, true), "all unhealthy fails open");
}

#[test]
fn certificates_are_chosen_by_sni() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb").load_balancer_arn;
    let https = CreateListener {
        load_balancer_arn: lb.clone(),
        protocol: Some("HTTPS".into()),
        port: Some(443),
        certificates: Some(vec![Certificate { certificate_arn: CERTIFICATE.into(), is_default: None }]),
        default_actions: vec![fixed("404")],
        ..Default::default()
    };
    w.ok(https);
    for sni in [Some("a.example.com"), Some("other.org"), None] {
        assert_eq!(w.aws.certificate_for(w.now, &lb, 443, sni).as_deref(), Some(CERTIFICATE));
    }
    assert_eq!(w.aws.certificate_for(w.now, &lb, 80, None), None);
}

#[test]
fn buckets_throttle_each_family_alone() {
    let mut w = World::new(Settings::real());
    let lb = w.load_balancer("lb").load_balancer_arn;
    let codes: Vec<_> = (0..25).map(|n| w.code(new_group(&format!("g{n}")))).collect();
    assert_eq!(codes.iter().filter(|code| *code == "ok").count(), 19);
    assert_eq!(codes[24], "Throttling");
    assert_eq!(w.code(DescribeListeners { load_balancer_arn: Some(lb), ..Default::default() }), "ok");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any permutation of rules among free and taken priorities passes in one call; a conflict changes nothing.
    #[test]
    fn set_rule_priorities_takes_any_permutation(
        order in Just((1..=8_i64).collect::<Vec<_>>()).prop_shuffle(),
        moved in prop::collection::vec(any::<bool>(), 8),
        parked in any::<bool>(),
    ) {
        let mut w = World::instant();
        let lb = w.load_balancer("lb").load_balancer_arn;
        let listener = w.listener(&lb, 80);
        let rules: Vec<String> =
            (1..=8).map(|n| w.rule(&listener, n, &[&format!("h{n}.example.com")], fixed("200"))).collect();
        let before = w.aws.clone();
        let pairs: Vec<RulePriorityPair> = rules
            .iter()
            .zip(&order)
            .zip(&moved)
            .filter(|(_, moved)| **moved)
            .map(|((arn, priority), _)| RulePriorityPair {
                rule_arn: arn.clone(),
                priority: if parked { 50_001 - priority } else { *priority },
            })
            .collect();
        let mut expected: Vec<i64> = (1..=8).collect();
        for pair in &pairs {
            let at = rules.iter().position(|arn| *arn == pair.rule_arn).unwrap();
            expected[at] = pair.priority;
        }
        let mut unique = expected.clone();
        unique.sort_unstable();
        unique.dedup();
        let code = w.code(SetRulePriorities { rule_priorities: pairs.clone() });
        if pairs.is_empty() {
            prop_assert_eq!(code, "ValidationError");
        } else if unique.len() < 8 {
            prop_assert_eq!(code, "PriorityInUse");
            prop_assert_eq!(&w.aws, &before);
        } else {
            prop_assert_eq!(code, "ok");
            let listed = w.priorities(&listener);
            for (arn, priority) in rules.iter().zip(&expected) {
                prop_assert!(listed.contains(&(priority.to_string(), arn.clone())));
            }
            prop_assert!(listed[..8].windows(2).all(|pair| pair[0].0.parse::<i64>().unwrap() < pair[1].0.parse::<i64>().unwrap()));
        }
    }
}
