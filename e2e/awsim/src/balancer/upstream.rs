//! Connections from a load balancer to a target, from the load balancer's own address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use awsim_model::Backend;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// A load balancer waits so long for a target to accept.
const CONNECT: Duration = Duration::from_secs(10);

/// Why a target did not answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Refused, reset, or spoke nonsense: 502.
    Bad(String),
    /// Did not accept or answer in time: 504.
    Slow(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Bad(why) | Self::Slow(why)) = self;
        f.write_str(why)
    }
}

/// How a target is spoken to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) tls: bool,
    pub(super) http2: bool,
    /// Until the head of the response is there.
    pub(super) patience: Duration,
}

/// Sends one request to a target on a connection of its own, and returns the response with its body still to come.
pub(super) async fn send<B>(
    source: Ipv4Addr,
    target: &Backend,
    manner: Manner,
    request: Request<B>,
) -> Result<Response<Incoming>, Failure>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = match tokio::time::timeout(CONNECT.min(manner.patience), connect(source, target)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::Bad(format!("connection to {}:{}: {error}", target.id, target.port))),
        Err(_) => return Err(Failure::Slow(format!("connection to {}:{} timed out", target.id, target.port))),
    };
    let asked = async {
        if manner.tls {
            let name = ServerName::try_from("target.invalid").map_err(|e| Failure::Bad(e.to_string()))?;
            let stream = connector()?.connect(name, stream).await.map_err(|e| Failure::Bad(format!("TLS: {e}")))?;
            exchange(stream, manner.http2, request).await
        } else {
            exchange(stream, manner.http2, request).await
        }
    };
    let late = || Failure::Slow(format!("request to {}:{} timed out", target.id, target.port));
    tokio::time::timeout(manner.patience, asked).await.unwrap_or_else(|_| Err(late()))
}

async fn connect(source: Ipv4Addr, target: &Backend) -> std::io::Result<TcpStream> {
    let address: IpAddr =
        target.id.parse().map_err(|_| std::io::Error::other(format!("'{}' is no address", target.id)))?;
    let socket = match address {
        IpAddr::V4(_) => {
            let socket = TcpSocket::new_v4()?;
            // Targets and network policies see the load balancer, not the simulator's host.
            socket.bind(SocketAddr::from((source, 0)))?;
            socket
        }
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let stream = socket.connect(SocketAddr::from((address, target.port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn exchange<S, B>(stream: S, http2: bool, request: Request<B>) -> Result<Response<Incoming>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let bad = |error: hyper::Error| Failure::Bad(error.to_string());
    let io = TokioIo::new(stream);
    if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.map_err(bad)?;
        tokio::spawn(connection);
        return sender.send_request(request).await.map_err(bad);
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(bad)?;
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map_err(bad)
}

fn connector() -> Result<TlsConnector, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::Bad(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Load balancers do not verify their targets' certificates, at AWS neither.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
