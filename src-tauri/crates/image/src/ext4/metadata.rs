//! Takes mkext4's metadata into the image: neighbouring blocks together, zeros left out.

use std::io::{self, Seek, Write};

use mkext4::RegionSink;

use super::plain::{Plain, Verdict};
use crate::Error;
use crate::output::Output;

/// mkext4 hands over single blocks; written by themselves they would cost more than the files.
const PENDING_BYTES: usize = 1 << 20;

/// Receives the metadata, in ascending order.
pub(super) struct MetadataSink<'output, 'out, W> {
    output: &'output mut Output<'out, W>,
    plain: Option<Plain>,
    pending: Vec<u8>,
    pending_at: u64,
    failure: Option<Error>,
}

impl<'output, 'out, W: Write + Seek> MetadataSink<'output, 'out, W> {
    pub(super) fn new(output: &'output mut Output<'out, W>, is_plain: bool) -> Self {
        Self {
            output,
            plain: is_plain.then(Plain::default),
            pending: Vec::with_capacity(PENDING_BYTES),
            pending_at: 0,
            failure: None,
        }
    }

    /// Writes what is left, given what mkext4 said in the end.
    pub(super) fn finish(mut self, emitted: mkext4::Result<()>) -> Result<(), Error> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        emitted.map_err(|error| Error::Ext4 {
            source: Box::new(error),
        })?;
        self.write_pending()?;
        if let Some(plain) = self.plain.take() {
            for (offset, bytes) in plain.finish()? {
                self.output.write_at(offset, &bytes)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        match self.plain.as_mut().map(|plain| plain.look(offset, bytes)) {
            None | Some(Verdict::Same) => self.append(offset, bytes),
            Some(Verdict::Changed(bytes)) => self.append(offset, &bytes),
            Some(Verdict::Held) => Ok(()),
        }
    }

    fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let follows = self.pending_at + self.pending.len() as u64 == offset;
        if !follows || self.pending.len() + bytes.len() > PENDING_BYTES {
            self.write_pending()?;
            self.pending_at = offset;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    fn write_pending(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            self.output.write_at(self.pending_at, &self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }
}

impl<W: Write + Seek> RegionSink for MetadataSink<'_, '_, W> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.put(offset, bytes).map_err(|error| {
            self.failure = Some(error);
            io::Error::other("the image cannot be written")
        })
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}
