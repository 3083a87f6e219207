//! Certificates: asked for once, proved through the zone, attached, replaced, given back; and never a foreign name.

use awsim_model::api::acm::{
    CertificateSummary, DeleteCertificate, ImportCertificate, ImportedFacts, ListCertificates,
};
use awsim_model::api::route53::{
    Change, ChangeBatch, ChangeResourceRecordSets, ListResourceRecordSets, ResourceRecord, ResourceRecordSet,
};
use awsim_model::{Caller, Millis, Policy};
use gatehouse_core::AppKey;
use gatehouse_crds::{Condition, ConditionStatus};

use crate::{BALANCER, app, aws, diff, essence, policy, ready, settings};
use gatehouse_virtual::{Fault, Sim};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Hosts two labels below the zone, so that the account's wildcard covers none of them.
fn start(mode: &str) -> Sim {
    let mut sim = Sim::new(settings(), aws());
    sim.cluster.namespace("team-a");
    sim.cluster.namespace("team-b");
    for ns in ["team-a", "team-b"] {
        sim.cluster.service(ns, "web", 8080);
    }
    sim.cluster.policy("a", &policy("team-a", "[shop.a.example.com, api.a.example.com]"));
    sim.cluster.policy("b", &policy("team-b", "[blog.b.example.com]"));
    let balancer = BALANCER.replace("certificates: {", &format!("certificates: {{mode: {mode}, "));
    sim.cluster.load_balancer("public", &balancer);
    sim.tally = true;
    sim.keep = usize::MAX;
    sim
}

fn condition(sim: &Sim, namespace: &str, name: &str, type_: &str) -> Condition {
    let app = &sim.cluster.world.apps[&AppKey::new(namespace, name)];
    app.status.conditions.iter().find(|c| c.type_ == type_).unwrap_or_else(|| panic!("no {type_}")).clone()
}

fn listed(sim: &mut Sim) -> Vec<CertificateSummary> {
    let all = sim.stranger(ListCertificates::default()).certificate_summary_list;
    all.into_iter().filter(|c| c.kind == "AMAZON_ISSUED").collect()
}

fn requests(sim: &Sim) -> usize {
    usize::try_from(sim.by_name.get("RequestCertificate").copied().unwrap_or(0)).unwrap()
}

fn import(sim: &mut Sim, names: &[&str], valid: u64) -> String {
    let parsed = ImportedFacts {
        names: names.iter().map(|n| (*n).to_owned()).collect(),
        key_algorithm: "RSA_2048".into(),
        not_before: Millis(sim.now),
        not_after: Millis(sim.now + valid),
    };
    let (certificate, private_key) = ("PEM".into(), "PEM".into());
    let call = ImportCertificate { certificate, private_key, parsed: Some(parsed), ..Default::default() };
    sim.stranger(call).certificate_arn
}

fn record(sim: &mut Sim, name: &str, kind: &str, value: &str) {
    let set = ResourceRecordSet {
        name: name.into(),
        kind: kind.into(),
        ttl: Some(60),
        resource_records: Some(vec![ResourceRecord { value: value.into() }]),
        ..Default::default()
    };
    let change_batch =
        ChangeBatch { comment: None, changes: vec![Change { action: "CREATE".into(), resource_record_set: set }] };
    sim.stranger(ChangeResourceRecordSets { hosted_zone_id: "Z0EXAMPLE1".into(), change_batch });
}

fn validation_records(sim: &mut Sim) -> Vec<String> {
    let call = ListResourceRecordSets { hosted_zone_id: "Z0EXAMPLE1".into(), ..Default::default() };
    let all = sim.stranger(call).resource_record_sets;
    all.into_iter().filter(|r| r.kind == "CNAME").map(|r| r.name).collect()
}

fn create(sim: &mut Sim) {
    sim.cluster.app("team-a", "shop", &app("[shop.a.example.com, api.a.example.com]", "web"));
}

#[test]
fn a_requested_certificate_is_issued_attached_and_given_back() {
    let mut sim = start("Request");
    create(&mut sim);
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop"), "{:?}\n{}", condition(&sim, "team-a", "shop", "Ready"), sim.tail());
    let all = listed(&mut sim);
    assert_eq!(all.len(), 1, "hosts of one app share a certificate: {all:?}");
    assert_eq!((all[0].status.as_str(), requests(&sim)), ("ISSUED", 1));
    assert_eq!(validation_records(&mut sim).len(), 2);
    // A host more asks for one more; what is covered stays as it is.
    sim.cluster.policy("more", &policy("team-a", "[new.a.example.com]"));
    sim.cluster.app("team-a", "new", &app("[new.a.example.com]", "web"));
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "new"), "{}", sim.tail());
    assert!(listed(&mut sim).iter().any(|c| c.certificate_arn == all[0].certificate_arn));
    assert_eq!((listed(&mut sim).len(), requests(&sim)), (2, 2));
    // Given back when the claims have gone, with their grace; the listener's default goes with the listener.
    sim.cluster.delete_app("team-a", "new");
    sim.run(HOUR);
    assert_eq!(listed(&mut sim).len(), 1, "{}", sim.tail());
    sim.cluster.delete_app("team-a", "shop");
    sim.run(HOUR);
    assert_eq!(listed(&mut sim).len(), 0, "{}", sim.tail());
    assert_eq!(validation_records(&mut sim).len(), 3, "validation records stay");
}

/// The last certificate of a listener is its default and goes after it.
#[test]
fn the_default_certificate_goes_after_its_load_balancer() {
    let mut sim = start("Request");
    sim.cluster.load_balancer("public", &BALANCER.replace("certificates: {shared", "certificates: {mode: Request} #"));
    create(&mut sim);
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    sim.cluster.delete_app("team-a", "shop");
    sim.run(HOUR);
    assert_eq!(listed(&mut sim).len(), 1, "a listener must have one");
    sim.cluster.delete_load_balancer("public");
    sim.run(2 * HOUR);
    assert_eq!(listed(&mut sim).len(), 0, "{}", sim.tail());
}

/// Plays a request and a removal once for every call, with the fault at that call.
fn matrix(fault: Fault) {
    let play = |sim: &mut Sim| {
        create(sim);
        sim.run(300_000);
        let asked: Vec<_> = listed(sim).into_iter().map(|c| (c.subject_alternative_name_summaries, c.status)).collect();
        let created = essence(sim);
        sim.cluster.delete_app("team-a", "shop");
        sim.run(HOUR);
        (asked, created, essence(sim))
    };
    let mut calm = start("Request");
    let expected = play(&mut calm);
    assert_eq!(expected.0.len(), 1);
    for n in 1..=calm.calls {
        let mut sim = start("Request");
        sim.faults = vec![(n, fault)];
        let got = play(&mut sim);
        assert_eq!(got.0, expected.0, "{fault:?} at call {n}: exactly one certificate\n{}", sim.tail());
        for (got, expected) in [(&got.1, &expected.1), (&got.2, &expected.2)] {
            let (got, expected) = (anonymous(got), anonymous(expected));
            assert!(got == expected, "{fault:?} at call {n}\n{}\n{}", diff(&expected, &got), sim.tail());
        }
    }
    println!("{fault:?} at each of {} calls: the same end state", calm.calls);
}

/// ARNs of certificates depend on when they were asked for.
fn anonymous(essence: &str) -> String {
    let mut parts = essence.split("certificate/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("certificate/");
        out.push_str(part.get(36..).filter(|_| !part.starts_with("00000000")).unwrap_or(part));
    }
    out
}

#[test]
fn every_call_of_a_request_may_be_refused() {
    matrix(Fault::Before);
}

#[test]
fn every_call_of_a_request_may_act_and_not_answer() {
    matrix(Fault::After);
}

#[test]
fn every_call_of_a_request_may_be_lost() {
    matrix(Fault::Lost);
}

#[test]
fn every_call_of_a_request_may_act_late() {
    matrix(Fault::Late);
}

#[test]
fn the_leader_may_change_at_every_call_of_a_request() {
    matrix(Fault::LeaderChange);
}

#[test]
fn the_incremental_plan_is_the_full_plan_with_requests() {
    let mut sim = start("Request");
    sim.oracle = true;
    create(&mut sim);
    sim.cluster.app("team-b", "blog", &app("[blog.b.example.com]", "web"));
    sim.run(120_000);
    sim.cluster.delete_app("team-a", "shop");
    sim.run(HOUR);
    assert_eq!(listed(&mut sim).len(), 1);
}

/// A refused name backs off by itself, through changes of leader, and holds up nobody else.
#[test]
fn a_refused_request_backs_off_and_is_told() {
    let mut sim = start("Request");
    record(&mut sim, "a.example.com", "CAA", "0 issue \"letsencrypt.org\"");
    create(&mut sim);
    sim.cluster.app("team-b", "blog", &app("[blog.b.example.com]", "web"));
    sim.run(120_000);
    assert!(ready(&sim, "team-b", "blog"), "others are not held up");
    let told = condition(&sim, "team-a", "shop", "CertificateReady");
    assert_eq!(told.reason, "RequestFailed", "{told:?}");
    assert!(told.message.contains("CAA_ERROR"), "{}", told.message);
    for _ in 0..30 {
        sim.run(DAY);
        sim.elect();
    }
    // One of team-b, one for the bundle, at once one for each of its hosts, then 2, 4, 8, 16 and 24 hours apart.
    assert!((20..=2 * 36).contains(&requests(&sim)), "{} requests in a month", requests(&sim));
    assert!(listed(&mut sim).len() <= 4, "failed ones are given back: {:?}", listed(&mut sim));
}

#[test]
fn a_request_that_nobody_can_prove_times_out_and_is_asked_again() {
    let mut sim = start("Request");
    create(&mut sim);
    sim.run(60_000);
    assert!(ready(&sim, "team-a", "shop"));
    // The same again, where somebody's own CNAMEs stand where ACM wants its proof.
    let names = validation_records(&mut sim);
    let mut sim = start("Request");
    for name in &names {
        record(&mut sim, name, "CNAME", "elsewhere.example.net");
        sim.run(100);
    }
    create(&mut sim);
    sim.run(120_000);
    let told = condition(&sim, "team-a", "shop", "CertificateReady");
    assert_eq!(told.reason, "RecordConflict", "{told:?}");
    assert!(told.message.contains("elsewhere.example.net"), "{}", told.message);
    sim.run(30 * DAY);
    assert!((3..=21).contains(&requests(&sim)), "{} requests in a month", requests(&sim));
}

#[test]
fn a_foreign_name_is_never_attached() {
    let mut sim = start("Discover");
    let mixed = import(&mut sim, &["shop.a.example.com", "api.a.example.com", "blog.b.example.com"], 90 * DAY);
    sim.cluster.policy("arn", &format!(
        "namespaces: {{names: [team-b]}}\ngrants: [{{hosts: [blog.b.example.com], certificates: [\"{mixed}\"]}}]\nloadBalancers: [public]\n"
    ));
    create(&mut sim);
    let named = format!("{}tls: {{mode: Arn, certificateArn: \"{mixed}\"}}\n", app("[blog.b.example.com]", "web"));
    sim.cluster.app("team-b", "blog", &named);
    sim.run(120_000);
    for (namespace, name, foreign) in
        [("team-a", "shop", "blog.b.example.com"), ("team-b", "blog", "api.a.example.com")]
    {
        let told = condition(&sim, namespace, name, "CertificateReady");
        assert_eq!(told.reason, "CertificateNotGranted", "{told:?}");
        assert!(told.message.contains(foreign), "{}", told.message);
    }
    let attached =
        sim.lines().any(|l| l.contains(&mixed) && (l.contains("AddListener") || l.contains("CreateListener")));
    assert!(!attached, "{}", sim.tail());
}

#[test]
fn what_a_named_certificate_lacks_is_told() {
    let mut sim = start("Discover");
    let other = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-4000-8000-000000000009";
    let absent = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000009";
    let narrow = import(&mut sim, &["shop.a.example.com"], 90 * DAY);
    let gone = import(&mut sim, &["blog.b.example.com"], 1_000);
    sim.cluster.policy("arn", &format!(
        "namespaces: {{names: [team-b]}}\ngrants: [{{hosts: [blog.b.example.com], certificates: [\"{other}\", \"{absent}\", \"{narrow}\", \"{gone}\"]}}]\nloadBalancers: [public]\n"
    ));
    for (arn, reason) in [
        (other, "CertificateInOtherRegion"),
        (absent, "CertificateNotFound"),
        (&narrow, "CertificateDoesNotCover"),
        (&gone, "CertificateNotUsable"),
    ] {
        let named = format!("{}tls: {{mode: Arn, certificateArn: \"{arn}\"}}\n", app("[blog.b.example.com]", "web"));
        sim.cluster.app("team-b", "blog", &named);
        sim.run(90_000);
        let told = condition(&sim, "team-b", "blog", "CertificateReady");
        assert_eq!((told.reason.as_str(), told.status), (reason, ConditionStatus::False), "{told:?}");
        assert!(told.message.contains(arn), "{}", told.message);
    }
}

#[test]
fn an_end_is_announced_and_a_longer_certificate_takes_over() {
    let mut sim = start("Discover");
    let first = import(&mut sim, &["blog.b.example.com"], 40 * DAY);
    sim.cluster.app("team-b", "blog", &app("[blog.b.example.com]", "web"));
    sim.run(120_000);
    assert_eq!(condition(&sim, "team-b", "blog", "CertificateReady").reason, "Attached");
    sim.run(10 * DAY + HOUR);
    let told = condition(&sim, "team-b", "blog", "CertificateReady");
    assert_eq!((told.reason.as_str(), told.status), ("ExpiresSoon", ConditionStatus::True), "{told:?}");
    assert!(told.message.contains(&first), "{}", told.message);
    assert!(ready(&sim, "team-b", "blog"));
    let second = import(&mut sim, &["blog.b.example.com"], 400 * DAY);
    sim.run(7 * HOUR);
    let app = &sim.cluster.world.apps[&AppKey::new("team-b", "blog")];
    assert_eq!(app.status.hosts[0].certificate_arn.as_ref(), Some(&second), "{}", sim.tail());
    assert_eq!(condition(&sim, "team-b", "blog", "CertificateReady").reason, "Attached");
    // The old one is let go, so that its owner can delete it.
    sim.run(HOUR);
    sim.stranger(DeleteCertificate { certificate_arn: first });
}

/// Twenty-six namespaces, a host and, if they are there before it, a certificate each.
fn crowd(before: bool) -> Sim {
    let mut sim = Sim::new(settings(), aws());
    sim.cluster.load_balancer("public", BALANCER);
    for i in 0..26 {
        let (namespace, host) = (format!("n{i:02}"), format!("w.n{i:02}.example.com"));
        sim.cluster.namespace(&namespace);
        sim.cluster.service(&namespace, "web", 8080);
        sim.cluster.policy(&namespace, &policy(&namespace, &format!("[{host}]")));
        if before {
            import(&mut sim, &[&host], 365 * DAY);
        }
        sim.cluster.app(&namespace, "app", &app(&format!("[{host}]"), "web"));
    }
    sim
}

#[test]
fn a_certificate_beyond_the_quota_opens_another_alb() {
    let mut sim = crowd(true);
    sim.run(400_000);
    assert!((0..26).all(|i| ready(&sim, &format!("n{i:02}"), "app")), "{}", sim.tail());
    assert_eq!(sim.aws.essence()["loadBalancers"].as_object().unwrap().len(), 2);
}

/// A host has its place before its certificate is there: then it waits for room.
#[test]
fn certificates_beyond_the_quota_are_held_and_told() {
    let mut sim = crowd(false);
    sim.run(60_000);
    for i in 0..26 {
        import(&mut sim, &[&format!("w.n{i:02}.example.com")], 365 * DAY);
    }
    sim.run(800_000);
    let told: Vec<Condition> = (0..26)
        .map(|i| condition(&sim, &format!("n{i:02}"), "app", "CertificateReady"))
        .filter(|c| c.status == ConditionStatus::False)
        .collect();
    // The default is no certificate of theirs, and one slot stays free.
    assert_eq!(told.len(), 2, "{told:?}\n{}", sim.tail());
    assert!(told.iter().all(|c| c.reason == "QuotaExceeded"));
    assert!(told[0].message.contains("24 of 25"), "{}", told[0].message);
    let held = &sim.cluster.world.load_balancers["public"].status.held;
    assert!(held.iter().any(|h| h.contains("24 of 25")), "{held:?}");
}

#[test]
fn nothing_is_asked_for_without_a_public_zone() {
    let mut sim = start("Request");
    sim.cluster.policy("far", &policy("team-a", "[shop.elsewhere.test]"));
    sim.cluster.app("team-a", "far", &app("[shop.elsewhere.test]", "web"));
    sim.run(120_000);
    assert_eq!(condition(&sim, "team-a", "far", "CertificateReady").reason, "NoHostedZone");
    assert_eq!(requests(&sim), 0);
}

/// The shipped IAM policy allows every call of a whole life, and does not let us delete a stranger's certificate.
#[test]
fn the_iam_policy_is_enough() {
    let text = include_str!("../../../config/iam/policy.json")
        .replace("REGION", "eu-central-1")
        .replace("ACCOUNT", "123456789012")
        .replace("CLUSTER_ID", "test")
        .replace("ZONE_ID", "Z0EXAMPLE1");
    let mut sim = start("Request");
    sim.caller = Caller::limited("gatehouse", Policy::parse(&text).unwrap());
    create(&mut sim);
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "shop"), "{:?}\n{}", condition(&sim, "team-a", "shop", "Ready"), sim.tail());
    sim.cluster.delete_app("team-a", "shop");
    sim.run(HOUR);
    assert_eq!(listed(&mut sim).len(), 0, "{}", sim.tail());
    let denied: Vec<String> = sim.lines().filter(|l| l.contains("AccessDenied")).collect();
    assert!(denied.is_empty(), "{denied:?}");
    let foreign = import(&mut sim, &["shop.a.example.com"], DAY);
    let delete = DeleteCertificate { certificate_arn: foreign };
    assert!(sim.aws.ask(Millis(sim.now), &sim.caller.clone(), delete).is_err());
}
