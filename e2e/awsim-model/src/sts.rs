//! STS, and the Resource Groups Tagging API.

use std::collections::BTreeMap;

use crate::Aws;
use crate::acm::hex;
use crate::api::sts::{
    AssumeRoleWithWebIdentity, AssumedRole, AssumedRoleUser, CallerIdentity, Credentials, GetResources,
    ResourceTagMapping, Resources, TagFilter,
};
use crate::api::{AwsError, Caller, Millis};
use crate::elbv2::tag_list;

impl Aws {
    pub(crate) fn caller_identity(&self, caller: &Caller) -> CallerIdentity {
        CallerIdentity {
            user_id: caller.id.clone(),
            account: self.settings.account.clone(),
            arn: self.caller_arn(caller),
        }
    }

    /// How error texts and GetCallerIdentity name a caller.
    pub(crate) fn caller_arn(&self, caller: &Caller) -> String {
        format!("arn:aws:iam::{}:user/{}", self.settings.account, caller.id)
    }

    pub(crate) fn assume_role_with_web_identity(
        &self,
        now: Millis,
        call: &AssumeRoleWithWebIdentity,
    ) -> Result<AssumedRole, AwsError> {
        let role = call.role_arn.rsplit_once(":role/").map(|(_, role)| role);
        let Some(role) = role.filter(|_| call.role_arn.starts_with("arn:aws:iam::")) else {
            return Err(AwsError::validation(format!("'{}' is not a valid role ARN", call.role_arn)));
        };
        if call.role_session_name.is_empty() || call.web_identity_token.is_empty() {
            return Err(AwsError::validation("RoleSessionName and WebIdentityToken must be specified"));
        }
        let seconds = call.duration_seconds.unwrap_or(3600);
        if !(900..=43_200).contains(&seconds) {
            return Err(AwsError::validation(format!("DurationSeconds '{seconds}' must be between 900 and 43200")));
        }
        let secret = hex(&format!("{}/{}", call.role_arn, call.role_session_name));
        let account = &self.settings.account;
        Ok(AssumedRole {
            credentials: Credentials {
                access_key_id: format!("ASIA{}", secret[..16].to_uppercase()),
                secret_access_key: secret[16..56].to_owned(),
                session_token: secret.clone(),
                expiration: now + Millis::secs(u64::try_from(seconds).unwrap_or(3600)),
            },
            subject_from_web_identity_token: "system:serviceaccount".into(),
            assumed_role_user: AssumedRoleUser {
                assumed_role_id: format!("AROA{}:{}", secret[..16].to_uppercase(), call.role_session_name),
                arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{}", call.role_session_name),
            },
            audience: "sts.amazonaws.com".into(),
            provider: "awsim".into(),
        })
    }

    pub(crate) fn get_resources(&self, now: Millis, call: &GetResources) -> Result<Resources, AwsError> {
        let invalid = |text: String| AwsError::new("InvalidParameterException", text);
        let size = match call.resources_per_page {
            None => 100,
            Some(n @ 1..=100) => usize::try_from(n).unwrap_or(100),
            Some(n) => return Err(invalid(format!("ResourcesPerPage '{n}' must be between 1 and 100"))),
        };
        let start = match call.pagination_token.as_deref() {
            None | Some("") => 0,
            Some(token) => token.strip_prefix("position-").and_then(|n| n.parse().ok()).ok_or_else(|| {
                AwsError::new("PaginationTokenExpiredException", format!("PaginationToken '{token}' is not valid"))
            })?,
        };
        let filters = call.tag_filters.as_deref().unwrap_or_default();
        if filters.len() > 50 {
            return Err(invalid(format!("At most 50 TagFilters can be specified, not {}", filters.len())));
        }
        let types = call.resource_type_filters.as_deref().unwrap_or_default();
        let arns = call.resource_arn_list.as_deref().unwrap_or_default();
        let filtered = !filters.is_empty() || !types.is_empty();
        if !arns.is_empty() && filtered {
            return Err(invalid(
                "ResourceARNList cannot be specified together with TagFilters or ResourceTypeFilters".into(),
            ));
        }
        // Only resources that have tags; a new one shows up late.
        let lag = self.settings.delays.tagging_lag;
        let elb = self
            .elb
            .tags
            .iter()
            .filter(|(_, tagged)| tagged.created + lag <= now)
            .map(|(arn, tagged)| (arn, &tagged.tags));
        let acm = self
            .acm
            .certificates
            .values()
            .filter(|certificate| certificate.requested + lag <= now)
            .map(|certificate| (&certificate.arn, &certificate.tags));
        let found: Vec<_> = acm
            .chain(elb)
            .filter(|(_, tags)| !tags.is_empty())
            .filter(|(arn, _)| arns.is_empty() || arns.contains(arn))
            .filter(|(arn, _)| types.is_empty() || types.iter().any(|kind| is_of_type(arn, kind)))
            .filter(|(_, tags)| filters.iter().all(|filter| passes(filter, tags)))
            .map(|(arn, tags)| ResourceTagMapping { resource_arn: arn.clone(), tags: tag_list(tags) })
            .collect();
        let next = start + size;
        let pagination_token = if next < found.len() { format!("position-{next}") } else { String::new() };
        Ok(Resources {
            pagination_token,
            resource_tag_mapping_list: found.into_iter().skip(start).take(size).collect(),
        })
    }
}

fn passes(filter: &TagFilter, tags: &BTreeMap<String, String>) -> bool {
    let values = filter.values.as_deref().unwrap_or_default();
    tags.get(&filter.key).is_some_and(|value| values.is_empty() || values.contains(value))
}

/// `elasticloadbalancing`, `elasticloadbalancing:targetgroup`, `acm:certificate`.
fn is_of_type(arn: &str, kind: &str) -> bool {
    let (service, resource) = kind.split_once(':').map_or((kind, None), |(s, r)| (s, Some(r)));
    let mut parts = arn.splitn(6, ':').skip(2);
    let own_service = parts.next().unwrap_or_default();
    let own_resource = parts.nth(2).unwrap_or_default();
    own_service == service
        && resource.is_none_or(|resource| own_resource.strip_prefix(resource).is_some_and(|rest| rest.starts_with('/')))
}
