//! From the SDK's errors to what the engine needs to know: had it an effect, and what kind of refusal was it.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use gatehouse_core::aws::{Refusal, RefusalClass};

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It had no effect.
    Refused(Refusal),
    /// Nobody can tell; the text is for the log.
    Unknown(String),
}

impl<E> From<SdkError<E, Response>> for Failure
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E, Response>) -> Self {
        match &error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or("");
                let message = service.err().message().unwrap_or("").to_owned();
                let class = classify(code, &message);
                // A server that fails says nothing about what it did before.
                if status >= 500 && class != RefusalClass::Throttled {
                    return Failure::Unknown(format!("HTTP {status} {code}: {message}"));
                }
                Failure::Refused(Refusal { class, message: format!("{code}: {message}") })
            }
            SdkError::ConstructionFailure(_) => Failure::Refused(Refusal {
                class: RefusalClass::Invalid,
                message: DisplayErrorContext(&error).to_string(),
            }),
            // No connection or no credentials: nothing was sent.
            SdkError::DispatchFailure(dispatch)
                if dispatch.is_user() || !dispatch.is_io() && !dispatch.is_timeout() =>
            {
                Failure::Refused(Refusal {
                    class: RefusalClass::Transient,
                    message: DisplayErrorContext(&error).to_string(),
                })
            }
            _ => Failure::Unknown(DisplayErrorContext(&error).to_string()),
        }
    }
}

/// What an AWS error code means to us.
fn classify(code: &str, message: &str) -> RefusalClass {
    match code {
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException" => {
            RefusalClass::Throttled
        }
        "PriorRequestNotComplete" | "ServiceUnavailable" | "InternalFailure" | "InternalError" | "RequestExpired" => {
            RefusalClass::Transient
        }
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "SignatureDoesNotMatch"
        | "OperationNotPermitted" => RefusalClass::Denied,
        "LimitExceededException" | "TargetGroupAssociationLimit" => RefusalClass::Quota,
        _ if code.starts_with("TooMany") => RefusalClass::Quota,
        // The object is not as we thought: look again.
        "PriorityInUse"
        | "ResourceInUse"
        | "RuleNotFound"
        | "ListenerNotFound"
        | "LoadBalancerNotFound"
        | "TargetGroupNotFound"
        | "CertificateNotFound"
        | "ResourceNotFoundException"
        | "ResourceInUseException"
        | "RequestInProgressException"
        | "DuplicateListener"
        | "DuplicateLoadBalancerName"
        | "DuplicateTargetGroupName"
        | "InvalidTarget"
        | "InvalidChangeBatch"
        | "NoSuchHostedZone"
        | "NoSuchChange" => RefusalClass::Stale,
        "ValidationError" if message.contains("not found") => RefusalClass::Stale,
        _ => RefusalClass::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_meanings() {
        for (code, class) in [
            ("Throttling", RefusalClass::Throttled),
            ("PriorityInUse", RefusalClass::Stale),
            ("TooManyRules", RefusalClass::Quota),
            ("AccessDenied", RefusalClass::Denied),
            ("PriorRequestNotComplete", RefusalClass::Transient),
            ("InvalidConfigurationRequest", RefusalClass::Invalid),
        ] {
            assert_eq!(classify(code, ""), class, "{code}");
        }
    }
}
