//! vhdx, read only (Microsoft's \[MS-VHDX\]).
//!
//! ```text
//!   0        "vhdxfile"
//!   64 KiB   header 1      128 KiB  header 2       the valid one of the higher sequence counts
//!   192 KiB  region table, 256 KiB its copy ──┬─> metadata: size, block and sector size
//!                                             └─> block allocation table (BAT)
//!   BAT      u64 per block: bits 0-2 state, bits 20-63 MiB in the file; behind each `chunk ratio` of
//!            blocks one entry for a bitmap, which only disks with a parent use
//! ```
//!
//! All numbers are little-endian; headers and region tables carry a CRC-32C. A log that was not replayed, and a parent, are
//! refused.

use std::ops::Range;

use super::blocks::{self, Blocks, Place, inside};
use super::{ReadAt, SharedDisk, le_u16, le_u32, le_u64};
use crate::{Error, crc32c};

pub(crate) const MAGIC: [u8; 8] = *b"vhdxfile";

pub(crate) const HEADERS_AT: [u64; 2] = [64 << 10, 128 << 10];
pub(crate) const REGIONS_AT: [u64; 2] = [192 << 10, 256 << 10];
pub(crate) const HEADER_BYTES: usize = 4 << 10;
pub(crate) const REGION_TABLE_BYTES: usize = 64 << 10;
const REGIONS_MAX: u32 = 2047;
const METADATA_TABLE_BYTES: usize = 64 << 10;
const METADATA_MAX: u16 = 2047;
const DISK_BYTES_MAX: u64 = 64 << 40;
const BLOCK_BYTES: std::ops::RangeInclusive<u32> = 1 << 20..=256 << 20;
pub(crate) const MIB: u64 = 1 << 20;

pub(crate) type Guid = [u8; 16];

/// A GUID as it is stored: the first three groups are little-endian.
pub(crate) const fn guid(text: u128) -> Guid {
    let b = text.to_be_bytes();
    [
        b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
        b[14], b[15],
    ]
}

pub(crate) const BAT: Guid = guid(0x2DC2_7766_F623_4200_9D64_115E_9BFD_4A08);
pub(crate) const METADATA: Guid = guid(0x8B7C_A206_4790_4B9A_B8FE_575F_050F_886E);
pub(crate) const FILE_PARAMETERS: Guid = guid(0xCAA1_6737_FA36_4D43_B3B6_33F0_AA44_E76B);
pub(crate) const DISK_SIZE: Guid = guid(0x2FA5_4224_CD1B_4876_B211_5DBE_D83B_F4B8);
pub(crate) const LOGICAL_SECTOR: Guid = guid(0x8141_BF1D_A96F_4709_BA47_F233_A8FA_AB5F);
pub(crate) const PHYSICAL_SECTOR: Guid = guid(0xCDA3_48C7_445D_4471_9CC9_E988_5251_C556);
pub(crate) const DISK_ID: Guid = guid(0xBECA_12AB_B2E6_4523_93EF_C309_E000_C746);

const HAS_PARENT: u32 = 1 << 1;
pub(crate) const BLOCK_PRESENT: u64 = 6;
const BLOCK_PARTIALLY_PRESENT: u64 = 7;

/// An open vhdx disk.
#[derive(Debug)]
pub struct Vhdx {
    file: SharedDisk,
    size_bytes: u64,
    block_bytes: u64,
    chunk_ratio: u64,
    bat_at: u64,
}

/// A region of the file: where it is, and how long.
type Region = (u64, u64);

impl Vhdx {
    /// Opens a vhdx file.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for what is no vhdx; [`Error::Corrupt`]; [`Error::Unsupported`] for a parent, and for a log that
    /// was not replayed.
    pub fn open(file: SharedDisk) -> Result<Self, Error> {
        let mut magic = [0; 8];
        let there = usize::try_from(file.size_bytes()).map_or(8, |size| size.min(8));
        file.read_at(0, &mut magic[..there])?;
        if magic != MAGIC {
            return Err(Error::WrongKind {
                expected: "a vhdx disk",
                found: format!("it starts with {magic:02X?}"),
            });
        }
        check_header(&file)?;
        let (bat, metadata) = regions(&file)?;
        let (size_bytes, block_bytes, sector_bytes) = parameters(&file, metadata)?;
        let chunk_ratio = (sector_bytes << 23) / block_bytes;
        let blocks = size_bytes.div_ceil(block_bytes);
        let entries = blocks + blocks.saturating_sub(1) / chunk_ratio;
        if bat.1 < entries * 8 {
            let expected = format!("a block allocation table of {} bytes", entries * 8);
            return Err(corrupt(bat.0, expected, bat.1));
        }
        Ok(Self {
            file,
            size_bytes,
            block_bytes,
            chunk_ratio,
            bat_at: bat.0,
        })
    }
}

/// Finds the header that counts, and refuses a log that waits.
fn check_header(file: &SharedDisk) -> Result<(), Error> {
    let mut newest: Option<(u64, u64, Vec<u8>)> = None;
    for at in HEADERS_AT {
        let Ok(header) = block(file, at, HEADER_BYTES, "a header") else {
            continue;
        };
        let sequence = le_u64(&header, 8);
        if header.starts_with(b"head")
            && is_sound(&header)
            && newest
                .as_ref()
                .is_none_or(|(newest, ..)| *newest < sequence)
        {
            newest = Some((sequence, at, header));
        }
    }
    let Some((_, at, header)) = newest else {
        let found = "none with a right checksum";
        return Err(corrupt(HEADERS_AT[0], "a header there or 64 KiB on", found));
    };
    let version = le_u16(&header, 66);
    if version != 1 {
        return Err(corrupt(at + 66, "version 1", version));
    }
    if header[48..64] != [0; 16] {
        let what = "changes in its log that are not in place yet (start it once where it was made)";
        return Err(Error::Unsupported {
            what: what.to_owned(),
            offset: at + 48,
        });
    }
    Ok(())
}

/// Where the block allocation table and the metadata are.
fn regions(file: &SharedDisk) -> Result<(Region, Region), Error> {
    let mut table = Err(corrupt(
        REGIONS_AT[0],
        "a region table there or 64 KiB on",
        "none with a right checksum",
    ));
    for at in REGIONS_AT {
        let found = block(file, at, REGION_TABLE_BYTES, "a region table");
        if let Ok(found) = found
            && found.starts_with(b"regi")
            && is_sound(&found)
        {
            table = Ok((at, found));
            break;
        }
    }
    let (table_at, table) = table?;
    let count = le_u32(&table, 8);
    if count > REGIONS_MAX {
        return Err(corrupt(
            table_at + 8,
            format!("at most {REGIONS_MAX} regions"),
            count,
        ));
    }
    let (mut bat, mut metadata) = (None, None);
    for (index, entry) in (0..count).zip(table[16..].chunks_exact(32)) {
        let entry_at = table_at + 16 + u64::from(index) * 32;
        let (at, length) = (le_u64(entry, 16), u64::from(le_u32(entry, 24)));
        let kind: Guid = entry.first_chunk().copied().unwrap_or_default();
        if kind == BAT || kind == METADATA {
            if at < MIB {
                return Err(corrupt(entry_at + 16, "a place behind the first MiB", at));
            }
            inside("vhdx", file, (at, length), entry_at + 16)?;
            let region = if kind == BAT { &mut bat } else { &mut metadata };
            *region = Some((at, length));
        } else if le_u32(entry, 28) & 1 != 0 {
            let what = "a region of a newer kind".to_owned();
            return Err(Error::Unsupported {
                what,
                offset: entry_at,
            });
        }
    }
    let missing = |what| corrupt(table_at, what, "none");
    Ok((
        bat.ok_or_else(|| missing("a block allocation table"))?,
        metadata.ok_or_else(|| missing("metadata"))?,
    ))
}

/// The size of the disk, of a block and of a sector.
fn parameters(file: &SharedDisk, (start, length): Region) -> Result<(u64, u64, u64), Error> {
    let table = block(file, start, METADATA_TABLE_BYTES, "a metadata table")?;
    if !table.starts_with(b"metadata") {
        return Err(corrupt(
            start,
            "\"metadata\"",
            format!("{:02X?}", &table[..8]),
        ));
    }
    let count = le_u16(&table, 10);
    if count > METADATA_MAX {
        return Err(corrupt(
            start + 10,
            format!("at most {METADATA_MAX} entries"),
            count,
        ));
    }
    let (mut block_bytes, mut flags, mut size, mut sector) = (None, 0, None, None);
    for (index, entry) in (0..count).zip(table[32..].chunks_exact(32)) {
        let entry_at = start + 32 + u64::from(index) * 32;
        let kind: Guid = entry.first_chunk().copied().unwrap_or_default();
        let known = [FILE_PARAMETERS, DISK_SIZE, LOGICAL_SECTOR];
        if !known.contains(&kind) {
            continue;
        }
        let (at, bytes) = (u64::from(le_u32(entry, 16)), u64::from(le_u32(entry, 20)));
        let wanted: usize = if kind == LOGICAL_SECTOR { 4 } else { 8 };
        if bytes < wanted as u64 || at.saturating_add(bytes) > length {
            let expected = format!("{wanted} bytes within {length}");
            return Err(corrupt(
                entry_at + 16,
                expected,
                format!("{bytes} from {at}"),
            ));
        }
        let mut item = [0; 8];
        file.read_at(start + at, &mut item[..wanted])?;
        match kind {
            FILE_PARAMETERS => {
                block_bytes = Some((start + at, le_u32(&item, 0)));
                flags = le_u32(&item, 4);
            }
            DISK_SIZE => size = Some((start + at, le_u64(&item, 0))),
            _ => sector = Some((start + at, le_u32(&item, 0))),
        }
    }
    if flags & HAS_PARENT != 0 {
        let what = "a parent disk".to_owned();
        return Err(Error::Unsupported {
            what,
            offset: start,
        });
    }
    let missing = |what| corrupt(start, what, "none");
    let (at, block_bytes) = block_bytes.ok_or_else(|| missing("file parameters"))?;
    if !BLOCK_BYTES.contains(&block_bytes) || !block_bytes.is_power_of_two() {
        return Err(corrupt(
            at,
            "blocks of 1 to 256 MiB, a power of two",
            block_bytes,
        ));
    }
    let (at, sector_bytes) = sector.ok_or_else(|| missing("a sector size"))?;
    if ![512, 4096].contains(&sector_bytes) {
        return Err(corrupt(at, "sectors of 512 or 4096 bytes", sector_bytes));
    }
    let (at, size_bytes) = size.ok_or_else(|| missing("a disk size"))?;
    if size_bytes > DISK_BYTES_MAX || !size_bytes.is_multiple_of(u64::from(sector_bytes)) {
        return Err(corrupt(at, "whole sectors, up to 64 TiB", size_bytes));
    }
    Ok((size_bytes, u64::from(block_bytes), u64::from(sector_bytes)))
}

/// A structure of fixed length.
fn block(file: &SharedDisk, at: u64, length: usize, what: &str) -> Result<Vec<u8>, Error> {
    let end = at.checked_add(length as u64);
    if end.is_none_or(|end| end > file.size_bytes()) {
        let found = format!("the end at {}", file.size_bytes());
        return Err(corrupt(at, what, found));
    }
    let mut bytes = vec![0; length];
    file.read_at(at, &mut bytes)?;
    Ok(bytes)
}

/// Whether the checksum at byte 4 is right.
fn is_sound(bytes: &[u8]) -> bool {
    let mut copy = bytes.to_vec();
    copy[4..8].fill(0);
    crc32c::sum(&copy) == le_u32(bytes, 4)
}

impl Blocks for Vhdx {
    fn disk_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    fn file(&self) -> &SharedDisk {
        &self.file
    }

    fn place(&self, block: u64, length: u64) -> Result<Place, Error> {
        let entry_at = self.bat_at + (block + block / self.chunk_ratio) * 8;
        let mut entry = [0; 8];
        self.file.read_at(entry_at, &mut entry)?;
        let entry = u64::from_le_bytes(entry);
        match entry & 7 {
            BLOCK_PRESENT => {
                let at = entry & !(MIB - 1);
                inside("vhdx", &self.file, (at, length), entry_at).map(Place::At)
            }
            BLOCK_PARTIALLY_PRESENT => Err(corrupt(
                entry_at,
                "a block that is there or not",
                "a part of one, which only a disk with a parent has",
            )),
            state if state > 3 => Err(corrupt(entry_at, "state 0 to 3 or 6", state)),
            _ => Ok(Place::Zeros),
        }
    }
}

impl ReadAt for Vhdx {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        blocks::read_at(self, offset, buffer)
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        blocks::next_data(self, offset)
    }
}

fn corrupt(offset: u64, expected: impl Into<String>, found: impl std::fmt::Display) -> Error {
    Error::corrupt("vhdx", offset, expected, found)
}
