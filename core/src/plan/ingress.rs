//! The ExposedApps that stand for the Ingresses of a namespace, and what their owners are told.

use std::collections::BTreeSet;

use gatehouse_route::short_hash;

use crate::identity::AppKey;
use crate::ingress::{Derived, Fate, Remark};
use crate::reason::Reason;
use crate::world::{AppFacts, IngressFacts, World};

use super::{Draft, KubeWrite};

/// More than this is not read by anybody.
const MOST_EVENTS: usize = 20;

pub(super) fn plan(draft: &mut Draft<'_>, namespace: &str) {
    let view = draft.view;
    let terminating = view.world.namespaces.get(namespace).is_none_or(|n| n.meta.deleting);
    let derived = view.reviews.get(namespace).map(|r| &r.ingresses);
    for (key, ingress) in World::within(&view.world.ingresses, namespace) {
        // What goes takes its apps with it: the cluster's garbage collector sees to that.
        if ingress.meta.deleting || terminating {
            continue;
        }
        let derived = derived.and_then(|all| all.get(&key.name));
        let taken = apps(draft, key, ingress, derived);
        if let Some(derived) = derived {
            news(draft, key, ingress, derived, &taken);
            addresses(draft, key, ingress, derived);
        }
    }
}

fn stands_for(app: &AppFacts, ingress: &IngressFacts) -> bool {
    app.origin.as_ref().is_some_and(|origin| origin.uid == ingress.meta.uid)
}

/// Brings the apps of an Ingress up to date; returns the names that others have taken.
fn apps(draft: &mut Draft<'_>, key: &AppKey, ingress: &IngressFacts, derived: Option<&Derived>) -> Vec<String> {
    let view = draft.view;
    let mut taken = Vec::new();
    for (name, fragment) in derived.into_iter().flat_map(|d| &d.apps) {
        let app = AppKey::new(&key.namespace, name);
        let have = view.world.apps.get(&app);
        if have.is_some_and(|have| have.meta.deleting) {
            // It is made anew when it is gone, whoever's it was: an Ingress that is applied again has another UID.
            draft.wait(format!("ExposedApp {app} to be gone"));
            continue;
        }
        if have.is_some_and(|have| !stands_for(have, ingress)) {
            draft.hold(format!("ExposedApp {app} exists and is not made from Ingress {}; rename one", key.name));
            taken.push(name.clone());
            continue;
        }
        let stands = have.and_then(|h| h.origin.as_ref()).and_then(|o| o.fragment.as_ref());
        if stands != Some(&fragment.hash) {
            let uid = have.map(|h| h.meta.uid.clone());
            let write = KubeWrite::ApplyApp { app: app.clone(), fragment: fragment.json.clone(), uid };
            draft.kube(format!("ExposedApp {app}"), write);
        }
    }
    // While it cannot be read, what was last read stays; of another class it has nothing here any more.
    if derived.is_some_and(|d| d.refused) {
        return taken;
    }
    let wanted: BTreeSet<&String> = derived.into_iter().flat_map(|d| d.apps.keys()).collect();
    for (app, facts) in World::within(&view.world.apps, &key.namespace) {
        if stands_for(facts, ingress) && !wanted.contains(&app.name) && !facts.meta.deleting {
            let write = KubeWrite::DeleteApp { app: app.clone(), uid: facts.meta.uid.clone() };
            draft.kube(format!("ExposedApp {app}"), write);
        }
    }
    taken
}

/// One event for each thing that was not carried over, once for each change of them.
fn news(draft: &mut Draft<'_>, key: &AppKey, ingress: &IngressFacts, derived: &Derived, taken: &[String]) {
    let mut events: Vec<(String, String, String)> = Vec::new();
    let mut say = |kind: &str, reason: Reason, note: String| events.push((kind.into(), reason.into(), note));
    for name in taken {
        let why = format!("an ExposedApp {name} exists that was not made from this Ingress; rename one of them");
        say("Warning", Reason::NameTaken, why);
    }
    for Remark { fate, field, message } in &derived.remarks {
        let (kind, reason) = match fate {
            Fate::HostMissing | Fate::Refused => ("Warning", Reason::Refused),
            Fate::Lost => ("Warning", Reason::NotTranslated),
            Fate::Needless => ("Normal", Reason::NotNeeded),
        };
        say(kind, reason, format!("{field}: {message}"));
    }
    let served: Vec<&str> = derived.apps.keys().filter(|n| !taken.contains(n)).map(String::as_str).collect();
    if !served.is_empty() {
        say("Normal", Reason::Converted, format!("served as ExposedApp {}", served.join(", ")));
    }
    if events.len() > MOST_EVENTS {
        let more = events.len() - MOST_EVENTS;
        events.truncate(MOST_EVENTS);
        events.push((
            "Warning".into(),
            Reason::More.into(),
            format!("and {more} more; `gatehouse convert` prints them all"),
        ));
    }
    if events.is_empty() {
        return;
    }
    let digest = short_hash(format!("{events:?}").as_bytes(), 8);
    if draft.view.memory.told_ingresses.get(&ingress.meta.uid) != Some(&digest) {
        let uid = ingress.meta.uid.clone();
        let write = KubeWrite::IngressEvents { ingress: key.clone(), uid, events, digest };
        draft.kube(format!("events of Ingress {key}"), write);
    }
}

/// `status.loadBalancer`: where its names lead. Argo CD takes an Ingress without one for not ready.
fn addresses(draft: &mut Draft<'_>, key: &AppKey, ingress: &IngressFacts, derived: &Derived) {
    let view = draft.view;
    if derived.refused {
        return;
    }
    let apps = derived.apps.keys().filter_map(|name| view.world.apps.get(&AppKey::new(&key.namespace, name)));
    let records: BTreeSet<&String> = apps
        .filter(|app| stands_for(app, ingress))
        .flat_map(|app| &app.status.hosts)
        .filter_map(|host| host.record.as_ref())
        .collect();
    let addresses: Vec<String> = records.into_iter().cloned().collect();
    if addresses != ingress.addresses {
        let write = KubeWrite::IngressStatus { ingress: key.clone(), uid: ingress.meta.uid.clone(), addresses };
        draft.kube(format!("status of Ingress {key}"), write);
    }
}
