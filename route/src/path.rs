//! Paths and how they match.

use crate::{GrammarError, text_type};
use serde::{Deserialize, Serialize};

/// How a path matches, with the meaning of HTTPRoute and Ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub enum PathType {
    /// Only this path. Sorts first: on equal paths Exact beats Prefix.
    Exact,
    /// This path and everything below it, by whole segments: `/foo` takes `/foo/bar`, not `/foobar`.
    #[default]
    Prefix,
}

/// A path as nginx compares it: decoded, so `%` has no place in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Box<str>);

/// The pattern the API server checks.
pub const PATH_PATTERN: &str = r"^/[A-Za-z0-9._~!&()+,=:@/-]*$";

/// Longest path taken.
pub const MAX_PATH: usize = 1024;

impl Path {
    /// Reads a path: starts with `/`, unreserved URL characters, no empty or dot segments.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let refuse = |why: &str| Err(GrammarError::new(text, why));
        if !text.starts_with('/') {
            return refuse("does not start with '/'");
        }
        if text.len() > MAX_PATH {
            return refuse("is longer than 1024 characters");
        }
        if let Some(c) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._~!&()+,=:@/-".contains(*c))) {
            return refuse(&format!(
                "has {c:?}; allowed are letters, digits and ._~!&()+,=:@/- (paths are compared decoded, so no '%')"
            ));
        }
        if text.contains("//") {
            return refuse("has an empty segment ('//'), which nginx would merge away");
        }
        if text.split('/').any(|segment| segment == "." || segment == "..") {
            return refuse("has a '.' or '..' segment, which nginx would resolve away");
        }
        Ok(Path(text.into()))
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.to_string()
    }

    /// The text form, borrowed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `/`.
    #[must_use]
    pub fn root() -> Path {
        Path("/".into())
    }

    /// The path without its final slash; the root stays `/`.
    #[must_use]
    pub fn without_final_slash(&self) -> Path {
        match self.0.strip_suffix('/') {
            Some("") | None => self.clone(),
            Some(rest) => Path(rest.into()),
        }
    }

    /// Whether a Prefix route at this path takes `other`, segment by segment.
    #[must_use]
    pub fn is_prefix_of(&self, other: &str) -> bool {
        let base = self.0.strip_suffix('/').unwrap_or(&self.0);
        other.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

text_type!(Path);

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn refuses_hostile_paths() {
        let suffixes = [
            "\n", "\r", "\0", "\"", "\\", ";", "{", "}", "#", "$", "'", "*", "%2f", " ", "?", "ü", "//", "/./", "/../",
            "/..", "/.",
        ];
        for suffix in suffixes {
            assert!(Path::parse(&format!("/a{suffix}")).is_err(), "{suffix:?} was taken");
        }
        assert!(Path::parse("").is_err());
        assert!(Path::parse("a").is_err());
        assert!(Path::parse(&format!("/{}", "a".repeat(1024))).is_err());
    }

    #[test]
    fn prefix_is_by_segments() {
        let prefix = Path::parse("/foo").unwrap();
        for (other, takes) in [("/foo", true), ("/foo/", true), ("/foo/x", true), ("/foobar", false), ("/", false)] {
            assert_eq!(prefix.is_prefix_of(other), takes, "{other}");
        }
        assert!(Path::root().is_prefix_of("/anything"));
        assert!(Path::parse("/aaa/bbb/").unwrap().is_prefix_of("/aaa/bbb"));
        assert_eq!(Path::parse("/a.b/..c/").unwrap().without_final_slash().as_str(), "/a.b/..c");
    }
}
