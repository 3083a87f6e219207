//! What `check` found, in the forms that CI systems read.

use gatehouse_core::review::Rule;
use serde_json::{Value, json};

use crate::report::{Severity, Subject, Told};

/// SARIF 2.1.0, which code hosts show beside the lines of a change.
pub fn sarif(subjects: &[&Subject]) -> Value {
    let found = || subjects.iter().flat_map(|subject| subject.findings.iter().map(move |told| (subject, told)));
    let mut ids: Vec<&str> = found().map(|(_, told)| told.rule.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let rules: Vec<Value> = ids
        .iter()
        .map(|id| {
            let Some(rule) = Rule::ALL.into_iter().find(|rule| rule.id() == *id) else { return json!({ "id": id }) };
            let about = rule.about();
            json!({
                "id": id,
                "shortDescription": { "text": about.asks },
                "help": { "text": format!("{}. {}.", about.why, about.cure) },
            })
        })
        .collect();
    let results: Vec<Value> = found()
        .map(|(subject, told)| {
            let level = match told.severity {
                Severity::Fault => "error",
                Severity::Warning => "warning",
                Severity::Audit => "note",
            };
            let line = told.line.unwrap_or(subject.source.line);
            json!({
                "ruleId": told.rule,
                "level": level,
                "message": { "text": text(subject, told) },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": subject.source.file },
                    "region": { "startLine": line },
                } }],
            })
        })
        .collect();
    let driver = json!({ "name": "gatehouse", "version": env!("CARGO_PKG_VERSION"), "rules": rules });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": driver }, "results": results }],
    })
}

fn text(subject: &Subject, told: &Told) -> String {
    let hint = told.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}: {}: {}{hint}", subject.title(), told.field, told.message)
}

/// JUnit's XML: a test case for each object, failed by its faults; warnings are its output.
pub fn junit(subjects: &[Subject]) -> String {
    let failed = subjects.iter().filter(|s| s.refused()).count();
    let mut out = String::new();
    for subject in subjects {
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
            xml(&subject.kind),
            xml(&subject.title()),
            xml(&subject.source.file),
            subject.source.line
        );
        if subject.findings.is_empty() {
            out += &format!("{head}/>\n");
            continue;
        }
        out += &format!("{head}>\n");
        let line = |told: &Told| format!("{}:{}", subject.source.file, told.line.unwrap_or(subject.source.line));
        for told in subject.findings.iter().filter(|t| t.severity == Severity::Fault) {
            let message = format!("{}: {} [{}]", told.field, told.message, told.rule);
            let more = told.hint.clone().unwrap_or_default();
            out += &format!(
                "      <failure type=\"{}\" message=\"{}\">{}\n{}</failure>\n",
                xml(&told.rule),
                xml(&message),
                xml(&line(told)),
                xml(&more)
            );
        }
        let told = subject.findings.iter().filter(|t| t.severity != Severity::Fault);
        let rest: Vec<String> = told.map(|t| format!("{} {}: {} [{}]", line(t), t.field, t.message, t.rule)).collect();
        if !rest.is_empty() {
            out += &format!("      <system-out>{}</system-out>\n", xml(&rest.join("\n")));
        }
        out += "    </testcase>\n";
    }
    junit_suite("gatehouse check", (subjects.len(), failed), &out)
}

/// JUnit's frame around test cases, of which so many failed.
pub fn junit_suite(name: &str, (tests, failed): (usize, usize), cases: &str) -> String {
    let counts = format!("tests=\"{tests}\" failures=\"{failed}\"");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"{name}\" {counts}>\n{cases}  </testsuite>\n</testsuites>\n"
    )
}

/// Text that cannot leave its place: XML has no way to write most control characters.
pub fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
