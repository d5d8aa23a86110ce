//! The GUID partition table (UEFI specification, chapter 5), read.
//!
//! ```text
//! sector 0   protective MBR: one partition of type 0xEE
//! sector 1   "EFI PART", u32 revision, u32 header size, u32 CRC-32 of the header, ...
//!              72 u64 first sector of the entries, 80 u32 entries, 84 u32 bytes of an entry, 88 u32 CRC-32 of all
//! entries    16 type GUID (zero: unused), 16 its own GUID, u64 first, u64 last sector, u64 flags, 72 name in UTF-16
//! ```
//!
//! Only the first copy is read, and sectors of 512 bytes.

use crate::Error;
use crate::disk::{ReadAt, le_u16, le_u32, le_u64};
use crate::mbr::SECTOR_BYTES;

const HEADER_BYTES: usize = 92;
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
    pub kind: [u8; 16],
    /// Its name.
    pub name: String,
    /// Where it starts.
    pub start_bytes: u64,
    /// How large it is.
    pub size_bytes: u64,
}

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
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    if sum.sum() == stored {
        return Ok(());
    }
    let expected = format!("the checksum {:#010x}", sum.sum());
    Err(corrupt(offset, expected, format!("{stored:#010x}")))
}

fn corrupt(offset: u64, expected: impl Into<String>, found: impl std::fmt::Display) -> Error {
    Error::corrupt("GUID partition table", offset, expected, found)
}
