//! What nginx tells its agent of each request.
//!
//! Datagrams to loopback: nginx never waits for who reads them, and each is one request. One of them counts and has
//! only what nginx itself has measured; the other, for routes that ask for it, is the line of the log.
//!
//! nginx has no variable of ours in a location but by `set`. `$document_root` is the one that says in which location a
//! request ended; nothing is ever served from there.

use std::collections::BTreeMap;

use super::{Place, each};
use crate::nginx::{Arg, Directive, Hex, Piece, block, entry, quoted, simple};
use crate::options::AccessLog;
use crate::{Host, Path, PathType, Route, RouteTable};

/// UDP port on loopback on which the agent hears of requests.
pub const LOG_PORT: u16 = 8078;

const PREFIX: &str = "/route/";

/// What is only counted: nothing of it is anybody's text.
const COUNT: [(&str, &str); 4] = [
    ("root", "document_root"),
    ("status", "status"),
    ("seconds", "request_time"),
    // One for each pod that was tried; without one the pod has not answered.
    ("answered", "upstream_header_time"),
];

const LINE: [(&str, &str); 18] = [
    ("root", "document_root"),
    ("status", "status"),
    ("seconds", "request_time"),
    ("time", "time_iso8601"),
    ("id", "request_id"),
    ("trace", "http_x_amzn_trace_id"),
    ("client", "remote_addr"),
    ("method", "request_method"),
    ("host", "host"),
    ("uri", "request_uri"),
    ("protocol", "server_protocol"),
    ("received", "request_length"),
    ("sent", "bytes_sent"),
    ("upstream", "upstream_addr"),
    ("upstreamStatus", "upstream_status"),
    ("upstreamSeconds", "upstream_response_time"),
    ("referer", "http_referer"),
    ("userAgent", "http_user_agent"),
];

/// All values are strings: nginx writes nothing where it has no number. With `escape=json` it escapes quotes,
/// backslashes and control characters of the values itself, so each datagram is one JSON object.
fn object(fields: &[(&'static str, &'static str)]) -> Arg {
    let mut pieces = Vec::new();
    for (i, (name, variable)) in fields.iter().enumerate() {
        let before = if i == 0 { "{" } else { "\"," };
        pieces.extend([Piece::Text(format!("{before}\"{name}\":\"")), Piece::Variable(variable)]);
    }
    pieces.push(Piece::Text("\"}".to_owned()));
    Arg::Joined(pieces)
}

/// Which route of the table a request met.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteId {
    /// As in the table.
    pub host: Host,
    /// As in the table.
    pub path: Path,
    /// As in the table.
    pub path_type: PathType,
}

/// The routes of a table, by the root that nginx tells for them.
#[must_use]
pub fn route_ids(table: &RouteTable) -> BTreeMap<String, RouteId> {
    each(table)
        .map(|place| {
            let id = RouteId { host: place.host.clone(), path: place.path.clone(), path_type: place.path_type };
            (root_of(&place), id)
        })
        .collect()
}

fn root_of(place: &Place<'_>) -> String {
    format!("{PREFIX}{}", name(place).as_str())
}

/// A route's own name, for everything in nginx.conf that only it has.
pub(super) fn name(place: &Place<'_>) -> Hex {
    let Place { port, host, path, path_type, .. } = place;
    Hex::of(format!("{} {host} {path} {path_type:?}", port.get()).as_bytes())
}

/// Says in which route a location stands.
pub(super) fn mark(place: &Place<'_>) -> Directive {
    simple("root", [Arg::Named(PREFIX, name(place), "")])
}

/// Whether the requests of a route are lines of the log.
pub(super) fn is_on(route: &Route) -> bool {
    route.options.access_log == AccessLog::On
}

/// For the http block.
pub(super) fn directives(table: &RouteTable) -> Vec<Directive> {
    let to = |tag: &'static str| Arg::Unit("syslog:server=127.0.0.1:", u64::from(LOG_PORT), tag);
    let format = |name, fields: &[_]| simple("log_format", [Arg::Word(name), Arg::Word("escape=json"), object(fields)]);
    let mut out = vec![
        simple("root", [Arg::Word("/nowhere")]),
        format("count", &COUNT),
        simple("access_log", [to(",nohostname,tag=count"), Arg::Word("count")]),
    ];
    let logged: BTreeMap<String, ()> =
        each(table).filter(|place| is_on(place.route)).map(|place| (root_of(&place), ())).collect();
    if logged.is_empty() {
        return out;
    }
    let lines = logged.into_keys().map(|root| entry(root, [Arg::Number(1)]));
    let lines = lines.chain([simple("default", [quoted("")])]).collect();
    out.push(block("map", [Arg::Word("$document_root"), Arg::Word("$edge_logged")], lines));
    out.push(format("line", &LINE));
    let args = [to(",nohostname,tag=line"), Arg::Word("line"), Arg::Word("if=$edge_logged")];
    out.push(simple("access_log", args));
    out
}

/// Where the platform asks, nobody counts.
pub(super) fn off() -> Directive {
    simple("access_log", [Arg::Word("off")])
}
