//! File systems that are recognised, so that they can be named, and not read.
//!
//! | what | where | bytes |
//! | --- | --- | --- |
//! | ZFS | each KiB from 128 KiB to 256 KiB, an uberblock | `00bab10c` as a 64-bit number, of either byte order |
//! | XFS | 0 | `XFSB` |
//! | LUKS | 0 | `LUKS` `ba be` |
//! | NTFS | 3 | `NTFS    ` |
//! | LVM | 512 | `LABELONE` |
//! | swap | 4086 | `SWAPSPACE2` |
//! | Btrfs | 65,600 | `_BHRfS_M` |

use std::fmt;

use crate::Error;
use crate::disk::{Part, ReadAt};

const ZFS_UBERBLOCKS_BYTES: std::ops::Range<u64> = 128 << 10..256 << 10;
const ZFS_UBERBLOCK_STEP_BYTES: usize = 1 << 10;
const ZFS_MAGIC: u64 = 0x00ba_b10c;

/// A file system, or what else a partition can be, that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// ZFS, as OSv's builder makes it: only a guest reads it.
    Zfs,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// NTFS.
    Ntfs,
    /// An encrypted volume.
    Luks,
    /// A part of a logical volume.
    Lvm,
    /// Swap space.
    Swap,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zfs => "ZFS",
            Self::Xfs => "XFS",
            Self::Btrfs => "Btrfs",
            Self::Ntfs => "NTFS",
            Self::Luks => "LUKS",
            Self::Lvm => "LVM",
            Self::Swap => "swap",
        })
    }
}

/// What a partition is that holds no file system that can be read.
pub(crate) fn recognise(part: &Part) -> Result<Option<Foreign>, Error> {
    const MAGICS: [(u64, &[u8], Foreign); 6] = [
        (0, b"XFSB", Foreign::Xfs),
        (0, b"LUKS\xba\xbe", Foreign::Luks),
        (3, b"NTFS    ", Foreign::Ntfs),
        (512, b"LABELONE", Foreign::Lvm),
        (4086, b"SWAPSPACE2", Foreign::Swap),
        (64 << 10 | 0x40, b"_BHRfS_M", Foreign::Btrfs),
    ];
    for (offset, magic, foreign) in MAGICS {
        let mut found = [0; 16];
        let found = &mut found[..magic.len()];
        if offset + magic.len() as u64 <= part.size_bytes() {
            part.read_at(offset, found)?;
            if found == magic {
                return Ok(Some(foreign));
            }
        }
    }
    if part.size_bytes() < ZFS_UBERBLOCKS_BYTES.end {
        return Ok(None);
    }
    let mut ring = vec![0; 128 << 10];
    part.read_at(ZFS_UBERBLOCKS_BYTES.start, &mut ring)?;
    let is_uberblock = |block: &[u8]| {
        block.first_chunk().is_some_and(|magic| {
            *magic == ZFS_MAGIC.to_le_bytes() || *magic == ZFS_MAGIC.to_be_bytes()
        })
    };
    let has_one = ring
        .chunks_exact(ZFS_UBERBLOCK_STEP_BYTES)
        .any(is_uberblock);
    Ok(has_one.then_some(Foreign::Zfs))
}
