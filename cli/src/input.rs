//! From files to documents. What cannot be read is told with file, document and line; nothing is guessed.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::args::FileArgs;
use crate::lines::Lines;
use crate::report::Told;

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Source {
    /// File as it was given.
    pub file: String,
    /// Number of the document in the file, from 1.
    pub document: usize,
    /// Line on which the document begins.
    pub line: usize,
    /// Whether it is there to judge others by, and is not judged itself.
    #[serde(skip)]
    pub context: bool,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One YAML document.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where.
    pub source: Source,
    /// What.
    pub value: Value,
    /// The text it was read from.
    pub text: Text,
}

/// The text of a document, and where in it an object stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    text: Arc<str>,
    /// Line of the file on which the text begins.
    line: usize,
    /// Path of the object in the document; empty for the document itself.
    within: String,
}

impl Text {
    /// Puts the lines of their fields to what was found.
    pub fn locate(&self, findings: &mut [Told]) {
        let lines = Lines::of(&self.text, self.line);
        for told in findings {
            told.line = lines.find(&self.within, &told.field);
        }
    }
}

impl Document {
    /// An object that stands in no file.
    pub fn made(from: &str, document: usize, value: Value) -> Document {
        let source = Source { file: from.to_owned(), document, line: 1, context: false };
        Document { source, value, text: Text::default() }
    }
}

/// Reads what others are judged by.
///
/// # Errors
/// As [`read`].
pub fn context(files: &[PathBuf], recursive: bool) -> Result<Vec<Document>, Vec<String>> {
    let mut documents = all(files, recursive)?;
    documents.iter_mut().for_each(|document| document.source.context = true);
    Ok(documents)
}

/// Reads everything that was named.
///
/// # Errors
/// Every problem, not only the first: a broken document is often not alone.
pub fn read(args: &FileArgs) -> Result<Vec<Document>, Vec<String>> {
    all(&args.files, args.recursive)
}

fn all(roots: &[PathBuf], recursive: bool) -> Result<Vec<Document>, Vec<String>> {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for root in roots {
        if root.as_os_str() == "-" {
            if seen.insert(root.clone()) {
                let mut bytes = Vec::new();
                match std::io::stdin().lock().read_to_end(&mut bytes) {
                    Ok(_) => text(&bytes, "<stdin>", &mut documents, &mut problems),
                    Err(e) => problems.push(format!("<stdin>: {e}")),
                }
            }
            continue;
        }
        let mut files = Vec::new();
        if root.is_dir() {
            list(root, recursive, &mut files, &mut problems);
            if files.is_empty() && problems.is_empty() {
                let deeper = if recursive { "" } else { " (-R looks into subdirectories)" };
                problems.push(format!("{}: no .yaml, .yml or .json file in it{deeper}", root.display()));
            }
        } else {
            files.push(root.clone());
        }
        for file in files {
            // The same file through two -f is one file, not a duplicate of each of its objects.
            if !seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                continue;
            }
            match std::fs::read(&file) {
                Ok(bytes) => text(&bytes, &file.display().to_string(), &mut documents, &mut problems),
                Err(e) => problems.push(format!("{}: {e}", file.display())),
            }
        }
    }
    if documents.is_empty() && problems.is_empty() {
        problems.push("no document in the input; give files with -f".to_owned());
    }
    if problems.is_empty() { Ok(documents.into_iter().flat_map(items).collect()) } else { Err(problems) }
}

/// What `kubectl get -o yaml` prints for several objects is one List.
fn items(document: Document) -> Vec<Document> {
    let text = |key: &str| document.value.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("kind") != "List" || text("apiVersion").is_empty() || text("apiVersion").contains('/') {
        return vec![document];
    }
    let Document { source, value, text } = document;
    let all = value.get("items").and_then(Value::as_array).into_iter().flatten();
    let within = |i: usize| {
        let dot = if text.within.is_empty() { "" } else { "." };
        Text { within: format!("{}{dot}items[{i}]", text.within), ..text.clone() }
    };
    all.enumerate()
        .flat_map(|(i, value)| items(Document { source: source.clone(), value: value.clone(), text: within(i) }))
        .collect()
}

fn list(dir: &Path, recursive: bool, files: &mut Vec<PathBuf>, problems: &mut Vec<String>) {
    let entries = match std::fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(e) => {
            problems.push(format!("{}: {e}", dir.display()));
            return;
        }
    };
    let mut paths: Vec<(bool, PathBuf)> =
        entries.into_iter().map(|e| (e.file_type().is_ok_and(|t| t.is_dir()), e.path())).collect();
    // The order of a directory is the file system's whim; ours decides who comes first.
    paths.sort();
    for (is_dir, path) in paths {
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if is_dir && recursive {
            list(&path, recursive, files, problems);
        } else if !is_dir && yaml && !path.to_string_lossy().ends_with(crate::suite::SUFFIX) {
            files.push(path);
        }
    }
}

fn text(bytes: &[u8], file: &str, documents: &mut Vec<Document>, problems: &mut Vec<String>) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(e) => {
            let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            problems.push(format!("{file}:{line}: is not UTF-8; save it as UTF-8"));
            return;
        }
    };
    let mut number = 0;
    for (start, chunk) in split(text) {
        // Comments and directives alone are no document; templates print many such.
        let bare = |l: &str| {
            l.trim().is_empty() || l.trim_start().starts_with('#') || l.starts_with('%') || l.trim_end() == "..."
        };
        let Some(first) = chunk.lines().position(|l| !bare(l)) else { continue };
        number += 1;
        let source = Source { file: file.to_owned(), document: number, line: start + first, context: false };
        match serde_saphyr::from_str::<Value>(chunk) {
            Ok(Value::Null) => number -= 1,
            Ok(value @ Value::Object(_)) => {
                let text = Text { text: chunk.into(), line: start, within: String::new() };
                documents.push(Document { source, value, text });
            }
            Ok(_) => problems.push(format!("{source}: document {number}: is no object with apiVersion and kind")),
            Err(e) => {
                let line = e
                    .location()
                    .map_or(source.line, |at| start + usize::try_from(at.line()).unwrap_or(1).saturating_sub(1));
                let plain = e.without_snippet().to_string();
                let what = plain.lines().next().unwrap_or_default();
                // The parser counts lines from the start of the document; the file's own number stands in front.
                let what = what.split(" at line ").next().unwrap_or(what);
                problems.push(format!("{file}:{line}: document {number}: cannot be read as YAML: {what}"));
            }
        }
    }
}

/// Documents with the line on which each chunk begins. `---` at the start of a line always ends a document in YAML, even
/// inside a block of text, so splitting by lines is exact, and one broken document does not hide the next.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let (mut begin, mut begin_line, mut at) = (0, 1, 0);
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let marker = line.starts_with("---") && line[3..].chars().next().is_none_or(char::is_whitespace);
        if marker {
            out.push((begin_line, &text[begin..at]));
            // What follows the marker on its line belongs to the document.
            begin = at + 3;
            begin_line = i + 1;
        }
        at += line.len();
    }
    out.push((begin_line, &text[begin..]));
    out
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn documents_keep_their_lines() {
        let chunks = split("# head\n---\na: 1\n---  # two\nb: |\n  --- not a marker\n----\n");
        let lines: Vec<usize> = chunks.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 4]);
        assert!(chunks[2].1.contains("not a marker") && chunks[2].1.contains("----"));
    }
}
