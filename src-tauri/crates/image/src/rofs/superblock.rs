//! The first block.

use super::{BLOCK_BYTES, ENTRY_HEADER_BYTES, INODE_BYTES, SYMLINK_HEADER_BYTES};
use crate::Error;

const MAGIC: u64 = 0xDEAD_BEAD;
const VERSION: u64 = 1;

/// A guest reads all tables into memory when it mounts: this much is enough for millions of files.
const STRUCTURE_BYTES_MAX: u64 = 1 << 30;

/// The first block of a ROFS file system, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Where the tables start, in blocks.
    pub structure_first_block: u64,
    /// How many blocks they take.
    pub structure_blocks: u64,
    /// How many directory entries there are.
    pub directory_entries: u64,
    /// How many symlinks there are.
    pub symlinks: u64,
    /// How many inodes there are; the first is the root directory.
    pub inodes: u64,
}

impl Superblock {
    /// The bytes of the fields; the rest of the block is zero.
    pub(super) const BYTES: usize = 64;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let fields = [
            MAGIC,
            VERSION,
            BLOCK_BYTES,
            self.structure_first_block,
            self.structure_blocks,
            self.directory_entries,
            self.symlinks,
            self.inodes,
        ];
        let mut bytes = [0; Self::BYTES];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Whether these are the first bytes of a ROFS.
    pub(super) fn is_magic(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC.to_le_bytes())
    }

    /// Takes the fields apart and checks them against the size of the image.
    pub(super) fn from_bytes(bytes: &[u8; Self::BYTES], image_bytes: u64) -> Result<Self, Error> {
        let mut fields = [0; 8];
        for (field, place) in fields.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *field = u64::from_le_bytes(*place);
        }
        let [
            magic,
            version,
            block_bytes,
            first,
            blocks,
            entries,
            symlinks,
            inodes,
        ] = fields;
        if magic != MAGIC {
            let found = format!("it starts with {magic:#018x} instead of {MAGIC:#018x}");
            return Err(Error::WrongKind {
                expected: "a ROFS file system",
                found,
            });
        }
        expect(version == VERSION, 8, "version 1", version)?;
        expect(
            block_bytes == BLOCK_BYTES,
            16,
            "a block size of 512",
            block_bytes,
        )?;
        expect(first >= 1, 24, "a structure behind the superblock", first)?;
        let image_blocks = image_bytes / BLOCK_BYTES;
        expect(
            first <= image_blocks,
            24,
            &format!("at most {image_blocks} blocks"),
            first,
        )?;
        let most = (image_blocks - first).min(STRUCTURE_BYTES_MAX / BLOCK_BYTES);
        expect(
            blocks <= most,
            32,
            &format!("a structure of at most {most} blocks"),
            blocks,
        )?;
        let room = blocks * BLOCK_BYTES;
        let table = |offset, what: &str, room: u64, count: u64, record_bytes: u64| {
            let most = room / record_bytes;
            expect(
                count <= most,
                offset,
                &format!("at most {most} {what}"),
                count,
            )?;
            Ok(room - count * record_bytes)
        };
        let room = table(40, "directory entries", room, entries, ENTRY_HEADER_BYTES)?;
        let room = table(48, "symlinks", room, symlinks, SYMLINK_HEADER_BYTES)?;
        table(56, "inodes", room, inodes, INODE_BYTES)?;
        expect(inodes >= 1, 56, "a root inode", inodes)?;
        // Each of both is what one inode is: tables that say nothing are not gone over.
        let most = inodes - 1;
        let told = |what: &str| format!("at most {most} {what} for {inodes} inodes");
        expect(entries <= most, 40, &told("directory entries"), entries)?;
        expect(symlinks <= most, 48, &told("symlinks"), symlinks)?;
        Ok(Self {
            structure_first_block: first,
            structure_blocks: blocks,
            directory_entries: entries,
            symlinks,
            inodes,
        })
    }
}

fn expect(right: bool, offset: u64, expected: &str, found: u64) -> Result<(), Error> {
    if right {
        return Ok(());
    }
    Err(Error::Corrupt {
        structure: "ROFS superblock",
        offset,
        expected: expected.to_owned(),
        found: found.to_string(),
    })
}
