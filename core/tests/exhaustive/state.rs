//! One state of the search.

use std::collections::BTreeMap;
use std::sync::Arc;

use awsim_model::{Aws, Millis};
use gatehouse_core::aws::AwsCall;
use gatehouse_core::plan::{KubeWrite, Order};
use gatehouse_core::world::Delta;
use gatehouse_core::{Buckets, Effect, EffectId, Engine, Event, Mono, Now, Settings, Wall};
use gatehouse_virtual::Cluster;

use crate::essence::{Hashes, print};
use crate::search::Bounds;

/// Calls of which the order, the answers and the faults are explored, by what they write. Everything else is performed
/// and answered at once: reads, children, statuses, finalizers, load balancers, listeners, target groups, probes, and
/// those of these families that are not among [`Bounds::families`](crate::search::Bounds::families).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Claims of what two namespaces want: of the host of both, and of the wildcard above it.
    Contested,
    /// Other claims.
    Claims,
    Rules,
    Records,
    Targets,
}

/// Names of the contested claims, in either scene.
const CONTESTED: [&str; 2] = ["h.both.example.com", "w.example.com"];

fn family(order: &Order) -> Option<Family> {
    match order {
        Order::Aws { call, .. } => match call {
            AwsCall::CreateRule { .. }
            | AwsCall::ModifyRule { .. }
            | AwsCall::DeleteRule { .. }
            | AwsCall::SetRulePriorities { .. } => Some(Family::Rules),
            AwsCall::ChangeRecords { .. } => Some(Family::Records),
            AwsCall::RegisterTargets { .. } | AwsCall::DeregisterTargets { .. } => Some(Family::Targets),
            _ => None,
        },
        Order::Kube(
            KubeWrite::CreateClaim { name, .. }
            | KubeWrite::ClaimStatus { name, .. }
            | KubeWrite::DeleteClaim { name, .. },
        ) => Some(if CONTESTED.contains(&name.as_str()) { Family::Contested } else { Family::Claims }),
        Order::Kube(_) | Order::Probe(_) => None,
    }
}

/// How the harness lies, to show that the search would notice an engine that works on a broken precondition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    None,
    /// The engine is told that every grant lists the host under the other's wildcard by name.
    Listed,
    /// The API server creates a claim over one that exists.
    ClaimTwice,
    /// AWS says that records were deleted, and did not delete them.
    RecordsStay,
}

/// An explored call under way.
#[derive(Clone)]
pub struct Flight {
    pub id: EffectId,
    pub order: Arc<Order>,
    pub sent: u64,
    /// What it means, without what was made up on the way.
    pub print: u64,
}

/// An effect that nobody waits for any more and that may still come.
#[derive(Clone)]
pub struct Ghost {
    pub order: Arc<Order>,
    pub until: u64,
    pub print: u64,
    /// Of a leader that is gone.
    pub former: bool,
}

/// A part of AWS before its last write: what a stale read shows.
#[derive(Clone)]
pub struct Before {
    pub at: u64,
    pub aws: Aws,
    pub print: u64,
}

#[derive(Clone)]
pub struct State {
    pub now: u64,
    /// Shared with the state it came from until one of them changes it, as is the cluster.
    pub engine: Arc<Engine>,
    pub aws: Aws,
    pub cluster: Arc<Cluster>,
    /// What is explored.
    pub families: &'static [Family],
    /// Whether somebody leads; after a change of leaders nobody does until the next one begins.
    pub led: bool,
    pub flights: Vec<Flight>,
    pub ghosts: Vec<Ghost>,
    pub faults: u8,
    pub leaders: u8,
    /// When this leader began.
    pub elected: u64,
    /// Whether somebody else than this leader's answered calls has acted.
    pub haunted: bool,
    /// The next event of the script.
    pub script: usize,
    pub settings: Arc<Settings>,
    pub lie: Lie,
    /// By listener, zone and target group.
    pub before: Arc<BTreeMap<String, Before>>,
    /// Reads since the last choice that a stale answer would have changed.
    pub reads: u32,
    /// Which of them is answered so.
    pub stale: Option<u32>,
    /// Whether an explored call has acted.
    pub acted: bool,
    /// Hashes of the essence's parts, while they do not change.
    pub hashes: Hashes,
    /// What broke, if something did.
    pub broken: Option<String>,
    /// Whether time passed and nothing changed.
    pub rested: bool,
}

pub const IN_FLIGHT: usize = 2;

impl State {
    pub fn new(settings: Settings, aws: awsim_model::Settings, bounds: Bounds, lie: Lie) -> State {
        let engine = Engine::new(settings.clone(), Buckets::default());
        State {
            now: 1_000,
            engine: Arc::new(engine),
            aws: Aws::new(aws).unwrap(),
            cluster: Arc::new(Cluster::new(1_800_000_000)),
            families: bounds.families,
            led: false,
            flights: Vec::new(),
            ghosts: Vec::new(),
            faults: bounds.faults,
            leaders: bounds.leaders,
            elected: 0,
            haunted: false,
            script: 0,
            settings: Arc::new(settings),
            lie,
            before: Arc::default(),
            reads: 0,
            stale: None,
            acted: false,
            hashes: Hashes::default(),
            broken: None,
            rested: false,
        }
    }

    pub fn clock(&self) -> Now {
        Now { mono: Mono(self.now), wall: Wall(1_800_000_000 + i64::try_from(self.now / 1000).unwrap()) }
    }

    /// The engine, to be changed.
    pub fn engine(&mut self) -> &mut Engine {
        self.hashes.engine = None;
        Arc::make_mut(&mut self.engine)
    }

    /// The cluster, to be changed.
    pub fn cluster(&mut self) -> &mut Cluster {
        self.hashes.cluster = None;
        let wall = self.clock().wall.0;
        let cluster = Arc::make_mut(&mut self.cluster);
        cluster.wall = wall;
        cluster
    }

    pub fn handle(&mut self, event: Event) {
        let now = self.clock();
        self.engine().handle(now, event);
    }

    /// The leader ends. Of its calls in flight those of these bits may still act, the others never do.
    pub fn depose(&mut self, coming: u8) {
        let deadline = self.settings.call_deadline;
        self.ghosts.iter_mut().for_each(|ghost| ghost.former = true);
        for (i, Flight { order, sent, print, .. }) in std::mem::take(&mut self.flights).into_iter().enumerate() {
            if coming & 1 << i != 0 {
                self.ghosts.push(Ghost { order, until: sent + deadline, print, former: true });
            }
        }
        self.engine = Arc::new(Engine::new((*self.settings).clone(), Buckets::default()));
        self.hashes.engine = None;
        self.led = false;
    }

    /// A new leader begins: it knows what a fresh watch shows.
    pub fn lead(&mut self) {
        self.elected = self.now;
        self.led = true;
        for delta in self.cluster.listed() {
            let delta = self.bend(delta);
            self.handle(Event::Kube(delta));
        }
        self.handle(Event::Lease { valid_until: Mono(u64::MAX) });
        self.cluster().changes.clear();
    }

    /// Everything that is not explored, until an explored call has to wait for a choice or nothing is to be done now.
    pub fn settle(&mut self) {
        let mut rounds = 0;
        while self.broken.is_none() {
            rounds += 1;
            assert!(rounds < 5_000, "no rest");
            if !self.cluster.changes.is_empty() {
                for delta in std::mem::take(&mut self.cluster().changes) {
                    let delta = self.bend(delta);
                    self.handle(Event::Kube(delta));
                }
            }
            let now = self.clock();
            let Some(Effect { id, order, .. }) = self.engine().next(now) else { return };
            if family(&order).is_some_and(|family| self.families.contains(&family)) {
                let print = print(&order);
                self.flights.push(Flight { id, order: Arc::new(order), sent: self.now, print });
            } else {
                let outcome = self.perform(&order);
                self.handle(Event::Outcome { id, outcome });
            }
        }
    }

    /// What the engine is shown of the cluster.
    pub fn bend(&self, delta: Delta) -> Delta {
        match delta {
            Delta::Policy(name, Some(policy)) if self.lie == Lie::Listed => {
                let mut policy = (*policy).clone();
                policy.spec.grants.iter_mut().for_each(|grant| grant.hosts.push("a.example.com".into()));
                Delta::Policy(name, Some(policy.into()))
            }
            other => other,
        }
    }

    /// The next moment at which something happens by itself, as far as time may pass: no call outlives its deadline.
    pub fn next_moment(&self) -> Option<u64> {
        let wake = self.engine.wake_at(self.clock()).map(|m| m.0.max(self.now + 1));
        let aws = self.aws.next_event(Millis(self.now)).map(|m| m.0);
        let next = [wake, aws].into_iter().flatten().min()?;
        let flights = self.flights.iter().take(IN_FLIGHT).map(|f| f.sent + self.settings.call_deadline);
        let last = flights.chain(self.ghosts.iter().map(|g| g.until)).min();
        last.is_none_or(|last| next < last).then_some(next)
    }

    /// Moves the clock.
    pub fn advance(&mut self, to: u64) {
        self.now = to;
        self.settle();
    }

    /// Longer than every grace and several audits.
    const REST: u64 = 2 * 3_600_000;

    /// Lets time pass until something of the essence changes.
    pub fn pass(&mut self) {
        let (end, before) = (self.now + State::REST, self.essence());
        self.rested = true;
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.advance(next);
            if self.broken.is_some() || self.essence() != before {
                self.rested = false;
                return;
            }
        }
    }
}
