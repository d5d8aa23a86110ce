//! Takes the journal out of what mkext4 lays out, which always has one.
//!
//! It is laid out one block long, and only these blocks know of it:
//!
//! ```text
//!   superblock and its copies    feature bit, inode number, its block map, free blocks
//!   group descriptors, copies    free blocks and bitmap checksum of the journal's group
//!   block bitmap of that group   the bit of its block
//!   inode 8                      its inode
//!   the block itself
//! ```
//!
//! They are held back while the metadata passes, changed, and written at the end with their
//! checksums. `e2fsck -fn` is the judge, in the tests.

use std::collections::BTreeMap;

use mkext4::csum;
use mkext4::spec::{GroupDesc, Inode, JOURNAL_INO, Superblock, compat};

use super::BLOCK_BYTES;
use crate::Error;

const GROUP_BLOCKS: u64 = 32_768;
const GROUP_BLOCKS_IN_BYTES: u64 = GROUP_BLOCKS * BLOCK_BYTES;
/// The first group's superblock lies behind the room for a boot sector, a copy at its group's start.
const SUPERBLOCK_OFFSET: usize = 1024;
const DESCRIPTOR_BYTES: usize = 32;
const INODE_BYTES: usize = 256;
/// The block of the first extent in an inode, behind the header and its logical block and length.
const FIRST_EXTENT_BLOCK: usize = 12 + 8;
/// Where the checksum of an inode without extra fields is.
const INODE_CHECKSUM_OFFSET: usize = 0x7C;

/// Holds back what knows of the journal.
#[derive(Debug, Default)]
pub(super) struct JournalRemover {
    held: BTreeMap<u64, Vec<u8>>,
    /// Where the block bitmaps and the first inode table are; known from the first descriptors.
    bitmaps: Vec<u64>,
    inode_table: Option<u64>,
    journal: Option<u64>,
}

impl JournalRemover {
    /// Looks at a piece of metadata, in ascending order, and says whether it holds it back.
    pub(super) fn keep(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let is_held = is_superblock(offset)
            || is_descriptors(offset)
            || self.bitmaps.binary_search(&offset).is_ok()
            || self.inode_table == Some(offset)
            || self.journal == Some(offset);
        if !is_held {
            return false;
        }
        if offset == BLOCK_BYTES {
            self.read_descriptors(bytes);
        }
        if self.inode_table == Some(offset) {
            let at = (JOURNAL_INO as usize - 1) * INODE_BYTES;
            self.journal = bytes
                .get(at..at + INODE_BYTES)
                .and_then(|inode| Inode::decode(inode).ok())
                .and_then(|inode| inode.block[FIRST_EXTENT_BLOCK..].first_chunk().copied())
                .map(|block| u64::from(u32::from_le_bytes(block)) * BLOCK_BYTES);
        }
        self.held.insert(offset, bytes.to_vec());
        true
    }

    fn read_descriptors(&mut self, bytes: &[u8]) {
        let descriptors = bytes.as_chunks::<DESCRIPTOR_BYTES>().0;
        let descriptors = descriptors
            .iter()
            .filter_map(|raw| GroupDesc::decode(raw).ok());
        // Unused room at the end reads as descriptors with block 0.
        let used: Vec<GroupDesc> = descriptors
            .filter(|group| group.block_bitmap != 0)
            .collect();
        self.inode_table = used.first().map(|group| group.inode_table * BLOCK_BYTES);
        // The journal is the first thing behind the metadata of the first 16 groups, so that its bit
        // is in the bitmap of one of them.
        let bitmaps = used
            .iter()
            .take(17)
            .map(|group| group.block_bitmap * BLOCK_BYTES);
        self.bitmaps = bitmaps.collect();
        self.bitmaps.sort_unstable();
    }

    /// Changes what was held back and hands it out.
    pub(super) fn finish(mut self) -> Result<BTreeMap<u64, Vec<u8>>, Error> {
        self.change().ok_or_else(|| Error::Ext4 {
            source: "the journal of the layout is not where it is expected".into(),
        })?;
        Ok(self.held)
    }

    fn change(&mut self) -> Option<()> {
        let journal = self.journal?;
        self.held.remove(&journal)?;
        let journal_block = journal / BLOCK_BYTES;
        let group = journal_block / GROUP_BLOCKS;
        let group_number = u32::try_from(group).ok()?;

        let first = self.held.get(&0)?.get(SUPERBLOCK_OFFSET..)?;
        let seed = csum::fs_seed(&Superblock::decode(first).ok()?.uuid);

        let at = usize::try_from(group).ok()? * DESCRIPTOR_BYTES;
        let raw = self
            .held
            .get(&BLOCK_BYTES)?
            .get(at..at + DESCRIPTOR_BYTES)?;
        let mut descriptor = GroupDesc::decode(raw).ok()?;

        let bitmap = self
            .held
            .get_mut(&(descriptor.block_bitmap * BLOCK_BYTES))?;
        let bit = usize::try_from(journal_block % GROUP_BLOCKS).ok()?;
        *bitmap.get_mut(bit / 8)? &= !(1 << (bit % 8));
        descriptor.block_bitmap_csum = u32::from(csum::block_bitmap(seed, bitmap));
        descriptor.free_blocks_count += 1;
        let mut raw = [0; DESCRIPTOR_BYTES];
        descriptor.encode32(&mut raw);
        descriptor.checksum = csum::group_desc(seed, group_number, &raw);
        descriptor.encode32(&mut raw);

        let inodes = self.held.get_mut(&self.inode_table?)?;
        let inode_at = (JOURNAL_INO as usize - 1) * INODE_BYTES;
        let inode = inodes.get_mut(inode_at..inode_at + INODE_BYTES)?;
        inode.fill(0);
        let checksum = csum::inode(seed, JOURNAL_INO, 0, inode).to_le_bytes();
        // Without extra fields there is room for the lower half only.
        inode[INODE_CHECKSUM_OFFSET..INODE_CHECKSUM_OFFSET + 2].copy_from_slice(&checksum[..2]);

        for (&offset, bytes) in &mut self.held {
            if is_superblock(offset) {
                let start = if offset == 0 { SUPERBLOCK_OFFSET } else { 0 };
                change_superblock(bytes.get_mut(start..start + Superblock::LEN)?)?;
            } else if is_descriptors(offset) {
                bytes
                    .get_mut(at..at + DESCRIPTOR_BYTES)?
                    .copy_from_slice(&raw);
            }
        }
        Some(())
    }
}

fn change_superblock(bytes: &mut [u8]) -> Option<()> {
    let mut superblock = Superblock::decode(bytes).ok()?;
    superblock.feature_compat &= !compat::HAS_JOURNAL;
    superblock.journal_inum = 0;
    superblock.jnl_backup_type = 0;
    superblock.jnl_blocks = [0; 17];
    superblock.free_blocks_count += 1;
    superblock.overhead_clusters -= 1;
    superblock.encode(bytes);
    superblock.checksum = csum::superblock(bytes);
    superblock.encode(bytes);
    Some(())
}

/// Whether the superblock or a copy of it is here.
fn is_superblock(offset: u64) -> bool {
    let group = offset / GROUP_BLOCKS_IN_BYTES;
    offset.is_multiple_of(GROUP_BLOCKS_IN_BYTES) && (group == 0 || has_copy(group))
}

/// Whether the group descriptors or a copy of them are here.
fn is_descriptors(offset: u64) -> bool {
    offset.checked_sub(BLOCK_BYTES).is_some_and(is_superblock)
}

/// Whether a group has a copy of the superblock (`sparse_super`); others may start with anything.
fn has_copy(group: u64) -> bool {
    let is_power_of = |base: u64| {
        let mut power = base;
        while power < group {
            power = power.saturating_mul(base);
        }
        power == group
    };
    group == 1 || is_power_of(3) || is_power_of(5) || is_power_of(7)
}
