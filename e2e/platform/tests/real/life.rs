//! Up and down, several at once, interrupted and crashed: nothing is left.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use platform::{Cache, Platform};

use super::support::{kubectl, options, turn, up};

/// What a machine may keep of a platform: mounts, namespaces, interfaces, cgroups, processes.
fn traces(names: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().map(|line| line.split(' ').nth(4).unwrap());
    let ours = |point: &&str| {
        names.iter().any(|n| point.contains(&format!("/run/{n}/")) || point.contains(&format!("gh-{n}")))
    };
    found.extend(points.filter(ours).map(|point| format!("mount {point}")));
    for entry in fs::read_dir("/sys/class/net").unwrap() {
        found.insert(format!("interface {}", entry.unwrap().file_name().display()));
    }
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let words = fs::read(path.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if names.iter().any(|name| words.contains(&format!("/run/{name}/"))) {
            found.insert(format!("process {words}"));
        }
    }
    for name in names {
        let tag = format!("gh-{name}");
        let folders = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().map(|e| e.unwrap().path());
        found.extend(folders.map(|f| f.join(&tag)).filter(|f| f.exists()).map(|f| format!("cgroup {}", f.display())));
        if fs::exists(format!("/run/netns/{tag}")).unwrap() {
            found.insert(format!("namespace {tag}"));
        }
        let run = Cache::from_env().unwrap().join("run").join(name);
        if run.exists() {
            found.insert(format!("folder {}", run.display()));
        }
    }
    found
}

/// Traces that were not there before.
fn left(before: &BTreeSet<String>, names: &[&str]) -> Vec<String> {
    traces(names).difference(before).cloned().collect()
}

#[test]
fn two_side_by_side_twice_leave_nothing() {
    let Some(_turn) = turn("two_side_by_side_twice_leave_nothing") else { return };
    let names = ["t-one", "t-two"];
    let before = traces(&names);
    for round in 1..=2 {
        std::thread::scope(|scope| {
            let both: Vec<_> = names.iter().map(|name| scope.spawn(move || up(options(name)))).collect();
            let both: Vec<Platform> = both.into_iter().map(|thread| thread.join().unwrap()).collect();
            let mut guests = Vec::new();
            for (platform, name) in both.iter().zip(names) {
                assert_eq!(kubectl(platform, &["get", "nodes", "-o", "name"]).trim(), format!("node/{name}"));
                // A guest that would stay for ever is the platform's too.
                guests.push(platform.command("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap());
            }
            let mut both = both.into_iter();
            let began = Instant::now();
            both.next().unwrap().down().unwrap();
            println!("round {round}: down: {:.2} s", began.elapsed().as_secs_f64());
            // The other one did not notice.
            let other = both.next().unwrap();
            let dns = kubectl(&other, &["-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "--no-headers"]);
            assert!(dns.contains("1/1") && dns.contains("Running   0"), "{dns}");
            drop(other);
            for mut guest in guests {
                assert!(guest.try_wait().unwrap().is_some(), "a guest still runs");
            }
        });
        assert_eq!(left(&before, &names), Vec::<String>::new(), "round {round}");
    }
}

fn quick(name: &str) -> platform::Options {
    let mut options = options(name);
    options.control_plane_only = true;
    options
}

#[test]
fn without_a_node_it_serves_the_api() {
    let Some(_turn) = turn("without_a_node_it_serves_the_api") else { return };
    let platform = up(quick("t-api"));
    let seen = kubectl(&platform, &["get", "serviceaccounts", "default", "-o", "name"]);
    assert_eq!(seen.trim(), "serviceaccount/default");
    // A thread of this process may step inside; the others stay where they are.
    let network = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    let outside = network();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            platform.enter_thread().unwrap();
            assert_ne!(network(), outside);
            TcpStream::connect("10.100.0.1:6443").unwrap();
        });
    });
    assert_eq!(network(), outside);
    assert!(platform.load_image("x.tar".as_ref()).unwrap_err().to_string().contains("no node"));
    assert!(Platform::up(quick("t-api")).unwrap_err().to_string().contains("t-api"));
    let began = Instant::now();
    platform.down().unwrap();
    println!("down t-api: {:.2} s", began.elapsed().as_secs_f64());
}

/// Whoever runs the tests in the background of a shell ignores SIGINT, and what it starts would until it has a handler.
/// It has begun when this returns: a signal before would be ignored by what only makes it begin.
fn spawn_up(name: &str) -> Child {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_platform"), "up", "--foreground", "--name", name]);
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    let begun = || fs::read_to_string(format!("/proc/{}/comm", child.id())).is_ok_and(|comm| comm.trim() == "platform");
    let end = Instant::now() + Duration::from_secs(60);
    while !begun() && Instant::now() < end {
        std::thread::sleep(Duration::from_micros(200));
    }
    child
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn interrupted_or_killed_at_any_point_nothing_is_left() {
    let Some(_turn) = turn("interrupted_or_killed_at_any_point_nothing_is_left") else { return };
    let name = "t-stop";
    let cache = Cache::from_env().unwrap();
    let before = traces(&[name]);
    // The first tenth of a second is when namespace and first processes are made by programs that outlive a kill.
    for after in (0..100).step_by(4).chain([400, 1500, 3500, 4500, 8000]) {
        if after % 20 == 0 {
            let mut child = spawn_up(name);
            std::thread::sleep(Duration::from_millis(after));
            signal(&child, "-INT");
            let status = child.wait().unwrap();
            assert_eq!(left(&before, &[name]), Vec::<String>::new(), "Ctrl-C after {after} ms, {status}");
        }

        let mut child = spawn_up(name);
        std::thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
        let began = Instant::now();
        platform::down(&cache, &name.parse().unwrap()).unwrap();
        if after >= 100 {
            println!("killed after {after} ms; down: {:.2} s", began.elapsed().as_secs_f64());
        }
        assert_eq!(left(&before, &[name]), Vec::<String>::new(), "killed after {after} ms");
    }
    // Nor does one that lost its owner, half-made or ready, stand in the way of the next.
    for after in [1500, 9000] {
        let mut child = spawn_up(name);
        std::thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(up(quick(name)));
    }
    assert_eq!(left(&before, &[name]), Vec::<String>::new());
}

#[test]
fn run_passes_exit_code_resolver_and_local_addresses() {
    let Some(_turn) = turn("run_passes_exit_code_resolver_and_local_addresses") else { return };
    let mut wanted = quick("t-run");
    wanted.dns_server = Some("10.100.0.1".parse().unwrap());
    let platform = up(wanted);
    let run = |script: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
        command.args(["run", "--name", "t-run", "--", "sh", "-c", script]).output().unwrap()
    };
    assert_eq!(run("exit 42").status.code(), Some(42));
    let out = run("cat /etc/resolv.conf; kubectl get ns default -o name; ip -br address show node0");
    let text = String::from_utf8(out.stdout).unwrap();
    for part in ["nameserver 10.100.0.1", "namespace/default", "10.100.0.1/24"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!fs::read_to_string("/etc/resolv.conf").unwrap().contains("10.100.0.1"));
    platform.down().unwrap();
}

#[test]
fn a_component_that_ends_is_named_with_its_log() {
    let Some(_turn) = turn("a_component_that_ends_is_named_with_its_log") else { return };
    let before = traces(&["t-broken"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command.args(["up", "--name", "t-broken"]).env("PLATFORM_BINARY", "/bin/false");
    let out = command.output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(text.contains("enforcer ended with exit status: 1"), "{text}");
    let log = Cache::from_env().unwrap().join("failed/t-broken/enforcer.log");
    assert!(text.contains(&log.display().to_string()) && log.is_file(), "{text}");
    assert_eq!(left(&before, &["t-broken"]), Vec::<String>::new());
}
