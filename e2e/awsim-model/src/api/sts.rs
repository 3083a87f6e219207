//! STS (2011-06-15) and the Resource Groups Tagging API (2017-01-26): the few calls an operator needs.

use super::{Tag, Timestamp};

shapes! {
    GetCallerIdentity {}
    AssumeRoleWithWebIdentity {
        role_arn: String,
        role_session_name: String,
        web_identity_token: String,
        provider_id: Option<String>,
        policy: Option<String>,
        duration_seconds: Option<i64>,
    }
    AssumeRole {
        role_arn: String,
        role_session_name: String,
        external_id: Option<String>,
        policy: Option<String>,
        duration_seconds: Option<i64>,
    }
    RoleSession { credentials: Credentials, assumed_role_user: AssumedRoleUser }
    Credentials { access_key_id: String, secret_access_key: String, session_token: String, expiration: Timestamp }
    AssumedRoleUser { assumed_role_id: String, arn: String }
    CallerIdentity { user_id: String, account: String, arn: String }
    AssumedRole {
        credentials: Credentials,
        subject_from_web_identity_token: String,
        assumed_role_user: AssumedRoleUser,
        audience: String,
        provider: String,
    }

    GetResources {
        pagination_token: Option<String>,
        tag_filters: Option<Vec<TagFilter>>,
        resources_per_page: Option<i64>,
        tags_per_page: Option<i64>,
        resource_type_filters: Option<Vec<String>>,
        #[serde(rename = "ResourceARNList")]
        resource_arn_list: Option<Vec<String>>,
        include_compliance_details: Option<bool>,
        exclude_compliant_resources: Option<bool>,
    }
    TagFilter { key: String, values: Option<Vec<String>> }
    ResourceTagMapping {
        #[serde(rename = "ResourceARN")]
        resource_arn: String,
        tags: Vec<Tag>,
    }
    Resources { pagination_token: String, resource_tag_mapping_list: Vec<ResourceTagMapping> }
}
