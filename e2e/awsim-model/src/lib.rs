//! AWS as a pure state machine: call(now, request) -> answer.

pub mod api;
pub mod iam;

pub use api::{Answer, AwsError, Call, Caller, Empty, Millis, Request, Service, Tag};
