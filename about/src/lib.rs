//! What a program says of itself: its version, and the pages of its flags and metrics, written from the code that reads
//! the flags and counts.

#[cfg(feature = "metrics")]
pub mod exposition;
pub mod flags;
#[cfg(feature = "metrics")]
pub mod metrics;

/// What `--version` prints: the release, the commit and its date.
pub const VERSION: &str = env!("GATEHOUSE_VERSION");

/// A page of the documentation that a program prints instead of working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Its flags.
    Flags,
    /// Its metrics.
    Metrics,
}

/// Whether `--reference PAGE` is all that was asked. It is looked for before the flags are read, because they demand
/// what only a running program has.
#[must_use]
pub fn page_asked(mut words: impl Iterator<Item = String>) -> Option<Page> {
    let asked = (words.nth(1)?, words.next()?, words.next());
    match (asked.0.as_str(), asked.1.as_str(), asked.2) {
        ("--reference", "flags", None) => Some(Page::Flags),
        ("--reference", "metrics", None) => Some(Page::Metrics),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_alone() {
        let asked = |words: &str| page_asked(words.split(' ').map(str::to_owned));
        assert_eq!(asked("operator --reference flags"), Some(Page::Flags));
        assert_eq!(asked("operator --reference metrics"), Some(Page::Metrics));
        assert_eq!(asked("operator --reference metrics --log debug"), None);
        assert_eq!(asked("operator --reference"), None);
        assert_eq!(asked("operator --cluster-id x"), None);
    }

    #[test]
    fn the_version_begins_with_the_release() {
        assert!(VERSION.starts_with(concat!(env!("CARGO_PKG_VERSION"), " (")), "{VERSION}");
    }
}
