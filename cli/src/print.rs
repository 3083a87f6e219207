//! The one writer. A reader that has seen enough (`| head`) ends us quietly instead of with a panic.

use std::io::{IsTerminal, Write};

/// Collects output, so that half a report is never followed by an error.
pub struct Out {
    colour: bool,
    stdout: String,
}

/// What a word means, for those who see colours.
#[derive(Clone, Copy)]
pub enum Tone {
    /// Refused.
    Bad,
    /// Told.
    Warn,
    /// Added, clean.
    Good,
    /// A heading.
    Strong,
    /// Of minor interest.
    Dim,
}

fn allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// Whether stdout takes colours.
pub fn colour_stdout() -> bool {
    allowed() && std::io::stdout().is_terminal()
}

/// Whether stderr takes colours.
pub fn colour_stderr() -> bool {
    allowed() && std::io::stderr().is_terminal()
}

impl Out {
    /// A writer for this process.
    pub fn new() -> Self {
        Out { colour: colour_stdout(), stdout: String::new() }
    }

    /// Text in a tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let mark = match tone {
            Tone::Bad => '\u{e031}',
            Tone::Warn => '\u{e033}',
            Tone::Good => '\u{e032}',
            Tone::Strong => '\u{e001}',
            Tone::Dim => '\u{e002}',
        };
        format!("{mark}{text}\u{e000}")
    }

    /// One line on stdout. Names and messages come from files: a control character in one never reaches the terminal,
    /// so tones travel as private characters and become escapes only here.
    pub fn line(&mut self, text: &str) {
        for c in text.chars() {
            match u32::from(c).checked_sub(0xe000) {
                Some(code @ 0..=0x3f) => {
                    if self.colour {
                        self.stdout.push_str(&format!("\u{1b}[{code:x}m"));
                    }
                }
                _ if c.is_control() => {}
                _ => self.stdout.push(c),
            }
        }
        self.stdout.push('\n');
    }

    /// One line on stderr, at once.
    pub fn complain(&self, text: &str) {
        let clean: String = text.chars().filter(|c| !c.is_control()).collect();
        let _ = writeln!(std::io::stderr(), "{clean}");
    }

    /// A value as JSON on stdout.
    pub fn json(&mut self, value: &serde_json::Value) {
        self.stdout.push_str(&format!("{value:#}\n"));
    }

    /// A text of our own on stdout, tabs and all.
    pub fn raw(&mut self, text: &str) {
        self.stdout.push_str(text);
    }

    /// Hands everything over; false if it could not be written. A closed pipe is the reader's decision, not our failure.
    pub fn flush(&mut self) -> bool {
        let text = std::mem::take(&mut self.stdout);
        match self.finish(&text, true) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                self.complain(&format!("error: stdout: {e}"));
                false
            }
            _ => true,
        }
    }

    /// Writes a text as it is.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn finish(&self, text: &str, to_stdout: bool) -> std::io::Result<()> {
        if to_stdout {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        } else {
            std::io::stderr().write_all(text.as_bytes())
        }
    }
}

/// Rows with aligned columns, two spaces apart; the last column ends where its text ends.
pub fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let widths: Vec<usize> = (0..N).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
