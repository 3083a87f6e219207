//! Leadership by a Lease, with its own client: no retries, a time-out per call.
//!
//! Others' leases are judged by the change we saw and our own monotonic clock, never by the times written in them.
//! The holder may act until `renewed + duration - margin` on its own clock; whoever loses the lease ends the process.

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// Name of the Lease.
const NAME: &str = "gatehouse-operator";

/// How often a stand-by looks at the lease: the longest pause between a leader that gives it back and the next.
const LOOK: Duration = Duration::from_millis(250);

/// Timing of the lease.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a lease holds without renewal.
    pub duration: Duration,
    /// How often it is renewed.
    pub renew: Duration,
}

impl Timing {
    /// Renewed five times in its duration, so that one slow answer costs nothing.
    pub fn of(duration: Duration) -> Timing {
        Timing { duration, renew: duration / 5 }
    }
}

/// A contender.
pub struct Contender {
    api: Api<Lease>,
    identity: String,
    timing: Timing,
    holder: watch::Sender<String>,
}

impl Contender {
    /// A contender for the lease in a namespace. The client must not retry.
    pub fn new(client: Client, namespace: &str, identity: String, timing: Timing) -> Self {
        Contender { api: Api::namespaced(client, namespace), identity, timing, holder: watch::Sender::default() }
    }

    /// Who holds the lease, as far as it was seen; empty at first.
    pub fn holder(&self) -> watch::Receiver<String> {
        self.holder.subscribe()
    }

    /// Waits until the lease is ours; gives the moment until which it is.
    pub async fn win(&self) -> Instant {
        let mut seen: Option<(String, Instant)> = None;
        loop {
            match self.attempt(&mut seen).await {
                Ok(Some(until)) => {
                    self.holder.send_replace(self.identity.clone());
                    info!(identity = %self.identity, "leading");
                    return until;
                }
                Ok(None) => {}
                Err(error) => warn!(%error, "lease cannot be read or written"),
            }
            tokio::time::sleep(LOOK.min(self.timing.renew / 2)).await;
        }
    }

    /// One look; takes the lease if nobody has it, or if its holder has not renewed it for its whole duration while
    /// we watched.
    async fn attempt(&self, seen: &mut Option<(String, Instant)>) -> anyhow::Result<Option<Instant>> {
        let started = Instant::now();
        let Some(lease) = self.call(self.api.get_opt(NAME)).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return match self.call(self.api.create(&PostParams::default(), &lease)).await {
                Ok(_) => Ok(Some(self.until(started))),
                Err(error) => Err(error),
            };
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let duration = Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(10)).unwrap_or(10));
        self.holder.send_if_modified(|known| {
            let changed = *known != holder;
            known.clone_from(&holder);
            changed
        });
        let ours = holder == self.identity;
        let expired = match seen {
            Some((known, since)) if *known == version => since.elapsed() > duration,
            _ => {
                *seen = Some((version, Instant::now()));
                false
            }
        };
        if !(holder.is_empty() || ours || expired) {
            return Ok(None);
        }
        let mut next = lease;
        next.spec = Some(self.spec(Some(&spec)));
        // The resource version is in it: of two contenders one gets a conflict.
        self.call(self.api.replace(NAME, &PostParams::default(), &next)).await?;
        Ok(Some(self.until(started)))
    }

    /// Renews until it fails for too long, which ends leadership.
    ///
    /// # Errors
    /// When the lease is lost or could not be renewed in time; the process must end.
    pub async fn hold(&self, until: &watch::Sender<Option<Instant>>) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(self.timing.renew).await;
            let started = Instant::now();
            match self.renew().await {
                Ok(true) => {
                    let _ = until.send(Some(self.until(started)));
                }
                Ok(false) => bail!("the lease was taken by another operator"),
                Err(error) => {
                    warn!(%error, "lease not renewed");
                    if until.borrow().is_none_or(|until| Instant::now() >= until) {
                        bail!("the lease could not be renewed in time");
                    }
                }
            }
        }
    }

    async fn renew(&self) -> anyhow::Result<bool> {
        let lease = self.call(self.api.get(NAME)).await?;
        let spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(false);
        }
        let mut next = lease;
        next.spec = Some(self.spec(Some(&spec)));
        self.call(self.api.replace(NAME, &PostParams::default(), &next)).await?;
        Ok(true)
    }

    /// Gives the lease back, so that a successor need not wait for it to expire.
    pub async fn release(&self) {
        let result = async {
            let mut lease = self.call(self.api.get(NAME)).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = None;
                self.call(self.api.replace(NAME, &PostParams::default(), &lease)).await?;
            }
            anyhow::Ok(())
        };
        if let Err(error) = result.await {
            warn!(%error, "lease not given back; a successor waits for it to expire");
        }
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(jiff::Timestamp::now());
        let same = before.is_some_and(|b| b.holder_identity.as_deref() == Some(&self.identity));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
            acquire_time: before.filter(|_| same).and_then(|b| b.acquire_time.clone()).or(Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(before.and_then(|b| b.lease_transitions).unwrap_or(0) + i32::from(!same)),
            ..LeaseSpec::default()
        }
    }

    /// From before the call, with a margin for a clock that runs slower than the others.
    fn until(&self, started: Instant) -> Instant {
        started + self.timing.duration.mul_f32(0.8)
    }

    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
        let patience = self.timing.renew;
        tokio::time::timeout(patience, call)
            .await
            .with_context(|| format!("no answer within {patience:?}"))?
            .context("API server")
    }
}
