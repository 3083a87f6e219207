//! Header names and values that a route may set or remove.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{GrammarError, text_type};

/// Longest header value taken. nginx refuses tokens of 4096 bytes.
pub const MAX_HEADER_VALUE: usize = 1024;

/// The pattern of header names that the API server checks.
pub const HEADER_PATTERN: &str = r"^[A-Za-z0-9-]{1,64}$";

fn lower_name(text: &str) -> Result<Box<str>, GrammarError> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits {
        Ok(text.to_ascii_lowercase().into())
    } else {
        Err(GrammarError::new(text, "is not a header name: 1 to 64 of letters, digits and hyphens"))
    }
}

/// Headers that belong to the connection, to the edge or to the load balancer.
const REQUEST_RESERVED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];
const REQUEST_RESERVED_PREFIXES: [&str; 6] =
    ["access-control-", "proxy-", "x-accel-", "x-amzn-", "x-forwarded-", "x-original-"];
const RESPONSE_RESERVED: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "keep-alive",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
const RESPONSE_RESERVED_PREFIXES: [&str; 6] =
    ["access-control-", "grpc-", "proxy-", "x-accel-", "x-amzn-", "x-forwarded-"];

/// The longest name that a route of gRPC may set, remove or take over: nginx keeps them in a hash whose buckets have 64
/// bytes, which no directive changes, and refuses the whole file for one that does not fit.
pub const MAX_GRPC_HEADER_NAME: usize = 46;

macro_rules! header_type {
    ($(#[$doc:meta])* $name:ident, $reserved:expr, $prefixes:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Reads a name; it is kept in lower case, because names do not differ by case.
            ///
            /// # Errors
            /// If it is no name of letters, digits and hyphens, or a reserved one.
            pub fn parse(text: &str) -> Result<Self, GrammarError> {
                let name = lower_name(text)?;
                let reserved: &[&str] = &$reserved;
                let prefixes: &[&str] = &$prefixes;
                if prefixes.contains(&"access-control-") && name.starts_with("access-control-") {
                    return Err(GrammarError::new(text, "is reserved; say it in the route's cors"));
                }
                if reserved.contains(&&*name) || prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                    return Err(GrammarError::new(
                        text,
                        "is reserved: the connection, the edge or the load balancer sets it; leave it out",
                    ));
                }
                Ok($name(name))
            }

            /// The text form.
            #[must_use]
            pub fn as_text(&self) -> String {
                self.0.to_string()
            }

            /// The text form, borrowed.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        text_type!($name);
    };
}

header_type!(
    /// Any header's name, as CORS lists them.
    HeaderName,
    [],
    []
);
header_type!(
    /// A request header that a route may set or remove.
    RequestHeader,
    REQUEST_RESERVED,
    REQUEST_RESERVED_PREFIXES
);
header_type!(
    /// A response header that a route may set or remove.
    ResponseHeader,
    RESPONSE_RESERVED,
    RESPONSE_RESERVED_PREFIXES
);

/// A header's value: visible ASCII and inner spaces, without `$`, which nginx would expand and cannot escape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderValue(Box<str>);

impl HeaderValue {
    /// Reads a value.
    ///
    /// # Errors
    /// If it is empty, too long, begins or ends with a space, or has `$` or a character outside visible ASCII.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let refuse = |why: &str| Err(GrammarError::new(text, why));
        if text.is_empty() {
            return refuse("is empty; name the header in remove instead");
        }
        if text.len() > MAX_HEADER_VALUE {
            return refuse("is longer than 1024 characters");
        }
        if text.contains('$') {
            return refuse("has '$', which is not allowed: values are literal text");
        }
        if let Some(c) = text.chars().find(|c| !(c.is_ascii_graphic() || *c == ' ')) {
            return refuse(&format!("has {c:?}; allowed are visible ASCII characters and spaces"));
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return refuse("begins or ends with a space; remove it");
        }
        Ok(HeaderValue(text.into()))
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.to_string()
    }
}

text_type!(HeaderValue);

/// What a route does to the headers of one direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeaderChanges<Name: Ord> {
    /// Set to this value, whatever was there.
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<Name, HeaderValue>,
    /// Taken away.
    #[serde(default = "BTreeSet::new", skip_serializing_if = "BTreeSet::is_empty")]
    pub remove: BTreeSet<Name>,
}

impl<Name: Ord> Default for HeaderChanges<Name> {
    fn default() -> Self {
        HeaderChanges { set: BTreeMap::new(), remove: BTreeSet::new() }
    }
}

impl<Name: Ord> HeaderChanges<Name> {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderName, HeaderValue, RequestHeader, ResponseHeader};

    #[test]
    fn names() {
        assert_eq!(RequestHeader::parse("X-Team").unwrap().as_str(), "x-team");
        assert_eq!(ResponseHeader::parse("Strict-Transport-Security").unwrap().as_str(), "strict-transport-security");
        assert!(HeaderName::parse("Content-Type").is_ok());
        for bad in ["", "X_Team", "x team", "x:", "x\n", "é", &"a".repeat(65)] {
            assert!(HeaderName::parse(bad).is_err(), "{bad:?}");
        }
        for reserved in ["Host", "CONNECTION", "Upgrade", "TE", "X-Forwarded-For", "X-Amzn-Trace-Id", "X-Real-IP"] {
            assert!(RequestHeader::parse(reserved).unwrap_err().to_string().contains("reserved"), "{reserved}");
        }
        for reserved in ["Content-Length", "Transfer-Encoding", "Content-Type", "X-Accel-Redirect", "Date"] {
            assert!(ResponseHeader::parse(reserved).unwrap_err().to_string().contains("reserved"), "{reserved}");
        }
        let told = ResponseHeader::parse("Access-Control-Allow-Origin").unwrap_err().to_string();
        assert!(told.contains("cors"), "{told}");
    }

    #[test]
    fn values() {
        for good in ["a", "max-age=31536000; includeSubDomains", r#"a "b" \c {d}"#, "#"] {
            assert!(HeaderValue::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", " a", "a ", "$host", "a\nb", "a\r", "a\0", "ü", &"a".repeat(1025)] {
            assert!(HeaderValue::parse(bad).is_err(), "{bad:?}");
        }
    }
}
