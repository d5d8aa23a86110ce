//! One interface for all file systems that can be read.

use std::collections::HashSet;
use std::fmt;

use crate::{Error, GuestPath};

/// Which file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSystemKind {
    /// OSv's read-only file system.
    Rofs,
    /// ext2, ext3 or ext4.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// That of optical disks, with Rock Ridge or Joliet names.
    Iso9660,
}

impl fmt::Display for FileSystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rofs => "ROFS",
            Self::Ext4 => "ext4",
            Self::Fat => "FAT",
            Self::Iso9660 => "ISO 9660",
        })
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Where it is.
    pub path: GuestPath,
    /// Its number in the file system.
    pub inode: u64,
    /// What it is.
    pub kind: StatKind,
    /// Permission bits; `None` where the file system has none.
    pub mode: Option<u32>,
    /// The time of the last change, in seconds since 1970; `None` where the file system has none.
    pub modified_seconds: Option<i64>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// How many bytes it has.
        size_bytes: u64,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Vec<u8>,
    },
    /// A device, socket or named pipe.
    Special {
        /// Which.
        what: &'static str,
    },
}

/// An open file system. Every answer comes from checked bytes: a damaged one is refused with the place and the reason.
pub trait FileSystem: fmt::Debug + Send + Sync {
    /// Which one it is.
    fn kind(&self) -> FileSystemKind;

    /// Its size.
    fn size_bytes(&self) -> u64;

    /// What is at a path; symlinks are not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Read`]; [`Error::Corrupt`].
    fn find(&self, path: &GuestPath) -> Result<Stat, Error>;

    /// What is directly in a directory, sorted by name.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for what is not a directory; [`Error::Read`]; [`Error::Corrupt`].
    fn list(&self, directory: &Stat) -> Result<Vec<Stat>, Error>;

    /// Reads from a file, as much as there is from `offset` on and fits, and returns how much that is: less than the
    /// buffer only at the end of the file.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what is not a file; [`Error::Read`]; [`Error::Corrupt`].
    fn read(&self, file: &Stat, offset: u64, buffer: &mut [u8]) -> Result<usize, Error>;
}

/// How much memory the entries of the directories that are open at one time may take. A million files in one folder fit.
const LISTED_BYTES_MAX: usize = 256 << 20;

/// What is left of the memory for directories.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    taken_bytes: usize,
}

impl Budget {
    /// Takes what an entry needs that was found at `offset`: a name below a directory, and a target.
    pub(crate) fn take(
        &mut self,
        structure: &'static str,
        offset: u64,
        directory: &GuestPath,
        bytes: usize,
    ) -> Result<(), Error> {
        self.taken_bytes += size_of::<Stat>() + directory.as_bytes().len() + 1 + bytes;
        if self.taken_bytes <= LISTED_BYTES_MAX {
            return Ok(());
        }
        let mib = LISTED_BYTES_MAX >> 20;
        let expected = format!("directories whose entries take at most {mib} MiB");
        let found = format!("more in {directory}");
        Err(Error::corrupt(structure, offset, expected, found))
    }

    /// Takes what a found entry needs.
    pub(crate) fn take_stat(&mut self, stat: &Stat) -> Result<(), Error> {
        self.take("directory", 0, &stat.path, stat.target_bytes())
    }

    /// An entry is not held any more.
    pub(crate) fn give_back(&mut self, directory: &GuestPath, bytes: usize) {
        let taken = size_of::<Stat>() + directory.as_bytes().len() + 1 + bytes;
        self.taken_bytes = self.taken_bytes.saturating_sub(taken);
    }
}

impl Stat {
    fn target_bytes(&self) -> usize {
        match &self.kind {
            StatKind::Symlink { target } => target.len(),
            _ => 0,
        }
    }
}

/// Everything in a file system but the root, each directory directly followed by what is in it. Ends after the first
/// error.
#[derive(Debug)]
pub struct Walk<'fs> {
    file_system: &'fs dyn FileSystem,
    /// For each open directory what of it is still to come, last first.
    pending: Vec<Vec<Stat>>,
    budget: Budget,
    /// No directory comes twice, so that the walk ends.
    entered: HashSet<u64>,
    enter: Option<Stat>,
    failed: bool,
}

/// Walks over a file system.
pub fn walk(file_system: &dyn FileSystem) -> Walk<'_> {
    Walk {
        file_system,
        pending: Vec::new(),
        budget: Budget::default(),
        entered: HashSet::new(),
        enter: None,
        failed: false,
    }
}

impl Walk<'_> {
    fn step(&mut self) -> Result<Option<Stat>, Error> {
        if self.entered.is_empty() {
            self.enter = Some(self.file_system.find(&GuestPath::root())?);
        }
        if let Some(directory) = self.enter.take() {
            if !self.entered.insert(directory.inode) {
                return Err(Error::corrupt(
                    "directory",
                    0,
                    "directories that are in one place",
                    format!("inode {} again at {}", directory.inode, directory.path),
                ));
            }
            let mut children = self.file_system.list(&directory)?;
            for child in &children {
                let bytes = child.path.as_bytes().len();
                self.budget
                    .take("directory", 0, &GuestPath::root(), bytes)?;
            }
            children.reverse();
            self.pending.push(children);
        }
        while let Some(children) = self.pending.last_mut() {
            if let Some(child) = children.pop() {
                self.budget.give_back(&child.path, child.target_bytes());
                if child.kind == StatKind::Directory {
                    self.enter = Some(child.clone());
                }
                return Ok(Some(child));
            }
            self.pending.pop();
        }
        Ok(None)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Stat, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
