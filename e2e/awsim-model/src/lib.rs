//! AWS as a pure state machine: call(now, request) -> answer.
