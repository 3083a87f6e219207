//! Hosts that look like granted ones, in every field and at every place of a list.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use gatehouse_core::world::Delta;
use gatehouse_webhook::http::State;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{ask, policy, review_of, state};

/// Letters that look like Latin ones: Cyrillic, Greek, full width, and two that lower-casing turns into ASCII.
const ALIKE: [(char, char); 8] =
    [('a', 'а'), ('e', 'е'), ('o', 'ο'), ('p', 'р'), ('c', 'с'), ('x', 'х'), ('k', '\u{212a}'), ('s', 'ſ')];

/// What no grant of team-a covers, made of one that it covers.
fn trick() -> impl Strategy<Value = String> {
    let granted = prop_oneof![
        Just("shop.example.com".to_owned()),
        "[a-z]{1,8}".prop_map(|label| format!("{label}.a.example.com")),
        "[a-z]{1,8}".prop_map(|label| format!("*.{label}.shared.example.com")),
    ];
    (granted, 0..16_usize, "[a-z]{1,8}").prop_map(|(host, which, word)| match which {
        0 => {
            let of = ["a.example.com", "shared.example.com", "shop.example.com"];
            format!("evil{}", of.into_iter().find(|end| host.ends_with(end)).expect("one of them"))
        }
        1 => format!("{host}."),
        2 => host.to_uppercase(),
        3 => {
            let at = host.char_indices().find(|(_, c)| ALIKE.iter().any(|(latin, _)| latin == c));
            let (at, latin) = at.expect("each of them holds an e");
            let alike = ALIKE.iter().find(|(l, _)| *l == latin).unwrap().1;
            format!("{}{alike}{}", &host[..at], &host[at + latin.len_utf8()..])
        }
        4 => "*.com".to_owned(),
        5 => "*.co.uk".to_owned(),
        6 => "*.example.com".to_owned(),
        7 => "a.example.com".to_owned(),
        8 => format!("{word}.{}", "a".repeat(5_000)),
        9 => format!("{host}.{word}"),
        10 => format!("{host}\0.{word}"),
        11 => format!("{host}\n"),
        12 => format!("{host}:443"),
        13 => format!("https://{host}/"),
        14 => format!("{word}@{host}"),
        _ => format!(" {host}"),
    })
}

/// Granted, and different from each other.
fn right(i: usize) -> String {
    format!("h{i}.a.example.com")
}

async fn allowed(state: &State, object: &Value, path: &str) -> Value {
    let api = object["apiVersion"].as_str().unwrap();
    let group = api.split_once('/').map_or("", |(group, _)| group);
    let mut review = review_of(object);
    review["request"]["kind"] = json!({ "group": group, "version": "v1", "kind": object["kind"] });
    ask(state, path, &review).await
}

fn labels() -> Value {
    json!({ "team": "a", "cost-center": "1234" })
}

fn app(hosts: &[String]) -> Value {
    json!({
        "apiVersion": "gatehouse.dev/v1alpha1", "kind": "ExposedApp",
        "metadata": { "name": "shop", "namespace": "team-a", "labels": labels() },
        "spec": { "hosts": hosts, "routes": [{ "backends": [{ "service": "web", "port": 80 }] }] },
    })
}

fn ingress(hosts: &[String], secure: &[String]) -> Value {
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    let rule = |host: &String| json!({ "host": host, "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] } });
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": "shop", "namespace": "team-a", "labels": labels() },
        "spec": {
            "ingressClassName": "gatehouse", "rules": hosts.iter().map(rule).collect::<Vec<_>>(),
            "tls": if secure.is_empty() { json!([]) } else { json!([{ "hosts": secure }]) },
        },
    })
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_trick_is_admitted_at_any_place(trick in trick(), others in 0..5_usize, place in 0..5_usize) {
        run(async {
            let state = state();
            let mut hosts: Vec<String> = (0..others).map(right).collect();
            // Alone it would not be known that the others are right.
            if !hosts.is_empty() {
                assert_eq!(allowed(&state, &app(&hosts), "/validate").await["allowed"], true);
                assert_eq!(allowed(&state, &ingress(&hosts, &[]), "/validate").await["allowed"], true);
            }
            hosts.insert(place.min(others), trick.clone());
            let place = place.min(others);
            let response = allowed(&state, &app(&hosts), "/validate").await;
            assert_eq!(response["allowed"], false, "{hosts:?}");
            let message = response["status"]["message"].as_str().unwrap();
            assert!(message.contains(&format!("spec.hosts[{place}]: ")), "{place}: {message}");
            assert_eq!(allowed(&state, &ingress(&hosts, &[]), "/validate").await["allowed"], false, "{hosts:?}");
            // Where no rule names a host, those under tls are published.
            let mut secure = ingress(&[], &hosts);
            secure["spec"]["defaultBackend"] = json!({ "service": { "name": "web", "port": { "number": 80 } } });
            let response = allowed(&state, &secure, "/validate").await;
            let told = response["warnings"].to_string().contains(&format!("spec.tls[0].hosts[{place}]: is not published"));
            assert!(response["allowed"] == false || told, "{hosts:?}: {response}");
            secure["spec"]["tls"] = json!([{ "hosts": [right(9)] }]);
            assert_eq!(allowed(&state, &secure, "/validate").await["allowed"], true);
        });
    }

    /// What a policy cannot mean grants nothing, and never more than it says.
    #[test]
    fn a_grant_that_is_a_trick_grants_nothing_else(trick in trick(), others in 0..3_usize, place in 0..3_usize, domain in any::<bool>()) {
        run(async {
            let state = state();
            state.cache.apply(Delta::Policy("team-a".into(), None));
            let mut texts: Vec<String> = (0..others).map(|i| format!("d{i}.example.net")).collect();
            texts.insert(place.min(others), trick);
            let grant = if domain { json!({ "domains": texts }) } else { json!({ "hosts": texts }) };
            policy(&state.cache, "team-a", json!({
                "namespaces": { "names": ["team-a"] }, "loadBalancers": ["public"], "grants": [grant],
            }));
            for host in ["shop.example.com", "example.com", "evil.example.org", "x.b.example.com", "example.net"] {
                let listed = texts.iter().any(|text| text == host || domain && host.ends_with(&format!(".{text}")));
                let response = allowed(&state, &app(&[host.to_owned()]), "/validate").await;
                assert_eq!(response["allowed"], listed, "{host}: {texts:?}");
            }
            if domain && others > 0 {
                assert_eq!(allowed(&state, &app(&["x.d0.example.net".to_owned()]), "/validate").await["allowed"], true);
            }
        });
    }

    /// The fault stands at any place of any list, among right ones.
    #[test]
    fn a_fault_is_found_at_every_place(list in 0..6_usize, others in 0..4_usize, place in 0..4_usize) {
        run(async {
            let state = state();
            let place = place.min(others);
            let fill = |right: &dyn Fn(usize) -> Value, wrong: Value| {
                let mut all: Vec<Value> = (0..others).map(right).collect();
                all.insert(place, wrong);
                json!(all)
            };
            let route = |i: usize| json!({ "path": format!("/p{i}"), "backends": [{ "service": "web", "port": 80 }] });
            let backend = |i: usize| json!({ "service": format!("web{i}"), "port": 80, "weight": 1 });
            let mut object = app(&[right(0)]);
            let field = match list {
                0 => {
                    object["spec"]["routes"] = fill(&route, json!({ "path": "/a/../b", "backends": [backend(0)] }));
                    format!("spec.routes[{place}].path")
                }
                1 => {
                    object["spec"]["routes"] = fill(&route, json!({ "path": "/x", "backends": [{ "service": "web;", "port": 80 }] }));
                    format!("spec.routes[{place}].backends[0].service")
                }
                2 => {
                    object["spec"]["routes"][0]["backends"] = fill(&backend, json!({ "service": "web", "port": 0, "weight": 1 }));
                    format!("spec.routes[0].backends[{place}].port")
                }
                3 => {
                    let cidr = |i: usize| json!(format!("192.0.{i}.0/24"));
                    object["spec"]["access"] = json!({ "allowCidrs": fill(&cidr, json!("192.0.2.0/33")) });
                    format!("spec.access.allowCidrs[{place}]")
                }
                4 => {
                    object["spec"]["loadBalancers"] = fill(&|_| json!("public"), json!("internal"));
                    format!("spec.loadBalancers[{place}]")
                }
                _ => {
                    object["spec"]["routes"] = fill(&route, json!({ "path": "/x", "timeout": "soon", "backends": [backend(0)] }));
                    format!("spec.routes[{place}].timeout")
                }
            };
            let response = allowed(&state, &object, "/validate").await;
            assert_eq!(response["allowed"], false, "{object}");
            let message = response["status"]["message"].as_str().unwrap();
            assert!(message.contains(&format!("{field}: ")), "{field}: {message}");
        });
    }
}
