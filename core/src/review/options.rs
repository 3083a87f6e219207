//! The options of a route: each field into its type, and what does not go together.

use std::collections::BTreeSet;

use gatehouse_crds as crds;
use gatehouse_crds::RouteRule;
use gatehouse_route::header::MAX_GRPC_HEADER_NAME;
use gatehouse_route::{
    AccessLog, BackendProtocol, Buffering, Burst, CookieName, Cors, ErrorText, HeaderChanges, HeaderValue, Host, Label,
    Path, PathType, Port, Rate, RateLimit, Redirect, RequestHeader, RouteOptions, Scheme, Seconds, SessionAffinity,
    Size, StatusCode,
};

use super::parse::ParsedAuth;

/// Told a field and what is wrong with it.
type Fault<'a> = dyn FnMut(String, String) + 'a;

/// Reads the options of the route at `at`; what is out of its grammar is told and left out.
pub(super) fn options(rule: &RouteRule, path_type: PathType, at: &str, fault: &mut Fault<'_>) -> RouteOptions {
    let size = |text: &String, fault: &mut Fault<'_>| {
        told(Size::parse(text).map_err(|e| e.to_string()), &format!("{at}.maxBodySize"), fault)
    };
    let out = RouteOptions {
        backend_protocol: match rule.backend_protocol {
            Some(crds::BackendProtocol::Grpc) => BackendProtocol::Grpc,
            Some(crds::BackendProtocol::H2c) => BackendProtocol::H2c,
            Some(crds::BackendProtocol::Http) | None => BackendProtocol::Http,
        },
        max_body_size: rule.max_body_size.as_ref().and_then(|text| size(text, fault)),
        buffering: match rule.buffering {
            Some(crds::Buffering::Off) => Buffering::Off,
            Some(crds::Buffering::On) | None => Buffering::On,
        },
        request_headers: headers(rule.request_headers.as_ref(), &format!("{at}.requestHeaders"), fault),
        response_headers: headers(rule.response_headers.as_ref(), &format!("{at}.responseHeaders"), fault),
        cors: rule.cors.as_ref().map(|cors| read_cors(cors, &format!("{at}.cors"), fault)),
        redirect: rule.redirect.as_ref().map(|redirect| read_redirect(redirect, &format!("{at}.redirect"), fault)),
        strip_prefix: rule.strip_prefix == Some(true),
        rate_limit: rule.rate_limit.as_ref().and_then(|limit| rate_limit(limit, &format!("{at}.rateLimit"), fault)),
        session_affinity: rule
            .session_affinity
            .as_ref()
            .and_then(|affinity| session_affinity(affinity, &format!("{at}.sessionAffinity"), fault)),
        error_text: rule
            .error_text
            .as_ref()
            .and_then(|text| told(ErrorText::parse(text), &format!("{at}.errorText"), fault)),
        access_log: match rule.access_log {
            Some(crds::AccessLog::On) => AccessLog::On,
            Some(crds::AccessLog::Off) | None => AccessLog::Off,
        },
    };
    together(rule, path_type, at, fault);
    out
}

fn told<T, E: ToString>(read: Result<T, E>, field: &str, fault: &mut Fault<'_>) -> Option<T> {
    read.map_err(|e| fault(field.to_owned(), e.to_string())).ok()
}

/// Fields that exclude each other.
fn together(rule: &RouteRule, path_type: PathType, at: &str, fault: &mut Fault<'_>) {
    let backends = rule.backends.len();
    if rule.redirect.is_some() {
        let others = [
            ("backends", backends > 0),
            ("backendProtocol", rule.backend_protocol.is_some()),
            ("timeout", rule.timeout.is_some()),
            ("maxBodySize", rule.max_body_size.is_some()),
            ("buffering", rule.buffering.is_some()),
            ("requestHeaders", rule.request_headers.is_some()),
            ("responseHeaders", rule.response_headers.is_some()),
            ("cors", rule.cors.is_some()),
            ("stripPrefix", rule.strip_prefix.is_some()),
            ("rateLimit", rule.rate_limit.is_some()),
            ("sessionAffinity", rule.session_affinity.is_some()),
            ("errorText", rule.error_text.is_some()),
            // Where a redirect leads is no secret, but who writes this means to keep somebody out.
            ("externalAuth", rule.external_auth.is_some()),
        ];
        for (field, _) in others.into_iter().filter(|(_, said)| *said) {
            fault(format!("{at}.{field}"), "stands beside redirect, which reaches no backend; keep one".into());
        }
        return;
    }
    if rule.backend_protocol == Some(crds::BackendProtocol::Grpc) {
        let others = [
            ("buffering", rule.buffering.is_some(), "gRPC is never gathered before it is passed on; leave it out"),
            ("cors", rule.cors.is_some(), "browsers do not speak gRPC; leave it out"),
            ("stripPrefix", rule.strip_prefix == Some(true), "the path of a gRPC call names its method; leave it out"),
            ("sessionAffinity", rule.session_affinity.is_some(), "gRPC clients keep no cookies; leave it out"),
            ("errorText", rule.error_text.is_some(), "gRPC clients read no text; leave it out"),
        ];
        for (field, _, why) in others.into_iter().filter(|(_, said, _)| *said) {
            fault(format!("{at}.{field}"), format!("stands beside backendProtocol GRPC: {why}"));
        }
        let names_of = |changes: &Option<crds::HeaderChanges>| {
            let all = changes.iter().flat_map(|c| c.set.iter().map(|s| s.name.clone()).chain(c.remove.clone()));
            all.collect::<Vec<_>>()
        };
        for (field, names) in [
            ("requestHeaders", names_of(&rule.request_headers)),
            ("responseHeaders", names_of(&rule.response_headers)),
            (
                "externalAuth.responseHeaders",
                rule.external_auth.iter().flat_map(|a| a.response_headers.clone()).collect(),
            ),
        ] {
            for name in names.iter().filter(|name| name.len() > MAX_GRPC_HEADER_NAME) {
                let most = format!("nginx holds at most {MAX_GRPC_HEADER_NAME} characters beside backendProtocol GRPC");
                fault(format!("{at}.{field}"), format!("{name:?} is too long: {most}"));
            }
        }
    }
    if rule.strip_prefix == Some(true) {
        if path_type == PathType::Exact {
            fault(
                format!("{at}.stripPrefix"),
                "true is for pathType Prefix; an Exact path has nothing below it".into(),
            );
        }
        if backends > 1 {
            let message = format!("true is for one backend, here are {backends}; let the backends take the full path");
            fault(format!("{at}.stripPrefix"), message);
        }
    }
    if rule.session_affinity.is_some() && backends > 1 {
        let message = format!("is for one backend, here are {backends}; shares and affinity exclude each other");
        fault(format!("{at}.sessionAffinity"), message);
    }
}

/// Reads the Service that is asked about each request first.
pub(super) fn external_auth(rule: &RouteRule, at: &str, fault: &mut Fault<'_>) -> Option<ParsedAuth> {
    let asked = rule.external_auth.as_ref()?;
    let at = format!("{at}.externalAuth");
    let service = told(Label::parse(&asked.service), &format!("{at}.service"), fault);
    let port = told(Port::try_from(i64::from(asked.port)), &format!("{at}.port"), fault);
    let path = told(Path::parse(asked.path.as_deref().unwrap_or("/")), &format!("{at}.path"), fault);
    let field = format!("{at}.responseHeaders");
    let response_headers: BTreeSet<RequestHeader> = list(&asked.response_headers, 16, &field, fault);
    let said = rule.request_headers.iter().flat_map(|h| h.set.iter().map(|s| &s.name).chain(&h.remove));
    for name in said.filter_map(|text| RequestHeader::parse(text).ok()).filter(|name| response_headers.contains(name)) {
        fault(field.clone(), format!("\"{name}\" stands in requestHeaders too; keep one"));
    }
    Some(ParsedAuth { service: service?, port: port?, path: path?, response_headers })
}

fn headers<Name>(asked: Option<&crds::HeaderChanges>, at: &str, fault: &mut Fault<'_>) -> HeaderChanges<Name>
where
    Name: Ord + Clone + std::str::FromStr<Err = gatehouse_route::GrammarError>,
{
    let mut out = HeaderChanges::default();
    let Some(asked) = asked else { return out };
    few(asked.set.len(), 16, &format!("{at}.set"), fault);
    few(asked.remove.len(), 16, &format!("{at}.remove"), fault);
    let mut seen = BTreeSet::new();
    let mut once = |name: &Name, text: &str, field: String, fault: &mut Fault<'_>| {
        if !seen.insert(name.clone()) {
            fault(field, format!("{text:?} stands twice; keep one"));
        }
    };
    for (i, header) in asked.set.iter().enumerate() {
        let field = format!("{at}.set[{i}]");
        let name = told(header.name.parse::<Name>(), &format!("{field}.name"), fault);
        let value = told(HeaderValue::parse(&header.value), &format!("{field}.value"), fault);
        if let (Some(name), Some(value)) = (name, value) {
            once(&name, &header.name, format!("{field}.name"), fault);
            out.set.insert(name, value);
        }
    }
    for (i, text) in asked.remove.iter().enumerate() {
        let field = format!("{at}.remove[{i}]");
        if let Some(name) = told(text.parse::<Name>(), &field, fault) {
            once(&name, text, field, fault);
            out.remove.insert(name);
        }
    }
    out
}

/// nginx refuses a line that is too long, so lists that become one line are bounded here too, not only in the schema.
fn few(count: usize, most: usize, field: &str, fault: &mut Fault<'_>) {
    if count > most {
        fault(field.to_owned(), format!("has {count} entries; at most {most}"));
    }
}

fn list<T>(texts: &[String], most: usize, field: &str, fault: &mut Fault<'_>) -> BTreeSet<T>
where
    T: Ord + std::str::FromStr<Err = gatehouse_route::GrammarError>,
{
    few(texts.len(), most, field, fault);
    texts.iter().enumerate().filter_map(|(i, text)| told(text.parse(), &format!("{field}[{i}]"), fault)).collect()
}

fn read_cors(asked: &crds::Cors, at: &str, fault: &mut Fault<'_>) -> Cors {
    let origins = format!("{at}.allowOrigins");
    if asked.allow_origins.is_empty() {
        fault(origins.clone(), "is empty; name the origins that may call, or \"*\"".into());
    }
    let any = asked.allow_origins.iter().any(|origin| origin == "*");
    if any && asked.allow_origins.len() > 1 {
        fault(origins.clone(), "has \"*\" beside other origins, which it includes; keep one or the other".into());
    }
    if any && asked.allow_credentials == Some(true) {
        let message = "true cannot go with the origin \"*\": browsers refuse it; list the origins";
        fault(format!("{at}.allowCredentials"), message.into());
    }
    Cors {
        allow_origins: list(&asked.allow_origins, 32, &origins, fault),
        allow_methods: list(&asked.allow_methods, 16, &format!("{at}.allowMethods"), fault),
        allow_headers: list(&asked.allow_headers, 32, &format!("{at}.allowHeaders"), fault),
        expose_headers: list(&asked.expose_headers, 32, &format!("{at}.exposeHeaders"), fault),
        allow_credentials: asked.allow_credentials == Some(true),
        max_age: asked.max_age.as_ref().and_then(|text| told(Seconds::parse(text), &format!("{at}.maxAge"), fault)),
    }
}

fn read_redirect(asked: &crds::Redirect, at: &str, fault: &mut Fault<'_>) -> Redirect {
    if asked.hostname.is_none() && asked.path.is_none() && asked.port.is_none() {
        fault(at.to_owned(), "leads back to where the client came from; give hostname, path or port".into());
    }
    let hostname = asked.hostname.as_ref().and_then(|text| told(Host::parse(text), &format!("{at}.hostname"), fault));
    if hostname.as_ref().is_some_and(Host::is_wildcard) {
        fault(format!("{at}.hostname"), "is a wildcard; name one host".into());
    }
    Redirect {
        scheme: match asked.scheme {
            Some(crds::RedirectScheme::Http) => Scheme::Http,
            Some(crds::RedirectScheme::Https) | None => Scheme::Https,
        },
        hostname,
        port: asked.port.and_then(|port| told(Port::try_from(i64::from(port)), &format!("{at}.port"), fault)),
        path: asked.path.as_ref().and_then(|text| told(Path::parse(text), &format!("{at}.path"), fault)),
        status_code: asked
            .status_code
            .and_then(|code| told(StatusCode::try_from(i64::from(code)), &format!("{at}.statusCode"), fault))
            .unwrap_or_default(),
    }
}

fn rate_limit(asked: &crds::RateLimit, at: &str, fault: &mut Fault<'_>) -> Option<RateLimit> {
    let rate = i64::from(asked.requests_per_second);
    let requests_per_second = told(Rate::try_from(rate), &format!("{at}.requestsPerSecond"), fault)?;
    // Without a burst nginx would refuse the second of two requests that a browser sends side by side.
    let burst = asked.burst.map_or(rate, i64::from);
    let burst = told(Burst::try_from(burst), &format!("{at}.burst"), fault)?;
    Some(RateLimit { requests_per_second, burst })
}

fn session_affinity(asked: &crds::SessionAffinity, at: &str, fault: &mut Fault<'_>) -> Option<SessionAffinity> {
    let max_age = asked.max_age.as_ref().and_then(|text| told(Seconds::parse(text), &format!("{at}.maxAge"), fault));
    let cookie_name = told(CookieName::parse(&asked.cookie_name), &format!("{at}.cookieName"), fault)?;
    Some(SessionAffinity { cookie_name, max_age })
}

#[cfg(test)]
mod tests;
