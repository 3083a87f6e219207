//! Certificates as ACM lists them, and what tells ours from others'.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_crds::keys;
use gatehouse_route::Host;
use serde::{Deserialize, Serialize};

/// A certificate of a Region.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// Names as written, wildcards included.
    pub names: BTreeSet<String>,
    /// Where it stands.
    pub status: CertificateStatus,
    /// End of validity, seconds since 1970; 0 if unknown.
    pub not_after: i64,
    /// When it was asked for, seconds since 1970; 0 if unknown.
    pub created: i64,
    /// Issued by a private CA: never discovered.
    pub private_ca: bool,
    /// Whether something in AWS serves it, as of the listing.
    pub in_use: bool,
    /// What the listing does not tell; `None` until it has been asked for.
    pub details: Option<CertificateDetails>,
}

/// Where a certificate stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CertificateStatus {
    /// Usable until its end.
    #[default]
    Issued,
    /// Waits for its validation records to be seen.
    Pending,
    /// Refused; the details say why.
    Failed,
    /// Nobody proved the names within 72 hours.
    TimedOut,
    /// Expired, revoked or inactive.
    Unusable,
}

/// What only ListTagsForCertificate and DescribeCertificate tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CertificateDetails {
    /// Value of our cluster tag, if any.
    pub cluster: Option<String>,
    /// Value of our namespace tag, if any.
    pub namespace: Option<String>,
    /// Value of our attempt tag; 0 without one.
    pub attempt: u32,
    /// FailureReason of a failed one.
    pub failure: Option<String>,
    /// The CNAMEs that prove its names; empty for the first seconds after a request, and for those not ours.
    pub records: BTreeSet<ValidationRecord>,
}

/// A CNAME that proves control of a domain to ACM. It is the same for every certificate of the account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// The proved domain, without `*.`.
    pub domain: String,
    /// Lower case, no final dot.
    pub name: String,
    /// Lower case, no final dot.
    pub value: String,
}

impl CertificateDetails {
    /// Reads our tags.
    #[must_use]
    pub fn from_tags(tags: &BTreeMap<String, String>) -> Self {
        CertificateDetails {
            cluster: tags.get(keys::TAG_CLUSTER).cloned(),
            namespace: tags.get(keys::TAG_NAMESPACE).cloned(),
            attempt: tags.get(keys::TAG_ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(0),
            ..CertificateDetails::default()
        }
    }
}

impl Certificate {
    /// Whether it covers the host. A wildcard covers one label; a wildcard host needs the same wildcard.
    #[must_use]
    pub fn covers(&self, host: &Host) -> bool {
        let text = host.as_text();
        self.names.contains(&text)
            || host.parent_wildcard().is_some_and(|w| !host.is_wildcard() && self.names.contains(&w.as_text()))
    }

    /// Whether its details must be asked for: never read, of another status by now, or ours without its records.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.details.as_ref().is_some_and(|d| {
            d.cluster.is_none()
                || !d.records.is_empty()
                || !matches!(self.status, CertificateStatus::Pending | CertificateStatus::Issued)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_cover_one_label() {
        let certificate = Certificate { names: ["*.example.com".to_owned()].into(), ..Certificate::default() };
        for (host, covered) in
            [("a.example.com", true), ("*.example.com", true), ("example.com", false), ("b.a.example.com", false)]
        {
            assert_eq!(certificate.covers(&Host::parse(host).unwrap()), covered, "{host}");
        }
    }
}
