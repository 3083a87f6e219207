//! Signals as a value: how many times we were asked to end, and until when to drain.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::status::Status;

/// What the signals so far mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// Signals received.
    pub asked: u32,
    /// When to stop serving.
    pub at: Option<Instant>,
}

/// Listens from now on. A task of its own, so that readiness falls at once even in the middle of a reload.
///
/// PID 1 has no default handlers: a signal that is not handled here would be lost. SIGQUIT counts too, because images
/// built on nginx's own name it as their stop signal.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn listen(drain: Duration, status: watch::Sender<Status>) -> Result<watch::Receiver<Stop>> {
    let install = |kind| signal(kind).context("signal handlers cannot be installed");
    let (mut term, mut quit, mut interrupt, mut hangup) = (
        install(SignalKind::terminate())?,
        install(SignalKind::quit())?,
        install(SignalKind::interrupt())?,
        install(SignalKind::hangup())?,
    );
    let (tell, stop) = watch::channel(Stop::default());
    tokio::spawn(async move {
        loop {
            let gently = tokio::select! {
                _ = term.recv() => true,
                _ = quit.recv() => true,
                _ = interrupt.recv() => false,
                _ = hangup.recv() => continue,
            };
            status.send_modify(|status| status.draining = true);
            tell.send_modify(|stop| {
                let wait = if gently && stop.asked == 0 { drain } else { Duration::ZERO };
                let until = Instant::now() + wait;
                stop.at = Some(stop.at.map_or(until, |at| at.min(until)));
                stop.asked += 1;
            });
        }
    });
    Ok(stop)
}
