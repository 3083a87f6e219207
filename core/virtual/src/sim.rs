//! Virtual time: the engine, a cluster and the model of AWS, with a fault at any call and a change of leader at any call.

use std::collections::{BTreeMap, VecDeque};

use awsim_model::{Aws, Caller, Millis};
use gatehouse_core::aws::{AwsCall, ProtocolVersion, Refusal, RefusalClass};
use gatehouse_core::plan::{Order, PartKey, Probe};
use gatehouse_core::{Answer, Buckets, Delta, Effect, EffectId, Engine, Event, Mono, Now, Outcome, Settings, Wall};
use gatehouse_crds::{ClaimState, keys};
use serde::{Deserialize, Serialize};

use crate::adapter::Adapter;
use crate::cluster::Cluster;
use crate::data_plane;

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Refused, without effect.
    Before,
    /// The effect came, the answer did not.
    After,
    /// Neither came, and nobody can tell.
    Lost,
    /// The answer did not come; the effect comes seconds later.
    Late,
    /// A new leader takes over right after it was sent; the old one's call still takes effect.
    LeaderChange,
    /// A new leader takes over right before it would have been sent.
    LeaderBefore,
}

impl Fault {
    /// Every kind that concerns a call; a leader that changes before one is a change between calls.
    pub const ALL: [Fault; 5] = [Fault::Before, Fault::After, Fault::Lost, Fault::Late, Fault::LeaderChange];
}

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// As always.
    Fair,
    /// It takes so many milliseconds.
    Slow(u64),
    /// AWS says that we are too fast.
    Throttled,
}

#[derive(Clone)]
enum Line {
    Sent(u64, u64, Order, Option<Fault>),
    Refused(u64, String),
    Note(u64, String),
}

#[derive(Clone)]
enum Due {
    Deliver(u64, EffectId, Outcome),
    Effect(u64, Order),
    Watch(u64, Delta),
}

/// Milliseconds a call takes.
const LATENCY: u64 = 30;

/// Lines of the log that are kept for whoever reads a failure.
const LOG: usize = 200;

/// One history under way.
#[derive(Clone)]
pub struct Sim {
    /// Milliseconds since the start.
    pub now: u64,
    /// The leader's engine.
    pub engine: Engine,
    /// AWS.
    pub aws: Aws,
    /// Kubernetes.
    pub cluster: Cluster,
    /// The installation.
    pub settings: Settings,
    /// What each leader starts with; none by default.
    pub buckets: Buckets,
    /// Who calls AWS.
    pub caller: Caller,
    due: BTreeMap<(u64, u64), Due>,
    seq: u64,
    /// Which leader; answers to former ones go nowhere.
    term: u64,
    /// AWS calls and writes to Kubernetes so far.
    pub calls: u64,
    log: VecDeque<Line>,
    /// Lines of the log that are kept.
    pub keep: usize,
    /// What goes wrong at which call.
    pub faults: Vec<(u64, Fault)>,
    /// Called after every AWS call and Kubernetes write that had its effect.
    pub watch: Option<fn(&Sim, &Order)>,
    /// Calls that go badly all the time.
    pub weather: Option<fn(&AwsCall) -> Weather>,
    /// Whether what takes effect now was sent seconds ago: what it rests on may have gone since.
    pub late: bool,
    /// Until when a stranger's hand in AWS may not have been noticed, for watchers.
    pub tampered_until: u64,
    /// Refusals for a quota of what the engine should have counted itself.
    pub quota_refusals: Vec<String>,
    /// Refusals for throttling.
    pub throttled: u64,
    /// Whether calls are counted by what they do.
    pub tally: bool,
    /// Calls by what they do.
    pub by_name: BTreeMap<String, u64>,
    /// After every change the incremental plan is compared with the full one.
    pub oracle: bool,
    /// Hosts that must answer at every moment, with the namespace whose edge must answer.
    pub guard: BTreeMap<String, String>,
}

impl Sim {
    /// An empty cluster and an empty account, with a leader.
    ///
    /// # Panics
    /// When the account's settings seed a zone that is none.
    #[must_use]
    pub fn new(settings: Settings, aws: awsim_model::Settings) -> Sim {
        let cluster = Cluster::new(1_800_000_000);
        let mut sim = Sim {
            now: 1_000,
            engine: Engine::new(settings.clone(), Buckets::default()),
            aws: Aws::new(aws).unwrap(),
            cluster,
            settings,
            caller: Caller::admin("gatehouse"),
            due: BTreeMap::new(),
            seq: 0,
            term: 0,
            calls: 0,
            log: VecDeque::new(),
            keep: LOG,
            faults: Vec::new(),
            watch: None,
            weather: None,
            late: false,
            tampered_until: 0,
            quota_refusals: Vec::new(),
            throttled: 0,
            buckets: Buckets::default(),
            tally: false,
            by_name: BTreeMap::new(),
            oracle: false,
            guard: BTreeMap::new(),
        };
        sim.elect();
        sim
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono: Mono(self.now), wall: Wall(1_800_000_000 + i64::try_from(self.now / 1000).unwrap()) }
    }

    /// A new leader: it knows what a fresh watch shows, and nothing else.
    pub fn elect(&mut self) {
        self.term += 1;
        self.engine = Engine::new(self.settings.clone(), self.buckets.clone());
        let now = self.now();
        for delta in self.cluster.listed() {
            self.engine.handle(now, Event::Kube(delta));
        }
        self.engine.handle(now, Event::Lease { valid_until: Mono(u64::MAX) });
        self.due.retain(|_, d| !matches!(d, Due::Watch(..) | Due::Deliver(..)));
        self.cluster.changes.clear();
    }

    /// The leader dies; another takes over.
    pub fn change_leader(&mut self) {
        self.elect();
    }

    fn at(&mut self, time: u64, due: Due) {
        self.seq += 1;
        self.due.insert((time, self.seq), due);
    }

    /// A call of somebody else in the account.
    ///
    /// # Panics
    /// When AWS refuses it.
    pub fn stranger<C: awsim_model::Call>(&mut self, call: C) -> C::Answer {
        self.aws.ask(Millis(self.now), &Caller::admin("stranger"), call).unwrap()
    }

    /// A call of somebody else that may be refused.
    ///
    /// # Errors
    /// AWS's own.
    pub fn try_stranger<C: awsim_model::Call>(&mut self, call: C) -> Result<C::Answer, awsim_model::AwsError> {
        self.aws.ask(Millis(self.now), &Caller::admin("stranger"), call)
    }

    /// Runs for so many virtual milliseconds.
    ///
    /// # Panics
    /// When the engine does not come to rest, or breaks what [`Sim::judge`] and the oracle watch over.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        let mut rounds = 0_u64;
        loop {
            rounds += 1;
            assert!(rounds < 400_000, "no rest after {rounds} rounds at {}; last calls:\n{}", self.now, self.tail());
            for delta in std::mem::take(&mut self.cluster.changes) {
                self.at(self.now + 5, Due::Watch(self.term, delta));
            }
            let now = self.now();
            while let Some(effect) = self.engine.next(now) {
                self.send(effect);
            }
            if self.oracle {
                self.compare_plans(now);
            }
            let next_due = self.due.keys().next().map(|(at, _)| *at);
            let wake = self.engine.wake_at(now).map(|m| m.0.max(self.now + 1));
            let Some(next) = [next_due, wake].into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = next.max(self.now);
            self.cluster.wall = self.now().wall.0;
            while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 <= self.now) {
                let due = entry.remove();
                self.happen(due);
            }
            for (host, namespace) in &self.guard {
                let reached = self.client(host);
                assert_eq!(reached.as_ref(), Some(namespace), "{host} at {}:\n{}", self.now, self.tail());
            }
        }
        self.now = end;
        self.cluster.wall = self.now().wall.0;
    }

    /// # Panics
    /// When the incremental plan is not the one made from scratch.
    fn compare_plans(&mut self, now: Now) {
        if let Some(difference) = self.plans_differ(now, true) {
            panic!("the plans differ at {}: {difference}", self.now);
        }
    }

    /// The incremental plan against the one made from scratch. When to look again is not compared: the incremental
    /// one rounds a moment that has passed up to the next.
    pub fn plans_differ(&mut self, now: Now, statuses: bool) -> Option<String> {
        let incremental = self.engine.current_plan(now).clone();
        let full = self.engine.full_plan(now);
        let keys: std::collections::BTreeSet<_> = full.keys().chain(incremental.keys()).collect();
        // A load balancer's and a policy's status and a Region's certificates are looked at once a second, not at every
        // outcome.
        let soon = |k: &&PartKey| matches!(k, PartKey::LoadBalancer(_) | PartKey::Policy(_) | PartKey::Region(_));
        keys.into_iter().filter(|k| !soon(k)).find_map(|key| {
            let (mut full, mut incremental) =
                (full.get(key).cloned().unwrap_or_default(), incremental.get(key).cloned().unwrap_or_default());
            if !statuses {
                let told = |s: &gatehouse_core::plan::Step| s.order.family() == gatehouse_core::aws::Family::KubeStatus;
                full.steps.retain(|s| !told(s));
                incremental.steps.retain(|s| !told(s));
            }
            let same = full.steps == incremental.steps
                && (&full.waiting, &full.held) == (&incremental.waiting, &incremental.held);
            (!same).then(|| format!("{key:?}\nfrom scratch {full:#?}\nincremental {incremental:#?}"))
        })
    }

    /// The last calls, one a line.
    #[must_use]
    pub fn tail(&self) -> String {
        self.log.iter().rev().take(45).rev().map(Line::text).collect::<Vec<_>>().join("\n")
    }

    /// Writes a line into the log.
    pub fn note(&mut self, text: impl Into<String>) {
        self.say(Line::Note(self.now, text.into()));
    }

    fn say(&mut self, line: Line) {
        if self.log.len() >= self.keep {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    fn happen(&mut self, due: Due) {
        let now = self.now();
        match due {
            Due::Deliver(term, id, outcome) if term == self.term => {
                self.engine.handle(now, Event::Outcome { id, outcome })
            }
            Due::Watch(term, delta) if term == self.term => self.engine.handle(now, Event::Kube(delta)),
            Due::Effect(term, order) => {
                let former = term != self.term;
                self.late = true;
                let _ = self.perform_for(&order, former);
                self.late = false;
            }
            Due::Deliver(..) | Due::Watch(..) => {}
        }
    }

    fn send(&mut self, effect: Effect) {
        let fault = match &effect.order {
            Order::Probe(_) => None,
            _ => {
                self.calls += 1;
                self.faults.iter().find(|(n, _)| *n == self.calls).map(|(_, f)| *f)
            }
        };
        if self.tally {
            let text = short(&effect.order);
            let name: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
            *self.by_name.entry(name).or_default() += 1;
        }
        // Audits of a quiet hour would push everything of interest out of the log.
        let audit = matches!(
            &effect.order,
            Order::Aws {
                call: AwsCall::ReadRules { .. } | AwsCall::ReadZoneRecords { .. } | AwsCall::ReadCertificates { .. },
                ..
            }
        );
        if !audit || fault.is_some() {
            self.say(Line::Sent(self.now, self.calls, effect.order.clone(), fault));
        }
        let weather = match (&effect.order, self.weather) {
            (Order::Aws { call, .. }, Some(weather)) => weather(call),
            _ => Weather::Fair,
        };
        let latency = if let Weather::Slow(ms) = weather { ms } else { LATENCY };
        let (term, id, soon) = (self.term, effect.id, self.now + latency);
        if weather == Weather::Throttled {
            let refusal = Refusal { class: RefusalClass::Throttled, message: "Throttling: Rate exceeded".into() };
            self.at(soon, Due::Deliver(term, id, Outcome::Refused(refusal)));
            return;
        }
        match fault {
            None => {
                let outcome = self.perform(&effect.order);
                self.at(soon, Due::Deliver(term, id, outcome));
            }
            Some(Fault::Before) => {
                let refusal = Refusal { class: RefusalClass::Transient, message: "ServiceUnavailable".into() };
                self.at(soon, Due::Deliver(term, id, Outcome::Refused(refusal)));
            }
            Some(Fault::After) => {
                let _ = self.perform(&effect.order);
                self.at(soon, Due::Deliver(term, id, Outcome::Unknown));
            }
            Some(Fault::Lost) => self.at(soon, Due::Deliver(term, id, Outcome::Unknown)),
            Some(Fault::Late) => {
                self.at(self.now + 2_000, Due::Deliver(term, id, Outcome::Unknown));
                self.at(self.now + 9_000, Due::Effect(term, effect.order));
            }
            Some(Fault::LeaderBefore) => self.elect(),
            Some(Fault::LeaderChange) => {
                self.at(self.now + 3_000, Due::Effect(term, effect.order));
                self.elect();
            }
        }
    }

    fn perform(&mut self, order: &Order) -> Outcome {
        self.perform_for(order, false)
    }

    fn perform_for(&mut self, order: &Order, former: bool) -> Outcome {
        let result = match order {
            Order::Aws { call, region } => {
                let (aws, caller) = (&mut self.aws, &self.caller);
                let result = Adapter { aws, now: self.now, caller, role: region }.call(call);
                if result.is_ok() {
                    self.judge(call, former);
                }
                if let Err(refusal) = &result {
                    self.count(call, refusal);
                }
                result.map(Answer::Aws)
            }
            Order::Kube(write) => self.cluster.write(write),
            Order::Probe(Probe::Edge { ip, .. }) => {
                let pod =
                    self.cluster.world.pods.iter().find(|(_, p)| p.ip == Some(*ip)).map(|(k, _)| k.namespace.clone());
                Ok(Answer::Table(pod.and_then(|ns| self.cluster.table(&ns))))
            }
            Order::Probe(Probe::Shard { address, host, protocol, .. }) => {
                let (world, host) = (&self.cluster.world, host.as_text());
                let edge = data_plane::edge_of(&self.aws, world, self.now, &host, Some(address), *protocol);
                Ok(Answer::Table(edge.and_then(|ns| self.cluster.table(&ns))))
            }
        };
        if result.is_ok()
            && let Some(watch) = self.watch
        {
            watch(self, order);
        }
        match result {
            Ok(answer) => Outcome::Done(answer),
            Err(refusal) => {
                self.say(Line::Refused(self.now, refusal.message.clone()));
                Outcome::Refused(refusal)
            }
        }
    }

    /// The namespace whose edge a request for the host would reach.
    #[must_use]
    pub fn edge_of(&self, host: &str) -> Option<String> {
        data_plane::edge_of(&self.aws, &self.cluster.world, self.now, host, None, ProtocolVersion::Http1)
    }

    /// The namespace whose edge a client of the host reaches: the name is looked up, the ALB behind it asked.
    #[must_use]
    pub fn client(&self, host: &str) -> Option<String> {
        self.client_over(host, ProtocolVersion::Http1)
    }

    /// The same of a client of this protocol.
    #[must_use]
    pub fn client_over(&self, host: &str, protocol: ProtocolVersion) -> Option<String> {
        let name = host.replace('*', "any");
        data_plane::edge_of(&self.aws, &self.cluster.world, self.now, host, Some(&name), protocol)
    }

    /// The log, as far as it is kept.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.log.iter().map(Line::text)
    }

    fn count(&mut self, call: &AwsCall, refusal: &Refusal) {
        let counted = matches!(
            call,
            AwsCall::CreateRule { .. }
                | AwsCall::CreateTargetGroup { .. }
                | AwsCall::AddListenerCertificates { .. }
                | AwsCall::ChangeRecords { .. }
        );
        match refusal.class {
            RefusalClass::Quota if counted => self.quota_refusals.push(format!("{}: {call:?}", refusal.message)),
            RefusalClass::Throttled => self.throttled += 1,
            _ => {}
        }
    }

    /// A host's rule may only ever lead to the namespace that holds its claim. What a former leader's last call still
    /// does may come when its successor, who cannot know of it, has released the claim: that keeps others away as well,
    /// for longer than an audit needs to find the rule.
    fn judge(&self, call: &AwsCall, former: bool) {
        let AwsCall::CreateRule { hosts, tags, .. } = call else { return };
        let namespace = &tags.iter().find(|(k, _)| k == keys::TAG_NAMESPACE).unwrap().1;
        for host in hosts {
            let claim = self.cluster.world.claims.get(&gatehouse_core::identity::claim_name(host));
            let holds = claim.is_some_and(|c| {
                let state = c.status.state == ClaimState::Held || former && c.status.state == ClaimState::Released;
                state && c.spec.namespace == *namespace
            });
            assert!(holds, "{host} got a rule to {namespace}, which does not hold it:\n{}", self.tail());
        }
    }
}

impl Line {
    fn text(&self) -> String {
        match self {
            Line::Sent(at, call, order, fault) => {
                let fault = fault.map_or(String::new(), |f| format!("  <- {f:?}"));
                format!("{at:>8} #{call} {}{fault}", short(order))
            }
            Line::Refused(at, why) => format!("{at:>8}    refused: {why}"),
            Line::Note(at, text) => format!("{at:>8} == {text}"),
        }
    }
}

/// An order in one line.
#[must_use]
pub fn short(order: &Order) -> String {
    let text = match order {
        Order::Aws { call, .. } => format!("{call:?}"),
        Order::Kube(write) => format!("{write:?}"),
        Order::Probe(probe) => format!("{probe:?}"),
    };
    text.chars().take(220).collect()
}
