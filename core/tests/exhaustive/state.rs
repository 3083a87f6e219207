//! One state of the search, and what may happen to it.

use awsim_model::{Aws, Caller, Millis};
use gatehouse_core::aws::{AwsAnswer, AwsCall, Refusal, RefusalClass};
use gatehouse_core::plan::{KubeWrite, Order, Probe};
use gatehouse_core::world::Delta;
use gatehouse_core::{Answer, Buckets, Effect, EffectId, Engine, Event, Mono, Now, Outcome, Settings, Wall};
use gatehouse_virtual::{Adapter, Cluster, edge_of, short};

/// Calls of which the order, the answers and the faults are explored. Everything else is performed and answered at
/// once: reads, children, statuses, finalizers, load balancers, listeners, target groups, probes.
pub fn explored(order: &Order) -> bool {
    match order {
        Order::Aws { call, .. } => matches!(
            call,
            AwsCall::CreateRule { .. }
                | AwsCall::ModifyRule { .. }
                | AwsCall::DeleteRule { .. }
                | AwsCall::ChangeRecords { .. }
                | AwsCall::RegisterTargets { .. }
                | AwsCall::DeregisterTargets { .. }
        ),
        Order::Kube(write) => matches!(
            write,
            KubeWrite::CreateClaim { .. } | KubeWrite::ClaimStatus { .. } | KubeWrite::DeleteClaim { .. }
        ),
        Order::Probe(_) => false,
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
    pub order: Order,
    pub sent: u64,
}

/// An effect that nobody waits for any more and that may still come.
#[derive(Clone)]
pub struct Ghost {
    pub order: Order,
    pub until: u64,
    /// Of a leader that is gone; it may as well never come.
    pub former: bool,
}

#[derive(Clone)]
pub struct State {
    pub now: u64,
    pub engine: Engine,
    pub aws: Aws,
    pub cluster: Cluster,
    pub flights: Vec<Flight>,
    pub ghosts: Vec<Ghost>,
    pub faults: u8,
    pub leaders: u8,
    /// Whether somebody else than this leader's answered calls has acted.
    pub haunted: bool,
    /// The next event of the script.
    pub script: usize,
    pub settings: Settings,
    pub lie: Lie,
    /// AWS before its last write and when that was: what a stale read shows.
    before: Option<(u64, Aws)>,
    stale: bool,
    /// Hash of AWS's essence, while nothing is written there.
    pub aws_hash: Option<u64>,
    /// What broke, if something did.
    pub broken: Option<String>,
}

/// What may happen next. A call acts when it is answered: between the two nobody can tell the difference, except a
/// leader that comes in between, and for that one it is the same as an answer that the old leader still heard. A call
/// that acts and is not answered, or acts when nobody waits any more, is a choice of its own.
#[derive(Clone, Debug)]
pub enum Choice {
    /// It acts and is answered.
    Answer(usize),
    /// Fault: refused, without effect.
    Refuse(usize),
    /// Fault: never acts, and nobody can tell.
    Lose(usize),
    /// Fault: given up now, acts later.
    Late(usize),
    /// Fault: acts, the answer is lost.
    Forget(usize),
    /// Fault: the next read shows AWS before its last write.
    StaleRead,
    /// An effect that nobody waits for comes.
    Strike(usize),
    /// It will not come any more.
    Vanish(usize),
    /// Another leader.
    Elect,
    /// The next event of the script.
    Script,
    /// Time, until something changes.
    Pass,
}

pub const IN_FLIGHT: usize = 2;

impl State {
    pub fn new(settings: Settings, aws: awsim_model::Settings, faults: u8, leaders: u8, lie: Lie) -> State {
        let engine = Engine::new(settings.clone(), Buckets::default());
        State {
            now: 1_000,
            engine,
            aws: Aws::new(aws).unwrap(),
            cluster: Cluster::new(1_800_000_000),
            flights: Vec::new(),
            ghosts: Vec::new(),
            faults,
            leaders,
            haunted: false,
            script: 0,
            settings,
            lie,
            before: None,
            stale: false,
            aws_hash: None,
            broken: None,
        }
    }

    pub fn clock(&self) -> Now {
        Now { mono: Mono(self.now), wall: Wall(1_800_000_000 + i64::try_from(self.now / 1000).unwrap()) }
    }

    /// A new leader: it knows what a fresh watch shows. What the old one sent may still act.
    pub fn elect(&mut self) {
        let deadline = self.settings.call_deadline;
        for flight in self.flights.drain(..) {
            self.ghosts.push(Ghost { order: flight.order, until: flight.sent + deadline, former: true });
        }
        self.engine = Engine::new(self.settings.clone(), Buckets::default());
        let now = self.clock();
        for delta in self.cluster.listed() {
            let delta = self.bend(delta);
            self.engine.handle(now, Event::Kube(delta));
        }
        self.engine.handle(now, Event::Lease { valid_until: Mono(u64::MAX) });
        self.cluster.changes.clear();
    }

    /// Everything that is not explored, until an explored call has to wait for a choice or nothing is to be done now.
    pub fn settle(&mut self) {
        let mut rounds = 0;
        while self.broken.is_none() {
            rounds += 1;
            assert!(rounds < 5_000, "no rest");
            let now = self.clock();
            for delta in std::mem::take(&mut self.cluster.changes) {
                let delta = self.bend(delta);
                self.engine.handle(now, Event::Kube(delta));
            }
            if self.flights.len() >= IN_FLIGHT {
                return;
            }
            let Some(Effect { id, order, .. }) = self.engine.next(now) else { return };
            if explored(&order) {
                self.flights.push(Flight { id, order, sent: self.now });
            } else {
                let outcome = self.perform(&order);
                self.engine.handle(now, Event::Outcome { id, outcome });
            }
        }
    }

    /// What the engine is shown of the cluster.
    fn bend(&self, delta: Delta) -> Delta {
        match delta {
            Delta::Policy(name, Some(policy)) if self.lie == Lie::Listed => {
                let mut policy = (*policy).clone();
                policy.spec.grants.iter_mut().for_each(|grant| grant.hosts.push("a.example.com".into()));
                Delta::Policy(name, Some(policy.into()))
            }
            other => other,
        }
    }

    pub fn perform(&mut self, order: &Order) -> Outcome {
        let result = match order {
            Order::Aws { call, .. }
                if self.lie == Lie::RecordsStay
                    && call.is_destructive()
                    && matches!(call, AwsCall::ChangeRecords { .. }) =>
            {
                Ok(Answer::Aws(AwsAnswer::Change { id: "made-up".into(), in_sync: true }))
            }
            Order::Aws { call, .. } => {
                let caller = Caller::admin("gatehouse");
                if call.is_read() {
                    let shown = self.before.as_mut().filter(|_| self.stale);
                    self.stale = false;
                    let aws = shown.map_or(&mut self.aws, |(_, aws)| aws);
                    Adapter { aws, now: self.now, caller: &caller, role: "" }.call(call).map(Answer::Aws)
                } else {
                    self.aws_hash = None;
                    if explored(order) {
                        self.before = Some((self.now, self.aws.clone()));
                    }
                    Adapter { aws: &mut self.aws, now: self.now, caller: &caller, role: "" }.call(call).map(Answer::Aws)
                }
            }
            Order::Kube(write) => {
                if let (Lie::ClaimTwice, KubeWrite::CreateClaim { name, .. }) = (self.lie, write) {
                    self.cluster.world.claims.remove(name);
                }
                self.cluster.write(write).map(|answer| match answer {
                    Answer::Policy(policy) => match self.bend(Delta::Policy(String::new(), Some(policy))) {
                        Delta::Policy(_, Some(policy)) => Answer::Policy(policy),
                        _ => Answer::Nothing,
                    },
                    other => other,
                })
            }
            Order::Probe(Probe::Edge { ip, .. }) => {
                let pods = &self.cluster.world.pods;
                let namespace = pods.iter().find(|(_, p)| p.ip == Some(*ip)).map(|(k, _)| k.namespace.clone());
                Ok(Answer::Table(namespace.and_then(|ns| self.cluster.table(&ns))))
            }
            Order::Probe(Probe::Shard { address, host, protocol, .. }) => {
                let edge = edge_of(&self.aws, &self.cluster.world, self.now, &host.as_text(), Some(address), *protocol);
                Ok(Answer::Table(edge.and_then(|ns| self.cluster.table(&ns))))
            }
        };
        match result {
            Ok(answer) => Outcome::Done(answer),
            Err(refusal) => {
                let known = !self.haunted && self.before.is_some();
                if refusal.class == RefusalClass::Quota && known {
                    self.broken = Some(format!("a quota was met by a call: {}", refusal.message));
                }
                Outcome::Refused(refusal)
            }
        }
    }

    /// What may happen now.
    pub fn choices(&self, script: usize) -> Vec<Choice> {
        let mut out = Vec::new();
        for i in 0..self.flights.len() {
            out.push(Choice::Answer(i));
            if self.faults > 0 {
                out.extend([Choice::Refuse(i), Choice::Lose(i), Choice::Late(i), Choice::Forget(i)]);
            }
        }
        for (i, ghost) in self.ghosts.iter().enumerate() {
            out.push(Choice::Strike(i));
            if ghost.former {
                out.push(Choice::Vanish(i));
            }
        }
        let recent = self.before.as_ref().is_some_and(|(at, _)| self.now < at + self.settings.consistency_window);
        if self.faults > 0 && recent && !self.stale {
            out.push(Choice::StaleRead);
        }
        if self.leaders > 0 {
            out.push(Choice::Elect);
        }
        if self.script < script {
            out.push(Choice::Script);
        }
        out.push(Choice::Pass);
        out
    }

    fn answer(&mut self, index: usize, outcome: Outcome) {
        let flight = self.flights.remove(index);
        let now = self.clock();
        self.engine.handle(now, Event::Outcome { id: flight.id, outcome });
    }

    /// Makes a choice come true, without passing of time.
    pub fn take(&mut self, choice: &Choice, script: &[fn(&mut Cluster)]) {
        match choice {
            Choice::Answer(i) => {
                let order = self.flights[*i].order.clone();
                let outcome = self.perform(&order);
                self.answer(*i, outcome);
            }
            Choice::Refuse(i) => {
                self.faults -= 1;
                let refusal = Refusal { class: RefusalClass::Transient, message: "ServiceUnavailable".into() };
                self.answer(*i, Outcome::Refused(refusal));
            }
            Choice::Lose(i) => {
                self.faults -= 1;
                self.answer(*i, Outcome::Unknown);
            }
            Choice::Forget(i) => {
                self.faults -= 1;
                let order = self.flights[*i].order.clone();
                let _ = self.perform(&order);
                self.answer(*i, Outcome::Unknown);
            }
            Choice::Late(i) => {
                self.faults -= 1;
                let flight = &self.flights[*i];
                let until = flight.sent + self.settings.call_deadline;
                self.ghosts.push(Ghost { order: flight.order.clone(), until, former: false });
                self.answer(*i, Outcome::Unknown);
            }
            Choice::StaleRead => {
                self.faults -= 1;
                self.stale = true;
                self.haunted = true;
            }
            Choice::Strike(i) => {
                let ghost = self.ghosts.remove(*i);
                self.haunted = true;
                let _ = self.perform(&ghost.order);
            }
            Choice::Vanish(i) => {
                self.ghosts.remove(*i);
            }
            Choice::Elect => {
                self.leaders -= 1;
                self.haunted = true;
                self.elect();
            }
            Choice::Script => {
                script[self.script](&mut self.cluster);
                self.script += 1;
            }
            Choice::Pass => {}
        }
        self.settle();
    }

    /// The next moment at which something happens by itself, as far as time may pass: no call outlives its deadline.
    pub fn next_moment(&self) -> Option<u64> {
        let wake = self.engine.wake_at(self.clock()).map(|m| m.0.max(self.now + 1));
        let aws = self.aws.next_event(Millis(self.now)).map(|m| m.0);
        let next = [wake, aws].into_iter().flatten().min()?;
        let flights = self.flights.iter().map(|f| f.sent + self.settings.call_deadline);
        let last = flights.chain(self.ghosts.iter().map(|g| g.until)).min();
        last.is_none_or(|last| next < last).then_some(next)
    }

    /// Moves the clock.
    pub fn advance(&mut self, to: u64) {
        self.now = to;
        self.cluster.wall = self.clock().wall.0;
        self.settle();
    }

    pub fn describe(&self, choice: &Choice) -> String {
        let of = |i: &usize| self.flights.get(*i).map_or_else(String::new, |f| short(&f.order));
        let text = match choice {
            Choice::Answer(i) | Choice::Refuse(i) | Choice::Lose(i) | Choice::Late(i) | Choice::Forget(i) => of(i),
            Choice::Strike(i) | Choice::Vanish(i) => self.ghosts.get(*i).map_or_else(String::new, |g| short(&g.order)),
            _ => String::new(),
        };
        format!("{:>9} {choice:?} {text}", self.now)
    }
}
