//! FAT: what firmware boots from (the EFI system partition), and what cloud-init takes its seed from (label `CIDATA`).
//!
//! ```text
//!   boot sector          how large everything is; FAT32: a copy in sector 6, free clusters in sector 1
//!   FAT, its copy        for each cluster the next one of its file: 12, 16 or 32 bits
//!   root directory       FAT12 and FAT16 only: of a fixed size
//!   clusters from 2 on   FAT32's root, directories, files
//! ```
//!
//! Which of the three it is, only the number of clusters says: FAT12 has fewer than 4085, FAT16 fewer than 65525
//! (Microsoft's *FAT32 File System Specification*, 1.03). Names are UTF-16 of up to 255 units, stored in entries before the one
//! with the name of eight and three letters; they are told apart without regard to case.
//!
//! The writer lays out every directory and file in one piece, in the order of the tree, so that who boots reads in
//! long stretches. Its output depends on the tree and the options alone: the serial number is derived from them, and every
//! date is the same. The reader follows no chain further than the volume has clusters.

mod directory;
mod geometry;
mod names;
mod reader;
mod writer;

pub use reader::Fat;
pub use writer::write;

use crate::{Error, GuestPath, Limit, Node};

/// The largest file: its size has 32 bits.
pub const FILE_BYTES_MAX: u64 = u32::MAX as u64;

/// The longest name, in units of UTF-16.
pub const NAME_UNITS_MAX: usize = 255;

/// The longest label.
pub const LABEL_BYTES_MAX: usize = 11;

/// More than 65536 entries no system reads.
const DIRECTORY_BYTES_MAX: u64 = 65_536 * ENTRY_BYTES as u64;

/// An entry of a directory.
const ENTRY_BYTES: usize = 32;

const SECTOR_BYTES: u64 = 512;

/// The bits of an entry of the FAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FatKind {
    /// Up to 4084 clusters.
    Fat12,
    /// Up to 65524 clusters.
    Fat16,
    /// More; what the UEFI specification asks of an EFI system partition.
    Fat32,
}

impl FatKind {
    fn of(clusters: u64) -> Self {
        match clusters {
            0..4085 => Self::Fat12,
            4085..65_525 => Self::Fat16,
            _ => Self::Fat32,
        }
    }

    fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// What an entry of the FAT has where a chain ends, and from where on others say so.
    fn end_of_chain(self) -> (u32, u32) {
        match self {
            Self::Fat12 => (0xFFF, 0xFF8),
            Self::Fat16 => (0xFFFF, 0xFFF8),
            Self::Fat32 => (0x0FFF_FFFF, 0x0FFF_FFF8),
        }
    }
}

/// What a FAT file system is to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FatOptions {
    /// Its size; fitted to the content where `None`.
    pub size_bytes: Option<u64>,
    /// Free space to leave where the size is fitted.
    pub headroom_bytes: u64,
    /// The volume's label: at most 11 bytes, of those that names can have, in capitals.
    pub label: String,
    /// Which of the three; what fits best where `None`.
    pub kind: Option<FatKind>,
    /// Where the partition starts on its disk.
    pub start_bytes: u64,
}

/// Whether a first sector is that of a FAT file system.
pub(crate) fn is_magic(start: &[u8]) -> bool {
    start
        .first_chunk()
        .is_some_and(|sector| geometry::Geometry::parse(sector).is_ok())
}

/// Checks that FAT can hold a node.
///
/// # Errors
/// [`Error::Limit`] says what it cannot hold.
pub fn check_entry(path: &GuestPath, node: &Node) -> Result<(), Error> {
    let refuse = |limit| {
        Err(Error::Limit {
            path: path.clone(),
            file_system: "FAT",
            limit,
        })
    };
    if let Err(limit) = names::check(path.name()) {
        return refuse(limit);
    }
    match node {
        Node::File { size_bytes, .. } if *size_bytes > FILE_BYTES_MAX => {
            refuse(Limit::FileTooLarge {
                found_bytes: *size_bytes,
                limit_bytes: FILE_BYTES_MAX,
            })
        }
        Node::Symlink { .. } => refuse(Limit::NoSymlinks),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
