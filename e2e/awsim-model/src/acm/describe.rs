//! Certificates as callers see them: one in full, many in short.

use super::{domain, hex, invalid, validation_record};
use crate::Aws;
use crate::api::acm::{
    CertificateAnswer, CertificateDetail, CertificateList, CertificateOptions, CertificateSummary, DescribeCertificate,
    DomainValidation, ListCertificates,
};
use crate::api::{AwsError, Millis};

impl Aws {
    pub(crate) fn describe_certificate(
        &self,
        now: Millis,
        call: &DescribeCertificate,
    ) -> Result<CertificateAnswer, AwsError> {
        let certificate = self.certificate(&call.certificate_arn)?;
        let status = self.acm.status(now, &certificate.arn).unwrap_or_default();
        let issued = certificate.issued.filter(|at| *at <= now);
        let shows_record = now >= certificate.requested + self.settings.delays.acm_record;
        let validations = certificate.names.iter().map(|name| {
            let seen = certificate.seen.get(domain(name)).copied().flatten();
            DomainValidation {
                domain_name: name.clone(),
                validation_domain: Some(name.clone()),
                validation_status: Some(
                    match status {
                        "ISSUED" => "SUCCESS",
                        "FAILED" | "VALIDATION_TIMED_OUT" => "FAILED",
                        _ if seen.is_some_and(|at| at + self.settings.delays.acm_validation <= now) => "SUCCESS",
                        _ => "PENDING_VALIDATION",
                    }
                    .into(),
                ),
                resource_record: shows_record.then(|| validation_record(&self.settings.account, domain(name))),
                validation_method: Some("DNS".into()),
            }
        });
        let detail = CertificateDetail {
            certificate_arn: certificate.arn.clone(),
            domain_name: certificate.names[0].clone(),
            subject_alternative_names: certificate.names.clone(),
            domain_validation_options: (!certificate.imported).then(|| validations.collect()),
            serial: issued.map(|_| hex(&certificate.arn)[..32].to_owned()),
            subject: Some(format!("CN={}", certificate.names[0])),
            issuer: Some(if certificate.imported { "Imported" } else { "Amazon" }.into()),
            created_at: (!certificate.imported).then_some(certificate.requested),
            issued_at: issued.filter(|_| !certificate.imported),
            imported_at: certificate.imported.then_some(certificate.requested),
            status: status.into(),
            failure_reason: certificate.failure.clone(),
            not_before: issued.map(|_| certificate.not_before),
            not_after: issued.map(|_| certificate.not_after),
            key_algorithm: certificate.key_algorithm.clone(),
            signature_algorithm: Some("SHA256WITHRSA".into()),
            in_use_by: self.users_of(&certificate.arn),
            kind: if certificate.imported { "IMPORTED" } else { "AMAZON_ISSUED" }.into(),
            renewal_eligibility: Some(
                if certificate.imported || issued.is_none() { "INELIGIBLE" } else { "ELIGIBLE" }.into(),
            ),
            renewal_summary: None,
            options: Some(CertificateOptions {
                certificate_transparency_logging_preference: Some(
                    if certificate.imported { "DISABLED" } else { "ENABLED" }.into(),
                ),
                export: None,
            }),
        };
        Ok(CertificateAnswer { certificate: detail })
    }

    pub(crate) fn list_certificates(&self, now: Millis, call: &ListCertificates) -> Result<CertificateList, AwsError> {
        let max = match call.max_items {
            None => 1000,
            Some(n @ 1..=1000) => usize::try_from(n).unwrap_or(1000),
            Some(n) => {
                return Err(invalid(format!(
                    "1 validation error detected: Value '{n}' at 'maxItems' failed to satisfy constraint: Member must be between 1 and 1000"
                )));
            }
        };
        let start = match &call.next_token {
            None => "",
            Some(token) => {
                token.strip_prefix("after-").ok_or_else(|| invalid(format!("NextToken '{token}' is not valid")))?
            }
        };
        let types =
            call.includes.as_ref().and_then(|filters| filters.key_types.clone()).filter(|types| !types.is_empty());
        // Without a filter ACM shows only the two oldest key types.
        let types = types.unwrap_or_else(|| vec!["RSA_1024".into(), "RSA_2048".into()]);
        let statuses = call.certificate_statuses.as_deref().unwrap_or_default();
        let mut rest = self
            .acm
            .certificates
            .values()
            .filter(|certificate| certificate.arn.as_str() > start)
            .filter(|certificate| types.contains(&certificate.key_algorithm))
            .map(|certificate| (certificate, self.acm.status(now, &certificate.arn).unwrap_or_default()))
            .filter(|(_, status)| statuses.is_empty() || statuses.iter().any(|s| s == status))
            .peekable();
        let mut certificate_summary_list = Vec::new();
        while certificate_summary_list.len() < max {
            let Some((certificate, status)) = rest.next() else { break };
            let issued = certificate.issued.filter(|at| *at <= now);
            certificate_summary_list.push(CertificateSummary {
                certificate_arn: certificate.arn.clone(),
                domain_name: certificate.names[0].clone(),
                subject_alternative_name_summaries: certificate.names.iter().take(100).cloned().collect(),
                has_additional_subject_alternative_names: certificate.names.len() > 100,
                status: status.into(),
                kind: if certificate.imported { "IMPORTED" } else { "AMAZON_ISSUED" }.into(),
                key_algorithm: certificate.key_algorithm.clone(),
                in_use: !self.users_of(&certificate.arn).is_empty(),
                exported: Some(false),
                renewal_eligibility: Some(
                    if certificate.imported || issued.is_none() { "INELIGIBLE" } else { "ELIGIBLE" }.into(),
                ),
                not_before: issued.map(|_| certificate.not_before),
                not_after: issued.map(|_| certificate.not_after),
                created_at: (!certificate.imported).then_some(certificate.requested),
                issued_at: issued.filter(|_| !certificate.imported),
                imported_at: certificate.imported.then_some(certificate.requested),
            });
        }
        let more = rest.peek().is_some();
        let last = certificate_summary_list.last().map(|summary| format!("after-{}", summary.certificate_arn));
        Ok(CertificateList { certificate_summary_list, next_token: last.filter(|_| more) })
    }
}
