//! The agent beside nginx: table in, running nginx out.
//!
//! ```text
//! table file --look--> RouteTable --render--> nginx.conf --nginx -t--> start or HUP --ask workers--> reported hash
//! ```
//!
//! It holds no Kubernetes token and knows only the `route` crate. PID 1 of the edge pod is the same program as [`init`],
//! which starts the agent and outlives it.

mod access;
mod agent;
mod flags;
mod http;
mod init;
mod metrics;
mod nginx;
mod pace;
mod processes;
mod server;
mod signals;
mod status;
mod table_file;
mod version;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::flags::{Flags, LogFormat};
use crate::status::Status;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if let Some(page) = gatehouse_about::page_asked(std::env::args()) {
        return reference(page);
    }
    let flags = Flags::parse();
    if let Err(error) = start_log(&flags) {
        eprintln!("gatehouse-edge: {error:#}");
        return ExitCode::from(2);
    }
    let result = if init::is_agent() { run(flags).await } else { init::run(&flags).await };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a page of the documentation.
fn reference(page: gatehouse_about::Page) -> ExitCode {
    let command = Flags::command();
    let text = match page {
        gatehouse_about::Page::Flags => gatehouse_about::flags::section(&command),
        gatehouse_about::Page::Metrics => match metrics::Metrics::new() {
            Ok(metrics) => gatehouse_about::metrics::section(command.get_name(), &metrics.collectors()),
            Err(error) => {
                eprintln!("{}: {error}", command.get_name());
                return ExitCode::FAILURE;
            }
        },
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn start_log(flags: &Flags) -> Result<()> {
    let filter = EnvFilter::try_new(&flags.log).with_context(|| format!("--log {:?} is no filter", flags.log))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match flags.log_format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

async fn run(flags: Flags) -> Result<()> {
    let program = flags.nginx_program();
    let version = version::check(&program, flags.allow_old_nginx).await?;
    let metrics = metrics::Metrics::new().context("metrics cannot be registered")?;
    let (status, watched) = watch::channel(Status { nginx: version.to_string(), ..Status::default() });
    let stop = signals::listen(Duration::from_secs(flags.drain), status.clone())?;

    for (port, flag, router) in [
        (flags.admin_port, "--admin-port", http::admin(watched)),
        (flags.metrics_port, "--metrics-port", http::metrics(metrics.clone())),
    ] {
        let address = (flags.bind, port);
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("{flag} {port} on {} is not free", flags.bind))?;
        tokio::spawn(server::serve(listener, router));
    }
    let routes = access::Routes::default();
    access::listen(routes.clone(), metrics.clone(), flags.access_log_rate)?;
    tokio::spawn(agent::watch_nginx(status.clone(), metrics.clone()));
    tracing::info!(version = gatehouse_about::VERSION, nginx = %version, "edge agent started");
    agent::Agent::new(flags, program, status, metrics, routes).run(stop).await
}
