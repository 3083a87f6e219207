//! Certificates of one Region, found by the names on them: a host asks for its own name and its parent wildcard, and
//! never walks through the account's other certificates.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_route::Host;

use crate::aws::{Certificate, CertificateStatus};
use crate::time::Wall;

/// A certificate is about to expire from this many seconds before its end: ACM renews its own 60 days ahead, so what
/// comes so far needs a person.
pub const EXPIRES_SOON: i64 = 30 * 86_400;

/// A listing with its indexes, which follow from the certificates alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Certificates {
    all: BTreeMap<String, Entry>,
    by_name: BTreeMap<String, BTreeSet<String>>,
    /// Moments (seconds since 1970) at which a choice or a condition may change by itself.
    turns: BTreeSet<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    certificate: Certificate,
    /// Its names as hosts; `None` when one is no host that could be granted.
    hosts: Option<Vec<Host>>,
}

impl From<BTreeMap<String, Certificate>> for Certificates {
    fn from(all: BTreeMap<String, Certificate>) -> Self {
        let mut out = Certificates::default();
        for (arn, certificate) in all {
            out.insert(arn, certificate);
        }
        out
    }
}

impl Certificates {
    /// Puts one in, in place of an older one.
    pub fn insert(&mut self, arn: String, certificate: Certificate) {
        self.remove(&arn);
        for name in &certificate.names {
            self.by_name.entry(name.clone()).or_default().insert(arn.clone());
        }
        if certificate.status == CertificateStatus::Issued && certificate.not_after != 0 {
            self.turns.extend([certificate.not_after - EXPIRES_SOON, certificate.not_after]);
        }
        let hosts = certificate.names.iter().map(|name| Host::parse(name).ok()).collect();
        self.all.insert(arn, Entry { certificate, hosts });
    }

    /// Takes one out.
    pub fn remove(&mut self, arn: &str) {
        let Some(old) = self.all.remove(arn) else { return };
        for name in &old.certificate.names {
            if let Some(arns) = self.by_name.get_mut(name) {
                arns.remove(arn);
                if arns.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
        let issued = self.all.values().map(|e| &e.certificate).filter(|c| c.status == CertificateStatus::Issued);
        self.turns =
            issued.filter(|c| c.not_after != 0).flat_map(|c| [c.not_after - EXPIRES_SOON, c.not_after]).collect();
    }

    /// The certificate of this ARN.
    #[must_use]
    pub fn get(&self, arn: &str) -> Option<&Certificate> {
        self.all.get(arn).map(|entry| &entry.certificate)
    }

    /// All, by ARN.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Certificate)> {
        self.all.iter().map(|(arn, entry)| (arn, &entry.certificate))
    }

    /// Those that cover a host, whatever their status: by its own name, or by the wildcard one label above.
    pub fn covering(&self, host: &Host) -> impl Iterator<Item = (&String, &Certificate)> {
        let mut arns: BTreeSet<&String> = self.by_name.get(&host.as_text()).into_iter().flatten().collect();
        if let Some(wildcard) = host.parent_wildcard() {
            arns.extend(self.by_name.get(&wildcard.as_text()).into_iter().flatten());
        }
        arns.into_iter().filter_map(|arn| self.all.get_key_value(arn)).map(|(arn, entry)| (arn, &entry.certificate))
    }

    /// The names of a certificate as hosts; `None` when one of them is no host that anybody could be granted.
    #[must_use]
    pub fn hosts(&self, arn: &str) -> Option<&[Host]> {
        self.all.get(arn)?.hosts.as_deref()
    }

    /// The next moment at which one comes near its end or reaches it.
    #[must_use]
    pub fn next_turn(&self, now: Wall) -> Option<Wall> {
        self.turns.range(now.0 + 1..).next().map(|at| Wall(*at))
    }
}

impl Certificate {
    /// Whether clients accept it now.
    #[must_use]
    pub fn usable(&self, now: Wall) -> bool {
        self.status == CertificateStatus::Issued && (self.not_after == 0 || self.not_after > now.0)
    }

    /// Whether its end is near.
    #[must_use]
    pub fn expires_soon(&self, now: Wall) -> bool {
        self.not_after != 0 && self.not_after - EXPIRES_SOON <= now.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_finds_its_certificates_and_no_others() {
        let one = |names: &[&str], not_after| Certificate {
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            not_after,
            ..Certificate::default()
        };
        let mut all = Certificates::from(BTreeMap::from([
            ("exact".to_owned(), one(&["a.example.com"], 10_000_000)),
            ("wildcard".to_owned(), one(&["*.example.com", "example.com"], 20_000_000)),
        ]));
        let found = |all: &Certificates, host: &str| {
            all.covering(&Host::parse(host).unwrap()).map(|(arn, _)| arn.clone()).collect::<Vec<_>>()
        };
        assert_eq!(found(&all, "a.example.com"), ["exact", "wildcard"]);
        assert_eq!(found(&all, "example.com"), ["wildcard"]);
        assert!(found(&all, "b.a.example.com").is_empty());
        assert_eq!(all.next_turn(Wall(0)), Some(Wall(10_000_000 - EXPIRES_SOON)));
        all.remove("exact");
        assert_eq!(found(&all, "a.example.com"), ["wildcard"]);
        assert_eq!(all.next_turn(Wall(0)), Some(Wall(20_000_000 - EXPIRES_SOON)));
    }
}
