//! The data plane: sockets on the load balancers' addresses, and connections through them.

pub(crate) mod health;
mod proxy;
mod upstream;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::authority::Authority;
use crate::world::World;

/// How long the data plane may be behind the model.
const TICK: Duration = Duration::from_millis(25);
/// A client that does not finish its TLS handshake within this is gone.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What all listeners share.
pub(crate) struct Balancer {
    pub(crate) world: Arc<World>,
    pub(crate) authority: Arc<Authority>,
    /// Requests so far: the source of choices among weighted target groups.
    requests: AtomicU64,
    /// Round robin per target group.
    turns: Mutex<BTreeMap<String, usize>>,
}

/// Where a connection came in.
#[derive(Clone, Debug)]
struct Front {
    load_balancer: String,
    address: Ipv4Addr,
    port: u16,
    https: bool,
}

impl Balancer {
    pub(crate) fn new(world: Arc<World>, authority: Arc<Authority>) -> Self {
        Self { world, authority, requests: AtomicU64::new(0), turns: Mutex::default() }
    }

    /// Numbers that look random and are the same in every run.
    fn dice(&self) -> u64 {
        let mut x = self.requests.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) >> 1
    }

    /// Whose turn it is among `count` targets.
    fn turn(&self, target_group: &str, count: usize) -> usize {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry(target_group.to_owned()).or_default();
        *turn = turn.wrapping_add(1);
        *turn % count.max(1)
    }

    fn attribute(&self, load_balancer: &str, key: &str) -> String {
        self.world.aws().load_balancer_attribute(load_balancer, key).unwrap_or_default()
    }
}

/// Keeps sockets open for exactly the listeners that the model says are live, until `stop`.
pub(crate) async fn run(balancer: Arc<Balancer>, stop: CancellationToken) {
    let mut open: BTreeMap<(Ipv4Addr, u16), (Front, CancellationToken)> = BTreeMap::new();
    // Addresses that could not be bound, so that each is told once.
    let mut refused: BTreeMap<(Ipv4Addr, u16), String> = BTreeMap::new();
    loop {
        let live = balancer.world.aws().live_listeners(balancer.world.now());
        let mut wanted = BTreeMap::new();
        for listener in live {
            for address in listener.addresses {
                let front = Front {
                    load_balancer: listener.load_balancer_arn.clone(),
                    address,
                    port: listener.port,
                    https: listener.https,
                };
                wanted.insert((address, listener.port), front);
            }
        }
        open.retain(|place, (front, token)| {
            let stays =
                wanted.get(place).is_some_and(|w| w.load_balancer == front.load_balancer && w.https == front.https);
            if !stays {
                token.cancel();
            }
            stays
        });
        refused.retain(|place, _| wanted.contains_key(place));
        for (place, front) in wanted {
            if open.contains_key(&place) {
                continue;
            }
            match TcpListener::bind(SocketAddr::from(place)).await {
                Ok(listener) => {
                    tracing::info!(address = %place.0, port = place.1, https = front.https, "listener is live");
                    refused.remove(&place);
                    let token = stop.child_token();
                    tokio::spawn(accept(Arc::clone(&balancer), front.clone(), listener, token.clone()));
                    open.insert(place, (front, token));
                }
                Err(error) => {
                    if refused.insert(place, error.to_string()).is_none() {
                        tracing::warn!(address = %place.0, port = place.1, %error, "cannot listen for a load balancer");
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

async fn accept(balancer: Arc<Balancer>, front: Front, listener: TcpListener, stop: CancellationToken) {
    let tls = match front.https.then(|| tls(&balancer, &front)).transpose() {
        Ok(tls) => tls,
        Err(error) => {
            tracing::warn!(%error, "no TLS for a listener");
            return;
        }
    };
    loop {
        let (stream, client) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok(pair) => pair,
                Err(_) => {
                    tokio::time::sleep(TICK).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(Arc::clone(&balancer), front.clone(), stream, client, tls.clone()));
    }
}

async fn connection(
    balancer: Arc<Balancer>,
    front: Front,
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    match tls {
        None => serve(balancer, front, stream, client).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve(balancer, front, stream, client).await,
            Ok(Err(error)) => tracing::debug!(%client, %error, "TLS handshake"),
            Err(_) => tracing::debug!(%client, "TLS handshake timed out"),
        },
    }
}

async fn serve<S>(balancer: Arc<Balancer>, front: Front, stream: S, client: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let idle = idle_timeout(&balancer, &front.load_balancer);
    let service = service_fn(move |request| {
        let (balancer, front) = (Arc::clone(&balancer), front.clone());
        async move { Ok::<_, std::convert::Infallible>(proxy::handle(&balancer, &front, client, request).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
    // Clients leave when they like; that is nothing to report.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

/// `idle_timeout.timeout_seconds` of the load balancer.
fn idle_timeout(balancer: &Balancer, load_balancer: &str) -> Duration {
    let seconds = balancer.attribute(load_balancer, "idle_timeout.timeout_seconds").parse().unwrap_or(60);
    Duration::from_secs(seconds)
}

fn tls(balancer: &Arc<Balancer>, front: &Front) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni { balancer: Arc::clone(balancer), front: front.clone() }));
    if balancer.attribute(&front.load_balancer, "routing.http2.enabled") == "true" {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Asks the model which certificate a client gets.
struct BySni {
    balancer: Arc<Balancer>,
    front: Front,
}

impl std::fmt::Debug for BySni {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BySni").field("front", &self.front).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let world = &self.balancer.world;
        let aws = world.aws();
        let arn = aws.certificate_for(world.now(), &self.front.load_balancer, self.front.port, hello.server_name())?;
        let names = aws.certificate_names(&arn)?;
        drop(aws);
        self.balancer.authority.key(&arn, &names)
    }
}
