//! The platform's own CA, the certificates that the components show each other, and the kubeconfigs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::paths::RunDir;
use crate::{API_SERVER, NODE_IP};

/// Writes CA, API server and kubelet-client certificates, the service account key pair, and kubeconfigs.
pub(crate) fn write(run: &RunDir, node: &str) -> Result<()> {
    let folder = run.join("certs");
    fs::create_dir_all(&folder)?;
    let secret = |name: &str, text: &str| -> Result<()> {
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(())
    };

    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, format!("platform {node}"));
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let ca_pem = ca.pem();
    fs::write(folder.join("ca.crt"), &ca_pem)?;

    let names = [
        NODE_IP,
        "10.96.0.1",
        "127.0.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let leaves = [
        ("apiserver", names.map(str::to_owned).to_vec(), "kube-apiserver", "", ExtendedKeyUsagePurpose::ServerAuth),
        ("kubelet", vec![NODE_IP.to_owned()], node, "", ExtendedKeyUsagePurpose::ServerAuth),
        ("kubelet-client", vec![], "kube-apiserver", "system:masters", ExtendedKeyUsagePurpose::ClientAuth),
        ("admin", vec![], "admin", "system:masters", ExtendedKeyUsagePurpose::ClientAuth),
    ];
    for (file, names, common_name, organization, usage) in leaves {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        if !organization.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        fs::write(folder.join(format!("{file}.crt")), params.signed_by(&key, &ca)?.pem())?;
        secret(&format!("{file}.key"), &key.serialize_pem())?;
    }

    let accounts = KeyPair::generate()?;
    secret("sa.key", &accounts.serialize_pem())?;
    fs::write(folder.join("sa.pub"), accounts.public_key_pem())?;

    let admin = kubeconfig(run)?;
    fs::write(run.kubeconfig(), admin)?;
    fs::set_permissions(run.kubeconfig(), fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// The administrator's kubeconfig, whole in one file so that it may be copied anywhere.
fn kubeconfig(run: &RunDir) -> Result<String> {
    let data = |name: &str| fs::read(run.join("certs").join(name)).map(|bytes| BASE64_STANDARD.encode(bytes));
    Ok(format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: platform\n\
         clusters:\n- name: platform\n  cluster:\n    server: {API_SERVER}\n    certificate-authority-data: {}\n\
         users:\n- name: admin\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n\
         contexts:\n- name: platform\n  context: {{cluster: platform, user: admin}}\n",
        data("ca.crt")?,
        data("admin.crt")?,
        data("admin.key")?,
    ))
}
