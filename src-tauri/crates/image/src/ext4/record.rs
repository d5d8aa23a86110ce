//! An inode's bytes.

use mkext4::csum;
use mkext4::spec::Inode;

use super::{EPOCH_SECONDS, INODE_BYTES};
use crate::ext4::inode::MAP_BYTES;

const SECTORS_PER_BLOCK: u64 = 8;
/// What of an inode beyond 128 bytes is used.
const EXTRA_BYTES: u16 = 32;
const CHECKSUM_LOW: usize = 0x7C;
const CHECKSUM_HIGH: usize = 0x82;

pub(super) const TYPE_FILE: u32 = 0o10 << 12;
pub(super) const TYPE_DIRECTORY: u32 = 0o04 << 12;
pub(super) const TYPE_SYMLINK: u32 = 0o12 << 12;

/// What differs from inode to inode; the rest is the same in all of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    /// Type and permissions.
    pub(super) mode: u32,
    pub(super) size_bytes: u64,
    pub(super) links: usize,
    /// With those of its extent tree.
    pub(super) blocks: u64,
    pub(super) flags: u32,
    pub(super) map: [u8; MAP_BYTES],
}

/// An inode of root, as old as all others.
pub(super) fn inode(number: u32, fields: Fields, seed: Option<u32>) -> [u8; INODE_BYTES] {
    let time = u32::try_from(EPOCH_SECONDS).unwrap_or(0);
    let inode = Inode {
        mode: u16::try_from(fields.mode).unwrap_or(0),
        size: fields.size_bytes,
        atime: time,
        ctime: time,
        mtime: time,
        crtime: time,
        links_count: u16::try_from(fields.links).unwrap_or(1),
        blocks: fields.blocks * SECTORS_PER_BLOCK,
        flags: fields.flags,
        block: fields.map,
        extra_isize: EXTRA_BYTES,
        ..Inode::default()
    };
    let mut bytes = [0; INODE_BYTES];
    inode.encode(&mut bytes);
    if let Some(seed) = seed {
        let sum = csum::inode(seed, number, 0, &bytes).to_le_bytes();
        bytes[CHECKSUM_LOW..CHECKSUM_LOW + 2].copy_from_slice(&sum[..2]);
        bytes[CHECKSUM_HIGH..CHECKSUM_HIGH + 2].copy_from_slice(&sum[2..]);
    }
    bytes
}

/// An inode that the file system keeps for itself and does not use; the first has times.
pub(super) fn unused_inode(number: u32, seed: Option<u32>) -> [u8; INODE_BYTES] {
    let mut bytes = [0; INODE_BYTES];
    if number == 1 {
        let time = u32::try_from(EPOCH_SECONDS).unwrap_or(0).to_le_bytes();
        for at in [0x08, 0x0C, 0x10] {
            bytes[at..at + 4].copy_from_slice(&time);
        }
    }
    if let Some(seed) = seed {
        let sum = csum::inode(seed, number, 0, &bytes).to_le_bytes();
        bytes[CHECKSUM_LOW..CHECKSUM_LOW + 2].copy_from_slice(&sum[..2]);
    }
    bytes
}
