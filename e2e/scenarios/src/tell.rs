//! What a person sees: steps with their measured time, facts that hold or do not.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Prints facts and counts those that do not hold.
pub struct Tell {
    began: Instant,
    failed: u32,
    colour: bool,
}

impl Default for Tell {
    fn default() -> Self {
        Tell { began: Instant::now(), failed: 0, colour: std::io::stdout().is_terminal() }
    }
}

impl Tell {
    /// A headline.
    pub fn chapter(&self, title: &str) {
        let (on, off) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("\n{on}{title}{off}   [{:.1} s]", self.began.elapsed().as_secs_f64());
    }

    /// A line of explanation or output, indented.
    pub fn say(&self, text: &str) {
        for line in text.lines() {
            println!("    {line}");
        }
    }

    /// A fact with what was measured; one that does not hold makes the demo fail.
    pub fn fact(&mut self, holds: bool, what: &str, measured: impl Into<Option<Duration>>) {
        let (mark, colour) = if holds { ("ok  ", "\x1b[32m") } else { ("FAIL", "\x1b[31m") };
        let (on, off) = if self.colour { (colour, "\x1b[0m") } else { ("", "") };
        let time = measured.into().map_or(String::new(), |d| format!("{:>9.2} s", d.as_secs_f64()));
        println!("  {on}{mark}{off} {what:<84}{time}");
        self.failed += u32::from(!holds);
    }

    /// Number of facts that did not hold.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
