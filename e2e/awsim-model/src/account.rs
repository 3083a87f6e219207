//! Zones of other accounts: a role there is assumed, and what it reaches is its zones.
//!
//! Another account has nothing but zones here. Its role may read and change them and follow changes, as a role for this
//! purpose should; whoever has not assumed it finds them neither listed nor readable.

use std::sync::Arc;

use crate::Aws;
use crate::acm::hex;
use crate::api::sts::{AssumeRole, AssumedRoleUser, Credentials, RoleSession};
use crate::api::{AwsError, Caller, Millis, Request};

impl Aws {
    /// The role of another account that the caller acts as.
    pub(crate) fn role_of(&self, caller: &Caller) -> Option<&str> {
        self.sessions.get(&caller.id).map(String::as_str)
    }

    /// Refuses what the caller may not do: in its own account by its policy, in another by what the role is for.
    pub(crate) fn admit(&mut self, caller: &Caller, request: &Request) -> Result<(), AwsError> {
        let role = self.role_of(caller);
        let zone = match request {
            Request::GetHostedZone(call) => Some(&call.id),
            Request::DeleteHostedZone(call) => Some(&call.id),
            Request::ListResourceRecordSets(call) => Some(&call.hosted_zone_id),
            Request::ChangeResourceRecordSets(call) => Some(&call.hosted_zone_id),
            Request::GetHostedZoneLimit(call) => Some(&call.hosted_zone_id),
            Request::ListTagsForResource(call) => Some(&call.resource_id),
            Request::ChangeTagsForResource(call) => Some(&call.resource_id),
            _ => None,
        };
        let zone = zone.and_then(|id| self.route53.zones.get(id.rsplit('/').next().unwrap_or_default()));
        let elsewhere = zone.is_some_and(|zone| zone.role.as_deref() != role);
        let meant = matches!(
            request,
            Request::GetHostedZone(_)
                | Request::GetHostedZoneLimit(_)
                | Request::ListHostedZones(_)
                | Request::ListResourceRecordSets(_)
                | Request::ChangeResourceRecordSets(_)
                | Request::GetChange(_)
                | Request::GetCallerIdentity(_)
        );
        if elsewhere || (role.is_some() && !meant) {
            let (who, action) = (self.caller_arn(caller), request.action());
            return Err(AwsError::status(
                403,
                "AccessDenied",
                format!("User: {who} is not authorized to perform: {action} on this resource"),
            ));
        }
        if role.is_some() { Ok(()) } else { self.authorise(caller, request) }
    }

    pub(crate) fn assume_role(&mut self, now: Millis, call: &AssumeRole) -> Result<RoleSession, AwsError> {
        if !self.route53.zones.values().any(|zone| zone.role.as_ref() == Some(&call.role_arn)) {
            // AWS does not tell whether the role exists.
            let text = format!("not authorized to perform: sts:AssumeRole on resource: {}", call.role_arn);
            return Err(AwsError::status(403, "AccessDenied", text));
        }
        if call.role_session_name.is_empty() {
            return Err(AwsError::validation("RoleSessionName must be specified"));
        }
        let seconds = call.duration_seconds.unwrap_or(3600);
        if !(900..=43_200).contains(&seconds) {
            return Err(AwsError::validation(format!("DurationSeconds '{seconds}' must be between 900 and 43200")));
        }
        let secret = hex(&format!("{}/{}", call.role_arn, call.role_session_name));
        let id = secret[..16].to_uppercase();
        let session = call.role_arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/");
        Arc::make_mut(&mut self.sessions).insert(format!("ASIA{id}"), call.role_arn.clone());
        Ok(RoleSession {
            credentials: Credentials {
                access_key_id: format!("ASIA{id}"),
                secret_access_key: secret[16..56].to_owned(),
                session_token: secret,
                expiration: now + Millis::secs(u64::try_from(seconds).unwrap_or(3600)),
            },
            assumed_role_user: AssumedRoleUser {
                assumed_role_id: format!("AROA{id}:{}", call.role_session_name),
                arn: format!("{session}/{}", call.role_session_name),
            },
        })
    }
}
