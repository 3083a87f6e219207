//! The choice, on values made by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatehouse_crds::SharedLoadBalancerSpec;
use gatehouse_route::Host;

use super::{certificate_for, listener};
use crate::aws::{Certificate, Listener, ListenerKind};
use crate::certificates::Certificates;
use crate::desired::{HostDesired, NamespaceDesired};
use crate::identity::ShardKey;
use crate::observed::Observed;
use crate::plan::{Memory, NamespaceReview, View};
use crate::review::Rulebook;
use crate::settings::Settings;
use crate::time::{Mono, Now, Wall};
use crate::world::{LoadBalancerFacts, World};

const DAY: i64 = 86_400;
const NOW: i64 = 1_000 * DAY;

/// One namespace `a` with the host `shop.example.com` on one shard of the load balancer `lb`.
struct Scene {
    world: World,
    observed: Observed,
    reviews: BTreeMap<String, NamespaceReview>,
    desired: BTreeMap<String, NamespaceDesired>,
    lb: LoadBalancerFacts,
}

fn host() -> Host {
    Host::parse("shop.example.com").unwrap()
}

fn shard() -> ShardKey {
    ShardKey { load_balancer: "lb".into(), index: 0 }
}

fn scene(certificates: &[(&str, &[&str], i64)]) -> Scene {
    let mut listing = Certificates::default();
    for (arn, names, days) in certificates {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        let certificate = Certificate { names, not_after: NOW + days * DAY, ..Certificate::default() };
        listing.insert((*arn).to_owned(), certificate);
    }
    let mut observed = Observed::default();
    observed.certificates.entry("here".into()).or_default().set(Mono(1), listing);
    let hosts = ["shop.example.com", "*.example.com"].map(|h| Host::parse(h).unwrap());
    let rulebook = Rulebook { hosts: hosts.into(), ..Rulebook::default() };
    let wanted = HostDesired { placement: [("lb".to_owned(), 0)].into(), ..HostDesired::default() };
    let desired = NamespaceDesired {
        hosts: [(host(), wanted)].into(),
        shards: [(shard(), BTreeSet::from([host()]))].into(),
        ..NamespaceDesired::default()
    };
    let spec = SharedLoadBalancerSpec { region: "here".into(), ..SharedLoadBalancerSpec::default() };
    Scene {
        world: World::default(),
        observed,
        reviews: [("a".to_owned(), NamespaceReview { rulebook, ..NamespaceReview::default() })].into(),
        desired: [("a".to_owned(), desired)].into(),
        lb: LoadBalancerFacts { spec, ..LoadBalancerFacts::default() },
    }
}

impl Scene {
    fn view<T>(&self, ask: impl FnOnce(&View<'_>) -> T) -> T {
        let mut world = self.world.clone();
        world.load_balancers.insert("lb".into(), Arc::new(self.lb.clone()));
        ask(&View {
            now: Now { mono: Mono(1_000), wall: Wall(NOW) },
            settings: &Settings::default(),
            world: &world,
            observed: &self.observed,
            reviews: &self.reviews,
            desired: &self.desired,
            claims: &BTreeMap::new(),
            load: &BTreeMap::new(),
            memory: &Memory::default(),
        })
    }

    fn choice(&self) -> Option<String> {
        self.view(|view| certificate_for(view, "a", &host(), "lb", &self.desired["a"].hosts[&host()]))
    }

    fn attach(&mut self, arn: &str) {
        self.observed.shard_mut(&shard()).certificates.set(Mono(1), [arn.to_owned()].into());
    }

    fn default(&self) -> Option<String> {
        self.view(|view| listener::default(view, &shard(), &self.lb))
    }

    fn listen(&mut self, arn: &str) {
        let https =
            Listener { arn: "listener".into(), certificate: Some(arn.into()), ssl_policy: None, default_action: true };
        self.observed.shard_mut(&shard()).listeners.set(Mono(1), [(ListenerKind::Https, https)].into());
    }
}

#[test]
fn the_longest_is_chosen_and_what_is_attached_is_kept_until_its_last_month() {
    const NAMES: &[&str] = &["shop.example.com"];
    let mut scene = scene(&[("long", NAMES, 300), ("short", NAMES, 200), ("ending", NAMES, 29), ("past", NAMES, -1)]);
    assert_eq!(scene.choice().as_deref(), Some("long"));
    scene.attach("short");
    assert_eq!(scene.choice().as_deref(), Some("short"));
    scene.attach("ending");
    assert_eq!(scene.choice().as_deref(), Some("long"));
}

#[test]
fn near_the_end_the_longer_wins_and_an_expired_one_never_does() {
    const NAMES: &[&str] = &["*.example.com"];
    let mut ending = scene(&[("two days", NAMES, 2), ("twenty days", NAMES, 20)]);
    ending.attach("two days");
    assert_eq!(ending.choice().as_deref(), Some("twenty days"));
    assert_eq!(scene(&[("past", NAMES, 0)]).choice(), None);
}

#[test]
fn a_foreign_name_is_taken_only_where_it_is_shared() {
    let mut scene = scene(&[("mixed", &["shop.example.com", "other.example.net"], 300)]);
    assert_eq!(scene.choice(), None);
    scene.lb.spec.certificates.shared = vec!["mixed".into()];
    assert_eq!(scene.choice().as_deref(), Some("mixed"));
}

#[test]
fn a_private_one_must_be_asked_for() {
    let mut scene = scene(&[]);
    let names = ["shop.example.com".to_owned()].into();
    let private = Certificate { names, private_ca: true, ..Certificate::default() };
    let listing = Certificates::from(BTreeMap::from([("private".to_owned(), private)]));
    scene.observed.certificates.entry("here".into()).or_default().set(Mono(1), listing);
    assert_eq!(scene.choice(), None);
    scene.lb.spec.certificates.default = Some("private".into());
    assert_eq!(scene.choice().as_deref(), Some("private"));
}

#[test]
fn the_default_does_not_flip_and_is_replaced_when_it_is_gone() {
    const NAMES: &[&str] = &["shop.example.com"];
    let mut scene = scene(&[("arn:b", NAMES, 300), ("arn:c", NAMES, 200)]);
    scene.listen("arn:c");
    assert_eq!(scene.default().as_deref(), Some("arn:c"), "in use, so kept though another is longer");
    scene.listen("arn:gone");
    assert_eq!(scene.default().as_deref(), Some("arn:b"));
    scene.lb.spec.certificates.default = Some("arn:aws:acm:elsewhere:1:certificate/x".into());
    assert_eq!(scene.default().as_deref(), Some("arn:b"), "one of another Region cannot be it");
}
