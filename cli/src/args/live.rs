//! Arguments of what talks to a cluster.

use std::path::PathBuf;

use clap::Subcommand;
use gatehouse_route::{Host, Seconds};

use super::{Format, InputArgs};

/// Which cluster.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// Context of the kubeconfig; absent: the current one.
    #[arg(long, value_name = "NAME", help_heading = "Cluster", env = "GATEHOUSE_CONTEXT")]
    pub context: Option<String>,
    /// Kubeconfig file; absent: KUBECONFIG, ~/.kube/config, or the account of the pod we run in.
    #[arg(long, value_name = "FILE", help_heading = "Cluster", env = "GATEHOUSE_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
}

/// How long to wait for the operator's answer.
#[derive(clap::Args, Clone, Debug)]
pub struct WaitArgs {
    /// How long to wait for the end.
    #[arg(long, default_value = "60s", value_name = "TIME", env = "GATEHOUSE_TIMEOUT")]
    pub timeout: Seconds,
    /// Ask, and do not wait for the answer.
    #[arg(long)]
    pub no_wait: bool,
    /// Cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub struct StatusArgs {
    /// One ExposedApp; absent: all of them.
    #[arg(value_name = "APP")]
    pub app: Option<String>,
    /// Only this namespace; absent: the whole cluster.
    #[arg(short, long, value_name = "NAME", env = "GATEHOUSE_NAMESPACE")]
    pub namespace: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Text, env = "GATEHOUSE_OUTPUT")]
    pub output: Format,
    /// Cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Arguments of `trace`.
#[derive(clap::Args, Debug)]
pub struct TraceArgs {
    /// The host, as a client asks for it.
    #[arg(value_name = "HOST")]
    pub host: Host,
    /// The path, as a client asks for it, without query.
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub path: String,
    /// Where its app is; absent: the whole cluster, or what your rights leave of it, the context's namespace.
    #[arg(short, long, value_name = "NAME", env = "GATEHOUSE_NAMESPACE")]
    pub namespace: Option<String>,
    /// Do not ask this machine's resolver for the host.
    #[arg(long)]
    pub no_dns: bool,
    /// Namespace of the operator.
    #[arg(long, value_name = "NAME", default_value = "gatehouse-system", env = "GATEHOUSE_OPERATOR_NAMESPACE")]
    pub operator_namespace: String,
    /// Port of the operator's --plan-address.
    #[arg(long, value_name = "PORT", default_value_t = 8082, env = "GATEHOUSE_PLAN_PORT")]
    pub plan_port: u16,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Text, env = "GATEHOUSE_OUTPUT")]
    pub output: Format,
    /// Cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Arguments of `approve`.
#[derive(clap::Args, Debug)]
pub struct ApproveArgs {
    /// The SharedLoadBalancer.
    #[arg(value_name = "LOAD-BALANCER")]
    pub load_balancer: String,
    /// Digest of what is held, as status.held says it.
    #[arg(long)]
    pub digest: String,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Arguments of `move`.
#[derive(clap::Args, Debug)]
pub struct MoveArgs {
    /// Whose hosts.
    #[arg(value_name = "NAMESPACE")]
    pub namespace: String,
    /// Index of the ALB to go to; the first is 0.
    #[arg(long, value_name = "SHARD")]
    pub to: u32,
    /// The SharedLoadBalancer; absent: the only one, or the default.
    #[arg(long, value_name = "NAME")]
    pub load_balancer: Option<String>,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Arguments of `release`.
#[derive(clap::Args, Debug)]
pub struct ReleaseArgs {
    /// The host.
    pub host: Host,
    /// Owner id that the TXT record will name.
    #[arg(long, value_name = "ID")]
    pub owner: String,
    /// The SharedLoadBalancer; absent: the one the host stands on.
    #[arg(long, value_name = "NAME")]
    pub load_balancer: Option<String>,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Arguments of `claims`.
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true)]
pub struct ClaimsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ClaimsCommand,
}

/// What to do with claims.
#[derive(Subcommand, Debug)]
pub enum ClaimsCommand {
    /// Every host with its holder, state and place.
    List(ListArgs),
    /// What stands behind the reference in a refusal, and what can be done.
    Explain(ExplainArgs),
    /// Give a host to another namespace.
    Transfer(TransferArgs),
}

/// Arguments of `claims list`.
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    /// Only of this namespace.
    #[arg(short, long, value_name = "NAME", env = "GATEHOUSE_NAMESPACE")]
    pub namespace: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Text, env = "GATEHOUSE_OUTPUT")]
    pub output: Format,
    /// Cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Arguments of `claims explain`.
#[derive(clap::Args, Debug)]
pub struct ExplainArgs {
    /// The reference of a refusal, such as 1a2b3c4d; or NAMESPACE/HOST.
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// The operator's --release-grace: how long a released host is kept from others.
    #[arg(long, value_name = "TIME", default_value = "1h", env = "GATEHOUSE_RELEASE_GRACE")]
    pub release_grace: Seconds,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Text, env = "GATEHOUSE_OUTPUT")]
    pub output: Format,
    /// Cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Files.
    #[command(flatten)]
    pub input: InputArgs,
}

/// Arguments of `claims transfer`.
#[derive(clap::Args, Debug)]
pub struct TransferArgs {
    /// The host.
    pub host: Host,
    /// The namespace that gets it.
    #[arg(long, value_name = "NAMESPACE")]
    pub to: String,
    /// The SharedLoadBalancer that carries the request; absent: the one the host stands on.
    #[arg(long, value_name = "NAME")]
    pub load_balancer: Option<String>,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitArgs,
}
