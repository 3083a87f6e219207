use k8s_openapi::api::networking::v1::Ingress;

use super::*;

fn read(yaml: &str) -> Converted {
    let ingress: Ingress = serde_saphyr::from_str(yaml).unwrap();
    let ports = [("api".to_owned(), [("http".to_owned(), 8080)].into())].into();
    convert(&ingress, &ports)
}

fn path(path: &str, kind: &str, service: &str) -> String {
    format!("{{path: {path}, pathType: {kind}, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}")
}

fn of(spec: &str) -> Converted {
    read(&format!("metadata: {{name: shop, namespace: team-a}}\nspec: {spec}"))
}

fn annotated(annotation: &str) -> Converted {
    let rules = format!("[{{host: a.example.com, http: {{paths: [{}]}}}}]", path("/", "Prefix", "web"));
    read(&format!("metadata: {{name: shop, annotations: {{{annotation}}}}}\nspec: {{rules: {rules}}}"))
}

fn shown(converted: &Converted) -> Vec<String> {
    let route = |r: &RouteRule| {
        let exact = if r.path_type.is_some() { "=" } else { "" };
        format!("{exact}{} {}", r.path.as_deref().unwrap_or("/"), r.backends[0].service)
    };
    let app = |(name, spec): &(String, ExposedAppSpec)| {
        format!("{name}: {}: {}", spec.hosts.join(" "), spec.routes.iter().map(route).collect::<Vec<_>>().join(", "))
    };
    converted.apps.iter().map(app).collect()
}

fn fates(converted: &Converted) -> Vec<(Fate, &str)> {
    converted.remarks.iter().map(|r| (r.fate, r.field.as_str())).collect()
}

#[test]
fn hosts_with_the_same_routes_are_one_app() {
    let (web, api) = (path("/", "Prefix", "web"), path("/v1", "Exact", "api"));
    let found = of(&format!(
        "{{rules: [{{host: a.example.com, http: {{paths: [{web}]}}}}, {{host: b.example.com, http: {{paths: [{web}, {api}]}}}}, {{host: c.example.com, http: {{paths: [{web}]}}}}]}}"
    ));
    let other = format!("shop-{}: b.example.com: / web, =/v1 api", short_hash(b"b.example.com", 3));
    assert_eq!(shown(&found), ["shop: a.example.com c.example.com: / web".to_owned(), other]);
    assert_eq!(found.remarks, []);
}

/// What stands for all hosts comes after a host's own paths, and the default backend last.
#[test]
fn what_names_no_host_serves_the_hosts_that_are_named() {
    let (own, all) = (path("/x", "Prefix", "own"), path("/x", "Prefix", "all"));
    let more = path("/y", "Prefix", "all");
    let found = of(&format!(
        "{{defaultBackend: {{service: {{name: rest, port: {{number: 80}}}}}}, tls: [{{hosts: [b.example.com]}}], rules: [{{http: {{paths: [{all}, {more}]}}}}, {{host: a.example.com, http: {{paths: [{own}]}}}}]}}"
    ));
    let of_b = format!("shop-{}: b.example.com: /x all, /y all, / rest", short_hash(b"b.example.com", 3));
    assert_eq!(shown(&found), ["shop: a.example.com: /x own, /y all, / rest".to_owned(), of_b]);
}

#[test]
fn what_cannot_be_an_app_is_refused_with_its_field() {
    let rule = |path: &str| format!("{{rules: [{{host: a.example.com, http: {{paths: [{path}]}}}}]}}");
    for (spec, field, says) in [
        ("{defaultBackend: {service: {name: web, port: {number: 80}}}}".to_owned(), "spec.rules", "no host"),
        ("{rules: [{host: a.example.com}]}".to_owned(), "spec.rules", "no default backend"),
        (rule(&path("'/a(/|$)(.*)'", "ImplementationSpecific", "web")), "spec.rules[0].http.paths[0].path", "pattern"),
        (
            rule("{path: /, pathType: Prefix, backend: {resource: {kind: Bucket, name: b}}}"),
            "spec.rules[0].http.paths[0].backend.resource",
            "no Service",
        ),
        (
            rule("{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}"),
            "spec.rules[0].http.paths[0].backend.service.port.name",
            "give its file",
        ),
        ("{rules: [{host: '*.com', http: {paths: []}}]}".to_owned(), "spec.rules[0].host", "two labels"),
    ] {
        let found = of(&spec);
        assert!(found.apps.is_empty(), "{spec}");
        let remark = found.remarks.iter().find(|r| r.fate == Fate::Refused && r.field == field);
        assert!(remark.is_some_and(|r| r.message.contains(says)), "{spec}: {:?}", found.remarks);
    }
}

#[test]
fn a_port_name_is_looked_up() {
    let found = of(
        "{rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {name: http}}}}]}}]}",
    );
    assert_eq!(found.apps[0].1.routes[0].backends[0].port, 8080);
}

#[test]
fn annotations_are_translated_refused_or_named() {
    let long = annotated(
        "nginx.ingress.kubernetes.io/proxy-read-timeout: '120', nginx.ingress.kubernetes.io/proxy-send-timeout: '30'",
    );
    assert_eq!(long.apps[0].1.routes[0].timeout.as_deref(), Some("120s"));
    let body = annotated("nginx.ingress.kubernetes.io/proxy-body-size: 8m");
    assert_eq!(body.apps[0].1.routes[0].max_body_size.as_deref(), Some("8Mi"));
    let limit = annotated(
        "nginx.ingress.kubernetes.io/limit-rps: '10', nginx.ingress.kubernetes.io/limit-burst-multiplier: '3'",
    );
    let rate = limit.apps[0].1.routes[0].rate_limit.clone().unwrap();
    assert_eq!((rate.requests_per_second, rate.burst), (10, Some(30)));
    let sticky = annotated(
        "nginx.ingress.kubernetes.io/affinity: cookie, nginx.ingress.kubernetes.io/session-cookie-max-age: '600'",
    );
    let cookie = sticky.apps[0].1.routes[0].session_affinity.clone().unwrap();
    assert_eq!((cookie.cookie_name.as_str(), cookie.max_age.as_deref()), ("INGRESSCOOKIE", Some("600s")));
    let stream = annotated(
        "nginx.ingress.kubernetes.io/proxy-buffering: 'off', nginx.ingress.kubernetes.io/proxy-request-buffering: 'off'",
    );
    assert_eq!(stream.apps[0].1.routes[0].buffering, Some(gatehouse_crds::Buffering::Off));
    for translated in [&body, &limit, &sticky, &stream] {
        assert_eq!(translated.remarks, []);
    }
    let few = annotated("nginx.ingress.kubernetes.io/whitelist-source-range: '203.0.113.0/24, 198.51.100.7/32'");
    assert_eq!(few.apps[0].1.access.as_ref().unwrap().allow_cidrs, ["203.0.113.0/24", "198.51.100.7/32"]);
    assert_eq!((fates(&long), fates(&few)), (Vec::new(), Vec::new()));
    for (annotation, fate) in [
        ("nginx.ingress.kubernetes.io/whitelist-source-range: 'office'", Fate::Refused),
        ("nginx.ingress.kubernetes.io/configuration-snippet: 'deny all;'", Fate::Refused),
        ("nginx.ingress.kubernetes.io/auth-url: 'https://who.example.com'", Fate::Refused),
        ("nginx.ingress.kubernetes.io/canary: 'true'", Fate::Refused),
        ("nginx.ingress.kubernetes.io/rewrite-target: '/$1'", Fate::Refused),
        ("nginx.ingress.kubernetes.io/backend-protocol: HTTPS", Fate::Refused),
        ("nginx.ingress.kubernetes.io/backend-protocol: GRPCS", Fate::Refused),
        ("nginx.ingress.kubernetes.io/backend-protocol: FCGI", Fate::Refused),
        ("nginx.ingress.kubernetes.io/cors-max-age: '5'", Fate::Needless),
        ("nginx.ingress.kubernetes.io/ssl-redirect: 'false'", Fate::Lost),
        ("nginx.ingress.kubernetes.io/proxy-read-timeout: 'long'", Fate::Lost),
        ("nginx.ingress.kubernetes.io/something-new: 'x'", Fate::Lost),
        ("nginx.ingress.kubernetes.io/proxy-body-size: '0'", Fate::Lost),
        ("nginx.ingress.kubernetes.io/proxy-buffering: 'off'", Fate::Lost),
        ("nginx.ingress.kubernetes.io/limit-rps: many", Fate::Lost),
        ("nginx.ingress.kubernetes.io/affinity: ip", Fate::Lost),
        ("traefik.ingress.kubernetes.io/router.tls: 'true'", Fate::Lost),
        ("alb.ingress.kubernetes.io/scheme: internal", Fate::Needless),
        ("cert-manager.io/cluster-issuer: acme", Fate::Needless),
    ] {
        let found = annotated(annotation);
        let key = annotation.split(": ").next().unwrap();
        assert_eq!(fates(&found), [(fate, format!("metadata.annotations[{key}]").as_str())], "{annotation}");
        assert_eq!(found.apps.is_empty(), fate == Fate::Refused, "{annotation}");
    }
    let calm = "kubernetes.io/ingress.class: nginx, argocd.argoproj.io/tracking-id: x, nginx.ingress.kubernetes.io/ssl-redirect: 'true'";
    assert_eq!(annotated(calm).remarks, []);
}

#[test]
fn grpc_is_translated_and_what_it_cannot_go_with_is_told() {
    let grpc = annotated("nginx.ingress.kubernetes.io/backend-protocol: grpc");
    assert_eq!(grpc.apps[0].1.routes[0].backend_protocol, Some(gatehouse_crds::BackendProtocol::Grpc));
    assert_eq!(grpc.remarks, []);
    let more = annotated(
        "nginx.ingress.kubernetes.io/backend-protocol: GRPC, nginx.ingress.kubernetes.io/affinity: cookie, \
         nginx.ingress.kubernetes.io/enable-cors: 'true'",
    );
    let lost =
        ["enable-cors", "affinity"].map(|n| (Fate::Lost, format!("metadata.annotations[{}{n}]", annotation::NGINX)));
    assert_eq!(fates(&more), lost.each_ref().map(|(fate, field)| (*fate, field.as_str())));
    let route = &more.apps[0].1.routes[0];
    assert!(route.cors.is_none() && route.session_affinity.is_none());
}

#[test]
fn cors_means_what_it_meant() {
    let cors = |more: &str| annotated(&format!("nginx.ingress.kubernetes.io/enable-cors: 'true'{more}"));
    let said = |converted: &Converted| converted.apps[0].1.routes[0].cors.clone();
    let usual = cors("");
    let route = said(&usual).unwrap();
    assert_eq!(
        (route.allow_origins, route.allow_methods),
        (vec!["*".into()], ["PUT", "DELETE", "PATCH", "OPTIONS"].map(str::to_owned).into())
    );
    assert_eq!(
        (route.allow_headers.len(), route.expose_headers, route.allow_credentials, route.max_age.as_deref()),
        (9, vec![], None, Some("24h"))
    );
    assert_eq!(usual.remarks, []);

    let all = cors(
        ", nginx.ingress.kubernetes.io/cors-allow-origin: 'https://a.example.com, http://localhost:3000', \
         nginx.ingress.kubernetes.io/cors-allow-methods: 'GET, PUT', nginx.ingress.kubernetes.io/cors-allow-headers: X-In, \
         nginx.ingress.kubernetes.io/cors-expose-headers: 'X-Out, X-More', nginx.ingress.kubernetes.io/cors-max-age: '600'",
    );
    let route = said(&all).unwrap();
    assert_eq!(route.allow_origins, ["https://a.example.com", "http://localhost:3000"]);
    assert_eq!((route.allow_methods, route.allow_headers), (vec!["PUT".into()], vec!["X-In".into()]));
    assert_eq!((route.expose_headers, route.max_age.as_deref()), (vec!["X-Out".into(), "X-More".into()], Some("600s")));
    assert_eq!((route.allow_credentials, all.remarks), (Some(true), vec![]), "the default there is to allow them");

    let pattern =
        cors(", nginx.ingress.kubernetes.io/cors-allow-origin: 'https://*.example.com, https://a.example.com'");
    assert_eq!(said(&pattern).unwrap().allow_origins, ["https://a.example.com"]);
    assert_eq!(pattern.remarks[0].message, "\"https://*.example.com\" is a pattern; name each one that is meant");
    for (more, fate) in [
        (", nginx.ingress.kubernetes.io/cors-allow-origin: 'https://*.example.com'", Fate::Lost),
        (", nginx.ingress.kubernetes.io/cors-allow-headers: '*'", Fate::Lost),
        (", nginx.ingress.kubernetes.io/cors-allow-methods: 'get'", Fate::Lost),
        (", nginx.ingress.kubernetes.io/cors-max-age: '-1'", Fate::Lost),
        (", nginx.ingress.kubernetes.io/cors-max-age: '1728000'", Fate::Needless),
        (", nginx.ingress.kubernetes.io/cors-allow-credentials: 'true'", Fate::Needless),
    ] {
        let found = cors(more);
        assert_eq!(found.remarks.iter().map(|r| r.fate).collect::<Vec<_>>(), [fate], "{more}");
    }
    assert_eq!(said(&cors(", nginx.ingress.kubernetes.io/cors-allow-origin: '*.example.com'")), None);
    let off = annotated(
        "nginx.ingress.kubernetes.io/enable-cors: 'false', nginx.ingress.kubernetes.io/cors-allow-methods: PUT",
    );
    assert_eq!((said(&off), off.remarks[0].fate), (None, Fate::Needless));
}
