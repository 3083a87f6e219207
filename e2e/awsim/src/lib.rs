//! AWS simulator: the model on the wire, with a data plane and DNS.
//!
//! [`Simulator::start`] runs it inside a process, the binary `awsim` is a thin shell around it. The model
//! (`awsim-model`) decides everything that AWS would; this crate reads and writes AWS's wires, opens the load
//! balancers' sockets, checks targets, answers DNS, and offers tests a control API under `/_awsim/`.
//!
//! | `/_awsim/` | does |
//! |---|---|
//! | `GET health` | answers when the endpoint does |
//! | `GET calls?since=SEQ`, `DELETE calls` | the call log as JSON lines; clear it |
//! | `POST faults` `{action, kind, nth, count, delay_ms}` | `kind` before, after, late, timeout, throttle, deny; on the nth call from now and count-1 after it |
//! | `GET faults`, `DELETE faults` | what has not happened yet; forget it |
//! | `POST clock` `{advance_ms}` | pushes the clock |
//! | `GET state` | everything, as JSON |
//! | `GET quotas`, `POST quotas` `{name: value}` | limits |
//! | `POST availability` `{down_ms}` | every AWS call meets 503 for so long |
//!
//! Signatures are not verified. What the model does not know is refused with `InvalidAction` or a text that names the
//! member. The data plane opens one connection to a target per request, and speaks IPv4 to clients.

mod api;
mod authority;
mod balancer;
mod clock;
pub mod config;
mod control;
mod fault;
mod names;
mod wire;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use awsim_model::{Aws, Policy, Settings, View};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How a simulator runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The account. With a data plane its `health` should be `Observed`.
    pub settings: Settings,
    /// The AWS endpoint; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The name server, if any.
    pub dns: Option<SocketAddr>,
    /// Whether the name server answers from private zones.
    pub private_zones: bool,
    /// Whether load balancers open sockets and check targets.
    pub data_plane: bool,
    /// Upper bound of the interval between health checks.
    pub check_interval: Option<Duration>,
    /// What every AWS call takes at least.
    pub latency: Duration,
    /// Binds every caller whose access key id does not start with `admin`.
    pub policy: Option<Policy>,
    /// Where to write the authority's certificate.
    pub ca_out: Option<PathBuf>,
    /// Where the authority's key stays between runs.
    pub state_dir: Option<PathBuf>,
}

impl Options {
    /// These settings on free ports of loopback, nothing else switched on.
    pub fn loopback(settings: Settings) -> Self {
        Self {
            settings,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dns: None,
            private_zones: false,
            data_plane: false,
            check_interval: Some(Duration::from_millis(200)),
            latency: Duration::ZERO,
            policy: None,
            ca_out: None,
            state_dir: None,
        }
    }
}

/// A running simulator; dropping it stops it.
pub struct Simulator {
    /// Where the AWS endpoint is.
    pub address: SocketAddr,
    /// Where the name server is.
    pub dns: Option<SocketAddr>,
    /// Certificate (PEM) of the authority behind load balancers' certificates.
    pub ca_pem: String,
    /// What there is at start, as a table.
    pub greeting: String,
    stop: CancellationToken,
}

impl Simulator {
    /// Starts everything that the options ask for; ready when it returns.
    ///
    /// # Errors
    /// Seeds that do not fit, addresses that cannot be bound, files that cannot be written.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let aws = Aws::new(options.settings).map_err(anyhow::Error::msg)?;
        let greeting = config::greeting(&aws);
        let authority = Arc::new(authority::Authority::open(options.state_dir.as_deref())?);
        let ca_pem = authority.ca_pem().to_owned();
        if let Some(path) = &options.ca_out {
            std::fs::write(path, &ca_pem).with_context(|| format!("--ca-out {}", path.display()))?;
        }
        let world = Arc::new(world::World::new(aws, options.policy));
        let stop = CancellationToken::new();
        let listener =
            TcpListener::bind(options.listen).await.with_context(|| format!("--listen {}", options.listen))?;
        let address = listener.local_addr()?;
        let dns = match options.dns {
            None => None,
            Some(dns) => {
                let view = if options.private_zones { View::Vpc } else { View::Public };
                Some(names::serve(Arc::clone(&world), dns, view, stop.clone()).await?)
            }
        };
        if options.data_plane {
            let balancer = Arc::new(balancer::Balancer::new(Arc::clone(&world), Arc::clone(&authority)));
            tokio::spawn(balancer::run(balancer, stop.clone()));
            tokio::spawn(balancer::health::run(Arc::clone(&world), options.check_interval, stop.clone()));
        }
        let endpoint = Arc::new(api::Endpoint { world, authority, latency: options.latency });
        tokio::spawn(api::serve(endpoint, listener, stop.clone()));
        Ok(Self { address, dns, ca_pem, greeting, stop })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
