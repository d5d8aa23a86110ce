//! The GUID partition table (UEFI specification, chapter 5).
//!
//! ```text
//! sector 0   protective MBR: one partition of type 0xEE
//! sector 1   "EFI PART", u32 revision, u32 header size, u32 CRC-32 of the header, ...
//!              72 u64 first sector of the entries, 80 u32 entries, 84 u32 bytes of an entry, 88 u32 CRC-32 of all
//! entries    16 type GUID (zero: unused), 16 its own GUID, u64 first, u64 last sector, u64 flags, 72 name in UTF-16
//! ...
//! the end    entries and header once more
//! ```
//!
//! Only the first copy is read, and sectors of 512 bytes.

use std::io::{Seek, Write};

use crate::Error;
use crate::disk::{ReadAt, le_u16, le_u32, le_u64};
use crate::mbr::{self, SECTOR_BYTES};
use crate::output::Output;

const HEADER_BYTES: usize = HEADER_BYTES_U8 as usize;
const HEADER_BYTES_U8: u8 = 92;
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Tools write 128 entries of 128 bytes.
const ENTRIES_MAX: u32 = 1024;
const ENTRY_BYTES: std::ops::RangeInclusive<u32> = 128..=1024;

/// A partition of a GPT disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Which entry, from 1.
    pub number: u32,
    /// Its type, as the bytes of the GUID are stored.
    pub kind: Guid,
    /// Its name.
    pub name: String,
    /// Where it starts.
    pub start_bytes: u64,
    /// How large it is.
    pub size_bytes: u64,
}

/// A type or another name of 16 bytes, as it is stored.
pub type Guid = [u8; 16];

/// GRUB's second part on a disk that a BIOS boots from: `21686148-6449-6E6F-744E-656564454649`.
pub const BIOS_BOOT: Guid = *b"Hah!IdontNeedEFI";

/// An EFI system partition: `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`.
pub const EFI_SYSTEM: Guid = [
    0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B,
];

/// The root file system of Linux on `x86_64`: `4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709`.
pub const LINUX_ROOT: Guid = [
    0xE3, 0xBC, 0x68, 0x4F, 0xCD, 0xE8, 0xB1, 0x4D, 0x96, 0xE7, 0xFB, 0xCA, 0xF9, 0x84, 0xB7, 0x09,
];

/// What a table is written with.
const WRITTEN_U8: u8 = 128;
const WRITTEN_ENTRIES: usize = WRITTEN_U8 as usize;
const WRITTEN_ENTRY_BYTES: usize = WRITTEN_U8 as usize;
const TABLE_SECTORS: u64 = (WRITTEN_ENTRIES * WRITTEN_ENTRY_BYTES) as u64 / SECTOR_BYTES;
const REVISION: [u8; 4] = [0, 0, 1, 0];

/// What the second copy takes at the end of a disk.
pub const END_BYTES: u64 = (TABLE_SECTORS + 1) * SECTOR_BYTES;

/// The type of the one partition of a protective MBR.
const PROTECTIVE: u8 = 0xEE;

/// Whether a disk has a GUID partition table.
///
/// # Errors
/// [`Error::Read`].
pub fn is_present(disk: &dyn ReadAt) -> Result<bool, Error> {
    if disk.size_bytes() < 2 * SECTOR_BYTES {
        return Ok(false);
    }
    let mut signature = [0; 8];
    disk.read_at(SECTOR_BYTES, &mut signature)?;
    Ok(&signature == SIGNATURE)
}

/// Reads the used entries of the table, in their order.
///
/// # Errors
/// [`Error::Read`]; [`Error::WrongKind`] without a table; [`Error::Corrupt`] where a checksum is wrong or a partition
/// reaches beyond the disk.
pub fn read(disk: &dyn ReadAt) -> Result<Vec<Partition>, Error> {
    if !is_present(disk)? {
        let found = "there is none at byte 512".to_owned();
        return Err(Error::WrongKind {
            expected: "a disk with a GUID partition table",
            found,
        });
    }
    let mut header = [0; 512];
    disk.read_at(SECTOR_BYTES, &mut header)?;
    let size = le_u32(&header, 12) as usize;
    if !(HEADER_BYTES..=header.len()).contains(&size) {
        return Err(corrupt(
            SECTOR_BYTES + 12,
            "a header of 92 to 512 bytes",
            size,
        ));
    }
    let stored = le_u32(&header, 16);
    header[16..20].fill(0);
    check(SECTOR_BYTES + 16, stored, &header[..size])?;
    let (first, count, entry_bytes) = (
        le_u64(&header, 72),
        le_u32(&header, 80),
        le_u32(&header, 84),
    );
    if count > ENTRIES_MAX {
        return Err(corrupt(
            SECTOR_BYTES + 80,
            format!("at most {ENTRIES_MAX} entries"),
            count,
        ));
    }
    if !ENTRY_BYTES.contains(&entry_bytes) || !entry_bytes.is_multiple_of(8) {
        return Err(corrupt(
            SECTOR_BYTES + 84,
            "entries of 128 to 1024 bytes",
            entry_bytes,
        ));
    }
    let start = first.saturating_mul(SECTOR_BYTES);
    // At most a MiB.
    let mut table = vec![0; (count * entry_bytes) as usize];
    disk.read_at(start, &mut table)?;
    check(SECTOR_BYTES + 88, le_u32(&header, 88), &table)?;
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(table.chunks_exact(entry_bytes as usize)) {
        if entry[..16] == [0; 16] {
            continue;
        }
        let at = start + u64::from(number - 1) * u64::from(entry_bytes);
        partitions.push(partition(number, entry, at, disk.size_bytes())?);
    }
    Ok(partitions)
}

/// Writes both copies of a table, and the protective MBR with the code that a BIOS starts. The partitions are numbered in
/// their order. GUIDs are derived from names and places: the same disk has the same ones.
pub(crate) fn write<W: Write + Seek>(
    output: &mut Output<'_, W>,
    disk_bytes: u64,
    boot_code: &[u8],
    partitions: &[Partition],
) -> Result<(), Error> {
    let last = disk_bytes / SECTOR_BYTES - 1;
    let mut sector: mbr::BootSector = [0; 512];
    let code_bytes = boot_code.len().min(mbr::BOOT_CODE_BYTES);
    sector[..code_bytes].copy_from_slice(&boot_code[..code_bytes]);
    // A disk beyond two TiB says as much as it can.
    let protected = last.min(u32::MAX.into()) * SECTOR_BYTES;
    mbr::put_partition(&mut sector, 1, PROTECTIVE, SECTOR_BYTES, protected)?;
    mbr::put_signature(&mut sector);
    // The UEFI specification wants these, which some firmware looks for.
    sector[mbr::TABLE_OFFSET + 1..][..3].copy_from_slice(&[0x00, 0x02, 0x00]);
    sector[mbr::TABLE_OFFSET + 5..][..3].copy_from_slice(&[0xFF; 3]);
    output.write_at(0, &sector)?;

    let mut table = vec![0; WRITTEN_ENTRIES * WRITTEN_ENTRY_BYTES];
    let mut names = blake3::Hasher::new();
    for (entry, partition) in table.chunks_mut(WRITTEN_ENTRY_BYTES).zip(partitions) {
        names.update(partition.name.as_bytes());
        let first = partition.start_bytes / SECTOR_BYTES;
        let end = (partition.start_bytes + partition.size_bytes) / SECTOR_BYTES;
        entry[..16].copy_from_slice(&partition.kind);
        entry[16..32].copy_from_slice(&guid(&names));
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&(end - 1).to_le_bytes());
        for (place, unit) in entry[56..128]
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .zip(partition.name.encode_utf16())
        {
            *place = unit.to_le_bytes();
        }
    }
    names.update(&disk_bytes.to_le_bytes());
    let disk_guid = guid(&names);
    let first_usable = 2 + TABLE_SECTORS;
    let last_usable = last - TABLE_SECTORS - 1;
    for (here, other, table_at) in [(1, last, 2), (last, 1, last_usable + 1)] {
        let mut header = [0; 512];
        header[..8].copy_from_slice(SIGNATURE);
        header[8..12].copy_from_slice(&REVISION);
        header[12] = HEADER_BYTES_U8;
        for (at, number) in [
            (24, here),
            (32, other),
            (40, first_usable),
            (48, last_usable),
            (72, table_at),
        ] {
            header[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        header[56..72].copy_from_slice(&disk_guid);
        header[80] = WRITTEN_U8;
        header[84] = WRITTEN_U8;
        header[88..92].copy_from_slice(&checksum(&table).to_le_bytes());
        let sum = checksum(&header[..HEADER_BYTES]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        output.write_at(table_at * SECTOR_BYTES, &table)?;
        output.write_at(here * SECTOR_BYTES, &header)?;
    }
    Ok(())
}

/// A GUID (version 8) of what was hashed so far.
fn guid(names: &blake3::Hasher) -> Guid {
    let digest = names.finalize();
    let mut guid = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    guid[7] = guid[7] & 0x0F | 0x80;
    guid[8] = guid[8] & 0x3F | 0x80;
    guid
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

fn partition(number: u32, entry: &[u8], at: u64, disk_bytes: u64) -> Result<Partition, Error> {
    let (first, last) = (le_u64(entry, 32), le_u64(entry, 40));
    let end = last
        .checked_add(1)
        .and_then(|end| end.checked_mul(SECTOR_BYTES));
    let Some(end) = end.filter(|&end| first <= last && end <= disk_bytes) else {
        let expected = format!("a partition within {disk_bytes} bytes");
        return Err(corrupt(
            at + 32,
            expected,
            format!("sectors {first} to {last}"),
        ));
    };
    let mut kind = [0; 16];
    kind.copy_from_slice(&entry[..16]);
    let name: Vec<u16> = (56..128)
        .step_by(2)
        .map(|at| le_u16(entry, at))
        .take_while(|&unit| unit != 0)
        .collect();
    Ok(Partition {
        number,
        kind,
        name: String::from_utf16_lossy(&name),
        start_bytes: first * SECTOR_BYTES,
        size_bytes: end - first * SECTOR_BYTES,
    })
}

fn check(offset: u64, stored: u32, bytes: &[u8]) -> Result<(), Error> {
    let sum = checksum(bytes);
    if sum == stored {
        return Ok(());
    }
    let expected = format!("the checksum {sum:#010x}");
    Err(corrupt(offset, expected, format!("{stored:#010x}")))
}

fn corrupt(offset: u64, expected: impl Into<String>, found: impl std::fmt::Display) -> Error {
    Error::corrupt("GUID partition table", offset, expected, found)
}
