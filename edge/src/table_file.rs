//! The table as a mounted file.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A ConfigMap holds 1 MiB; anything far above is not ours and must not fill the pod's memory.
const MAX_BYTES: u64 = 4 << 20;

/// Every so many looks the content is read even if the file looks untouched: time stamps have a grain.
const BLIND_LOOKS: u32 = 50;

/// A file that is looked at again and again. The kubelet swaps symbolic links above it, which file notification misses.
pub struct TableFile {
    path: PathBuf,
    seen: Option<Stamp>,
    content: Option<String>,
    looks: u32,
}

/// What a new content changes: the link's target is another inode.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    len: u64,
}

impl TableFile {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        TableFile { path, seen: None, content: None, looks: 0 }
    }

    /// The path, for messages.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The content, if it differs from what this returned last.
    ///
    /// # Errors
    /// When the file is not there (kind `NotFound`), and once for a content that cannot be read. What is readable again
    /// afterwards is new.
    pub fn look(&mut self) -> io::Result<Option<String>> {
        self.looks = self.looks.wrapping_add(1);
        let meta = fs::metadata(&self.path).inspect_err(|_| (self.seen, self.content) = (None, None))?;
        let stamp = Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            len: meta.len(),
        };
        if self.seen.as_ref() == Some(&stamp) && !self.looks.is_multiple_of(BLIND_LOOKS) {
            return Ok(None);
        }
        self.seen = Some(stamp);
        let content = self.read().inspect_err(|_| self.content = None)?;
        if self.content.as_ref() == Some(&content) {
            return Ok(None);
        }
        self.content = Some(content.clone());
        Ok(Some(content))
    }

    fn read(&self) -> io::Result<String> {
        let mut content = String::new();
        File::open(&self.path)?.take(MAX_BYTES + 1).read_to_string(&mut content)?;
        if content.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("is larger than {MAX_BYTES} bytes")));
        }
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn follows_the_kubelets_links() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.json");
        let mut file = TableFile::new(path.clone());
        assert_eq!(file.look().unwrap_err().kind(), ErrorKind::NotFound);

        for version in ["one", "two"] {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("table.json"), version).unwrap();
        }
        symlink("one", dir.path().join("..data")).unwrap();
        symlink("..data/table.json", &path).unwrap();
        assert_eq!(file.look().unwrap().as_deref(), Some("one"));
        assert_eq!(file.look().unwrap(), None);

        symlink("two", dir.path().join("..next")).unwrap();
        fs::rename(dir.path().join("..next"), dir.path().join("..data")).unwrap();
        assert_eq!(file.look().unwrap().as_deref(), Some("two"));
        assert_eq!(file.look().unwrap(), None);
    }

    #[test]
    fn refuses_what_is_no_table_by_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.json");
        fs::write(&path, vec![b' '; MAX_BYTES as usize + 1]).unwrap();
        let mut file = TableFile::new(path.clone());
        assert_eq!(file.look().unwrap_err().to_string(), "is larger than 4194304 bytes");
        assert_eq!(file.look().unwrap(), None, "told once");
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(file.look().unwrap_err().kind(), ErrorKind::InvalidData);
        fs::write(&path, "{}").unwrap();
        assert_eq!(file.look().unwrap().as_deref(), Some("{}"));
        fs::remove_file(&path).unwrap();
        assert_eq!(file.look().unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(&path, "{}").unwrap();
        assert_eq!(file.look().unwrap().as_deref(), Some("{}"), "what is back is new");
    }
}
