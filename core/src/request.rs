//! What people command through annotations `gatehouse.dev/request-<verb>` on a SharedLoadBalancer (rule 16).
//!
//! The value is a list of `key=value` words. Unknown keys are allowed: the command line adds `at=` so that the same
//! request can be made again.

use std::collections::BTreeMap;
use std::fmt;

use gatehouse_route::Host;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Let the held inferred deletions go.
    Approve {
        /// Digest of what is held, as it stands in the status.
        digest: String,
    },
    /// Move a namespace to another ALB.
    Move {
        /// Whose hosts.
        namespace: String,
        /// Where to.
        shard: u32,
    },
    /// Give records back to the owner they were adopted from.
    Release {
        /// Which host.
        host: Host,
        /// The owner id that the TXT will name.
        owner: String,
    },
    /// Give a host to another namespace.
    Transfer {
        /// Which host.
        host: Host,
        /// To whom.
        to: String,
    },
}

impl Request {
    /// Verbs, as they stand in the annotation's key.
    pub const VERBS: [&'static str; 4] = ["approve", "move", "release", "claims-transfer"];

    /// Reads a request.
    ///
    /// # Errors
    /// Says which word is missing or wrong, and how it is written.
    pub fn parse(verb: &str, value: &str) -> Result<Request, String> {
        let words: BTreeMap<&str, &str> = value.split_whitespace().filter_map(|w| w.split_once('=')).collect();
        let word = |key: &str, example: &str| {
            words.get(key).copied().filter(|v| !v.is_empty()).ok_or(format!("{value:?} has no {key}; write {example}"))
        };
        let host = |example: &str| {
            let text = word("host", example)?;
            Host::parse(text).map_err(|e| format!("host: {e}"))
        };
        match verb {
            "approve" => Ok(Request::Approve { digest: word("digest", "digest=0a1b2c3d")?.to_owned() }),
            "move" => {
                const EXAMPLE: &str = "namespace=team-a shard=1";
                let shard = word("shard", EXAMPLE)?;
                Ok(Request::Move {
                    namespace: word("namespace", EXAMPLE)?.to_owned(),
                    shard: shard.parse().map_err(|_| format!("shard: {shard:?} is no index; write {EXAMPLE}"))?,
                })
            }
            "release" => {
                const EXAMPLE: &str = "host=shop.example.com owner=external-dns-prod";
                Ok(Request::Release { host: host(EXAMPLE)?, owner: word("owner", EXAMPLE)?.to_owned() })
            }
            "claims-transfer" => {
                const EXAMPLE: &str = "host=shop.example.com to=team-b";
                Ok(Request::Transfer { host: host(EXAMPLE)?, to: word("to", EXAMPLE)?.to_owned() })
            }
            other => Err(format!("{other:?} is no request; there are {}", Request::VERBS.join(", "))),
        }
    }

    /// Its verb.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Request::Approve { .. } => "approve",
            Request::Move { .. } => "move",
            Request::Release { .. } => "release",
            Request::Transfer { .. } => "claims-transfer",
        }
    }
}

/// The value of the annotation. What cannot be written so (a name with a space) is read back as something else, so
/// whoever writes a request parses it first.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Approve { digest } => write!(f, "digest={digest}"),
            Request::Move { namespace, shard } => write!(f, "namespace={namespace} shard={shard}"),
            Request::Release { host, owner } => write!(f, "host={host} owner={owner}"),
            Request::Transfer { host, to } => write!(f, "host={host} to={to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_say_what_they_lack() {
        let shop = Host::parse("shop.example.com").unwrap();
        for (verb, value, expected) in [
            ("approve", "digest=ab12", Ok(Request::Approve { digest: "ab12".into() })),
            ("move", "shard=1 namespace=team-a at=2026", Ok(Request::Move { namespace: "team-a".into(), shard: 1 })),
            (
                "claims-transfer",
                "host=shop.example.com to=team-b",
                Ok(Request::Transfer { host: shop, to: "team-b".into() }),
            ),
            (
                "move",
                "namespace=team-a",
                Err("\"namespace=team-a\" has no shard; write namespace=team-a shard=1".into()),
            ),
            ("move", "namespace=a shard=one", Err("shard: \"one\" is no index; write namespace=team-a shard=1".into())),
            ("destroy", "", Err("\"destroy\" is no request; there are approve, move, release, claims-transfer".into())),
        ] {
            assert_eq!(Request::parse(verb, value), expected, "{verb} {value}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let host = Host::parse("*.example.com").unwrap();
        for request in [
            Request::Approve { digest: "0a1b2c3d".into() },
            Request::Move { namespace: "team-a".into(), shard: 2 },
            Request::Release { host: host.clone(), owner: "external-dns-prod".into() },
            Request::Transfer { host, to: "team-b".into() },
        ] {
            let value = format!("{request} at=2026-06-01T00:00:00Z");
            assert_eq!(Request::parse(request.verb(), &value), Ok(request));
        }
    }
}
