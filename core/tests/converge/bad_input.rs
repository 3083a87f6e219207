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
