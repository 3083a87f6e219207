//! The mounted leaf certificate, looked at again and again: the kubelet swaps symbolic links, which file notification
//! misses.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use arc_swap::ArcSwapOption;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The leaf that new connections get; those that stand keep theirs.
#[derive(Debug, Default)]
pub struct Leaf(ArcSwapOption<CertifiedKey>);

impl Leaf {
    /// Serves another one from now on.
    pub fn set(&self, key: CertifiedKey) {
        self.0.store(Some(Arc::new(key)));
    }
}

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// Reads a leaf and its key.
///
/// # Errors
/// If there is no certificate, no key, or the two do not belong together.
pub fn parse(certificate: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().context("tls.crt is not PEM")?;
    if chain.is_empty() {
        bail!("tls.crt holds no certificate");
    }
    let key = PrivateKeyDer::from_pem_slice(key).context("tls.key holds no private key in PEM")?;
    CertifiedKey::from_der(chain, key, provider).context("tls.crt and tls.key cannot be used together")
}

/// The two files.
pub struct Files {
    dir: PathBuf,
    seen: Option<(Vec<u8>, Vec<u8>)>,
}

impl Files {
    /// In this directory, `tls.crt` and `tls.key`.
    #[must_use]
    pub fn new(dir: &Path) -> Files {
        Files { dir: dir.to_owned(), seen: None }
    }

    /// A new leaf, if the files have changed. The content decides, since time stamps of a mount do not.
    ///
    /// # Errors
    /// If a file is missing or the pair is unusable; told once per content.
    pub fn look(&mut self, provider: &CryptoProvider) -> Result<Option<CertifiedKey>> {
        let read = |name: &str| {
            let path = self.dir.join(name);
            std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let pair = (read("tls.crt")?, read("tls.key")?);
        if self.seen.as_ref() == Some(&pair) {
            return Ok(None);
        }
        let parsed = parse(&pair.0, &pair.1, provider);
        self.seen = Some(pair);
        parsed.map(Some)
    }
}

/// Waits for a first leaf, then keeps it fresh in the background.
///
/// # Errors
/// If none is there in time. The Secret is optional in the pod, and a container that restarts makes the kubelet sync
/// the volume at once instead of after a minute.
pub async fn keep(
    dir: &Path,
    leaf: Arc<Leaf>,
    provider: Arc<CryptoProvider>,
    wait: Duration,
    interval: Duration,
    certified: Arc<AtomicBool>,
) -> Result<()> {
    let mut files = Files::new(dir);
    let begun = tokio::time::Instant::now();
    let mut why = None;
    loop {
        match files.look(&provider) {
            Ok(Some(key)) => break leaf.set(key),
            Ok(None) => {}
            Err(error) => why = Some(error),
        }
        if begun.elapsed() >= wait {
            let why = why.map(|error| format!("{error:#}")).unwrap_or_default();
            bail!(
                "no certificate within {} s: {why}; the operator's leader makes the Secret gatehouse-webhook-tls, and a restart looks again",
                wait.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(200).min(wait)).await;
    }
    certified.store(true, Ordering::Relaxed);
    tracing::info!("certificate loaded");
    tokio::spawn(async move {
        let mut told = String::new();
        loop {
            tokio::time::sleep(interval).await;
            match files.look(&provider) {
                Ok(None) => {}
                Ok(Some(key)) => {
                    leaf.set(key);
                    told.clear();
                    tracing::info!("certificate renewed");
                }
                Err(error) => {
                    let text = format!("{error:#}");
                    if told != text {
                        tracing::error!("the new certificate is not used, the old one stays: {text}");
                        told = text;
                    }
                }
            }
        }
    });
    Ok(())
}
