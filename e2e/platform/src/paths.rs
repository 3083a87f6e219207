//! Where things live: the cache of built binaries and one run folder per platform.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The cache folder shared by all platforms of a machine: `$GATEHOUSE_CACHE`, else `$HOME/.cache/gatehouse`.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

impl Cache {
    /// Reads the environment; the folder is made when it is missing.
    pub fn from_env() -> Result<Cache> {
        let folder = match std::env::var_os("GATEHOUSE_CACHE").filter(|v| !v.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => {
                let home = std::env::var_os("HOME").context("neither GATEHOUSE_CACHE nor HOME is set: set one")?;
                PathBuf::from(home).join(".cache/gatehouse")
            }
        };
        Cache::at(folder)
    }

    /// Uses this folder.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Cache> {
        let folder = std::path::absolute(folder.into()).context("cache folder")?;
        // Every platform hides /run from its node (see `node.rs`), so nothing of ours may live there.
        if folder.starts_with("/run") || folder.starts_with("/var/run") {
            bail!(
                "GATEHOUSE_CACHE={}: must not lie below /run, which the node hides; choose another",
                folder.display()
            );
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Cache(folder))
    }

    /// A path below the cache.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// The run folder of the platform with this name.
    pub fn run(&self, name: &Name) -> RunDir {
        RunDir(self.join("run").join(name.as_str()))
    }

    /// Names of all platforms that have a run folder, alive or half-made.
    pub fn runs(&self) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        let Ok(entries) = std::fs::read_dir(self.join("run")) else { return Ok(names) };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir()
                && let Some(name) = entry.file_name().to_str().and_then(|n| n.parse().ok())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// The name of a platform; also part of its namespace, cgroup and node names, hence short and plain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What belongs to this platform on the machine carries this name: network namespace and cgroup root.
    pub fn tagged(&self) -> String {
        format!("gh-{}", self.0)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(s: &str) -> Result<Name, String> {
        let plain = s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if s.is_empty() || s.len() > 24 || !plain || s.starts_with('-') || s.ends_with('-') {
            return Err(format!("name {s:?}: use 1 to 24 of a-z, 0-9 and inner '-'"));
        }
        Ok(Name(s.to_owned()))
    }
}

/// The folder of one running platform. It holds all that another process needs in order to take it down.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path below it.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// Pid files, one per component: `PID START-TIME`.
    pub fn pids(&self) -> PathBuf {
        self.join("pid")
    }

    /// One log per component.
    pub fn log(&self, component: &str) -> PathBuf {
        self.join("log").join(format!("{component}.log"))
    }

    /// The kubeconfig of the cluster's administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.join("kubeconfig")
    }

    /// containerd's socket.
    pub fn containerd_socket(&self) -> PathBuf {
        self.join("containerd.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "demo", "t-1"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "..", "a_b", &"x".repeat(25)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cache_below_run_is_refused_with_the_cure() {
        let error = Cache::at("/run/user/0/x").unwrap_err().to_string();
        assert!(error.contains("choose another"), "{error}");
    }
}
