//! The platform itself, for real: needs root, Linux, Go and `GATEHOUSE_PLATFORM=1`. Without them each test says that
//! it did not run. Run them with `GATEHOUSE_PLATFORM=1 cargo test -p platform --test real -- --nocapture`, after
//! `cargo build -p echo`.

// clippy takes only functions with #[test] for tests, not those they call.
#![allow(clippy::unwrap_used)]

#[path = "real/image.rs"]
mod image;
#[path = "real/life.rs"]
mod life;
#[path = "real/policy.rs"]
mod policy;
#[path = "real/support.rs"]
mod support;
