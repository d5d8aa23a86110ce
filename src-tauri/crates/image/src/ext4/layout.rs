//! How large the file system has to be, and what is declared to mkext4.

use mkext4::{FsBuilder, InodeCount, InodeHandle, Layout, Meta, Options, ROOT};

use super::{
    BLOCK_BYTES, EPOCH_SECONDS, Ext4Options, LABEL_BYTES_MAX, LOST_AND_FOUND, SIZE_BYTES_MIN,
    WrittenBy,
};
use crate::content::Piece;
use crate::{Error, Node, Tree};

/// Fitted sizes are multiples of this.
const SIZE_STEP_BYTES: u64 = 1 << 20;
const HEADROOM_BYTES_MIN: u64 = 64 << 20;
const HEADROOM_BYTES_MAX: u64 = 2 << 30;

const GROUP_BLOCKS: u64 = 32_768;
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
/// Longer targets have a block of their own.
const INLINE_TARGET_BYTES: usize = 59;
/// Linux takes no journal below 1,024 blocks, mkext4 none above a quarter of the file system.
const JOURNAL_BLOCKS_MIN: u64 = 1024;
/// The largest journal that mkext4 gives by itself.
const JOURNAL_BLOCKS_MAX: u64 = 262_144;
/// The journal that is taken out again: as small as can be.
const JOURNAL_BLOCKS_TO_GO: u32 = 1;

/// How often a fitted size is enlarged where the estimate was too low.
const ATTEMPTS: u32 = 6;

/// A sealed layout, and the handles of the files in the order of the tree.
pub(super) struct Plan {
    pub(super) layout: Layout,
    /// The size of the image, which may be a little more than the file system uses.
    pub(super) size_bytes: u64,
    pub(super) is_plain: bool,
    files: Vec<InodeHandle>,
}

impl Plan {
    pub(super) fn new(tree: &Tree, options: &Ext4Options) -> Result<Self, Error> {
        if options.label.len() > LABEL_BYTES_MAX {
            let (needed_bytes, size_bytes) = (options.label.len() as u64, LABEL_BYTES_MAX as u64);
            return Err(Error::TooSmall {
                what: "ext4 label",
                needed_bytes,
                size_bytes,
            });
        }
        let needs = Needs::of(tree);
        if let Some(size_bytes) = options.size_bytes {
            let size_bytes = size_bytes - size_bytes % BLOCK_BYTES;
            let too_small = |needed_bytes| {
                let what = "ext4 file system";
                Err(Error::TooSmall {
                    what,
                    needed_bytes,
                    size_bytes,
                })
            };
            let least = (needs.blocks * BLOCK_BYTES).max(SIZE_BYTES_MIN);
            if size_bytes < least {
                return too_small(least);
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
                match Self::sealed(tree, options, used_bytes, needs.inodes) {
                    Ok(plan) => return Ok(Self { size_bytes, ..plan }),
                    Err(mkext4::Error::Invalid(_)) => {}
                    Err(error) => return Err(refusal(error)),
                }
            }
            let tight = Ext4Options {
                headroom_bytes: Some(0),
                ..options.clone()
            };
            return too_small(needs.fitted_bytes(&tight).max(enlarged(size_bytes)));
        }
        let mut size_bytes = needs.fitted_bytes(options);
        for _ in 1..ATTEMPTS {
            match Self::sealed(tree, options, size_bytes, needs.inodes) {
                Ok(plan) => return Ok(plan),
                // What the estimate did not know, such as where an inode table finds no room.
                Err(mkext4::Error::Invalid(_)) => size_bytes = enlarged(size_bytes),
                Err(error) => return Err(refusal(error)),
            }
        }
        Self::sealed(tree, options, size_bytes, needs.inodes).map_err(refusal)
    }

    fn sealed(
        tree: &Tree,
        options: &Ext4Options,
        size_bytes: u64,
        inodes: u64,
    ) -> mkext4::Result<Self> {
        let blocks = size_bytes / BLOCK_BYTES;
        let is_plain = options.written_by == WrittenBy::Osv || blocks < 4 * JOURNAL_BLOCKS_MIN;
        let mut settings = Options::new(size_bytes, uuid(tree, options, size_bytes), EPOCH_SECONDS);
        // Guests run as root: a reserve for root would only hide space.
        settings.reserved_percent = 0;
        settings.journal_blocks = is_plain.then_some(JOURNAL_BLOCKS_TO_GO);
        settings.label = (!options.label.is_empty()).then(|| options.label.clone());
        let inodes = inodes_with_spare(inodes, size_bytes);
        let inodes = u32::try_from(inodes).map_err(|_| {
            mkext4::Error::Unsupported(format!("{inodes} inodes are more than 2^32"))
        })?;
        settings.inodes = InodeCount::Exact(inodes);
        let mut builder = FsBuilder::new(settings)?;
        let files = declare(tree, &mut builder)?;
        Ok(Self {
            layout: builder.seal()?,
            size_bytes,
            is_plain,
            files,
        })
    }

    /// Where the bytes of the files go.
    pub(super) fn pieces<'plan>(
        &'plan self,
        tree: &'plan Tree,
    ) -> impl Iterator<Item = Piece<'plan>> {
        let files = tree.iter().filter_map(|(path, node)| match node {
            Node::File {
                source, size_bytes, ..
            } => Some((path, source, *size_bytes)),
            _ => None,
        });
        let mut end = 0;
        files
            .zip(&self.files)
            .flat_map(move |((path, source, file_bytes), handle)| {
                let mut extents = self.layout.extents(*handle);
                if extents.is_empty() {
                    // Opened all the same, where the last one ended.
                    extents.push((end, 0));
                }
                let mut from = 0;
                let pieces: Vec<Piece<'plan>> = extents
                    .into_iter()
                    .map(|(at, length)| {
                        let piece = Piece {
                            path,
                            source,
                            file_bytes,
                            from,
                            length,
                            at,
                            padding: 0,
                        };
                        from += length;
                        end = at + length;
                        piece
                    })
                    .collect();
                pieces
            })
    }
}

/// Declares the whole tree, in its order.
fn declare(tree: &Tree, builder: &mut FsBuilder) -> mkext4::Result<Vec<InodeHandle>> {
    builder.set_meta(ROOT, meta(tree.root_mode()))?;
    let mut files = Vec::new();
    // The directories that the current path is in, from the root down.
    let mut open = vec![ROOT];
    for (path, node) in tree {
        if path.as_bytes() == LOST_AND_FOUND {
            continue;
        }
        open.truncate(path.depth());
        let parent = open.last().copied().unwrap_or(ROOT);
        let name = text(path.name())?;
        match node {
            Node::Directory { mode } => open.push(builder.mkdir(parent, name, meta(*mode))?),
            Node::File {
                size_bytes, mode, ..
            } => {
                files.push(builder.file(parent, name, meta(*mode), *size_bytes)?);
            }
            Node::Symlink { target } => {
                builder.symlink(parent, name, text(target)?, meta(0o777))?;
            }
        }
    }
    Ok(files)
}

fn meta(mode: u32) -> Meta {
    let permissions = u16::try_from(mode & 0o7777).unwrap_or(0);
    Meta::new(permissions, 0, 0, (EPOCH_SECONDS, 0))
}

fn text(bytes: &[u8]) -> mkext4::Result<&str> {
    str::from_utf8(bytes)
        .map_err(|_| mkext4::Error::Invalid(format!("{} is not UTF-8", bytes.escape_ascii())))
}

fn refusal(error: mkext4::Error) -> Error {
    Error::Ext4 {
        source: Box::new(error),
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
            Node::Symlink { target } => hasher.update(&[0, b'l']).update(target).update(&[0]),
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
        let mut blocks = 4; // lost+found
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
                Node::Symlink { target } => u64::from(target.len() > INLINE_TARGET_BYTES),
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
