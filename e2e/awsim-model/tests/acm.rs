//! ACM, IAM, tagging, and the model as a value.

mod common;

use awsim_model::api::acm::*;
use awsim_model::api::elbv2::{
    self, AddListenerCertificates, CreateListener, DescribeLoadBalancers, RemoveListenerCertificates,
};
use awsim_model::api::sts::{GetResources, TagFilter};
use awsim_model::settings::{Delays, quota};
use awsim_model::{Aws, Caller, Millis, Policy, Request, Settings, Tag};
use common::*;

fn request(names: &[&str]) -> RequestCertificate {
    RequestCertificate {
        domain_name: names[0].into(),
        subject_alternative_names: Some(texts(&names[1..])),
        validation_method: Some("DNS".into()),
        ..Default::default()
    }
}

fn describe(w: &mut World, arn: &str) -> CertificateDetail {
    w.ok(DescribeCertificate { certificate_arn: arn.into() }).certificate
}

#[test]
fn validation_through_dns() {
    let mut w = World::new(Settings { delays: Delays::real(), ..Settings::instant() });
    let arn = w.ok(request(&["new.example.com", "*.new.example.com"])).certificate_arn;
    let detail = describe(&mut w, &arn);
    assert_eq!(detail.status, "PENDING_VALIDATION");
    assert!(detail.domain_validation_options.unwrap()[0].resource_record.is_none(), "not at once");
    w.wait(Millis::secs(5));
    let options = describe(&mut w, &arn).domain_validation_options.unwrap();
    assert_eq!(options[0].resource_record, options[1].resource_record, "apex and wildcard share a record");
    let cname = options[0].resource_record.clone().unwrap();
    w.wait(Millis::secs(600));
    assert_eq!(describe(&mut w, &arn).status, "PENDING_VALIDATION");
    w.ok(batch(vec![("CREATE", record(&cname.name, "CNAME", &[&cname.value]))]));
    let mut steps = 0;
    while describe(&mut w, &arn).status != "ISSUED" {
        w.now = w.aws.next_event(w.now).unwrap();
        steps += 1;
        assert!(steps < 10);
    }
    let issued = describe(&mut w, &arn);
    assert_eq!(issued.domain_validation_options.unwrap()[1].validation_status.as_deref(), Some("SUCCESS"));
    let later = w.ok(request(&["new.example.com"])).certificate_arn;
    w.wait(Millis::secs(200));
    assert_eq!(describe(&mut w, &later).status, "ISSUED", "the record is reused");
}

#[test]
fn time_outs_and_refusals() {
    let mut w = World::instant();
    let arn = w.ok(request(&["never.example.org"])).certificate_arn;
    w.wait(Millis::secs(72 * 3600));
    assert_eq!(describe(&mut w, &arn).status, "VALIDATION_TIMED_OUT");
    w.ok(batch(vec![("CREATE", record("example.com", "CAA", &["0 issue \"other.org\""]))]));
    let arn = w.ok(request(&["caa.example.com"])).certificate_arn;
    let cname = describe(&mut w, &arn).domain_validation_options.unwrap()[0].resource_record.clone().unwrap();
    w.ok(batch(vec![("CREATE", record(&cname.name, "CNAME", &[&cname.value]))]));
    let failed = describe(&mut w, &arn);
    assert_eq!((failed.status.as_str(), failed.failure_reason.as_deref()), ("FAILED", Some("CAA_ERROR")));
    for (names, expected) in
        [(vec!["a.*.com"], "ValidationException"), (vec!["nodots"], "ValidationException"), (vec!["a.com"; 1], "ok")]
    {
        assert_eq!(w.code(request(&names)), expected, "{names:?}");
    }
    let many: Vec<String> = (0..11).map(|n| format!("h{n}.example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(w.code(request(&many)), "LimitExceededException");
}

#[test]
fn tokens_make_requests_idempotent_for_an_hour() {
    let mut w = World::instant();
    let call = RequestCertificate { idempotency_token: Some("t1".into()), ..request(&["a.example.com"]) };
    let first = w.ok(call.clone()).certificate_arn;
    assert_eq!(w.ok(call.clone()).certificate_arn, first);
    w.wait(Millis::secs(3600));
    assert_ne!(w.ok(call).certificate_arn, first);
    let bad = RequestCertificate { idempotency_token: Some("a-b".into()), ..request(&["a.example.com"]) };
    assert_eq!(w.code(bad), "ValidationException");
}

#[test]
fn certificates_in_use() {
    let mut w = World::instant();
    w.aws.settings_mut().delays.in_use_lag = Millis(100);
    w.aws.settings_mut().quotas.set(quota::CERTIFICATES, 1).unwrap();
    let import = |name: &str| ImportCertificate {
        certificate: "pem".into(),
        private_key: "pem".into(),
        parsed: Some(ImportedFacts {
            names: texts(&[name]),
            key_algorithm: "EC_prime256v1".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let (one, two) = (w.ok(import("one.org")).certificate_arn, w.ok(import("two.org")).certificate_arn);
    let lb = w.load_balancer("lb").load_balancer_arn;
    let certificate = |arn: &str| elbv2::Certificate { certificate_arn: arn.into(), is_default: None };
    let https = |arn: &str| CreateListener {
        load_balancer_arn: lb.clone(),
        protocol: Some("HTTPS".into()),
        port: Some(443),
        certificates: Some(vec![certificate(arn)]),
        default_actions: vec![fixed("404")],
        ..Default::default()
    };
    let pending = w.ok(request(&["pending.example.org"])).certificate_arn;
    assert_eq!(w.code(https(&pending)), "UnsupportedCertificate");
    assert_eq!(w.code(https(&one.replace("certificate/", "certificate/0"))), "CertificateNotFound");
    let listener = w.ok(https(CERTIFICATE)).listeners.remove(0).listener_arn;
    let add =
        |arn: &str| AddListenerCertificates { listener_arn: listener.clone(), certificates: vec![certificate(arn)] };
    w.ok(add(&one));
    w.ok(add(&one));
    assert_eq!(w.code(add(&two)), "TooManyCertificates");
    assert_eq!(describe(&mut w, &one).in_use_by, vec![lb.clone()]);
    let delete = DeleteCertificate { certificate_arn: one.clone() };
    assert_eq!(w.code(delete.clone()), "ResourceInUseException");
    let remove =
        |arn: &str| RemoveListenerCertificates { listener_arn: listener.clone(), certificates: vec![certificate(arn)] };
    assert_eq!(w.code(remove(CERTIFICATE)), "OperationNotPermitted");
    w.ok(remove(&one));
    assert_eq!(w.code(delete.clone()), "ResourceInUseException", "for a while after");
    w.wait(Millis(100));
    assert_eq!(w.code(delete), "ok");
    let hidden = w.ok(ListCertificates::default()).certificate_summary_list;
    assert!(!hidden.iter().any(|summary| summary.certificate_arn == two), "EC keys are hidden by default");
    let includes = Some(CertificateFilters { key_types: Some(texts(&["EC_prime256v1"])), ..Default::default() });
    let shown = w.ok(ListCertificates { includes, ..Default::default() }).certificate_summary_list;
    assert_eq!(shown.len(), 1);
}

#[test]
fn policies_deny() {
    let mut w = World::instant();
    let tagged = |name: &str, cluster: &str| elbv2::CreateLoadBalancer {
        tags: Some(vec![Tag::new("cluster", cluster)]),
        ..new_load_balancer(name)
    };
    let stranger = w.ok(tagged("stranger", "other")).load_balancers.remove(0).load_balancer_arn;
    let policy = r#"{"Statement":[
        {"Effect":"Allow","Action":"elasticloadbalancing:Describe*","Resource":"*"},
        {"Effect":"Allow","Action":"elasticloadbalancing:CreateLoadBalancer",
         "Resource":"arn:aws:elasticloadbalancing:*:*:loadbalancer/app/gate-*/*",
         "Condition":{"Null":{"aws:RequestTag/cluster":"false"}}},
        {"Effect":"Allow","Action":"elasticloadbalancing:AddTags","Resource":"*",
         "Condition":{"StringEquals":{"elasticloadbalancing:CreateAction":"CreateLoadBalancer"}}},
        {"Effect":"Allow","Action":["elasticloadbalancing:Delete*","elasticloadbalancing:CreateListener"],"Resource":"*",
         "Condition":{"StringEquals":{"aws:ResourceTag/cluster":"mine"}}},
        {"Effect":"Allow","Action":"route53:ChangeResourceRecordSets","Resource":"arn:aws:route53:::hostedzone/Z0EXAMPLE1",
         "Condition":{"ForAllValues:StringLike":{"route53:ChangeResourceRecordSetsNormalizedRecordNames":["*.team.example.com"]},
                      "ForAllValues:StringEquals":{"route53:ChangeResourceRecordSetsActions":["CREATE"]}}}]}"#;
    w.caller = Caller::limited("op", Policy::parse(policy).unwrap());
    assert_eq!(w.code(DescribeLoadBalancers::default()), "ok");
    assert_eq!(w.code(new_load_balancer("gate-a")), "AccessDenied", "no tag");
    assert_eq!(w.code(tagged("other-a", "mine")), "AccessDenied", "other name");
    let mine = w.ok(tagged("gate-a", "mine")).load_balancers.remove(0).load_balancer_arn;
    assert_eq!(w.code(elbv2::DeleteLoadBalancer { load_balancer_arn: stranger }), "AccessDenied");
    assert_eq!(w.code(elbv2::DeleteLoadBalancer { load_balancer_arn: mine }), "ok");
    let create = |name: &str| batch(vec![("CREATE", record(name, "A", &["10.0.0.1"]))]);
    assert_eq!(w.code(create("a.team.example.com")), "ok");
    assert_eq!(w.code(create("a.other.example.com")), "AccessDenied");
    assert_eq!(w.code(batch(vec![("UPSERT", record("a.team.example.com", "A", &["10.0.0.2"]))])), "AccessDenied");
    assert_eq!(w.code(ListCertificates::default()), "AccessDeniedException");
}

#[test]
fn resources_by_tag() {
    let mut w = World::instant();
    w.ok(elbv2::CreateTargetGroup { tags: Some(vec![Tag::new("cluster", "a")]), ..new_group("tg") });
    w.group("untagged");
    w.ok(RequestCertificate { tags: Some(vec![Tag::new("cluster", "a")]), ..request(&["a.example.com"]) });
    let by = |values: Option<Vec<String>>, types: &[&str]| GetResources {
        tag_filters: Some(vec![TagFilter { key: "cluster".into(), values }]),
        resource_type_filters: Some(texts(types)),
        ..Default::default()
    };
    for (values, types, count) in [
        (None, vec![], 2),
        (Some(texts(&["b"])), vec![], 0),
        (None, vec!["elasticloadbalancing:targetgroup"], 1),
        (None, vec!["elasticloadbalancing:loadbalancer"], 0),
        (None, vec!["acm"], 1),
    ] {
        let found = w.ok(by(values.clone(), &types)).resource_tag_mapping_list;
        assert_eq!(found.len(), count, "{values:?} {types:?}");
    }
}

/// Every action decodes from nothing and answers, or refuses, in its own shape.
#[test]
fn every_action_is_dispatched() {
    let mut aws = Aws::new(Settings::instant()).unwrap();
    for (service, action) in Request::ACTIONS {
        let request = Request::decode(*service, action, serde_json::json!({})).unwrap().unwrap();
        assert_eq!((request.action(), request.service()), (*action, *service));
        match aws.call(Millis(1), &Caller::admin("a"), &request) {
            Ok(_) => {}
            Err(error) => assert_ne!(error.code, "InternalFailure", "{action}: {error}"),
        }
    }
}

#[test]
fn histories_in_another_order_have_one_essence() {
    let build = |swap: bool| {
        let mut w = World::instant();
        let lb = w.load_balancer("lb").load_balancer_arn;
        let listener = w.listener(&lb, 80);
        let mut names = ["one", "two"];
        if swap {
            names.reverse();
        }
        for name in names {
            let group = w.group(name);
            let priority = if name == "one" { 1 } else { 2 };
            w.rule(&listener, priority, &[&format!("{name}.example.com")], forward(&group));
            w.wait(Millis(17));
        }
        (w.aws.essence(), w.aws.dump(w.now))
    };
    assert_eq!(build(false).0, build(true).0);
    assert_eq!(build(false).1.to_string(), build(false).1.to_string());
}
