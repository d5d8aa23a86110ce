//! The tree as inodes and directories, in one pass and in its order.
//!
//! A node's place in the tree is its inode's number, and files lie one behind the other in the same order, so that nothing
//! has to be remembered of a file: its inode is made when it comes by. A directory is made when the tree has left it; until
//! then its entries are kept, and those of the directories that it is in.
//!
//! ```text
//!   | books, journal, lost+found | files in the order of the tree ... | directories, trees of extents, long targets ... | free
//!                                 data ->                              tail ->
//! ```
//!
//! The same walk is made twice: dry, to know whether everything has room before a byte is written, and then to write.

use std::io::{Seek, Write};

use mkext4::csum;

use super::folder::{self, Context, KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK, Named};
use super::inode::MAP_BYTES;
use super::layout::Plan;
use super::places::{Run, Space};
use super::record::{self, Fields, TYPE_DIRECTORY, TYPE_FILE, TYPE_SYMLINK};
use super::{
    BLOCK, BLOCK_BYTES, FLAG_EXTENTS, FLAG_INDEX, INODE_BYTES, JOURNAL_INODE, LINKS_MAX,
    LOST_AND_FOUND, LOST_AND_FOUND_BLOCKS, LOST_AND_FOUND_INODE, ROOT_INODE, SHORT_TARGET_BYTES,
};
use crate::output::Output;
use crate::{Error, Node};

/// Small records are put together to writes of this size.
const PENDING_BYTES: usize = 256 << 10;

/// Where the walk writes to.
pub(super) trait Sink {
    /// Whether nothing is written, and need not be made.
    const IS_DRY: bool;

    /// An inode; they come in their order, or again when more is known of them.
    fn inode(&mut self, number: u32, bytes: &[u8; INODE_BYTES]) -> Result<(), Error>;

    /// A block of metadata.
    fn block(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error>;
}

impl<S: Sink> Sink for &mut S {
    const IS_DRY: bool = S::IS_DRY;

    fn inode(&mut self, number: u32, bytes: &[u8; INODE_BYTES]) -> Result<(), Error> {
        (**self).inode(number, bytes)
    }

    fn block(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        (**self).block(at, bytes)
    }
}

/// The sink of a dry walk.
pub(super) struct Nowhere;

impl Sink for Nowhere {
    const IS_DRY: bool = true;

    fn inode(&mut self, _number: u32, _bytes: &[u8; INODE_BYTES]) -> Result<(), Error> {
        Ok(())
    }

    fn block(&mut self, _at: u64, _bytes: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

/// Writes inodes and blocks, neighbours together.
pub(super) struct Pen<'a, 'out, W> {
    output: &'a mut Output<'out, W>,
    plan: &'a Plan<'a>,
    inodes: Pending,
    blocks: Pending,
    next_inode: u32,
}

/// Bytes that are not written yet, and where they go.
#[derive(Default)]
struct Pending {
    at: u64,
    bytes: Vec<u8>,
}

impl Pending {
    fn put<W: Write + Seek>(
        &mut self,
        output: &mut Output<'_, W>,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let follows = self.at + self.bytes.len() as u64 == at;
        if !follows || self.bytes.len() >= PENDING_BYTES {
            self.flush(output)?;
            self.at = at;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Changes what is not written yet; `false` where it is.
    fn change(&mut self, at: u64, bytes: &[u8]) -> bool {
        let place = at.checked_sub(self.at).map(usize::try_from);
        let Some(Ok(from)) = place else {
            return false;
        };
        match self.bytes.get_mut(from..from + bytes.len()) {
            Some(there) => {
                there.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    fn flush<W: Write + Seek>(&mut self, output: &mut Output<'_, W>) -> Result<(), Error> {
        if !self.bytes.is_empty() {
            output.write_at(self.at, &self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }
}

impl<'a, 'out, W: Write + Seek> Pen<'a, 'out, W> {
    pub(super) fn new(plan: &'a Plan<'a>, output: &'a mut Output<'out, W>) -> Self {
        Self {
            output,
            plan,
            inodes: Pending::default(),
            blocks: Pending::default(),
            next_inode: 1,
        }
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.inodes.flush(self.output)?;
        self.blocks.flush(self.output)
    }
}

impl<W: Write + Seek> Sink for Pen<'_, '_, W> {
    const IS_DRY: bool = false;

    fn inode(&mut self, number: u32, bytes: &[u8; INODE_BYTES]) -> Result<(), Error> {
        let at = self.plan.places.inode_offset(number);
        if number == self.next_inode {
            self.next_inode += 1;
            return self.inodes.put(self.output, at, bytes);
        }
        if self.inodes.change(at, bytes) {
            return Ok(());
        }
        self.output.write_at(at, bytes)
    }

    fn block(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        self.blocks.put(self.output, at, bytes)
    }
}

/// What a walk leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walked {
    /// Where content ends.
    pub(super) end: u64,
    /// How many directories are in each group.
    pub(super) directories: Vec<u32>,
    /// The map of the journal's inode, of which the superblock has a copy.
    pub(super) journal_map: [u8; MAP_BYTES],
}

/// A directory that the walk is in.
struct Open {
    inode: u32,
    parent: u32,
    mode: u32,
    directories: usize,
    /// The names, one behind the other, and for each where it ends, its inode and its kind.
    names: Vec<u8>,
    entries: Vec<(usize, u32, u8)>,
}

impl Open {
    fn new(inode: u32, parent: u32, mode: u32) -> Self {
        Self {
            inode,
            parent,
            mode,
            directories: 0,
            names: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn add(&mut self, name: &[u8], inode: u32, kind: u8) {
        self.names.extend_from_slice(name);
        self.entries.push((self.names.len(), inode, kind));
        self.directories += usize::from(kind == KIND_DIRECTORY);
    }

    fn named(&self) -> Vec<Named<'_>> {
        let mut start = 0;
        let named = |&(end, inode, kind): &(usize, u32, u8)| {
            let name = self.names.get(start..end).unwrap_or_default();
            start = end;
            (name, inode, kind)
        };
        self.entries.iter().map(named).collect()
    }
}

struct Walk<'plan, S> {
    plan: &'plan Plan<'plan>,
    sink: S,
    data: Space<'plan>,
    tail: Space<'plan>,
    directories: Vec<u32>,
    journal_map: [u8; MAP_BYTES],
}

/// Walks; `None` where there is too little room.
pub(super) fn walk<'plan>(
    plan: &'plan Plan<'plan>,
    sink: impl Sink,
) -> Result<Option<Walked>, Error> {
    let mut walk = Walk {
        plan,
        sink,
        data: plan.data(),
        tail: plan.tail(),
        directories: vec![0; plan.places.books.len()],
        journal_map: [0; MAP_BYTES],
    };
    let Some(()) = walk.run()? else {
        return Ok(None);
    };
    Ok(Some(Walked {
        end: walk.tail.end(),
        directories: walk.directories,
        journal_map: walk.journal_map,
    }))
}

/// Room that is there, or the end of the walk.
macro_rules! room {
    ($found:expr) => {
        match $found {
            Some(found) => found,
            None => return Ok(None),
        }
    };
}

impl<S: Sink> Walk<'_, S> {
    fn run(&mut self) -> Result<Option<()>, Error> {
        room!(self.own_inodes()?);
        let mut next = LOST_AND_FOUND_INODE;
        let mut root = Open::new(ROOT_INODE, ROOT_INODE, self.plan.tree.root_mode());
        root.add(LOST_AND_FOUND, LOST_AND_FOUND_INODE, KIND_DIRECTORY);
        let mut open = vec![root];
        for (path, node) in self.plan.tree {
            if path.as_bytes() == LOST_AND_FOUND {
                continue;
            }
            while open.len() > path.depth() {
                room!(self.close(open.pop())?);
            }
            next += 1;
            let kind = match node {
                Node::Directory { .. } => KIND_DIRECTORY,
                Node::File { .. } => KIND_FILE,
                Node::Symlink { .. } => KIND_SYMLINK,
            };
            let mut parent = ROOT_INODE;
            if let Some(folder) = open.last_mut() {
                parent = folder.inode;
                folder.add(path.name(), next, kind);
            }
            match node {
                Node::Directory { mode } => {
                    // Its place is kept; it is known when the walk leaves it.
                    self.sink.inode(next, &[0; INODE_BYTES])?;
                    open.push(Open::new(next, parent, mode));
                }
                Node::File {
                    size_bytes, mode, ..
                } => {
                    let runs = room!(self.data.runs(size_bytes.div_ceil(BLOCK_BYTES)));
                    let mode = TYPE_FILE | mode & 0o7777;
                    room!(self.mapped(next, mode, size_bytes, 1, FLAG_EXTENTS, &runs)?);
                }
                Node::Symlink { target } => room!(self.symlink(next, &target)?),
            }
        }
        while let Some(folder) = open.pop() {
            room!(self.close(Some(folder))?);
        }
        Ok(Some(()))
    }

    /// The inodes that every ext4 has.
    fn own_inodes(&mut self) -> Result<Option<()>, Error> {
        let seed = self.plan.seed;
        for number in 1..LOST_AND_FOUND_INODE {
            if number == JOURNAL_INODE && !self.plan.journal.is_empty() {
                let runs = &self.plan.journal;
                let blocks: u64 = runs.iter().map(|(_, length)| length).sum();
                let mode = TYPE_FILE | 0o600;
                let size_bytes = blocks * BLOCK_BYTES;
                room!(self.mapped(number, mode, size_bytes, 1, FLAG_EXTENTS, runs)?);
                continue;
            }
            self.sink
                .inode(number, &record::unused_inode(number, seed))?;
        }
        let context = self.context(LOST_AND_FOUND_INODE, ROOT_INODE);
        let runs = &self.plan.lost_and_found;
        if !S::IS_DRY {
            let first = folder::blocks(&[], context).map(|(blocks, _)| blocks);
            let rest = std::iter::repeat_with(|| folder::empty_block(context));
            let blocks = first.into_iter().flatten().chain(rest);
            for (place, block) in places(runs).zip(blocks) {
                self.sink.block(place * BLOCK_BYTES, &block)?;
            }
        }
        self.count_directory(LOST_AND_FOUND_INODE);
        let size_bytes = LOST_AND_FOUND_BLOCKS * BLOCK_BYTES;
        let mode = TYPE_DIRECTORY | 0o700;
        self.mapped(
            LOST_AND_FOUND_INODE,
            mode,
            size_bytes,
            2,
            FLAG_EXTENTS,
            runs,
        )
    }

    fn context(&self, inode: u32, parent: u32) -> Context {
        Context {
            inode,
            parent,
            hash_seed: self.plan.hash_seed,
            seed: self.inode_seed(inode),
        }
    }

    fn inode_seed(&self, inode: u32) -> Option<u32> {
        self.plan.seed.map(|seed| csum::inode_seed(seed, inode, 0))
    }

    fn count_directory(&mut self, inode: u32) {
        let group = u64::from(inode - 1) / self.plan.places.inodes_per_group;
        let group = usize::try_from(group).unwrap_or(usize::MAX);
        if let Some(count) = self.directories.get_mut(group) {
            *count += 1;
        }
    }

    /// Makes a directory that is complete.
    fn close(&mut self, folder: Option<Open>) -> Result<Option<()>, Error> {
        let Some(folder) = folder else {
            return Ok(Some(()));
        };
        let context = self.context(folder.inode, folder.parent);
        let too_large = || Error::Ext4 {
            source: format!(
                "a directory of {} entries is too large",
                folder.entries.len()
            )
            .into(),
        };
        let entries = folder.named();
        let count = folder::block_count(&entries, context).ok_or_else(too_large)?;
        let runs = room!(self.tail.runs(count));
        let mut flags = FLAG_EXTENTS;
        if !S::IS_DRY {
            let made = folder::blocks(&entries, context);
            let (blocks, is_indexed) = made.ok_or_else(too_large)?;
            for (place, block) in places(&runs).zip(&blocks) {
                self.sink.block(place * BLOCK_BYTES, block)?;
            }
            flags |= if is_indexed { FLAG_INDEX } else { 0 };
        }
        self.count_directory(folder.inode);
        let links = 2 + folder.directories;
        let links = if links > LINKS_MAX { 1 } else { links };
        let mode = TYPE_DIRECTORY | folder.mode & 0o7777;
        let size_bytes = count * BLOCK_BYTES;
        self.mapped(folder.inode, mode, size_bytes, links, flags, &runs)
    }

    fn symlink(&mut self, number: u32, target: &[u8]) -> Result<Option<()>, Error> {
        let (mode, size_bytes) = (TYPE_SYMLINK | 0o777, target.len() as u64);
        if target.len() <= SHORT_TARGET_BYTES {
            let mut map = [0; MAP_BYTES];
            map[..target.len()].copy_from_slice(target);
            let fields = Fields {
                mode,
                size_bytes,
                links: 1,
                blocks: 0,
                flags: 0,
                map,
            };
            let inode = record::inode(number, fields, self.plan.seed);
            return self.sink.inode(number, &inode).map(Some);
        }
        let runs = room!(self.tail.runs(1));
        let mut block = target.to_vec();
        block.resize(BLOCK, 0);
        for place in places(&runs) {
            self.sink.block(place * BLOCK_BYTES, &block)?;
        }
        self.mapped(number, mode, size_bytes, 1, FLAG_EXTENTS, &runs)
    }

    /// Makes an inode that has blocks, with a tree of extents where they are in many places.
    fn mapped(
        &mut self,
        number: u32,
        mode: u32,
        size_bytes: u64,
        links: usize,
        flags: u32,
        runs: &[Run],
    ) -> Result<Option<()>, Error> {
        let extents = super::map::extents(runs);
        let tree_blocks = super::map::tree_blocks(extents.len());
        let nodes: Vec<u64> = places(&room!(self.tail.runs(tree_blocks))).collect();
        if S::IS_DRY {
            return Ok(Some(()));
        }
        let (map, blocks) = super::map::tree(&extents, &nodes, self.inode_seed(number));
        for (at, block) in blocks {
            self.sink.block(at, &block)?;
        }
        if number == JOURNAL_INODE {
            self.journal_map = map;
        }
        let content: u64 = runs.iter().map(|(_, length)| length).sum();
        let fields = Fields {
            mode,
            size_bytes,
            links,
            blocks: content + tree_blocks,
            flags,
            map,
        };
        let inode = record::inode(number, fields, self.plan.seed);
        self.sink.inode(number, &inode).map(Some)
    }
}

/// Every block of some runs.
fn places(runs: &[Run]) -> impl Iterator<Item = u64> {
    runs.iter()
        .flat_map(|&(start, length)| start..start + length)
}
