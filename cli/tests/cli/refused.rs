//! Objects of kinds that others own. webhook/tests/refused.rs asks the webhook about the same files.

use super::{feed, json, run};

const FILES: [&str; 3] = ["check", "-f", "config/samples/refused"];

#[test]
fn check_of_the_refused_samples() {
    insta::assert_snapshot!(run(&FILES));
}

/// The findings both must give, as `kind namespace/name: field: message [rule]`.
#[test]
fn the_same_findings_as_the_webhook() {
    let report = json(&run(&[&FILES[..], &["-o", "json"]].concat()));
    let mut told: Vec<String> = Vec::new();
    for object in report["objects"].as_array().unwrap() {
        for finding in object["findings"].as_array().unwrap() {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            told.push(format!(
                "{} {}/{}: {} {}: {} [{}]",
                text(&object["kind"]),
                text(&object["namespace"]),
                text(&object["name"]),
                text(&finding["severity"]),
                text(&finding["field"]),
                text(&finding["message"]),
                text(&finding["rule"])
            ));
        }
    }
    let expected = std::fs::read_to_string(super::root().join("webhook/tests/refused.txt")).unwrap();
    assert_eq!(told, expected.lines().collect::<Vec<_>>());
}

#[test]
fn the_line_of_each_object_is_told() {
    let text = "apiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {name: p}\nspec: {namespaces: {all: true}, rules: {refuse: [ServiceNodePort]}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: a}\nspec: {type: NodePort}\n";
    let ran = feed(&["check", "-f", "-"], text);
    assert!(ran.code == 1 && ran.stdout.contains("Service a/web  <stdin>:6"), "{ran}");
    let ran = feed(&["check", "-f", "-"], &text.replace("refuse:", "enforcement: {refused-kinds: Warn}, refuse:"));
    assert!(ran.code == 0 && ran.stdout.contains("warning"), "{ran}");
    let ran = feed(&["plan", "-f", "-"], text);
    assert!(ran.code == 0 && !ran.stdout.contains("NodePort"), "a plan is of our own kinds: {ran}");
}

#[test]
fn a_policy_by_label_needs_the_namespace() {
    let policy = "apiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {name: p}\nspec: {namespaces: {selector: {matchLabels: {grant.gatehouse.dev/tier: shop}}}, rules: {refuse: [ServiceNodePort]}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: a}\nspec: {type: NodePort}\n";
    let ran = feed(&["check", "-f", "-"], policy);
    assert!(ran.code == 0 && ran.stdout.contains("namespace a: no Namespace is given"), "{ran}");
    let namespace =
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {grant.gatehouse.dev/tier: shop}}\n";
    assert_eq!(feed(&["check", "-f", "-"], &format!("{policy}{namespace}")).code, 1);
}

#[test]
fn a_default_class_of_ours_takes_class_less_ingresses() {
    let text = "apiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {name: p}\nspec: {namespaces: {names: [a]}, rules: {refuse: [ForeignIngress]}}\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: a}\nspec: {}\n---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: CLASS, annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}\n";
    let ran = feed(&["check", "-f", "-"], &text.replace("CLASS", "alb"));
    assert!(ran.code == 1 && ran.stdout.contains("so the default \"alb\" serves it"), "{ran}");
    assert_eq!(feed(&["check", "-f", "-"], &text.replace("CLASS", "gatehouse")).code, 0);
}
