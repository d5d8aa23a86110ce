//! What every ext4 has beside content: superblock, group descriptors, bitmaps, an empty journal.

use mkext4::csum;
use mkext4::spec::{GroupDesc, JournalSuperblock, Superblock, compat, incompat, ro_compat};

use super::layout::Plan;
use super::places::{has_copy, set};
use super::walk::{Sink, Walked};
use super::{
    BLOCK, BLOCK_BYTES, EPOCH_SECONDS, INODE_BYTES, JOURNAL_INODE, LOST_AND_FOUND_INODE,
    SUPERBLOCK_OFFSET,
};
use crate::Error;

const DESCRIPTOR_BYTES: usize = 32;
const SUPERBLOCK_BYTES: usize = 1024;
const TABLE_IS_ZERO: u16 = 4;
const INODES_UNUSED: u16 = 1;
/// Extended attributes and ACLs, as `mke2fs` sets them.
const MOUNT_OPTIONS: u32 = 0xC;
const NAMES_ARE_SIGNED: u32 = 1;
const HASH_HALF_MD4: u8 = 1;
const JOURNAL_SUPERBLOCK_V2: u32 = 4;

/// Writes all of it, given what the walk has left.
pub(super) fn write(plan: &Plan<'_>, walked: &Walked, sink: &mut impl Sink) -> Result<(), Error> {
    let places = &plan.places;
    let used_inodes = plan.used_inodes();
    let mut descriptors =
        vec![0; usize::try_from(places.descriptor_blocks * BLOCK_BYTES).unwrap_or(0)];
    let mut free_blocks = 0;
    for (group, raw) in (0..places.groups()).zip(descriptors.chunks_exact_mut(DESCRIPTOR_BYTES)) {
        let books = places.books[usize::try_from(group).unwrap_or(usize::MAX)];
        let (blocks, free) = places.bitmap(group, walked.end);
        free_blocks += free;
        let used = used_inodes
            .saturating_sub(group * places.inodes_per_group)
            .min(places.inodes_per_group);
        // Without checksums there is no flag that says so.
        let is_flagged = used == 0 && plan.seed.is_some();
        let mut inodes = vec![0; BLOCK];
        if !is_flagged {
            set(&mut inodes, 0, used);
            set(&mut inodes, places.inodes_per_group, 8 * BLOCK_BYTES);
        }
        let directories = walked
            .directories
            .get(usize::try_from(group).unwrap_or(usize::MAX));
        let mut descriptor = GroupDesc {
            block_bitmap: books.block_bitmap,
            inode_bitmap: books.inode_bitmap,
            inode_table: books.inode_table,
            free_blocks_count: number(free),
            free_inodes_count: number(places.inodes_per_group - used),
            used_dirs_count: directories.copied().unwrap_or(0),
            ..GroupDesc::default()
        };
        if let Some(seed) = plan.seed {
            descriptor.flags = TABLE_IS_ZERO | if is_flagged { INODES_UNUSED } else { 0 };
            descriptor.itable_unused = descriptor.free_inodes_count;
            descriptor.block_bitmap_csum = u32::from(csum::block_bitmap(seed, &blocks));
            if !is_flagged {
                let sum = csum::inode_bitmap(seed, &inodes, number(places.inodes_per_group));
                descriptor.inode_bitmap_csum = u32::from(sum);
            }
            descriptor.encode32(raw);
            descriptor.checksum = csum::group_desc(seed, number(group), raw);
        }
        descriptor.encode32(raw);
        sink.block(books.block_bitmap * BLOCK_BYTES, &blocks)?;
        sink.block(books.inode_bitmap * BLOCK_BYTES, &inodes)?;
    }
    let superblock = superblock(plan, free_blocks, walked);
    for group in (0..places.groups()).filter(|&group| has_copy(group)) {
        let copy = Superblock {
            block_group_nr: u16::try_from(group).unwrap_or(u16::MAX),
            ..superblock.clone()
        };
        let mut block = vec![0; BLOCK];
        let at = if group == 0 {
            usize::try_from(SUPERBLOCK_OFFSET).unwrap_or(0)
        } else {
            0
        };
        encode(
            copy,
            &mut block[at..at + SUPERBLOCK_BYTES],
            plan.seed.is_some(),
        );
        let place = group * super::places::GROUP_BLOCKS * BLOCK_BYTES;
        sink.block(place, &block)?;
        sink.block(place + BLOCK_BYTES, &descriptors)?;
    }
    journal(plan, sink)
}

fn encode(mut superblock: Superblock, bytes: &mut [u8], has_checksum: bool) {
    superblock.encode(bytes);
    if has_checksum {
        superblock.checksum = csum::superblock(bytes);
        superblock.encode(bytes);
    }
}

fn superblock(plan: &Plan<'_>, free_blocks: u64, walked: &Walked) -> Superblock {
    let places = &plan.places;
    let (has_journal, has_checksums) = (!plan.journal.is_empty(), plan.seed.is_some());
    let mut volume_name = [0; 16];
    let label = plan.label.as_bytes();
    volume_name[..label.len()].copy_from_slice(label);
    let time = u32::try_from(EPOCH_SECONDS).unwrap_or(0);
    let journal_blocks: u64 = plan.journal.iter().map(|(_, length)| length).sum();
    // The map of the journal's inode, and its size.
    let mut jnl_blocks = [0; 17];
    if has_journal {
        for (word, bytes) in jnl_blocks.iter_mut().zip(walked.journal_map.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        jnl_blocks[16] = number(journal_blocks * BLOCK_BYTES);
    }
    let group_blocks = number(super::places::GROUP_BLOCKS);
    let without = |features: u32, feature: u32, has_it: bool| {
        if has_it {
            features
        } else {
            features & !feature
        }
    };
    Superblock {
        inodes_count: number(places.inodes()),
        blocks_count: places.blocks,
        r_blocks_count: 0,
        free_blocks_count: free_blocks,
        free_inodes_count: number(places.inodes() - plan.used_inodes()),
        first_data_block: 0,
        log_block_size: 2,
        log_cluster_size: 2,
        blocks_per_group: group_blocks,
        clusters_per_group: group_blocks,
        inodes_per_group: number(places.inodes_per_group),
        mtime: 0,
        wtime: time,
        mnt_count: 0,
        max_mnt_count: u16::MAX,
        state: 1,
        errors: 1,
        minor_rev_level: 0,
        lastcheck: time,
        checkinterval: 0,
        creator_os: 0,
        rev_level: 1,
        def_resuid: 0,
        def_resgid: 0,
        first_ino: LOST_AND_FOUND_INODE,
        inode_size: u16::try_from(INODE_BYTES).unwrap_or(0),
        block_group_nr: 0,
        feature_compat: without(compat::WRITER, compat::HAS_JOURNAL, has_journal),
        feature_incompat: incompat::WRITER,
        feature_ro_compat: without(ro_compat::WRITER, ro_compat::METADATA_CSUM, has_checksums),
        uuid: plan.uuid,
        volume_name,
        last_mounted: [0; 64],
        reserved_gdt_blocks: 0,
        journal_uuid: [0; 16],
        journal_inum: if has_journal { JOURNAL_INODE } else { 0 },
        journal_dev: 0,
        last_orphan: 0,
        hash_seed: plan.hash_seed,
        def_hash_version: HASH_HALF_MD4,
        jnl_backup_type: u8::from(has_journal),
        desc_size: 0,
        default_mount_opts: MOUNT_OPTIONS,
        first_meta_bg: 0,
        mkfs_time: time,
        jnl_blocks,
        min_extra_isize: 32,
        want_extra_isize: 32,
        flags: NAMES_ARE_SIGNED,
        log_groups_per_flex: 4,
        checksum_type: u8::from(has_checksums),
        kbytes_written: (places.blocks - free_blocks) * 4,
        overhead_clusters: number(places.overhead_blocks() + journal_blocks),
        lpf_ino: 0,
        checksum_seed: 0,
        checksum: 0,
    }
}

/// A journal that nothing has been written to.
fn journal(plan: &Plan<'_>, sink: &mut impl Sink) -> Result<(), Error> {
    let Some(&(first, _)) = plan.journal.first() else {
        return Ok(());
    };
    let length = plan.journal.iter().map(|(_, length)| length).sum();
    let superblock = JournalSuperblock {
        blocktype: JOURNAL_SUPERBLOCK_V2,
        blocksize: number(BLOCK_BYTES),
        maxlen: number(length),
        first: 1,
        sequence: 1,
        start: 0,
        errno: 0,
        feature_compat: 0,
        feature_incompat: 0,
        feature_ro_compat: 0,
        uuid: plan.uuid,
        nr_users: 1,
        dynsuper: 0,
        max_transaction: 0,
        max_trans_data: 0,
        checksum_type: 0,
        num_fc_blocks: 0,
        head: 0,
        checksum: 0,
    };
    let mut block = vec![0; BLOCK];
    superblock.encode(&mut block);
    sink.block(first * BLOCK_BYTES, &block)
}

fn number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
