//! Decides; never acts. No I/O, no clock, no log, no async runtime, no SDK.
//!
//! ```text
//! World (Kubernetes) --review--> findings + parsed apps --claims--> who holds which host, what was admitted
//!                                                         |
//!                                                       desired   per namespace: table, children, hosts by shard
//!                                                         |
//! Observed (AWS) -------------------------------------->  plan    steps ready, waiting (for what), held (why)
//!                                                         |
//!                                                       engine    events in, effects out, one step per lane
//! ```
//!
//! Every room is a pure function of values; time comes in as an argument. [`engine::Engine`] is `Clone + Eq + Hash`,
//! so tests can run years of reordered, late and failing calls on the code that ships.

pub mod aws;
pub mod certificates;
pub mod children;
pub mod claims;
pub mod desired;
pub mod engine;
pub mod explain;
pub mod facts;
pub mod identity;
pub mod impact;
pub mod ingress;
pub mod marker;
pub mod observed;
pub mod plan;
pub mod reason;
pub mod request;
pub mod review;
pub mod settings;
pub mod time;
mod words;
pub mod world;

pub use engine::{Answer, Buckets, Effect, EffectId, Engine, Event, Outcome};
pub use identity::{AppKey, ClusterId, ShardKey};
pub use reason::Reason;
pub use settings::{EdgePods, Settings, Toleration};
pub use time::{Mono, Now, Wall};
pub use world::{Delta, Kind, World};
