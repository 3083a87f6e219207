//! What is known to exist in AWS: kept in memory, changed by outcomes, re-read by audits.
//!
//! Every object lives in a [`Cell`] with three ways of not being known: never read, stale (an answer contradicted it)
//! and uncertain (a write of unknown outcome may still take effect). In-flight and unknown are one state: a cell with a
//! write under way takes no read that overlaps it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use gatehouse_route::Host;

use crate::aws::{
    AwsCall, HostedZone, Limits, Listener, ListenerKind, ListenerRule, LoadBalancer, ProtocolVersion, Record, Target,
    TargetGroup, TargetState, ZoneRoom,
};
use crate::certificates::Certificates;
use crate::identity::ShardKey;
use crate::time::Mono;

/// One separately readable piece of AWS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Quotas of a Region.
    Limits(String),
    /// The account's hosted zones.
    Zones,
    /// Certificates of a Region.
    Certificates(String),
    /// What a namespace asks ACM for in a Region, or gives back. A scope of its own, so that a request of unknown
    /// outcome hides no certificate from anybody: only its namespace's next request waits for a new listing.
    Requests(String, String),
    /// All our target groups of a Region.
    Groups(String),
    /// One target group, by name.
    Group(String),
    /// Which ALBs a Region has.
    LoadBalancers(String),
    /// A shard's ALB.
    LoadBalancer(ShardKey),
    /// A shard's listeners.
    Listeners(ShardKey),
    /// A shard's rules.
    Rules(ShardKey),
    /// A shard's certificates beyond the default.
    ListenerCertificates(ShardKey),
    /// Targets of a group, by name.
    Targets(String),
    /// A whole zone.
    Zone(String),
    /// Its quota of records.
    ZoneLimit(String),
    /// Records of one host in one zone.
    Records(String, Host),
    /// A validation record: zone and name.
    Validation(String, String),
    /// A Route 53 change.
    Change(String),
}

/// What is known of one scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cell<T> {
    value: Option<T>,
    /// When it was read or last written.
    pub at: Mono,
    stale: bool,
    uncertain_until: Option<Mono>,
    writes: u32,
    epoch: u64,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Cell { value: None, at: Mono(0), stale: false, uncertain_until: None, writes: 0, epoch: 0 }
    }
}

impl<T> Cell<T> {
    /// The value, if nothing speaks against it.
    #[must_use]
    pub fn known(&self) -> Option<&T> {
        if self.stale || self.uncertain_until.is_some() { None } else { self.value.as_ref() }
    }

    /// The last value, right or not: for status, never for decisions.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Whether a write is under way, of unknown outcome, or was contradicted.
    fn in_doubt(&self) -> bool {
        self.writes > 0 || self.stale || self.uncertain_until.is_some()
    }

    /// Changes the value after a write of ours was confirmed.
    pub fn update(&mut self, now: Mono, change: impl FnOnce(&mut T)) {
        if let Some(value) = &mut self.value {
            change(value);
            self.at = now;
        }
    }

    /// Changes the value for a write to another scope that shows in it: it is no fresher for that.
    pub fn update_in_place(&mut self, change: impl FnOnce(&mut T)) {
        if let Some(value) = &mut self.value {
            change(value);
        }
    }

    /// Whether no write is under way.
    #[must_use]
    pub fn readable(&self) -> bool {
        self.writes == 0
    }

    /// Sets the value after a write of ours was confirmed.
    pub fn set(&mut self, now: Mono, value: T) {
        self.value = Some(value);
        self.at = now;
    }

    /// Sets the value that was read; true if it is another than before.
    pub fn read(&mut self, now: Mono, value: T) -> bool
    where
        T: PartialEq,
    {
        let other = self.value.as_ref() != Some(&value);
        self.set(now, value);
        other
    }

    fn track(&mut self) -> &mut dyn Track
    where
        T: 'static,
    {
        self
    }
}

/// The part of a cell that does not depend on what it holds.
trait Track {
    fn write_sent(&mut self);
    fn write_ended(&mut self, unknown_until: Option<Mono>);
    fn mark_stale(&mut self);
    fn outdate(&mut self);
    fn epoch(&self) -> u64;
    fn accepts(&self, epoch: u64) -> bool;
    fn accepted(&mut self, now: Mono);
    fn readable_from(&self) -> Option<Mono>;
    fn due(&self) -> bool;
    fn read_at(&self) -> Mono;
}

impl<T> Track for Cell<T> {
    fn write_sent(&mut self) {
        self.writes += 1;
        self.epoch += 1;
    }
    fn write_ended(&mut self, unknown_until: Option<Mono>) {
        self.writes = self.writes.saturating_sub(1);
        self.epoch += 1;
        self.uncertain_until = self.uncertain_until.max(unknown_until);
    }
    fn mark_stale(&mut self) {
        self.stale = true;
    }
    fn outdate(&mut self) {
        self.stale = true;
        self.epoch += 1;
    }
    fn epoch(&self) -> u64 {
        self.epoch
    }
    fn accepts(&self, epoch: u64) -> bool {
        self.writes == 0 && self.epoch == epoch
    }
    fn accepted(&mut self, now: Mono) {
        self.stale = false;
        self.uncertain_until = None;
        self.at = now;
    }
    fn readable_from(&self) -> Option<Mono> {
        if self.writes > 0 { None } else { Some(self.uncertain_until.unwrap_or(Mono(0))) }
    }
    fn due(&self) -> bool {
        self.value.is_none() || self.stale || self.uncertain_until.is_some()
    }
    fn read_at(&self) -> Mono {
        self.at
    }
}

/// The ALBs of a Region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RegionBalancers {
    /// All of the account: they share a quota.
    pub count: u32,
    /// Ours, by tag: a new leader finds the shards on which nothing is placed any more.
    pub ours: BTreeSet<ShardKey>,
}

/// What is known of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardObserved {
    /// The ALB; `Some(None)` is known absence.
    pub load_balancer: Cell<Option<LoadBalancer>>,
    /// Listeners.
    pub listeners: Cell<BTreeMap<ListenerKind, Listener>>,
    /// Rules of the HTTPS listener by ARN, without the default.
    pub rules: Cell<BTreeMap<String, ListenerRule>>,
    /// Hosts of rules whose creation is under way: not there, but not absent either.
    pub coming: BTreeSet<Host>,
    /// Hosts that a call under way takes off their rule: no name may be led there now.
    pub going: BTreeSet<(Host, ProtocolVersion)>,
    /// When a rule was last created or changed, by ARN: the data plane follows in batches.
    pub rule_changed: BTreeMap<String, Mono>,
    /// Rules that this leader created.
    pub made: BTreeSet<String>,
    /// Hosts whose rule a probe through the shard has met.
    pub seen: BTreeSet<(Host, ProtocolVersion)>,
    /// Certificates beyond the default.
    pub certificates: Cell<BTreeSet<String>>,
    /// Since when the listener has had no rule.
    pub emptied_at: Option<Mono>,
    /// How many hosts the rules of each installation carry, those for gRPC not counted.
    pub carried: BTreeMap<String, usize>,
}

impl ShardObserved {
    /// Hosts that a call would take off their rule.
    pub(crate) fn leaving(&self, call: &AwsCall) -> BTreeSet<(Host, ProtocolVersion)> {
        let (rule, stay) = match call {
            AwsCall::DeleteRule { rule } => (rule, BTreeSet::new()),
            AwsCall::ModifyRule { rule, hosts, .. } => (rule, hosts.clone()),
            _ => return BTreeSet::new(),
        };
        let rule = self.rules.last().and_then(|rules| rules.get(rule));
        let left = |r: &ListenerRule| r.hosts.difference(&stay).map(|host| (host.clone(), r.protocol)).collect();
        rule.map(left).unwrap_or_default()
    }

    /// Keeps since when there has been no rule.
    pub(crate) fn count_rules(&mut self, now: Mono) {
        let empty = self.rules.last().is_some_and(BTreeMap::is_empty);
        self.emptied_at = empty.then(|| self.emptied_at.unwrap_or(now));
        self.count_carried();
    }

    /// Keeps how many hosts the rules carry.
    pub(crate) fn count_carried(&mut self) {
        let mut carried: BTreeMap<&str, usize> = BTreeMap::new();
        for rule in self.rules.last().into_iter().flat_map(BTreeMap::values) {
            if let Some(cluster) = rule.cluster.as_ref().filter(|_| rule.protocol == ProtocolVersion::Http1) {
                *carried.entry(cluster).or_default() += rule.hosts.len();
            }
        }
        self.carried = carried.into_iter().map(|(cluster, hosts)| (cluster.to_owned(), hosts)).collect();
    }
}

/// What is known of records of one host in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HostRecords {
    /// A, AAAA, CNAME and others at the host.
    pub at_host: Vec<Record>,
    /// Our kind of ownership TXT: one, or one of each set identifier.
    pub txt: Vec<Record>,
    /// Ownership TXT in forms of external-dns, as of the last listing of the zone.
    pub foreign: Vec<Record>,
    /// The change that made it so, while it may not be everywhere.
    pub pending: Option<String>,
    /// When we deleted it: its TTL starts here.
    pub deleted_at: Option<Mono>,
}

/// Everything known of AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observed {
    /// Quotas by Region.
    pub limits: BTreeMap<String, Cell<Limits>>,
    /// Hosted zones.
    pub zones: Cell<Vec<HostedZone>>,
    /// Certificates by Region.
    pub certificates: BTreeMap<String, Cell<Certificates>>,
    /// Writes to ACM by Region and namespace; the certificates themselves stand in the listing.
    pub requests: BTreeMap<(String, String), Cell<()>>,
    /// Once all target groups of a Region have been listed: how many are not ours.
    pub group_lists: BTreeMap<String, Cell<u32>>,
    /// Target groups by name; `Some(None)` is known absence.
    pub groups: BTreeMap<String, Cell<Option<TargetGroup>>>,
    /// ALBs by Region.
    pub load_balancers: BTreeMap<String, Cell<RegionBalancers>>,
    /// Shards.
    pub shards: BTreeMap<ShardKey, ShardObserved>,
    /// Targets by group name.
    pub targets: BTreeMap<String, Cell<BTreeMap<Target, TargetState>>>,
    /// Whether a whole zone has been listed.
    pub zone_lists: BTreeMap<String, Cell<()>>,
    /// Records of zones against their quotas.
    pub zone_rooms: BTreeMap<String, Cell<ZoneRoom>>,
    /// Records by zone and host.
    pub records: BTreeMap<(String, Host), Cell<HostRecords>>,
    /// Names that exist in a zone by records that are nobody's at a host: a validation record, mail, somebody's text.
    pub names: BTreeMap<String, BTreeSet<Host>>,
    /// Where CNAMEs of validation records point to, by zone and name; `Some(None)` is known absence.
    pub validations: BTreeMap<(String, String), Cell<Option<String>>>,
    /// Route 53 changes that are not everywhere yet; `true` is INSYNC.
    pub changes: BTreeMap<String, Cell<bool>>,
}

impl Observed {
    fn cell(&mut self, scope: &Scope) -> &mut dyn Track {
        match scope {
            Scope::Limits(region) => self.limits.entry(region.clone()).or_default().track(),
            Scope::Zones => self.zones.track(),
            Scope::Certificates(region) => self.certificates.entry(region.clone()).or_default().track(),
            Scope::Requests(region, namespace) => {
                self.requests.entry((region.clone(), namespace.clone())).or_default().track()
            }
            Scope::Groups(region) => self.group_lists.entry(region.clone()).or_default().track(),
            Scope::Group(name) => self.groups.entry(name.clone()).or_default().track(),
            Scope::LoadBalancers(region) => self.load_balancers.entry(region.clone()).or_default().track(),
            Scope::LoadBalancer(shard) => self.shard_mut(shard).load_balancer.track(),
            Scope::Listeners(shard) => self.shard_mut(shard).listeners.track(),
            Scope::Rules(shard) => self.shard_mut(shard).rules.track(),
            Scope::ListenerCertificates(shard) => self.shard_mut(shard).certificates.track(),
            Scope::Targets(name) => self.targets.entry(name.clone()).or_default().track(),
            Scope::Zone(zone) => self.zone_lists.entry(zone.clone()).or_default().track(),
            Scope::ZoneLimit(zone) => self.zone_rooms.entry(zone.clone()).or_default().track(),
            Scope::Records(zone, host) => self.records.entry((zone.clone(), host.clone())).or_default().track(),
            Scope::Validation(zone, name) => self.validations.entry((zone.clone(), name.clone())).or_default().track(),
            Scope::Change(id) => self.changes.entry(id.clone()).or_default().track(),
        }
    }

    /// A shard's observations, made when first asked for.
    pub fn shard_mut(&mut self, shard: &ShardKey) -> &mut ShardObserved {
        self.shards.entry(shard.clone()).or_default()
    }

    /// Changes what is known of a shard's ALB after a write of ours was confirmed.
    pub fn alb(&mut self, shard: &ShardKey, now: Mono, change: impl FnOnce(&mut LoadBalancer)) {
        self.shard_mut(shard).load_balancer.update(now, |alb| {
            if let Some(alb) = alb {
                change(alb);
            }
        });
    }

    /// A write to the scope goes out: reads that began before count no more.
    pub fn write_sent(&mut self, scope: &Scope) {
        self.cell(scope).write_sent();
        self.overlap(scope);
    }

    /// A write to the scope has ended; with `unknown_until` its effect may appear until then.
    pub fn write_ended(&mut self, scope: &Scope, unknown_until: Option<Mono>) {
        self.cell(scope).write_ended(unknown_until);
        self.overlap(scope);
    }

    /// A listing of certificates that overlaps a request may miss what it made; what was listed before stands.
    fn overlap(&mut self, scope: &Scope) {
        if let Scope::Requests(region, _) = scope {
            self.certificates.entry(region.clone()).or_default().epoch += 1;
        }
    }

    /// Something contradicted what we know of the scope: look again before the next decision.
    pub fn mark_stale(&mut self, scope: &Scope) {
        self.cell(scope).mark_stale();
    }

    /// The scope must be read anew, and a read under way does not count: what is asked for has changed.
    pub fn outdate(&mut self, scope: &Scope) {
        self.cell(scope).outdate();
    }

    /// Marker to hand back to [`Observed::accept`] with the answer of a read that starts now.
    pub fn read_sent(&mut self, scope: &Scope) -> u64 {
        self.cell(scope).epoch()
    }

    /// Whether the answer of a read counts; if so the scope is known from now on.
    pub fn accept(&mut self, scope: &Scope, epoch: u64, now: Mono) -> bool {
        let cell = self.cell(scope);
        let counts = cell.accepts(epoch);
        if counts {
            cell.accepted(now);
        }
        counts
    }

    fn cell_ref(&self, scope: &Scope) -> Option<&dyn Track> {
        fn of<T: 'static>(cell: &Cell<T>) -> &dyn Track {
            cell
        }
        match scope {
            Scope::Limits(region) => self.limits.get(region).map(of),
            Scope::Zones => Some(of(&self.zones)),
            Scope::Certificates(region) => self.certificates.get(region).map(of),
            Scope::Requests(region, namespace) => self.requests.get(&(region.clone(), namespace.clone())).map(of),
            Scope::Groups(region) => self.group_lists.get(region).map(of),
            Scope::Group(name) => self.groups.get(name).map(of),
            Scope::LoadBalancers(region) => self.load_balancers.get(region).map(of),
            Scope::LoadBalancer(shard) => self.shards.get(shard).map(|s| of(&s.load_balancer)),
            Scope::Listeners(shard) => self.shards.get(shard).map(|s| of(&s.listeners)),
            Scope::Rules(shard) => self.shards.get(shard).map(|s| of(&s.rules)),
            Scope::ListenerCertificates(shard) => self.shards.get(shard).map(|s| of(&s.certificates)),
            Scope::Targets(name) => self.targets.get(name).map(of),
            Scope::Zone(zone) => self.zone_lists.get(zone).map(of),
            Scope::ZoneLimit(zone) => self.zone_rooms.get(zone).map(of),
            Scope::Records(zone, host) => self.records.get(&(zone.clone(), host.clone())).map(of),
            Scope::Validation(zone, name) => self.validations.get(&(zone.clone(), name.clone())).map(of),
            Scope::Change(id) => self.changes.get(id).map(of),
        }
    }

    /// From when a read of the scope is of use; `None` while a write is under way.
    #[must_use]
    pub fn readable_from(&self, scope: &Scope) -> Option<Mono> {
        self.cell_ref(scope).map_or(Some(Mono(0)), Track::readable_from)
    }

    /// Whether the scope must be read before anything is decided on it.
    #[must_use]
    pub fn unknown(&self, scope: &Scope) -> bool {
        self.cell_ref(scope).is_none_or(Track::due)
    }

    /// When the scope was last read or written.
    #[must_use]
    pub fn read_at(&self, scope: &Scope) -> Mono {
        self.cell_ref(scope).map_or(Mono(0), Track::read_at)
    }

    /// Whether all that a namespace asked ACM for in a Region stands in the listing.
    #[must_use]
    pub fn requests_settled(&self, region: &str, namespace: &str) -> bool {
        self.requests.get(&(region.to_owned(), namespace.to_owned())).is_none_or(|cell| !cell.in_doubt())
    }

    /// From when a listing of a Region's certificates settles what is in doubt; `None` when nothing is.
    #[must_use]
    pub fn requests_doubtful(&self, region: &str) -> Option<Mono> {
        let of_region = self.requests.range((region.to_owned(), String::new())..).take_while(|((r, _), _)| r == region);
        of_region.filter(|(_, cell)| cell.in_doubt()).filter_map(|(_, cell)| Track::readable_from(cell)).min()
    }

    /// A listing that was asked for at `sent` has come: it settles every request that could be seen by then.
    pub fn settle_requests(&mut self, region: &str, sent: Mono, now: Mono) {
        for (_, cell) in self.requests.iter_mut().filter(|((r, _), _)| r == region) {
            if Track::readable_from(cell).is_some_and(|from| from <= sent) {
                cell.accepted(now);
            }
        }
    }

    /// Where a validation record points to: a listed zone without it knows that there is none.
    #[must_use]
    pub fn validation(&self, zone: &str, name: &str) -> Option<Option<&str>> {
        match self.validations.get(&(zone.to_owned(), name.to_owned())) {
            Some(cell) => cell.known().map(Option::as_deref),
            None => self.zone_lists.get(zone)?.known().map(|()| None),
        }
    }

    /// What is known of a host's records: a listed zone without them knows that there are none.
    #[must_use]
    pub fn records_of(&self, zone: &str, host: &Host) -> Option<Cow<'_, HostRecords>> {
        match self.records.get(&(zone.to_owned(), host.clone())) {
            Some(cell) => cell.known().map(Cow::Borrowed),
            None => self.zone_lists.get(zone)?.known().map(|()| Cow::Owned(HostRecords::default())),
        }
    }

    /// What is known of a target group: a listed Region without it knows that there is none.
    #[must_use]
    pub fn group(&self, region: &str, name: &str) -> Option<Option<&TargetGroup>> {
        match self.groups.get(name) {
            Some(cell) => cell.known().map(Option::as_ref),
            None => self.group_lists.get(region)?.known().map(|_| None),
        }
    }

    /// The quotas of a Region; those that AWS begins with, until they are read.
    #[must_use]
    pub fn limits_of(&self, region: &str) -> Limits {
        self.limits.get(region).and_then(Cell::last).copied().unwrap_or_default()
    }

    /// Target groups that a Region has, as far as is known.
    #[must_use]
    pub fn groups_in(&self, region: &str) -> u32 {
        let here = format!(":{region}:");
        let ours = self.groups.values().filter_map(|cell| cell.last().and_then(Option::as_ref));
        let ours = ours.filter(|group| group.arn.contains(&here)).count();
        let others = self.group_lists.get(region).and_then(Cell::last).copied().unwrap_or_default();
        others.saturating_add(u32::try_from(ours).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_overlaps_a_write_does_not_count() {
        let mut observed = Observed::default();
        let scope = Scope::Zones;
        let epoch = observed.read_sent(&scope);
        observed.write_sent(&scope);
        assert!(!observed.accept(&scope, epoch, Mono(1)));
        observed.write_ended(&scope, None);
        assert!(!observed.accept(&scope, epoch, Mono(2)));
        let epoch = observed.read_sent(&scope);
        assert!(observed.accept(&scope, epoch, Mono(3)));
    }

    #[test]
    fn an_unknown_outcome_hides_the_value_until_a_later_read() {
        let mut observed = Observed::default();
        observed.zones.set(Mono(0), Vec::new());
        observed.write_sent(&Scope::Zones);
        observed.write_ended(&Scope::Zones, Some(Mono(50)));
        assert!(observed.zones.known().is_none());
        assert_eq!(observed.readable_from(&Scope::Zones), Some(Mono(50)));
        let epoch = observed.read_sent(&Scope::Zones);
        assert!(observed.accept(&Scope::Zones, epoch, Mono(60)));
        assert!(observed.zones.known().is_some());
    }
}
