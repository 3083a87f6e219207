//! `gatehouse render`: the nginx.conf of each namespace's edge.

use std::path::Path;

use crate::args::RenderArgs;
use crate::check::{Judged, judge};
use crate::print::Out;

/// Runs the command; returns the exit code.
pub fn run(args: &RenderArgs, out: &mut Out) -> u8 {
    let Some(Judged { objects, engine }) = judge(&args.input, out) else { return 2 };
    for subject in
        objects.subjects.iter().filter(|s| matches!(s.kind.as_str(), "ExposedApp" | "Ingress") && s.refused())
    {
        out.complain(&format!("not rendered, refused: {} ({}); see check", subject.title(), subject.source));
    }
    for note in &objects.notes {
        out.complain(&format!("note: {note}"));
    }
    if let Err(e) = std::fs::create_dir_all(&args.out) {
        out.complain(&format!("error: {}: {e}; choose a directory that can be written with -o", args.out.display()));
        return 2;
    }
    let mut written = 0;
    for (namespace, desired) in engine.desired() {
        let Some(table) = &desired.table else { continue };
        let text = gatehouse_route::render(table);
        match write(&args.out, namespace, &text) {
            Ok(path) => {
                let hosts: usize = table.ports.values().map(|p| p.hosts.len()).sum();
                let plural = if hosts == 1 { "" } else { "s" };
                out.line(&format!("{path}  {hosts} host{plural}, table {}", table.hash()));
                written += 1;
            }
            Err(e) => {
                out.complain(&format!("error: {e}"));
                return 2;
            }
        }
    }
    if written == 0 {
        out.complain("note: no namespace has a host to publish, so no file was written");
    }
    0
}

/// Writes one file directly inside the directory. A namespace is a DNS label, so it cannot lead elsewhere; a symbolic
/// link that already lies there could, and is refused.
fn write(dir: &Path, namespace: &str, text: &str) -> Result<String, String> {
    let label = gatehouse_route::Label::parse(namespace).map_err(|e| format!("namespace {e}"))?;
    let path = dir.join(format!("{label}.conf"));
    let shown = path.display().to_string();
    if path.symlink_metadata().is_ok_and(|m| !m.is_file()) {
        return Err(format!(
            "{shown}: is no plain file, and writing through it could leave {}; remove it",
            dir.display()
        ));
    }
    // Written beside and renamed: a reader never sees half a configuration.
    let part = dir.join(format!(".{label}.conf.part"));
    let _ = std::fs::remove_file(&part);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&part)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .and_then(|()| std::fs::rename(&part, &path))
        .map_err(|e| format!("{shown}: {e}"))?;
    Ok(shown)
}
