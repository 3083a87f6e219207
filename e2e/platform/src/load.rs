//! Image archives into the node.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::components::Site;
use crate::netns;
use crate::process::poll;

/// Imports an archive and waits until the kubelet sees it.
pub(crate) fn import(site: &Site<'_>, archive: &Path) -> Result<()> {
    let mut ctr = site.ctr();
    ctr.args(["images", "import", "--local"]).arg(archive);
    netns::run(&mut ctr).with_context(|| format!("import {}", archive.display()))?;
    // The kubelet's side of containerd hears of it by an event. A pod that is faster finds no image and backs off.
    let heard = poll(Duration::from_secs(5), Duration::from_millis(20), || {
        netns::output(site.ctr().args(["images", "list"])).is_ok_and(|list| all_managed(&list))
    });
    if !heard {
        bail!(
            "{}: imported, but the kubelet does not see it; see {}",
            archive.display(),
            site.run.log("containerd").display()
        );
    }
    Ok(())
}

/// Whether every image of the list carries the label that makes it visible to the kubelet.
fn all_managed(list: &str) -> bool {
    let mut images = list.lines().skip(1).peekable();
    images.peek().is_some() && images.all(|line| line.contains("io.cri-containerd.image=managed"))
}

#[cfg(test)]
mod tests {
    use super::all_managed;

    #[test]
    fn an_image_without_the_label_is_not_yet_seen() {
        let head = "REF TYPE LABELS\n";
        let seen = "a:1 x io.cri-containerd.image=managed\n";
        assert!(all_managed(&format!("{head}{seen}")));
        assert!(!all_managed(&format!("{head}{seen}b:1 x -\n")));
        assert!(!all_managed(head));
    }
}
