//! Positioned writes into an image, with zeros left as holes.

use std::io::{Seek, SeekFrom, Write};

use crate::Error;

/// Zeros are looked for in blocks of this size, so that a hole is worth its seek.
const HOLE_BYTES: usize = 64 << 10;

static ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

/// An image on its way into a stream; offsets count from where the stream stood at the start.
#[derive(Debug)]
pub(crate) struct Output<'out, W> {
    out: &'out mut W,
    start: u64,
    position: u64,
    /// The end of what is really there; beyond it there are only promised zeros.
    end: u64,
    /// Something else may be where zeros belong, so that they are written.
    is_used: bool,
}

impl<'out, W: Write + Seek> Output<'out, W> {
    /// An image that is written into: nothing is taken to be zero.
    pub(crate) fn used(out: &'out mut W) -> Result<Self, Error> {
        Ok(Self {
            is_used: true,
            ..Self::new(out)?
        })
    }

    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }

    pub(crate) fn new(out: &'out mut W) -> Result<Self, Error> {
        let start = out.stream_position().map_err(Error::write(0))?;
        Ok(Self {
            out,
            start,
            position: 0,
            end: 0,
            is_used: false,
        })
    }

    /// Writes `bytes` at `offset`, all of them.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.go_to(offset)?;
        self.out.write_all(bytes).map_err(Error::write(offset))?;
        self.position += bytes.len() as u64;
        self.end = self.end.max(self.position);
        Ok(())
    }

    /// Writes `bytes` at `offset`, skipping stretches that are zero.
    pub(crate) fn write_sparse_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        if self.is_used {
            return self.write_at(offset, bytes);
        }
        let mut pending = 0;
        for (index, block) in bytes.chunks(HOLE_BYTES).enumerate() {
            if block.len() == HOLE_BYTES && block[0] == 0 && block == ZEROS {
                let here = index * HOLE_BYTES;
                if pending < here {
                    self.write_at(offset + pending as u64, &bytes[pending..here])?;
                }
                pending = here + HOLE_BYTES;
            }
        }
        if pending < bytes.len() {
            self.write_at(offset + pending as u64, &bytes[pending..])?;
        }
        Ok(())
    }

    /// Makes the image `size_bytes` long and leaves the stream at its end.
    pub(crate) fn finish(mut self, size_bytes: u64) -> Result<(), Error> {
        if self.end < size_bytes {
            self.write_at(size_bytes - 1, &[0])?;
        }
        self.go_to(size_bytes)?;
        self.out.flush().map_err(Error::write(size_bytes))
    }

    fn go_to(&mut self, offset: u64) -> Result<(), Error> {
        if self.position != offset {
            self.out
                .seek(SeekFrom::Start(self.start + offset))
                .map_err(Error::write(offset))?;
            self.position = offset;
        }
        Ok(())
    }
}

/// Collects small records into large writes at ascending offsets.
#[derive(Debug)]
pub(crate) struct Table<'output, 'out, W> {
    output: &'output mut Output<'out, W>,
    offset: u64,
    pending: Vec<u8>,
}

impl<'output, 'out, W: Write + Seek> Table<'output, 'out, W> {
    const PENDING_BYTES: usize = 256 << 10;

    pub(crate) fn new(output: &'output mut Output<'out, W>, offset: u64) -> Self {
        Self {
            output,
            offset,
            pending: Vec::with_capacity(Self::PENDING_BYTES),
        }
    }

    /// Where the next record goes.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.pending.len() as u64
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= Self::PENDING_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    /// Writes the rest, with zeros to the next multiple of `block_bytes` of the table's own length.
    pub(crate) fn finish(mut self, start: u64, block_bytes: u64) -> Result<(), Error> {
        let length = self.offset + self.pending.len() as u64 - start;
        let padding = length.next_multiple_of(block_bytes) - length;
        // Never more than a block.
        self.pending.resize(
            self.pending.len() + usize::try_from(padding).unwrap_or(0),
            0,
        );
        self.write_out()
    }

    fn write_out(&mut self) -> Result<(), Error> {
        self.output.write_at(self.offset, &self.pending)?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn zeros_are_skipped_and_the_length_is_right() {
        let mut stream = Cursor::new(vec![0; 3]);
        stream.set_position(3);
        let mut output = Output::new(&mut stream).unwrap();
        let mut bytes = vec![0_u8; 4 * HOLE_BYTES + 10];
        bytes[HOLE_BYTES + 5] = 7;
        output.write_sparse_at(100, &bytes).unwrap();
        output.finish(1 << 20).unwrap();
        assert_eq!(stream.position(), 3 + (1 << 20));
        let written = stream.into_inner();
        assert_eq!(written.len(), 3 + (1 << 20));
        let set: Vec<usize> = (0..written.len()).filter(|&at| written[at] != 0).collect();
        assert_eq!(set, [3 + 100 + HOLE_BYTES + 5]);
    }
}
