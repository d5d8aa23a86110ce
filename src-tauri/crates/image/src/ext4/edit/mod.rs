//! ext4 made to hold another tree, by an allocator of our own.
//!
//! ```text
//!   written at once, to free blocks        in the patch
//!     files that are new or changed          inodes, in their place
//!     directories that gained or lost        bitmaps, group descriptors
//!     extent trees                           superblock
//! ```
//!
//! What the old tree gives up is free for the next update, not for this one. Inodes keep their numbers, and what
//! does not change keeps its place. The UUID stays: it is the same file system.
//!
//! Only what our own writer made is edited: blocks of 4 KiB, extents, inodes of 256 bytes, with checksums of
//! metadata or without, and a journal that nothing has been written to. Anything else is built anew. The copies of
//! superblock and descriptors are left as they are, as Linux leaves them.

mod groups;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{Seek, SeekFrom, Write};

use mkext4::csum;

use super::folder::{KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK, Named};
use super::geometry::{INCOMPAT_64BIT, INCOMPAT_FILETYPE, RO_COMPAT_METADATA_CSUM};
use super::inode::Inode;
use super::layout::Needs;
use super::{
    BLOCK, BLOCK_BYTES, Ext4, Ext4Options, FLAG_EXTENTS, FLAG_INDEX, INODE_BYTES, LINKS_MAX,
    LOST_AND_FOUND, ROOT_INODE, SHORT_TARGET_BYTES, check_entry, folder, map, record,
};
use crate::content::{self, Piece};
use crate::disk::SharedDisk;
use crate::output::Output;
use crate::update::{Changes, Patch, Updated};
use crate::{Error, GuestPath, Node, Tree, Watch};
use groups::Groups;

const INCOMPAT_EXTENTS: u32 = 0x40;
const INCOMPAT_FLEX_BG: u32 = 0x200;
/// `sparse_super`, `large_file`, `huge_file`, `dir_nlink`, `extra_isize`, `metadata_csum`.
const RO_COMPAT_OURS: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | RO_COMPAT_METADATA_CSUM;
/// A fitted file system has at least twice as much free space.
const FREE_BYTES_MIN: u64 = 32 << 20;

/// Why an edit stops.
enum Stop {
    Rebuild(String),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn rebuild<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Rebuild(reason.into()))
}

/// Makes the file system at `start` of the image, which is `old`, hold a tree, and returns how it went; places in the
/// patch count from `start`, and its size is that of the file system.
///
/// # Errors
/// [`Error::Limit`] before anything is written; the errors of [`Ext4::open`] and of reading for a damaged file system;
/// those of [`write`](super::write).
pub fn update(
    old: SharedDisk,
    start: u64,
    tree: &Tree,
    changes: &Changes,
    options: &Ext4Options,
    out: &mut (impl Write + Seek),
    watch: &mut (impl Watch + ?Sized),
) -> Result<Updated, Error> {
    for path in &changes.put {
        if let Some(node) = tree.get(path) {
            check_entry(path, &node)?;
        }
    }
    match edited(old, tree, changes, options) {
        Err(Stop::Rebuild(reason)) => Ok(Updated::rebuild(reason)),
        Err(Stop::Error(error)) => Err(error),
        Ok(edited) => edited.write(start, out, watch).map(Updated::Patch),
    }
}

fn edited(
    old: SharedDisk,
    tree: &Tree,
    changes: &Changes,
    options: &Ext4Options,
) -> Result<Edited, Stop> {
    let fs = Ext4::open(old)?;
    let geometry = fs.geometry();
    let ours = INCOMPAT_FILETYPE | INCOMPAT_EXTENTS | INCOMPAT_FLEX_BG;
    let is_ours = geometry.block_bytes == BLOCK_BYTES
        && geometry.inode_bytes == INODE_BYTES
        && geometry.incompatible & INCOMPAT_64BIT == 0
        && geometry.incompatible == ours
        && geometry.read_only_compatible & !RO_COMPAT_OURS == 0;
    if !is_ours {
        return rebuild("the file system was made by others, or has been used");
    }
    check_size(&fs, tree, options)?;
    let groups = Groups::read(fs.disk(), geometry)?;
    let mut editor = Editor {
        fs,
        groups,
        tree,
        folders: BTreeMap::new(),
        inodes: BTreeMap::new(),
        pieces: Vec::new(),
        blocks: Vec::new(),
    };
    for path in changes.removed.iter().rev() {
        editor.remove(path)?;
    }
    for path in &changes.put {
        editor.put(path)?;
    }
    editor.finish(options)
}

fn check_size(fs: &Ext4, tree: &Tree, options: &Ext4Options) -> Result<(), Stop> {
    let size_bytes = fs.geometry().blocks * BLOCK_BYTES;
    match options.size_bytes {
        // The last groups of a given size may be too small to be used.
        Some(wanted) if wanted < size_bytes || wanted - size_bytes > size_bytes / 8 => rebuild(
            format!("it has {size_bytes} bytes, and is to have {wanted}"),
        ),
        None if size_bytes / 2 > Needs::of(tree).fitted_bytes(options) => {
            rebuild("its content takes less than half of it")
        }
        _ => Ok(()),
    }
}

/// Entries by name: inode and kind.
type Entries = BTreeMap<Vec<u8>, (u32, u8)>;

/// A directory whose entries are known.
struct Folder {
    inode: u32,
    mode: u32,
    parent: u32,
    entries: Entries,
    is_changed: bool,
}

struct Editor<'tree> {
    fs: Ext4,
    groups: Groups,
    tree: &'tree Tree,
    folders: BTreeMap<GuestPath, Folder>,
    /// Inodes to write by their number; zeros for those that are given up.
    inodes: BTreeMap<u32, Vec<u8>>,
    pieces: Vec<Piece>,
    /// Directories and extent trees, by their place.
    blocks: Vec<(u64, Vec<u8>)>,
}

/// What is to be written.
struct Edited {
    pieces: Vec<Piece>,
    blocks: Vec<(u64, Vec<u8>)>,
    patch: Patch,
}

impl Editor<'_> {
    fn folder(&mut self, path: &GuestPath) -> Result<&mut Folder, Stop> {
        if !self.folders.contains_key(path) {
            let inode = self.fs.find_inode(path)?;
            if !inode.is_directory() {
                return Err(Error::NotFound { path: path.clone() }.into());
            }
            let entries = self.fs.entries(&inode)?;
            let entries = entries
                .into_iter()
                .map(|entry| (entry.name, (entry.inode, entry.kind)));
            let parent = match path.parent() {
                Some(parent) => self.folder(&parent)?.inode,
                None => ROOT_INODE,
            };
            let folder = Folder {
                inode: inode.number,
                mode: u32::from(inode.mode & 0o7777),
                parent,
                entries: entries.collect(),
                is_changed: false,
            };
            self.folders.insert(path.clone(), folder);
        }
        self.folders
            .get_mut(path)
            .ok_or_else(|| Error::NotFound { path: path.clone() }.into())
    }

    fn parent(&mut self, path: &GuestPath) -> Result<&mut Folder, Stop> {
        self.folder(&path.parent().unwrap_or_default())
    }

    fn remove(&mut self, path: &GuestPath) -> Result<(), Stop> {
        let Some((inode, kind)) = self.parent(path)?.entries.get(path.name()).copied() else {
            return rebuild(format!("{path} is not in it"));
        };
        let is_directory = kind == KIND_DIRECTORY;
        if is_directory && !self.folder(path)?.entries.is_empty() {
            return rebuild(format!("{path} is not empty"));
        }
        self.give_up(inode)?;
        self.groups
            .free_inode(self.fs.disk(), inode, is_directory)?;
        self.inodes.insert(inode, vec![0; INODE_BYTES]);
        self.folders.remove(path);
        let parent = self.parent(path)?;
        parent.entries.remove(path.name());
        parent.is_changed = true;
        Ok(())
    }

    /// Gives up the blocks of an inode.
    fn give_up(&mut self, inode: u32) -> Result<Inode, Stop> {
        let inode = self.fs.inode(inode)?;
        if inode.links > 1 && !inode.is_directory() {
            return rebuild(format!("inode {} has several names", inode.number));
        }
        for (start, blocks) in map::runs(self.fs.disk(), self.fs.geometry(), &inode)? {
            self.groups.free_blocks_later(start, blocks);
        }
        Ok(inode)
    }

    fn put(&mut self, path: &GuestPath) -> Result<(), Stop> {
        let tree = self.tree;
        let Some(node) = tree.get(path) else {
            return rebuild(format!("{path} is not in the new tree"));
        };
        if path.as_bytes() == LOST_AND_FOUND {
            return Ok(());
        }
        let kind = match node {
            Node::Directory { .. } => KIND_DIRECTORY,
            Node::File { .. } => KIND_FILE,
            Node::Symlink { .. } => KIND_SYMLINK,
        };
        let mut there = self.parent(path)?.entries.get(path.name()).copied();
        if there.is_some_and(|(_, old)| old != kind) {
            self.remove(path)?;
            there = None;
        }
        let inode = match there {
            Some((inode, _)) => {
                if kind != KIND_DIRECTORY {
                    self.give_up(inode)?;
                }
                inode
            }
            None => self.add(path, kind)?,
        };
        match node {
            Node::Directory { mode } => {
                let folder = self.folder(path)?;
                folder.is_changed |= folder.mode != mode;
                folder.mode = mode;
                Ok(())
            }
            Node::File {
                source,
                size_bytes,
                mode,
            } => {
                let runs = self.take(size_bytes)?;
                let mut from = 0;
                for &(start, blocks) in &runs {
                    let length = (blocks * BLOCK_BYTES).min(size_bytes - from);
                    self.pieces.push(Piece {
                        path: path.clone(),
                        source: source.clone(),
                        file_bytes: size_bytes,
                        from,
                        length,
                        at: start * BLOCK_BYTES,
                        padding: blocks * BLOCK_BYTES - length,
                    });
                    from += length;
                }
                let mode = 0o10 << 12 | mode & 0o7777;
                self.map(inode, mode, size_bytes, 1, FLAG_EXTENTS, &runs)
            }
            Node::Symlink { target } => {
                let (mode, size_bytes) = (0o12 << 12 | 0o777, target.len() as u64);
                if target.len() <= SHORT_TARGET_BYTES {
                    let mut map = [0; 60];
                    map[..target.len()].copy_from_slice(&target);
                    self.set_inode(inode, mode, size_bytes, 1, 0, map, 0);
                    return Ok(());
                }
                let runs = self.take(size_bytes)?;
                let mut block = target.clone();
                block.resize(BLOCK, 0);
                self.blocks.extend(
                    runs.iter()
                        .map(|&(start, _)| (start * BLOCK_BYTES, block.clone())),
                );
                self.map(inode, mode, size_bytes, 1, FLAG_EXTENTS, &runs)
            }
        }
    }

    /// Adds a name to its directory, with an inode of its own.
    fn add(&mut self, path: &GuestPath, kind: u8) -> Result<u32, Stop> {
        let is_directory = kind == KIND_DIRECTORY;
        let parent = self.parent(path)?.inode;
        let Some(inode) = self
            .groups
            .take_inode(self.fs.disk(), parent, is_directory)?
        else {
            return rebuild("its inodes are all taken");
        };
        let folder = self.parent(path)?;
        folder.entries.insert(path.name().to_vec(), (inode, kind));
        folder.is_changed = true;
        if is_directory {
            let folder = Folder {
                inode,
                mode: 0o755,
                parent,
                entries: Entries::new(),
                is_changed: true,
            };
            self.folders.insert(path.clone(), folder);
        }
        Ok(inode)
    }

    fn take(&mut self, size_bytes: u64) -> Result<Vec<(u64, u64)>, Stop> {
        let blocks = size_bytes.div_ceil(BLOCK_BYTES);
        match self.groups.take_blocks(self.fs.disk(), blocks)? {
            Some(runs) => Ok(runs),
            None => rebuild("it has too little free space"),
        }
    }

    /// Gives an inode these blocks, with a tree where they need one.
    fn map(
        &mut self,
        inode: u32,
        mode: u32,
        size_bytes: u64,
        links: usize,
        flags: u32,
        runs: &[(u64, u64)],
    ) -> Result<(), Stop> {
        let extents = map::extents(runs);
        let tree_blocks = map::tree_blocks(extents.len());
        let leaves: Vec<u64> = self
            .take(tree_blocks * BLOCK_BYTES)?
            .into_iter()
            .flat_map(|(start, blocks)| start..start + blocks)
            .collect();
        let seed = self
            .groups
            .seed()
            .map(|seed| csum::inode_seed(seed, inode, 0));
        let (root, blocks) = map::tree(&extents, &leaves, seed);
        self.blocks.extend(blocks);
        let blocks = runs.iter().map(|(_, blocks)| blocks).sum::<u64>() + tree_blocks;
        self.set_inode(inode, mode, size_bytes, links, flags, root, blocks);
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "these are the fields of an inode"
    )]
    fn set_inode(
        &mut self,
        number: u32,
        mode: u32,
        size_bytes: u64,
        links: usize,
        flags: u32,
        map: [u8; 60],
        blocks: u64,
    ) {
        let fields = record::Fields {
            mode,
            size_bytes,
            links,
            blocks,
            flags,
            map,
        };
        let bytes = record::inode(number, fields, self.groups.seed()).to_vec();
        self.inodes.insert(number, bytes);
    }

    /// Makes the directories that changed anew.
    fn write_folders(&mut self) -> Result<(), Stop> {
        let hash_seed = self.groups.hash_seed();
        for folder in std::mem::take(&mut self.folders).into_values() {
            if !folder.is_changed {
                continue;
            }
            let seed = self
                .groups
                .seed()
                .map(|seed| csum::inode_seed(seed, folder.inode, 0));
            let context = folder::Context {
                inode: folder.inode,
                parent: folder.parent,
                hash_seed,
                seed,
            };
            let entries = folder.entries.iter();
            let entries: Vec<Named<'_>> = entries
                .map(|(name, (inode, kind))| (name.as_slice(), *inode, *kind))
                .collect();
            let Some((blocks, is_indexed)) = folder::blocks(&entries, context) else {
                return rebuild("a directory is too large");
            };
            // One that is new has nothing to give up.
            if self
                .fs
                .inode(folder.inode)
                .is_ok_and(|old| old.is_directory())
                && !self.inodes.contains_key(&folder.inode)
            {
                self.give_up(folder.inode)?;
            }
            let size_bytes = blocks.len() as u64 * BLOCK_BYTES;
            let runs = self.take(size_bytes)?;
            let places = runs.iter().flat_map(|&(start, count)| start..start + count);
            self.blocks
                .extend(places.map(|block| block * BLOCK_BYTES).zip(blocks));
            let is_directory = |(_, kind): &&(u32, u8)| *kind == KIND_DIRECTORY;
            let links = 2 + folder.entries.values().filter(is_directory).count();
            let links = if links > LINKS_MAX { 1 } else { links };
            let flags = FLAG_EXTENTS | if is_indexed { FLAG_INDEX } else { 0 };
            let mode = 0o04 << 12 | folder.mode & 0o7777;
            self.map(folder.inode, mode, size_bytes, links, flags, &runs)?;
        }
        Ok(())
    }

    fn finish(mut self, options: &Ext4Options) -> Result<Edited, Stop> {
        self.write_folders()?;
        let is_fitted = options.size_bytes.is_none();
        let keep_free = options
            .headroom_bytes
            .map_or(FREE_BYTES_MIN, |headroom| headroom / 2);
        if is_fitted && self.groups.free_blocks() * BLOCK_BYTES < keep_free {
            return rebuild("it would have little free space left");
        }
        let size_bytes = self.fs.disk().size_bytes();
        let mut patch = Patch {
            size_bytes,
            ..Patch::default()
        };
        // Inodes lie side by side, and are written with the rest of their block.
        for (number, bytes) in &self.inodes {
            let at = self.fs.geometry().inode_offset(self.fs.disk(), *number)?;
            let start = at - at % BLOCK_BYTES;
            let within = usize::try_from(at - start).unwrap_or(0);
            let block = match patch.writes.entry(start) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => {
                    let mut block = vec![0; BLOCK];
                    self.fs.disk().read_at(start, &mut block)?;
                    place.insert(block)
                }
            };
            block[within..within + INODE_BYTES].copy_from_slice(bytes);
        }
        patch.writes.extend(self.groups.finish(self.fs.disk())?);
        Ok(Edited {
            pieces: self.pieces,
            blocks: self.blocks,
            patch,
        })
    }
}

impl Edited {
    fn write(
        mut self,
        start: u64,
        out: &mut (impl Write + Seek),
        watch: &mut (impl Watch + ?Sized),
    ) -> Result<Patch, Error> {
        out.seek(SeekFrom::Start(start))
            .map_err(Error::write(start))?;
        let mut output = Output::used(out)?;
        self.pieces.sort_unstable_by_key(|piece| piece.at);
        content::copy(self.pieces.iter().cloned(), &mut output, watch)?;
        self.blocks.sort_unstable_by_key(|(at, _)| *at);
        for (at, block) in &self.blocks {
            output.write_at(*at, block)?;
        }
        let pieces = self
            .pieces
            .iter()
            .map(|piece| (piece.at, piece.length + piece.padding));
        let blocks = self
            .blocks
            .iter()
            .map(|(at, block)| (*at, block.len() as u64));
        self.patch.written = pieces.chain(blocks).collect();
        Ok(self.patch)
    }
}
