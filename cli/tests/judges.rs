//! One directory of objects through webhook, operator and command line, with the same findings: see
//! `tests/findings/README.md`.
#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode};
use gatehouse_core::review::{Class, Finding, Foreign, Rule, refusal, warning};
use gatehouse_core::{ClusterId, Settings, Wall};
use gatehouse_crds::{Enforcement, GROUP};
use gatehouse_virtual::Sim;
use gatehouse_webhook::admission::Request;
use gatehouse_webhook::cache::Cache;
use gatehouse_webhook::http::{self, State};
use gatehouse_webhook::metrics::Metrics;
use gatehouse_webhook::verdict;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The day on which all three judge: the virtual cluster begins then.
const DAY: &str = "2027-01-15";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/findings")
}

fn objects(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// Every file but what stands.
fn cases() -> Vec<String> {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".yaml") && name != "platform.yaml").collect();
    names.sort();
    names
}

/// `file: Kind namespace/name: severity [rule] field: message`
fn line(file: &str, object: &str, severity: &str, rule: &str, told: &str) -> String {
    format!("{file}: {object}: {severity} [{rule}] {told}")
}

fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let meta = &object["metadata"];
    format!("{} {}/{}", text(&object["kind"]), text(&meta["namespace"]), text(&meta["name"]))
}

fn severity(class: Class, enforcement: Enforcement) -> &'static str {
    match enforcement {
        _ if class == Class::Reference => "warning",
        Enforcement::Enforce => "fault",
        Enforcement::Warn => "warning",
        Enforcement::Audit => "audit",
    }
}

/// Group and kind, as an AdmissionReview names them.
fn kind(object: &Value) -> (String, String) {
    let api = object["apiVersion"].as_str().unwrap();
    let group = api.split_once('/').map_or("", |(group, _)| group);
    (group.to_owned(), object["kind"].as_str().unwrap().to_owned())
}

/// A cluster in which the platform stands, settled.
fn platform() -> Sim {
    let settings = Settings { cluster_id: ClusterId("test".into()), ..Settings::default() };
    let mut aws = awsim_model::Settings::fast();
    aws.buckets.clear();
    let mut sim = Sim::new(settings, aws);
    objects("platform.yaml").iter().for_each(|object| sim.cluster.apply(object));
    sim.run(30_000);
    let held: Vec<&str> = sim.cluster.world.claims.values().map(|claim| claim.spec.host.as_str()).collect();
    assert_eq!(held, ["shop.example.com", "taken.shared.example.com", "*.wild.shared.example.com"]);
    for policy in sim.cluster.world.policies.values() {
        assert_eq!(policy.status.violation_count, Some(0), "{:?}", policy.status);
    }
    sim
}

/// What the webhook finds when the object is created, and that its answer on the wire says just that.
async fn webhook(state: &State, file: &str, now: Wall) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for object in objects(file) {
        let (group, name) = kind(&object);
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "7f3c", "operation": "CREATE", "kind": { "group": group, "version": "v1", "kind": name },
                "namespace": object["metadata"]["namespace"], "name": object["metadata"]["name"],
                "object": object, "oldObject": null,
            },
        });
        let request = Request::read(review.to_string().as_bytes()).unwrap();
        let mut asked: Vec<(&str, Vec<Finding>)> = Vec::new();
        if group == GROUP || name == "Ingress" {
            asked.push(("/validate", verdict::validate(&state.cache.read(), &request, now).1));
        }
        if Foreign::of(&group, &name).is_some() {
            asked.push(("/foreign", verdict::foreign(&state.cache.read(), &request, now).1));
        }
        assert!(!asked.is_empty(), "{file}: nobody asks about {}", title(&object));
        for (path, findings) in asked {
            let post = HttpRequest::post(path).body(Body::from(review.to_string())).unwrap();
            let response = http::router(state.clone()).oneshot(post).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let answer: Value = serde_json::from_slice(&body).unwrap();
            let said = answer["response"]["status"]["message"].as_str().map(str::to_owned);
            assert_eq!(said, refusal(&findings), "{file}: {}", title(&object));
            let warnings: Vec<String> = findings.iter().filter_map(warning).collect();
            assert_eq!(answer["response"]["warnings"].as_array().map_or(0, Vec::len), warnings.len(), "{file}");
            out.extend(findings.iter().map(|f| {
                let told = format!("{}: {}", f.field, f.message);
                line(file, &title(&object), severity(f.rule.class(), f.enforcement), f.rule.id(), &told)
            }));
        }
    }
    out
}

/// What the operator writes into statuses when nobody refused the object.
fn operator(standing: &Sim, file: &str) -> BTreeSet<String> {
    let mut sim = standing.clone();
    sim.run(2_000);
    for object in objects(file).iter().filter(|object| watched(&kind(object).1)) {
        sim.cluster.apply(object);
    }
    sim.run(10_000);
    let rules: BTreeMap<&str, Rule> = Rule::ALL.iter().map(|rule| (rule.id(), *rule)).collect();
    let mut out = BTreeSet::new();
    let status = &sim.cluster.world.policies["rules"].status;
    assert_eq!(status.violation_count, i32::try_from(status.violations.len()).ok(), "{file}");
    for v in &status.violations {
        let object = format!("{} {}/{}", v.kind, v.namespace, v.name);
        out.insert(line(file, &object, severity(rules[v.rule.as_str()].class(), v.enforcement), &v.rule, &v.message));
    }
    for (key, app) in &sim.cluster.world.apps {
        let references = app.status.conditions.iter().find(|c| c.type_ == "ResolvedRefs").unwrap();
        let rule =
            Rule::ALL.into_iter().find(|r| r.class() == Class::Reference && r.reason().word() == references.reason);
        let Some(rule) = rule else { continue };
        let object = format!("ExposedApp {key}");
        // A message may hold "; ": what begins one is its field.
        for told in references.message.replace("; spec", "\nspec").lines() {
            out.insert(line(file, &object, severity(rule.class(), Enforcement::Enforce), rule.id(), told));
        }
    }
    out
}

fn command(file: &str) -> BTreeSet<String> {
    let ran = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .current_dir(folder())
        .env_clear()
        .env("GATEHOUSE_NOW", DAY)
        .args(["check", "-o", "json", "-f", file, "--policy", "platform.yaml"])
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // Files with nothing of ours in them have nothing to judge apps by, and say so.
    let report: Value =
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{file}: {e}\n{}", String::from_utf8_lossy(&ran.stderr)));
    let mut out = BTreeSet::new();
    for object in report["objects"].as_array().unwrap() {
        let name = format!("{} {}/{}", text(&object["kind"]), text(&object["namespace"]), text(&object["name"]));
        for f in object["findings"].as_array().unwrap() {
            let told = format!("{}: {}", text(&f["field"]), text(&f["message"]));
            out.insert(line(file, &name, &text(&f["severity"]), &text(&f["rule"]), &told));
        }
    }
    out
}

/// Kinds that the operator watches.
fn watched(kind: &str) -> bool {
    matches!(kind, "ExposedApp" | "Ingress" | "IngressClass" | "NetworkPolicy" | "Service")
}

fn without(all: &BTreeSet<String>, gone: impl Fn(&str) -> bool) -> BTreeSet<String> {
    all.iter().filter(|line| !gone(line)).cloned().collect()
}

#[tokio::test]
async fn webhook_operator_and_command_line_find_the_same() {
    let standing = platform();
    let now = Wall::parse(&format!("{DAY}T12:00:00Z")).unwrap();
    // The webhook sees what the operator has made of the platform: its claims.
    let cache = Cache::default();
    standing.cluster.listed().into_iter().for_each(|delta| cache.apply(delta));
    let mut state = State::new(Arc::new(cache), Metrics::new().unwrap());
    state.clock = || Wall::parse(&format!("{DAY}T12:00:00Z")).unwrap();

    let golden = folder().join("findings.txt");
    if std::env::var("FINDINGS").is_ok_and(|word| word == "write") {
        let all: Vec<String> = cases().iter().flat_map(|file| command(file)).collect();
        std::fs::write(&golden, all.join("\n") + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(golden).unwrap();
    for rule in Rule::ALL {
        assert!(golden.contains(&format!("[{}]", rule.id())), "no file breaks {}", rule.id());
    }
    let mut seen = 0;
    for file in cases() {
        let prefix = format!("{file}: ");
        let expected: BTreeSet<String> =
            golden.lines().filter(|line| line.starts_with(&prefix)).map(str::to_owned).collect();
        seen += expected.len();
        assert_eq!(command(&file), expected, "{file}: command line");
        let reference = |line: &str| line.contains("[backend]") || line.contains("[route-conflict]");
        assert_eq!(webhook(&state, &file, now).await, without(&expected, reference), "{file}: webhook");
        let unknown = |line: &str| !watched(line[prefix.len()..].split(' ').next().unwrap_or_default());
        assert_eq!(operator(&standing, &file), without(&expected, unknown), "{file}: operator");
    }
    assert_eq!(seen, golden.lines().count(), "findings of files that are gone");
}
