//! What a route may say beyond path, backends and timeout.

use serde::{Deserialize, Serialize};

use crate::cors::Cors;
use crate::header::{HeaderChanges, RequestHeader, ResponseHeader};
use crate::{GrammarError, Host, Path, Port, Seconds, Size, text_type};

/// The optional part of a route. The default is a route that says none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteOptions {
    /// What the edge speaks with the backends.
    #[serde(default, skip_serializing_if = "BackendProtocol::is_http")]
    pub backend_protocol: BackendProtocol,
    /// Larger request bodies get 413. Absent: the load balancer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_size: Option<Size>,
    /// Whether requests and responses pass as they come.
    #[serde(default, skip_serializing_if = "Buffering::is_on")]
    pub buffering: Buffering,
    /// What the backend sees.
    #[serde(default, skip_serializing_if = "HeaderChanges::is_empty")]
    pub request_headers: HeaderChanges<RequestHeader>,
    /// What the client sees.
    #[serde(default, skip_serializing_if = "HeaderChanges::is_empty")]
    pub response_headers: HeaderChanges<ResponseHeader>,
    /// Calls from other origins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Sends the client elsewhere; then there are no backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// The backend sees the path without the route's prefix.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip_prefix: bool,
    /// Requests of one client address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Keeps a client at one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
    /// What the edge says when no backend answers (502, 503, 504).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_text: Option<ErrorText>,
    /// Whether each request is a line in the edge's log.
    #[serde(default, skip_serializing_if = "AccessLog::is_off")]
    pub access_log: AccessLog,
}

/// Whether each request of a route is a line in the edge's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AccessLog {
    /// One JSON object each.
    On,
    /// Requests are only counted.
    #[default]
    Off,
}

impl AccessLog {
    fn is_off(&self) -> bool {
        *self == AccessLog::Off
    }
}

/// Plain text for people: visible ASCII and inner spaces, without `$`, which nginx would expand and cannot escape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorText(Box<str>);

/// The pattern the API server checks.
pub const ERROR_TEXT_PATTERN: &str = r"^[ -#%-~]+$";

impl ErrorText {
    /// Reads a text.
    ///
    /// # Errors
    /// If it is empty, too long, begins or ends with a space, or has `$` or a character outside visible ASCII.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let refuse = |why: &str| Err(GrammarError::new(text, why));
        if text.is_empty() || text.len() > 1024 {
            return refuse("is not 1 to 1024 characters long");
        }
        if let Some(c) = text.chars().find(|c| !(c.is_ascii_graphic() || *c == ' ') || *c == '$') {
            return refuse(&format!("has {c:?}; allowed are visible ASCII characters except '$', and spaces"));
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return refuse("begins or ends with a space; remove it");
        }
        Ok(ErrorText(text.into()))
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.to_string()
    }
}

text_type!(ErrorText);

/// What the edge speaks with the backends of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP/2 without TLS, by prior knowledge.
    #[serde(rename = "H2C")]
    H2c,
    /// gRPC without TLS.
    #[serde(rename = "GRPC")]
    Grpc,
}

impl BackendProtocol {
    fn is_http(&self) -> bool {
        *self == BackendProtocol::Http
    }
}

/// Whether bodies are gathered before they are passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Buffering {
    /// Slow clients do not hold a backend.
    #[default]
    On,
    /// For server-sent events and streams.
    Off,
}

impl Buffering {
    fn is_on(&self) -> bool {
        *self == Buffering::On
    }
}

/// Where a redirect leads. What is absent stays as the client asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// Absent: https, because the load balancer sends everybody there.
    #[serde(default)]
    pub scheme: Scheme,
    /// An exact host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Host>,
    /// Absent: the scheme's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Takes the place of the whole path; the query stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// How.
    #[serde(default)]
    pub status_code: StatusCode,
}

/// Scheme of a redirect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    #[default]
    Https,
}

/// Status of a redirect: 301, 302, 303, 307 or 308.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct StatusCode(u16);

impl Default for StatusCode {
    fn default() -> Self {
        StatusCode(302)
    }
}

impl StatusCode {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for StatusCode {
    type Error = GrammarError;
    fn try_from(number: i64) -> Result<Self, GrammarError> {
        match u16::try_from(number) {
            Ok(code @ (301 | 302 | 303 | 307 | 308)) => Ok(StatusCode(code)),
            _ => Err(GrammarError::new(&number.to_string(), "is not a redirect: 301, 302, 303, 307 or 308")),
        }
    }
}

impl From<StatusCode> for i64 {
    fn from(code: StatusCode) -> i64 {
        i64::from(code.0)
    }
}

/// How often one client address may ask, at each replica of the edge. More gets 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Steady rate.
    pub requests_per_second: Rate,
    /// How many may come at once above it.
    pub burst: Burst,
}

macro_rules! whole_number {
    ($(#[$doc:meta])* $name:ident, $range:expr, $why:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(u32);

        impl $name {
            /// The number.
            #[must_use]
            pub fn get(self) -> u32 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = GrammarError;
            fn try_from(number: i64) -> Result<Self, GrammarError> {
                match u32::try_from(number) {
                    Ok(n) if $range.contains(&n) => Ok($name(n)),
                    _ => Err(GrammarError::new(&number.to_string(), $why)),
                }
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> i64 {
                i64::from(number.0)
            }
        }
    };
}

whole_number!(
    /// Requests per second, 1 to 10000.
    Rate,
    (1..=10_000),
    "is not a rate: 1 to 10000 requests per second"
);
whole_number!(
    /// Requests above the rate, 0 to 10000.
    Burst,
    (0..=10_000),
    "is not a burst: 0 to 10000 requests"
);

/// Keeps a client at the pod that answered it first, by a cookie of the edge's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinity {
    /// The cookie.
    pub cookie_name: CookieName,
    /// How long browsers keep it. Absent: until they are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Seconds>,
}

/// A cookie's name that no load balancer and no browser gives a meaning of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CookieName(Box<str>);

/// The pattern the API server checks.
pub const COOKIE_PATTERN: &str = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$";

impl CookieName {
    /// Reads a name.
    ///
    /// # Errors
    /// If it is not a letter followed by letters, digits, `_` and `-`, or one of the load balancer's cookies.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let mut bytes = text.bytes();
        let fits = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && text.len() <= 64;
        if !fits {
            let why = "is not a cookie name: a letter, then up to 63 letters, digits, '_' and '-'";
            return Err(GrammarError::new(text, why));
        }
        let upper = text.to_ascii_uppercase();
        if upper.starts_with("AWSALB") || upper.starts_with("AWSELB") {
            return Err(GrammarError::new(text, "is a name of the load balancer's own cookies; choose another"));
        }
        Ok(CookieName(text.into()))
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.to_string()
    }
}

text_type!(CookieName);

#[cfg(test)]
mod tests {
    use super::{Burst, CookieName, ErrorText, Rate, StatusCode};

    #[test]
    fn numbers_and_names() {
        assert_eq!(StatusCode::default().get(), 302);
        for bad in [0, 200, 300, 304, 305, 306, 309, 400, -301, 65_837] {
            assert!(StatusCode::try_from(bad).is_err(), "{bad}");
        }
        assert!(Rate::try_from(0).is_err() && Rate::try_from(10_001).is_err() && Rate::try_from(1).is_ok());
        assert!(Burst::try_from(-1).is_err() && Burst::try_from(0).is_ok() && Burst::try_from(10_001).is_err());
        assert!(ErrorText::parse("Sorry, {back} \"soon\"; see #1").is_ok());
        for bad in ["", " a", "a ", "a\nb", "$host", "\u{e9}", "a\0", &"a".repeat(1025)] {
            assert!(ErrorText::parse(bad).is_err(), "{bad:?}");
        }
        assert!(CookieName::parse("shop_session").is_ok());
        for bad in ["", "1a", "a b", "a;", "a=", "__Host-a", "AWSALBTG", "awselb", "a\n", "é", &"a".repeat(65)] {
            assert!(CookieName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
