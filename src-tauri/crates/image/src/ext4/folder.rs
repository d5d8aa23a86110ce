//! A directory's blocks.
//!
//! ```text
//!   few entries    one block:  .  ..  entries                         [checksum]
//!   many           block 0     .  ..  index: hash -> block            [checksum]
//!                  block 1 ..  entries, by the hash of their names    [checksum]
//!                  then        nodes of the index, where block 0 has too little room
//! ```

use mkext4::csum;
use mkext4::dirhash::{HashSeed, Signedness, half_md4};

use super::BLOCK;

/// A name, its inode and its kind.
pub(super) type Named<'a> = (&'a [u8], u32, u8);

pub(super) const KIND_FILE: u8 = 1;
pub(super) const KIND_DIRECTORY: u8 = 2;
pub(super) const KIND_SYMLINK: u8 = 7;

/// A checksum looks like an unused entry.
const TAIL_BYTES: usize = 12;
const TAIL_KIND: u8 = 0xDE;
const DOTS_BYTES: usize = 24;
const ROOT_ENTRIES_AT: usize = 0x20;
const NODE_ENTRIES_AT: usize = 8;
const INDEX_ENTRY_BYTES: usize = 8;
const HASH_HALF_MD4: u8 = 1;

/// What a directory's blocks depend on beside its entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) inode: u32,
    pub(super) parent: u32,
    pub(super) hash_seed: HashSeed,
    /// What its checksums start with, if there are any.
    pub(super) seed: Option<u32>,
}

impl Context {
    fn tail(self) -> usize {
        if self.seed.is_some() { TAIL_BYTES } else { 0 }
    }

    fn root_limit(self) -> usize {
        (BLOCK - ROOT_ENTRIES_AT) / INDEX_ENTRY_BYTES - usize::from(self.seed.is_some())
    }

    fn node_limit(self) -> usize {
        (BLOCK - NODE_ENTRIES_AT) / INDEX_ENTRY_BYTES - usize::from(self.seed.is_some())
    }
}

/// How many blocks a directory takes; `None` where it is too large for two levels.
pub(super) fn block_count(entries: &[Named<'_>], context: Context) -> Option<u64> {
    if fits_one(entries, context) {
        return Some(1);
    }
    let leaves = leaves(&hashed(entries, context), context).len();
    let nodes = if leaves > context.root_limit() {
        leaves.div_ceil(context.node_limit())
    } else {
        0
    };
    (nodes <= context.root_limit()).then_some((1 + leaves + nodes) as u64)
}

/// The blocks of a directory, and whether they have an index; `None` where it is too large for two levels.
pub(super) fn blocks(entries: &[Named<'_>], context: Context) -> Option<(Vec<Vec<u8>>, bool)> {
    if fits_one(entries, context) {
        let room = BLOCK - context.tail();
        let mut block = vec![0; BLOCK];
        put(&mut block, 0, context.inode, b".", KIND_DIRECTORY, 12);
        let rest = if entries.is_empty() { room - 12 } else { 12 };
        put(&mut block, 12, context.parent, b"..", KIND_DIRECTORY, rest);
        fill(&mut block, DOTS_BYTES, entries.iter(), context);
        return Some((vec![block], false));
    }
    indexed(entries, context).map(|blocks| (blocks, true))
}

/// A block with no entries.
pub(super) fn empty_block(context: Context) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    put_u16(&mut block, 4, BLOCK - context.tail());
    fill(&mut block, BLOCK - context.tail(), [].iter(), context);
    block
}

fn fits_one(entries: &[Named<'_>], context: Context) -> bool {
    let bytes: usize = entries.iter().map(|entry| record_bytes(entry.0)).sum();
    bytes + DOTS_BYTES <= BLOCK - context.tail()
}

/// The entries by the hash of their names.
fn hashed<'a, 'b>(entries: &'b [Named<'a>], context: Context) -> Vec<((u32, u32), &'b Named<'a>)> {
    let hash = |name: &[u8]| half_md4(&context.hash_seed, Signedness::Signed, name);
    let mut hashed: Vec<_> = entries.iter().map(|entry| (hash(entry.0), entry)).collect();
    hashed.sort_unstable();
    hashed
}

/// How many of them go into each leaf.
fn leaves(hashed: &[((u32, u32), &Named<'_>)], context: Context) -> Vec<usize> {
    let room = BLOCK - context.tail();
    let (mut leaves, mut used) = (Vec::new(), BLOCK);
    for (_, entry) in hashed {
        let bytes = record_bytes(entry.0);
        if used + bytes > room {
            leaves.push(0);
            used = 0;
        }
        used += bytes;
        if let Some(count) = leaves.last_mut() {
            *count += 1;
        }
    }
    leaves
}

fn indexed(entries: &[Named<'_>], context: Context) -> Option<Vec<Vec<u8>>> {
    let hashed = hashed(entries, context);
    let mut blocks = vec![Vec::new()];
    // The lowest hash of each leaf; its lowest bit says that the hash began in the leaf before.
    let mut index: Vec<(u32, u32)> = Vec::new();
    let mut start = 0;
    for count in leaves(&hashed, context) {
        let hash = hashed[start].0.0;
        let continues = start > 0 && hashed[start - 1].0.0 == hash;
        index.push((hash | u32::from(continues), number(blocks.len())));
        let part = &hashed[start..start + count];
        let mut block = vec![0; BLOCK];
        fill(&mut block, 0, part.iter().map(|(_, entry)| *entry), context);
        blocks.push(block);
        start += count;
    }
    let (root_limit, node_limit) = (context.root_limit(), context.node_limit());
    let has_nodes = index.len() > root_limit;
    if has_nodes {
        let leaves = std::mem::take(&mut index);
        for part in leaves.chunks(node_limit) {
            index.push((part[0].0, number(blocks.len())));
            let mut node = vec![0; BLOCK];
            put_u16(&mut node, 4, BLOCK);
            put_index(&mut node, NODE_ENTRIES_AT, node_limit, part, context);
            blocks.push(node);
        }
        if index.len() > root_limit {
            return None;
        }
    }
    let first = &mut blocks[0];
    first.resize(BLOCK, 0);
    put(first, 0, context.inode, b".", KIND_DIRECTORY, 12);
    put(first, 12, context.parent, b"..", KIND_DIRECTORY, BLOCK - 12);
    first[0x1C..0x1F].copy_from_slice(&[HASH_HALF_MD4, 8, u8::from(has_nodes)]);
    put_index(first, ROOT_ENTRIES_AT, root_limit, &index, context);
    Some(blocks)
}

/// Puts entries into a block; the last takes what is left of it.
fn fill<'a, 'b: 'a>(
    block: &mut [u8],
    mut at: usize,
    entries: impl ExactSizeIterator<Item = &'a Named<'b>>,
    context: Context,
) {
    let room = BLOCK - context.tail();
    let count = entries.len();
    for (place, (name, inode, kind)) in entries.enumerate() {
        let length = if place + 1 == count {
            room - at
        } else {
            record_bytes(name)
        };
        put(block, at, *inode, name, *kind, length);
        at += length;
    }
    if let Some(seed) = context.seed {
        put_u16(block, room + 4, TAIL_BYTES);
        block[room + 7] = TAIL_KIND;
        let sum = csum::dirent_block(seed, block);
        block[room + 8..].copy_from_slice(&sum.to_le_bytes());
    }
}

fn put_index(block: &mut [u8], at: usize, limit: usize, index: &[(u32, u32)], context: Context) {
    for (place, (hash, child)) in index.iter().enumerate() {
        let at = at + place * INDEX_ENTRY_BYTES;
        block[at..at + 4].copy_from_slice(&hash.to_le_bytes());
        block[at + 4..at + 8].copy_from_slice(&child.to_le_bytes());
    }
    // The first entry needs no hash; its place counts.
    put_u16(block, at, limit);
    put_u16(block, at + 2, index.len());
    if let Some(seed) = context.seed {
        let (count, limit) = (u16::try_from(index.len()), u16::try_from(limit));
        let sum = csum::dx_block(seed, block, at, count.unwrap_or(0), limit.unwrap_or(0));
        block[BLOCK - 4..].copy_from_slice(&sum.to_le_bytes());
    }
}

fn put(block: &mut [u8], at: usize, inode: u32, name: &[u8], kind: u8, length: usize) {
    block[at..at + 4].copy_from_slice(&inode.to_le_bytes());
    put_u16(block, at + 4, length);
    block[at + 6] = u8::try_from(name.len()).unwrap_or(u8::MAX);
    block[at + 7] = kind;
    block[at + 8..at + 8 + name.len()].copy_from_slice(name);
}

fn put_u16(block: &mut [u8], at: usize, value: usize) {
    let value = u16::try_from(value).unwrap_or(u16::MAX);
    block[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn record_bytes(name: &[u8]) -> usize {
    (8 + name.len()).next_multiple_of(4)
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
