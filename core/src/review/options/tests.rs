#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use gatehouse_crds::{AdmittedApp, ExposedAppSpec, RouteRule};
use serde_json::{Value, json};

use crate::desired::admitted_spec;
use crate::review::{Finding, parse};

/// A route that says everything that goes together.
fn full() -> Value {
    json!({
        "path": "/all", "pathType": "Prefix", "timeout": "30s", "backends": [{"service": "web", "port": 80}],
        "maxBodySize": "10Mi", "buffering": "Off",
        "requestHeaders": {"set": [{"name": "X-Team", "value": "a b"}], "remove": ["X-Debug"]},
        "responseHeaders": {"set": [{"name": "X-Frame-Options", "value": "DENY"}], "remove": ["X-Powered-By"]},
        "cors": {"allowOrigins": ["https://a.example.com"], "allowMethods": ["PUT"], "allowHeaders": ["x-in"],
                 "exposeHeaders": ["x-out"], "allowCredentials": true, "maxAge": "10m"},
        "stripPrefix": true, "rateLimit": {"requestsPerSecond": 5, "burst": 9},
        "sessionAffinity": {"cookieName": "pod", "maxAge": "1h"}, "errorText": "back soon", "accessLog": "On",
        "externalAuth": {"service": "guard", "port": 81, "path": "/verify", "responseHeaders": ["X-User"]}
    })
}

fn redirect() -> Value {
    json!({"path": "/old", "redirect": {
        "scheme": "http", "hostname": "b.example.com", "port": 8080, "path": "/new", "statusCode": 301}})
}

fn spec(route: &Value) -> ExposedAppSpec {
    let route: RouteRule = serde_json::from_value(route.clone()).unwrap();
    ExposedAppSpec { hosts: vec!["a.example.com".into()], routes: vec![route], ..Default::default() }
}

fn faults(route: &Value) -> Vec<Finding> {
    parse(&spec(route)).err().unwrap_or_default()
}

#[test]
fn what_was_admitted_is_remembered_whole() {
    let grpc = json!({"backendProtocol": "GRPC", "backends": [{"service": "web", "port": 80}], "timeout": "5m"});
    for route in [full(), redirect(), grpc, json!({"backends": [{"service": "web", "port": 80}]})] {
        let spec = spec(&route);
        let admitted = AdmittedApp { routes: spec.routes.clone(), ..Default::default() };
        let stored = serde_json::to_string(&admitted).unwrap();
        let read: AdmittedApp = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, admitted);
        assert_eq!(serde_json::to_value(&read.routes[0]).unwrap(), route, "nothing is added and nothing is lost");
        assert_eq!(parse(&admitted_spec("a.example.com", &read)).unwrap(), parse(&spec).unwrap());
    }
}

#[test]
fn grpc_goes_with_what_its_clients_know() {
    let mut route = full();
    route["backendProtocol"] = json!("GRPC");
    let fields: Vec<String> = faults(&route).into_iter().map(|f| f.field).collect();
    let of = |name: &str| format!("spec.routes[0].{name}");
    assert_eq!(fields, ["buffering", "cors", "stripPrefix", "sessionAffinity", "errorText"].map(of));
    route["backendProtocol"] = json!("H2C");
    assert_eq!(faults(&route), []);
    let grpc = |len: usize| {
        let set = json!([{"name": "n".repeat(len), "value": "v"}]);
        json!({"backendProtocol": "GRPC", "backends": [{"service": "web", "port": 80}],
            "requestHeaders": {"set": set.clone()}, "responseHeaders": {"remove": ["m".repeat(len)]},
            "externalAuth": {"service": "guard", "port": 81, "responseHeaders": ["o".repeat(len)]}})
    };
    assert_eq!(faults(&grpc(46)), []);
    let fields: Vec<String> = faults(&grpc(47)).into_iter().map(|f| f.field).collect();
    assert_eq!(fields, ["requestHeaders", "responseHeaders", "externalAuth.responseHeaders"].map(of));
}

#[test]
fn every_fault_is_told_with_its_field() {
    let with = |pointer: &str, value: Value| {
        let mut route = if pointer.starts_with("/redirect") { redirect() } else { full() };
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = route.pointer_mut(parent).unwrap();
        match parent.as_array_mut() {
            Some(items) => items[key.parse::<usize>().unwrap()] = value,
            None => parent[key] = value,
        }
        route
    };
    for (pointer, value, field, words) in [
        ("/maxBodySize", json!("1M"), "maxBodySize", "is not a size"),
        ("/requestHeaders/set/0/name", json!("Host"), "requestHeaders.set[0].name", "reserved"),
        ("/requestHeaders/set/0/value", json!("$host"), "requestHeaders.set[0].value", "'$'"),
        ("/requestHeaders/set/0/value", json!(""), "requestHeaders.set[0].value", "is empty"),
        ("/requestHeaders/remove/0", json!("x-team"), "requestHeaders.remove[0]", "stands twice"),
        ("/requestHeaders/remove/0", json!("x-forwarded-for"), "requestHeaders.remove[0]", "reserved"),
        ("/responseHeaders/set/0/name", json!("Content-Length"), "responseHeaders.set[0].name", "reserved"),
        ("/responseHeaders/remove/0", json!("access-control-max-age"), "responseHeaders.remove[0]", "cors"),
        ("/responseHeaders/remove", json!(vec!["x"; 17]), "responseHeaders.remove", "17 entries"),
        ("/cors/allowOrigins/0", json!("https://*.example.com"), "cors.allowOrigins[0]", "is not an origin"),
        ("/cors/allowOrigins/0", json!("*"), "cors.allowCredentials", "list the origins"),
        ("/cors/allowOrigins", json!([]), "cors.allowOrigins", "is empty"),
        ("/cors/allowOrigins", json!(["*", "https://a.example.com"]), "cors.allowOrigins", "keep one"),
        ("/cors/allowMethods/0", json!("put"), "cors.allowMethods[0]", "is not a method"),
        ("/cors/allowHeaders/0", json!("x y"), "cors.allowHeaders[0]", "is not a header name"),
        ("/cors/exposeHeaders", json!(vec!["x"; 33]), "cors.exposeHeaders", "at most 32"),
        ("/cors/maxAge", json!("1d"), "cors.maxAge", "is not a duration"),
        ("/rateLimit/requestsPerSecond", json!(0), "rateLimit.requestsPerSecond", "is not a rate"),
        ("/rateLimit/burst", json!(-1), "rateLimit.burst", "is not a burst"),
        ("/sessionAffinity/cookieName", json!("AWSALB"), "sessionAffinity.cookieName", "choose another"),
        ("/sessionAffinity/maxAge", json!("2"), "sessionAffinity.maxAge", "is not a duration"),
        ("/errorText", json!("<b>\u{e9}</b>"), "errorText", "visible ASCII"),
        ("/errorText", json!("x".repeat(1025)), "errorText", "1 to 1024"),
        ("/externalAuth/service", json!("Guard"), "externalAuth.service", "is not"),
        ("/externalAuth/port", json!(0), "externalAuth.port", "is not a port"),
        ("/externalAuth/path", json!("/a/../b"), "externalAuth.path", "segment"),
        ("/externalAuth/responseHeaders/0", json!("Host"), "externalAuth.responseHeaders[0]", "reserved"),
        ("/externalAuth/responseHeaders/0", json!("x-team"), "externalAuth.responseHeaders", "keep one"),
        ("/externalAuth/responseHeaders", json!(vec!["x"; 17]), "externalAuth.responseHeaders", "at most 16"),
        ("/pathType", json!("Exact"), "stripPrefix", "Exact"),
        ("/redirect/hostname", json!("*.example.com"), "redirect.hostname", "wildcard"),
        ("/redirect/path", json!("/a/../b"), "redirect.path", "segment"),
        ("/redirect/port", json!(0), "redirect.port", "is not a port"),
        ("/redirect/statusCode", json!(304), "redirect.statusCode", "is not a redirect"),
        ("/redirect", json!({"scheme": "http"}), "redirect", "leads back"),
    ] {
        let found = faults(&with(pointer, value.clone()));
        let here = format!("spec.routes[0].{field}");
        assert!(found.iter().any(|f| f.field == here && f.message.contains(words)), "{pointer} {value}: {found:?}");
    }
    let two = json!([{"service": "web", "port": 80}, {"service": "next", "port": 80}]);
    let found = faults(&with("/backends", two));
    let fields: Vec<&str> = found.iter().map(|f| f.field.as_str()).collect();
    assert_eq!(fields, ["spec.routes[0].stripPrefix", "spec.routes[0].sessionAffinity"]);
    let mut both = full();
    both["redirect"] = redirect()["redirect"].clone();
    assert_eq!(faults(&both).len(), 12, "everything beside a redirect is told");
    assert_eq!(faults(&json!({"path": "/"}))[0].field, "spec.routes[0].backends");
}

/// What ends a line, a word or a meaning in nginx.conf is refused in every text of a route, at its own field.
#[test]
fn no_text_of_a_route_takes_a_sign_of_nginx() {
    let mut tried = 0;
    for route in [full(), redirect()] {
        let mut leaves = Vec::new();
        leaves_of(&route, "", &mut leaves);
        for (pointer, text) in leaves {
            for sign in ["\n", "\r", "\0", "$", "é", "\u{7f}"] {
                for hostile in [format!("{text}{sign}"), format!("{sign}{text}"), format!("{text}{sign}x")] {
                    let mut route = route.clone();
                    *route.pointer_mut(&pointer).unwrap() = json!(hostile);
                    // Words such as pathType are refused by their type, before review.
                    let Ok(rule) = serde_json::from_value::<RouteRule>(route) else { continue };
                    let spec = ExposedAppSpec {
                        hosts: vec!["a.example.com".into()],
                        routes: vec![rule],
                        ..Default::default()
                    };
                    let found = parse(&spec).unwrap_err();
                    let field =
                        found[0].field.replace("spec.routes[0].", "/").replace(['.', '['], "/").replace(']', "");
                    assert_eq!(field, pointer, "{hostile:?}");
                    assert!(!found[0].message.contains(['\n', '\r', '\0']), "{found:?}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 250, "{tried}");
}

fn leaves_of(value: &Value, at: &str, out: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => out.push((at.to_owned(), text.clone())),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| leaves_of(v, &format!("{at}/{i}"), out)),
        Value::Object(fields) => fields.iter().for_each(|(k, v)| leaves_of(v, &format!("{at}/{k}"), out)),
        _ => {}
    }
}

#[test]
fn an_app_that_would_not_fit_a_table_is_refused() {
    let mut spec = spec(&full());
    let mut route = spec.routes[0].clone();
    let headers = route.response_headers.as_mut().unwrap();
    headers.set =
        (0..16).map(|i| gatehouse_crds::HeaderSetting { name: format!("x-{i}"), value: "v".repeat(1024) }).collect();
    spec.routes = (0..50).map(|i| RouteRule { path: Some(format!("/{i}")), ..route.clone() }).collect();
    assert!(parse(&spec).is_ok(), "50 routes of 17 KiB");
    spec.hosts.push("b.example.com".into());
    let found = parse(&spec).unwrap_err();
    assert_eq!(found[0].field, "spec.routes");
    assert!(found[0].message.contains("for 2 hosts, which holds 1024 KiB"), "{}", found[0].message);
}
