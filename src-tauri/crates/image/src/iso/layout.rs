//! Where everything of an ISO 9660 file system goes, before a byte of it is written.

use std::collections::{HashMap, HashSet, VecDeque};

use super::records::{self, Packed};
use super::rock_ridge::{Parts, What};
use super::{DESCRIPTORS_AT, SECTOR, names};
use crate::{Error, GuestPath, Node};

/// Path tables number directories with 16 bits.
const DIRECTORIES_MAX: u64 = 65_535;

/// A file, directory or symlink; the first is the root.
pub(super) struct Item<'tree> {
    pub(super) path: Option<&'tree GuestPath>,
    pub(super) node: Option<&'tree Node>,
    pub(super) parent: usize,
    /// What is in a directory, by number.
    pub(super) children: Vec<usize>,
    pub(super) plain: Vec<u8>,
    pub(super) joliet: Vec<u8>,
    pub(super) parts: Parts,
    /// Where a file's bytes are, and how many.
    pub(super) sector: u32,
    pub(super) bytes: u32,
}

impl Item<'_> {
    pub(super) fn is_directory(&self) -> bool {
        matches!(self.node, None | Some(Node::Directory { .. }))
    }

    pub(super) fn is_symlink(&self) -> bool {
        matches!(self.node, Some(Node::Symlink { .. }))
    }
}

/// A directory in one of the two trees.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) item: usize,
    /// Its parent's place among the directories.
    pub(super) parent: usize,
    pub(super) sector: u32,
    pub(super) bytes: u32,
    /// For each record its place in the directory, and for what of it lies elsewhere, its place in that area.
    pub(super) places: Vec<(usize, usize)>,
    /// Its children in the order of their names.
    pub(super) children: Vec<usize>,
    /// The place of its first directory among the directories; the others follow.
    pub(super) first_below: usize,
}

pub(super) struct Layout<'tree> {
    pub(super) items: Vec<Item<'tree>>,
    pub(super) plain: Vec<Directory>,
    pub(super) joliet: Vec<Directory>,
    /// Where the path tables are: of the plain tree, and of Joliet's; both orders of each.
    pub(super) tables: [[u32; 2]; 2],
    /// What does not fit into records: where, and how many bytes.
    pub(super) rest_sector: u32,
    pub(super) rest_bytes: usize,
    pub(super) sectors: u32,
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
    pub(super) fn new(root_mode: u32, nodes: &'tree [(GuestPath, Node)]) -> Result<Self, Error> {
        let mut layout = Self {
            items: items(root_mode, nodes),
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

    pub(super) fn tree(&self, is_joliet: bool) -> &[Directory] {
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
        let mut waiting = VecDeque::from([(0, 0)]);
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
    pub(super) fn records(&self, is_joliet: bool, number: usize) -> Vec<(Vec<u8>, Parts)> {
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

    pub(super) fn path_table(&self, is_joliet: bool, is_big_endian: bool) -> Vec<u8> {
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
}

/// What is in the tree, with names for all who look.
fn items(root_mode: u32, nodes: &[(GuestPath, Node)]) -> Vec<Item<'_>> {
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
    items[0].bytes = root_mode;
    let mut directories: HashMap<GuestPath, usize> = HashMap::from([(GuestPath::root(), 0)]);
    for (path, node) in nodes {
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
