//! Container images without Docker: a docker-archive with one layer, the same bytes for the same content.

mod libs;
mod tar;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// Where its content comes from.
    pub source: PathBuf,
    /// Its absolute path in the image.
    pub dest: String,
    /// Its mode; without one, 0755 for what is executable at its source and 0644 for the rest.
    pub mode: Option<u32>,
}

impl std::str::FromStr for Add {
    type Err = String;

    fn from_str(text: &str) -> Result<Add, String> {
        let fault =
            |why: &str| format!("--add {text:?}: {why}; write SRC=DEST or SRC=DEST:MODE, such as app=/app:0755");
        let (source, rest) = text.split_once('=').ok_or_else(|| fault("has no '='"))?;
        let (dest, mode) = match rest.rsplit_once(':') {
            Some((dest, mode)) => {
                (dest, Some(u32::from_str_radix(mode, 8).map_err(|_| fault("the mode is not octal"))?))
            }
            None => (rest, None),
        };
        if source.is_empty() {
            return Err(fault("has no source"));
        }
        if !dest.starts_with('/') || dest.ends_with('/') || dest.split('/').any(|part| part == "." || part == "..") {
            return Err(fault("DEST must be the absolute path of a file"));
        }
        Ok(Add { source: source.into(), dest: dest.to_owned(), mode })
    }
}

/// What an image is made of.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// Its full name, such as `localhost/edge:dev`.
    pub name: String,
    /// Its files. Folders above them are made.
    pub files: Vec<Add>,
    /// Also take the shared libraries that the ELF files need, the loader, and a plain `nsswitch.conf`.
    pub with_libs: bool,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// The user id, or `uid:gid`.
    pub user: String,
    /// Environment, `KEY=VALUE`.
    pub env: Vec<String>,
}

impl Spec {
    /// The image of one program at `/FILE-NAME`, with its libraries, run by a user without rights.
    pub fn program(name: &str, binary: &Path) -> Result<Spec> {
        let file = binary.file_name().and_then(|file| file.to_str()).context("binary: has no file name")?;
        let dest = format!("/{file}");
        Ok(Spec {
            name: name.to_owned(),
            files: vec![Add { source: binary.to_path_buf(), dest: dest.clone(), mode: Some(0o755) }],
            with_libs: true,
            entrypoint: vec![dest],
            user: "65532".to_owned(),
            ..Spec::default()
        })
    }
}

/// Writes the image as an archive that `platform load`, `docker load` and `ctr images import` read.
pub fn write(spec: &Spec, out: &Path) -> Result<()> {
    let bytes = archive(spec)?;
    let part = out.with_extension(format!("part{}", std::process::id()));
    fs::write(&part, bytes).with_context(|| format!("write {}", part.display()))?;
    fs::rename(&part, out).with_context(|| format!("write {}", out.display()))?;
    Ok(())
}

fn archive(spec: &Spec) -> Result<Vec<u8>> {
    if spec.name.is_empty() || !spec.name.contains(':') {
        bail!("image name {:?}: needs a tag, such as localhost/app:dev", spec.name);
    }
    if let Some(bad) = spec.env.iter().find(|pair| !pair.contains('=')) {
        bail!("image environment {bad:?}: write KEY=VALUE");
    }
    let layer = tar::write(&content(spec)?)?;
    let layer_id = hex(&layer);
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Entrypoint": spec.entrypoint, "Cmd": spec.cmd, "Env": spec.env, "User": spec.user, "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_id}")]},
    }))?;
    let config_name = format!("{}.json", hex(&config));
    let layer_name = format!("{layer_id}/layer.tar");
    let manifest = serde_json::to_vec(&serde_json::json!([
        {"Config": config_name, "RepoTags": [spec.name], "Layers": [layer_name]},
    ]))?;
    tar::write(&BTreeMap::from([
        (config_name, tar::Entry { mode: 0o644, bytes: config }),
        (layer_name, tar::Entry { mode: 0o644, bytes: layer }),
        ("manifest.json".to_owned(), tar::Entry { mode: 0o644, bytes: manifest }),
    ]))
}

/// The files of the layer by path without the leading slash.
fn content(spec: &Spec) -> Result<BTreeMap<String, tar::Entry>> {
    let mut files = BTreeMap::new();
    for add in &spec.files {
        let bytes = libs::read_stripped(&add.source)?;
        let executable = fs::metadata(&add.source)?.permissions().mode() & 0o111 != 0;
        let mode = add.mode.unwrap_or(if executable { 0o755 } else { 0o644 });
        files.insert(add.dest.trim_start_matches('/').to_owned(), tar::Entry { mode, bytes });
        if spec.with_libs {
            for library in libs::needed(&add.source)? {
                let path = library.to_str().context("library path")?.trim_start_matches('/').to_owned();
                let bytes = fs::read(&library).with_context(|| format!("read {}", library.display()))?;
                files.insert(path, tar::Entry { mode: 0o755, bytes });
            }
        }
    }
    if spec.with_libs {
        // glibc asks files first only when told so; without this, /etc/hosts of the pod is not looked at.
        let bytes = b"hosts: files dns\n".to_vec();
        files.entry("etc/nsswitch.conf".to_owned()).or_insert(tar::Entry { mode: 0o644, bytes });
    }
    Ok(files)
}

/// The SHA-256 of some bytes, as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_are_read_or_refused_with_an_example() {
        let add: Add = "target/app=/bin/app:0555".parse().unwrap();
        assert_eq!(add, Add { source: "target/app".into(), dest: "/bin/app".into(), mode: Some(0o555) });
        assert_eq!("a=/b".parse::<Add>().unwrap().mode, None);
        for bad in ["a", "=/b", "a=b", "a=/b/", "a=/../b", "a=/b:rwx"] {
            assert!(bad.parse::<Add>().unwrap_err().contains("such as"), "{bad}");
        }
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        fs::write(&file, "hello").unwrap();
        let spec = Spec {
            name: "localhost/x:dev".into(),
            files: vec![Add { source: file.clone(), dest: "/etc/x".into(), mode: None }],
            user: "65532".into(),
            ..Spec::default()
        };
        let first = archive(&spec).unwrap();
        fs::write(&file, "hello").unwrap();
        assert_eq!(hex(&first), hex(&archive(&spec).unwrap()));
    }

    #[test]
    fn a_name_without_tag_is_refused() {
        let error = archive(&Spec { name: "x".into(), ..Spec::default() }).unwrap_err().to_string();
        assert!(error.contains("localhost/app:dev"), "{error}");
    }
}
