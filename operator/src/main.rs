//! The operator: performs what the engine decides.

fn main() {}
