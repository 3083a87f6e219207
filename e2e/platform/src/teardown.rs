//! Down: everything that lives in a platform's namespace or cgroups is the platform's, and is ended.
//! Nothing here needs the process that brought it up, nor a platform that ever got ready.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::paths::{Cache, Name, RunDir};
use crate::process::{self, Identity, poll};
use crate::{cgroup, cluster, netns};

/// Ends a platform, whoever brought it up and however far it got. Answers whether there was anything.
pub fn down(cache: &Cache, name: &Name) -> Result<bool> {
    let run = cache.run(name);
    let lock = cluster::lock(cache, name)?;
    // A killed owner's lock outlives it for the moment that a child of its needs to become another program.
    if !poll(Duration::from_millis(300), Duration::from_millis(10), || lock.try_lock().is_ok()) {
        eprintln!("platform {name}: another process is bringing it up or owns it; ending what it started");
    }
    let there = run.path().exists() || netns::file(name).exists() || cgroup::exists(&name.tagged());
    if there {
        sweep(name, &run)?;
    }
    Ok(there)
}

/// Names of platforms that hold a network namespace but have no run folder in this cache.
pub fn orphans(cache: &Cache) -> Vec<Name> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    let mut names: Vec<Name> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("gh-")?.parse().ok())
        .filter(|name| !cache.run(name).path().exists())
        .collect();
    names.sort();
    names
}

/// The order matters: first who starts others, then everything, then what held them.
pub(crate) fn sweep(name: &Name, run: &RunDir) -> Result<()> {
    let recorded: Vec<(String, Identity)> = process::recorded(run);
    // Guests (an operator under test, say) may end properly; components hold nothing worth saving.
    let components: BTreeSet<Identity> =
        recorded.iter().map(|(_, id)| *id).chain(cgroup::processes(&name.tagged())).collect();
    let guests: Vec<Identity> = process::inside(&netns::file(name))
        .into_iter()
        .filter(|id| !components.contains(id) && !is_shim(*id))
        .collect();
    guests.iter().for_each(|id| id.signal(Signal::TERM));
    poll(Duration::from_secs(2), Duration::from_millis(20), || !guests.iter().any(|id| id.alive()));
    for starter in ["kubelet", "containerd"] {
        recorded.iter().filter(|(name, _)| name == starter).for_each(|(_, id)| id.signal(Signal::KILL));
    }
    let mut left = BTreeSet::new();
    let all_gone = poll(Duration::from_secs(15), Duration::from_millis(20), || {
        left = process::recorded(run).into_iter().map(|(_, id)| id).collect();
        left.extend(process::on_the_way(&name.tagged(), &netns::file(name)));
        left.extend(process::inside(&netns::file(name)));
        left.extend(cgroup::processes(&name.tagged()));
        left.iter().for_each(|id| id.signal(Signal::KILL));
        left.is_empty()
    });
    if !all_gone {
        let pids: Vec<String> = left.iter().map(|id| id.pid.to_string()).collect();
        bail!("platform {name}: processes {} do not end (in the kernel?); try again", pids.join(", "));
    }
    netns::remove(name)?;
    cgroup::remove(&name.tagged())?;
    unmount_below(run)?;
    if run.path().exists() {
        fs::remove_dir_all(run.path()).with_context(|| format!("remove {}", run.path().display()))?;
    }
    Ok(())
}

/// A shim counts as containerd's: a signal to end would only make it write to a log that is about to go.
fn is_shim(id: Identity) -> bool {
    fs::read_to_string(format!("/proc/{}/comm", id.pid)).is_ok_and(|comm| comm.starts_with("containerd"))
}

/// Mounts of pods are private to the node's processes and have gone with them; this is for what somebody made by hand.
fn unmount_below(run: &RunDir) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4).map(PathBuf::from))
        .filter(|point| point.starts_with(run.path()))
        .collect();
    points.sort();
    for point in points.iter().rev() {
        rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH)
            .with_context(|| format!("unmount {}", point.display()))?;
    }
    Ok(())
}
