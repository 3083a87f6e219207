//! What the edge costs: nginx's memory and reloads by number of hosts, and what our configuration adds to a request.
//!
//! `make bench PART=edge` runs it; with `--json` it prints figures as JSON lines. By itself:
//!
//! ```text
//! cargo build --release -p gatehouse-edge --bins --example edge && TARGET/release/examples/edge
//! ```
//!
//! It needs root for a network namespace, and nginx as the tests do. Sides that are compared are measured by turns in one
//! run: whatever else the machine does meets both.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../../tests/support/dns.rs"]
mod dns;
mod load;
mod nginx;
mod size;
mod tables;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

const INSIDE: &str = "GATEHOUSE_EDGE_BENCH_INSIDE";
const NGINX: &str = "GATEHOUSE_NGINX";

fn main() -> ExitCode {
    if std::env::var_os(INSIDE).is_none() {
        return enter();
    }
    let mut figures = size::measure();
    figures.extend(load::measure());
    let as_json = std::env::args().any(|arg| arg == "--json");
    for figure in figures {
        if as_json {
            println!("{figure}");
        } else {
            let value = figure["value"].as_f64().unwrap();
            println!("{:<64}{value:>10.3} {}", figure["what"].as_str().unwrap(), figure["unit"].as_str().unwrap());
        }
    }
    ExitCode::SUCCESS
}

/// One figure, as `make bench` reads it.
fn figure(what: impl Into<String>, unit: &str, hosts: usize, value: f64) -> Value {
    json!({ "what": what.into(), "unit": unit, "namespaces": 1, "hosts": hosts, "shards": 0, "value": value })
}

/// The same program in a network, process and mount namespace of its own: nginx.conf has fixed ports and paths.
fn enter() -> ExitCode {
    let Some(nginx) = program() else {
        eprintln!("no nginx; set {NGINX}, or `platform which nginx` puts one into the cache");
        return ExitCode::FAILURE;
    };
    let setup = "ip link set lo up && mount -t tmpfs tmpfs /tmp && exec \"$0\" \"$@\"";
    let status = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", setup])
        .arg(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .envs([(INSIDE, "1".into()), (NGINX, nginx.into_os_string())])
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("the bench of the edge ended: {status}; it needs root");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("unshare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Named, or the newest one that the platform keeps.
fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(NGINX) {
        return Some(path.into());
    }
    let cache = std::env::var_os("GATEHOUSE_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/gatehouse")))?;
    let mut found: Vec<_> = std::fs::read_dir(cache)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("platform-"))
        .map(|entry| entry.path().join("bin/nginx"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}
