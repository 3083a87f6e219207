//! Who is asked about each request first: `auth_request` to an internal location of the route's own.

use std::collections::BTreeMap;

use super::answer::forwarded;
use super::{Place, cors, each, live, log, plain_upstream};
use crate::nginx::{Arg, Directive, Hex, block, entry, quoted, simple};
use crate::options::BackendProtocol;
use crate::{ExternalAuth, RequestHeader, RouteTable};

/// The auth of a route that reaches a backend; the others answer without asking.
fn of<'a>(place: &Place<'a>) -> Option<&'a ExternalAuth> {
    let asks = place.route.options.redirect.is_none() && live(place.route).next().is_some();
    place.route.external_auth.as_ref().filter(|_| asks)
}

/// Below the platform's own prefix no route of an app can stand, and `internal` keeps clients out.
fn location(place: &Place<'_>) -> Arg {
    Arg::Named("/.well-known/gatehouse/auth/", log::name(place), "")
}

fn variable(name: &RequestHeader) -> Arg {
    Arg::Variable("auth_", Hex::of(name.as_text().as_bytes()))
}

/// In the route's location.
pub(super) fn ask(place: &Place<'_>) -> Vec<Directive> {
    let Some(auth) = of(place) else { return Vec::new() };
    let mut out = vec![simple("auth_request", [location(place)])];
    out.extend(
        auth.response_headers
            .iter()
            .map(|name| simple("auth_request_set", [variable(name), Arg::UpstreamHeader(name.clone())])),
    );
    out
}

/// What the backend gets of the answer. A header that the answer does not have is not sent at all.
pub(super) fn told<'a>(auth: Option<&'a ExternalAuth>) -> impl Iterator<Item = [Arg; 2]> + 'a {
    auth.into_iter().flat_map(|auth| &auth.response_headers).map(|name| [quoted(name.as_text()), variable(name)])
}

fn target(auth: &ExternalAuth) -> String {
    format!("{}{}", plain_upstream(&auth.service, &auth.port), auth.path)
}

/// Preflights carry nothing by which anybody could be known: they are let through to the edge's own answer.
fn lets_preflights_through(place: &Place<'_>) -> bool {
    of(place).is_some() && cors::has_preflights(place.route)
}

/// The internal location.
pub(super) fn door(place: &Place<'_>) -> Option<Directive> {
    let auth = of(place)?;
    let mut body = vec![
        simple("internal", []),
        // The question has no body; the length of the request's own must not count against the server's limit.
        simple("client_max_body_size", [Arg::Number(0)]),
        simple("proxy_pass_request_body", [Arg::Word("off")]),
    ];
    // Without Upgrade and Connection: a question is not the beginning of a WebSocket.
    body.extend(forwarded(BackendProtocol::H2c));
    body.extend([
        simple("proxy_set_header", [quoted("Content-Length"), quoted("")]),
        simple("proxy_set_header", [quoted("X-Original-URI"), Arg::Word("$request_uri")]),
        simple("proxy_set_header", [quoted("X-Original-Method"), Arg::Word("$request_method")]),
    ]);
    let seconds = u64::from(place.route.timeout.get());
    body.push(simple("proxy_read_timeout", [Arg::Unit("", seconds, "s")]));
    body.push(if lets_preflights_through(place) {
        simple("proxy_pass", [Arg::VariableUrl("http", "door_", log::name(place))])
    } else {
        simple("proxy_pass", [quoted(format!("http://{}", target(auth)))])
    });
    Some(block("location", [Arg::Word("="), location(place)], body))
}

/// For the http block.
pub(super) fn directives(table: &RouteTable) -> Vec<Directive> {
    let doors: BTreeMap<Hex, String> = each(table)
        .filter(lets_preflights_through)
        .filter_map(|place| Some((log::name(&place), target(of(&place)?))))
        .collect();
    let of_door = |(name, target)| {
        let lines =
            vec![entry("OPTIONS preflight", [quoted("edge-internal/preflight")]), simple("default", [quoted(target)])];
        block("map", [Arg::Word("\"$request_method$edge_preflight\""), Arg::Variable("door_", name)], lines)
    };
    doors.into_iter().map(of_door).collect()
}
