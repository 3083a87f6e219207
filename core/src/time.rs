//! Time comes in as an argument; nothing here reads a clock.

use serde::{Deserialize, Serialize};

/// Milliseconds on a clock that never jumps. Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(pub u64);

impl Mono {
    /// This much later.
    #[must_use]
    pub fn plus(self, ms: u64) -> Mono {
        Mono(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`, 0 if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Seconds since 1970 in UTC: what is written into objects and read back by other processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall(pub i64);

impl Wall {
    /// RFC 3339 in UTC.
    #[must_use]
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }

    /// Reads RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Wall> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Wall(t.as_second()))
    }

    /// This many seconds later.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Wall {
        Wall(self.0.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }

    /// Seconds since `earlier`, 0 if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Wall) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// The calendar day in UTC, as `YYYY-MM-DD`.
    #[must_use]
    pub fn day(self) -> String {
        self.rfc3339().chars().take(10).collect()
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Now {
    /// For waiting.
    pub mono: Mono,
    /// For writing down.
    pub wall: Wall,
}
