//! What a table becomes, and that nothing hostile gets there.

#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use gatehouse_route::{Host, Path, RouteTable, render};
use proptest::prelude::*;

const SAMPLE: &str = r#"{
  "version": 1, "namespace": "team-a", "clusterDomain": "svc-domain.local", "resolver": "172.20.0.10",
  "ports": {"8080": {
    "loadBalancer": "public", "trusted": ["10.0.0.0/24", "10.0.1.0/24"], "maxBodySize": "50Mi", "idleTimeout": "300s",
    "hosts": {
      "shop.example.com": {"routes": [
        {"path": "/", "pathType": "Prefix", "timeout": "60s", "backends": [{"service": "gh-shop", "port": {"number": 8080}, "weight": 1}]},
        {"path": "/api", "pathType": "Prefix", "timeout": "30s", "allow": ["203.0.113.0/24"], "backends": [
          {"service": "gh-api", "port": {"number": 8080}, "weight": 90}, {"service": "gh-api-next", "port": {"named": "http"}, "weight": 10}]},
        {"path": "/exact/", "pathType": "Exact", "timeout": "30s", "backends": []}]},
      "*.team-a.example.com": {"routes": [
        {"path": "/only", "pathType": "Prefix", "timeout": "60s", "backends": [{"service": "gh-shop", "port": {"number": 8080}, "weight": 1}]}]}
    }}}}"#;

fn sample() -> RouteTable {
    RouteTable::from_json(SAMPLE).unwrap()
}

#[test]
fn golden() {
    insta::assert_snapshot!(render(&sample()));
}

#[test]
fn the_table_survives_its_json() {
    let table = sample();
    assert_eq!(RouteTable::from_json(&table.to_json()).unwrap(), table);
    assert_eq!(table.hash().len(), 16);
}

#[test]
fn another_version_and_a_duplicate_are_refused() {
    let newer = SAMPLE.replace("\"version\": 1", "\"version\": 3");
    assert!(RouteTable::from_json(&newer).unwrap_err().to_string().contains("version 3"));
    let twice = SAMPLE.replace("\"/api\"", "\"/\"");
    assert!(RouteTable::from_json(&twice).unwrap_err().to_string().contains("stands twice"));
}

/// Every option at once, on a route of its own: what each becomes is read here.
const OPTIONS: &str = r#"{
  "version": 2, "namespace": "team-a", "clusterDomain": "cluster.local", "resolver": "172.20.0.10",
  "ports": {"8080": {
    "loadBalancer": "public", "trusted": ["10.0.0.0/24"], "maxBodySize": "50Mi", "idleTimeout": "60s",
    "hosts": {"shop.example.com": {"routes": [
      {"path": "/upload", "pathType": "Exact", "timeout": "60s", "backends": [{"service": "gh-a", "port": {"number": 8080}, "weight": 1}],
       "maxBodySize": "10Mi", "buffering": "Off", "rateLimit": {"requestsPerSecond": 5, "burst": 10},
       "requestHeaders": {"set": {"X-Team": "shop \"a\""}, "remove": ["cookie"]},
       "responseHeaders": {"set": {"strict-transport-security": "max-age=1"}, "remove": ["x-powered-by"]}},
      {"path": "/api", "pathType": "Prefix", "timeout": "60s", "backends": [{"service": "gh-a", "port": {"number": 8080}, "weight": 1}],
       "stripPrefix": true, "sessionAffinity": {"cookieName": "pod", "maxAge": "1h"},
       "cors": {"allowOrigins": ["https://a.example.com"], "allowMethods": ["PUT"], "allowCredentials": true}},
      {"path": "/api/exact/", "pathType": "Exact", "timeout": "60s", "backends": [
        {"service": "gh-a", "port": {"number": 8080}, "weight": 1}, {"service": "gh-b", "port": {"number": 8080}, "weight": 1}],
       "cors": {"allowOrigins": ["*"], "allowHeaders": ["x-a"], "exposeHeaders": ["x-b"], "maxAge": "10m"}},
      {"path": "/pack.Service", "pathType": "Prefix", "timeout": "60s", "backendProtocol": "GRPC",
       "backends": [{"service": "gh-a", "port": {"number": 8080}, "weight": 1}],
       "requestHeaders": {"remove": ["x-debug"]}, "responseHeaders": {"remove": ["x-powered-by"]}},
      {"path": "/pack.Split", "pathType": "Exact", "timeout": "1h", "backendProtocol": "GRPC", "maxBodySize": "1Mi",
       "backends": [
        {"service": "gh-a", "port": {"number": 8080}, "weight": 1}, {"service": "gh-b", "port": {"number": 8080}, "weight": 1}]},
      {"path": "/h2", "pathType": "Exact", "timeout": "60s", "backendProtocol": "H2C",
       "backends": [{"service": "gh-a", "port": {"number": 8080}, "weight": 1}], "cors": {"allowOrigins": ["*"]}},
      {"path": "/late", "pathType": "Exact", "timeout": "60s", "errorText": "back \"soon\"", "accessLog": "On",
       "backends": [{"service": "gh-a", "port": {"number": 8080}, "weight": 1}],
       "responseHeaders": {"set": {"retry-after": "5"}}, "cors": {"allowOrigins": ["*"]}},
      {"path": "/known", "pathType": "Prefix", "timeout": "60s",
       "externalAuth": {"service": "gh-auth", "port": {"named": "http"}, "path": "/verify", "responseHeaders": ["x-user"]},
       "backends": [{"service": "gh-a", "port": {"number": 8080}, "weight": 1}], "cors": {"allowOrigins": ["*"]}},
      {"path": "/member", "pathType": "Exact", "timeout": "60s",
       "externalAuth": {"service": "gh-auth", "port": {"number": 8080}, "path": "/"},
       "backends": [{"service": "gh-a", "port": {"number": 8080}, "weight": 1}]},
      {"path": "/old", "pathType": "Prefix", "timeout": "60s", "backends": [],
       "redirect": {"hostname": "new.example.com", "path": "/new", "statusCode": 301}},
      {"path": "/here", "pathType": "Exact", "timeout": "60s", "backends": [], "redirect": {"port": 8443}}]}}}}}"#;

#[test]
fn golden_of_every_option() {
    let table = RouteTable::from_json(OPTIONS).unwrap();
    assert_eq!(RouteTable::from_json(&table.to_json()).unwrap(), table);
    insta::assert_snapshot!(render(&table));
}

/// An agent of version 1 would serve a route without its options; it must keep its last good table instead. A table
/// without options stays what it was, so that such an agent follows it and no hash changes.
#[test]
fn a_table_is_written_in_the_oldest_version_that_can_say_it() {
    assert_eq!(RouteTable::version_for(&RouteTable::from_json(OPTIONS).unwrap().ports), 2);
    let plain = sample();
    assert_eq!(RouteTable::version_for(&plain.ports), 1);
    assert!(!plain.to_json().contains("buffering") && plain.to_json().contains("\"version\": 1"));
    assert_eq!(plain.hash(), "c1387b987191bd0d");
}

/// An independent reader of nginx's token rules: words, quotes, escapes, braces.
fn tokens(conf: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = conf.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '{' | '}' | ';' => out.push(c.to_string()),
            '#' => panic!("a comment in generated text"),
            '"' => {
                let mut word = String::from("\"");
                loop {
                    match chars.next().expect("unterminated quote") {
                        '\\' => word.push(chars.next().expect("unterminated escape")),
                        '"' => break,
                        c => word.push(c),
                    }
                }
                assert!(matches!(chars.peek(), Some(' ' | ';')), "text runs on after a quote");
                out.push(word);
            }
            c => {
                let mut word = String::from(c);
                while let Some(c) = chars.peek().filter(|c| !c.is_whitespace() && !"{};".contains(**c)) {
                    assert!(*c != '"', "a quote inside a word");
                    word.push(*c);
                    chars.next();
                }
                out.push(word);
            }
        }
    }
    out
}

proptest! {
    /// Whatever text is admitted as a path or a host stays one argument: the shape of the file does not depend on it.
    #[test]
    fn admitted_text_never_changes_the_shape(path in "/[ -~\n\r\t]{0,40}", host in "[ -~\n]{1,30}") {
        let mut table = sample();
        let shape = |table: &RouteTable| tokens(&render(table)).iter().filter(|t| matches!(t.as_str(), "{" | "}" | ";")).count();
        let before = shape(&table);
        let Ok(path) = Path::parse(&path) else { return Ok(()) };
        prop_assume!(path.as_str() != "/" && !path.as_str().ends_with('/') && !path.as_str().starts_with("/.well-known") && !path.as_str().starts_with("/exact"));
        let port = *table.ports.keys().next().unwrap();
        let hosts = &mut table.ports.get_mut(&port).unwrap().hosts;
        let mut routes = hosts.remove(&Host::parse("shop.example.com").unwrap()).unwrap();
        let api = (Path::parse("/api").unwrap(), gatehouse_route::PathType::Prefix);
        let route = routes.routes.remove(&api).unwrap();
        routes.routes.insert((path, api.1), route);
        let host = Host::parse(&host).unwrap_or_else(|_| Host::parse("shop.example.com").unwrap());
        hosts.insert(host, routes);
        prop_assert_eq!(shape(&table), before);
    }
}
