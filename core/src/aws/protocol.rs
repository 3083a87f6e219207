//! What an ALB speaks with an edge. AWS makes it a property of the target group, so gRPC needs a second group and a
//! second rule before the one for everything else.

use serde::{Deserialize, Serialize};

/// ProtocolVersion of a target group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProtocolVersion {
    /// HTTP/1.1: whatever the client speaks arrives as that.
    #[default]
    Http1,
    /// gRPC: HTTP/2 with trailers. Clients that do not speak it get 464 from the ALB.
    Grpc,
}

/// Content types of gRPC calls, as an ALB compares them: `*` is any text. `application/grpc-web`, which browsers send
/// over HTTP/1.1, is none of them.
pub const GRPC_CONTENT_TYPES: [&str; 2] = ["application/grpc", "application/grpc+*"];

/// Condition values of one rule, regular expressions included.
const VALUES_PER_RULE: usize = 5;

impl ProtocolVersion {
    /// Both.
    pub const ALL: [ProtocolVersion; 2] = [ProtocolVersion::Http1, ProtocolVersion::Grpc];

    /// AWS's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProtocolVersion::Http1 => "HTTP1",
            ProtocolVersion::Grpc => "GRPC",
        }
    }

    /// For people, behind what it says something about: nothing for what speaks HTTP, which all do.
    #[must_use]
    pub fn remark(self) -> &'static str {
        match self {
            ProtocolVersion::Http1 => "",
            ProtocolVersion::Grpc => " for gRPC",
        }
    }

    /// AWS's word, read. HTTP2 is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<ProtocolVersion> {
        ProtocolVersion::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Values that the content type of a request is compared with; none for every request.
    #[must_use]
    pub fn content_types(self) -> &'static [&'static str] {
        match self {
            ProtocolVersion::Http1 => &[],
            ProtocolVersion::Grpc => &GRPC_CONTENT_TYPES,
        }
    }

    /// The protocol of a rule with this condition on the content type, if we write such a rule.
    #[must_use]
    pub fn of_content_types<'a>(found: impl IntoIterator<Item = &'a str>) -> Option<ProtocolVersion> {
        let mut found: Vec<&str> = found.into_iter().collect();
        found.sort_unstable();
        ProtocolVersion::ALL.into_iter().find(|version| version.content_types() == found)
    }

    /// Most hosts of one rule: five condition values, less those for the content type.
    #[must_use]
    pub fn hosts_per_rule(self) -> usize {
        VALUES_PER_RULE - self.content_types().len()
    }
}
