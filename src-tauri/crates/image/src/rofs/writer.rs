//! From a tree to ROFS, in one pass: every size is known beforehand, so that the superblock comes
//! first, the files stream behind it and the tables end the image.

use std::io::{Seek, Write};

use super::{
    BLOCK_BYTES, ENTRY_HEADER_BYTES, FILE_BYTES_MAX, INODE_BYTES, MODE_DIRECTORY, MODE_FILE,
    MODE_SYMLINK, NAME_BYTES_MAX, ROOT_INODE, SYMLINK_HEADER_BYTES, Superblock, TARGET_BYTES_MAX,
};
use crate::content::{self, Piece};
use crate::output::{Output, Table};
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
        check_entry(path, node)?;
    }
    let layout = Layout::new(tree);
    let superblock = layout.superblock;
    let mut output = Output::new(out)?;
    let mut first_block = [0; 512];
    first_block[..Superblock::BYTES].copy_from_slice(&superblock.to_bytes());
    output.write_at(0, &first_block)?;
    content::copy(layout.pieces_of(0..layout.nodes.len()), &mut output, watch)?;
    let structure = superblock.structure_first_block * BLOCK_BYTES;
    let mut table = Table::new(&mut output, structure);
    layout.write_structure(&mut table)?;
    table.finish(structure, BLOCK_BYTES)?;
    let size_bytes = structure + superblock.structure_blocks * BLOCK_BYTES;
    output.finish(size_bytes)?;
    Ok(size_bytes)
}

/// Where everything goes. A node's place in the tree, counted from 1, stands for it; the root is 0.
pub(super) struct Layout<'tree> {
    pub(super) nodes: Vec<(&'tree GuestPath, &'tree Node)>,
    /// By place in `nodes`: the first block of a file. Anything else has a number here that means nothing.
    pub(super) first_blocks: Vec<u64>,
    /// By node: its children are `children[first_child[node]..first_child[node + 1]]`.
    first_child: Vec<u32>,
    /// The table of directory entries: for each directory in turn its children, sorted.
    children: Vec<u32>,
    pub(super) superblock: Superblock,
}

impl<'tree> Layout<'tree> {
    /// Puts the files one after the other, in the order of the tree, and the tables behind them.
    pub(super) fn new(tree: &'tree Tree) -> Self {
        let nodes: Vec<_> = tree.iter().collect();
        // A tree of more nodes does not fit into memory.
        let mut first_child = vec![0_u32; nodes.len() + 2];
        for parent in parents(&nodes) {
            first_child[parent + 1] += 1;
        }
        for node in 0..=nodes.len() {
            first_child[node + 1] += first_child[node];
        }
        let mut children = vec![0; nodes.len()];
        // While the table is filled, each counts up to where the next begins.
        for (place, parent) in (1..).zip(parents(&nodes)) {
            children[first_child[parent] as usize] = place;
            first_child[parent] += 1;
        }
        first_child.rotate_right(1);
        first_child[0] = 0;
        let mut blocks = 1_u64;
        let mut first_blocks = Vec::with_capacity(nodes.len());
        let mut structure_bytes = INODE_BYTES;
        let mut symlinks = 0;
        for (path, node) in &nodes {
            first_blocks.push(blocks);
            structure_bytes += ENTRY_HEADER_BYTES + path.name().len() as u64 + INODE_BYTES;
            match node {
                Node::Directory { .. } => {}
                Node::File { size_bytes, .. } => {
                    blocks = blocks.saturating_add(size_bytes.div_ceil(BLOCK_BYTES));
                }
                Node::Symlink { target } => {
                    symlinks += 1;
                    structure_bytes += SYMLINK_HEADER_BYTES + target.len() as u64;
                }
            }
        }
        let superblock = Superblock {
            structure_first_block: blocks,
            structure_blocks: structure_bytes.div_ceil(BLOCK_BYTES),
            directory_entries: nodes.len() as u64,
            symlinks,
            inodes: nodes.len() as u64 + 1,
        };
        Self {
            nodes,
            first_blocks,
            first_child,
            children,
            superblock,
        }
    }

    /// The files of some of the nodes, by their places.
    pub(super) fn pieces_of(
        &self,
        places: impl Iterator<Item = usize>,
    ) -> impl Iterator<Item = Piece<'tree>> {
        places.filter_map(|place| {
            let (path, node) = self.nodes[place];
            let Node::File {
                source, size_bytes, ..
            } = node
            else {
                return None;
            };
            Some(Piece {
                path,
                source,
                file_bytes: *size_bytes,
                from: 0,
                length: *size_bytes,
                at: self.first_blocks[place] * BLOCK_BYTES,
                // The rest of its last block.
                padding: size_bytes.next_multiple_of(BLOCK_BYTES) - size_bytes,
            })
        })
    }

    pub(super) fn write_structure<W: Write + Seek>(
        &self,
        table: &mut Table<'_, '_, W>,
    ) -> Result<(), Error> {
        for &child in &self.children {
            let name = self.nodes[child as usize - 1].0.name();
            table.put(&(ROOT_INODE + u64::from(child)).to_le_bytes())?;
            put_counted(table, name)?;
        }
        for (_, node) in &self.nodes {
            if let Node::Symlink { target } = node {
                put_counted(table, target)?;
            }
        }
        Self::put_inode(
            table,
            0,
            MODE_DIRECTORY,
            u64::from(self.first_child[0]),
            self.child_count(0),
        )?;
        let mut symlink = 0;
        for (place, (_, node)) in (1..).zip(&self.nodes) {
            let (mode, data, count) = match node {
                Node::Directory { .. } => (
                    MODE_DIRECTORY,
                    u64::from(self.first_child[place]),
                    self.child_count(place),
                ),
                Node::File { size_bytes, .. } => {
                    (MODE_FILE, self.first_blocks[place - 1], *size_bytes)
                }
                Node::Symlink { .. } => {
                    symlink += 1;
                    (MODE_SYMLINK, symlink - 1, 1)
                }
            };
            Self::put_inode(table, place, mode, data, count)?;
        }
        Ok(())
    }

    fn child_count(&self, node: usize) -> u64 {
        u64::from(self.first_child[node + 1] - self.first_child[node])
    }

    fn put_inode<W: Write + Seek>(
        table: &mut Table<'_, '_, W>,
        node: usize,
        mode: u64,
        data: u64,
        count: u64,
    ) -> Result<(), Error> {
        for field in [mode, ROOT_INODE + node as u64, data, count] {
            table.put(&field.to_le_bytes())?;
        }
        Ok(())
    }
}

/// The parent of each node; the tree's order makes the ancestors of a node a stack.
fn parents(nodes: &[(&GuestPath, &Node)]) -> impl Iterator<Item = usize> {
    let mut open: Vec<usize> = Vec::new();
    (1..).zip(nodes).map(move |(place, (path, _))| {
        open.truncate(path.depth() - 1);
        let parent = open.last().copied().unwrap_or(0);
        open.push(place);
        parent
    })
}

/// A length and the bytes; [`check_entry`] has seen that the length fits.
fn put_counted<W: Write + Seek>(table: &mut Table<'_, '_, W>, bytes: &[u8]) -> Result<(), Error> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    table.put(&length.to_le_bytes())?;
    table.put(bytes)
}
