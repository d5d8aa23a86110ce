//! ISO 9660, with Rock Ridge and Joliet: the seeds of cloud-init, and disks of installers.

use std::io::{Seek, Write};

use crate::disk::SharedDisk;
use crate::{Error, FileSystem, FileSystemKind, GuestPath, Stat, Tree, Watch};

/// What an ISO 9660 file system is to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IsoOptions {
    /// The volume's label: `cidata` makes it a seed of cloud-init. At most 16 characters.
    pub label: String,
}

/// Writes a tree as an ISO 9660 file system, and returns its size.
///
/// # Errors
/// [`Error::Limit`] and [`Error::TooSmall`] before anything is written; [`Error::Source`], [`Error::Changed`],
/// [`Error::Write`] and [`Error::Cancelled`] leave the output unfinished.
pub fn write(
    tree: &Tree,
    out: &mut (impl Write + Seek),
    options: &IsoOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<u64, Error> {
    let _ = (tree, out, options, watch.advance(0));
    Err(Error::Unsupported {
        what: "no writer yet".to_owned(),
        offset: 0,
    })
}

/// An open ISO 9660 file system.
#[derive(Debug)]
pub struct Iso {
    disk: SharedDisk,
}

impl Iso {
    /// Opens a file system that is all of `disk`.
    ///
    /// # Errors
    /// [`Error::WrongKind`]; [`Error::Corrupt`]; [`Error::Read`].
    pub fn open(disk: SharedDisk) -> Result<Self, Error> {
        Ok(Self { disk })
    }
}

impl FileSystem for Iso {
    fn kind(&self) -> FileSystemKind {
        FileSystemKind::Iso9660
    }

    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn find(&self, path: &GuestPath) -> Result<Stat, Error> {
        Err(Error::NotFound { path: path.clone() })
    }

    fn list(&self, directory: &Stat) -> Result<Vec<Stat>, Error> {
        Err(Error::NotFound {
            path: directory.path.clone(),
        })
    }

    fn read(&self, file: &Stat, _offset: u64, _buffer: &mut [u8]) -> Result<usize, Error> {
        Err(Error::NotFound {
            path: file.path.clone(),
        })
    }
}
