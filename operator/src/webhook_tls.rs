//! Certificates of the webhook: the leader keeps a CA and a leaf in two Secrets and the CA in the `caBundle` of our
//! two webhook configurations. The webhook itself has no right to any of them; it mounts its leaf.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;
use tracing::{info, warn};

const CA_SECRET: &str = "gatehouse-webhook-ca";
const LEAF_SECRET: &str = "gatehouse-webhook-tls";
const CONFIGURATION: &str = "gatehouse";
const SERVICE: &str = "gatehouse-webhook";

const CA_DAYS: i64 = 730;
const LEAF_DAYS: i64 = 90;
/// What is left when a successor is made: a third of the life.
const CA_RENEW_DAYS: i64 = 240;
const LEAF_RENEW_DAYS: i64 = 30;
const DAY: i64 = 86_400;

/// Keeps everything right while this process leads.
pub async fn keep(client: Client, namespace: String) {
    loop {
        let pause = match once(&client, &namespace).await {
            Ok(()) => Duration::from_secs(60),
            Err(error) => {
                warn!(error = %crate::causes(&error), "webhook certificates are not right yet");
                Duration::from_secs(2)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn once(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let now = jiff::Timestamp::now().as_second();
    let ca = authority(&secrets, now).await.context(CA_SECRET)?;
    let bundle = format!("{}{}", ca.certificate, ca.former.as_deref().unwrap_or(""));
    // The bundle first: a leaf of a new CA must find its CA trusted already.
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let mut written = true;
    if let Some(found) = validating.get_opt(CONFIGURATION).await? {
        let have = found.webhooks.iter().flatten().map(|w| w.client_config.ca_bundle.clone()).collect::<Vec<_>>();
        write_bundle(&validating, &have, &bundle).await?;
    } else {
        written = false;
    }
    if let Some(found) = mutating.get_opt(CONFIGURATION).await? {
        let have = found.webhooks.iter().flatten().map(|w| w.client_config.ca_bundle.clone()).collect::<Vec<_>>();
        write_bundle(&mutating, &have, &bundle).await?;
    } else {
        written = false;
    }
    leaf(&secrets, &ca, namespace, now).await.context(LEAF_SECRET)?;
    anyhow::ensure!(written, "webhook configuration {CONFIGURATION:?} is missing; apply config/webhook");
    Ok(())
}

async fn write_bundle<K>(api: &Api<K>, have: &[Option<ByteString>], bundle: &str) -> anyhow::Result<()>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(bundle);
    let operations: Vec<_> = have
        .iter()
        .enumerate()
        .filter(|(_, current)| current.as_ref().is_none_or(|c| c.0 != bundle.as_bytes()))
        .map(|(i, _)| json!({ "op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": encoded }))
        .collect();
    if !operations.is_empty() {
        let patch: json_patch::Patch = serde_json::from_value(json!(operations))?;
        api.patch(CONFIGURATION, &PatchParams::default(), &Patch::Json::<()>(patch)).await?;
        info!("caBundle written");
    }
    Ok(())
}

struct Authority {
    certificate: String,
    key: String,
    /// The one before, trusted until the leaf it signed is replaced.
    former: Option<String>,
}

async fn authority(secrets: &Api<Secret>, now: i64) -> anyhow::Result<Authority> {
    let found = secrets.get_opt(CA_SECRET).await?;
    let text = |name: &str| {
        found
            .as_ref()
            .and_then(|s| s.data.as_ref())
            .and_then(|d| d.get(name))
            .and_then(|b| String::from_utf8(b.0.clone()).ok())
    };
    let (certificate, key, former) = (text("ca.crt"), text("ca.key"), text("former.crt"));
    if let (Some(certificate), Some(key)) = (&certificate, &key)
        && expiry(certificate).is_some_and(|end| end - now > CA_RENEW_DAYS * DAY)
    {
        return Ok(Authority { certificate: certificate.clone(), key: key.clone(), former });
    }
    let pair = KeyPair::generate()?;
    let issuer = CertifiedIssuer::self_signed(ca_params(now)?, pair)?;
    let made = Authority { certificate: issuer.pem(), key: issuer.key().serialize_pem(), former: certificate };
    let mut data = vec![("ca.crt", made.certificate.clone()), ("ca.key", made.key.clone())];
    data.extend(made.former.clone().map(|former| ("former.crt", former)));
    store(secrets, CA_SECRET, "Opaque", found, data).await?;
    info!("webhook CA made");
    Ok(made)
}

fn ca_params(now: i64) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, "gatehouse webhook CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, now, CA_DAYS)?;
    Ok(params)
}

/// From an hour ago, for clocks that run behind.
fn validity(params: &mut CertificateParams, now: i64, days: i64) -> anyhow::Result<()> {
    let date = |at: i64| -> anyhow::Result<_> {
        let day = jiff::Timestamp::from_second(at)?.to_zoned(jiff::tz::TimeZone::UTC);
        Ok(rcgen::date_time_ymd(i32::from(day.year()), u8::try_from(day.month())?, u8::try_from(day.day())?))
    };
    params.not_before = date(now - 3600)?;
    params.not_after = date(now + days * DAY)?;
    Ok(())
}

async fn leaf(secrets: &Api<Secret>, ca: &Authority, namespace: &str, now: i64) -> anyhow::Result<()> {
    let found = secrets.get_opt(LEAF_SECRET).await?;
    let text = |name: &str| {
        found
            .as_ref()
            .and_then(|s| s.data.as_ref())
            .and_then(|d| d.get(name))
            .and_then(|b| String::from_utf8(b.0.clone()).ok())
    };
    let fresh = text("tls.crt").and_then(|pem| expiry(&pem)).is_some_and(|end| end - now > LEAF_RENEW_DAYS * DAY);
    if fresh && text("ca.crt").as_ref() == Some(&ca.certificate) {
        return Ok(());
    }
    let names = vec![
        format!("{SERVICE}.{namespace}.svc"),
        format!("{SERVICE}.{namespace}.svc.cluster.local"),
        SERVICE.to_owned(),
    ];
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, SERVICE);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    validity(&mut params, now, LEAF_DAYS)?;
    let pair = KeyPair::generate()?;
    let issuer = rcgen::Issuer::from_ca_cert_pem(&ca.certificate, KeyPair::from_pem(&ca.key)?)?;
    let certificate = params.signed_by(&pair, &issuer)?;
    let data =
        vec![("tls.crt", certificate.pem()), ("tls.key", pair.serialize_pem()), ("ca.crt", ca.certificate.clone())];
    store(secrets, LEAF_SECRET, "kubernetes.io/tls", found, data).await?;
    info!("webhook certificate made");
    Ok(())
}

async fn store(
    secrets: &Api<Secret>,
    name: &str,
    type_: &str,
    before: Option<Secret>,
    data: Vec<(&str, String)>,
) -> anyhow::Result<()> {
    let data: BTreeMap<String, ByteString> =
        data.into_iter().map(|(k, v)| (k.to_owned(), ByteString(v.into_bytes()))).collect();
    let labels =
        [(gatehouse_crds::keys::MANAGED_BY.to_owned(), gatehouse_crds::keys::MANAGED_BY_VALUE.to_owned())].into();
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels),
        // Two leaders at a hand-over: one of them gets a conflict and looks again.
        resource_version: before.as_ref().and_then(kube::ResourceExt::resource_version),
        ..ObjectMeta::default()
    };
    let secret = Secret { metadata, type_: Some(type_.to_owned()), data: Some(data), ..Secret::default() };
    if before.is_some() {
        secrets.replace(name, &PostParams::default(), &secret).await?;
    } else {
        secrets.create(&PostParams::default(), &secret).await?;
    }
    Ok(())
}

/// End of validity of the first certificate in a PEM text, seconds since 1970.
fn expiry(pem: &str) -> Option<i64> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    Some(pem.parse_x509().ok()?.validity().not_after.timestamp())
}
