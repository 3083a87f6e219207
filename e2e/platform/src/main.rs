//! A one-node Kubernetes in a network namespace of its own.

fn main() {}
