//! Which step goes out next, and how it goes.

use std::collections::BTreeMap;

use super::{Effect, Engine, InFlight};
use crate::aws::{AwsCall, Family, RULES_PER_PAGE, RecordChange, RecordData, TAGS_PER_CALL};
use crate::observed::{Scope, ShardObserved};
use crate::plan::{Order, Step, Urgency};
use crate::time::Mono;

/// Most records of one Route 53 batch: a CREATE and a DELETE count one each, and AWS takes 1,000.
const BATCH: usize = 900;
/// Most characters of values in one batch: AWS takes 32,000.
const BATCH_CHARACTERS: usize = 30_000;

/// Writes to Kubernetes of one namespace before it is another's turn.
const BURST: u32 = 8;

/// Characters of the values that a change carries; aliases have none.
fn characters(changes: &[RecordChange]) -> usize {
    let of = |c: &RecordChange| match &c.record.data {
        RecordData::A(_) | RecordData::Aaaa(_) => 0,
        RecordData::Txt { value, .. } | RecordData::Cname { value, .. } => value.len(),
        RecordData::Addresses { values, .. } => values.iter().map(String::len).sum(),
    };
    changes.iter().map(of).sum()
}

impl Engine {
    /// The best ready step of a free lane: of all tenants the one served longest ago.
    pub(super) fn pick(&self, now: Mono) -> Option<(Step, Family)> {
        for (family, tenants) in &self.ready {
            if !self.buckets.has(*family, now) || !self.capacity(*family) {
                continue;
            }
            // For what is read of a shard or a Region everybody waits, and it is little.
            let turn = |tenant: &String| match self.served.get(tenant) {
                Some(_) if tenant.is_empty() && *family == Family::ElbDescribe => 0,
                turn => turn.copied().unwrap_or(0),
            };
            let mut order: Vec<(u64, &String)> = tenants.keys().map(|t| (turn(t), t)).collect();
            order.sort();
            let plenty = self.buckets.plenty(*family, now);
            for (_, tenant) in order {
                for key in &tenants[tenant] {
                    let steps = self.parts.get(key).into_iter().flat_map(|p| &p.steps);
                    let free = steps
                        .filter(|s| s.order.family() == *family && !self.busy.contains(&s.lane))
                        .filter(|s| plenty || s.urgency == Urgency::Awaited)
                        .filter(|s| self.back_off.get(&s.key).is_none_or(|b| b.until <= now))
                        .find(|s| !self.contested(s, now));
                    if let Some(step) = free {
                        return Some((step.clone(), *family));
                    }
                }
            }
        }
        None
    }

    /// Notes whose turn it was. Writes to Kubernetes come in bursts of one namespace: each end of one has its namespace
    /// planned anew, and those that end together have it planned once.
    fn serve(&mut self, tenant: &str, family: Family) {
        let burst = matches!(family, Family::Kube | Family::KubeStatus) && !tenant.is_empty();
        let sent = if burst && self.burst.0 == tenant { self.burst.1 + 1 } else { 1 };
        self.burst = (tenant.to_owned(), sent);
        if !burst || sent >= BURST {
            self.turn += 1;
            self.served.insert(tenant.to_owned(), self.turn);
            self.burst.1 = 0;
        }
    }

    /// Kubernetes and probes are bounded by what is under way, not by a rate.
    fn capacity(&self, family: Family) -> bool {
        let most = match family {
            Family::Kube => 32,
            Family::KubeStatus => 8,
            Family::Probe => 64,
            _ => return true,
        };
        self.in_flight.values().filter(|f| f.order.family() == family).count() < most
    }

    /// How many calls of AWS one of ours is likely to be.
    fn calls(&self, order: &Order) -> u32 {
        let pages = |count: usize, each: usize| u32::try_from(count.div_ceil(each)).unwrap_or(u32::MAX).max(1);
        match order {
            // With tags and attributes.
            Order::Aws { call: AwsCall::ReadTargetGroup { .. } | AwsCall::ReadLoadBalancer { .. }, .. } => 3,
            Order::Aws { call: AwsCall::ReadRules { listener, known }, .. } => {
                let read =
                    |s: &ShardObserved| s.listeners.last().is_some_and(|l| l.values().any(|l| l.arn == *listener));
                let found = self.observed.shards.iter().find(|(_, s)| read(s));
                let placed = found.map_or(0, |(shard, s)| {
                    let known = s.rules.last().map_or(0, BTreeMap::len);
                    known.max(self.index.load.get(shard).map_or(0, |l| usize::try_from(l.rules()).unwrap_or(0)))
                });
                let untagged = placed.saturating_sub(known.len());
                pages(placed, RULES_PER_PAGE) + if untagged > 0 { pages(untagged, TAGS_PER_CALL) } else { 0 }
            }
            _ => 1,
        }
    }

    pub(super) fn send(&mut self, now: Mono, lease: Mono, step: Step, family: Family) -> Effect {
        let id = self.next_id;
        self.next_id += 1;
        self.serve(step.key.part.tenant(), family);
        self.buckets.take(family, self.calls(&step.order), now);
        *self.counters.sent.entry(family).or_default() += 1;
        let lane = step.lane.clone();
        let (steps, order) = self.batch(step);
        let mut epoch = 0;
        if let Order::Aws { call, .. } = &order {
            self.fresh.forget(false);
            for scope in steps.iter().flat_map(|s| &s.scopes) {
                if call.is_read() {
                    epoch = self.observed.read_sent(scope);
                } else {
                    self.observed.write_sent(scope);
                    // What was never written before had no cell: from now on it is waited for.
                    if matches!(scope, Scope::Requests(..) | Scope::Validation(..)) {
                        self.mark_scope(scope, false);
                    }
                }
                if let Scope::Rules(shard) = scope {
                    let observed = self.observed.shard_mut(shard);
                    if let AwsCall::CreateRule { hosts, .. } = call {
                        observed.coming.extend(hosts.iter().cloned());
                    }
                    observed.going = observed.leaving(call);
                    if !observed.going.is_empty() {
                        self.dirty.extend(steps.iter().map(|s| s.key.part.clone()));
                    }
                }
            }
        }
        self.busy.insert(lane.clone());
        self.in_flight.insert(id, InFlight { steps, order: order.clone(), lane, epoch, sent: now, overtaken: false });
        Effect { id, order, not_after: lease.min(now.plus(self.settings.call_deadline)) }
    }

    /// Route 53 takes one change per zone at a time, so one change carries every record of the zone that is ready.
    /// A step that failed before goes alone: one bad record must not spoil the batch of others.
    fn batch(&self, step: Step) -> (Vec<Step>, Order) {
        let Order::Aws { region, call: AwsCall::ChangeRecords { zone, changes } } = &step.order else {
            let order = step.order.clone();
            return (vec![step], order);
        };
        let (region, zone, mut all) = (region.clone(), zone.clone(), changes.clone());
        let mut steps = vec![step.clone()];
        // Validation records go by themselves: the IAM policy allows CNAMEs only with names that no host can have.
        let proof = proves(&all);
        if !self.back_off.contains_key(&step.key) {
            for other in self.ready.get(&Family::Route53).into_iter().flatten().flat_map(|(_, parts)| parts) {
                for candidate in self.parts.get(other).into_iter().flat_map(|p| &p.steps) {
                    let Order::Aws { call: AwsCall::ChangeRecords { zone: same, changes }, .. } = &candidate.order
                    else {
                        continue;
                    };
                    // Two namespaces may need one validation record; a batch that creates it twice is refused whole.
                    let fits = *same == zone
                        && candidate.key != step.key
                        && all.len() + changes.len() <= BATCH
                        && characters(&all) + characters(changes) <= BATCH_CHARACTERS
                        && proof == proves(changes)
                        && !(proof && changes.iter().any(|c| all.contains(c)));
                    // Its part was planned before the last outcome at most by a wake; records are guarded by CREATE and DELETE.
                    if fits && !self.back_off.contains_key(&candidate.key) && !self.dirty.contains(other) {
                        all.extend(changes.iter().cloned());
                        steps.push(candidate.clone());
                    }
                }
            }
        }
        (steps, Order::Aws { region, call: AwsCall::ChangeRecords { zone, changes: all } })
    }
}

/// Whether these changes are of validation records.
fn proves(changes: &[RecordChange]) -> bool {
    changes.iter().any(|c| matches!(c.record.data, RecordData::Cname { .. }))
}
