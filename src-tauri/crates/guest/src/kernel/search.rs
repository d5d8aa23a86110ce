//! Bounded reading of a file whose contents are not trusted.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use super::NotAKernel;

/// How much is read at once where a whole file is gone through.
const BLOCK_BYTES: usize = 1 << 16;

trait Input: Read + Seek {}
impl<T: Read + Seek> Input for T {}

/// A file of known length, read at offsets.
pub(super) struct Window<'a> {
    input: &'a mut dyn Input,
    length_bytes: u64,
}

impl fmt::Debug for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("length_bytes", &self.length_bytes)
            .finish_non_exhaustive()
    }
}

impl<'a> Window<'a> {
    pub(super) fn new(input: &'a mut (impl Read + Seek)) -> Result<Self, NotAKernel> {
        let length_bytes = input
            .seek(SeekFrom::End(0))
            .map_err(|source| NotAKernel::Read { offset: 0, source })?;
        Ok(Self {
            input,
            length_bytes,
        })
    }

    pub(super) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Up to `count` bytes at `offset`; fewer where the file ends before.
    pub(super) fn read_at(&mut self, offset: u64, count: usize) -> Result<Vec<u8>, NotAKernel> {
        // A table that a header puts beyond the end is no fault of the disk.
        if offset >= self.length_bytes {
            return Ok(Vec::new());
        }
        let failed = |source| NotAKernel::Read { offset, source };
        self.input.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::with_capacity(count.min(BLOCK_BYTES));
        (&mut *self.input)
            .take(count as u64)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Ok(bytes)
    }

    /// The whole file up to `limit_bytes`, in pieces.
    pub(super) fn for_each_block(
        &mut self,
        limit_bytes: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), NotAKernel> {
        let mut offset = 0;
        while offset < self.length_bytes.min(limit_bytes) {
            let block = self.read_at(offset, BLOCK_BYTES)?;
            if block.is_empty() {
                break;
            }
            take(&block);
            offset += block.len() as u64;
        }
        Ok(())
    }
}

/// Little-endian numbers at offsets, zero where the bytes end before: a caller checks what it reads anyway.
pub(super) trait Fields {
    fn u16_at(&self, offset: usize) -> u16;
    fn u32_at(&self, offset: usize) -> u32;
    fn u64_at(&self, offset: usize) -> u64;
    fn has_at(&self, offset: usize, magic: &[u8]) -> bool;
}

impl Fields for [u8] {
    fn u16_at(&self, offset: usize) -> u16 {
        array_at(self, offset).map_or(0, u16::from_le_bytes)
    }

    fn u32_at(&self, offset: usize) -> u32 {
        array_at(self, offset).map_or(0, u32::from_le_bytes)
    }

    fn u64_at(&self, offset: usize) -> u64 {
        array_at(self, offset).map_or(0, u64::from_le_bytes)
    }

    fn has_at(&self, offset: usize, magic: &[u8]) -> bool {
        self.get(offset..)
            .is_some_and(|bytes| bytes.starts_with(magic))
    }
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// Where `needle` stands in `bytes`.
pub(super) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut start = 0;
    while let Some(found) = bytes.get(start..)?.iter().position(|byte| *byte == first) {
        if bytes[start + found..].starts_with(needle) {
            return Some(start + found);
        }
        start += found + 1;
    }
    None
}
