//! The binary `awsim`: flags in, a simulator until SIGINT or SIGTERM.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use awsim::Simulator;
use awsim::config::Args;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let simulator = Simulator::start(args.options()?).await?;
    print!("{}", simulator.greeting);
    println!("endpoint        http://{}", simulator.address);
    if let Some(dns) = simulator.dns {
        println!("dns             {dns}");
    }
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
