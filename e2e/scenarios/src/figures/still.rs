//! What needs no cluster: the engine alone, a quiet day in virtual time, one edge, the size of the program.

use std::process::Command;

use anyhow::{Context as _, Result};
use scenarios::lab::binary;
use serde::Deserialize;

use crate::figure::{Figure, Scene};

/// A line of `core/examples/bench.rs`, `crowd.rs` or `idle.rs`, or of `edge/examples/edge`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    what: String,
    unit: String,
    namespaces: usize,
    hosts: usize,
    shards: usize,
    value: f64,
    #[serde(default)]
    target: Option<f64>,
    #[serde(default)]
    floor: Option<f64>,
    #[serde(default)]
    note: String,
}

/// Runs an example that prints its figures as JSON lines.
fn example(name: &str) -> Result<Vec<Figure>> {
    let program = binary(&format!("examples/{name}"))?;
    let out = Command::new(&program).arg("--json").output().with_context(|| format!("run {}", program.display()))?;
    anyhow::ensure!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout)?
        .lines()
        .map(|line| {
            let line: Line = serde_json::from_str(line).with_context(|| format!("{name} printed {line}"))?;
            let scene = Scene { namespaces: line.namespaces, hosts: line.hosts, shards: line.shards };
            let figure = Figure::one(line.what, &line.unit, scene, line.value).note(line.note);
            Ok(Figure { target: line.target, floor: line.floor, ..figure })
        })
        .collect()
}

/// The engine: full recomputation, one outcome, and an app among many of its namespace.
pub fn engine() -> Result<Vec<Figure>> {
    let mut figures = example("bench")?;
    figures.extend(example("crowd")?);
    Ok(figures)
}

/// Calls while nothing changes.
pub fn idle() -> Result<Vec<Figure>> {
    example("idle")
}

/// nginx by number of hosts, and what our configuration costs.
pub fn edge() -> Result<Vec<Figure>> {
    example("edge")
}

/// The release program, without symbols.
pub fn size() -> Result<Vec<Figure>> {
    let of = |name: &str| -> Result<Figure> {
        #[expect(clippy::cast_precision_loss, reason = "far below")]
        let bytes = std::fs::metadata(binary(name)?)?.len() as f64;
        Ok(Figure::one(format!("{name}, stripped"), "MB", Scene::default(), bytes / 1e6).target(30.0))
    };
    Ok(vec![of("gatehouse-operator")?])
}
