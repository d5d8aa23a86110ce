//! Reads ROFS, trusting nothing.

use std::io::{Read, Seek, Write};

use crate::{Entry, Error, GuestPath};

/// The first block of a ROFS file system, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Where the tables start, in blocks.
    pub structure_first_block: u64,
    /// How many blocks they take.
    pub structure_blocks: u64,
    /// How many directory entries there are.
    pub directory_entries: u64,
    /// How many symlinks there are.
    pub symlinks: u64,
    /// How many inodes there are; the first is the root directory.
    pub inodes: u64,
}

/// An open ROFS file system.
#[derive(Debug)]
pub struct Reader<R> {
    image: R,
    superblock: Superblock,
}

/// Everything in a file system but the root, in the order of a [`Tree`](crate::Tree).
#[derive(Debug)]
pub struct Walk<'reader> {
    superblock: &'reader Superblock,
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = self.superblock;
        None
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a file system that is all of `image` (for a partition: of a [`Section`](crate::Section)),
    /// and checks its tables.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::WrongKind`], [`Error::Corrupt`].
    pub fn open(image: R) -> Result<Self, Error> {
        let _ = image;
        Err(Error::Cancelled)
    }

    /// What the first block says.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Walks over everything but the root, each directory directly followed by what is in it.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            superblock: &self.superblock,
        }
    }

    /// What is at a path.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`].
    pub fn find(&self, path: &GuestPath) -> Result<Entry, Error> {
        Err(Error::NotFound { path: path.clone() })
    }

    /// What is directly in a directory, sorted.
    ///
    /// # Errors
    /// [`Error::NotFound`] (also for what is not a directory), [`Error::Corrupt`].
    pub fn list(&self, directory: &GuestPath) -> Result<Vec<Entry>, Error> {
        Err(Error::NotFound {
            path: directory.clone(),
        })
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what is not a file, [`Error::Read`].
    pub fn read(&mut self, file: &Entry) -> Result<impl Read + '_, Error> {
        if true {
            return Err(Error::NotFound {
                path: file.path.clone(),
            });
        }
        Ok((&mut self.image).take(0))
    }

    /// Writes the file system as text: a line for the superblock, a line for each entry with its
    /// inode, kind, size, the first half of its BLAKE3 digest and its path.
    ///
    /// # Errors
    /// As [`walk`](Self::walk) and [`read`](Self::read); [`Error::Write`] for `text`.
    pub fn dump(&mut self, text: &mut impl Write) -> Result<(), Error> {
        let _ = text;
        Ok(())
    }
}
