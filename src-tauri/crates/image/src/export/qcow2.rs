//! qcow2, written (QEMU's `docs/interop/qcow2.txt`).
//!
//! Its tables say where everything is, so that nothing has to be known in advance but the disk's size:
//!
//! ```text
//!   cluster 0   header (written last: until then the file is no qcow2)
//!   then        L1 table: one entry per L2 table
//!   then        for each stretch of 512 MiB that has data: its clusters, then the L2 table that finds them
//!   then        refcount blocks: how many uses each cluster of the file has; then the table of these blocks
//! ```
//!
//! Compressed clusters lie one behind the other, byte by byte; several share a cluster of the file, which then counts
//! them all. Deflate is raw with a window of 4 KiB, which is all that QEMU's decoder takes; zstd is told by the header's
//! compression type, and only QEMU 5.1 or newer reads it.

use std::io::{Seek, Write};

use super::advance;
use super::compress::{Body, Cluster, Compression, Method, clusters, compress_all, plain};
use crate::disk::ReadAt;
use crate::output::Output;
use crate::{Error, Watch};

const MAGIC: [u8; 4] = *b"QFI\xfb";
const VERSION: u32 = 3;
/// As QEMU's own: 64 KiB.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
const CLUSTER_BYTES: usize = 1 << CLUSTER_BITS;
/// Entries of an L2 table.
const L2_ENTRIES: u64 = CLUSTER / 8;
/// What one L2 table finds: 512 MiB.
const L2_SPAN: u64 = L2_ENTRIES * CLUSTER;
/// Refcounts have 16 bits (order 4), so that a block counts this many clusters.
const REFCOUNT_ORDER: u32 = 4;
const REFCOUNTS_PER_BLOCK: usize = CLUSTER_BYTES / 2;
const HEADER_BYTES: u32 = 112;
/// QEMU refuses larger L1 tables: 32 MiB, which find 2 PiB.
const DISK_BYTES_MAX: u64 = (32 << 20) / 8 * L2_SPAN;

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// Where in a compressed cluster's entry the count of further sectors begins.
const SECTORS_SHIFT: u32 = 62 - (CLUSTER_BITS - 8);
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const COMPRESSION_ZSTD: u8 = 1;

/// What a qcow2 file shall be like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Qcow2Options {
    /// How clusters are compressed; `None` leaves them as they are.
    pub compression: Option<Compression>,
}

/// Writes a disk as qcow2, from the stream's present position on, which has to be the file's beginning. The watch counts
/// bytes of the disk, what is empty included.
///
/// # Errors
/// [`Error::TooSmall`] for a disk of more than 2 PiB; [`Error::Read`], [`Error::Corrupt`] from the disk; [`Error::Write`];
/// [`Error::Cancelled`].
pub fn write_qcow2<W: Write + Seek>(
    disk: &dyn ReadAt,
    out: &mut W,
    options: Qcow2Options,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let size_bytes = disk.size_bytes();
    if size_bytes > DISK_BYTES_MAX {
        return Err(Error::TooSmall {
            what: "qcow2 format",
            needed_bytes: size_bytes,
            size_bytes: DISK_BYTES_MAX,
        });
    }
    let mut writer = Writer::new(Output::new(out)?, size_bytes);
    let clusters = clusters(disk, CLUSTER);
    let mut take = |cluster: Cluster, body: Body| {
        writer.put(cluster.number, body)?;
        advance(watch, cluster.advanced)
    };
    match options.compression {
        None => {
            for cluster in clusters {
                let mut cluster: Cluster = cluster?;
                let body = plain(std::mem::take(&mut cluster.bytes));
                take(cluster, body)?;
            }
        }
        Some(compression) => compress_all(clusters, Method::of(compression), take)?,
    }
    writer.finish(options.compression)
}

/// The file as it grows.
struct Writer<'out, W> {
    output: Output<'out, W>,
    disk_bytes: u64,
    /// Where the next thing goes: byte for byte among compressed clusters, else a cluster's beginning.
    end: u64,
    /// How often each cluster of the file is used.
    refcounts: Vec<u16>,
    l1: Vec<u64>,
    /// The L2 table being filled, and which one it is.
    l2: Vec<u64>,
    l2_number: u64,
    l2_is_used: bool,
}

impl<'out, W: Write + Seek> Writer<'out, W> {
    fn new(output: Output<'out, W>, disk_bytes: u64) -> Self {
        let tables = disk_bytes.div_ceil(L2_SPAN);
        let mut writer = Self {
            output,
            disk_bytes,
            end: 0,
            refcounts: Vec::new(),
            l1: vec![0; usize::try_from(tables).unwrap_or(usize::MAX)],
            l2: vec![0; CLUSTER_BYTES / 8],
            l2_number: 0,
            l2_is_used: false,
        };
        let _header = writer.reserve(CLUSTER);
        let _l1 = writer.reserve((tables * 8).max(1));
        writer
    }

    /// Whole clusters of the file for `bytes` bytes.
    fn reserve(&mut self, bytes: u64) -> u64 {
        let at = self.end.next_multiple_of(CLUSTER);
        self.end = (at + bytes).next_multiple_of(CLUSTER);
        self.count(at, self.end - at);
        at
    }

    /// Counts a use of each cluster that a stretch of the file touches.
    fn count(&mut self, at: u64, bytes: u64) {
        let clusters = at / CLUSTER..=(at + bytes - 1) / CLUSTER;
        let needed = usize::try_from(*clusters.end() + 1).unwrap_or(usize::MAX);
        if self.refcounts.len() < needed {
            self.refcounts.resize(needed, 0);
        }
        for cluster in clusters {
            if let Some(count) = self
                .refcounts
                .get_mut(usize::try_from(cluster).unwrap_or(usize::MAX))
            {
                // At most 2^16 / 1 compressed clusters begin or end in one of 2^16 bytes; deflate needs more than two.
                *count = count.saturating_add(1);
            }
        }
    }

    fn put(&mut self, number: u64, body: Body) -> Result<(), Error> {
        let entry = match body {
            Body::Zero => return Ok(()),
            Body::Plain(bytes) => {
                let at = self.reserve(CLUSTER);
                self.output.write_at(at, &bytes)?;
                at | COPIED
            }
            Body::Compressed(bytes) => {
                let (at, length) = (self.end, bytes.len() as u64);
                self.output.write_at(at, &bytes)?;
                self.end += length;
                self.count(at, length);
                let further_sectors = (at + length - 1) / 512 - at / 512;
                COMPRESSED | further_sectors << SECTORS_SHIFT | at
            }
        };
        let table = number / L2_ENTRIES;
        if table != self.l2_number {
            self.write_l2()?;
            self.l2_number = table;
        }
        let index = usize::try_from(number % L2_ENTRIES).unwrap_or_default();
        self.l2[index] = entry;
        self.l2_is_used = true;
        Ok(())
    }

    fn write_l2(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.l2_is_used) {
            let at = self.reserve(CLUSTER);
            self.output.write_at(at, &big_endian(&self.l2))?;
            self.l1[usize::try_from(self.l2_number).unwrap_or_default()] = at | COPIED;
            self.l2.fill(0);
        }
        Ok(())
    }

    fn finish(mut self, compression: Option<Compression>) -> Result<(), Error> {
        self.write_l2()?;
        self.output.write_at(CLUSTER, &big_endian(&self.l1))?;
        // Blocks and their table count themselves, which may take one more block.
        let begun = usize::try_from(self.end.div_ceil(CLUSTER)).unwrap_or(usize::MAX);
        let mut blocks = 0;
        let table_clusters = loop {
            let table = (blocks * 8_usize).div_ceil(CLUSTER_BYTES).max(1);
            let needed = (begun + blocks + table).div_ceil(REFCOUNTS_PER_BLOCK);
            if needed <= blocks {
                break table;
            }
            blocks = needed;
        };
        let blocks_at = self.reserve(blocks as u64 * CLUSTER);
        let table_at = self.reserve(table_clusters as u64 * CLUSTER);
        let mut counts = vec![0; blocks * CLUSTER_BYTES];
        for (place, count) in counts.chunks_exact_mut(2).zip(&self.refcounts) {
            place.copy_from_slice(&count.to_be_bytes());
        }
        self.output.write_at(blocks_at, &counts)?;
        let table: Vec<u64> = (0..blocks as u64)
            .map(|block| blocks_at + block * CLUSTER)
            .collect();
        self.output.write_at(table_at, &big_endian(&table))?;
        let header = self.header(compression, table_at, table_clusters);
        self.output.write_at(0, &header)?;
        let end = self.end;
        self.output.finish(end)
    }

    fn header(
        &self,
        compression: Option<Compression>,
        table_at: u64,
        table_clusters: usize,
    ) -> Vec<u8> {
        let is_zstd = compression == Some(Compression::Zstd);
        let features = if is_zstd { INCOMPATIBLE_COMPRESSION } else { 0 };
        let mut header = [
            &MAGIC[..],
            &VERSION.to_be_bytes(),
            // No backing file: where its name is, and how long that is.
            &[0; 8 + 4],
            &CLUSTER_BITS.to_be_bytes(),
            &self.disk_bytes.to_be_bytes(),
            // No encryption.
            &[0; 4],
            &u32::try_from(self.l1.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
            &CLUSTER.to_be_bytes(),
            &table_at.to_be_bytes(),
            &u32::try_from(table_clusters)
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
            // No snapshots: how many, and where they are.
            &[0; 4 + 8],
            &features.to_be_bytes(),
            // No features that may be passed over: compatible, autoclear.
            &[0; 8 + 8],
            &REFCOUNT_ORDER.to_be_bytes(),
            &HEADER_BYTES.to_be_bytes(),
            &[if is_zstd { COMPRESSION_ZSTD } else { 0 }],
        ]
        .concat();
        // The rest of the header, and the end of its extensions.
        header.resize(CLUSTER_BYTES, 0);
        header
    }
}

fn big_endian(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}
