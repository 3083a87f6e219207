//! Virtual time: the engine, a cluster and the model of AWS, with a fault at any call and a change of leader at any call.

use std::collections::BTreeMap;

use awsim_model::{Aws, Caller, DataPlaneAction, Exchange, Millis};
use gatehouse_core::aws::{AwsCall, Refusal, RefusalClass};
use gatehouse_core::plan::{Order, PartKey, Probe};
use gatehouse_core::{Answer, Buckets, Delta, Effect, EffectId, Engine, Event, Mono, Now, Outcome, Settings, Wall};
use gatehouse_crds::{ClaimState, keys};

use crate::adapter::Adapter;
use crate::cluster::Cluster;

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Fault {
    pub const ALL: [Fault; 5] = [Fault::Before, Fault::After, Fault::Lost, Fault::Late, Fault::LeaderChange];
}

#[derive(Clone)]
enum Due {
    Deliver(u64, EffectId, Outcome),
    Effect(Order),
    Watch(u64, Delta),
}

/// Milliseconds a call takes.
const LATENCY: u64 = 30;

pub struct Sim {
    pub now: u64,
    pub engine: Engine,
    pub aws: Aws,
    pub cluster: Cluster,
    pub settings: Settings,
    pub caller: Caller,
    due: BTreeMap<(u64, u64), Due>,
    seq: u64,
    /// Which leader; answers to former ones go nowhere.
    term: u64,
    /// AWS calls and writes to Kubernetes so far.
    pub calls: u64,
    pub log: Vec<String>,
    /// What goes wrong at which call.
    pub faults: Vec<(u64, Fault)>,
    /// After every change the incremental plan is compared with the full one.
    pub oracle: bool,
    /// Hosts that must answer at every moment, with the namespace whose edge must answer.
    pub guard: BTreeMap<String, String>,
}

impl Sim {
    pub fn new(settings: Settings, aws: awsim_model::Settings) -> Sim {
        let mut cluster = Cluster::default();
        cluster.wall = 1_800_000_000;
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
            log: Vec::new(),
            faults: Vec::new(),
            oracle: false,
            guard: BTreeMap::new(),
        };
        sim.elect();
        sim
    }

    pub fn now(&self) -> Now {
        Now { mono: Mono(self.now), wall: Wall(1_800_000_000 + i64::try_from(self.now / 1000).unwrap()) }
    }

    /// A new leader: it knows what a fresh watch shows, and nothing else.
    pub fn elect(&mut self) {
        self.term += 1;
        self.engine = Engine::new(self.settings.clone(), Buckets::default());
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
    pub fn stranger<C: awsim_model::Call>(&mut self, call: C) -> C::Answer {
        self.aws.ask(Millis(self.now), &Caller::admin("stranger"), call).unwrap()
    }

    /// Runs for so many virtual milliseconds.
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

    /// The incremental plan against the one made from scratch. When to look again is not compared: the incremental
    /// one rounds a moment that has passed up to the next.
    fn compare_plans(&mut self, now: Now) {
        let incremental = self.engine.current_plan(now);
        let full = self.engine.full_plan(now);
        let keys: std::collections::BTreeSet<_> = full.keys().chain(incremental.keys()).collect();
        // A load balancer's and a policy's status are brought up to date once a second, not at every outcome.
        for key in keys.into_iter().filter(|k| !matches!(k, PartKey::LoadBalancer(_) | PartKey::Policy(_))) {
            let (full, incremental) =
                (full.get(key).cloned().unwrap_or_default(), incremental.get(key).cloned().unwrap_or_default());
            let at = self.now;
            assert_eq!(full.steps, incremental.steps, "steps of {key:?} differ at {at}");
            assert_eq!(
                (full.waiting, full.held),
                (incremental.waiting, incremental.held),
                "reasons of {key:?} differ at {at}"
            );
        }
    }

    pub fn tail(&self) -> String {
        self.log.iter().rev().take(40).rev().cloned().collect::<Vec<_>>().join("\n")
    }

    fn happen(&mut self, due: Due) {
        let now = self.now();
        match due {
            Due::Deliver(term, id, outcome) if term == self.term => {
                self.engine.handle(now, Event::Outcome { id, outcome })
            }
            Due::Watch(term, delta) if term == self.term => self.engine.handle(now, Event::Kube(delta)),
            Due::Effect(order) => {
                let _ = self.perform(&order);
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
        self.log.push(format!(
            "{:>8} #{} {}{}",
            self.now,
            self.calls,
            short(&effect.order),
            fault.map_or(String::new(), |f| format!("  <- {f:?}"))
        ));
        let (term, id, soon) = (self.term, effect.id, self.now + LATENCY);
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
                self.at(self.now + 9_000, Due::Effect(effect.order));
            }
            Some(Fault::LeaderChange) => {
                self.at(self.now + 3_000, Due::Effect(effect.order));
                self.elect();
            }
        }
    }

    fn perform(&mut self, order: &Order) -> Outcome {
        let result = match order {
            Order::Aws { call, .. } => {
                let result = Adapter { aws: &mut self.aws, now: self.now, caller: &self.caller }.call(call);
                if result.is_ok() {
                    self.judge(call);
                }
                result.map(Answer::Aws)
            }
            Order::Kube(write) => self.cluster.write(write),
            Order::Probe(Probe::Edge { ip, .. }) => {
                let pod =
                    self.cluster.world.pods.iter().find(|(_, p)| p.ip == Some(*ip)).map(|(k, _)| k.namespace.clone());
                Ok(Answer::Table(pod.and_then(|ns| self.cluster.table(&ns))))
            }
            Order::Probe(Probe::Shard { address, host, .. }) => {
                Ok(Answer::Table(self.through(address, &host.as_text()).and_then(|ns| self.cluster.table(&ns))))
            }
        };
        match result {
            Ok(answer) => Outcome::Done(answer),
            Err(refusal) => {
                self.log.push(format!("{:>8}    refused: {}", self.now, refusal.message));
                Outcome::Refused(refusal)
            }
        }
    }

    /// The namespace whose edge a request for the host would reach through any ALB.
    pub fn edge_of(&self, host: &str) -> Option<String> {
        let listeners = self.aws.live_listeners(Millis(self.now));
        listeners.iter().filter(|l| l.port == 443).find_map(|l| self.edge_at(&l.load_balancer_arn, host))
    }

    /// The namespace whose edge a request for the host would reach through this ALB.
    fn edge_at(&self, load_balancer: &str, host: &str) -> Option<String> {
        let exchange = Exchange {
            https: true,
            port: 443,
            host: host.replace('*', "any"),
            path: "/".into(),
            method: "GET".into(),
            ..Exchange::default()
        };
        let decision = self.aws.route(Millis(self.now), load_balancer, 443, &exchange)?;
        let DataPlaneAction::Forward { targets, .. } = decision.action else { return None };
        let ip = targets.first()?.id.parse().ok()?;
        let pod = self.cluster.world.pods.iter().find(|(_, p)| p.ip == Some(ip));
        pod.map(|(key, _)| key.namespace.clone())
    }

    /// The namespace whose edge a client of the host reaches: the name is looked up, the ALB behind it asked.
    pub fn client(&self, host: &str) -> Option<String> {
        self.through(&host.replace('*', "any"), host)
    }

    /// The namespace whose edge answers for the host at the ALB that this name leads to.
    fn through(&self, name: &str, host: &str) -> Option<String> {
        let answer = self.aws.resolve(Millis(self.now), name, "A");
        let address = answer.records.iter().find(|r| r.kind == "A")?.value.parse().ok()?;
        let listeners = self.aws.live_listeners(Millis(self.now));
        let listener = listeners.iter().find(|l| l.port == 443 && l.addresses.contains(&address))?;
        self.edge_at(&listener.load_balancer_arn, host)
    }

    /// A host's rule may only ever lead to the namespace that holds its claim.
    fn judge(&self, call: &AwsCall) {
        let AwsCall::CreateRule { hosts, tags, .. } = call else { return };
        let namespace = &tags.iter().find(|(k, _)| k == keys::TAG_NAMESPACE).unwrap().1;
        for host in hosts {
            let claim = self.cluster.world.claims.get(&gatehouse_core::identity::claim_name(host));
            let holds = claim.is_some_and(|c| c.status.state == ClaimState::Held && c.spec.namespace == *namespace);
            assert!(holds, "{host} got a rule to {namespace}, which does not hold it:\n{}", self.tail());
        }
    }
}

fn short(order: &Order) -> String {
    let text = match order {
        Order::Aws { call, .. } => format!("{call:?}"),
        Order::Kube(write) => format!("{write:?}"),
        Order::Probe(probe) => format!("{probe:?}"),
    };
    text.chars().take(220).collect()
}
