//! `gatehouse test`: cases of manifests, each with exactly the findings that it must have.

use std::path::{Path, PathBuf};

use gatehouse_core::{Settings, Wall};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{TestArgs, TestFormat, moment};
use crate::check::{Judged, judged, number};
use crate::foreign;
use crate::input::{self, Document};
use crate::machine::{junit_suite, xml};
use crate::print::{Out, Tone};
use crate::report::{Severity, Subject, Told};

/// How the name of a suite ends. Such a file holds no objects, so other commands pass it by.
pub const SUFFIX: &str = "gatehouse-test.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    /// Files and directories, relative to the suite.
    #[serde(default)]
    given: Vec<PathBuf>,
    /// When exceptions are judged.
    now: Option<String>,
    /// Of objects that name none.
    namespace: Option<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    apply: Vec<PathBuf>,
    #[serde(default)]
    objects: Vec<Value>,
    #[serde(default)]
    expect: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    rule: String,
    #[serde(default)]
    severity: Severity,
    field: Option<String>,
    /// Part of the message.
    message: Option<String>,
    /// Name of the object, with its namespace or without.
    object: Option<String>,
}

impl Expected {
    fn is(&self, subject: &Subject, told: &Told) -> bool {
        let of_object =
            |name: &String| *name == subject.name || *name == format!("{}/{}", subject.namespace, subject.name);
        self.rule == told.rule
            && self.severity == told.severity
            && self.field.as_ref().is_none_or(|field| *field == told.field)
            && self.message.as_ref().is_none_or(|part| told.message.contains(part))
            && self.object.as_ref().is_none_or(of_object)
    }

    fn text(&self) -> String {
        let of =
            |text: &Option<String>, before: &str| text.as_ref().map(|t| format!("{before}{t}")).unwrap_or_default();
        let Expected { rule, severity, field, message, object } = self;
        let severity = severity.as_str();
        format!("{severity} [{rule}]{}{}{}", of(field, " "), of(message, " ... "), of(object, " of "))
    }
}

/// How a case ended.
struct Ended {
    suite: String,
    name: String,
    missing: Vec<String>,
    unexpected: Vec<String>,
}

impl Ended {
    fn failed(&self) -> bool {
        !self.missing.is_empty() || !self.unexpected.is_empty()
    }
}

/// Runs the command; returns the exit code.
pub fn run(args: &TestArgs, out: &mut Out) -> u8 {
    let mut files = Vec::new();
    for root in &args.suites {
        if let Err(error) = find(root, &mut files) {
            out.complain(&format!("error: {}: {error}", root.display()));
            return 2;
        }
    }
    if files.is_empty() {
        out.complain(&format!("error: no suite: no file there has a name that ends with {SUFFIX}"));
        return 2;
    }
    let mut all: Vec<Ended> = Vec::new();
    for file in &files {
        match suite(file) {
            Ok(ended) => all.extend(ended),
            Err(problems) => {
                for problem in problems {
                    out.complain(&format!("error: {}: {problem}", file.display()));
                }
                return 2;
            }
        }
    }
    let failed = all.iter().filter(|case| case.failed()).count();
    match args.output {
        TestFormat::Text => text(&all, failed, out),
        TestFormat::Json => {
            let cases: Vec<Value> = all
                .iter()
                .map(|c| {
                    json!({ "suite": c.suite, "name": c.name, "failed": c.failed(), "missing": c.missing, "unexpected": c.unexpected })
                })
                .collect();
            let summary = json!({ "cases": all.len(), "failed": failed });
            out.json(&json!({ "version": 1, "summary": summary, "cases": cases }));
        }
        TestFormat::Junit => junit(&all, failed).lines().for_each(|line| out.line(line)),
    }
    u8::from(failed > 0)
}

fn find(root: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !root.is_dir() {
        // Named by hand it is a suite, however it is called.
        std::fs::metadata(root)?;
        files.push(root.to_owned());
        return Ok(());
    }
    let mut entries = std::fs::read_dir(root)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            find(&path, files)?;
        } else if path.to_string_lossy().ends_with(SUFFIX) {
            files.push(path);
        }
    }
    Ok(())
}

fn suite(file: &Path) -> Result<Vec<Ended>, Vec<String>> {
    let one = |problem: String| vec![problem];
    let text = std::fs::read_to_string(file).map_err(|e| one(e.to_string()))?;
    let suite: Suite = serde_saphyr::from_str(&text)
        .map_err(|e| one(format!("cannot be read as a suite: {}", e.without_snippet())))?;
    let now = match &suite.now {
        Some(day) => moment(day).map_err(|e| one(format!("now: {day:?}: {e}")))?,
        None => Wall(jiff::Timestamp::now().as_second()),
    };
    let beside = |path: &PathBuf| file.parent().unwrap_or(Path::new("")).join(path);
    let read = |paths: &[PathBuf]| {
        if paths.is_empty() {
            Ok(Vec::new())
        } else {
            input::context(&paths.iter().map(beside).collect::<Vec<_>>(), true)
        }
    };
    let given = read(&suite.given)?;
    let namespace = suite.namespace.as_deref().unwrap_or("default");
    let mut out = Vec::new();
    for case in &suite.cases {
        let mut documents = given.clone();
        let mut own = read(&case.apply)?;
        own.extend(case.objects.iter().enumerate().map(|(i, value)| Document::made(&case.name, i + 1, value.clone())));
        if own.is_empty() {
            return Err(one(format!("case {:?} has nothing to apply; give apply or objects", case.name)));
        }
        own.iter_mut().for_each(|document| document.source.context = false);
        documents.extend(own);
        let Judged { mut objects, .. } = judged(documents, namespace, &Settings::default(), now)?;
        foreign::check(&mut objects, now);
        out.push(ended(file, case, &objects.subjects));
    }
    Ok(out)
}

fn ended(file: &Path, case: &Case, subjects: &[Subject]) -> Ended {
    let own = || subjects.iter().filter(|s| !s.source.context).flat_map(|s| s.findings.iter().map(move |t| (s, t)));
    let missing = case.expect.iter().filter(|e| !own().any(|(s, t)| e.is(s, t))).map(Expected::text).collect();
    let unexpected = own().filter(|(s, t)| !case.expect.iter().any(|e| e.is(s, t)));
    let text = |(s, t): (&Subject, &Told)| {
        format!("{} [{}] {} of {}: {}", t.severity.as_str(), t.rule, t.field, s.title(), t.message)
    };
    let unexpected = unexpected.map(text).collect();
    Ended { suite: file.display().to_string(), name: case.name.clone(), missing, unexpected }
}

fn text(all: &[Ended], failed: usize, out: &mut Out) {
    let mut suite = "";
    for case in all {
        if case.suite != suite {
            suite = &case.suite;
            out.line(&out.paint(Tone::Strong, suite));
        }
        let word = if case.failed() { out.paint(Tone::Bad, "FAIL") } else { out.paint(Tone::Good, "ok  ") };
        out.line(&format!("  {word}  {}", case.name));
        for line in &case.missing {
            out.line(&format!("          expected  {line}"));
        }
        for line in &case.unexpected {
            out.line(&format!("          found     {line}"));
        }
    }
    out.line("");
    let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
    out.line(&out.paint(tone, &format!("{}, {failed} failed", number(all.len(), "case"))));
}

fn junit(all: &[Ended], failed: usize) -> String {
    let mut cases = String::new();
    for case in all {
        let head = format!("    <testcase classname=\"{}\" name=\"{}\"", xml(&case.suite), xml(&case.name));
        if !case.failed() {
            cases += &format!("{head}/>\n");
            continue;
        }
        let expected = case.missing.iter().map(|line| format!("expected {line}"));
        let lines: Vec<String> = expected.chain(case.unexpected.iter().map(|line| format!("found {line}"))).collect();
        let failure = format!("      <failure message=\"{}\"/>", xml(&lines.join("; ")));
        cases += &format!("{head}>\n{failure}\n    </testcase>\n");
    }
    junit_suite("gatehouse test", (all.len(), failed), &cases)
}
