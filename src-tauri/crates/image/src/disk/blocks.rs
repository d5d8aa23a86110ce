//! Disks whose file is a map of equal blocks: what all of these formats have in common.
//!
//! A format says where a block is; tables are looked up entry by entry, and not kept, so that memory does not depend on what
//! a header claims.

use std::ops::Range;

use super::{SharedDisk, beyond_end};
use crate::Error;

/// How many blocks are looked at in one search for data. Behind that, the next one is said to hold some: it is read, finds
/// zeros, and the search goes on from there, so that whoever asks may stop in between.
const LOOKED_AT_MAX: u32 = 1 << 16;

/// Where the bytes of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: it reads as zeros.
    Zeros,
    /// As they are, from this byte of the file on.
    At(u64),
    /// Compressed, from this byte of the file on.
    Packed(u64),
}

/// A disk of equal blocks.
pub(super) trait Blocks {
    /// The size of the disk.
    fn disk_bytes(&self) -> u64;

    /// The size of a block.
    fn block_bytes(&self) -> u64;

    /// The file that it lies in.
    fn file(&self) -> &SharedDisk;

    /// Where a block is. `length` bytes of it belong to the disk, and are in the file.
    fn place(&self, block: u64, length: u64) -> Result<Place, Error>;

    /// Reads a part of a compressed block.
    fn unpack(&self, at: u64, _from: usize, _buffer: &mut [u8]) -> Result<(), Error> {
        let what = "compressed blocks".to_owned();
        Err(Error::Unsupported { what, offset: at })
    }

    /// The first block from this one on that may be there, as far as a look at a higher table tells.
    fn skip(&self, block: u64) -> Result<u64, Error> {
        Ok(block)
    }
}

/// How much of a block belongs to the disk.
fn length_of(disk: &impl Blocks, block: u64) -> u64 {
    let start = block.saturating_mul(disk.block_bytes());
    disk.disk_bytes()
        .saturating_sub(start)
        .min(disk.block_bytes())
}

pub(super) fn read_at(disk: &impl Blocks, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
    let end = offset.checked_add(buffer.len() as u64);
    if end.is_none_or(|end| end > disk.disk_bytes()) {
        return Err(beyond_end(offset));
    }
    let mut done = 0;
    while done < buffer.len() {
        let here = offset + done as u64;
        let (block, within) = (here / disk.block_bytes(), here % disk.block_bytes());
        let left = buffer.len() - done;
        let rest = usize::try_from(disk.block_bytes() - within).unwrap_or(left);
        let part = &mut buffer[done..done + rest.min(left)];
        match disk.place(block, length_of(disk, block))? {
            Place::Zeros => part.fill(0),
            Place::At(at) => disk.file().read_at(at + within, part)?,
            // Such blocks are small.
            Place::Packed(at) => disk.unpack(at, usize::try_from(within).unwrap_or(0), part)?,
        }
        done += part.len();
    }
    Ok(())
}

pub(super) fn next_data(disk: &impl Blocks, offset: u64) -> Result<Option<Range<u64>>, Error> {
    let blocks = disk.disk_bytes().div_ceil(disk.block_bytes());
    let mut block = offset / disk.block_bytes();
    let mut looked_at = 0;
    let is_there = |block| -> Result<bool, Error> {
        Ok(disk.place(block, length_of(disk, block))? != Place::Zeros)
    };
    loop {
        let skipped = disk.skip(block)?.max(block);
        looked_at += 1;
        block = skipped;
        if block >= blocks {
            return Ok(None);
        }
        if looked_at > LOOKED_AT_MAX || is_there(block)? {
            break;
        }
        block += 1;
    }
    let mut end = block + 1;
    while end < blocks && looked_at < LOOKED_AT_MAX && is_there(end)? {
        end += 1;
        looked_at += 1;
    }
    let start = (block * disk.block_bytes()).max(offset);
    let end = end.saturating_mul(disk.block_bytes());
    let end = end.min(disk.disk_bytes());
    Ok((start < end).then_some(start..end))
}

/// Refuses a place that is not in the file.
pub(super) fn inside(
    structure: &'static str,
    file: &SharedDisk,
    (at, length): (u64, u64),
    entry_at: u64,
) -> Result<u64, Error> {
    let end = at.checked_add(length);
    if end.is_some_and(|end| end <= file.size_bytes()) {
        return Ok(at);
    }
    let expected = format!("a place within {} bytes", file.size_bytes());
    Err(Error::corrupt(structure, entry_at, expected, at))
}
