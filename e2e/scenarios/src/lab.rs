//! What every scenario stands on: a platform, the AWS simulator in it, and Gatehouse itself.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use platform::image::{self, Add, Spec};
use platform::{Cache, Kit, Options, Platform};

/// Address of the AWS endpoint inside the platform.
pub const AWS: &str = "http://10.100.0.1:4566";

/// A running lab. Dropping it takes everything down.
pub struct Lab {
    /// The cluster.
    pub platform: Platform,
    /// Files of this run.
    pub folder: PathBuf,
    awsim: Child,
}

/// The repository's root: manifests and samples are read from there.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A built program: beside the running one.
///
/// # Errors
/// If it has not been built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe().context("find the running program")?;
    let found = me.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("no {name} beside {}: run `make build`", me.display()))
}

impl Lab {
    /// Brings up platform and simulator.
    ///
    /// # Errors
    /// Says which part did not come, with the end of its log.
    pub fn up(name: &str, control_plane_only: bool, awsim: &[&str]) -> Result<Lab> {
        Lab::seeded(name, control_plane_only, &root().join("e2e/scenarios/overlay/awsim.yaml"), awsim)
    }

    /// Brings up platform and simulator, whose account is that of the seed.
    ///
    /// # Errors
    /// Says which part did not come, with the end of its log.
    pub fn seeded(name: &str, control_plane_only: bool, seed: &Path, awsim: &[&str]) -> Result<Lab> {
        // Tests find the platform program deeper in the target folder than binaries do.
        let cache = Cache::from_env()?;
        let mut options = Options::named(name)?;
        options.control_plane_only = control_plane_only;
        options.forward_zones =
            vec!["eu-central-1.elb.amazonaws.com=10.100.0.1:53".parse().map_err(anyhow::Error::msg)?];
        options.dns_server = Some("10.100.0.1".parse()?);
        Kit::of(&cache).ensure(control_plane_only, &mut platform::progress(Instant::now()))?;
        let platform = Platform::up(options)?;
        let folder = cache.join(format!("lab/{name}"));
        std::fs::create_dir_all(&folder)?;
        let log = std::fs::File::create(folder.join("awsim.log"))?;
        let awsim = platform
            .command(binary("awsim")?)
            .args(["--listen", "10.100.0.1:4566", "--dns", "10.100.0.1:53", "--data-plane", "on"])
            .arg("--seed")
            .arg(seed)
            .arg("--ca-out")
            .arg(folder.join("ca.pem"))
            .args(awsim)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start awsim")?;
        let lab = Lab { platform, folder, awsim };
        lab.wait("awsim", Duration::from_secs(10), || Ok(lab.aws("health", None).is_ok_and(|text| !text.is_empty())))
            .with_context(|| lab.log("awsim"))?;
        Ok(lab)
    }

    /// Builds and loads the images of operator, webhook, edge and test application.
    ///
    /// # Errors
    /// If a program is missing or the node refuses an image.
    pub fn load_images(&self) -> Result<()> {
        let nginx = Kit::of(&Cache::from_env()?).bin("nginx");
        for (name, program) in [
            ("operator", "gatehouse-operator"),
            ("webhook", "gatehouse-webhook"),
            ("edge", "gatehouse-edge"),
            ("echo", "echo"),
        ] {
            let mut spec = Spec::program(&format!("docker.io/library/gatehouse-{name}:dev"), &binary(program)?)?;
            if name == "edge" {
                spec.files.push(Add { source: nginx.clone(), dest: "/nginx".into(), mode: Some(0o755) });
            }
            if name == "operator" {
                // What every base image has: the authorities behind AWS's endpoints.
                let authorities = "/etc/ssl/certs/ca-certificates.crt";
                spec.files.push(Add { source: authorities.into(), dest: authorities.into(), mode: Some(0o644) });
            }
            let archive = self.folder.join(format!("{name}.tar"));
            image::write(&spec, &archive)?;
            self.platform.load_image(&archive)?;
            std::fs::remove_file(archive)?;
        }
        Ok(())
    }

    /// Installs Gatehouse from `config/`, then namespaces, Services and load balancer of the samples, and waits until
    /// operator and webhook run.
    ///
    /// # Errors
    /// With what kubectl said.
    pub fn install(&self) -> Result<()> {
        let overlay = root().join("e2e/scenarios/overlay");
        self.must(&["apply", "--server-side", "-k", &overlay.display().to_string()])?;
        for crd in ["exposedapps", "sharedloadbalancers", "exposurepolicies", "hostclaims"] {
            self.must(&["wait", "--for=condition=Established", "--timeout=20s", &format!("crd/{crd}.gatehouse.dev")])?;
        }
        for file in ["namespaces", "backends", "platform"] {
            self.apply(&format!("config/samples/{file}.yaml"))?;
        }
        for deployment in ["gatehouse-operator", "gatehouse-webhook"] {
            let deployment = format!("deployment/{deployment}");
            self.must(&["-n", "gatehouse-system", "rollout", "status", "--timeout=90s", &deployment])?;
        }
        Ok(())
    }

    /// Runs kubectl.
    ///
    /// # Errors
    /// If it cannot be started; its own failure is in the output.
    pub fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.platform.command("kubectl").args(args).stdin(Stdio::null()).output().context("kubectl")
    }

    /// Runs kubectl and wants it to succeed; gives what it printed.
    ///
    /// # Errors
    /// With what kubectl said.
    pub fn must(&self, args: &[&str]) -> Result<String> {
        let out = self.kubectl(args)?;
        if !out.status.success() {
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Applies a file of the repository.
    ///
    /// # Errors
    /// With the API server's refusal.
    pub fn apply(&self, file: &str) -> Result<String> {
        let path = root().join(file);
        self.must(&["apply", "-f", &path.display().to_string()])
    }

    /// Applies YAML from memory; gives kubectl's output, refused or not.
    ///
    /// # Errors
    /// If kubectl cannot be started.
    pub fn apply_text(&self, yaml: &str) -> Result<Output> {
        use std::io::Write as _;
        let mut child = self
            .platform
            .command("kubectl")
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("stdin")?.write_all(yaml.as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    /// Asks the simulator's control API; with a body it is a POST.
    ///
    /// # Errors
    /// If it does not answer with success.
    pub fn aws(&self, path: &str, body: Option<&str>) -> Result<String> {
        let mut curl = self.platform.command("curl");
        curl.args(["-sS", "--fail-with-body", "--max-time", "10", &format!("{AWS}/_awsim/{path}")]);
        if let Some(body) = body {
            curl.args(["-X", "POST", "-H", "content-type: application/json", "-d", body]);
        }
        let out = curl.output()?;
        if !out.status.success() {
            bail!("awsim {path}: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// A request of a client outside the cluster: by name, TLS verified. Gives status and body.
    ///
    /// # Errors
    /// With curl's words: no name, no connection, bad certificate.
    pub fn get(&self, url: &str) -> Result<(u16, String)> {
        self.get_by(&[], url)
    }

    /// The same, past DNS: the host's connection goes to this address.
    ///
    /// # Errors
    /// As `get`.
    pub fn get_at(&self, address: &str, host: &str) -> Result<(u16, String)> {
        self.get_by(&["--resolve", &format!("{host}:443:{address}")], &format!("https://{host}/"))
    }

    fn get_by(&self, more: &[&str], url: &str) -> Result<(u16, String)> {
        let ca = self.folder.join("ca.pem");
        let out = self
            .platform
            .command("curl")
            .args(["-sS", "--max-time", "10", "-w", "\n%{http_code}", "--cacert"])
            .arg(ca)
            .args(more)
            .arg(url)
            .output()?;
        if !out.status.success() {
            bail!("{}", String::from_utf8_lossy(&out.stderr).trim());
        }
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').context("curl printed no status")?;
        Ok((status.parse()?, body.to_owned()))
    }

    /// Asks until it is true; gives how long that took.
    ///
    /// # Errors
    /// If it is not true in time.
    pub fn wait(&self, what: &str, patience: Duration, mut question: impl FnMut() -> Result<bool>) -> Result<Duration> {
        let began = Instant::now();
        loop {
            if question()? {
                return Ok(began.elapsed());
            }
            if began.elapsed() > patience {
                bail!("{what}: not within {} s", patience.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The end of a log of this lab.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
        text.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// A process inside the platform, its output in a log of this lab.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self, name: &str, mut command: Command) -> Result<Child> {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join(format!("{name}.log")))?;
        command
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("start {name}"))
    }

    /// The namespace of the operator and the kinds of Gatehouse, without the operator itself.
    ///
    /// # Errors
    /// With what kubectl said.
    pub fn install_kinds(&self) -> Result<()> {
        self.must(&["create", "namespace", "gatehouse-system"])?;
        self.must(&["apply", "--server-side", "-f", &root().join("config/crd").display().to_string()])?;
        for crd in ["exposedapps", "sharedloadbalancers", "exposurepolicies", "hostclaims"] {
            self.must(&["wait", "--for=condition=Established", "--timeout=20s", &format!("crd/{crd}.gatehouse.dev")])?;
        }
        Ok(())
    }

    /// Runs work on a thread of its own; every socket that it opens is inside the platform.
    ///
    /// # Errors
    /// If the thread cannot enter the platform's network.
    pub fn thread(&self, work: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>> {
        use std::os::fd::AsFd as _;
        let namespace = std::fs::File::open(format!("/run/netns/gh-{}", self.platform.name().as_str()))?;
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            let entered = rustix::thread::move_into_link_name_space(namespace.as_fd(), kind);
            let inside = entered.is_ok();
            let _ = tell.send(entered);
            if inside {
                work();
            }
        });
        told.recv().context("the thread ended at once")?.context("enter the platform's network")?;
        Ok(thread)
    }

    /// Leaves everything running after this process; `platform down` ends it.
    ///
    /// # Errors
    /// If the platform's state cannot be written.
    pub fn leave_running(self) -> Result<()> {
        let Lab { platform, .. } = self;
        platform.leave_running()
    }

    /// Takes everything down.
    ///
    /// # Errors
    /// If something would not go.
    pub fn down(mut self) -> Result<()> {
        let _ = self.awsim.kill();
        let _ = self.awsim.wait();
        self.platform.down()
    }
}
