//! The gatehouse command: check, plan, render.

fn main() {}
