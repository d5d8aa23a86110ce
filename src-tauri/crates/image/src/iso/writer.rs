//! Writes a tree as ISO 9660.

use std::io::{Seek, Write};

use super::layout::Layout;
use super::records::{self, LONG_TIME, NO_TIME, both, both_short};
use super::{
    DESCRIPTORS_AT, END, FILE_BYTES_MAX, IS_DIRECTORY, LABEL_CHARACTERS_MAX, NAME_BYTES_MAX,
    PRIMARY, SECTOR, SECTOR_BYTES, STANDARD, SUPPLEMENTARY, TARGET_BYTES_MAX,
};
use crate::content::{self, Piece};
use crate::output::Output;
use crate::{Error, GuestPath, Limit, Node, Tree, Watch};

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
    let nodes = tree.nodes();
    for (path, node) in &nodes {
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
    let layout = Layout::new(tree.root_mode(), &nodes)?;
    let mut output = Output::new(out)?;
    let start = layout.metadata(label);
    output.write_sparse_at(DESCRIPTORS_AT, &start)?;
    content::copy(layout.pieces(), &mut output, watch)?;
    let size_bytes = u64::from(layout.sectors) * SECTOR;
    output.finish(size_bytes)?;
    Ok(size_bytes)
}

impl Layout<'_> {
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

    fn pieces(&self) -> impl Iterator<Item = Piece> {
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
                path: path.clone(),
                source: source.clone(),
                file_bytes: *size_bytes,
                from: 0,
                length: *size_bytes,
                at: u64::from(item.sector) * SECTOR,
                padding: 0,
            })
        })
    }
}
