//! Directory blocks.
//!
//! ```text
//!   u32 inode, u16 length of the record, u8 length of the name, u8 kind, name, padding to 4
//! ```
//!
//! The records fill their block. Inode 0 marks an unused one; so look checksums at the end of a block, and
//! the nodes of an index.

use super::Geometry;
use crate::Error;
use crate::disk::{le_u16, le_u32};

const WHAT: &str = "ext4 directory";
const HEADER_BYTES: usize = 8;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) inode: u32,
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
    /// Where it is in the file system.
    pub(crate) at: u64,
}

/// Takes the entries out of a block that lies at `start`, but for `.` and `..`.
pub(super) fn parse(
    start: u64,
    block: &[u8],
    geometry: &Geometry,
    entries: &mut Vec<Entry>,
) -> Result<(), Error> {
    let mut position = 0;
    while position < block.len() {
        let at = start + position as u64;
        let left = block.len() - position;
        if left < HEADER_BYTES {
            return Err(Error::corrupt(
                WHAT,
                at,
                "a record",
                format!("{left} bytes"),
            ));
        }
        let record = &block[position..];
        let length = usize::from(le_u16(record, 4));
        if length < HEADER_BYTES || length % 4 != 0 || length > left {
            let expected = format!("a record of 8 to {left} bytes");
            return Err(Error::corrupt(WHAT, at + 4, expected, length));
        }
        let inode = le_u32(record, 0);
        position += length;
        if inode == 0 {
            continue;
        }
        if inode > geometry.inodes {
            let expected = format!("an inode of 1 to {}", geometry.inodes);
            return Err(Error::corrupt(WHAT, at, expected, inode));
        }
        // Without kinds, the byte belongs to the length.
        let name_bytes = if geometry.has_file_types {
            usize::from(record[6])
        } else {
            usize::from(le_u16(record, 6))
        };
        if name_bytes == 0 || name_bytes > 255 || HEADER_BYTES + name_bytes > length {
            let expected = format!("a name of 1 to {} bytes", (length - HEADER_BYTES).min(255));
            return Err(Error::corrupt(WHAT, at + 6, expected, name_bytes));
        }
        let name = &record[HEADER_BYTES..HEADER_BYTES + name_bytes];
        if name == b"." || name == b".." {
            continue;
        }
        if name.iter().any(|&byte| byte == 0 || byte == b'/') {
            let found = format!("\"{}\"", name.escape_ascii());
            return Err(Error::corrupt(WHAT, at + 8, "a file's name", found));
        }
        let kind = if geometry.has_file_types {
            record[7]
        } else {
            0
        };
        entries.push(Entry {
            inode,
            kind,
            name: name.to_vec(),
            at,
        });
    }
    Ok(())
}
