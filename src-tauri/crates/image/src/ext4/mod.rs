//! ext4 for a writable root or a volume.
//!
//! ```text
//!   Tree ──> does it fit? ──> inodes, directories ──> bitmaps, superblock ──> files ──> Write + Seek
//!              walk, dry        walk                    books                   content
//! ```
//!
//! Every place follows from the sizes in the tree, by the same rule in each pass, so that nothing is kept for a file: memory
//! is that of the tree and of the directories that the walk is in. The files stream behind the metadata through the same
//! copying as for ROFS. The output depends on nothing but our input: the UUID is derived from what is in the tree, every
//! time is [`EPOCH_SECONDS`], and all belongs to root.
//!
//! It has one set of features (blocks of 4 KiB; extents, `flex_bg`, `dir_index`, `metadata_csum`,
//! `has_journal`; without `64bit` and `resize_inode`), and takes names in UTF-8 only.
//!
//! The records themselves are encoded, hashed and summed by the crate [`mkext4`].
//!
//! A file system that OSv writes must have no journal: OSv's ext4 ignores one, so that a journal left
//! unplayed by a crash of Linux would later undo what OSv wrote. [`WrittenBy::Osv`] asks for that, and
//! for no `metadata_csum` either, which would make OSv slow.

mod books;
mod directory;
mod edit;
mod folder;
mod geometry;
mod grow;
mod inode;
mod layout;
mod map;
mod places;
mod reader;
mod record;
mod superblock;
mod walk;

use std::io::{Seek, Write};

pub use edit::update;
pub(crate) use geometry::Geometry;
pub(crate) use grow::{Grown, grow};
pub use reader::Ext4;
pub use superblock::Superblock;
pub(crate) use superblock::is_magic;

use crate::content;
use crate::output::Output;
use crate::tree::check_read;
use crate::{Error, GuestPath, Limit, Node, Tree, Watch};
use geometry::SUPERBLOCK_OFFSET;
use layout::Plan;
use walk::{Pen, walk};

/// The time of everything in the file system: 2024-01-01 00:00:00 UTC. Zero makes some programs
/// (archivers, build tools) believe that a file has no date.
pub const EPOCH_SECONDS: i64 = 1_704_067_200;

/// The longest name.
pub const NAME_BYTES_MAX: usize = 255;

/// The longest target of a symlink: a block, less a NUL.
pub const TARGET_BYTES_MAX: usize = 4095;

/// The largest file: 2^32 blocks, less one.
pub const FILE_BYTES_MAX: u64 = (u32::MAX as u64 - 1) * BLOCK_BYTES;

/// The longest label.
pub const LABEL_BYTES_MAX: usize = 16;

/// The smallest file system.
pub const SIZE_BYTES_MIN: u64 = 8 << 20;

const BLOCK_BYTES: u64 = 4096;
const BLOCK: usize = 4096;
const INODE_BYTES: usize = 256;
const ROOT_INODE: u32 = 2;
const JOURNAL_INODE: u32 = 8;
const LOST_AND_FOUND_INODE: u32 = 11;
/// Room for what a repair finds, so that it need not look for blocks.
const LOST_AND_FOUND_BLOCKS: u64 = 4;
const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_INDEX: u32 = 0x1000;
/// A directory with more links than this has a count of 1 (`dir_nlink`).
const LINKS_MAX: usize = 65_000;
/// Longer targets have a block of their own.
const SHORT_TARGET_BYTES: usize = 59;

/// The directory that every ext4 has, and into which a repair puts what it finds.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// What an ext4 file system is to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ext4Options {
    /// Its size, of which whole blocks of 4 KiB are used; fitted to the content with
    /// [`headroom_bytes`](Self::headroom_bytes) where `None`.
    pub size_bytes: Option<u64>,
    /// Free space to leave for the guest where the size is fitted; a quarter of the content, but
    /// 64 MiB to 2 GiB, where `None`. Free space is a hole in the image.
    pub headroom_bytes: Option<u64>,
    /// The volume's label, at most 16 bytes.
    pub label: String,
    /// Who writes to it.
    pub written_by: WrittenBy,
}

/// Who writes to a file system once it is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WrittenBy {
    /// Linux alone: with a journal (from 16 MiB on, the smallest that holds one).
    #[default]
    Linux,
    /// OSv, or OSv and Linux by turns: without a journal and checksums of metadata.
    Osv,
}

/// Checks that our ext4 writer can hold a node.
///
/// # Errors
/// [`Error::Limit`] says what it cannot hold.
pub fn check_entry(path: &GuestPath, node: &Node) -> Result<(), Error> {
    let refuse = |limit| {
        Err(Error::Limit {
            path: path.clone(),
            file_system: "ext4",
            limit,
        })
    };
    let name = path.name();
    if name.len() > NAME_BYTES_MAX {
        let found_bytes = name.len();
        return refuse(Limit::NameTooLong {
            found_bytes,
            limit_bytes: NAME_BYTES_MAX,
        });
    }
    if str::from_utf8(name).is_err() {
        return refuse(Limit::NameNotUtf8);
    }
    // The writer makes its own, which a tree's empty one stands for.
    let first = path.components().next();
    let is_lost_and_found = path.as_bytes() == LOST_AND_FOUND;
    if first == Some(LOST_AND_FOUND)
        && !(is_lost_and_found && matches!(node, Node::Directory { .. }))
    {
        return refuse(Limit::NameReserved("lost+found"));
    }
    match node {
        Node::File { size_bytes, .. } if *size_bytes > FILE_BYTES_MAX => {
            refuse(Limit::FileTooLarge {
                found_bytes: *size_bytes,
                limit_bytes: FILE_BYTES_MAX,
            })
        }
        Node::Symlink { target } if target.len() > TARGET_BYTES_MAX => {
            let found_bytes = target.len();
            refuse(Limit::TargetTooLong {
                found_bytes,
                limit_bytes: TARGET_BYTES_MAX,
            })
        }
        Node::Symlink { target } if target.is_empty() => refuse(Limit::TargetInvalid("empty")),
        Node::Symlink { target } if target.contains(&0) => {
            refuse(Limit::TargetInvalid("cut off by a NUL byte"))
        }
        Node::Symlink { target } if str::from_utf8(target).is_err() => {
            refuse(Limit::TargetInvalid("not valid UTF-8"))
        }
        _ => Ok(()),
    }
}

/// Writes a tree as an ext4 file system, from the position of `out` on, and returns its size.
///
/// # Errors
/// [`Error::Limit`], [`Error::TooSmall`] and [`Error::Ext4`] before anything is written;
/// [`Error::Source`], [`Error::Changed`], [`Error::Write`] and [`Error::Cancelled`] leave the output
/// unfinished.
pub fn write(
    tree: &Tree,
    out: &mut (impl Write + Seek),
    options: &Ext4Options,
    watch: &mut (impl Watch + ?Sized),
) -> Result<u64, Error> {
    for (path, node) in tree {
        check_entry(&path, &node)?;
    }
    let plan = Plan::new(tree, options)?;
    let mut output = Output::new(out)?;
    let mut pen = Pen::new(&plan, &mut output);
    if let Some(walked) = walk(&plan, &mut pen)? {
        books::write(&plan, &walked, &mut pen)?;
    }
    pen.finish()?;
    content::copy(plan.pieces(), &mut output, watch)?;
    check_read(tree)?;
    output.finish(plan.size_bytes)?;
    Ok(plan.size_bytes)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
