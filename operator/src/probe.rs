//! Questions to edges and shards: which table do you serve?

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_core::aws::{GRPC_CONTENT_TYPES, ProtocolVersion};
use gatehouse_core::plan::Probe;
use gatehouse_crds::keys;
use gatehouse_route::RESERVED_PREFIX;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A probe is worth less than this: the next one comes soon.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks.
pub struct Prober {
    tls: TlsConnector,
    http2: TlsConnector,
}

impl Prober {
    /// A prober.
    ///
    /// # Errors
    /// If the TLS library refuses its own defaults.
    pub fn new() -> Result<Prober, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            .with_no_client_auth();
        let mut http2 = config.clone();
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Prober { tls: TlsConnector::from(Arc::new(config)), http2: TlsConnector::from(Arc::new(http2)) })
    }

    /// The table hash that answers, if one does.
    pub async fn ask(&self, probe: &Probe) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.try_ask(probe)).await.ok()?.ok().filter(|hash| is_hash(hash))
    }

    async fn try_ask(&self, probe: &Probe) -> anyhow::Result<String> {
        match probe {
            Probe::Edge { ip, .. } => {
                let stream = TcpStream::connect((*ip, keys::ADMIN_PORT)).await?;
                let host = match ip {
                    IpAddr::V4(ip) => ip.to_string(),
                    IpAddr::V6(ip) => format!("[{ip}]"),
                };
                get(stream, &host, "/hash").await
            }
            Probe::Shard { address, host, protocol, .. } => {
                // Any name one label below a wildcard meets the wildcard's rule.
                let name =
                    if host.is_wildcard() { format!("gatehouse-probe.{}", host.suffix()) } else { host.as_text() };
                let tcp = TcpStream::connect((address.as_str(), 443)).await?;
                let server = ServerName::try_from(name.clone())?;
                match protocol {
                    ProtocolVersion::Http1 => get(self.tls.connect(server, tcp).await?, &name, RESERVED_PREFIX).await,
                    ProtocolVersion::Grpc => call(self.http2.connect(server, tcp).await?, &name, RESERVED_PREFIX).await,
                }
            }
        }
    }
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> anyhow::Result<String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
    let answer = text(sender.send_request(request).await?).await;
    driver.abort();
    answer
}

/// As a gRPC client would, so that the rule for gRPC is met. What answers is the edge itself, and no gRPC.
async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> anyhow::Result<String> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::post(format!("https://{host}{path}"))
        .header("content-type", GRPC_CONTENT_TYPES[0])
        .header("te", "trailers")
        .body(Empty::<Bytes>::new())?;
    let answer = text(sender.send_request(request).await?).await;
    driver.abort();
    answer
}

async fn text(answer: hyper::Response<hyper::body::Incoming>) -> anyhow::Result<String> {
    let ok = answer.status() == 200;
    let body = Limited::new(answer.into_body(), 1024).collect().await.map_err(|e| anyhow::anyhow!(e))?.to_bytes();
    anyhow::ensure!(ok, "not served");
    Ok(String::from_utf8(body.to_vec())?.trim().to_owned())
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The probe asks our own load balancer for a public hash and compares it with what it expects. Whoever answered in
/// its place could only make us publish a name some seconds early, so the certificate proves nothing we need.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
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
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
