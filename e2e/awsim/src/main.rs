//! AWS simulator: the model on the wire, with a data plane and DNS.

fn main() {}
