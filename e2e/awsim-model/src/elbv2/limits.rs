//! Account limits and SSL policies.

use super::page;
use crate::Aws;
use crate::api::AwsError;
use crate::api::elbv2::{Cipher, DescribeAccountLimits, DescribeSSLPolicies, Limit, Limits, SslPolicies, SslPolicy};

/// The policies an ALB may use here: AWS's default, and those with TLS 1.2 and 1.3.
pub(super) const SSL_POLICIES: [&str; 11] = [
    "ELBSecurityPolicy-2016-08",
    "ELBSecurityPolicy-FS-1-2-Res-2020-10",
    "ELBSecurityPolicy-TLS-1-2-2017-01",
    "ELBSecurityPolicy-TLS-1-2-Ext-2018-06",
    "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-TLS13-1-1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
];

impl Aws {
    pub(crate) fn describe_account_limits(&self, call: &DescribeAccountLimits) -> Result<Limits, AwsError> {
        // Quotas with a slash belong to other services, or are not part of AWS's answer.
        let all = self
            .settings
            .quotas
            .iter()
            .filter(|(name, _)| !name.contains('/'))
            .map(|(name, max)| Limit { name: name.into(), max: max.to_string() })
            .collect();
        let (limits, next_marker) = page(all, call.marker.as_deref(), call.page_size)?;
        Ok(Limits { limits, next_marker })
    }

    pub(crate) fn describe_ssl_policies(&self, call: &DescribeSSLPolicies) -> Result<SslPolicies, AwsError> {
        let names = call.names.as_deref().unwrap_or_default();
        if let Some(unknown) = names.iter().find(|name| !SSL_POLICIES.contains(&name.as_str())) {
            return Err(AwsError::new("SSLPolicyNotFound", format!("SSL policy '{unknown}' not found")));
        }
        let all = SSL_POLICIES
            .iter()
            .filter(|name| names.is_empty() || names.iter().any(|asked| asked == *name))
            .map(|name| SslPolicy {
                name: (*name).into(),
                ssl_protocols: if name.contains("1-3-2021") {
                    vec!["TLSv1.3".into()]
                } else if name.contains("TLS13") {
                    vec!["TLSv1.2".into(), "TLSv1.3".into()]
                } else {
                    vec!["TLSv1.2".into()]
                },
                ciphers: vec![Cipher { name: "ECDHE-RSA-AES128-GCM-SHA256".into(), priority: 1 }],
                supported_load_balancer_types: vec!["application".into()],
            })
            .collect();
        let (ssl_policies, next_marker) = page(all, call.marker.as_deref(), call.page_size)?;
        Ok(SslPolicies { ssl_policies, next_marker })
    }
}
