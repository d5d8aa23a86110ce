//! By what a file is known to be unchanged without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use windlass_image::spill::{Decoder, put_number};

use crate::error::{Error, IoContext};

/// How long a file has to be unchanged to be taken for unchanged by its times.
const SETTLED_NS: i64 = 2_000_000_000;

/// Size, times of change and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    pub(crate) size_bytes: u64,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) modified_ns: i64,
    /// The time of change of the inode, which no program sets: it shows a file whose time of change was put back.
    pub(crate) changed_ns: i64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        // Enough until 2262; file systems hold no times that are further away.
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size_bytes: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// As [`Stamp::of`], of what the system says.
    pub(crate) fn of_stat(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: u64| {
            let rest = i64::try_from(rest).unwrap_or(0);
            seconds.saturating_mul(1_000_000_000).saturating_add(rest)
        };
        Self {
            size_bytes: stat.st_size.cast_unsigned(),
            device: stat.st_dev,
            inode: stat.st_ino,
            modified_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Adds its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.size_bytes, self.device, self.inode] {
            put_number(out, number);
        }
        out.extend_from_slice(&self.modified_ns.to_le_bytes());
        let later = self.changed_ns.wrapping_sub(self.modified_ns);
        put_number(out, ((later << 1) ^ (later >> 63)).cast_unsigned());
    }

    /// Reads it again.
    pub(crate) fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let (size_bytes, device, inode) = (from.number()?, from.number()?, from.number()?);
        let modified_ns = i64::from_le_bytes(from.take(8)?.try_into().ok()?);
        let zigzag = from.number()?;
        let later = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        Some(Self {
            size_bytes,
            device,
            inode,
            modified_ns,
            changed_ns: modified_ns.wrapping_add(later),
        })
    }

    /// Whether the file had been unchanged for so long at that time that a later change shows in its times. File systems
    /// count in steps.
    pub(crate) fn is_settled(&self, at: SystemTime) -> bool {
        let at = at
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let settled = i64::try_from(at)
            .unwrap_or(i64::MAX)
            .saturating_sub(SETTLED_NS);
        self.modified_ns < settled && self.changed_ns < settled
    }

    /// Looks whether a file still has this stamp.
    ///
    /// # Errors
    /// [`Error::Changed`] with what is different.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Error> {
        let changed = |what: String| Error::Changed {
            path: path.to_path_buf(),
            what,
        };
        let metadata = match std::fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(changed("it is gone".to_owned()));
            }
            Err(error) => return Err(error).context("read", path),
        };
        let now = Self::of(&metadata);
        if now == *self {
            return Ok(());
        }
        Err(changed(if now.size_bytes != self.size_bytes {
            format!(
                "it had {} bytes, and has {} now",
                self.size_bytes, now.size_bytes
            )
        } else if (now.device, now.inode) != (self.device, self.inode) {
            "it was replaced by another file".to_owned()
        } else {
            "it was written to".to_owned()
        }))
    }
}
