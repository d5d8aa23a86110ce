//! ROFS behind the interface that all file systems have.

use super::{ROOT_INODE, Reader, Superblock};
use crate::disk::{SharedDisk, Stream};
use crate::file_system::{FileSystem, FileSystemKind, Stat, StatKind};
use crate::{Entry, EntryKind, Error, GuestPath};

/// An open ROFS on a shared disk.
#[derive(Debug)]
pub struct Rofs {
    disk: SharedDisk,
    reader: Reader<Stream>,
}

impl Rofs {
    /// Opens a file system that is all of `disk`.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(disk: SharedDisk) -> Result<Self, Error> {
        let reader = Reader::open(Stream::new(SharedDisk::clone(&disk)))?;
        Ok(Self { disk, reader })
    }

    /// What the first block says.
    pub fn superblock(&self) -> &Superblock {
        self.reader.superblock()
    }
}

impl FileSystem for Rofs {
    fn kind(&self) -> FileSystemKind {
        FileSystemKind::Rofs
    }

    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn find(&self, path: &GuestPath) -> Result<Stat, Error> {
        self.reader.find(path).map(stat)
    }

    fn list(&self, directory: &Stat) -> Result<Vec<Stat>, Error> {
        let entries = self.reader.list(&directory.path)?;
        Ok(entries.into_iter().map(stat).collect())
    }

    fn read(&self, file: &Stat, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let not_found = || Error::NotFound {
            path: file.path.clone(),
        };
        let superblock = self.reader.superblock();
        if !(ROOT_INODE..=superblock.inodes).contains(&file.inode) {
            return Err(not_found());
        }
        let EntryKind::File {
            offset_bytes,
            size_bytes,
        } = self.reader.kind(file.inode)?
        else {
            return Err(not_found());
        };
        let left = size_bytes.saturating_sub(offset);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if count > 0 {
            self.disk
                .read_at(offset_bytes + offset, &mut buffer[..count])?;
        }
        Ok(count)
    }
}

fn stat(entry: Entry) -> Stat {
    let kind = match entry.kind {
        EntryKind::Directory { .. } => StatKind::Directory,
        EntryKind::File { size_bytes, .. } => StatKind::File { size_bytes },
        EntryKind::Symlink { target } => StatKind::Symlink { target },
    };
    Stat {
        path: entry.path,
        inode: entry.inode,
        kind,
        mode: None,
        modified_seconds: None,
    }
}
