//! An image is made to hold another tree, and only what differs is written.
//!
//! ```text
//!   free space     <── the bytes of files that are new or changed, new tables      at once: nobody looks there
//!   used space     <── Patch: superblock, inodes, bitmaps, partition table         when all else is safe
//! ```
//!
//! Nothing that the old tree refers to is overwritten before the patch: until then the guest sees the old
//! tree, and with the patch applied, the new one. A patch is small, and can be applied again; [`journal`](crate::journal)
//! sees to it that it is applied whole or not at all.
//!
//! What the old tree leaves becomes free for the next update. An image that would waste too much, or has too
//! little room, is not updated: [`Updated::Rebuild`] says why a full build is due.

use std::collections::BTreeMap;

use crate::GuestPath;

/// What is different in the new tree. Both lists are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is no more: files, symlinks, directories with all that is in them named as well.
    pub removed: Vec<GuestPath>,
    /// What is new, has other bytes, another mode or target, or is of another kind.
    pub put: Vec<GuestPath>,
}

/// The writes that turn an old image into a new one, once everything else is in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// Bytes by their place in the image.
    pub writes: BTreeMap<u64, Vec<u8>>,
    /// The size of the image when it is done.
    pub size_bytes: u64,
    /// What was written to free space already: where, and how much.
    pub written: Vec<(u64, u64)>,
}

impl Patch {
    /// How many bytes are written in all.
    pub fn bytes_written(&self) -> u64 {
        let free: u64 = self.written.iter().map(|(_, length)| length).sum();
        let used: u64 = self.writes.values().map(|bytes| bytes.len() as u64).sum();
        free + used
    }

    /// Every place where the image changes: where, and how much.
    pub fn touched(&self) -> impl Iterator<Item = (u64, u64)> {
        let writes = self.writes.iter();
        let writes = writes.map(|(&at, bytes)| (at, bytes.len() as u64));
        self.written.iter().copied().chain(writes)
    }

    /// Adds what another part of the image needs, `offset` further on.
    pub(crate) fn take(&mut self, other: Self, offset: u64) {
        let writes = other.writes.into_iter();
        self.writes
            .extend(writes.map(|(at, bytes)| (offset + at, bytes)));
        let written = other.written.into_iter();
        self.written
            .extend(written.map(|(at, length)| (offset + at, length)));
    }
}

/// How an update went.
#[derive(Debug)]
pub enum Updated {
    /// Free space is written; the patch remains.
    Patch(Patch),
    /// A full build is due. Nothing was written.
    Rebuild {
        /// Why, in words.
        reason: String,
    },
}

impl Updated {
    pub(crate) fn rebuild(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Rebuild { reason }
    }
}
