//! Which blocks and inodes are free: superblock, group descriptors and bitmaps in memory.
//!
//! What is given up stays taken until the end, so that nothing is written where the old tree still looks.

use std::collections::BTreeMap;

use mkext4::csum;

use crate::Error;
use crate::disk::{ReadAt, le_u16, le_u32};
use crate::ext4::geometry::{Geometry, RO_COMPAT_METADATA_CSUM, SUPERBLOCK_OFFSET};
use crate::ext4::{BLOCK, BLOCK_BYTES};

const DESCRIPTOR: usize = 32;
const FLAG_INODES_UNUSED: u16 = 1;
const FLAG_BLOCKS_UNUSED: u16 = 2;
/// The first inode that is nobody's by rule; the descriptors say which are used, this one none.
const FIRST_INODE: usize = 11;

/// Where fields are in a group descriptor.
mod at {
    pub(super) const BLOCK_BITMAP: usize = 0x00;
    pub(super) const INODE_BITMAP: usize = 0x04;
    pub(super) const FREE_BLOCKS: usize = 0x0C;
    pub(super) const FREE_INODES: usize = 0x0E;
    pub(super) const DIRECTORIES: usize = 0x10;
    pub(super) const FLAGS: usize = 0x12;
    pub(super) const BLOCK_BITMAP_CHECKSUM: usize = 0x18;
    pub(super) const INODE_BITMAP_CHECKSUM: usize = 0x1A;
    pub(super) const UNUSED_INODES: usize = 0x1C;
    pub(super) const CHECKSUM: usize = 0x1E;
}

/// The books of a file system.
#[derive(Debug)]
pub(super) struct Groups {
    superblock: Vec<u8>,
    descriptors: Vec<u8>,
    /// By group, as they are needed.
    block_bitmaps: BTreeMap<usize, Vec<u8>>,
    inode_bitmaps: BTreeMap<usize, Vec<u8>>,
    /// Runs of blocks that are given up.
    freed: Vec<(u64, u64)>,
    /// Where the search for blocks goes on.
    cursor: u64,
    blocks: u64,
    blocks_per_group: u64,
    inodes_per_group: usize,
    seed: Option<u32>,
}

impl Groups {
    pub(super) fn read(disk: &dyn ReadAt, geometry: &Geometry) -> Result<Self, Error> {
        let mut superblock = vec![0; 1024];
        disk.read_at(SUPERBLOCK_OFFSET, &mut superblock)?;
        let groups = usize::try_from(geometry.groups()).unwrap_or(usize::MAX);
        let mut descriptors = vec![0; groups.saturating_mul(DESCRIPTOR)];
        disk.read_at(BLOCK_BYTES, &mut descriptors)?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&superblock[0x68..0x78]);
        let has_checksums = geometry.read_only_compatible & RO_COMPAT_METADATA_CSUM != 0;
        Ok(Self {
            superblock,
            descriptors,
            block_bitmaps: BTreeMap::new(),
            inode_bitmaps: BTreeMap::new(),
            freed: Vec::new(),
            cursor: 0,
            blocks: geometry.blocks,
            blocks_per_group: geometry.blocks_per_group,
            inodes_per_group: geometry.inodes_per_group as usize,
            seed: has_checksums.then(|| csum::fs_seed(&uuid)),
        })
    }

    /// What checksums of metadata start with, if there are any.
    pub(super) fn seed(&self) -> Option<u32> {
        self.seed
    }

    /// What hashes of names start with.
    pub(super) fn hash_seed(&self) -> [u32; 4] {
        [0, 4, 8, 12].map(|at| le_u32(&self.superblock, 0xEC + at))
    }

    /// How many blocks are free before anything given up is counted.
    pub(super) fn free_blocks(&self) -> u64 {
        u64::from(le_u32(&self.superblock, 0x0C))
    }

    fn count(&self) -> usize {
        self.descriptors.len() / DESCRIPTOR
    }

    fn field(&self, group: usize, at: usize) -> u16 {
        le_u16(&self.descriptors, group * DESCRIPTOR + at)
    }

    fn set(&mut self, group: usize, at: usize, value: u16) {
        let at = group * DESCRIPTOR + at;
        self.descriptors[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn add(&mut self, group: usize, at: usize, difference: i32) {
        let value = i32::from(self.field(group, at)) + difference;
        self.set(group, at, u16::try_from(value).unwrap_or(0));
    }

    fn add_to_superblock(&mut self, at: usize, difference: i64) {
        let value = i64::from(le_u32(&self.superblock, at)) + difference;
        let value = u32::try_from(value).unwrap_or(0);
        self.superblock[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn bitmap_place(&self, group: usize, at: usize) -> u64 {
        u64::from(le_u32(&self.descriptors, group * DESCRIPTOR + at)) * BLOCK_BYTES
    }

    fn load_blocks(&mut self, disk: &dyn ReadAt, group: usize) -> Result<&mut Vec<u8>, Error> {
        if !self.block_bitmaps.contains_key(&group) {
            let mut bitmap = vec![0; BLOCK];
            disk.read_at(self.bitmap_place(group, at::BLOCK_BITMAP), &mut bitmap)?;
            self.block_bitmaps.insert(group, bitmap);
        }
        Ok(self.block_bitmaps.entry(group).or_default())
    }

    fn load_inodes(&mut self, disk: &dyn ReadAt, group: usize) -> Result<&mut Vec<u8>, Error> {
        if !self.inode_bitmaps.contains_key(&group) {
            let mut bitmap = vec![0; BLOCK];
            let flags = self.field(group, at::FLAGS);
            if flags & FLAG_INODES_UNUSED == 0 {
                disk.read_at(self.bitmap_place(group, at::INODE_BITMAP), &mut bitmap)?;
            } else {
                self.set(group, at::FLAGS, flags & !FLAG_INODES_UNUSED);
            }
            // What is behind the last inode is never free.
            for bit in self.inodes_per_group..BLOCK * 8 {
                bitmap[bit / 8] |= 1 << (bit % 8);
            }
            self.inode_bitmaps.insert(group, bitmap);
        }
        Ok(self.inode_bitmaps.entry(group).or_default())
    }

    /// Takes a free inode, in the group of a neighbour if there is one; `None` where all are taken.
    pub(super) fn take_inode(
        &mut self,
        disk: &dyn ReadAt,
        near: u32,
        is_directory: bool,
    ) -> Result<Option<u32>, Error> {
        let home = (near as usize - 1) / self.inodes_per_group;
        for group in std::iter::once(home).chain(0..self.count()) {
            if self.field(group, at::FREE_INODES) == 0 {
                continue;
            }
            let per_group = self.inodes_per_group;
            let bitmap = self.load_inodes(disk, group)?;
            let start = if group == 0 { FIRST_INODE - 1 } else { 0 };
            let Some(index) = (start..per_group).find(|bit| bitmap[bit / 8] & 1 << (bit % 8) == 0)
            else {
                continue;
            };
            bitmap[index / 8] |= 1 << (index % 8);
            self.add(group, at::FREE_INODES, -1);
            self.add(group, at::DIRECTORIES, i32::from(is_directory));
            self.add_to_superblock(0x10, -1);
            if self.seed.is_some() {
                let behind = u16::try_from(per_group - index - 1).unwrap_or(u16::MAX);
                let unused = self.field(group, at::UNUSED_INODES).min(behind);
                self.set(group, at::UNUSED_INODES, unused);
            }
            let number = group * per_group + index + 1;
            return Ok(u32::try_from(number).ok());
        }
        Ok(None)
    }

    /// Gives an inode up. It may be taken again at once: it is only the patch that writes inodes.
    pub(super) fn free_inode(
        &mut self,
        disk: &dyn ReadAt,
        number: u32,
        is_directory: bool,
    ) -> Result<(), Error> {
        let index = number as usize - 1;
        let (group, bit) = (index / self.inodes_per_group, index % self.inodes_per_group);
        self.load_inodes(disk, group)?[bit / 8] &= !(1 << (bit % 8));
        self.add(group, at::FREE_INODES, 1);
        self.add(group, at::DIRECTORIES, -i32::from(is_directory));
        self.add_to_superblock(0x10, 1);
        Ok(())
    }

    /// Gives blocks up at the end.
    pub(super) fn free_blocks_later(&mut self, start: u64, blocks: u64) {
        self.freed.push((start, blocks));
    }

    /// Takes free blocks, side by side where that is possible; `None` where there are too few.
    pub(super) fn take_blocks(
        &mut self,
        disk: &dyn ReadAt,
        blocks: u64,
    ) -> Result<Option<Vec<(u64, u64)>>, Error> {
        if blocks == 0 {
            return Ok(Some(Vec::new()));
        }
        if blocks > self.free_blocks() {
            return Ok(None);
        }
        let mut fragments: Vec<(u64, u64)> = Vec::new();
        // From the cursor to the end, then from the start to the cursor.
        for (from, to) in [(self.cursor, self.blocks), (0, self.cursor)] {
            let mut here = from;
            while let Some((start, length)) = self.free_run(disk, here, to, blocks)? {
                if length >= blocks {
                    self.mark(disk, start, blocks)?;
                    self.cursor = start + blocks;
                    return Ok(Some(vec![(start, blocks)]));
                }
                fragments.push((start, length));
                here = start + length;
            }
        }
        // The largest first, so that there are few; in the end by their place.
        fragments.sort_unstable_by_key(|&(start, length)| (std::cmp::Reverse(length), start));
        let mut taken = Vec::new();
        let mut left = blocks;
        for (start, length) in fragments {
            let part = length.min(left);
            taken.push((start, part));
            left -= part;
            if left == 0 {
                taken.sort_unstable();
                for &(start, length) in &taken {
                    self.mark(disk, start, length)?;
                }
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    /// The first free run from `here` on, looked at no further than needed. It ends with its group.
    fn free_run(
        &mut self,
        disk: &dyn ReadAt,
        mut here: u64,
        to: u64,
        wanted: u64,
    ) -> Result<Option<(u64, u64)>, Error> {
        while here < to {
            let group = usize::try_from(here / self.blocks_per_group).unwrap_or(usize::MAX);
            let first = group as u64 * self.blocks_per_group;
            let end = (first + self.blocks_per_group).min(to);
            let is_full = self.field(group, at::FREE_BLOCKS) == 0;
            if is_full || self.field(group, at::FLAGS) & FLAG_BLOCKS_UNUSED != 0 {
                here = end;
                continue;
            }
            let bitmap = self.load_blocks(disk, group)?;
            let is_used = |block: u64| {
                let bit = usize::try_from(block - first).unwrap_or(0);
                bitmap[bit / 8] & 1 << (bit % 8) != 0
            };
            while here < end && is_used(here) {
                // Eight at once.
                let bit = usize::try_from(here - first).unwrap_or(0);
                here += if bit % 8 == 0 && bitmap[bit / 8] == 0xFF {
                    8
                } else {
                    1
                };
            }
            if here >= end {
                here = end;
                continue;
            }
            let start = here;
            while here < end && here - start < wanted && !is_used(here) {
                here += 1;
            }
            return Ok(Some((start, here - start)));
        }
        Ok(None)
    }

    fn mark(&mut self, disk: &dyn ReadAt, start: u64, blocks: u64) -> Result<(), Error> {
        self.change_blocks(disk, start, blocks, true)
    }

    fn change_blocks(
        &mut self,
        disk: &dyn ReadAt,
        start: u64,
        blocks: u64,
        is_used: bool,
    ) -> Result<(), Error> {
        for block in start..start + blocks {
            let group = usize::try_from(block / self.blocks_per_group).unwrap_or(usize::MAX);
            let bit = usize::try_from(block % self.blocks_per_group).unwrap_or(0);
            let bitmap = self.load_blocks(disk, group)?;
            let mask = 1 << (bit % 8);
            if (bitmap[bit / 8] & mask != 0) == is_used {
                continue;
            }
            bitmap[bit / 8] ^= mask;
            let difference = if is_used { -1 } else { 1 };
            self.add(group, at::FREE_BLOCKS, difference);
            self.add_to_superblock(0x0C, i64::from(difference));
        }
        Ok(())
    }

    /// Gives up what is given up, makes the checksums, and hands out all that has to be written.
    pub(super) fn finish(mut self, disk: &dyn ReadAt) -> Result<BTreeMap<u64, Vec<u8>>, Error> {
        for (start, blocks) in std::mem::take(&mut self.freed) {
            self.change_blocks(disk, start, blocks, false)?;
        }
        if let Some(seed) = self.seed {
            let blocks = std::mem::take(&mut self.block_bitmaps);
            for (&group, bitmap) in &blocks {
                self.set(
                    group,
                    at::BLOCK_BITMAP_CHECKSUM,
                    csum::block_bitmap(seed, bitmap),
                );
            }
            self.block_bitmaps = blocks;
            let per_group = u32::try_from(self.inodes_per_group).unwrap_or(u32::MAX);
            let inodes = std::mem::take(&mut self.inode_bitmaps);
            for (&group, bitmap) in &inodes {
                let sum = csum::inode_bitmap(seed, bitmap, per_group);
                self.set(group, at::INODE_BITMAP_CHECKSUM, sum);
            }
            self.inode_bitmaps = inodes;
            for group in 0..self.count() {
                let at = group * DESCRIPTOR;
                let number = u32::try_from(group).unwrap_or(u32::MAX);
                let sum = csum::group_desc(seed, number, &self.descriptors[at..at + DESCRIPTOR]);
                self.set(group, at::CHECKSUM, sum);
            }
            let sum = csum::superblock(&self.superblock);
            self.superblock[0x3FC..].copy_from_slice(&sum.to_le_bytes());
        }
        let mut writes = BTreeMap::new();
        for (&group, bitmap) in &self.block_bitmaps {
            writes.insert(self.bitmap_place(group, at::BLOCK_BITMAP), bitmap.clone());
        }
        for (&group, bitmap) in &self.inode_bitmaps {
            writes.insert(self.bitmap_place(group, at::INODE_BITMAP), bitmap.clone());
        }
        writes.insert(SUPERBLOCK_OFFSET, self.superblock);
        writes.insert(BLOCK_BYTES, self.descriptors);
        Ok(writes)
    }
}
