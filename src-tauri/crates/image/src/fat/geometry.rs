//! Where everything is, from the boot sector, and into it.

use super::{FatKind, SECTOR_BYTES};
use crate::Error;
use crate::disk::{le_u16, le_u32};
use crate::mbr::{self, BootSector};

/// What the first bytes name as the maker.
const MAKER: &[u8; 8] = b"WINDLASS";
/// A fixed disk.
pub(super) const MEDIA: u8 = 0xF8;
const FAT_COUNT: u64 = 2;
/// Entries of the root directory of FAT12 and FAT16, where no more are needed.
const ROOT_ENTRIES: u64 = 512;
const ROOT_ENTRIES_MAX: u64 = 65_520;
/// FAT32's: the boot sector, its copy, and room for both.
const RESERVED_SECTORS_FAT32: u64 = 32;
pub(super) const INFO_SECTOR: u64 = 1;
pub(super) const BACKUP_SECTOR: u64 = 6;
const ENTRY_BYTES: u64 = super::ENTRY_BYTES as u64;
/// Larger ones are read by few.
const CLUSTER_BYTES_MAX: u64 = 32 << 10;
/// Where the last 28 bits are used.
const CLUSTERS_MAX: u64 = 0x0FFF_FFF4;
/// The borders between the kinds are given a wide berth: some tools count otherwise by a few.
const BORDER: u64 = 16;
/// "There is no system here": asks the BIOS for the next disk, and stops.
const BOOT_CODE: [u8; 5] = [0xCD, 0x18, 0xF4, 0xEB, 0xFD];

/// All numbers of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) kind: FatKind,
    pub(super) sector_bytes: u64,
    pub(super) cluster_bytes: u64,
    pub(super) reserved_sectors: u64,
    pub(super) fat_count: u64,
    pub(super) fat_sectors: u64,
    /// 0 with FAT32.
    pub(super) root_entries: u64,
    /// Where FAT32's root starts.
    pub(super) root_cluster: u32,
    pub(super) sectors: u64,
    /// Clusters are numbered from 2 on.
    pub(super) clusters: u64,
}

impl Geometry {
    pub(super) fn size_bytes(&self) -> u64 {
        self.sectors * self.sector_bytes
    }

    /// Where a copy of the FAT starts.
    pub(super) fn fat_offset(&self, copy: u64) -> u64 {
        (self.reserved_sectors + copy * self.fat_sectors) * self.sector_bytes
    }

    /// Where the root directory of FAT12 and FAT16 starts.
    pub(super) fn root_offset(&self) -> u64 {
        self.fat_offset(self.fat_count)
    }

    fn data_sector(&self) -> u64 {
        let root_sectors = (self.root_entries * ENTRY_BYTES).div_ceil(self.sector_bytes);
        self.reserved_sectors + self.fat_count * self.fat_sectors + root_sectors
    }

    /// Where a cluster starts; it is 2 at least.
    pub(super) fn cluster_offset(&self, cluster: u32) -> u64 {
        self.data_sector() * self.sector_bytes
            + u64::from(cluster.saturating_sub(2)) * self.cluster_bytes
    }

    /// Whether there is such a cluster.
    pub(super) fn has(&self, cluster: u32) -> bool {
        (2..self.clusters + 2).contains(&u64::from(cluster))
    }

    /// Lays out a volume of a size with `cluster_bytes`; nothing where it would be of another kind.
    fn lay_out(kind: FatKind, sectors: u64, cluster_bytes: u64, root_entries: u64) -> Option<Self> {
        let is_fat32 = kind == FatKind::Fat32;
        let mut geometry = Self {
            kind,
            sector_bytes: SECTOR_BYTES,
            cluster_bytes,
            reserved_sectors: if is_fat32 { RESERVED_SECTORS_FAT32 } else { 1 },
            fat_count: FAT_COUNT,
            fat_sectors: 1,
            root_entries: if is_fat32 { 0 } else { root_entries },
            root_cluster: if is_fat32 { 2 } else { 0 },
            sectors,
            clusters: 0,
        };
        // A larger FAT leaves fewer clusters: it comes to rest.
        loop {
            let left = sectors.checked_sub(geometry.data_sector())?;
            geometry.clusters = left * SECTOR_BYTES / cluster_bytes;
            let needed = fat_bytes(kind, geometry.clusters).div_ceil(SECTOR_BYTES);
            if needed <= geometry.fat_sectors {
                break;
            }
            geometry.fat_sectors = needed;
        }
        let is_far = |border: u64| geometry.clusters.abs_diff(border) >= BORDER;
        let is_sound = geometry.clusters > 0
            && geometry.clusters <= CLUSTERS_MAX
            && u32::try_from(sectors).is_ok()
            && FatKind::of(geometry.clusters) == kind
            && is_far(4085)
            && is_far(65_525);
        is_sound.then_some(geometry)
    }

    /// The best layout for a size: the smallest clusters that keep the FAT small.
    pub(super) fn of_size(
        size_bytes: u64,
        kind: Option<FatKind>,
        root_entries: u64,
    ) -> Result<Self, Error> {
        let sectors = size_bytes / SECTOR_BYTES;
        let root_entries = root_entries_for(root_entries)?;
        let kinds: &[FatKind] = match kind {
            Some(FatKind::Fat12) => &[FatKind::Fat12],
            Some(FatKind::Fat16) => &[FatKind::Fat16],
            Some(FatKind::Fat32) => &[FatKind::Fat32],
            // As other tools have it: FAT32 from half a GiB on.
            None if size_bytes > 512 << 20 => &[FatKind::Fat32],
            None => &[FatKind::Fat12, FatKind::Fat16],
        };
        let fitting = kinds.iter().flat_map(|&kind| {
            cluster_sizes(kind, size_bytes)
                .filter_map(move |bytes| Self::lay_out(kind, sectors, bytes, root_entries))
        });
        fitting
            .min_by_key(|found| found.kind)
            .ok_or(Error::TooSmall {
                what: "FAT file system",
                needed_bytes: size_bytes_min(kind),
                size_bytes,
            })
    }

    /// The smallest layout with room for so many bytes, given as clusters of a size that it asks for.
    pub(super) fn fitted(
        clusters_needed: impl Fn(u64) -> u64,
        kind: Option<FatKind>,
        root_entries: u64,
    ) -> Result<Self, Error> {
        let mut size_bytes = clusters_needed(SECTOR_BYTES) * SECTOR_BYTES;
        size_bytes = size_bytes.max(size_bytes_min(kind));
        // What tables and other clusters take is found by trying; some percent more each time.
        loop {
            let geometry = Self::of_size(size_bytes.next_multiple_of(4096), kind, root_entries);
            match geometry {
                Ok(geometry) if geometry.clusters >= clusters_needed(geometry.cluster_bytes) => {
                    return Ok(geometry);
                }
                Err(error) if size_bytes > u64::from(u32::MAX) * SECTOR_BYTES => return Err(error),
                _ => size_bytes += (size_bytes / 64).max(4096),
            }
        }
    }

    /// Reads the boot sector.
    pub(super) fn parse(sector: &BootSector) -> Result<Self, Error> {
        let wrong = |found: &str| Error::WrongKind {
            expected: "a FAT file system",
            found: found.to_owned(),
        };
        if !mbr::has_signature(sector) || !matches!(sector[0], 0xEB | 0xE9) {
            return Err(wrong("it does not begin as one"));
        }
        let sector_bytes = u64::from(le_u16(sector, 11));
        let sectors_per_cluster = u64::from(sector[13]);
        let reserved_sectors = u64::from(le_u16(sector, 14));
        let fat_count = u64::from(sector[16]);
        let root_entries = u64::from(le_u16(sector, 17));
        let or = |short: u16, long: u32| {
            if short == 0 {
                u64::from(long)
            } else {
                u64::from(short)
            }
        };
        let sectors = or(le_u16(sector, 19), le_u32(sector, 32));
        let fat_sectors = or(le_u16(sector, 22), le_u32(sector, 36));
        if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096)
            || !sectors_per_cluster.is_power_of_two()
            || !(1..=2).contains(&fat_count)
            || reserved_sectors == 0
            || sector[21] < 0xF0
        {
            return Err(wrong("its first sector has no numbers of one"));
        }
        let mut geometry = Self {
            kind: FatKind::Fat32,
            sector_bytes,
            cluster_bytes: sectors_per_cluster * sector_bytes,
            reserved_sectors,
            fat_count,
            fat_sectors,
            root_entries,
            root_cluster: 0,
            sectors,
            clusters: 0,
        };
        let corrupt = |offset: u64, expected: String, found: u64| {
            Err(Error::corrupt("FAT boot sector", offset, expected, found))
        };
        let Some(left) = sectors.checked_sub(geometry.data_sector()) else {
            let expected = format!("at least {} sectors", geometry.data_sector());
            return corrupt(32, expected, sectors);
        };
        geometry.clusters = left / sectors_per_cluster;
        geometry.kind = FatKind::of(geometry.clusters);
        let needed = fat_bytes(geometry.kind, geometry.clusters).div_ceil(sector_bytes);
        if fat_sectors < needed || geometry.clusters > CLUSTERS_MAX {
            return corrupt(36, format!("a FAT of {needed} sectors"), fat_sectors);
        }
        if geometry.kind == FatKind::Fat32 {
            geometry.root_cluster = le_u32(sector, 44);
            if !geometry.has(geometry.root_cluster) || root_entries != 0 {
                let expected = format!("a cluster from 2 to {}", geometry.clusters + 1);
                return corrupt(44, expected, geometry.root_cluster.into());
            }
        } else if root_entries == 0 {
            return corrupt(17, "a root directory".to_owned(), 0);
        }
        Ok(geometry)
    }

    /// Makes the boot sector.
    pub(super) fn boot_sector(
        &self,
        serial: u32,
        label: &[u8; 11],
        start_bytes: u64,
    ) -> BootSector {
        let mut sector: BootSector = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
        let short = |number: u64| u16::try_from(number).unwrap_or(0).to_le_bytes();
        let long = |number: u64| u32::try_from(number).unwrap_or(0).to_le_bytes();
        let is_fat32 = self.kind == FatKind::Fat32;
        put(3, MAKER);
        put(11, &short(self.sector_bytes));
        put(13, &short(self.cluster_bytes / self.sector_bytes)[..1]);
        put(14, &short(self.reserved_sectors));
        put(16, &short(self.fat_count)[..1]);
        put(17, &short(self.root_entries));
        // Where it does not fit, or is not used, it is 0.
        put(
            19,
            &if is_fat32 {
                [0; 2]
            } else {
                short(self.sectors)
            },
        );
        put(21, &[MEDIA]);
        put(24, &63_u16.to_le_bytes());
        put(26, &255_u16.to_le_bytes());
        put(28, &long(start_bytes / SECTOR_BYTES));
        if is_fat32 || u16::try_from(self.sectors).is_err() {
            put(32, &long(self.sectors));
        }
        let (extended, code): (usize, usize) = if is_fat32 {
            put(36, &long(self.fat_sectors));
            put(44, &self.root_cluster.to_le_bytes());
            put(48, &short(INFO_SECTOR));
            put(50, &short(BACKUP_SECTOR));
            (64, 0x5A)
        } else {
            put(22, &short(self.fat_sectors));
            (36, 0x3E)
        };
        put(0, &[0xEB, if is_fat32 { 0x58 } else { 0x3C }, 0x90]);
        put(extended, &[0x80, 0, 0x29]);
        put(extended + 3, &serial.to_le_bytes());
        put(extended + 7, label);
        let name: &[u8; 8] = match self.kind {
            FatKind::Fat12 => b"FAT12   ",
            FatKind::Fat16 => b"FAT16   ",
            FatKind::Fat32 => b"FAT32   ",
        };
        put(extended + 18, name);
        put(code, &BOOT_CODE);
        mbr::put_signature(&mut sector);
        sector
    }
}

fn fat_bytes(kind: FatKind, clusters: u64) -> u64 {
    ((clusters + 2) * kind.bits()).div_ceil(8)
}

fn root_entries_for(entries: u64) -> Result<u64, Error> {
    let entries = entries.max(ROOT_ENTRIES).next_multiple_of(16);
    if entries > ROOT_ENTRIES_MAX {
        return Err(Error::TooSmall {
            what: "root directory of the FAT file system",
            needed_bytes: entries * ENTRY_BYTES,
            size_bytes: ROOT_ENTRIES_MAX * ENTRY_BYTES,
        });
    }
    Ok(entries)
}

/// The sizes of clusters to try.
fn cluster_sizes(kind: FatKind, size_bytes: u64) -> impl Iterator<Item = u64> {
    let first = match kind {
        // Up to 260 MiB the smallest, as other tools have it.
        FatKind::Fat32 if size_bytes > 260 << 20 => 4096,
        _ => SECTOR_BYTES,
    };
    std::iter::successors(Some(first), |bytes| Some(bytes * 2))
        .take_while(|&bytes| bytes <= CLUSTER_BYTES_MAX)
}

fn size_bytes_min(kind: Option<FatKind>) -> u64 {
    match kind {
        None | Some(FatKind::Fat12) => 64 << 10,
        Some(FatKind::Fat16) => (4085 + BORDER + 128) * SECTOR_BYTES,
        Some(FatKind::Fat32) => (65_525 + BORDER + 1100) * SECTOR_BYTES,
    }
}
