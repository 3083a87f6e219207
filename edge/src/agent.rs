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
use crate::pace::{Falls, pause};
use crate::signals::Stop;
use crate::status::{Rejection, Status};
use crate::table_file::TableFile;

/// How long nginx may take from start or reload to answering the new hash. 5,000 hosts take 2 s.
const TAKES: Duration = Duration::from_secs(10);
/// nginx starts new workers 100 ms before it tells the old ones to stop accepting: within that time either answers.
const OVERLAP: Duration = Duration::from_millis(150);
/// What nginx refused may have had a passing cause (a port still in use, a full disk).
const RETRY: Duration = Duration::from_secs(10);
/// A table on which nginx has died is tried again, but each time is an outage.
const RETRY_AFTER_FALL: Duration = Duration::from_secs(300);

/// The last good configuration.
struct Running {
    hash: String,
    /// When nginx began to serve, be it another table.
    since: Instant,
}

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
    /// What nginx.conf says and nginx has served; from then on there is a last good configuration.
    running: Option<Running>,
    falls: Falls,
    /// When nginx is started again.
    again: Option<Instant>,
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
        let (nginx, wanted, running, again, trouble) = (None, None, None, None, None);
        let falls = Falls::default();
        Agent {
            program,
            flags,
            status,
            metrics,
            routes,
            file,
            nginx,
            wanted,
            not_before,
            running,
            falls,
            again,
            trouble,
        }
    }

    /// Works until it is told to stop and nginx has ended.
    ///
    /// # Errors
    /// If nginx ends by itself again and again: then the kubelet starts the pod's container anew, with its own back-off
    /// and where people look.
    pub async fn run(mut self, mut stop: watch::Receiver<Stop>) -> Result<()> {
        let mut tick = interval(Duration::from_millis(self.flags.interval));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                status = ended(self.nginx.as_ref()) => self.fell(&status)?,
                () = moment(until) => break,
                () = moment(self.again) => self.rise().await,
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
            Ok(None) => return,
            Ok(Some(content)) => {
                self.trouble = None;
                content
            }
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() != Some(&text) {
                    if error.kind() == ErrorKind::NotFound && self.running.is_none() {
                        tracing::info!("waiting for the table {}", self.file.path().display());
                    } else {
                        self.metrics.loaded(false);
                        self.reject(None, format!("the table's file cannot be read: {text}"));
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
        // After a fall the last good configuration comes first.
        let due = now >= self.not_before && self.again.is_none();
        let Some((table, since)) = self.wanted.take_if(|_| due) else { return };
        let hash = table.hash();
        let result = self.apply(&table, &hash).await;
        let old_workers = self.nginx.as_ref().map_or(0, Nginx::old_workers);
        self.metrics.old_workers(old_workers);
        self.not_before = now + pause(self.flags.gap(), old_workers);
        match result {
            Ok(()) => {
                let took = since.elapsed();
                self.metrics.reloaded(&hash, took.as_secs_f64());
                self.metrics.forget(&self.routes.know(&table));
                let since = self.running.take().map_or_else(Instant::now, |running| running.since);
                self.running = Some(Running { hash: hash.clone(), since });
                self.status.send_modify(|status| status.reloads += 1);
                self.serves(&hash);
                self.accept();
                let hosts: usize = table.ports.values().map(|port| port.hosts.len()).sum();
                tracing::info!(hash, hosts, seconds = took.as_secs_f64(), "nginx serves the table");
            }
            Err(error) => {
                self.metrics.reload_failed();
                self.reject(Some(hash), format!("{error:#}"));
                let fell = self.nginx.as_ref().is_some_and(Nginx::has_exited);
                self.not_before = now + if fell && self.running.is_some() { RETRY_AFTER_FALL } else { RETRY };
                self.wanted = Some((table, since));
            }
        }
    }

    /// nginx has ended, and nobody told it to.
    fn fell(&mut self, status: &str) -> Result<()> {
        let said = self.nginx.take().map(|nginx| nginx.last_words()).unwrap_or_default();
        let told = format!("nginx ended by itself ({status}); its last words: {said:?}");
        // Without a configuration that has ever worked this is a refused table, which is told and tried again.
        let Some(running) = &self.running else { return Ok(()) };
        let lived = if self.again.is_some() { Duration::ZERO } else { running.since.elapsed() };
        let Some(wait) = self.falls.next(lived) else { bail!("{told}, again and again") };
        tracing::error!(seconds = wait.as_secs_f64(), "{told}; it is started again with the last good table");
        self.again = Some(Instant::now() + wait);
        self.metrics.answering(false);
        self.status.send_modify(|status| {
            status.served = None;
            status.answering = false;
            status.fallen = true;
        });
        Ok(())
    }

    /// Starts nginx with the last good configuration, which is what nginx.conf says.
    async fn rise(&mut self) {
        let Some(Running { hash, .. }) = &self.running else { return };
        let hash = hash.clone();
        self.metrics.restarted();
        let conf = self.conf();
        let result = match Nginx::start(&self.program, &self.flags.work_dir, &conf) {
            Ok(nginx) => confirm(self.nginx.insert(nginx), &hash, Duration::ZERO).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.again = None;
                self.running = Some(Running { hash: hash.clone(), since: Instant::now() });
                self.serves(&hash);
                tracing::info!(hash, "nginx serves again");
            }
            Err(error) => {
                tracing::error!("nginx does not come up again: {error:#}");
                // Its end is the next fall, which waits longer. Without a process there is none to wait for.
                self.again = Some(Instant::now() + RETRY);
                if let Some(nginx) = &self.nginx {
                    nginx.terminate();
                }
            }
        }
    }

    fn serves(&self, hash: &str) {
        self.metrics.answering(true);
        self.status.send_modify(|status| {
            status.served = Some(hash.to_owned());
            status.answering = true;
            status.fallen = false;
        });
    }

    fn conf(&self) -> PathBuf {
        self.flags.work_dir.join("nginx.conf")
    }

    async fn apply(&mut self, table: &RouteTable, hash: &str) -> Result<()> {
        let text = render(table);
        let conf = self.conf();
        let (next, last) = (conf.with_extension("conf.next"), conf.with_extension("conf.last"));
        let written = std::fs::write(&next, &text).with_context(|| format!("{} cannot be written", next.display()));
        let tested = match written {
            Ok(()) => nginx::test(&self.program, &self.flags.work_dir, &next).await,
            Err(error) => Err(error),
        };
        if let Err(error) = tested {
            // Half of a file on a full disk would keep it full.
            let _ = std::fs::remove_file(&next);
            return Err(error);
        }
        // By names alone: to put the old one back must not need room on the disk.
        let replaced = |path: &std::path::Path| format!("{} cannot be replaced", path.display());
        if self.running.is_some() {
            std::fs::rename(&conf, &last).with_context(|| replaced(&last))?;
        }
        std::fs::rename(&next, &conf).with_context(|| replaced(&conf))?;
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
        // nginx runs the old configuration on; the file must say the same.
        if result.is_err() && self.running.is_some() {
            std::fs::rename(&last, &conf).context("the last good nginx.conf cannot be put back")?;
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
        let Some(nginx) = self.nginx.filter(|nginx| !nginx.has_exited()) else { return Ok(()) };
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
