//! What a reader finds in a file system, the same for each of them.

use crate::GuestPath;

/// One file, directory or symlink of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: GuestPath,
    /// Its number in the file system.
    pub inode: u64,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory {
        /// How many entries are directly in it.
        children: u64,
    },
    /// A regular file.
    File {
        /// Where its bytes start, from the start of the file system.
        offset_bytes: u64,
        /// How many there are.
        size_bytes: u64,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Vec<u8>,
    },
}
