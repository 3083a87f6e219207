//! `gatehouse check`: every fault of every object, as admission and the operator would find it.

use gatehouse_core::{Engine, Settings, Wall};
use serde_json::json;

use crate::args::{CheckArgs, CheckFormat, InputArgs};
use crate::facts::{Objects, collect};
use crate::input::Document;
use crate::print::{Out, Tone};
use crate::report::{Severity, Subject, Told};
use crate::{foreign, input, live, machine, sanity, settle};

/// Input that has been judged.
pub struct Judged {
    /// Objects with their findings.
    pub objects: Objects,
    /// The engine after everything that is admitted was admitted.
    pub engine: Engine,
}

/// Reads and judges; problems are told on stderr.
pub fn judge(args: &InputArgs, out: &Out) -> Option<Judged> {
    let documents = input::read(&args.from).map_err(|problems| complain(&problems, out)).ok()?;
    judge_documents(documents, args, |_| false, out)
}

fn complain(problems: &[String], out: &Out) {
    for problem in problems {
        out.complain(&format!("error: {problem}"));
    }
}

/// `enough` says whether there is something to judge although no object is ours.
fn judge_documents(
    documents: Vec<Document>,
    args: &InputArgs,
    enough: impl Fn(&Objects) -> bool,
    out: &Out,
) -> Option<Judged> {
    let judged = judged(documents, &args.from.namespace, &args.settings(), args.now());
    let judged = judged.map_err(|problems| complain(&problems, out)).ok()?;
    let skipped = &judged.objects.skipped;
    if !skipped.is_empty() {
        let kinds: Vec<String> = skipped.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        out.complain(&format!("skipped objects of other kinds: {}", kinds.join(", ")));
    }
    if !judged.objects.subjects.iter().any(|s| !s.source.context) && !enough(&judged.objects) {
        out.complain("error: nothing to judge: no ExposedApp, SharedLoadBalancer, ExposurePolicy or Ingress of class gatehouse in the input");
        return None;
    }
    Some(judged)
}

/// Judges documents.
///
/// # Errors
/// Documents that are no Kubernetes objects.
pub fn judged(
    documents: Vec<Document>,
    namespace: &str,
    settings: &Settings,
    now: Wall,
) -> Result<Judged, Vec<String>> {
    let mut objects = collect(documents, namespace, now)?;
    sanity::check(&mut objects, now);
    let engine = settle::settle(&mut objects, settings, now);
    for subject in &mut objects.subjects {
        subject.findings.sort_by(|a, b| (a.severity, &a.field).cmp(&(b.severity, &b.field)));
    }
    Ok(Judged { objects, engine })
}

/// What else the files are judged by.
fn context(args: &CheckArgs, out: &mut Out) -> Option<Vec<Document>> {
    let files = input::context(&args.policy, args.input.from.recursive);
    let mut documents = match files {
        _ if args.policy.is_empty() => Vec::new(),
        Ok(documents) => documents,
        Err(problems) => {
            complain(&problems, out);
            return None;
        }
    };
    if args.against_cluster {
        documents.extend(live::bundle::everything(&args.cluster, out)?);
    }
    Some(documents)
}

/// Runs the command; returns the exit code.
pub fn run(args: &CheckArgs, out: &mut Out) -> u8 {
    let own = input::read(&args.input.from).map_err(|problems| complain(&problems, out));
    let (Ok(own), Some(mut documents)) = (own, context(args, out)) else { return 2 };
    documents.extend(own);
    // An app's repository may hold a Service and nothing of ours: its policies have a word on it all the same.
    let foreign = |objects: &Objects| {
        !objects.world.policies.is_empty() && objects.foreign.values().any(|document| !document.source.context)
    };
    let Some(Judged { mut objects, .. }) = judge_documents(documents, &args.input, foreign, out) else { return 2 };
    let asking = |s: &Subject| !s.source.context && matches!(s.kind.as_str(), "ExposedApp" | "Ingress");
    if objects.world.policies.is_empty() && objects.subjects.iter().any(asking) {
        out.complain("error: nothing to judge the apps by: no ExposurePolicy in the input");
        out.complain(
            "  give the platform's with --policy DIR (`gatehouse bundle export` writes them), or --against-cluster",
        );
        return 2;
    }
    // Here only: what is planned and rendered does not depend on them.
    foreign::check(&mut objects, args.input.now());
    objects.subjects.retain(|subject| !subject.source.context);
    objects.subjects.iter_mut().for_each(Subject::locate);
    let apps = objects.apps.iter().filter(|app| !app.context).count();
    let count = |s: Severity| objects.subjects.iter().flat_map(|o| &o.findings).filter(|f| f.severity == s).count();
    let (faults, warnings) = (count(Severity::Fault), count(Severity::Warning));
    let told: Vec<&Subject> = objects.subjects.iter().filter(|s| !s.findings.is_empty()).collect();
    match args.output {
        CheckFormat::Sarif => out.json(&machine::sarif(&told)),
        CheckFormat::Junit => machine::junit(&objects.subjects).lines().for_each(|line| out.line(line)),
        CheckFormat::Json => out.json(&json!({
            "version": 1,
            "summary": {
                "apps": apps, "faults": faults, "warnings": warnings,
                "skipped": objects.skipped.values().sum::<usize>(),
            },
            "objects": told,
            "notes": objects.notes,
        })),
        CheckFormat::Text => {
            for subject in told {
                let place = out.paint(Tone::Dim, &subject.source.to_string());
                out.line(&format!("{}  {place}", out.paint(Tone::Strong, &subject.title())));
                findings(&subject.findings, "  ", out);
                out.line("");
            }
            notes(&objects.notes, out);
            let summary =
                format!("{}, {}, {}", number(apps, "app"), number(faults, "fault"), number(warnings, "warning"));
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
        let line = finding.line.map(|n| out.paint(Tone::Dim, &format!(" line {n}"))).unwrap_or_default();
        out.line(&format!(
            "{indent}{}  {:width$}  {} {rule}{line}",
            out.paint(tone, word),
            finding.field,
            finding.message
        ));
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
