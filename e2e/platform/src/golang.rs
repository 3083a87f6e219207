//! Programs built with the machine's Go from modules that are part of this program.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A source file: folder of its module, path in it, text.
pub(crate) type Source = (&'static str, &'static str, &'static str);

/// Writes sources below a folder, each module into its own.
pub(crate) fn write(folder: &Path, sources: &[Source]) -> Result<()> {
    for (module, file, text) in sources {
        let path = folder.join(module).join(file);
        fs::create_dir_all(path.parent().context("source folder")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// One program to build.
pub(crate) struct Build<'a> {
    /// Folder of the module that pins what the package needs.
    pub(crate) module: &'a Path,
    pub(crate) package: &'a str,
    /// For the linker.
    pub(crate) flags: &'a str,
    /// Where it goes; it is there whole or not at all.
    pub(crate) program: &'a Path,
}

impl Build<'_> {
    /// Builds it, and tells every 20 seconds that it still does.
    pub(crate) fn run(&self, place: &str, say: &mut dyn FnMut(&str)) -> Result<()> {
        let name = self.program.file_name().context("program name")?.to_string_lossy();
        let part = self.program.with_file_name(format!(".{name}.part"));
        let log = self.program.with_file_name(format!(".{name}.log"));
        let mut command = Command::new("go");
        command.current_dir(self.module);
        command.args(["build", "-trimpath", "-ldflags", self.flags, "-tags", "no_btrfs", "-o"]).arg(&part);
        command.arg(self.package);
        // The machine's Go and these very modules: no other toolchain is fetched, no go.sum is rewritten.
        command.envs([("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "local"), ("GOWORK", "off")]);
        command.env("GOFLAGS", "-mod=readonly -buildvcs=false");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let began = Instant::now();
        say(&format!("[{place}] building {name}"));
        let mut child = command.spawn().context("run go")?;
        let mut told = 0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(100));
            let elapsed = began.elapsed().as_secs();
            if elapsed >= told + 20 {
                told = elapsed;
                say(&format!("[{place}] building {name}: {elapsed} s so far"));
            }
        };
        if !status.success() {
            let end = crate::process::tail(&log, 20);
            bail!("go build {} failed ({status}); the last lines of {}:\n{end}", self.package, log.display());
        }
        fs::rename(&part, self.program)?;
        // Only a failed build's log is worth its place.
        let _ = fs::remove_file(&log);
        say(&format!("[{place}] built {name} in {:.0} s", began.elapsed().as_secs_f64()));
        Ok(())
    }
}

/// The version of the machine's Go, if it is new enough.
pub(crate) fn version() -> Result<String> {
    let none = "the platform builds Kubernetes and needs Go 1.26 or newer on PATH; install it from go.dev/dl";
    let out = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output().context(none)?;
    let version = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if !new_enough(&version) {
        bail!("{none}; found {version:?}");
    }
    Ok(version)
}

fn new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches("go").split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next().unwrap_or(0)) >= (Some(1), 26)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(new_enough("go1.26.8") && new_enough("go1.27") && new_enough("go2.0"));
        assert!(!new_enough("go1.9") && !new_enough("") && !new_enough("go1.25.1"));
    }
}
