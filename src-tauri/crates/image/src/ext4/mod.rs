//! ext4 for a writable root or a volume, laid out by [`mkext4`].

use std::io::{Read, Seek, Write};

use crate::{Error, GuestPath, Node, Tree, Watch};

/// What an ext4 file system is to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ext4Options {
    /// Its size; fitted to the content, with [`headroom_bytes`](Self::headroom_bytes), where `None`.
    pub size_bytes: Option<u64>,
    /// Free space to leave for the guest, where the size is fitted; a quarter of the content, 64 MiB
    /// at least, where `None`.
    pub headroom_bytes: Option<u64>,
    /// The volume's label, at most 16 bytes.
    pub label: String,
    /// Who writes to it.
    pub written_by: WrittenBy,
}

/// Who writes to a file system: OSv's ext4 (lwext4) ignores a journal, so that a journal that Linux
/// left unplayed would later undo what OSv wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WrittenBy {
    /// Linux alone: with a journal.
    #[default]
    Linux,
    /// OSv, or OSv and Linux by turns: without a journal.
    Osv,
}

/// Checks that our ext4 writer can hold a node.
///
/// # Errors
/// [`Error::Limit`] says what it cannot hold.
pub fn check_entry(path: &GuestPath, node: &Node) -> Result<(), Error> {
    let _ = (path, node);
    Ok(())
}

/// Writes a tree as an ext4 file system, from the position of `out` on, and returns its size.
///
/// # Errors
/// See [`Error`]; the output is unfinished then.
pub fn write(
    tree: &Tree,
    out: &mut (impl Write + Seek),
    options: &Ext4Options,
    watch: &mut (impl Watch + ?Sized),
) -> Result<u64, Error> {
    let _ = (tree, out, options, watch);
    Err(Error::Cancelled)
}

/// What matters of an ext4 superblock before a guest gets the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The size of the file system.
    pub size_bytes: u64,
    /// The volume's label.
    pub label: String,
    /// Whether it was unmounted properly and no error was seen.
    pub clean: bool,
    /// Whether it has a journal.
    pub has_journal: bool,
    /// Whether the journal holds changes that are not in place yet: OSv must not write to it then.
    pub needs_recovery: bool,
}

impl Superblock {
    /// Reads the superblock of a file system that is all of `image`.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::WrongKind`], [`Error::Corrupt`].
    pub fn read(image: &mut (impl Read + Seek)) -> Result<Self, Error> {
        let _ = image;
        Err(Error::Cancelled)
    }
}

/// Whether an ext2, ext3 or ext4 file system starts with these bytes.
pub(crate) fn is_magic(start: &[u8]) -> bool {
    start.get(1024 + 0x38..1024 + 0x3A) == Some(&[0x53, 0xEF])
}
