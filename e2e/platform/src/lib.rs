//! A one-node Kubernetes in a network namespace of its own.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let platform = platform::Platform::up(platform::Options::named("demo")?)?;
//! platform.load_image("echo.tar".as_ref())?;
//! platform.command("kubectl").args(["get", "nodes"]).status()?;
//! platform.down()?; // dropping it does the same, also on panic
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `options`, `paths` | what is asked for, and where it lives |
//! | `kit`, `golang` | the programs: built with Go, installed by apt, fetched by pip; kept in the cache |
//! | `external_dns` | one more program, for whoever asks for it |
//! | `netns`, `cgroup`, `process` | what the machine lends a platform, and how it gets it back |
//! | `certs`, `components`, `addons` | what each component is told |
//! | `cluster`, `teardown` | up and down |
//! | `image`, `load` | container images without Docker, and their way into the node |
//! | `policy` | NetworkPolicy: a pure translation to nftables, and the program that loads it |

mod addons;
mod certs;
mod cgroup;
mod cluster;
mod components;
mod external_dns;
mod golang;
pub mod image;
mod kit;
mod load;
mod netns;
mod options;
mod paths;
pub mod policy;
mod process;
mod teardown;

pub use cluster::{Platform, interrupt};
pub use external_dns::external_dns;
pub use kit::{Kit, progress};
pub use options::{ForwardZone, Options, State};
pub use paths::{Cache, Name, RunDir};
pub use process::ended;
pub use teardown::{down, orphans};

/// The node's address, also of every host process that binds no other.
pub const NODE_IP: &str = "10.100.0.1";
/// Where the API server listens, inside the namespace.
pub const API_SERVER: &str = "https://10.100.0.1:6443";
/// The pods' network.
pub const POD_CIDR: &str = "10.244.0.0/24";
/// The node's address on the pods' bridge.
pub const NODE_GATEWAY: &str = "10.244.0.1";
/// The Services' network.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";
/// The cluster's DNS.
pub const CLUSTER_DNS: &str = "10.96.0.10";

/// The `platform` program: this one, or when a test harness uses the library, the one built beside it.
fn own_binary() -> anyhow::Result<std::path::PathBuf> {
    use anyhow::Context;
    if let Some(path) = std::env::var_os("PLATFORM_BINARY") {
        return Ok(path.into());
    }
    let me = std::env::current_exe().context("find the running program")?;
    me.ancestors().skip(1).take(3).map(|folder| folder.join("platform")).find(|path| path.is_file()).with_context(
        || {
            format!(
                "no `platform` program beside {}: run `cargo build -p platform` or set PLATFORM_BINARY",
                me.display()
            )
        },
    )
}
