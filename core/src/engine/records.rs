//! What listings and changes of hosted zones mean for hosts and validation records.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::AdoptOwner;
use gatehouse_route::Host;

use super::Engine;
use crate::aws::{AwsCall, ChangeAction, Record, RecordChange, RecordData};
use crate::identity::host_of_marker;
use crate::marker;
use crate::observed::{HostRecords, Scope};
use crate::plan::{Order, PartKey, Step, adopted_forms};
use crate::time::Mono;

impl Engine {
    /// Takes in the listing of a zone; true if it shows anything else than was known.
    pub(super) fn zone_read(&mut self, now: Mono, zone: &str, records: Vec<Record>, others: &BTreeSet<String>) -> bool {
        self.observed.zone_lists.entry(zone.to_owned()).or_default().set(now, ());
        let named = names(&records, others);
        let mut other = self.observed.names.get(zone) != Some(&named);
        self.observed.names.insert(zone.to_owned(), named);
        other |= self.validations_read(now, zone, by_name(&records));
        let forms = adopted_forms(&self.world);
        let mut found = by_host(records, &forms, |_| false);
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
                let read = HostRecords { pending: before.pending, deleted_at: before.deleted_at, ..fresh };
                other |= cell.read(now, read);
            }
        }
        other |= !found.is_empty();
        for (host, records) in found {
            self.observed.records.entry((zone.to_owned(), host)).or_default().set(now, records);
        }
        for load_balancer in self.world.load_balancers.keys().cloned().collect::<Vec<_>>() {
            self.note_orphans(now, &load_balancer);
        }
        other
    }

    /// Other owners are adopted, or write their markers in another form than was said: hosts with records that are not
    /// ours are read anew, because the names of their markers were not asked for, or not understood.
    pub(super) fn adoption_changed(&mut self) {
        let strange = |records: &HostRecords| !records.at_host.is_empty() && records.txt.is_empty();
        let hosts: Vec<Scope> = self
            .observed
            .records
            .iter()
            .filter(|(_, cell)| cell.last().is_some_and(strange))
            .map(|((zone, host), _)| Scope::Records(zone.clone(), host.clone()))
            .collect();
        for scope in hosts {
            self.observed.outdate(&scope);
        }
    }

    /// As for hosts: what is being written or in doubt is left to a read of its own.
    fn validations_read(&mut self, now: Mono, zone: &str, mut found: BTreeMap<String, String>) -> bool {
        let mut other = false;
        for (key, cell) in self.observed.validations.iter_mut().filter(|((z, _), _)| z == zone) {
            let fresh = found.remove(&key.1);
            if cell.known().is_some() && cell.readable() {
                other |= cell.read(now, fresh);
            }
        }
        other |= !found.is_empty();
        for (name, value) in found {
            self.observed.validations.entry((zone.to_owned(), name)).or_default().set(now, Some(value));
        }
        other
    }

    pub(super) fn records_written(&mut self, now: Mono, zone: &str, step: &Step, change: &str) {
        let Order::Aws { call: AwsCall::ChangeRecords { changes, .. }, .. } = &step.order else { return };
        for scope in &step.scopes {
            if let Scope::Validation(_, name) = scope {
                let value = changes.iter().find_map(|c| match &c.record.data {
                    RecordData::Cname { value, .. } if c.record.name == *name => Some(value.clone()),
                    _ => None,
                });
                self.observed.validations.entry((zone.to_owned(), name.clone())).or_default().set(now, value);
                self.observed.names.entry(zone.to_owned()).or_default().extend(nearest(name));
                self.mark_scope(scope, true);
            }
            let Scope::Records(_, host) = scope else { continue };
            let cell = self.observed.records.entry((zone.to_owned(), host.clone())).or_default();
            let mut records = cell.last().cloned().unwrap_or_default();
            for RecordChange { action, record } in changes {
                let list = if !matches!(record.data, RecordData::Txt { .. }) {
                    &mut records.at_host
                } else if host_of_marker(&record.name).is_some() {
                    &mut records.txt
                } else {
                    &mut records.foreign
                };
                match action {
                    ChangeAction::Create => list.push(record.clone()),
                    ChangeAction::Delete => list.retain(|r| r != record),
                }
            }
            let gone =
                |c: &RecordChange| c.action == ChangeAction::Delete && matches!(c.record.data, RecordData::Aaaa(_));
            if changes.iter().any(gone) {
                // An ALB may wait for its last AAAA to go.
                let shards = self.observed.shards.keys().cloned().map(PartKey::Shard);
                self.dirty.extend(shards);
            }
            records.at_host.sort();
            records.txt.sort();
            let flip = (zone.to_owned(), host.clone());
            if records.at_host.is_empty() {
                self.memory.flipped.remove(&flip);
            } else {
                self.memory.flipped.insert(flip, now);
            }
            records.pending = Some(change.to_owned());
            records.deleted_at = records.at_host.is_empty().then_some(now);
            cell.set(now, records);
            for namespace in self.index.holders(&self.world, host) {
                self.mark_namespace(&namespace);
            }
        }
    }
}

/// The host that a record's name makes exist: itself, or the nearest one above a name that no host can have.
fn nearest(name: &str) -> Option<Host> {
    let mut names = std::iter::successors(Some(name), |name| Some(name.split_once('.')?.1));
    names.find_map(|name| Host::parse(name).ok())
}

/// Hosts that exist by records that [`by_host`] does not count to any.
fn names(records: &[Record], others: &BTreeSet<String>) -> BTreeSet<Host> {
    let counted = |record: &&Record| match record.data {
        RecordData::Txt { .. } => host_of_marker(&record.name).is_some(),
        _ => Host::parse(&record.name).is_ok(),
    };
    let rest = records.iter().filter(|r| !counted(r)).map(|r| &r.name);
    rest.chain(others).filter_map(|name| nearest(name)).collect()
}

/// Validation records: CNAMEs whose first label no host can have.
pub(super) fn by_name(records: &[Record]) -> BTreeMap<String, String> {
    let cname = |record: &Record| match &record.data {
        RecordData::Cname { value, .. } if record.name.starts_with('_') => Some((record.name.clone(), value.clone())),
        _ => None,
    };
    records.iter().filter_map(cname).collect()
}

/// Sorts records to the hosts they belong to: at the host itself, our marker, or a marker in a form of external-dns.
/// `elsewhere` says which hosts have records that are not among these.
pub(super) fn by_host(
    records: Vec<Record>,
    forms: &[AdoptOwner],
    elsewhere: impl Fn(&Host) -> bool,
) -> BTreeMap<Host, HostRecords> {
    let mut out: BTreeMap<Host, HostRecords> = BTreeMap::new();
    let mut strangers = Vec::new();
    for record in records {
        if !matches!(record.data, RecordData::Txt { .. }) {
            if let Ok(host) = Host::parse(&record.name) {
                out.entry(host).or_default().at_host.push(record);
            }
        } else if let Some(host) = host_of_marker(&record.name) {
            out.entry(host).or_default().txt.push(record);
        } else if marker::owner_of(&record).is_some() {
            strangers.push(record);
        }
    }
    for record in strangers {
        let standing = |hosts: BTreeSet<Host>, out: &BTreeMap<Host, HostRecords>| -> Vec<Host> {
            let here = |h: &Host| out.get(h).is_some_and(|r| !r.at_host.is_empty());
            hosts.into_iter().filter(|h| here(h) || elsewhere(h)).collect()
        };
        // `a-shop` marks `shop` if that has records; only then may it be the old form's marker of `a-shop` itself.
        let mut marked = standing(marker::hosts(&record.name, forms, true), &out);
        if marked.is_empty() {
            marked = standing(marker::hosts(&record.name, forms, false), &out);
        }
        for host in marked {
            out.entry(host).or_default().foreign.push(record.clone());
        }
    }
    for records in out.values_mut() {
        records.at_host.sort();
        records.txt.sort();
        records.foreign.sort();
    }
    out
}
