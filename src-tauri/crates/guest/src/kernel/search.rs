//! Bounded reading of a file whose contents are not trusted.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use super::NotAKernel;

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
        let failed = |source| NotAKernel::Read { offset, source };
        self.input.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::with_capacity(count.min(1 << 16));
        (&mut *self.input)
            .take(count as u64)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Ok(bytes)
    }
}
