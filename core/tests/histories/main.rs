//! Random days on the engine, the model of AWS and a cluster in memory: whatever people, strangers and the wire do, a
//! request reaches only the edge of the namespace that holds its name, no quota is met, and in the end nothing is left.
//!
//! `HISTORIES` says how many, `FROM` the first seed; failing ones are shrunk and printed as JSON. Put such a file into
//! `kept/`, and it is played first from then on.

#![allow(clippy::unwrap_used, reason = "a test")]

mod generate;
mod history;
mod play;
mod shrink;
mod stranger;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use history::History;
use play::Played;

thread_local! {
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Plays it; the text of what was broken.
fn attempt(history: &History) -> Result<Played, String> {
    catch_unwind(AssertUnwindSafe(|| play::play(history))).map_err(|_| SAID.with(RefCell::take))
}

/// Panics of histories are caught and told once, shrunk.
fn quiet() {
    std::panic::set_hook(Box::new(|info| SAID.with(|said| *said.borrow_mut() = info.to_string())));
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.replace('_', "").parse().ok()).unwrap_or(default)
}

/// First the kept ones, then new ones.
fn main() {
    quiet();
    let kept = kept();
    let mut failed = kept;
    let count = number("HISTORIES", 2_000);
    let from = number("FROM", 1);
    let (next, done, calls) = (AtomicU64::new(from), AtomicU64::new(0), AtomicU64::new(0));
    let (throttled, sharded) = (AtomicU64::new(0), AtomicU64::new(0));
    let found: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let most = usize::try_from(number("FAILURES", 3)).unwrap();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    println!("histories: seeds {from} to {} on {workers} threads", from + count - 1);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count || found.lock().unwrap().len() >= most {
                        return;
                    }
                    match attempt(&generate::history(seed)) {
                        Ok(played) => {
                            calls.fetch_add(played.calls, Ordering::Relaxed);
                            throttled.fetch_add(played.throttled, Ordering::Relaxed);
                            sharded.fetch_add(u64::from(played.shards > 1), Ordering::Relaxed);
                        }
                        Err(said) => found.lock().unwrap().push((seed, said)),
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done.is_multiple_of(10_000) {
                        println!("  {done} of {count} played; resume with FROM={}", from + done);
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    for (seed, said) in &found {
        failed = true;
        tell(*seed, said);
    }
    println!(
        "{} histories, {} calls, {} of them throttled; {} needed more than one shard",
        done.load(Ordering::Relaxed),
        calls.load(Ordering::Relaxed),
        throttled.load(Ordering::Relaxed),
        sharded.load(Ordering::Relaxed)
    );
    if failed {
        std::process::exit(1);
    }
}

fn headline(said: &str) -> String {
    said.lines().take(2).collect::<Vec<_>>().join(" ")
}

/// What is compared while shrinking: the kind of failure, without names and numbers.
fn kind(said: &str) -> String {
    let line = said.lines().nth(1).unwrap_or_default();
    line.split([':', '{', '[']).next().unwrap_or_default().chars().filter(|c| !c.is_ascii_digit()).take(40).collect()
}

fn tell(seed: u64, said: &str) {
    println!("\nFAILED: seed {seed}: {}", headline(said));
    let wanted = kind(said);
    let fails = |h: &History| attempt(h).err().is_some_and(|s| kind(&s) == wanted);
    let small = shrink::shrink(&generate::history(seed), u32::try_from(number("SHRINK", 300)).unwrap(), &fails);
    println!("shrunk to {} acts and {} faults:", small.acts.len(), small.faults.len());
    println!("{}", readable(&small));
    println!("{}", attempt(&small).err().unwrap_or_default());
}

/// JSON with an act a line.
fn readable(history: &History) -> String {
    let line = |v: &dyn Fn() -> String| v();
    let acts: Vec<String> =
        history.acts.iter().map(|a| line(&|| format!("    {}", serde_json::to_string(a).unwrap()))).collect();
    format!(
        "{{\n  \"name\": {},\n  \"account\": {},\n  \"acts\": [\n{}\n  ],\n  \"faults\": {}\n}}",
        serde_json::to_string(&history.name).unwrap(),
        serde_json::to_string(&history.account).unwrap(),
        acts.join(",\n"),
        serde_json::to_string(&history.faults).unwrap()
    )
}

/// Plays every kept history; whether one failed.
fn kept() -> bool {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/kept");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut failed = false;
    for file in &files {
        let history: History = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        if let Err(said) = attempt(&history) {
            failed = true;
            println!("FAILED: kept {}: {said}", file.file_name().unwrap().to_string_lossy());
        }
    }
    println!("{} kept histories played", files.len());
    failed
}
