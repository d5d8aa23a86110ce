//! ZFS root file systems, which only a guest can write.
//!
//! ```text
//!   we: the disk, its second partition empty ──┐
//!                                              ├─> the guest makes the file system and takes the files   [cpiod]
//!   a guest that somebody else starts ─────────┘      │
//!                                                     └─> record, digest and name, as of every image
//! ```
//!
//! What the guest leaves cannot be read here, nor told from anything but what was sent: the record beside the image says what
//! is in it. An update is always a full build, since the guest can neither remove nor rename.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_image::{GuestPath, Limit, Node};

use crate::cpiod::Member;
use crate::error::Error;

/// The least that a pool is made in, and what it has beside the content where nothing is said.
const ROOM_BYTES: u64 = 256 << 20;
const SIZE_ALIGNMENT_BYTES: u64 = 1 << 20;

/// What ZFS holds of a name, and OSv of the target of a symbolic link (`PATH_MAX`, with a NUL).
const NAME_BYTES_MAX: usize = 255;
const TARGET_BYTES_MAX: usize = 1023;
/// What the header of a cpio archive can say of a file's length.
const FILE_BYTES_MAX: u64 = u32::MAX as u64;

/// How far a guest is that fills a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// It boots, and makes its file system.
    Starting,
    /// It has so many bytes of what it is sent.
    Sent(u64),
    /// It has everything, and puts it on the disk.
    Ending,
}

/// What a [`Filler`] calls: a disk, what belongs into its second partition, who is told how far it is, and whether to stop.
type Fill = dyn Fn(&Path, &[Member], &mut dyn FnMut(Filling), &CancellationToken) -> Result<(), Error>
    + Send
    + Sync;

/// Has a guest write what belongs into the second partition of a disk, and returns when it has ended.
#[derive(Clone)]
pub struct Filler(Arc<Fill>);

impl Filler {
    /// A filler that calls this.
    pub fn new(
        fill: impl Fn(
            &Path,
            &[Member],
            &mut dyn FnMut(Filling),
            &CancellationToken,
        ) -> Result<(), Error>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(fill))
    }

    pub(crate) fn fill(
        &self,
        disk: &Path,
        members: &[Member],
        progress: &mut dyn FnMut(Filling),
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        (self.0)(disk, members, progress, cancel)
    }
}

impl fmt::Debug for Filler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filler")
    }
}

/// The size of the partition for so much content; `wanted` where that is said.
pub(crate) fn size_bytes(wanted: Option<u64>, content_bytes: u64) -> u64 {
    wanted
        .unwrap_or(content_bytes.saturating_mul(2).saturating_add(ROOM_BYTES))
        .max(ROOM_BYTES)
        .next_multiple_of(SIZE_ALIGNMENT_BYTES)
}

/// Whether a guest can be sent this, and ZFS hold it.
pub(crate) fn check_entry(path: &GuestPath, node: &Node) -> Result<(), windlass_image::Error> {
    let found_bytes = path.name().len();
    let limit = if found_bytes > NAME_BYTES_MAX {
        Limit::NameTooLong {
            found_bytes,
            limit_bytes: NAME_BYTES_MAX,
        }
    } else {
        match node {
            Node::File { size_bytes, .. } if *size_bytes > FILE_BYTES_MAX => Limit::FileTooLarge {
                found_bytes: *size_bytes,
                limit_bytes: FILE_BYTES_MAX,
            },
            Node::Symlink { target } if target.len() > TARGET_BYTES_MAX => Limit::TargetTooLong {
                found_bytes: target.len(),
                limit_bytes: TARGET_BYTES_MAX,
            },
            _ => return Ok(()),
        }
    };
    Err(windlass_image::Error::Limit {
        path: path.clone(),
        file_system: "ZFS",
        limit,
    })
}
