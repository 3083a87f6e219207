//! The `platform` program: the local platform on the command line.

use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use platform::image::{Add, Spec};
use platform::{Cache, ForwardZone, Kit, Name, Options, Platform, State};

/// A real one-node Kubernetes on this machine: kubelet, containerd, CoreDNS and NetworkPolicy, all inside one network
/// namespace. Several live side by side; `down` leaves nothing behind.
///
/// Needs Linux, root and Go. The programs are built from source on first use and kept in $GATEHOUSE_CACHE
/// (default ~/.cache/gatehouse).
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Try:\n  platform up --name demo\n  platform run --name demo -- kubectl get pods -A\n  platform down --name demo"
)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Args)]
struct Named {
    /// Which platform: 1 to 24 of a-z, 0-9 and '-'
    #[arg(long, env = "PLATFORM_NAME", default_value = "default")]
    name: Name,
}

#[derive(Subcommand)]
enum Verb {
    /// Build, install and fetch what is missing, then stop
    Build {
        /// Only what --control-plane-only needs
        #[arg(long, env = "PLATFORM_CONTROL_PLANE_ONLY")]
        control_plane_only: bool,
    },
    /// Bring a platform up and wait until it is ready
    ///
    /// It stays until `platform down`, unless --foreground is given. Addresses are the same in every platform, each in
    /// its own namespace: node 10.100.0.1, pods 10.244.0.0/24, Services 10.96.0.0/16, DNS 10.96.0.10.
    Up {
        #[command(flatten)]
        named: Named,
        /// etcd, API server and controllers only: no node, no pods, ready in seconds
        #[arg(long, env = "PLATFORM_CONTROL_PLANE_ONLY")]
        control_plane_only: bool,
        /// A network of which a process inside may bind any address, such as a simulated load balancer
        #[arg(long = "local-cidr", env = "PLATFORM_LOCAL_CIDR", value_name = "CIDR", value_delimiter = ',')]
        #[arg(default_value = "10.0.0.0/16")]
        local_cidrs: Vec<ipnet::Ipv4Net>,
        /// A zone that the cluster's DNS asks another server for; may be repeated
        #[arg(
            long = "forward-zone",
            env = "PLATFORM_FORWARD_ZONE",
            value_name = "ZONE=IP:PORT",
            value_delimiter = ','
        )]
        forward_zones: Vec<ForwardZone>,
        /// The server that /etc/resolv.conf names for commands of `platform run`
        #[arg(long, env = "PLATFORM_DNS_SERVER", value_name = "IP")]
        dns_server: Option<IpAddr>,
        /// Stay until Ctrl-C, then take it down
        #[arg(long, env = "PLATFORM_FOREGROUND")]
        foreground: bool,
    },
    /// End a platform: no process, mount, namespace, interface or cgroup of it is left
    ///
    /// It works from any process, on half-made platforms, and after a crash of whoever brought it up.
    Down {
        #[command(flatten)]
        named: Named,
        /// Every platform of this cache
        #[arg(long)]
        all: bool,
    },
    /// List platforms
    List,
    /// Run a command inside a platform, with its kubeconfig and kubectl; its exit code is passed on
    Run {
        #[command(flatten)]
        named: Named,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Print the path of a platform's kubeconfig (valid for commands of `platform run`)
    Kubeconfig {
        #[command(flatten)]
        named: Named,
    },
    /// Import image archives into a platform's node
    Load {
        #[command(flatten)]
        named: Named,
        /// Archives, as `platform image` and `docker save` write them
        #[arg(required = true, value_name = "IMAGE.tar")]
        archives: Vec<PathBuf>,
    },
    /// Build an image archive from files, without Docker
    ///
    /// ELF files are stripped, and the same content gives the same bytes.
    #[command(
        after_help = "Try:\n  platform image --name localhost/app:dev --out app.tar --add target/debug/app=/app --with-libs --entrypoint /app"
    )]
    Image {
        /// Its full name, such as localhost/app:dev
        #[arg(long)]
        name: String,
        /// Where the archive goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A file, and where it lies in the image; may be repeated
        #[arg(long = "add", value_name = "SRC=DEST[:MODE]", required = true)]
        files: Vec<Add>,
        /// Add the shared libraries that the programs need
        #[arg(long)]
        with_libs: bool,
        /// Program, then its first arguments; may be repeated
        #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
        entrypoint: Vec<String>,
        /// Default arguments; may be repeated
        #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
        cmd: Vec<String>,
        /// User id, or UID:GID
        #[arg(long, default_value = "65532")]
        user: String,
        /// Environment; may be repeated
        #[arg(long, value_name = "KEY=VALUE")]
        env: Vec<String>,
    },
    /// Print the path of a program of the kit, such as nginx or kubectl; built or fetched when missing
    Which {
        /// The program
        program: String,
    },
    /// Enforce NetworkPolicies in this network namespace (`up` starts it)
    #[command(hide = true)]
    Enforce,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).with_ansi(false).init();
    match Cli::parse().command.go() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("platform: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Verb {
    fn go(self) -> Result<()> {
        let cache = Cache::from_env()?;
        match self {
            Verb::Build { control_plane_only } => {
                let kit = Kit::of(&cache);
                kit.ensure(control_plane_only, &mut platform::progress(Instant::now()))?;
                println!("{}", kit.bin_folder().display());
            }
            Verb::Up { named, control_plane_only, local_cidrs, forward_zones, dns_server, foreground } => {
                let name = named.name;
                let options = Options {
                    name: name.clone(),
                    cache,
                    control_plane_only,
                    local_cidrs,
                    forward_zones,
                    dns_server,
                    quiet: false,
                };
                up(options, foreground)?;
            }
            Verb::Down { all: true, .. } => {
                for name in cache.runs()? {
                    end(&cache, &name)?;
                }
            }
            Verb::Down { named, .. } => end(&cache, &named.name)?,
            Verb::List => list(&cache)?,
            Verb::Run { named, command } => {
                let platform = Platform::attach(&cache, &named.name)?;
                let error = platform.command(&command[0]).args(&command[1..]).exec();
                bail!("run {}: {error}", command[0]);
            }
            Verb::Kubeconfig { named } => {
                println!("{}", Platform::attach(&cache, &named.name)?.kubeconfig().display());
            }
            Verb::Load { named, archives } => {
                let platform = Platform::attach(&cache, &named.name)?;
                archives.iter().try_for_each(|archive| platform.load_image(&std::path::absolute(archive)?))?;
            }
            Verb::Image { name, out, files, with_libs, entrypoint, cmd, user, env } => {
                platform::image::write(&Spec { name, files, with_libs, entrypoint, cmd, user, env }, &out)?;
            }
            Verb::Which { program } => {
                let kit = Kit::of(&cache);
                kit.ensure(false, &mut platform::progress(Instant::now()))?;
                let path = kit.bin(&program);
                if !path.is_file() {
                    bail!("program {program:?}: not of the kit; see {}", kit.bin_folder().display());
                }
                println!("{}", path.display());
            }
            Verb::Enforce => platform::policy::enforce()?,
        }
        Ok(())
    }
}

fn up(options: Options, foreground: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (stop, stopped) = std::sync::mpsc::channel();
    // Handlers stand before the first process starts. Every signal interrupts: a second Ctrl-C finds the clean-up at work.
    let mut signals = runtime.block_on(async { Signals::new() })?;
    runtime.spawn(async move {
        loop {
            signals.next().await;
            platform::interrupt();
            // Nobody listens without --foreground.
            let _ = stop.send(());
        }
    });
    let (name, began) = (options.name.clone(), Instant::now());
    let platform = Platform::up(options)?;
    eprintln!(
        "{:7.1} s  platform {name} is up; logs in {}",
        began.elapsed().as_secs_f64(),
        platform.run_dir().path().display()
    );
    if foreground {
        eprintln!("           Ctrl-C ends it");
        stopped.recv()?;
        let began = Instant::now();
        platform.down()?;
        eprintln!("platform {name} is down ({:.1} s)", began.elapsed().as_secs_f64());
    } else {
        eprintln!(
            "           try: platform run --name {name} -- kubectl get pods -A; end it: platform down --name {name}"
        );
        platform.leave_running()?;
    }
    Ok(())
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

fn end(cache: &Cache, name: &Name) -> Result<()> {
    let began = Instant::now();
    if platform::down(cache, name)? {
        eprintln!("platform {name} is down ({:.1} s)", began.elapsed().as_secs_f64());
    } else {
        eprintln!("platform {name}: nothing to end");
    }
    Ok(())
}

fn list(cache: &Cache) -> Result<()> {
    println!("{:24}  {:9}  {:13}  LOGS", "NAME", "STATE", "KIND");
    for name in cache.runs()? {
        let run = cache.run(&name);
        let state = State::read(&run);
        let ended = platform::ended(&run);
        let condition = match &state {
            Some(state) if state.ready && ended.is_empty() => "ready",
            Some(state) if state.ready => "broken",
            _ => "half-made",
        };
        let kind = if state.is_some_and(|s| s.control_plane_only) { "control-plane" } else { "full" };
        println!("{name:24}  {condition:9}  {kind:13}  {}", run.join("log").display());
        if condition == "broken" {
            println!("  ended: {}; `platform down --name {name}` clears it", ended.join(", "));
        }
    }
    for name in platform::orphans(cache) {
        println!("{name:24}  {:9}  {:13}  of another cache; `platform down --name {name}` ends it", "orphan", "?");
    }
    Ok(())
}
