//! The nginx process: test, start, reload, ask, stop.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use gatehouse_route::INTERNAL_PORT;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::processes::children_of;

/// Lines of nginx's error log that are kept to explain a failed reload.
const KEPT_LINES: usize = 20;

/// A started nginx.
pub struct Nginx {
    pid: Pid,
    exited: watch::Receiver<Option<ExitStatus>>,
    lines: Arc<Mutex<VecDeque<String>>>,
}

/// Runs `nginx -t`; the error is what nginx says, in one line.
pub async fn test(program: &Path, work_dir: &Path, conf: &Path) -> Result<()> {
    let run = Command::new(program)
        .args(["-t", "-q", "-e", "stderr", "-p"])
        .arg(work_dir)
        .arg("-c")
        .arg(conf)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(60), run)
        .await
        .context("`nginx -t` took more than 60 s")?
        .context("`nginx -t` cannot be run")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<&str> = said.lines().filter(|line| line.contains("[emerg]")).collect();
    if lines.is_empty() {
        lines = said.lines().collect();
    }
    Err(anyhow!("`nginx -t` refuses the configuration: {}", lines.join("; ")))
}

impl Nginx {
    /// Starts the master; the workers come up a moment later (see [`served`]).
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(program: &Path, work_dir: &Path, conf: &Path) -> Result<Nginx> {
        let mut child = Command::new(program)
            .args(["-e", "stderr", "-p"])
            .arg(work_dir)
            .arg("-c")
            .arg(conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: a terminal's Ctrl-C must not end nginx before the agent has drained.
            .process_group(0)
            .spawn()
            .context("nginx cannot be started")?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("nginx ended at once")?;
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stderr) = child.stderr.take() {
            let kept = Arc::clone(&lines);
            tokio::spawn(async move {
                let mut reader = BufReader::new(stderr);
                let mut line = Vec::new();
                while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    line.clear();
                    log_line(&text);
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.truncate(KEPT_LINES - 1);
                    kept.push_front(text);
                }
            });
        }
        let (tell, exited) = watch::channel(None);
        tokio::spawn(async move {
            let status = child.wait().await;
            // Workers that lost their master would go on accepting; they are in its group.
            let _ = kill_process_group(pid, Signal::KILL);
            tell.send_replace(status.ok());
        });
        Ok(Nginx { pid, exited, lines })
    }

    /// Asks for a reload. nginx keeps the old configuration when it cannot have the new one, and says so only in its log.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn reload(&self) -> Result<()> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.signal(Signal::HUP)
    }

    /// Lets the workers finish their requests, then ends.
    pub fn quit(&self) {
        let _ = self.signal(Signal::QUIT);
    }

    /// Ends at once.
    pub fn terminate(&self) {
        let _ = self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // After the end the number may belong to another process.
        if self.has_exited() {
            return Err(anyhow!("nginx has ended"));
        }
        kill_process(self.pid, signal).context("nginx cannot be signalled")
    }

    /// Whether the master is gone.
    pub fn has_exited(&self) -> bool {
        self.exited.borrow().is_some()
    }

    /// Waits for the end of the master.
    pub async fn exited(&self) -> String {
        let mut exited = self.exited.clone();
        match exited.wait_for(Option::is_some).await {
            Ok(status) => status.map_or_else(|| "unknown".into(), |status| status.to_string()),
            Err(_) => "unknown".into(),
        }
    }

    /// Whether the workers answer this hash.
    pub async fn served_now(&self, hash: &str) -> bool {
        !self.has_exited() && served().await.is_ok_and(|answer| answer == hash)
    }

    /// Workers of former configurations that still have connections. There is one worker of the present one.
    pub fn old_workers(&self) -> u32 {
        u32::try_from(children_of(self.pid).len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Why the last reload or start failed, once nginx has said its last word on it.
    pub fn refusal(&self) -> Option<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        refusal(lines.iter().rev().map(String::as_str))
    }

    /// The last line nginx has logged.
    pub fn last_words(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.front().cloned().unwrap_or_default()
    }
}

/// From lines in order, the distinct causes of a failure. A failing bind() is tried five times within 2.5 s, so alone
/// it decides nothing.
fn refusal<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut causes: Vec<&str> = Vec::new();
    let mut decided = false;
    for line in lines {
        let Some((_, text)) = line.split_once("[emerg] ") else { continue };
        let text = text.split_once(": ").map_or(text, |(_, text)| text);
        decided |= !text.starts_with("bind()");
        if !causes.contains(&text) {
            causes.push(text);
        }
    }
    decided.then(|| causes.join("; "))
}

/// The hash that nginx's workers answer on loopback. A new connection each time: an open one stays with its old worker.
///
/// # Errors
/// If nobody answers within 2 s, or the answer is no 200.
pub async fn served() -> io::Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, INTERNAL_PORT)).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer).await?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(body.trim().to_owned()),
            _ => Err(io::Error::other("nginx answered something else than 200")),
        }
    };
    timeout(Duration::from_secs(2), ask).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn log_line(line: &str) {
    if line.contains("[emerg]") || line.contains("[alert]") || line.contains("[crit]") {
        tracing::error!(target: "nginx", "{line}");
    } else if line.contains("[error]") || line.contains("[warn]") {
        tracing::warn!(target: "nginx", "{line}");
    } else {
        tracing::info!(target: "nginx", "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_failing_bind_is_decided_when_nginx_gives_up() {
        let bind = "2026/11/21 12:53:54 [emerg] 10#10: bind() to 0.0.0.0:8090 failed (98: Address in use)";
        assert_eq!(refusal([bind, bind].into_iter()), None);
        let end = "2026/11/21 12:53:57 [emerg] 10#10: still could not bind()";
        assert_eq!(
            refusal(["2026/11/21 12:53:54 [warn] 10#10: other", bind, bind, end].into_iter()).as_deref(),
            Some("bind() to 0.0.0.0:8090 failed (98: Address in use); still could not bind()")
        );
    }
}
