//! `docs/admission-checks.md` names tests that exist.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

/// Every ``file` `function`` of a line.
fn named(line: &str) -> Vec<(&str, &str)> {
    let words: Vec<&str> = line.split('`').collect();
    // Between two pairs of backticks stands one space.
    let pairs = words.windows(3).enumerate().filter(|(i, pair)| i % 2 == 1 && pair[1] == " ");
    pairs
        .map(|(_, pair)| (pair[0], pair[2]))
        .filter(|(file, _)| file.ends_with(".rs") || file.ends_with(".go"))
        .collect()
}

#[test]
fn every_test_that_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/admission-checks.md")).unwrap();
    let mut numbers = Vec::new();
    let mut proved = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Ok(number) = cells[1].parse::<usize>() else { continue };
        numbers.push(number);
        let tests = named(line);
        for (file, function) in &tests {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{number}: {file}: {e}"));
            let is = |keyword: &str| text.contains(&format!("{keyword} {function}("));
            assert!(is("fn") || is("func"), "{number}: {file} has no test {function}");
            // A function that is not run proves nothing.
            let before = text.split(&format!("fn {function}(")).next().unwrap();
            let own = before.rsplit("\n\n").next().unwrap();
            assert!(file.ends_with(".go") || own.contains("test]"), "{number}: {file}: {function} is no test");
        }
        proved += usize::from(!tests.is_empty());
        let said = ["not covered", "documented in", "docs/"].iter().any(|word| line.contains(word));
        assert!(!tests.is_empty() || said, "{number}: neither a test nor a reason");
    }
    assert_eq!(numbers, (1..=33).collect::<Vec<_>>());
    assert!(proved >= 25, "only {proved} are proved by a test");
}
