//! HTTPS around the one review of [`gatehouse_core`].
//!
//! ```text
//! API server --AdmissionReview--> http --> admission (reads) --> verdict (core's review over the cached world) --> answer
//!                                                                   ^
//! API server --list and watch--> cache (World behind a lock) -------+
//! kubelet --mounted Secret--> certificate (polled) --> tls (accept loop)
//! ```
//!
//! No request causes a call to the API server, and nothing is ever written there: what a review needs is cached, and
//! before the caches are filled the webhook answers 503, which the API server treats as its failurePolicy says.

pub mod admission;
pub mod cache;
pub mod certificate;
pub mod clients;
pub mod edits;
pub mod facts;
pub mod flags;
pub mod http;
mod ingress;
pub mod metrics;
pub mod tls;
pub mod verdict;
