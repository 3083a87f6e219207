//! What talks to a cluster, as far as it comes without one: arguments, refusals, a port that answers wrongly; and
//! references explained on files.

use std::io::{Read, Write};

use super::{Ran, command, ended, feed, json, run};

#[test]
fn wrong_words_are_told_before_any_cluster_is_asked() {
    let cases: [(&[&str], i32, &str); 12] = [
        (&["move", "team a", "--to", "1"], 2, "names have no spaces"),
        (&["move", "team-a", "--to", "one"], 2, "invalid value 'one'"),
        (&["move", "team-a"], 2, "--to <SHARD>"),
        (&["approve", "public", "--digest", ""], 2, "has no digest"),
        (&["release", "x..y", "--owner", "o"], 2, "is not a lower-case DNS name"),
        (&["claims", "transfer", "a.example.com", "--to", "b", "--timeout", "soon"], 2, "'soon'"),
        (&["claims", "explain", "shop.example.com", "-f", "config/samples"], 2, "is no reference"),
        (&["claims", "explain", "a/x..y", "-f", "config/samples"], 2, "host: "),
        (&["plan", "--live", "-f", "config/samples"], 1, "--live asks a cluster and -f reads files"),
        (&["plan", "-f", "config/samples", "--part", "a"], 1, "--live"),
        (&["trace", "x..y"], 2, "is not a lower-case DNS name"),
        (&["reasons", "NoSuchWord"], 2, "there is no reason \"NoSuchWord\""),
    ];
    for (args, code, says) in cases {
        let ran = run(args);
        assert!(ran.code == code && ran.stderr.contains(says) && ran.stdout.is_empty(), "{args:?}: {ran}");
    }
}

#[test]
fn without_a_cluster_the_cure_is_told() {
    let home = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32); 6] = [
        (&["claims", "list"], 2),
        (&["claims", "explain", "1a2b3c4d"], 2),
        (&["move", "team-a", "--to", "1"], 2),
        (&["approve", "public", "--digest", "0a", "--context", "absent"], 2),
        (&["plan", "--live"], 1),
        (&["trace", "shop.example.com"], 2),
    ];
    for (args, code) in cases {
        let ran = ended(command().args(args).env("HOME", home.path()).output().unwrap());
        assert!(ran.code == code && ran.stderr.starts_with("error: no cluster: "), "{args:?}: {ran}");
        assert!(ran.stderr.contains("--kubeconfig"), "{args:?}: {ran}");
    }
}

#[test]
fn a_reason_is_told_by_its_word() {
    let ran = run(&["reasons", "quotaexceeded"]);
    insta::assert_snapshot!(ran);
    let all = run(&["reasons"]);
    assert!(all.code == 0 && all.stdout.lines().count() > 60 && all.stdout.contains("NoHealthyTarget"), "{all}");
}

#[test]
fn the_generated_pages_are_current() {
    for (command, page) in [("rules", "docs/rules.md"), ("reasons", "docs/reasons.md")] {
        let committed = std::fs::read_to_string(super::root().join(page)).unwrap();
        assert_eq!(run(&[command, "-o", "markdown"]).stdout, committed, "{page} is out of date: run 'make gen'");
    }
}

/// `plan --live` against a port that answers once with this.
fn against(head: &str, body: &str, args: &[&str]) -> Ran {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it asks");
        let _ = stream.read(&mut [0; 4096]).expect("it asks");
        stream.write_all(answer.as_bytes()).expect("it reads");
    });
    let ran =
        ended(command().args(["plan", "--live", "--address", &address]).args(args).output().expect("the binary runs"));
    server.join().expect("it was asked");
    ran
}

const PLAN: &str = r#"{"version": 1, "at": "2026-06-01T12:00:00Z", "new": "a field of later",
  "leader": {"identity": "gatehouse-operator-1", "since": "2026-06-01T09:00:00Z", "synced": true, "mayAct": true},
  "counts": {"apps": 2, "claims": 2, "loadBalancers": 1, "ready": 1, "backingOff": 1, "inFlight": 1, "waiting": 1, "held": 1},
  "buckets": [{"family": "Route53", "tokens": 3, "burst": 30}],
  "inFlight": [{"order": "CreateRule a.example.com priority 7", "lane": "rules of public#0", "ageMs": 1234,
                "parts": [{"kind": "Namespace", "name": "team-a"}]}],
  "parts": [
    {"kind": "Namespace", "name": "team-a", "waiting": ["a.example.com: rule"], "held": [], "looksAgain": null, "steps": [
      {"what": "x", "lane": "l", "order": "status of ExposedApp team-a/web", "state": "BackingOff",
       "until": "2026-06-01T12:00:20Z", "failures": 3, "refusal": "Throttling: \u001b[31mslow down"},
      {"what": "y", "lane": "l", "order": "apply Service team-a/gatehouse-edge", "state": "Ready",
       "until": null, "failures": 0, "refusal": null}]},
    {"kind": "Shard", "name": "public#0", "waiting": [], "held": ["public#0 is kept: deletion protection is on"],
     "looksAgain": "2026-06-01T12:05:00Z", "steps": []}]}"#;

#[test]
fn the_plan_of_a_leader() {
    let ran = against("200 OK", PLAN, &["--detailed-exitcode"]);
    assert!(ran.code == 2 && !ran.stdout.contains('\u{1b}'), "{ran}");
    insta::assert_snapshot!(ran);
}

#[test]
fn one_part_of_the_plan() {
    let ran = against("200 OK", PLAN, &["--part", "public"]);
    assert!(ran.stdout.contains("shard public#0") && !ran.stdout.contains("team-a"), "{ran}");
    let value = json(&against("200 OK", PLAN, &["--part", "team-a", "-o", "json"]));
    assert_eq!(value["version"], 1);
    assert_eq!(value["parts"].as_array().unwrap().len(), 1);
    assert_eq!(value["parts"][0]["kind"], "Namespace");
    let ran = against("200 OK", PLAN, &["--part", "team-b"]);
    assert!(ran.code == 0 && ran.stdout.contains("nothing is held for team-b"), "{ran}");
}

#[test]
fn who_does_not_lead_says_who_does() {
    let ran = against("503 Service Unavailable", "a stands by; the leader is b", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("answered 503: a stands by; the leader is b"), "{ran}");
    for (body, says) in [("<html>", "is no plan"), (r#"{"version": 2}"#, "speaks version 2")] {
        let ran = against("200 OK", body, &["--detailed-exitcode"]);
        assert!(ran.code == 1 && ran.stderr.contains(says), "{ran}");
    }
    let ran = run(&["plan", "--live", "--address", "127.0.0.1:1"]);
    assert!(ran.code == 1 && ran.stderr.contains("port-forward"), "{ran}");
}

/// Two namespaces and one host, both granted.
const TWO: &str = "apiVersion: gatehouse.dev/v1alpha1
kind: SharedLoadBalancer
metadata: {name: public}
spec:
  default: true
  region: eu-central-1
  vpcId: vpc-0123456789abcdef0
  subnets: [{id: subnet-0aaa, zone: eu-central-1a, cidrs: [10.0.0.0/24]}, {id: subnet-0bbb, zone: eu-central-1b, cidrs: [10.0.1.0/24]}]
  securityGroups: [sg-0ccc]
  scheme: internet-facing
  edge: {port: 8080}
---
apiVersion: gatehouse.dev/v1alpha1
kind: ExposurePolicy
metadata: {name: both}
spec: {namespaces: {names: [team-a, team-b]}, grants: [{hosts: [shop.example.com]}], loadBalancers: [public]}
---
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata: {name: web, namespace: team-a, creationTimestamp: \"2026-05-01T00:00:00Z\"}
spec: {hosts: [shop.example.com], routes: [{backends: [{service: web, port: 80}]}]}
---
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata: {name: web, namespace: team-b, creationTimestamp: \"2026-05-02T00:00:00Z\"}
spec: {hosts: [shop.example.com], routes: [{backends: [{service: web, port: 80}]}]}
";

#[test]
fn a_reference_is_explained_on_files() {
    let refused = feed(&["check", "-f", "-"], TWO);
    let reference = refused.stdout.split("reference ").nth(1).unwrap().chars().take(8).collect::<String>();
    let ran = feed(&["claims", "explain", &reference, "-f", "-"], TWO);
    insta::assert_snapshot!(ran);
    let value = json(&feed(&["claims", "explain", "team-b/shop.example.com", "-f", "-", "-o", "json"], TWO));
    assert_eq!((&value["reference"], &value["verdict"]), (&reference.into(), &"Taken".into()));
    let ran = feed(&["claims", "explain", "00000000", "-f", "-"], TWO);
    assert!(ran.code == 1 && ran.stderr.contains("NAMESPACE/HOST"), "{ran}");
}
