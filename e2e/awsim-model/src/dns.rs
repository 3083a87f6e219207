//! What name servers answer: hosted zones with wildcards, CNAME chains and aliases, and load balancers' own names.

use std::net::{IpAddr, Ipv6Addr};

use crate::Aws;
use crate::api::Millis;
use crate::api::route53::ResourceRecordSet;
use crate::elbv2::LoadBalancer;
use crate::route53::{RecordKey, Records, Zone, name};

/// How deep chains of CNAMEs and aliases are followed.
const MOST_HOPS: usize = 8;

/// An answer of the name server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsAnswer {
    /// Whether the name exists, and whether it is ours to answer for.
    pub code: DnsCode,
    /// CNAMEs on the way first, then what was asked for; empty with `NoError` means NODATA.
    pub records: Vec<DnsRecord>,
    /// The SOA that says how long the absence may be remembered; set with an empty answer.
    pub soa: Option<DnsRecord>,
}

/// Response codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsCode {
    /// The name exists.
    NoError,
    /// It does not.
    NxDomain,
    /// Nothing here answers for it.
    Refused,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsRecord {
    /// Owner name, as Route 53 stores it: lower case, dot at the end, octal escapes.
    pub name: String,
    /// `A`, `TXT`, ...
    pub kind: String,
    /// Seconds.
    pub ttl: u32,
    /// The value in zone file form.
    pub value: String,
}

/// Which zones answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum View {
    /// Public zones, as the internet sees them.
    #[default]
    Public,
    /// Private zones first, as the VPC sees them.
    Vpc,
}

impl Aws {
    /// What DNS answers at `now` to a question from the internet. `kind` is `A`, `TXT`, ...
    ///
    /// Load balancers' own names answer with the addresses of zones in which no target group in use has fallen below
    /// its DNS failover threshold; when that would leave none, all answer.
    pub fn resolve(&self, now: Millis, name: &str, kind: &str) -> DnsAnswer {
        self.resolve_in(View::Public, now, name, kind)
    }

    /// The same for a view.
    pub fn resolve_in(&self, view: View, now: Millis, name: &str, kind: &str) -> DnsAnswer {
        let refused = DnsAnswer { code: DnsCode::Refused, records: Vec::new(), soa: None };
        let Ok(mut at) = name::normalise(name) else { return refused };
        let mut records = Vec::new();
        for hop in 0..MOST_HOPS {
            let Some(step) = self.look_up(view, now, &at, kind, hop) else {
                // A CNAME that leaves our zones is an answer by itself.
                return if records.is_empty() {
                    refused
                } else {
                    DnsAnswer { code: DnsCode::NoError, records, soa: None }
                };
            };
            match step {
                Step::Found(found) => {
                    records.extend(found);
                    return DnsAnswer { code: DnsCode::NoError, records, soa: None };
                }
                Step::Chain(record) => {
                    let Ok(next) = name::normalise(&record.value) else { break };
                    records.push(record);
                    at = next;
                }
                Step::Nothing { exists, soa } => {
                    let code = if exists { DnsCode::NoError } else { DnsCode::NxDomain };
                    return DnsAnswer { code, records, soa: Some(soa) };
                }
            }
        }
        DnsAnswer { code: DnsCode::NoError, records, soa: None }
    }

    /// The public zone that answers for a stored name: the longest suffix.
    pub(crate) fn public_zone_of(&self, name: &str) -> Option<&Zone> {
        self.zone_of(View::Public, name)
    }

    fn zone_of(&self, view: View, name: &str) -> Option<&Zone> {
        self.route53
            .zones
            .values()
            .map(AsRef::as_ref)
            .filter(|zone| (view == View::Vpc || !zone.private) && name::within(name, &zone.name))
            // Of equal names the private one wins inside the VPC, then the first id.
            .max_by(|a, b| (a.name.len(), a.private).cmp(&(b.name.len(), b.private)).then_with(|| b.id.cmp(&a.id)))
    }

    fn look_up(&self, view: View, now: Millis, at: &str, kind: &str, hops: usize) -> Option<Step> {
        let elb = format!("{}.", self.settings.elb_suffix());
        if name::within(at, &elb) {
            return Some(self.look_up_load_balancer(now, at, kind, &elb));
        }
        let zone = self.zone_of(view, at)?;
        let records = zone.live(now)?;
        let soa = || {
            let value = records.get(&RecordKey::new(&zone.name, "SOA", "")).and_then(|set| first_value(set));
            DnsRecord { name: zone.name.clone(), kind: "SOA".into(), ttl: 900, value: value.unwrap_or_default() }
        };
        let Some(owner) = owner_of(records, at, &zone.name) else {
            return Some(Step::Nothing { exists: false, soa: soa() });
        };
        if kind != "CNAME"
            && let Some(set) = find(records, &owner, "CNAME")
        {
            let value = first_value(set).unwrap_or_default();
            return Some(Step::Chain(record(at, "CNAME", set, value)));
        }
        let Some(set) = find(records, &owner, kind) else {
            return Some(Step::Nothing { exists: true, soa: soa() });
        };
        let found = match &set.alias_target {
            None => set.resource_records.iter().flatten().map(|r| record(at, kind, set, r.value.clone())).collect(),
            Some(_) if hops + 1 >= MOST_HOPS => Vec::new(),
            Some(alias) => {
                let mut found = match self.look_up(view, now, &alias.dns_name, kind, hops + 1) {
                    Some(Step::Found(found)) => found,
                    _ => Vec::new(),
                };
                // The alias is flattened: the records bear the name that was asked for.
                for record in &mut found {
                    at.clone_into(&mut record.name);
                }
                found
            }
        };
        if found.is_empty() { Some(Step::Nothing { exists: true, soa: soa() }) } else { Some(Step::Found(found)) }
    }

    fn look_up_load_balancer(&self, now: Millis, at: &str, kind: &str, elb: &str) -> Step {
        let bare = at.trim_end_matches('.');
        let bare = bare.strip_prefix("dualstack.").unwrap_or(bare);
        let soa = DnsRecord {
            name: elb.to_owned(),
            kind: "SOA".into(),
            ttl: 60,
            value: "ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 60".into(),
        };
        let Some(load_balancer) = self.elb.load_balancers.values().find(|lb| lb.dns_name.eq_ignore_ascii_case(bare))
        else {
            return Step::Nothing { exists: at == elb, soa };
        };
        let v4 = load_balancer.ip_address_type != "dualstack-without-public-ipv4";
        let v6 = load_balancer.ip_address_type != "ipv4";
        let addresses = self.addresses_in_dns(now, load_balancer);
        let values: Vec<String> = match kind {
            "A" if v4 => addresses.iter().map(ToString::to_string).collect(),
            "AAAA" if v6 => addresses.iter().map(|address| mapped(*address).to_string()).collect(),
            _ => Vec::new(),
        };
        if values.is_empty() {
            return Step::Nothing { exists: true, soa };
        }
        Step::Found(
            values
                .into_iter()
                .map(|value| DnsRecord { name: at.to_owned(), kind: kind.to_owned(), ttl: 60, value })
                .collect(),
        )
    }

    /// A load balancer's addresses without those of failed zones; all of them when every zone has failed.
    fn addresses_in_dns(&self, now: Millis, load_balancer: &LoadBalancer) -> Vec<std::net::Ipv4Addr> {
        let healthy = |subnet: &String| {
            let zone = self.settings.network.subnet(subnet).map(|s| s.zone.as_str()).unwrap_or_default();
            load_balancer.groups.iter().all(|group| self.zone_is_healthy(now, group, zone))
        };
        let kept: Vec<_> =
            load_balancer.addresses.iter().filter(|(subnet, _)| healthy(subnet)).map(|(_, a)| *a).collect();
        if kept.is_empty() { load_balancer.addresses.values().copied().collect() } else { kept }
    }

    /// Whether a group keeps a zone in DNS. A zone in which it has no target is none of its business; a target outside
    /// the subnets counts in every zone.
    fn zone_is_healthy(&self, now: Millis, group: &str, zone: &str) -> bool {
        let Some(group) = self.elb.groups.get(group) else { return true };
        let mut counts = (0, 0);
        for (key, target) in &group.targets {
            let own = target.zone.as_deref().filter(|zone| *zone != "all").or_else(|| match key.id.parse() {
                Ok(IpAddr::V4(address)) => self.settings.network.zone_of(address),
                _ => None,
            });
            if own.is_some_and(|own| own != zone) || target.draining_until.is_some() {
                continue;
            }
            counts.0 += 1;
            if self.target_health(now, group, key).state == "healthy" {
                counts.1 += 1;
            }
        }
        let (all, healthy) = counts;
        let threshold =
            |key: &str| group.attributes.get(key).and_then(|value| value.parse::<usize>().ok()).unwrap_or(0);
        let count = threshold("target_group_health.dns_failover.minimum_healthy_targets.count");
        let percentage = threshold("target_group_health.dns_failover.minimum_healthy_targets.percentage");
        all == 0 || (healthy >= count.min(all) && healthy * 100 >= percentage * all)
    }
}

enum Step {
    Found(Vec<DnsRecord>),
    Chain(DnsRecord),
    Nothing { exists: bool, soa: DnsRecord },
}

/// The stored name whose records answer for `at`: itself when it or something below it exists, else the wildcard of
/// its closest encloser (RFC 4592), else nothing.
fn owner_of(records: &Records, at: &str, zone: &str) -> Option<String> {
    let exists = |name: &str| {
        let reversed = name::reversed(name);
        let start = RecordKey { reversed: reversed.clone(), kind: String::new(), set: String::new() };
        records.range(start..).next().is_some_and(|(key, _)| key.reversed.starts_with(&reversed))
    };
    if exists(at) {
        return Some(at.to_owned());
    }
    let mut encloser = at;
    while encloser != zone {
        encloser = encloser.split_once('.').map(|(_, parent)| parent)?;
        if encloser == zone || exists(encloser) {
            let wildcard = format!("\\052.{encloser}");
            return exists(&wildcard).then_some(wildcard);
        }
    }
    None
}

/// The set that answers: with several (weighted and the like) the first one, routing policies are not modelled.
fn find<'a>(records: &'a Records, owner: &str, kind: &str) -> Option<&'a ResourceRecordSet> {
    let start = RecordKey::new(owner, kind, "");
    let (key, set) = records.range(start.clone()..).next()?;
    (key.reversed == start.reversed && key.kind == kind).then_some(set.as_ref())
}

fn first_value(set: &ResourceRecordSet) -> Option<String> {
    set.resource_records.as_ref()?.first().map(|record| record.value.clone())
}

fn record(name: &str, kind: &str, set: &ResourceRecordSet, value: String) -> DnsRecord {
    let ttl = set.ttl.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(60);
    DnsRecord { name: name.to_owned(), kind: kind.to_owned(), ttl, value }
}

/// The made-up IPv6 address of a load balancer's IPv4 address; the data plane does not listen on it.
fn mapped(address: std::net::Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = address.octets();
    Ipv6Addr::new(0xfd00, 0xa115, 0, 0, 0, 0, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}
