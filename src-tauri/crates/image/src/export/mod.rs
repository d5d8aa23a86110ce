//! Disks in the formats that others read.
//!
//! ```text
//!   any disk (ReadAt) ──┬─> raw       holes stay holes
//!                       ├─> qcow2     only clusters with data; deflated or zstd-compressed where asked for
//!                       ├─> vmdk      monolithicSparse, or streamOptimized: deflated, as in an OVA
//!                       └─> vdi, vhdx growing
//! ```
//!
//! What is zero in the disk takes no room in any, whether it was a hole or written zeros. All are written in one
//! pass and a few buffers, whatever the disk's size, and the same disk gives the same bytes.

mod compress;
mod qcow2;
mod vdi;
mod vhdx;
mod vmdk;

use std::io::{Seek, Write};
use std::ops::Range;

pub use compress::Compression;
pub use qcow2::{Qcow2Options, write_qcow2};
pub use vdi::write_vdi;
pub use vhdx::write_vhdx;
pub use vmdk::{write_vmdk, write_vmdk_stream};

use crate::disk::ReadAt;
use crate::output::Output;
use crate::{Error, Watch};

/// What is read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// Writes a disk byte for byte, zeros as holes; `out` must hold zeros wherever it is not written. The watch counts bytes
/// of the disk, holes included.
///
/// # Errors
/// [`Error::Read`], [`Error::Corrupt`] from the disk; [`Error::Write`]; [`Error::Cancelled`].
pub fn write_raw<W: Write + Seek>(
    disk: &dyn ReadAt,
    out: &mut W,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let mut output = Output::new(out)?;
    let mut buffer = Vec::new();
    for chunk in chunks(disk, CHUNK_BYTES) {
        let Chunk { range, skipped } = chunk?;
        buffer.resize(length(&range), 0);
        disk.read_at(range.start, &mut buffer)?;
        output.write_sparse_at(range.start, &buffer)?;
        advance(watch, skipped + buffer.len() as u64)?;
    }
    output.finish(disk.size_bytes())
}

/// A stretch of a disk that may hold data, and how much lies between it and the one before.
struct Chunk {
    range: Range<u64>,
    skipped: u64,
}

/// The stretches of a disk that may hold data, cut at multiples of `size`.
fn chunks(disk: &dyn ReadAt, size: u64) -> impl Iterator<Item = Result<Chunk, Error>> {
    let mut position = 0;
    let mut data = 0..0;
    std::iter::from_fn(move || {
        if data.start >= data.end {
            match disk.next_data(data.end.max(position)) {
                Ok(Some(next)) => {
                    // The chunk that a stretch ends in is read whole, zeros and all.
                    let start = (next.start / size * size).max(position);
                    data = start..next.end;
                }
                Ok(None) => return None,
                Err(error) => {
                    position = disk.size_bytes();
                    data = position..position;
                    return Some(Err(error));
                }
            }
        }
        let end = (data.start / size + 1) * size;
        let range = data.start..end.min(disk.size_bytes());
        let skipped = range.start - position;
        position = range.end;
        data.start = range.end;
        Some(Ok(Chunk { range, skipped }))
    })
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

fn advance(watch: &mut (impl Watch + ?Sized), bytes: u64) -> Result<(), Error> {
    if watch.advance(bytes).is_break() {
        return Err(Error::Cancelled);
    }
    Ok(())
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| *first == 0) && bytes.windows(2).all(|pair| pair[0] == pair[1])
}

/// The digest of what is on a disk, from which the numbers are made that tell one disk from another.
struct Identity(blake3::Hasher);

impl Identity {
    fn new(format: &str, size_bytes: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format.as_bytes());
        hasher.update(&size_bytes.to_le_bytes());
        Self(hasher)
    }

    /// Takes in what is not zero.
    fn add(&mut self, at: u64, bytes: &[u8]) {
        self.0.update(&at.to_le_bytes());
        self.0.update(bytes);
    }

    /// A UUID of version 8, made from the digest: the same disk gets the same, another one another.
    fn uuid(&self, purpose: u8) -> [u8; 16] {
        let mut hasher = self.0.clone();
        hasher.update(&[purpose]);
        let mut uuid = [0; 16];
        hasher.finalize_xof().fill(&mut uuid);
        uuid[6] = uuid[6] & 0x0F | 0x80;
        uuid[8] = uuid[8] & 0x3F | 0x80;
        uuid
    }
}
