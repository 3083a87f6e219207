//! The page of a program's metrics.

use prometheus::core::Collector;
use prometheus::proto::MetricType;

/// A section of Markdown: a row for each metric, those without any value yet included.
#[must_use]
pub fn section(program: &str, collectors: &[Box<dyn Collector>]) -> String {
    let mut rows: Vec<String> = Vec::new();
    for collector in collectors {
        let families = collector.collect();
        for desc in collector.desc() {
            // A gauge without values collects nothing, but says its kind all the same.
            let kind = families.iter().find(|f| f.name() == desc.fq_name).or(families.first());
            let kind = kind.map_or("", |family| word(family.get_field_type()));
            let labels: Vec<String> = desc.variable_labels.iter().map(|label| format!("`{label}`")).collect();
            rows.push(format!("| `{}` | {kind} | {} | {} |\n", desc.fq_name, labels.join(", "), desc.help));
        }
    }
    rows.sort();
    format!("## {program}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n{}", rows.concat())
}

fn word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

/// Names of all metrics, for a test that each of them was seen.
#[must_use]
pub fn names(collectors: &[Box<dyn Collector>]) -> Vec<String> {
    collectors.iter().flat_map(|c| c.desc().into_iter().map(|desc| desc.fq_name.clone()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounterVec, IntGauge, Opts};

    use super::*;

    #[test]
    fn a_metric_without_values_has_its_row() {
        let vec = IntCounterVec::new(Opts::new("a_total", "Counts."), &["kind", "state"]).unwrap();
        let gauge = IntGauge::new("b", "Measures.").unwrap();
        let all: [Box<dyn Collector>; 2] = [Box::new(gauge), Box::new(vec)];
        let section = section("p", &all);
        let rows = "| `a_total` | counter | `kind`, `state` | Counts. |\n| `b` | gauge |  | Measures. |\n";
        assert!(section.ends_with(rows), "{section}");
        assert_eq!(names(&all), ["b", "a_total"]);
    }
}
