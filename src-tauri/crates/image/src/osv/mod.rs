//! The disk that OSv boots from (x86-64, BIOS).
//!
//! ```text
//!       0  boot sector of the loader (OSv's arch/x64/boot16.S), with our entry 2 in its partition table
//!     512  command line, ended by a NUL; zeros up to 32767
//!   65536  the kernel, to the end of the loader
//!     ...  a hole up to the next 2 MiB
//! 2 MiB*n  the partition: ROFS or ext4, which OSv sees as /dev/vblk0.1
//! ```
//!
//! Without a loader (the kernel is given to the hypervisor) the disk is the same with zeros in place
//! of the loader, so that it can still be inspected, and later be given one.
//!
//! The partition has to be entry **2** of the table, and its CHS address must not be zero (see
//! [`mbr`]). The boot code reads no other disk than the first of the BIOS.

mod command_line;
mod disk;
mod loader;
mod update;

use std::io::{Read, Seek};

pub use command_line::{COMMAND_LINE_BYTES_MAX, COMMAND_LINE_OFFSET};
pub use command_line::{read_command_line, set_command_line};
pub use disk::{DiskLayout, Root, write_disk};
pub(crate) use loader::{Boot, recognise};
pub use update::update_disk;

use crate::mbr::{self, Partition};
use crate::{Error, Section};

/// The entry of the partition table that OSv takes its root file system from.
const ROOT_PARTITION: u8 = 2;

/// Opens the partition that OSv takes its root file system from.
///
/// # Errors
/// [`Error::Read`]; [`Error::WrongKind`] for a disk without one; [`Error::Corrupt`] for a partition
/// that OSv would not see, or that reaches beyond the disk.
pub fn root_partition<D: Read + Seek>(mut disk: D) -> Result<(Partition, Section<D>), Error> {
    let partitions = mbr::read(&mut disk)?;
    let Some(root) = partitions
        .into_iter()
        .find(|part| part.number == ROOT_PARTITION)
    else {
        let found = "entry 2 of its partition table is not used".to_owned();
        return Err(Error::WrongKind {
            expected: "an OSv disk with a root file system",
            found,
        });
    };
    if !root.seen_by_osv {
        return Err(Error::Corrupt {
            structure: "partition table",
            offset: (mbr::TABLE_OFFSET + 16) as u64,
            expected: "a CHS address with a sector, without which OSv skips the partition"
                .to_owned(),
            found: "sector 0".to_owned(),
        });
    }
    let section = Section::new(disk, root.start_bytes, root.size_bytes);
    Ok((root, section.map_err(Error::read(root.start_bytes))?))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
