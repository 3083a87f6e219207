//! AWS Certificate Manager, API version 2015-12-08: the shapes of requests and answers, under AWS's own names.

use super::{Tag, Timestamp};

shapes! {
    DomainValidation {
        domain_name: String,
        validation_domain: Option<String>,
        validation_status: Option<String>,
        resource_record: Option<ValidationRecord>,
        validation_method: Option<String>,
    }
    /// The CNAME that proves control of a domain: `name` and `value` end with a dot, `kind` is `CNAME`.
    ValidationRecord {
        name: String,
        #[serde(rename = "Type")]
        kind: String,
        value: String,
    }
    DomainValidationOption { domain_name: String, validation_domain: String }
    CertificateOptions { certificate_transparency_logging_preference: Option<String>, export: Option<String> }
    RenewalSummary {
        renewal_status: String,
        domain_validation_options: Vec<DomainValidation>,
        updated_at: Timestamp,
    }
    CertificateDetail {
        certificate_arn: String,
        domain_name: String,
        subject_alternative_names: Vec<String>,
        domain_validation_options: Option<Vec<DomainValidation>>,
        serial: Option<String>,
        subject: Option<String>,
        issuer: Option<String>,
        created_at: Option<Timestamp>,
        issued_at: Option<Timestamp>,
        imported_at: Option<Timestamp>,
        status: String,
        failure_reason: Option<String>,
        not_before: Option<Timestamp>,
        not_after: Option<Timestamp>,
        key_algorithm: String,
        signature_algorithm: Option<String>,
        in_use_by: Vec<String>,
        #[serde(rename = "Type")]
        kind: String,
        renewal_eligibility: Option<String>,
        renewal_summary: Option<RenewalSummary>,
        options: Option<CertificateOptions>,
    }
    CertificateSummary {
        certificate_arn: String,
        domain_name: String,
        subject_alternative_name_summaries: Vec<String>,
        has_additional_subject_alternative_names: bool,
        status: String,
        #[serde(rename = "Type")]
        kind: String,
        key_algorithm: String,
        in_use: bool,
        exported: Option<bool>,
        renewal_eligibility: Option<String>,
        not_before: Option<Timestamp>,
        not_after: Option<Timestamp>,
        created_at: Option<Timestamp>,
        issued_at: Option<Timestamp>,
        imported_at: Option<Timestamp>,
    }
    CertificateFilters {
        #[serde(rename = "extendedKeyUsage")]
        extended_key_usage: Option<Vec<String>>,
        #[serde(rename = "keyUsage")]
        key_usage: Option<Vec<String>>,
        #[serde(rename = "keyTypes")]
        key_types: Option<Vec<String>>,
        #[serde(rename = "exportOption")]
        export_option: Option<String>,
        #[serde(rename = "managedBy")]
        managed_by: Option<String>,
    }

    RequestCertificate {
        domain_name: String,
        validation_method: Option<String>,
        subject_alternative_names: Option<Vec<String>>,
        idempotency_token: Option<String>,
        domain_validation_options: Option<Vec<DomainValidationOption>>,
        options: Option<CertificateOptions>,
        tags: Option<Vec<Tag>>,
        key_algorithm: Option<String>,
    }
    /// On the wire `Certificate` is PEM; the simulator's server reads names, key type and dates from it into `parsed`.
    ImportCertificate {
        certificate_arn: Option<String>,
        /// PEM text (base64 of it on the JSON wire).
        certificate: String,
        /// PEM text; the model checks only that it is there.
        private_key: String,
        certificate_chain: Option<String>,
        tags: Option<Vec<Tag>>,
        /// What the certificate says, filled in by whoever can parse X.509: the model cannot.
        parsed: Option<ImportedFacts>,
    }
    ImportedFacts { names: Vec<String>, key_algorithm: String, not_before: Timestamp, not_after: Timestamp }
    DescribeCertificate { certificate_arn: String }
    ListCertificates {
        certificate_statuses: Option<Vec<String>>,
        includes: Option<CertificateFilters>,
        next_token: Option<String>,
        max_items: Option<i64>,
        sort_by: Option<String>,
        sort_order: Option<String>,
    }
    DeleteCertificate { certificate_arn: String }
    AddTagsToCertificate { certificate_arn: String, tags: Vec<Tag> }
    RemoveTagsFromCertificate { certificate_arn: String, tags: Vec<Tag> }
    ListTagsForCertificate { certificate_arn: String }
    GetCertificate { certificate_arn: String }

    CertificateArn { certificate_arn: String }
    CertificateAnswer { certificate: CertificateDetail }
    CertificateList { certificate_summary_list: Vec<CertificateSummary>, next_token: Option<String> }
    CertificateTags { tags: Vec<Tag> }
    CertificateBody { certificate: String, certificate_chain: Option<String> }
}
