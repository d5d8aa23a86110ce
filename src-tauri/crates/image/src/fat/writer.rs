//! A tree becomes a FAT file system.

use std::io::{Seek, Write};

use super::directory::{self, LABEL};
use super::geometry::{self, BACKUP_SECTOR, Geometry, INFO_SECTOR};
use super::names::{self, ShortName, Taken};
use super::{DIRECTORY_BYTES_MAX, ENTRY_BYTES, FatKind, FatOptions, SECTOR_BYTES, check_entry};
use crate::content::{self, Piece};
use crate::output::{Output, Table};
use crate::{Error, GuestPath, Limit, Node, Tree, Watch};

/// A file or directory, and where it goes.
#[derive(Debug)]
struct Item<'tree> {
    path: &'tree GuestPath,
    node: &'tree Node,
    name: &'tree str,
    short: (ShortName, bool),
    /// The first one; 0 for an empty file.
    cluster: u32,
}

/// A directory; the first is the root.
#[derive(Debug, Default)]
struct Directory {
    /// Which item it is; the root is none.
    item: Option<usize>,
    parent: usize,
    /// Its items, in the order of their names.
    children: Vec<usize>,
    entries: u64,
    taken: Taken,
    cluster: u32,
}

impl Directory {
    fn bytes(&self) -> u64 {
        self.entries * ENTRY_BYTES as u64
    }
}

/// Writes a tree as a FAT file system, from the position of `out` on, and returns its size. Permissions are dropped.
///
/// # Errors
/// [`Error::Limit`] and [`Error::TooSmall`] before anything is written; [`Error::Source`], [`Error::Changed`],
/// [`Error::Write`] and [`Error::Cancelled`] leave the output unfinished.
pub fn write(
    tree: &Tree,
    out: &mut (impl Write + Seek),
    options: &FatOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<u64, Error> {
    let label = names::label(&options.label).ok_or_else(|| Error::Limit {
        path: GuestPath::root(),
        file_system: "FAT",
        limit: Limit::NameInvalid("has a label of more than 11 bytes, or not of capitals"),
    })?;
    let nodes = tree.nodes();
    let (mut items, mut directories) = collect(&nodes, !options.label.is_empty())?;
    let geometry = lay_out(&items, &directories, options)?;
    let used = allocate(&mut items, &mut directories, &geometry);
    let serial = serial(&nodes, options);

    let mut output = Output::new(out)?;
    let shown = if options.label.is_empty() {
        *b"NO NAME    "
    } else {
        label
    };
    let sector = geometry.boot_sector(serial, &shown, options.start_bytes);
    output.write_at(0, &sector)?;
    if geometry.kind == FatKind::Fat32 {
        let info = info_sector(geometry.clusters - used, used + 2);
        output.write_at(INFO_SECTOR * SECTOR_BYTES, &info)?;
        output.write_at(BACKUP_SECTOR * SECTOR_BYTES, &sector)?;
        output.write_at((BACKUP_SECTOR + INFO_SECTOR) * SECTOR_BYTES, &info)?;
    }
    for copy in 0..geometry.fat_count {
        write_fat(&items, &directories, &geometry, copy, &mut output)?;
    }
    for directory in &directories {
        let is_root = directory.item.is_none();
        let at = if is_root && geometry.root_entries > 0 {
            geometry.root_offset()
        } else {
            geometry.cluster_offset(directory.cluster)
        };
        let root_label = (is_root && !options.label.is_empty()).then_some(label);
        let bytes = content_of(directory, &directories, &items, root_label);
        output.write_at(at, &bytes)?;
    }
    content::copy(pieces(&items, &geometry), &mut output, watch)?;
    output.finish(geometry.size_bytes())?;
    Ok(geometry.size_bytes())
}

/// Takes the tree apart into directories and what is in them.
fn collect(
    tree: &[(GuestPath, Node)],
    has_label: bool,
) -> Result<(Vec<Item<'_>>, Vec<Directory>), Error> {
    let mut items = Vec::with_capacity(tree.len());
    let mut directories = vec![Directory {
        entries: u64::from(has_label),
        ..Directory::default()
    }];
    // The directories that are open, by their depth.
    let mut open = vec![0];
    for (path, node) in tree {
        check_entry(path, node)?;
        let limit = |limit| Error::Limit {
            path: path.clone(),
            file_system: "FAT",
            limit,
        };
        open.truncate(path.depth());
        let parent = open.last().copied().unwrap_or(0);
        let name = str::from_utf8(path.name()).map_err(|_| limit(Limit::NameNotUtf8))?;
        let index = items.len();
        let directory = &mut directories[parent];
        let short = directory
            .taken
            .take(name)
            .ok_or_else(|| limit(Limit::NameTaken))?;
        directory.entries += directory::count(name, short.1);
        directory.children.push(index);
        if directory.bytes() > DIRECTORY_BYTES_MAX {
            return Err(Error::TooSmall {
                what: "directory of a FAT file system",
                needed_bytes: directory.bytes(),
                size_bytes: DIRECTORY_BYTES_MAX,
            });
        }
        if matches!(node, Node::Directory { .. }) {
            open.push(directories.len());
            directories.push(Directory {
                item: Some(index),
                parent,
                // "." and ".."
                entries: 2,
                ..Directory::default()
            });
        }
        items.push(Item {
            path,
            node,
            name,
            short,
            cluster: 0,
        });
    }
    Ok((items, directories))
}

fn lay_out(
    items: &[Item<'_>],
    directories: &[Directory],
    options: &FatOptions,
) -> Result<Geometry, Error> {
    let needed = |cluster_bytes: u64| {
        let directories = directories.iter().map(Directory::bytes);
        let files = items.iter().map(|item| file_bytes(item.node));
        directories
            .chain(files)
            .chain([options.headroom_bytes])
            .map(|bytes| bytes.div_ceil(cluster_bytes))
            .sum::<u64>()
    };
    let root_entries = directories[0].entries;
    let Some(size_bytes) = options.size_bytes else {
        return Geometry::fitted(needed, options.kind, root_entries);
    };
    let geometry = Geometry::of_size(size_bytes, options.kind, root_entries)?;
    let needed = needed(geometry.cluster_bytes);
    if needed > geometry.clusters {
        return Err(Error::TooSmall {
            what: "FAT file system",
            needed_bytes: size_bytes + (needed - geometry.clusters) * geometry.cluster_bytes,
            size_bytes,
        });
    }
    Ok(geometry)
}

/// Gives everything its clusters, and says how many were given.
fn allocate(items: &mut [Item<'_>], directories: &mut [Directory], geometry: &Geometry) -> u64 {
    let mut next = 2_u64;
    let mut take = |bytes: u64| {
        let count = bytes.div_ceil(geometry.cluster_bytes);
        // What was laid out has fewer than 2^28.
        let first = if count == 0 {
            0
        } else {
            u32::try_from(next).unwrap_or(0)
        };
        next += count;
        first
    };
    for directory in directories {
        if directory.item.is_none() && geometry.root_entries > 0 {
            continue;
        }
        directory.cluster = take(directory.bytes().max(1));
        if let Some(item) = directory.item {
            items[item].cluster = directory.cluster;
        }
    }
    for item in items {
        if let Node::File { size_bytes, .. } = item.node {
            item.cluster = take(*size_bytes);
        }
    }
    next - 2
}

/// The same for the same tree, and hardly for another.
fn serial(tree: &[(GuestPath, Node)], options: &FatOptions) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(options.label.as_bytes());
    for (path, node) in tree {
        hasher.update(path.as_bytes());
        hasher.update(&file_bytes(node).to_le_bytes());
    }
    let digest = hasher.finalize();
    digest
        .as_bytes()
        .first_chunk()
        .map_or(1, |bytes| u32::from_le_bytes(*bytes))
}

fn file_bytes(node: &Node) -> u64 {
    match node {
        Node::File { size_bytes, .. } => *size_bytes,
        _ => 0,
    }
}

fn info_sector(free: u64, next: u64) -> [u8; 512] {
    let mut sector = [0; 512];
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    sector[..4].copy_from_slice(b"RRaA");
    sector[484..488].copy_from_slice(b"rrAa");
    sector[488..492].copy_from_slice(&number(free));
    sector[492..496].copy_from_slice(&number(next));
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    sector
}

/// Writes one copy of the FAT.
fn write_fat<W: Write + Seek>(
    items: &[Item<'_>],
    directories: &[Directory],
    geometry: &Geometry,
    copy: u64,
    output: &mut Output<'_, W>,
) -> Result<(), Error> {
    let start = geometry.fat_offset(copy);
    let (end, _) = geometry.kind.end_of_chain();
    let bits = geometry.kind.bits();
    let mut table = Table::new(output, start);
    // Entries of 12 bits go two by two.
    let mut half: Option<u32> = None;
    let mut put = |entry: u32| -> Result<(), Error> {
        let bytes = entry.to_le_bytes();
        match (bits, half.take()) {
            (32, _) => table.put(&bytes),
            (16, _) => table.put(&bytes[..2]),
            (_, None) => {
                half = Some(entry);
                Ok(())
            }
            (_, Some(low)) => table.put(&(low | entry << 12).to_le_bytes()[..3]),
        }
    };
    put(end & !0xFF | u32::from(geometry::MEDIA))?;
    put(end)?;
    let directories = directories
        .iter()
        .map(|directory| (directory.cluster, directory.bytes().max(1)));
    let files = items.iter().filter_map(|item| match item.node {
        Node::File { size_bytes, .. } => Some((item.cluster, *size_bytes)),
        _ => None,
    });
    for (first, bytes) in directories.chain(files).filter(|(first, _)| *first != 0) {
        let count = u32::try_from(bytes.div_ceil(geometry.cluster_bytes)).unwrap_or(0);
        for next in first + 1..first + count {
            put(next)?;
        }
        put(end)?;
    }
    // The other half of a last entry of 12 bits.
    if bits == 12 {
        put(0)?;
    }
    table.finish(start, SECTOR_BYTES)
}

fn content_of(
    directory: &Directory,
    directories: &[Directory],
    items: &[Item<'_>],
    label: Option<ShortName>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(label) = label {
        bytes.extend(directory::short(label, LABEL, 0, 0));
    }
    if directory.item.is_some() {
        // The root is number 0 there, wherever it is.
        let parent = &directories[directory.parent];
        let parent_cluster = parent.item.map_or(0, |_| parent.cluster);
        for (name, cluster) in [
            (b".          ", directory.cluster),
            (b"..         ", parent_cluster),
        ] {
            bytes.extend(directory::short(*name, directory::DIRECTORY, cluster, 0));
        }
    }
    for item in directory.children.iter().map(|&child| &items[child]) {
        let size_bytes = match item.node {
            Node::File { size_bytes, .. } => Some(u32::try_from(*size_bytes).unwrap_or(u32::MAX)),
            _ => None,
        };
        let entries = directory::entries(item.name, item.short, size_bytes, item.cluster);
        bytes.extend(entries.iter().flatten());
    }
    bytes
}

fn pieces<'tree>(
    items: &'tree [Item<'tree>],
    geometry: &'tree Geometry,
) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    items.iter().filter_map(move |item| {
        let Node::File {
            source, size_bytes, ..
        } = item.node
        else {
            return None;
        };
        if item.cluster != 0 {
            at = geometry.cluster_offset(item.cluster);
        } else if at == 0 {
            at = geometry.cluster_offset(2);
        }
        let piece = Piece {
            path: item.path.clone(),
            source: source.clone(),
            file_bytes: *size_bytes,
            from: 0,
            length: *size_bytes,
            at,
            padding: 0,
        };
        // An empty file behind this one is nowhere before its end.
        at += *size_bytes;
        Some(piece)
    })
}
