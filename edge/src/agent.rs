//! The loop: table file -> nginx.conf -> nginx -> reported hash.

use std::future::pending;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use gatehouse_route::{RouteTable, render};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::access::Routes;
use crate::flags::Flags;
use crate::metrics::Metrics;
use crate::nginx::{self, Nginx};
use crate::signals::Stop;
use crate::status::{Rejection, Status};
use crate::table_file::TableFile;

/// How long nginx may take from start or reload to answering the new hash. 5,000 hosts take 2 s.
const TAKES: Duration = Duration::from_secs(10);
/// nginx starts new workers 100 ms before it tells the old ones to stop accepting: within that time either answers.
const OVERLAP: Duration = Duration::from_millis(150);
/// What nginx refused may have had a passing cause (a port still in use, a full disk).
const RETRY: Duration = Duration::from_secs(10);

/// The agent.
pub struct Agent {
    program: PathBuf,
    flags: Flags,
    status: watch::Sender<Status>,
    metrics: Metrics,
    routes: Routes,
    file: TableFile,
    nginx: Option<Nginx>,
    /// The newest readable table that is not served yet, and since when.
    wanted: Option<(RouteTable, Instant)>,
    /// Not before this moment is nginx reloaded again.
    not_before: Instant,
    /// nginx.conf as nginx runs it.
    running: Option<String>,
    /// The last trouble with reading the file, to log it once.
    trouble: Option<String>,
}

impl Agent {
    /// Nothing is read or started yet.
    pub fn new(
        flags: Flags,
        program: PathBuf,
        status: watch::Sender<Status>,
        metrics: Metrics,
        routes: Routes,
    ) -> Agent {
        let file = TableFile::new(flags.table.clone());
        let not_before = Instant::now();
        let (nginx, wanted, running, trouble) = (None, None, None, None);
        Agent { program, flags, status, metrics, routes, file, nginx, wanted, not_before, running, trouble }
    }

    /// Works until it is told to stop and nginx has ended.
    ///
    /// # Errors
    /// If nginx ends by itself: the kubelet starts the pod's container again, which is simpler and safer than doing it here.
    pub async fn run(mut self, mut stop: watch::Receiver<Stop>) -> Result<()> {
        let mut tick = interval(Duration::from_millis(self.flags.interval));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                status = ended(self.nginx.as_ref()) => {
                    let said = self.nginx.as_ref().map(Nginx::last_words).unwrap_or_default();
                    bail!("nginx ended by itself ({status}); its last words: {said:?}");
                }
                () = moment(until) => break,
                changed = stop.changed() => {
                    changed.context("the signal task is gone")?;
                    let asked = *stop.borrow_and_update();
                    if until.is_none() {
                        tracing::info!(seconds = self.flags.drain, "told to stop; serving on while the load balancer drains");
                    }
                    until = asked.at;
                }
                _ = tick.tick() => {
                    self.read();
                    self.publish().await;
                }
            }
        }
        self.stop(stop).await
    }

    /// Looks at the file. A content that is no table is told and forgotten.
    fn read(&mut self) {
        let content = match self.file.look() {
            Ok(None) => {
                self.trouble = None;
                return;
            }
            Ok(Some(content)) => {
                self.trouble = None;
                content
            }
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() != Some(&text) {
                    let path = self.file.path().display();
                    if error.kind() == ErrorKind::NotFound && self.running.is_none() {
                        tracing::info!("waiting for the table {path}");
                    } else {
                        tracing::warn!("table {path} cannot be read, the last good one stays: {text}");
                    }
                    self.trouble = Some(text);
                }
                return;
            }
        };
        match RouteTable::from_json(&content) {
            Ok(table) => {
                self.metrics.loaded(true);
                if Some(table.hash()) == self.status.borrow().served {
                    self.wanted = None;
                    self.accept();
                } else {
                    self.wanted = Some((table, Instant::now()));
                    // A new content is not held up by the failure of an older one.
                    if self.status.borrow().rejected.is_some() {
                        self.not_before = self.not_before.min(Instant::now() + self.flags.gap());
                    }
                }
            }
            Err(error) => {
                self.metrics.loaded(false);
                self.wanted = None;
                self.reject(None, error.to_string());
            }
        }
    }

    /// Brings the wanted table into nginx, if its time has come.
    async fn publish(&mut self) {
        let now = Instant::now();
        let Some((table, since)) = self.wanted.take_if(|_| now >= self.not_before) else { return };
        let hash = table.hash();
        self.not_before = now + self.flags.gap();
        match self.apply(&table, &hash).await {
            Ok(()) => {
                let took = since.elapsed();
                self.metrics.reloaded(&hash, took.as_secs_f64());
                self.metrics.forget(&self.routes.know(&table));
                self.status.send_modify(|status| {
                    status.served = Some(hash.clone());
                    status.answering = true;
                    status.reloads += 1;
                });
                self.metrics.answering(true);
                self.accept();
                let hosts: usize = table.ports.values().map(|port| port.hosts.len()).sum();
                tracing::info!(hash, hosts, seconds = took.as_secs_f64(), "nginx serves the table");
            }
            Err(error) => {
                self.metrics.reload_failed();
                self.reject(Some(hash), format!("{error:#}"));
                self.not_before = now + RETRY;
                self.wanted = Some((table, since));
            }
        }
    }

    async fn apply(&mut self, table: &RouteTable, hash: &str) -> Result<()> {
        let text = render(table);
        let conf = self.flags.work_dir.join("nginx.conf");
        let next = self.flags.work_dir.join("nginx.conf.next");
        std::fs::write(&next, &text).with_context(|| format!("{} cannot be written", next.display()))?;
        nginx::test(&self.program, &self.flags.work_dir, &next).await?;
        std::fs::rename(&next, &conf).with_context(|| format!("{} cannot be replaced", conf.display()))?;
        self.routes.expect(table);
        let result = match &self.nginx {
            None => {
                let nginx = self.nginx.insert(Nginx::start(&self.program, &self.flags.work_dir, &conf)?);
                confirm(nginx, hash, Duration::ZERO).await
            }
            Some(nginx) => match nginx.reload() {
                Ok(()) => confirm(nginx, hash, OVERLAP).await,
                Err(gone) => Err(gone),
            },
        };
        match (&result, &self.running) {
            (Ok(()), _) => self.running = Some(text),
            // nginx runs the old configuration on; the file must say the same.
            (Err(_), Some(old)) => std::fs::write(&conf, old).context("the last good nginx.conf cannot be put back")?,
            (Err(_), None) => {}
        }
        result
    }

    fn accept(&self) {
        self.metrics.rejected(false);
        self.status.send_modify(|status| status.rejected = None);
    }

    /// Tells once per distinct trouble.
    fn reject(&self, hash: Option<String>, message: String) {
        self.metrics.rejected(true);
        let rejection = Some(Rejection { hash, message });
        let news = self.status.send_if_modified(|status| {
            let news = status.rejected != rejection;
            status.rejected.clone_from(&rejection);
            news
        });
        if let (true, Some(Rejection { hash, message })) = (news, rejection) {
            let served = self.status.borrow().served.clone();
            tracing::error!(hash, served, "the table is not served, the last good one stays: {message}");
        }
    }

    async fn stop(self, mut stop: watch::Receiver<Stop>) -> Result<()> {
        let Some(nginx) = self.nginx else { return Ok(()) };
        tracing::info!("drained; nginx finishes its requests");
        nginx.quit();
        let asked = stop.borrow_and_update().asked;
        tokio::select! {
            _ = nginx.exited() => {}
            () = sleep(Duration::from_secs(self.flags.quit_timeout)) => {
                tracing::warn!(seconds = self.flags.quit_timeout, "requests are still running; ending nginx");
                nginx.terminate();
            }
            _ = stop.wait_for(|stop| stop.asked > asked) => nginx.terminate(),
        }
        timeout(TAKES, nginx.exited()).await.map_err(|_| anyhow!("nginx does not end"))?;
        Ok(())
    }
}

/// Waits until the workers answer the hash, and for `settle` nothing else.
async fn confirm(nginx: &Nginx, hash: &str, settle: Duration) -> Result<()> {
    let deadline = Instant::now() + TAKES;
    let mut since = None;
    loop {
        if nginx.served_now(hash).await {
            if since.get_or_insert_with(Instant::now).elapsed() >= settle {
                return Ok(());
            }
        } else {
            since = None;
        }
        if nginx.has_exited() {
            bail!("nginx ended: {}", nginx.last_words());
        }
        if let Some(refusal) = nginx.refusal() {
            bail!("nginx refuses to run the configuration: {refusal}");
        }
        if Instant::now() >= deadline {
            bail!("nginx did not take the configuration within {} s", TAKES.as_secs());
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Asks nginx once a second, so that a hung worker is seen by the load balancer and the kubelet.
pub async fn watch_nginx(status: watch::Sender<Status>, metrics: Metrics) {
    let mut silent = 0;
    loop {
        sleep(Duration::from_secs(1)).await;
        if status.borrow().served.is_none() {
            continue;
        }
        silent = if nginx::served().await.is_ok() { 0 } else { silent + 1 };
        // One lost answer is no outage.
        let answering = silent < 3;
        metrics.answering(answering);
        status.send_if_modified(|status| std::mem::replace(&mut status.answering, answering) != answering);
    }
}

async fn ended(nginx: Option<&Nginx>) -> String {
    match nginx {
        Some(nginx) => nginx.exited().await,
        None => pending().await,
    }
}

async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
