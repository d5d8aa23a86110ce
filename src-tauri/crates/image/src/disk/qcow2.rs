//! qcow2, read only (QEMU's `docs/interop/qcow2.txt`).
//!
//! All numbers are big-endian. The guest's disk is cut into clusters, found by two levels of tables:
//!
//! ```text
//!   header ── L1 table ── L2 table (one cluster) ── cluster
//!   guest offset:   | L1 index | L2 index | in the cluster |
//!   L2 entry:       bit 62 compressed, bit 0 reads as zeros, bits 9-55 offset in the file; 0: not there
//!   compressed:     low x bits offset (x = 62 - (cluster_bits - 8)), above them sectors of 512 less one
//! ```
//!
//! Tables are looked up in the file, entry by entry, and not kept: memory does not depend on what the
//! header claims. Only the last decompressed cluster is remembered. What is not there comes from a
//! backing disk, which must be given: a name in a header opens no file.

use std::io::Read;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::blocks::{self, Blocks, Place};
use super::{ReadAt, SharedDisk, be_u32, be_u64, beyond_end};
use crate::Error;

pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

const HEADER_BYTES: usize = 112;
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// QEMU's own limits.
const L1_BYTES_MAX: u64 = 32 << 20;
const BACKING_NAME_BYTES_MAX: u32 = 1023;

const INCOMPATIBLE_DIRTY: u64 = 1;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_EXTERNAL_DATA: u64 = 1 << 2;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;

const OFFSET_MASK: u64 = 0x00FF_FFFF_FFFF_FE00;
const COMPRESSED: u64 = 1 << 62;
const READS_AS_ZEROS: u64 = 1;
/// A window larger than the largest cluster is of no use.
const ZSTD_WINDOW_LOG_MAX: u32 = 22;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Deflate,
    Zstd,
}

/// An open qcow2 disk.
#[derive(Debug)]
pub struct Qcow2 {
    file: SharedDisk,
    backing: Option<SharedDisk>,
    size_bytes: u64,
    cluster_bits: u32,
    l1_offset: u64,
    compression: Compression,
    /// The last decompressed cluster: its L2 entry and its bytes.
    decompressed: Mutex<(u64, Vec<u8>)>,
}

/// Where the bytes of a cluster are.
enum Cluster {
    Missing,
    Zeros,
    At(u64),
    Compressed { entry: u64, at: u64, length: usize },
}

impl Qcow2 {
    /// Opens a qcow2 file, with the disk below it where it has one.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for what is no qcow2; [`Error::Corrupt`]; [`Error::Unsupported`] for encryption, external
    /// data, and a backing file that was not given.
    pub fn open(file: SharedDisk, backing: Option<SharedDisk>) -> Result<Self, Error> {
        let mut header = [0; HEADER_BYTES];
        let there = HEADER_BYTES.min(usize::try_from(file.size_bytes()).unwrap_or(HEADER_BYTES));
        file.read_at(0, &mut header[..there])?;
        if header[..4] != MAGIC || there < 72 {
            return Err(Error::WrongKind {
                expected: "a qcow2 disk",
                found: format!("it starts with {:02X?}", &header[..4]),
            });
        }
        let version = be_u32(&header, 4);
        if version != 2 && version != 3 {
            return Err(corrupt(4, "version 2 or 3", version));
        }
        let backing_at = be_u64(&header, 8);
        if backing_at != 0 && backing.is_none() {
            let name = backing_name(&file, &header)?;
            let what = format!("a backing file (\"{}\")", name.escape_default());
            return Err(Error::Unsupported { what, offset: 8 });
        }
        let cluster_bits = be_u32(&header, 20);
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(corrupt(20, "clusters of 2^9 to 2^21 bytes", cluster_bits));
        }
        if be_u32(&header, 32) != 0 {
            let what = "encryption".to_owned();
            return Err(Error::Unsupported { what, offset: 32 });
        }
        let compression = if version == 3 {
            compression(&header)?
        } else {
            Compression::Deflate
        };
        let size_bytes = be_u64(&header, 24);
        let entry_bytes = 1_u64 << (2 * cluster_bits - 3);
        let needed = size_bytes.div_ceil(entry_bytes);
        let l1_entries = u64::from(be_u32(&header, 36));
        if l1_entries < needed || l1_entries * 8 > L1_BYTES_MAX {
            let expected = format!("a first table of {needed} entries or more");
            return Err(corrupt(36, expected, l1_entries));
        }
        let l1_offset = be_u64(&header, 40);
        let l1_end = l1_offset.checked_add(needed * 8);
        if l1_end.is_none_or(|end| end > file.size_bytes()) {
            let expected = format!("a first table within {} bytes", file.size_bytes());
            return Err(corrupt(40, expected, l1_offset));
        }
        Ok(Self {
            file,
            backing,
            size_bytes,
            cluster_bits,
            l1_offset,
            compression,
            decompressed: Mutex::new((0, Vec::new())),
        })
    }

    fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    fn entry(&self, at: u64) -> Result<u64, Error> {
        let mut entry = [0; 8];
        self.file.read_at(at, &mut entry)?;
        Ok(u64::from_be_bytes(entry))
    }

    fn cluster(&self, index: u64) -> Result<Cluster, Error> {
        let l2_bits = self.cluster_bits - 3;
        let l1_at = self.l1_offset + (index >> l2_bits) * 8;
        let l2 = self.entry(l1_at)? & OFFSET_MASK;
        if l2 == 0 {
            return Ok(Cluster::Missing);
        }
        let l2_at = self.inside(l2, self.cluster_bytes(), l1_at)? + (index % (1 << l2_bits)) * 8;
        let entry = self.entry(l2_at)?;
        if entry & COMPRESSED != 0 {
            let offset_bits = 62 - (self.cluster_bits - 8);
            let at = entry & ((1 << offset_bits) - 1);
            let sectors = ((entry & (COMPRESSED - 1)) >> offset_bits) + 1;
            // The first sector counts from where it starts, and the last may end with the file.
            let length = (sectors * 512 - at % 512).min(self.file.size_bytes().saturating_sub(at));
            self.inside(at, length.max(1), l2_at)?;
            // No more than two clusters.
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            return Ok(Cluster::Compressed { entry, at, length });
        }
        if entry & READS_AS_ZEROS != 0 {
            return Ok(Cluster::Zeros);
        }
        match entry & OFFSET_MASK {
            0 => Ok(Cluster::Missing),
            at => Ok(Cluster::At(self.inside(at, 512, l2_at)?)),
        }
    }

    fn inside(&self, at: u64, length: u64, entry_at: u64) -> Result<u64, Error> {
        let end = at.checked_add(length);
        if end.is_some_and(|end| end <= self.file.size_bytes()) {
            return Ok(at);
        }
        let expected = format!("a place within {} bytes", self.file.size_bytes());
        Err(corrupt(entry_at, expected, at))
    }

    fn read_missing(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        buffer.fill(0);
        let Some(backing) = &self.backing else {
            return Ok(());
        };
        let there = backing.size_bytes().saturating_sub(offset);
        let count = usize::try_from(there).map_or(buffer.len(), |there| there.min(buffer.len()));
        if count == 0 {
            return Ok(());
        }
        backing.read_at(offset, &mut buffer[..count])
    }

    fn read_compressed(
        &self,
        (entry, at, length): (u64, u64, usize),
        from: usize,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        let mut kept = self
            .decompressed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if kept.0 != entry {
            let mut packed = vec![0; length];
            self.file.read_at(at, &mut packed)?;
            // The lock is held on an error as well: what is half-filled must not be found.
            kept.0 = 0;
            let size = 1 << self.cluster_bits;
            kept.1.resize(size, 0);
            let result = match self.compression {
                Compression::Deflate => {
                    flate2::read::DeflateDecoder::new(packed.as_slice()).read_exact(&mut kept.1)
                }
                Compression::Zstd => {
                    zstd::stream::read::Decoder::new(packed.as_slice()).and_then(|mut decoder| {
                        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                        decoder.read_exact(&mut kept.1)
                    })
                }
            };
            if let Err(error) = result {
                let expected = format!("a compressed cluster of {size} bytes");
                return Err(corrupt(at, expected, error));
            }
            kept.0 = entry;
        }
        buffer.copy_from_slice(&kept.1[from..from + buffer.len()]);
        Ok(())
    }
}

/// Only to find data; reading is above.
impl Blocks for Qcow2 {
    fn disk_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn block_bytes(&self) -> u64 {
        self.cluster_bytes()
    }

    fn file(&self) -> &SharedDisk {
        &self.file
    }

    fn place(&self, block: u64, _length: u64) -> Result<Place, Error> {
        Ok(match self.cluster(block)? {
            Cluster::Zeros => Place::Zeros,
            Cluster::Missing if self.backing.is_none() => Place::Zeros,
            Cluster::Missing => Place::At(0),
            Cluster::At(at) | Cluster::Compressed { at, .. } => Place::At(at),
        })
    }

    fn skip(&self, block: u64) -> Result<u64, Error> {
        if self.backing.is_some() {
            return Ok(block);
        }
        let l2_bits = self.cluster_bits - 3;
        let tables = self
            .size_bytes
            .div_ceil(self.cluster_bytes())
            .div_ceil(1 << l2_bits);
        let start = block >> l2_bits;
        let mut table = start;
        while table < tables && self.entry(self.l1_offset + table * 8)? & OFFSET_MASK == 0 {
            table += 1;
        }
        Ok(if table == start {
            block
        } else {
            table << l2_bits
        })
    }
}

impl ReadAt for Qcow2 {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size_bytes) {
            return Err(beyond_end(offset));
        }
        let mut done = 0;
        while done < buffer.len() {
            let here = offset + done as u64;
            let within = here % self.cluster_bytes();
            let left = buffer.len() - done;
            let count =
                usize::try_from(self.cluster_bytes() - within).map_or(left, |rest| rest.min(left));
            let part = &mut buffer[done..done + count];
            match self.cluster(here >> self.cluster_bits)? {
                Cluster::Missing => self.read_missing(here, part)?,
                Cluster::Zeros => part.fill(0),
                Cluster::At(at) => self.file.read_at(at + within, part)?,
                Cluster::Compressed { entry, at, length } => {
                    let from = usize::try_from(within).unwrap_or(0);
                    self.read_compressed((entry, at, length), from, part)?;
                }
            }
            done += count;
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        blocks::next_data(self, offset)
    }
}

fn compression(header: &[u8]) -> Result<Compression, Error> {
    let features = be_u64(header, 72);
    let unsupported = |what: &str| {
        let what = what.to_owned();
        Err(Error::Unsupported { what, offset: 72 })
    };
    if features & INCOMPATIBLE_CORRUPT != 0 {
        return Err(corrupt(
            72,
            "a disk that QEMU has not marked as damaged",
            features,
        ));
    }
    if features & INCOMPATIBLE_EXTERNAL_DATA != 0 {
        return unsupported("its data in another file");
    }
    if features & INCOMPATIBLE_EXTENDED_L2 != 0 {
        return unsupported("subclusters");
    }
    if features & !(INCOMPATIBLE_DIRTY | INCOMPATIBLE_COMPRESSION) != 0 {
        return unsupported("features of a newer QEMU");
    }
    let has_type = be_u32(header, 100) > 104 && features & INCOMPATIBLE_COMPRESSION != 0;
    match header[104] {
        _ if !has_type => Ok(Compression::Deflate),
        0 => Ok(Compression::Deflate),
        1 => Ok(Compression::Zstd),
        other => Err(corrupt(104, "compression 0 or 1", other)),
    }
}

fn backing_name(file: &SharedDisk, header: &[u8]) -> Result<String, Error> {
    let length = be_u32(header, 16);
    if length > BACKING_NAME_BYTES_MAX {
        let expected = format!("a name of at most {BACKING_NAME_BYTES_MAX} bytes");
        return Err(corrupt(16, expected, length));
    }
    let mut name = vec![0; length as usize];
    file.read_at(be_u64(header, 8), &mut name)?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

fn corrupt(offset: u64, expected: impl Into<String>, found: impl std::fmt::Display) -> Error {
    Error::corrupt("qcow2", offset, expected, found)
}
