//! Route 53: batches, texts, order, paging, names in DNS.

mod common;

use awsim_model::api::route53::*;
use awsim_model::settings::{Delays, SeedZone};
use awsim_model::{DnsCode, Millis, Settings, View};
use common::*;
use proptest::prelude::*;

fn list(w: &mut World) -> Vec<(String, String)> {
    let call = ListResourceRecordSets { hosted_zone_id: ZONE.into(), ..Default::default() };
    w.ok(call).resource_record_sets.into_iter().map(|set| (set.name, set.kind)).collect()
}

fn refusal(w: &mut World, changes: Vec<(&str, ResourceRecordSet)>) -> String {
    let Err(error) = w.ask(batch(changes)) else { panic!("not refused") };
    assert!(["InvalidChangeBatch", "InvalidInput"].contains(&error.code.as_str()), "{error}");
    error.message
}

#[test]
fn texts_of_refusals() {
    let mut w = World::instant();
    let a = || record("a.example.com", "A", &["10.0.0.1"]);
    w.ok(batch(vec![("CREATE", a())]));
    let cases: Vec<(Vec<(&str, ResourceRecordSet)>, &str)> = vec![
        (
            vec![("CREATE", a())],
            "Tried to create resource record set [name='a.example.com.', type='A'] but it already exists",
        ),
        (vec![("DELETE", record("b.example.com", "A", &["10.0.0.1"]))], "but it was not found"),
        (
            vec![("DELETE", record("a.example.com", "A", &["10.0.0.2"]))],
            "but the values provided do not match the current values",
        ),
        (
            vec![("UPSERT", record("a.example.org", "A", &["10.0.0.1"]))],
            "RRSet with DNS name a.example.org. is not permitted in zone example.com.",
        ),
        (vec![("DELETE", a()), ("DELETE", a())], "invalid set of changes"),
        (vec![("CREATE", record("a.example.com", "CNAME", &["x.org"]))], "conflicts with other records"),
        (vec![("CREATE", record("example.com", "CNAME", &["x.org"]))], "not permitted at apex"),
        (vec![("CREATE", record("t.example.com", "TXT", &["bare"]))], "enclosed in quotation marks"),
        (vec![("CREATE", record("t.example.com", "A", &["nonsense"]))], "not a valid IPv4 address"),
        (vec![("CREATE", ResourceRecordSet { ttl: None, ..a() })], "but found none"),
    ];
    for (changes, expected) in cases {
        let before = w.aws.essence();
        let text = refusal(&mut w, changes);
        assert!(text.contains(expected), "{text} should contain {expected}");
        assert_eq!(w.aws.essence(), before, "a refused batch changes nothing");
    }
}

#[test]
fn a_cname_becomes_an_alias_in_one_batch() {
    let mut w = World::instant();
    let lb = w.load_balancer("lb");
    let cname = || record("a.example.com", "CNAME", &["x.org"]);
    w.ok(batch(vec![("CREATE", cname())]));
    w.ok(batch(vec![("DELETE", cname()), ("CREATE", alias("a.example.com", &lb))]));
    let answer = w.aws.resolve(w.now, "A.example.com", "A");
    let values: Vec<_> = answer.records.iter().map(|r| (r.name.as_str(), r.value.as_str())).collect();
    assert_eq!(values, [("a.example.com.", "10.0.0.10"), ("a.example.com.", "10.0.1.10")]);
}

#[test]
fn upsert_counts_twice() {
    let mut w = World::instant();
    let many = |action: &'static str, n: usize| {
        batch((0..n).map(|n| (action, record(&format!("h{n}.example.com"), "A", &["10.0.0.1"]))).collect())
    };
    assert_eq!(w.code(many("UPSERT", 501)), "InvalidChangeBatch");
    assert_eq!(w.code(many("UPSERT", 500)), "ok");
    let text = format!("\"{}\"", "x".repeat(253));
    let long =
        |n: usize| batch((0..n).map(|n| ("CREATE", record(&format!("t{n}.example.com"), "TXT", &[&text]))).collect());
    assert_eq!(w.code(long(126)), "InvalidChangeBatch");
    assert_eq!(w.code(long(125)), "ok");
}

#[test]
fn order_paging_and_the_star() {
    let mut w = World::instant();
    for name in ["b.example.com", "*.example.com", "a.b.example.com", "a.example.com"] {
        w.ok(batch(vec![("CREATE", record(name, "A", &["10.0.0.1"]))]));
    }
    let names: Vec<String> = list(&mut w).into_iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    assert_eq!(
        names,
        [
            "example.com. NS",
            "example.com. SOA",
            "\\052.example.com. A",
            "a.example.com. A",
            "b.example.com. A",
            "a.b.example.com. A"
        ]
    );
    let mut start = (None, None);
    let mut seen = 0;
    loop {
        let page = w.ok(ListResourceRecordSets {
            hosted_zone_id: format!("/hostedzone/{ZONE}"),
            start_record_name: start.0.take(),
            start_record_type: start.1.take(),
            max_items: Some(2),
            ..Default::default()
        });
        seen += page.resource_record_sets.len();
        if !page.is_truncated {
            break;
        }
        start = (page.next_record_name, page.next_record_type);
    }
    assert_eq!(seen, 6);
    let bad = ListResourceRecordSets {
        hosted_zone_id: ZONE.into(),
        start_record_type: Some("A".into()),
        ..Default::default()
    };
    assert_eq!(w.code(bad), "InvalidInput");
}

#[test]
fn pending_then_in_sync_and_a_busy_zone() {
    let mut w = World::new(Settings { delays: Delays::real(), ..Settings::instant() });
    let info = w.ok(batch(vec![("CREATE", record("a.example.com", "A", &["10.0.0.1"]))])).change_info;
    assert_eq!(info.status, "PENDING");
    let again = batch(vec![("CREATE", record("b.example.com", "A", &["10.0.0.1"]))]);
    assert_eq!(w.code(again.clone()), "PriorRequestNotComplete");
    assert!(list(&mut w).iter().any(|(name, _)| name == "a.example.com."), "lists show pending changes");
    assert_eq!(w.aws.resolve(w.now, "a.example.com", "A").code, DnsCode::NxDomain);
    w.wait(Millis::secs(40));
    assert_eq!(w.ok(GetChange { id: info.id }).change_info.status, "INSYNC");
    assert_eq!(w.aws.resolve(w.now, "a.example.com", "A").records.len(), 1);
    assert_eq!(w.code(again), "ok");
}

#[test]
fn wildcards_end_where_names_exist() {
    let mut w = World::instant();
    w.ok(batch(vec![
        ("CREATE", record("*.example.com", "A", &["10.0.0.1"])),
        ("CREATE", record("_x.app.example.com", "TXT", &["\"t\""])),
        ("CREATE", record("txt.example.com", "TXT", &["\"t\""])),
        ("CREATE", record("c.example.com", "CNAME", &["deep.er.example.com"])),
    ]));
    for (name, kind, code, count) in [
        ("any.example.com", "A", DnsCode::NoError, 1),
        ("deep.er.example.com", "A", DnsCode::NoError, 1),
        ("any.example.com", "AAAA", DnsCode::NoError, 0),
        // An empty non-terminal exists, so the wildcard is silent at it and below it.
        ("app.example.com", "A", DnsCode::NoError, 0),
        ("y.app.example.com", "A", DnsCode::NxDomain, 0),
        ("txt.example.com", "A", DnsCode::NoError, 0),
        ("c.example.com", "A", DnsCode::NoError, 2),
        ("example.com", "SOA", DnsCode::NoError, 1),
        ("example.org", "A", DnsCode::Refused, 0),
    ] {
        let answer = w.aws.resolve(w.now, name, kind);
        assert_eq!((answer.code, answer.records.len()), (code, count), "{kind} {name}");
        assert_eq!(answer.soa.is_some(), count == 0 && code != DnsCode::Refused, "{kind} {name}");
    }
}

#[test]
fn private_zones_answer_inside_the_vpc_only() {
    let mut settings = Settings::instant();
    settings.zones.push(SeedZone { id: "Z9".into(), name: "example.com".into(), private: true, role_arn: None });
    let mut w = World::new(settings);
    w.ok(ChangeResourceRecordSets {
        hosted_zone_id: "Z9".into(),
        ..batch(vec![("CREATE", record("in.example.com", "A", &["10.0.0.7"]))])
    });
    assert_eq!(w.aws.resolve(w.now, "in.example.com", "A").code, DnsCode::NxDomain);
    assert_eq!(w.aws.resolve_in(View::Vpc, w.now, "in.example.com", "A").records.len(), 1);
}

#[test]
fn zones() {
    let mut w = World::instant();
    let create = |reference: &str| CreateHostedZone {
        name: "B.org".into(),
        caller_reference: reference.into(),
        ..Default::default()
    };
    let zone = w.ok(create("one")).hosted_zone;
    assert_eq!(w.code(create("one")), "HostedZoneAlreadyExists");
    assert_eq!(zone.name, "b.org.");
    let by_name = ListHostedZonesByName { dns_name: Some("a.org".into()), ..Default::default() };
    let names: Vec<_> = w.ok(by_name).hosted_zones.into_iter().map(|zone| zone.name).collect();
    assert_eq!(names, ["b.org."], "the list starts at the name");
    assert_eq!(w.code(DeleteHostedZone { id: zone.id.clone() }), "ok");
    assert_eq!(w.code(GetHostedZone { id: zone.id }), "NoSuchHostedZone");
    w.ok(batch(vec![("CREATE", record("a.example.com", "A", &["10.0.0.1"]))]));
    assert_eq!(w.code(DeleteHostedZone { id: ZONE.into() }), "HostedZoneNotEmpty");
    let limit = GetHostedZoneLimit { kind: "MAX_RRSETS_BY_ZONE".into(), hosted_zone_id: ZONE.into() };
    let limit = w.ok(limit);
    assert_eq!((limit.limit.value, limit.count), (10_000, 3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A batch is applied whole or not at all, and what it says afterwards is there.
    #[test]
    fn batches_are_atomic(
        before in prop::collection::vec((0..6_u8, 0..3_u8), 0..6),
        changes in prop::collection::vec((0..3_u8, 0..6_u8, 0..3_u8), 1..6),
    ) {
        let mut w = World::instant();
        let set = |name: u8, value: u8| record(&format!("n{name}.example.com"), "A", &[&format!("10.0.0.{value}")]);
        for (name, value) in before {
            w.ok(batch(vec![("UPSERT", set(name, value))]));
        }
        let state = w.aws.essence();
        let batch_of = |changes: &[(u8, u8, u8)]| batch(
            changes.iter().map(|(action, name, value)| (["CREATE", "DELETE", "UPSERT"][usize::from(*action)], set(*name, *value))).collect(),
        );
        match w.ask(batch_of(&changes)) {
            Err(error) => {
                prop_assert_eq!(error.code, "InvalidChangeBatch");
                prop_assert_eq!(w.aws.essence(), state);
            }
            Ok(_) => {
                for (action, name, value) in &changes {
                    let found = w.aws.resolve(w.now, &format!("n{name}.example.com"), "A").records;
                    if *action != 1 {
                        prop_assert_eq!(&found[0].value, &format!("10.0.0.{value}"));
                    } else if !changes.iter().any(|(a, n, _)| *a != 1 && n == name) {
                        prop_assert!(found.is_empty());
                    }
                }
            }
        }
    }
}
