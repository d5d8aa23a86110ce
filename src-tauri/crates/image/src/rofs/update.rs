//! ROFS made to hold another tree.
//!
//! ```text
//!   before   S | a a a | b | c c | D D            S superblock, D tables
//!   b grows  S | a a a | . | c c | D D | b b | E E
//!   after    S'| a a a | . | c c | . . | b b | E E
//!   a shrinks S'| a a . | F F ...                  the gaps are used first
//! ```
//!
//! Files that stay keep their blocks. What is changed or new goes into the first gap that takes it, or to the
//! end; so do the tables, which are made anew. With its superblock the file system turns from the old tree to
//! the new one: one sector.

use std::collections::{BTreeMap, HashSet};
use std::io::{Seek, SeekFrom, Write};

use super::writer::{Layout, piece};
use super::{BLOCK_BYTES, Reader, Superblock, check_entry};
use crate::content::{self, Piece};
use crate::disk::{SharedDisk, Stream};
use crate::output::Output;
use crate::tree::check_read;
use crate::update::{Changes, Patch, Updated};
use crate::{Entry, EntryKind, Error, GuestPath, Node, Tree, Watch};

/// A file system may waste so much without being looked at.
const WASTE_BLOCKS_FREE: u64 = (1 << 20) / BLOCK_BYTES;

/// Blocks that nothing of the old tree lies in.
#[derive(Debug)]
struct Gaps {
    /// Lengths by their first block.
    gaps: BTreeMap<u64, u64>,
    /// From here on all is free.
    end: u64,
}

impl Gaps {
    /// What lies between the used runs, of which there may be any number, in any order.
    fn between(mut used: Vec<(u64, u64)>) -> Self {
        used.sort_unstable();
        let (mut gaps, mut end) = (BTreeMap::new(), 0);
        for (first, blocks) in used {
            if first > end {
                gaps.insert(end, first - end);
            }
            end = end.max(first + blocks);
        }
        Self { gaps, end }
    }

    fn take(&mut self, blocks: u64) -> u64 {
        let found = self.gaps.iter().find(|&(_, &length)| length >= blocks);
        let Some((&first, &length)) = found else {
            let first = self.end;
            self.end += blocks;
            return first;
        };
        self.gaps.remove(&first);
        if length > blocks {
            self.gaps.insert(first + blocks, length - blocks);
        }
        first
    }
}

/// Makes the file system at `start` of the image, which is `old`, hold a tree, and returns how it went; places in the
/// patch count from `start`, and its size is that of the file system.
///
/// # Errors
/// [`Error::Limit`] before anything is written; the errors of [`Reader::open`] for a damaged file system; those of
/// [`write`](super::write).
pub fn update(
    old: SharedDisk,
    start: u64,
    tree: &Tree,
    changes: &Changes,
    out: &mut (impl Write + Seek),
    watch: &mut (impl Watch + ?Sized),
) -> Result<Updated, Error> {
    for path in &changes.put {
        if let Some(node) = tree.get(path) {
            check_entry(path, &node)?;
        }
    }
    let reader = Reader::open(Stream::new(old))?;
    let put: HashSet<&GuestPath> = changes.put.iter().collect();
    let mut layout = Layout::new(tree);
    let mut gaps = Gaps::between(used(&reader)?);

    let (mut first_blocks, mut pieces) = keep(&reader, tree, &put)?;
    for (place, piece) in &mut pieces {
        let first = gaps.take(piece.length.div_ceil(BLOCK_BYTES));
        piece.at = first * BLOCK_BYTES;
        first_blocks[*place] = first;
    }
    let structure_blocks = layout.superblock.structure_blocks;
    layout.superblock.structure_first_block = gaps.take(structure_blocks);
    let (used_blocks, end) = extent_of(tree, &layout, &first_blocks);
    let waste = end - used_blocks;
    if waste > WASTE_BLOCKS_FREE && waste > used_blocks / 2 {
        return Ok(Updated::rebuild(format!(
            "{} of {} bytes would be unused",
            waste * BLOCK_BYTES,
            end * BLOCK_BYTES
        )));
    }

    out.seek(SeekFrom::Start(start))
        .map_err(Error::write(start))?;
    let mut output = Output::used(out)?;
    pieces.sort_unstable_by_key(|(_, piece)| piece.at);
    let to_write = pieces.iter().map(|(_, piece)| piece.clone());
    content::copy(to_write, &mut output, watch)?;
    let structure = layout.superblock.structure_first_block * BLOCK_BYTES;
    layout.write_structure(tree, &mut output, |place, _| first_blocks[place])?;
    check_read(tree)?;

    let files = pieces.iter().map(|(_, piece)| (piece.at, piece.length));
    let mut patch = Patch {
        written: files.filter(|&(_, length)| length > 0).collect(),
        size_bytes: end * BLOCK_BYTES,
        ..Patch::default()
    };
    patch
        .written
        .push((structure, structure_blocks * BLOCK_BYTES));
    let mut first_block = vec![0; 512];
    first_block[..Superblock::BYTES].copy_from_slice(&layout.superblock.to_bytes());
    patch.writes.insert(0, first_block);
    Ok(Updated::Patch(patch))
}

/// All that the old tree refers to.
fn used(reader: &Reader<Stream>) -> Result<Vec<(u64, u64)>, Error> {
    let superblock = reader.superblock();
    let mut used = vec![
        (0, 1),
        (
            superblock.structure_first_block,
            superblock.structure_blocks,
        ),
    ];
    for entry in reader.walk() {
        if let Some((first, blocks)) = run_of(&entry?) {
            // Most files lie behind the one before them.
            match used.last_mut() {
                Some((start, length)) if *start + *length == first => *length += blocks,
                _ => used.push((first, blocks)),
            }
        }
    }
    Ok(used)
}

/// The first block of each node that is a file and stays, and the pieces that have to be written, with their places among
/// the nodes; where these go is not known yet.
#[expect(clippy::type_complexity, reason = "two lists that belong together")]
fn keep(
    reader: &Reader<Stream>,
    tree: &Tree,
    put: &HashSet<&GuestPath>,
) -> Result<(Vec<u64>, Vec<(usize, Piece)>), Error> {
    let mut old = reader.walk().peekable();
    let (mut first_blocks, mut to_write) = (vec![0; tree.len()], Vec::new());
    for (place, (path, node)) in tree.iter().enumerate() {
        let Node::File { size_bytes, .. } = node else {
            continue;
        };
        // Both are in the order of paths.
        while old
            .next_if(|entry| matches!(entry, Ok(entry) if entry.path < path))
            .is_some()
        {}
        let here = match old.peek() {
            Some(Err(_)) => {
                return Err(old
                    .next()
                    .and_then(Result::err)
                    .unwrap_or_else(Error::reader_died));
            }
            Some(Ok(entry)) if entry.path == path => Some(entry),
            _ => None,
        };
        let kept = here.and_then(|entry| match entry.kind {
            EntryKind::File {
                offset_bytes,
                size_bytes: old_bytes,
            } if old_bytes == size_bytes => Some(offset_bytes / BLOCK_BYTES),
            _ => None,
        });
        match kept {
            Some(first) if !put.contains(&path) => first_blocks[place] = first,
            _ => to_write.extend(piece(path, node, |_| 0).map(|piece| (place, piece))),
        }
    }
    Ok((first_blocks, to_write))
}

fn run_of(entry: &Entry) -> Option<(u64, u64)> {
    match entry.kind {
        EntryKind::File {
            offset_bytes,
            size_bytes,
        } if size_bytes > 0 => Some((offset_bytes / BLOCK_BYTES, size_bytes.div_ceil(BLOCK_BYTES))),
        _ => None,
    }
}

/// How many blocks are used, and where the last of them ends.
fn extent_of(tree: &Tree, layout: &Layout, first_blocks: &[u64]) -> (u64, u64) {
    let superblock = &layout.superblock;
    let structure_end = superblock.structure_first_block + superblock.structure_blocks;
    let (mut used, mut end) = (1 + superblock.structure_blocks, structure_end);
    for (&first, (_, node)) in first_blocks.iter().zip(tree) {
        let Node::File { size_bytes, .. } = node else {
            continue;
        };
        let blocks = size_bytes.div_ceil(BLOCK_BYTES);
        if blocks > 0 {
            used += blocks;
            end = end.max(first + blocks);
        }
    }
    (used, end)
}
