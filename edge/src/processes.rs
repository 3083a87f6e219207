//! Who is whose child, as /proc tells it. A pod has few processes.

use rustix::process::Pid;

/// The children of a process, those that ended and were not waited for included.
pub fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(found) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = found.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).filter_map(Pid::from_raw).collect()
}

fn parent_of(pid: i32) -> Option<Pid> {
    parent_in(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state parent ...`: the name may hold anything, also brackets and spaces.
fn parent_in(stat: &str) -> Option<Pid> {
    let (_, behind) = stat.rsplit_once(')')?;
    Pid::from_raw(behind.split_whitespace().nth(1)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, getpid};

    #[test]
    fn a_name_is_not_read_as_a_field() {
        let parent = |text| super::parent_in(text).map(Pid::as_raw_nonzero).map(std::num::NonZero::get);
        assert_eq!(parent("7 (nginx: worker) S 5 5 5 0"), Some(5));
        assert_eq!(parent("7 (a) S 9 (b) c) R 3 1"), Some(3));
        assert_eq!((parent(""), parent("7 (a"), parent("1 (init) S 0 1")), (None, None, None));
    }

    #[test]
    fn a_child_is_found() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        assert!(super::children_of(getpid()).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!super::children_of(getpid()).contains(&pid));
    }
}
