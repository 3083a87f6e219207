//! Certificate Manager: requests, validation through DNS, imports, use, deletion.

mod describe;
mod validation;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use validation::{domain, validation_record};

use crate::Aws;
use crate::api::acm::{
    AddTagsToCertificate, CertificateArn, CertificateBody, CertificateTags, DeleteCertificate, GetCertificate,
    ImportCertificate, ListTagsForCertificate, RemoveTagsFromCertificate, RequestCertificate,
};
use crate::api::{AwsError, Empty, Millis, Tag};
use crate::elbv2::tag_list;
use crate::settings::{SeedCertificate, Settings, quota};
use crate::table::Table;

const DAY: Millis = Millis::secs(24 * 3600);
const HOUR: Millis = Millis::secs(3600);

/// Certificates by ARN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Acm {
    pub(crate) certificates: Table<Certificate>,
    /// Certificates whose validation is under way.
    pending: BTreeSet<String>,
    /// When something let go of a certificate; deletion is refused for a while after.
    released: BTreeMap<String, Millis>,
    /// When certificates were requested, for the yearly quota; pruned as it is read.
    requested: Vec<Millis>,
}

/// A certificate as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Certificate {
    pub(crate) arn: String,
    pub(crate) imported: bool,
    /// The first one is the DomainName.
    pub(crate) names: Vec<String>,
    pub(crate) key_algorithm: String,
    pub(crate) requested: Millis,
    pub(crate) token: Option<String>,
    /// Domain (without `*.`) to the moment at which its validation record was first visible.
    pub(crate) seen: BTreeMap<String, Option<Millis>>,
    pub(crate) issued: Option<Millis>,
    pub(crate) failure: Option<String>,
    pub(crate) not_before: Millis,
    pub(crate) not_after: Millis,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) body: Option<(String, Option<String>)>,
}

impl Acm {
    /// The status of a certificate, `None` when there is none.
    pub(crate) fn status(&self, now: Millis, arn: &str) -> Option<&'static str> {
        let certificate = self.certificates.get(arn)?;
        Some(match (&certificate.failure, certificate.issued) {
            (Some(_), _) => "FAILED",
            (None, Some(at)) if at <= now => "ISSUED",
            // Still pending, or never proved: advance() tells the two apart through `pending`.
            (None, _) if self.pending.contains(arn) || certificate.issued.is_some() => "PENDING_VALIDATION",
            (None, _) => "VALIDATION_TIMED_OUT",
        })
    }

    /// Notes that a listener let go of these certificates.
    pub(crate) fn released(&mut self, now: Millis, arns: &[String]) {
        self.released.extend(arns.iter().map(|arn| (arn.clone(), now)));
    }

    pub(crate) fn seed(&mut self, settings: &Settings, seed: &SeedCertificate) {
        let id = seed.id.clone().unwrap_or_else(|| uuid(&seed.names.join(",")));
        let arn = format!("arn:aws:acm:{}:{}:certificate/{id}", settings.region, settings.account);
        let certificate = Certificate {
            arn: arn.clone(),
            imported: true,
            names: seed.names.iter().map(|n| n.to_ascii_lowercase()).collect(),
            key_algorithm: "RSA_2048".into(),
            requested: Millis(0),
            token: None,
            seen: BTreeMap::new(),
            issued: Some(Millis(0)),
            failure: None,
            not_before: Millis(0),
            // Far away, so that neither a real clock nor an advanced one reaches it: 2100-01-01.
            not_after: Millis(4_102_444_800_000),
            tags: seed.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
            body: None,
        };
        self.certificates.insert(arn, certificate);
    }
}

impl Aws {
    pub(crate) fn request_certificate(
        &mut self,
        now: Millis,
        call: &RequestCertificate,
    ) -> Result<CertificateArn, AwsError> {
        let mut names = vec![call.domain_name.to_ascii_lowercase()];
        for name in call.subject_alternative_names.iter().flatten() {
            let name = name.to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in &names {
            check_domain(name)?;
        }
        if names[0].len() > 64 {
            return Err(invalid(format!(
                "The domain name '{}' has more than 64 characters, which a common name cannot have",
                names[0]
            )));
        }
        let limit = self.settings.quotas.get(quota::ACM_NAMES).min(100);
        if i64::try_from(names.len()).unwrap_or(i64::MAX) > limit {
            return Err(exceeded(format!(
                "Cannot request more than {limit} domain names per certificate, {} given",
                names.len()
            )));
        }
        let method = call.validation_method.as_deref().unwrap_or("EMAIL");
        if method != "DNS" {
            return Err(invalid(format!("ValidationMethod '{method}' is not modelled, only 'DNS' is")));
        }
        let key_algorithm = call.key_algorithm.clone().unwrap_or_else(|| "RSA_2048".into());
        if !["RSA_2048", "EC_prime256v1"].contains(&key_algorithm.as_str()) {
            return Err(invalid(format!(
                "KeyAlgorithm '{key_algorithm}' cannot be requested; RSA_2048 and EC_prime256v1 can"
            )));
        }
        for option in call.domain_validation_options.iter().flatten() {
            if !names.contains(&option.domain_name.to_ascii_lowercase()) {
                return Err(AwsError::new(
                    "InvalidDomainValidationOptionsException",
                    format!("The domain name '{}' of DomainValidationOptions is not requested", option.domain_name),
                ));
            }
        }
        let tags = self.acm_tags(&BTreeMap::new(), call.tags.as_deref().unwrap_or_default())?;
        if let Some(token) = &call.idempotency_token {
            if token.is_empty() || token.len() > 32 || !token.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
                return Err(invalid(format!(
                    "1 validation error detected: Value '{token}' at 'idempotencyToken' failed to satisfy constraint: Member must satisfy regular expression pattern: \\w+ and have at most 32 characters"
                )));
            }
            let same =
                self.acm.certificates.values().find(|c| c.token.as_ref() == Some(token) && now - c.requested < HOUR);
            if let Some(existing) = same {
                return Ok(CertificateArn { certificate_arn: existing.arn.clone() });
            }
        }
        self.check_certificate_quota()?;
        let year = Millis(365 * DAY.0);
        self.acm.requested.retain(|at| now - *at < year);
        let limit = self.settings.quotas.get(quota::ACM_REQUESTS_PER_YEAR);
        if i64::try_from(self.acm.requested.len()).unwrap_or(i64::MAX) >= limit {
            return Err(exceeded(format!(
                "Error: you have reached your limit of {limit} certificates in the last year."
            )));
        }
        let id = self.fresh_id(&format!("certificate/{}", names.join(",")));
        let arn = format!("arn:aws:acm:{}:{}:certificate/{}", self.settings.region, self.settings.account, uuid(&id));
        let certificate = Certificate {
            arn: arn.clone(),
            imported: false,
            seen: names.iter().map(|name| (domain(name).to_owned(), None)).collect(),
            names,
            key_algorithm,
            requested: now,
            token: call.idempotency_token.clone(),
            issued: None,
            failure: None,
            not_before: now,
            not_after: now + Millis(395 * DAY.0),
            tags,
            body: None,
        };
        self.acm.requested.push(now);
        self.acm.pending.insert(arn.clone());
        self.acm.certificates.insert(arn.clone(), certificate);
        self.advance(now);
        Ok(CertificateArn { certificate_arn: arn })
    }

    pub(crate) fn import_certificate(
        &mut self,
        now: Millis,
        call: &ImportCertificate,
    ) -> Result<CertificateArn, AwsError> {
        if call.certificate.is_empty() || call.private_key.is_empty() {
            return Err(invalid("Certificate and PrivateKey must be specified"));
        }
        let Some(facts) = call.parsed.as_ref().filter(|facts| !facts.names.is_empty()) else {
            return Err(invalid("The certificate field contains no certificate with a name"));
        };
        let (arn, tags) = match &call.certificate_arn {
            Some(arn) => {
                let present = self.certificate(arn)?;
                if !present.imported {
                    return Err(invalid(format!("Certificate '{arn}' is not imported and cannot be re-imported")));
                }
                if call.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
                    return Err(invalid("You cannot apply tags when re-importing a certificate"));
                }
                (arn.clone(), present.tags.clone())
            }
            None => {
                let tags = self.acm_tags(&BTreeMap::new(), call.tags.as_deref().unwrap_or_default())?;
                self.check_certificate_quota()?;
                let id = self.fresh_id(&format!("certificate/{}", facts.names.join(",")));
                let account = &self.settings.account;
                (format!("arn:aws:acm:{}:{account}:certificate/{}", self.settings.region, uuid(&id)), tags)
            }
        };
        let certificate = Certificate {
            arn: arn.clone(),
            imported: true,
            names: facts.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            key_algorithm: facts.key_algorithm.clone(),
            requested: now,
            token: None,
            seen: BTreeMap::new(),
            issued: Some(now),
            failure: None,
            not_before: facts.not_before,
            not_after: facts.not_after,
            tags,
            body: Some((call.certificate.clone(), call.certificate_chain.clone())),
        };
        self.acm.certificates.insert(arn.clone(), certificate);
        Ok(CertificateArn { certificate_arn: arn })
    }

    pub(crate) fn delete_certificate(&mut self, now: Millis, call: &DeleteCertificate) -> Result<Empty, AwsError> {
        let arn = &call.certificate_arn;
        self.certificate(arn)?;
        let lag = self.settings.delays.in_use_lag;
        let lingers = self.acm.released.get(arn).is_some_and(|at| now < *at + lag);
        if lingers || !self.users_of(arn).is_empty() {
            return Err(AwsError::new(
                "ResourceInUseException",
                format!("Certificate {arn} in account {} is in use.", self.settings.account),
            ));
        }
        self.acm.certificates.remove(arn);
        self.acm.pending.remove(arn);
        self.acm.released.remove(arn);
        Ok(Empty {})
    }

    pub(crate) fn add_tags_to_certificate(&mut self, call: &AddTagsToCertificate) -> Result<Empty, AwsError> {
        let present = self.certificate(&call.certificate_arn)?.tags.clone();
        if call.tags.is_empty() {
            return Err(invalid("At least one tag must be specified"));
        }
        let tags = self.acm_tags(&present, &call.tags)?;
        if let Some(certificate) = self.acm.certificates.get_mut(&call.certificate_arn) {
            certificate.tags = tags;
        }
        Ok(Empty {})
    }

    pub(crate) fn remove_tags_from_certificate(&mut self, call: &RemoveTagsFromCertificate) -> Result<Empty, AwsError> {
        self.certificate(&call.certificate_arn)?;
        if let Some(certificate) = self.acm.certificates.get_mut(&call.certificate_arn) {
            // A tag given with a value goes only when the value fits too.
            certificate.tags.retain(|key, value| {
                !call.tags.iter().any(|tag| tag.key == *key && (tag.value.is_empty() || tag.value == *value))
            });
        }
        Ok(Empty {})
    }

    pub(crate) fn list_tags_for_certificate(&self, call: &ListTagsForCertificate) -> Result<CertificateTags, AwsError> {
        Ok(CertificateTags { tags: tag_list(&self.certificate(&call.certificate_arn)?.tags) })
    }

    pub(crate) fn get_certificate(&self, now: Millis, call: &GetCertificate) -> Result<CertificateBody, AwsError> {
        let certificate = self.certificate(&call.certificate_arn)?;
        if self.acm.status(now, &certificate.arn) != Some("ISSUED") {
            return Err(AwsError::new(
                "RequestInProgressException",
                format!("Certificate {} is not issued", certificate.arn),
            ));
        }
        // A pure model signs nothing: the simulator's server puts a certificate of its own CA here.
        let (certificate, certificate_chain) = certificate.body.clone().unwrap_or_default();
        Ok(CertificateBody { certificate, certificate_chain })
    }

    /// The certificate of this ARN, or ACM's errors.
    pub(crate) fn certificate(&self, arn: &str) -> Result<&Certificate, AwsError> {
        if !arn.starts_with("arn:aws:acm:") || !arn.contains(":certificate/") {
            return Err(AwsError::new("InvalidArnException", format!("The certificate ARN '{arn}' is not valid")));
        }
        self.acm
            .certificates
            .get(arn)
            .map(AsRef::as_ref)
            .ok_or_else(|| AwsError::new("ResourceNotFoundException", format!("Could not find certificate {arn}.")))
    }

    /// Load balancers that serve a certificate.
    fn users_of(&self, arn: &str) -> Vec<String> {
        let users: BTreeSet<&String> = self
            .elb
            .listeners
            .values()
            .filter(|listener| listener.certificate.as_deref() == Some(arn) || listener.certificates.contains(arn))
            .map(|listener| &listener.load_balancer)
            .collect();
        users.into_iter().cloned().collect()
    }

    fn check_certificate_quota(&self) -> Result<(), AwsError> {
        self.quota(quota::ACM_CERTIFICATES, self.acm.certificates.len() + 1)
            .map_err(|limit| exceeded(format!("Error: you have reached your limit of {limit} certificates.")))
    }

    fn acm_tags(&self, present: &BTreeMap<String, String>, tags: &[Tag]) -> Result<BTreeMap<String, String>, AwsError> {
        let mut next = present.clone();
        for Tag { key, value } in tags {
            if key.is_empty()
                || key.chars().count() > 128
                || value.chars().count() > 256
                || key.to_ascii_lowercase().starts_with("aws:")
            {
                return Err(AwsError::new("InvalidTagException", format!("The tag '{key}'='{value}' is not valid")));
            }
            next.insert(key.clone(), value.clone());
        }
        self.quota(quota::TAGS, next.len()).map_err(|limit| {
            AwsError::new("TooManyTagsException", format!("A certificate can have at most {limit} tags"))
        })?;
        Ok(next)
    }
}

fn invalid(text: impl Into<String>) -> AwsError {
    AwsError::new("ValidationException", text)
}

fn exceeded(text: impl Into<String>) -> AwsError {
    AwsError::new("LimitExceededException", text)
}

fn check_domain(name: &str) -> Result<(), AwsError> {
    let bare = domain(name);
    let fits = name.len() <= 253
        && bare.contains('.')
        && bare.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        });
    if fits {
        return Ok(());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{name}' at 'domainName' failed to satisfy constraint: it must be a domain name, with '*' as its whole first label at most"
    )))
}

pub(crate) fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn uuid(text: &str) -> String {
    let hex = hex(text);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
