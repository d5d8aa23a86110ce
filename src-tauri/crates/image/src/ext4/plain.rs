//! Takes the journal and the metadata checksums out of what mkext4 lays out, which always has both.
//! What remains is what OSv's own script makes (`scripts/ext-disk-utils.sh`): OSv ignores a journal,
//! and is twice as slow where it has to keep checksums.
//!
//! The journal is laid out one block long. What has to change, and where:
//!
//! ```text
//!   superblock, copies          feature bits; the journal's inode and block map; free blocks
//!   group descriptors, copies   flags, checksums; free blocks of the journal's group
//!   block bitmap of that group  the bit of the journal's block
//!   inode bitmap of a group     the padding, where no inode is used: mkext4 leaves it to a flag
//!     without inodes            that exists with checksums only
//!   inode 8                     nothing is left of it
//!   index of a directory        one entry more fits where a checksum was
//!   the journal's block         is not written
//! ```
//!
//! What depends on the journal's place is held back while the metadata passes, and written at the
//! end. Checksums of inodes, extents and directory blocks stay where they are: without the feature
//! nobody looks there. `e2fsck -fn`, Linux and OSv are the judges.

use std::collections::BTreeMap;

use mkext4::spec::{GroupDesc, Inode, JOURNAL_INO, Superblock, compat};

use super::BLOCK_BYTES;
use crate::Error;

const GROUP_BLOCKS: u64 = 32_768;
const GROUP_BYTES: u64 = GROUP_BLOCKS * BLOCK_BYTES;
/// The first group's superblock lies behind the room for a boot sector, a copy at its group's start.
const SUPERBLOCK_OFFSET: usize = 1024;
const DESCRIPTOR_BYTES: usize = 32;
const INODE_BYTES: usize = 256;
/// The block of the first extent in an inode, behind the header and its logical block and length.
const FIRST_EXTENT_BLOCK: usize = 12 + 8;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
/// The metadata of so many groups lies in the first of them (`flex_bg`), and the journal behind it.
const GROUPS_IN_SPAN: usize = 16;
/// An entry of a directory's index: a hash and a block.
const INDEX_ENTRY_BYTES: usize = 8;
/// Where the entries of an index start in its root, behind `.` and `..`, and in a node.
const INDEX_ROOT_ENTRIES: usize = 32;
const INDEX_NODE_ENTRIES: usize = 8;

/// What becomes of a piece of metadata.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is written as it is.
    Same,
    /// It is written like this.
    Changed(Vec<u8>),
    /// It was taken, and comes at the end.
    Held,
}

#[derive(Debug)]
enum Bitmap {
    /// Of blocks, where the journal may be.
    BlocksOfFirstSpan,
    /// Of inodes, none of which is used.
    NoInodes,
    Other,
}

/// Looks at metadata as it passes.
#[derive(Debug, Default)]
pub(super) struct Plain {
    held: BTreeMap<u64, Vec<u8>>,
    /// From here on all is known from the first superblock and descriptors.
    bitmaps: BTreeMap<u64, Bitmap>,
    inodes_per_group: usize,
    inode_table: Option<u64>,
    journal: Option<u64>,
}

impl Plain {
    /// Takes a look at a piece of metadata, in ascending order.
    pub(super) fn look(&mut self, offset: u64, bytes: &[u8]) -> Verdict {
        if is_superblock(offset) || is_descriptors(offset) {
            if offset == BLOCK_BYTES {
                self.read_descriptors(bytes);
            }
            return self.hold(offset, bytes);
        }
        if self.journal == Some(offset) {
            return self.hold(offset, bytes);
        }
        if self.inode_table == Some(offset) {
            self.journal = journal_offset(bytes);
            return self.hold(offset, bytes);
        }
        match self.bitmaps.get(&offset) {
            Some(Bitmap::BlocksOfFirstSpan) => self.hold(offset, bytes),
            Some(Bitmap::NoInodes) => {
                let mut padded = bytes.to_vec();
                let used = (self.inodes_per_group / 8).min(padded.len());
                padded[used..].fill(0xFF);
                Verdict::Changed(padded)
            }
            Some(Bitmap::Other) => Verdict::Same,
            None => index_entries(bytes).map_or(Verdict::Same, |at| {
                Verdict::Changed(index_without_checksum(bytes, at))
            }),
        }
    }

    fn hold(&mut self, offset: u64, bytes: &[u8]) -> Verdict {
        self.held.insert(offset, bytes.to_vec());
        Verdict::Held
    }

    fn read_descriptors(&mut self, bytes: &[u8]) {
        let superblock = self
            .held
            .get(&0)
            .and_then(|block| block.get(SUPERBLOCK_OFFSET..));
        let Some(Ok(superblock)) = superblock.map(Superblock::decode) else {
            return;
        };
        self.inodes_per_group = usize::try_from(superblock.inodes_per_group).unwrap_or(0);
        let groups = usize::try_from(superblock.group_count()).unwrap_or(usize::MAX);
        let descriptors = bytes.as_chunks::<DESCRIPTOR_BYTES>().0.iter().take(groups);
        for (group, raw) in descriptors.enumerate() {
            let Ok(descriptor) = GroupDesc::decode(raw) else {
                return;
            };
            if group == 0 {
                self.inode_table = Some(descriptor.inode_table * BLOCK_BYTES);
            }
            // The journal follows the metadata of the first span, so that it is there or right
            // behind it.
            let blocks = if group <= GROUPS_IN_SPAN {
                Bitmap::BlocksOfFirstSpan
            } else {
                Bitmap::Other
            };
            self.bitmaps
                .insert(descriptor.block_bitmap * BLOCK_BYTES, blocks);
            let is_unused = descriptor.free_inodes_count == superblock.inodes_per_group;
            let inodes = if is_unused {
                Bitmap::NoInodes
            } else {
                Bitmap::Other
            };
            self.bitmaps
                .insert(descriptor.inode_bitmap * BLOCK_BYTES, inodes);
        }
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
        let group = usize::try_from(journal / GROUP_BYTES).ok()?;

        let descriptor_at = group * DESCRIPTOR_BYTES;
        let descriptors = self.held.get(&BLOCK_BYTES)?;
        let raw = descriptors.get(descriptor_at..descriptor_at + DESCRIPTOR_BYTES)?;
        let bitmap_at = GroupDesc::decode(raw).ok()?.block_bitmap * BLOCK_BYTES;
        let bitmap = self.held.get_mut(&bitmap_at)?;
        let bit = usize::try_from(journal / BLOCK_BYTES % GROUP_BLOCKS).ok()?;
        *bitmap.get_mut(bit / 8)? &= !(1 << (bit % 8));

        let inodes = self.held.get_mut(&self.inode_table?)?;
        let inode_at = (JOURNAL_INO as usize - 1) * INODE_BYTES;
        inodes.get_mut(inode_at..inode_at + INODE_BYTES)?.fill(0);

        for (&offset, bytes) in &mut self.held {
            if is_superblock(offset) {
                let start = if offset == 0 { SUPERBLOCK_OFFSET } else { 0 };
                change_superblock(bytes.get_mut(start..start + Superblock::LEN)?)?;
            } else if is_descriptors(offset) {
                change_descriptors(bytes, group)?;
            }
        }
        Some(())
    }
}

fn journal_offset(inode_table: &[u8]) -> Option<u64> {
    let at = (JOURNAL_INO as usize - 1) * INODE_BYTES;
    let inode = Inode::decode(inode_table.get(at..at + INODE_BYTES)?).ok()?;
    let block = inode.block[FIRST_EXTENT_BLOCK..].first_chunk()?;
    Some(u64::from(u32::from_le_bytes(*block)) * BLOCK_BYTES)
}

fn change_superblock(bytes: &mut [u8]) -> Option<()> {
    let mut superblock = Superblock::decode(bytes).ok()?;
    superblock.feature_compat &= !compat::HAS_JOURNAL;
    superblock.feature_ro_compat &= !RO_COMPAT_METADATA_CSUM;
    superblock.checksum_type = 0;
    superblock.checksum = 0;
    superblock.journal_inum = 0;
    superblock.jnl_backup_type = 0;
    superblock.jnl_blocks = [0; 17];
    superblock.free_blocks_count += 1;
    superblock.overhead_clusters -= 1;
    superblock.encode(bytes);
    Some(())
}

fn change_descriptors(bytes: &mut [u8], group_of_journal: usize) -> Option<()> {
    for (group, raw) in bytes
        .as_chunks_mut::<DESCRIPTOR_BYTES>()
        .0
        .iter_mut()
        .enumerate()
    {
        let mut descriptor = GroupDesc::decode(raw).ok()?;
        if group == group_of_journal {
            descriptor.free_blocks_count += 1;
        }
        // Flags and the count of unused inodes have a meaning only where a checksum guards them.
        descriptor.flags = 0;
        descriptor.itable_unused = 0;
        descriptor.block_bitmap_csum = 0;
        descriptor.inode_bitmap_csum = 0;
        descriptor.checksum = 0;
        descriptor.encode32(raw);
    }
    Some(())
}

/// Where the entries start, if this is a block of a directory's index.
fn index_entries(block: &[u8]) -> Option<usize> {
    // `.` in 12 bytes, then `..` to the end of what is not its own; a directory without an index
    // leaves room for a checksum there.
    let rest = u16::try_from(BLOCK_BYTES - 12).unwrap_or(0).to_le_bytes();
    if block.get(4..9)? == [12, 0, 1, 2, b'.'] && block.get(16..18)? == rest {
        return Some(INDEX_ROOT_ENTRIES);
    }
    // An unused entry as long as the block.
    let whole = u16::try_from(BLOCK_BYTES).unwrap_or(0).to_le_bytes();
    (block.get(..4)? == [0; 4] && block.get(4..6)? == whole && block.get(6..8)? == [0; 2])
        .then_some(INDEX_NODE_ENTRIES)
}

/// Gives the room of the checksum at the end to the entries.
fn index_without_checksum(block: &[u8], entries: usize) -> Vec<u8> {
    let mut block = block.to_vec();
    let limit = (block.len() - entries) / INDEX_ENTRY_BYTES;
    let limit = u16::try_from(limit).unwrap_or(u16::MAX);
    block[entries..entries + 2].copy_from_slice(&limit.to_le_bytes());
    let checksum = block.len() - INDEX_ENTRY_BYTES;
    block[checksum..].fill(0);
    block
}

/// Whether the superblock or a copy of it is here.
fn is_superblock(offset: u64) -> bool {
    let group = offset / GROUP_BYTES;
    offset.is_multiple_of(GROUP_BYTES) && (group == 0 || has_copy(group))
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
