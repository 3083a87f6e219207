//! On which line of a file a field stands.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser};

/// Lines of the fields of one document.
#[derive(Clone, Debug, Default)]
pub struct Lines(BTreeMap<String, usize>);

/// What a value stands in.
enum Within {
    /// A mapping; the key that was read last, if its value is still to come.
    Mapping(String, Option<String>),
    /// A sequence, and how many of its entries have begun.
    Sequence(String, usize),
}

impl Lines {
    /// Of a document that begins on this line of its file. What cannot be parsed has none: it was told before.
    pub fn of(text: &str, first: usize) -> Lines {
        let mut out = BTreeMap::new();
        let mut stack: Vec<Within> = Vec::new();
        for next in Parser::new_from_str(text) {
            let Ok((event, span)) = next else { break };
            let line = first + span.start.line().saturating_sub(1);
            match event {
                Event::Scalar(value, ..) => {
                    if let Some(Within::Mapping(parent, key @ None)) = stack.last_mut() {
                        let path = child(parent, &value);
                        out.entry(path.clone()).or_insert(line);
                        *key = Some(path);
                    } else {
                        value_at(&mut stack, &mut out, line);
                    }
                }
                Event::Alias(..) => {
                    value_at(&mut stack, &mut out, line);
                }
                Event::MappingStart(..) => {
                    let path = value_at(&mut stack, &mut out, line);
                    stack.push(Within::Mapping(path, None));
                }
                Event::SequenceStart(..) => {
                    let path = value_at(&mut stack, &mut out, line);
                    stack.push(Within::Sequence(path, 0));
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    stack.pop();
                }
                _ => {}
            }
        }
        Lines(out)
    }

    /// The line of a field such as `spec.hosts[0]` or `metadata.labels[team]`, or of the nearest field above it that is
    /// there. `within` is where the object stands in its document.
    pub fn find(&self, within: &str, field: &str) -> Option<usize> {
        let whole = if within.is_empty() { field.to_owned() } else { format!("{within}.{field}") };
        let mut path = whole.as_str();
        loop {
            // A key with dots is written in brackets; any other may be too.
            if let Some(line) = self.0.get(path).or_else(|| self.0.get(&dotted(path)?)) {
                return Some(*line);
            }
            let end = if path.ends_with(']') { path.rfind('[') } else { path.rfind(['.', '[']) };
            path = &path[..end?];
        }
    }
}

/// `metadata.labels[team]` as `metadata.labels.team`, if the brackets hold no number.
fn dotted(path: &str) -> Option<String> {
    let (parent, key) = path.strip_suffix(']')?.rsplit_once('[')?;
    key.parse::<usize>().is_err().then(|| child(parent, key))
}

fn child(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// The path of the value that begins here.
fn value_at(stack: &mut [Within], out: &mut BTreeMap<String, usize>, line: usize) -> String {
    match stack.last_mut() {
        None => String::new(),
        // A key that is no scalar has no path; its value is left out too.
        Some(Within::Mapping(parent, key)) => key.take().unwrap_or_else(|| format!("{parent}.?")),
        Some(Within::Sequence(parent, count)) => {
            let path = format!("{parent}[{count}]");
            *count += 1;
            out.entry(path.clone()).or_insert(line);
            path
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    const TEXT: &str = "kind: ExposedApp
metadata:
  labels: {team: a, app.kubernetes.io/name: x}
  annotations:
    example.com/note: |
      two
      lines
spec:
  hosts:
  # a comment
  - shop.example.com
  - {bad: [1,
      2]}
  routes: &r [{path: /}]
  again: *r
";

    #[test]
    fn a_field_is_found_and_what_is_missing_where_it_would_stand() {
        let lines = Lines::of(TEXT, 11);
        for (field, line) in [
            ("kind", 11),
            ("metadata.labels[team]", 13),
            ("metadata.labels[app.kubernetes.io/name]", 13),
            ("metadata.labels[absent]", 13),
            ("metadata.annotations[example.com/note]", 15),
            ("spec.hosts[0]", 21),
            ("spec.hosts[1].bad[1]", 23),
            ("spec.hosts[7]", 19),
            ("spec.routes[0].path", 24),
            ("spec.routes[0].backends[0].service", 24),
            ("spec.again", 25),
            ("spec.tls.mode", 18),
        ] {
            assert_eq!(lines.find("", field), Some(line), "{field}");
        }
        assert_eq!(lines.find("", "status"), None);
        let list = Lines::of("kind: List\nitems:\n- spec:\n    hosts: [a]\n- spec:\n    hosts: [b]\n", 1);
        assert_eq!(list.find("items[1]", "spec.hosts[0]"), Some(6));
    }

    #[test]
    fn broken_text_has_no_lines_and_does_not_panic() {
        for text in ["", "a: [", "? {a: b}\n: c\n", "- - - a", "a: *nobody", "\u{0}"] {
            let _ = Lines::of(text, 1).find("", "a.b[0].c");
        }
    }
}
