//! Annotations of ingress controllers: those with an exact meaning here, and a word on every other.

use std::collections::BTreeMap;

use gatehouse_crds::{BackendProtocol, Buffering, RateLimit, RouteRule, SessionAffinity, Tls, TlsMode};
use gatehouse_route::{Cidr, Seconds, Size};

use super::{Fate, Reader, cors};

pub(super) const NGINX: &str = "nginx.ingress.kubernetes.io/";
/// What an Ingress has no field for.
const OURS: &str = "gatehouse.dev/";

/// What the annotations say.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Of every route: what is absent is not said.
    pub(super) route: RouteRule,
    pub(super) allow: Vec<String>,
    pub(super) load_balancers: Vec<String>,
    pub(super) tls: Option<Tls>,
    /// How the certificate is found, and which it is.
    certificate: (Option<TlsMode>, Option<String>),
    /// Whether responses, and requests, are not to be gathered.
    unbuffered: (bool, bool),
    /// Requests at once over the rate, as a multiple of it.
    burst: Option<i32>,
    /// Name and age of the cookie that affinity would use.
    cookie: (Option<String>, Option<String>),
    /// What is said of other origins, by annotation.
    cors: BTreeMap<String, String>,
}

pub(super) fn read<'a>(reader: &mut Reader<'_>, all: impl Iterator<Item = (&'a String, &'a String)>) -> Said {
    let mut said = Said::default();
    for (key, value) in all {
        let field = format!("metadata.annotations[{key}]");
        if let Some(name) = key.strip_prefix(NGINX) {
            nginx(reader, &mut said, name, value, field);
        } else if let Some(name) = key.strip_prefix(OURS) {
            ours(reader, &mut said, name, value, field);
        } else if key.starts_with("alb.ingress.kubernetes.io/") {
            reader.say(Fate::Needless, field, "the load balancer is shared and set up by the platform team");
        } else if key.contains("cert-manager.io/") {
            reader.say(Fate::Needless, field, "certificates come from ACM; see spec.tls.mode");
        } else if key.starts_with("external-dns.alpha.kubernetes.io/") {
            reader.say(
                Fate::Needless,
                field,
                "names are published from spec.hosts; remove it, or both will write them",
            );
        } else if key.contains("ingress.") && key != "kubernetes.io/ingress.class" {
            reader.say(Fate::Lost, field, format!("\"{value}\" is not translated"));
        }
    }
    finish(reader, &mut said);
    said
}

fn ours(reader: &mut Reader<'_>, said: &mut Said, name: &str, value: &str, field: String) {
    match (name, value) {
        ("load-balancers", _) => {
            let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
            said.load_balancers = names.map(str::to_owned).collect();
        }
        ("tls-mode", "Discover") => said.certificate.0 = Some(TlsMode::Discover),
        ("tls-mode", "Request") => said.certificate.0 = Some(TlsMode::Request),
        ("tls-mode", "Arn") => said.certificate.0 = Some(TlsMode::Arn),
        ("tls-mode", _) => {
            reader.say(Fate::Refused, field, format!("\"{value}\" is none of Discover, Request and Arn"));
        }
        ("certificate-arn", _) => said.certificate.1 = Some(value.to_owned()),
        _ => {
            let known = "known are load-balancers, tls-mode and certificate-arn";
            reader.say(Fate::Refused, field, format!("is not known; {known}"));
        }
    }
}

/// What several annotations say together.
fn finish(reader: &mut Reader<'_>, said: &mut Said) {
    said.tls = match std::mem::take(&mut said.certificate) {
        (None, None) => None,
        (None | Some(TlsMode::Arn), Some(arn)) => Some(Tls { mode: TlsMode::Arn, certificate_arn: Some(arn) }),
        (Some(TlsMode::Arn), None) => {
            let field = format!("metadata.annotations[{OURS}tls-mode]");
            reader.say(Fate::Refused, field, format!("\"Arn\" needs the annotation {OURS}certificate-arn"));
            None
        }
        (Some(_), Some(_)) => {
            let field = format!("metadata.annotations[{OURS}certificate-arn]");
            reader.say(Fate::Refused, field, format!("goes only with {OURS}tls-mode \"Arn\""));
            None
        }
        (Some(mode), None) => Some(Tls { mode, certificate_arn: None }),
    };
    match said.unbuffered {
        (true, true) => said.route.buffering = Some(Buffering::Off),
        (false, false) => {}
        (responses, _) => {
            let name = if responses { "proxy-buffering" } else { "proxy-request-buffering" };
            let message =
                "\"off\": a route's buffering is Off for requests and responses alike; set it if that is wanted";
            reader.say(Fate::Lost, format!("metadata.annotations[{NGINX}{name}]"), message);
        }
    }
    if let Some(limit) = &mut said.route.rate_limit {
        let burst = i64::from(limit.requests_per_second) * i64::from(said.burst.unwrap_or(5));
        limit.burst = i32::try_from(burst.min(10_000)).ok();
    }
    if let Some(affinity) = &mut said.route.session_affinity {
        let (name, age) = std::mem::take(&mut said.cookie);
        *affinity = SessionAffinity { cookie_name: name.unwrap_or_else(|| "INGRESSCOOKIE".to_owned()), max_age: age };
    }
    said.route.cors = cors::read(reader, &said.cors);
    if said.route.backend_protocol == Some(BackendProtocol::Grpc) {
        let mut without = |fate, name: &str, why: &str| {
            reader.say(fate, format!("metadata.annotations[{NGINX}{name}]"), format!("has no effect on gRPC: {why}"));
        };
        if said.route.buffering.take().is_some() {
            without(Fate::Needless, "proxy-buffering", "it is never gathered before it is passed on");
        }
        if said.route.cors.take().is_some() {
            without(Fate::Lost, "enable-cors", "browsers do not speak it");
        }
        if said.route.session_affinity.take().is_some() {
            without(Fate::Lost, "affinity", "its clients keep no cookies");
        }
    }
}

fn nginx(reader: &mut Reader<'_>, said: &mut Said, name: &str, value: &str, field: String) {
    match name {
        "proxy-read-timeout" | "proxy-send-timeout" => match seconds(value) {
            Some(found) => {
                // One limit for both directions; the longer one cuts nobody off who was not before.
                let known = said.route.timeout.as_deref().and_then(|t| Seconds::parse(t).ok());
                if known.is_none_or(|t| t < found) {
                    said.route.timeout = Some(found.as_text());
                }
            }
            None => reader.say(Fate::Lost, field, format!("\"{value}\" is not a number of seconds up to 24 hours")),
        },
        "whitelist-source-range" | "allowlist-source-range" => {
            for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                match Cidr::parse(part) {
                    Ok(cidr) => said.allow.push(cidr.as_text()),
                    // Without it more clients would come than before.
                    Err(error) => reader.say(Fate::Refused, field.clone(), error.to_string()),
                }
            }
        }
        "proxy-body-size" => match size(value) {
            Some(found) => said.route.max_body_size = Some(found),
            None => {
                let cure = "bodies are limited by edge.maxBodySize of the load balancer";
                reader.say(Fate::Lost, field, format!("\"{value}\" is no size such as 10m, or no limit: {cure}"));
            }
        },
        "proxy-buffering" => said.unbuffered.0 = value == "off",
        "proxy-request-buffering" => said.unbuffered.1 = value == "off",
        "limit-rps" => match value.parse() {
            Ok(rate @ 1..=10_000) => {
                said.route.rate_limit = Some(RateLimit { requests_per_second: rate, burst: None });
            }
            _ => reader.say(Fate::Lost, field, format!("\"{value}\" is no number from 1 to 10000")),
        },
        "limit-burst-multiplier" => match value.parse() {
            Ok(times @ 0..) => said.burst = Some(times),
            _ => reader.say(Fate::Lost, field, format!("\"{value}\" is no number")),
        },
        "affinity" if value == "cookie" => said.route.session_affinity = Some(SessionAffinity::default()),
        "session-cookie-name" => said.cookie.0 = Some(value.to_owned()),
        "session-cookie-max-age" => match seconds(value) {
            Some(age) => said.cookie.1 = Some(age.as_text()),
            None => reader.say(Fate::Lost, field, format!("\"{value}\" is not a number of seconds up to 24 hours")),
        },
        "ssl-redirect" | "force-ssl-redirect" if value == "true" => {}
        "ssl-redirect" | "force-ssl-redirect" => {
            reader.say(Fate::Lost, field, "http is always redirected to https");
        }
        "backend-protocol" if value.eq_ignore_ascii_case("http") => {}
        "backend-protocol" if value.eq_ignore_ascii_case("grpc") => {
            said.route.backend_protocol = Some(BackendProtocol::Grpc);
        }
        "backend-protocol" if ["https", "grpcs"].iter().any(|p| value.eq_ignore_ascii_case(p)) => {
            let cure = "name a port of the Service that speaks without TLS; policies keep others from the pods";
            reader.say(Fate::Refused, field, format!("\"{value}\": the edge does not speak TLS with backends; {cure}"));
        }
        "backend-protocol" => {
            reader.say(Fate::Refused, field, format!("\"{value}\": backends speak HTTP, H2C or GRPC here"));
        }
        name if cors::knows(name) => {
            said.cors.insert(name.to_owned(), value.to_owned());
        }
        "use-regex" if value == "true" => {
            reader.say(Fate::Refused, field, "paths are no patterns here; write them as Prefix or Exact");
        }
        "use-regex" => {}
        "rewrite-target" => {
            reader.say(Fate::Refused, field, format!("\"{value}\": paths reach the backend as the client wrote them"));
        }
        "canary" => {}
        name if name.starts_with("canary-") => {
            reader.say(Fate::Lost, field, "has no effect without the annotation canary: \"true\"");
        }
        "auth-url" | "auth-type" | "auth-secret" | "auth-tls-secret" => {
            // Published without it, the app would be open.
            reader.say(
                Fate::Refused,
                field,
                "is not translated; a route's externalAuth asks a Service of the namespace",
            );
        }
        "proxy-connect-timeout" => reader.say(Fate::Needless, field, "a connection is given up after 3 s"),
        "service-upstream" => reader.say(Fate::Needless, field, "the edge finds the pods of a Service by DNS"),
        name if name.ends_with("-snippet") => {
            reader.say(Fate::Refused, field, "text of others never becomes configuration of nginx");
        }
        _ => reader.say(Fate::Lost, field, format!("\"{value}\" is not translated")),
    }
}

fn seconds(text: &str) -> Option<Seconds> {
    let unit = if text.ends_with(|c: char| c.is_ascii_digit()) { "s" } else { "" };
    Seconds::parse(&format!("{text}{unit}")).ok()
}

/// nginx writes 10m, Kubernetes 10Mi.
fn size(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => "",
        "k" => "Ki",
        "m" => "Mi",
        "g" => "Gi",
        _ => return None,
    };
    let written = format!("{digits}{unit}");
    Size::parse(&written).ok().map(|_| written)
}
