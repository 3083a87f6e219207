//! Host names: exact (`shop.example.com`) or one-label wildcards (`*.example.com`).

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::{GrammarError, text_type};

/// A host that an app asks for. Lower case, no final dot, at least two labels; a wildcard covers exactly one label.
///
/// Ordered by its labels from the right, so that neighbours in an ordered map share a suffix, a name stands before what
/// is below it and a wildcard right behind its suffix. A clone is a pointer: maps of maps are keyed by hosts.
#[derive(Clone, Debug)]
pub struct Host(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    /// The labels from the right, each but the last ended by NUL, which sorts before whatever a label may hold; the
    /// star of a wildcard is the last one and sorts before every other label.
    reversed: Box<str>,
    text: Box<str>,
}

impl Host {
    fn reversed(&self) -> &str {
        &self.0.reversed
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.reversed() == other.reversed()
    }
}

impl Eq for Host {}

impl PartialOrd for Host {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Host {
    fn cmp(&self, other: &Self) -> Ordering {
        self.reversed().cmp(other.reversed())
    }
}

impl Hash for Host {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reversed().hash(state);
    }
}

/// The pattern the API server checks; [`Host::parse`] is stricter (total length, no address).
pub const HOST_PATTERN: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$";

/// ALB host conditions take at most this many characters ("host-header" in the ELBv2 reference).
pub const MAX_HOST: usize = 128;

impl Host {
    /// Reads a host.
    ///
    /// # Errors
    /// Says which rule the text breaks: length, label grammar, number of labels, final label without a letter.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let refuse = |why: &str| Err(GrammarError::new(text, why));
        let name = text.strip_prefix("*.").unwrap_or(text);
        if text.len() > MAX_HOST {
            return refuse("is longer than 128 characters, the most an ALB host condition takes");
        }
        if !name.split('.').all(is_label) {
            return refuse(
                "is not a lower-case DNS name: each label has 1 to 63 of a-z, 0-9 and inner hyphens, and '*' may only be the whole first label",
            );
        }
        let Some((_, last)) = name.rsplit_once('.') else {
            return refuse("needs at least two labels, such as shop.example.com");
        };
        if !last.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !last.starts_with("xn--") {
            return refuse(
                "ends in a label with digits; an ALB needs letters after the last dot, and addresses are not hosts",
            );
        }
        Ok(Self::of_labels(text))
    }

    /// Of a text whose labels are known to be right.
    fn of_labels(text: &str) -> Self {
        let mut reversed = String::with_capacity(text.len());
        for label in text.rsplit('.') {
            if !reversed.is_empty() {
                reversed.push('\0');
            }
            reversed.push_str(label);
        }
        Host(Arc::new(Forms { reversed: reversed.into(), text: text.into() }))
    }

    /// Whether this is `*.suffix`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.text.starts_with('*')
    }

    /// The name without a leading `*.`.
    #[must_use]
    pub fn suffix(&self) -> &str {
        self.0.text.strip_prefix("*.").unwrap_or(&self.0.text)
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.text.to_string()
    }

    /// The reversed labels that follow these.
    fn behind<'a>(&'a self, prefix: &str) -> Option<&'a str> {
        self.reversed().strip_prefix(prefix)?.strip_prefix('\0')
    }

    /// Whether the host lies below `domain`, at any depth; the domain itself does not.
    #[must_use]
    pub fn is_below(&self, domain: &Host) -> bool {
        !domain.is_wildcard() && self.behind(domain.reversed()).is_some()
    }

    /// Whether a request could match both: equal, or a wildcard that covers the other exactly one label deep.
    #[must_use]
    pub fn overlaps(&self, other: &Host) -> bool {
        self == other || self.covers(other) || other.covers(self)
    }

    /// Whether this is a wildcard and `other` an exact host exactly one label below its suffix.
    #[must_use]
    pub fn covers(&self, other: &Host) -> bool {
        let Some(suffix) = self.reversed().strip_suffix("\0*") else { return false };
        other.behind(suffix).is_some_and(|label| label != "*" && !label.contains('\0'))
    }

    /// The wildcard one label above an exact host, when there is one to speak of.
    #[must_use]
    pub fn parent_wildcard(&self) -> Option<Host> {
        let (_, suffix) = self.0.text.split_once('.').filter(|_| !self.is_wildcard())?;
        suffix.contains('.').then(|| Self::of_labels(&format!("*.{suffix}")))
    }
}

text_type!(Host);

/// One DNS label in lower case: RFC 1123, 1 to 63 characters.
#[must_use]
pub(crate) fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

#[cfg(test)]
mod tests {
    use super::Host;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn refuses_what_is_no_host() {
        for bad in [
            "",
            "a",
            "A.com",
            "a..com",
            ".a.com",
            "a.com.",
            "-a.com",
            "a-.com",
            "a.*.com",
            "*a.com",
            "*.com",
            "*.*.com",
            "10.0.0.1",
            "a.com\n",
            "a.com;",
            "a b.com",
            "a_b.com",
            "a.com:80",
            "ä.com",
            "http://a.com",
        ] {
            assert!(Host::parse(bad).is_err(), "{bad:?} was taken");
        }
        assert!(Host::parse(&format!("{}.com", "a".repeat(64))).is_err());
        assert!(Host::parse(&format!("{}.com", "abcdefg.".repeat(17))).is_err());
    }

    #[test]
    fn keeps_the_text() {
        for good in ["a.com", "*.a.com", "a-b.c1.example.com", "xn--4ca.xn--p1ai"] {
            assert_eq!(host(good).as_text(), good);
        }
    }

    #[test]
    fn neighbours_share_a_suffix() {
        let ordered =
            ["b.com", "example.com", "*.example.com", "a.example.com", "x.a.example.com", "a-b.example.com", "a.org"];
        assert!(ordered.map(host).is_sorted());
        assert!(ordered.map(host).windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn below_is_any_depth_but_not_the_name() {
        let domain = host("team.example.com");
        assert!(host("a.team.example.com").is_below(&domain));
        assert!(host("b.a.team.example.com").is_below(&domain));
        assert!(host("*.team.example.com").is_below(&domain));
        assert!(!host("team.example.com").is_below(&domain));
        assert!(!host("evilteam.example.com").is_below(&domain));
        assert!(!host("example.com").is_below(&domain));
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let wildcard = host("*.example.com");
        assert!(wildcard.overlaps(&host("a.example.com")));
        assert!(host("a.example.com").overlaps(&wildcard));
        assert!(!wildcard.overlaps(&host("b.a.example.com")));
        assert!(!wildcard.overlaps(&host("example.com")));
        assert!(!wildcard.overlaps(&host("*.a.example.com")));
        assert_eq!(host("a.example.com").parent_wildcard(), Some(wildcard));
    }
}
