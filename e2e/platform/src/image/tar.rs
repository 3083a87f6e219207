//! A tar writer (POSIX ustar) for regular files: root-owned, dated 1970, sorted, with the folders above them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

const BLOCK: usize = 512;

/// A regular file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
}

/// The archive of these files, by relative path.
pub(super) fn write(files: &BTreeMap<String, Entry>) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(files.values().map(|f| f.bytes.len() + 2 * BLOCK).sum::<usize>() + 2 * BLOCK);
    let mut folders = BTreeSet::new();
    for (path, file) in files {
        for (at, _) in path.match_indices('/') {
            if folders.insert(&path[..at]) {
                out.extend(header(&path[..=at], 0o755, 0, b'5')?);
            }
        }
        out.extend(header(path, file.mode, file.bytes.len(), b'0')?);
        out.extend(&file.bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Ok(out)
}

fn header(path: &str, mode: u32, size: usize, kind: u8) -> Result<[u8; BLOCK]> {
    let mut block = [0u8; BLOCK];
    let (prefix, name) = split(path)?;
    block[..name.len()].copy_from_slice(name.as_bytes());
    octal(&mut block[100..108], u64::from(mode));
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], size as u64);
    octal(&mut block[136..148], 0);
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
    Ok(block)
}

/// A name of up to 100 bytes and the folders before it of up to 155.
fn split(path: &str) -> Result<(&str, &str)> {
    if path.len() <= 100 {
        return Ok(("", path));
    }
    for (at, _) in path.match_indices('/') {
        let (prefix, name) = (&path[..at], &path[at + 1..]);
        if prefix.len() <= 155 && (1..=100).contains(&name.len()) {
            return Ok((prefix, name));
        }
    }
    bail!("image path {path:?}: too long for tar; shorten it to 100 bytes");
}

/// Octal digits with leading zeros and a NUL at the end.
fn octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    field[digits] = 0;
    for place in (0..digits).rev() {
        field[place] = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn the_system_tar_reads_it() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(60));
        let files = BTreeMap::from([
            ("a/b/c".to_owned(), Entry { mode: 0o755, bytes: vec![7; 513] }),
            (long.clone(), Entry { mode: 0o600, bytes: Vec::new() }),
        ]);
        let archive = write(&files).unwrap();
        let mut tar = Command::new("tar").arg("-tvf-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&archive).unwrap();
        let out = tar.wait_with_output().unwrap();
        assert!(out.status.success());
        let text = String::from_utf8(out.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[2].starts_with("-rwxr-xr-x 0/0") && lines[2].contains(" 513 "), "{text}");
        assert!(lines[4].ends_with(&long), "{text}");
    }

    #[test]
    fn what_tar_cannot_name_is_refused() {
        assert!(split(&"x".repeat(101)).is_err());
    }
}
