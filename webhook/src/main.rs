//! The admission webhook: HTTPS around the same review.

fn main() {}
