//! What many apps of one namespace cost: all of them at once below prewired domains, the engine against the model of
//! AWS and a cluster in memory. `make bench` runs it; with `--json` it prints figures as JSON lines.
//!
//! CPU time depends on the machine; the ratio between the sizes does not.

use std::time::Instant;

use gatehouse_core::{ClusterId, Settings};
use gatehouse_crds::ConditionStatus;
use gatehouse_virtual::Sim;
use serde_json::json;

const NAMESPACES: usize = 10;

const BALANCER: &str = "
default: true
region: eu-central-1
vpcId: vpc-0123456789abcdef0
subnets: [{id: subnet-0aaa, zone: eu-central-1a, cidrs: [10.0.0.0/24]}, {id: subnet-0bbb, zone: eu-central-1b, cidrs: [10.0.1.0/24]}]
securityGroups: [sg-0ccc]
scheme: internet-facing
certificates: {shared: [\"arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000001\"]}
edge: {port: 8080, replicas: 1}
";

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![20, 200] } else { sizes };
    for apps in sizes {
        measure(apps);
    }
}

fn team(n: usize) -> String {
    format!("team-{}", char::from(b'a' + u8::try_from(n).expect("few namespaces")))
}

/// So many apps in each namespace.
fn measure(apps: usize) {
    let settings = Settings { cluster_id: ClusterId("bench".into()), ..Settings::default() };
    let mut aws = awsim_model::Settings::fast();
    aws.buckets.clear();
    aws.certificates[0].names = (0..NAMESPACES).map(|n| format!("*.{}.example.com", team(n))).collect();
    let mut sim = Sim::new(settings, aws);
    sim.cluster.load_balancer("public", BALANCER);
    for n in 0..NAMESPACES {
        let team = team(n);
        sim.cluster.namespace(&team);
        sim.cluster.service(&team, "web", 8080);
        let policy = format!(
            "namespaces: {{names: [{team}]}}\ngrants: [{{domains: [{team}.example.com]}}]\nloadBalancers: [public]\n\
             prewire: [{{domain: {team}.example.com, namespace: {team}, loadBalancer: public}}]\n"
        );
        sim.cluster.policy(&team, &policy);
    }
    sim.run(300_000);
    let before = sim.calls;
    for n in 0..NAMESPACES {
        let team = team(n);
        for i in 0..apps {
            let spec = format!(
                "hosts: [app-{i}.{team}.example.com]\nroutes: [{{backends: [{{service: web, port: 8080}}]}}]\n"
            );
            sim.cluster.app(&team, &format!("app-{i}"), &spec);
        }
    }
    let (began, virtual_began) = (Instant::now(), sim.now);
    let all = NAMESPACES * apps;
    let ready = |sim: &Sim| {
        let is_ready = |c: &gatehouse_crds::Condition| c.type_ == "Ready" && c.status == ConditionStatus::True;
        sim.cluster.world.apps.values().filter(|app| app.status.conditions.iter().any(is_ready)).count()
    };
    while ready(&sim) < all {
        sim.run(1_000);
        assert!(sim.now < virtual_began + 3_600_000, "{} of {all} are ready", ready(&sim));
    }
    let cpu = began.elapsed().as_secs_f64() * 1000.0 / all as f64;
    let seconds = (sim.now - virtual_began) / 1000;
    let writes = (sim.calls - before) as f64 / all as f64;
    if std::env::args().any(|a| a == "--json") {
        let line = json!({
            "what": format!("one core's time per app, {apps} apps in each namespace"), "unit": "ms", "value": cpu,
            "namespaces": NAMESPACES, "hosts": all, "shards": 1,
        });
        println!("{line}");
    } else {
        println!(
            "{apps:>5} apps in each of {NAMESPACES} namespaces: {cpu:>8.2} ms of one core per app, {writes:.1} calls and writes per app, all ready after {seconds} virtual seconds"
        );
    }
}
