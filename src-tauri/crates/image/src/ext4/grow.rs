//! A file system gets larger: groups are added at its end.
//!
//! ```text
//!   before   | group 0 | group 1 | group 2 (short) |
//!   after    | group 0 | group 1 | group 2         | group 3: (copies) bitmaps, inode table, free | ...
//! ```
//!
//! Nothing that is there moves, so that all of it is one small [`Patch`]: the superblock, the descriptors, the bitmap of
//! the group that was short, and the bitmaps of new groups. Their inode tables are zeros, which is what a disk that has
//! grown has there.
//!
//! This goes as long as the descriptors of the new groups fit into the blocks that the descriptors have: 128 groups,
//! 16 GiB, to a block. What we write has no room set aside for more; who needs it has `resize2fs` move things.

use super::geometry::{Geometry, RO_COMPAT_METADATA_CSUM, SUPERBLOCK_OFFSET};
use crate::disk::{ReadAt, le_u16, le_u32};
use crate::update::Patch;
use crate::{Error, crc32c};

const BLOCK: u64 = 4096;
const BLOCK_BYTES: usize = 4096;
const DESCRIPTOR: usize = 32;

/// The features with which nothing else has to be kept up to date: journal, attributes, directory indexes ...
const COMPAT: u32 = 0x1 | 0x4 | 0x8 | 0x20;
/// ... file types, extents, `flex_bg` ...
const INCOMPAT: u32 = 0x2 | 0x40 | 0x200;
/// ... few copies, large files, many links, large inodes, checksums of metadata.
const RO_COMPAT: u32 = SPARSE | 0x2 | 0x8 | 0x20 | 0x40 | RO_COMPAT_METADATA_CSUM;
const SPARSE: u32 = 0x1;
const CLEAN: u16 = 1;
const BLOCKS_UNUSED: u16 = 2;
const TABLE_IS_ZERO: u16 = 4;
/// A group that has less than this besides its own books is not worth having.
const GROUP_BLOCKS_MIN: u64 = 64;

/// How it went.
#[derive(Debug)]
pub(crate) enum Grown {
    /// What there is to write.
    Patch(Patch),
    /// It is as large already as it can be there.
    Already,
    /// It is laid out in another way.
    NotHere,
}

/// Plans how a file system that is at the beginning of `disk` comes to fill `size_bytes`. What lies behind the disk's end is
/// taken to be zeros.
///
/// # Errors
/// [`Error::Corrupt`]; [`Error::Read`].
pub(crate) fn grow(disk: &dyn ReadAt, size_bytes: u64) -> Result<Grown, Error> {
    let geometry = Geometry::read(disk)?;
    let mut superblock = vec![0; 1024];
    disk.read_at(SUPERBLOCK_OFFSET, &mut superblock)?;
    if !is_plain(&geometry, &superblock) {
        return Ok(Grown::NotHere);
    }
    let mut growth = Growth::new(geometry, superblock, size_bytes);
    if growth.blocks <= growth.geometry.blocks {
        return Ok(Grown::Already);
    }
    if growth.descriptor_blocks(growth.groups()) != growth.descriptor_blocks(growth.old_groups) {
        return Ok(Grown::NotHere);
    }
    let length = usize::try_from(growth.descriptor_blocks(growth.old_groups) * BLOCK);
    growth.descriptors = vec![0; length.unwrap_or(usize::MAX)];
    disk.read_at(BLOCK, &mut growth.descriptors)?;
    growth.fill_last(disk)?;
    for group in growth.old_groups..growth.groups() {
        if !growth.add(disk, group)? {
            return Ok(Grown::NotHere);
        }
    }
    Ok(Grown::Patch(growth.finish()))
}

fn is_plain(geometry: &Geometry, superblock: &[u8]) -> bool {
    let within = |at, allowed: u32| le_u32(superblock, at) & !allowed == 0;
    geometry.block_bytes == BLOCK
        && geometry.descriptor_bytes == DESCRIPTOR as u64
        && geometry.first_data_block == 0
        && geometry.blocks_per_group.is_multiple_of(8)
        && geometry.inodes_per_group.is_multiple_of(8)
        && within(0x5C, COMPAT)
        && within(0x60, INCOMPAT)
        && within(0x64, RO_COMPAT)
        // Clean, and no file that is still to be deleted.
        && le_u16(superblock, 0x3A) == CLEAN
        && le_u32(superblock, 0xE8) == 0
}

struct Growth {
    geometry: Geometry,
    superblock: Vec<u8>,
    descriptors: Vec<u8>,
    old_groups: u64,
    /// How many blocks there will be.
    blocks: u64,
    seed: Option<u32>,
    patch: Patch,
    added_free_blocks: u64,
    added_overhead: u64,
}

impl Growth {
    fn new(geometry: Geometry, superblock: Vec<u8>, size_bytes: u64) -> Self {
        let has_checksums = geometry.read_only_compatible & RO_COMPAT_METADATA_CSUM != 0;
        let seed = has_checksums.then(|| crc32c::update(!0, &superblock[0x68..0x78]));
        // Blocks have 32 bits here.
        let mut growth = Self {
            old_groups: geometry.groups(),
            blocks: (size_bytes / BLOCK).min(u64::from(u32::MAX)),
            geometry,
            superblock,
            descriptors: Vec::new(),
            seed,
            patch: Patch::default(),
            added_free_blocks: 0,
            added_overhead: 0,
        };
        let last = growth.groups() - 1;
        if last >= growth.old_groups
            && growth.length(last) < growth.overhead(last) + GROUP_BLOCKS_MIN
        {
            growth.blocks = last * growth.geometry.blocks_per_group;
        }
        growth
    }

    fn groups(&self) -> u64 {
        self.blocks.div_ceil(self.geometry.blocks_per_group).max(1)
    }

    #[expect(clippy::unused_self, reason = "it is a question about the file system")]
    fn descriptor_blocks(&self, groups: u64) -> u64 {
        (groups * DESCRIPTOR as u64).div_ceil(BLOCK)
    }

    fn length(&self, group: u64) -> u64 {
        let start = group * self.geometry.blocks_per_group;
        (self.blocks - start).min(self.geometry.blocks_per_group)
    }

    fn table_blocks(&self) -> u64 {
        let bytes = u64::from(self.geometry.inodes_per_group) * self.geometry.inode_bytes as u64;
        bytes.div_ceil(BLOCK)
    }

    /// Whether a group has a copy of superblock and descriptors.
    fn has_copy(&self, group: u64) -> bool {
        let is_power_of = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        self.geometry.read_only_compatible & SPARSE == 0
            || group <= 1
            || [3, 5, 7].into_iter().any(is_power_of)
    }

    fn copy_blocks(&self, group: u64) -> u64 {
        if self.has_copy(group) {
            1 + self.descriptor_blocks(self.old_groups)
        } else {
            0
        }
    }

    /// What of a new group its books take.
    fn overhead(&self, group: u64) -> u64 {
        self.copy_blocks(group) + 2 + self.table_blocks()
    }

    fn put(&mut self, group: u64, at: usize, bytes: &[u8]) {
        let at = usize::try_from(group).unwrap_or(usize::MAX) * DESCRIPTOR + at;
        self.descriptors[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn descriptor(&self, group: u64) -> &[u8] {
        let at = usize::try_from(group).unwrap_or(usize::MAX) * DESCRIPTOR;
        &self.descriptors[at..at + DESCRIPTOR]
    }

    /// The group that ended where the file system ended may get longer.
    fn fill_last(&mut self, disk: &dyn ReadAt) -> Result<(), Error> {
        let last = self.old_groups - 1;
        let start = last * self.geometry.blocks_per_group;
        let (old, new) = (self.geometry.blocks - start, self.length(last));
        if new == old {
            return Ok(());
        }
        let added = new - old;
        let free = u64::from(le_u16(self.descriptor(last), 0x0C)) + added;
        self.put(last, 0x0C, &low(free).to_le_bytes());
        self.added_free_blocks += added;
        if le_u16(self.descriptor(last), 0x12) & BLOCKS_UNUSED == 0 {
            let place = u64::from(le_u32(self.descriptor(last), 0));
            self.geometry
                .check_block(place, BLOCK, "ext4 group descriptor")?;
            let mut bitmap = vec![0; BLOCK_BYTES];
            disk.read_at(place * BLOCK, &mut bitmap)?;
            for block in old..new {
                let byte = usize::try_from(block / 8).unwrap_or(usize::MAX);
                bitmap[byte] &= !(1 << (block % 8));
            }
            self.checksum_bitmap(last, 0x18, &bitmap, self.geometry.blocks_per_group);
            self.patch.writes.insert(place * BLOCK, bitmap);
        }
        self.checksum_descriptor(last);
        Ok(())
    }

    /// Adds a group; `false` where something other than zeros is in the place of its inode table.
    fn add(&mut self, disk: &dyn ReadAt, group: u64) -> Result<bool, Error> {
        let start = group * self.geometry.blocks_per_group;
        let bitmap_at = start + self.copy_blocks(group);
        let table_at = bitmap_at + 2;
        if !is_zero(disk, table_at * BLOCK, self.table_blocks() * BLOCK)? {
            return Ok(false);
        }
        let (used, length) = (self.overhead(group), self.length(group));
        let inodes = u64::from(self.geometry.inodes_per_group);
        // Used, free, and what is behind the end.
        let blocks = bitmap(&[(used, true), (length, false), (8 * BLOCK, true)]);
        let free_inodes = bitmap(&[(inodes, false), (8 * BLOCK, true)]);
        for (at, block) in [(0, bitmap_at), (4, bitmap_at + 1), (8, table_at)] {
            self.put(
                group,
                at,
                &u32::try_from(block).unwrap_or(u32::MAX).to_le_bytes(),
            );
        }
        self.put(group, 0x0C, &low(length - used).to_le_bytes());
        self.put(group, 0x0E, &low(inodes).to_le_bytes());
        if self.seed.is_some() {
            self.put(group, 0x12, &TABLE_IS_ZERO.to_le_bytes());
            self.put(group, 0x1C, &low(inodes).to_le_bytes());
        }
        self.checksum_bitmap(group, 0x18, &blocks, self.geometry.blocks_per_group);
        self.checksum_bitmap(group, 0x1A, &free_inodes, inodes);
        self.checksum_descriptor(group);
        self.patch.writes.insert(bitmap_at * BLOCK, blocks);
        self.patch
            .writes
            .insert((bitmap_at + 1) * BLOCK, free_inodes);
        self.added_free_blocks += length - used;
        self.added_overhead += used;
        Ok(true)
    }

    fn checksum_bitmap(&mut self, group: u64, at: usize, bitmap: &[u8], bits: u64) {
        if let Some(seed) = self.seed {
            let bytes = usize::try_from(bits / 8).unwrap_or(bitmap.len());
            let sum = crc32c::update(seed, &bitmap[..bytes.min(bitmap.len())]);
            self.put(group, at, &low(u64::from(sum)).to_le_bytes());
        }
    }

    fn checksum_descriptor(&mut self, group: u64) {
        if let Some(seed) = self.seed {
            self.put(group, 0x1E, &[0; 2]);
            let number = u32::try_from(group).unwrap_or(u32::MAX).to_le_bytes();
            let sum = crc32c::update(crc32c::update(seed, &number), self.descriptor(group));
            self.put(group, 0x1E, &low(u64::from(sum)).to_le_bytes());
        }
    }

    fn add_to_superblock(&mut self, at: usize, more: u64) {
        let value = u64::from(le_u32(&self.superblock, at)) + more;
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.superblock[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn finish(mut self) -> Patch {
        let inodes = (self.groups() - self.old_groups) * u64::from(self.geometry.inodes_per_group);
        self.add_to_superblock(0x00, inodes);
        self.add_to_superblock(0x04, self.blocks - self.geometry.blocks);
        self.add_to_superblock(0x0C, self.added_free_blocks);
        self.add_to_superblock(0x10, inodes);
        // Where somebody has noted how much is not for files.
        if le_u32(&self.superblock, 0x248) != 0 {
            self.add_to_superblock(0x248, self.added_overhead);
        }
        let copies: Vec<u64> = (0..self.groups())
            .filter(|&group| self.has_copy(group))
            .collect();
        for group in copies {
            let mut copy = self.superblock.clone();
            copy[0x5A..0x5C].copy_from_slice(&low(group).to_le_bytes());
            if self.seed.is_some() {
                let sum = crc32c::update(!0, &copy[..0x3FC]);
                copy[0x3FC..].copy_from_slice(&sum.to_le_bytes());
            }
            let start = group * self.geometry.blocks_per_group * BLOCK;
            let at = if group == 0 { SUPERBLOCK_OFFSET } else { start };
            self.patch.writes.insert(at, copy);
            self.patch
                .writes
                .insert(start + BLOCK, self.descriptors.clone());
        }
        self.patch
    }
}

/// A bitmap of a block, by runs: up to where, and whether it is used.
fn bitmap(runs: &[(u64, bool)]) -> Vec<u8> {
    let mut bitmap = vec![0; BLOCK_BYTES];
    let mut bit = 0;
    for &(end, is_used) in runs {
        while bit < end {
            if is_used {
                bitmap[usize::try_from(bit / 8).unwrap_or(0)] |= 1 << (bit % 8);
            }
            bit += 1;
        }
    }
    bitmap
}

/// What of a number fits into 16 bits.
fn low(number: u64) -> u16 {
    u16::try_from(number & 0xFFFF).unwrap_or(0)
}

/// Whether a stretch holds nothing, as far as the disk reaches.
fn is_zero(disk: &dyn ReadAt, start: u64, length: u64) -> Result<bool, Error> {
    let end = (start + length).min(disk.size_bytes());
    let mut position = start;
    while let Some(data) = disk.next_data(position)?.filter(|data| data.start < end) {
        let data = data.start..data.end.min(end).min(data.start + (1 << 20));
        let mut bytes = vec![0; usize::try_from(data.end - data.start).unwrap_or(0)];
        disk.read_at(data.start, &mut bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        position = data.end;
    }
    Ok(true)
}
