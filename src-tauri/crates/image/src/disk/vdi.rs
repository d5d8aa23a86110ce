//! vdi, read only (`VirtualBox`'s `VDICore.h`; QEMU's `block/vdi.c`).
//!
//! ```text
//!   0     text, 64 bytes        64   magic, u32        68   version 1.1
//!   76    1 growing, 2 fixed    340  the map           344  the blocks, u32 each
//!   368   size, u64             376  bytes of a block  380  extra bytes in front of each block
//!   384   how many blocks       440  UUID of a parent
//!   map   u32 per block: which block of the file; 0xFFFFFFFF nowhere, 0xFFFFFFFE zeros
//! ```
//!
//! All numbers are little-endian. A disk that is a difference to a parent is refused.

use std::ops::Range;

use super::blocks::{self, Blocks, Place, inside};
use super::{ReadAt, SharedDisk, le_u32, le_u64};
use crate::Error;

/// Where its magic is, and what it is.
pub(crate) const MAGIC_AT: usize = 64;
pub(crate) const MAGIC: u32 = 0xBEDA_107F;

const HEADER_BYTES: usize = 512;
const VERSION: u32 = 0x0001_0001;
const TYPE_GROWING: u32 = 1;
const TYPE_FIXED: u32 = 2;
/// `VirtualBox` makes blocks of 1 MiB.
const BLOCK_BYTES: std::ops::RangeInclusive<u32> = 4096..=256 << 20;
const NOWHERE: u32 = 0xFFFF_FFFE;

/// An open vdi disk.
#[derive(Debug)]
pub struct Vdi {
    file: SharedDisk,
    size_bytes: u64,
    block_bytes: u64,
    /// What lies in front of each block's bytes.
    extra_bytes: u64,
    blocks: u64,
    map_at: u64,
    blocks_at: u64,
}

impl Vdi {
    /// Opens a vdi file.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for what is no vdi; [`Error::Corrupt`]; [`Error::Unsupported`] for differences to a parent.
    pub fn open(file: SharedDisk) -> Result<Self, Error> {
        let mut header = [0; HEADER_BYTES];
        let there = HEADER_BYTES.min(usize::try_from(file.size_bytes()).unwrap_or(HEADER_BYTES));
        file.read_at(0, &mut header[..there])?;
        let magic = le_u32(&header, MAGIC_AT);
        if magic != MAGIC || there < HEADER_BYTES {
            return Err(Error::WrongKind {
                expected: "a vdi disk",
                found: format!("it has {magic:#010x} at byte {MAGIC_AT}"),
            });
        }
        let version = le_u32(&header, 68);
        if version != VERSION {
            let what = format!("version {}.{} of vdi", version >> 16, version & 0xFFFF);
            return Err(Error::Unsupported { what, offset: 68 });
        }
        let kind = le_u32(&header, 76);
        if ![TYPE_GROWING, TYPE_FIXED].contains(&kind) || header[440..456] != [0; 16] {
            let what = "only the differences to another disk".to_owned();
            return Err(Error::Unsupported { what, offset: 76 });
        }
        let block_bytes = le_u32(&header, 376);
        if !BLOCK_BYTES.contains(&block_bytes) || !block_bytes.is_power_of_two() {
            return Err(corrupt(
                376,
                "blocks of 4 KiB to 256 MiB, a power of two",
                block_bytes,
            ));
        }
        let block_bytes = u64::from(block_bytes);
        let extra_bytes = u64::from(le_u32(&header, 380));
        if extra_bytes > block_bytes {
            return Err(corrupt(380, "no more than a block", extra_bytes));
        }
        let size_bytes = le_u64(&header, 368);
        let blocks = u64::from(le_u32(&header, 384));
        if size_bytes.div_ceil(block_bytes) > blocks {
            let expected = format!("{} blocks or more", size_bytes.div_ceil(block_bytes));
            return Err(corrupt(384, expected, blocks));
        }
        let map_at = u64::from(le_u32(&header, 340));
        inside("vdi", &file, (map_at, blocks * 4), 340)?;
        Ok(Self {
            size_bytes,
            block_bytes,
            extra_bytes,
            blocks,
            map_at,
            blocks_at: u64::from(le_u32(&header, 344)),
            file,
        })
    }
}

impl Blocks for Vdi {
    fn disk_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    fn file(&self) -> &SharedDisk {
        &self.file
    }

    fn place(&self, block: u64, length: u64) -> Result<Place, Error> {
        let entry_at = self.map_at + block * 4;
        let mut entry = [0; 4];
        self.file.read_at(entry_at, &mut entry)?;
        let entry = u32::from_le_bytes(entry);
        if entry >= NOWHERE {
            return Ok(Place::Zeros);
        }
        if u64::from(entry) >= self.blocks {
            let expected = format!("a block below {}", self.blocks);
            return Err(corrupt(entry_at, expected, entry));
        }
        // At most 2^32 blocks of 2^29 bytes.
        let at = self.blocks_at
            + u64::from(entry) * (self.block_bytes + self.extra_bytes)
            + self.extra_bytes;
        inside("vdi", &self.file, (at, length), entry_at).map(Place::At)
    }
}

impl ReadAt for Vdi {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        blocks::read_at(self, offset, buffer)
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        blocks::next_data(self, offset)
    }
}

fn corrupt(offset: u64, expected: impl Into<String>, found: impl std::fmt::Display) -> Error {
    Error::corrupt("vdi", offset, expected, found)
}
