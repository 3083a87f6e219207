//! What the real tests share.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use platform::image::{Add, Spec, write};
use platform::{Cache, Kit, Options, Platform};
use serde_json::{Value, json};

/// One platform test at a time: they measure, and two cores are few.
static ONE: Mutex<()> = Mutex::new(());

/// The right to run, or nothing and a line that says why not.
pub(crate) fn turn(test: &str) -> Option<MutexGuard<'static, ()>> {
    let why = if std::env::var_os("GATEHOUSE_PLATFORM").is_none_or(|v| v != "1") {
        "GATEHOUSE_PLATFORM is not 1"
    } else if !is_root() {
        "not root"
    } else {
        // A failed neighbour does not matter here: its platform is gone with it.
        return Some(ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    };
    // Not through println: the harness hides the output of tests that pass.
    let _ = writeln!(std::io::stderr(), "NOT RUN: {test}: {why}");
    None
}

fn is_root() -> bool {
    let out = Command::new("id").arg("-u").output();
    out.is_ok_and(|out| out.stdout == b"0\n")
}

pub(crate) fn options(name: &str) -> Options {
    // The library starts the enforcer from this very build.
    let mut options = Options::named(name).unwrap();
    options.quiet = true;
    options
}

pub(crate) fn up(options: Options) -> Platform {
    let (name, began) = (options.name.clone(), Instant::now());
    let platform = Platform::up(options).unwrap();
    println!("up {name}: {:.1} s", began.elapsed().as_secs_f64());
    platform
}

/// The echo program, built beside this one.
pub(crate) fn echo() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_platform")).with_file_name("echo");
    assert!(path.is_file(), "{} is missing: run `cargo build -p echo`", path.display());
    path
}

/// Builds and loads `localhost/echo:test`: echo with its libraries, and nginx, which is static.
pub(crate) fn load_echo(platform: &Platform) {
    let out = platform.run_dir().join("echo.tar");
    let mut spec = Spec::program("localhost/echo:test", &echo()).unwrap();
    let nginx = Kit::of(&Cache::from_env().unwrap()).bin("nginx");
    spec.files.push(Add { source: nginx, dest: "/nginx".into(), mode: None });
    let began = Instant::now();
    write(&spec, &out).unwrap();
    platform.load_image(&out).unwrap();
    println!("echo image built and loaded: {:.2} s", began.elapsed().as_secs_f64());
}

/// A hardened container of the echo image, as Gatehouse's own pods are.
pub(crate) fn container(name: &str, port: u16) -> Value {
    json!({
        "name": name, "image": "localhost/echo:test", "imagePullPolicy": "Never",
        "args": ["--listen", format!("0.0.0.0:{port}"), "--name", name],
        "ports": [{"name": name, "containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": port}, "periodSeconds": 1},
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

pub(crate) fn pod(namespace: &str, name: &str, containers: &[Value]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {
            "containers": containers, "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
        },
    })
}

/// What kubectl prints; its failure is the test's.
pub(crate) fn kubectl(platform: &Platform, args: &[&str]) -> String {
    let out = platform.command("kubectl").args(args).output().unwrap();
    assert!(out.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Looks again until it is so or ten seconds are over.
pub(crate) fn eventually(mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}
