//! NetworkPolicy: [`ruleset`] translates the API objects to an nftables script, [`enforce`] keeps it loaded.
//!
//! # What is decided
//! - A connection is judged when it begins: a policy change binds new connections at once and lets established ones
//!   run, as connection-tracking enforcers do. Who wants them gone restarts the pod.
//! - The node's own traffic (kubelet probes, host processes on the node's or the bridge's address) always reaches
//!   pods. A host process on another local address, such as a simulated load balancer, is judged as what it stands
//!   for: an outsider that only `ipBlock` and unrestricted rules can let in.
//! - Egress to host processes is judged; the node itself is no exception there.
//! - A Service is seen through: both ends are pods by the time a packet is judged, so ports are target ports.
//! - `ipBlock` compares addresses and nothing else, so a block that holds pod addresses lets those pods in.
//! - A new pod is bound as soon as its address is known, some tenths of a second after it starts; until then it is
//!   open, as in the standard mode of the AWS agent.
//! - Pods of the host network, IPv6 and finished pods are not looked at.

mod enforcer;
mod model;
mod rules;

pub use enforcer::enforce;
pub use rules::ruleset;
