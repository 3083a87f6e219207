//! Calls from other origins: headers by `map` with exact keys, and preflights that never reach the backend.
//!
//! A preflight is sent to a location of the edge's own that answers 204: `limit_except` gives OPTIONS a `proxy_pass`
//! whose target a `map` chooses. An empty value makes nginx leave a header out, so an origin that is not listed gets
//! none of them.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::strips;
use super::{INTERNAL_PORT, Place, each, live, split_name, upstream_name};
use crate::cors::{Cors, Origin};
use crate::nginx::{Arg, Directive, Hex, block, entry, quoted, simple};
use crate::options::BackendProtocol;
use crate::{Route, RouteTable};

/// What a backend says of this itself must not stand beside what the edge says: browsers refuse two values.
const NAMES: [&str; 6] = [
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Expose-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Max-Age",
];

/// `OPTIONS` is the only method that nginx knows and that is not here. Methods it does not know are limited as well;
/// the map sends them on.
const OTHER_METHODS: [&str; 13] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "PATCH",
];

fn name(cors: &Cors) -> Hex {
    Hex::of(serde_json::to_string(cors).expect("plain values").as_bytes())
}

fn listed(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Headers of every answer: name, prefix of the variable, value.
fn of_answers(cors: &Cors) -> Vec<(&'static str, &'static str, String)> {
    let mut out = Vec::new();
    if cors.allow_credentials && !cors.any_origin() {
        out.push((NAMES[1], "cors_credentials_", "true".to_owned()));
    }
    if !cors.expose_headers.is_empty() {
        out.push((NAMES[2], "cors_expose_", listed(cors.expose_headers.iter().map(ToString::to_string))));
    }
    out
}

/// Headers of preflights only.
fn of_preflights(cors: &Cors) -> Vec<(&'static str, &'static str, String)> {
    let mut out = Vec::new();
    if !cors.allow_methods.is_empty() {
        out.push((NAMES[3], "cors_methods_", listed(cors.allow_methods.iter().map(ToString::to_string))));
    }
    if !cors.allow_headers.is_empty() {
        out.push((NAMES[4], "cors_headers_", listed(cors.allow_headers.iter().map(ToString::to_string))));
    }
    if let Some(age) = cors.max_age {
        out.push((NAMES[5], "cors_age_", age.get().to_string()));
    }
    out
}

/// What a location takes away of the backend's.
pub(super) fn hidden() -> impl Iterator<Item = Directive> {
    NAMES.iter().map(|name| simple("proxy_hide_header", [Arg::Word(name)]))
}

/// What a location says instead.
pub(super) fn added(cors: &Cors) -> Vec<Directive> {
    let hash = name(cors);
    let mut out = Vec::new();
    let add = |name: &'static str, value: Arg| simple("add_header", [Arg::Word(name), value, Arg::Word("always")]);
    if cors.any_origin() {
        out.push(add(NAMES[0], quoted("*")));
    } else {
        out.push(add(NAMES[0], Arg::Variable("cors_origin_", hash.clone())));
        // Caches must not give one origin the answer to another.
        out.push(add("Vary", Arg::Word("Origin")));
    }
    for (name, prefix, _) in of_answers(cors).into_iter().chain(of_preflights(cors)) {
        out.push(add(name, Arg::Variable(prefix, hash.clone())));
    }
    out
}

/// Whether a route answers preflights. Browsers do not speak gRPC.
pub(super) fn has_preflights(route: &Route) -> bool {
    route.options.cors.is_some() && route.options.backend_protocol != BackendProtocol::Grpc
}

/// The edge itself as a backend. A location speaks one protocol with all it sends to, and connections are kept.
fn internal(protocol: BackendProtocol) -> &'static str {
    match protocol {
        BackendProtocol::Http | BackendProtocol::Grpc => "edge-internal",
        BackendProtocol::H2c => "edge-internal-h2c",
    }
}

/// What a location does with methods other than the common ones.
pub(super) fn preflight(place: &Place<'_>) -> Directive {
    let methods = OTHER_METHODS.iter().map(|method| Arg::Word(method));
    let target = simple("proxy_pass", [Arg::VariableUrl("http", "preflight_", target_name(place))]);
    block("limit_except", methods, vec![target])
}

fn target_name(place: &Place<'_>) -> Hex {
    let rest = backend(place);
    let protocol = place.route.options.backend_protocol;
    Hex::of(
        match protocol {
            BackendProtocol::Http | BackendProtocol::Grpc => format!("{rest:?}"),
            BackendProtocol::H2c => format!("{rest:?} {protocol:?}"),
        }
        .as_bytes(),
    )
}

/// Where a request goes that is no preflight; `None` where nginx cannot send it on: `limit_except` takes no prefix away.
fn backend(place: &Place<'_>) -> Option<Arg> {
    if strips(place) {
        return None;
    }
    let mut live = live(place.route);
    match (live.next()?, live.next()) {
        (only, None) => Some(quoted(upstream_name(place, only))),
        (_, Some(_)) => Some(Arg::Variable("split_", split_name(place.route))),
    }
}

/// The maps, and the upstream that is the edge itself.
pub(super) fn directives(table: &RouteTable) -> Vec<Directive> {
    let mut maps: BTreeMap<Hex, &Cors> = BTreeMap::new();
    let mut targets: BTreeMap<Hex, (Option<Arg>, BackendProtocol)> = BTreeMap::new();
    for place in each(table) {
        if let Some(cors) = &place.route.options.cors {
            maps.insert(name(cors), cors);
            if has_preflights(place.route) && live(place.route).next().is_some() {
                targets.insert(target_name(&place), (backend(&place), place.route.options.backend_protocol));
            }
        }
    }
    if maps.is_empty() {
        return Vec::new();
    }
    let mut spoken: BTreeSet<&str> = targets.values().map(|(_, protocol)| internal(*protocol)).collect();
    // Who is asked about a request first is spoken to in HTTP/1.1, whatever the backend speaks.
    if each(table).any(|place| place.route.external_auth.is_some() && has_preflights(place.route)) {
        spoken.insert(internal(BackendProtocol::Http));
    }
    let upstream = |name: &str| {
        let server = simple("server", [Arg::Unit("127.0.0.1:", u64::from(INTERNAL_PORT), "")]);
        block("upstream", [quoted(name)], vec![server])
    };
    let mut out: Vec<Directive> = spoken.into_iter().map(upstream).collect();
    out.push(block(
        "map",
        [Arg::Word("$http_access_control_request_method"), Arg::Word("$edge_preflight")],
        // With a space, which no method has: "OPTIONS-PREFLIGHT" is one, and keys are compared without case.
        vec![simple("default", [quoted(" preflight")]), entry("", [quoted("")])],
    ));
    for (hash, cors) in maps {
        out.extend(of_origin(&hash, cors));
    }
    for (hash, (target, protocol)) in targets {
        let own = internal(protocol);
        let preflight = || quoted(format!("{own}/preflight"));
        let mut lines = vec![entry("OPTIONS preflight", [preflight()])];
        match target {
            Some(target) => lines.push(simple("default", [target])),
            None => {
                lines.push(entry("OPTIONS", [preflight()]));
                lines.push(simple("default", [quoted(format!("{own}/unsupported"))]));
            }
        }
        out.push(block(
            "map",
            [Arg::Word("\"$request_method$edge_preflight\""), Arg::Variable("preflight_", hash)],
            lines,
        ));
    }
    out
}

fn of_origin(hash: &Hex, cors: &Cors) -> Vec<Directive> {
    let mut out = Vec::new();
    let map = |from: Arg, prefix: &'static str, lines: Vec<Directive>| {
        block("map", [from, Arg::Variable(prefix, hash.clone())], lines)
    };
    let nothing = || simple("default", [quoted("")]);
    let exact: Vec<&str> = cors
        .allow_origins
        .iter()
        .filter_map(|origin| match origin {
            Origin::Any => None,
            Origin::Exact(text) => Some(&**text),
        })
        .collect();
    let any = cors.any_origin();
    if !any {
        let lines = exact.iter().map(|origin| entry(*origin, [quoted(*origin)]));
        out.push(map(Arg::Word("$http_origin"), "cors_origin_", lines.chain([nothing()]).collect()));
    }
    for (_, prefix, value) in of_answers(cors) {
        let lines = if any {
            vec![simple("default", [quoted(value)])]
        } else {
            exact.iter().map(|origin| entry(*origin, [quoted(value.clone())])).chain([nothing()]).collect()
        };
        out.push(map(Arg::Word("$http_origin"), prefix, lines));
    }
    for (_, prefix, value) in of_preflights(cors) {
        let (from, keys) = if any {
            ("\"$request_method$edge_preflight\"", vec!["OPTIONS preflight".to_owned()])
        } else {
            let keys = exact.iter().map(|origin| format!("OPTIONS preflight {origin}")).collect();
            ("\"$request_method$edge_preflight $http_origin\"", keys)
        };
        let lines = keys.into_iter().map(|key| entry(key, [quoted(value.clone())])).chain([nothing()]).collect();
        out.push(map(Arg::Word(from), prefix, lines));
    }
    out
}

/// Where preflights end, on the edge's internal server.
pub(super) fn locations() -> [Directive; 2] {
    let at = |path: &'static str, code| {
        block("location", [Arg::Word("="), quoted(path)], vec![simple("return", [Arg::Number(code)])])
    };
    [at("/preflight", 204), at("/unsupported", 405)]
}
