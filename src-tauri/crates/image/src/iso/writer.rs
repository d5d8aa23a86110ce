//! Writes a tree as ISO 9660.

use std::collections::{HashMap, HashSet};
use std::io::{Seek, Write};

use super::records::{self, LONG_TIME, NO_TIME, Packed, both, both_short};
use super::rock_ridge::{Parts, What};
use super::{
    DESCRIPTORS_AT, END, FILE_BYTES_MAX, IS_DIRECTORY, LABEL_CHARACTERS_MAX, NAME_BYTES_MAX,
    PRIMARY, SECTOR, SECTOR_BYTES, STANDARD, SUPPLEMENTARY, TARGET_BYTES_MAX, names,
};
use crate::content::{self, Piece};
use crate::output::Output;
use crate::{Error, GuestPath, Limit, Node, Tree, Watch};

/// Path tables number directories with 16 bits.
const DIRECTORIES_MAX: u64 = 65_535;
const FILE_SYSTEM: &str = "ISO 9660";
const SYSTEM: &[u8] = b"LINUX";
const APPLICATION: &[u8] = b"WINDLASS";
const JOLIET_ESCAPE: &[u8] = b"%/E";

/// What an ISO 9660 file system is to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IsoOptions {
    /// The volume's label: `cidata` makes it a seed of cloud-init. At most 16 characters of ASCII.
    pub label: String,
}

/// Checks that our ISO 9660 writer can hold a node.
///
/// # Errors
/// [`Error::Limit`] says what it cannot hold.
pub fn check_entry(path: &GuestPath, node: &Node) -> Result<(), Error> {
    let refuse = |limit| {
        Err(Error::Limit {
            path: path.clone(),
            file_system: FILE_SYSTEM,
            limit,
        })
    };
    let found_bytes = path.name().len();
    if found_bytes > NAME_BYTES_MAX {
        let limit_bytes = NAME_BYTES_MAX;
        return refuse(Limit::NameTooLong {
            found_bytes,
            limit_bytes,
        });
    }
    match node {
        Node::File { size_bytes, .. } if *size_bytes > FILE_BYTES_MAX => {
            let (found_bytes, limit_bytes) = (*size_bytes, FILE_BYTES_MAX);
            refuse(Limit::FileTooLarge {
                found_bytes,
                limit_bytes,
            })
        }
        Node::Symlink { target } if target.len() > TARGET_BYTES_MAX => {
            let (found_bytes, limit_bytes) = (target.len(), TARGET_BYTES_MAX);
            refuse(Limit::TargetTooLong {
                found_bytes,
                limit_bytes,
            })
        }
        Node::Symlink { target } if target.is_empty() => refuse(Limit::TargetInvalid("empty")),
        Node::Symlink { target } if target.contains(&0) => {
            refuse(Limit::TargetInvalid("cut off by a NUL byte"))
        }
        _ => Ok(()),
    }
}

/// Writes a tree as an ISO 9660 file system, from the position of `out` on, and returns its size.
///
/// # Errors
/// [`Error::Limit`] and [`Error::TooSmall`] before anything is written; [`Error::Source`], [`Error::Changed`],
/// [`Error::Write`] and [`Error::Cancelled`] leave the output unfinished.
pub fn write(
    tree: &Tree,
    out: &mut (impl Write + Seek),
    options: &IsoOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<u64, Error> {
    for (path, node) in tree {
        check_entry(path, node)?;
    }
    let label = &options.label;
    let is_plain = |letter: char| letter.is_ascii() && !letter.is_ascii_control();
    if label.chars().count() > LABEL_CHARACTERS_MAX || !label.chars().all(is_plain) {
        return Err(Error::TooSmall {
            what: "label of an ISO 9660 file system (in ASCII)",
            needed_bytes: label.len() as u64,
            size_bytes: LABEL_CHARACTERS_MAX as u64,
        });
    }
    let layout = Layout::new(tree)?;
    let mut output = Output::new(out)?;
    let start = layout.metadata(label);
    output.write_sparse_at(DESCRIPTORS_AT, &start)?;
    content::copy(layout.pieces(), &mut output, watch)?;
    let size_bytes = u64::from(layout.sectors) * SECTOR;
    output.finish(size_bytes)?;
    Ok(size_bytes)
}

/// A file, directory or symlink; the first is the root.
struct Item<'tree> {
    path: Option<&'tree GuestPath>,
    node: Option<&'tree Node>,
    parent: usize,
    /// What is in a directory, by number.
    children: Vec<usize>,
    plain: Vec<u8>,
    joliet: Vec<u8>,
    parts: Parts,
    /// Where a file's bytes are, and how many.
    sector: u32,
    bytes: u32,
}

impl Item<'_> {
    fn is_directory(&self) -> bool {
        matches!(self.node, None | Some(Node::Directory { .. }))
    }

    fn is_symlink(&self) -> bool {
        matches!(self.node, Some(Node::Symlink { .. }))
    }
}

/// A directory in one of the two trees.
#[derive(Debug, Clone)]
struct Directory {
    item: usize,
    /// Its parent's place among the directories.
    parent: usize,
    sector: u32,
    bytes: u32,
    /// For each record its place in the directory, and for what of it lies elsewhere, its place in that area.
    places: Vec<(usize, usize)>,
    /// Its children in the order of their names.
    children: Vec<usize>,
    /// The place of its first directory among the directories; the others follow.
    first_below: usize,
}

struct Layout<'tree> {
    items: Vec<Item<'tree>>,
    plain: Vec<Directory>,
    joliet: Vec<Directory>,
    /// Where the path tables are: of the plain tree, and of Joliet's; both orders of each.
    tables: [[u32; 2]; 2],
    /// What does not fit into records: where, and how many bytes.
    rest_sector: u32,
    rest_bytes: usize,
    sectors: u32,
}

fn sectors(bytes: u64) -> u64 {
    bytes.div_ceil(SECTOR)
}

fn narrow(number: u64) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| Error::TooSmall {
        what: "ISO 9660 file system",
        needed_bytes: number.saturating_mul(SECTOR),
        size_bytes: u64::from(u32::MAX) * SECTOR,
    })
}

impl<'tree> Layout<'tree> {
    fn new(tree: &'tree Tree) -> Result<Self, Error> {
        let mut layout = Self {
            items: items(tree),
            plain: Vec::new(),
            joliet: Vec::new(),
            tables: [[0; 2]; 2],
            rest_sector: 0,
            rest_bytes: 0,
            sectors: 0,
        };
        for is_joliet in [false, true] {
            let directories = layout.directories(is_joliet);
            if directories.len() as u64 > DIRECTORIES_MAX {
                return Err(Error::TooSmall {
                    what: "table of directories of an ISO 9660 file system",
                    needed_bytes: directories.len() as u64,
                    size_bytes: DIRECTORIES_MAX,
                });
            }
            *layout.tree_mut(is_joliet) = directories;
        }
        // Three descriptors.
        let mut next = DESCRIPTORS_AT / SECTOR + 3;
        for is_joliet in [false, true] {
            let length = layout.path_table(is_joliet, false).len() as u64;
            for order in 0..2 {
                layout.tables[usize::from(is_joliet)][order] = narrow(next)?;
                next += sectors(length);
            }
        }
        let mut rest = Packed::default();
        for is_joliet in [false, true] {
            for number in 0..layout.tree(is_joliet).len() {
                let (places, bytes) = layout.places(is_joliet, number, &mut rest);
                let directory = &mut layout.tree_mut(is_joliet)[number];
                directory.places = places;
                directory.sector = narrow(next)?;
                let length = sectors(bytes as u64);
                directory.bytes = narrow(length * SECTOR)?;
                next += length;
            }
            if !is_joliet {
                layout.rest_sector = narrow(next)?;
                layout.rest_bytes = rest.bytes;
                next += sectors(rest.bytes as u64);
            }
        }
        for item in &mut layout.items {
            if let Some(Node::File { size_bytes, .. }) = item.node {
                item.sector = narrow(next)?;
                item.bytes = narrow(*size_bytes)?;
                next += sectors(*size_bytes);
            }
        }
        layout.sectors = narrow(next)?;
        Ok(layout)
    }

    fn tree(&self, is_joliet: bool) -> &[Directory] {
        if is_joliet { &self.joliet } else { &self.plain }
    }

    fn tree_mut(&mut self, is_joliet: bool) -> &mut Vec<Directory> {
        if is_joliet {
            &mut self.joliet
        } else {
            &mut self.plain
        }
    }

    fn name(&self, item: usize, is_joliet: bool) -> &[u8] {
        let item = &self.items[item];
        if is_joliet { &item.joliet } else { &item.plain }
    }

    /// The directories level by level, as path tables have them.
    fn directories(&self, is_joliet: bool) -> Vec<Directory> {
        let mut directories: Vec<Directory> = Vec::new();
        let mut waiting = std::collections::VecDeque::from([(0, 0)]);
        while let Some((item, parent)) = waiting.pop_front() {
            let mut children = self.items[item].children.clone();
            children.retain(|&child| !(is_joliet && self.items[child].is_symlink()));
            children
                .sort_by(|&one, &other| self.name(one, is_joliet).cmp(self.name(other, is_joliet)));
            let number = directories.len();
            let first_below = number + 1 + waiting.len();
            let below = children
                .iter()
                .filter(|&&child| self.items[child].is_directory());
            waiting.extend(below.map(|&child| (child, number)));
            directories.push(Directory {
                item,
                parent,
                sector: 0,
                bytes: 0,
                places: Vec::new(),
                children,
                first_below,
            });
        }
        directories
    }

    /// The records of a directory: names and Rock Ridge parts.
    fn records(&self, is_joliet: bool, number: usize) -> Vec<(Vec<u8>, Parts)> {
        let directory = &self.tree(is_joliet)[number];
        let parts = |item: usize| {
            if is_joliet {
                Parts::default()
            } else {
                self.items[item].parts.clone()
            }
        };
        let nameless = |item: usize| {
            if is_joliet {
                Parts::default()
            } else {
                self.of_directory(item, b"")
            }
        };
        let own = match directory.item {
            0 if !is_joliet => self.of_root(),
            item => nameless(item),
        };
        let parent = nameless(self.items[directory.item].parent);
        let mut records = vec![(vec![0], own), (vec![1], parent)];
        let children = directory.children.iter();
        records.extend(children.map(|&child| (self.name(child, is_joliet).to_vec(), parts(child))));
        records
    }

    fn mode_and_links(&self, item: usize) -> (u32, u32) {
        let item = &self.items[item];
        let mode = match item.node {
            Some(Node::Directory { mode }) => *mode,
            _ => item.bytes,
        };
        let below = item
            .children
            .iter()
            .filter(|&&child| self.items[child].is_directory());
        (mode, u32::try_from(below.count() + 2).unwrap_or(u32::MAX))
    }

    fn of_directory(&self, item: usize, name: &[u8]) -> Parts {
        let (mode, links) = self.mode_and_links(item);
        Parts::new(What::Directory { mode, links }, name)
    }

    fn of_root(&self) -> Parts {
        let (mode, links) = self.mode_and_links(0);
        Parts::of_root(mode, links)
    }

    fn places(
        &self,
        is_joliet: bool,
        number: usize,
        rest: &mut Packed,
    ) -> (Vec<(usize, usize)>, usize) {
        let mut packed = Packed::default();
        let places = self
            .records(is_joliet, number)
            .into_iter()
            .map(|(name, parts)| {
                let (own, elsewhere) = parts.lengths(&name);
                let length = (records::length(&name) + own).next_multiple_of(2);
                let rest_at = if elsewhere > 0 {
                    rest.add(elsewhere)
                } else {
                    0
                };
                (packed.add(length), rest_at)
            });
        let places = places.collect();
        (places, packed.bytes)
    }

    fn path_table(&self, is_joliet: bool, is_big_endian: bool) -> Vec<u8> {
        let directories = self.tree(is_joliet);
        let entries = directories.iter().flat_map(|directory| {
            let name = match directory.item {
                0 => &[0][..],
                item => self.name(item, is_joliet),
            };
            let parent = u16::try_from(directory.parent + 1).unwrap_or(u16::MAX);
            records::path_entry(name, directory.sector, parent, is_big_endian)
        });
        entries.collect()
    }

    /// Everything from the descriptors up to the first file's bytes.
    fn metadata(&self, label: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |sector: u32, part: &[u8]| {
            let at = usize::try_from(u64::from(sector) * SECTOR - DESCRIPTORS_AT);
            let at = at.unwrap_or(usize::MAX);
            let end = (at + part.len()).next_multiple_of(SECTOR_BYTES);
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..at + part.len()].copy_from_slice(part);
        };
        let first = u32::try_from(DESCRIPTORS_AT / SECTOR).unwrap_or(16);
        put(first, &self.descriptor(false, label));
        put(first + 1, &self.descriptor(true, label));
        put(first + 2, &[&[END][..], STANDARD, &[1]].concat());
        let mut rest = vec![0; self.rest_bytes];
        for is_joliet in [false, true] {
            for (order, is_big_endian) in [false, true].into_iter().enumerate() {
                let table = self.path_table(is_joliet, is_big_endian);
                put(self.tables[usize::from(is_joliet)][order], &table);
            }
            for number in 0..self.tree(is_joliet).len() {
                let directory = self.directory(is_joliet, number, &mut rest);
                put(self.tree(is_joliet)[number].sector, &directory);
            }
        }
        put(self.rest_sector, &rest);
        bytes
    }

    fn directory(&self, is_joliet: bool, number: usize, rest: &mut [u8]) -> Vec<u8> {
        let tree = self.tree(is_joliet);
        let directory = &tree[number];
        let mut below = directory.first_below..;
        let mut bytes = vec![0; directory.bytes as usize];
        let records = self.records(is_joliet, number);
        for (index, ((name, parts), &(at, rest_at))) in
            records.iter().zip(&directory.places).enumerate()
        {
            let rest_place = rest_at as u64;
            let sector = self.rest_sector + u32::try_from(rest_place / SECTOR).unwrap_or(0);
            let within = u32::try_from(rest_place % SECTOR).unwrap_or(0);
            let (own, elsewhere) = parts.to_bytes(name, (sector, within));
            rest[rest_at..rest_at + elsewhere.len()].copy_from_slice(&elsewhere);
            let child = index.checked_sub(2).map(|index| directory.children[index]);
            let target = match (index, child) {
                (0, _) => Some(directory),
                (_, None) => Some(&tree[directory.parent]),
                (_, Some(child)) if self.items[child].is_directory() => {
                    below.next().map(|number| &tree[number])
                }
                _ => None,
            };
            let record = if let Some(target) = target {
                records::record(name, target.sector, target.bytes, IS_DIRECTORY, &own)
            } else {
                let item = &self.items[child.unwrap_or(0)];
                records::record(name, item.sector, item.bytes, 0, &own)
            };
            bytes[at..at + record.len()].copy_from_slice(&record);
        }
        bytes
    }

    fn descriptor(&self, is_joliet: bool, label: &str) -> Vec<u8> {
        let mut bytes = vec![0; SECTOR_BYTES];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        let text = |text: &[u8], length: usize| -> Vec<u8> {
            let mut padded: Vec<u8> = if is_joliet {
                text.iter().flat_map(|&byte| [0, byte]).collect()
            } else {
                text.to_vec()
            };
            let space: &[u8] = if is_joliet { &[0, b' '] } else { b" " };
            while padded.len() < length {
                padded.extend(space);
            }
            padded.truncate(length);
            padded
        };
        put(0, &[if is_joliet { SUPPLEMENTARY } else { PRIMARY }]);
        put(1, STANDARD);
        put(6, &[1]);
        put(8, &text(SYSTEM, 32));
        put(40, &text(label.as_bytes(), 32));
        put(80, &both(self.sectors));
        if is_joliet {
            put(88, JOLIET_ESCAPE);
        }
        // One disk, the first of one; sectors.
        put(120, &both_short(1));
        put(124, &both_short(1));
        put(128, &both_short(2048));
        let table_bytes = self.path_table(is_joliet, false).len();
        put(132, &both(u32::try_from(table_bytes).unwrap_or(u32::MAX)));
        let [little, big] = self.tables[usize::from(is_joliet)];
        put(140, &little.to_le_bytes());
        put(148, &big.to_be_bytes());
        let root = &self.tree(is_joliet)[0];
        put(
            156,
            &records::record(&[0], root.sector, root.bytes, IS_DIRECTORY, &[]),
        );
        for (at, length, words) in [
            (190, 128, &b""[..]),
            (318, 128, b""),
            (446, 128, b""),
            (574, 128, APPLICATION),
            (702, 37, b""),
            (739, 37, b""),
            (776, 37, b""),
        ] {
            put(at, &text(words, length));
        }
        for (at, time) in [
            (813, LONG_TIME),
            (830, LONG_TIME),
            (847, NO_TIME),
            (864, NO_TIME),
        ] {
            put(at, time);
        }
        put(881, &[1]);
        bytes
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'tree>> {
        self.items.iter().filter_map(|item| {
            let (
                path,
                Some(Node::File {
                    source, size_bytes, ..
                }),
            ) = (item.path?, item.node)
            else {
                return None;
            };
            Some(Piece {
                path,
                source,
                file_bytes: *size_bytes,
                from: 0,
                length: *size_bytes,
                at: u64::from(item.sector) * SECTOR,
                padding: 0,
            })
        })
    }
}

/// What is in the tree, with names for all who look.
fn items(tree: &Tree) -> Vec<Item<'_>> {
    let item = |path, node, parent| Item {
        path,
        node,
        parent,
        children: Vec::new(),
        plain: Vec::new(),
        joliet: Vec::new(),
        parts: Parts::default(),
        sector: 0,
        bytes: 0,
    };
    let mut items = vec![item(None, None, 0)];
    // The root has no node to keep its mode.
    items[0].bytes = tree.root_mode();
    let mut directories: HashMap<GuestPath, usize> = HashMap::from([(GuestPath::root(), 0)]);
    for (path, node) in tree {
        let parent = path
            .parent()
            .and_then(|parent| directories.get(&parent).copied());
        let parent = parent.unwrap_or(0);
        let number = items.len();
        items.push(item(Some(path), Some(node), parent));
        items[parent].children.push(number);
        if matches!(node, Node::Directory { .. }) {
            directories.insert(path.clone(), number);
        }
    }
    for number in 0..items.len() {
        let (mut plain, mut joliet) = (HashSet::new(), HashSet::new());
        for child in items[number].children.clone() {
            let Some(path) = items[child].path else {
                continue;
            };
            let is_directory = items[child].is_directory();
            items[child].plain = names::plain(path.name(), is_directory, &mut plain);
            if !items[child].is_symlink() {
                items[child].joliet = names::joliet(path.name(), is_directory, &mut joliet);
            }
            let below = items[child].children.iter();
            let links = below.filter(|&&below| items[below].is_directory()).count() + 2;
            let links = u32::try_from(links).unwrap_or(u32::MAX);
            let what = match items[child].node {
                Some(Node::File { mode, .. }) => What::File { mode: *mode },
                Some(Node::Symlink { target }) => What::Symlink { target },
                Some(Node::Directory { mode }) => What::Directory { mode: *mode, links },
                None => continue,
            };
            items[child].parts = Parts::new(what, path.name());
        }
    }
    items
}
