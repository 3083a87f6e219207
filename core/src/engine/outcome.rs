//! What an outcome changes. Outcomes are believed at once; reads only when no write overlapped them.

use std::collections::BTreeMap;

use gatehouse_route::Host;

use super::{Answer, EffectId, Engine, InFlight, Outcome};
use crate::aws::{
    AwsAnswer, AwsCall, ChangeAction, ListenerRule, Record, RecordChange, RecordData, Refusal, RefusalClass,
    TargetGroup, TargetState,
};
use crate::observed::{HostRecords, Scope};
use crate::plan::{KubeWrite, Order, Probe, Step};
use crate::time::{Mono, Now};
use crate::world::Delta;

impl Engine {
    pub(super) fn outcome(&mut self, now: Now, id: EffectId, outcome: Outcome) {
        let Some(flight) = self.in_flight.remove(&id) else { return };
        self.busy.remove(&flight.lane);
        for step in &flight.steps {
            self.dirty.insert(step.key.part.clone());
            if let (Order::Aws { call: AwsCall::CreateRule { hosts, .. }, .. }, [Scope::Rules(shard)]) =
                (&flight.order, step.scopes.as_slice())
            {
                // From here on the rules say it, or that they are not known.
                self.observed.shard_mut(shard).coming.retain(|host| !hosts.contains(host));
            }
        }
        match outcome {
            Outcome::Done(answer) => {
                for step in &flight.steps {
                    self.back_off.remove(&step.key);
                    self.memory.refusals.remove(&step.key);
                }
                self.done(now, &flight, answer);
            }
            Outcome::Refused(refusal) => {
                *self.counters.refused.entry(refusal.class).or_default() += 1;
                self.refused(now.mono, &flight, &refusal);
            }
            Outcome::Unknown => {
                self.counters.unknown += 1;
                self.unknown(now.mono, &flight);
            }
        }
    }

    fn done(&mut self, now: Now, flight: &InFlight, answer: Answer) {
        match (&flight.order, answer) {
            (Order::Aws { call, .. }, Answer::Aws(answer)) if call.is_read() => self.read(now.mono, flight, answer),
            (Order::Aws { call, .. }, answer) => {
                for scope in scopes(flight) {
                    self.observed.write_ended(&scope, None);
                }
                let answer = match answer {
                    Answer::Aws(answer) => answer,
                    _ => AwsAnswer::Done,
                };
                self.written(now.mono, flight, call, answer);
            }
            (Order::Kube(_), _) if flight.overtaken => {}
            (Order::Kube(write), answer) => self.kube_written(now, write, answer),
            (Order::Probe(Probe::Edge { uid, .. }), answer) => {
                let table = if let Answer::Table(table) = answer { table } else { None };
                self.memory.pod_tables.insert(uid.clone(), (table, now.mono));
            }
            (Order::Probe(Probe::Shard { shard, host, .. }), answer) => {
                self.memory.probed.insert((shard.clone(), host.clone()), now.mono);
                if let Answer::Table(Some(table)) = answer {
                    self.observed.shard_mut(shard).seen.insert(host.clone(), table);
                }
            }
        }
    }

    fn read(&mut self, now: Mono, flight: &InFlight, answer: AwsAnswer) {
        let Some(scope) = flight.steps.first().and_then(|s| s.scopes.first()).cloned() else { return };
        if !self.observed.accept(&scope, flight.epoch, now) {
            return;
        }
        let o = &mut self.observed;
        match (&scope, answer) {
            (Scope::Limits(region), AwsAnswer::Limits(limits)) => {
                o.limits.entry(region.clone()).or_default().set(now, limits)
            }
            (Scope::Zones, AwsAnswer::Zones(zones)) => o.zones.set(now, zones),
            (Scope::Certificates(region), AwsAnswer::Certificates(all)) => {
                o.certificates.entry(region.clone()).or_default().set(now, all)
            }
            (Scope::Groups(region), AwsAnswer::TargetGroups(groups)) => {
                o.group_lists.entry(region.clone()).or_default().set(now, ());
                // What we knew of the Region and is not in its list has gone by another's hand.
                let here = format!(":{region}:");
                let vanished: Vec<String> = o
                    .groups
                    .iter()
                    .filter(|(name, cell)| {
                        let known = cell.known().and_then(Option::as_ref);
                        known.is_some_and(|g| g.arn.contains(&here)) && !groups.contains_key(*name)
                    })
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in vanished {
                    if o.readable_from(&Scope::Group(name.clone())).is_some() {
                        o.groups.entry(name.clone()).or_default().set(now, None);
                        o.targets.remove(&name);
                    }
                }
                for (name, group) in groups {
                    let cell = o.groups.entry(name).or_default();
                    // What was read one by one knows more (attributes) and is as fresh.
                    if cell.known().is_none_or(Option::is_none) {
                        cell.set(now, Some(group));
                    }
                }
            }
            (Scope::Group(name), AwsAnswer::TargetGroups(mut groups)) => {
                let found = groups.remove(name);
                o.groups.entry(name.clone()).or_default().set(now, found);
            }
            (Scope::LoadBalancer(shard), AwsAnswer::LoadBalancer(found)) => {
                let gone = found.is_none();
                let observed = o.shard_mut(shard);
                observed.load_balancer.set(now, found);
                if gone {
                    observed.listeners.set(now, BTreeMap::new());
                    observed.rules.set(now, BTreeMap::new());
                }
            }
            (Scope::Listeners(shard), AwsAnswer::Listeners(found)) => o.shard_mut(shard).listeners.set(now, found),
            (Scope::Rules(shard), AwsAnswer::Rules(found)) => {
                let observed = o.shard_mut(shard);
                let before = observed.rules.last().cloned().unwrap_or_default();
                let merged = found.into_iter().map(|(arn, rule)| {
                    let known = before.get(&arn);
                    let rule = ListenerRule {
                        cluster: rule.cluster.or_else(|| known.and_then(|k| k.cluster.clone())),
                        namespace: rule.namespace.or_else(|| known.and_then(|k| k.namespace.clone())),
                        ..rule
                    };
                    if known.is_none_or(|k| k.hosts != rule.hosts) {
                        observed.rule_changed.insert(arn.clone(), now);
                    }
                    (arn, rule)
                });
                let merged: BTreeMap<_, _> = merged.collect();
                observed.rule_changed.retain(|arn, _| merged.contains_key(arn));
                observed.rules.set(now, merged);
            }
            (Scope::ListenerCertificates(shard), AwsAnswer::ListenerCertificates(found)) => {
                o.shard_mut(shard).certificates.set(now, found)
            }
            (Scope::Targets(name), AwsAnswer::TargetHealth(found)) => {
                o.targets.entry(name.clone()).or_default().set(now, found)
            }
            (Scope::Zone(zone), AwsAnswer::Records(records)) => self.zone_read(now, zone, records),
            (Scope::Records(zone, host), AwsAnswer::Records(records)) => {
                let mut found = by_host(records).remove(host).unwrap_or_default();
                let cell = o.records.entry((zone.clone(), host.clone())).or_default();
                found.deleted_at = cell.last().and_then(|r| r.deleted_at);
                cell.set(now, found);
            }
            (Scope::Change(id), AwsAnswer::Change { in_sync, .. }) => {
                o.changes.entry(id.clone()).or_default().set(now, in_sync)
            }
            _ => self.observed.mark_stale(&scope),
        }
        self.mark_scope(&scope, true);
    }

    fn zone_read(&mut self, now: Mono, zone: &str, records: Vec<Record>) {
        self.observed.zone_lists.entry(zone.to_owned()).or_default().set(now, ());
        let mut found = by_host(records);
        // Hosts with a write under way or in doubt keep what is known of them; they have reads of their own.
        let keys: Vec<(String, Host)> = self.observed.records.keys().filter(|(z, _)| z == zone).cloned().collect();
        for key in keys {
            let scope = Scope::Records(key.0.clone(), key.1.clone());
            let fresh = found.remove(&key.1).unwrap_or_default();
            if self.observed.unknown(&scope) || self.observed.readable_from(&scope).is_none() {
                continue;
            }
            if let Some(cell) = self.observed.records.get_mut(&key) {
                let before = cell.last().cloned().unwrap_or_default();
                cell.set(now, HostRecords { pending: before.pending, deleted_at: before.deleted_at, ..fresh });
            }
        }
        for (host, records) in found {
            self.observed.records.entry((zone.to_owned(), host)).or_default().set(now, records);
        }
    }

    fn written(&mut self, now: Mono, flight: &InFlight, call: &AwsCall, answer: AwsAnswer) {
        let Some(scope) = flight.steps.first().and_then(|s| s.scopes.first()).cloned() else { return };
        let o = &mut self.observed;
        match (call, &scope, answer) {
            (AwsCall::CreateLoadBalancer { .. }, Scope::LoadBalancer(shard), AwsAnswer::LoadBalancer(Some(alb))) => {
                // Equal settings return an existing one, so whose it is stands only in its tags.
                let observed = o.shard_mut(shard);
                observed.load_balancer.set(now, Some(crate::aws::LoadBalancer { tags: None, attributes: None, ..alb }));
                observed.listeners = crate::observed::Cell::default();
            }
            (AwsCall::ModifyLoadBalancerAttributes { attributes, .. }, Scope::LoadBalancer(shard), _) => {
                o.shard_mut(shard).load_balancer.update(now, |alb| {
                    if let Some(have) = alb.as_mut().and_then(|a| a.attributes.as_mut()) {
                        have.extend(attributes.clone());
                    }
                });
            }
            (AwsCall::DeleteLoadBalancer { .. }, Scope::LoadBalancer(shard), _) => {
                o.shard_mut(shard).load_balancer.set(now, None)
            }
            (AwsCall::CreateListener { .. }, Scope::Listeners(shard), AwsAnswer::Listeners(made)) => {
                let observed = o.shard_mut(shard);
                if made.contains_key(&crate::aws::ListenerKind::Https) {
                    observed.rules.set(now, BTreeMap::new());
                    observed.certificates.set(now, std::collections::BTreeSet::new());
                }
                observed.listeners.update(now, |have| have.extend(made));
                self.mark_shard(shard);
            }
            (AwsCall::ModifyListener { certificate, ssl_policy, .. }, Scope::Listeners(shard), _) => {
                o.shard_mut(shard).listeners.update(now, |have| {
                    if let Some(https) = have.get_mut(&crate::aws::ListenerKind::Https) {
                        https.certificate = Some(certificate.clone());
                        https.ssl_policy = Some(ssl_policy.clone());
                    }
                });
                self.mark_shard(shard);
            }
            (AwsCall::DeleteListener { listener }, Scope::Listeners(shard), _) => {
                let observed = o.shard_mut(shard);
                observed.listeners.update(now, |have| have.retain(|_, l| l.arn != *listener));
                // Its rules went with it.
                observed.rules.set(now, BTreeMap::new());
            }
            (AwsCall::AddListenerCertificates { certificate, .. }, Scope::ListenerCertificates(shard), _) => {
                o.shard_mut(shard).certificates.update(now, |have| {
                    have.insert(certificate.clone());
                });
                self.mark_shard(shard);
            }
            (AwsCall::RemoveListenerCertificates { certificate, .. }, Scope::ListenerCertificates(shard), _) => {
                o.shard_mut(shard).certificates.update(now, |have| {
                    have.remove(certificate);
                });
            }
            (
                AwsCall::CreateRule { priority, hosts, target_group, tags, .. },
                Scope::Rules(shard),
                AwsAnswer::Arn(arn),
            ) => {
                let tag = |key: &str| tags.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
                let rule = ListenerRule {
                    priority: *priority,
                    hosts: hosts.clone(),
                    target_group: Some(target_group.clone()),
                    cluster: tag(gatehouse_crds::keys::TAG_CLUSTER),
                    namespace: tag(gatehouse_crds::keys::TAG_NAMESPACE),
                };
                let observed = o.shard_mut(shard);
                for host in hosts {
                    observed.seen.remove(host);
                }
                observed.rule_changed.insert(arn.clone(), now);
                observed.rules.update(now, |rules| {
                    rules.insert(arn, rule);
                });
            }
            (AwsCall::ModifyRule { rule, hosts }, Scope::Rules(shard), _) => {
                let observed = o.shard_mut(shard);
                observed.rules.update(now, |rules| {
                    if let Some(rule) = rules.get_mut(rule) {
                        rule.hosts = hosts.clone();
                    }
                });
            }
            (AwsCall::DeleteRule { rule }, Scope::Rules(shard), _) => {
                let observed = o.shard_mut(shard);
                observed.rule_changed.remove(rule);
                observed.rules.update(now, |rules| {
                    rules.remove(rule);
                });
            }
            (AwsCall::CreateTargetGroup { tags, .. }, Scope::Group(name), AwsAnswer::Arn(arn)) => {
                // The name holds a hash of our cluster id, so an equal one is our own; its attributes are AWS's defaults.
                let tags = tags.iter().cloned().collect();
                o.groups
                    .entry(name.clone())
                    .or_default()
                    .set(now, Some(TargetGroup { arn, tags, attributes: Some(BTreeMap::new()) }));
                o.targets.entry(name.clone()).or_default().set(now, BTreeMap::new());
            }
            (AwsCall::ModifyTargetGroupAttributes { attributes, .. }, Scope::Group(name), _) => {
                o.groups.entry(name.clone()).or_default().update(now, |group| {
                    if let Some(group) = group {
                        group.attributes.get_or_insert_with(BTreeMap::new).extend(attributes.clone());
                    }
                });
            }
            (AwsCall::DeleteTargetGroup { .. }, Scope::Group(name), _) => {
                o.groups.entry(name.clone()).or_default().set(now, None);
                o.targets.remove(name);
            }
            (AwsCall::RegisterTargets { targets, .. }, Scope::Targets(name), _) => {
                o.targets.entry(name.clone()).or_default().update(now, |have| {
                    have.extend(targets.iter().map(|t| (*t, TargetState::Initial)));
                });
            }
            (AwsCall::DeregisterTargets { targets, .. }, Scope::Targets(name), _) => {
                o.targets.entry(name.clone()).or_default().update(now, |have| {
                    for target in targets {
                        have.insert(*target, TargetState::Draining);
                    }
                });
            }
            (AwsCall::ChangeRecords { zone, .. }, _, AwsAnswer::Change { id, in_sync }) => {
                for step in &flight.steps {
                    self.records_written(now, zone, step, &id);
                }
                self.observed.changes.entry(id).or_default().set(now, in_sync);
            }
            _ => self.observed.mark_stale(&scope),
        }
        self.mark_scope(&scope, false);
    }

    fn records_written(&mut self, now: Mono, zone: &str, step: &Step, change: &str) {
        let Order::Aws { call: AwsCall::ChangeRecords { changes, .. }, .. } = &step.order else { return };
        for scope in &step.scopes {
            let Scope::Records(_, host) = scope else { continue };
            let cell = self.observed.records.entry((zone.to_owned(), host.clone())).or_default();
            let mut records = cell.last().cloned().unwrap_or_default();
            for RecordChange { action, record } in changes {
                let text = matches!(record.data, RecordData::Txt { .. });
                match (action, text) {
                    (ChangeAction::Create, true) => records.txt = Some(record.clone()),
                    (ChangeAction::Create, false) => records.at_host.push(record.clone()),
                    (ChangeAction::Delete, true) => records.txt = records.txt.filter(|t| t != record),
                    (ChangeAction::Delete, false) => records.at_host.retain(|r| r != record),
                }
            }
            records.at_host.sort();
            records.pending = Some(change.to_owned());
            records.deleted_at = records.at_host.is_empty().then_some(now);
            cell.set(now, records);
            for namespace in self.index.holders(&self.world, host) {
                self.mark_namespace(&namespace);
            }
        }
    }

    fn kube_written(&mut self, now: Now, write: &KubeWrite, answer: Answer) {
        let delta = match (write, answer) {
            (KubeWrite::AppFinalizers { app, .. } | KubeWrite::AppStatus { app, .. }, Answer::App(facts)) => {
                Delta::App(app.clone(), Some(facts))
            }
            (
                KubeWrite::LoadBalancerFinalizers { name, .. } | KubeWrite::LoadBalancerStatus { name, .. },
                Answer::LoadBalancer(facts),
            ) => Delta::LoadBalancer(name.clone(), Some(facts)),
            (KubeWrite::PolicyStatus { name, .. }, Answer::Policy(facts)) => Delta::Policy(name.clone(), Some(facts)),
            (KubeWrite::CreateClaim { name, .. } | KubeWrite::ClaimStatus { name, .. }, Answer::Claim(facts)) => {
                Delta::Claim(name.clone(), Some(facts))
            }
            (KubeWrite::ApplyChild { key, .. }, Answer::Child(facts)) => Delta::Child(key.clone(), Some(facts)),
            (KubeWrite::DeleteClaim { name, .. }, _) => Delta::Claim(name.clone(), None),
            // The last finalizer of a deleted object was also its end.
            (KubeWrite::AppFinalizers { app, .. }, Answer::Nothing) => Delta::App(app.clone(), None),
            (KubeWrite::LoadBalancerFinalizers { name, .. }, Answer::Nothing) => {
                Delta::LoadBalancer(name.clone(), None)
            }
            // Everything else is seen through the watch; until then the lane's back-off keeps it from being repeated at once.
            (KubeWrite::PodTable { pod, table, .. }, _) => {
                let Some(facts) = self.world.pods.get(pod) else { return };
                let mut facts = (**facts).clone();
                facts.table = Some(table.clone());
                Delta::Pod(pod.clone(), Some(facts.into()))
            }
            (KubeWrite::PodHealthy { pod, healthy, .. }, _) => {
                let Some(facts) = self.world.pods.get(pod) else { return };
                let mut facts = (**facts).clone();
                facts.target_healthy = Some(*healthy);
                Delta::Pod(pod.clone(), Some(facts.into()))
            }
            (KubeWrite::DeleteChild { key, .. }, _) => {
                let Some(facts) = self.world.children.get(key) else { return };
                let mut facts = (**facts).clone();
                facts.meta.deleting = true;
                Delta::Child(key.clone(), Some(facts.into()))
            }
            _ => return,
        };
        self.kube(now, delta);
    }

    fn refused(&mut self, now: Mono, flight: &InFlight, refusal: &Refusal) {
        if let Order::Aws { call, .. } = &flight.order {
            if !call.is_read() {
                for scope in scopes(flight) {
                    self.observed.write_ended(&scope, None);
                    // Something was not as we thought. Throttling and denial say nothing about the object.
                    if !matches!(
                        refusal.class,
                        RefusalClass::Throttled | RefusalClass::Denied | RefusalClass::Transient
                    ) {
                        self.observed.mark_stale(&scope);
                        self.mark_scope(&scope, false);
                    }
                }
            }
            if refusal.class == RefusalClass::Throttled {
                self.buckets.drain(call.family(), now);
            }
            if refusal.class == RefusalClass::Stale {
                self.doubt(call, flight);
            }
        }
        for step in &flight.steps {
            self.memory.refusals.insert(step.key.clone(), refusal.clone());
            self.delay(now, step, refusal.class);
        }
        // A status may name the refusal.
        if let Some(crate::plan::PartKey::Shard(shard)) = flight.steps.first().map(|s| s.key.part.clone()) {
            self.mark_shard(&shard);
            self.tell_soon(&shard.load_balancer);
        }
    }

    /// A call named something that is not there: what it was named by is looked at again.
    fn doubt(&mut self, call: &AwsCall, flight: &InFlight) {
        let mut doubted: Vec<Scope> = Vec::new();
        if call.is_read() {
            doubted.extend(scopes(flight).into_iter().filter_map(|scope| match scope {
                Scope::Listeners(shard) => Some(Scope::LoadBalancer(shard)),
                Scope::Rules(shard) | Scope::ListenerCertificates(shard) => Some(Scope::Listeners(shard)),
                Scope::Targets(name) => Some(Scope::Group(name)),
                _ => None,
            }));
        }
        if let AwsCall::CreateRule { target_group, .. }
        | AwsCall::RegisterTargets { target_group, .. }
        | AwsCall::DeregisterTargets { target_group, .. }
        | AwsCall::ModifyTargetGroupAttributes { target_group, .. } = call
        {
            let named = self
                .observed
                .groups
                .iter()
                .filter(|(_, c)| c.last().and_then(Option::as_ref).is_some_and(|g| g.arn == *target_group));
            doubted.extend(named.map(|(name, _)| Scope::Group(name.clone())));
        }
        if let (AwsCall::CreateListener { .. }, Some(crate::plan::PartKey::Shard(shard))) =
            (call, flight.steps.first().map(|s| &s.key.part))
        {
            doubted.push(Scope::LoadBalancer(shard.clone()));
        }
        for scope in doubted {
            self.observed.mark_stale(&scope);
            self.mark_scope(&scope, true);
        }
    }

    fn unknown(&mut self, now: Mono, flight: &InFlight) {
        if let Order::Aws { call, .. } = &flight.order
            && !call.is_read()
        {
            // The call may act until its deadline, and be seen only after the window.
            let until = flight.sent.plus(self.settings.call_deadline).max(now).plus(self.settings.consistency_window);
            for scope in scopes(flight) {
                self.observed.write_ended(&scope, Some(until));
                self.mark_scope(&scope, true);
            }
        }
        for step in &flight.steps {
            self.delay(now, step, RefusalClass::Transient);
        }
    }

    /// Exponential per step, within what the class of refusal makes sensible.
    fn delay(&mut self, now: Mono, step: &Step, class: RefusalClass) {
        let (base, most) = match (&step.order, class) {
            (Order::Probe(_), _) => (200, 2_000),
            (Order::Kube(_), RefusalClass::Stale) => (20, 2_000),
            (_, RefusalClass::Stale) => (200, 30_000),
            (_, RefusalClass::Throttled | RefusalClass::Transient) => (500, 20_000),
            (_, RefusalClass::Denied | RefusalClass::Quota | RefusalClass::Invalid) => (2_000, 60_000),
        };
        let entry = self.back_off.entry(step.key.clone()).or_default();
        entry.failures = entry.failures.saturating_add(1);
        entry.until = now.plus((base << entry.failures.min(10).saturating_sub(1)).min(most));
    }
}

fn scopes(flight: &InFlight) -> Vec<Scope> {
    flight.steps.iter().flat_map(|s| s.scopes.iter().cloned()).collect()
}

/// Sorts records to the hosts they belong to: at the host itself, or its ownership TXT.
fn by_host(records: Vec<Record>) -> BTreeMap<Host, HostRecords> {
    let mut out: BTreeMap<Host, HostRecords> = BTreeMap::new();
    for record in records {
        let text = matches!(record.data, RecordData::Txt { .. });
        let owned = record.name.strip_prefix("a-").filter(|_| text).and_then(|n| Host::parse(n).ok());
        if let Some(host) = owned {
            out.entry(host).or_default().txt = Some(record);
        } else if !text && let Ok(host) = Host::parse(&record.name) {
            out.entry(host).or_default().at_host.push(record);
        }
    }
    for records in out.values_mut() {
        records.at_host.sort();
    }
    out
}
