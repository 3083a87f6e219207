use k8s_openapi::api::networking::v1::Ingress;

use super::*;

fn read(yaml: &str) -> Converted {
    let ingress: Ingress = serde_saphyr::from_str(yaml).unwrap();
    let ports = [("api".to_owned(), [("http".to_owned(), 8080)].into())].into();
    convert(&ingress, Some(&[]), Ports::Files(&ports))
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
    let app = |ConvertedApp { name, spec, .. }: &ConvertedApp| {
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
        let remark = found.remarks.iter().find(|r| r.fate.refuses() && r.field == field);
        assert!(remark.is_some_and(|r| r.message.contains(says)), "{spec}: {:?}", found.remarks);
    }
}

#[test]
fn a_port_name_is_looked_up() {
    let found = of(
        "{rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {name: http}}}}]}}]}",
    );
    assert_eq!(found.apps[0].spec.routes[0].backends[0].port, 8080);
}

#[test]
fn annotations_are_translated_refused_or_named() {
    let long = annotated(
        "nginx.ingress.kubernetes.io/proxy-read-timeout: '120', nginx.ingress.kubernetes.io/proxy-send-timeout: '30'",
    );
    assert_eq!(long.apps[0].spec.routes[0].timeout.as_deref(), Some("120s"));
    let body = annotated("nginx.ingress.kubernetes.io/proxy-body-size: 8m");
    assert_eq!(body.apps[0].spec.routes[0].max_body_size.as_deref(), Some("8Mi"));
    let limit = annotated(
        "nginx.ingress.kubernetes.io/limit-rps: '10', nginx.ingress.kubernetes.io/limit-burst-multiplier: '3'",
    );
    let rate = limit.apps[0].spec.routes[0].rate_limit.clone().unwrap();
    assert_eq!((rate.requests_per_second, rate.burst), (10, Some(30)));
    let sticky = annotated(
        "nginx.ingress.kubernetes.io/affinity: cookie, nginx.ingress.kubernetes.io/session-cookie-max-age: '600'",
    );
    let cookie = sticky.apps[0].spec.routes[0].session_affinity.clone().unwrap();
    assert_eq!((cookie.cookie_name.as_str(), cookie.max_age.as_deref()), ("INGRESSCOOKIE", Some("600s")));
    let stream = annotated(
        "nginx.ingress.kubernetes.io/proxy-buffering: 'off', nginx.ingress.kubernetes.io/proxy-request-buffering: 'off'",
    );
    assert_eq!(stream.apps[0].spec.routes[0].buffering, Some(gatehouse_crds::Buffering::Off));
    for translated in [&body, &limit, &sticky, &stream] {
        assert_eq!(translated.remarks, []);
    }
    let few = annotated("nginx.ingress.kubernetes.io/whitelist-source-range: '203.0.113.0/24, 198.51.100.7/32'");
    assert_eq!(few.apps[0].spec.access.as_ref().unwrap().allow_cidrs, ["203.0.113.0/24", "198.51.100.7/32"]);
    assert_eq!((fates(&long), fates(&few)), (Vec::new(), Vec::new()));
    for (annotation, fate) in [
        ("nginx.ingress.kubernetes.io/whitelist-source-range: 'office'", Fate::Refused),
        ("nginx.ingress.kubernetes.io/configuration-snippet: 'deny all;'", Fate::Refused),
        ("nginx.ingress.kubernetes.io/auth-url: 'https://who.example.com'", Fate::Refused),
        ("nginx.ingress.kubernetes.io/canary-weight: '10'", Fate::Lost),
        ("gatehouse.dev/tls-mode: Guess", Fate::Refused),
        ("gatehouse.dev/tls-mode: Arn", Fate::Refused),
        ("gatehouse.dev/load-balancer: public", Fate::Refused),
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
    assert_eq!(grpc.apps[0].spec.routes[0].backend_protocol, Some(gatehouse_crds::BackendProtocol::Grpc));
    assert_eq!(grpc.remarks, []);
    let more = annotated(
        "nginx.ingress.kubernetes.io/backend-protocol: GRPC, nginx.ingress.kubernetes.io/affinity: cookie, \
         nginx.ingress.kubernetes.io/enable-cors: 'true'",
    );
    let lost =
        ["enable-cors", "affinity"].map(|n| (Fate::Lost, format!("metadata.annotations[{}{n}]", annotation::NGINX)));
    assert_eq!(fates(&more), lost.each_ref().map(|(fate, field)| (*fate, field.as_str())));
    let route = &more.apps[0].spec.routes[0];
    assert!(route.cors.is_none() && route.session_affinity.is_none());
}

#[test]
fn cors_means_what_it_meant() {
    let cors = |more: &str| annotated(&format!("nginx.ingress.kubernetes.io/enable-cors: 'true'{more}"));
    let said = |converted: &Converted| converted.apps[0].spec.routes[0].cors.clone();
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

#[test]
fn what_an_ingress_has_no_field_for_stands_in_annotations() {
    let found = annotated("gatehouse.dev/load-balancers: 'public, internal', gatehouse.dev/tls-mode: Request");
    let spec = &found.apps[0].spec;
    assert_eq!(spec.load_balancers, ["public", "internal"]);
    assert_eq!(spec.tls, Some(gatehouse_crds::Tls { mode: gatehouse_crds::TlsMode::Request, certificate_arn: None }));
    for annotation in [
        "gatehouse.dev/certificate-arn: 'arn:x'",
        "gatehouse.dev/certificate-arn: 'arn:x', gatehouse.dev/tls-mode: Arn",
    ] {
        let tls = annotated(annotation).apps[0].spec.tls.clone().unwrap();
        assert_eq!((tls.mode, tls.certificate_arn.as_deref()), (gatehouse_crds::TlsMode::Arn, Some("arn:x")));
    }
    let both = annotated("gatehouse.dev/certificate-arn: 'arn:x', gatehouse.dev/tls-mode: Request");
    assert_eq!(fates(&both), [(Fate::Refused, "metadata.annotations[gatehouse.dev/certificate-arn]")]);
}

fn main_and_canary(main: &str, canary: &str) -> [Ingress; 2] {
    let one = |name: &str, annotations: &str, service: &str| {
        let rules = format!("[{{host: a.example.com, http: {{paths: [{}]}}}}]", path("/", "Prefix", service));
        let text = format!("metadata: {{name: {name}, annotations: {{{annotations}}}}}\nspec: {{rules: {rules}}}");
        serde_saphyr::from_str(&text).unwrap()
    };
    [one("shop", main, "web"), one("shop-next", canary, "next")]
}

fn with_canary(main: &str, canary: &str) -> [Converted; 2] {
    let [main, canary] = main_and_canary(main, canary);
    let all = [&main, &canary];
    [convert(&main, Some(&all), Ports::Unknown), convert(&canary, Some(&all), Ports::Unknown)]
}

#[test]
fn a_canary_by_weight_is_a_second_backend_of_the_same_route() {
    let annotations = "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: ";
    let shares = |converted: &Converted| -> Vec<(String, Option<i32>)> {
        converted.apps[0].spec.routes[0].backends.iter().map(|b| (b.service.clone(), b.weight)).collect()
    };
    let [main, canary] = with_canary("", &format!("{annotations}'20'"));
    assert_eq!(shares(&main), [("web".into(), Some(80)), ("next".into(), Some(20))]);
    assert_eq!((canary.apps.len(), canary.remarks.len(), main.remarks.len()), (0, 0, 0));

    let total = format!("{annotations}'1', nginx.ingress.kubernetes.io/canary-weight-total: '1000'");
    assert_eq!(shares(&with_canary("", &total)[0]), [("web".into(), Some(999)), ("next".into(), Some(1))]);

    let alone = ["nginx.ingress.kubernetes.io/canary: 'false'", "nginx.ingress.kubernetes.io/canary: 'true'"];
    for canary in alone {
        assert_eq!(shares(&with_canary("", canary)[0]), [("web".into(), None)], "{canary}");
    }
    // What cannot be read takes no share, and is refused where it stands.
    for (more, fate, field) in [
        ("'half'", Fate::Refused, "canary-weight"),
        ("'101'", Fate::Refused, "canary-weight"),
        ("'1', nginx.ingress.kubernetes.io/canary-weight-total: many", Fate::Refused, "canary-weight-total"),
        ("'1', nginx.ingress.kubernetes.io/canary-by-header: X-Next", Fate::Refused, "canary-by-header"),
        ("'1', nginx.ingress.kubernetes.io/proxy-body-size: 1m", Fate::Needless, "proxy-body-size"),
    ] {
        let [main, canary] = with_canary("", &format!("{annotations}{more}"));
        let field = format!("metadata.annotations[{}{field}]", annotation::NGINX);
        assert_eq!(fates(&canary), [(fate, field.as_str())], "{more}");
        assert_eq!(shares(&main).len(), if fate == Fate::Refused { 1 } else { 2 }, "{more}");
    }
    let [main, _] = with_canary("nginx.ingress.kubernetes.io/affinity: cookie", &format!("{annotations}'20'"));
    assert_eq!((shares(&main).len(), fates(&main)), (1, vec![(Fate::Lost, "spec.rules[0].http.paths[0]")]));
    let [_, canary] = main_and_canary("", &format!("{annotations}'20'"));
    let lonely = convert(&canary, Some(&[&canary]), Ports::Unknown);
    assert_eq!(fates(&lonely), [(Fate::Lost, "spec.rules[0].http.paths[0]")]);
    assert_eq!(convert(&canary, None, Ports::Unknown).remarks, [], "admission knows no other Ingress");
}

/// In a cluster the Service may come later; a shorter path must not take its requests until then.
#[test]
fn a_port_that_is_not_there_leads_nowhere() {
    let text = "metadata: {name: shop}\nspec: {rules: [{host: a.example.com, http: {paths: [{path: /x, pathType: Prefix, backend: {service: {name: api, port: {name: grpc}}}}]}}]}";
    let ingress: Ingress = serde_saphyr::from_str(text).unwrap();
    let known = [("api".to_owned(), [("http".to_owned(), 1), ("admin".to_owned(), 2)].into())].into();
    let found = convert(&ingress, Some(&[]), Ports::Cluster(&known));
    assert_eq!(fates(&found), [(Fate::Lost, "spec.rules[0].http.paths[0].backend.service.port.name")]);
    assert_eq!(found.apps[0].spec.routes[0].backends[0].port, 3, "none that the Service has");
}

#[test]
fn an_app_takes_so_many_hosts_and_routes() {
    let rule = |i: usize| format!("{{host: h{i}.example.com, http: {{paths: [{}]}}}}", path("/", "Prefix", "web"));
    let hosts = of(&format!("{{rules: [{}]}}", (0..60).map(rule).collect::<Vec<_>>().join(", ")));
    assert_eq!(hosts.apps.iter().map(|a| a.spec.hosts.len()).collect::<Vec<_>>(), [50, 10]);
    let paths: Vec<String> = (0..201).map(|i| path(&format!("/{i}"), "Prefix", "web")).collect();
    let many = of(&format!("{{rules: [{{host: a.example.com, http: {{paths: [{}]}}}}]}}", paths.join(", ")));
    assert_eq!(fates(&many), [(Fate::Refused, "spec.rules[0].host")]);
}

#[test]
fn a_fault_of_an_app_is_told_where_the_ingress_has_it() {
    let (web, api) = (path("/", "Prefix", "web"), path("/v1", "Exact", "api"));
    let found = of(&format!(
        "{{defaultBackend: {{service: {{name: rest, port: {{number: 80}}}}}}, rules: [{{host: b.example.com, http: {{paths: [{api}]}}}}, {{host: a.example.com, http: {{paths: [{web}, {api}]}}}}]}}"
    ));
    let [b, a] = &found.apps[..] else { panic!("{found:?}") };
    assert_eq!(a.field("spec.hosts[0]"), "spec.rules[1].host");
    assert_eq!(a.field("spec.routes[1].path"), "spec.rules[1].http.paths[1].path");
    assert_eq!(a.field("spec.routes[0].backends[0].service"), "spec.rules[1].http.paths[0].backend.service.name");
    assert_eq!(b.field("spec.routes[1].backends[0].port"), "spec.defaultBackend");
    assert_eq!(b.field("metadata.labels[team]"), "metadata.labels[team]");
}

/// Whatever a name looks like, that of the app is one that the API server takes.
#[test]
fn a_derived_app_has_a_name_that_can_be_had() {
    assert_eq!(app_name("shop"), "ingress-shop");
    for odd in ["shop.v2", &"a".repeat(70), "-x-"] {
        let name = app_name(odd);
        assert!(gatehouse_route::Label::parse(&name).is_ok() || name == "ingress--x-", "{name}");
    }
}
