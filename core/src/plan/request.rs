//! Answers to people's requests (rule 16): what is asked stands in an annotation, what became of it in the status.

use gatehouse_crds::{
    ClaimState, HostClaimStatus, InferredDeletionsStatus, NamespaceMove, RequestAnswer, RequestState,
};
use gatehouse_route::Host;

use crate::identity::{ShardKey, claim_name};
use crate::request::Request;
use crate::world::{ClaimFacts, LoadBalancerFacts};

use super::{Draft, KubeWrite, NamespaceLoad, View, to_json};

/// What requests change in a load balancer's status.
pub(super) struct Answers {
    pub(super) requests: Vec<RequestAnswer>,
    pub(super) moves: Vec<NamespaceMove>,
}

type Verdict = (RequestState, String);

fn refused(why: impl Into<String>) -> Verdict {
    (RequestState::Refused, why.into())
}

fn working(what: impl Into<String>) -> Verdict {
    (RequestState::Working, what.into())
}

fn done(what: impl Into<String>) -> Verdict {
    (RequestState::Done, what.into())
}

/// Judges every request that stands on the load balancer. A request that was answered for good is not judged again.
pub(super) fn answer(
    draft: &mut Draft<'_>,
    name: &str,
    lb: &LoadBalancerFacts,
    inferred: &mut Option<InferredDeletionsStatus>,
) -> Answers {
    let view = draft.view;
    let mut moves: Vec<NamespaceMove> =
        lb.status.moves.iter().filter(|m| !arrived(&view, name, &m.namespace, m.shard)).cloned().collect();
    let mut requests = Vec::new();
    for (verb, value) in &lb.requests {
        let before = lb.status.requests.iter().find(|r| r.verb == *verb && r.value == *value);
        if let Some(ended) = before.filter(|r| r.state != RequestState::Working) {
            requests.push(ended.clone());
            continue;
        }
        let (state, message) = match Request::parse(verb, value) {
            Err(fault) => refused(fault),
            Ok(Request::Approve { digest }) => approve(&view, name, &digest, inferred.as_mut()),
            Ok(Request::Move { namespace, shard }) => {
                move_namespace(&view, name, lb, &namespace, shard, before.is_none(), &mut moves)
            }
            Ok(Request::Transfer { host, to }) => transfer(draft, &host, &to),
            Ok(Request::Release { host, owner }) => super::adoption::release(draft, name, &host, &owner),
        };
        let since = before.filter(|r| r.state == state).map_or_else(|| view.now.wall.rfc3339(), |r| r.since.clone());
        requests.push(RequestAnswer { verb: verb.clone(), value: value.clone(), state, message, since });
    }
    moves.extend(relief(&view, name, lb, &moves));
    Answers { requests, moves }
}

/// What a namespace has on a shard when these hosts of it come there.
fn adding(view: &View<'_>, namespace: &str, hosts: &[Host]) -> impl Fn(NamespaceLoad) -> NamespaceLoad {
    let desired = view.desired.get(namespace);
    let grpc = move |host: &Host| desired.and_then(|d| d.hosts.get(host)).is_some_and(|h| h.grpc);
    move |own| hosts.iter().fold(own, |load, host| load.with(host, grpc(host)))
}

/// A namespace that must go because its shard needs more rules than the quota has: a quota was lowered, or somebody
/// else's rules came. The smallest that fits elsewhere, one at a time.
fn relief(view: &View<'_>, name: &str, lb: &LoadBalancerFacts, moves: &[NamespaceMove]) -> Option<NamespaceMove> {
    if !moves.is_empty() {
        return None;
    }
    let shards: Vec<ShardKey> = view.load.keys().filter(|s| s.load_balancer == name).cloned().collect();
    for shard in &shards {
        let Some(reason) = super::placement::overfull(view, shard, lb) else { continue };
        let mut namespaces: Vec<_> = view.load[shard].namespaces.iter().collect();
        namespaces.sort_by_key(|(name, load)| (load.exact + load.wildcards, *name));
        for (namespace, _) in namespaces {
            let here = |p: &gatehouse_crds::Placement| u32::try_from(p.shard).ok() == Some(shard.index);
            let hosts = placed(view, name, namespace).filter(|(_, p)| here(p));
            let hosts: Vec<Host> = hosts.filter_map(|(c, _)| Host::parse(&c.spec.host).ok()).collect();
            let to = (0..u32::try_from(lb.spec.limits.shards).unwrap_or(1)).find(|index| {
                let key = ShardKey { load_balancer: name.to_owned(), index: *index };
                key != *shard
                    && super::placement::room(view, namespace, &adding(view, namespace, &hosts), &key, lb).is_ok()
            });
            if let Some(to) = to.filter(|_| !hosts.is_empty()) {
                let shard = i32::try_from(to).unwrap_or(i32::MAX);
                return Some(NamespaceMove { namespace: namespace.clone(), shard, reason });
            }
        }
    }
    None
}

fn approve(view: &View<'_>, name: &str, digest: &str, status: Option<&mut InferredDeletionsStatus>) -> Verdict {
    let Some(status) = status else { return refused("nothing is held") };
    match &status.held_digest {
        None => refused("nothing is held"),
        Some(held) if held != digest => {
            refused(format!("what is held has changed: its digest is {held} now; look at status.held and approve that"))
        }
        Some(_) => {
            let hosts = super::inferred::held_hosts(view, name, status);
            let count = hosts.len();
            status.approved.extend(hosts);
            status.held_digest = None;
            status.held_hosts = None;
            done(format!("{count} hosts may go"))
        }
    }
}

/// Claims of a namespace on a load balancer, with their placement there.
fn placed<'a>(
    view: &View<'a>,
    load_balancer: &'a str,
    namespace: &str,
) -> impl Iterator<Item = (&'a ClaimFacts, &'a gatehouse_crds::Placement)> + use<'a> {
    let names = view.claims.get(namespace);
    let claims = names.into_iter().flatten().filter_map(|name| view.world.claims.get(name));
    claims.filter_map(move |c| Some((&**c, c.status.placement.get(load_balancer)?)))
}

fn arrived(view: &View<'_>, load_balancer: &str, namespace: &str, shard: i32) -> bool {
    placed(view, load_balancer, namespace).all(|(_, p)| p.shard == shard && p.from.is_none())
}

fn move_namespace(
    view: &View<'_>,
    name: &str,
    lb: &LoadBalancerFacts,
    namespace: &str,
    shard: u32,
    new: bool,
    moves: &mut Vec<NamespaceMove>,
) -> Verdict {
    let index = i32::try_from(shard).unwrap_or(i32::MAX);
    let hosts: Vec<_> = placed(view, name, namespace).collect();
    if hosts.is_empty() {
        return refused(format!("namespace {namespace} has no host on {name}"));
    }
    if arrived(view, name, namespace, index) {
        return done(format!("{} hosts of {namespace} stand on shard {shard}", hosts.len()));
    }
    if new {
        if index >= lb.spec.limits.shards {
            return refused(format!(
                "shard {shard} is beyond spec.limits.shards {}; the first is 0",
                lb.spec.limits.shards
            ));
        }
        let key = ShardKey { load_balancer: name.to_owned(), index: shard };
        let coming = hosts.iter().filter(|(_, p)| p.shard != index).filter_map(|(c, _)| Host::parse(&c.spec.host).ok());
        let coming: Vec<Host> = coming.collect();
        if let Err(binding) = super::placement::room(view, namespace, &adding(view, namespace, &coming), &key, lb) {
            return refused(format!("shard {shard} has no room for {} hosts: {binding}", coming.len()));
        }
    }
    moves.retain(|m| m.namespace != namespace);
    moves.push(NamespaceMove { namespace: namespace.to_owned(), shard: index, reason: "requested".to_owned() });
    let there = hosts.iter().filter(|(_, p)| p.shard == index && p.from.is_none()).count();
    working(format!(
        "{there} of {} hosts have arrived; the old side stays until no client can remember it",
        hosts.len()
    ))
}

fn transfer(draft: &mut Draft<'_>, host: &Host, to: &str) -> Verdict {
    let view = draft.view;
    let name = claim_name(host);
    let Some(claim) = view.world.claims.get(&name) else {
        return refused(format!("nobody holds {host}: the first namespace with a grant for it that asks gets it"));
    };
    let Some(namespace) = view.world.namespaces.get(to).filter(|n| !n.meta.deleting) else {
        return refused(format!("namespace {to} does not exist"));
    };
    if claim.spec.namespace == to && claim.spec.namespace_uid == namespace.meta.uid {
        return done(format!("{host} is {to}'s"));
    }
    if !view.reviews.get(to).is_some_and(|r| r.rulebook.grants(host)) {
        return refused(format!("no ExposurePolicy grants {host} to namespace {to}; grant it first"));
    }
    if claim.status.transfer_to.as_deref() != Some(to) {
        let status = HostClaimStatus { transfer_to: Some(to.to_owned()), ..claim.status.clone() };
        let write = KubeWrite::ClaimStatus {
            name: name.clone(),
            resource_version: claim.meta.resource_version,
            status: to_json(&status),
        };
        draft.kube(format!("claim {name}"), write);
    }
    match claim.status.state {
        ClaimState::Held => working(format!("{} lets go of {host}: names first, then the rule", claim.spec.namespace)),
        _ => working(format!("{host} goes to {to}")),
    }
}
