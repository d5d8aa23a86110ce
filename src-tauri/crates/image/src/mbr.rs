//! The partition table of a master boot record: four entries of 16 bytes at byte 446 of the first
//! sector.
//!
//! ```text
//!  0  0x80 where the partition is the one to boot from
//!  1  CHS address of the first sector: head, then sector (low 6 bits) and cylinder
//!  4  type; 0 marks an unused entry
//!  5  CHS address of the last sector
//!  8  u32 first sector    12  u32 sectors
//! 510  of the sector itself: 55 AA
//! ```
//!
//! CHS addresses mean nothing today, but OSv skips a partition whose sector there is 0
//! (`fs/devfs/device.cc`), and many tools write zeros. We write `FE FF FF`, the customary "see the
//! other fields".

use std::io::{Read, Seek, SeekFrom};

use crate::Error;

/// The bytes of a sector.
pub const SECTOR_BYTES: u64 = 512;

/// Where the table is in the first sector.
pub(crate) const TABLE_OFFSET: usize = 446;
/// The code of a BIOS's boot sector ends here; a serial number and the table follow.
pub(crate) const BOOT_CODE_BYTES: usize = 440;
const ENTRY_BYTES: usize = 16;
const ENTRIES: usize = 4;
const SIGNATURE_OFFSET: usize = 510;
const SIGNATURE: [u8; 2] = [0x55, 0xAA];
const ACTIVE: u8 = 0x80;
const CHS_ELSEWHERE: [u8; 3] = [0xFE, 0xFF, 0xFF];
/// The low 6 bits of the second CHS byte are the sector.
const CHS_SECTOR_MASK: u8 = 0x3F;

/// The first sector of a disk.
pub(crate) type BootSector = [u8; 512];

/// One used entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Which entry, 1 to 4.
    pub number: u8,
    /// The type byte, never 0.
    pub kind: u8,
    /// Whether it is marked as the one to boot from.
    pub active: bool,
    /// Where it starts.
    pub start_bytes: u64,
    /// How large it is.
    pub size_bytes: u64,
    /// Whether OSv sees it: it skips an entry whose start has sector 0 in its CHS address.
    pub seen_by_osv: bool,
}

impl Partition {
    fn end_bytes(&self) -> u64 {
        // Both are sectors of 32 bits: no overflow.
        self.start_bytes + self.size_bytes
    }
}

/// Reads the used entries of the table, in their order.
///
/// # Errors
/// [`Error::Read`]; [`Error::WrongKind`] without a boot signature; [`Error::Corrupt`] for a
/// partition that reaches beyond the end of the disk.
pub fn read(disk: &mut (impl Read + Seek)) -> Result<Vec<Partition>, Error> {
    let disk_bytes = disk.seek(SeekFrom::End(0)).map_err(Error::read(0))?;
    let partitions = parse(&read_boot_sector(disk)?)?;
    if let Some(partition) = partitions.iter().find(|part| part.end_bytes() > disk_bytes) {
        return Err(Error::Corrupt {
            structure: "partition table",
            offset: (TABLE_OFFSET + ENTRY_BYTES * (usize::from(partition.number) - 1)) as u64,
            expected: format!("a partition within the {disk_bytes} bytes of the disk"),
            found: format!(
                "{} bytes from {}",
                partition.size_bytes, partition.start_bytes
            ),
        });
    }
    Ok(partitions)
}

/// Reads the first sector.
pub(crate) fn read_boot_sector(disk: &mut (impl Read + Seek)) -> Result<BootSector, Error> {
    disk.seek(SeekFrom::Start(0)).map_err(Error::read(0))?;
    let mut sector = Vec::new();
    disk.take(SECTOR_BYTES)
        .read_to_end(&mut sector)
        .map_err(Error::read(0))?;
    let length = sector.len();
    BootSector::try_from(sector).map_err(|_| Error::WrongKind {
        expected: "a disk with a partition table",
        found: format!("it has only {length} bytes"),
    })
}

/// Takes the used entries out of a first sector.
pub(crate) fn parse(sector: &BootSector) -> Result<Vec<Partition>, Error> {
    if !has_signature(sector) {
        let [first, second] = [sector[SIGNATURE_OFFSET], sector[SIGNATURE_OFFSET + 1]];
        return Err(Error::WrongKind {
            expected: "a disk with a partition table",
            found: format!("{first:02X} {second:02X} is at byte 510 instead of 55 AA"),
        });
    }
    let entries = sector[TABLE_OFFSET..SIGNATURE_OFFSET]
        .as_chunks::<ENTRY_BYTES>()
        .0;
    let used = (1..).zip(entries).filter(|(_, entry)| entry[4] != 0);
    Ok(used
        .map(|(number, entry)| Partition {
            number,
            kind: entry[4],
            active: entry[0] & ACTIVE != 0,
            start_bytes: sectors(entry, 8) * SECTOR_BYTES,
            size_bytes: sectors(entry, 12) * SECTOR_BYTES,
            seen_by_osv: entry[2] & CHS_SECTOR_MASK != 0,
        })
        .collect())
}

fn sectors(entry: &[u8; ENTRY_BYTES], at: usize) -> u64 {
    u64::from(u32::from_le_bytes([
        entry[at],
        entry[at + 1],
        entry[at + 2],
        entry[at + 3],
    ]))
}

pub(crate) fn has_signature(sector: &BootSector) -> bool {
    sector[SIGNATURE_OFFSET..] == SIGNATURE
}

pub(crate) fn put_signature(sector: &mut BootSector) {
    sector[SIGNATURE_OFFSET..].copy_from_slice(&SIGNATURE);
}

/// Writes an entry for `size_bytes` from `start_bytes` on, both multiples of 512.
pub(crate) fn put_partition(
    sector: &mut BootSector,
    number: u8,
    kind: u8,
    start_bytes: u64,
    size_bytes: u64,
) -> Result<Partition, Error> {
    let limit = u64::from(u32::MAX) * SECTOR_BYTES;
    let needed_bytes = start_bytes.saturating_add(size_bytes);
    let fits = |bytes: u64| u32::try_from(bytes.div_ceil(SECTOR_BYTES)).ok();
    let (Some(first), Some(count), Some(_)) =
        (fits(start_bytes), fits(size_bytes), fits(needed_bytes))
    else {
        return Err(Error::TooSmall {
            what: "partition table",
            needed_bytes,
            size_bytes: limit,
        });
    };
    let index = usize::from(number.clamp(1, 4)) - 1;
    let entry = &mut sector[TABLE_OFFSET + index * ENTRY_BYTES..][..ENTRY_BYTES];
    entry.fill(0);
    entry[1..4].copy_from_slice(&CHS_ELSEWHERE);
    entry[4] = kind;
    entry[5..8].copy_from_slice(&CHS_ELSEWHERE);
    entry[8..12].copy_from_slice(&first.to_le_bytes());
    entry[12..16].copy_from_slice(&count.to_le_bytes());
    Ok(Partition {
        number,
        kind,
        active: false,
        start_bytes,
        size_bytes,
        seen_by_osv: true,
    })
}

const _: () = assert!(TABLE_OFFSET + ENTRIES * ENTRY_BYTES == SIGNATURE_OFFSET);

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn sector() -> BootSector {
        let mut sector = [0; 512];
        put_signature(&mut sector);
        sector
    }

    #[test]
    fn what_is_written_is_read() {
        let mut sector = sector();
        let second = put_partition(&mut sector, 2, 0x83, 4 << 20, 8 << 20).unwrap();
        let fourth = put_partition(&mut sector, 4, 0x0C, 512, 1024).unwrap();
        assert_eq!(parse(&sector).unwrap(), [second, fourth]);
        assert_eq!(
            sector[TABLE_OFFSET + 16..TABLE_OFFSET + 32],
            [
                0, 0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF, 0, 0x20, 0, 0, 0, 0x40, 0, 0
            ]
        );
    }

    #[test]
    fn a_partition_with_a_zero_sector_is_not_seen_by_osv() {
        let mut sector = sector();
        put_partition(&mut sector, 2, 0x83, 512, 512).unwrap();
        // A zero sector with a cylinder above it is zero still.
        sector[TABLE_OFFSET + 16 + 2] = 0xC0;
        assert!(!parse(&sector).unwrap()[0].seen_by_osv);
    }

    #[test]
    fn disks_that_are_none_or_cut_short_are_refused() {
        let mut cut = sector().to_vec();
        put_partition(cut.as_mut_slice().try_into().unwrap(), 2, 0x83, 512, 1024).unwrap();
        cut.resize(1024, 0);
        let refusal = |bytes: &[u8]| {
            read(&mut Cursor::new(bytes.to_vec()))
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(
            [refusal(&[]), refusal(&[0; 511]), refusal(&[0; 512]), refusal(&cut)].join("\n"), @"
        this is not a disk with a partition table: it has only 0 bytes
        this is not a disk with a partition table: it has only 511 bytes
        this is not a disk with a partition table: 00 00 is at byte 510 instead of 55 AA
        the image is damaged: partition table at byte 462: expected a partition within the 1024 bytes of the disk, found 1024 bytes from 512
        ");
        assert_eq!(read(&mut Cursor::new(sector().to_vec())).unwrap(), []);
    }

    #[test]
    fn a_partition_beyond_two_tebibytes_is_refused() {
        let mut sector = sector();
        let error = put_partition(&mut sector, 2, 0x83, 1 << 20, 512 << 32).unwrap_err();
        assert!(matches!(error, Error::TooSmall { .. }), "{error}");
    }
}
