//! The fuzz target's corpus, replayed, and mutations of it: what is a table can be rendered, and the file does what the
//! table says.
//!
//! `route/fuzz` searches for more with cargo-fuzz; a file that it finds belongs into its corpus, and is judged here from
//! then on. `MUTATIONS=1000000 SEED=7 cargo test -p gatehouse-route --test fuzzed -- --nocapture` searches without it.
#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

mod meaning;
mod reader;

use std::panic::catch_unwind;
use std::path::PathBuf;

use meaning::judge;
use serde_json::Value;

fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/table");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn the_corpus_does_what_it_says() {
    let (mut tables, mut asked) = (0, 0);
    for (path, bytes) in corpus() {
        let found = catch_unwind(|| judge(&bytes)).unwrap_or_else(|_| panic!("{}", path.display()));
        let refused = path.file_name().unwrap().to_string_lossy().starts_with("refused-");
        assert_eq!(found.is_none(), refused, "{}", path.display());
        tables += usize::from(found.is_some());
        asked += found.unwrap_or_default();
    }
    eprintln!("{tables} tables, asked {asked} times");
    assert!(tables >= 8 && asked > 1_500, "{tables} tables, asked {asked} times");
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

/// Pointers to all fields and items of a value, with the key they stand behind.
fn places(value: &Value, at: &str, key: &str, out: &mut Vec<(String, String)>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, field)| {
            let here = format!("{at}/{}", escaped(key));
            out.push((here.clone(), key.clone()));
            places(field, &here, key, out);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| {
            out.push((format!("{at}/{i}"), format!("{key}[]")));
            places(item, &format!("{at}/{i}"), key, out);
        }),
        _ => {}
    }
}

/// What stands behind a key in one table takes its place in another, so that much of it is still a table; now and then a
/// word that has a meaning somewhere, another host, or a route more.
fn mutate(dice: &mut Dice, corpus: &[Value]) -> Vec<u8> {
    const WORDS: [&str; 20] = [
        "/",
        "/a/",
        "/a",
        "/api",
        "/api/",
        "/.well-known/gatehouse",
        "/.well-known",
        "/.well-known/gatehouse/",
        "Exact",
        "Prefix",
        "GRPC",
        "H2C",
        "Off",
        "On",
        "1s",
        "24h",
        "64Gi",
        "a\n",
        "$",
        "http",
    ];
    const HOSTS: [&str; 5] = ["example.org", "*.example.org", "one.example.org", "*.one.example.org", "a.example.org"];
    let mut table = corpus[dice.below(corpus.len())].clone();
    for _ in 0..1 + dice.below(5) {
        let other = &corpus[dice.below(corpus.len())];
        let (mut own, mut others) = (Vec::new(), Vec::new());
        places(&table, "", "", &mut own);
        places(other, "", "", &mut others);
        let (pointer, key) = &own[dice.below(own.len())];
        others.retain(|(_, other)| other == key);
        let place = table.pointer_mut(pointer).unwrap();
        match (dice.below(6), &mut *place) {
            (0, Value::String(text)) => WORDS[dice.below(WORDS.len())].clone_into(text),
            (0, Value::Array(items)) if !items.is_empty() => {
                let item = items[dice.below(items.len())].clone();
                items.push(item);
            }
            (1, Value::Object(fields)) if key == "hosts" && !fields.is_empty() => {
                let name = fields.keys().nth(dice.below(fields.len())).unwrap().clone();
                let routes = fields[&name].clone();
                fields.insert(HOSTS[dice.below(HOSTS.len())].to_owned(), routes);
            }
            _ if !others.is_empty() => {
                *place = other.pointer(&others[dice.below(others.len())].0).unwrap().clone();
            }
            _ => {}
        }
    }
    table.to_string().into_bytes()
}

#[test]
fn mutations_do_what_they_say() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, seed) = (number("MUTATIONS", 2_000), number("SEED", 1));
    eprintln!("SEED={seed} MUTATIONS={count}");
    let corpus: Vec<Value> =
        corpus().into_iter().filter_map(|(_, bytes)| serde_json::from_slice(&bytes).ok()).collect();
    let (mut dice, mut tables) = (Dice(seed), 0);
    for i in 0..count {
        let bytes = mutate(&mut dice, &corpus);
        let judged = catch_unwind(|| judge(&bytes));
        let judged = judged.unwrap_or_else(|_| panic!("SEED={seed}, number {i}:\n{}", String::from_utf8_lossy(&bytes)));
        tables += u64::from(judged.is_some());
    }
    eprintln!("{tables} of {count} are tables");
    assert!(tables * 10 > count, "only {tables} of {count} are tables: the mutations prove nothing");
}
