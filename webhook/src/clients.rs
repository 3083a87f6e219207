//! Who may call: the API server's client certificate, checked or only watched.
//!
//! Whoever reaches the port can ask what a namespace is granted. A client certificate closes that where the API server has
//! one to show (its admission configuration names a kubeconfig for webhooks; managed control planes have none).

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::flags::ClientAuth;
use crate::metrics::Metrics;

/// Judges callers by their certificates.
#[derive(Clone)]
pub struct Clients {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
    mode: ClientAuth,
    metrics: Metrics,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").field("names", &self.names).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Clients {
    /// Callers that an authority in the file vouches for, and, if names are given, whose common name is one of them.
    ///
    /// # Errors
    /// If the file holds no certificate that can be used.
    pub fn read(
        file: &Path,
        names: &[String],
        mode: ClientAuth,
        metrics: &Metrics,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Clients> {
        let named = || format!("--client-ca {}", file.display());
        let pem = std::fs::read(file).with_context(named)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.with_context(named)?).with_context(named)?;
        }
        anyhow::ensure!(!roots.is_empty(), "{}: no certificate in it; give the authority's in PEM", named());
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .with_context(named)?;
        Ok(Clients { chain, names: names.to_vec(), mode, metrics: metrics.clone() })
    }

    /// A connection stands without a certificate, which only the log-only mode lets happen.
    pub fn absent(&self) {
        self.metrics.client("absent");
        tracing::info!("a caller showed no client certificate");
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(leaf, chain, now)?;
        if self.names.is_empty() {
            return Ok(verified);
        }
        // The authority of the cluster vouches for every node and person, too.
        let name = common_name(leaf).unwrap_or_default();
        if self.names.contains(&name) {
            return Ok(verified);
        }
        tracing::info!(name, "a caller's certificate is right and its name is not one of --client-name");
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }
}

fn common_name(leaf: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    certificate.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mode == ClientAuth::Require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.judge(leaf, chain, now) {
            Ok(verified) => {
                self.metrics.client("verified");
                Ok(verified)
            }
            Err(error) => {
                self.metrics.client("refused");
                tracing::info!(%error, mode = ?self.mode, "a caller's client certificate does not hold");
                if self.mode == ClientAuth::Log { Ok(ClientCertVerified::assertion()) } else { Err(error) }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
