//! The route table of one namespace: what its edge serves, as a versioned value.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Cidr, Host, Label, Path, PathType, Port, RequestHeader, RouteOptions, Seconds, Size, Weight, short_hash};

/// The newest version this crate writes and reads. An agent keeps its last good table when it meets a newer one.
///
/// 1: path, backends, timeout, allow. 2: [`RouteOptions`], [`ExternalAuth`]. A table is written in the oldest version that can say it
/// ([`RouteTable::version_for`]), so an older agent goes on until a route asks for what it does not know, and then
/// keeps its last good table instead of serving half of what was meant.
pub const TABLE_VERSION: u32 = 2;

/// Everything an edge needs to know. Its identity is the hash of its content, never a counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTable {
    /// As [`RouteTable::version_for`] says.
    pub version: u32,
    /// The namespace whose Services are the backends.
    pub namespace: Label,
    /// Suffix of Service names, usually `cluster.local`.
    pub cluster_domain: Host,
    /// Address of the cluster's DNS.
    pub resolver: IpAddr,
    /// One entry per SharedLoadBalancer, by the port the edge listens on for it. A host answers only there.
    pub ports: BTreeMap<Port, PortTable>,
}

/// What the edge serves for one SharedLoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortTable {
    /// The SharedLoadBalancer's name, for people who read the table.
    pub load_balancer: Label,
    /// The load balancer's subnets: only these may speak for a client in X-Forwarded-For.
    pub trusted: BTreeSet<Cidr>,
    /// Larger request bodies get 413.
    pub max_body_size: Size,
    /// The load balancer's idle timeout; keep-alive towards it is longer.
    pub idle_timeout: Seconds,
    /// Routes by host.
    pub hosts: BTreeMap<Host, HostRoutes>,
}

/// The routes of one host, already merged: no two have the same path and type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostRoutes {
    /// Keyed by path so that a duplicate cannot be written down. A map has room for eleven in each of its nodes and most
    /// hosts have one route, so routes stand beside it.
    #[serde(with = "routes_as_list")]
    pub routes: BTreeMap<(Path, PathType), Box<Route>>,
}

/// The route that answers a path: the Exact one, else the longest Prefix, by whole segments. What the routes lead to does
/// not matter, so that whoever explains can ask with places in a file.
#[must_use]
pub fn answering<'a, T>(
    routes: &'a BTreeMap<(Path, PathType), T>,
    path: &str,
) -> Option<(&'a (Path, PathType), &'a T)> {
    let exact = routes.iter().find(|((own, kind), _)| *kind == PathType::Exact && own.as_str() == path);
    exact.or_else(|| longest_prefix(routes, path))
}

pub(crate) fn longest_prefix<'a, T>(
    routes: &'a BTreeMap<(Path, PathType), T>,
    path: &str,
) -> Option<(&'a (Path, PathType), &'a T)> {
    routes
        .iter()
        .filter(|((prefix, path_type), _)| *path_type == PathType::Prefix && prefix.is_prefix_of(path))
        .rev()
        .max_by_key(|((prefix, _), _)| prefix.without_final_slash().as_str().len())
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Backends with their shares. Empty, or all weights 0: answers 503, unless the route is a redirect.
    pub backends: Vec<Backend>,
    /// Time between two reads from the backend, and between two writes to it.
    pub timeout: Seconds,
    /// Clients that may come; empty admits everybody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow: BTreeSet<Cidr>,
    /// Who is asked about each request first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuth>,
    /// What else it says.
    #[serde(flatten)]
    pub options: RouteOptions,
}

/// One backend of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// The headless twin Service that names the pods.
    pub service: Label,
    /// Where the pods listen.
    pub port: BackendPort,
    /// Share among the backends of this route.
    pub weight: Weight,
}

/// A Service that says of each request whether it may come: 2xx lets it pass, 401 and 403 are the client's answer, and
/// everything else, silence too, is a 500.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// The headless twin Service that names the pods.
    pub service: Label,
    /// Where the pods listen.
    pub port: BackendPort,
    /// What they are asked for.
    pub path: Path,
    /// Headers of its answer that the backend gets, whatever the client has sent under these names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub response_headers: BTreeSet<RequestHeader>,
}

/// How the port of the pods is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendPort {
    /// The same number on every pod.
    Number(Port),
    /// A named container port: pods may differ, so nginx asks for SRV records of this Service port.
    Named(Label),
}

impl RouteTable {
    /// The oldest version that can say what these routes say.
    #[must_use]
    pub fn version_for(ports: &BTreeMap<Port, PortTable>) -> u32 {
        let mut routes = ports.values().flat_map(|p| p.hosts.values()).flat_map(|h| h.routes.values());
        if routes.any(|route| route.options != RouteOptions::default() || route.external_auth.is_some()) {
            2
        } else {
            1
        }
    }

    /// The content hash, 16 hexadecimal digits: what an edge reports when it serves this table.
    #[must_use]
    pub fn hash(&self) -> String {
        RouteTable::hash_of(&self.to_json())
    }

    /// The content hash of a table's JSON form, for who has it already.
    #[must_use]
    pub fn hash_of(json: &str) -> String {
        short_hash(json.as_bytes(), 8)
    }

    /// The one JSON form: maps are ordered, so equal tables are equal text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a table has only string keys and plain values")
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Another version, or a field outside its grammar.
    pub fn from_json(text: &str) -> Result<Self, TableError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let found = serde_json::from_str::<Version>(text).map_err(|e| TableError::Malformed(e.to_string()))?.version;
        if !(1..=TABLE_VERSION).contains(&found) {
            return Err(TableError::Version { found });
        }
        serde_json::from_str(text).map_err(|e| TableError::Malformed(e.to_string()))
    }
}

/// Why a table could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Written by another generation of the operator.
    #[error("route table has version {found}, this agent reads 1 to {TABLE_VERSION}; roll out the matching edge image")]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// Not a table.
    #[error("route table cannot be read: {0}")]
    Malformed(String),
}

/// JSON has no tuple keys, so routes are written as a list.
mod routes_as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    use super::Route;
    use crate::{Path, PathType};

    type Routes = BTreeMap<(Path, PathType), Box<Route>>;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<R> {
        path: Path,
        path_type: PathType,
        #[serde(flatten)]
        route: R,
    }

    pub(super) fn serialize<S: Serializer>(routes: &Routes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(routes.iter().map(|((path, path_type), route)| Entry {
            path: path.clone(),
            path_type: *path_type,
            route,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Routes, D::Error> {
        let mut routes = BTreeMap::new();
        for Entry { path, path_type, route } in Vec::<Entry<Box<Route>>>::deserialize(from)? {
            if routes.insert((path.clone(), path_type), route).is_some() {
                return Err(D::Error::custom(format!("route {path} stands twice")));
            }
        }
        Ok(routes)
    }
}
