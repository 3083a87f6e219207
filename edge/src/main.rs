//! The agent beside nginx: table in, running nginx out.

fn main() {}
