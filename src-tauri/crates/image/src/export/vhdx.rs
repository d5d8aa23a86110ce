//! vhdx, written: growing ([`crate::disk::Vhdx`] draws the format).
//!
//! ```text
//!   0 headers, region tables    1 MiB log, empty    2 MiB metadata    3 MiB block allocation table    blocks
//! ```

use std::io::{Seek, Write};

use super::compress::clusters;
use super::{Identity, advance, is_zero};
use crate::disk::ReadAt;
use crate::disk::vhdx::{self, Guid, MIB};
use crate::output::Output;
use crate::{Error, Watch, crc32c};

const CREATOR: &str = "Windlass";
const LOG_AT: u64 = MIB;
const METADATA_AT: u64 = 2 * MIB;
const BAT_AT: u64 = 3 * MIB;
const SECTOR: u64 = 512;
const DISK_BYTES_MAX: u64 = 64 << 40;
/// Blocks are as small as may be up to this size of disk, and then in proportion.
const SMALL_DISK_BYTES: u64 = 1 << 40;
/// Where the items are in the metadata.
const ITEMS_AT: usize = 64 << 10;
const IS_REQUIRED: u32 = 1 << 2;
const IS_OF_DISK: u32 = 1 << 1;

/// Writes a disk as vhdx, from the stream's present position on, which has to be the file's beginning. What lacks to a whole
/// sector at the disk's end becomes zeros. The watch counts bytes of the disk, what is empty included.
///
/// # Errors
/// [`Error::TooSmall`] for a disk of more than 64 TiB; [`Error::Read`], [`Error::Corrupt`] from the disk; [`Error::Write`];
/// [`Error::Cancelled`].
pub fn write_vhdx<W: Write + Seek>(
    disk: &dyn ReadAt,
    out: &mut W,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let size_bytes = disk.size_bytes().next_multiple_of(SECTOR);
    if size_bytes > DISK_BYTES_MAX {
        return Err(Error::TooSmall {
            what: "vhdx format",
            needed_bytes: size_bytes,
            size_bytes: DISK_BYTES_MAX,
        });
    }
    let block_bytes = MIB * size_bytes.div_ceil(SMALL_DISK_BYTES).next_power_of_two();
    let chunk_ratio = (SECTOR << 23) / block_bytes;
    let blocks = size_bytes.div_ceil(block_bytes);
    let entries = blocks + blocks.saturating_sub(1) / chunk_ratio;
    let bat_bytes = (entries * 8).next_multiple_of(MIB).max(MIB);
    let mut output = Output::new(out)?;
    let mut bat = vec![0_u64; usize::try_from(entries).unwrap_or(usize::MAX)];
    let mut identity = Identity::new("vhdx", size_bytes);
    let mut end = BAT_AT + bat_bytes;
    for cluster in clusters(disk, MIB) {
        let cluster = cluster?;
        if !is_zero(&cluster.bytes) {
            identity.add(cluster.number, &cluster.bytes);
            let at = cluster.number * MIB;
            let block = at / block_bytes;
            let index = usize::try_from(block + block / chunk_ratio).unwrap_or(usize::MAX);
            if let Some(entry) = bat.get_mut(index) {
                if *entry == 0 {
                    *entry = end | vhdx::BLOCK_PRESENT;
                    end += block_bytes;
                }
                let start = *entry & !(MIB - 1);
                output.write_sparse_at(start + at % block_bytes, &cluster.bytes)?;
            }
        }
        advance(watch, cluster.advanced)?;
    }
    let bat: Vec<u8> = bat.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    output.write_at(BAT_AT, &bat)?;
    output.write_at(METADATA_AT, &metadata(size_bytes, block_bytes, &identity))?;
    let regions = regions(bat_bytes);
    for (at, header_at, sequence) in [
        (vhdx::REGIONS_AT[0], vhdx::HEADERS_AT[0], 1),
        (vhdx::REGIONS_AT[1], vhdx::HEADERS_AT[1], 2),
    ] {
        output.write_at(at, &regions)?;
        output.write_at(header_at, &header(sequence, &identity))?;
    }
    // Last: until then the file is no vhdx.
    let mut start = vhdx::MAGIC.to_vec();
    start.extend(CREATOR.encode_utf16().flat_map(u16::to_le_bytes));
    output.write_at(0, &start)?;
    output.finish(end)
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = crc32c::sum(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn header(sequence: u64, identity: &Identity) -> Vec<u8> {
    let mut header = b"head\0\0\0\0".to_vec();
    header.extend(sequence.to_le_bytes());
    header.extend(identity.uuid(1));
    header.extend(identity.uuid(2));
    // The log's GUID: there is nothing in it. Then its version and the format's.
    header.extend([0; 16]);
    header.extend(0_u16.to_le_bytes());
    header.extend(1_u16.to_le_bytes());
    header.extend((1_u32 << 20).to_le_bytes());
    header.extend(LOG_AT.to_le_bytes());
    header.resize(vhdx::HEADER_BYTES, 0);
    with_checksum(header)
}

fn regions(bat_bytes: u64) -> Vec<u8> {
    let mut table = b"regi\0\0\0\0".to_vec();
    table.extend(2_u32.to_le_bytes());
    table.extend([0; 4]);
    for (kind, at, length) in [
        (vhdx::BAT, BAT_AT, bat_bytes),
        (vhdx::METADATA, METADATA_AT, MIB),
    ] {
        table.extend(kind);
        table.extend(at.to_le_bytes());
        table.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        table.extend(1_u32.to_le_bytes());
    }
    table.resize(vhdx::REGION_TABLE_BYTES, 0);
    with_checksum(table)
}

fn metadata(size_bytes: u64, block_bytes: u64, identity: &Identity) -> Vec<u8> {
    let block_bytes = u32::try_from(block_bytes).unwrap_or(u32::MAX).to_le_bytes();
    let sector = u32::try_from(SECTOR).unwrap_or(512).to_le_bytes();
    let items: [(Guid, Vec<u8>, u32); 5] = [
        // Behind the size of a block, no flags: it grows, and has no parent.
        (vhdx::FILE_PARAMETERS, [block_bytes, [0; 4]].concat(), 0),
        (
            vhdx::DISK_SIZE,
            size_bytes.to_le_bytes().to_vec(),
            IS_OF_DISK,
        ),
        (vhdx::LOGICAL_SECTOR, sector.to_vec(), IS_OF_DISK),
        (vhdx::PHYSICAL_SECTOR, sector.to_vec(), IS_OF_DISK),
        (vhdx::DISK_ID, identity.uuid(3).to_vec(), IS_OF_DISK),
    ];
    let mut table = b"metadata\0\0".to_vec();
    table.extend(5_u16.to_le_bytes());
    table.resize(32, 0);
    let mut values = Vec::new();
    for (kind, value, flags) in items {
        table.extend(kind);
        for number in [ITEMS_AT + values.len(), value.len()] {
            table.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        table.extend((flags | IS_REQUIRED).to_le_bytes());
        table.extend([0; 4]);
        values.extend(value);
    }
    table.resize(ITEMS_AT, 0);
    table.extend(values);
    table
}
