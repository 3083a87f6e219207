//! The demo and the end-to-end tests: they drive built binaries, never their insides.
//!
//! | module | holds |
//! |---|---|
//! | `bench` | the operator as a process, with hollow edges: what the wire tests stand on |
//! | `hollow` | edges without a node, for tests on a bare control plane |
//! | `lab` | platform, AWS simulator, images, Gatehouse itself: what every scenario stands on |
//! | `tell` | what a person sees: steps with their measured time, facts that hold or not |

pub mod bench;
pub mod hollow;
pub mod lab;
pub mod tell;
