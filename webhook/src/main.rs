//! The admission webhook: HTTPS around the same review.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser as _};
use gatehouse_webhook::cache::{self, Cache};
use gatehouse_webhook::certificate::{self, Leaf};
use gatehouse_webhook::clients::Clients;
use gatehouse_webhook::flags::{Flags, LogFormat};
use gatehouse_webhook::http::{self, State};
use gatehouse_webhook::metrics::Metrics;
use gatehouse_webhook::tls;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(page) = gatehouse_about::page_asked(std::env::args()) {
        return reference(page);
    }
    let flags = Flags::parse();
    if let Err(error) = start_log(&flags) {
        eprintln!("gatehouse-webhook: {error:#}");
        return ExitCode::from(2);
    }
    match run(flags).await {
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
        gatehouse_about::Page::Metrics => match Metrics::new() {
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
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // kube's client takes the process-wide one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let signal = tls::signal()?;
    let state = State::new(Arc::new(Cache::default()), Metrics::new().context("metrics cannot be registered")?);

    let bind = async |port: u16, flag: &str| {
        TcpListener::bind(flags.at(port)).await.with_context(|| format!("{flag} {port} on {} is not free", flags.bind))
    };
    for (listener, router) in [
        (bind(flags.health_port, "--health-port").await?, http::health(state.clone())),
        (bind(flags.metrics_port, "--metrics-port").await?, http::metrics(state.clone())),
    ] {
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    let listener = bind(flags.port, "--port").await?;

    cache::watch(&client(&flags).await?, &state.cache);
    let leaf = Arc::new(Leaf::default());
    let seconds = Duration::from_secs;
    certificate::keep(
        &flags.tls_dir,
        Arc::clone(&leaf),
        Arc::clone(&provider),
        seconds(flags.tls_wait),
        seconds(flags.tls_interval),
        Arc::clone(&state.certified),
    )
    .await?;

    let stop = CancellationToken::new();
    let (cancel, stopping, lame_duck) = (stop.clone(), Arc::clone(&state.stopping), flags.lame_duck());
    tokio::spawn(async move {
        signal.await;
        tracing::info!(seconds = lame_duck.as_secs(), "told to stop; serving on until the API server knows");
        stopping.store(true, Ordering::Relaxed);
        tokio::time::sleep(lame_duck).await;
        cancel.cancel();
    });
    tracing::info!(version = gatehouse_about::VERSION, address = %flags.at(flags.port), "webhook started");
    let places = usize::try_from(flags.max_connections).unwrap_or(usize::MAX);
    let metrics = state.metrics.clone();
    let clients = match &flags.client_ca {
        Some(file) => Some(Clients::read(file, &flags.client_name, flags.client_auth, &metrics, &provider)?),
        None => None,
    };
    let config = tls::config(leaf, clients.as_ref(), provider)?;
    tls::serve(listener, config, http::router(state), clients, metrics, places, stop).await;
    Ok(())
}

async fn client(flags: &Flags) -> Result<kube::Client> {
    let config = match &flags.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("--kubeconfig {}", path.display()))?
        }
        None => kube::Config::infer()
            .await
            .context("no cluster found: give --kubeconfig, set KUBECONFIG, or run in a pod with a service account")?,
    };
    kube::Client::try_from(config).context("the Kubernetes client cannot be made")
}
