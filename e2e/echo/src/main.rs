//! The test application: answers what it was asked.

fn main() {}
