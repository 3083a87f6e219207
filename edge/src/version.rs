//! The oldest nginx an edge may run.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

/// What `nginx -v` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    fn parse(answer: &str) -> Option<Version> {
        let text = answer.split("nginx/").nth(1)?;
        let text = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some(Version(parts.next()??, parts.next()??, parts.next()??))
    }

    /// Whether the known holes are closed: 1.30.4 on the stable branch, 1.31.3 on the mainline.
    fn is_recent_enough(self) -> bool {
        if (self.0, self.1) == (1, 30) { self.2 >= 4 } else { self >= Version(1, 31, 3) }
    }
}

/// Asks the program for its version and holds it to the floor.
///
/// # Errors
/// If it cannot be run, is no nginx, or is too old and `allow_old` is off.
pub async fn check(program: &Path, allow_old: bool) -> Result<Version> {
    let shown = program.display();
    let output =
        Command::new(program).arg("-v").output().await.with_context(|| {
            format!("--nginx {shown} cannot be run; give the path of an nginx 1.30.4, 1.31.3 or newer")
        })?;
    let answer = String::from_utf8_lossy(&output.stderr);
    let Some(version) = Version::parse(&answer) else {
        bail!("--nginx {shown} is no nginx: `-v` answered {:?}", answer.trim());
    };
    if !version.is_recent_enough() && !allow_old {
        bail!(
            "--nginx {shown} is nginx {version}, which has known holes; use 1.30.4 (stable), 1.31.3 (mainline) or newer"
        );
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn reads_what_nginx_says() {
        assert_eq!(Version::parse("nginx version: nginx/1.31.3\n"), Some(Version(1, 31, 3)));
        assert_eq!(Version::parse("nginx version: nginx/1.30.4 (Ubuntu)"), Some(Version(1, 30, 4)));
        for bad in ["", "nginx version: openresty/1.27.1.2", "nginx/1.31", "nginx/x.y.z", "nginx/1.2.99999999999"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_floor_differs_by_branch() {
        for (text, enough) in [
            ("1.30.3", false),
            ("1.30.4", true),
            ("1.30.10", true),
            ("1.31.0", false),
            ("1.31.2", false),
            ("1.31.3", true),
            ("1.32.0", true),
            ("2.0.0", true),
            ("1.29.9", false),
            ("1.28.0", false),
            ("0.99.99", false),
        ] {
            let version = Version::parse(&format!("nginx/{text}")).unwrap();
            assert_eq!(version.is_recent_enough(), enough, "{text}");
        }
    }
}
