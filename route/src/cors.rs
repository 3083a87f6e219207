//! Who may call a route from another origin.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::header::HeaderName;
use crate::{GrammarError, Host, Label, Port, Seconds, text_type};

/// An origin as browsers send it, or every one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// `*`.
    Any,
    /// `scheme://host` or `scheme://host:port`, compared as a whole.
    Exact(Box<str>),
}

/// The pattern the API server checks.
pub const ORIGIN_PATTERN: &str = r"^(\*|https?://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?)$";

impl Origin {
    /// Reads `*`, or http or https, a lower-case host and a port that is not the scheme's own.
    ///
    /// # Errors
    /// If it is none of these; paths, user names and patterns are not origins.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let refuse = |why: &str| Err(GrammarError::new(text, why));
        if text == "*" {
            return Ok(Origin::Any);
        }
        let (own_port, rest) = match text.split_once("://") {
            Some(("https", rest)) => ("443", rest),
            Some(("http", rest)) => ("80", rest),
            _ => return refuse("is not an origin such as https://app.example.com, nor *"),
        };
        let (host, port) = match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        let named = Label::parse(host).is_ok() || Host::parse(host).is_ok_and(|h| !h.is_wildcard());
        if !named {
            return refuse("is not an origin: after scheme:// comes a lower-case host, without path or wildcard");
        }
        if let Some(port) = port {
            if port == own_port {
                return refuse("names the scheme's own port, which browsers leave out; leave it out too");
            }
            let number = port.parse::<i64>().ok().filter(|n| n.to_string() == port);
            if number.is_none_or(|n| Port::try_from(n).is_err()) {
                return refuse("has no port from 1 to 65535 after the colon");
            }
        }
        Ok(Origin::Exact(text.into()))
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        match self {
            Origin::Any => "*".to_owned(),
            Origin::Exact(text) => text.to_string(),
        }
    }
}

text_type!(Origin);

/// A request method by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(Box<str>);

/// The pattern the API server checks.
pub const METHOD_PATTERN: &str = r"^[A-Z]{3,16}$";

impl Method {
    /// Reads a method.
    ///
    /// # Errors
    /// If it is not 3 to 16 upper-case letters.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        if (3..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(Method(text.into()))
        } else {
            Err(GrammarError::new(text, "is not a method such as GET or DELETE: 3 to 16 upper-case letters"))
        }
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.to_string()
    }
}

text_type!(Method);

/// What the edge says to browsers of other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Origins that may call.
    pub allow_origins: BTreeSet<Origin>,
    /// Methods beyond GET, HEAD and POST, which need no leave.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_methods: BTreeSet<Method>,
    /// Request headers beyond the harmless ones.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_headers: BTreeSet<HeaderName>,
    /// Response headers that scripts may read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub expose_headers: BTreeSet<HeaderName>,
    /// Whether cookies and credentials may be sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_credentials: bool,
    /// How long a browser may remember the answer to a preflight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Seconds>,
}

impl Cors {
    /// Whether every origin may call.
    #[must_use]
    pub fn any_origin(&self) -> bool {
        self.allow_origins.contains(&Origin::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::{Method, Origin};

    #[test]
    fn origins() {
        for good in ["*", "https://a.example.com", "http://localhost:3000", "https://a.example.com:8443"] {
            assert_eq!(Origin::parse(good).unwrap().as_text(), good);
        }
        for bad in [
            "",
            "null",
            "a.example.com",
            "https://",
            "https://A.example.com",
            "https://*.example.com",
            "https://a.example.com/",
            "https://u@a.example.com",
            "https://a.example.com:443",
            "http://a.example.com:80",
            "https://a.example.com:0",
            "https://a.example.com:080",
            "https://a.example.com:",
            "https://a.example.com\n",
            "ftp://a.example.com",
            "~https://a.example.com",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn methods() {
        assert!(Method::parse("DELETE").is_ok());
        for bad in ["", "get", "GET ", "GET\n", "GO", "*", "ABCDEFGHIJKLMNOPQ"] {
            assert!(Method::parse(bad).is_err(), "{bad:?}");
        }
    }
}
