//! Validation through DNS: what proves a domain, and how pending certificates move on with time.

use super::{DAY, hex};
use crate::Aws;
use crate::api::Millis;
use crate::api::acm::ValidationRecord;
use crate::route53::{RecordKey, name};

impl Aws {
    /// Moves pending certificates to where they stand at `now`. Every call does this first; a driver of virtual time
    /// need not.
    pub fn advance(&mut self, now: Millis) {
        for arn in self.acm.pending.clone() {
            let Some(certificate) = self.acm.certificates.get(&arn) else {
                self.acm.pending.remove(&arn);
                continue;
            };
            let (requested, mut seen) = (certificate.requested, certificate.seen.clone());
            let mut failure = None;
            for (domain, at) in &mut seen {
                if at.is_none() {
                    let record = validation_record(&self.settings.account, domain);
                    *at = self.visible_since(now, &record);
                    if at.is_some() && self.caa_forbids(now, domain) {
                        failure = Some("CAA_ERROR".to_owned());
                    }
                }
            }
            let delays = self.settings.delays;
            let proved = seen.values().try_fold(requested + delays.acm_record, |last, at| at.map(|at| last.max(at)));
            let issued = proved.map(|at| at + delays.acm_validation).filter(|_| failure.is_none());
            let timed_out = issued.is_none() && now >= requested + delays.acm_timeout;
            if (seen != certificate.seen || failure.is_some() || issued.is_some())
                && let Some(certificate) = self.acm.certificates.get_mut(&arn)
            {
                certificate.seen = seen;
                certificate.issued = issued;
                if let Some(at) = issued {
                    (certificate.not_before, certificate.not_after) = (at, at + Millis(395 * DAY.0));
                }
                certificate.failure.clone_from(&failure);
            }
            if issued.is_some() || failure.is_some() || timed_out {
                self.acm.pending.remove(&arn);
            }
        }
    }

    /// When pending certificates change by themselves, after `now`.
    pub(crate) fn certificate_events(&self, now: Millis) -> impl Iterator<Item = Millis> + '_ {
        let delays = self.settings.delays;
        self.acm
            .certificates
            .values()
            .filter(|certificate| !certificate.imported)
            .flat_map(move |certificate| {
                let timeout =
                    self.acm.pending.contains(&certificate.arn).then(|| certificate.requested + delays.acm_timeout);
                [certificate.issued, Some(certificate.requested + delays.acm_record), timeout]
            })
            .flatten()
            .filter(move |at| *at > now)
    }

    /// Since when public DNS shows a validation record, if it does now.
    fn visible_since(&self, now: Millis, record: &ValidationRecord) -> Option<Millis> {
        let stored = name::normalise(&record.name).ok()?;
        let key = RecordKey::new(&stored, "CNAME", "");
        let zone = self.public_zone_of(&stored)?;
        let mut since = None;
        for (from, records) in zone.versions.iter().rev().filter(|(from, _)| *from <= now) {
            let value = records.get(&key).and_then(|set| set.resource_records.as_ref()?.first());
            if !value.is_some_and(|value| same_name(&value.value, &record.value)) {
                break;
            }
            since = Some(*from);
        }
        since
    }

    /// Whether CAA records name issuers and Amazon is none of them.
    fn caa_forbids(&self, now: Millis, domain: &str) -> bool {
        let Ok(stored) = name::normalise(domain) else { return false };
        let Some(records) = self.public_zone_of(&stored).and_then(|zone| zone.live(now)) else { return false };
        let mut at = stored.as_str();
        while !at.is_empty() {
            if let Some(set) = records.get(&RecordKey::new(at, "CAA", "")) {
                let issuers: Vec<_> =
                    set.resource_records.iter().flatten().filter(|r| r.value.contains(" issue ")).collect();
                let amazon = ["amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"];
                return !issuers.is_empty()
                    && !issuers.iter().any(|record| amazon.iter().any(|name| record.value.contains(name)));
            }
            at = at.split_once('.').map_or("", |(_, parent)| parent);
        }
        false
    }
}

/// The name without a wildcard label: an apex and its wildcard share one proof.
pub(super) fn domain(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

fn same_name(a: &str, b: &str) -> bool {
    a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'))
}

/// The CNAME that proves control of a domain: stable per account and domain, so renewals and siblings reuse it.
pub(super) fn validation_record(account: &str, domain: &str) -> ValidationRecord {
    let (left, right) = (hex(&format!("name/{account}/{domain}")), hex(&format!("value/{account}/{domain}")));
    ValidationRecord {
        name: format!("_{}.{domain}.", &left[..32]),
        kind: "CNAME".into(),
        value: format!("_{}.{}.acm-validations.aws.", &right[..32], &right[32..42]),
    }
}
