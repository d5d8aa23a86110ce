//! The three tables behind the files, checked once and then taken at their word.
//!
//! What the checks establish:
//! - every record lies inside the structure, every file inside the image;
//! - a name is one valid component;
//! - no inode is named twice and no directory entry is in two directories, so that what hangs under
//!   the root is a tree and a walk over it ends.
//!
//! The tables stay in the image. In memory is where every 32nd record of varying length lies, and a few pages of what was
//! looked at last: an image that claims to hold a hundred million files costs no more than a few megabytes before it is
//! found to lie.

use std::io::{Read, Seek};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::window::Window;
use super::{
    BLOCK_BYTES, ENTRY_HEADER_BYTES, INODE_BYTES, MODE_DIRECTORY, MODE_FILE, MODE_SYMLINK,
    NAME_BYTES_MAX, ROOT_INODE, SYMLINK_HEADER_BYTES, Superblock,
};
use crate::{EntryKind, Error};

/// The place of one record of so many is kept.
const MARK_EVERY: u64 = 32;

/// As lengths of arrays.
const HEADER: usize = 10;
const INODE: usize = 32;
const _: () = assert!(HEADER as u64 == ENTRY_HEADER_BYTES && INODE as u64 == INODE_BYTES);

/// The tables of an image, and the image.
#[derive(Debug)]
pub(super) struct Tables<R> {
    window: Mutex<Window<R>>,
    entries: Marks,
    symlinks: Marks,
    inodes_start: u64,
}

/// Where every 32nd record of a table lies.
#[derive(Debug, Default)]
struct Marks(Vec<u32>);

impl Marks {
    /// Notes where a record lies; they come one after the other.
    fn note(&mut self, record: u64, at: u64) {
        if record.is_multiple_of(MARK_EVERY) {
            // The structure is smaller than 4 GiB.
            self.0.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
    }

    /// The place of the record that is marked before `record`, and how many have to be gone over from there.
    fn before(&self, record: u64) -> (u64, u64) {
        let mark = usize::try_from(record / MARK_EVERY).unwrap_or(usize::MAX);
        let at = self.0.get(mark).copied().unwrap_or(u32::MAX);
        (u64::from(at), record % MARK_EVERY)
    }
}

/// One bit for each record of a table.
struct Seen(Vec<u64>);

impl Seen {
    fn new(count: u64) -> Self {
        Self(vec![0; to_usize(count.div_ceil(64))])
    }

    /// Marks a record, and tells whether it was marked before.
    fn mark(&mut self, record: u64) -> bool {
        let (word, bit) = (to_usize(record / 64), 1 << (record % 64));
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

/// A directory entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Child {
    pub(super) name: Vec<u8>,
    pub(super) inode: u64,
    /// Where it is in the image.
    pub(super) offset: u64,
}

impl<R: Read + Seek> Tables<R> {
    /// Goes over the structure, checks it, and notes where the records are.
    pub(super) fn parse(
        image: R,
        superblock: &Superblock,
        image_bytes: u64,
    ) -> Result<Self, Error> {
        let start = superblock.structure_first_block * BLOCK_BYTES;
        let length = superblock.structure_blocks * BLOCK_BYTES;
        let mut parser = Parser {
            window: Window::new(image, start, length),
            position: 0,
        };
        let mut entries = Marks::default();
        let mut named = Seen::new(superblock.inodes);
        for entry in 0..superblock.directory_entries {
            let at = parser.entry(superblock, &mut named)?;
            entries.note(entry, at);
        }
        drop(named);
        let mut symlinks = Marks::default();
        for symlink in 0..superblock.symlinks {
            let at = parser.symlink()?;
            symlinks.note(symlink, at);
        }
        let inodes_start = parser.position;
        let mut owned = Seen::new(superblock.directory_entries);
        for number in ROOT_INODE..=superblock.inodes {
            parser.inode(number, superblock, image_bytes, &mut owned)?;
        }
        Ok(Self {
            window: Mutex::new(parser.window),
            entries,
            symlinks,
            inodes_start,
        })
    }

    pub(super) fn image(&mut self) -> &mut R {
        &mut self
            .window
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .image
    }

    fn window(&self) -> MutexGuard<'_, Window<R>> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an inode is.
    pub(super) fn kind(&self, number: u64) -> Result<EntryKind, Error> {
        let mut window = self.window();
        let inode = self.inode(&mut window, number)?;
        Ok(match inode.mode {
            MODE_DIRECTORY => EntryKind::Directory {
                children: inode.count,
            },
            MODE_SYMLINK => {
                let (mut at, skipped) = self.symlinks.before(inode.data);
                for _ in 0..skipped {
                    at += SYMLINK_HEADER_BYTES + u64::from(window.u16_at(at)?);
                }
                let mut target = vec![0; usize::from(window.u16_at(at)?)];
                window.read_at(at + SYMLINK_HEADER_BYTES, &mut target)?;
                EntryKind::Symlink { target }
            }
            _ => EntryKind::File {
                // The block of an empty file means nothing.
                offset_bytes: if inode.count == 0 {
                    0
                } else {
                    inode.data * BLOCK_BYTES
                },
                size_bytes: inode.count,
            },
        })
    }

    /// The directory entries of an inode; none where it is not a directory.
    pub(super) fn children(&self, number: u64) -> Result<Range<u64>, Error> {
        let inode = self.inode(&mut self.window(), number)?;
        if inode.mode != MODE_DIRECTORY || inode.count == 0 {
            return Ok(0..0);
        }
        Ok(inode.data..inode.data + inode.count)
    }

    /// Goes over directory entries, in the order in which they lie there, until `visit` has what it wants.
    pub(super) fn visit(
        &self,
        places: Range<u64>,
        mut visit: impl FnMut(&[u8], u64, u64) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let (mut at, mut skipped) = self.entries.before(places.start);
        let mut left = places.end - places.start;
        let mut name = [0; NAME_BYTES_MAX];
        while left > 0 {
            let (inode, length) = {
                let mut window = self.window();
                let mut header = [0; HEADER];
                window.read_at(at, &mut header)?;
                let (inode, length) = entry_header(&header);
                let length = length.min(NAME_BYTES_MAX);
                if skipped == 0 {
                    window.read_at(at + ENTRY_HEADER_BYTES, &mut name[..length])?;
                }
                (inode, length)
            };
            if skipped > 0 {
                skipped -= 1;
            } else {
                let offset = self.window().start() + at;
                if visit(&name[..length], inode, offset)? {
                    return Ok(());
                }
                left -= 1;
            }
            at += ENTRY_HEADER_BYTES + length as u64;
        }
        Ok(())
    }

    fn inode(&self, window: &mut Window<R>, number: u64) -> Result<Inode, Error> {
        Inode::read(
            window,
            self.inodes_start + (number - ROOT_INODE) * INODE_BYTES,
        )
    }
}

impl Inode {
    fn read<R: Read + Seek>(window: &mut Window<R>, at: u64) -> Result<Self, Error> {
        let mut bytes = [0; INODE];
        window.read_at(at, &mut bytes)?;
        let mut fields = [0; 4];
        for (field, bytes) in fields.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *field = u64::from_le_bytes(*bytes);
        }
        let [mode, number, data, count] = fields;
        Ok(Self {
            mode,
            number,
            data,
            count,
        })
    }
}

/// The inode and the length of the name.
fn entry_header(header: &[u8; HEADER]) -> (u64, usize) {
    let [inode @ .., low, high] = *header;
    (
        u64::from_le_bytes(inode),
        usize::from(u16::from_le_bytes([low, high])),
    )
}

struct Parser<R> {
    window: Window<R>,
    position: u64,
}

impl<R: Read + Seek> Parser<R> {
    fn corrupt(
        &self,
        structure: &'static str,
        at: u64,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::Corrupt {
            structure,
            offset: self.window.start() + at,
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// Goes over `length` bytes and says where they start.
    fn take(&mut self, structure: &'static str, length: u64) -> Result<u64, Error> {
        let (at, left) = (self.position, self.window.length() - self.position);
        if length > left {
            let expected = format!("{length} bytes");
            return Err(self.corrupt(structure, at, expected, format!("{left} left")));
        }
        self.position += length;
        Ok(at)
    }

    fn entry(&mut self, superblock: &Superblock, named: &mut Seen) -> Result<u64, Error> {
        const WHAT: &str = "ROFS directory entry";
        let at = self.take(WHAT, ENTRY_HEADER_BYTES)?;
        let mut header = [0; HEADER];
        self.window.read_at(at, &mut header)?;
        let (inode, length) = entry_header(&header);
        if inode <= ROOT_INODE || inode > superblock.inodes {
            let expected = format!("an inode of 2 to {}", superblock.inodes);
            return Err(self.corrupt(WHAT, at, expected, inode));
        }
        if named.mark(inode - ROOT_INODE) {
            return Err(self.corrupt(WHAT, at, "an inode not named before", inode));
        }
        if length == 0 || length > NAME_BYTES_MAX {
            let expected = format!("a name of 1 to {NAME_BYTES_MAX} bytes");
            return Err(self.corrupt(WHAT, at + 8, expected, length));
        }
        let name_at = self.take(WHAT, length as u64)?;
        let mut name = [0; NAME_BYTES_MAX];
        let name = &mut name[..length];
        self.window.read_at(name_at, name)?;
        if name == b"." || name == b".." || name.iter().any(|&byte| byte == b'/' || byte == 0) {
            let found = format!("\"{}\"", name.escape_ascii());
            return Err(self.corrupt(WHAT, name_at, "a file's name", found));
        }
        Ok(at)
    }

    fn symlink(&mut self) -> Result<u64, Error> {
        const WHAT: &str = "ROFS symlink";
        let at = self.take(WHAT, SYMLINK_HEADER_BYTES)?;
        let length = self.window.u16_at(at)?;
        self.take(WHAT, u64::from(length))?;
        Ok(at)
    }

    fn inode(
        &mut self,
        number: u64,
        superblock: &Superblock,
        image_bytes: u64,
        owned: &mut Seen,
    ) -> Result<(), Error> {
        const WHAT: &str = "ROFS inode";
        let at = self.take(WHAT, INODE_BYTES)?;
        let inode = Inode::read(&mut self.window, at)?;
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
                    if owned.mark(inode.data + child) {
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

/// Counts are below the size of the structure.
fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
