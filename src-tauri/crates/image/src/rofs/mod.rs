//! ROFS, OSv's read-only file system (OSv's `scripts/gen-rofs-img.py` and `fs/rofs`).
//!
//! All numbers are little-endian; a block has 512 bytes.
//!
//! ```text
//! block 0        superblock: 8 x u64
//!                  0  magic 0xDEADBEAD       32  blocks of the structure
//!                  8  version 1              40  directory entries
//!                 16  block size 512         48  symlinks
//!                 24  first block S of the   56  inodes
//!                     structure
//! block 1 ..     the bytes of the files, each from the start of a block; an empty file has none
//! block S ..     three tables, back to back, byte-packed, then zeros to the end of the block:
//!                  directory entries  u64 inode, u16 length, name
//!                  symlinks           u16 length, target
//!                  inodes             u64 mode, u64 number, u64 data, u64 count
//! ```
//!
//! An inode's number is its place in the table, counted from 1; inode 1 is the root directory. What
//! `data` and `count` mean depends on the mode:
//!
//! | mode | | data | count |
//! | --- | --- | --- | --- |
//! | `0x4000` | directory | its first child in the table of directory entries | its children, which lie side by side there |
//! | `0x8000` | file | its first block | its bytes |
//! | `0xA000` | symlink | its place in the table of symlinks | 1 |
//!
//! There are no permissions, owners or times, no hard links and no special files. Lengths count
//! *bytes*; OSv's own script counts characters, so that one non-ASCII name spoils its image.
//!
//! Our writer numbers inodes in the order of the [`Tree`](crate::Tree) and sorts each directory: the
//! same tree gives the same bytes.

mod dump;
mod file_system;
mod reader;
mod superblock;
mod tables;
mod update;
mod window;
mod writer;

pub use file_system::Rofs;
pub use reader::{Reader, Walk};
pub use superblock::Superblock;
pub use update::update;
pub use writer::{check_entry, image_size_bytes, write};

/// The block size; OSv accepts no other.
pub const BLOCK_BYTES: u64 = 512;

/// The longest name: what a directory entry holds when OSv hands it to a program.
pub const NAME_BYTES_MAX: usize = 255;

/// The longest target of a symlink: its length is a `u16`.
pub const TARGET_BYTES_MAX: usize = 65_535;

/// The largest file: what a partition of an MBR disk can hold.
pub const FILE_BYTES_MAX: u64 = 512 << 32;

const ROOT_INODE: u64 = 1;

const MODE_DIRECTORY: u64 = 0x4000;
const MODE_FILE: u64 = 0x8000;
const MODE_SYMLINK: u64 = 0xA000;

/// The bytes of a directory entry without its name.
const ENTRY_HEADER_BYTES: u64 = 10;
/// The bytes of a symlink without its target.
const SYMLINK_HEADER_BYTES: u64 = 2;
const INODE_BYTES: u64 = 32;

/// Whether these are the first bytes of a ROFS.
pub(crate) fn is_magic(start: &[u8]) -> bool {
    Superblock::is_magic(start)
}
