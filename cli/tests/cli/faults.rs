//! What check finds beyond the samples: between apps, in the platform's own objects, and in the schema.

use super::{DAY, feed, json};

const PLATFORM: &str = "
apiVersion: gatehouse.dev/v1alpha1
kind: SharedLoadBalancer
metadata: {name: public}
spec:
  default: true
  region: eu-central-1
  vpcId: vpc-0a
  scheme: internet-facing
  securityGroups: [sg-0a]
  subnets:
  - {id: subnet-0a, zone: eu-central-1a, cidrs: [10.0.0.0/24]}
  - {id: subnet-0b, zone: eu-central-1b, cidrs: [10.0.1.0/24]}
  edge: {port: 8080}
---
apiVersion: gatehouse.dev/v1alpha1
kind: ExposurePolicy
metadata: {name: all}
spec:
  namespaces: {names: [team-a, team-b]}
  loadBalancers: [public]
  grants: [{domains: [example.com]}]
";

fn app(namespace: &str, name: &str, host: &str, more: &str) -> String {
    format!(
        "---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposedApp\nmetadata: {{name: {name}, namespace: {namespace}{more}}}\nspec:\n  hosts: ['{host}']\n  routes: [{{backends: [{{service: web, port: 80}}]}}]\n"
    )
}

fn service(namespace: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {namespace}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n"
    )
}

fn world(apps: &[String]) -> String {
    format!("{PLATFORM}{}{}{}", service("team-a"), service("team-b"), apps.concat())
}

#[test]
fn two_namespaces_and_one_host_the_first_holds_it() {
    let apps = [app("team-b", "blog", "www.example.com", ""), app("team-a", "shop", "www.example.com", "")];
    insta::assert_snapshot!(feed(&["check", "-f", "-"], &world(&apps)));
}

#[test]
fn the_older_one_holds_it_wherever_it_stands() {
    let stamp = |day: u8| format!(", creationTimestamp: '2026-01-0{day}T00:00:00Z'");
    let apps = [
        app("team-a", "unborn", "www.example.com", ""),
        app("team-b", "young", "www.example.com", &stamp(2)),
        app("team-a", "old", "www.example.com", &stamp(1)),
    ];
    let report = json(&feed(&["check", "-f", "-", "-o", "json"], &world(&apps)));
    let faulty: Vec<&str> = report["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|o| o["findings"][0]["severity"] == "fault")
        .map(|o| o["name"].as_str().unwrap())
        .collect();
    assert_eq!(faulty, ["young"], "{report:#}");
}

#[test]
fn a_wildcard_of_another_namespace_is_in_the_way() {
    let apps = [app("team-a", "wild", "*.example.com", ""), app("team-b", "exact", "www.example.com", "")];
    let report = json(&feed(&["check", "-f", "-", "-o", "json"], &world(&apps)));
    let object = &report["objects"][0];
    assert_eq!((&object["name"], &object["findings"][0]["rule"]), (&"exact".into(), &"host".into()));
    assert!(object["findings"][0]["hint"].as_str().unwrap().contains("team-a/wild"), "{report:#}");
}

#[test]
fn routes_of_one_namespace_conflict_and_the_older_wins() {
    let apps = [app("team-a", "one", "www.example.com", ""), app("team-a", "two", "www.example.com", "")];
    insta::assert_snapshot!(feed(&["check", "-f", "-"], &world(&apps)));
}

#[test]
fn services_that_are_not_given_are_said_once() {
    let apps = [app("team-a", "one", "one.example.com", ""), app("team-a", "two", "two.example.com", "")];
    let ran = feed(&["check", "-f", "-"], &format!("{PLATFORM}{}", apps.concat()));
    assert_eq!((ran.code, ran.stdout.matches("no Service is given").count()), (0, 1), "{ran}");
}

#[test]
fn without_a_policy_nothing_is_granted_and_the_reason_is_said() {
    let ran = feed(&["check", "-f", "-"], &world(&[app("team-c", "one", "one.example.com", "")]));
    assert!(
        ran.code == 1 && ran.stdout.contains("no ExposurePolicy of these files speaks to namespace team-c"),
        "{ran}"
    );
}

#[test]
fn a_limit_refuses_the_newest_and_a_refused_app_does_not_count() {
    let text = world(&[
        app("team-a", "one", "no.example.org", ""),
        app("team-a", "two", "two.example.com", ""),
        app("team-a", "three", "three.example.com", ""),
    ])
    .replace("grants: [{domains", "rules: {limits: {apps: 1}}\n  grants: [{domains");
    let report = json(&feed(&["check", "-f", "-", "-o", "json"], &text));
    let found: Vec<(&str, &str)> = report["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| (o["name"].as_str().unwrap(), o["findings"][0]["rule"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [("one", "host"), ("three", "limits")], "{report:#}");
}

#[test]
fn unknown_fields_and_schema_faults() {
    let text = "
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata: {name: odd, namespace: team-a}
sepc: {}
spec:
  host: www.example.com
  hosts: [www.example.com, 7]
  tls: {mode: Discovery}
  routes:
  - pathtype: Exact
    backends: [{service: web, port: '80', weigth: 1}]
  - path: /x y
";
    insta::assert_snapshot!(feed(&["check", "-f", "-"], &format!("{PLATFORM}---{text}")));
}

#[test]
fn an_unknown_field_alone_is_a_warning() {
    let text = app("team-a", "one", "one.example.com", "").replace("  hosts:", "  tiemout: 3s\n  hosts:");
    let ran = feed(&["check", "-f", "-"], &world(&[text]));
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains("spec.tiemout") && ran.stdout.contains("strict validation"), "{ran}");
    assert!(ran.stdout.ends_with("1 app, 0 faults, 1 warning\n"), "{ran}");
}

#[test]
fn a_load_balancer_that_cannot_work() {
    let second = "---
apiVersion: gatehouse.dev/v1alpha1
kind: SharedLoadBalancer
metadata: {name: second}
spec:
  default: true
  region: eu-central-1
  vpcId: vpc-0a
  scheme: internal
  securityGroups: [sg-0a]
  subnets:
  - {id: subnet-0a, zone: eu-central-1a, cidrs: [10.0.0.1/24]}
  - {id: subnet-0b, zone: eu-central-1a, cidrs: [everywhere]}
  attributes: {routing.http.xff_header_processing.mode: preserve}
  edge: {port: 8080, resolver: dns.local, maxBodySize: 1.5M, maxTimeout: '30'}
---
apiVersion: gatehouse.dev/v1alpha1
kind: SharedLoadBalancer
metadata: {name: third}
spec:
  region: eu-central-1
  vpcId: vpc-0a
  scheme: internal
  securityGroups: [sg-0a]
  subnets:
  - {id: subnet-0a, zone: eu-central-1a, cidrs: [10.0.0.0/24]}
  - {id: subnet-0b, zone: eu-central-1b, cidrs: [10.0.1.0/24]}
  edge: {port: 8081}
";
    insta::assert_snapshot!(feed(&["check", "-f", "-"], &format!("{PLATFORM}{second}")));
    let plan = feed(&["plan", "-f", "-"], &format!("{PLATFORM}{second}"));
    assert!(plan.code == 0 && plan.stdout.contains("Planned, but faulty\n  SharedLoadBalancer second"), "{plan}");
    assert!(plan.stdout.contains("listener https 443 waits for a certificate"), "{plan}");
}

#[test]
fn a_policy_that_says_nothing() {
    let text = "---
apiVersion: gatehouse.dev/v1alpha1
kind: ExposurePolicy
metadata: {name: odd}
spec:
  namespaces: {all: true, selector: {matchLabels: {team: a}}}
  loadBalancers: [internal]
  grants: [{hosts: [Shop.example.com], domains: ['*.example.com']}]
  rules:
    labels: [{key: team, pattern: '('}]
    enforcement: {tls: Warn, host: Audit, labels: Warn}
  exceptions:
  - {kind: ExposedApp, namespace: team-a, name: legacy, rule: tls-mode, reason: moving, until: '2026-05-31'}
  - {kind: ExposedApp, namespace: team-a, name: legacy, rule: host, reason: never, until: '2027-01-01'}
";
    insta::assert_snapshot!(feed(&["check", "-f", "-"], &format!("{PLATFORM}{text}")));
}

#[test]
fn an_exception_holds_to_the_end_of_its_last_day() {
    let policy = "  rules: {tls: {modes: [Discover]}}\n  exceptions:\n  - {kind: ExposedApp, namespace: team-a, name: legacy, rule: tls-mode, reason: moving, until: '2026-06-01'}\n";
    let legacy = app("team-a", "legacy", "old.example.com", "").replace("  hosts:", "  tls: {mode: Request}\n  hosts:");
    let text = format!("{PLATFORM}{policy}{}{legacy}", service("team-a"));
    let ran = feed(&["check", "-f", "-", "--now", DAY], &text);
    assert!(ran.code == 0 && ran.stdout.contains("audit    spec.tls.mode"), "{ran}");
    let ran = feed(&["check", "-f", "-", "--now", "2026-06-02"], &text);
    assert!(
        ran.code == 1 && ran.stdout.contains("exception-expired") && ran.stdout.contains("fault    spec.tls.mode"),
        "{ran}"
    );
}

#[test]
fn an_ingress_of_our_class_is_told_others_only_if_a_policy_refuses_them() {
    let ingress = |name: &str, class: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: team-a}}\nspec: {{ingressClassName: {class}}}\n"
        )
    };
    let ran = feed(
        &["check", "-f", "-"],
        &format!("{PLATFORM}{}{}", ingress("ours", "gatehouse"), ingress("theirs", "nginx")),
    );
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("Ingress team-a/ours") && ran.stdout.contains("[host-missing]"), "{ran}");
    assert!(!ran.stdout.contains("theirs") && !ran.stderr.contains("skipped"), "{ran}");
}

#[test]
fn an_object_given_twice_is_told() {
    let one = app("team-a", "one", "one.example.com", "");
    let ran = feed(&["check", "-f", "-"], &world(&[one.clone(), one]));
    assert!(ran.code == 0 && ran.stdout.contains("stands twice; this one replaces the one at <stdin>:"), "{ran}");
    assert!(ran.stdout.ends_with("1 app, 0 faults, 1 warning\n"), "{ran}");
}

#[test]
fn hosts_fill_one_shard_after_the_other() {
    let team = |i: u32| if i.is_multiple_of(2) { "team-a" } else { "team-b" };
    let apps: Vec<String> =
        (0..520).map(|i| app(team(i), &format!("a{i}"), &format!("h{i}.example.com"), "")).collect();
    let ran = feed(&["plan", "-f", "-", "-o", "json"], &world(&apps));
    let plan = json(&ran);
    let balancers: Vec<&serde_json::Value> =
        plan["add"].as_array().unwrap().iter().filter(|a| a["kind"] == "LoadBalancer").collect();
    assert_eq!(balancers.len(), 2, "a second ALB only because the quota of rules forces it");
    let rules = plan["add"].as_array().unwrap().iter().filter(|a| a["kind"] == "Rule").count();
    assert_eq!(rules, 124, "99 of five hosts each where the quota presses, and one per app on the second ALB");
    let full: String = world(&apps).replace("edge: {port: 8080}", "edge: {port: 8080}\n  limits: {shards: 1}");
    let held = json(&feed(&["plan", "-f", "-", "-o", "json"], &full));
    assert!(held["notes"][0].as_str().unwrap().contains("no shard of public has room"), "{:#}", held["notes"]);
}

#[test]
fn split_horizon_makes_one_record_per_zone() {
    let internal = PLATFORM
        .split("---")
        .next()
        .unwrap()
        .replace("name: public", "name: internal")
        .replace("default: true", "dns: {zones: [{id: Z1, visibility: Private}]}")
        .replace("8080", "8082");
    let text = format!("{}---{internal}{}", world(&[]), app("team-a", "one", "one.example.com", ""))
        .replace("loadBalancers: [public]", "loadBalancers: [public, internal]")
        .replace("  hosts: ['one", "  loadBalancers: [public, internal]\n  hosts: ['one");
    let ran = feed(&["plan", "-f", "-"], &text);
    assert_eq!(ran.stdout.matches("+ record one.example.com A alias").count(), 2, "{ran}");
    assert!(ran.stdout.contains("record one.example.com A alias to internal#0, zone Z1"), "{ran}");
}
