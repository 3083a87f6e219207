//! The version that every program prints: `0.1.0 (commit 1a2b3c4d5e6f, 2026-11-22)`.
//!
//! Commit and date come from the environment, else from git, and git is asked for release builds only: a build while one
//! works would be new after each commit. The date is the commit's, never the clock's, so that the same sources give the
//! same program.

use std::process::Command;

fn main() {
    for name in ["GATEHOUSE_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if release && let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    let from_git = |args: &[&str]| release.then(|| git(args)).flatten();
    let commit = std::env::var("GATEHOUSE_COMMIT").ok().filter(|c| !c.is_empty());
    let commit = commit.or_else(|| from_git(&["rev-parse", "--short=12", "HEAD"]));
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|e| !e.is_empty());
    let epoch = epoch.or_else(|| from_git(&["show", "-s", "--format=%ct", "HEAD"]));
    let date = epoch.map(|epoch| {
        let seconds = epoch.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        let moment =
            seconds.unwrap_or_else(|| panic!("SOURCE_DATE_EPOCH: {epoch:?} is no number of seconds since 1970"));
        moment.strftime("%Y-%m-%d").to_string()
    });
    let built: Vec<String> = commit.map(|commit| format!("commit {commit}")).into_iter().chain(date).collect();
    let built = if built.is_empty() { "development build".to_owned() } else { built.join(", ") };
    let version = std::env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    println!("cargo:rustc-env=GATEHOUSE_VERSION={version} ({built})");
}

/// Sources from an archive have no git, and say nothing of a commit.
fn git(args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).output().ok().filter(|out| out.status.success())?;
    Some(String::from_utf8(out.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}
