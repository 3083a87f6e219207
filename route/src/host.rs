//! Host names: exact (`shop.example.com`) or one-label wildcards (`*.example.com`).

use crate::{GrammarError, text_type};

/// A host that an app asks for. Lower case, no final dot, at least two labels; a wildcard covers exactly one label.
///
/// Stored with its labels reversed so that neighbours in an ordered map share a suffix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Host {
    reversed: Box<[Box<str>]>,
    wildcard: bool,
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
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if text.len() > MAX_HOST {
            return refuse("is longer than 128 characters, the most an ALB host condition takes");
        }
        let labels: Vec<&str> = name.split('.').collect();
        for label in &labels {
            if !is_label(label) {
                return refuse(
                    "is not a lower-case DNS name: each label has 1 to 63 of a-z, 0-9 and inner hyphens, and '*' may only be the whole first label",
                );
            }
        }
        if labels.len() < 2 {
            return refuse("needs at least two labels, such as shop.example.com");
        }
        if !labels
            .last()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') || last.starts_with("xn--"))
        {
            return refuse(
                "ends in a label with digits; an ALB needs letters after the last dot, and addresses are not hosts",
            );
        }
        Ok(Host { reversed: labels.iter().rev().map(|l| Box::from(*l)).collect(), wildcard })
    }

    /// Whether this is `*.suffix`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The name without a leading `*.`.
    #[must_use]
    pub fn suffix(&self) -> String {
        let mut out = String::with_capacity(64);
        for (i, label) in self.reversed.iter().rev().enumerate() {
            if i > 0 {
                out.push('.');
            }
            out.push_str(label);
        }
        out
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        if self.wildcard { format!("*.{}", self.suffix()) } else { self.suffix() }
    }

    /// Whether the host lies below `domain`, at any depth; the domain itself does not.
    #[must_use]
    pub fn is_below(&self, domain: &Host) -> bool {
        !domain.wildcard
            && self.reversed.starts_with(&domain.reversed)
            && (self.reversed.len() > domain.reversed.len() || self.wildcard)
    }

    /// Whether a request could match both: equal, or a wildcard that covers the other exactly one label deep.
    #[must_use]
    pub fn overlaps(&self, other: &Host) -> bool {
        self == other || self.covers(other) || other.covers(self)
    }

    /// Whether this is a wildcard and `other` an exact host exactly one label below its suffix.
    #[must_use]
    pub fn covers(&self, other: &Host) -> bool {
        self.wildcard
            && !other.wildcard
            && other.reversed.len() == self.reversed.len() + 1
            && other.reversed.starts_with(&self.reversed)
    }

    /// The wildcard one label above an exact host, when there is one to speak of.
    #[must_use]
    pub fn parent_wildcard(&self) -> Option<Host> {
        let depth = self.reversed.len();
        (!self.wildcard && depth > 2).then(|| Host { reversed: self.reversed[..depth - 1].into(), wildcard: true })
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
