//! Real edges behind the simulator's load balancers: a node, a kubelet, nginx in pods. Runs as root with
//! GATEHOUSE_PLATFORM=1, as `make test` does.

#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use std::collections::BTreeMap;
use std::process::Child;
use std::time::Duration;

use scenarios::bench::wanted;
use scenarios::lab::Lab;
use serde_json::Value;

/// A second load balancer, inside, and a name of its own below the domain that is prewired outside.
const INSIDE: &str = r#"
apiVersion: gatehouse.dev/v1alpha1
kind: SharedLoadBalancer
metadata: {name: inside}
spec:
  region: eu-central-1
  vpcId: vpc-0123456789abcdef0
  subnets: [{id: subnet-0aaa, zone: eu-central-1a, cidrs: [10.0.0.0/24]}, {id: subnet-0bbb, zone: eu-central-1b, cidrs: [10.0.1.0/24]}]
  securityGroups: [sg-0ccc]
  scheme: internal
  edge: {port: 8090, replicas: 2}
---
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata: {name: inner, namespace: team-shop, labels: {team: shop, cost-center: "1004"}}
spec:
  loadBalancers: [inside]
  hosts: [inner.shop.example.com]
  routes: [{backends: [{service: shop, port: 80}]}]
---
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata: {name: shop, namespace: team-shop, labels: {team: shop, cost-center: "1001"}}
spec:
  hosts: [shop.example.com, open.shop.example.com]
  routes: [{backends: [{service: shop, port: 80}]}]
---
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata: {name: calls, namespace: team-shop, labels: {team: shop, cost-center: "1001"}}
spec:
  hosts: [calls.shop.example.com]
  routes:
  - backends: [{service: shop, port: 80}]
  - {path: /shop.v1.Shop, backendProtocol: GRPC, backends: [{service: shop, port: 80}]}
"#;

const POLICY: &str = r#"{"spec": {"loadBalancers": ["public", "inside"],
    "prewire": [{"domain": "shop.example.com", "namespace": "team-shop", "loadBalancer": "public"}]}}"#;

fn apply(lab: &Lab, yaml: &str) -> bool {
    let out = lab.apply_text(yaml).unwrap();
    if !out.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&out.stderr));
    }
    out.status.success()
}

fn ready(lab: &Lab, app: &str) {
    let waited = lab.must(&["-n", "team-shop", "wait", "--for=condition=Ready", "--timeout=60s", app]);
    waited.unwrap_or_else(|e| {
        let status = lab.must(&["-n", "team-shop", "get", app, "-o", "jsonpath={.status.conditions}"]);
        panic!("{e}\n{status:?}");
    });
}

/// Every address of a load balancer.
fn addresses(lab: &Lab, name: &str) -> Vec<String> {
    let state: Value = serde_json::from_str(&lab.aws("state", None).unwrap()).unwrap();
    let balancers = state["loadBalancers"].as_object().unwrap();
    let found = balancers.iter().find(|(full, _)| full.starts_with(&format!("gh-{name}-0-"))).unwrap().1;
    found["addresses"].as_object().unwrap().values().map(|ip| ip.as_str().unwrap().to_owned()).collect()
}

#[test]
fn real_edges_keep_to_their_load_balancer_and_roll_without_a_loss() {
    if !wanted() {
        return;
    }
    let lab = Lab::up("dns-edges", false, &["--profile", "fast", "--call-latency", "30ms"]).unwrap();
    lab.load_images().unwrap();
    lab.install().unwrap();
    lab.must(&["patch", "exposurepolicy", "team-shop", "--type=merge", "-p", POLICY]).unwrap();
    // The webhook's certificate has to reach the API server first.
    lab.wait("the apps to be admitted", Duration::from_secs(30), || Ok(apply(&lab, INSIDE))).unwrap();
    for app in ["exposedapp/inner", "exposedapp/shop", "exposedapp/calls"] {
        ready(&lab, app);
    }
    inside_only(&lab);
    calls(&lab);
    rolled_under_load(&lab);
    lab.down().unwrap();
}

/// The wildcard rule of the public load balancer leads to the same edge; there the name has no routes on that port.
fn inside_only(lab: &Lab) {
    let app = |answer: &str| serde_json::from_str::<Value>(answer).map(|b| b["app"].as_str().unwrap().to_owned());
    let (status, body) = lab.get("https://inner.shop.example.com/").unwrap();
    assert_eq!((status, app(&body).unwrap().as_str()), (200, "shop"), "by its name, inside");
    for address in addresses(lab, "inside") {
        assert_eq!(lab.get_at(&address, "inner.shop.example.com").unwrap().0, 200, "{address}");
    }
    for address in addresses(lab, "public") {
        let (status, body) = lab.get_at(&address, "inner.shop.example.com").unwrap();
        assert_eq!(status, 404, "outside: {body}");
        // The edge says so, not the load balancer: the wildcard did catch it, and its neighbour is served.
        assert!(body.contains("nginx"), "{body}");
        assert_eq!(lab.get_at(&address, "open.shop.example.com").unwrap().0, 200);
        assert_eq!(lab.get_at(&address, "nobody.shop.example.com").unwrap().0, 404);
    }
}

/// One message to a path, as a gRPC client sends it, or over HTTP/1.1: head and trailers of the answer.
fn call(lab: &Lab, path: &str, version: &str) -> String {
    let message = lab.folder.join("message");
    std::fs::write(&message, [0, 0, 0, 0, 2, b'h', b'i']).unwrap();
    let mut command = lab.platform.command("curl");
    command.args(["-sS", "--max-time", "10", version, "-D", "-", "-o", "/dev/null", "--data-binary"]);
    command.arg(format!("@{}", message.display())).args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
    let out =
        command.arg("--cacert").arg(lab.folder.join("ca.pem")).arg(format!("https://calls.shop.example.com{path}"));
    let out = out.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).to_ascii_lowercase()
}

/// gRPC through the load balancer's second rule and the edge to the app and back, trailers included; pages beside it.
fn calls(lab: &Lab) {
    let answer = call(lab, "/shop.v1.Shop/Buy", "--http2");
    for part in ["http/2 200", "content-type: application/grpc", "grpc-status: 0", "grpc-message: echoed"] {
        assert!(answer.contains(part), "{part} is missing in {answer}");
    }
    let (status, body) = lab.get("https://calls.shop.example.com/page").unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(
        call(lab, "/shop.v1.Shop/Buy", "--http1.1").contains("http/1.1 464"),
        "the load balancer speaks HTTP/2 here"
    );
}

/// A client that asks fifty times a second until it is ended, and writes down every status as it comes (what goes to
/// stdout is buffered); 000 is no answer.
fn client(lab: &Lab, name: &str, more: &[&str]) -> Child {
    let mut command = lab.platform.command("curl");
    command.args([
        "-sS",
        "--rate",
        "50/s",
        "--max-time",
        "10",
        "-w",
        "%{stderr}%{http_code}\\n",
        "-o",
        "/dev/null",
        "--cacert",
    ]);
    command.arg(lab.folder.join("ca.pem")).args(more).arg("https://shop.example.com/?[1-1000000]");
    let _ = std::fs::remove_file(lab.folder.join(format!("{name}.log")));
    lab.spawn(name, command).unwrap()
}

fn edges(lab: &Lab) -> Vec<String> {
    let path = "jsonpath={.items[*].metadata.uid}";
    let label = "gatehouse.dev/component=edge";
    let text = lab.must(&["-n", "team-shop", "get", "pod", "-l", label, "-o", path]).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Every pod of the edge is another, as many as wanted, and all are behind the load balancer.
fn rolled(lab: &Lab, before: &[String], count: usize, anew: bool) {
    let what = format!("{count} edges, new: {anew}");
    let done = lab.wait(&what, Duration::from_secs(90), || {
        let now = edges(lab);
        let path = "jsonpath={.status.readyReplicas} {.status.updatedReplicas} {.status.replicas}";
        let counts = lab.must(&["-n", "team-shop", "get", "deployment/gatehouse-edge", "-o", path])?;
        let settled = counts == format!("{count} {count} {count}");
        Ok(settled && now.len() == count && (!anew || now.iter().all(|uid| !before.contains(uid))))
    });
    done.unwrap_or_else(|e| {
        panic!("{e}\n{}", lab.must(&["-n", "team-shop", "get", "pod,deployment", "-o", "wide"]).unwrap_or_default());
    });
}

/// Another template with more replicas, then fewer: no request is lost, on kept connections and on new ones.
fn rolled_under_load(lab: &Lab) {
    let names = ["kept-1", "kept-2", "new-1", "new-2"];
    let clients: Vec<Child> = names
        .iter()
        .map(|name| client(lab, name, if name.starts_with("new") { &["-H", "Connection: close"] } else { &[] }))
        .collect();
    let answers = || -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for name in names {
            let text = std::fs::read_to_string(lab.folder.join(format!("{name}.log"))).unwrap();
            for line in text.lines() {
                *all.entry(line.to_owned()).or_default() += 1;
            }
        }
        all
    };
    let asked = || answers().values().sum::<usize>();
    lab.wait("the load", Duration::from_secs(20), || Ok(asked() > 200)).unwrap();
    // Both load balancers ask for edges; the larger number counts.
    for (spec, count, anew) in [
        (r#"{"spec": {"edge": {"replicas": 3, "resources": {"requests": {"memory": "48Mi"}}}}}"#, 3, true),
        (r#"{"spec": {"edge": {"replicas": 2}}}"#, 2, false),
    ] {
        let before = edges(lab);
        let (from, began) = (asked(), std::time::Instant::now());
        lab.must(&["patch", "sharedloadbalancer", "public", "--type=merge", "-p", spec]).unwrap();
        rolled(lab, &before, count, anew);
        println!("{spec}: {count} edges after {:?}, {} requests meanwhile", began.elapsed(), asked() - from);
        assert!(asked() > from, "the load went on");
    }
    // What a leaving edge still had in hand is answered, too.
    let from = asked();
    lab.wait("the load afterwards", Duration::from_secs(30), || Ok(asked() > from + 500)).unwrap();
    for mut client in clients {
        client.kill().unwrap();
        client.wait().unwrap();
    }
    let answers = answers();
    let lost: Vec<_> = answers.iter().filter(|(line, _)| *line != "200").collect();
    println!("{answers:?}");
    assert!(lost.is_empty(), "{lost:?}");
}
