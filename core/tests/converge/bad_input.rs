//! Bad input: the object says what is wrong, and everything else goes on.

use awsim_model::api::elbv2 as elb;
use gatehouse_core::AppKey;
use gatehouse_virtual::Sim;

use crate::{BALANCER, app, aws, policy, ready, settings};

/// A good load balancer with an app, and a second load balancer with this fault.
fn beside(fault: &str) -> Sim {
    let mut sim = Sim::new(settings(), aws());
    for ns in ["team-a", "team-b"] {
        sim.cluster.namespace(ns);
        sim.cluster.service(ns, "web", 8080);
    }
    sim.cluster.policy("a", &policy("team-a", "[shop.example.com]"));
    sim.cluster.policy("b", &policy("team-b", "[blog.example.com]").replace("[public]", "[bad]"));
    sim.cluster.load_balancer("public", BALANCER);
    sim.cluster.load_balancer("bad", fault);
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.cluster.app("team-b", "blog", &(app("[blog.example.com]", "web") + "loadBalancers: [bad]\n"));
    sim
}

fn bad() -> String {
    BALANCER.replace("default: true", "default: false").replace("port: 8080", "port: 8082")
}

/// What the bad one says of itself, after the good one is ready.
fn told(sim: &mut Sim) -> String {
    sim.run(120_000);
    assert!(ready(sim, "team-a", "shop"), "the others go on\n{}", sim.tail());
    assert!(!ready(sim, "team-b", "blog"));
    let status = &sim.cluster.world.load_balancers["bad"].status;
    let conditions = status.conditions.iter().map(|c| format!("{}: {}", c.reason, c.message));
    conditions.chain(status.held.clone()).collect::<Vec<_>>().join("\n")
}

/// What a load balancer says that only a person can mend.
fn stalled(sim: &Sim, name: &str) -> Option<String> {
    let status = &sim.cluster.world.load_balancers[name].status;
    let found = status.conditions.iter().find(|c| c.type_ == "Stalled")?;
    assert_eq!(found.status, gatehouse_crds::ConditionStatus::True, "it is there only while it is true");
    Some(format!("{}: {}", found.reason, found.message))
}

/// An ALB that serves stalls when its change is refused, serves on, and is free of it when the change is taken back.
#[test]
fn a_refused_change_stalls_until_the_spec_is_mended() {
    let mut sim = Sim::new(settings(), aws());
    sim.cluster.namespace("team-a");
    sim.cluster.service("team-a", "web", 8080);
    sim.cluster.policy("a", &policy("team-a", "[shop.example.com]"));
    sim.cluster.load_balancer("public", BALANCER);
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    assert_eq!(stalled(&sim, "public"), None);
    sim.cluster.load_balancer("public", &BALANCER.replace("subnet-0bbb", "subnet-0nowhere"));
    let looks: Vec<Option<String>> = (0..60)
        .map(|_| {
            sim.run(2_000);
            stalled(&sim, "public")
        })
        .collect();
    let told = stalled(&sim, "public").expect("AWS knows no such subnet");
    assert!(told.starts_with("AwsRefused: spec.subnets: public#0: ") && told.contains("subnet-0nowhere"), "{told}");
    let since: Vec<_> = looks.iter().skip_while(|look| look.is_none()).collect();
    assert!(since.iter().all(|look| look.as_ref() == Some(&told)), "it stays while nothing is mended: {looks:?}");
    assert_eq!(sim.client("shop.example.com").as_deref(), Some("team-a"), "it serves as before");
    assert!(ready(&sim, "team-a", "shop"), "the apps are not concerned");
    sim.cluster.load_balancer("public", BALANCER);
    sim.run(30_000);
    assert_eq!(stalled(&sim, "public"), None, "{}", sim.tail());
}

#[test]
fn a_grant_that_cannot_be_read_stalls_its_policy() {
    let mut sim = Sim::new(settings(), aws());
    sim.cluster.namespace("team-a");
    let conditions = |sim: &Sim| {
        let status = &sim.cluster.world.policies["a"].status;
        status.conditions.iter().map(|c| (c.type_.clone(), c.status, c.reason.clone())).collect::<Vec<_>>()
    };
    sim.cluster.policy("a", &policy("team-a", "[shop.example.com]"));
    sim.run(5_000);
    let (yes, no) = (gatehouse_crds::ConditionStatus::True, gatehouse_crds::ConditionStatus::False);
    let row = |type_: &str, status, reason: &str| (type_.to_owned(), status, reason.to_owned());
    assert_eq!(conditions(&sim), [row("Accepted", yes, "Accepted"), row("Ready", yes, "Ready")]);
    sim.cluster.policy("a", &policy("team-a", "[\"shop..example\"]"));
    sim.run(5_000);
    let invalid = "InvalidGrant";
    let all = [row("Accepted", no, invalid), row("Ready", no, invalid), row("Stalled", yes, invalid)];
    assert_eq!(conditions(&sim), all);
}

#[test]
fn a_zone_that_does_not_exist() {
    let mut sim = beside(&(bad() + "dns: {zones: [{id: Z0NOWHERE}]}\n"));
    let said = told(&mut sim);
    assert!(said.contains("spec.dns.zones[0].id: Z0NOWHERE is no hosted zone"), "{said}");
    let blog = &sim.cluster.world.apps[&AppKey::new("team-b", "blog")];
    let dns = blog.status.conditions.iter().find(|c| c.type_ == "DNSReady").unwrap();
    assert_eq!(dns.reason, "NoHostedZone", "{dns:?}");
}

#[test]
fn a_zone_of_the_other_visibility() {
    let mut sim = beside(&(bad() + "dns: {zones: [{id: Z0EXAMPLE1, visibility: Private}]}\n"));
    let said = told(&mut sim);
    assert!(said.contains("Z0EXAMPLE1 is Public; set visibility: Public"), "{said}");
}

#[test]
fn subnets_in_one_zone_only() {
    let one = bad().replace("subnet-0bbb, zone: eu-central-1b", "subnet-0ddd, zone: eu-central-1a");
    let mut sim = beside(&one);
    let said = told(&mut sim);
    assert!(said.contains("AwsRefused") && said.contains("subnet"), "AWS's own words: {said}");
    assert!(stalled(&sim, "bad").is_some_and(|told| told.contains("spec.subnets: bad#0: ")), "{said}");
    assert!(sim.calls < 1_000, "{} calls: a refused creation is not repeated without rest", sim.calls);
}

#[test]
fn a_name_that_a_strangers_alb_has() {
    let mut sim = Sim::new(settings(), aws());
    let name =
        settings().cluster_id.load_balancer_name(&gatehouse_core::ShardKey { load_balancer: "bad".into(), index: 0 });
    let taken = elb::CreateLoadBalancer {
        name: name.clone(),
        subnets: Some(vec!["subnet-0aaa".into(), "subnet-0bbb".into()]),
        scheme: Some("internal".into()),
        ..Default::default()
    };
    sim.stranger(taken);
    let aws = sim.aws.clone();
    let mut sim = beside(&bad());
    sim.aws = aws;
    let said = told(&mut sim);
    assert!(said.contains(&format!("load balancer {name} exists without our tag")), "{said}");
    let stranger = &sim.aws.essence()["loadBalancers"][&name];
    assert_eq!(stranger["scheme"], "internal", "it is left as it was");
    assert_eq!(stranger["listeners"].as_object().unwrap().len(), 0);
}

#[test]
fn a_certificate_of_another_region() {
    let foreign = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-4000-8000-000000000009";
    let mut sim = beside(&bad().replace("certificates: {", &format!("certificates: {{default: \"{foreign}\", ")));
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop"));
    let held = sim.cluster.world.load_balancers["bad"].status.held.join("\n");
    assert!(held.contains("spec.certificates.default") && held.contains("us-east-1"), "{held}");
}

#[test]
fn a_host_of_three_hundred_characters() {
    let mut sim = beside(&bad());
    let long = format!("{}.example.com", vec!["abcdefghi"; 30].join("."));
    sim.cluster.app("team-a", "long", &app(&format!("[{long}]"), "web"));
    sim.run(60_000);
    assert!(ready(&sim, "team-a", "shop"));
    let app = &sim.cluster.world.apps[&AppKey::new("team-a", "long")];
    let accepted = &app.status.conditions[0];
    assert_eq!(accepted.reason, "Invalid");
    assert!(accepted.message.contains("spec.hosts[0]"), "{}", accepted.message);
}
