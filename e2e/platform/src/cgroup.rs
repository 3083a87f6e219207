//! The cgroups of a platform's pods: one root of its own in every hierarchy, so that the kubelets of
//! several platforms do not clean up each other's pods.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Identity, poll};

/// Mount points of all cgroup hierarchies, v1 and v2, from `/proc/self/mountinfo`.
fn hierarchies(mountinfo: &str) -> Vec<(PathBuf, bool)> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let unified = match right.split(' ').next()? {
                "cgroup" => false,
                "cgroup2" => true,
                _ => return None,
            };
            Some((PathBuf::from(left.split(' ').nth(4)?), unified))
        })
        .collect()
}

fn roots(name: &str) -> Vec<(PathBuf, PathBuf, bool)> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut seen = BTreeSet::new();
    hierarchies(&mountinfo)
        .into_iter()
        .filter(|(mount, _)| seen.insert(mount.clone()))
        .map(|(mount, unified)| (mount.join(name), mount, unified))
        .collect()
}

/// Makes the root `name` in every hierarchy, usable by a kubelet.
pub(crate) fn prepare(name: &str) -> Result<()> {
    for (root, mount, unified) in roots(name) {
        fs::create_dir_all(&root).with_context(|| format!("make cgroup {}", root.display()))?;
        // A v1 cpuset starts empty and then takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if !unified && let Ok(value) = fs::read_to_string(mount.join(file)) {
                fs::write(root.join(file), value.trim()).with_context(|| format!("set {file}"))?;
            }
        }
        if unified && let Ok(controllers) = fs::read_to_string(mount.join("cgroup.controllers")) {
            for controller in controllers.split_whitespace() {
                for folder in [&mount, &root] {
                    // A controller that this machine keeps to itself is reported by the kubelet when it needs it.
                    let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
    }
    Ok(())
}

/// The living processes of all pods below the root.
pub(crate) fn processes(name: &str) -> BTreeSet<Identity> {
    let mut found = BTreeSet::new();
    for (root, ..) in roots(name) {
        for folder in folders_deepest_first(&root) {
            let Ok(text) = fs::read_to_string(folder.join("cgroup.procs")) else { continue };
            found.extend(text.lines().filter_map(|pid| Identity::of(pid.parse().ok()?)));
        }
    }
    found
}

/// Removes the root everywhere. The processes must be gone; the kernel may need a moment to notice.
pub(crate) fn remove(name: &str) -> Result<()> {
    for (root, ..) in roots(name) {
        let mut last = Ok(());
        poll(Duration::from_secs(5), Duration::from_millis(20), || {
            last = folders_deepest_first(&root).iter().try_for_each(fs::remove_dir);
            last.is_ok()
        });
        last.with_context(|| format!("remove cgroup {}", root.display()))?;
    }
    Ok(())
}

/// Whether any hierarchy still has the root.
pub(crate) fn exists(name: &str) -> bool {
    roots(name).iter().any(|(root, ..)| root.exists())
}

fn folders_deepest_first(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        found.push(folder);
        open.extend(
            entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()),
        );
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let text = "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                    31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                    32 25 0:28 / /tmp rw - tmpfs tmpfs rw\n";
        assert_eq!(hierarchies(text), [("/sys/fs/cgroup/cpu".into(), false), ("/sys/fs/cgroup/unified".into(), true)]);
    }

    #[test]
    fn children_come_before_their_parents() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::create_dir_all(folder.path().join("c")).unwrap();
        let order = folders_deepest_first(folder.path());
        let at = |p: &str| order.iter().position(|f| *f == folder.path().join(p)).unwrap();
        assert!(at("a/b") < at("a"));
        assert_eq!(order.last().unwrap(), folder.path());
    }
}
