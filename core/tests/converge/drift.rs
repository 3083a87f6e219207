//! Changes of the SharedLoadBalancer's spec, and changes by somebody's hand: applied, mended, told.

use awsim_model::api::elbv2 as elb;
use awsim_model::api::{Tag, route53 as r53};
use awsim_model::{HealthSource, Millis};
use gatehouse_core::aws::Family;

use crate::{BALANCER, app, aws, create, essence, policy, ready, settings, start};
use gatehouse_virtual::Sim;

/// A second subnet pair, a second group, and both address families.
#[test]
fn a_changed_spec_is_applied_to_the_standing_alb() {
    let mut aws = aws();
    aws.network.security_groups.push("sg-0ddd".into());
    let mut third = aws.network.subnets[0].clone();
    third.id = "subnet-0ccc".into();
    third.zone = "eu-central-1c".into();
    third.cidr = "10.0.2.0/24".parse().unwrap();
    aws.network.subnets.push(third);
    let mut sim = Sim::new(settings(), aws);
    sim.cluster.namespace("team-a");
    sim.cluster.service("team-a", "web", 8080);
    sim.cluster.policy("a", &policy("team-a", "[shop.example.com]"));
    sim.cluster.load_balancer("public", BALANCER);
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    sim.guard.insert("shop.example.com".into(), "team-a".into());
    let address = |sim: &Sim, kind: &str| sim.aws.resolve(Millis(sim.now), "shop.example.com", kind).records.len();
    assert_eq!(address(&sim, "AAAA"), 0);
    let wider = BALANCER
        .replace(
            "subnet-0bbb, zone: eu-central-1b, cidrs: [10.0.1.0/24]",
            "subnet-0ccc, zone: eu-central-1c, cidrs: [10.0.2.0/24]",
        )
        .replace("[sg-0ccc]", "[sg-0ccc, sg-0ddd]")
        + "ipAddressType: dualstack\n";
    sim.cluster.load_balancer("public", &wider);
    sim.run(60_000);
    let alb = sim.aws.essence()["loadBalancers"].as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(alb["securityGroups"], serde_json::json!(["sg-0ccc", "sg-0ddd"]), "{}", sim.tail());
    assert_eq!(alb["subnets"], serde_json::json!(["subnet-0aaa", "subnet-0ccc"]));
    assert_eq!(alb["ipAddressType"], "dualstack");
    assert!(address(&sim, "AAAA") > 0, "{}", sim.tail());
    sim.cluster.load_balancer("public", BALANCER);
    sim.run(60_000);
    let alb = sim.aws.essence()["loadBalancers"].as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(alb["ipAddressType"], "ipv4", "{}", sim.tail());
    assert_eq!(address(&sim, "AAAA"), 0);
}

/// Everything of ours that a hand can change is put back by the audits, and nothing of a stranger's is touched.
#[test]
fn what_a_hand_changed_is_mended() {
    let mut sim = start();
    create(&mut sim);
    sim.run(60_000);
    let listeners = sim.aws.live_listeners(Millis(sim.now));
    let alb = listeners[0].load_balancer_arn.clone();
    let listener = |port| listeners.iter().find(|l| l.port == port).unwrap().listener_arn.clone();
    let fixed = |code: &str| elb::Action {
        kind: "fixed-response".into(),
        fixed_response_config: Some(elb::FixedResponseConfig { status_code: code.into(), ..Default::default() }),
        ..Default::default()
    };
    for port in [80, 443] {
        sim.stranger(elb::ModifyListener {
            listener_arn: listener(port),
            default_actions: Some(vec![fixed("503")]),
            ..Default::default()
        });
    }
    sim.stranger(elb::ModifyLoadBalancerAttributes {
        load_balancer_arn: alb.clone(),
        attributes: vec![elb::Attribute {
            key: "routing.http.xff_header_processing.mode".into(),
            value: "preserve".into(),
        }],
    });
    sim.stranger(elb::AddTags { resource_arns: vec![alb.clone()], tags: vec![Tag::new("gatehouse.dev/shard", "9")] });
    for group in sim.stranger(elb::DescribeTargetGroups::default()).target_groups {
        let arn = group.target_group_arn;
        sim.stranger(elb::ModifyTargetGroup {
            target_group_arn: arn.clone(),
            health_check_path: Some("/".into()),
            ..Default::default()
        });
        sim.stranger(elb::ModifyTargetGroupAttributes {
            target_group_arn: arn.clone(),
            attributes: vec![elb::Attribute {
                key: "target_group_health.dns_failover.minimum_healthy_targets.count".into(),
                value: "2".into(),
            }],
        });
        sim.stranger(elb::RemoveTags { resource_arns: vec![arn], tag_keys: vec!["gatehouse.dev/namespace".into()] });
    }
    let rules = sim.stranger(elb::DescribeRules { listener_arn: Some(listener(443)), ..Default::default() }).rules;
    let ours: Vec<_> = rules.iter().filter(|r| !r.is_default).collect();
    sim.stranger(elb::SetRulePriorities {
        rule_priorities: vec![elb::RulePriorityPair { rule_arn: ours[0].rule_arn.clone(), priority: 49_950 }],
    });
    sim.stranger(elb::ModifyRule {
        rule_arn: ours[1].rule_arn.clone(),
        actions: Some(vec![fixed("200")]),
        ..Default::default()
    });
    // A stranger's own things on our ALB and in our zone.
    let theirs = sim.stranger(elb::CreateRule {
        listener_arn: listener(443),
        conditions: vec![elb::RuleCondition {
            field: Some("host-header".into()),
            values: Some(vec!["theirs.example.com".into()]),
            ..Default::default()
        }],
        priority: 7,
        actions: vec![fixed("200")],
        ..Default::default()
    });
    let record = r53::ResourceRecordSet {
        name: "theirs.example.com".into(),
        kind: "A".into(),
        ttl: Some(60),
        resource_records: Some(vec![r53::ResourceRecord { value: "192.0.2.1".into() }]),
        ..Default::default()
    };
    let change = r53::Change { action: "CREATE".into(), resource_record_set: record };
    sim.stranger(r53::ChangeResourceRecordSets {
        hosted_zone_id: "Z0EXAMPLE1".into(),
        change_batch: r53::ChangeBatch { comment: None, changes: vec![change] },
    });
    // The slow audit looks at everything once in six hours.
    sim.run(7 * 3_600_000);
    let after = essence(&sim);
    assert!(after.contains("theirs.example.com"), "a stranger's rule or record was touched");
    sim.stranger(elb::DeleteRule { rule_arn: theirs.rules[0].rule_arn.clone() });
    for host in ["shop.example.com", "api.example.com", "blog.example.com"] {
        assert!(sim.client(host).is_some(), "{host}\n{}", sim.tail());
    }
    let aws = sim.aws.essence().to_string();
    for wrong in ["\"preserve\"", "49950", "\"503\"", "gatehouse.dev/shard\":\"9\""] {
        assert!(!aws.contains(wrong), "{wrong} is still there\n{}", sim.tail());
    }
    for group in sim.stranger(elb::DescribeTargetGroups::default()).target_groups {
        assert_eq!(group.health_check_path.as_deref(), Some("/healthz"));
        let arn = group.target_group_arn;
        let tags = sim.stranger(elb::DescribeTags { resource_arns: vec![arn.clone()] }).tag_descriptions;
        assert!(tags[0].tags.iter().any(|t| t.key == "gatehouse.dev/namespace"), "{tags:?}");
        let attributes = sim.stranger(elb::DescribeTargetGroupAttributes { target_group_arn: arn }).attributes;
        let failover = "target_group_health.dns_failover.minimum_healthy_targets.count";
        assert!(attributes.iter().any(|a| a.key == failover && a.value == "off"), "{attributes:?}");
    }
    assert!(ready(&sim, "team-a", "shop") && ready(&sim, "team-b", "blog"));
}

/// A load balancer that is deleted while apps use it stays and serves on, and says so.
#[test]
fn a_used_load_balancer_is_not_taken_down() {
    let mut sim = start();
    create(&mut sim);
    sim.run(60_000);
    for (host, ns) in [("shop.example.com", "team-a"), ("blog.example.com", "team-b")] {
        sim.guard.insert(host.into(), ns.into());
    }
    sim.cluster.delete_load_balancer("public");
    sim.run(600_000);
    let status = &sim.cluster.world.load_balancers["public"].status;
    assert!(status.held.iter().any(|h| h.contains("3 hosts are published")), "{:?}", status.held);
    sim.guard.clear();
    sim.cluster.delete_app("team-a", "shop");
    sim.cluster.delete_app("team-b", "blog");
    sim.run(600_000);
    assert!(sim.cluster.world.load_balancers.is_empty(), "{}", sim.tail());
    assert_eq!(sim.aws.essence()["loadBalancers"].as_object().unwrap().len(), 0);
}

/// Audits leave the tokens to what somebody waits for, but not for ever: targets that never turn healthy are asked for
/// without end, and what a hand has deleted is found all the same.
#[test]
fn an_audit_that_is_a_period_late_waits_no_longer() {
    let mut sim = start();
    create(&mut sim);
    sim.run(60_000);
    sim.aws.settings_mut().health = HealthSource::Observed;
    sim.buckets.set(Family::ElbDescribe, 40, 1);
    sim.change_leader();
    sim.run(60_000);
    let listener = sim.aws.live_listeners(Millis(sim.now)).iter().find(|l| l.port == 443).unwrap().listener_arn.clone();
    let rules = |sim: &mut Sim| {
        let call = elb::DescribeRules { listener_arn: Some(listener.clone()), ..Default::default() };
        let rules = sim.stranger(call).rules.into_iter().filter(|r| !r.is_default);
        rules.map(|r| r.rule_arn).collect::<Vec<_>>()
    };
    let stood = rules(&mut sim);
    sim.stranger(elb::DeleteRule { rule_arn: stood[0].clone() });
    sim.run(settings().audit_often - 60_000);
    assert_eq!(rules(&mut sim).len(), stood.len() - 1, "the load leaves tokens for audits: this proves nothing");
    sim.run(60_000);
    assert_eq!(rules(&mut sim).len(), stood.len(), "{}", sim.tail());
}
