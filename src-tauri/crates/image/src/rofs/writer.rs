//! From a tree to ROFS, in one pass: every size is known beforehand, so that the superblock comes
//! first, the files stream behind it and the tables end the image.

use std::io::{Seek, Write};

use super::{
    BLOCK_BYTES, ENTRY_HEADER_BYTES, FILE_BYTES_MAX, INODE_BYTES, MODE_DIRECTORY, MODE_FILE,
    MODE_SYMLINK, NAME_BYTES_MAX, ROOT_INODE, SYMLINK_HEADER_BYTES, Superblock, TARGET_BYTES_MAX,
};
use crate::content::{self, Piece};
use crate::output::{Output, Table};
use crate::tree::check_read;
use crate::{Error, GuestPath, Limit, Node, Tree, Watch};

/// Checks that ROFS can hold a node.
///
/// # Errors
/// [`Error::Limit`] says what it cannot hold.
pub fn check_entry(path: &GuestPath, node: &Node) -> Result<(), Error> {
    let refuse = |limit| {
        Err(Error::Limit {
            path: path.clone(),
            file_system: "ROFS",
            limit,
        })
    };
    let found_bytes = path.name().len();
    if found_bytes > NAME_BYTES_MAX {
        return refuse(Limit::NameTooLong {
            found_bytes,
            limit_bytes: NAME_BYTES_MAX,
        });
    }
    match node {
        Node::File { size_bytes, .. } if *size_bytes > FILE_BYTES_MAX => {
            refuse(Limit::FileTooLarge {
                found_bytes: *size_bytes,
                limit_bytes: FILE_BYTES_MAX,
            })
        }
        Node::Symlink { target } if target.len() > TARGET_BYTES_MAX => {
            refuse(Limit::TargetTooLong {
                found_bytes: target.len(),
                limit_bytes: TARGET_BYTES_MAX,
            })
        }
        Node::Symlink { target } if target.is_empty() => refuse(Limit::TargetInvalid("empty")),
        Node::Symlink { target } if target.contains(&0) => {
            refuse(Limit::TargetInvalid("cut off by a NUL byte"))
        }
        _ => Ok(()),
    }
}

/// How large the file system of a tree becomes.
pub fn image_size_bytes(tree: &Tree) -> u64 {
    let superblock = Layout::new(tree).superblock;
    (superblock.structure_first_block + superblock.structure_blocks).saturating_mul(BLOCK_BYTES)
}

/// Writes a tree as a ROFS file system, from the position of `out` on, and returns its size, a
/// multiple of 512.
///
/// # Errors
/// [`Error::Limit`] before anything is written; [`Error::Source`], [`Error::Changed`],
/// [`Error::Write`] and [`Error::Cancelled`] leave the output unfinished.
pub fn write(
    tree: &Tree,
    out: &mut (impl Write + Seek),
    watch: &mut (impl Watch + ?Sized),
) -> Result<u64, Error> {
    for (path, node) in tree {
        check_entry(&path, &node)?;
    }
    let layout = Layout::new(tree);
    let superblock = layout.superblock;
    let mut output = Output::new(out)?;
    let mut first_block = [0; 512];
    first_block[..Superblock::BYTES].copy_from_slice(&superblock.to_bytes());
    output.write_at(0, &first_block)?;
    let mut blocks = InOrder::default();
    let pieces = tree
        .iter()
        .filter_map(|(path, node)| piece(path, node, |size_bytes| blocks.next(size_bytes)));
    content::copy(pieces, &mut output, watch)?;
    let structure = superblock.structure_first_block * BLOCK_BYTES;
    let mut blocks = InOrder::default();
    layout.write_structure(tree, &mut output, |_, size_bytes| blocks.next(size_bytes))?;
    check_read(tree)?;
    let size_bytes = structure + superblock.structure_blocks * BLOCK_BYTES;
    output.finish(size_bytes)?;
    Ok(size_bytes)
}

/// Files lie one behind the other, in the order of the tree, from the second block on.
struct InOrder {
    next: u64,
}

impl Default for InOrder {
    fn default() -> Self {
        Self { next: 1 }
    }
}

impl InOrder {
    /// The first block of the next file.
    fn next(&mut self, size_bytes: u64) -> u64 {
        let first = self.next;
        self.next = first.saturating_add(size_bytes.div_ceil(BLOCK_BYTES));
        first
    }
}

/// The bytes of a file, which begin in the block that is told of its size.
pub(super) fn piece(
    path: GuestPath,
    node: Node,
    first_block: impl FnOnce(u64) -> u64,
) -> Option<Piece> {
    let Node::File {
        source, size_bytes, ..
    } = node
    else {
        return None;
    };
    Some(Piece {
        path,
        source,
        file_bytes: size_bytes,
        from: 0,
        length: size_bytes,
        at: first_block(size_bytes) * BLOCK_BYTES,
        // The rest of its last block.
        padding: size_bytes.next_multiple_of(BLOCK_BYTES) - size_bytes,
    })
}

/// What is in a directory; they are numbered in the order of the tree, the root is 0.
#[derive(Debug, Clone, Copy, Default)]
struct Directory {
    children: u32,
    /// How long its entries are; where the next of them goes, once that is known.
    bytes: u64,
}

/// Where the tables go, and how large they are. A node's place in the tree, counted from 1, stands for it; the root is 0.
/// Only of directories anything is kept.
pub(super) struct Layout {
    directories: Vec<Directory>,
    /// The bytes of all entries of directories, and of symlinks.
    entries_bytes: u64,
    symlinks_bytes: u64,
    pub(super) superblock: Superblock,
}

impl Layout {
    /// Puts the files one after the other, in the order of the tree, and the tables behind them.
    pub(super) fn new(tree: &Tree) -> Self {
        let mut directories = vec![Directory::default()];
        let mut parents = Parents::default();
        let mut blocks = InOrder::default();
        let (mut symlinks, mut symlinks_bytes, mut entries_bytes) = (0, 0, 0);
        for (path, node) in tree {
            let parent = parents.of(&path, &node);
            let bytes = ENTRY_HEADER_BYTES + path.name().len() as u64;
            entries_bytes += bytes;
            if let Some(directory) = directories.get_mut(parent) {
                directory.children += 1;
                directory.bytes += bytes;
            }
            match node {
                Node::Directory { .. } => directories.push(Directory::default()),
                Node::File { size_bytes, .. } => {
                    blocks.next(size_bytes);
                }
                Node::Symlink { target } => {
                    symlinks += 1;
                    symlinks_bytes += SYMLINK_HEADER_BYTES + target.len() as u64;
                }
            }
        }
        let nodes = tree.len() as u64;
        let structure_bytes = entries_bytes + symlinks_bytes + (nodes + 1) * INODE_BYTES;
        let superblock = Superblock {
            structure_first_block: blocks.next,
            structure_blocks: structure_bytes.div_ceil(BLOCK_BYTES),
            directory_entries: nodes,
            symlinks,
            inodes: nodes + 1,
        };
        Self {
            directories,
            entries_bytes,
            symlinks_bytes,
            superblock,
        }
    }

    /// Writes the tables; `first_block` is told the place and size of each file, in order.
    pub(super) fn write_structure<W: Write + Seek>(
        &self,
        tree: &Tree,
        output: &mut Output<'_, W>,
        first_block: impl FnMut(usize, u64) -> u64,
    ) -> Result<(), Error> {
        let start = self.superblock.structure_first_block * BLOCK_BYTES;
        self.write_entries(tree, output, start)?;
        let symlinks = start + self.entries_bytes;
        let mut table = Table::new(output, symlinks);
        for (_, node) in tree {
            if let Node::Symlink { target } = node {
                put_counted(&mut table, &target)?;
            }
        }
        debug_assert_eq!(table.end(), symlinks + self.symlinks_bytes);
        self.put_inodes(tree, &mut table, first_block)?;
        table.finish(start, BLOCK_BYTES)
    }

    /// The table of directory entries: for each directory in turn its children, sorted. In the tree a directory's children
    /// come with what is in them, so that each directory is written where it belongs.
    fn write_entries<W: Write + Seek>(
        &self,
        tree: &Tree,
        output: &mut Output<'_, W>,
        start: u64,
    ) -> Result<(), Error> {
        let mut places = Scattered::new(output, start, self.entries_bytes);
        let mut at = 0;
        let starts = self.directories.iter().map(|directory| {
            let start = at;
            at += directory.bytes;
            start
        });
        let mut starts: Vec<u64> = starts.collect();
        // What the open directories have got, by their depth.
        let mut open: Vec<(usize, Vec<u8>)> = vec![(0, Vec::new())];
        let mut next_directory = 0;
        for (child, (path, node)) in (1_u64..).zip(tree) {
            while open.len() > path.depth() {
                if let Some((directory, bytes)) = open.pop() {
                    places.put(&mut starts[directory], &bytes)?;
                }
            }
            if let Some((directory, bytes)) = open.last_mut() {
                bytes.extend_from_slice(&(ROOT_INODE + child).to_le_bytes());
                let name = path.name();
                let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(name);
                if bytes.len() >= PENDING_BYTES {
                    places.put(&mut starts[*directory], bytes)?;
                    bytes.clear();
                }
            }
            if matches!(node, Node::Directory { .. }) {
                next_directory += 1;
                open.push((next_directory, Vec::new()));
            }
        }
        for (directory, bytes) in open {
            places.put(&mut starts[directory], &bytes)?;
        }
        places.finish()
    }

    fn put_inodes<W: Write + Seek>(
        &self,
        tree: &Tree,
        table: &mut Table<'_, '_, W>,
        mut first_block: impl FnMut(usize, u64) -> u64,
    ) -> Result<(), Error> {
        let mut first_child = 0;
        let mut directories = self.directories.iter().map(|directory| {
            let first = first_child;
            first_child += u64::from(directory.children);
            (MODE_DIRECTORY, first, u64::from(directory.children))
        });
        let mut directory = || directories.next().unwrap_or((MODE_DIRECTORY, 0, 0));
        put_inode(table, 0, directory())?;
        let mut symlink = 0;
        for (place, (_, node)) in (1..).zip(tree) {
            let fields = match node {
                Node::Directory { .. } => directory(),
                Node::File { size_bytes, .. } => {
                    (MODE_FILE, first_block(place - 1, size_bytes), size_bytes)
                }
                Node::Symlink { .. } => {
                    symlink += 1;
                    (MODE_SYMLINK, symlink - 1, 1)
                }
            };
            put_inode(table, place, fields)?;
        }
        Ok(())
    }
}

/// So much of an open directory waits to be written.
const PENDING_BYTES: usize = 64 << 10;

/// A table of this size is put together in memory.
const TABLE_BYTES: u64 = 4 << 20;

/// Parts of a table that do not come in order.
struct Scattered<'output, 'out, W> {
    output: &'output mut Output<'out, W>,
    start: u64,
    /// All of it, where that is not much.
    whole: Option<Vec<u8>>,
}

impl<'output, 'out, W: Write + Seek> Scattered<'output, 'out, W> {
    fn new(output: &'output mut Output<'out, W>, start: u64, bytes: u64) -> Self {
        let whole = (bytes <= TABLE_BYTES).then(|| vec![0; usize::try_from(bytes).unwrap_or(0)]);
        Self {
            output,
            start,
            whole,
        }
    }

    /// Puts bytes where the next ones go, and moves that on.
    fn put(&mut self, at: &mut u64, bytes: &[u8]) -> Result<(), Error> {
        let place = usize::try_from(*at).unwrap_or(usize::MAX);
        match &mut self.whole {
            Some(whole) => {
                if let Some(there) = whole.get_mut(place..place.saturating_add(bytes.len())) {
                    there.copy_from_slice(bytes);
                }
            }
            None if bytes.is_empty() => {}
            None => self.output.write_at(self.start + *at, bytes)?,
        }
        *at += bytes.len() as u64;
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        match self.whole {
            Some(whole) if !whole.is_empty() => self.output.write_at(self.start, &whole),
            _ => Ok(()),
        }
    }
}

/// Mode, data and count of an inode behind its number.
fn put_inode<W: Write + Seek>(
    table: &mut Table<'_, '_, W>,
    node: usize,
    (mode, data, count): (u64, u64, u64),
) -> Result<(), Error> {
    for field in [mode, ROOT_INODE + node as u64, data, count] {
        table.put(&field.to_le_bytes())?;
    }
    Ok(())
}

/// The directory that each node is in; the tree's order makes the ancestors of a node a stack.
#[derive(Default)]
struct Parents {
    open: Vec<usize>,
    count: usize,
}

impl Parents {
    fn of(&mut self, path: &GuestPath, node: &Node) -> usize {
        self.open.truncate(path.depth() - 1);
        let parent = self.open.last().copied().unwrap_or(0);
        if matches!(node, Node::Directory { .. }) {
            self.count += 1;
            self.open.push(self.count);
        }
        parent
    }
}

/// A length and the bytes; [`check_entry`] has seen that the length fits.
fn put_counted<W: Write + Seek>(table: &mut Table<'_, '_, W>, bytes: &[u8]) -> Result<(), Error> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    table.put(&length.to_le_bytes())?;
    table.put(bytes)
}
