//! Processes: start them in the namespace, find them again by pid file, and kill only what is ours.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::paths::RunDir;

/// A process, told apart from a later one with the same pid by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    start: u64,
}

impl Identity {
    /// The living process with this pid; a zombie counts as dead.
    pub(crate) fn of(pid: i32) -> Option<Identity> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse_stat(&stat).filter(|(state, _)| !matches!(state, 'Z' | 'X')).map(|(_, start)| Identity { pid, start })
    }

    pub(crate) fn alive(self) -> bool {
        Identity::of(self.pid) == Some(self)
    }

    /// Sends a signal through a pidfd, so that a pid recycled in between is not hit.
    pub(crate) fn signal(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        if let Ok(fd) = pidfd_open(pid, PidfdFlags::empty())
            && self.alive()
        {
            // The only error left is that the process has just ended.
            let _ = pidfd_send_signal(fd, signal);
        }
    }

    fn to_line(self) -> String {
        format!("{} {}\n", self.pid, self.start)
    }

    fn from_line(line: &str) -> Option<Identity> {
        let (pid, start) = line.trim().split_once(' ')?;
        Some(Identity { pid: pid.parse().ok()?, start: start.parse().ok()? })
    }
}

/// State letter and start time of `/proc/PID/stat`. The name in brackets may hold anything, so read from its end.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// A component that this process started.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) identity: Identity,
    child: Child,
}

impl Component {
    /// Starts `command` with its output in the component's log and a pid file beside it.
    pub(crate) fn start(run: &RunDir, name: &str, command: &mut Command) -> Result<Component> {
        let log = File::options().create(true).append(true).open(run.log(name))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("start {name}: {:?}", command.get_program()))?;
        let pid = i32::try_from(child.id())?;
        let identity = Identity::of(pid).with_context(|| gone(run, name, "ended at once"))?;
        fs::write(run.pids().join(name), identity.to_line())?;
        Ok(Component { name: name.to_owned(), identity, child })
    }

    /// An error with the end of its log when the component has ended.
    pub(crate) fn check(&mut self, run: &RunDir) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(gone(run, &self.name, &format!("ended with {status}"))),
        }
    }

    /// Waits for the end of a killed component, so that it does not stay as a zombie.
    pub(crate) fn reap(mut self) {
        let _ = self.child.wait();
    }
}

fn gone(run: &RunDir, name: &str, what: &str) -> String {
    format!("{name} {what}; the last lines of {}:\n{}", run.log(name).display(), tail(&run.log(name), 15))
}

/// The last lines of a log, indented.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| format!("(not readable: {error})"));
    let all: Vec<&str> = text.lines().collect();
    let shown: Vec<String> = all[all.len().saturating_sub(lines)..].iter().map(|line| format!("    {line}")).collect();
    shown.join("\n")
}

/// The living processes that the pid files name, with the component's name.
pub(crate) fn recorded(run: &RunDir) -> Vec<(String, Identity)> {
    let Ok(entries) = fs::read_dir(run.pids()) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let identity = Identity::from_line(&fs::read_to_string(entry.path()).ok()?)?;
            identity.alive().then(|| (entry.file_name().to_string_lossy().into_owned(), identity))
        })
        .collect()
}

/// Components that were started and do not run any more.
pub fn ended(run: &RunDir) -> Vec<String> {
    let alive: BTreeSet<String> = recorded(run).into_iter().map(|(name, _)| name).collect();
    let Ok(entries) = fs::read_dir(run.pids()) else { return Vec::new() };
    let started = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    started.filter(|name| !alive.contains(name)).collect()
}

/// All living processes inside the network namespace that `file` pins, but never this one.
pub(crate) fn inside(file: &Path) -> BTreeSet<Identity> {
    let Ok(wanted) = fs::metadata(file).map(|m| (m.dev(), m.ino())) else { return BTreeSet::new() };
    all_pids()
        .into_iter()
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|m| (m.dev(), m.ino()) == wanted)
                && u32::try_from(*pid).is_ok_and(|pid| pid != std::process::id())
        })
        .filter_map(Identity::of)
        .collect()
}

/// Living processes that are about to make or enter the namespace: their command line names it, and until they have
/// done so [`inside`] cannot see them. One that outlived its starter would make the namespace after it was taken down.
pub(crate) fn on_the_way(tag: &str, file: &Path) -> BTreeSet<Identity> {
    let enters = format!("--net={}", file.display());
    let named = |word: &[u8]| word == tag.as_bytes() || word == enters.as_bytes();
    let starts = |words: &[u8]| {
        let program = words.split(|byte| *byte == 0).next().and_then(|path| path.rsplit(|byte| *byte == b'/').next());
        matches!(program, Some(b"ip" | b"nsenter" | b"setsid")) && words.split(|byte| *byte == 0).any(named)
    };
    let of_it = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| starts(&words));
    all_pids().into_iter().filter(of_it).filter_map(Identity::of).collect()
}

fn all_pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Polls until `done` or the time is over; answers whether it was done.
pub(crate) fn poll(limit: Duration, every: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_name_with_brackets_and_spaces() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        assert_eq!(parse_stat(stat), Some(('S', 987_654)));
    }

    #[test]
    fn a_recycled_pid_is_another_process() {
        let me = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.alive());
        assert!(!Identity { start: me.start + 1, ..me }.alive());
        assert_eq!(Identity::from_line(&me.to_line()), Some(me));
    }

    #[test]
    fn a_zombie_counts_as_dead() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(poll(Duration::from_secs(5), Duration::from_millis(5), || Identity::of(pid).is_none()));
        child.wait().unwrap();
    }
}
