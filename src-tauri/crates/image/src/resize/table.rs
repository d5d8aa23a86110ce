//! Partition tables of a disk that gets another size, as writes.

use crate::disk::{ReadAt, le_u32, le_u64};
use crate::{Error, Layout, Volume, gpt};

const SECTOR: u64 = 512;
const MBR_TABLE: usize = 446;
const MBR_ENTRY: usize = 16;
const MBR_ENTRIES: u32 = 4;
const PROTECTIVE: u8 = 0xEE;

type Writes = Vec<(u64, Vec<u8>)>;

/// Whether the end of a partition stands in the table itself, and not in one inside of another partition.
pub(super) fn can_grow(layout: Layout, volume: &Volume) -> bool {
    layout != Layout::Mbr || volume.number <= MBR_ENTRIES
}

/// The master boot record, with partitions that end elsewhere.
pub(super) fn mbr(
    disk: &dyn ReadAt,
    new_end: impl Fn(u32) -> Option<u64>,
) -> Result<Writes, Error> {
    let mut sector = vec![0; 512];
    disk.read_at(0, &mut sector)?;
    let mut changed = false;
    for number in 1..=MBR_ENTRIES {
        let Some(end) = new_end(number) else { continue };
        let entry = &mut sector[MBR_TABLE + MBR_ENTRY * (number as usize - 1)..][..MBR_ENTRY];
        let first = u64::from(le_u32(entry, 8));
        let sectors = u32::try_from(end / SECTOR - first).map_err(|_| Error::TooSmall {
            what: "partition table",
            needed_bytes: end,
            size_bytes: u64::from(u32::MAX) * SECTOR,
        })?;
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
        changed = true;
    }
    Ok(if changed {
        vec![(0, sector)]
    } else {
        Vec::new()
    })
}

/// What the copy of a GUID partition table takes at the end of the disk.
pub(super) fn gpt_end_bytes(disk: &dyn ReadAt) -> Result<u64, Error> {
    // Checks the table.
    gpt::read(disk)?;
    let header = sector(disk, SECTOR)?;
    Ok(SECTOR + entries_bytes(&header).next_multiple_of(SECTOR))
}

fn entries_bytes(header: &[u8]) -> u64 {
    u64::from(le_u32(header, 80)) * u64::from(le_u32(header, 84))
}

fn sector(disk: &dyn ReadAt, at: u64) -> Result<Vec<u8>, Error> {
    let mut sector = vec![0; 512];
    disk.read_at(at, &mut sector)?;
    Ok(sector)
}

/// Both copies of a GUID partition table, and the protective record, for a disk of another size.
pub(super) fn gpt(
    disk: &dyn ReadAt,
    size_bytes: u64,
    new_end: impl Fn(u32) -> Option<u64>,
) -> Result<Writes, Error> {
    let behind = gpt_end_bytes(disk)?;
    let mut header = sector(disk, SECTOR)?;
    let entry_bytes = le_u32(&header, 84) as usize;
    let entries_at = le_u64(&header, 72) * SECTOR;
    // At most a MiB, as `gpt::read` has checked.
    let mut entries = vec![0; usize::try_from(entries_bytes(&header)).unwrap_or(0)];
    disk.read_at(entries_at, &mut entries)?;
    let mut grown_end = 0;
    for (number, entry) in (1..).zip(entries.chunks_exact_mut(entry_bytes)) {
        if let Some(end) = new_end(number) {
            grown_end = end;
            entry[40..48].copy_from_slice(&(end / SECTOR - 1).to_le_bytes());
        }
    }
    let last = size_bytes / SECTOR - 1;
    let copy_at = size_bytes - behind;
    header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
    header[48..56].copy_from_slice(&(copy_at / SECTOR - 1).to_le_bytes());
    let mut copy = header.clone();
    set_places(&mut header, 1, last, entries_at / SECTOR);
    set_places(&mut copy, last, 1, copy_at / SECTOR);

    let mut record = sector(disk, 0)?;
    let sectors = u32::try_from(last).unwrap_or(u32::MAX);
    for entry in record[MBR_TABLE..MBR_TABLE + 4 * MBR_ENTRY].chunks_exact_mut(MBR_ENTRY) {
        if entry[4] == PROTECTIVE && le_u32(entry, 8) == 1 {
            entry[12..16].copy_from_slice(&sectors.to_le_bytes());
        }
    }
    let mut writes = vec![
        (0, record),
        (SECTOR, header),
        (entries_at, entries.clone()),
        (copy_at, entries),
        (last * SECTOR, copy),
    ];
    // The copy at the old end could be taken for one of this disk; within a partition it is that one's free space.
    let old_copy = disk.size_bytes() / SECTOR * SECTOR - SECTOR;
    if old_copy < copy_at && grown_end <= old_copy {
        writes.push((old_copy, vec![0; 512]));
    }
    Ok(writes)
}

/// Says in a header where it, the other one and its entries are.
fn set_places(header: &mut [u8], own: u64, other: u64, entries: u64) {
    for (at, sector) in [(24, own), (32, other), (72, entries)] {
        header[at..at + 8].copy_from_slice(&sector.to_le_bytes());
    }
    let length = (le_u32(header, 12) as usize).min(header.len());
    header[16..20].fill(0);
    let sum = crc32(&header[..length]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}
