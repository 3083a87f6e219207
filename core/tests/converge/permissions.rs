//! The shipped IAM policy is enough, and every part of it is needed: a life under it in which each is used.

use std::collections::BTreeSet;

use awsim_model::api::elbv2 as elb;
use awsim_model::api::{Tag, route53 as r53};
use awsim_model::{Caller, Grant, Millis, Policy};
use gatehouse_crds::RequestState;

use crate::{BALANCER, app, aws, policy, ready, settings};
use gatehouse_virtual::Sim;

const HOUR: u64 = 3_600_000;
const ZONE: &str = "Z0EXAMPLE1";
/// A zone of another account, and the role there.
const FAR: &str = "Z0FAR";
const ROLE: &str = "arn:aws:iam::210987654321:role/gatehouse-zones";

/// A shipped policy with its placeholders replaced.
fn shipped(text: &str) -> String {
    let text = text.replace("REGION", "eu-central-1").replace("ZONE_ACCOUNT", "210987654321");
    text.replace("ACCOUNT", "123456789012").replace("CLUSTER_ID", "test").replace("ZONE_ID", ZONE)
}

/// The statements of several documents, as IAM sees policies that are attached to one role.
fn attached(documents: &[&str]) -> Policy {
    let statements: Vec<serde_json::Value> = documents
        .iter()
        .flat_map(|text| {
            let document: serde_json::Value = serde_json::from_str(&shipped(text)).unwrap();
            document["Statement"].as_array().unwrap().clone()
        })
        .collect();
    Policy::parse(&serde_json::json!({ "Statement": statements }).to_string()).unwrap()
}

fn operator(policies: &[&str]) -> Caller {
    Caller::limited("gatehouse", attached(policies))
}

fn record(name: &str, kind: &str, value: &str) -> r53::ResourceRecordSet {
    r53::ResourceRecordSet {
        name: name.into(),
        kind: kind.into(),
        ttl: Some(300),
        resource_records: Some(vec![r53::ResourceRecord { value: value.into() }]),
        ..Default::default()
    }
}

fn change(sim: &mut Sim, set: r53::ResourceRecordSet) {
    sim.run(10);
    let change = r53::Change { action: "CREATE".into(), resource_record_set: set };
    let change_batch = r53::ChangeBatch { comment: None, changes: vec![change] };
    sim.stranger(r53::ChangeResourceRecordSets { hosted_zone_id: ZONE.into(), change_batch });
}

/// Everything that a hand can change on a standing ALB, so that it has to be mended.
fn meddle(sim: &mut Sim) {
    let listeners = sim.aws.live_listeners(Millis(sim.now));
    let fixed = |code: &str| elb::Action {
        kind: "fixed-response".into(),
        fixed_response_config: Some(elb::FixedResponseConfig { status_code: code.into(), ..Default::default() }),
        ..Default::default()
    };
    let alb = listeners[0].load_balancer_arn.clone();
    sim.stranger(elb::AddTags { resource_arns: vec![alb], tags: vec![Tag::new("gatehouse.dev/shard", "9")] });
    let https = listeners.iter().find(|l| l.port == 443).unwrap().listener_arn.clone();
    let (listener_arn, default_actions) = (https.clone(), Some(vec![fixed("503")]));
    sim.stranger(elb::ModifyListener { listener_arn, default_actions, ..Default::default() });
    for group in sim.stranger(elb::DescribeTargetGroups::default()).target_groups {
        let target_group_arn = group.target_group_arn;
        sim.stranger(elb::ModifyTargetGroup {
            target_group_arn: target_group_arn.clone(),
            health_check_path: Some("/".into()),
            ..Default::default()
        });
        let (resource_arns, tag_keys) = (vec![target_group_arn], vec!["gatehouse.dev/namespace".into()]);
        sim.stranger(elb::RemoveTags { resource_arns, tag_keys });
    }
    let rules = sim.stranger(elb::DescribeRules { listener_arn: Some(https), ..Default::default() }).rules;
    let ours: Vec<_> = rules.iter().filter(|r| !r.is_default).map(|r| r.rule_arn.clone()).collect();
    let priority = elb::RulePriorityPair { rule_arn: ours[0].clone(), priority: 49_950 };
    sim.stranger(elb::SetRulePriorities { rule_priorities: vec![priority] });
    let (rule_arn, actions) = (ours[1].clone(), Some(vec![fixed("200")]));
    sim.stranger(elb::ModifyRule { rule_arn, actions, ..Default::default() });
}

/// Two tenants on an ALB of two possible shapes, under the given policy.
fn start(policies: &[&str]) -> Sim {
    let mut aws = aws();
    aws.network.security_groups.push("sg-0ddd".into());
    let mut third = aws.network.subnets[0].clone();
    (third.id, third.zone) = ("subnet-0ccc".into(), "eu-central-1c".into());
    third.cidr = "10.0.2.0/24".parse().unwrap();
    aws.network.subnets.push(third);
    aws.zones.push(awsim_model::settings::SeedZone {
        id: FAR.into(),
        name: "far.example.com".into(),
        private: false,
        role_arn: Some(ROLE.into()),
    });
    let mut sim = Sim::new(settings(), aws);
    sim.keep = usize::MAX;
    sim.caller = operator(policies);
    for ns in ["team-a", "team-b"] {
        sim.cluster.namespace(ns);
        sim.cluster.service(ns, "web", 8080);
    }
    sim.cluster
        .policy("a", &policy("team-a", "[shop.example.com, more.example.com, deep.shop.example.com, old.example.com]"));
    sim.cluster.policy("b", &policy("team-b", "[blog.example.com, blog.far.example.com]"));
    sim
}

fn request(sim: &mut Sim, verb: &str, words: &str) {
    sim.cluster.request("public", verb, words);
    sim.run(HOUR);
    let answer = sim.cluster.world.load_balancers["public"].status.requests.clone();
    let done = answer.iter().any(|r| r.verb == verb && r.state == RequestState::Done);
    assert!(done, "{answer:?}\n{}", sim.tail());
}

/// A life in which everything happens that the operator can be asked for, or has to mend.
fn live(sim: &mut Sim) {
    let dns =
        format!("dns: {{zones: [{{id: {ZONE}}}, {{id: {FAR}, roleArn: '{ROLE}'}}], adoptOwners: [{{owner: old}}]}}\n");
    let keep_alive = "{idle_timeout.timeout_seconds: \"300\", client_keep_alive.seconds: \"60\"}";
    let plain = BALANCER.replace("{idle_timeout.timeout_seconds: \"300\"}", keep_alive) + &dns;
    sim.cluster.load_balancer("public", &plain);
    // Born: a certificate of the account, one that is asked for, and one by its name; a zone far away.
    sim.cluster.app("team-a", "shop", &app("[shop.example.com, more.example.com]", "web"));
    let requested = app("[deep.shop.example.com]", "web") + "tls: {mode: Request}\n";
    sim.cluster.app("team-a", "deep", &requested);
    sim.cluster.app("team-b", "blog", &app("[blog.example.com]", "web"));
    sim.cluster.app("team-b", "far", &(app("[blog.far.example.com]", "web") + "tls: {mode: Request}\n"));
    sim.run(120_000);
    for (ns, name) in [("team-a", "shop"), ("team-a", "deep"), ("team-b", "blog"), ("team-b", "far")] {
        let app = &sim.cluster.world.apps[&gatehouse_core::AppKey::new(ns, name)];
        assert!(ready(sim, ns, name), "{:#?}\n{}", app.status, sim.tail());
    }
    // Grown: other subnets, groups, address families, attributes; pods replaced.
    let wider = plain
        .replace(
            "subnet-0bbb, zone: eu-central-1b, cidrs: [10.0.1.0/24]",
            "subnet-0ccc, zone: eu-central-1c, cidrs: [10.0.2.0/24]",
        )
        .replace("[sg-0ccc]", "[sg-0ccc, sg-0ddd]")
        .replace("\"300\"", "\"600\"");
    sim.cluster.load_balancer("public", &(wider.clone() + "ipAddressType: dualstack\n"));
    sim.cluster.replace_pods("team-a");
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(120_000);
    sim.cluster.load_balancer("public", &wider);
    meddle(sim);
    sim.run(7 * HOUR);
    // A CNAME of an adopted owner is taken over and given back; the policy for it is attached meanwhile.
    sim.caller = operator(&[OWN, ASSUME, ADOPT]);
    change(sim, record("old.example.com", "CNAME", "elsewhere.example.net"));
    let marker = "\"heritage=external-dns,external-dns/owner=old,external-dns/resource=ingress/team-a/old\"";
    change(sim, record("cname-old.example.com", "TXT", marker));
    sim.cluster.app("team-a", "old", &app("[old.example.com]", "web"));
    sim.run(120_000);
    assert!(ready(sim, "team-a", "old"), "{}", sim.tail());
    sim.caller = operator(&[OWN, ASSUME]);
    request(sim, "release", "host=old.example.com owner=old");
    // Where the record of another owner leads, the old ALB would have to stay.
    sim.cluster.delete_app("team-a", "old");
    request(sim, "move", "namespace=team-a shard=1");
    // Died.
    for (ns, name) in [("team-a", "shop"), ("team-a", "deep"), ("team-b", "blog"), ("team-b", "far")] {
        sim.cluster.delete_app(ns, name);
    }
    sim.run(3 * HOUR);
    sim.cluster.delete_load_balancer("public");
    sim.run(HOUR);
    assert!(sim.cluster.world.load_balancers.is_empty(), "{}", sim.tail());
    assert!(sim.aws.essence()["loadBalancers"].as_object().unwrap().is_empty());
}

const OWN: &str = include_str!("../../../config/iam/policy.json");
const ADOPT: &str = include_str!("../../../config/iam/adopt.json");
const ASSUME: &str = include_str!("../../../config/iam/assume.json");

/// Nothing is refused, and no statement, action or resource could be taken out of the policies.
#[test]
fn every_permission_is_enough_and_needed() {
    let mut sim = start(&[OWN, ASSUME]);
    live(&mut sim);
    let denied: Vec<String> = sim.lines().filter(|l| l.contains("AccessDenied")).collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let needed = sim.aws.needed();
    let parts = |grants: &mut dyn Iterator<Item = &Grant>| -> BTreeSet<(String, String)> {
        grants.flat_map(|g| [(g.sid.clone(), g.action.clone()), (g.sid.clone(), g.resource.clone())]).collect()
    };
    let all = attached(&[OWN, ASSUME, ADOPT]).grants();
    let idle: Vec<_> = parts(&mut all.iter()).difference(&parts(&mut needed.iter())).cloned().collect();
    assert_eq!(idle, [], "not needed by anything the operator did");
}

/// The test above would notice: what nobody uses is named.
#[test]
fn an_idle_permission_is_named() {
    let extra =
        r#"{"Statement": [{"Sid": "Idle", "Effect": "Allow", "Action": "acm:ImportCertificate", "Resource": "*"}]}"#;
    let mut sim = start(&[OWN, extra]);
    sim.cluster.load_balancer("public", BALANCER);
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    let used = |sid: &str| sim.aws.needed().iter().any(|grant| grant.sid == sid);
    assert!(used("ChangeRecords") && !used("Idle"), "{:?}", sim.aws.needed());
}

/// A zone of another account is published to as its role, and only as that.
#[test]
fn a_zone_of_another_account_is_reached_by_its_role() {
    let mut sim = start(&[OWN, ASSUME]);
    let dns = |role: &str| format!("{BALANCER}dns: {{zones: [{{id: {FAR}{role}}}]}}\n");
    sim.cluster.load_balancer("public", &dns(""));
    let spec = app("[blog.far.example.com]", "web") + "tls: {mode: Request}\n";
    sim.cluster.app("team-b", "far", &spec);
    sim.run(60_000);
    assert!(!ready(&sim, "team-b", "far"));
    let told = sim.cluster.world.load_balancers["public"].status.conditions.clone();
    assert!(told.iter().any(|c| c.message.contains(FAR)), "{told:?}");
    sim.cluster.load_balancer("public", &dns(&format!(", roleArn: '{ROLE}'")));
    sim.run(120_000);
    assert!(ready(&sim, "team-b", "far"), "{}", sim.tail());
    assert_eq!(sim.client("blog.far.example.com").as_deref(), Some("team-b"));
    // Even an administrator of our account does not reach it.
    let list = r53::ListResourceRecordSets { hosted_zone_id: FAR.into(), ..Default::default() };
    assert_eq!(sim.try_stranger(list).unwrap_err().code, "AccessDenied");
    sim.cluster.delete_app("team-b", "far");
    sim.run(HOUR);
    let left = sim.aws.essence()["zones"][FAR]["records"].to_string();
    assert!(!left.contains("\"A\"") && !left.contains("_gatehouse"), "{left}");
}
