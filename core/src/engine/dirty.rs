//! Which parts of the plan a change touches. Too many is slow, too few is wrong: the test that compares with the full
//! plan stands on this file.

use std::collections::BTreeSet;

use super::{Engine, Index};
use crate::certificates::Certificates;
use crate::identity::ShardKey;
use crate::observed::Scope;
use crate::plan::PartKey;

impl Engine {
    /// Marks what depends on a scope.
    pub(super) fn mark_scope(&mut self, scope: &Scope, everybody: bool) {
        match scope {
            Scope::Limits(region) | Scope::Groups(region) => {
                self.dirty.insert(PartKey::Region(region.clone()));
                self.mark_everything();
            }
            // A listing that shows what was known changes nobody's choice.
            Scope::Certificates(region) => {
                self.dirty.insert(PartKey::Region(region.clone()));
                self.dirty.insert(PartKey::Certificates(region.clone()));
                if everybody {
                    self.mark_everything();
                }
            }
            Scope::Requests(region, namespace) => {
                self.dirty.insert(PartKey::Region(region.clone()));
                self.dirty.insert(PartKey::Certificates(region.clone()));
                self.mark_namespace(namespace);
            }
            Scope::Validation(_, name) => {
                for namespace in self.validated_by(name) {
                    self.mark_namespace(&namespace);
                }
            }
            Scope::Zones | Scope::Zone(_) => {
                self.dirty.insert(PartKey::Zones);
                self.mark_everything();
            }
            Scope::ZoneLimit(_) => {
                self.dirty.insert(PartKey::Zones);
                if everybody {
                    self.mark_everything();
                }
            }
            Scope::LoadBalancers(region) => {
                self.dirty.insert(PartKey::Region(region.clone()));
                self.mark_everything();
            }
            Scope::LoadBalancer(shard)
            | Scope::Listeners(shard)
            | Scope::Rules(shard)
            | Scope::ListenerCertificates(shard) => {
                self.dirty.insert(PartKey::Shard(shard.clone()));
                self.dirty.insert(PartKey::LoadBalancer(shard.load_balancer.clone()));
                if let Some(lb) = self.world.load_balancers.get(&shard.load_balancer) {
                    self.dirty.insert(PartKey::Certificates(lb.spec.region.clone()));
                }
                if everybody {
                    self.mark_shard(shard);
                }
            }
            Scope::Change(id) => {
                let concerned: Vec<String> = self
                    .observed
                    .records
                    .iter()
                    .filter(|(_, cell)| cell.last().is_some_and(|r| r.pending.as_deref() == Some(id)))
                    .flat_map(|((_, host), _)| self.index.holders(&self.world, host))
                    .collect();
                for namespace in concerned {
                    self.mark_namespace(&namespace);
                }
            }
            Scope::Group(_) | Scope::Targets(_) => {
                for name in self.world.load_balancers.keys().cloned().collect::<Vec<_>>() {
                    self.tell_soon(&name);
                }
            }
            Scope::Records(..) => {}
        }
    }

    /// Marks who looks after a scope: an audit that shows what was known changes nothing for anybody else.
    pub(super) fn mark_audited(&mut self, scope: &Scope) {
        let part = match scope {
            Scope::Limits(region) | Scope::Groups(region) | Scope::LoadBalancers(region) => {
                PartKey::Region(region.clone())
            }
            Scope::Zones | Scope::Zone(_) | Scope::ZoneLimit(_) => PartKey::Zones,
            Scope::LoadBalancer(shard)
            | Scope::Listeners(shard)
            | Scope::Rules(shard)
            | Scope::ListenerCertificates(shard) => PartKey::Shard(shard.clone()),
            other => return self.mark_scope(other, false),
        };
        self.dirty.insert(part);
    }

    /// Namespaces with a certificate that is proved by a record of this name.
    fn validated_by(&self, name: &str) -> BTreeSet<String> {
        let listed = self.observed.certificates.values().filter_map(|cell| cell.last()).flat_map(Certificates::iter);
        let details = listed.filter_map(|(_, certificate)| certificate.details.as_ref());
        details
            .filter(|d| d.records.iter().any(|record| record.name == name))
            .filter_map(|d| d.namespace.clone())
            .collect()
    }

    /// A load balancer's status counts what all namespaces have there: it is brought up to date once a second, not at
    /// every outcome.
    pub(super) fn tell_soon(&mut self, load_balancer: &str) {
        self.soon(PartKey::LoadBalancer(load_balancer.to_owned()));
    }

    pub(super) fn soon(&mut self, key: PartKey) {
        let at = self.now.plus(1_000);
        if *self.told.entry(key.clone()).or_insert(at) == at {
            self.timers.insert((at, key));
        }
    }

    /// Marks every namespace that has, had or may have something on the shard: what vanished is named by nothing else
    /// than its claims and target groups.
    pub(super) fn mark_shard(&mut self, shard: &ShardKey) {
        let mut namespaces: BTreeSet<String> = self.index.claims.keys().cloned().collect();
        if let Some(rules) = self.observed.shards.get(shard).and_then(|s| s.rules.last()) {
            namespaces.extend(rules.values().filter_map(|r| r.namespace.clone()));
        }
        let groups = self.observed.groups.values().filter_map(|c| c.last().and_then(Option::as_ref));
        namespaces.extend(groups.filter_map(|g| g.tags.get(gatehouse_crds::keys::TAG_NAMESPACE).cloned()));
        for namespace in namespaces {
            self.mark_namespace(&namespace);
        }
    }

    /// Near the quota every namespace on the shard may have something to do: to merge its rules, or to use the room.
    pub(super) fn mark_pressure(&mut self, shard: &ShardKey) {
        let region = self.world.load_balancers.get(&shard.load_balancer).map(|lb| lb.spec.region.clone());
        let limits = region.as_ref().map(|region| self.observed.limits_of(region)).unwrap_or_default();
        let limit = usize::try_from(limits.rules).unwrap_or(usize::MAX);
        let used =
            self.observed.shards.get(shard).and_then(|s| s.rules.last()).map_or(0, std::collections::BTreeMap::len);
        if used + 3 >= limit {
            // A binding quota is looked at more often.
            self.dirty.extend(region.map(PartKey::Region));
            self.mark_shard(shard);
        }
    }

    pub(super) fn mark_namespace(&mut self, namespace: &str) {
        self.dirty.insert(PartKey::Namespace(namespace.to_owned()));
    }

    pub(super) fn mark_everything(&mut self) {
        let keys = self.every_part(&self.index);
        self.dirty.extend(keys);
    }

    /// Marks the parts that give certificates back.
    pub(super) fn mark_certificates(&mut self) {
        let regions: BTreeSet<&String> = self.world.load_balancers.values().map(|lb| &lb.spec.region).collect();
        self.dirty.extend(regions.into_iter().cloned().map(PartKey::Certificates));
    }

    /// Every part there is.
    pub(super) fn every_part(&self, index: &Index) -> BTreeSet<PartKey> {
        let mut keys: BTreeSet<PartKey> = self.world.namespaces.keys().map(|n| PartKey::Namespace(n.clone())).collect();
        keys.extend(index.claims.keys().map(|n| PartKey::Namespace(n.clone())));
        keys.insert(PartKey::Zones);
        keys.extend(self.world.policies.keys().map(|n| PartKey::Policy(n.clone())));
        for (name, lb) in &self.world.load_balancers {
            keys.insert(PartKey::LoadBalancer(name.clone()));
            keys.insert(PartKey::Region(lb.spec.region.clone()));
            keys.insert(PartKey::Certificates(lb.spec.region.clone()));
            // The first shard always; others when something is placed on them or known of them.
            keys.insert(PartKey::Shard(ShardKey { load_balancer: name.clone(), index: 0 }));
        }
        keys.extend(index.load.keys().chain(self.observed.shards.keys()).map(|s| PartKey::Shard(s.clone())));
        keys.extend(self.remembered_shards().map(PartKey::Shard));
        keys
    }

    /// Shards that stood when somebody last wrote it down, whether or not anything should still be on them: a new leader
    /// must look there before it can clean up.
    fn remembered_shards(&self) -> impl Iterator<Item = ShardKey> {
        let placed = self.world.claims.values().flat_map(|c| c.status.placement.iter().map(|(lb, p)| (lb, p.shard)));
        let told =
            self.world.load_balancers.iter().flat_map(|(lb, f)| f.status.shards.iter().map(move |s| (lb, s.shard)));
        placed
            .chain(told)
            .filter(|(lb, _)| self.world.load_balancers.contains_key(*lb))
            .filter_map(|(lb, index)| Some(ShardKey { load_balancer: lb.clone(), index: u32::try_from(index).ok()? }))
    }
}
