//! ISO 9660, with Rock Ridge and Joliet: the seeds of cloud-init, and disks of installers.
//!
//! ```text
//!   sector 16   primary descriptor ──┬─> path tables       which directories there are
//!          17   Joliet's descriptor ─┤
//!          18   end of descriptors   └─> directories ──> the bytes of files, shared by both trees
//!                                          └─ Rock Ridge: true names, modes, symlinks; what does not fit
//!                                             into a record lies in continuation areas behind them
//! ```
//!
//! Sectors have 2048 bytes; most numbers are there twice, little- and big-endian. The plain names are short and in capitals,
//! for whoever knows nothing better. Joliet's are UTF-16 of up to 64 units and have no symlinks. Rock Ridge's are the bytes
//! that Unix sees. The reader takes the best that is there.
//!
//! What is written depends on the tree and the label alone: all belongs to root, and every time is
//! [`ext4::EPOCH_SECONDS`](crate::ext4::EPOCH_SECONDS).

mod layout;
mod names;
mod reader;
mod records;
mod rock_ridge;
mod writer;

pub use reader::Iso;
pub use writer::{IsoOptions, check_entry, write};

use crate::Error;
use crate::disk::ReadAt;

/// The longest label: what Joliet has room for.
pub const LABEL_CHARACTERS_MAX: usize = 16;
/// The longest name.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest target of a symlink.
pub const TARGET_BYTES_MAX: usize = 1024;
/// The largest file.
pub const FILE_BYTES_MAX: u64 = u32::MAX as u64;

const SECTOR: u64 = 2048;
const SECTOR_BYTES: usize = 2048;
const DESCRIPTORS_AT: u64 = 16 * SECTOR;
const STANDARD: &[u8; 5] = b"CD001";
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const END: u8 = 255;
const IS_DIRECTORY: u8 = 2;

/// Whether an ISO 9660 file system is at the beginning of a disk.
///
/// # Errors
/// [`Error::Read`].
pub(crate) fn is_present(disk: &dyn ReadAt) -> Result<bool, Error> {
    if disk.size_bytes() < DESCRIPTORS_AT + SECTOR {
        return Ok(false);
    }
    let mut start = [0; 6];
    disk.read_at(DESCRIPTORS_AT, &mut start)?;
    Ok(start[0] == PRIMARY && start[1..] == *STANDARD)
}
