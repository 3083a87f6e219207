//! ELF files: which shared libraries they need, and their content without symbols.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

fn is_elf(path: &Path) -> Result<bool> {
    let mut magic = [0u8; 4];
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    Ok(file.read(&mut magic)? == 4 && &magic == b"\x7fELF")
}

/// The content of a file; of an ELF file without symbols, where `strip` is at hand. A debug build of a Rust
/// program is ten times as large with them, and every start of a pod would pay for it.
pub(super) fn read_stripped(path: &Path) -> Result<Vec<u8>> {
    if is_elf(path)? {
        let stripped = std::env::temp_dir().join(format!("platform-strip-{}-{}", std::process::id(), serial()));
        let done = Command::new("strip").arg("-o").arg(&stripped).arg(path).output();
        let bytes = matches!(&done, Ok(out) if out.status.success()).then(|| fs::read(&stripped));
        // Absent when strip failed.
        let _ = fs::remove_file(&stripped);
        if let Some(bytes) = bytes {
            return Ok(bytes?);
        }
    }
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn serial() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The libraries that an ELF file needs and its loader; nothing for a static one.
pub(super) fn needed(path: &Path) -> Result<Vec<PathBuf>> {
    if !is_elf(path)? {
        return Ok(Vec::new());
    }
    let out = Command::new("ldd").arg(path).output().context("run ldd, which --with-libs needs (package libc-bin)")?;
    let text = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr);
        if format!("{text}{why}").contains("not a dynamic executable") {
            return Ok(Vec::new());
        }
        bail!("ldd {}: {}", path.display(), why.trim());
    }
    parse(&text).with_context(|| format!("libraries of {}", path.display()))
}

/// Reads the output of `ldd`: `libm.so.6 => /lib/libm.so.6 (0x..)`, `/lib64/ld-linux.so.2 (0x..)`, `linux-vdso..`.
fn parse(text: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some((name, right)) = line.split_once(" => ") {
            if right.starts_with("not found") {
                bail!("{name}: not found on this machine; install its package");
            }
            found.extend(right.split(' ').next().filter(|path| path.starts_with('/')).map(PathBuf::from));
        } else if line.starts_with('/') {
            found.extend(line.split(' ').next().map(PathBuf::from));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_output_is_read() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n";
        assert_eq!(parse(text).unwrap(), [PathBuf::from("/lib/x/libc.so.6"), "/lib64/ld.so.2".into()]);
        assert_eq!(parse("\tstatically linked\n").unwrap(), Vec::<PathBuf>::new());
        assert!(parse("\tlibx.so => not found\n").unwrap_err().to_string().contains("libx.so"));
    }

    #[test]
    fn this_very_program_needs_a_loader() {
        let libraries = needed(&std::env::current_exe().unwrap()).unwrap();
        assert!(libraries.iter().any(|path| path.to_string_lossy().contains("/ld-")), "{libraries:?}");
        assert!(needed(Path::new("/etc/hostname")).unwrap().is_empty());
    }
}
