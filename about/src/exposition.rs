//! What is wrong with a text that Prometheus is to read: its grammar (text format 0.0.4), and the rules for names and
//! units that `promtool check metrics` has. For tests.

use std::collections::{BTreeMap, BTreeSet};

/// One family, as it is read.
#[derive(Default)]
struct Family {
    help: bool,
    kind: String,
    /// Bucket counts by the labels besides `le`, in the order of the text.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
    counts: BTreeMap<String, f64>,
}

const KINDS: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];

/// Units that are not base units, and what to write instead.
const UNITS: [(&str, &str); 12] = [
    ("milliseconds", "seconds"),
    ("microseconds", "seconds"),
    ("nanoseconds", "seconds"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("kilobytes", "bytes"),
    ("kibibytes", "bytes"),
    ("megabytes", "bytes"),
    ("mebibytes", "bytes"),
    ("bits", "bytes"),
    ("percent", "ratio"),
];

/// Every fault, with the name or the line. Empty: a Prometheus takes all of it, and promtool says nothing.
#[must_use]
pub fn faults(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut series = BTreeSet::new();
    let mut last = String::new();
    let mut closed = BTreeSet::new();
    if !text.is_empty() && !text.ends_with('\n') {
        out.push("the last line has no end".to_owned());
    }
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let read = match line.strip_prefix("# ") {
            Some(comment) => comment_line(comment, &mut families),
            None => sample(line, &mut families, &mut series),
        };
        match read {
            Ok(None) => {}
            Ok(Some(name)) => {
                // All lines of a family stand together.
                if name != last {
                    if !closed.insert(name.clone()) {
                        out.push(format!("{name} stands in two places"));
                    }
                    last = name;
                }
            }
            Err(fault) => out.push(format!("{fault}: {line}")),
        }
    }
    for (name, family) in &families {
        out.extend(of_family(name, family).into_iter().map(|fault| format!("{name} {fault}")));
    }
    out
}

fn comment_line(comment: &str, families: &mut BTreeMap<String, Family>) -> Result<Option<String>, &'static str> {
    let mut words = comment.splitn(3, ' ');
    let (word, name, rest) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match word {
        Some("HELP") => {
            let family = families.entry(name.to_owned()).or_default();
            if std::mem::replace(&mut family.help, !rest.trim().is_empty()) {
                return Err("a second HELP");
            }
        }
        Some("TYPE") => {
            let family = families.entry(name.to_owned()).or_default();
            if !KINDS.contains(&rest) {
                return Err("no such TYPE");
            }
            if !std::mem::replace(&mut family.kind, rest.to_owned()).is_empty() {
                return Err("a second TYPE");
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(name.to_owned()))
}

fn sample(
    line: &str,
    families: &mut BTreeMap<String, Family>,
    series: &mut BTreeSet<String>,
) -> Result<Option<String>, &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let name = &line[..end];
    if !is_name(name, true) {
        return Err("no name of a metric");
    }
    let (labels, rest) =
        if line[end..].starts_with('{') { labels(&line[end + 1..])? } else { (Vec::new(), &line[end..]) };
    let mut values = rest.split_whitespace();
    let value: f64 = values.next().and_then(|v| v.parse().ok()).ok_or("no value")?;
    if values.next().is_some_and(|moment| moment.parse::<i64>().is_err()) || values.next().is_some() {
        return Err("something behind the value");
    }
    let mut sorted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    sorted.sort();
    if sorted.windows(2).any(|two| two[0].split('=').next() == two[1].split('=').next()) {
        return Err("a label stands twice");
    }
    if !series.insert(format!("{name}{sorted:?}")) {
        return Err("the series stands twice");
    }
    let (base, part) = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|part| Some((name.strip_suffix(part)?, *part)))
        .filter(|(base, _)| families.get(*base).is_some_and(|f| f.kind == "histogram" || f.kind == "summary"))
        .unwrap_or((name, ""));
    let family = families.get_mut(base).filter(|f| !f.kind.is_empty()).ok_or("no TYPE before it")?;
    let le = labels.iter().find(|(name, _)| name == "le").map(|(_, value)| value.clone());
    sorted.retain(|label| !label.starts_with("le="));
    match (part, le) {
        ("_bucket", Some(le)) => {
            let le = if le == "+Inf" { f64::INFINITY } else { le.parse().map_err(|_| "le is no number")? };
            family.buckets.entry(sorted.join(",")).or_default().push((le, value));
        }
        ("_bucket", None) => return Err("a bucket without le"),
        ("_count", _) => drop(family.counts.insert(sorted.join(","), value)),
        (_, Some(_)) => return Err("le is for buckets"),
        _ => {}
    }
    Ok(Some(base.to_owned()))
}

type Labels = Vec<(String, String)>;

/// Labels behind their brace, and what stands behind them.
fn labels(text: &str) -> Result<(Labels, &str), &'static str> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        if let Some(end) = rest.strip_prefix('}') {
            return Ok((out, end));
        }
        let (name, value) = rest.split_once("=\"").ok_or("no label")?;
        if !is_name(name, false) {
            return Err("no name of a label");
        }
        let mut chars = value.char_indices();
        let mut content = String::new();
        let end = loop {
            match chars.next().ok_or("a label without end")? {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => content.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => content.push(c),
                    _ => return Err("no such escape"),
                },
                (_, c) => content.push(c),
            }
        };
        out.push((name.to_owned(), content));
        rest = &value[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

fn is_name(text: &str, colon: bool) -> bool {
    let mut bytes = text.bytes();
    let good = |b: u8| b.is_ascii_alphabetic() || b == b'_' || colon && b == b':';
    bytes.next().is_some_and(good) && bytes.all(|b| good(b) || b.is_ascii_digit())
}

/// The rules of names, and of what a histogram has.
fn of_family(name: &str, family: &Family) -> Vec<String> {
    let mut out = Vec::new();
    if !family.help {
        out.push("has no HELP".to_owned());
    }
    if (family.kind == "counter") != name.ends_with("_total") {
        out.push("ends in _total if, and only if, it is a counter".to_owned());
    }
    if name.contains(':') {
        out.push("has a colon, which recording rules have".to_owned());
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        out.push("is not in snake_case".to_owned());
    }
    if family.kind != "histogram" && family.kind != "summary" {
        for part in ["_bucket", "_sum", "_count"] {
            if name.ends_with(part) {
                out.push(format!("ends in {part}, which parts of histograms do"));
            }
        }
    }
    let words: Vec<&str> = name.split('_').collect();
    for (unit, base) in UNITS {
        if words.contains(&unit) {
            out.push(format!("is in {unit}; use {base}"));
        }
    }
    if KINDS.iter().any(|kind| words.contains(kind)) {
        out.push("has its kind in its name".to_owned());
    }
    for (labels, buckets) in &family.buckets {
        let ascends = buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
        let last = buckets.last().filter(|(le, _)| le.is_infinite()).map(|(_, count)| *count);
        if !ascends || last.is_none() || last != family.counts.get(labels).copied() {
            out.push(format!("has buckets that do not add up: {labels}"));
        }
    }
    if family.kind == "histogram" && family.buckets.is_empty() && !family.counts.is_empty() {
        out.push("has no buckets".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::faults;

    const GOOD: &str = "# HELP a_total Counts.\n# TYPE a_total counter\na_total{host=\"x\\\\\\\"y\",path=\"/\"} 1\na_total{host=\"z\",path=\"/\"} 2\n\
        # HELP b_seconds Takes.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.1\"} 1\nb_seconds_bucket{le=\"+Inf\"} 2\nb_seconds_sum 3.5\nb_seconds_count 2\n";

    #[test]
    fn a_good_text_has_no_fault() {
        assert_eq!(faults(GOOD), [""; 0]);
        assert_eq!(faults(""), [""; 0]);
    }

    #[test]
    fn every_fault_is_found() {
        for (from, to, says) in [
            ("# HELP a_total Counts.\n", "", "a_total has no HELP"),
            ("# HELP a_total Counts.", "# HELP a_total ", "a_total has no HELP"),
            ("# TYPE a_total counter\n", "", "no TYPE before it"),
            ("TYPE a_total counter", "TYPE a_total gauge", "if, and only if, it is a counter"),
            ("a_total", "a", "if, and only if, it is a counter"),
            ("a_total", "aB_total", "snake_case"),
            ("a_total", "a:b_total", "colon"),
            ("a_total", "a_milliseconds_total", "use seconds"),
            ("a_total", "a_gauge_total", "its kind"),
            ("path=", "pa-th=", "no name of a label"),
            ("\\\\\\\"", "\\x", "no such escape"),
            ("host=\"z\"", "host=\"x\\\\\\\"y\"", "the series stands twice"),
            ("host=\"z\",path", "host=\"z\",host", "a label stands twice"),
            ("} 2\n#", "} two\n#", "no value"),
            ("} 2\n#", "} 2 3 4\n#", "something behind"),
            ("le=\"+Inf\"} 2", "le=\"+Inf\"} 0", "do not add up"),
            ("le=\"+Inf\"} 2", "le=\"5\"} 2", "do not add up"),
            ("b_seconds_count 2", "b_seconds_count 3", "do not add up"),
            ("TYPE b_seconds histogram", "TYPE b_seconds thing", "no such TYPE"),
            ("b_seconds_count 2\n", "b_seconds_count 2", "no end"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from} is not there");
            let found = faults(&text);
            assert!(found.iter().any(|fault| fault.contains(says)), "{from:?} -> {to:?}: {found:?}");
        }
        let split = format!("{GOOD}a_total{{host=\"w\",path=\"/\"}} 1\n");
        assert!(faults(&split).iter().any(|f| f.contains("two places")), "{:?}", faults(&split));
    }
}
