//! Canaries: Ingresses that add a share to the paths of another, by ingress-nginx's annotations.
//!
//! A share by weight has an exact meaning here: two backends of one route. One by header or cookie has none.

use gatehouse_crds::{BackendRef, RouteRule};
use k8s_openapi::api::networking::v1::Ingress;

use super::annotation::NGINX;
use super::{Fate, NamedHost, Ports, Reader, hosts};

/// The largest weight of a backend.
const MOST: i32 = 1_000_000;

fn said<'a>(ingress: &'a Ingress, name: &str) -> Option<&'a str> {
    ingress.metadata.annotations.as_ref()?.get(&format!("{NGINX}{name}")).map(String::as_str)
}

/// Whether an Ingress is a canary of another.
pub(super) fn is(ingress: &Ingress) -> bool {
    said(ingress, "canary") == Some("true")
}

/// Says what of a canary cannot be had, and where it has nothing to add its share to.
pub(super) fn judge(reader: &mut Reader<'_>, canary: &Ingress, beside: Option<&[&Ingress]>) {
    let own = hosts(reader, canary);
    for key in canary.metadata.annotations.iter().flatten().map(|(key, _)| key) {
        let Some(name) = key.strip_prefix(NGINX) else { continue };
        let field = format!("metadata.annotations[{key}]");
        match name {
            "canary" => {}
            "canary-weight" | "canary-weight-total" => {
                if let Err((wrong, value)) = weights(canary)
                    && wrong == name
                {
                    let message = format!("\"{value}\" is no number from 0 to canary-weight-total, or to 100");
                    reader.say(Fate::Refused, field, message);
                }
            }
            name if name.starts_with("canary-") => {
                let cure = "give its requests a host or a path of their own, or a share by canary-weight";
                reader.say(Fate::Refused, field, format!("routes have no choice by header or cookie: {cure}"));
            }
            _ => reader.say(Fate::Needless, field, "a canary is served as the Ingress it belongs to says"),
        }
    }
    if said(canary, "canary-weight").is_none() {
        let message = "is absent, so the canary gets no request; give it a share";
        reader.say(Fate::Lost, format!("metadata.annotations[{NGINX}canary-weight]"), message);
    }
    let Some(beside) = beside else { return };
    let ports = reader.ports;
    let mains: Vec<NamedHost> = beside.iter().filter(|i| !is(i)).flat_map(|i| read(i, ports)).collect();
    for (host, _, routes) in &own {
        for (route, field) in routes {
            let there = mains.iter().any(|(h, _, all)| h == host && all.iter().any(|(r, _)| same(r, route)));
            if !there {
                let path = route.path.as_deref().unwrap_or("/");
                reader.say(Fate::Lost, field, format!("no other Ingress of class gatehouse serves {host}{path}"));
            }
        }
    }
}

/// Adds the shares of the canaries to the routes they are for.
pub(super) fn merge(reader: &mut Reader<'_>, hosts: &mut [NamedHost], beside: &[&Ingress]) {
    for canary in beside.iter().filter(|i| is(i)) {
        let unclear = canary.metadata.annotations.iter().flatten().any(|(key, _)| {
            key.strip_prefix(NGINX)
                .is_some_and(|n| n.starts_with("canary-") && !matches!(n, "canary-weight" | "canary-weight-total"))
        });
        let Ok(Some((weight, total))) = weights(canary) else { continue };
        if unclear {
            continue;
        }
        for (host, _, shares) in read(canary, reader.ports) {
            let Some((_, _, routes)) = hosts.iter_mut().find(|(h, ..)| *h == host) else { continue };
            for (share, _) in shares {
                let Some((route, field)) = routes.iter_mut().find(|(r, _)| same(r, &share)) else { continue };
                let name = canary.metadata.name.as_deref().unwrap_or_default();
                let mut lost = |why: &str| {
                    reader.say(Fate::Lost, field.clone(), format!("gets no share of the canary {name}: {why}"));
                };
                if route.session_affinity.is_some() {
                    lost("with affinity a route has one backend");
                } else if route.backends.len() > 1 {
                    lost("it has one already");
                } else {
                    add(route, share.backends, (weight, total));
                }
            }
        }
    }
}

fn add(route: &mut RouteRule, share: Vec<BackendRef>, (weight, total): (i32, i32)) {
    for backend in &mut route.backends {
        backend.weight = Some(total - weight);
    }
    route.backends.extend(share.into_iter().map(|backend| BackendRef { weight: Some(weight), ..backend }));
}

fn same(a: &RouteRule, b: &RouteRule) -> bool {
    a.path == b.path && a.path_type == b.path_type
}

/// The hosts of an Ingress that is not the one being read: what is wrong with it is said when it is.
fn read(ingress: &Ingress, ports: Ports<'_>) -> Vec<NamedHost> {
    hosts(&mut Reader { ports, remarks: Vec::new() }, ingress)
}

/// Share and whole; `None` without a share. Or the annotation that cannot be read, and its value.
fn weights(canary: &Ingress) -> Result<Option<(i32, i32)>, (&'static str, String)> {
    let number = |name: &'static str, most: i32| match said(canary, name) {
        None => Ok(None),
        Some(text) => match text.parse::<i32>() {
            Ok(n) if (0..=most).contains(&n) => Ok(Some(n)),
            _ => Err((name, text.to_owned())),
        },
    };
    let total = number("canary-weight-total", MOST)?.unwrap_or(100);
    Ok(number("canary-weight", total)?.map(|weight| (weight, total)))
}
