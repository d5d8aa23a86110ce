//! Extent trees, made and taken apart.

use mkext4::csum;
use mkext4::spec::{Extent, ExtentHeader, ExtentIdx};

use super::{BLOCK, BLOCK_BYTES};
use crate::Error;
use crate::disk::{ReadAt, le_u16, le_u32};
use crate::ext4::Geometry;
use crate::ext4::inode::{Inode, MAP_BYTES};

/// What an inode holds by itself.
const ROOT_ENTRIES: usize = 4;
const EXTENT_BLOCKS_MAX: u64 = 32_768;
const DEPTH_MAX: u16 = 5;
const CHECKSUM_BYTES: usize = 4;
/// An extent, or an index of them.
const ENTRY_BYTES: usize = 12;

/// Runs of blocks as extents, cut to the length that one can have.
pub(super) fn extents(runs: &[(u64, u64)]) -> Vec<Extent> {
    let mut extents = Vec::new();
    let mut logical = 0;
    for &(start, blocks) in runs {
        let mut done = 0;
        while done < blocks {
            let length = (blocks - done).min(EXTENT_BLOCKS_MAX);
            extents.push(Extent {
                logical,
                raw_len: u16::try_from(length).unwrap_or(0),
                start: start + done,
            });
            logical += u32::try_from(length).unwrap_or(0);
            done += length;
        }
    }
    extents
}

/// How many blocks an extent tree takes beside its inode.
pub(super) fn tree_blocks(extents: usize) -> u64 {
    let (mut nodes, mut blocks) = (extents, 0);
    while nodes > ROOT_ENTRIES {
        nodes = nodes.div_ceil(ExtentIdx::node_capacity(BLOCK));
        blocks += nodes as u64;
    }
    blocks
}

/// The map that the inode holds, and the blocks of the tree, which lie in `places`.
pub(super) fn tree(
    extents: &[Extent],
    places: &[u64],
    inode_seed: Option<u32>,
) -> ([u8; MAP_BYTES], Vec<(u64, Vec<u8>)>) {
    let mut places = places.iter();
    let mut blocks = Vec::new();
    let mut depth = 0;
    // The entries of the level that is being made; each starts with its first block in the file.
    let mut level: Vec<[u8; ENTRY_BYTES]> = extents
        .iter()
        .map(|extent| {
            let mut entry = [0; ENTRY_BYTES];
            extent.encode(&mut entry);
            entry
        })
        .collect();
    while level.len() > ROOT_ENTRIES {
        let capacity = ExtentIdx::node_capacity(BLOCK);
        let nodes = std::mem::take(&mut level);
        for (part, &leaf) in nodes.chunks(capacity).zip(&mut places) {
            let mut block = vec![0; BLOCK];
            put_node(&mut block, part, capacity, depth);
            if let Some(seed) = inode_seed {
                let sum = csum::extent_block(seed, &block);
                block[BLOCK - CHECKSUM_BYTES..].copy_from_slice(&sum.to_le_bytes());
            }
            blocks.push((leaf * BLOCK_BYTES, block));
            let mut entry = [0; ENTRY_BYTES];
            let logical = part.first().map_or(0, |first| le_u32(first, 0));
            ExtentIdx { logical, leaf }.encode(&mut entry);
            level.push(entry);
        }
        depth += 1;
    }
    let mut root = [0; MAP_BYTES];
    put_node(&mut root, &level, ROOT_ENTRIES, depth);
    (root, blocks)
}

fn put_node(node: &mut [u8], entries: &[[u8; ENTRY_BYTES]], max: usize, depth: u16) {
    put_header(node, entries.len(), max, depth);
    for (place, entry) in node[ENTRY_BYTES..]
        .chunks_exact_mut(ENTRY_BYTES)
        .zip(entries)
    {
        place.copy_from_slice(entry);
    }
}

fn put_header(node: &mut [u8], entries: usize, max: usize, depth: u16) {
    let header = ExtentHeader {
        entries: u16::try_from(entries).unwrap_or(u16::MAX),
        max: u16::try_from(max).unwrap_or(u16::MAX),
        depth,
        generation: 0,
    };
    header.encode(node);
}

/// Every run of blocks that an inode has: of its content, and of its tree.
pub(super) fn runs(
    disk: &dyn ReadAt,
    geometry: &Geometry,
    inode: &Inode,
) -> Result<Vec<(u64, u64)>, Error> {
    let mut runs = Vec::new();
    if inode.has_extents() {
        collect(disk, geometry, &inode.map, inode.at, DEPTH_MAX, &mut runs)?;
    }
    Ok(runs)
}

fn collect(
    disk: &dyn ReadAt,
    geometry: &Geometry,
    node: &[u8],
    at: u64,
    levels: u16,
    runs: &mut Vec<(u64, u64)>,
) -> Result<(), Error> {
    const NODE: &str = "ext4 extent tree";
    let (magic, count, depth) = (
        le_u16(node, 0),
        usize::from(le_u16(node, 2)),
        le_u16(node, 6),
    );
    if magic != 0xF30A || count > (node.len() - 12) / 12 || depth > levels {
        let found = format!("{magic:#06x}, {count} entries, depth {depth}");
        return Err(Error::corrupt(NODE, at, "a node", found));
    }
    for entry in node[12..].chunks_exact(12).take(count) {
        if depth == 0 {
            let extent = Extent::decode(entry);
            let length = u64::from(extent.len());
            geometry.check_block(extent.start, at, NODE)?;
            geometry.check_block(extent.start + length.saturating_sub(1), at, NODE)?;
            runs.push((extent.start, length));
            continue;
        }
        let child = u64::from(le_u32(entry, 4)) | u64::from(le_u16(entry, 8)) << 32;
        geometry.check_block(child, at, NODE)?;
        let mut block = vec![0; BLOCK];
        disk.read_at(child * BLOCK_BYTES, &mut block)?;
        runs.push((child, 1));
        collect(disk, geometry, &block, child * BLOCK_BYTES, depth - 1, runs)?;
    }
    Ok(())
}
