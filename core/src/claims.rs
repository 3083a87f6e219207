//! Who may hold a host.

use gatehouse_crds::ClaimState;
use gatehouse_route::Host;

use crate::identity::claim_name;
use crate::world::{ClaimFacts, World};

/// The claim of another namespace that keeps `namespace` from holding `host`, if any.
///
/// Wildcards and exact hosts are compared both ways; an exact host that a grant lists by name (`lists(namespace, host)`)
/// may stand beside a stranger's wildcard. Among claims that are both pending, the older one wins. A Released claim
/// keeps strangers away until it is deleted after the grace.
pub fn blocked_by<'a>(
    world: &'a World,
    host: &Host,
    namespace: &str,
    lists: &dyn Fn(&str, &Host) -> bool,
) -> Option<&'a ClaimFacts> {
    let uid = world.namespaces.get(namespace).map(|n| n.meta.uid.as_str());
    let mine = world
        .claims
        .get(&claim_name(host))
        .filter(|c| c.spec.namespace == namespace && Some(c.spec.namespace_uid.as_str()) == uid);
    let foreign =
        |claim: &&ClaimFacts| claim.spec.namespace != namespace || Some(claim.spec.namespace_uid.as_str()) != uid;
    let stands = |claim: &&ClaimFacts| match claim.status.state {
        ClaimState::Held | ClaimState::Released => true,
        ClaimState::Pending => mine.is_none_or(|mine| order(claim) < order(mine)),
    };
    let same = world.claims.get(&claim_name(host)).map(|c| &**c).filter(foreign).filter(stands);
    if same.is_some() {
        return same;
    }
    if host.is_wildcard() {
        let suffix = format!(".{}", host.suffix());
        return world
            .claims
            .values()
            .map(|c| &**c)
            .filter(|c| c.spec.host.ends_with(&suffix))
            .filter(foreign)
            .filter(stands)
            .find(|c| {
                Host::parse(&c.spec.host).is_ok_and(|other| host.covers(&other) && !lists(&c.spec.namespace, &other))
            });
    }
    let wildcard = host.parent_wildcard()?;
    if lists(namespace, host) {
        return None;
    }
    world.claims.get(&claim_name(&wildcard)).map(|c| &**c).filter(foreign).filter(stands)
}

/// Creation timestamps are whole seconds. Within one, the version tells who came first (a pending claim has had no other
/// write): by name, one that comes second could win while the first one is already being set Held.
fn order(claim: &ClaimFacts) -> (i64, u64, &str) {
    (claim.meta.created.0, claim.meta.resource_version, claim.spec.host.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gatehouse_crds::{HostClaimSpec, HostClaimStatus};

    use super::*;
    use crate::time::Wall;
    use crate::world::{Meta, NamespaceFacts};

    fn world(claims: &[(&str, &str, ClaimState, i64)]) -> World {
        let mut world = World::default();
        for ns in ["a", "b"] {
            let facts = NamespaceFacts {
                meta: Meta { uid: format!("uid-{ns}"), ..Meta::default() },
                ..NamespaceFacts::default()
            };
            world.namespaces.insert(ns.into(), Arc::new(facts));
        }
        for (host, ns, state, created) in claims {
            let host = Host::parse(host).unwrap();
            let claim = ClaimFacts {
                meta: Meta { created: Wall(*created), ..Meta::default() },
                spec: HostClaimSpec {
                    host: host.as_text(),
                    namespace: (*ns).into(),
                    namespace_uid: format!("uid-{ns}"),
                },
                status: HostClaimStatus { state: *state, ..HostClaimStatus::default() },
            };
            world.claims.insert(claim_name(&host), Arc::new(claim));
        }
        world
    }

    fn blocked(world: &World, host: &str, ns: &str, listed: bool) -> bool {
        blocked_by(world, &Host::parse(host).unwrap(), ns, &|_, _| listed).is_some()
    }

    #[test]
    fn strangers_are_kept_out_both_ways() {
        let held = world(&[("shop.example.com", "a", ClaimState::Held, 1)]);
        assert!(!blocked(&held, "shop.example.com", "a", false));
        assert!(blocked(&held, "shop.example.com", "b", false));
        assert!(blocked(&held, "*.example.com", "b", false));
        assert!(
            !blocked(&held, "*.example.com", "b", true),
            "an exact host listed for its holder may stand beside a wildcard"
        );
        let wildcard = world(&[("*.example.com", "a", ClaimState::Held, 1)]);
        assert!(blocked(&wildcard, "shop.example.com", "b", false));
        assert!(!blocked(&wildcard, "shop.example.com", "b", true));
        assert!(!blocked(&wildcard, "a.shop.example.com", "b", false), "a wildcard covers one label");
    }

    #[test]
    fn among_the_pending_the_older_wins_and_released_ones_wait() {
        let both =
            world(&[("shop.example.com", "a", ClaimState::Pending, 1), ("*.example.com", "b", ClaimState::Pending, 2)]);
        assert!(!blocked(&both, "shop.example.com", "a", false));
        assert!(blocked(&both, "*.example.com", "b", false));
        assert!(blocked(&world(&[("shop.example.com", "a", ClaimState::Released, 1)]), "shop.example.com", "b", false));
    }

    #[test]
    fn a_namespace_made_anew_is_a_stranger() {
        let mut held = world(&[("shop.example.com", "a", ClaimState::Held, 1)]);
        let anew =
            NamespaceFacts { meta: Meta { uid: "other".into(), ..Meta::default() }, ..NamespaceFacts::default() };
        held.namespaces.insert("a".into(), Arc::new(anew));
        assert!(blocked(&held, "shop.example.com", "a", false));
    }
}
