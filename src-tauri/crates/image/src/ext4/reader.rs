//! Reads ext2, ext3 and ext4 (Linux' `Documentation/filesystems/ext4`), trusting nothing.
//!
//! ```text
//!   superblock ── group descriptors ── inode table ── inode ─┬─ extent tree ──> blocks
//!     at 1024      behind it             per group           ├─ block map (ext2, ext3) ──> blocks
//!                                                            └─ target of a short symlink
//! ```
//!
//! Blocks have 1, 2 or 4 KiB. Checksums are not looked at: what is wrong is refused by what it says. The
//! index of a directory is not used either, its leaves are directory blocks like any others.
//!
//! Nothing is kept in memory but the superblock. Descriptors, inodes and extents are looked up when they
//! are asked for, so that memory does not depend on what an image claims; a directory is limited to
//! [`DIRECTORY_ENTRIES_MAX`].

use super::inode::{self, Inode, Run};
use super::{Geometry, directory};
use crate::disk::{ReadAt, SharedDisk};
use crate::file_system::{Budget, FileSystem, FileSystemKind, Stat, StatKind};
use crate::{Error, GuestPath};

pub(super) const ROOT_INODE: u32 = 2;

/// No directory that is listed has more entries.
pub(super) const DIRECTORY_ENTRIES_MAX: usize = 1 << 20;

/// The largest target of a symlink that Linux takes.
const SYMLINK_BYTES_MAX: u64 = 4096;

/// An open ext2, ext3 or ext4 file system.
#[derive(Debug)]
pub struct Ext4 {
    disk: SharedDisk,
    geometry: Geometry,
}

impl Ext4 {
    /// Opens a file system that is all of `disk`.
    ///
    /// # Errors
    /// [`Error::WrongKind`]; [`Error::Corrupt`]; [`Error::Unsupported`] for features that change where things are.
    pub fn open(disk: SharedDisk) -> Result<Self, Error> {
        let geometry = Geometry::read(disk.as_ref())?;
        Ok(Self { disk, geometry })
    }

    /// What the superblock says about where things are.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(crate) fn disk(&self) -> &dyn ReadAt {
        self.disk.as_ref()
    }

    /// An inode, checked to be in use.
    pub(crate) fn inode(&self, number: u32) -> Result<Inode, Error> {
        let at = self.geometry.inode_offset(self.disk(), number)?;
        let mut bytes = vec![0; self.geometry.inode_bytes];
        self.disk.read_at(at, &mut bytes)?;
        Inode::parse(number, at, &bytes)
    }

    /// Where the bytes of a file are from a block of it on.
    pub(crate) fn run(&self, inode: &Inode, logical: u64) -> Result<Run, Error> {
        inode::run(self.disk(), &self.geometry, inode, logical)
    }

    /// Reads from what an inode maps.
    pub(crate) fn read_inode(
        &self,
        inode: &Inode,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Error> {
        let left = inode.size_bytes.saturating_sub(offset);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let block_bytes = self.geometry.block_bytes;
        let mut done = 0;
        while done < count {
            let here = offset + done as u64;
            let run = self.run(inode, here / block_bytes)?;
            let within = here % block_bytes;
            let run_bytes = (run.blocks * block_bytes).saturating_sub(within);
            let part = usize::try_from(run_bytes).map_or(count - done, |run| run.min(count - done));
            let part = &mut buffer[done..done + part];
            match run.start {
                Some(block) => self.disk.read_at(block * block_bytes + within, part)?,
                None => part.fill(0),
            }
            done += part.len();
        }
        Ok(count)
    }

    /// The entries of a directory as they lie there, `.` and `..` left out.
    pub(crate) fn entries(&self, inode: &Inode) -> Result<Vec<directory::Entry>, Error> {
        let block_bytes = self.geometry.block_bytes;
        if !inode.size_bytes.is_multiple_of(block_bytes) {
            let expected = format!("a directory of whole blocks of {block_bytes}");
            return Err(Error::corrupt(
                "ext4 inode",
                inode.at + 4,
                expected,
                inode.size_bytes,
            ));
        }
        let mut entries = Vec::new();
        let mut block = vec![0; usize::try_from(block_bytes).unwrap_or(4096)];
        let mut logical = 0;
        while logical < inode.size_bytes / block_bytes {
            let run = self.run(inode, logical)?;
            let Some(start) = run.start else {
                let expected = "a directory without holes";
                return Err(Error::corrupt(
                    "ext4 inode",
                    inode.at,
                    expected,
                    format!("one at block {logical}"),
                ));
            };
            self.disk.read_at(start * block_bytes, &mut block)?;
            directory::parse(start * block_bytes, &block, &self.geometry, &mut entries)?;
            if entries.len() > DIRECTORY_ENTRIES_MAX {
                let expected = format!("a directory of at most {DIRECTORY_ENTRIES_MAX} entries");
                return Err(Error::corrupt(
                    "ext4 directory",
                    inode.at,
                    expected,
                    entries.len(),
                ));
            }
            logical += 1;
        }
        Ok(entries)
    }

    /// The inode at a path.
    pub(crate) fn find_inode(&self, path: &GuestPath) -> Result<Inode, Error> {
        let mut inode = self.inode(ROOT_INODE)?;
        for component in path.components() {
            let not_found = || Error::NotFound { path: path.clone() };
            if !inode.is_directory() {
                return Err(not_found());
            }
            let entries = self.entries(&inode)?;
            let entry = entries.iter().find(|entry| entry.name == component);
            inode = self.inode(entry.ok_or_else(not_found)?.inode)?;
        }
        Ok(inode)
    }

    /// What a symlink points to.
    pub(crate) fn target(&self, inode: &Inode) -> Result<Vec<u8>, Error> {
        if let Some(target) = inode.short_target() {
            return Ok(target.to_vec());
        }
        if inode.size_bytes > SYMLINK_BYTES_MAX {
            let expected = format!("a target of at most {SYMLINK_BYTES_MAX} bytes");
            return Err(Error::corrupt(
                "ext4 inode",
                inode.at + 4,
                expected,
                inode.size_bytes,
            ));
        }
        let mut target = vec![0; usize::try_from(inode.size_bytes).unwrap_or(0)];
        self.read_inode(inode, 0, &mut target)?;
        Ok(target)
    }

    fn stat(&self, path: GuestPath, inode: &Inode) -> Result<Stat, Error> {
        let kind = match inode.kind()? {
            inode::Kind::Directory => StatKind::Directory,
            inode::Kind::File => StatKind::File {
                size_bytes: inode.size_bytes,
            },
            inode::Kind::Symlink => StatKind::Symlink {
                target: self.target(inode)?,
            },
            inode::Kind::Special(what) => StatKind::Special { what },
        };
        Ok(Stat {
            path,
            inode: u64::from(inode.number),
            kind,
            mode: Some(u32::from(inode.mode & 0o7777)),
            modified_seconds: Some(inode.modified_seconds),
        })
    }

    fn inode_of(&self, stat: &Stat) -> Result<Inode, Error> {
        let number = u32::try_from(stat.inode).map_err(|_| Error::NotFound {
            path: stat.path.clone(),
        })?;
        self.inode(number)
    }
}

impl FileSystem for Ext4 {
    fn kind(&self) -> FileSystemKind {
        FileSystemKind::Ext4
    }

    fn size_bytes(&self) -> u64 {
        self.geometry.blocks * self.geometry.block_bytes
    }

    fn find(&self, path: &GuestPath) -> Result<Stat, Error> {
        let inode = self.find_inode(path)?;
        self.stat(path.clone(), &inode)
    }

    fn list(&self, directory: &Stat) -> Result<Vec<Stat>, Error> {
        let inode = self.inode_of(directory)?;
        if !inode.is_directory() {
            return Err(Error::NotFound {
                path: directory.path.clone(),
            });
        }
        let mut entries = self.entries(&inode)?;
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            let expected = format!("one entry of each name in {}", directory.path);
            let found = format!("two of \"{}\"", pair[0].name.escape_ascii());
            return Err(Error::corrupt(
                "ext4 directory",
                pair[1].at,
                expected,
                found,
            ));
        }
        // Many names of one link have its target as often.
        let mut budget = Budget::default();
        entries
            .into_iter()
            .map(|entry| {
                let path = directory.path.join(&entry.name).map_err(|error| {
                    Error::corrupt(
                        "ext4 directory",
                        entry.at,
                        "a path that a guest can name",
                        error,
                    )
                })?;
                let stat = self.stat(path, &self.inode(entry.inode)?)?;
                budget.take_stat(&stat)?;
                Ok(stat)
            })
            .collect()
    }

    fn read(&self, file: &Stat, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let inode = self.inode_of(file)?;
        if inode.kind()? != inode::Kind::File {
            return Err(Error::NotFound {
                path: file.path.clone(),
            });
        }
        self.read_inode(&inode, offset, buffer)
    }
}
