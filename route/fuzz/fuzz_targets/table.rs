//! Bytes as a table: what is one can be rendered, reads back, and does what it says.
#![no_main]

#[path = "../../tests/meaning/mod.rs"]
mod meaning;
#[path = "../../tests/reader/mod.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    meaning::judge(bytes);
});
