//! Suites of cases, forms for CI systems, and what files are judged by when it is not among them.

use super::{feed, json, run};

const APP: &str = "\
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata:
  name: shop
  namespace: team-shop
  labels:
    team: shop
    cost-center: \"1001\"
spec:
  hosts:
  - shop.example.com
  - blog.example.com   # of another team
  routes: [{backends: [{service: shop, port: 80}]}]
";

const POLICY: [&str; 4] = ["--policy", "config/samples/platform.yaml", "--policy", "config/samples/namespaces.yaml"];

fn check<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["check", "-f", "-"], &POLICY[..], more].concat()
}

#[test]
fn the_samples_suite_passes() {
    insta::assert_snapshot!(run(&["test", "config/samples"]));
    let report = json(&run(&["test", "config/samples", "-o", "json"]));
    assert_eq!(report["summary"], serde_json::json!({ "cases": 5, "failed": 0 }));
}

#[test]
fn a_case_with_other_findings_fails_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    file("app.yaml", APP);
    let policy = super::root().join("config/samples/platform.yaml").canonicalize().unwrap();
    let suite = format!(
        "given: [{}]\nnow: '2026-11-21'\ncases:\n- {{name: wrong, apply: [app.yaml], expect: [{{rule: tls-mode}}]}}\n- {{name: right, apply: [app.yaml], expect: [{{rule: host, object: shop}}]}}\n",
        policy.display()
    );
    let suite = file("a.gatehouse-test.yaml", &suite);
    let ran = run(&["test", &suite]);
    assert_eq!(ran.code, 1, "{ran}");
    for part in
        ["FAIL  wrong", "expected  fault [tls-mode]", "found     fault [host] spec.hosts[1]", "ok    right", "1 failed"]
    {
        assert!(ran.stdout.contains(part), "{part}: {ran}");
    }
    let junit = run(&["test", &suite, "-o", "junit"]).stdout;
    assert!(
        junit.contains("tests=\"2\" failures=\"1\"") && junit.contains("<failure message=\"expected fault"),
        "{junit}"
    );
    for (text, says) in [
        ("cases: [{name: x}]", "nothing to apply"),
        ("cases: [{name: x, expects: []}]", "cannot be read as a suite"),
        ("now: soon\ncases: []", "write a day such as"),
        ("given: [absent]\ncases: []", "absent"),
    ] {
        let ran = run(&["test", &file("b.gatehouse-test.yaml", text)]);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{text}: {ran}");
    }
    let empty = tempfile::tempdir().unwrap();
    let ran = run(&["test", &empty.path().display().to_string()]);
    assert!(ran.code == 2 && ran.stderr.contains("no suite"), "{ran}");
    assert_eq!(run(&["test", "nowhere"]).code, 2);
}

/// What the platform wrote is not judged with an app's files, and a policy that lacks is no permission.
#[test]
fn apps_are_judged_by_policies_of_other_files() {
    let ran = feed(&check(&[]), APP);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("spec.hosts[1]") && ran.stdout.contains("line 12"), "{ran}");
    assert!(!ran.stdout.contains("SharedLoadBalancer"), "{ran}");
    let ran = feed(&["check", "-f", "-"], APP);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("--policy") && ran.stderr.contains("--against-cluster"), "{ran}");
    assert_eq!(feed(&check(&["--policy", "nowhere"]), APP).code, 2);
    let ran = run(&["check", "-f", "-", "--against-cluster", "--kubeconfig", "nowhere", "--policy", POLICY[1]]);
    assert!(ran.code == 2 && ran.stderr.contains("no cluster"), "{ran}");
}

#[test]
fn sarif_names_the_line() {
    let report = json(&feed(&check(&["-o", "sarif"]), APP));
    let run = &report["runs"][0];
    assert_eq!(
        (report["version"].as_str(), run["tool"]["driver"]["rules"][0]["id"].as_str()),
        (Some("2.1.0"), Some("host"))
    );
    let [result] = &run["results"].as_array().unwrap()[..] else { panic!("{run}") };
    assert_eq!((result["ruleId"].as_str(), result["level"].as_str()), (Some("host"), Some("error")));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        (place["artifactLocation"]["uri"].as_str(), place["region"]["startLine"].as_u64()),
        (Some("<stdin>"), Some(12))
    );
}

/// Whatever names files hold, the XML stays one.
#[test]
fn junit_is_escaped() {
    let text = APP.replace("blog.example.com ", "\"<&'>\\u0001\" ");
    let ran = feed(&check(&["-o", "junit"]), &text);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("<testsuite name=\"gatehouse check\" tests=\"1\" failures=\"1\">"), "{ran}");
    assert!(ran.stdout.contains("&lt;&amp;&apos;&gt;") && !ran.stdout.contains('\u{1}'), "{ran}");
    let opened = ran.stdout.matches("<failure ").count();
    assert_eq!(opened, ran.stdout.matches("</failure>").count());
}

#[test]
fn rules_are_told() {
    insta::assert_snapshot!(run(&["rules"]));
    let one = run(&["rules", "host"]);
    assert!(one.code == 0 && one.stdout.contains("cure"), "{one}");
    let none = run(&["rules", "hosts"]);
    assert!(none.code == 2 && none.stderr.contains("rules: grammar, host"), "{none}");
}

/// An Ingress is judged as what it becomes, by its own fields.
#[test]
fn an_ingress_of_our_class_is_checked_as_an_app() {
    let ingress = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: team-shop
  labels: {team: shop}
  annotations:
    nginx.ingress.kubernetes.io/server-alias: www.example.com
spec:
  ingressClassName: gatehouse
  rules:
  - host: blog.example.com
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {name: http}}}}]
";
    let ran = feed(&check(&[]), ingress);
    insta::assert_snapshot!(ran);
}
