//! Disk images and file systems, read and written without booting anything.
//!
//! Everything that is written starts as a [`Tree`]: the merged content of an appliance, sorted, with
//! the sources of its files still unread. A writer turns the tree into bytes in one pass:
//!
//! ```text
//!                 ┌─ rofs::write ──────────────────────┐
//!   Tree ─────────┤                                    ├──> Write + Seek
//!     │           └─ ext4::write ──────────────────────┤
//!     ├─ osv::write_disk = loader + command line + MBR + one of the two
//!     ├─ linux::write_disk = GPT + GRUB + EFI system partition (FAT) + ext4
//!     ├─ fat::write: what firmware and cloud-init read
//!     └─ iso::write: seeds of cloud-init on a disk of their own
//! ```
//!
//! What the writers keep to:
//! - **Limits first**: a tree that the file system cannot hold is refused before a byte is written.
//! - **Same tree, same bytes**: no clock, no random number, no owner of this computer gets in.
//! - **Constant memory**: a large tree lies in a file of its own ([`spill`]), and files stream through a few buffers. What grows
//!   are the entries of one directory of ext4, and a few bytes for each directory.
//! - **Holes**: bytes that are zero by design are skipped with a seek, so the output must hold zeros
//!   (a fresh file does) wherever it was not written.
//! - Files are declared with their size. A file that has another size when it is read is an error.
//!
//! Any image is read through [`Image::open`], whatever its format, division and file system. As whole disks they are
//! taken in ([`import`]), made into the formats of others ([`convert`]) and given another size ([`resize`]).
//!
//! What is read ([`Image`], [`FileSystem`], [`rofs::Reader`], [`mbr`], [`osv`], [`ext4::Superblock`]) may come from anybody:
//! every offset and count is checked against what is really there, and an error says at which byte
//! the image lies, what was found and what was expected.

mod content;
pub mod convert;
mod crc32c;
mod detect;
pub mod disk;
pub mod edit;
mod entry;
mod error;
pub mod escape;
pub mod export;
pub mod ext4;
pub mod extract;
pub mod fat;
pub mod file_system;
mod foreign;
pub mod gpt;
mod image;
pub mod import;
pub mod iso;
pub mod journal;
pub mod linux;
pub mod mbr;
pub mod osv;
mod output;
mod path;
pub mod resize;
pub mod rofs;
mod section;
pub mod spill;
pub mod subtree;
mod tree;
pub mod update;
mod watch;

pub use detect::{ImageKind, detect};
pub use entry::{Entry, EntryKind};
pub use error::{Error, Limit};
pub use file_system::{FileSystem, FileSystemKind, Stat, StatKind};
pub use foreign::Foreign;
pub use image::{Boots, Image, Layout, LinuxDisk, OsvDisk, Volume};
pub use path::{GuestPath, PathError};
pub use section::Section;
pub use tree::{Node, Source, Tree, TreeError};
pub use watch::{Unwatched, Watch};
