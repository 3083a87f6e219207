//! The accept loop of the HTTPS port. Every wait in it has an end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::Router;
use hyper::rt::{Sleep, Timer};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::certificate::Leaf;
use crate::clients::Clients;
use crate::metrics::Metrics;

const HANDSHAKE: Duration = Duration::from_secs(5);
const HEADERS: Duration = Duration::from_secs(5);
/// The API server gives an idle connection up after 90 s. It must be the first to do so, or it sends a request into a
/// connection that is being closed.
const IDLE: Duration = Duration::from_secs(100);
/// What connections get to finish when the server stops.
const FINISH: Duration = Duration::from_secs(10);

/// HTTP/1.1 only, as the API server speaks to webhooks; TLS 1.2 and 1.3.
///
/// # Errors
/// If the provider lacks a protocol version.
pub fn config(leaf: Arc<Leaf>, clients: Option<&Clients>, provider: Arc<CryptoProvider>) -> Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .context("TLS cannot be configured")?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::new(clients.clone())),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(leaf);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until `stop`, then lets what is being answered finish.
pub async fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    router: Router,
    clients: Option<Clients>,
    metrics: Metrics,
    max_connections: usize,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(config);
    let places = Arc::new(Semaphore::new(max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // A place first: connections beyond the cap wait in the kernel instead of costing memory here.
            accepted = accept(&places, &listener) => accepted,
        };
        let Some((place, stream)) = accepted else { continue };
        let (acceptor, router, metrics) = (acceptor.clone(), router.clone(), metrics.clone());
        let clients = clients.clone();
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    metrics.handshake_failed();
                    return tracing::debug!(%error, "TLS handshake failed");
                }
                Err(_) => {
                    metrics.handshake_failed();
                    return tracing::debug!("TLS handshake took too long");
                }
            };
            if let Some(clients) = clients.filter(|_| stream.get_ref().1.peer_certificates().is_none()) {
                clients.absent();
            }
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(HeaderTimer::default())
                .header_read_timeout(HEADERS)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    if timeout(FINISH, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections still open after {} s are cut", FINISH.as_secs());
    }
}

async fn accept(
    places: &Arc<Semaphore>,
    listener: &TcpListener,
) -> Option<(tokio::sync::OwnedSemaphorePermit, tokio::net::TcpStream)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((place, stream)),
        Err(error) => {
            // Mostly no file descriptors left: asking again at once would only burn the processor.
            tracing::warn!(%error, "cannot accept");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// hyper counts the idle time before a further request as reading its headers. So the limit holds for the first
/// request of a connection, and later ones get the idle time on top.
#[derive(Default)]
struct HeaderTimer {
    used: AtomicBool,
}

impl Timer for HeaderTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let more = if self.used.swap(true, Ordering::Relaxed) { IDLE } else { Duration::ZERO };
        TokioTimer::new().sleep_until(deadline + more)
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate()).context("signal handlers cannot be installed")?,
        signal(SignalKind::interrupt()).context("signal handlers cannot be installed")?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
