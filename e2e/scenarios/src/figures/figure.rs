//! A figure: what was measured, against which target and which floor; and the document of all of them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The scene in which a figure was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    /// Namespaces with an edge.
    pub namespaces: usize,
    /// Hosts that are published.
    pub hosts: usize,
    /// Load balancers that stand.
    pub shards: usize,
}

impl std::fmt::Display for Scene {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Scene::default() {
            return f.write_str("-");
        }
        write!(f, "{} / {} / {}", self.namespaces, self.hosts, self.shards)
    }
}

/// One figure.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figure {
    /// The part of the bench.
    pub part: String,
    /// What was measured.
    pub what: String,
    /// Where.
    pub scene: Scene,
    /// `ms`, `s`, `calls` ...
    pub unit: String,
    /// How often.
    pub samples: usize,
    /// Half of them were not above it.
    #[serde(deserialize_with = "measured")]
    pub p50: f64,
    /// Nearest rank.
    #[serde(deserialize_with = "measured")]
    pub p99: f64,
    /// The worst.
    #[serde(deserialize_with = "measured")]
    pub max: f64,
    /// Which of the three is held against the target.
    pub judged: String,
    /// Not above this; absent where the design names none.
    pub target: Option<f64>,
    /// What latency and buckets alone allow; absent where neither says anything.
    pub floor: Option<f64>,
    /// How the floor comes about, and what else is worth knowing.
    pub note: String,
}

impl Figure {
    /// A figure of these samples, judged by its 99th percentile. Without samples it falls short.
    pub fn of(what: impl Into<String>, unit: &str, scene: Scene, samples: &[f64]) -> Figure {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Figure {
            what: what.into(),
            unit: unit.to_owned(),
            scene,
            samples: sorted.len(),
            p50: rank(&sorted, 0.5),
            p99: rank(&sorted, 0.99),
            max: rank(&sorted, 1.0),
            judged: "p99".to_owned(),
            ..Figure::default()
        }
    }

    /// A figure that was measured once.
    pub fn one(what: impl Into<String>, unit: &str, scene: Scene, value: f64) -> Figure {
        Figure { judged: "max".to_owned(), ..Figure::of(what, unit, scene, &[value]) }
    }

    /// Judged by its median.
    pub fn median(self) -> Figure {
        Figure { judged: "p50".to_owned(), ..self }
    }

    /// Not above this.
    pub fn target(self, target: f64) -> Figure {
        Figure { target: Some(target), ..self }
    }

    /// What latency or buckets alone allow.
    pub fn floor(self, floor: f64) -> Figure {
        Figure { floor: Some(floor), ..self }
    }

    /// A word on it.
    pub fn note(self, note: impl Into<String>) -> Figure {
        Figure { note: note.into(), ..self }
    }

    fn value(&self) -> f64 {
        match self.judged.as_str() {
            "p50" => self.p50,
            "p99" => self.p99,
            _ => self.max,
        }
    }

    /// `ok`, `falls short`, or nothing where there is no target.
    pub fn verdict(&self) -> &'static str {
        match self.target {
            None => "",
            // A figure that was not measured is NaN, and no NaN is below anything.
            Some(target) if self.value() <= target => "ok",
            Some(_) => "falls short",
        }
    }

    fn measured(&self) -> String {
        if self.samples < 2 {
            return number(self.max);
        }
        format!("{} / {} / {}", number(self.p50), number(self.p99), number(self.max))
    }
}

fn rank(sorted: &[f64], part: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few")]
    let index = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(index.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// Three digits are as much as such a measurement tells.
fn number(value: f64) -> String {
    match value.abs() {
        v if v.is_nan() => "not measured".to_owned(),
        v if v.fract() == 0.0 || v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// JSON has no NaN: what was not measured is null there.
fn measured<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// All figures of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Document {
    /// The machine, without its name.
    pub machine: String,
    /// Milliseconds that every AWS call takes at least.
    pub call_latency_ms: u64,
    /// The account's token buckets.
    pub buckets: serde_json::Value,
    /// The figures, part by part.
    pub figures: Vec<Figure>,
}

impl Document {
    /// Puts a part's figures where its former ones were.
    pub fn replace(&mut self, part: &str, figures: Vec<Figure>) {
        self.figures.retain(|f| f.part != part);
        self.figures.extend(figures.into_iter().map(|f| Figure { part: part.to_owned(), ..f }));
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let rows = self.figures.iter().map(|f| {
            let optional = |v: Option<f64>| v.map_or(String::new(), number);
            let measured = format!("{} {}", f.measured(), f.unit);
            [
                f.what.clone(),
                f.scene.to_string(),
                optional(f.target),
                measured,
                optional(f.floor),
                f.verdict().to_owned(),
            ]
        });
        let head = ["figure", "ns / hosts / shards", "target", "measured (p50 / p99 / max)", "floor", ""];
        let rows: Vec<[String; 6]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        let line = |row: &[String; 6]| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        rows.iter().map(|row| line(row) + "\n").collect()
    }

    /// The page `docs/benchmarks.md`; each part with what it says of itself.
    pub fn page(&self, parts: &[(&str, &str)]) -> String {
        let short = self.figures.iter().filter(|f| f.verdict() == "falls short").count();
        let judged = self.figures.iter().filter(|f| f.target.is_some()).count();
        let families = self.buckets.as_object().into_iter().flatten();
        let buckets = families.map(|(family, b)| format!("{family} {}/{}", b["burst"], b["perSecond"]));
        let mut page = format!(
            "<!-- Written by `make bench`. Do not edit. -->\n\
             # Benchmarks\n\n\
             The release operator on a real API server and the AWS simulator, {} ms per AWS call; {}. {} of {} figures \
             with a target reach it.\n\n\
             Measured stands as p50 / p99 / max, percentiles by nearest rank; of few samples p99 is the worst. \
             The floor is what latency and token buckets alone allow. Scene: namespaces with an edge / hosts published / \
             shards.\n\n\
             The account's token buckets, as burst/tokens a second: {}. The operator keeps to shares of them \
             (`core/src/engine/bucket.rs`). The simulator's other waits are short: a rule is in the data plane at the \
             next 50 ms, a record INSYNC after 50 ms, a load balancer active after 50 ms.\n\n\
             Edges are hollow: no kubelet carries the table to the pod, no nginx reloads; both are in the times of \
             `make demo`. The webhook and nginx itself are not measured here.\n",
            self.call_latency_ms,
            self.machine,
            judged - short,
            judged,
            buckets.collect::<Vec<_>>().join(", "),
        );
        for (part, says) in parts {
            let figures: Vec<&Figure> = self.figures.iter().filter(|f| f.part == *part).collect();
            if figures.is_empty() {
                continue;
            }
            let _ = write!(
                page,
                "\n## {part}\n\n{says}\n\n| figure | scene | target | measured | floor | n | |\n|---|---|---|---|---|---|---|\n"
            );
            for f in &figures {
                let target = f.target.map_or(String::new(), |t| format!("{} {} ({})", number(t), f.unit, f.judged));
                let floor = f.floor.map_or(String::new(), number);
                let verdict = if f.verdict() == "falls short" { "**falls short**" } else { f.verdict() };
                let _ = writeln!(
                    page,
                    "| {} | {} | {target} | {} {} | {floor} | {} | {verdict} |",
                    f.what,
                    f.scene,
                    f.measured(),
                    f.unit,
                    f.samples,
                );
            }
            for f in figures.iter().filter(|f| !f.note.is_empty()) {
                let _ = write!(page, "\n- {}: {}", f.what, f.note);
            }
            page.push('\n');
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<f64> = (1..=200).map(f64::from).collect();
        let figure = Figure::of("x", "ms", Scene::default(), &samples);
        assert_eq!((figure.p50, figure.p99, figure.max), (100.0, 198.0, 200.0));
        let figure = Figure::of("x", "ms", Scene::default(), &[3.0, 1.0]);
        assert_eq!((figure.p50, figure.p99, figure.max), (1.0, 3.0, 3.0));
    }

    #[test]
    fn what_was_not_measured_falls_short() {
        let none = Figure::of("x", "ms", Scene::default(), &[]).target(1.0);
        assert_eq!((none.verdict(), none.measured().as_str()), ("falls short", "not measured"));
        let read: Figure = serde_json::from_str(&serde_json::to_string(&none).unwrap()).unwrap();
        assert_eq!(read.verdict(), "falls short");
        assert_eq!(Figure::one("x", "ms", Scene::default(), 1.0).target(1.0).verdict(), "ok");
        assert_eq!(Figure::of("x", "ms", Scene::default(), &[1.0, 1.0, 9.0]).median().target(1.0).verdict(), "ok");
        assert_eq!(Figure::one("x", "ms", Scene::default(), 1.0).verdict(), "");
    }

    #[test]
    fn a_part_takes_the_place_of_its_former_figures() {
        let mut document = Document::default();
        document.replace("a", vec![Figure::one("old", "ms", Scene::default(), 1.0)]);
        document.replace("b", vec![Figure::one("other", "ms", Scene::default(), 2.0)]);
        document.replace("a", vec![Figure::one("new", "ms", Scene::default(), 3.0).target(2.0).note("why")]);
        let whats: Vec<&str> = document.figures.iter().map(|f| f.what.as_str()).collect();
        assert_eq!(whats, ["other", "new"]);
        let page = document.page(&[("a", "of a"), ("c", "of c")]);
        assert!(page.contains("**falls short**") && page.contains("- new: why") && !page.contains("of c"), "{page}");
    }
}
