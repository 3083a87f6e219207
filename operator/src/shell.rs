//! The shell around the engine: one task owns it; effects run beside it and come back as outcomes.

use std::sync::Arc;
use std::time::Duration;

use gatehouse_core::aws::RefusalClass;
use gatehouse_core::plan::Order;
use gatehouse_core::{Answer, Delta, Effect, EffectId, Engine, Event, Mono, Now, Outcome, Wall};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::aws::{Clients, Failure};
use crate::look::Asked;
use crate::metrics::Metrics;
use crate::probe::Prober;
use crate::write::Writer;

/// Everything that touches the world.
pub struct Hands {
    /// AWS.
    pub aws: Clients,
    /// Kubernetes.
    pub writer: Writer,
    /// Edges and shards.
    pub prober: Prober,
    /// A call is given up after this long.
    pub deadline: Duration,
}

/// What the shell is told besides outcomes.
pub struct Inputs {
    /// Changes in the cluster.
    pub deltas: mpsc::UnboundedReceiver<Delta>,
    /// Until when we lead; nothing as long as we stand by.
    pub lease: watch::Receiver<Option<Instant>>,
    /// Who wants to see the plan; answered between two turns.
    pub asked: Asked,
    /// The end.
    pub stop: CancellationToken,
}

/// How long the engine may decide before it is told what happened meanwhile.
const TURN: Duration = Duration::from_millis(50);

/// Clock of the engine: monotonic milliseconds from an origin of our own.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now. It starts at a second, so that no moment is the zero that means "never".
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    fn mono(self, at: Instant) -> Mono {
        Mono(u64::try_from(at.saturating_duration_since(self.0).as_millis()).unwrap_or(u64::MAX) + 1_000)
    }

    fn now(self) -> Now {
        Now { mono: self.mono(Instant::now()), wall: Wall(jiff::Timestamp::now().as_second()) }
    }

    fn instant(self, at: Mono) -> Instant {
        self.0 + Duration::from_millis(at.0.saturating_sub(1_000).min(365 * 86_400_000))
    }
}

/// Runs the engine until told to stop: it learns the cluster while another leads, and acts from the lease on. Then it
/// waits for what is under way, and no longer than the deadline.
pub async fn run(mut engine: Engine, hands: Arc<Hands>, inputs: Inputs, identity: &str, metrics: Arc<Metrics>) {
    let Inputs { mut deltas, mut lease, mut asked, stop } = inputs;
    let clock = Clock::start();
    let (done, mut outcomes) = mpsc::unbounded_channel::<(EffectId, Outcome)>();
    let mut complete = false;
    let mut more = false;
    loop {
        let now = clock.now();
        let sleep = engine.wake_at(now).map_or(now.mono.plus(60_000), |at| at.max(now.mono.plus(1)));
        let sleep = if more { now.mono } else { sleep };
        let mut viewer = None;
        tokio::select! {
            // Outcomes first: they are the freshest truth, and are drained before anything is planned.
            biased;
            () = stop.cancelled() => break,
            Some((id, outcome)) = outcomes.recv() => engine.handle(clock.now(), Event::Outcome { id, outcome }),
            delta = deltas.recv() => match delta {
                Some(delta) => engine.handle(clock.now(), Event::Kube(delta)),
                None => break,
            },
            Ok(()) = lease.changed() => lease.mark_changed(),
            Some(answer) = asked.recv() => viewer = Some(answer),
            () = tokio::time::sleep_until(clock.instant(sleep)) => {}
        }
        take_in(&mut engine, clock, &mut outcomes, &mut deltas, &mut lease);
        if !complete && engine.world().complete() {
            complete = true;
            info!(apps = engine.world().apps.len(), claims = engine.world().claims.len(), "the cluster is known");
            metrics.synced();
        }
        let turn = Instant::now();
        more = false;
        while !more && let Some(effect) = engine.next(clock.now()) {
            send(effect, &hands, clock, &done, &metrics);
            more = turn.elapsed() >= TURN;
        }
        metrics.observe(&engine, clock.now().mono);
        // One at most per turn, so that viewers never keep the engine from its work; a busy engine answers them too.
        if let Some(answer) = viewer.or_else(|| asked.try_recv().ok()) {
            let _ = answer.send(engine.report(clock.now(), identity));
        }
    }
    finish(&mut engine, &mut outcomes, clock, hands.deadline).await;
}

/// Tells the engine everything that has come, the lease too: in a busy cluster there is always another outcome or delta,
/// and an engine that does not hear of the renewal has its calls refused.
fn take_in(
    engine: &mut Engine,
    clock: Clock,
    outcomes: &mut mpsc::UnboundedReceiver<(EffectId, Outcome)>,
    deltas: &mut mpsc::UnboundedReceiver<Delta>,
    lease: &mut watch::Receiver<Option<Instant>>,
) {
    while let Ok((id, outcome)) = outcomes.try_recv() {
        engine.handle(clock.now(), Event::Outcome { id, outcome });
    }
    while let Ok(delta) = deltas.try_recv() {
        engine.handle(clock.now(), Event::Kube(delta));
    }
    // The process ends by itself when the lease's task does.
    let until = if lease.has_changed().unwrap_or(false) { *lease.borrow_and_update() } else { None };
    if let Some(until) = until {
        engine.handle(clock.now(), Event::Lease { valid_until: clock.mono(until) });
    }
}

/// Lets calls in flight end: what they did is known to a successor only through AWS itself.
async fn finish(
    engine: &mut Engine,
    outcomes: &mut mpsc::UnboundedReceiver<(EffectId, Outcome)>,
    clock: Clock,
    patience: Duration,
) {
    let end = Instant::now() + patience;
    while engine.in_flight() > 0 {
        tokio::select! {
            Some((id, outcome)) = outcomes.recv() => engine.handle(clock.now(), Event::Outcome { id, outcome }),
            () = tokio::time::sleep_until(end) => {
                warn!(calls = engine.in_flight(), "calls in flight at the end");
                break;
            }
        }
    }
}

fn send(
    effect: Effect,
    hands: &Arc<Hands>,
    clock: Clock,
    done: &mpsc::UnboundedSender<(EffectId, Outcome)>,
    metrics: &Arc<Metrics>,
) {
    let (hands, done, metrics) = (hands.clone(), done.clone(), metrics.clone());
    tokio::spawn(async move {
        let started = Instant::now();
        // The last look at the lease: between the decision and this moment the process may have been stopped.
        let outcome = if clock.now().mono >= effect.not_after {
            Outcome::Refused(gatehouse_core::aws::Refusal {
                class: RefusalClass::Transient,
                message: "the lease ended before the call".into(),
            })
        } else {
            match tokio::time::timeout(hands.deadline, perform(&hands, effect.order.clone())).await {
                Ok(Ok(answer)) => Outcome::Done(answer),
                Ok(Err(Failure::Refused(refusal))) => Outcome::Refused(refusal),
                Ok(Err(Failure::Unknown(why))) => unknown(&effect.order, &why),
                Err(_) => unknown(&effect.order, "no answer before the deadline"),
            }
        };
        metrics.effect(&effect.order, &outcome, started.elapsed());
        tell(&effect.order, &outcome);
        let _ = done.send((effect.id, outcome));
    });
}

/// A question without answer is no riddle: it had no effect and is asked again.
fn unknown(order: &Order, why: &str) -> Outcome {
    match order {
        Order::Aws { call, .. } if call.is_read() => {
            Outcome::Refused(gatehouse_core::aws::Refusal { class: RefusalClass::Transient, message: why.to_owned() })
        }
        _ => {
            warn!(order = %short(order), %why, "outcome unknown");
            Outcome::Unknown
        }
    }
}

async fn perform(hands: &Hands, order: Order) -> Result<Answer, Failure> {
    match order {
        Order::Aws { region, call } => hands.aws.call(&region, call).await.map(Answer::Aws),
        Order::Kube(write) => hands.writer.write(write).await,
        Order::Probe(probe) => Ok(Answer::Table(hands.prober.ask(&probe).await)),
    }
}

/// A failure is logged once, here, where it is handled; the engine's back-off spaces the repetitions.
fn tell(order: &Order, outcome: &Outcome) {
    match outcome {
        Outcome::Refused(refusal) if refusal.class == RefusalClass::Stale => {
            debug!(order = %short(order), why = %refusal.message, "refused, looking again")
        }
        Outcome::Refused(refusal) => {
            warn!(order = %short(order), class = ?refusal.class, why = %refusal.message, "refused")
        }
        Outcome::Done(_) if matches!(order, Order::Probe(_)) => {}
        Outcome::Done(_) => debug!(order = %short(order), "done"),
        Outcome::Unknown => {}
    }
}

fn short(order: &Order) -> String {
    let text = match order {
        Order::Aws { call, .. } => format!("{call:?}"),
        Order::Kube(write) => format!("{write:?}"),
        Order::Probe(probe) => format!("{probe:?}"),
    };
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use gatehouse_core::{Buckets, Settings};

    use super::*;

    #[tokio::test]
    async fn a_busy_cluster_does_not_keep_the_lease_from_the_engine() {
        let mut engine = Engine::new(Settings::default(), Buckets::aws());
        let clock = Clock::start();
        let (_done, mut outcomes) = mpsc::unbounded_channel();
        let (deltas, mut told) = mpsc::unbounded_channel();
        let (renewed, mut lease) = watch::channel(None);
        let mut take = |engine: &mut Engine| take_in(engine, clock, &mut outcomes, &mut told, &mut lease);
        take(&mut engine);
        assert!(!engine.report(clock.now(), "me").leader.may_act);
        for n in 0..100 {
            deltas.send(Delta::Policy(format!("p{n}"), None)).unwrap();
        }
        renewed.send_replace(Some(Instant::now() + Duration::from_secs(60)));
        take(&mut engine);
        assert!(engine.report(clock.now(), "me").leader.may_act);
    }
}
