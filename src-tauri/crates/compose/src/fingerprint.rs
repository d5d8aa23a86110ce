//! Whether anything changed since the last build, told without reading a file.

use crate::error::Error;
use crate::plan::{EntryKind, Origin, Plan};

impl Plan {
    /// A digest of the merged tree: paths, kinds, modes, links, and for each file its size, times of change and
    /// inode, as they were scanned. As long as it stays the same, so does the image.
    ///
    /// # Errors
    /// None today: all that it needs is known since the scan.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let mut hasher = blake3::Hasher::new();
        // Lengths before what they measure: no two trees come to the same bytes.
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for name in [self.guest().to_string(), self.root_fs().to_string()] {
            field(name.as_bytes());
        }
        for (path, entry) in self.entries() {
            field(path.as_bytes());
            field(&entry.mode.to_le_bytes());
            match (&entry.kind, &entry.origin) {
                (EntryKind::Symlink { target }, _) => {
                    field(b"symlink");
                    field(target);
                }
                (_, Origin::Made(bytes)) => {
                    field(b"made");
                    field(bytes);
                }
                (_, Origin::Host { stamp, .. }) => {
                    field(b"file");
                    for number in [stamp.size_bytes, stamp.device, stamp.inode] {
                        field(&number.to_le_bytes());
                    }
                    for time in [stamp.modified_ns, stamp.changed_ns] {
                        field(&i128::from(time).to_le_bytes());
                    }
                }
                (_, Origin::None) => field(b"directory"),
            }
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}
