//! How calls act: on the model of AWS, on the cluster, on edges; and what stale reads show.

use std::sync::Arc;

use awsim_model::{Aws, Caller};
use gatehouse_core::aws::{AwsAnswer, AwsCall, Refusal, RefusalClass};
use gatehouse_core::plan::{KubeWrite, Order, Probe};
use gatehouse_core::world::Delta;
use gatehouse_core::{Answer, Outcome};
use gatehouse_virtual::{Adapter, edge_of};

use crate::essence::hash;
use crate::state::{Before, Lie, State};

impl State {
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
                if call.is_read() {
                    self.read(call).map(Answer::Aws)
                } else {
                    self.hashes.aws = None;
                    self.remember(call);
                    ask(&mut self.aws, self.now, call).map(Answer::Aws)
                }
            }
            Order::Kube(write) => {
                if let (Lie::ClaimTwice, KubeWrite::CreateClaim { name, .. }) = (self.lie, write) {
                    self.cluster().world.claims.remove(name);
                }
                self.cluster().write(write).map(|answer| match answer {
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
                let known = !self.haunted && self.acted;
                if refusal.class == RefusalClass::Quota && known {
                    self.broken = Some(format!("a quota was met by a call: {}", refusal.message));
                }
                Outcome::Refused(refusal)
            }
        }
    }

    fn read(&mut self, call: &AwsCall) -> Result<AwsAnswer, Refusal> {
        let answer = ask(&mut self.aws, self.now, call);
        if self.faults == 0 && self.stale.is_none() {
            return answer;
        }
        let Some(before) = object(call).and_then(|object| self.before.get(&object)) else { return answer };
        if self.now >= before.at + self.settings.consistency_window {
            return answer;
        }
        let old = ask(&mut before.aws.clone(), self.now, call);
        if old == answer {
            return answer;
        }
        self.reads += 1;
        if self.stale == Some(self.reads - 1) {
            self.haunted = true;
            return old;
        }
        answer
    }

    /// Keeps what a stale read will show of what is written now.
    fn remember(&mut self, call: &AwsCall) {
        let Some(object) = object(call) else { return };
        self.acted = true;
        if self.faults > 0 || self.stale.is_some() {
            let mut aws = self.aws.clone();
            let print = look(&mut aws, self.now, call);
            Arc::make_mut(&mut self.before).insert(object, Before { at: self.now, aws, print });
        }
    }
}

fn ask(aws: &mut Aws, now: u64, call: &AwsCall) -> Result<AwsAnswer, Refusal> {
    Adapter { aws, now, caller: &Caller::admin("gatehouse"), role: "" }.call(call)
}

/// The listener, zone or target group whose rules, records or targets a call reads or writes.
fn object(call: &AwsCall) -> Option<String> {
    let listener = |rule: &str| {
        let listener = rule.rsplit_once('/').map(|(listener, _)| listener.replace(":listener-rule/", ":listener/"));
        listener.unwrap_or_default()
    };
    match call {
        AwsCall::CreateRule { listener, .. } | AwsCall::ReadRules { listener, .. } => Some(listener.clone()),
        AwsCall::ModifyRule { rule, .. } | AwsCall::DeleteRule { rule } => Some(listener(rule)),
        AwsCall::SetRulePriorities { priorities } => priorities.keys().next().map(|rule| listener(rule)),
        AwsCall::ChangeRecords { zone, .. } | AwsCall::ReadZoneRecords { zone } | AwsCall::ReadRecords { zone, .. } => {
            Some(zone.clone())
        }
        AwsCall::RegisterTargets { target_group, .. }
        | AwsCall::DeregisterTargets { target_group, .. }
        | AwsCall::ReadTargetHealth { target_group } => Some(target_group.clone()),
        _ => None,
    }
}

/// What a read of the object that a call writes would show.
fn look(aws: &mut Aws, now: u64, call: &AwsCall) -> u64 {
    let Some(object) = object(call) else { return 0 };
    let read = match call {
        AwsCall::ChangeRecords { .. } => AwsCall::ReadZoneRecords { zone: object },
        AwsCall::RegisterTargets { .. } | AwsCall::DeregisterTargets { .. } => {
            AwsCall::ReadTargetHealth { target_group: object }
        }
        _ => AwsCall::ReadRules { listener: object, known: Default::default() },
    };
    hash(&ask(aws, now, &read))
}
