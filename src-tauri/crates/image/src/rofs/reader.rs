//! Reads ROFS, trusting nothing.

use std::io::{Read, Seek, SeekFrom};

use super::tables::{Child, Tables};
use super::{BLOCK_BYTES, ROOT_INODE, Superblock};
use crate::file_system::Budget;
use crate::{Entry, EntryKind, Error, GuestPath};

/// An open ROFS file system. Its tables and its files stay where they are.
#[derive(Debug)]
pub struct Reader<R> {
    superblock: Superblock,
    tables: Tables<R>,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a file system that is all of `image` (for a partition: of a [`Section`](crate::Section)),
    /// and checks its tables.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::WrongKind`] for what is no ROFS; [`Error::Corrupt`] for one that
    /// contradicts itself or is cut short.
    pub fn open(mut image: R) -> Result<Self, Error> {
        let image_bytes = image.seek(SeekFrom::End(0)).map_err(Error::read(0))?;
        if image_bytes < BLOCK_BYTES {
            let found = format!("it has only {image_bytes} bytes");
            return Err(Error::WrongKind {
                expected: "a ROFS file system",
                found,
            });
        }
        image.seek(SeekFrom::Start(0)).map_err(Error::read(0))?;
        let mut first = [0; Superblock::BYTES];
        image.read_exact(&mut first).map_err(Error::read(0))?;
        let superblock = Superblock::from_bytes(&first, image_bytes)?;
        let tables = Tables::parse(image, &superblock, image_bytes)?;
        Ok(Self { superblock, tables })
    }

    /// What the first block says.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The root directory.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn root(&self) -> Result<Entry, Error> {
        self.entry(GuestPath::root(), ROOT_INODE)
    }

    /// Walks over everything but the root, each directory directly followed by what is in it.
    pub fn walk(&self) -> Walk<'_, R> {
        Walk {
            tables: &self.tables,
            pending: Vec::new(),
            budget: Budget::default(),
            enter: Some((GuestPath::root(), ROOT_INODE)),
        }
    }

    /// What is at a path; symlinks are not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Read`].
    pub fn find(&self, path: &GuestPath) -> Result<Entry, Error> {
        let mut inode = ROOT_INODE;
        for component in path.components() {
            let mut found = None;
            let children = self.tables.children(inode)?;
            self.tables.visit(children, |name, inode, _| {
                if name == component {
                    found = Some(inode);
                }
                Ok(found.is_some())
            })?;
            inode = found.ok_or_else(|| Error::NotFound { path: path.clone() })?;
        }
        self.entry(path.clone(), inode)
    }

    /// What is directly in a directory, sorted.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for what is not a directory; [`Error::Corrupt`] for a path that is
    /// too long or two entries of one name, and for more entries than anybody would look at; [`Error::Read`].
    pub fn list(&self, directory: &GuestPath) -> Result<Vec<Entry>, Error> {
        let found = self.find(directory)?;
        if !matches!(found.kind, EntryKind::Directory { .. }) {
            return Err(Error::NotFound {
                path: directory.clone(),
            });
        }
        let mut budget = Budget::default();
        sorted_children(&self.tables, directory, found.inode, &mut budget)?
            .into_iter()
            .map(|child| {
                let entry = self.entry(child_path(directory, &child)?, child.inode)?;
                if let EntryKind::Symlink { target } = &entry.kind {
                    // Many names of one link have its target as often.
                    budget.take("ROFS symlink", child.offset, directory, target.len())?;
                }
                Ok(entry)
            })
            .collect()
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what is not a file; [`Error::Read`].
    pub fn read(&mut self, file: &Entry) -> Result<impl Read + '_, Error> {
        let EntryKind::File {
            offset_bytes,
            size_bytes,
        } = file.kind
        else {
            return Err(Error::NotFound {
                path: file.path.clone(),
            });
        };
        let image = self.tables.image();
        image
            .seek(SeekFrom::Start(offset_bytes))
            .map_err(Error::read(offset_bytes))?;
        Ok(image.take(size_bytes))
    }

    /// What an inode is, which must be one of those there are.
    pub(super) fn kind(&self, inode: u64) -> Result<EntryKind, Error> {
        self.tables.kind(inode)
    }

    fn entry(&self, path: GuestPath, inode: u64) -> Result<Entry, Error> {
        let kind = self.tables.kind(inode)?;
        Ok(Entry { path, inode, kind })
    }
}

/// Everything in a file system but the root, in the order of a [`Tree`](crate::Tree). Ends after the
/// first error.
#[derive(Debug)]
pub struct Walk<'reader, R> {
    tables: &'reader Tables<R>,
    /// For each open directory what of it is still to come, last first.
    pending: Vec<(GuestPath, Vec<Child>)>,
    budget: Budget,
    /// The directory to go into next.
    enter: Option<(GuestPath, u64)>,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn step(&mut self) -> Result<Option<Entry>, Error> {
        if let Some((directory, inode)) = self.enter.take() {
            let mut children = sorted_children(self.tables, &directory, inode, &mut self.budget)?;
            children.reverse();
            self.pending.push((directory, children));
        }
        while let Some((directory, children)) = self.pending.last_mut() {
            if let Some(child) = children.pop() {
                self.budget.give_back(directory, child.name.len());
                let path = child_path(directory, &child)?;
                let inode = child.inode;
                let kind = self.tables.kind(inode)?;
                if matches!(kind, EntryKind::Directory { .. }) {
                    self.enter = Some((path.clone(), inode));
                }
                return Ok(Some(Entry { path, inode, kind }));
            }
            self.pending.pop();
        }
        Ok(None)
    }
}

impl<R: Read + Seek> Iterator for Walk<'_, R> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.pending.clear();
        }
        step.transpose()
    }
}

fn sorted_children<R: Read + Seek>(
    tables: &Tables<R>,
    directory: &GuestPath,
    inode: u64,
    budget: &mut Budget,
) -> Result<Vec<Child>, Error> {
    let mut children = Vec::new();
    tables.visit(tables.children(inode)?, |name, inode, offset| {
        budget.take("ROFS directory entry", offset, directory, name.len())?;
        children.push(Child {
            name: name.to_vec(),
            inode,
            offset,
        });
        Ok(false)
    })?;
    children.sort_unstable();
    match children
        .windows(2)
        .find(|pair| pair[0].name == pair[1].name)
    {
        None => Ok(children),
        Some(pair) => Err(Error::Corrupt {
            structure: "ROFS directory entry",
            offset: pair[1].offset,
            expected: format!("one entry of each name in {directory}"),
            found: format!("two of \"{}\"", pair[0].name.escape_ascii()),
        }),
    }
}

fn child_path(directory: &GuestPath, child: &Child) -> Result<GuestPath, Error> {
    directory.join(&child.name).map_err(|error| Error::Corrupt {
        structure: "ROFS directory entry",
        offset: child.offset,
        expected: "a path that a guest can name".to_owned(),
        found: error.to_string(),
    })
}
