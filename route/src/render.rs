//! `render(table)`: the whole nginx.conf of one edge.

mod answer;
mod auth;
mod cors;
pub mod log;

use std::collections::BTreeMap;

use answer::{answer, forwarded, grpc, zone_name};

use crate::nginx::{Arg, Directive, Hex, block, entry, quoted, simple};
use crate::table::longest_prefix;
use crate::{
    Backend, BackendPort, BackendProtocol, Host, HostRoutes, Path, PathType, Port, PortTable, Route, RouteTable,
};

/// Paths below this are the platform's: the edge answers its table hash there, before any access rule.
pub const RESERVED_PREFIX: &str = "/.well-known/gatehouse/";

/// Loopback port on which nginx tells its agent which table its workers run.
pub const INTERNAL_PORT: u16 = 8079;

/// The gRPC method on the admin port by which a load balancer asks for the health of an edge that it speaks gRPC with.
pub const GRPC_HEALTH_PATH: &str = "/AWS.ALB/healthcheck";

/// Renders the configuration an edge runs for this table. A pure function: equal tables give equal text.
#[must_use]
pub fn render(table: &RouteTable) -> String {
    crate::nginx::serialize(&tree(table))
}

fn tree(table: &RouteTable) -> Vec<Directive> {
    vec![
        simple("daemon", [Arg::Word("off")]),
        simple("worker_processes", [Arg::Number(1)]),
        simple("worker_shutdown_timeout", [Arg::Word("300s")]),
        simple("pid", [Arg::Word("/tmp/nginx.pid")]),
        simple("error_log", [Arg::Word("stderr"), Arg::Word("warn")]),
        block("events", [], vec![simple("worker_connections", [Arg::Number(4096)])]),
        block("http", [], http(table)),
    ]
}

fn http(table: &RouteTable) -> Vec<Directive> {
    let hash = table.hash();
    // Keep-alive towards the load balancer must outlive its idle timeout, or it reuses a connection that we are closing.
    let idle = table.ports.values().map(|p| p.idle_timeout.get()).max().unwrap_or(60);
    let mut out = vec![
        simple("server_tokens", [Arg::Word("off")]),
        simple("default_type", [Arg::Word("text/plain")]),
        simple("merge_slashes", [Arg::Word("on")]),
        simple("underscores_in_headers", [Arg::Word("off")]),
        simple("ignore_invalid_headers", [Arg::Word("on")]),
        simple("server_names_hash_bucket_size", [Arg::Number(256)]),
        simple("server_names_hash_max_size", [Arg::Number(4096)]),
        simple("variables_hash_max_size", [Arg::Number(4096)]),
        // The longest origin with the words before it, and the longest header name, each fit a bucket.
        simple("map_hash_bucket_size", [Arg::Number(512)]),
        simple("proxy_headers_hash_bucket_size", [Arg::Number(128)]),
        // By prior knowledge, beside HTTP/1.1 on the same port. The default server's word alone would not do: nginx asks
        // it when a connection comes, then each host's own for each request, and answers 421 where it is off.
        simple("http2", [Arg::Word("on")]),
        simple("keepalive_timeout", [Arg::Unit("", u64::from(idle) + 15, "s")]),
        // Without it every idle connection of the load balancer breaks at each reload.
        simple("keepalive_min_timeout", [Arg::Word("10s")]),
        simple("keepalive_requests", [Arg::Number(100_000)]),
        simple("large_client_header_buffers", [Arg::Number(4), Arg::Word("32k")]),
        // A load balancer sends a head at once. A body comes as fast as the client's own.
        simple("client_header_timeout", [Arg::Word("15s")]),
        simple("client_body_timeout", [Arg::Word("60s")]),
        // What timed out must not hold its buffers in the kernel until the other side is asked for the last time.
        simple("reset_timedout_connection", [Arg::Word("on")]),
        simple("client_body_temp_path", [Arg::Word("/tmp/client_body")]),
        simple("proxy_temp_path", [Arg::Word("/tmp/proxy")]),
        simple("fastcgi_temp_path", [Arg::Word("/tmp/fastcgi")]),
        simple("uwsgi_temp_path", [Arg::Word("/tmp/uwsgi")]),
        simple("scgi_temp_path", [Arg::Word("/tmp/scgi")]),
        simple(
            "resolver",
            [quoted(match table.resolver {
                std::net::IpAddr::V4(v4) => v4.to_string(),
                std::net::IpAddr::V6(v6) => format!("[{v6}]"),
            })]
            .into_iter()
            .chain(table.resolver.is_ipv4().then_some(Arg::Word("ipv6=off"))),
        ),
        simple("resolver_timeout", [Arg::Word("2s")]),
        simple("real_ip_header", [Arg::Word("X-Forwarded-For")]),
        simple("real_ip_recursive", [Arg::Word("on")]),
        // WebSocket and nothing else. A backend that took `Upgrade: h2c` would get a tunnel from the client, and no route's
        // rule would hold for what comes through it.
        block(
            "map",
            [Arg::Word("$http_upgrade"), Arg::Word("$edge_upgrade")],
            vec![entry("websocket", [quoted("websocket")]), simple("default", [quoted("")])],
        ),
        block(
            "map",
            [Arg::Word("$edge_upgrade"), Arg::Word("$edge_connection")],
            vec![entry("websocket", [quoted("upgrade")]), simple("default", [quoted("")])],
        ),
        simple("proxy_http_version", [Arg::Word("1.1")]),
        simple("proxy_connect_timeout", [Arg::Word("3s")]),
        simple("proxy_max_temp_file_size", [Arg::Number(0)]),
        // A request that may have had an effect is never sent twice (non_idempotent is not named).
        simple("proxy_next_upstream", [Arg::Word("error"), Arg::Word("timeout")]),
        simple("proxy_next_upstream_tries", [Arg::Number(2)]),
        simple("proxy_redirect", [Arg::Word("off")]),
        // A flood of refused requests must not become a flood of log lines.
        simple("limit_req_log_level", [Arg::Word("info")]),
    ];
    out.extend(log::directives(table));
    out.extend(forwarded(BackendProtocol::Http));
    if each(table).any(|place| place.route.options.backend_protocol == BackendProtocol::Grpc) {
        out.extend(grpc());
    }
    out.extend(upstreams(table));
    out.extend(splits(table));
    out.extend(limits(table));
    let calls = cors::directives(table);
    let preflights = !calls.is_empty();
    out.extend(calls);
    out.extend(auth::directives(table));
    let mut internal = vec![simple("listen", [Arg::Unit("127.0.0.1:", u64::from(INTERNAL_PORT), "")]), log::off()];
    if preflights {
        internal.extend(cors::locations());
    }
    internal.push(block("location", [quoted("/")], vec![simple("return", [Arg::Number(200), quoted(&hash)])]));
    out.push(block("server", [], internal));
    for (port, served) in &table.ports {
        out.push(default_server(*port, served, &hash));
        for (host, routes) in &served.hosts {
            out.push(server(*port, host, served, routes, &hash));
        }
    }
    out
}

/// One route where it stands in the table.
#[derive(Clone, Copy)]
struct Place<'a> {
    port: Port,
    host: &'a Host,
    path: &'a Path,
    path_type: PathType,
    route: &'a Route,
}

fn each(table: &RouteTable) -> impl Iterator<Item = Place<'_>> {
    table.ports.iter().flat_map(|(port, served)| {
        served.hosts.iter().flat_map(|(host, routes)| {
            routes.routes.iter().map(|((path, path_type), route)| Place {
                port: *port,
                host,
                path,
                path_type: *path_type,
                route,
            })
        })
    })
}

/// One upstream per twin Service, port and protocol, not per route: thousands of zones would cost seconds and a
/// gigabyte. A kept connection speaks one protocol; and session affinity needs an upstream of its own, because the cookie
/// is a property of it.
fn upstreams(table: &RouteTable) -> Vec<Directive> {
    type Key<'a> = (&'a crate::Label, &'a BackendPort, Option<Vec<Arg>>, BackendProtocol);
    let mut distinct: BTreeMap<Key<'_>, String> = BTreeMap::new();
    for place in each(table) {
        for backend in &place.route.backends {
            let key = (&backend.service, &backend.port, sticky(&place), place.route.options.backend_protocol);
            distinct.entry(key).or_insert_with(|| upstream_name(&place, backend));
        }
        if let Some(auth) = &place.route.external_auth {
            let key = (&auth.service, &auth.port, None, BackendProtocol::Http);
            distinct.entry(key).or_insert_with(|| plain_upstream(&auth.service, &auth.port));
        }
    }
    distinct
        .into_iter()
        .map(|((service, port, sticky, _), name)| {
            let fqdn = format!("{service}.{}.svc.{}", table.namespace, table.cluster_domain);
            // Readiness in Kubernetes is the truth; with max_fails one slow replica could empty the group.
            let server = match port {
                BackendPort::Number(port) => {
                    vec![quoted(format!("{fqdn}:{}", port.get())), Arg::Word("resolve"), Arg::Word("max_fails=0")]
                }
                BackendPort::Named(name) => {
                    vec![
                        quoted(fqdn),
                        quoted(format!("service={name}")),
                        Arg::Word("resolve"),
                        Arg::Word("max_fails=0"),
                    ]
                }
            };
            let mut body = vec![simple("zone", [quoted(&name), Arg::Word("128k")]), simple("server", server)];
            body.extend(sticky.map(|args| simple("sticky", args)));
            body.push(simple("keepalive", [Arg::Number(16)]));
            block("upstream", [quoted(&name)], body)
        })
        .collect()
}

/// The upstream of a Service that is spoken to in HTTP/1.1, whichever pod answers.
fn plain_upstream(service: &crate::Label, port: &BackendPort) -> String {
    format!("u-{}", Hex::of(format!("{service} {port:?}").as_bytes()).as_str())
}

fn upstream_name(place: &Place<'_>, backend: &Backend) -> String {
    let Backend { service, port, .. } = backend;
    let mut content = match sticky(place) {
        None => format!("{service} {port:?}"),
        Some(sticky) => format!("{service} {port:?} {sticky:?}"),
    };
    let protocol = place.route.options.backend_protocol;
    if protocol != BackendProtocol::Http {
        content = format!("{content} {protocol:?}");
    }
    format!("u-{}", Hex::of(content.as_bytes()).as_str())
}

/// The cookie goes no further than the route, so that two routes may use one name for different Services.
fn sticky(place: &Place<'_>) -> Option<Vec<Arg>> {
    let affinity = place.route.options.session_affinity.as_ref()?;
    let mut args = vec![Arg::Word("cookie"), quoted(affinity.cookie_name.as_text())];
    args.extend(affinity.max_age.map(|age| Arg::Unit("expires=", u64::from(age.get()), "s")));
    args.push(quoted(format!("path={}", place.path)));
    args.extend(["httponly", "secure", "samesite=lax"].map(Arg::Word));
    Some(args)
}

/// One zone per limited route, for all the locations that serve it.
fn limits(table: &RouteTable) -> Vec<Directive> {
    each(table)
        .filter_map(|place| {
            let limit = place.route.options.rate_limit?;
            Some(simple(
                "limit_req_zone",
                [
                    Arg::Word("$binary_remote_addr"),
                    Arg::Named("zone=limit_", zone_name(&place), ":1m"),
                    Arg::Unit("rate=", u64::from(limit.requests_per_second.get()), "r/s"),
                ],
            ))
        })
        .collect()
}

/// Weighted routes choose a Service first and a pod second, so that shares do not depend on replica counts.
fn splits(table: &RouteTable) -> Vec<Directive> {
    let mut distinct = BTreeMap::new();
    for place in each(table) {
        let route = place.route;
        if live(route).count() > 1 {
            distinct.insert(split_name(route), place);
        }
    }
    distinct
        .into_iter()
        .map(|(hash, place)| {
            let route = place.route;
            let total: u64 = live(route).map(|b| u64::from(b.weight.get())).sum();
            let last = live(route).count() - 1;
            let lines = live(route)
                .enumerate()
                .map(|(i, backend)| {
                    let target = quoted(upstream_name(&place, backend));
                    if i == last {
                        return entry("*", [target]);
                    }
                    let hundredths = (u64::from(backend.weight.get()) * 10_000 / total).max(1);
                    entry(format!("{}.{:02}%", hundredths / 100, hundredths % 100), [target])
                })
                .collect();
            block("split_clients", [Arg::Word("$request_id"), Arg::Variable("split_", hash)], lines)
        })
        .collect()
}

fn split_name(route: &Route) -> Hex {
    let protocol = route.options.backend_protocol;
    Hex::of(
        match protocol {
            BackendProtocol::Http => format!("{:?}", route.backends),
            BackendProtocol::H2c | BackendProtocol::Grpc => format!("{:?} {protocol:?}", route.backends),
        }
        .as_bytes(),
    )
}

fn live(route: &Route) -> impl Iterator<Item = &Backend> {
    route.backends.iter().filter(|b| b.weight.get() > 0)
}

fn default_server(port: Port, served: &PortTable, hash: &str) -> Directive {
    let mut body = vec![
        simple("listen", [Arg::Number(u64::from(port.get())), Arg::Word("default_server")]),
        simple("server_name", [Arg::Word("_")]),
    ];
    body.extend(trust(served));
    body.push(reserved(hash));
    body.push(block("location", [quoted("/")], vec![simple("return", [Arg::Number(404)])]));
    block("server", [], body)
}

fn trust(served: &PortTable) -> impl Iterator<Item = Directive> {
    served.trusted.iter().map(|cidr| simple("set_real_ip_from", [quoted(cidr.as_text())]))
}

fn reserved(hash: &str) -> Directive {
    let answer = simple("return", [Arg::Number(200), quoted(hash)]);
    block("location", [quoted(RESERVED_PREFIX)], vec![log::off(), answer])
}

fn server(port: Port, host: &Host, served: &PortTable, routes: &HostRoutes, hash: &str) -> Directive {
    let name = if host.is_wildcard() { Arg::OneLabelWildcard(host.suffix().to_owned()) } else { quoted(host.suffix()) };
    let mut body = vec![
        simple("listen", [Arg::Number(u64::from(port.get()))]),
        simple("server_name", [name]),
        simple("client_max_body_size", [Arg::Number(served.max_body_size.bytes())]),
    ];
    body.extend(trust(served));
    body.push(reserved(hash));
    for (location, found) in locations(routes) {
        let (args, text) = match &location {
            Location::Exact(path) => (vec![Arg::Word("="), quoted(path)], path),
            Location::Below(path) => (vec![quoted(path)], path),
        };
        let place = found.map(|((path, path_type), route)| Place { port, host, path, path_type: *path_type, route });
        body.push(block("location", args, answer(place, text)));
    }
    for ((path, path_type), route) in &routes.routes {
        let place = Place { port, host, path, path_type: *path_type, route };
        body.extend(answer::excuse(&place));
        body.extend(auth::door(&place));
    }
    block("server", [], body)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Location {
    Exact(String),
    Below(String),
}

/// nginx locations with the meaning of Exact and Prefix. `None` answers 404.
///
/// A lone `location /foo/` would answer `/foo` with a redirect, as would `location = /foo/`: every path that ends
/// in a slash gets an exact twin without it that does what the remaining routes say.
fn locations(routes: &HostRoutes) -> BTreeMap<Location, Option<Found<'_>>> {
    let mut out: BTreeMap<Location, Option<Found<'_>>> = BTreeMap::new();
    for (key, route) in &routes.routes {
        let ((path, path_type), found): (_, Found<'_>) = (key, (key, route));
        match path_type {
            PathType::Exact => {
                out.insert(Location::Exact(path.as_text()), Some(found));
            }
            PathType::Prefix => {
                let base = path.without_final_slash();
                if base == Path::root() {
                    out.insert(Location::Below("/".into()), Some(found));
                } else {
                    out.entry(Location::Exact(base.as_text())).or_insert(Some(found));
                    // `/foo` and `/foo/` are one prefix. The operator merges them; of two, the first has all of it.
                    out.entry(Location::Below(format!("{base}/"))).or_insert(Some(found));
                }
            }
        }
    }
    let rest = |path: &str| longest_prefix(&routes.routes, path).map(|(key, route)| (key, &**route));
    let guards: Vec<String> = out
        .keys()
        .filter_map(|location| match location {
            Location::Exact(path) => path.strip_suffix('/').filter(|rest| !rest.is_empty()).map(str::to_owned),
            Location::Below(_) => None,
        })
        .collect();
    for path in guards {
        if !out.contains_key(&Location::Exact(path.clone())) {
            let rest = rest(&path);
            out.insert(Location::Exact(path), rest);
        }
    }
    // `/.well-known/gatehouse` would be redirected to the reserved prefix by nginx; let the app's routes have it.
    let bare = RESERVED_PREFIX.trim_end_matches('/').to_owned();
    if !out.contains_key(&Location::Exact(bare.clone())) {
        let rest = rest(&bare);
        out.insert(Location::Exact(bare), rest);
    }
    // What lies below it is the platform's, also where a Prefix route stands at its edge: nginx refuses a location that
    // stands twice, and with it the whole table.
    out.retain(|location, _| {
        let (Location::Exact(path) | Location::Below(path)) = location;
        !path.starts_with(RESERVED_PREFIX)
    });
    out.entry(Location::Below("/".into())).or_insert(None);
    out
}

type Found<'a> = (&'a (Path, PathType), &'a Route);
