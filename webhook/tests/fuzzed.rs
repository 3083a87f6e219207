//! The fuzz target's corpus, replayed, and mutations of it: whatever bytes come, the webhook answers, and it admits
//! nothing that a second opinion refuses.
//!
//! `webhook/fuzz` searches for more with cargo-fuzz; a file that it finds belongs into its corpus, and is judged here from
//! then on. `MUTATIONS=1000000 SEED=7 cargo test -p gatehouse-webhook --test fuzzed -- --nocapture` searches without it.
#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

mod judged;
mod support;

use std::path::PathBuf;

use gatehouse_webhook::http::State;
use judged::{Ended, judge};
use serde_json::{Value, json};

const PATHS: [&str; 4] = ["/validate", "/mutate", "/foreign", "/edits"];

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/review");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// The name of a file begins with what becomes of it.
#[tokio::test]
async fn the_corpus_ends_as_its_names_say() {
    let state = support::state();
    let mut seen = Vec::new();
    for (name, bytes) in corpus() {
        for path in PATHS {
            let ended = judge(&state, path, &bytes).await;
            if path == "/validate" {
                let word = match ended {
                    Ended::Unreadable => "unreadable",
                    Ended::Refused => "refused",
                    Ended::Admitted => "admitted",
                };
                assert!(name.starts_with(word), "{name}: {word}");
                seen.push(ended);
            }
        }
    }
    for ended in [Ended::Unreadable, Ended::Refused, Ended::Admitted] {
        assert!(seen.iter().filter(|e| **e == ended).count() >= 3, "{ended:?}: {seen:?}");
    }
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

/// Words that mean something somewhere, and texts that tell two readers apart.
const WORDS: [&str; 24] = [
    "CREATE",
    "UPDATE",
    "DELETE",
    "status",
    "",
    "team-a",
    "team-b",
    "shop.example.com",
    "SHOP.example.com",
    "shop.example.com.",
    "evila.example.com",
    "a.example.com",
    "one.a.example.com",
    "*.a.example.com",
    "*.com",
    "one.а.example.com",
    "one.a.example.com\0",
    "one.a.example.com\n",
    "public",
    "internal",
    "Request",
    "ExposedApp",
    "Ingress",
    "gatehouse",
];

/// What stands behind a key in one request takes its place in another; a word, a null, a list of one, an item more; and
/// now and then a byte of the text itself.
fn mutate(dice: &mut Dice, corpus: &[Value]) -> Vec<u8> {
    let mut review = corpus[dice.below(corpus.len())].clone();
    for _ in 0..1 + dice.below(4) {
        let other = &corpus[dice.below(corpus.len())];
        let (mut own, mut others) = (Vec::new(), Vec::new());
        places(&review, "", "", &mut own);
        places(other, "", "", &mut others);
        let Some((pointer, key)) = own.get(dice.below(own.len())) else { break };
        others.retain(|(_, other)| other == key);
        let place = review.pointer_mut(pointer).unwrap();
        match (dice.below(12), &mut *place) {
            (0..=3, Value::String(text)) => WORDS[dice.below(WORDS.len())].clone_into(text),
            (0..=2, Value::Array(items)) => {
                let item = items.get(dice.below(items.len())).cloned().unwrap_or(Value::Null);
                items.push(item);
            }
            (4, place) => *place = Value::Null,
            (5, place) => *place = json!([place.clone()]),
            (6, place) => *place = json!(7),
            _ if !others.is_empty() => *place = other.pointer(&others[dice.below(others.len())].0).unwrap().clone(),
            _ => {}
        }
    }
    let mut bytes = review.to_string().into_bytes();
    if dice.below(8) == 0 {
        let at = dice.below(bytes.len());
        match dice.below(3) {
            0 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
            1 => bytes.truncate(at),
            _ => bytes.insert(at, b"\"{}[],:0\\\0\xff"[dice.below(10)]),
        }
    }
    bytes
}

async fn count(state: &State, seed: u64, number: u64) -> [u64; 3] {
    let corpus: Vec<Value> =
        corpus().into_iter().filter_map(|(_, bytes)| serde_json::from_slice(&bytes).ok()).collect();
    let (mut dice, mut ends) = (Dice(seed), [0; 3]);
    for i in 0..number {
        let bytes = mutate(&mut dice, &corpus);
        let path = PATHS[usize::from(dice.below(4) == 0) * dice.below(PATHS.len())];
        // In a task of its own, so that a panic is told with what led to it.
        let (state, asked) = (state.clone(), bytes.clone());
        let ended = tokio::spawn(async move { judge(&state, path, &asked).await }).await;
        let ended =
            ended.unwrap_or_else(|_| panic!("SEED={seed}, number {i}, {path}:\n{}", String::from_utf8_lossy(&bytes)));
        ends[ended as usize] += 1;
    }
    ends
}

#[tokio::test]
async fn mutations_are_answered_and_let_nothing_in() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (mutations, seed) = (number("MUTATIONS", 4_000), number("SEED", 1));
    eprintln!("SEED={seed} MUTATIONS={mutations}");
    let [unreadable, refused, admitted] = count(&support::state(), seed, mutations).await;
    eprintln!("{unreadable} unreadable, {refused} refused, {admitted} admitted");
    for ends in [unreadable, refused, admitted] {
        assert!(ends * 25 > mutations, "the mutations prove nothing: {unreadable}, {refused}, {admitted}");
    }
}
