use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_crds::{Enforcement, ExposurePolicySpec, Refusable};
use serde_json::{Value, json};

use super::*;
use crate::review::{refusal, warning};
use crate::world::PolicyFacts;

const WORDS: [Refusable; 6] = [
    Refusable::ServiceLoadBalancer,
    Refusable::ServiceNodePort,
    Refusable::ServiceExternalIPs,
    Refusable::ForeignIngress,
    Refusable::Gateway,
    Refusable::TargetGroupBinding,
];

fn book(spec: Value) -> Rulebook {
    let spec: ExposurePolicySpec = serde_json::from_value(spec).expect("a policy");
    let policies = BTreeMap::from([("p".to_owned(), Arc::new(PolicyFacts { spec, ..PolicyFacts::default() }))]);
    Rulebook::collect(&policies, "team-a", &BTreeMap::new())
}

fn refusing(words: &[Refusable], more: Value) -> Rulebook {
    let mut spec = json!({ "namespaces": { "all": true }, "loadBalancers": ["public"], "rules": { "refuse": words } });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    if let Some(enforcement) = more.get("enforcement") {
        spec["rules"]["enforcement"] = enforcement.clone();
    }
    book(spec)
}

fn judge(book: &Rulebook, (group, kind): (&str, &str), object: &Value, old: Option<&Value>) -> Vec<Finding> {
    let foreign = Foreign::of(group, kind).expect("a kind that is judged");
    let it = ForeignObject { foreign, kind, namespace: "team-a", name: "old", object, old };
    let now = Wall::parse("2026-11-21T12:00:00Z").expect("a time");
    review_foreign(&it, &ForeignFacts { rulebook: book, default_class: None, now })
}

type Case = (&'static str, &'static str, Value, Option<Refusable>, &'static str);

/// Every kind: what it says, the word it falls under (`None`: ownership), and what is told.
fn cases() -> Vec<Case> {
    use Refusable::*;
    let gateway = "gateway.networking.k8s.io";
    vec![
        (
            "",
            "Service",
            json!({"spec": {"type": "LoadBalancer"}}),
            Some(ServiceLoadBalancer),
            "spec.type: LoadBalancer publishes past the platform; use ClusterIP and an ExposedApp [refused-kinds]",
        ),
        (
            "",
            "Service",
            json!({"spec": {"type": "ClusterIP", "loadBalancerClass": "service.k8s.aws/nlb"}}),
            Some(ServiceLoadBalancer),
            "spec.loadBalancerClass: \"service.k8s.aws/nlb\" asks for a load balancer; remove it [refused-kinds]",
        ),
        (
            "",
            "Service",
            json!({"spec": {"type": "NodePort"}}),
            Some(ServiceNodePort),
            "spec.type: NodePort opens a port on every node; use ClusterIP and an ExposedApp [refused-kinds]",
        ),
        (
            "",
            "Service",
            json!({"spec": {"externalIPs": ["192.0.2.1", "192.0.2.2"]}}),
            Some(ServiceExternalIPs),
            "spec.externalIPs: \"192.0.2.1\" and 1 more takes over addresses; remove, use an ExposedApp [refused-kinds]",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {"ingressClassName": "alb"}}),
            Some(ForeignIngress),
            "spec.ingressClassName: \"alb\" is served past the platform; use an ExposedApp [refused-kinds]",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "nginx"}}, "spec": {"ingressClassName": "gatehouse"}}),
            Some(ForeignIngress),
            "metadata.annotations[kubernetes.io/ingress.class]: \"nginx\" is a foreign class [refused-kinds]",
        ),
        (
            "extensions",
            "Ingress",
            json!({"spec": {"defaultBackend": {}}}),
            Some(ForeignIngress),
            "spec.ingressClassName: is absent, so whoever takes it may serve it; use an ExposedApp [refused-kinds]",
        ),
        (
            "networking.k8s.io",
            "IngressClass",
            json!({"metadata": {"name": "alb", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}}),
            Some(ForeignIngress),
            "metadata.annotations[ingressclass.kubernetes.io/is-default-class]: is \"true\"; remove it [refused-kinds]",
        ),
        (
            "elbv2.k8s.aws",
            "IngressClassParams",
            json!({"spec": {"scheme": "internet-facing"}}),
            Some(ForeignIngress),
            "spec: shapes load balancers past the platform; the platform team may write it [refused-kinds]",
        ),
        (
            "elbv2.k8s.aws",
            "TargetGroupBinding",
            json!({"spec": {"targetGroupARN": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/theirs/0a", "serviceRef": {"name": "web"}}}),
            Some(TargetGroupBinding),
            "spec.targetGroupARN: \"theirs/0a\" is a group not of the platform; use an ExposedApp [refused-kinds]",
        ),
        (
            gateway,
            "Gateway",
            json!({"spec": {"gatewayClassName": "alb", "listeners": [{"protocol": "HTTP", "port": 80}]}}),
            Some(Gateway),
            "spec.gatewayClassName: \"alb\" publishes past the platform; use an ExposedApp [refused-kinds]",
        ),
        (
            gateway,
            "ListenerSet",
            json!({"spec": {"parentRef": {"name": "shared"}, "listeners": [{"port": 443}]}}),
            Some(Gateway),
            "spec.parentRef.name: \"shared\" gets listeners past the platform; use an ExposedApp [refused-kinds]",
        ),
        (
            "gateway.networking.x-k8s.io",
            "XListenerSet",
            json!({"spec": {"parentRef": {"name": "shared"}}}),
            Some(Gateway),
            "spec.parentRef.name: \"shared\" gets listeners past the platform; use an ExposedApp [refused-kinds]",
        ),
        (
            gateway,
            "HTTPRoute",
            json!({"spec": {"parentRefs": [{"name": "shared"}], "hostnames": []}}),
            Some(Gateway),
            "spec.hostnames: is absent: it takes every host of its listener; name the hosts, or use an ExposedApp [refused-kinds]",
        ),
        (
            gateway,
            "TCPRoute",
            json!({"spec": {"parentRefs": [{"kind": "ListenerSet", "name": "shared"}]}}),
            Some(Gateway),
            "spec.hostnames: is absent: it takes every host of its listener; name the hosts, or use an ExposedApp [refused-kinds]",
        ),
        (
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "ingress": [{}]}}),
            None,
            "spec.podSelector: also opens Gatehouse's pods; add gatehouse.dev/component DoesNotExist [managed-pods]",
        ),
        (
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {"matchLabels": {"gatehouse.dev/component": "edge"}}}}),
            None,
            "spec.podSelector: names \"gatehouse.dev/compon...\", pods of Gatehouse; select your own pods [managed-pods]",
        ),
    ]
}

#[test]
fn every_kind_under_every_word() {
    for (group, kind, object, word, text) in cases() {
        for asked in WORDS {
            let found = judge(&refusing(&[asked], json!({})), (group, kind), &object, None);
            // Ownership needs no word.
            if word.is_none_or(|word| word == asked) {
                assert_eq!(refusal(&found).as_deref(), Some(text), "{kind}");
            } else {
                assert_eq!(found, [], "{kind} under {asked:?}");
            }
        }
        assert_eq!(judge(&Rulebook::default(), (group, kind), &object, None), [], "no policy speaks: {kind}");
    }
}

#[test]
fn every_kind_under_every_enforcement_and_exception() {
    for (group, kind, object, word, text) in cases() {
        for (name, enforcement) in
            [("Enforce", Enforcement::Enforce), ("Warn", Enforcement::Warn), ("Audit", Enforcement::Audit)]
        {
            for rule in ["refused-kinds", "default", "managed-pods"] {
                let book = refusing(&WORDS, json!({ "enforcement": { rule: name } }));
                let found = judge(&book, (group, kind), &object, None);
                assert_eq!(found.len(), 1, "{kind} {found:?}");
                let expected =
                    if word.is_none() || rule == "managed-pods" { Enforcement::Enforce } else { enforcement };
                assert_eq!(found[0].enforcement, expected, "{kind} {rule}");
                assert_eq!(found[0].refuses(), expected == Enforcement::Enforce);
                if expected == Enforcement::Warn {
                    assert_eq!(warning(&found[0]).as_deref(), Some(text));
                }
            }
        }
        assert!(text.chars().count() <= MAX_WARNING, "{} {text}", text.chars().count());
        // (kind, namespace, name, rule, until): one that differs in anything does not hold.
        for (of, namespace, at, rule, until, holds) in [
            (kind, "team-a", "old", "refused-kinds", "2026-11-21", true),
            (kind, "team-a", "old", "refused-kinds", "2026-11-20", false),
            (kind, "team-b", "old", "refused-kinds", "2099-01-01", false),
            (kind, "team-a", "new", "refused-kinds", "2099-01-01", false),
            (kind, "team-a", "old", "managed-pods", "2099-01-01", false),
            ("ExposedApp", "team-a", "old", "refused-kinds", "2099-01-01", false),
        ] {
            let exception =
                json!({ "kind": of, "namespace": namespace, "name": at, "rule": rule, "reason": "r", "until": until });
            let found = judge(&refusing(&WORDS, json!({ "exceptions": [exception] })), (group, kind), &object, None);
            assert_eq!(refusal(&found).is_none(), holds && word.is_some(), "{kind}: {exception}");
        }
    }
}

#[test]
fn what_stood_before_may_stay_and_go() {
    let book = refusing(&WORDS, json!({}));
    for (group, kind, object, ..) in cases() {
        let mut repaired = object.clone();
        repaired["metadata"]["labels"] = json!({ "team": "a" });
        repaired["metadata"]["finalizers"] = json!([]);
        repaired["status"] = json!({ "conditions": [] });
        assert_eq!(judge(&book, (group, kind), &repaired, Some(&object)), [], "{kind}");
        let mut going = object.clone();
        going["metadata"]["deletionTimestamp"] = json!("2026-11-21T12:00:00Z");
        assert_eq!(judge(&book, (group, kind), &going, None), [], "{kind}");
        // An old object that cannot be read hides nothing.
        for garbage in [json!(null), json!(7), json!([]), json!({ "spec": 7 }), json!({ "metadata": "x" })] {
            let found = judge(&book, (group, kind), &object, Some(&garbage));
            let classless = kind == "Ingress" && object["spec"]["ingressClassName"].is_null();
            // Parameters and class-less Ingresses are published by standing there at all.
            assert_eq!(found.len(), usize::from(!classless), "{kind} {garbage}");
            // And nothing strange is a reason to refuse or to panic.
            judge(&book, (group, kind), &garbage, Some(&object));
        }
    }
}

#[test]
fn an_update_is_judged_by_what_it_adds() {
    let book = refusing(&WORDS, json!({}));
    let service = |spec: Value| json!({ "spec": spec });
    let judged = |new: Value, old: Value| judge(&book, ("", "Service"), &new, Some(&old)).len();
    assert_eq!(judged(service(json!({"type": "NodePort"})), service(json!({"type": "ClusterIP"}))), 1);
    assert_eq!(judged(service(json!({"type": "LoadBalancer"})), service(json!({"type": "NodePort"}))), 1);
    assert_eq!(judged(service(json!({"type": "ClusterIP"})), service(json!({"type": "LoadBalancer"}))), 0);
    let two = service(json!({ "externalIPs": ["192.0.2.1", "192.0.2.2"] }));
    assert_eq!(judged(service(json!({ "externalIPs": ["192.0.2.2"] })), two.clone()), 0, "fewer");
    assert_eq!(judged(service(json!({ "externalIPs": ["192.0.2.2", "192.0.2.3"] })), two), 1, "another");

    let ingress = |class: &str| json!({ "spec": { "ingressClassName": class } });
    let legacy = json!({ "metadata": { "annotations": { "kubernetes.io/ingress.class": "alb" } } });
    let kind = ("networking.k8s.io", "Ingress");
    assert_eq!(judge(&book, kind, &ingress("alb"), Some(&legacy)), [], "the same class, said the other way");
    assert_eq!(judge(&book, kind, &ingress("nginx"), Some(&legacy)).len(), 1);
    assert_eq!(judge(&book, kind, &ingress("gatehouse"), Some(&legacy)), []);

    let gateway = |ports: &[u16]| {
        let listeners: Vec<Value> = ports.iter().map(|p| json!({ "name": p.to_string(), "port": p })).collect();
        json!({ "spec": { "gatewayClassName": "alb", "listeners": listeners } })
    };
    let kind = ("gateway.networking.k8s.io", "Gateway");
    assert_eq!(judge(&book, kind, &gateway(&[80]), Some(&gateway(&[80, 443]))), []);
    assert_eq!(judge(&book, kind, &gateway(&[80, 443]), Some(&gateway(&[80]))).len(), 1);
}

#[test]
fn what_publishes_nothing_is_left_alone() {
    let book = refusing(&WORDS, json!({}));
    let gateway = "gateway.networking.k8s.io";
    for (group, kind, object) in [
        ("", "Service", json!({"spec": {"type": "ClusterIP", "externalIPs": []}})),
        ("", "Service", json!({"spec": {"type": "ExternalName", "externalName": "x"}})),
        ("", "Service", json!({"spec": {"type": "FutureType", "futureField": [1]}})),
        ("networking.k8s.io", "Ingress", json!({"spec": {"ingressClassName": "gatehouse"}})),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "gatehouse"}}}),
        ),
        ("networking.k8s.io", "IngressClass", json!({"metadata": {"name": "alb"}})),
        (gateway, "HTTPRoute", json!({"spec": {"parentRefs": [{"name": "g"}], "hostnames": ["a.example.com"]}})),
        (gateway, "GRPCRoute", json!({"spec": {"parentRefs": [{"kind": "Service", "group": "", "name": "web"}]}})),
        (
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}),
        ),
        (
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]}}),
        ),
        ("networking.k8s.io", "NetworkPolicy", json!({"spec": {"podSelector": {}, "egress": [{}]}})),
    ] {
        assert_eq!(judge(&book, (group, kind), &object, None), [], "{kind} {object}");
    }
    assert_eq!(Foreign::of("apps", "Deployment"), None);
    assert_eq!(Foreign::of("serving.knative.dev", "Service"), None, "the group tells kinds of one name apart");
}

#[test]
fn selectors_that_reach_the_edge() {
    let book = refusing(&[], json!({}));
    let edge = "gatehouse.dev/component";
    for (selector, found) in [
        (json!({ "matchLabels": { (edge): "backend" } }), false),
        (json!({ "matchLabels": { (edge): "edge", "app": "web" } }), false),
        (json!({ "matchLabels": { "app.kubernetes.io/managed-by": "gatehouse" } }), true),
        (json!({ "matchLabels": { "app.kubernetes.io/managed-by": "Helm" } }), false),
        (json!({ "matchLabels": { "pod-template-hash": "5d" } }), true),
        (json!({ "matchExpressions": [{ "key": edge, "operator": "Exists" }] }), true),
        (json!({ "matchExpressions": [{ "key": edge, "operator": "In", "values": ["x", "edge"] }] }), true),
        (json!({ "matchExpressions": [{ "key": edge, "operator": "In", "values": ["x"] }] }), false),
        (json!({ "matchExpressions": [{ "key": edge, "operator": "DoesNotExist" }] }), false),
        (json!({ "matchExpressions": [{ "key": edge, "operator": "NotIn", "values": ["edge"] }] }), false),
        (json!({ "matchExpressions": [{ "key": "app", "operator": "NotIn", "values": ["web"] }] }), true),
        (json!({ "matchExpressions": [{ "key": "app", "operator": "Exists" }] }), false),
        (json!({ "matchExpressions": [{ "key": "pod-template-hash", "operator": "NotIn", "values": ["x"] }] }), true),
        (json!({ "matchExpressions": [{ "key": "app", "operator": "FutureOperator" }] }), false),
    ] {
        let object = json!({ "spec": { "podSelector": selector, "ingress": [{}] } });
        assert_eq!(
            !judge(&book, ("networking.k8s.io", "NetworkPolicy"), &object, None).is_empty(),
            found,
            "{selector}"
        );
    }
    let ours = json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "gatehouse", (edge): "edge" } },
        "spec": { "podSelector": {}, "ingress": [{}] } });
    assert_eq!(judge(&book, ("networking.k8s.io", "NetworkPolicy"), &ours, None), []);
    let elsewhere = super::super::Rulebook { load_balancers: BTreeSet::new(), ..book };
    let object = json!({ "spec": { "podSelector": {}, "ingress": [{}] } });
    assert_eq!(judge(&elsewhere, ("networking.k8s.io", "NetworkPolicy"), &object, None), [], "no edge can stand there");
}

#[test]
fn a_known_default_class_is_named() {
    let book = refusing(&WORDS, json!({}));
    let object = json!({ "spec": {} });
    for (default_class, text) in [
        (
            Some("alb"),
            Some(
                "spec.ingressClassName: is absent, so the default \"alb\" serves it; use an ExposedApp [refused-kinds]",
            ),
        ),
        (Some("gatehouse"), None),
    ] {
        let it = ForeignObject {
            foreign: Foreign::Ingress,
            kind: "Ingress",
            namespace: "team-a",
            name: "x",
            object: &object,
            old: None,
        };
        let found = review_foreign(&it, &ForeignFacts { rulebook: &book, default_class, now: Wall(0) });
        assert_eq!(refusal(&found).as_deref(), text);
    }
}

#[test]
fn hostile_texts_stay_short_and_plain() {
    let class = "\u{202e}\n\"\u{1b}[31m".repeat(40);
    let object = json!({ "metadata": { "annotations": { "kubernetes.io/ingress.class": class } } });
    let found = judge(&refusing(&WORDS, json!({})), ("networking.k8s.io", "Ingress"), &object, None);
    let text = found[0].to_string();
    assert!(text.chars().count() <= MAX_WARNING && text.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{text}");
}
