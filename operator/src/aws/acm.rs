//! Certificates.

use std::collections::BTreeMap;

use aws_sdk_acm::Client;
use aws_sdk_acm::types::{CertificateStatus, CertificateType, Filters, KeyAlgorithm};
use gatehouse_core::aws::{AwsAnswer, Certificate};

use super::Failure;

/// Every issued certificate. Without `keyTypes` ACM hides all but RSA 1024 and 2048.
pub(super) async fn certificates(client: &Client) -> Result<AwsAnswer, Failure> {
    let types = [
        KeyAlgorithm::Rsa1024,
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::Rsa4096,
        KeyAlgorithm::EcPrime256v1,
        KeyAlgorithm::EcSecp384r1,
        KeyAlgorithm::EcSecp521r1,
    ];
    let filters = Filters::builder().set_key_types(Some(types.to_vec())).build();
    let mut out = BTreeMap::new();
    let mut next = None;
    loop {
        let page = client
            .list_certificates()
            .certificate_statuses(CertificateStatus::Issued)
            .includes(filters.clone())
            .set_next_token(next)
            .send()
            .await?;
        for summary in page.certificate_summary_list() {
            let Some(arn) = summary.certificate_arn() else { continue };
            let mut names = summary.subject_alternative_name_summaries().to_vec();
            names.extend(summary.domain_name().map(str::to_owned));
            // A summary holds the first hundred names; a certificate with more is judged by all of them.
            if summary.has_additional_subject_alternative_names() == Some(true) {
                let whole = client.describe_certificate().certificate_arn(arn).send().await?;
                names = whole.certificate().map(|c| c.subject_alternative_names().to_vec()).unwrap_or_default();
            }
            let certificate = Certificate {
                names: names.into_iter().collect(),
                not_after: summary.not_after().map_or(0, aws_smithy_types::DateTime::secs),
                private_ca: summary.r#type() == Some(&CertificateType::Private),
            };
            out.insert(arn.to_owned(), certificate);
        }
        next = page.next_token().map(str::to_owned);
        if next.is_none() {
            return Ok(AwsAnswer::Certificates(out));
        }
    }
}
