//! Puts the engine's calls to the model of AWS, as the operator's adapter does on the wire.

mod convert;
mod read;
mod write;

use std::collections::BTreeMap;

use awsim_model::api::{elbv2 as elb, sts};
use awsim_model::{Aws, AwsError, Call, Caller, Millis};
use gatehouse_core::aws::{AwsAnswer, AwsCall, Refusal, RefusalClass};

/// The model and who calls it.
pub struct Adapter<'a> {
    /// AWS.
    pub aws: &'a mut Aws,
    /// Milliseconds.
    pub now: u64,
    /// Who calls.
    pub caller: &'a Caller,
    /// The role of another account to call as; empty for our own.
    pub role: &'a str,
}

type Result<T> = std::result::Result<T, Refusal>;

fn refusal(error: AwsError) -> Refusal {
    let class = match error.code.as_str() {
        "Throttling" | "ThrottlingException" => RefusalClass::Throttled,
        "PriorRequestNotComplete" | "InternalFailure" | "ServiceUnavailable" => RefusalClass::Transient,
        "AccessDenied" | "AccessDeniedException" => RefusalClass::Denied,
        code if code.starts_with("TooMany") || code == "LimitExceededException" => RefusalClass::Quota,
        "ValidationError" | "ValidationException" | "InvalidConfigurationRequest" => RefusalClass::Invalid,
        // What a spec names and AWS does not have or take.
        "SubnetNotFound" | "InvalidSubnet" | "InvalidSecurityGroup" | "SSLPolicyNotFound" => RefusalClass::Invalid,
        _ => RefusalClass::Stale,
    };
    Refusal { class, message: error.to_string() }
}

impl Adapter<'_> {
    fn ask<C: Call>(&mut self, call: C) -> Result<C::Answer> {
        self.aws.ask(Millis(self.now), self.caller, call).map_err(refusal)
    }

    /// Calls as a role of another account.
    fn assumed(&mut self, role: &str) -> Result<Caller> {
        let (role_arn, role_session_name) = (role.to_owned(), "gatehouse".to_owned());
        let session = self.ask(sts::AssumeRole { role_arn, role_session_name, ..Default::default() })?;
        Ok(Caller::admin(session.credentials.access_key_id))
    }

    fn tags_of(&mut self, arns: Vec<String>) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let mut out = BTreeMap::new();
        for chunk in arns.chunks(20) {
            let answer = self.ask(elb::DescribeTags { resource_arns: chunk.to_vec() })?;
            for d in answer.tag_descriptions {
                out.insert(d.resource_arn, d.tags.into_iter().map(|t| (t.key, t.value)).collect());
            }
        }
        Ok(out)
    }

    /// Answers one call.
    ///
    /// # Errors
    /// AWS's refusal, in the engine's words.
    ///
    /// # Panics
    /// When the model answers in a shape that AWS does not have.
    pub fn call(&mut self, call: &AwsCall) -> Result<AwsAnswer> {
        let zonal = matches!(
            call,
            AwsCall::ReadZoneLimit { .. }
                | AwsCall::ReadZoneRecords { .. }
                | AwsCall::ReadRecords { .. }
                | AwsCall::ReadValidation { .. }
                | AwsCall::ReadChange { .. }
                | AwsCall::ChangeRecords { .. }
        );
        if zonal && !self.role.is_empty() {
            let caller = self.assumed(self.role)?;
            return Adapter { aws: self.aws, now: self.now, caller: &caller, role: "" }.call(call);
        }
        if call.is_read() { self.read(call.clone()) } else { self.write(call.clone()) }
    }
}
