//! `make bench`: the design's figures, measured; a JSON document, a table, and `docs/benchmarks.md`.
//!
//! | module | holds |
//! |---|---|
//! | `figure` | a figure with its target and floor; the document, its table and its page |
//! | `inside` | a client that stands inside a platform |
//! | `calls` | the simulator's call log, and what token buckets allow |
//! | `stand` | what the parts on the wire stand on |
//! | `apps`, `thousand`, `ten_thousand`, `still` | the parts |

mod apps;
mod calls;
mod figure;
mod inside;
mod stand;
mod still;
mod ten_thousand;
mod thousand;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use figure::{Document, Figure};

/// A part: its name, what it says of itself, and how it is measured.
struct Part {
    name: &'static str,
    says: &'static str,
    measure: fn() -> Result<Vec<Figure>>,
}

/// In the order of the page; quick ones first.
const PARTS: &[Part] = &[
    Part { name: "engine", says: "The engine alone, without I/O; one core.", measure: still::engine },
    Part {
        name: "idle",
        says: "Calls while nothing changes, in virtual time: engine and model of AWS.",
        measure: still::idle,
    },
    Part {
        name: "edge",
        says: "One edge without a cluster: nginx's memory and reloads by number of hosts, and our configuration beside one \
               written by hand for the same 50 hosts, by turns.",
        measure: still::edge,
    },
    Part { name: "size", says: "The release binary.", measure: still::size },
    Part {
        name: "one-more-app",
        says: "One more app in a namespace that has an edge, and its deletion. `present` has the same at 1,000 apps.",
        measure: apps::one_more_app,
    },
    Part { name: "prewired", says: "New names below a domain that is kept ready.", measure: apps::prewired },
    Part {
        name: "neighbour",
        says: "Others' times with and without apps that cannot be published, by turns.",
        measure: apps::neighbour,
    },
    Part { name: "quota", says: "Apps beyond the quota of rules.", measure: apps::quota },
    Part {
        name: "present",
        says: "1,000 apps in 100 namespaces at once on one load balancer with raised quotas; with them present one more \
               app, new leaders, memory.",
        measure: thousand::present,
    },
    Part {
        name: "thousand",
        says: "1,000 apps in 100 namespaces at once, with default quotas, on eleven empty shards.",
        measure: thousand::thousand,
    },
    Part {
        name: "ten-thousand",
        says: "10,000 apps in 50 namespaces whose domains are prewired; control plane only.",
        measure: ten_thousand::ten_thousand,
    },
];

/// Measures the design's figures on the release build: needs root, like the demo.
#[derive(Parser)]
#[command(version, name = "bench")]
struct Args {
    /// Only these parts; the others keep their figures of the last run
    #[arg(long, env = "PART", value_delimiter = ',', value_name = "PART,...")]
    part: Vec<String>,
    /// The JSON document [default: bench/figures.json in the cache folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The page to write [default: docs/benchmarks.md]
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe bench could not go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let wanted: Vec<&str> = args.part.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect();
    for part in &wanted {
        let known: Vec<&str> = PARTS.iter().map(|p| p.name).collect();
        anyhow::ensure!(known.contains(part), "--part {part}: is none of {}", known.join(", "));
    }
    let out = match &args.out {
        Some(path) => path.clone(),
        None => platform::Cache::from_env()?.join("bench/figures.json"),
    };
    let mut document = Document::default();
    if !wanted.is_empty() && out.exists() {
        let text = std::fs::read_to_string(&out)?;
        document = serde_json::from_str(&text).with_context(|| format!("{}: remove it", out.display()))?;
    }
    document.machine = machine()?;
    document.call_latency_ms = stand::LATENCY;
    document.buckets = calls::buckets();
    let mut failed = Vec::new();
    for part in PARTS.iter().filter(|p| wanted.is_empty() || wanted.contains(&p.name)) {
        eprintln!("{}", part.name);
        let began = Instant::now();
        match (part.measure)() {
            Ok(figures) => document.replace(part.name, figures),
            // The others are worth having all the same.
            Err(error) => failed.push(format!("{}: {error:#}", part.name)),
        }
        eprintln!("  {}: {:.0} s", part.name, began.elapsed().as_secs_f64());
        if let Some(folder) = out.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&out, serde_json::to_string_pretty(&document)? + "\n")?;
    }
    print!("{}", document.table());
    println!("{}", out.display());
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    let missing: Vec<&str> =
        PARTS.iter().map(|p| p.name).filter(|p| !document.figures.iter().any(|f| f.part == *p)).collect();
    if !missing.is_empty() {
        println!("the page is not written: not measured yet: {}", missing.join(", "));
        return Ok(());
    }
    let page = args.page.clone().unwrap_or_else(|| scenarios::lab::root().join("docs/benchmarks.md"));
    let parts: Vec<(&str, &str)> = PARTS.iter().map(|p| (p.name, p.says)).collect();
    std::fs::write(&page, document.page(&parts)).with_context(|| format!("write {}", page.display()))
}

/// What the machine has, without its name: `2 cores, 24 GiB`.
fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kib: f64 = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"))
        .context("MemTotal in /proc/meminfo")?
        .trim()
        .parse()?;
    Ok(format!("{cores} cores, {:.0} GiB", (kib / 1024.0 / 1024.0).ceil()))
}
