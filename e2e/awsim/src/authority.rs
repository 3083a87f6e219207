//! The simulator's own certificate authority, and the certificates that load balancers present.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Issues a leaf for every certificate that a listener presents.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    /// By ARN, with the names it was made for: a re-imported certificate may have others.
    leaves: Mutex<BTreeMap<String, (Vec<String>, Leaf)>>,
}

#[derive(Clone)]
struct Leaf {
    key: Arc<CertifiedKey>,
    pem: String,
}

impl Authority {
    /// A new CA, or the one that `state` holds from an earlier run, so that clients may go on trusting it.
    ///
    /// # Errors
    /// What could not be read, written or made.
    pub(crate) fn open(state: Option<&Path>) -> anyhow::Result<Self> {
        let files = state.map(|dir| (dir.join("ca.pem"), dir.join("ca.key")));
        if let Some((certificate, key)) = files.as_ref().filter(|(certificate, _)| certificate.exists()) {
            let ca_pem = std::fs::read_to_string(certificate).with_context(|| certificate.display().to_string())?;
            let key_pem = std::fs::read_to_string(key).with_context(|| key.display().to_string())?;
            let key = KeyPair::from_pem(&key_pem).context("CA key")?;
            let issuer = Issuer::from_ca_cert_pem(&ca_pem, key).context("CA certificate")?;
            return Ok(Self { issuer, ca_pem, leaves: Mutex::default() });
        }
        let key = KeyPair::generate().context("CA key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "awsim test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca_pem = params.self_signed(&key).context("CA certificate")?.pem();
        if let Some((certificate, key_file)) = &files {
            if let Some(dir) = state {
                std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
            }
            std::fs::write(key_file, key.serialize_pem()).with_context(|| key_file.display().to_string())?;
            std::fs::write(certificate, &ca_pem).with_context(|| certificate.display().to_string())?;
        }
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, ca_pem, leaves: Mutex::default() })
    }

    /// The CA's certificate.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What a listener presents for a certificate of these names.
    pub(crate) fn key(&self, arn: &str, names: &[String]) -> Option<Arc<CertifiedKey>> {
        self.leaf(arn, names).map(|leaf| leaf.key)
    }

    /// The same as PEM.
    pub(crate) fn pem(&self, arn: &str, names: &[String]) -> Option<String> {
        self.leaf(arn, names).map(|leaf| leaf.pem)
    }

    fn leaf(&self, arn: &str, names: &[String]) -> Option<Leaf> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, leaf)) = leaves.get(arn).filter(|(made_for, _)| made_for == names) {
            return Some(leaf.clone());
        }
        match self.issue(names) {
            Ok(leaf) => {
                leaves.insert(arn.to_owned(), (names.to_vec(), leaf.clone()));
                Some(leaf)
            }
            Err(error) => {
                tracing::warn!(arn, ?names, error = format!("{error:#}"), "no certificate for a listener");
                None
            }
        }
    }

    fn issue(&self, names: &[String]) -> anyhow::Result<Leaf> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = any_ecdsa_type(&private)?;
        Ok(Leaf { key: Arc::new(CertifiedKey::new(chain, signer)), pem: certificate.pem() })
    }
}
