//! The disk that OSv boots from (x86-64, BIOS).

use std::io::{Read, Seek, Write};

use crate::ext4::Ext4Options;
use crate::mbr::Partition;
use crate::{Error, Section, Source, Tree, Watch};

/// Where the command line is.
pub const COMMAND_LINE_OFFSET: u64 = 512;

/// The longest command line, without its NUL.
pub const COMMAND_LINE_BYTES_MAX: usize = 32_255;

/// The file system of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Read-only; every OSv kernel has it.
    Rofs,
    /// Writable; for kernels that were built with it.
    Ext4(Ext4Options),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLayout {
    /// The size of the disk.
    pub size_bytes: u64,
    /// The partition with the file system.
    pub partition: Partition,
}

/// Writes a bootable disk from the position of `out` on: the loader, the command line and a
/// partition with the tree. Without a loader the disk is for a directly booted kernel.
///
/// # Errors
/// See [`Error`]; the output is unfinished then.
pub fn write_disk(
    loader: Option<&Source>,
    command_line: &str,
    root: &Root,
    tree: &Tree,
    out: &mut (impl Write + Seek),
    watch: &mut (impl Watch + ?Sized),
) -> Result<DiskLayout, Error> {
    let _ = (loader, command_line, root, tree, out, watch);
    Err(Error::Cancelled)
}

/// Reads the command line of a disk, up to its NUL.
///
/// # Errors
/// [`Error::Read`]; [`Error::WrongKind`] for what is not OSv's disk; [`Error::Corrupt`] without a NUL.
pub fn read_command_line(disk: &mut (impl Read + Seek)) -> Result<String, Error> {
    let _ = disk;
    Err(Error::Cancelled)
}

/// Replaces the command line of a disk.
///
/// # Errors
/// [`Error::CommandLine`] where it does not fit; [`Error::WrongKind`] for what is not OSv's disk;
/// [`Error::Read`], [`Error::Write`].
pub fn set_command_line(
    disk: &mut (impl Read + Write + Seek),
    command_line: &str,
) -> Result<(), Error> {
    let _ = (disk, command_line);
    Err(Error::Cancelled)
}

/// Opens the partition that OSv takes its root file system from.
///
/// # Errors
/// [`Error::Read`]; [`Error::WrongKind`] for a disk without one.
pub fn root_partition<D: Read + Seek>(disk: D) -> Result<Section<D>, Error> {
    let _ = disk;
    Err(Error::Cancelled)
}
