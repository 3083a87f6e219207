//! Up: the order in which a platform comes to life.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::components::Site;
use crate::kit::Kit;
use crate::load::import;
use crate::options::{Options, State};
use crate::paths::{Cache, Name, RunDir};
use crate::process::{Component, recorded};
use crate::{addons, certs, cgroup, netns, teardown};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes every `Platform::up` of this process give up soon and clean up: what Ctrl-C does on the command line.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// A running platform. Dropping it takes it down.
#[derive(Debug)]
pub struct Platform {
    name: Name,
    cache: Cache,
    run: RunDir,
    kit: Kit,
    state: State,
    components: Vec<Component>,
    /// Brings the base images in meanwhile; it starts programs until it notices that the platform goes down.
    importing: Option<JoinHandle<Result<()>>>,
    /// Held while this process owns the platform.
    _lock: Option<File>,
    owned: bool,
}

impl Platform {
    /// Brings a platform up and waits until it is ready. On failure nothing is left but the logs.
    pub fn up(options: Options) -> Result<Platform> {
        let mut say = progress_or_silence(options.quiet);
        for local in &options.local_cidrs {
            netns::check_local(*local)?;
        }
        let run = options.cache.run(&options.name);
        let lock = lock(&options.cache, &options.name)?;
        if lock.try_lock().is_err() {
            bail!("platform {0}: another process is bringing it up or down; see `platform list`", options.name);
        }
        let kit = Kit::of(&options.cache);
        kit.ensure(options.control_plane_only, &mut say)?;
        if run.path().exists() {
            // The lock is ours, so the owner of one that was not left running has died without cleaning up.
            if State::read(&run).is_some_and(|state| state.detached) && !recorded(&run).is_empty() {
                bail!("platform {0} is already up; `platform down --name {0}` ends it", options.name);
            }
            say("removing what an earlier attempt left");
            teardown::sweep(&options.name, &run)?;
        } else if netns::file(&options.name).exists() {
            bail!(
                "network namespace {} exists, from another cache folder; `platform down --name {}` removes it",
                options.name.tagged(),
                options.name
            );
        }
        let state = State {
            started_by: std::process::id(),
            ready: false,
            detached: false,
            control_plane_only: options.control_plane_only,
            dns_server: options.dns_server,
        };
        let mut platform = Platform {
            name: options.name.clone(),
            cache: options.cache.clone(),
            run,
            kit,
            state,
            components: Vec::new(),
            importing: None,
            _lock: Some(lock),
            owned: true,
        };
        match platform.start(&options, &mut say) {
            Ok(()) => Ok(platform),
            Err(error) => Err(platform.failed(error)),
        }
    }

    /// A platform that another process has brought up. Dropping this handle leaves it alone.
    pub fn attach(cache: &Cache, name: &Name) -> Result<Platform> {
        let run = cache.run(name);
        let Some(state) = State::read(&run) else {
            bail!("no platform {name}: `platform list` shows those there are, `platform up --name {name}` makes it");
        };
        let (kit, cache, name) = (Kit::of(cache), cache.clone(), name.clone());
        let (components, importing) = (Vec::new(), None);
        Ok(Platform { name, cache, run, kit, state, components, importing, _lock: None, owned: false })
    }

    fn start(&mut self, options: &Options, say: &mut dyn FnMut(&str)) -> Result<()> {
        for folder in ["pid", "log"] {
            fs::create_dir_all(self.run.join(folder))?;
        }
        self.state.write(&self.run)?;
        certs::write(&self.run, self.name.as_str())?;
        if let Some(server) = options.dns_server {
            fs::write(self.run.join("client-resolv.conf"), format!("nameserver {server}\noptions timeout:2\n"))?;
        }
        netns::create(&self.name, &options.local_cidrs)?;
        say(&format!("network namespace {}", self.name.tagged()));

        let (name, run, kit) = (self.name.clone(), self.run.clone(), self.kit.clone());
        let site = Site { name: &name, run: &run, kit: &kit };
        self.launch("etcd", &mut site.etcd())?;
        self.launch("kube-apiserver", &mut site.apiserver())?;
        let mut containerd = 0;
        if !options.control_plane_only {
            cgroup::prepare(&self.name.tagged())?;
            containerd = self.launch("containerd", &mut site.containerd()?)?;
            self.importing = Some(self.import_base_images());
        }
        self.wait("the API server", 60, |p| kubectl_ok(p.kubectl().args(["get", "--raw", "/readyz"])))?;
        say("API server ready");
        self.launch("kube-controller-manager", &mut site.controller_manager())?;
        if !options.control_plane_only {
            self.launch("kube-scheduler", &mut site.scheduler())?;
            self.launch("kube-proxy", &mut site.proxy()?)?;
            self.launch("enforcer", &mut site.enforcer()?)?;
            self.wait("containerd", 60, |p| p.importing.as_ref().is_none_or(JoinHandle::is_finished))?;
            if let Some(importing) = self.importing.take() {
                importing.join().map_err(|_| anyhow::anyhow!("importing images panicked"))??;
            }
            self.launch("kubelet", &mut site.kubelet(containerd)?)?;
            say("node starting");
            self.apply(&addons::dns(&options.forward_zones))?;
        }
        let mut account = self.kubectl();
        account.args(["wait", "--for=create", "serviceaccount/default", "--timeout=60s"]);
        self.wait_for("the first service account", account)?;
        if !options.control_plane_only {
            let mut ready = self.kubectl();
            ready.args(["wait", "--for=condition=Ready", "node", self.name.as_str(), "--timeout=90s"]);
            let mut create = self.kubectl();
            create.args(["wait", "--for=create", "node", self.name.as_str(), "--timeout=60s"]);
            self.wait_for("the node's registration", create)?;
            self.wait_for("the node", ready)?;
            say("node ready");
            let mut dns = self.kubectl();
            dns.args(["-n", "kube-system", "wait", "--for=condition=Available", "deployment/coredns"]);
            dns.arg("--timeout=90s");
            self.wait_for("the cluster's DNS", dns)?;
            say("cluster DNS ready");
        }
        self.state.ready = true;
        self.state.write(&self.run)
    }

    fn launch(&mut self, component: &str, command: &mut Command) -> Result<i32> {
        let started = Component::start(&self.run, component, command)?;
        let pid = started.identity.pid;
        self.components.push(started);
        Ok(pid)
    }

    fn import_base_images(&self) -> JoinHandle<Result<()>> {
        let (name, run, kit) = (self.name.clone(), self.run.clone(), self.kit.clone());
        std::thread::spawn(move || {
            let site = Site { name: &name, run: &run, kit: &kit };
            let answers = || site.ctr().arg("version").output().is_ok_and(|out| out.status.success());
            let gone = || !run.path().exists();
            crate::process::poll(Duration::from_secs(30), Duration::from_millis(50), || {
                gone() || run.containerd_socket().exists() && answers()
            });
            for image in ["pause", "coredns"] {
                import(&site, &kit.image(image))?;
            }
            Ok(())
        })
    }

    /// Polls `done`, while every component must stay alive.
    fn wait(&mut self, what: &str, seconds: u64, mut done: impl FnMut(&Platform) -> bool) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            self.healthy()?;
            if done(self) {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("{what}: not ready after {seconds} s; logs are in {}", self.run.join("log").display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command that waits by itself, while every component must stay alive.
    fn wait_for(&mut self, what: &str, mut command: Command) -> Result<()> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                // Ctrl-C hits this child too; then that is the reason, not what the child says of it.
                self.healthy()?;
                let mut why = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    std::io::Read::read_to_string(&mut stderr, &mut why)?;
                }
                bail!("{what} did not get ready: {}; logs are in {}", why.trim(), self.run.join("log").display());
            }
            if let Err(error) = self.healthy() {
                // It may have ended by itself in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An error when a component has ended or the user wants to stop.
    fn healthy(&mut self) -> Result<()> {
        if INTERRUPTED.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        let run = &self.run;
        self.components.iter_mut().try_for_each(|component| component.check(run))
    }

    /// Takes the half-made platform down but keeps its logs where the error can name them.
    fn failed(mut self, error: anyhow::Error) -> anyhow::Error {
        let kept = self.cache.join("failed").join(self.name.as_str());
        // Of the last failure only; a first one has none before it.
        let _ = fs::remove_dir_all(&kept);
        let logs = fs::create_dir_all(&kept).and_then(|()| {
            fs::read_dir(self.run.join("log"))?.try_for_each(|log| {
                let log = log?;
                fs::copy(log.path(), kept.join(log.file_name())).map(drop)
            })
        });
        let text =
            format!("{error:#}").replace(&self.run.join("log").display().to_string(), &kept.display().to_string());
        let text = match logs {
            Ok(()) => text,
            Err(why) => format!("{text} (logs could not be kept: {why})"),
        };
        match self.teardown() {
            Ok(()) => anyhow::anyhow!(text),
            Err(more) => anyhow::anyhow!("{text}\nand cleaning up failed: {more:#}"),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its folder, with logs and pid files.
    pub fn run_dir(&self) -> &RunDir {
        &self.run
    }

    /// The kubeconfig of the cluster's administrator. Its server address is valid inside the namespace.
    pub fn kubeconfig(&self) -> PathBuf {
        self.run.kubeconfig()
    }

    /// A command that will run inside the namespace, with KUBECONFIG, the kit's programs on PATH and the platform's
    /// resolv.conf. Turn it into a tokio command with `into()`. What is left of it dies with the platform.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = if self.state.dns_server.is_some() {
            // In a mount namespace of its own; unpinning the network namespaces in it, for a copy of such a mount
            // would keep a neighbour's namespace after its end.
            let script = "umount --lazy --recursive /run/netns 2>/dev/null || true\n\
                 mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
            let mut command = netns::enter(&self.name, "unshare");
            command
                .args(["--mount", "--propagation", "private", "sh", "-c", script])
                .arg(self.run.join("client-resolv.conf"))
                .arg(program);
            command
        } else {
            netns::enter(&self.name, program)
        };
        let mut path = self.kit.bin_folder().into_os_string();
        if let Some(old) = std::env::var_os("PATH") {
            path.push(":");
            path.push(old);
        }
        command.env("PATH", path).env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Moves the calling thread into the namespace, for good: its sockets, and those of threads and runtimes that it
    /// starts from then on, are inside. So a harness speaks to the cluster with a client of its own; only such a
    /// thread reaches [`crate::API_SERVER`].
    pub fn enter_thread(&self) -> Result<()> {
        let path = netns::file(&self.name);
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(file.as_fd(), kind).context("enter the network namespace")
    }

    /// Imports an image archive into the node.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        if self.state.control_plane_only {
            bail!("platform {} has no node (--control-plane-only), so it takes no image", self.name);
        }
        import(&Site { name: &self.name, run: &self.run, kit: &self.kit }, archive)
    }

    /// Creates objects from JSON with the administrator's rights; those that exist are changed.
    pub fn apply(&self, objects: &serde_json::Value) -> Result<()> {
        let mut kubectl = self.kubectl();
        kubectl.args(["apply", "--server-side", "--force-conflicts", "-f", "-"]);
        let mut child = kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            serde_json::to_writer(&mut stdin, objects)?;
        }
        let out = child.wait_with_output()?;
        if !out.status.success() {
            bail!("kubectl apply: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(())
    }

    fn kubectl(&self) -> Command {
        Site { name: &self.name, run: &self.run, kit: &self.kit }.kubectl()
    }

    /// Ends it and waits until nothing is left.
    pub fn down(mut self) -> Result<()> {
        self.teardown()
    }

    /// Leaves it running after this process; `platform down` ends it.
    pub fn leave_running(mut self) -> Result<()> {
        self.state.detached = true;
        self.state.write(&self.run)?;
        self.owned = false;
        Ok(())
    }

    fn teardown(&mut self) -> Result<()> {
        self.owned = false;
        let mut done = teardown::sweep(&self.name, &self.run);
        if let Some(importing) = self.importing.take() {
            // Why it failed is known: what it needs has gone. What it started last goes too.
            let _ = importing.join();
            done = done.and_then(|()| teardown::sweep(&self.name, &self.run));
        }
        self.components.drain(..).for_each(Component::reap);
        done
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if self.owned
            && let Err(error) = self.teardown()
        {
            eprintln!("platform {}: cleaning up failed: {error:#}", self.name);
        }
    }
}

fn kubectl_ok(command: &mut Command) -> bool {
    command.output().is_ok_and(|out| out.status.success())
}

/// The lock of one name: who holds it is bringing the platform up or down.
pub(crate) fn lock(cache: &Cache, name: &Name) -> Result<File> {
    let folder = cache.join("run");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.lock"));
    File::options().create(true).append(true).open(&path).with_context(|| format!("open {}", path.display()))
}

fn progress_or_silence(quiet: bool) -> Box<dyn FnMut(&str)> {
    if quiet { Box::new(|_| {}) } else { Box::new(crate::kit::progress(Instant::now())) }
}
