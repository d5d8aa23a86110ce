//! gzip by all processors.
//!
//! ```text
//!   header │ block 0, deflated │ block 1, deflated │ … │ the last block, deflated │ sum and size of all
//! ```
//!
//! Each block of the input is deflated by itself and ends at a byte, so that they only need to be put one after the other; the
//! last says that it is the last. How long a block is does not depend on how many processors there are: the same input gives the same bytes everywhere.

use std::io::{self, Write};
use std::num::NonZero;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// What is deflated by itself: 32 times as far as a deflater looks back, so that little is lost.
const BLOCK_BYTES: usize = 1 << 20;
/// More at a time would take more memory than it saves time.
const THREADS_MAX: usize = 16;
/// No name, no time, by nobody knows which system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Writes gzip. Nothing is complete before [`finish`](Self::finish).
pub(super) struct Gzip<W> {
    out: W,
    /// All but the last of them are full.
    blocks: Vec<Vec<u8>>,
    threads: usize,
    sum: Crc,
    is_begun: bool,
}

impl<W: Write> Gzip<W> {
    pub fn new(out: W) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self::with_threads(out, processors.min(THREADS_MAX))
    }

    fn with_threads(out: W, threads: usize) -> Self {
        Self {
            out,
            blocks: Vec::new(),
            threads,
            sum: Crc::new(),
            is_begun: false,
        }
    }

    /// Writes what is left, and gives back where it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        if self.blocks.is_empty() {
            self.blocks.push(Vec::new());
        }
        self.pass_on(true)?;
        self.out.write_all(&self.sum.sum().to_le_bytes())?;
        // As the format has it: modulo 2^32.
        self.out.write_all(&self.sum.amount().to_le_bytes())?;
        Ok(self.out)
    }

    /// Deflates the blocks that there are, all at once.
    fn pass_on(&mut self, is_end: bool) -> io::Result<()> {
        if !self.is_begun {
            self.is_begun = true;
            self.out.write_all(&HEADER)?;
        }
        let blocks = std::mem::take(&mut self.blocks);
        let last = blocks.len().saturating_sub(1);
        let flush = |at: usize| match at {
            at if is_end && at == last => FlushCompress::Finish,
            _ => FlushCompress::Sync,
        };
        let deflated: Vec<io::Result<Vec<u8>>> = std::thread::scope(|scope| {
            let others: Vec<_> = blocks
                .iter()
                .enumerate()
                .skip(1)
                .map(|(at, block)| scope.spawn(move || deflate(block, flush(at))))
                .collect();
            let here = blocks.first().map(|block| deflate(block, flush(0)));
            let joined = others.into_iter().map(|thread| {
                let gone = |_| Err(io::Error::other("a thread that compressed has ended"));
                thread.join().unwrap_or_else(gone)
            });
            here.into_iter().chain(joined).collect()
        });
        for (block, deflated) in blocks.iter().zip(deflated) {
            self.sum.update(block);
            self.out.write_all(&deflated?)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_full = |block: &Vec<u8>| block.len() == BLOCK_BYTES;
        if self.blocks.len() == self.threads && self.blocks.last().is_some_and(is_full) {
            self.pass_on(false)?;
        }
        if self.blocks.last().is_none_or(is_full) {
            self.blocks.push(Vec::with_capacity(BLOCK_BYTES));
        }
        let Some(block) = self.blocks.last_mut() else {
            return Ok(0);
        };
        let count = bytes.len().min(BLOCK_BYTES - block.len());
        block.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// What is not a whole block yet stays.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Deflates a block by itself, up to a whole byte or the end.
fn deflate(block: &[u8], flush: FlushCompress) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::default(), false);
    let mut deflated = Vec::with_capacity(block.len() / 2);
    let mut rest = block;
    loop {
        deflated.reserve(64 << 10);
        let (read, written) = (compress.total_in(), compress.total_out());
        let status = compress
            .compress_vec(rest, &mut deflated, flush)
            .map_err(io::Error::other)?;
        let count = usize::try_from(compress.total_in() - read).unwrap_or(0);
        rest = rest.get(count..).unwrap_or_default();
        // Where there is room left, all of it is there.
        let is_flushed = flush != FlushCompress::Finish && deflated.len() < deflated.capacity();
        if rest.is_empty() && (status == Status::StreamEnd || is_flushed) {
            return Ok(deflated);
        }
        if count == 0 && compress.total_out() == written {
            return Err(io::Error::other("the compression does not go on"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(content: &[u8], threads: usize, pieces: usize) -> Vec<u8> {
        let mut gzip = Gzip::with_threads(Vec::new(), threads);
        for piece in content.chunks(pieces) {
            gzip.write_all(piece).unwrap();
        }
        gzip.finish().unwrap()
    }

    #[test]
    fn the_same_bytes_come_out_whatever_the_number_of_threads() {
        let mut content: Vec<u8> = (0..3_500_000_u32)
            .map(|number| {
                number
                    .wrapping_mul(number)
                    .wrapping_mul(0x9e37_79b9)
                    .to_le_bytes()[3]
            })
            .collect();
        for length in [content.len(), 3 * BLOCK_BYTES, BLOCK_BYTES, 1, 0] {
            content.truncate(length);
            let one = packed(&content, 1, 100_000);
            assert!(one == packed(&content, 3, 7 << 20), "{length}");
            // One member of gzip, which any reader takes.
            let mut back = Vec::new();
            GzDecoder::new(one.as_slice())
                .read_to_end(&mut back)
                .unwrap();
            assert!(back == content, "{length}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(content: Vec<u8>, threads in 1_usize..4, pieces in 1_usize..50) {
            let mut back = Vec::new();
            let bytes = packed(&content, threads, pieces);
            GzDecoder::new(bytes.as_slice()).read_to_end(&mut back).unwrap();
            prop_assert_eq!(back, content);
        }
    }
}
