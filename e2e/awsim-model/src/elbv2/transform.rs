//! Transforms of rules: rewriting of the host header and the URL after routing is decided.

use crate::api::AwsError;
use crate::api::elbv2::{RewriteConfigs, RuleTransform};

const HOST: &str = "host-header-rewrite";
const URL: &str = "url-rewrite";

/// Checks the transforms of a rule.
pub(super) fn check(transforms: &[RuleTransform]) -> Result<(), AwsError> {
    let mut seen = Vec::new();
    for transform in transforms {
        let kind = transform.kind.as_str();
        let (own, foreign) = match kind {
            HOST => (&transform.host_header_rewrite_config, &transform.url_rewrite_config),
            URL => (&transform.url_rewrite_config, &transform.host_header_rewrite_config),
            _ => return Err(AwsError::validation(format!("Transform type '{kind}' must be {HOST} or {URL}"))),
        };
        if seen.contains(&kind) {
            return Err(AwsError::validation(format!("A rule can have at most one transform of type '{kind}'")));
        }
        seen.push(kind);
        let rewrites = own.as_ref().map(|c| c.rewrites.as_slice()).unwrap_or_default();
        let [rewrite] = rewrites else {
            return Err(AwsError::validation(format!(
                "A transform of type '{kind}' must have exactly one rewrite, not {}",
                rewrites.len()
            )));
        };
        if foreign.is_some() {
            return Err(AwsError::validation(format!("A transform of type '{kind}' has the settings of another type")));
        }
        if rewrite.regex.is_empty() || rewrite.regex.len() > 1024 || rewrite.replace.len() > 1024 {
            return Err(AwsError::validation(format!(
                "Regex and Replace of a '{kind}' transform must have at most 1024 characters"
            )));
        }
        super::condition::check_regex(&rewrite.regex)?;
    }
    Ok(())
}

/// Host header and path with query as the target will see them; what does not match stays.
pub(crate) fn apply(transforms: &[RuleTransform], host: &str, path_and_query: &str) -> (String, String) {
    let rewrite = |config: &Option<RewriteConfigs>, text: &str| {
        let rewrite = config.as_ref().and_then(|c| c.rewrites.first())?;
        let regex = regex_lite::Regex::new(&rewrite.regex).ok()?;
        Some(regex.replace(text, rewrite.replace.as_str()).into_owned())
    };
    let (mut new_host, mut new_path) = (host.to_owned(), path_and_query.to_owned());
    for transform in transforms {
        if let Some(text) = rewrite(&transform.host_header_rewrite_config, host) {
            new_host = text;
        }
        if let Some(text) = rewrite(&transform.url_rewrite_config, path_and_query) {
            new_path = text;
        }
    }
    (new_host, new_path)
}
