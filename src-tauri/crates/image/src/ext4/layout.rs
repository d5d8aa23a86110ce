//! How large the file system has to be, and where everything goes in it.

use mkext4::csum;
use mkext4::dirhash::{HashSeed, seed_from_uuid};

use super::places::{GROUP_BLOCKS, Places, Run, Space};
use super::walk::{Nowhere, walk};
use super::{
    BLOCK_BYTES, Ext4Options, LABEL_BYTES_MAX, LOST_AND_FOUND, LOST_AND_FOUND_BLOCKS,
    SHORT_TARGET_BYTES, SIZE_BYTES_MIN, WrittenBy,
};
use crate::content::Piece;
use crate::{Error, GuestPath, Node, Tree};

/// Fitted sizes are multiples of this.
const SIZE_STEP_BYTES: u64 = 1 << 20;
const HEADROOM_BYTES_MIN: u64 = 64 << 20;
const HEADROOM_BYTES_MAX: u64 = 2 << 30;

/// 16 groups, whose metadata lies in the first of them.
const SPAN_BYTES: u64 = 16 * GROUP_BLOCKS * BLOCK_BYTES;
const GROUP_INODES_MAX: u64 = 32_768;
const INODES_PER_BLOCK: u64 = 16;
/// Reserved inodes and lost+found.
const INODES_OF_ITS_OWN: u64 = 11;
/// Twice as many inodes as `mke2fs` gives a file system, besides those of the content: what is
/// written to small ones is small. Unused inodes are a hole in the image.
const BYTES_PER_INODE: u64 = 8192;
/// The bytes of a directory entry without its name, rounded for its alignment.
const DIRECTORY_ENTRY_BYTES: u64 = 8 + 3;
/// Linux takes no journal below 1,024 blocks; more than a quarter of the file system would be too much.
const JOURNAL_BLOCKS_MIN: u64 = 1024;
/// The largest journal.
const JOURNAL_BLOCKS_MAX: u64 = 262_144;

/// How often a fitted size is enlarged where the estimate was too low.
const ATTEMPTS: u32 = 6;

/// Where everything goes, before anything is written.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) tree: &'a Tree,
    pub(super) label: &'a str,
    pub(super) uuid: [u8; 16],
    /// What hashes of names start with.
    pub(super) hash_seed: HashSeed,
    /// What checksums of metadata start with, if there are any.
    pub(super) seed: Option<u32>,
    pub(super) places: Places,
    pub(super) journal: Vec<Run>,
    pub(super) lost_and_found: Vec<Run>,
    /// The size of the image, which may be a little more than the file system uses.
    pub(super) size_bytes: u64,
    data_start: u64,
    tail_start: u64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(tree: &'a Tree, options: &'a Ext4Options) -> Result<Self, Error> {
        if options.label.len() > LABEL_BYTES_MAX {
            let (needed_bytes, size_bytes) = (options.label.len() as u64, LABEL_BYTES_MAX as u64);
            return Err(Error::TooSmall {
                what: "ext4 label",
                needed_bytes,
                size_bytes,
            });
        }
        let needs = Needs::of(tree);
        let too_small = |size_bytes, needed_bytes| {
            let what = "ext4 file system";
            Err(Error::TooSmall {
                what,
                needed_bytes,
                size_bytes,
            })
        };
        if let Some(size_bytes) = options.size_bytes {
            let size_bytes = size_bytes - size_bytes % BLOCK_BYTES;
            let least = (needs.blocks * BLOCK_BYTES).max(SIZE_BYTES_MIN);
            if size_bytes < least {
                return too_small(size_bytes, least);
            }
            // The inode tables of 16 groups lie together; those of a short rest may find no room in
            // it, and the rest is left unused then.
            let rest = size_bytes % SPAN_BYTES;
            let whole = if rest < size_bytes / 16 {
                size_bytes - rest
            } else {
                size_bytes
            };
            for used_bytes in [size_bytes, whole] {
                if let Some(plan) = Self::fitted(tree, options, used_bytes, needs.inodes)? {
                    return Ok(Self { size_bytes, ..plan });
                }
            }
            let tight = Ext4Options {
                headroom_bytes: Some(0),
                ..options.clone()
            };
            let needed = needs.fitted_bytes(&tight).max(enlarged(size_bytes));
            return too_small(size_bytes, needed);
        }
        let mut size_bytes = needs.fitted_bytes(options);
        for _ in 0..ATTEMPTS {
            if let Some(plan) = Self::fitted(tree, options, size_bytes, needs.inodes)? {
                return Ok(plan);
            }
            // What the estimate did not know, such as where an inode table finds no room.
            size_bytes = enlarged(size_bytes);
        }
        too_small(size_bytes, enlarged(size_bytes))
    }

    /// Lays everything out; `None` where it does not fit.
    fn fitted(
        tree: &'a Tree,
        options: &'a Ext4Options,
        size_bytes: u64,
        inodes: u64,
    ) -> Result<Option<Self>, Error> {
        let blocks = size_bytes / BLOCK_BYTES;
        let wanted = inodes_with_spare(inodes, size_bytes);
        if blocks >= u64::from(u32::MAX) || wanted >= u64::from(u32::MAX) {
            return Err(Error::Ext4 {
                source: format!("{size_bytes} bytes are more than 2^32 blocks or inodes").into(),
            });
        }
        let is_plain = options.written_by == WrittenBy::Osv || blocks < 4 * JOURNAL_BLOCKS_MIN;
        let Some(places) = Places::new(blocks, wanted).filter(|it| it.inodes() >= inodes) else {
            return Ok(None);
        };
        let mut space = places.space_at(0);
        let journal_blocks = if is_plain { 0 } else { journal_blocks(blocks) };
        let own = (
            space.runs(journal_blocks),
            space.runs(LOST_AND_FOUND_BLOCKS),
        );
        let (Some(journal), Some(lost_and_found)) = own else {
            return Ok(None);
        };
        let data_start = space.end();
        for (_, node) in tree {
            if let Node::File { size_bytes, .. } = node
                && !space.take(size_bytes.div_ceil(BLOCK_BYTES), |_| ())
            {
                return Ok(None);
            }
        }
        let tail_start = space.end();
        let uuid = uuid(tree, options, size_bytes);
        let plan = Self {
            tree,
            label: &options.label,
            uuid,
            hash_seed: seed_from_uuid(&uuid),
            seed: (!is_plain).then(|| csum::fs_seed(&uuid)),
            places,
            journal,
            lost_and_found,
            size_bytes,
            data_start,
            tail_start,
        };
        let walked = walk(&plan, Nowhere)?;
        Ok(walked.map(|_| plan))
    }

    /// The blocks of files.
    pub(super) fn data(&self) -> Space<'_> {
        self.places.space_at(self.data_start)
    }

    /// The blocks behind them.
    pub(super) fn tail(&self) -> Space<'_> {
        self.places.space_at(self.tail_start)
    }

    /// Inodes are taken from the first on.
    pub(super) fn used_inodes(&self) -> u64 {
        let path = GuestPath::new(LOST_AND_FOUND);
        let has_its_own = path.is_ok_and(|path| self.tree.get(&path).is_some());
        self.tree.len() as u64 + INODES_OF_ITS_OWN - u64::from(has_its_own)
    }

    /// Where the bytes of the files go.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let files = self.tree.iter().filter_map(|(path, node)| match node {
            Node::File {
                source, size_bytes, ..
            } => Some((path, source, size_bytes)),
            _ => None,
        });
        let mut space = self.data();
        files.flat_map(move |(path, source, file_bytes)| {
            let piece = |from, length, at| Piece {
                path: path.clone(),
                source: source.clone(),
                file_bytes,
                from,
                length,
                at,
                padding: 0,
            };
            let mut pieces = Vec::with_capacity(1);
            if file_bytes == 0 {
                // Opened all the same, where the last one ended.
                pieces.push(piece(0, 0, space.end() * BLOCK_BYTES));
            }
            let mut from = 0;
            // It has been tried.
            let _ = space.take(file_bytes.div_ceil(BLOCK_BYTES), |(start, blocks)| {
                let length = (blocks * BLOCK_BYTES).min(file_bytes - from);
                pieces.push(piece(from, length, start * BLOCK_BYTES));
                from += length;
            });
            pieces
        })
    }
}

/// The size that `mke2fs` gives a journal.
fn journal_blocks(blocks: u64) -> u64 {
    match blocks {
        0..0x8000 => JOURNAL_BLOCKS_MIN,
        0x8000..0x4_0000 => 4096,
        0x4_0000..0x8_0000 => 8192,
        0x8_0000..0x40_0000 => 16_384,
        0x40_0000..0x80_0000 => 32_768,
        0x80_0000..0x100_0000 => 65_536,
        0x100_0000..0x200_0000 => 131_072,
        _ => JOURNAL_BLOCKS_MAX,
    }
}

fn enlarged(size_bytes: u64) -> u64 {
    (size_bytes + size_bytes / 16).next_multiple_of(SIZE_STEP_BYTES) + 8 * SIZE_STEP_BYTES
}

fn inodes_with_spare(inodes: u64, size_bytes: u64) -> u64 {
    inodes + inodes / 4 + size_bytes / BYTES_PER_INODE
}

/// A name for this very file system, made of what is declared in it.
fn uuid(tree: &Tree, options: &Ext4Options, size_bytes: u64) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("windlass 2024 ext4 file system identity");
    hasher.update(options.label.as_bytes());
    hasher.update(&size_bytes.to_le_bytes());
    for (path, node) in tree {
        hasher.update(path.as_bytes());
        match node {
            Node::Directory { mode } => hasher.update(&[0, b'd']).update(&mode.to_le_bytes()),
            Node::File {
                size_bytes, mode, ..
            } => hasher
                .update(&[0, b'f'])
                .update(&mode.to_le_bytes())
                .update(&size_bytes.to_le_bytes()),
            Node::Symlink { target } => hasher.update(&[0, b'l']).update(&target).update(&[0]),
        };
    }
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    // A UUID of the free form (RFC 9562, version 8).
    uuid[6] = 0x80 | (uuid[6] & 0x0F);
    uuid[8] = 0x80 | (uuid[8] & 0x3F);
    uuid
}

/// What the content takes, without free space and what grows with the size.
pub(super) struct Needs {
    blocks: u64,
    inodes: u64,
}

impl Needs {
    pub(super) fn of(tree: &Tree) -> Self {
        let mut blocks = LOST_AND_FOUND_BLOCKS;
        let mut directory_bytes = 0_u64;
        for (path, node) in tree {
            directory_bytes += DIRECTORY_ENTRY_BYTES + path.name().len() as u64;
            blocks += match node {
                // Its share of entries is counted below; a block for what does not fill one.
                Node::Directory { .. } => 2,
                Node::File { size_bytes, .. } => {
                    let data = size_bytes.div_ceil(BLOCK_BYTES);
                    // An extent has at most 32,768 blocks, and four fit into the inode.
                    let extents = data.div_ceil(GROUP_BLOCKS);
                    data + if extents > 3 {
                        extents.div_ceil(300) + 2
                    } else {
                        0
                    }
                }
                Node::Symlink { target } => u64::from(target.len() > SHORT_TARGET_BYTES),
            };
        }
        // Full blocks of long names waste up to a name, and an index takes one of 500.
        blocks += 2 + directory_bytes.div_ceil(BLOCK_BYTES) * 10 / 9;
        Self {
            blocks,
            inodes: tree.len() as u64 + INODES_OF_ITS_OWN,
        }
    }

    pub(super) fn fitted_bytes(&self, options: &Ext4Options) -> u64 {
        let content_bytes = self.blocks.saturating_mul(BLOCK_BYTES);
        let headroom = options
            .headroom_bytes
            .unwrap_or_else(|| (content_bytes / 4).clamp(HEADROOM_BYTES_MIN, HEADROOM_BYTES_MAX));
        let mut blocks = self.blocks.saturating_add(headroom.div_ceil(BLOCK_BYTES));
        if options.written_by == WrittenBy::Linux {
            blocks += (blocks / 32).clamp(JOURNAL_BLOCKS_MIN, JOURNAL_BLOCKS_MAX);
        }
        let inodes = inodes_with_spare(self.inodes, blocks.saturating_mul(BLOCK_BYTES));
        let groups = inodes
            .div_ceil(GROUP_INODES_MAX)
            .max(blocks.div_ceil(GROUP_BLOCKS));
        // Inode tables with a block more for each group, two bitmaps, and a superblock with the
        // descriptors of all groups in some of them.
        blocks += inodes.div_ceil(INODES_PER_BLOCK) + groups * (4 + groups.div_ceil(128));
        // A group holds only so many inodes.
        let blocks = blocks.max(inodes.div_ceil(GROUP_INODES_MAX).saturating_sub(1) * GROUP_BLOCKS);
        blocks
            .saturating_mul(BLOCK_BYTES)
            .max(SIZE_BYTES_MIN)
            .next_multiple_of(SIZE_STEP_BYTES)
    }
}
