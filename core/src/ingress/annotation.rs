//! Annotations of ingress controllers: those with an exact meaning here, and a word on every other.

use gatehouse_route::{Cidr, Seconds};

use super::{Fate, Reader};

const NGINX: &str = "nginx.ingress.kubernetes.io/";

/// What the annotations say of every route.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) timeout: Option<String>,
    pub(super) allow: Vec<String>,
}

pub(super) fn read<'a>(reader: &mut Reader<'_>, all: impl Iterator<Item = (&'a String, &'a String)>) -> Said {
    let mut said = Said::default();
    for (key, value) in all {
        let field = format!("metadata.annotations[{key}]");
        if let Some(name) = key.strip_prefix(NGINX) {
            nginx(reader, &mut said, name, value, field);
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
    said
}

fn nginx(reader: &mut Reader<'_>, said: &mut Said, name: &str, value: &str, field: String) {
    match name {
        "proxy-read-timeout" | "proxy-send-timeout" => match seconds(value) {
            Some(found) => {
                // One limit for both directions; the longer one cuts nobody off who was not before.
                let longer = said.timeout.as_deref().and_then(|t| Seconds::parse(t).ok()).is_none_or(|t| t < found);
                if longer {
                    said.timeout = Some(found.as_text());
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
        "ssl-redirect" | "force-ssl-redirect" if value == "true" => {}
        "ssl-redirect" | "force-ssl-redirect" => {
            reader.say(Fate::Lost, field, "http is always redirected to https");
        }
        "backend-protocol" if value.eq_ignore_ascii_case("http") => {}
        "backend-protocol" => {
            reader.say(Fate::Refused, field, format!("\"{value}\": backends are spoken to in HTTP/1.1 only"));
        }
        "use-regex" if value == "true" => {
            reader.say(Fate::Refused, field, "paths are no patterns here; write them as Prefix or Exact");
        }
        "use-regex" => {}
        "rewrite-target" => {
            reader.say(Fate::Refused, field, format!("\"{value}\": paths reach the backend as the client wrote them"));
        }
        "canary" | "canary-weight" | "canary-by-header" | "canary-by-header-value" | "canary-by-cookie" => {
            let cure = "write both Services as backends of one route, each with its weight";
            reader.say(Fate::Refused, field, format!("a canary is no app of its own: {cure}"));
        }
        "auth-url" | "auth-type" | "auth-secret" | "auth-tls-secret" => {
            // Published without it, the app would be open.
            reader.say(Fate::Refused, field, "the edge does not ask clients who they are; let the backend do it");
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
