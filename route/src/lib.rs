//! Field grammars, the route table, and nginx.conf as a function of it.
//!
//! ```text
//! user text --parse--> Host, Path, Cidr, Size, Label, HeaderValue, Origin ...   (one type and grammar per field)
//!                        |
//!                        v
//!                   RouteTable  (versioned, one per namespace, content-hashed)
//!                        | render
//!                        v
//!                   nginx tree  (static directive names, typed arguments) --serialize--> nginx.conf
//! ```
//!
//! The crate is a pure leaf: no I/O, no clock. The webhook, the operator, the command line and the edge agent
//! use the same types, so what is admitted is what is rendered. User text never reaches nginx.conf as text:
//! the only way into the file is [`nginx::serialize`], and it quotes every argument.

pub mod cors;
pub mod header;
pub mod host;
pub mod nginx;
pub mod options;
pub mod path;
mod render;
pub mod table;
pub mod value;

pub use cors::{Cors, Method, Origin};
pub use header::{HeaderChanges, HeaderName, HeaderValue, RequestHeader, ResponseHeader};
pub use host::Host;
pub use options::{
    AccessLog, BackendProtocol, Buffering, Burst, CookieName, ErrorText, Rate, RateLimit, Redirect, RouteOptions,
    Scheme, SessionAffinity, StatusCode,
};
pub use path::{Path, PathType};
pub use render::log::{LOG_PORT, RouteId, route_ids};
pub use render::{GRPC_HEALTH_PATH, INTERNAL_PORT, RESERVED_PREFIX, render};
pub use table::{
    Backend, BackendPort, ExternalAuth, HostRoutes, PortTable, Route, RouteTable, TABLE_VERSION, answering,
};
pub use value::{Cidr, Label, Port, Seconds, Size, Weight};

/// Why a field's text was refused: what was found, what is allowed. It never echoes control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{value:?} {why}")]
pub struct GrammarError {
    /// The refused text, cut to 80 characters.
    pub value: String,
    /// What is wrong and what would be right, to be read after the value.
    pub why: String,
}

impl GrammarError {
    pub(crate) fn new(value: &str, why: impl Into<String>) -> Self {
        GrammarError { value: value.chars().take(80).collect(), why: why.into() }
    }
}

/// Lower-case hexadecimal of the first `bytes` bytes of a SHA-256, the one hash used for names and contents.
#[must_use]
pub fn short_hash(content: &[u8], bytes: usize) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(content).iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// `FromStr`, `Display` and serde as text for a type that has `parse` and `as_text`.
macro_rules! text_type {
    ($name:ty) => {
        impl std::str::FromStr for $name {
            type Err = $crate::GrammarError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <$name>::parse(text)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.as_text())
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.as_text())
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
                <$name>::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_type;
