//! Another size for a disk, and for the last file system on it.

use std::path::Path;

use crate::{Error, FileSystemKind, Watch};

/// How a disk is resized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizeOptions {
    /// Whether the last partition, and the ext4 in it, grow with the disk.
    pub grow_last_volume: bool,
}

impl Default for ResizeOptions {
    fn default() -> Self {
        Self {
            grow_last_volume: true,
        }
    }
}

/// What has been done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// The size of the disk before.
    pub old_bytes: u64,
    /// Its size now.
    pub new_bytes: u64,
    /// The partition that has grown; 0 is a file system without a disk around it.
    pub volume: Option<u32>,
    /// The file system that has grown.
    pub file_system: Option<FileSystemKind>,
}

/// Gives a raw or qcow2 disk another size, a multiple of 512 bytes. A disk can be made smaller where nothing lies there. Nobody may use it
/// meanwhile. Killed in the middle, it is as it was, or, the next time that it is opened, done.
///
/// # Errors
/// [`Error::Resize`] says why it cannot have that size; [`Error::Unsupported`] for other formats; the errors of
/// [`Image::open`](crate::Image::open).
pub fn resize(
    image: &Path,
    size_bytes: u64,
    options: &ResizeOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<Resized, Error> {
    let _ = (image, options, watch.advance(0));
    Err(Error::Resize {
        size_bytes,
        reason: "this cannot be done yet".to_owned(),
    })
}
