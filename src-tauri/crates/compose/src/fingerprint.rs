//! Whether anything changed since the last build, told without reading a file.

use std::os::unix::fs::MetadataExt;

use windlass_image::{Node, Source};

use crate::error::{Error, IoContext};
use crate::plan::Plan;

impl Plan {
    /// A digest of the merged tree: paths, kinds, modes, links, and for each file its size, time of change and inode.
    /// As long as it stays the same, so does the image.
    ///
    /// # Errors
    /// When a file vanished since the scan.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let mut hasher = blake3::Hasher::new();
        // Lengths before what they measure: no two trees come to the same bytes.
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for (path, node) in self.tree()?.iter() {
            field(path.as_bytes());
            match node {
                Node::Directory { mode } => {
                    field(b"directory");
                    field(&mode.to_le_bytes());
                }
                Node::Symlink { target } => {
                    field(b"symlink");
                    field(target);
                }
                Node::File {
                    source,
                    size_bytes,
                    mode,
                } => {
                    field(b"file");
                    field(&mode.to_le_bytes());
                    field(&size_bytes.to_le_bytes());
                    match source {
                        Source::Bytes(bytes) => field(bytes),
                        Source::Path(path) => {
                            let file = std::fs::metadata(path).context("look at", path)?;
                            field(&file.ino().to_le_bytes());
                            field(&file.mtime().to_le_bytes());
                            field(&file.mtime_nsec().to_le_bytes());
                        }
                    }
                }
            }
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}
