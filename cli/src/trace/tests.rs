//! A way on which everything stands, and what each broken hop makes of it.

#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use gatehouse_core::engine::report::{PartName, PartReport};
use serde_json::{Value, json};

use super::*;
use gatehouse_route::RouteTable;

const TABLE: &str = r#"{"version": 1, "namespace": "team-a", "clusterDomain": "cluster.local", "resolver": "172.20.0.10",
  "ports": {"8080": {"loadBalancer": "public", "trusted": [], "maxBodySize": "50Mi", "idleTimeout": "60s",
    "hosts": {"shop.example.com": {"routes": [
      {"path": "/", "pathType": "Prefix", "backends": [], "timeout": "60s"},
      {"path": "/cart", "pathType": "Prefix", "backends": [], "timeout": "60s"}]}}}}}"#;

const CONDITIONS: [(&str, &str); 7] = [
    ("Accepted", "Accepted"),
    ("ResolvedRefs", "ResolvedRefs"),
    ("CertificateReady", "Attached"),
    ("Programmed", "Programmed"),
    ("DNSReady", "Published"),
    ("NetworkPolicyApplied", "Applied"),
    ("Ready", "Ready"),
];

fn app() -> Value {
    let conditions = CONDITIONS.map(|(type_, reason)| {
        json!({ "type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-06-01T00:00:00Z" })
    });
    json!({
        "apiVersion": "gatehouse.dev/v1alpha1", "kind": "ExposedApp",
        "metadata": { "name": "shop", "namespace": "team-a", "generation": 3, "creationTimestamp": "2026-05-01T00:00:00Z" },
        "spec": { "hosts": ["shop.example.com"], "routes": [
            { "backends": [{ "service": "web", "port": 80 }] },
            { "path": "/cart", "backends": [{ "service": "web", "port": 80, "weight": 9 }, { "service": "cart", "port": 8080 }] },
        ] },
        "status": { "observedGeneration": 3, "conditions": conditions, "hosts": [{
            "host": "shop.example.com", "loadBalancer": "public", "shard": 0,
            "ruleArn": "arn:aws:elasticloadbalancing:eu-central-1:1:listener-rule/app/gh/1/2/3",
            "record": "gh.elb.example", "certificateArn": "arn:aws:acm:eu-central-1:1:certificate/1",
        }] },
    })
}

fn pod(name: &str) -> Value {
    let hash = RouteTable::hash_of(TABLE);
    json!({
        "metadata": { "name": name, "annotations": { "gatehouse.dev/table": hash } },
        "status": { "conditions": [
            { "type": "ContainersReady", "status": "True" }, { "type": "gatehouse.dev/target-healthy", "status": "True" },
        ] },
    })
}

fn service(name: &str, port: i32) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "selector": { "app": name }, "ports": [{ "port": port, "name": "http" }] } })
}

fn slice(service: &str, ready: &[bool]) -> Value {
    let endpoints = ready.iter().enumerate().map(|(i, ready)| {
        json!({ "addresses": [format!("10.0.0.{i}")], "conditions": { "ready": ready }, "targetRef": { "name": format!("{service}-{i}") } })
    });
    json!({
        "metadata": { "name": service, "labels": { "kubernetes.io/service-name": service } }, "addressType": "IPv4",
        "endpoints": endpoints.collect::<Vec<_>>(), "ports": [{ "name": "http", "port": 8000 }],
    })
}

/// What is changed in a case: the objects as they are listed, before they are read.
struct Cluster {
    facts: Facts,
    app: Value,
    claim: Value,
    balancer: Value,
    pods: Vec<Value>,
    services: Vec<Value>,
    slices: Vec<Value>,
}

fn cluster(path: &str) -> Cluster {
    let address: IpAddr = "203.0.113.7".parse().unwrap();
    let hidden = || "not visible to you".to_owned();
    let facts = Facts {
        host: Host::parse("shop.example.com").unwrap(),
        path: path.to_owned(),
        apps: Vec::new(),
        dns: Some(Answer::Addresses([address].into())),
        addresses: [("gh.elb.example".to_owned(), [address].into())].into(),
        claim: Read::Hidden(hidden()),
        load_balancers: Read::Hidden(hidden()),
        pods: Read::Hidden(hidden()),
        table: Read::Seen(Some(TABLE.to_owned())),
        services: Read::Hidden(hidden()),
        slices: Read::Hidden(hidden()),
        plan: Read::Hidden(hidden()),
    };
    Cluster {
        facts,
        app: app(),
        claim: json!({
            "apiVersion": "gatehouse.dev/v1alpha1", "kind": "HostClaim", "metadata": { "name": "h.shop.example.com" },
            "spec": { "host": "shop.example.com", "namespace": "team-a", "namespaceUID": "u" }, "status": { "state": "Held" },
        }),
        balancer: json!({
            "apiVersion": "gatehouse.dev/v1alpha1", "kind": "SharedLoadBalancer", "metadata": { "name": "public" },
            "spec": {
                "default": true, "region": "eu-central-1", "vpcId": "vpc-0123456789abcdef0", "scheme": "internet-facing",
                "subnets": [{ "id": "subnet-0aaa", "zone": "eu-central-1a", "cidrs": ["10.0.0.0/24"] }],
                "securityGroups": ["sg-0ccc"], "edge": { "port": 8080 },
            },
            "status": {
                "conditions": [{ "type": "Programmed", "status": "True", "reason": "Programmed", "message": "", "lastTransitionTime": "2026-06-01T00:00:00Z" }],
                "shards": [{ "shard": 0, "arn": "arn:1", "address": "gh.elb.example", "rules": "1/100", "targetGroups": "1/100", "targets": "2/1000", "certificates": "1/25" }],
            },
        }),
        pods: vec![pod("edge-1"), pod("edge-2")],
        services: vec![service("web", 80), service("cart", 8080)],
        slices: vec![slice("web", &[true, false]), slice("cart", &[true])],
    }
}

impl Cluster {
    /// A condition of the app is not true.
    fn says(&mut self, type_: &str, reason: &str, message: &str) {
        let all = self.app["status"]["conditions"].as_array_mut().unwrap();
        let found = all.iter_mut().find(|c| c["type"] == type_).unwrap();
        found["status"] = json!("False");
        found["reason"] = json!(reason);
        found["message"] = json!(message);
    }

    fn balancer_says(&mut self, reason: &str, message: &str) {
        let c = &mut self.balancer["status"]["conditions"][0];
        (c["status"], c["reason"], c["message"]) = (json!("False"), json!(reason), json!(message));
    }

    fn read(self) -> Facts {
        fn list<T: serde::de::DeserializeOwned>(all: Vec<Value>) -> Read<Vec<T>> {
            Read::Seen(all.into_iter().map(|v| serde_json::from_value(v).unwrap()).collect())
        }
        Facts {
            apps: vec![serde_json::from_value(self.app).unwrap()],
            claim: Read::Seen(serde_json::from_value(self.claim).unwrap()),
            load_balancers: list(vec![self.balancer]),
            pods: list(self.pods),
            services: list(self.services),
            slices: list(self.slices),
            ..self.facts
        }
    }

    /// What a tenant sees who may read his namespace and nothing else.
    fn by_a_tenant(self) -> Facts {
        let hidden = "not visible to you".to_owned();
        Facts { claim: Read::Hidden(hidden.clone()), load_balancers: Read::Hidden(hidden), ..self.read() }
    }
}

#[track_caller]
fn first(facts: &Facts) -> Hop {
    let found = trace(facts);
    let index = found.first().unwrap_or_else(|| panic!("nothing is broken in {found:#?}"));
    found.hops[index].clone()
}

#[test]
fn everything_stands() {
    for (path, last) in [("/", "web"), ("/cart/items", "cart"), ("/cartoons", "web")] {
        let found = trace(&cluster(path).read());
        assert_eq!(found.first(), None, "{path}: {found:#?}");
        assert!(found.hops.iter().all(|hop| hop.mark == Mark::Ok), "{path}: {found:#?}");
        assert_eq!(found.hops.last().unwrap().at, last);
    }
    let hops: Vec<&str> = trace(&cluster("/").read()).hops.iter().map(|hop| hop.hop).collect();
    let way = [
        "app",
        "claim",
        "dns",
        "load-balancer",
        "listener",
        "rule",
        "target-group",
        "edge",
        "route",
        "service",
        "pods",
    ];
    assert_eq!(hops, way);
}

#[test]
fn a_tenants_rights_are_enough() {
    let found = trace(&cluster("/cart").by_a_tenant());
    assert_eq!(found.first(), None, "{found:#?}");
    assert!(found.hops.iter().all(|hop| hop.mark == Mark::Ok), "the app's status says it: {found:#?}");
    assert_eq!(found.plan, None);

    // The app alone.
    let hidden = || "not visible to you".to_owned();
    let mut facts = cluster("/cart").by_a_tenant();
    facts.pods = Read::Hidden(hidden());
    facts.table = Read::Hidden(hidden());
    facts.services = Read::Hidden(hidden());
    facts.slices = Read::Hidden(hidden());
    facts.dns = None;
    let found = trace(&facts);
    assert_eq!(found.first(), None, "{found:#?}");
    let mut cluster = cluster("/cart");
    cluster.says("Programmed", "NoHealthyTarget", "no edge pod of team-a is healthy on public#0");
    let alone = Facts { apps: vec![serde_json::from_value(cluster.app).unwrap()], ..facts };
    let hop = first(&alone);
    assert_eq!(
        (hop.hop, hop.mark, hop.field.as_str()),
        ("target-group", Mark::Broken, "spec.securityGroups"),
        "{hop:?}"
    );
    assert!(trace(&alone).hops.iter().any(|hop| hop.mark == Mark::Hidden && hop.hop == "edge"));
}

/// What is changed, the hop that is named first, object and field.
type Case = (&'static str, fn(&mut Cluster), &'static str, Mark, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "refused at admission",
        |c| c.says("Accepted", "HostNotAvailable", "spec.hosts[0]: \"shop.example.com\" is not available"),
        "app",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.hosts[0]",
    ),
    (
        "a label is missing",
        |c| c.says("Accepted", "LabelMissing", "metadata.labels[team]: is missing"),
        "app",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "metadata.labels[team]",
    ),
    (
        "going away",
        |c| c.app["metadata"]["deletionTimestamp"] = json!("2026-06-01T00:00:00Z"),
        "app",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "metadata.deletionTimestamp",
    ),
    ("changed just now", |c| c.app["metadata"]["generation"] = json!(4), "app", Mark::Waits, "", ""),
    ("never looked at", |c| c.app["status"] = json!({}), "app", Mark::Waits, "", ""),
    (
        "another holds the host",
        |c| {
            c.claim["spec"]["namespace"] = json!("team-b");
        },
        "claim",
        Mark::Broken,
        "HostClaim h.shop.example.com",
        "spec.namespace",
    ),
    (
        "the grant was taken away",
        |c| c.claim["status"]["revokedAt"] = json!("2026-06-01T00:00:00Z"),
        "claim",
        Mark::Broken,
        "ExposurePolicy",
        "spec.grants",
    ),
    (
        "being claimed",
        |c| {
            c.claim = Value::Null;
            c.says("Accepted", "ClaimPending", "shop.example.com is being claimed");
        },
        "claim",
        Mark::Waits,
        "",
        "",
    ),
    (
        "no zone",
        |c| c.says("DNSReady", "NoHostedZone", "no hosted zone holds shop.example.com"),
        "dns",
        Mark::Broken,
        "SharedLoadBalancer public",
        "spec.dns.zones",
    ),
    (
        "a stranger's record",
        |c| c.says("DNSReady", "DNSConflict", "shop.example.com already has a record that is not ours"),
        "dns",
        Mark::Broken,
        "the record shop.example.com in Route 53",
        "its owner, its values",
    ),
    ("propagating", |c| c.says("DNSReady", "Propagating", "on its way"), "dns", Mark::Waits, "the record", ""),
    (
        "the zone is not delegated",
        |c| c.facts.dns = Some(Answer::None("Name or service not known".into())),
        "dns",
        Mark::Broken,
        "the hosted zone of shop.example.com",
        "its delegation (NS)",
    ),
    (
        "another answers",
        |c| c.facts.dns = Some(Answer::Addresses(["198.51.100.1".parse().unwrap()].into())),
        "dns",
        Mark::Broken,
        "the record shop.example.com that this resolver knows",
        "its values",
    ),
    (
        "no shard has room",
        |c| {
            c.app["status"]["hosts"] = json!([]);
            c.says("Accepted", "NoShardWithRoom", "every shard is full");
        },
        "load-balancer",
        Mark::Broken,
        "SharedLoadBalancer public",
        "spec.limits.shards",
    ),
    (
        "the load balancer is gone",
        |c| c.balancer["metadata"]["name"] = json!("other"),
        "load-balancer",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.loadBalancers",
    ),
    (
        "AWS refuses the load balancer",
        |c| c.balancer_says("AwsRefused", "spec.subnets: subnet-0aaa does not exist"),
        "load-balancer",
        Mark::Broken,
        "SharedLoadBalancer public",
        "spec.subnets",
    ),
    (
        "AWS makes the load balancer",
        |c| {
            c.balancer["status"]["shards"] = json!([]);
            c.balancer_says("Provisioning", "not active yet");
        },
        "load-balancer",
        Mark::Waits,
        "",
        "",
    ),
    (
        "no certificate",
        |c| c.says("CertificateReady", "NoCertificate", "no issued certificate covers it"),
        "listener",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.tls.mode",
    ),
    (
        "a wrong ARN",
        |c| c.says("CertificateReady", "CertificateNotFound", "spec.tls.certificateArn: \"arn\" does not exist"),
        "listener",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.tls.certificateArn",
    ),
    ("being validated", |c| c.says("CertificateReady", "Validating", "ACM validates"), "listener", Mark::Waits, "", ""),
    (
        "the listener has no default certificate",
        |c| c.balancer_says("NoCertificate", "the HTTPS listener waits"),
        "listener",
        Mark::Waits,
        "",
        "",
    ),
    (
        "AWS denies",
        |c| c.says("Programmed", "Denied", "not authorized to CreateRule"),
        "rule",
        Mark::Broken,
        "the operator's role in AWS",
        "its policy",
    ),
    (
        "a quota",
        |c| c.says("Programmed", "QuotaExceeded", "TooManyRules"),
        "rule",
        Mark::Broken,
        "SharedLoadBalancer public",
        "spec.limits.shards",
    ),
    (
        "held",
        |c| c.says("Programmed", "Held", "public#0: rules that are not ours"),
        "rule",
        Mark::Broken,
        "SharedLoadBalancer public",
        "status.held",
    ),
    (
        "the rule is on its way",
        |c| c.says("Programmed", "RulePending", "not in the data plane"),
        "rule",
        Mark::Waits,
        "",
        "",
    ),
    (
        "the ALB cannot reach the pods",
        |c| {
            c.pods.iter_mut().for_each(|p| p["status"]["conditions"][1]["status"] = json!("False"));
            c.says("Programmed", "NoHealthyTarget", "no edge pod is healthy");
        },
        "target-group",
        Mark::Broken,
        "SharedLoadBalancer public",
        "spec.securityGroups",
    ),
    (
        "no edge pod",
        |c| {
            c.pods.clear();
            c.says("Programmed", "NoHealthyTarget", "");
        },
        "edge",
        Mark::Broken,
        "Deployment team-a/gatehouse-edge",
        "status.conditions",
    ),
    (
        "the image cannot be pulled",
        |c| {
            c.pods = vec![
                json!({"metadata": {"name": "edge-1"}, "status": {"containerStatuses": [{"name": "edge", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "denied"}}}]}}),
            ];
            c.says("Programmed", "NoHealthyTarget", "");
        },
        "edge",
        Mark::Broken,
        "SharedLoadBalancer",
        "spec.edge.image",
    ),
    (
        "no node has room",
        |c| {
            c.pods = vec![
                json!({"metadata": {"name": "edge-1"}, "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "Insufficient memory"}]}}),
            ];
            c.says("Programmed", "NoHealthyTarget", "");
        },
        "edge",
        Mark::Broken,
        "SharedLoadBalancer",
        "spec.edge.resources",
    ),
    (
        "nginx crashes",
        |c| {
            c.pods = vec![
                json!({"metadata": {"name": "edge-1"}, "status": {"containerStatuses": [{"name": "edge", "image": "x", "imageID": "", "ready": false, "restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
            ];
        },
        "edge",
        Mark::Broken,
        "Pod team-a/edge-1",
        "status.containerStatuses",
    ),
    (
        "an older table",
        |c| c.pods[1]["metadata"]["annotations"]["gatehouse.dev/table"] = json!("0000"),
        "route",
        Mark::Waits,
        "",
        "",
    ),
    (
        "the table lacks the host",
        |c| c.facts.table = Read::Seen(Some(TABLE.replace("shop.", "blog."))),
        "route",
        Mark::Waits,
        "",
        "",
    ),
    (
        "the table lacks the route",
        |c| c.facts.table = Read::Seen(Some(TABLE.replace("/cart", "/basket"))),
        "route",
        Mark::Waits,
        "",
        "",
    ),
    ("no table", |c| c.facts.table = Read::Seen(None), "route", Mark::Waits, "", ""),
    ("not every pod reports", |c| c.says("Programmed", "TablePending", ""), "route", Mark::Waits, "", ""),
    (
        "no route",
        |c| {
            c.app["spec"]["routes"].as_array_mut().unwrap().retain(|r| r["path"] == "/basket");
        },
        "route",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.routes",
    ),
    (
        "no share",
        |c| {
            for i in 0..2 {
                c.app["spec"]["routes"][1]["backends"][i]["weight"] = json!(0);
            }
        },
        "route",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.routes[1].backends[0].weight",
    ),
    (
        "no Service",
        |c| {
            c.services.pop();
        },
        "service",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.routes[1].backends[1].service",
    ),
    (
        "no such port",
        |c| c.services[1]["spec"]["ports"][0]["port"] = json!(8081),
        "service",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.routes[1].backends[1].port",
    ),
    (
        "an ExternalName",
        |c| c.services[0]["spec"]["type"] = json!("ExternalName"),
        "service",
        Mark::Broken,
        "Service team-a/web",
        "spec.type",
    ),
    (
        "no selector",
        |c| c.services[0]["spec"]["selector"] = json!({}),
        "service",
        Mark::Broken,
        "Service team-a/web",
        "spec.selector",
    ),
    (
        "no auth Service",
        |c| c.app["spec"]["routes"][1]["externalAuth"] = json!({"service": "login", "port": 80, "path": "/"}),
        "service",
        Mark::Broken,
        "ExposedApp team-a/shop",
        "spec.routes[1].externalAuth.service",
    ),
    (
        "no pod",
        |c| {
            c.slices.pop();
        },
        "pods",
        Mark::Broken,
        "Service team-a/cart",
        "spec.selector",
    ),
    (
        "no pod is ready",
        |c| c.slices[1] = slice("cart", &[false, false]),
        "pods",
        Mark::Broken,
        "Service team-a/cart",
        "spec.ports[].targetPort, or the pods' readiness",
    ),
    (
        "no pod has the port",
        |c| c.slices[1]["ports"][0]["name"] = json!("grpc"),
        "pods",
        Mark::Broken,
        "Service team-a/cart",
        "spec.ports[].targetPort, or the pods' readiness",
    ),
    ("the policy is on its way", |c| c.says("NetworkPolicyApplied", "Applying", ""), "pods", Mark::Waits, "", ""),
];

#[test]
fn the_first_broken_hop_is_named_with_object_and_field() {
    for (name, change, hop, mark, object, field) in CASES {
        let mut cluster = cluster("/cart");
        change(&mut cluster);
        let found = first(&cluster.read());
        assert_eq!((found.hop, found.mark), (*hop, *mark), "{name}: {found:#?}");
        if *mark == Mark::Broken {
            assert_eq!((found.object.as_str(), found.field.as_str()), (*object, *field), "{name}");
            assert!(!found.cure.is_empty(), "{name}: {found:#?}");
        }
    }
}

#[test]
fn what_follows_from_a_broken_hop_only_waits() {
    // A record is written last: a missing Service is the cause, the missing name its consequence.
    let mut cluster = cluster("/cart");
    cluster.says("DNSReady", "Pending", "shop.example.com waits for a healthy target");
    cluster.says("ResolvedRefs", "BackendNotFound", "spec.routes[1].backends[1]: \"cart\" does not exist");
    cluster.facts.dns = Some(Answer::None("no such name".into()));
    cluster.services.pop();
    let found = trace(&cluster.read());
    assert_eq!(found.hops[2].mark, Mark::Waits);
    assert_eq!(found.hops[found.first().unwrap()].hop, "service");
}

#[test]
fn nobody_names_the_host() {
    let mut cluster = cluster("/");
    cluster.app["spec"]["hosts"] = json!(["blog.example.com"]);
    let found = trace(&cluster.read());
    assert_eq!((found.app.is_none(), found.first(), found.hops.len()), (true, Some(0), 1));
    assert_eq!(found.hops[0].field, "spec.hosts");
}

#[test]
fn a_wildcard_carries_the_names_below_and_an_exact_name_goes_first() {
    let mut wild = cluster("/").app;
    wild["spec"]["hosts"] = json!(["*.example.com"]);
    wild["metadata"]["name"] = json!("wild");
    wild["status"]["hosts"][0]["host"] = json!("*.example.com");
    let read = |apps: &[&Value]| -> Vec<ExposedApp> {
        apps.iter().map(|app| serde_json::from_value((*app).clone()).unwrap()).collect()
    };
    let host = Host::parse("shop.example.com").unwrap();
    let apps = read(&[&wild]);
    assert_eq!(publisher(&apps, &host).unwrap().host.as_text(), "*.example.com");
    let apps = read(&[&wild, &app()]);
    assert_eq!(publisher(&apps, &host).unwrap().host, host);
    // Who stands goes before who only asks.
    let mut asks = app();
    asks["metadata"]["namespace"] = json!("team-b");
    asks["status"] = json!({});
    let apps = read(&[&asks, &wild]);
    assert_eq!(publisher(&apps, &host).unwrap().namespace, "team-a");
}

#[test]
fn the_leaders_words_about_the_host_are_kept() {
    let part = |kind: &str, name: &str, waiting: &str, held: &str| PartReport {
        part: PartName { kind: kind.into(), name: name.into() },
        waiting: vec![waiting.into()],
        held: vec![held.into()],
        ..PartReport::default()
    };
    let parts = vec![
        part("Namespace", "team-a", "shop.example.com: rule", "a"),
        part("Namespace", "team-b", "shop.example.com: rule", "b"),
        part("Shard", "public#0", "blog.example.com: rule", "c"),
        part("Shard", "public#1", "x", "d"),
    ];
    let facts = Facts { plan: Read::Seen(Report { parts, ..Report::default() }), ..cluster("/").read() };
    assert_eq!(trace(&facts).plan.unwrap(), ["held: a", "waits for shop.example.com: rule", "held: c"]);
}
