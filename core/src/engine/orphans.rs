//! Hosts of ours in AWS that no claim speaks of: a claim removed by hand, a cluster that was rebuilt.

use std::collections::BTreeSet;

use gatehouse_route::Host;

use super::Engine;
use crate::aws::RecordData;
use crate::identity::claim_name;
use crate::marker;
use crate::plan::PartKey;
use crate::time::Mono;

impl Engine {
    /// Keeps since when hosts on a load balancer have had no claim.
    pub(super) fn note_orphans(&mut self, now: Mono, load_balancer: &str) {
        if !self.world.load_balancers.contains_key(load_balancer) {
            return;
        }
        let mut found: BTreeSet<Host> = BTreeSet::new();
        let unclaimed = |host: &Host| !self.world.claims.contains_key(&claim_name(host));
        let cluster = &self.settings.cluster_id.0;
        let mut addresses: BTreeSet<&str> = BTreeSet::new();
        let mut elsewhere: BTreeSet<&str> = BTreeSet::new();
        for (shard, observed) in &self.observed.shards {
            let mine = shard.load_balancer == load_balancer;
            let alb = observed.load_balancer.last().and_then(Option::as_ref).map(|alb| alb.dns_name.as_str());
            (if mine { &mut addresses } else { &mut elsewhere }).extend(alb);
            if mine {
                let rules = observed.rules.last().into_iter().flat_map(|r| r.values());
                let ours = rules.filter(|r| r.cluster.as_ref() == Some(cluster));
                found.extend(ours.flat_map(|r| &r.hosts).filter(|h| unclaimed(h)).cloned());
            }
        }
        // A record whose ALB is gone is looked after by the first load balancer.
        let first = self.world.load_balancers.keys().next().is_some_and(|name| name == load_balancer);
        for ((_, host), cell) in &self.observed.records {
            let Some(records) = cell.last().filter(|_| unclaimed(host)) else { continue };
            let ours = records.txt.iter().any(|r| marker::owner_of(r) == Some(cluster));
            let target = records.at_host.iter().find_map(|r| match &r.data {
                RecordData::A(alias) | RecordData::Aaaa(alias) => Some(alias.dns_name.as_str()),
                _ => None,
            });
            let here = target.is_some_and(|t| addresses.contains(t));
            if ours && (here || (first && !target.is_some_and(|t| elsewhere.contains(t)))) {
                found.insert(host.clone());
            }
        }
        let before: BTreeSet<Host> =
            self.memory.orphans.keys().filter(|(lb, _)| lb == load_balancer).map(|(_, h)| h.clone()).collect();
        if before == found {
            return;
        }
        for host in before.difference(&found) {
            self.memory.orphans.remove(&(load_balancer.to_owned(), host.clone()));
        }
        for host in found.difference(&before) {
            self.memory.orphans.insert((load_balancer.to_owned(), host.clone()), now);
        }
        self.dirty.insert(PartKey::Zones);
        self.tell_soon(load_balancer);
    }

    /// A claim has come or gone.
    pub(super) fn note_claim(&mut self, now: Mono, name: &str, host: Option<&Host>) {
        match host {
            Some(host) if !self.memory.orphans.is_empty() => self.memory.orphans.retain(|(_, h), _| h != host),
            Some(_) => {}
            None => {
                let carried = self
                    .observed
                    .shards
                    .values()
                    .filter_map(|s| s.rules.last())
                    .flat_map(|rules| rules.values())
                    .any(|rule| rule.hosts.iter().any(|h| claim_name(h) == name));
                if carried {
                    for load_balancer in self.world.load_balancers.keys().cloned().collect::<Vec<_>>() {
                        self.note_orphans(now, &load_balancer);
                    }
                }
            }
        }
    }
}
