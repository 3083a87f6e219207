//! `gatehouse check`: every fault of every object, as admission and the operator would find it.

use gatehouse_core::Engine;
use serde_json::json;

use crate::args::{CheckArgs, Format, InputArgs};
use crate::facts::{Objects, collect};
use crate::print::{Out, Tone};
use crate::report::{Severity, Subject, Told};
use crate::{foreign, input, sanity, settle};

/// Input that has been judged.
pub struct Judged {
    /// Objects with their findings.
    pub objects: Objects,
    /// The engine after everything that is admitted was admitted.
    pub engine: Engine,
}

/// Reads and judges; problems are told on stderr.
pub fn judge(args: &InputArgs, out: &Out) -> Option<Judged> {
    let now = args.now();
    let read = input::read(&args.from).and_then(|documents| collect(documents, &args.from.namespace, now));
    let mut objects = match read {
        Ok(objects) => objects,
        Err(problems) => {
            for problem in problems {
                out.complain(&format!("error: {problem}"));
            }
            return None;
        }
    };
    if !objects.skipped.is_empty() {
        let kinds: Vec<String> = objects.skipped.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        out.complain(&format!("skipped objects of other kinds: {}", kinds.join(", ")));
    }
    if objects.subjects.is_empty() {
        out.complain("error: nothing to judge: no ExposedApp, SharedLoadBalancer, ExposurePolicy or Ingress of class gatehouse in the input");
        return None;
    }
    sanity::check(&mut objects, now);
    let engine = settle::settle(&mut objects, &args.settings(), now);
    for subject in &mut objects.subjects {
        subject.findings.sort_by(|a, b| (a.severity, &a.field).cmp(&(b.severity, &b.field)));
    }
    Some(Judged { objects, engine })
}

/// Runs the command; returns the exit code.
pub fn run(args: &CheckArgs, out: &mut Out) -> u8 {
    let Some(Judged { mut objects, .. }) = judge(&args.input, out) else { return 2 };
    // Here only: what is planned and rendered does not depend on them.
    foreign::check(&mut objects, args.input.now());
    let count = |s: Severity| objects.subjects.iter().flat_map(|o| &o.findings).filter(|f| f.severity == s).count();
    let (faults, warnings) = (count(Severity::Fault), count(Severity::Warning));
    let told: Vec<&Subject> = objects.subjects.iter().filter(|s| !s.findings.is_empty()).collect();
    match args.output {
        Format::Json => out.json(&json!({
            "version": 1,
            "summary": {
                "apps": objects.apps.len(), "faults": faults, "warnings": warnings,
                "skipped": objects.skipped.values().sum::<usize>(),
            },
            "objects": told,
            "notes": objects.notes,
        })),
        Format::Text => {
            for subject in told {
                let place = out.paint(Tone::Dim, &subject.source.to_string());
                out.line(&format!("{}  {place}", out.paint(Tone::Strong, &subject.title())));
                findings(&subject.findings, "  ", out);
                out.line("");
            }
            notes(&objects.notes, out);
            let summary = format!(
                "{}, {}, {}",
                number(objects.apps.len(), "app"),
                number(faults, "fault"),
                number(warnings, "warning")
            );
            let tone = match (faults, warnings) {
                (0, 0) => Tone::Good,
                (0, _) => Tone::Warn,
                _ => Tone::Bad,
            };
            out.line(&out.paint(tone, &summary));
        }
    }
    u8::from(faults > 0)
}

/// Findings, with their fields aligned.
pub fn findings(findings: &[Told], indent: &str, out: &mut Out) {
    let width = findings.iter().map(|f| f.field.chars().count()).max().unwrap_or(0).min(48);
    for finding in findings {
        let (word, tone) = match finding.severity {
            Severity::Fault => ("fault  ", Tone::Bad),
            Severity::Warning => ("warning", Tone::Warn),
            Severity::Audit => ("audit  ", Tone::Dim),
        };
        let rule = out.paint(Tone::Dim, &format!("[{}]", finding.rule));
        out.line(&format!("{indent}{}  {:width$}  {} {rule}", out.paint(tone, word), finding.field, finding.message));
        if let Some(hint) = &finding.hint {
            out.line(&format!("{indent}         {:width$}  {hint}", ""));
        }
    }
}

/// What could not be judged.
pub fn notes(notes: &[String], out: &mut Out) {
    for note in notes {
        out.line(&format!("{} {note}", out.paint(Tone::Warn, "note:")));
    }
    if !notes.is_empty() {
        out.line("");
    }
}

/// So many of them.
pub fn number(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
