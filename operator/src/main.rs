//! The operator: performs what the engine decides.
//!
//! ```text
//! watch  --deltas-->  shell (owns the engine)  --effects-->  aws, write, probe
//!                        ^        |                               |
//!                      lease      `<---------- outcomes ----------'
//! ```
//!
//! Losing the lease, or any task, ends the process: a half-alive leader is worse than none.

mod args;
mod aws;
mod facts;
mod lease;
mod look;
mod metrics;
mod probe;
mod shell;
mod watch;
mod webhook_tls;
mod write;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use gatehouse_core::{Buckets, Engine};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// A plan makes and drops much at once, on whichever thread runs it; the system's allocator keeps most of that for each
/// thread.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(page) = gatehouse_about::page_asked(std::env::args()) {
        return reference(page);
    }
    let args = args::Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log).unwrap_or_else(|_| "info".into());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if args.log_format == "json" {
        logs.json().init()
    } else {
        logs.init()
    }
    // One provider for every TLS connection of the process, chosen before the first.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        error!("another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = %causes(&error), "the operator ends");
            ExitCode::FAILURE
        }
    }
}

/// Prints a page of the documentation.
fn reference(page: gatehouse_about::Page) -> ExitCode {
    let command = args::Args::command();
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

async fn run(args: args::Args) -> anyhow::Result<()> {
    info!(version = gatehouse_about::VERSION, cluster = %args.cluster_id, "starting");
    let stop = CancellationToken::new();
    on_signal(stop.clone())?;
    let metrics = Arc::new(metrics::Metrics::new()?);
    let mut tasks: JoinSet<()> = JoinSet::new();
    let (m, health, scrape) = (metrics.clone(), args.health_address, args.metrics_address);
    tasks.spawn(async move {
        if let Err(error) = metrics::serve(m, health, scrape).await {
            error!(%error, "health and metrics");
        }
    });

    let mut config = kube::Config::infer().await.context("no cluster: neither KUBECONFIG nor a service account")?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    let client = kube::Client::try_from(config.clone())?;
    let timing = lease::Timing::of(Duration::from_secs(u64::from(args.lease_duration.get())));
    let contender =
        lease::Contender::new(kube::Client::try_from(config)?, &args.namespace, args.identity.clone(), timing);

    let (look, asked) = look::Look::new(contender.holder(), args.identity.clone());
    let plan_address = args.plan_address;
    tasks.spawn(async move {
        if let Err(error) = look.serve(plan_address).await {
            error!(%error, "the plan's address");
        }
    });

    let deadline = Duration::from_secs(u64::from(args.call_deadline.get()));
    let hands = Arc::new(shell::Hands {
        aws: aws::Clients::load(deadline).await,
        writer: write::Writer::new(client.clone(), &args.identity),
        prober: probe::Prober::new()?,
        deadline,
    });
    let (sender, deltas) = tokio::sync::mpsc::unbounded_channel();
    let (lease_sender, lease) = tokio::sync::watch::channel(None);
    let engine = Engine::new(args.settings(), Buckets::aws());
    let quiet = stop.child_token();
    let ended = quiet.clone();
    let inputs = shell::Inputs { deltas, lease, asked, stop: quiet };
    let identity = args.identity.clone();
    let shell_metrics = metrics.clone();
    let shell = tokio::spawn(async move { shell::run(engine, hands, inputs, &identity, shell_metrics).await });
    watch::start(&client, &sender, &mut tasks);

    metrics.standing_by();
    let until = tokio::select! {
        until = contender.win() => until,
        () = stop.cancelled() => return Ok(()),
        _ = tasks.join_next() => anyhow::bail!("a task ended before leadership"),
    };
    metrics.leading();
    lease_sender.send_replace(Some(until));
    watch::start_of_leader(&client, &sender, &mut tasks);
    drop(sender);
    if args.webhook_certificates {
        tasks.spawn(webhook_tls::keep(client, args.namespace.clone()));
    }
    let result = tokio::select! {
        lost = contender.hold(until, &lease_sender) => lost,
        _ = tasks.join_next() => Err(anyhow::anyhow!("a task ended; the operator starts anew")),
        () = stop.cancelled() => Ok(()),
    };
    ended.cancel();
    // The lease is given back only after the last call has ended: a successor may act at once.
    shell.await.context("the engine's task")?;
    if result.is_ok() {
        contender.release().await;
    }
    result
}

/// An error with its causes, each said once: many errors name theirs already.
fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

fn on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        info!("asked to stop");
        stop.cancel();
    });
    Ok(())
}
