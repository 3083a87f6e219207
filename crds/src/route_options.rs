//! What a route of an app may say beyond path, backends and timeout.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the edge speaks with the backends of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum BackendProtocol {
    /// HTTP/1.1, WebSockets included.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP/2 without TLS, by prior knowledge.
    #[serde(rename = "H2C")]
    H2c,
    /// gRPC without TLS. The load balancer gets a second rule and a second target group for it.
    #[serde(rename = "GRPC")]
    Grpc,
}

/// Whether bodies are gathered before they are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum Buffering {
    /// Slow clients do not hold a backend.
    #[default]
    On,
    /// For server-sent events and streams.
    Off,
}

/// Whether each request of a route is a line of the edge's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
pub enum AccessLog {
    /// One JSON object each, on standard output of the edge's pods.
    On,
    /// Requests are only counted.
    #[default]
    Off,
}

/// What is done to headers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct HeaderChanges {
    /// Headers that get this value, whatever was there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub set: Vec<HeaderSetting>,
    /// Headers that are taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64), regex(pattern = r"^[A-Za-z0-9-]{1,64}$")))]
    pub remove: Vec<String>,
}

/// A header and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct HeaderSetting {
    /// Name. Those of the connection, the edge and the load balancer (Host, Connection, X-Forwarded-* ...) are refused.
    #[schemars(length(max = 64), regex(pattern = r"^[A-Za-z0-9-]{1,64}$"))]
    pub name: String,
    /// Literal value: visible ASCII and inner spaces, no '$'.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[ -#%-~]+$"))]
    pub value: String,
}

/// Who may call from another origin. The edge answers preflights itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Origins such as https://app.example.com, or "*" alone.
    #[schemars(
        length(min = 1, max = 32),
        inner(
            length(max = 160),
            regex(pattern = r"^(\*|https?://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?)$")
        )
    )]
    pub allow_origins: Vec<String>,
    /// Methods beyond GET, HEAD and POST, which need no leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 16), regex(pattern = r"^[A-Z]{3,16}$")))]
    pub allow_methods: Vec<String>,
    /// Request headers that scripts may send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64), regex(pattern = r"^[A-Za-z0-9-]{1,64}$")))]
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64), regex(pattern = r"^[A-Za-z0-9-]{1,64}$")))]
    pub expose_headers: Vec<String>,
    /// Whether cookies and credentials may be sent. Not together with the origin "*". Absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// How long a browser may remember the answer to a preflight, such as 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    pub max_age: Option<String>,
}

/// Sends the client elsewhere. What is absent stays as the client asked for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// http or https. Absent: https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<RedirectScheme>,
    /// An exact host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 128),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$")
    )]
    pub hostname: Option<String>,
    /// Absent: the scheme's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Takes the place of the whole path; the query stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/[A-Za-z0-9._~!&()+,=:@/-]*$"))]
    pub path: Option<String>,
    /// 301, 302, 303, 307 or 308. Absent: 302.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 301, max = 308))]
    pub status_code: Option<i32>,
}

/// Scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum RedirectScheme {
    /// Plain.
    Http,
    /// TLS.
    #[default]
    Https,
}

/// How often one client address may ask, at each replica of the edge. More gets 429.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Steady rate.
    #[schemars(range(min = 1, max = 10_000))]
    pub requests_per_second: i32,
    /// How many may come at once above it. Absent: as many as requestsPerSecond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub burst: Option<i32>,
}

/// Keeps a client at the pod that answered it first, by a cookie of the edge's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinity {
    /// Name of the cookie.
    #[schemars(length(max = 64), regex(pattern = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"))]
    pub cookie_name: String,
    /// How long browsers keep it, such as 1h. Absent: until they are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    pub max_age: Option<String>,
}

/// A Service that says of each request whether it may come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// Name of a Service of the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub service: String,
    /// Port of the Service (not of the pods). It speaks HTTP/1.1.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// What it is asked for, by GET and without the body. Absent: "/".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/[A-Za-z0-9._~!&()+,=:@/-]*$"))]
    pub path: Option<String>,
    /// Headers of its answer that the backend gets, in place of what the client has sent under these names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64), regex(pattern = r"^[A-Za-z0-9-]{1,64}$")))]
    pub response_headers: Vec<String>,
}
