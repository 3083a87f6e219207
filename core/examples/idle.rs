//! What the operator asks of AWS while nothing changes: six virtual hours of the engine against the model of AWS.
//! `make bench` runs it; with `--json` it prints figures as JSON lines.

use std::collections::BTreeMap;

use gatehouse_core::{ClusterId, Settings};
use gatehouse_virtual::Sim;
use serde_json::json;

const NAMESPACES: usize = 120;
const WINDOW: u64 = 600_000;
const WINDOWS: usize = 36;

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

/// Letters, because the virtual cluster makes edges' addresses of their namespaces' names: these differ in all of them.
fn team(n: usize) -> String {
    let letter = |n: usize| char::from(b"abcdefghijklmnopqrstuvwx"[n]);
    format!("team-{}{}", letter(n / 24), letter(n % 24))
}

fn main() {
    let settings = Settings { cluster_id: ClusterId("bench".into()), ..Settings::default() };
    let mut aws = awsim_model::Settings::fast();
    // Nothing is to wait for a bucket: what is asked for counts here, not when.
    aws.buckets.clear();
    let mut sim = Sim::new(settings, aws);
    sim.cluster.load_balancer("public", BALANCER);
    for n in 0..NAMESPACES {
        let team = team(n);
        sim.cluster.namespace(&team);
        sim.cluster.service(&team, "web", 8080);
        let policy = format!(
            "namespaces: {{names: [{team}]}}\ngrants: [{{hosts: [{team}.example.com]}}]\nloadBalancers: [public]\n"
        );
        sim.cluster.policy(&team, &policy);
        let app = format!("hosts: [{team}.example.com]\nroutes: [{{backends: [{{service: web, port: 8080}}]}}]\n");
        sim.cluster.app(&team, "web", &app);
    }
    sim.run(1_800_000);
    let published = (0..NAMESPACES).filter(|n| sim.client(&format!("{}.example.com", team(*n))).is_some()).count();
    assert_eq!(published, NAMESPACES, "every host is published before the quiet begins:\n{}", sim.tail());
    let state = sim.aws.essence();
    let shards = state["loadBalancers"].as_object().map_or(0, serde_json::Map::len);

    sim.tally = true;
    let mut windows: Vec<BTreeMap<String, u64>> = Vec::new();
    for _ in 0..WINDOWS {
        sim.run(WINDOW);
        windows.push(std::mem::take(&mut sim.by_name));
    }
    // The cluster and the edges are no calls to AWS.
    let often: Vec<u64> = windows
        .iter()
        .map(|w| {
            w.iter().filter(|(name, _)| ["ReadRules", "ReadZoneRecords"].contains(&name.as_str())).map(|(_, n)| n).sum()
        })
        .collect();
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, n) in windows.iter().flatten() {
        *all.entry(name).or_default() += n;
    }
    let told: Vec<String> = all.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let told = format!("in six hours: {}", told.join(", "));
    let often_in_all: u64 = often.iter().sum();
    let reads: u64 = all.iter().filter(|(name, _)| name.starts_with("Read")).map(|(_, n)| n).sum();
    let others: u64 = all.iter().filter(|(name, _)| !name.starts_with("Read")).map(|(_, n)| n).sum();
    let most = often.iter().max().copied().unwrap_or(0);
    let wanted = shards + 1;
    let print = |what: &str, value: u64, target: Option<u64>, note: &str| {
        if std::env::args().any(|a| a == "--json") {
            let line = json!({
                "what": what, "unit": "calls", "namespaces": NAMESPACES, "hosts": NAMESPACES, "shards": shards,
                "value": value, "target": target, "floor": target, "note": note,
            });
            println!("{line}");
        } else {
            println!("{what:<70}{value:>6}  {note}");
        }
    };
    let target = u64::try_from(wanted).ok();
    print(
        "rules and zone read in 10 minutes, at most",
        most,
        target,
        "one DescribeRules per shard, one page of the one zone; the engine's reads, each one call at this size",
    );
    print("everything else read in 6 hours", reads - often_in_all, None, &told);
    print("writes to AWS, Kubernetes and probes in 6 hours", others, None, "");
}
