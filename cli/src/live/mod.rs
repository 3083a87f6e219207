//! What talks to a running cluster: connecting, and what its refusals mean to a person.

pub mod bundle;
pub mod claims;
pub mod plan;
pub mod request;
pub mod status;
pub mod trace;

use std::time::Duration;

use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use crate::args::ClusterArgs;
use crate::print::Out;

/// One call of the API server.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why it could not run, and what helps.
#[derive(Debug)]
pub struct Failure {
    what: String,
    cure: Option<String>,
    /// Whether it is a want of rights.
    denied: bool,
}

impl Failure {
    /// Without a cure.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), cure: None, denied: false }
    }

    /// For want of rights.
    fn denied(self) -> Failure {
        Failure { denied: true, ..self }
    }

    /// With a cure.
    pub fn cure(mut self, cure: impl Into<String>) -> Failure {
        self.cure = Some(cure.into());
        self
    }
}

/// Runs what talks to a cluster; what kept it from running is told, and ends with `failed`.
pub fn run(out: &mut Out, failed: u8, work: impl AsyncFnOnce(&mut Out) -> Result<u8, Failure>) -> u8 {
    // kube's TLS takes the provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ended = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work(out)),
        Err(error) => Err(Failure::new(format!("no runtime: {error}"))),
    };
    ended.unwrap_or_else(|failure| {
        out.complain(&format!("error: {}", failure.what));
        if let Some(cure) = failure.cure {
            out.complain(&format!("  {cure}"));
        }
        failed
    })
}

/// A client of the cluster that was named.
///
/// # Errors
/// If no cluster is known by that name.
pub async fn connect(args: &ClusterArgs) -> Result<Client, Failure> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let config = match (&args.kubeconfig, &args.context) {
        (Some(file), _) => match Kubeconfig::read_from(file) {
            Ok(read) => Config::from_custom_kubeconfig(read, &options).await.map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        },
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|e| e.to_string()),
        (None, None) => Config::infer().await.map_err(|e| e.to_string()),
    };
    let cure = "choose the cluster with --context and --kubeconfig, or KUBECONFIG";
    let mut config = config.map_err(|e| Failure::new(format!("no cluster: {e}")).cure(cure))?;
    // A server that is busy is asked again, within the patience of each call; every call of ours may be made twice.
    config.default_retry = true;
    config.connect_timeout = Some(PATIENCE);
    Client::try_from(config).map_err(|e| Failure::new(format!("no cluster: {e}")).cure(cure))
}

/// One call, bounded in time. `what` completes "not allowed to ...".
///
/// # Errors
/// In words for people.
pub async fn call<T>(what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match bounded(call).await {
        Ok(answer) => Ok(answer),
        Err(error) => Err(failure(what, error)),
    }
}

/// The same, where "not found" is an answer.
///
/// # Errors
/// In words for people.
pub async fn call_opt<T>(what: &str, future: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, Failure> {
    match bounded(future).await {
        Ok(answer) => Ok(Some(answer)),
        Err(Some(kube::Error::Api(status))) if status.code == 404 => Ok(None),
        Err(error) => Err(failure(what, error)),
    }
}

/// Every object of a kind, by namespace and name. `kinds` completes "not allowed to list ...".
///
/// # Errors
/// In words for people.
pub async fn list<K>(client: &Client, kinds: &str) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let mut all = call(&format!("list {kinds}"), api.list(&ListParams::default())).await?.items;
    all.sort_by_key(|object| (object.meta().namespace.clone(), object.meta().name.clone()));
    Ok(all)
}

/// `None` for no answer in time.
async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Option<kube::Error>> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(Some),
        Err(_) => Err(None),
    }
}

fn failure(what: &str, error: Option<kube::Error>) -> Failure {
    const UNREACHABLE: &str = "is the right cluster chosen (--context, --kubeconfig), and is it up?";
    match error {
        None => Failure::new(format!("no answer within {} s, asked to {what}", PATIENCE.as_secs())).cure(UNREACHABLE),
        Some(kube::Error::Api(status)) => match status.code {
            401 => Failure::new("the cluster does not know you").cure("log in again, or choose another --context"),
            403 => Failure::new(format!("not allowed to {what}: {}", status.message)).denied().cure(
                "the ClusterRole gatehouse-platform (with the verb operate) and, in the operator's namespace, the Role of that name give the right: have them bound to you",
            ),
            // A kind that is not there is answered by the API server's router, without details.
            404 => Failure::new(format!("asked to {what}: the cluster does not have it"))
                .cure("is Gatehouse installed there? its CRDs stand in config/crd"),
            _ => Failure::new(format!("asked to {what}: {}", status.message)),
        },
        Some(kube::Error::UpgradeConnection(kube::client::UpgradeConnectionError::ProtocolSwitch(status)))
            if status == 403 =>
        {
            Failure::new(format!("not allowed to {what}")).denied().cure(
                "the Role gatehouse-platform in the operator's namespace gives the right; or forward the port by hand and use --address",
            )
        }
        Some(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            Failure::new(format!("asked to {what}: {text}")).cure(UNREACHABLE)
        }
    }
}
