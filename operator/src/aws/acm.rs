//! Certificates.

use std::collections::BTreeMap;

use aws_sdk_acm::Client;
use aws_sdk_acm::types::{
    CertificateStatus as SdkStatus, CertificateSummary, CertificateType, DomainValidation, Filters, KeyAlgorithm, Tag,
    ValidationMethod,
};
use gatehouse_core::aws::{
    AwsAnswer, AwsCall, Certificate, CertificateDetails, CertificateStatus, DETAILS, Refusal, RefusalClass, Tags,
    ValidationRecord,
};

use super::Failure;
use super::route53::plain;

pub(super) async fn call(client: &Client, call: AwsCall) -> Result<AwsAnswer, Failure> {
    match call {
        AwsCall::ReadCertificates { known } => certificates(client, &known).await.map(AwsAnswer::Certificates),
        AwsCall::RequestCertificate { names, token, tags } => request(client, names, token, tags).await,
        AwsCall::DeleteCertificate { certificate } => {
            client.delete_certificate().certificate_arn(certificate).send().await?;
            Ok(AwsAnswer::Done)
        }
        other => Err(refused(format!("{other:?} is no call of ACM"))),
    }
}

fn refused(message: String) -> Failure {
    Failure::Refused(Refusal { class: RefusalClass::Invalid, message })
}

/// Every certificate, whatever its status; details of as many as are not known yet and fit into one call.
async fn certificates(
    client: &Client,
    known: &BTreeMap<String, CertificateStatus>,
) -> Result<BTreeMap<String, Certificate>, Failure> {
    let mut out = BTreeMap::new();
    let mut next = None;
    loop {
        let page = client.list_certificates().includes(every_key_type()).set_next_token(next).send().await?;
        for summary in page.certificate_summary_list() {
            let Some(arn) = summary.certificate_arn() else { continue };
            let mut certificate = from_summary(summary);
            // A summary holds the first hundred names; a certificate with more is judged by all of them.
            if summary.has_additional_subject_alternative_names() == Some(true) {
                let whole = client.describe_certificate().certificate_arn(arn).send().await?;
                let names = whole.certificate().map(|c| c.subject_alternative_names().to_vec());
                certificate.names = names.into_iter().flatten().collect();
            }
            out.insert(arn.to_owned(), certificate);
        }
        next = page.next_token().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    let unknown = out.iter_mut().filter(|(arn, c)| c.details.is_none() && known.get(*arn) != Some(&c.status));
    for (arn, certificate) in unknown.take(DETAILS) {
        certificate.details = Some(details(client, arn, certificate.status).await?);
    }
    Ok(out)
}

/// Without `keyTypes` ACM hides all but RSA 1024 and 2048.
fn every_key_type() -> Filters {
    let types = [
        KeyAlgorithm::Rsa1024,
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::Rsa4096,
        KeyAlgorithm::EcPrime256v1,
        KeyAlgorithm::EcSecp384r1,
        KeyAlgorithm::EcSecp521r1,
    ];
    Filters::builder().set_key_types(Some(types.to_vec())).build()
}

fn from_summary(summary: &CertificateSummary) -> Certificate {
    let mut names = summary.subject_alternative_name_summaries().to_vec();
    names.extend(summary.domain_name().map(str::to_owned));
    let seconds = |at: Option<&aws_smithy_types::DateTime>| at.map_or(0, aws_smithy_types::DateTime::secs);
    Certificate {
        names: names.into_iter().collect(),
        status: match summary.status() {
            Some(SdkStatus::Issued) => CertificateStatus::Issued,
            Some(SdkStatus::PendingValidation) => CertificateStatus::Pending,
            Some(SdkStatus::Failed) => CertificateStatus::Failed,
            Some(SdkStatus::ValidationTimedOut) => CertificateStatus::TimedOut,
            _ => CertificateStatus::Unusable,
        },
        not_after: seconds(summary.not_after()),
        created: seconds(summary.created_at()),
        private_ca: summary.r#type() == Some(&CertificateType::Private),
        in_use: summary.in_use().unwrap_or(true),
        // Only what ACM issues can be ours.
        details: (summary.r#type() != Some(&CertificateType::AmazonIssued)).then(CertificateDetails::default),
    }
}

async fn details(client: &Client, arn: &str, status: CertificateStatus) -> Result<CertificateDetails, Failure> {
    let answer = client.list_tags_for_certificate().certificate_arn(arn).send().await?;
    let tags = answer.tags().iter().map(|t| (t.key().to_owned(), t.value().unwrap_or_default().to_owned())).collect();
    let mut details = CertificateDetails::from_tags(&tags);
    if details.cluster.is_some() || status == CertificateStatus::Failed {
        let answer = client.describe_certificate().certificate_arn(arn).send().await?;
        if let Some(whole) = answer.certificate() {
            details.failure = whole.failure_reason().map(|reason| reason.as_str().to_owned());
            details.records = whole.domain_validation_options().iter().filter_map(validation).collect();
        }
    }
    Ok(details)
}

fn validation(option: &DomainValidation) -> Option<ValidationRecord> {
    let record = option.resource_record()?;
    let domain = option.domain_name().trim_start_matches("*.").to_owned();
    Some(ValidationRecord { domain, name: plain(record.name()), value: plain(record.value()) })
}

async fn request(client: &Client, names: Vec<String>, token: String, tags: Tags) -> Result<AwsAnswer, Failure> {
    let tags: Result<Vec<Tag>, _> = tags.into_iter().map(|(k, v)| Tag::builder().key(k).value(v).build()).collect();
    let tags = tags.map_err(|e| refused(e.to_string()))?;
    let answer = client
        .request_certificate()
        .set_domain_name(names.first().cloned())
        .set_subject_alternative_names(Some(names))
        .validation_method(ValidationMethod::Dns)
        .idempotency_token(token)
        .set_tags(Some(tags))
        .send()
        .await?;
    let arn = answer.certificate_arn().map(str::to_owned);
    arn.map(AwsAnswer::Arn).ok_or_else(|| Failure::Unknown("RequestCertificate answered without ARN".into()))
}
