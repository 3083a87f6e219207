//! What one location does: the body of its block.

use super::{Place, auth, live, log, split_name, upstream_name};
use crate::nginx::{Arg, Directive, Hex, Piece, block, quoted, simple};
use crate::options::{BackendProtocol, Buffering, Redirect, Scheme};
use crate::{Path, PathType, Route};

/// The directives of the module of nginx that speaks a protocol.
struct Speech {
    pass: &'static str,
    scheme: &'static str,
    set_header: &'static str,
    hide_header: &'static str,
    read_timeout: &'static str,
    send_timeout: &'static str,
}

fn speech(protocol: BackendProtocol) -> Speech {
    match protocol {
        BackendProtocol::Http | BackendProtocol::H2c => Speech {
            pass: "proxy_pass",
            scheme: "http",
            set_header: "proxy_set_header",
            hide_header: "proxy_hide_header",
            read_timeout: "proxy_read_timeout",
            send_timeout: "proxy_send_timeout",
        },
        BackendProtocol::Grpc => Speech {
            pass: "grpc_pass",
            scheme: "grpc",
            set_header: "grpc_set_header",
            hide_header: "grpc_hide_header",
            read_timeout: "grpc_read_timeout",
            send_timeout: "grpc_send_timeout",
        },
    }
}

/// What clients write to be taken for the load balancer or for another request than the one that was judged: nothing
/// behind the edge gets it. `Proxy` becomes a variable of CGI programs; `HTTP2-Settings` belongs to an upgrade that the
/// edge does not do.
const CLEARED: [&str; 10] = [
    "Forwarded",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Host",
    "X-Original-Method",
    "X-Rewrite-URL",
    "Proxy",
    "HTTP2-Settings",
];

/// What the backend is told of the request. nginx drops these in a location that sets a header of its own, so there
/// they are written again.
pub(super) fn forwarded(protocol: BackendProtocol) -> Vec<Directive> {
    let set = speech(protocol).set_header;
    let header = |name: &'static str, variable: &'static str| simple(set, [quoted(name), Arg::Word(variable)]);
    let mut out = vec![header("Host", "$host")];
    // HTTP/2 has no word for a change of protocol: backends end a stream that brings these.
    if protocol == BackendProtocol::Http {
        out.extend([header("Upgrade", "$edge_upgrade"), header("Connection", "$edge_connection")]);
    }
    out.extend([
        header("X-Forwarded-For", "$http_x_forwarded_for"),
        header("X-Forwarded-Proto", "$http_x_forwarded_proto"),
        header("X-Forwarded-Port", "$http_x_forwarded_port"),
        header("X-Forwarded-Host", "$host"),
        header("X-Real-IP", "$remote_addr"),
    ]);
    out.extend(CLEARED.map(|name| simple(set, [quoted(name), quoted("")])));
    out
}

/// What holds for all gRPC of an edge, as its like does for HTTP.
pub(super) fn grpc() -> [Directive; 4] {
    [
        simple("grpc_connect_timeout", [Arg::Word("3s")]),
        simple("grpc_next_upstream", [Arg::Word("error"), Arg::Word("timeout")]),
        simple("grpc_next_upstream_tries", [Arg::Number(2)]),
        // Metadata of an answer must fit; 8 KiB is what gRPC itself allows.
        simple("grpc_buffer_size", [Arg::Word("16k")]),
    ]
}

/// `location` is the path nginx compares, which for a guard is not the route's own.
pub(super) fn answer(place: Option<Place<'_>>, location: &str) -> Vec<Directive> {
    let Some(place) = place else {
        return vec![simple("return", [Arg::Number(404)])];
    };
    let route = place.route;
    let mut out = vec![log::mark(&place)];
    if !route.allow.is_empty() {
        out.extend(route.allow.iter().map(|cidr| simple("allow", [quoted(cidr.as_text())])));
        out.push(simple("deny", [Arg::Word("all")]));
    }
    if let Some(redirect) = &route.options.redirect {
        out.push(leads_to(redirect));
        return out;
    }
    out.extend(auth::ask(&place));
    let protocol = route.options.backend_protocol;
    let speech = speech(protocol);
    let timeout = || [Arg::Unit("", u64::from(route.timeout.get()), "s")];
    out.push(simple(speech.read_timeout, timeout()));
    out.push(simple(speech.send_timeout, timeout()));
    match (route.options.max_body_size, protocol) {
        (Some(size), _) => out.push(simple("client_max_body_size", [Arg::Number(size.bytes())])),
        // A stream has no size, and of what passes nothing is kept.
        (None, BackendProtocol::Grpc) => out.push(simple("client_max_body_size", [Arg::Number(0)])),
        (None, _) => {}
    }
    match protocol {
        BackendProtocol::Http => {}
        BackendProtocol::H2c => out.push(simple("proxy_http_version", [Arg::Number(2)])),
        // A client that says nothing for a while is waiting for the other side, not hanging.
        BackendProtocol::Grpc => out.push(simple("client_body_timeout", timeout())),
    }
    if route.options.buffering == Buffering::Off && protocol != BackendProtocol::Grpc {
        out.push(simple("proxy_buffering", [Arg::Word("off")]));
        out.push(simple("proxy_request_buffering", [Arg::Word("off")]));
    }
    if let Some(limit) = route.options.rate_limit {
        let mut args = vec![Arg::Named("zone=limit_", zone_name(&place), "")];
        // nginx takes no burst of 0: there the parameter is left out.
        if limit.burst.get() > 0 {
            args.extend([Arg::Unit("burst=", u64::from(limit.burst.get()), ""), Arg::Word("nodelay")]);
        }
        out.push(simple("limit_req", args));
        out.push(simple("limit_req_status", [Arg::Number(429)]));
    }
    if has_excuse(route) {
        let codes = [502, 503, 504].map(Arg::Number);
        out.push(simple("error_page", codes.into_iter().chain([Arg::Named("@excuse_", log::name(&place), "")])));
    }
    out.extend(headers(route));
    let mut live = live(route);
    let target = match (live.next(), live.next()) {
        // `return` would run before `allow`, so an empty route refuses strangers with 503 too; it serves nobody.
        (None, _) => {
            out.push(simple("return", [Arg::Number(503)]));
            return out;
        }
        (Some(only), None) => {
            let path = stripped(&place, location).unwrap_or_default();
            simple(speech.pass, [quoted(format!("{}://{}{path}", speech.scheme, upstream_name(&place, only)))])
        }
        (Some(_), Some(_)) => simple(speech.pass, [Arg::VariableUrl(speech.scheme, "split_", split_name(route))]),
    };
    out.push(target);
    if super::cors::has_preflights(route) {
        out.push(super::cors::preflight(&place));
    }
    out
}

/// Whether the edge has words of the route's own when no backend answers. gRPC clients read none.
fn has_excuse(route: &Route) -> bool {
    route.options.error_text.is_some()
        && route.options.redirect.is_none()
        && route.options.backend_protocol != BackendProtocol::Grpc
}

/// Where a request goes that no backend has answered. It keeps its status: nginx writes that of the error over the one
/// of `return`. What a backend says itself with these statuses passes as it is.
pub(super) fn excuse(place: &Place<'_>) -> Option<Directive> {
    let text = place.route.options.error_text.as_ref().filter(|_| has_excuse(place.route))?;
    let mut body = vec![log::mark(place)];
    body.extend(added(place.route));
    body.push(simple("return", [Arg::Number(200), quoted(text.as_text())]));
    Some(block("location", [Arg::Named("@excuse_", log::name(place), "")], body))
}

/// Headers of every answer, the edge's own included.
fn added(route: &Route) -> Vec<Directive> {
    let set = route.options.response_headers.set.iter();
    let mut out: Vec<Directive> = set
        .map(|(name, value)| {
            simple("add_header", [quoted(name.as_text()), quoted(value.as_text()), Arg::Word("always")])
        })
        .collect();
    out.extend(route.options.cors.iter().flat_map(super::cors::added));
    out
}

/// Whether the backend is told the number under which the log has the request.
fn tells_id(route: &Route) -> bool {
    let own = |name: &crate::RequestHeader| name.as_str() == REQUEST_ID;
    let request = &route.options.request_headers;
    let known = route.external_auth.iter().flat_map(|auth| &auth.response_headers);
    log::is_on(route) && !request.set.keys().chain(&request.remove).chain(known).any(own)
}

const REQUEST_ID: &str = "x-request-id";

fn headers(route: &Route) -> Vec<Directive> {
    let (request, response) = (&route.options.request_headers, &route.options.response_headers);
    let protocol = route.options.backend_protocol;
    let speech = speech(protocol);
    let mut out = Vec::new();
    let tells_id = tells_id(route);
    let known = route.external_auth.as_ref();
    let told: Vec<[Arg; 2]> = auth::told(known).collect();
    if !request.is_empty() || protocol != BackendProtocol::Http || tells_id || !told.is_empty() {
        out.extend(forwarded(protocol));
        out.extend(told.into_iter().map(|args| simple(speech.set_header, args)));
        if tells_id {
            out.push(simple(speech.set_header, [quoted(REQUEST_ID), Arg::Word("$request_id")]));
        }
        // nginx would send both; who was asked has the last word.
        let own = |name: &crate::RequestHeader| !known.is_some_and(|auth| auth.response_headers.contains(name));
        let set = request
            .set
            .iter()
            .filter(|(name, _)| own(name))
            .map(|(name, value)| [quoted(name.as_text()), quoted(value.as_text())]);
        let removed = request.remove.iter().filter(|name| own(name)).map(|name| [quoted(name.as_text()), quoted("")]);
        out.extend(set.chain(removed).map(|args| simple(speech.set_header, args)));
    }
    let hidden = response.set.keys().chain(&response.remove);
    out.extend(hidden.map(|name| simple(speech.hide_header, [quoted(name.as_text())])));
    if route.options.cors.is_some() {
        out.extend(super::cors::hidden());
    }
    out.extend(added(route));
    out
}

/// What takes the place of the location's path at the backend; `None` leaves the request as it came.
///
/// nginx replaces the location by this text. Below a prefix that is "/"; a guard has the rest of its own path.
pub(super) fn stripped(place: &Place<'_>, location: &str) -> Option<String> {
    if !strips(place) {
        return None;
    }
    let base = place.path.without_final_slash();
    let rest = location.strip_prefix(base.as_str()).unwrap_or(location);
    Some(if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") })
}

pub(super) fn strips(place: &Place<'_>) -> bool {
    place.route.options.strip_prefix
        // The path of a gRPC call names its method, and nginx cannot change it.
        && place.route.options.backend_protocol != BackendProtocol::Grpc
        && place.path_type == PathType::Prefix
        && place.path.without_final_slash() != Path::root()
}

/// The zone that counts a route's clients. nginx refuses a reload that changes a zone's key under one name, so the name
/// has the key in its hash; the rate is not in it, so a changed rate keeps the counts.
pub(super) fn zone_name(place: &Place<'_>) -> Hex {
    let Place { port, host, path, path_type, .. } = place;
    Hex::of(format!("$binary_remote_addr {} {host} {path} {path_type:?}", port.get()).as_bytes())
}

/// Written from the parts; what the redirect does not say comes from the request as nginx has checked it.
fn leads_to(redirect: &Redirect) -> Directive {
    let (scheme, own_port) = match redirect.scheme {
        Scheme::Http => ("http://", 80),
        Scheme::Https => ("https://", 443),
    };
    let mut url = vec![Piece::Text(scheme.to_owned())];
    match &redirect.hostname {
        Some(host) => url.push(Piece::Text(host.as_text())),
        None => url.push(Piece::Variable("host")),
    }
    if let Some(port) = redirect.port.map(crate::Port::get).filter(|port| *port != own_port) {
        url.push(Piece::Text(format!(":{port}")));
    }
    match &redirect.path {
        Some(path) => url.extend([Piece::Text(path.as_text()), Piece::Variable("is_args"), Piece::Variable("args")]),
        None => url.push(Piece::Variable("request_uri")),
    }
    simple("return", [Arg::Number(u64::from(redirect.status_code.get())), Arg::Joined(url)])
}
