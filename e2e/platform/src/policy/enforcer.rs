//! The program around the translation: watch, translate, load.

use std::fmt::Debug;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::runtime::reflector::{Lookup, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;

use super::ruleset;

/// Keeps this network namespace's rules equal to the cluster's NetworkPolicies, until it is killed.
pub fn enforce() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let client = Client::try_default().await.context("KUBECONFIG")?;
    let (policies, policy_events) = watch::<NetworkPolicy>(&client);
    let (pods, pod_events) = watch::<Pod>(&client);
    let (namespaces, namespace_events) = watch::<Namespace>(&client);
    let mut events = futures::stream::select_all([policy_events, pod_events, namespace_events]);
    let ready = async {
        policies.wait_until_ready().await?;
        pods.wait_until_ready().await?;
        namespaces.wait_until_ready().await
    };
    // Reading the events is what fills the stores, so both are waited for together.
    tokio::pin!(ready);
    loop {
        tokio::select! {
            done = &mut ready => {
                done.context("watch ended")?;
                break;
            }
            event = events.next() => event.context("watches ended")?,
        }
    }
    tracing::info!("watching");
    let mut loaded = String::new();
    loop {
        // What has already arrived is one change.
        while let Some(Some(())) = futures::FutureExt::now_or_never(events.next()) {}
        let wanted = ruleset(&sorted(&policies), &sorted(&pods), &sorted(&namespaces));
        if wanted != loaded {
            let began = Instant::now();
            match load(&wanted).await {
                Ok(()) => {
                    tracing::info!(ms = began.elapsed().as_millis(), lines = wanted.lines().count(), "loaded");
                    loaded = wanted;
                }
                Err(error) => {
                    tracing::error!("nft: {error:#}; trying again in a second");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
        }
        events.next().await.context("watches ended")?;
    }
}

/// A store and a stream that fills it, and yields at each change.
fn watch<K>(client: &Client) -> (Store<K>, BoxStream<'static, ()>)
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = store();
    let stream = watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .filter_map(|event| async move {
            match event {
                Ok(_) => Some(()),
                Err(error) => {
                    tracing::warn!("watch: {error:#}");
                    None
                }
            }
        });
    (reader, stream.boxed())
}

/// In a fixed order, so that equal worlds give equal scripts.
fn sorted<K>(store: &Store<K>) -> Vec<std::sync::Arc<K>>
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + 'static,
{
    let mut all = store.state();
    all.sort_by(|a, b| {
        let key = |k: &K| (k.meta().namespace.clone(), k.meta().name.clone());
        key(a).cmp(&key(b))
    });
    all
}

async fn load(script: &str) -> Result<()> {
    let mut nft = tokio::process::Command::new("nft");
    nft.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = nft.spawn().context("run nft (package nftables)")?;
    let mut stdin = child.stdin.take().context("stdin of nft")?;
    stdin.write_all(script.as_bytes()).await?;
    drop(stdin);
    let out = child.wait_with_output().await?;
    if !out.status.success() {
        bail!("{}\nscript:\n{script}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
