//! external-dns itself, for the tests in which it works beside us. A kit of its own, so that the cluster's is built
//! without it, and that of a machine stays when this one changes.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Result;

use crate::Cache;
use crate::golang::{self, Build, Source};
use crate::image::hex;

const SOURCES: &[Source] = &[
    ("src", "go.mod", include_str!("../go/external-dns/go.mod")),
    ("src", "go.sum", include_str!("../go/external-dns/go.sum")),
    ("src", "main.go", include_str!("../go/external-dns/main.go")),
];

/// The path of the program, built first if it is missing. Several processes may ask at once: one works, the others wait.
///
/// # Errors
/// Without Go, or with the end of the build's log.
pub fn external_dns(cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let recipe: String = SOURCES.iter().map(|(_, _, text)| hex(text.as_bytes())).collect();
    let folder = cache.join(format!("external-dns-{}", &hex(recipe.as_bytes())[..16]));
    let program = folder.join("external-dns");
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    if lock.try_lock().is_err() {
        say("another process builds external-dns; waiting for it");
        lock.lock()?;
    }
    if !program.exists() {
        golang::version()?;
        golang::write(&folder, SOURCES)?;
        let module = folder.join("src");
        let build = Build { module: &module, package: ".", flags: "-s -w", program: &program };
        build.run("1/1", say)?;
    }
    Ok(program)
}
