//! What the agent knows and tells.

use serde::Serialize;

/// The whole truth about this edge, as /status shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Hash of the table that nginx's workers serve.
    pub served: Option<String>,
    /// Why the file's present content is not served.
    pub rejected: Option<Rejection>,
    /// Whether nginx has ended by itself and is not up again.
    pub fallen: bool,
    /// Whether nginx answers on loopback.
    pub answering: bool,
    /// Whether the end has begun.
    pub draining: bool,
    /// Reloads that nginx has taken, the start included.
    pub reloads: u64,
    /// Version of nginx.
    pub nginx: String,
}

/// A content that is not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The table's hash, when it could be read at all.
    pub hash: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl Status {
    /// Fit for the load balancer: also while draining, since deregistration tells it to send nothing new, and a
    /// failing health check would cut the requests that are still on their way.
    pub fn healthy(&self) -> bool {
        self.served.is_some() && self.answering
    }

    /// Fit for new traffic.
    pub fn ready(&self) -> bool {
        self.healthy() && !self.draining
    }

    /// Whether a restart would not help: waiting for the first table is no fault of this process.
    pub fn alive(&self) -> bool {
        self.served.is_none() || self.answering
    }
}
