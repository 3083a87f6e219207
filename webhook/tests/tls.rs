//! The HTTPS port over real sockets: certificates, time-outs, the end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gatehouse_webhook::certificate::{self, Leaf};
use gatehouse_webhook::clients::Clients;
use gatehouse_webhook::flags::ClientAuth;
use gatehouse_webhook::http::{self, State};
use gatehouse_webhook::metrics::Metrics;
use gatehouse_webhook::tls;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    leaf: Arc<Leaf>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    metrics: Metrics,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate for localhost, and both in PEM.
fn issue() -> (CertificateDer<'static>, String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.der().clone(), made.cert.pem(), made.signing_key.serialize_pem())
}

async fn start(leaf: Arc<Leaf>, places: usize) -> Server {
    guarded(leaf, places, |_| None).await
}

async fn guarded(leaf: Arc<Leaf>, places: usize, clients: impl FnOnce(&Metrics) -> Option<Clients>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = State::new(Arc::default(), Metrics::new().unwrap());
    state.cache.filled();
    let (stop, metrics) = (CancellationToken::new(), state.metrics.clone());
    let clients = clients(&metrics);
    let config = tls::config(Arc::clone(&leaf), clients.as_ref(), provider()).unwrap();
    let serve = tls::serve(listener, config, http::router(state), clients, metrics.clone(), places, stop.clone());
    Server { address, leaf, stop, task: tokio::spawn(serve), metrics }
}

async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_as(server, trusted, versions, None).await
}

async fn connect_as(
    server: &Server,
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    caller: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match caller {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(server.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// One request on a connection that stays open; the status line.
async fn ask(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let body = r#"{"request":{"uid":"u","operation":"DELETE","kind":{"group":"gatehouse.dev","kind":"ExposedApp"}}}"#;
    let head = format!("POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let text = String::from_utf8(answer).unwrap();
    assert!(text.contains(r#""allowed":true"#), "{text}");
    Ok(text.lines().next().unwrap().to_owned())
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn a_renewed_certificate_is_served_while_connections_live() {
    let (first, pem, key) = issue();
    let dir = tempfile::tempdir().unwrap();
    let write = |pem: &str, key: &str| {
        std::fs::write(dir.path().join("tls.crt"), pem).unwrap();
        std::fs::write(dir.path().join("tls.key"), key).unwrap();
    };
    write(&pem, &key);
    let leaf = Arc::new(Leaf::default());
    let certified = Arc::new(AtomicBool::new(false));
    let often = Duration::from_millis(20);
    keep(dir.path(), &leaf, Duration::from_secs(1), often, &certified).await.unwrap();
    assert!(certified.load(Ordering::Relaxed));
    let server = start(leaf, 16).await;

    let mut old = connect(&server, &first, BOTH).await.unwrap();
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "h2 is not offered");
    assert_eq!(old.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(ask(&mut old).await.unwrap(), "HTTP/1.1 200 OK");
    assert!(connect(&server, &first, &[&rustls::version::TLS12]).await.is_ok());

    // A pair that does not belong together changes nothing.
    let (second, pem, key) = issue();
    write(&pem, &issue().2);
    sleep(often * 5).await;
    assert!(connect(&server, &first, BOTH).await.is_ok());

    write(&pem, &key);
    let begun = Instant::now();
    while connect(&server, &second, BOTH).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        sleep(often).await;
    }
    assert!(connect(&server, &first, BOTH).await.is_err());
    assert_eq!(ask(&mut old).await.unwrap(), "HTTP/1.1 200 OK", "the old connection lives on");
    assert!(server.metrics.text(&gatehouse_webhook::cache::Cache::default()).contains("handshakes_failed_total"));
}

async fn keep(
    dir: &Path,
    leaf: &Arc<Leaf>,
    wait: Duration,
    interval: Duration,
    certified: &Arc<AtomicBool>,
) -> anyhow::Result<()> {
    certificate::keep(dir, Arc::clone(leaf), provider(), wait, interval, Arc::clone(certified)).await
}

#[tokio::test]
async fn without_a_certificate_the_process_ends_with_a_cure() {
    let dir = tempfile::tempdir().unwrap();
    let (leaf, certified) = (Arc::default(), Arc::default());
    let wait = Duration::from_millis(300);
    let error = keep(dir.path(), &leaf, wait, wait, &certified).await.unwrap_err().to_string();
    assert!(error.contains("tls.crt cannot be read"), "{error}");
    assert!(error.contains("makes the Secret gatehouse-webhook-tls"), "{error}");
    assert!(!certified.load(Ordering::Relaxed));
}

async fn served() -> (Server, CertificateDer<'static>) {
    let (trusted, pem, key) = issue();
    let leaf = Leaf::default();
    leaf.set(certificate::parse(pem.as_bytes(), key.as_bytes(), &provider()).unwrap());
    (start(Arc::new(leaf), 2).await, trusted)
}

/// How long the server lets an unfinished connection stand.
async fn closed_after(mut stream: impl tokio::io::AsyncRead + Unpin) -> Duration {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut rest)).await.expect("it stays open");
    begun.elapsed()
}

#[tokio::test]
async fn half_requests_and_half_handshakes_are_closed() {
    let (server, trusted) = served().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut partial = connect(&server, &trusted, BOTH).await.unwrap();
    partial.write_all(b"POST /validate HTTP/1.1\r\nHost: local").await.unwrap();
    // Two places are taken; the third waits for one and is then served.
    let third = async {
        let mut stream = connect(&server, &trusted, BOTH).await.unwrap();
        ask(&mut stream).await.unwrap()
    };
    let (silent, partial, third) = tokio::join!(closed_after(silent), closed_after(partial), third);
    let around = Duration::from_millis(4500)..Duration::from_secs(8);
    assert!(around.contains(&silent), "a handshake may take 5 s, it took {silent:?}");
    assert!(around.contains(&partial), "headers may take 5 s, they took {partial:?}");
    assert_eq!(third, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn slow_bodies_are_answered_and_idle_connections_live() {
    let (server, trusted) = served().await;
    let idle = async {
        let mut stream = connect(&server, &trusted, BOTH).await.unwrap();
        ask(&mut stream).await.unwrap();
        // Longer than headers may take: the API server keeps connections idle for 90 s.
        sleep(Duration::from_secs(7)).await;
        ask(&mut stream).await.unwrap()
    };
    let slow = async {
        let mut stream = connect(&server, &trusted, BOTH).await.unwrap();
        stream.write_all(b"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").await.unwrap();
        let begun = Instant::now();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        (String::from_utf8(answer).unwrap(), begun.elapsed())
    };
    let (idle, (slow, took)) = tokio::join!(idle, slow);
    assert_eq!((idle.as_str(), slow.as_str()), ("HTTP/1.1 200 OK", "HTTP/1.1 408"));
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn stopping_lets_go_of_idle_connections_at_once() {
    let (server, trusted) = served().await;
    let mut stream = connect(&server, &trusted, BOTH).await.unwrap();
    ask(&mut stream).await.unwrap();
    let begun = Instant::now();
    server.stop.cancel();
    server.task.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(ask(&mut stream).await.is_err());
    assert_eq!(Arc::strong_count(&server.leaf), 1);
}

/// An authority, and what it gives to a caller of this name.
struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: rcgen::Issuer::new(params, key) }
    }

    fn caller(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

/// With an authority only its callers of the right name are answered; to look first, all are, and are counted.
#[tokio::test]
async fn callers_are_known_by_their_certificates() {
    let (ours, others) = (Authority::new(), Authority::new());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &ours.pem).unwrap();
    for mode in [ClientAuth::Require, ClientAuth::Log] {
        let (trusted, pem, key) = issue();
        let leaf = Leaf::default();
        leaf.set(certificate::parse(pem.as_bytes(), key.as_bytes(), &provider()).unwrap());
        let names = ["kube-apiserver".to_owned()];
        let clients = |metrics: &Metrics| Some(Clients::read(file.path(), &names, mode, metrics, &provider()).unwrap());
        let server = guarded(Arc::new(leaf), 16, clients).await;
        for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
            for (caller, right) in [
                (Some(ours.caller("kube-apiserver")), true),
                (Some(ours.caller("system:node:one")), false),
                (Some(others.caller("kube-apiserver")), false),
                (None, false),
            ] {
                // With TLS 1.3 a client learns of the refusal at its first read.
                let answered = match connect_as(&server, &trusted, versions, caller).await {
                    Ok(mut stream) => ask(&mut stream).await.is_ok(),
                    Err(_) => false,
                };
                assert_eq!(answered, right || mode == ClientAuth::Log, "{mode:?}");
            }
        }
        let metrics = server.metrics.text(&gatehouse_webhook::cache::Cache::default());
        let absent = if mode == ClientAuth::Log { "absent\"} 2" } else { "refused\"} 4" };
        for part in ["verified\"} 2", "refused\"} 4", absent] {
            assert!(metrics.contains(&format!("gatehouse_webhook_clients_total{{certificate=\"{part}")), "{metrics}");
        }
    }
    std::fs::write(file.path(), "nothing").unwrap();
    let metrics = Metrics::new().unwrap();
    let error = Clients::read(file.path(), &[], ClientAuth::Log, &metrics, &provider()).unwrap_err().to_string();
    assert!(error.contains("no certificate in it"), "{error}");
}
