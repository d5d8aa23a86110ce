//! Reads ROFS, trusting nothing.

use std::io::{Read, Seek, SeekFrom};

use super::tables::Tables;
use super::{BLOCK_BYTES, ROOT_INODE, Superblock};
use crate::{Entry, EntryKind, Error, GuestPath};

/// An open ROFS file system. Its tables are in memory, as they are in a guest; its files are not.
#[derive(Debug)]
pub struct Reader<R> {
    image: R,
    superblock: Superblock,
    tables: Tables,
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
        let start = superblock.structure_first_block * BLOCK_BYTES;
        let length = superblock.structure_blocks * BLOCK_BYTES;
        image
            .seek(SeekFrom::Start(start))
            .map_err(Error::read(start))?;
        let mut bytes = Vec::new();
        (&mut image)
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(Error::read(start))?;
        if (bytes.len() as u64) < length {
            return Err(Error::Corrupt {
                structure: "ROFS structure",
                offset: start,
                expected: format!("{length} bytes"),
                found: format!("{} before the end of the image", bytes.len()),
            });
        }
        let tables = Tables::parse(bytes, &superblock, image_bytes)?;
        Ok(Self {
            image,
            superblock,
            tables,
        })
    }

    /// What the first block says.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The root directory.
    pub fn root(&self) -> Entry {
        self.entry(GuestPath::root(), ROOT_INODE)
    }

    /// Walks over everything but the root, each directory directly followed by what is in it.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            tables: &self.tables,
            pending: Vec::new(),
            enter: Some((GuestPath::root(), ROOT_INODE)),
        }
    }

    /// What is at a path; symlinks are not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn find(&self, path: &GuestPath) -> Result<Entry, Error> {
        let mut inode = ROOT_INODE;
        for component in path.components() {
            inode = self
                .tables
                .children(inode)
                .map(|place| self.tables.entry(place))
                .find_map(|(inode, name)| (name == component).then_some(inode))
                .ok_or_else(|| Error::NotFound { path: path.clone() })?;
        }
        Ok(self.entry(path.clone(), inode))
    }

    /// What is directly in a directory, sorted.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for what is not a directory; [`Error::Corrupt`] for a path that is
    /// too long or two entries of one name.
    pub fn list(&self, directory: &GuestPath) -> Result<Vec<Entry>, Error> {
        let found = self.find(directory)?;
        if !matches!(found.kind, EntryKind::Directory { .. }) {
            return Err(Error::NotFound {
                path: directory.clone(),
            });
        }
        sorted_children(&self.tables, directory, found.inode)?
            .into_iter()
            .map(|child| Ok(self.entry(child_path(&self.tables, directory, child)?, child.1)))
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
        self.image
            .seek(SeekFrom::Start(offset_bytes))
            .map_err(Error::read(offset_bytes))?;
        Ok((&mut self.image).take(size_bytes))
    }

    /// What an inode is, which must be one of those there are.
    pub(super) fn kind(&self, inode: u64) -> EntryKind {
        self.tables.kind(inode)
    }

    fn entry(&self, path: GuestPath, inode: u64) -> Entry {
        Entry {
            path,
            inode,
            kind: self.tables.kind(inode),
        }
    }
}

/// Everything in a file system but the root, in the order of a [`Tree`](crate::Tree). Ends after the
/// first error.
#[derive(Debug)]
pub struct Walk<'reader> {
    tables: &'reader Tables,
    /// For each open directory what of it is still to come, last first.
    pending: Vec<(GuestPath, Vec<Child<'reader>>)>,
    /// The directory to go into next.
    enter: Option<(GuestPath, u64)>,
}

/// A name, its inode and its place in the table of directory entries.
type Child<'reader> = (&'reader [u8], u64, usize);

impl Walk<'_> {
    fn step(&mut self) -> Result<Option<Entry>, Error> {
        if let Some((directory, inode)) = self.enter.take() {
            let mut children = sorted_children(self.tables, &directory, inode)?;
            children.reverse();
            self.pending.push((directory, children));
        }
        while let Some((directory, children)) = self.pending.last_mut() {
            if let Some(child) = children.pop() {
                let path = child_path(self.tables, directory, child)?;
                let inode = child.1;
                let kind = self.tables.kind(inode);
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

impl Iterator for Walk<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.pending.clear();
        }
        step.transpose()
    }
}

fn sorted_children<'reader>(
    tables: &'reader Tables,
    directory: &GuestPath,
    inode: u64,
) -> Result<Vec<Child<'reader>>, Error> {
    let mut children: Vec<Child<'_>> = tables
        .children(inode)
        .map(|place| {
            let (inode, name) = tables.entry(place);
            (name, inode, place)
        })
        .collect();
    children.sort_unstable();
    match children.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(children),
        Some(pair) => Err(Error::Corrupt {
            structure: "ROFS directory entry",
            offset: tables.entry_offset(pair[1].2),
            expected: format!("one entry of each name in {directory}"),
            found: format!("two of \"{}\"", pair[0].0.escape_ascii()),
        }),
    }
}

fn child_path(
    tables: &Tables,
    directory: &GuestPath,
    (name, _, place): Child<'_>,
) -> Result<GuestPath, Error> {
    directory.join(name).map_err(|error| Error::Corrupt {
        structure: "ROFS directory entry",
        offset: tables.entry_offset(place),
        expected: "a path that a guest can name".to_owned(),
        found: error.to_string(),
    })
}
