//! Tags of load balancers, listeners, rules and target groups.

use super::{Kind, check_tags, tag_list};
use crate::Aws;
use crate::api::elbv2::{AddTags, DescribeTags, RemoveTags, TagDescription, TagDescriptions};
use crate::api::{AwsError, Empty};
use crate::settings::quota;

impl Aws {
    pub(crate) fn add_tags(&mut self, call: &AddTags) -> Result<Empty, AwsError> {
        self.check_tagged(&call.resource_arns)?;
        if call.tags.is_empty() {
            return Err(AwsError::validation("At least one tag must be specified"));
        }
        let limit = self.settings.quotas.get(quota::TAGS);
        for arn in &call.resource_arns {
            if let Some(tagged) = self.elb.tags.get(arn) {
                check_tags(&tagged.tags, &call.tags, limit)?;
            }
        }
        for arn in &call.resource_arns {
            if let Some(tagged) = self.elb.tags.get_mut(arn) {
                tagged.tags.extend(call.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())));
            }
        }
        Ok(Empty {})
    }

    pub(crate) fn remove_tags(&mut self, call: &RemoveTags) -> Result<Empty, AwsError> {
        self.check_tagged(&call.resource_arns)?;
        if call.tag_keys.is_empty() {
            return Err(AwsError::validation("At least one tag key must be specified"));
        }
        for arn in &call.resource_arns {
            if let Some(tagged) = self.elb.tags.get_mut(arn) {
                tagged.tags.retain(|key, _| !call.tag_keys.contains(key));
            }
        }
        Ok(Empty {})
    }

    pub(crate) fn describe_tags(&self, call: &DescribeTags) -> Result<TagDescriptions, AwsError> {
        self.check_tagged(&call.resource_arns)?;
        let tag_descriptions = call
            .resource_arns
            .iter()
            .map(|arn| TagDescription {
                resource_arn: arn.clone(),
                tags: self.elb.tags.get(arn).map(|tagged| tag_list(&tagged.tags)).unwrap_or_default(),
            })
            .collect();
        Ok(TagDescriptions { tag_descriptions })
    }

    fn check_tagged(&self, arns: &[String]) -> Result<(), AwsError> {
        if arns.is_empty() {
            return Err(AwsError::validation("At least one resource ARN must be specified"));
        }
        if arns.len() > 20 {
            return Err(AwsError::validation(format!(
                "At most '20' resource ARNs can be specified, not {}",
                arns.len()
            )));
        }
        for arn in arns {
            let kind =
                Kind::of(arn).ok_or_else(|| AwsError::validation(format!("'{arn}' is not a valid resource ARN")))?;
            if !self.elb.tags.contains(arn) {
                return Err(kind.not_found());
            }
        }
        Ok(())
    }
}
