//! A history as data: what people, strangers and the wire do, and when. It can be read, kept, and shrunk: every act
//! is total, so any of them may be left out.

use gatehouse_virtual::Fault;
use serde::{Deserialize, Serialize};

/// One history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// What it was generated from, or what it is kept for.
    pub name: String,
    pub account: Account,
    /// What happens, each after so many seconds.
    pub acts: Vec<(u32, Act)>,
    /// What goes wrong at which call, counted from the start.
    pub faults: Vec<(u64, Fault)>,
}

/// The account and the load balancers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// AWS's own waits instead of fast ones.
    pub slow: bool,
    /// AWS's token buckets on, the engine's too.
    pub throttled: bool,
    /// Rules per ALB.
    pub rules: i64,
    /// Target groups per ALB.
    pub groups: i64,
    /// `limits.shards` of each load balancer.
    pub shards: u32,
    /// A second load balancer, which some apps use too.
    pub two: bool,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    App {
        namespace: String,
        name: String,
        hosts: Vec<String>,
        service: String,
        on: Vec<String>,
    },
    DeleteApp {
        namespace: String,
        name: String,
    },
    /// The object is gone although nobody asked.
    LoseApp {
        namespace: String,
        name: String,
    },
    Label {
        namespace: String,
        name: String,
        value: String,
    },
    Policy {
        namespace: String,
        hosts: Vec<String>,
        domains: Vec<String>,
        strict: bool,
    },
    DeletePolicy {
        namespace: String,
    },
    Service {
        namespace: String,
        name: String,
    },
    DeleteService {
        namespace: String,
        name: String,
    },
    Namespace {
        name: String,
    },
    DeleteNamespace {
        name: String,
    },
    ReplacePods {
        namespace: String,
    },
    Certificate {
        names: Vec<String>,
    },
    /// A leader that is simply replaced, between calls.
    Elect,
    Stranger(Stranger),
}

/// What somebody else does in the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stranger {
    /// A CNAME of their own at a host.
    Record {
        host: String,
    },
    /// A rule of their own on a listener of ours.
    Rule {
        priority: u32,
        host: String,
    },
    /// A target group of their own.
    Group {
        name: String,
    },
    /// Deletes one of our rules, our records, our target groups.
    DropRule {
        nth: usize,
    },
    DropRecord {
        host: String,
    },
    DropGroup {
        nth: usize,
    },
    /// Takes targets out of one of our groups.
    DropTargets {
        nth: usize,
    },
}
