//! The engine in virtual time: a cluster in memory, the model of AWS, and between them a wire on which calls fail
//! before, after, late or without a trace, and leaders change. Nothing here waits, nothing is random: the same
//! arguments give the same history.
//!
//! Only tests use it, core's and those that compare what others say with the engine. It is a crate of its own so that
//! every test binary shares one build of it.

#![allow(clippy::unwrap_used, reason = "a test harness: what it unwraps is its own")]

mod adapter;
mod apply;
mod cluster;
mod data_plane;
mod ingress;
mod people;
mod sim;

pub use adapter::Adapter;
pub use cluster::Cluster;
pub use data_plane::{edge_behind, edge_of};
pub use sim::{Fault, Sim, Weather, short};
