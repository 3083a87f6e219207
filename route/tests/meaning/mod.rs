//! What an nginx.conf does with a request, and what the table says it should: two readings that know nothing of each
//! other or of the renderer.
//!
//! [`judge`] is also the body of the fuzz target in `route/fuzz`.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_route::{BackendPort, BackendProtocol, Host, PathType, Port, Route, RouteTable, Scheme, render};

use crate::reader::{Node, read};

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Does {
    Status(u16),
    Redirect { code: u16, url: String },
    Pass(Pass),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Networks; empty is everybody.
    allow: BTreeSet<String>,
    /// Services with their port, and their hundredths of a percent.
    to: Vec<(String, u64)>,
    grpc: bool,
    timeout: String,
    body: Option<u64>,
    sets: BTreeMap<String, String>,
    adds: BTreeMap<String, String>,
    /// What the backend sees, where that is not what was asked for.
    path: Option<String>,
}

/// Reads bytes as an agent would. What is no table is refused, and that is all. A table is rendered, read back, and asked
/// for every path that could make a difference. Gives the number of questions.
///
/// # Panics
/// When the file does something else than the table says.
pub fn judge(bytes: &[u8]) -> Option<usize> {
    let table = RouteTable::from_json(std::str::from_utf8(bytes).ok()?).ok()?;
    // An edge of a namespace has few hosts; more make the search slow and find nothing new.
    if table.ports.values().map(|port| port.hosts.len()).sum::<usize>() > 20 {
        return None;
    }
    let text = render(&table);
    assert_eq!(text, render(&table), "equal tables give equal text");
    assert_eq!(RouteTable::from_json(&table.to_json()).as_ref(), Ok(&table), "a table survives its own JSON");
    let file = read(&text).unwrap_or_else(|why| panic!("{why}:\n{text}"));
    only_known(&file);
    let http = file.iter().find(|node| node.words == ["http"]).and_then(|node| node.block.as_ref()).expect("http");
    let mut asked = 0;
    let others = ["unknown.example.net", "a.b.c", "_", "localhost"].map(str::to_owned);
    for port in table.ports.keys() {
        // Hosts of every port, so that one that belongs to another load balancer is asked for too.
        let hosts = table.ports.values().flat_map(|served| served.hosts.keys()).flat_map(names).chain(others.clone());
        for host in hosts.collect::<BTreeSet<String>>() {
            for path in paths(&table) {
                let (file, wanted) = (of_file(http, *port, &host, &path), of_table(&table, *port, &host, &path));
                assert!(agrees(&file, &wanted), "{} {host} {path}: {file:?}, but {wanted:?}\n{text}", port.get());
                asked += 1;
            }
        }
    }
    Some(asked)
}

/// Equal but for header lines that the edge writes of itself: what the table asks for stands there.
fn agrees(file: &Does, wanted: &Does) -> bool {
    let (Does::Pass(file), Does::Pass(wanted)) = (file, wanted) else { return file == wanted };
    let has = |lines: &BTreeMap<String, String>, asked: &BTreeMap<String, String>| {
        asked.iter().all(|(name, value)| lines.get(name) == Some(value))
    };
    has(&file.sets, &wanted.sets)
        && has(&file.adds, &wanted.adds)
        && Pass { sets: BTreeMap::new(), adds: BTreeMap::new(), ..file.clone() }
            == Pass { sets: BTreeMap::new(), adds: BTreeMap::new(), ..wanted.clone() }
}

/// Names of which some belong to a host and some do not.
fn names(host: &Host) -> Vec<String> {
    let suffix = host.suffix();
    vec![
        suffix.to_owned(),
        format!("one.{suffix}"),
        format!("two.one.{suffix}"),
        format!("x{suffix}"),
        format!("{suffix}.x"),
    ]
}

/// Each path of the table and what lies around it, as nginx compares them: decoded and resolved.
fn paths(table: &RouteTable) -> BTreeSet<String> {
    let routes = table.ports.values().flat_map(|p| p.hosts.values()).flat_map(|h| h.routes.keys());
    let mut out: BTreeSet<String> =
        ["/", "/.well-known/gatehouse", "/.well-known/gatehouse/x"].map(str::to_owned).into();
    for (path, _) in routes.take(40) {
        let base = path.as_str().trim_end_matches('/');
        out.extend(["", "/", "/x", "/x/y", "x", ".", "//"].map(|more| format!("{base}{more}").replace("//", "/")));
        out.extend(base.rsplit_once('/').map(|(parent, _)| format!("{parent}/")));
    }
    out.retain(|path| path.starts_with('/'));
    out
}

/// No directive by which text could become a program, a file or another request.
fn only_known(nodes: &[Node]) {
    for node in nodes {
        let name = node.words[0].as_str();
        let never = [
            "if",
            "set",
            "rewrite",
            "rewrite_log",
            "include",
            "load_module",
            "alias",
            "try_files",
            "ssi",
            "sub_filter",
            "slice",
            "autoindex",
            "js_content",
            "js_set",
            "perl",
            "perl_set",
            "content_by_lua_block",
            "env",
            "user",
            "proxy_bind",
            "proxy_store",
            "mirror",
            "add_before_body",
            "secure_link",
            "xslt_stylesheet",
            "image_filter",
            "dav_methods",
            "stub_status",
            "proxy_set_body",
        ];
        assert!(!never.contains(&name), "{:?}", node.words);
        only_known(node.block.as_deref().unwrap_or_default());
    }
}

fn blocks<'a>(nodes: &'a [Node], name: &'a str) -> impl Iterator<Item = (&'a [String], &'a [Node])> {
    let of = move |node: &'a Node| Some((&node.words[1..], node.block.as_deref()?));
    nodes.iter().filter(move |node| node.words[0] == name).filter_map(of)
}

fn lines<'a>(nodes: &'a [Node], name: &'a str) -> impl Iterator<Item = &'a [String]> {
    nodes.iter().filter(move |node| node.words[0] == name && node.block.is_none()).map(|node| &node.words[1..])
}

/// By nginx's rules: exact names before expressions before the default; exact locations before the longest prefix; a
/// location that passes on and ends in a slash redirects its own name without it; `return` before `allow`.
fn of_file(http: &[Node], port: Port, host: &str, path: &str) -> Does {
    let listens = port.get().to_string();
    let servers: Vec<&[Node]> = blocks(http, "server")
        .map(|(_, body)| body)
        .filter(|body| lines(body, "listen").any(|words| words[0] == listens))
        .collect();
    let named = |name: &str| {
        let found: Vec<&&[Node]> =
            servers.iter().filter(|body| lines(body, "server_name").any(|words| words[0] == name)).collect();
        assert!(found.len() <= 1, "{name} stands twice");
        found.first().map(|body| **body)
    };
    let wild = host.split_once('.').filter(|(label, _)| !label.is_empty());
    let wild = wild.map(|(_, rest)| format!("~^[^.]+\\.{}$", rest.replace('.', "\\.")));
    let default =
        || servers.iter().find(|body| lines(body, "listen").any(|words| words.contains(&"default_server".into())));
    let server = named(host).or_else(|| named(&wild?)).or_else(|| default().copied()).expect("a default server");
    let locations: Vec<(&[String], &[Node])> = blocks(server, "location").collect();
    let at = |words: &[&str]| locations.iter().find(|(found, _)| *found == words).map(|(_, body)| *body);
    let passes = |body: &[Node]| body.iter().any(|node| node.words[0].ends_with("_pass"));
    let with_slash = format!("{path}/");
    let prefixes = locations.iter().filter(|(words, _)| words.len() == 1 && path.starts_with(words[0].as_str()));
    let (location, body) = match at(&["=", path]) {
        Some(body) => (path, body),
        None if at(&[&with_slash]).or_else(|| at(&["=", &with_slash])).is_some_and(passes) => return Does::Status(301),
        None => {
            let (words, body) = prefixes.max_by_key(|(words, _)| words[0].len()).expect("a location for everything");
            (words[0].as_str(), *body)
        }
    };
    if let Some(words) = lines(body, "return").next() {
        let code = words[0].parse().unwrap();
        return match code {
            301 | 302 | 303 | 307 | 308 => Does::Redirect { code, url: words[1].clone() },
            code => Does::Status(code),
        };
    }
    // nginx exchanges the location for the path of the target.
    let mut pass = pass(http, server, body);
    pass.path = pass.path.map(|text| format!("{text}{}", &path[location.len()..]));
    Does::Pass(pass)
}

fn pass(http: &[Node], server: &[Node], body: &[Node]) -> Pass {
    let one = |name: &str| lines(body, name).next().map(|words| words[0].clone());
    let grpc = one("grpc_pass");
    let target = grpc.clone().or_else(|| one("proxy_pass")).expect("passes on");
    let (scheme, target) = target.split_once("://").unwrap();
    assert_eq!(scheme, if grpc.is_some() { "grpc" } else { "http" });
    let (name, path) = target.find('/').map_or((target, None), |at| (&target[..at], Some(target[at..].to_owned())));
    let service = |upstream: &str| {
        let (_, body) = blocks(http, "upstream").find(|(words, _)| words[0] == upstream).expect("an upstream");
        let servers: Vec<&[String]> = lines(body, "server").collect();
        assert_eq!(servers.len(), 1);
        let words: Vec<&str> =
            servers[0].iter().map(String::as_str).filter(|w| *w != "resolve" && *w != "max_fails=0").collect();
        words.join(" ")
    };
    let to = match name.strip_prefix('$') {
        None => vec![(service(name), 10_000)],
        Some(_) => {
            let (_, body) = blocks(http, "split_clients").find(|(words, _)| words[1] == name).expect("shares");
            let mut left = 10_000_u64;
            body.iter()
                .map(|node| {
                    let share = match node.words[0].strip_suffix('%') {
                        Some(text) => text.replace('.', "").parse().unwrap(),
                        None => left,
                    };
                    left = left.saturating_sub(share);
                    (service(&node.words[1]), share)
                })
                .collect()
        }
    };
    let allow: BTreeSet<String> = lines(body, "allow").map(|words| words[0].clone()).collect();
    assert_eq!(lines(body, "deny").count(), usize::from(!allow.is_empty()), "what is not allowed is denied");
    let prefix = if grpc.is_some() { "grpc" } else { "proxy" };
    let pairs = |name: &str| {
        lines(body, name).map(|words| (words[0].to_lowercase(), words[1].clone())).collect::<BTreeMap<_, _>>()
    };
    let timeouts = [format!("{prefix}_read_timeout"), format!("{prefix}_send_timeout")].map(|name| one(&name).unwrap());
    assert_eq!(timeouts[0], timeouts[1]);
    let size = one("client_max_body_size")
        .or_else(|| lines(server, "client_max_body_size").next().map(|words| words[0].clone()));
    Pass {
        allow,
        to,
        grpc: grpc.is_some(),
        timeout: timeouts[0].clone(),
        body: size.map(|size| size.parse().unwrap()),
        sets: pairs(&format!("{prefix}_set_header")),
        adds: pairs("add_header"),
        path,
    }
}

/// In the table's own words.
fn of_table(table: &RouteTable, port: Port, host: &str, path: &str) -> Does {
    let served = &table.ports[&port];
    let found = served.hosts.iter().find(|(name, _)| name.as_text() == host).or_else(|| {
        served.hosts.iter().find(|(name, _)| {
            let rest = host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, rest)| rest);
            name.is_wildcard() && rest == Some(name.suffix())
        })
    });
    if path.starts_with("/.well-known/gatehouse/") {
        return Does::Status(200);
    }
    let Some((_, routes)) = found else { return Does::Status(404) };
    let exact = routes.routes.iter().find(|((p, kind), _)| *kind == PathType::Exact && p.as_str() == path);
    let prefixes = routes.routes.iter().filter(|((p, kind), _)| {
        let base = p.as_str().trim_end_matches('/');
        *kind == PathType::Prefix
            && path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    // Of two that are equal but for a slash at the end, the first.
    let route = exact.or_else(|| prefixes.rev().max_by_key(|((p, _), _)| p.as_str().trim_end_matches('/').len()));
    let Some(((own, kind), route)) = route else { return Does::Status(404) };
    if let Some(redirect) = &route.options.redirect {
        let (scheme, own_port) = match redirect.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let host = redirect.hostname.as_ref().map_or("${host}".to_owned(), Host::as_text);
        let port = redirect
            .port
            .map(Port::get)
            .filter(|port| *port != own_port)
            .map_or(String::new(), |port| format!(":{port}"));
        let path =
            redirect.path.as_ref().map_or("${request_uri}".to_owned(), |path| format!("{path}${{is_args}}${{args}}"));
        return Does::Redirect { code: redirect.status_code.get(), url: format!("{scheme}://{host}{port}{path}") };
    }
    let live: Vec<_> = route.backends.iter().filter(|backend| backend.weight.get() > 0).collect();
    if live.is_empty() {
        return Does::Status(503);
    }
    Does::Pass(wanted(table, served.max_body_size.bytes(), (own.as_str(), *kind), route, path))
}

fn wanted(table: &RouteTable, size: u64, (own, kind): (&str, PathType), route: &Route, path: &str) -> Pass {
    let options = &route.options;
    let grpc = options.backend_protocol == BackendProtocol::Grpc;
    let live: Vec<_> = route.backends.iter().filter(|backend| backend.weight.get() > 0).collect();
    let total: u64 = live.iter().map(|backend| u64::from(backend.weight.get())).sum();
    let mut left = 10_000_u64;
    let last = live.len() - 1;
    let to = live.iter().enumerate().map(|(i, backend)| {
        let name = format!("{}.{}.svc.{}", backend.service, table.namespace, table.cluster_domain);
        let name = match &backend.port {
            BackendPort::Number(port) => format!("{name}:{}", port.get()),
            BackendPort::Named(port) => format!("{name} service={port}"),
        };
        // The last has what is left, so that no request has nowhere to go.
        let share = if i == last { left } else { (u64::from(backend.weight.get()) * 10_000 / total).max(1) };
        left = left.saturating_sub(share);
        (name, share)
    });
    let to = to.collect();
    let lower = |name: String| name.to_lowercase();
    let mut sets: BTreeMap<String, String> = BTreeMap::new();
    let mut adds: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &options.request_headers.set {
        sets.insert(lower(name.as_text()), value.as_text());
    }
    for name in &options.request_headers.remove {
        sets.insert(lower(name.as_text()), String::new());
    }
    for (name, value) in &options.response_headers.set {
        adds.insert(lower(name.as_text()), value.as_text());
    }
    // Who is asked has the last word on the headers of its answer.
    if let Some(auth) = &route.external_auth {
        auth.response_headers.iter().for_each(|name| drop(sets.remove(&lower(name.as_text()))));
    }
    let base = own.trim_end_matches('/');
    let rest =
        || Some(path.strip_prefix(base)?.to_owned()).map(|rest| if rest.is_empty() { "/".to_owned() } else { rest });
    let strips = options.strip_prefix && !grpc && kind == PathType::Prefix && !base.is_empty() && live.len() == 1;
    Pass {
        allow: route.allow.iter().map(ToString::to_string).collect(),
        to,
        grpc,
        timeout: route.timeout.as_text(),
        body: Some(options.max_body_size.map_or(if grpc { 0 } else { size }, gatehouse_route::Size::bytes)),
        sets,
        adds,
        path: strips.then(rest).flatten(),
    }
}
