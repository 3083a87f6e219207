//! The CORS annotations of ingress-nginx, with its defaults, as a route's `cors`.

use std::collections::BTreeMap;
use std::str::FromStr;

use gatehouse_crds::Cors;
use gatehouse_route::{GrammarError, HeaderName, Method, Origin, Seconds};

use super::annotation::NGINX;
use super::{Fate, Reader};

/// What ingress-nginx says when the annotation is absent.
const METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const HEADERS: &str =
    "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";
/// No browser remembers a preflight for longer, and a route cannot say more.
const LONGEST: &str = "24h";
/// As many entries as a list of a route may have.
const MOST: usize = 32;

/// Whether an annotation is one of these.
pub(super) fn knows(name: &str) -> bool {
    matches!(
        name,
        "enable-cors"
            | "cors-allow-origin"
            | "cors-allow-methods"
            | "cors-allow-headers"
            | "cors-allow-credentials"
            | "cors-expose-headers"
            | "cors-max-age"
    )
}

fn field(name: &str) -> String {
    format!("metadata.annotations[{NGINX}{name}]")
}

/// Reads them; `None` if other origins may not call, or if what they say cannot be said.
pub(super) fn read(reader: &mut Reader<'_>, said: &BTreeMap<String, String>) -> Option<Cors> {
    let value = |name: &str| said.get(name).map(|text| text.trim());
    if value("enable-cors") != Some("true") {
        for name in said.keys().filter(|name| *name != "enable-cors") {
            reader.say(Fate::Needless, field(name), "has no meaning without enable-cors: \"true\"");
        }
        return None;
    }
    let origins = value("cors-allow-origin").filter(|text| !text.is_empty()).unwrap_or("*");
    let any = origins.split(',').any(|origin| origin.trim() == "*");
    let allow_origins = if any { vec!["*".to_owned()] } else { list::<Origin>(reader, "cors-allow-origin", origins) };
    if allow_origins.is_empty() {
        return None;
    }
    let credentials = value("cors-allow-credentials");
    if any && credentials == Some("true") {
        let message = "\"true\" has no effect with any origin: browsers refuse it; list the origins if it is meant";
        reader.say(Fate::Needless, field("cors-allow-credentials"), message);
    }
    let mut allow_methods =
        list::<Method>(reader, "cors-allow-methods", value("cors-allow-methods").unwrap_or(METHODS));
    allow_methods.retain(|method| !["GET", "HEAD", "POST"].contains(&method.as_str()));
    Some(Cors {
        allow_origins,
        allow_methods,
        allow_headers: list::<HeaderName>(reader, "cors-allow-headers", value("cors-allow-headers").unwrap_or(HEADERS)),
        expose_headers: list::<HeaderName>(
            reader,
            "cors-expose-headers",
            value("cors-expose-headers").unwrap_or_default(),
        ),
        allow_credentials: (!any && credentials != Some("false")).then_some(true),
        max_age: age(reader, value("cors-max-age")),
    })
}

/// The entries that a route can say; each other one is told.
fn list<T: FromStr<Err = GrammarError>>(reader: &mut Reader<'_>, name: &str, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match entry.parse::<T>() {
            Ok(_) if out.iter().any(|known| known == entry) => {}
            Ok(_) if out.len() == MOST => {
                reader.say(Fate::Lost, field(name), format!("\"{entry}\" is one too many; at most {MOST}"));
            }
            Ok(_) => out.push(entry.to_owned()),
            Err(_) if entry.contains('*') => {
                let message = format!("\"{entry}\" is a pattern; name each one that is meant");
                reader.say(Fate::Lost, field(name), message);
            }
            Err(error) => reader.say(Fate::Lost, field(name), error.to_string()),
        }
    }
    out
}

fn age(reader: &mut Reader<'_>, text: Option<&str>) -> Option<String> {
    let Some(text) = text else { return Some(LONGEST.to_owned()) };
    match text.parse::<u64>() {
        Ok(seconds @ 1..) => {
            let age = Seconds::parse(&format!("{seconds}s")).ok();
            if age.is_none() {
                reader.say(Fate::Needless, field("cors-max-age"), "no browser remembers it for more than 24 hours");
            }
            Some(age.map_or_else(|| LONGEST.to_owned(), |age| age.as_text()))
        }
        _ => {
            let message = format!("\"{text}\" is no number of seconds above 0; browsers remember it for 5 s then");
            reader.say(Fate::Lost, field("cors-max-age"), message);
            None
        }
    }
}
