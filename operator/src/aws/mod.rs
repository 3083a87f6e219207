//! The engine's calls on AWS's wire. SDK types stop here; SDK retries are off, because the engine retries.

mod acm;
mod elbv2;
mod error;
mod route53;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use gatehouse_core::aws::{AwsAnswer, AwsCall};

pub use error::Failure;

/// Clients of one Region.
#[derive(Clone)]
struct Regional {
    elbv2: aws_sdk_elasticloadbalancingv2::Client,
    acm: aws_sdk_acm::Client,
}

/// Every AWS client the operator has.
pub struct Clients {
    base: SdkConfig,
    route53: aws_sdk_route53::Client,
    /// Clients of other accounts, by role; their credentials renew themselves.
    assumed: tokio::sync::Mutex<BTreeMap<String, aws_sdk_route53::Client>>,
    regional: Mutex<BTreeMap<String, Regional>>,
}

impl Clients {
    /// Reads credentials and endpoints as every AWS tool does: environment, profile, web identity, Pod Identity, IMDS.
    pub async fn load(call_deadline: Duration) -> Clients {
        use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts =
            TimeoutConfig::builder().operation_timeout(call_deadline).connect_timeout(Duration::from_secs(3)).build();
        let base = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .load()
            .await;
        // Route 53 is global, but its requests are signed for one Region.
        let signed = aws_sdk_route53::config::Builder::from(&base).region(Region::from_static("us-east-1")).build();
        Clients {
            route53: aws_sdk_route53::Client::from_conf(signed),
            base,
            assumed: tokio::sync::Mutex::default(),
            regional: Mutex::default(),
        }
    }

    fn regional(&self, region: &str) -> Regional {
        let mut all = self.regional.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.entry(region.to_owned())
            .or_insert_with(|| {
                let at = Region::new(region.to_owned());
                let elbv2 =
                    aws_sdk_elasticloadbalancingv2::config::Builder::from(&self.base).region(at.clone()).build();
                let acm = aws_sdk_acm::config::Builder::from(&self.base).region(at).build();
                Regional {
                    elbv2: aws_sdk_elasticloadbalancingv2::Client::from_conf(elbv2),
                    acm: aws_sdk_acm::Client::from_conf(acm),
                }
            })
            .clone()
    }

    /// The client of a zone's account: our own, or that of the role.
    async fn route53(&self, role: &str) -> aws_sdk_route53::Client {
        if role.is_empty() {
            return self.route53.clone();
        }
        let mut all = self.assumed.lock().await;
        if let Some(client) = all.get(role) {
            return client.clone();
        }
        let provider = aws_config::sts::AssumeRoleProvider::builder(role)
            .session_name("gatehouse")
            .configure(&self.base)
            .region(Region::from_static("us-east-1"))
            .build()
            .await;
        let signed = aws_sdk_route53::config::Builder::from(&self.base)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(provider)
            .build();
        let client = aws_sdk_route53::Client::from_conf(signed);
        all.insert(role.to_owned(), client.clone());
        client
    }

    /// The zones of our account, and the named ones of others. A role that cannot be assumed hides its zone only.
    async fn zones(&self, roles: BTreeMap<String, String>) -> Result<AwsAnswer, Failure> {
        let mut zones = route53::zones(&self.route53).await?;
        for (zone, role) in roles {
            match route53::zone(&self.route53(&role).await, &zone).await {
                Ok(found) => zones.extend(found.filter(|z| zones.iter().all(|known| known.id != z.id))),
                Err(error) => tracing::warn!(zone, role, ?error, "the zone of another account cannot be read"),
            }
        }
        Ok(AwsAnswer::Zones(zones))
    }

    /// Performs one call of the engine.
    ///
    /// # Errors
    /// Refused (it had no effect) or of unknown outcome.
    pub async fn call(&self, region: &str, call: AwsCall) -> Result<AwsAnswer, Failure> {
        match call {
            AwsCall::ReadZones { roles } => self.zones(roles).await,
            AwsCall::ReadZoneLimit { .. }
            | AwsCall::ReadZoneRecords { .. }
            | AwsCall::ReadRecords { .. }
            | AwsCall::ReadValidation { .. }
            | AwsCall::ReadChange { .. }
            | AwsCall::ChangeRecords { .. } => route53::call(&self.route53(region).await, call).await,
            AwsCall::ReadCertificates { .. }
            | AwsCall::RequestCertificate { .. }
            | AwsCall::DeleteCertificate { .. } => acm::call(&self.regional(region).acm, call).await,
            other => elbv2::call(&self.regional(region).elbv2, other).await,
        }
    }
}
