//! Command line and environment of the agent.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// The agent beside nginx in an edge pod: it reads the route table, writes nginx.conf, tests it, starts or reloads
/// nginx, and reports the hash of the table that nginx's workers really serve.
///
/// A table that cannot be used (another version, a field outside its grammar, refused by `nginx -t`) changes nothing:
/// the last good one goes on being served, and the reason stands in the log, on /status and in the metrics.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "gatehouse-edge",
    version = gatehouse_about::VERSION,
    after_help = "Admin port:\n  \
        /livez    200 while the agent works and nginx, once started, answers (liveness)\n  \
        /healthz  200 while nginx answers with a table, drain included (the load balancer's health check)\n  \
        /readyz   as /healthz, but 503 from the first SIGTERM on (readiness)\n  \
        /hash     the hash of the table that nginx's workers serve, 503 and empty when there is none\n  \
        /status   the same and more, as JSON\n  \
        POST /AWS.ALB/healthcheck   as /healthz, by gRPC: grpc-status 0, else 14 (the load balancer's health check)\n\n\
        Signals: SIGTERM and SIGQUIT drain, SIGINT skips the drain, a second one ends the drain, a third ends nginx at once.\n\n\
        Try:\n  gatehouse-edge --table table.json --nginx /usr/sbin/nginx --bind 127.0.0.1 --drain 0"
)]
pub struct Flags {
    /// The route table; in a pod the mounted key of the edge's ConfigMap. It may appear later
    #[arg(long, env = "GATEHOUSE_EDGE_TABLE", value_name = "PATH")]
    pub table: PathBuf,
    /// The nginx to run, 1.30.4 or 1.31.3 at least [default: /nginx if there is one, else nginx on PATH]
    #[arg(long, env = "GATEHOUSE_EDGE_NGINX", value_name = "PATH")]
    pub nginx: Option<PathBuf>,
    /// Where nginx.conf is written. nginx's own pid and temporary files are always in /tmp
    #[arg(long, env = "GATEHOUSE_EDGE_WORK_DIR", value_name = "DIR", default_value = "/tmp")]
    pub work_dir: PathBuf,
    /// Address of the admin and metrics ports
    #[arg(long, env = "GATEHOUSE_EDGE_BIND", value_name = "IP", default_value = "0.0.0.0")]
    pub bind: IpAddr,
    /// Port of health and hash
    #[arg(long, env = "GATEHOUSE_EDGE_ADMIN_PORT", value_name = "PORT", default_value_t = 8081)]
    pub admin_port: u16,
    /// Port of /metrics
    #[arg(long, env = "GATEHOUSE_EDGE_METRICS_PORT", value_name = "PORT", default_value_t = 9090)]
    pub metrics_port: u16,
    /// Seconds to go on serving after SIGTERM: longer than the load balancer's deregistration takes to be known
    #[arg(long, env = "GATEHOUSE_EDGE_DRAIN", value_name = "SECONDS", default_value_t = 30)]
    pub drain: u64,
    /// Seconds that nginx then gets to finish the requests it has
    #[arg(long, env = "GATEHOUSE_EDGE_QUIT_TIMEOUT", value_name = "SECONDS", default_value_t = 40)]
    pub quit_timeout: u64,
    /// Milliseconds between two looks at the table
    #[arg(long, env = "GATEHOUSE_EDGE_INTERVAL", value_name = "MS", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub interval: u64,
    /// Milliseconds between two reloads: each keeps a generation of workers alive while old connections last. A first
    /// change after a quiet time is never held up
    #[arg(long, env = "GATEHOUSE_EDGE_RELOAD_GAP", value_name = "MS", default_value_t = 2000)]
    pub reload_gap: u64,
    /// Lines a second of the access log, of all routes together; more are dropped and counted
    #[arg(long, env = "GATEHOUSE_EDGE_ACCESS_LOG_RATE", value_name = "LINES", default_value_t = 500)]
    pub access_log_rate: u32,
    /// How log lines look
    #[arg(long, env = "GATEHOUSE_EDGE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or a tracing filter
    #[arg(long, env = "GATEHOUSE_EDGE_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// Run an nginx below the floor. For tests only: those have known holes and lack directives that are rendered
    #[arg(long, env = "GATEHOUSE_EDGE_ALLOW_OLD_NGINX")]
    pub allow_old_nginx: bool,
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
    /// The nginx to run.
    pub fn nginx_program(&self) -> PathBuf {
        match &self.nginx {
            Some(path) => path.clone(),
            None if Path::new("/nginx").exists() => "/nginx".into(),
            None => "nginx".into(),
        }
    }

    /// Time between two reloads.
    pub fn gap(&self) -> Duration {
        Duration::from_millis(self.reload_gap)
    }
}
