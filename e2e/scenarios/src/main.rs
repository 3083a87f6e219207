//! The demo and the end-to-end tests: drive built binaries, never their insides.

fn main() {}
