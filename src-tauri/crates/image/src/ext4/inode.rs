//! Inodes, and which blocks they map.

use super::Geometry;
use crate::Error;
use crate::disk::{ReadAt, le_u16, le_u32};

const WHAT: &str = "ext4 inode";

const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_INLINE_DATA: u32 = 0x1000_0000;
const FLAG_ENCRYPTED: u32 = 0x800;

const EXTENT_MAGIC: u16 = 0xF30A;
const EXTENT_DEPTH_MAX: u16 = 5;
/// Longer extents are allocated, not written, and read as zeros.
const EXTENT_BLOCKS_MAX: u16 = 32_768;
/// What an inode holds of its map.
pub(super) const MAP_BYTES: usize = 60;
/// Where the map starts in an inode.
const MAP_AT: u64 = 0x28;

const DIRECT_BLOCKS: u64 = 12;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink,
    Special(&'static str),
}

/// An inode in use.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) number: u32,
    /// Where it is in the file system.
    pub(crate) at: u64,
    pub(crate) mode: u16,
    pub(crate) size_bytes: u64,
    pub(crate) links: u16,
    pub(crate) modified_seconds: i64,
    pub(crate) flags: u32,
    pub(crate) map: [u8; MAP_BYTES],
}

/// Blocks side by side; a hole where `start` is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: Option<u64>,
    pub(crate) blocks: u64,
}

impl Inode {
    pub(super) fn parse(number: u32, at: u64, bytes: &[u8]) -> Result<Self, Error> {
        let mut map = [0; MAP_BYTES];
        map.copy_from_slice(&bytes[0x28..0x64]);
        let inode = Self {
            number,
            at,
            mode: le_u16(bytes, 0),
            size_bytes: u64::from(le_u32(bytes, 4)) | u64::from(le_u32(bytes, 0x6C)) << 32,
            links: le_u16(bytes, 0x1A),
            modified_seconds: i64::from(le_u32(bytes, 0x10).cast_signed()),
            flags: le_u32(bytes, 0x20),
            map,
        };
        if inode.links == 0 || inode.mode == 0 {
            let expected = format!("inode {number} in use");
            return Err(Error::corrupt(WHAT, at, expected, "none"));
        }
        Ok(inode)
    }

    pub(crate) fn kind(&self) -> Result<Kind, Error> {
        Ok(match self.mode >> 12 {
            0o01 => Kind::Special("a named pipe"),
            0o02 => Kind::Special("a character device"),
            0o04 => Kind::Directory,
            0o06 => Kind::Special("a block device"),
            0o10 => Kind::File,
            0o12 => Kind::Symlink,
            0o14 => Kind::Special("a socket"),
            kind => {
                return Err(Error::corrupt(
                    WHAT,
                    self.at,
                    "a kind of file",
                    format!("{kind:#o}"),
                ));
            }
        })
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.mode >> 12 == 0o04
    }

    /// The target of a symlink that needs no block.
    pub(super) fn short_target(&self) -> Option<&[u8]> {
        let is_short = self.flags & FLAG_EXTENTS == 0 && self.size_bytes < MAP_BYTES as u64;
        is_short.then(|| &self.map[..usize::try_from(self.size_bytes).unwrap_or(0)])
    }

    pub(crate) fn has_extents(&self) -> bool {
        self.flags & FLAG_EXTENTS != 0
    }
}

/// Where the bytes of an inode are from a block of it on.
pub(super) fn run(
    disk: &dyn ReadAt,
    geometry: &Geometry,
    inode: &Inode,
    logical: u64,
) -> Result<Run, Error> {
    if inode.flags & (FLAG_INLINE_DATA | FLAG_ENCRYPTED) != 0 {
        let what = if inode.flags & FLAG_ENCRYPTED != 0 {
            "an encrypted file"
        } else {
            "a file inside of its inode"
        };
        return Err(Error::Unsupported {
            what: what.to_owned(),
            offset: inode.at + 0x20,
        });
    }
    if inode.has_extents() {
        return extent(disk, geometry, inode, logical);
    }
    let start = mapped(disk, geometry, inode, logical)?;
    Ok(Run { start, blocks: 1 })
}

/// Goes down an extent tree. Each node is checked as far as the way leads through it.
fn extent(
    disk: &dyn ReadAt,
    geometry: &Geometry,
    inode: &Inode,
    logical: u64,
) -> Result<Run, Error> {
    const NODE: &str = "ext4 extent tree";
    let mut node = inode.map.to_vec();
    let mut at = inode.at + MAP_AT;
    let mut expected_depth = None;
    // Where the next neighbour begins, which a hole ends at.
    let mut end = 1_u64 << 32;
    loop {
        let magic = le_u16(&node, 0);
        if magic != EXTENT_MAGIC {
            return Err(Error::corrupt(
                NODE,
                at,
                format!("{EXTENT_MAGIC:#06x}"),
                format!("{magic:#06x}"),
            ));
        }
        let (count, depth) = (usize::from(le_u16(&node, 2)), le_u16(&node, 6));
        let most = (node.len() - 12) / 12;
        if count > most {
            return Err(Error::corrupt(
                NODE,
                at + 2,
                format!("at most {most} entries"),
                count,
            ));
        }
        if depth > EXTENT_DEPTH_MAX || expected_depth.is_some_and(|expected| expected != depth) {
            return Err(Error::corrupt(
                NODE,
                at + 6,
                "one level less than above, of at most five",
                depth,
            ));
        }
        let entry = |index: usize| &node[12 + 12 * index..24 + 12 * index];
        let first = |index: usize| u64::from(le_u32(entry(index), 0));
        if (1..count).any(|index| first(index) <= first(index - 1)) {
            return Err(Error::corrupt(
                NODE,
                at + 12,
                "entries in ascending order",
                "others",
            ));
        }
        let next = (0..count)
            .position(|index| first(index) > logical)
            .unwrap_or(count);
        if next < count {
            end = end.min(first(next));
        }
        let Some(index) = next.checked_sub(1) else {
            return Ok(hole(logical, end));
        };
        let (entry, entry_at) = (entry(index), at + 12 + 12 * index as u64);
        if depth == 0 {
            let raw = le_u16(entry, 4);
            let is_written = raw <= EXTENT_BLOCKS_MAX;
            let length = u64::from(if is_written {
                raw
            } else {
                raw - EXTENT_BLOCKS_MAX
            });
            let start = u64::from(le_u16(entry, 6)) << 32 | u64::from(le_u32(entry, 8));
            let skipped = logical - first(index);
            if skipped >= length {
                return Ok(hole(logical, end));
            }
            geometry.check_block(start, entry_at, NODE)?;
            geometry.check_block(start + length - 1, entry_at, NODE)?;
            return Ok(Run {
                start: is_written.then_some(start + skipped),
                blocks: length - skipped,
            });
        }
        let child = u64::from(le_u32(entry, 4)) | u64::from(le_u16(entry, 8)) << 32;
        geometry.check_block(child, entry_at, NODE)?;
        expected_depth = Some(depth - 1);
        at = child * geometry.block_bytes;
        node = vec![0; usize::try_from(geometry.block_bytes).unwrap_or(4096)];
        disk.read_at(at, &mut node)?;
    }
}

fn hole(logical: u64, end: u64) -> Run {
    Run {
        start: None,
        blocks: end.saturating_sub(logical).max(1),
    }
}

/// Looks a block up in the map of ext2 and ext3: 12 blocks, and three trees of growing height.
fn mapped(
    disk: &dyn ReadAt,
    geometry: &Geometry,
    inode: &Inode,
    logical: u64,
) -> Result<Option<u64>, Error> {
    const MAP: &str = "ext4 block map";
    let per_block = geometry.block_bytes / 4;
    let mut left = logical;
    let (mut at, mut height) = (inode.at + MAP_AT + 4 * left, 0);
    if left >= DIRECT_BLOCKS {
        left -= DIRECT_BLOCKS;
        let mut covered = per_block;
        height = 1;
        while left >= covered {
            left -= covered;
            covered = covered.saturating_mul(per_block);
            height += 1;
            if height > 3 {
                return Err(Error::corrupt(
                    MAP,
                    inode.at + 4,
                    "a file that its map can hold",
                    inode.size_bytes,
                ));
            }
        }
        at = inode.at + MAP_AT + 4 * (DIRECT_BLOCKS - 1 + height);
    }
    loop {
        let mut entry = [0; 4];
        disk.read_at(at, &mut entry)?;
        let block = u64::from(u32::from_le_bytes(entry));
        if block == 0 {
            return Ok(None);
        }
        geometry.check_block(block, at, MAP)?;
        if height == 0 {
            return Ok(Some(block));
        }
        height -= 1;
        let covered = per_block.pow(u32::try_from(height).unwrap_or(0));
        at = block * geometry.block_bytes + 4 * (left / covered);
        left %= covered;
    }
}
