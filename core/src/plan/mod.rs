//! The plan: what separates observed from desired.
//!
//! It is made in parts (one per namespace, shard, Region, load balancer), each a pure function of the [`View`]. A part
//! holds the steps that can run now, what is waited for, and what is held back and why. The plan is recomputed, never
//! remembered: nothing here depends on earlier plans, so the full recomputation is the oracle of the incremental one.

mod adoption;
mod app;
mod certificate;
mod claims;
mod compaction;
mod condition;
mod dns;
mod draft;
mod edge;
mod group;
mod inferred;
mod ingress;
mod load_balancer;
mod owner;
mod placement;
mod policy;
mod prewire;
mod record;
mod region;
mod request;
mod rules;
mod shard;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_route::Host;
use serde::Serialize;

use crate::aws::{AwsCall, Family, ProtocolVersion, Refusal};
use crate::desired::NamespaceDesired;
use crate::identity::ShardKey;
use crate::ingress::Derived;
use crate::observed::{Observed, Scope};
use crate::review::{AppReview, Rulebook};
use crate::settings::Settings;
use crate::time::{Mono, Now};
use crate::world::World;

pub use certificate::{certificate_for, default_mode};
pub use condition::{condition, stalled, summary};
pub(crate) use dns::zone_roles;
pub use dns::zones_for;
pub(crate) use draft::Draft;
pub(crate) use placement::shards;
pub use record::records;
pub(crate) use record::{adopted_forms, net};
pub use rules::{band, pack, priority};
pub use shard::{ALLOWED_ATTRIBUTES, attributes};
pub use write::{ClaimSpec, KubeWrite};

/// A part of the plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartKey {
    /// Account-wide facts of a Region.
    Region(String),
    /// Certificates of a Region that we asked for and that may be given back.
    Certificates(String),
    /// Hosted zones.
    Zones,
    /// One ALB.
    Shard(ShardKey),
    /// One namespace: claims, edge, target groups, rules, records, statuses.
    Namespace(String),
    /// A SharedLoadBalancer's finalizer and status.
    LoadBalancer(String),
    /// An ExposurePolicy's status.
    Policy(String),
}

impl PartKey {
    /// The tenant in whose name it works, for fairness.
    #[must_use]
    pub fn tenant(&self) -> &str {
        match self {
            PartKey::Namespace(name) => name,
            _ => "",
        }
    }
}

/// What one part should do now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Part {
    /// Steps whose preconditions hold.
    pub steps: Vec<Step>,
    /// What is waited for.
    pub waiting: Vec<String>,
    /// What is held back, with the reason and the cure.
    pub held: Vec<String>,
    /// When to look again although nothing happens.
    pub wake: Option<Mono>,
}

/// One call, write or question, ready to go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Identity for back-off.
    pub key: StepKey,
    /// One in-flight step per lane.
    pub lane: Lane,
    /// What it reads or writes in AWS.
    pub scopes: Vec<Scope>,
    /// What to do.
    pub order: Order,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
}

/// Whether somebody waits for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// Somebody does, or it has been put off long enough.
    Awaited,
    /// Nobody does: a look at what is known already, which goes out while tokens are plenty.
    Audit,
}

/// Identity of a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey {
    /// Its part.
    pub part: PartKey,
    /// What it is about.
    pub what: String,
}

/// One in-flight slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// An AWS object.
    Scope(Scope),
    /// A hosted zone: Route 53 takes one change at a time.
    Zone(String),
    /// A Kubernetes object.
    Object(String),
    /// A probed address.
    Probe(String),
    /// The choice of a host's place: two that are made at once would not see each other.
    Placement,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// In a Region of AWS.
    Aws {
        /// The Region. For Route 53, which has none, the role to assume for a zone of another account, or nothing.
        region: String,
        /// The call.
        call: AwsCall,
    },
    /// In Kubernetes.
    Kube(KubeWrite),
    /// To an edge or a shard.
    Probe(Probe),
}

impl Order {
    /// The token bucket it draws from.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Order::Aws { call, .. } => call.family(),
            Order::Kube(write) if write.is_status() => Family::KubeStatus,
            Order::Kube(_) => Family::Kube,
            Order::Probe(_) => Family::Probe,
        }
    }
}

/// A question to the data path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// Which table does this edge pod serve?
    Edge {
        /// UID of the pod.
        uid: String,
        /// Its address.
        ip: std::net::IpAddr,
    },
    /// Which table answers for this host through this ALB?
    Shard {
        /// The shard.
        shard: ShardKey,
        /// DNS name of the ALB.
        address: String,
        /// The host.
        host: Host,
        /// Asked as a client of this, which decides the rule that is met.
        protocol: ProtocolVersion,
    },
}

/// The review of a namespace's apps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespaceReview {
    /// What the policies say.
    pub rulebook: Rulebook,
    /// By app.
    pub apps: BTreeMap<String, AppReview>,
    /// What its Ingresses became.
    pub ingresses: BTreeMap<String, Derived>,
    /// How many hosts its apps name that need a rule, by load balancer.
    pub asked: BTreeMap<String, u32>,
}

/// What only this process knows; lost with it, and then the wait starts anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// When leadership began.
    pub started: Mono,
    /// Since when an admitted app has been missing from the cluster, by claim and app.
    pub missing_since: BTreeMap<(String, String), Mono>,
    /// Table hash each edge pod last reported, by UID, and when it was asked.
    pub pod_tables: BTreeMap<String, (Option<String>, Mono)>,
    /// Since when we know of hosts of ours in AWS that have no claim, by load balancer.
    pub orphans: BTreeMap<(String, Host), Mono>,
    /// When a host's records in a zone last began to point elsewhere.
    pub flipped: BTreeMap<(String, Host), Mono>,
    /// When a shard was last probed for a host.
    pub probed: BTreeMap<(ShardKey, Host, ProtocolVersion), Mono>,
    /// Digest of what the owner of each Ingress was last told, by UID.
    pub told_ingresses: BTreeMap<String, String>,
    /// The last refusal of each step that has not succeeded since.
    pub refusals: BTreeMap<StepKey, Refusal>,
}

/// Everything a plan may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Now.
    pub now: Now,
    /// Installation.
    pub settings: &'a Settings,
    /// Kubernetes.
    pub world: &'a World,
    /// AWS.
    pub observed: &'a Observed,
    /// Reviews by namespace.
    pub reviews: &'a BTreeMap<String, NamespaceReview>,
    /// Desired by namespace.
    pub desired: &'a BTreeMap<String, NamespaceDesired>,
    /// Claims by namespace: object names.
    pub claims: &'a BTreeMap<String, BTreeSet<String>>,
    /// Number of hosts and namespaces placed on each shard.
    pub load: &'a BTreeMap<ShardKey, ShardLoad>,
    /// This process.
    pub memory: &'a Memory,
}

/// What is placed on a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardLoad {
    /// Hosts by namespace.
    pub namespaces: BTreeMap<String, NamespaceLoad>,
}

/// What one namespace has on a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespaceLoad {
    /// Exact hosts.
    pub exact: u32,
    /// Wildcard hosts.
    pub wildcards: u32,
    /// Exact hosts that speak gRPC too.
    pub exact_grpc: u32,
    /// Wildcard hosts that do.
    pub wildcards_grpc: u32,
}

impl NamespaceLoad {
    /// With one host more.
    #[must_use]
    pub fn with(mut self, host: &Host, grpc: bool) -> Self {
        let (all, grpc_too) = match host.is_wildcard() {
            true => (&mut self.wildcards, &mut self.wildcards_grpc),
            false => (&mut self.exact, &mut self.exact_grpc),
        };
        *all += 1;
        *grpc_too += u32::from(grpc);
        self
    }

    /// Rules it needs when they are packed.
    #[must_use]
    pub fn rules(self) -> u32 {
        let rules = |hosts: u32, protocol: ProtocolVersion| {
            hosts.div_ceil(u32::try_from(protocol.hosts_per_rule()).expect("a constant"))
        };
        let all = [self.exact, self.wildcards].map(|hosts| rules(hosts, ProtocolVersion::Http1));
        let grpc = [self.exact_grpc, self.wildcards_grpc].map(|hosts| rules(hosts, ProtocolVersion::Grpc));
        all.into_iter().chain(grpc).sum()
    }

    /// Target groups it needs.
    #[must_use]
    pub fn groups(self) -> u32 {
        u32::from(self.exact + self.wildcards > 0) + u32::from(self.exact_grpc + self.wildcards_grpc > 0)
    }
}

impl ShardLoad {
    /// Rules it needs when they are packed.
    #[must_use]
    pub fn rules(&self) -> u32 {
        self.namespaces.values().map(|n| n.rules()).sum()
    }

    /// Target groups it needs.
    #[must_use]
    pub fn groups(&self) -> u32 {
        self.namespaces.values().map(|n| n.groups()).sum()
    }

    /// Hosts.
    #[must_use]
    pub fn hosts(&self) -> u32 {
        self.namespaces.values().map(|n| n.exact + n.wildcards).sum()
    }
}

/// Makes one part.
#[must_use]
pub fn plan(view: &View<'_>, key: &PartKey) -> Part {
    let mut draft = Draft::new(*view, key.clone());
    match key {
        PartKey::Region(region) => region::plan(&mut draft, region),
        PartKey::Certificates(region) => certificate::clean_up::plan(&mut draft, region),
        PartKey::Zones => region::plan_zones(&mut draft),
        PartKey::Shard(shard) => shard::plan(&mut draft, shard),
        PartKey::Namespace(namespace) => {
            ingress::plan(&mut draft, namespace);
            claims::plan(&mut draft, namespace);
            certificate::request::plan(&mut draft, namespace);
            certificate::validation::plan(&mut draft, namespace);
            edge::plan(&mut draft, namespace);
            group::plan(&mut draft, namespace);
            record::plan(&mut draft, namespace);
            app::plan(&mut draft, namespace);
        }
        PartKey::LoadBalancer(name) => load_balancer::plan(&mut draft, name),
        PartKey::Policy(name) => policy::plan(&mut draft, name),
    }
    draft.part
}

/// JSON of a status; statuses have only string keys and plain values.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("statuses are plain values")
}
