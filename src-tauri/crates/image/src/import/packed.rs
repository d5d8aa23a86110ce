//! Compressed files, unpacked as a stream.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::{ImportOptions, Packing};
use crate::convert::{self, Place};
use crate::output::Output;
use crate::{Error, Watch};

/// The most that is kept in memory to unpack xz: twice what `xz -9` needs. zstd is bounded by its library, to 128 MiB.
const XZ_KIBIBYTES_MAX: u32 = 128 << 10;
const CHUNK_BYTES: usize = 1 << 20;
/// The room on the disk is looked at each time that this much was written.
const LOOK_BYTES: u64 = 64 << 20;

impl Packing {
    /// Told by a file's first bytes.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        [
            (Self::Gzip, &b"\x1F\x8B"[..]),
            (Self::Xz, b"\xFD7zXZ\0"),
            (Self::Zstd, b"\x28\xB5\x2F\xFD"),
        ]
        .into_iter()
        .find_map(|(packing, magic)| start.starts_with(magic).then_some(packing))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// Unpacks a file into a place, zeros as holes. The watch counts bytes of the packed file.
pub(super) fn unpack(
    file: File,
    packing: Packing,
    place: &mut Place,
    destination: &Path,
    options: &ImportOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let consumed = Rc::new(Cell::new(0));
    let counted = Counted {
        inner: file,
        consumed: Rc::clone(&consumed),
    };
    let buffered = BufReader::with_capacity(64 << 10, counted);
    let damaged = |offset| {
        move |source| Error::Packed {
            compression: packing.name(),
            offset,
            source,
        }
    };
    let mut decoder: Box<dyn Read> = match packing {
        Packing::Gzip => Box::new(MultiGzDecoder::new(buffered)),
        Packing::Xz => Box::new(XzReader::new_mem_limit(buffered, true, XZ_KIBIBYTES_MAX)),
        Packing::Zstd => Box::new(zstd::Decoder::with_buffer(buffered).map_err(damaged(0))?),
    };
    let mut output = Output::new(place.file())?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut offset, mut looked_at) = (0, None);
    loop {
        let count = fill(&mut decoder, &mut buffer).map_err(damaged(offset))?;
        if watch.advance(consumed.take()).is_break() {
            return Err(Error::Cancelled);
        }
        if count == 0 {
            return output.finish(offset);
        }
        if offset + count as u64 > options.unpacked_bytes_max {
            let limit_bytes = options.unpacked_bytes_max;
            return Err(Error::TooLarge { limit_bytes });
        }
        if looked_at.is_none_or(|at| offset - at >= LOOK_BYTES) {
            convert::check_room(destination, LOOK_BYTES, options.leave_free_bytes)?;
            looked_at = Some(offset);
        }
        output.write_sparse_at(offset, &buffer[..count])?;
        offset += count as u64;
    }
}

/// Reads until the buffer is full or nothing is left. What was read before an error is given up with it.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match from.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    consumed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.consumed.set(self.consumed.get() + count as u64);
        Ok(count)
    }
}
