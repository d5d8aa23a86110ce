//! ROFS, OSv's read-only file system (OSv's `scripts/gen-rofs-img.py` and `fs/rofs`).
//!
//! ```text
//! block 0       superblock: 8 x u64, little-endian
//! block 1 ..    the bytes of the files, each from the start of a block
//! block S ..    directory entries | symlinks | inodes, byte-packed, to the end of the image
//! ```

mod reader;
mod writer;

pub use reader::{Reader, Superblock, Walk};
pub use writer::{check_entry, image_size_bytes, write};

/// The block size; OSv accepts no other.
pub const BLOCK_BYTES: u64 = 512;
