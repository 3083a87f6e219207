//! The edge of a namespace: its children, its pods' tables, their readiness gate.

use gatehouse_crds::keys;

use crate::aws::{Target, TargetState};
use crate::children::Fragment;
use crate::world::{ChildKey, ChildKind};

use super::group::Way;
use super::{Draft, KubeWrite, Lane, Order, Probe, Urgency, View};

/// A pod that has not reported the right table is asked this often, and touched again after as many milliseconds times ten.
const ASK: u64 = 200;

pub(super) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    children(draft, namespace);
    pods(draft, namespace);
}

fn children(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    let empty = std::collections::BTreeMap::new();
    let wanted = view.desired.get(namespace).map_or(&empty, |d| &d.children);
    let terminating = view.world.namespaces.get(namespace).is_none_or(|n| n.meta.deleting);
    let right = |key: &ChildKey, fragment: &Fragment| {
        view.world.children.get(key).is_some_and(|have| {
            have.fragment.as_ref() == Some(&fragment.hash)
                && (fragment.content.is_none() || have.content == fragment.content)
        })
    };
    // Pods are born closed, and nginx must find the names it is told: what a name resolves to, or does not, is
    // remembered by every cache on the way. So policies and twin Services first, then table and pods.
    let grounded = wanted
        .iter()
        .filter(|(key, _)| matches!(key.kind, ChildKind::NetworkPolicy | ChildKind::Service))
        .all(|(key, fragment)| right(key, fragment));
    for (key, fragment) in wanted {
        if terminating {
            break;
        }
        let have = view.world.children.get(key);
        if let Some(have) = have
            && !have.managed
        {
            draft.hold(format!(
                "{} {} exists in {namespace} and is not ours; rename or remove it",
                key.kind.api().1,
                key.name
            ));
            continue;
        }
        if !grounded && matches!(key.kind, ChildKind::ConfigMap | ChildKind::Deployment) {
            continue;
        }
        if !right(key, fragment) {
            let write = KubeWrite::ApplyChild {
                key: key.clone(),
                fragment: fragment.json(),
                uid: have.map(|h| h.meta.uid.clone()),
            };
            draft.kube(object(key), write);
        }
    }
    let busy = wanted.is_empty() && may_be_asked(&view, namespace);
    let of_namespace = |kind| {
        let start = ChildKey { kind, namespace: namespace.to_owned(), name: String::new() };
        view.world.children.range(start..).take_while(move |(k, _)| k.kind == kind && k.namespace == namespace)
    };
    for kind in [
        ChildKind::Deployment,
        ChildKind::PodDisruptionBudget,
        ChildKind::Service,
        ChildKind::ConfigMap,
        ChildKind::ServiceAccount,
        ChildKind::NetworkPolicy,
    ] {
        for (key, facts) in of_namespace(kind) {
            if facts.managed && !wanted.contains_key(key) && !facts.meta.deleting && !busy {
                draft.kube(object(key), KubeWrite::DeleteChild { key: key.clone(), uid: facts.meta.uid.clone() });
            }
        }
    }
}

/// Whether a rule may send requests to the edge. What is not known yet counts as a rule, and so does a load balancer
/// whose object is gone while its ALB may stand.
fn may_be_asked(view: &View<'_>, namespace: &str) -> bool {
    let claims = view.claims.get(namespace).into_iter().flatten().filter_map(|name| view.world.claims.get(name));
    let lost = |lb: &String| !view.world.load_balancers.contains_key(lb);
    if claims.filter(|c| !c.status.admitted.is_empty()).any(|c| c.status.placement.keys().any(lost)) {
        return true;
    }
    view.world.load_balancers.iter().any(|(name, lb)| {
        let listed = view.observed.load_balancers.get(&lb.spec.region).and_then(|c| c.last()).is_some();
        let mut shards = view.observed.shards.keys().filter(|s| s.load_balancer == *name).peekable();
        !listed || shards.peek().is_none() || shards.any(|shard| super::rules::may_route(view, shard, namespace))
    })
}

fn object(key: &ChildKey) -> String {
    format!("{} {}/{}", key.kind.api().1, key.namespace, key.name)
}

fn pods(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    let Some(desired) = view.desired.get(namespace) else { return };
    let Some(hash) = &desired.table_hash else { return };
    let config =
        ChildKey { kind: ChildKind::ConfigMap, namespace: namespace.to_owned(), name: keys::EDGE_NAME.to_owned() };
    let written = view.world.children.get(&config).is_some_and(|c| c.content.as_ref() == Some(hash));
    for (key, pod) in view.world.edge_pods(namespace) {
        if pod.meta.deleting {
            continue;
        }
        let uid = pod.meta.uid.clone();
        let reported = view.memory.pod_tables.get(&uid);
        let serves = reported.is_some_and(|(table, _)| table.as_ref() == Some(hash));
        if written && !serves {
            if pod.table.as_ref() != Some(hash) {
                // Changing the annotation makes the kubelet refresh the volume at once instead of within a minute.
                draft.kube(
                    format!("pod {key}"),
                    KubeWrite::PodTable { pod: key.clone(), uid: uid.clone(), table: hash.clone() },
                );
            }
            if let Some(ip) = pod.ip {
                let due = reported.map_or(view.now.mono, |(_, at)| at.plus(ASK));
                if due <= view.now.mono {
                    draft.step(
                        format!("table of pod {key}"),
                        Lane::Probe(uid.clone()),
                        Vec::new(),
                        Order::Probe(Probe::Edge { uid: uid.clone(), ip }),
                        Urgency::Awaited,
                    );
                } else {
                    draft.wake(due);
                }
            }
        }
        let healthy = healthy_everywhere(&view, namespace, pod.ip);
        // Once true it stays: AWS stops sending to an unhealthy target itself, and a flapping gate would stop rollouts.
        if healthy && pod.target_healthy != Some(true) {
            draft.kube(format!("pod {key}"), KubeWrite::PodHealthy { pod: key.clone(), uid, healthy: true });
        }
    }
}

/// Whether the pod is healthy in every group that a live rule uses. A group without a rule never gets healthy targets.
fn healthy_everywhere(view: &View<'_>, namespace: &str, ip: Option<std::net::IpAddr>) -> bool {
    let Some(ip) = ip else { return false };
    let Some(desired) = view.desired.get(namespace) else { return false };
    let ways = desired.shards.keys().flat_map(|shard| Way::all(shard, namespace));
    let mut used = ways.filter(|way| way.rules(view).is_some_and(|rules| !rules.is_empty())).peekable();
    used.peek().is_some()
        && used.all(|way| {
            let Some(lb) = view.world.load_balancers.get(&way.shard.load_balancer) else { return false };
            let target = Target { ip, port: u16::try_from(lb.spec.edge.port).unwrap_or(8080) };
            view.observed
                .targets
                .get(&way.group(view))
                .and_then(|c| c.known())
                .is_some_and(|t| t.get(&target) == Some(&TargetState::Healthy))
        })
}

/// Whether every running edge pod of the namespace serves the current table, and there is one.
pub(super) fn table_served(view: &View<'_>, namespace: &str) -> bool {
    let Some(hash) = view.desired.get(namespace).and_then(|d| d.table_hash.as_ref()) else { return false };
    let mut some = false;
    for (_, pod) in view.world.edge_pods(namespace) {
        if pod.meta.deleting || !pod.containers_ready {
            continue;
        }
        some = true;
        if view.memory.pod_tables.get(&pod.meta.uid).and_then(|(table, _)| table.as_ref()) != Some(hash) {
            return false;
        }
    }
    some
}
