//! The three tables behind the files, checked once and then taken at their word.
//!
//! What the checks establish:
//! - every record lies inside the structure, every file inside the image;
//! - a name is one valid component;
//! - no inode is named twice and no directory entry is in two directories, so that what hangs under
//!   the root is a tree and a walk over it ends.

use super::{
    BLOCK_BYTES, ENTRY_HEADER_BYTES, INODE_BYTES, MODE_DIRECTORY, MODE_FILE, MODE_SYMLINK,
    NAME_BYTES_MAX, ROOT_INODE, SYMLINK_HEADER_BYTES, Superblock,
};
use crate::{EntryKind, Error};

/// The tables as they are in the image, with the places of the records of varying length.
#[derive(Debug)]
pub(super) struct Tables {
    bytes: Vec<u8>,
    entries: Vec<u32>,
    symlinks: Vec<u32>,
    inodes_start: usize,
    /// Where the bytes are in the image.
    start: u64,
}

/// One bit for each record of a table.
struct Seen(Vec<u64>);

impl Seen {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    /// Marks a record, and tells whether it was marked before.
    fn mark(&mut self, record: usize) -> bool {
        let (word, bit) = (record / 64, 1 << (record % 64));
        let before = self.0[word] & bit != 0;
        self.0[word] |= bit;
        before
    }
}

/// An inode as it is in the table.
#[derive(Debug, Clone, Copy)]
struct Inode {
    mode: u64,
    number: u64,
    data: u64,
    count: u64,
}

impl Tables {
    /// Takes the bytes of the structure, checks them, and notes where the records are.
    pub(super) fn parse(
        bytes: Vec<u8>,
        superblock: &Superblock,
        image_bytes: u64,
    ) -> Result<Self, Error> {
        let start = superblock.structure_first_block * BLOCK_BYTES;
        let mut parser = Parser {
            bytes: &bytes,
            start,
            position: 0,
        };
        let mut entries = Vec::new();
        let mut named = Seen::new(to_usize(superblock.inodes));
        for _ in 0..superblock.directory_entries {
            entries.push(parser.entry(superblock, &mut named)?);
        }
        let mut symlinks = Vec::new();
        for _ in 0..superblock.symlinks {
            symlinks.push(parser.symlink()?);
        }
        let inodes_start = parser.position;
        let mut owned = Seen::new(entries.len());
        for number in ROOT_INODE..=superblock.inodes {
            parser.inode(number, superblock, image_bytes, &mut owned)?;
        }
        Ok(Self {
            bytes,
            entries,
            symlinks,
            inodes_start,
            start,
        })
    }

    /// The inode and the name of a directory entry.
    pub(super) fn entry(&self, place: usize) -> (u64, &[u8]) {
        let at = self.entries[place] as usize;
        (u64_at(&self.bytes, at), self.counted(at + 8))
    }

    /// Where a directory entry is in the image.
    pub(super) fn entry_offset(&self, place: usize) -> u64 {
        self.start + u64::from(self.entries[place])
    }

    /// What an inode is.
    pub(super) fn kind(&self, number: u64) -> EntryKind {
        let inode = self.inode(number);
        match inode.mode {
            MODE_DIRECTORY => EntryKind::Directory {
                children: inode.count,
            },
            MODE_SYMLINK => EntryKind::Symlink {
                target: self
                    .counted(self.symlinks[to_usize(inode.data)] as usize)
                    .to_vec(),
            },
            _ => EntryKind::File {
                // The block of an empty file means nothing.
                offset_bytes: if inode.count == 0 {
                    0
                } else {
                    inode.data * BLOCK_BYTES
                },
                size_bytes: inode.count,
            },
        }
    }

    /// The directory entries of an inode; none where it is not a directory.
    pub(super) fn children(&self, number: u64) -> std::ops::Range<usize> {
        let inode = self.inode(number);
        if inode.mode != MODE_DIRECTORY || inode.count == 0 {
            return 0..0;
        }
        let first = to_usize(inode.data);
        first..first + to_usize(inode.count)
    }

    fn inode(&self, number: u64) -> Inode {
        let at = self.inodes_start + to_usize((number - ROOT_INODE) * INODE_BYTES);
        Inode::at(&self.bytes, at)
    }

    fn counted(&self, at: usize) -> &[u8] {
        let length = usize::from(u16_at(&self.bytes, at));
        &self.bytes[at + 2..at + 2 + length]
    }
}

impl Inode {
    fn at(bytes: &[u8], at: usize) -> Self {
        Self {
            mode: u64_at(bytes, at),
            number: u64_at(bytes, at + 8),
            data: u64_at(bytes, at + 16),
            count: u64_at(bytes, at + 24),
        }
    }
}

struct Parser<'bytes> {
    bytes: &'bytes [u8],
    /// Where the bytes are in the image.
    start: u64,
    position: usize,
}

impl Parser<'_> {
    fn corrupt(
        &self,
        structure: &'static str,
        at: usize,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::Corrupt {
            structure,
            offset: self.start + at as u64,
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// Goes over `length` bytes and says where they start.
    fn take(&mut self, structure: &'static str, length: usize) -> Result<usize, Error> {
        let (at, left) = (self.position, self.bytes.len() - self.position);
        if length > left {
            return Err(self.corrupt(
                structure,
                at,
                format!("{length} bytes"),
                format!("{left} left"),
            ));
        }
        self.position += length;
        Ok(at)
    }

    fn entry(&mut self, superblock: &Superblock, named: &mut Seen) -> Result<u32, Error> {
        const WHAT: &str = "ROFS directory entry";
        let at = self.take(WHAT, to_usize(ENTRY_HEADER_BYTES))?;
        let inode = u64_at(self.bytes, at);
        if inode <= ROOT_INODE || inode > superblock.inodes {
            let expected = format!("an inode of 2 to {}", superblock.inodes);
            return Err(self.corrupt(WHAT, at, expected, inode));
        }
        if named.mark(to_usize(inode - ROOT_INODE)) {
            return Err(self.corrupt(WHAT, at, "an inode not named before", inode));
        }
        let length = usize::from(u16_at(self.bytes, at + 8));
        if length == 0 || length > NAME_BYTES_MAX {
            let expected = format!("a name of 1 to {NAME_BYTES_MAX} bytes");
            return Err(self.corrupt(WHAT, at + 8, expected, length));
        }
        let name_at = self.take(WHAT, length)?;
        let name = &self.bytes[name_at..name_at + length];
        if name == b"." || name == b".." || name.iter().any(|&byte| byte == b'/' || byte == 0) {
            let found = format!("\"{}\"", name.escape_ascii());
            return Err(self.corrupt(WHAT, name_at, "a file's name", found));
        }
        Ok(to_u32(at))
    }

    fn symlink(&mut self) -> Result<u32, Error> {
        const WHAT: &str = "ROFS symlink";
        let at = self.take(WHAT, to_usize(SYMLINK_HEADER_BYTES))?;
        self.take(WHAT, usize::from(u16_at(self.bytes, at)))?;
        Ok(to_u32(at))
    }

    fn inode(
        &mut self,
        number: u64,
        superblock: &Superblock,
        image_bytes: u64,
        owned: &mut Seen,
    ) -> Result<(), Error> {
        const WHAT: &str = "ROFS inode";
        let at = self.take(WHAT, to_usize(INODE_BYTES))?;
        let inode = Inode::at(self.bytes, at);
        if inode.number != number {
            return Err(self.corrupt(WHAT, at + 8, format!("number {number}"), inode.number));
        }
        if number == ROOT_INODE && inode.mode != MODE_DIRECTORY {
            return Err(self.corrupt(WHAT, at, "a root directory", format!("{:#x}", inode.mode)));
        }
        match inode.mode {
            MODE_DIRECTORY => {
                let end = inode.data.checked_add(inode.count);
                if inode.count > 0 && end.is_none_or(|end| end > superblock.directory_entries) {
                    let expected = format!("children within {}", superblock.directory_entries);
                    let found = format!("{} from {}", inode.count, inode.data);
                    return Err(self.corrupt(WHAT, at + 16, expected, found));
                }
                for child in 0..inode.count {
                    if owned.mark(to_usize(inode.data + child)) {
                        let expected = "children that are in no other directory";
                        let found = format!("entry {}", inode.data + child);
                        return Err(self.corrupt(WHAT, at + 16, expected, found));
                    }
                }
                Ok(())
            }
            MODE_FILE => {
                let start = inode.data.checked_mul(BLOCK_BYTES);
                let end = start.and_then(|start| start.checked_add(inode.count));
                if inode.count > 0 && end.is_none_or(|end| end > image_bytes) {
                    let expected = format!("a file within the {image_bytes} bytes of the image");
                    let found = format!("{} bytes from block {}", inode.count, inode.data);
                    return Err(self.corrupt(WHAT, at + 16, expected, found));
                }
                Ok(())
            }
            MODE_SYMLINK if inode.data < superblock.symlinks => Ok(()),
            MODE_SYMLINK => {
                let expected = format!("one of {} symlinks", superblock.symlinks);
                Err(self.corrupt(WHAT, at + 16, expected, inode.data))
            }
            mode => {
                let expected = "a directory, a file or a symlink";
                Err(self.corrupt(WHAT, at, expected, format!("mode {mode:#x}")))
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

/// Counts and places are below the size of the structure, which is in memory.
fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The structure is smaller than 4 GiB.
fn to_u32(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
