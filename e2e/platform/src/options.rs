//! What a platform is asked to be, and what its run folder says of it.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::paths::{Cache, Name, RunDir};

/// A DNS zone that the cluster's DNS hands to another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardZone {
    /// The zone, such as `eu-central-1.elb.amazonaws.com`.
    pub zone: String,
    /// The server that knows it.
    pub server: SocketAddr,
}

impl std::str::FromStr for ForwardZone {
    type Err = String;

    fn from_str(text: &str) -> Result<ForwardZone, String> {
        let fault =
            |why: &str| format!("forward zone {text:?}: {why}; write ZONE=IP:PORT, such as example.com=10.100.0.1:53");
        let (zone, server) = text.split_once('=').ok_or_else(|| fault("has no '='"))?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if zone.is_empty() || !zone.bytes().all(plain) {
            return Err(fault("the zone is not a domain name"));
        }
        let server = server.parse().map_err(|_| fault("the server is not IP:PORT"))?;
        Ok(ForwardZone { zone: zone.trim_end_matches('.').to_owned(), server })
    }
}

/// How a platform is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: Name,
    /// Where built programs and run folders live.
    pub cache: Cache,
    /// etcd, API server and controllers only: no node, no pods, ready in three seconds.
    pub control_plane_only: bool,
    /// Networks of which any address may be bound inside the namespace, for simulated load balancers.
    pub local_cidrs: Vec<Ipv4Net>,
    /// Zones that the cluster's DNS forwards.
    pub forward_zones: Vec<ForwardZone>,
    /// What `/etc/resolv.conf` names for commands run inside the namespace.
    pub dns_server: Option<IpAddr>,
    /// Whether to keep silent; else each step is told on stderr.
    pub quiet: bool,
}

impl Options {
    /// A full platform with the cache of the environment and the usual local network.
    pub fn named(name: &str) -> Result<Options> {
        Ok(Options {
            name: name.parse().map_err(anyhow::Error::msg)?,
            cache: Cache::from_env()?,
            control_plane_only: false,
            local_cidrs: vec!["10.0.0.0/16".parse()?],
            forward_zones: Vec::new(),
            dns_server: None,
            quiet: false,
        })
    }
}

/// What the run folder tells another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Who started it.
    pub started_by: u32,
    /// Whether it got ready.
    pub ready: bool,
    /// Whether it was left to live without the process that started it.
    pub detached: bool,
    /// Whether it has no node.
    pub control_plane_only: bool,
    /// See [`Options::dns_server`].
    pub dns_server: Option<IpAddr>,
}

impl State {
    /// Reads it; absent when the platform is not there or has just begun.
    pub fn read(run: &RunDir) -> Option<State> {
        serde_json::from_slice(&fs::read(run.join("state.json")).ok()?).ok()
    }

    pub(crate) fn write(&self, run: &RunDir) -> Result<()> {
        fs::write(run.join("state.json"), serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forward_zones_are_read_or_refused_with_an_example() {
        let zone: ForwardZone = "example.com.=10.100.0.1:53".parse().unwrap();
        assert_eq!(zone.zone, "example.com");
        for bad in ["example.com", "=1.2.3.4:53", "a b=1.2.3.4:53", "a{}=1.2.3.4:53", "example.com=1.2.3.4"] {
            assert!(bad.parse::<ForwardZone>().unwrap_err().contains("such as"), "{bad}");
        }
    }
}
