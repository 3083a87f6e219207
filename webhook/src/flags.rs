//! Command line and environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// The admission webhook: it refuses ExposedApps that no grant covers or that break the platform's rules, tells every
/// fault in one answer, and adds default labels where they are absent.
///
/// It reads ExposedApps, ExposurePolicies, SharedLoadBalancers, HostClaims and Namespaces through watches, asks
/// nothing per request and writes nothing. Its certificate is mounted, and reloaded when the files change.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "gatehouse-webhook",
    version = gatehouse_about::VERSION,
    after_help = "HTTPS port: POST /validate, /mutate, /foreign and /edits, AdmissionReview v1.\n\
        Health port: /healthz (the process works) and /readyz (certificate loaded, caches filled, not stopping).\n\
        Metrics port: /metrics.\n\n\
        The cluster is found as kubectl finds it: --kubeconfig, $KUBECONFIG, ~/.kube/config, or the pod's service account.\n\n\
        Try:\n  gatehouse-webhook --tls-dir ./tls --bind 127.0.0.1"
)]
pub struct Flags {
    /// Address of all three ports
    #[arg(long, env = "GATEHOUSE_WEBHOOK_BIND", value_name = "IP", default_value = "0.0.0.0")]
    pub bind: IpAddr,
    /// Port the API server calls
    #[arg(long, env = "GATEHOUSE_WEBHOOK_PORT", value_name = "PORT", default_value_t = 8443)]
    pub port: u16,
    /// Port of health, without TLS: probes must work before there is a certificate
    #[arg(long, env = "GATEHOUSE_WEBHOOK_HEALTH_PORT", value_name = "PORT", default_value_t = 8080)]
    pub health_port: u16,
    /// Port of /metrics
    #[arg(long, env = "GATEHOUSE_WEBHOOK_METRICS_PORT", value_name = "PORT", default_value_t = 9090)]
    pub metrics_port: u16,
    /// Directory with tls.crt and tls.key
    #[arg(long, env = "GATEHOUSE_WEBHOOK_TLS_DIR", value_name = "DIR", default_value = "/etc/gatehouse/tls")]
    pub tls_dir: PathBuf,
    /// Seconds between two looks at the certificate
    #[arg(long, env = "GATEHOUSE_WEBHOOK_TLS_INTERVAL", value_name = "SECONDS", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub tls_interval: u64,
    /// Seconds to wait for a first certificate; then the process ends, and its restart makes the kubelet look again
    #[arg(long, env = "GATEHOUSE_WEBHOOK_TLS_WAIT", value_name = "SECONDS", default_value_t = 20)]
    pub tls_wait: u64,
    /// Seconds to go on serving, not ready, after SIGTERM: the API server learns late that an endpoint is gone
    #[arg(long, env = "GATEHOUSE_WEBHOOK_LAME_DUCK", value_name = "SECONDS", default_value_t = 5)]
    pub lame_duck: u64,
    /// Connections served at one time; more wait
    #[arg(long, env = "GATEHOUSE_WEBHOOK_MAX_CONNECTIONS", value_name = "N", default_value_t = 512)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_connections: u32,
    /// Authority of the API server's client certificate, in PEM; read once, at the start. Without it no certificate is asked
    /// for, and whoever reaches the port is answered
    #[arg(long, env = "GATEHOUSE_WEBHOOK_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Common names that a client certificate may have, separated by commas; without it any of the authority's. One that
    /// signs for nodes and people too needs it
    #[arg(
        long,
        env = "GATEHOUSE_WEBHOOK_CLIENT_NAME",
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "client_ca"
    )]
    pub client_name: Vec<String>,
    /// What becomes of a caller without a right certificate: refused in the handshake, or answered and logged
    #[arg(long, env = "GATEHOUSE_WEBHOOK_CLIENT_AUTH", value_enum, default_value_t = ClientAuth::Log)]
    pub client_auth: ClientAuth,
    /// The cluster, when neither $KUBECONFIG nor a service account names it
    #[arg(long, env = "GATEHOUSE_WEBHOOK_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// How log lines look
    #[arg(long, env = "GATEHOUSE_WEBHOOK_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or a tracing filter (kube's watcher would say each trouble twice)
    #[arg(long, env = "GATEHOUSE_WEBHOOK_LOG", value_name = "FILTER", default_value = "info,kube_runtime=error")]
    pub log: String,
}

/// What becomes of a caller without a right client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientAuth {
    /// Answered; logged and counted.
    Log,
    /// Refused in the handshake.
    Require,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Flags {
    /// Where a port listens.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.bind, port)
    }

    /// How long to serve on after SIGTERM.
    #[must_use]
    pub fn lame_duck(&self) -> Duration {
        Duration::from_secs(self.lame_duck)
    }
}
