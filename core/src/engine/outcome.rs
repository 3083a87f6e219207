//! What an outcome changes. Outcomes are believed at once; reads only when no write overlapped them.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_route::Host;

use super::records::{by_host, by_name};
use super::{Answer, EffectId, Engine, InFlight, Outcome};
use crate::aws::{
    AwsAnswer, AwsCall, Certificate, CertificateDetails, CertificateStatus, ListenerRule, RecordChange, Refusal,
    RefusalClass, TargetGroup, TargetState,
};
use crate::certificates::Certificates;
use crate::identity::ShardKey;
use crate::observed::{RegionBalancers, Scope};
use crate::plan::{KubeWrite, Order, PartKey, Probe, Step, adopted_forms, net};
use crate::time::{Mono, Now};
use crate::world::Delta;

impl Engine {
    pub(super) fn outcome(&mut self, now: Now, id: EffectId, outcome: Outcome) {
        let Some(flight) = self.in_flight.remove(&id) else { return };
        self.busy.remove(&flight.lane);
        for step in &flight.steps {
            self.dirty.insert(step.key.part.clone());
            // From here on the rules say it, or that they are not known.
            if let (Order::Aws { call, .. }, [Scope::Rules(shard)]) = (&flight.order, step.scopes.as_slice()) {
                let observed = self.observed.shard_mut(shard);
                if let AwsCall::CreateRule { hosts, .. } = call {
                    observed.coming.retain(|host| !hosts.contains(host));
                }
                // One call of the rules is under way at a time.
                observed.going.clear();
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
                self.doubt_claim(now.mono, &flight);
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
            (Order::Probe(Probe::Shard { shard, host, protocol, .. }), answer) => {
                self.memory.probed.insert((shard.clone(), host.clone(), *protocol), now.mono);
                if let Answer::Table(Some(_)) = answer {
                    self.observed.shard_mut(shard).seen.insert((host.clone(), *protocol));
                }
            }
        }
    }

    fn read(&mut self, now: Mono, flight: &InFlight, answer: AwsAnswer) {
        let Some(scope) = flight.steps.first().and_then(|s| s.scopes.first()).cloned() else { return };
        // What a former leader's last call may have done shows only now, and releases of claims wait for that.
        let former = self.memory.started.plus(self.settings.call_deadline);
        let news = self.observed.unknown(&scope) || self.observed.read_at(&scope) < former;
        if !self.observed.accept(&scope, flight.epoch, now) {
            return;
        }
        let o = &mut self.observed;
        let other = match (&scope, answer) {
            (Scope::Limits(region), AwsAnswer::Limits(limits)) => {
                o.limits.entry(region.clone()).or_default().read(now, limits)
            }
            (Scope::Zones, AwsAnswer::Zones(zones)) => o.zones.read(now, zones),
            (Scope::Certificates(region), AwsAnswer::Certificates(all)) => {
                o.settle_requests(region, flight.sent, now);
                let cell = o.certificates.entry(region.clone()).or_default();
                let all = Certificates::from(merged(all, cell.last()));
                cell.read(now, all)
            }
            (Scope::Groups(region), AwsAnswer::RegionGroups { ours: groups, others }) => {
                let mut other = o.group_lists.entry(region.clone()).or_default().read(now, others);
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
                        other = true;
                        o.groups.entry(name.clone()).or_default().set(now, None);
                        o.targets.remove(&name);
                    }
                }
                for (name, group) in groups {
                    let cell = o.groups.entry(name).or_default();
                    // What was read one by one knows more (attributes) and is as fresh.
                    if cell.known().is_none_or(Option::is_none) {
                        other = true;
                        cell.set(now, Some(group));
                    }
                }
                other
            }
            (Scope::Group(name), AwsAnswer::TargetGroups(mut groups)) => {
                let found = groups.remove(name);
                o.groups.entry(name.clone()).or_default().read(now, found)
            }
            (Scope::LoadBalancers(region), AwsAnswer::LoadBalancers { count, tags }) => {
                let ours: BTreeSet<ShardKey> =
                    tags.values().filter_map(|t| self.settings.cluster_id.shard_of(t)).collect();
                for shard in &ours {
                    o.shard_mut(shard);
                    self.dirty.insert(PartKey::Shard(shard.clone()));
                }
                o.load_balancers.entry(region.clone()).or_default().read(now, RegionBalancers { count, ours })
            }
            (Scope::LoadBalancer(shard), AwsAnswer::LoadBalancer(found)) => {
                let gone = found.is_none();
                let observed = o.shard_mut(shard);
                let other = observed.load_balancer.read(now, found);
                if gone {
                    observed.listeners.set(now, BTreeMap::new());
                    observed.rules.set(now, BTreeMap::new());
                    observed.count_carried();
                }
                other
            }
            (Scope::Listeners(shard), AwsAnswer::Listeners(found)) => o.shard_mut(shard).listeners.read(now, found),
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
                observed.made.retain(|arn| merged.contains_key(arn));
                let other = observed.rules.read(now, merged);
                observed.count_rules(now);
                self.note_orphans(now, &shard.load_balancer);
                other
            }
            (Scope::ListenerCertificates(shard), AwsAnswer::ListenerCertificates(found)) => {
                o.shard_mut(shard).certificates.read(now, found)
            }
            (Scope::Targets(name), AwsAnswer::TargetHealth(found)) => {
                o.targets.entry(name.clone()).or_default().read(now, found)
            }
            (Scope::ZoneLimit(zone), AwsAnswer::ZoneLimit(room)) => {
                o.zone_rooms.entry(zone.clone()).or_default().read(now, room)
            }
            (Scope::Zone(zone), AwsAnswer::ZoneRecords { records, others }) => {
                self.zone_read(now, zone, records, &others)
            }
            (Scope::Records(zone, host), AwsAnswer::Records(records)) => {
                let stands = |h: &Host| {
                    let cell = o.records.get(&(zone.clone(), h.clone())).filter(|_| h != host);
                    cell.and_then(|c| c.last()).is_some_and(|r| !r.at_host.is_empty())
                };
                let forms = adopted_forms(&self.world);
                let mut found = by_host(records, &forms, stands).remove(host).unwrap_or_default();
                let cell = o.records.entry((zone.clone(), host.clone())).or_default();
                found.deleted_at = cell.last().and_then(|r| r.deleted_at);
                cell.read(now, found)
            }
            (Scope::Validation(zone, name), AwsAnswer::Records(records)) => {
                let found = by_name(&records).remove(name);
                o.validations.entry((zone.clone(), name.clone())).or_default().read(now, found)
            }
            (Scope::Change(id), AwsAnswer::Change { in_sync, .. }) => {
                o.changes.entry(id.clone()).or_default().read(now, in_sync)
            }
            _ => {
                self.observed.mark_stale(&scope);
                true
            }
        };
        if news || other {
            self.mark_scope(&scope, true);
        } else {
            self.mark_audited(&scope);
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
                o.alb(shard, now, |alb| {
                    if let Some(have) = &mut alb.attributes {
                        have.extend(attributes.clone());
                    }
                });
            }
            (AwsCall::SetSubnets { subnets, .. }, Scope::LoadBalancer(shard), _) => {
                o.alb(shard, now, |alb| alb.subnets = subnets.clone());
            }
            (AwsCall::SetSecurityGroups { security_groups, .. }, Scope::LoadBalancer(shard), _) => {
                o.alb(shard, now, |alb| alb.security_groups = security_groups.clone());
            }
            (AwsCall::SetIpAddressType { ip_address_type, .. }, Scope::LoadBalancer(shard), _) => {
                o.alb(shard, now, |alb| alb.ip_address_type = ip_address_type.clone());
                // Addresses of the other family may be published, or must not be any more.
                self.mark_shard(shard);
            }
            (AwsCall::AddTags { tags, .. }, Scope::LoadBalancer(shard), _) => {
                o.alb(shard, now, |alb| alb.tags.get_or_insert_default().extend(tags.iter().cloned()));
            }
            (AwsCall::AddTags { tags, .. }, Scope::Group(name), _) => {
                o.groups.entry(name.clone()).or_default().update(now, |group| {
                    if let Some(group) = group {
                        group.tags.extend(tags.iter().cloned());
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
                    observed.count_carried();
                    observed.certificates.set(now, BTreeSet::new());
                }
                observed.listeners.update(now, |have| have.extend(made));
                self.mark_shard(shard);
            }
            (AwsCall::ModifyListener { kind, certificate, ssl_policy, .. }, Scope::Listeners(shard), _) => {
                o.shard_mut(shard).listeners.update(now, |have| {
                    if let Some(listener) = have.get_mut(kind) {
                        listener.certificate.clone_from(certificate);
                        listener.ssl_policy.clone_from(ssl_policy);
                        listener.default_action = true;
                    }
                });
                self.mark_shard(shard);
            }
            (AwsCall::DeleteListener { listener }, Scope::Listeners(shard), _) => {
                let observed = o.shard_mut(shard);
                observed.listeners.update(now, |have| have.retain(|_, l| l.arn != *listener));
                // Its rules went with it.
                observed.rules.set(now, BTreeMap::new());
                observed.count_carried();
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
                AwsCall::CreateRule { priority, hosts, protocol, target_group, tags, .. },
                Scope::Rules(shard),
                AwsAnswer::Arn(arn),
            ) => {
                let tag = |key: &str| tags.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
                let rule = ListenerRule {
                    priority: *priority,
                    hosts: hosts.clone(),
                    protocol: *protocol,
                    target_group: Some(target_group.clone()),
                    cluster: tag(gatehouse_crds::keys::TAG_CLUSTER),
                    namespace: tag(gatehouse_crds::keys::TAG_NAMESPACE),
                };
                let observed = o.shard_mut(shard);
                for host in hosts {
                    observed.seen.remove(&(host.clone(), *protocol));
                }
                observed.rule_changed.insert(arn.clone(), now);
                observed.made.insert(arn.clone());
                observed.rules.update(now, |rules| {
                    rules.insert(arn, rule);
                });
                observed.count_rules(now);
                self.mark_pressure(shard);
            }
            (AwsCall::SetRulePriorities { priorities }, Scope::Rules(shard), _) => {
                o.shard_mut(shard).rules.update(now, |rules| {
                    for (arn, priority) in priorities {
                        if let Some(rule) = rules.get_mut(arn) {
                            rule.priority = *priority;
                        }
                    }
                });
            }
            (AwsCall::ModifyRule { rule, hosts, .. }, Scope::Rules(shard), _) => {
                let observed = o.shard_mut(shard);
                observed.rules.update(now, |rules| {
                    if let Some(rule) = rules.get_mut(rule) {
                        rule.hosts = hosts.clone();
                    }
                });
                observed.count_carried();
            }
            (AwsCall::DeleteRule { rule }, Scope::Rules(shard), _) => {
                let observed = o.shard_mut(shard);
                observed.rule_changed.remove(rule);
                observed.rules.update(now, |rules| {
                    rules.remove(rule);
                });
                observed.count_rules(now);
                self.mark_pressure(shard);
            }
            (AwsCall::CreateTargetGroup { tags, health_check, .. }, Scope::Group(name), AwsAnswer::Arn(arn)) => {
                // The name holds a hash of our cluster id, so an equal one is our own; its attributes are AWS's defaults.
                let tags = tags.iter().cloned().collect();
                o.groups.entry(name.clone()).or_default().set(
                    now,
                    Some(TargetGroup {
                        arn,
                        tags,
                        health_check: health_check.clone(),
                        attributes: Some(BTreeMap::new()),
                    }),
                );
                o.targets.entry(name.clone()).or_default().set(now, BTreeMap::new());
            }
            (AwsCall::ModifyTargetGroupAttributes { attributes, .. }, Scope::Group(name), _) => {
                o.groups.entry(name.clone()).or_default().update(now, |group| {
                    if let Some(group) = group {
                        group.attributes.get_or_insert_with(BTreeMap::new).extend(attributes.clone());
                    }
                });
            }
            (AwsCall::ModifyTargetGroup { health_check, .. }, Scope::Group(name), _) => {
                o.groups.entry(name.clone()).or_default().update(now, |group| {
                    if let Some(group) = group {
                        group.health_check = health_check.clone();
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
            (AwsCall::RequestCertificate { names, tags, .. }, Scope::Requests(region, _), AwsAnswer::Arn(arn)) => {
                let tags = tags.iter().cloned().collect();
                let certificate = Certificate {
                    names: names.iter().cloned().collect(),
                    status: CertificateStatus::Pending,
                    details: Some(CertificateDetails::from_tags(&tags)),
                    ..Certificate::default()
                };
                o.certificates.entry(region.clone()).or_default().update_in_place(|all| all.insert(arn, certificate));
            }
            (AwsCall::DeleteCertificate { certificate }, Scope::Requests(region, _), _) => {
                o.certificates.entry(region.clone()).or_default().update_in_place(|all| all.remove(certificate));
            }
            (AwsCall::ChangeRecords { zone, changes }, _, AwsAnswer::Change { id, in_sync }) => {
                if let Some(room) = self.observed.zone_rooms.get_mut(zone) {
                    room.update_in_place(|room| room.records = room.records.saturating_add_signed(net(changes)));
                }
                for step in &flight.steps {
                    self.records_written(now, zone, step, &id);
                }
                self.observed.changes.entry(id).or_default().set(now, in_sync);
            }
            _ => self.observed.mark_stale(&scope),
        }
        self.mark_scope(&scope, false);
    }

    fn kube_written(&mut self, now: Now, write: &KubeWrite, answer: Answer) {
        let delta = match (write, answer) {
            (
                KubeWrite::AppFinalizers { app, .. }
                | KubeWrite::AppStatus { app, .. }
                | KubeWrite::ApplyApp { app, .. },
                Answer::App(facts),
            ) => Delta::App(app.clone(), Some(facts)),
            (KubeWrite::IngressStatus { ingress, .. }, Answer::Ingress(facts)) => {
                Delta::Ingress(ingress.clone(), Some(facts))
            }
            (KubeWrite::IngressEvents { ingress, uid, digest, .. }, _) => {
                self.memory.told_ingresses.insert(uid.clone(), digest.clone());
                self.mark_namespace(&ingress.namespace);
                return;
            }
            (
                KubeWrite::LoadBalancerFinalizers { name, .. } | KubeWrite::LoadBalancerStatus { name, .. },
                Answer::LoadBalancer(facts),
            ) => Delta::LoadBalancer(name.clone(), Some(facts)),
            (KubeWrite::PolicyStatus { name, .. }, Answer::Policy(facts)) => Delta::Policy(name.clone(), Some(facts)),
            (
                KubeWrite::CreateClaim { name, .. }
                | KubeWrite::ClaimStatus { name, .. }
                | KubeWrite::ClaimSpec { name, .. },
                Answer::Claim(facts),
            ) => Delta::Claim(name.clone(), Some(facts)),
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
            (KubeWrite::DeleteApp { app, .. }, _) => {
                let Some(facts) = self.world.apps.get(app) else { return };
                let mut facts = (**facts).clone();
                facts.meta.deleting = true;
                Delta::App(app.clone(), Some(facts.into()))
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

    /// One record that Route 53 does not take spoils the batch it is in. The steps it names wait; the others, or all
    /// when it names none, go at once, each alone.
    fn batch_refused(&mut self, now: Mono, flight: &InFlight, refusal: &Refusal) {
        let named = |step: &Step| {
            let Order::Aws { call: AwsCall::ChangeRecords { changes, .. }, .. } = &step.order else { return false };
            let text = |c: &RecordChange| format!("'{}.'", c.record.name.replace('*', "\\052"));
            changes.iter().any(|c| refusal.message.contains(&text(c)))
        };
        for step in &flight.steps {
            for scope in &step.scopes {
                self.observed.write_ended(scope, None);
            }
            if named(step) {
                for scope in &step.scopes {
                    self.observed.mark_stale(scope);
                    self.mark_scope(scope, false);
                }
                self.memory.refusals.insert(step.key.clone(), refusal.clone());
                self.delay(now, step, refusal.class);
            } else {
                self.back_off.entry(step.key.clone()).or_default().until = now;
            }
        }
    }

    fn refused(&mut self, now: Mono, flight: &InFlight, refusal: &Refusal) {
        let batch = flight.steps.len() > 1 && matches!(refusal.class, RefusalClass::Stale | RefusalClass::Invalid);
        if batch {
            self.batch_refused(now, flight, refusal);
            return;
        }
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
        if let Some(PartKey::Shard(shard)) = flight.steps.first().map(|s| s.key.part.clone()) {
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
        | AwsCall::ModifyTargetGroup { target_group, .. }
        | AwsCall::ModifyTargetGroupAttributes { target_group, .. } = call
        {
            let named = self
                .observed
                .groups
                .iter()
                .filter(|(_, c)| c.last().and_then(Option::as_ref).is_some_and(|g| g.arn == *target_group));
            doubted.extend(named.map(|(name, _)| Scope::Group(name.clone())));
        }
        if let (AwsCall::CreateListener { .. }, Some(PartKey::Shard(shard))) =
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

/// A listing, with the details of earlier ones where it has none: they are asked for once per certificate and status.
fn merged(mut listed: BTreeMap<String, Certificate>, before: Option<&Certificates>) -> BTreeMap<String, Certificate> {
    for (arn, certificate) in listed.iter_mut().filter(|(_, c)| c.details.is_none()) {
        let known = before.and_then(|all| all.get(arn)).filter(|known| known.status == certificate.status);
        certificate.details = known.and_then(|known| known.details.clone());
    }
    listed
}
