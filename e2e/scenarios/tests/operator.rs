//! The operator as a process, on the AWS SDK's wire and a real API server, while AWS fails and the operator is killed.
//! Edges are hollow: there is no node. Runs as root with GATEHOUSE_PLATFORM=1, as `make test` does.

#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use std::time::{Duration, Instant};

use scenarios::bench::{Bench, wanted};
use scenarios::lab::AWS;
use serde_json::Value;

#[test]
fn aws_fails_in_ten_ways_and_every_app_gets_there() {
    if !wanted() {
        return;
    }
    let mut bench = Bench::new("wire-faults");
    for (action, kind) in
        [("CreateLoadBalancer", "after"), ("CreateListener", "late"), ("AddListenerCertificates", "before")]
    {
        bench.fault(action, kind, 1);
    }
    let operator = bench.operator();
    bench.load_balancer();
    bench.app("first");
    println!("three faults while the load balancer is made: ready after {:?}", bench.ready("first", 60));
    let cases = [
        ("CreateTargetGroup", "after", 1),
        ("CreateRule", "after", 1),
        ("CreateRule", "throttle", 3),
        ("RegisterTargets", "timeout", 1),
        ("ChangeResourceRecordSets", "after", 1),
        ("ChangeResourceRecordSets", "late", 1),
        ("ModifyTargetGroupAttributes", "before", 2),
    ];
    for (n, (action, kind, count)) in cases.into_iter().enumerate() {
        bench.fault(action, kind, count);
        let name = format!("case-{n}");
        bench.app(&name);
        println!("{action} fails ({kind}, {count} times): ready after {:?}", bench.ready(&name, 60));
    }
    bench.nothing_leaked(1 + cases.len());

    // A permission is taken away: a condition says so, the others go on, and giving it back is enough.
    bench.fault("CreateRule", "deny", 1_000);
    bench.app("denied");
    let patience = Duration::from_secs(20);
    bench
        .lab
        .wait("the condition to say so", patience, || Ok(bench.condition("denied", "Programmed").1 == "Denied"))
        .unwrap();
    assert!(
        bench.condition("denied", "Programmed").2.contains("CreateRule"),
        "{:?}",
        bench.condition("denied", "Programmed")
    );
    assert_eq!(bench.condition("first", "Ready").0, "True");
    bench
        .lab
        .platform
        .command("curl")
        .args(["-sS", "-o", "/dev/null", "-X", "DELETE", &format!("{AWS}/_awsim/faults")])
        .status()
        .unwrap();
    bench.ready("denied", 90);

    // AWS is gone for a while, in the middle of work.
    bench.lab.aws("availability", Some("{\"down_ms\": 60000}")).unwrap();
    bench.app("patient");
    println!("AWS down for a minute: ready after {:?}", bench.ready("patient", 180));
    bench.nothing_leaked(3 + cases.len());
    operator.terminate();
    bench.lab.down().unwrap();
}

#[test]
fn killed_at_ten_points_the_work_goes_on() {
    if !wanted() {
        return;
    }
    let mut bench = Bench::new("wire-kills");
    bench.load_balancer();
    let mut operator = bench.operator();
    bench.app("calm");
    bench.ready("calm", 60);
    for n in 1..=10_usize {
        let before = bench.writes().len();
        let name = format!("kill-{n}");
        bench.app(&name);
        // The points: after each of the four writes of an app, and moments between them.
        let point = before + (n - 1) % 5;
        bench.lab.wait("the point", Duration::from_secs(20), || Ok(bench.writes().len() >= point)).unwrap();
        std::thread::sleep(Duration::from_millis(17 * n as u64 % 60));
        operator.kill();
        let began = Instant::now();
        operator = bench.operator();
        bench.ready(&name, 60);
        println!("killed after {} writes: ready {:?} after the next operator started", (n - 1) % 5, began.elapsed());
    }
    bench.nothing_leaked(11);
    operator.terminate();
    bench.lab.down().unwrap();
}

#[test]
fn of_two_operators_one_leads() {
    if !wanted() {
        return;
    }
    let mut bench = Bench::new("wire-lease");
    bench.load_balancer();
    let first = bench.operator();
    bench.app("one");
    bench.ready("one", 60);
    let second = bench.operator();
    // A stand-by knows the cluster before it leads, and calls nobody.
    let metrics = || {
        let url = "http://127.0.0.1:19002/metrics";
        let out = bench.lab.platform.command("curl").args(["-sS", "--max-time", "5", url]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let known = || Ok(metrics().contains("gatehouse_objects{kind=\"ExposedApp\"} 1"));
    bench.lab.wait("the stand-by to know the cluster", Duration::from_secs(20), known).unwrap();
    assert!(metrics().contains("gatehouse_leader 0"), "{}", metrics());
    std::thread::sleep(Duration::from_secs(4));
    bench.app("two");
    bench.ready("two", 60);
    let callers = |bench: &Bench| {
        bench
            .writes()
            .iter()
            .map(|c| c["caller"].as_str().unwrap_or("").to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(callers(&bench), ["operator-1".to_owned()].into());
    // Asked to stop, the leader gives the lease back and the other goes on at once.
    first.terminate();
    let began = Instant::now();
    bench.app("three");
    bench.ready("three", 30);
    println!("leader stopped: the next app is ready {:?} later", began.elapsed());
    assert!(callers(&bench).contains("operator-2"));
    // Everything goes: asked deletions leave nothing but the load balancer.
    for name in ["one", "two", "three"] {
        bench.lab.must(&["-n", name, "delete", "exposedapp", "web", "--timeout=60s"]).unwrap();
    }
    bench
        .lab
        .wait("target groups to go", Duration::from_secs(30), || {
            let state = bench.state();
            let state = if state["loadBalancers"].is_object() { &state } else { &state["aws"] };
            Ok(state["targetGroups"].as_object().is_some_and(serde_json::Map::is_empty))
        })
        .unwrap();
    bench.lab.must(&["delete", "sharedloadbalancer", "public", "--timeout=60s"]).unwrap();
    second.terminate();
    bench.lab.down().unwrap();
}

/// A host that the account's certificates do not cover: one is requested, proved by the operator's own record, attached
/// and served; the answer to the first request is lost.
#[test]
fn a_certificate_is_requested_once() {
    if !wanted() {
        return;
    }
    let mut bench = Bench::new("wire-acm");
    bench.load_balancer();
    bench.fault("RequestCertificate", "after", 1);
    let operator = bench.operator();
    bench.yaml(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: deep}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {name: deep}\nspec:\n  namespaces: {names: [deep]}\n  grants: [{hosts: [shop.deep.example.com, api.deep.example.com]}]\n  loadBalancers: [public]\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: deep}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposedApp\nmetadata: {name: web, namespace: deep}\nspec:\n  hosts: [shop.deep.example.com, api.deep.example.com]\n  tls: {mode: Request}\n  routes: [{backends: [{service: web, port: 80}]}]\n",
    );
    let ready = bench
        .lab
        .wait("deep to be ready", Duration::from_secs(90), || Ok(bench.condition("deep", "Ready").0 == "True"))
        .unwrap_or_else(|e| {
            panic!("{e}\n{:?}\n{}", bench.condition("deep", "CertificateReady"), bench.lab.log("operator-1"))
        });
    println!("a lost answer to RequestCertificate: ready after {ready:?}");
    for host in ["shop", "api"] {
        // curl knows the simulator's authority and checks the name.
        let (status, body) = bench.lab.get(&format!("https://{host}.deep.example.com/")).unwrap();
        assert_eq!((status, body.as_str()), (200, "deep"));
    }
    let state = bench.state();
    let state = if state["loadBalancers"].is_object() { &state } else { &state["aws"] };
    let certificates = state["certificates"].as_array().unwrap_or_else(|| panic!("{state:#}"));
    let requested: Vec<&Value> = certificates.iter().filter(|c| c["imported"] == false).collect();
    assert_eq!(requested.len(), 1, "{requested:#?}");
    operator.terminate();
    bench.lab.down().unwrap();
}

/// A zone of another account, named while the operator runs: it assumes the role there for it, and for it only.
#[test]
fn a_zone_of_another_account_is_reached_by_its_role() {
    if !wanted() {
        return;
    }
    let mut bench = Bench::new("dns-account");
    let operator = bench.operator();
    bench.load_balancer();
    bench.app("near");
    bench.ready("near", 60);
    bench.yaml(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: far}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {name: far}\nspec:\n  namespaces: {names: [far]}\n  grants: [{domains: [far.example.com]}]\n  loadBalancers: [public]\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: far}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposedApp\nmetadata: {name: web, namespace: far}\nspec:\n  hosts: [shop.far.example.com]\n  tls: {mode: Request}\n  routes: [{backends: [{service: web, port: 80}]}]\n",
    );
    let zones = "spec: {dns: {zones: [{id: Z0EXAMPLE1}, {id: Z0FAR, roleArn: 'arn:aws:iam::210987654321:role/gatehouse-zones'}]}}";
    bench.lab.must(&["patch", "sharedloadbalancer", "public", "--type=merge", "-p", zones]).unwrap();
    bench
        .lab
        .wait("far to be ready", Duration::from_secs(60), || Ok(bench.condition("far", "Ready").0 == "True"))
        .unwrap_or_else(|e| {
            panic!("{e}\n{:?}\n{}", bench.condition("far", "Ready"), bench.lab.log("operator-1"));
        });
    // The name, the certificate proved in that zone, and the way behind it.
    assert_eq!(bench.lab.get("https://shop.far.example.com/").unwrap(), (200, "far".to_owned()));
    let role = |call: &Value| call["caller"].as_str().is_some_and(|id| id.starts_with("ASIA"));
    let changes: Vec<Value> =
        bench.writes().into_iter().filter(|c| c["action"] == "ChangeResourceRecordSets").collect();
    for change in &changes {
        let far = change["params"]["HostedZoneId"].as_str().unwrap().ends_with("Z0FAR");
        assert_eq!(role(change), far, "{change:#}");
    }
    assert!(changes.iter().any(role), "{changes:#?}");
    bench.lab.must(&["-n", "far", "delete", "exposedapp", "web", "--timeout=60s"]).unwrap();
    assert_eq!(bench.condition("near", "Ready").0, "True");
    operator.terminate();
    bench.lab.down().unwrap();
}
