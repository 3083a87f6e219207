//! Certificates of listeners: the SNI list.

use super::{Kind, page};
use crate::Aws;
use crate::api::elbv2::{
    AddListenerCertificates, Certificate, Certificates, DescribeListenerCertificates, RemoveListenerCertificates,
};
use crate::api::{AwsError, Empty, Millis};
use crate::settings::quota;

impl Aws {
    pub(crate) fn add_listener_certificates(
        &mut self,
        now: Millis,
        call: &AddListenerCertificates,
    ) -> Result<Certificates, AwsError> {
        let arn = &call.listener_arn;
        Kind::Listener.check(arn)?;
        let listener = self.visible_listener(now, arn)?.clone();
        if listener.protocol != "HTTPS" {
            return Err(AwsError::validation(format!(
                "Listener '{arn}' of protocol '{}' cannot have certificates",
                listener.protocol
            )));
        }
        if call.certificates.is_empty() {
            return Err(AwsError::validation("A certificate must be specified"));
        }
        let mut next = listener.certificates.clone();
        for certificate in &call.certificates {
            if certificate.is_default.is_some() {
                return Err(AwsError::validation("IsDefault cannot be set when a certificate is added to a listener"));
            }
            self.check_certificate(now, &certificate.certificate_arn)?;
            next.insert(certificate.certificate_arn.clone());
        }
        // The quota is per load balancer; default certificates do not count.
        let others: usize = self
            .load_balancer(&listener.load_balancer)?
            .listeners
            .values()
            .filter(|other| *other != arn)
            .filter_map(|other| self.elb.listeners.get(other))
            .map(|other| other.certificates.len())
            .sum();
        if next.len() > listener.certificates.len() {
            self.quota(quota::CERTIFICATES, others + next.len()).map_err(|limit| {
                AwsError::new(
                    "TooManyCertificates",
                    format!(
                        "The maximum number of certificates has been reached on load balancer '{}': [{limit}]",
                        listener.load_balancer
                    ),
                )
            })?;
        }
        if let Some(listener) = self.elb.listeners.get_mut(arn) {
            listener.certificates = next;
        }
        self.publish(now, arn);
        let certificates = call
            .certificates
            .iter()
            .map(|c| Certificate { certificate_arn: c.certificate_arn.clone(), is_default: Some(false) })
            .collect();
        Ok(Certificates { certificates, next_marker: None })
    }

    pub(crate) fn remove_listener_certificates(
        &mut self,
        now: Millis,
        call: &RemoveListenerCertificates,
    ) -> Result<Empty, AwsError> {
        let arn = &call.listener_arn;
        Kind::Listener.check(arn)?;
        let listener = self.listener(arn)?.clone();
        if call.certificates.is_empty() {
            return Err(AwsError::validation("A certificate must be specified"));
        }
        for certificate in &call.certificates {
            let certificate = &certificate.certificate_arn;
            if listener.certificate.as_ref() == Some(certificate) && !listener.certificates.contains(certificate) {
                return Err(AwsError::new(
                    "OperationNotPermitted",
                    format!("Default certificate '{certificate}' cannot be removed from listener '{arn}'"),
                ));
            }
        }
        let mut removed = Vec::new();
        if let Some(listener) = self.elb.listeners.get_mut(arn) {
            for certificate in &call.certificates {
                if listener.certificates.remove(&certificate.certificate_arn) {
                    removed.push(certificate.certificate_arn.clone());
                }
            }
        }
        self.acm.released(now, &removed);
        self.publish(now, arn);
        Ok(Empty {})
    }

    pub(crate) fn describe_listener_certificates(
        &self,
        call: &DescribeListenerCertificates,
    ) -> Result<Certificates, AwsError> {
        Kind::Listener.check(&call.listener_arn)?;
        let listener = self.listener(&call.listener_arn)?;
        let shown = |arn: &String, default| Certificate { certificate_arn: arn.clone(), is_default: Some(default) };
        let all = listener
            .certificate
            .iter()
            .map(|arn| shown(arn, true))
            .chain(listener.certificates.iter().map(|arn| shown(arn, false)))
            .collect();
        let (certificates, next_marker) = page(all, call.marker.as_deref(), call.page_size)?;
        Ok(Certificates { certificates, next_marker })
    }

    /// Only what exists and is ISSUED can be attached.
    pub(super) fn check_certificate(&self, now: Millis, arn: &str) -> Result<(), AwsError> {
        if arn.is_empty() {
            return Err(AwsError::validation("A certificate ARN must be specified"));
        }
        match self.acm.status(now, arn) {
            None => Err(AwsError::new("CertificateNotFound", format!("Certificate '{arn}' not found"))),
            Some("ISSUED") => Ok(()),
            Some(status) => Err(AwsError::new(
                "UnsupportedCertificate",
                format!(
                    "The certificate '{arn}' must have a fully-qualified domain name, a supported signature, and status ISSUED, not {status}"
                ),
            )),
        }
    }
}
