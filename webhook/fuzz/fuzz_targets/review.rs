//! Bytes as a request to each endpoint: it is answered, and nothing is admitted that a second opinion refuses.
#![no_main]

#[path = "../../tests/judged/mod.rs"]
mod judged;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::sync::OnceLock;

use gatehouse_webhook::http::State;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static STATE: OnceLock<State> = OnceLock::new();
    let state = STATE.get_or_init(support::state);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for path in ["/validate", "/mutate", "/foreign", "/edits"] {
        runtime.block_on(judged::judge(state, path, bytes));
    }
});
