//! The container's first process: it starts the agent, hands it the signals, and outlives it.
//!
//! The end of a container's first process is the end of all its processes. If that were the agent, whatever kills the
//! agent would cut every request. So it is this one, which does nothing that can fail: when the agent dies, nginx goes on
//! with the configuration it has. The admin port is silent then, and the kubelet's liveness probe ends the container by
//! SIGTERM, on which nginx drains as ever.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::flags::Flags;
use crate::processes::children_of;

/// Set for the agent, so that one program can be both.
const ROLE: &str = "GATEHOUSE_EDGE_ROLE";

/// nginx has asked its workers to end at once by then.
const LAST: Duration = Duration::from_secs(5);

/// Whether this process is the agent.
pub fn is_agent() -> bool {
    std::env::var_os(ROLE).is_some_and(|role| role == "agent")
}

/// Runs the agent until its end, and nginx until its own.
///
/// # Errors
/// If the agent cannot be started or does not end well.
pub async fn run(flags: &Flags) -> Result<()> {
    // Whatever the agent leaves behind becomes a child of this process, also where it is not the first one.
    set_child_subreaper(Some(getpid())).context("orphans cannot be taken over")?;
    // Before there is an agent: a signal that comes now must not be lost.
    let mut asked = asked()?;
    let mut ended = signal(SignalKind::child()).context("signal handlers cannot be installed")?;
    let program = std::env::current_exe().context("the agent's program cannot be found")?;
    let mut agent = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(ROLE, "agent")
        // A group of its own: a terminal's Ctrl-C reaches it once, from here.
        .process_group(0)
        .spawn()
        .context("the agent cannot be started")?;
    let pid = agent.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("the agent ended at once")?;
    let status = loop {
        tokio::select! {
            status = agent.wait() => break status.context("the agent cannot be waited for")?,
            Some(signal) = asked.recv() => { let _ = kill_process(pid, signal); }
            _ = ended.recv() => reap(Some(pid)),
        }
    };
    reap(None);
    if status.success() && children_of(getpid()).is_empty() {
        return Ok(());
    }
    outlive(flags, status, asked, ended).await
}

/// Signals as they come. PID 1 has no default handlers: one that is not handled here would be lost.
fn asked() -> Result<Receiver<Signal>> {
    let (tell, asked) = channel(16);
    for (kind, signal_) in [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::interrupt(), Signal::INT),
    ] {
        let mut received = signal(kind).context("signal handlers cannot be installed")?;
        let tell = tell.clone();
        tokio::spawn(async move {
            while received.recv().await.is_some() {
                let _ = tell.send(signal_).await;
            }
        });
    }
    let mut ignored = signal(SignalKind::hangup()).context("signal handlers cannot be installed")?;
    tokio::spawn(async move { while ignored.recv().await.is_some() {} });
    Ok(asked)
}

/// nginx without its agent.
async fn outlive(
    flags: &Flags,
    status: ExitStatus,
    mut asked: Receiver<Signal>,
    mut ended: tokio::signal::unix::Signal,
) -> Result<()> {
    if children_of(getpid()).is_empty() {
        bail!("the agent ended ({status})");
    }
    tracing::error!(
        "the agent ended ({status}); nginx goes on with the configuration it has until this is told to stop"
    );
    let mut until: Option<Instant> = None;
    while !children_of(getpid()).is_empty() {
        tokio::select! {
            () = async { match until { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => break,
            Some(signal) = asked.recv() => {
                let gently = signal != Signal::INT && until.is_none();
                until = Some(Instant::now() + if gently { Duration::from_secs(flags.drain) } else { Duration::ZERO });
            }
            _ = ended.recv() => reap(None),
        }
    }
    for (signal, wait) in [(Signal::QUIT, Duration::from_secs(flags.quit_timeout)), (Signal::TERM, LAST)] {
        children_of(getpid()).into_iter().for_each(|child| {
            let _ = kill_process(child, signal);
        });
        let gone = async {
            while !children_of(getpid()).is_empty() {
                tokio::select! {
                    _ = ended.recv() => {}
                    () = sleep(Duration::from_millis(100)) => {}
                    Some(_) = asked.recv() => return,
                }
                reap(None);
            }
        };
        let _ = timeout(wait, gone).await;
    }
    bail!("the agent ended ({status}) before nginx did");
}

/// Takes leave of the orphans that have ended: nginx's workers when their master died. The agent's end is told elsewhere.
fn reap(agent: Option<Pid>) {
    for child in children_of(getpid()) {
        if Some(child) != agent {
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}
