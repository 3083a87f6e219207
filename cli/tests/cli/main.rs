//! The real binary on real files: what it prints, and how it ends.

mod convert;
mod faults;
mod inputs;
mod live;
mod papers;
mod refused;
mod samples;
mod suites;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The day on which everything here is judged.
const DAY: &str = "2026-06-01";

/// Result of one run.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Everything a run showed, for a golden file.
impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.stdout)?;
        for line in self.stderr.lines() {
            writeln!(f, "stderr: {line}")?;
        }
        write!(f, "exit {}", self.code)
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The binary, with nothing of this machine in its environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    // From the root of the repository, so that no path of this machine is printed.
    command.current_dir(root()).env_clear().env("GATEHOUSE_NOW", DAY).env("COLUMNS", "100");
    command
}

pub(crate) fn ended(output: Output) -> Ran {
    Ran {
        code: output.status.code().expect("not killed"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Runs it.
pub(crate) fn run(args: &[&str]) -> Ran {
    ended(command().args(args).stdin(Stdio::null()).output().expect("the binary runs"))
}

/// Runs with a text on stdin.
pub(crate) fn feed(args: &[&str], text: &str) -> Ran {
    let mut child = command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads to the end");
    ended(child.wait_with_output().expect("it ends"))
}

/// What it printed, as JSON.
pub(crate) fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"))
}
