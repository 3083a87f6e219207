use std::sync::Arc;

use gatehouse_crds::{ExposedAppSpec, ExposurePolicySpec, Grant, HostClaimSpec, HostClaimStatus, NamespaceMatch};

use super::*;
use crate::world::{AppFacts, Meta, NamespaceFacts, PolicyFacts};

const GRACE: u64 = 3_600;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

/// Namespaces a and b; a holds shop.example.com, b asks for it; a policy each.
fn world() -> World {
    let mut world = World::default();
    for (ns, hosts) in [("a", vec!["shop.example.com"]), ("b", vec!["shop.example.com", "*.deep.example.com"])] {
        let meta = Meta { uid: format!("uid-{ns}"), ..Meta::default() };
        world.namespaces.insert(ns.into(), Arc::new(NamespaceFacts { meta, ..NamespaceFacts::default() }));
        let grant = Grant { hosts: hosts.into_iter().map(str::to_owned).collect(), ..Grant::default() };
        let spec = ExposurePolicySpec {
            namespaces: NamespaceMatch { names: vec![ns.into()], ..NamespaceMatch::default() },
            grants: vec![grant],
            ..ExposurePolicySpec::default()
        };
        world.policies.insert(format!("policy-{ns}"), Arc::new(PolicyFacts { spec, ..PolicyFacts::default() }));
    }
    app(&mut world, "b", "shop.example.com");
    claim(&mut world, "shop.example.com", "a", ClaimState::Held);
    world
}

fn app(world: &mut World, namespace: &str, host: &str) {
    let spec = ExposedAppSpec { hosts: vec![host.into()], ..ExposedAppSpec::default() };
    world.apps.insert(AppKey::new(namespace, "web"), Arc::new(AppFacts { spec, ..AppFacts::default() }));
}

fn claim(world: &mut World, text: &str, namespace: &str, state: ClaimState) {
    let released = (state == ClaimState::Released).then(|| Wall(1_000).rfc3339());
    let facts = ClaimFacts {
        meta: Meta { created: Wall(10), ..Meta::default() },
        spec: HostClaimSpec {
            host: text.into(),
            namespace: namespace.into(),
            namespace_uid: format!("uid-{namespace}"),
        },
        status: HostClaimStatus { state, released_at: released, ..HostClaimStatus::default() },
    };
    world.claims.insert(claim_name(&host(text)), Arc::new(facts));
}

fn commands(e: &Explanation) -> Vec<&str> {
    e.cures.iter().filter_map(|c| c.command.as_deref()).collect()
}

#[test]
fn a_reference_leads_to_its_host_and_namespace() {
    let world = world();
    let shop = host("shop.example.com");
    assert_eq!(find(&world, &refusal_id(&shop, "b")), Some((shop.clone(), "b".into())));
    // Admission refused it, so no app names it; the host is somebody's claim, the namespace exists.
    let mut stored = world.clone();
    stored.apps.clear();
    assert_eq!(find(&stored, &refusal_id(&shop, "b")), Some((shop, "b".into())));
    assert_eq!(find(&world, &refusal_id(&host("other.example.com"), "b")), None);
    assert_eq!(find(&world, "00000000"), None);
}

#[test]
fn a_taken_host_names_its_holder_and_the_command() {
    let e = explain(&world(), &host("shop.example.com"), "b", GRACE);
    assert_eq!((e.verdict, &e.granted_by[..]), (Verdict::Taken, &["policy-b".to_owned()][..]));
    assert_eq!(e.apps, ["web"]);
    let blocking = e.blocked_by.as_ref().unwrap();
    assert_eq!((blocking.namespace.as_str(), blocking.state, blocking.namespace_gone), ("a", ClaimState::Held, false));
    assert_eq!(commands(&e), ["gatehouse claims transfer shop.example.com --to b"]);
}

#[test]
fn what_is_not_granted_needs_a_grant_first() {
    let mut world = world();
    world.policies.remove("policy-b");
    let e = explain(&world, &host("shop.example.com"), "b", GRACE);
    assert_eq!(e.verdict, Verdict::NotGranted);
    assert!(e.cures[0].what.contains("make an ExposurePolicy"), "{:?}", e.cures);
    assert!(e.cures[1].what.starts_with("then give"), "{:?}", e.cures);
    world.claims.clear();
    let e = explain(&world, &host("shop.example.com"), "b", GRACE);
    assert_eq!((e.verdict, e.cures.len()), (Verdict::NotGranted, 1));
}

#[test]
fn a_released_host_says_until_when() {
    let mut world = world();
    claim(&mut world, "shop.example.com", "a", ClaimState::Released);
    let e = explain(&world, &host("shop.example.com"), "b", GRACE);
    assert_eq!(e.blocked_by.as_ref().unwrap().kept_until.as_deref(), Some(&*Wall(1_000 + 3_600).rfc3339()));
    assert!(e.cures[0].what.starts_with("wait: a let it go"), "{:?}", e.cures);
    assert_eq!(commands(&e).len(), 1);
}

#[test]
fn overlap_is_told_both_ways_and_cured_by_a_name() {
    let mut world = world();
    claim(&mut world, "x.deep.example.com", "a", ClaimState::Held);
    let e = explain(&world, &host("*.deep.example.com"), "b", GRACE);
    assert_eq!(e.blocked_by.as_ref().unwrap().host, "x.deep.example.com");
    assert!(e.cures[0].what.contains("name x.deep.example.com in spec.grants[].hosts of a policy for a"), "{e:?}");
    assert!(commands(&e).is_empty(), "a transfer of the one name would not free the wildcard");
}

#[test]
fn what_is_free_or_held_needs_nothing() {
    let mut world = world();
    world.claims.clear();
    assert_eq!(explain(&world, &host("shop.example.com"), "b", GRACE).verdict, Verdict::Free);
    claim(&mut world, "shop.example.com", "b", ClaimState::Held);
    let e = explain(&world, &host("shop.example.com"), "b", GRACE);
    assert_eq!((e.verdict, e.own), (Verdict::Held, Some(ClaimState::Held)));
}

#[test]
fn a_namespace_that_is_gone_is_told() {
    let mut world = world();
    world.namespaces.remove("a");
    let e = explain(&world, &host("shop.example.com"), "b", GRACE);
    assert!(e.blocked_by.unwrap().namespace_gone);
}
