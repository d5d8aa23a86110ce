//! The first look at an ext4 file system.

use std::io::{Read, Seek, SeekFrom};

use crate::Error;

const OFFSET: u64 = 1024;
const BYTES: usize = 1024;
const MAGIC_AT: usize = 0x38;
const MAGIC: u16 = 0xEF53;

const STATE_CLEAN: u16 = 1;
const STATE_ERRORS: u16 = 2;
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_64BIT: u32 = 0x80;

/// What matters of an ext4 superblock before a guest gets the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The size of the file system.
    pub size_bytes: u64,
    /// The volume's label.
    pub label: String,
    /// Whether it was unmounted properly and no error was seen.
    pub clean: bool,
    /// Whether it has a journal.
    pub has_journal: bool,
    /// Whether the journal holds changes that are not in place yet: OSv must not write to it then.
    pub needs_recovery: bool,
}

impl Superblock {
    /// Reads the superblock of a file system that is all of `image`.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::WrongKind`] for what is no ext4; [`Error::Corrupt`] for one that is
    /// larger than the image.
    pub fn read(image: &mut (impl Read + Seek)) -> Result<Self, Error> {
        let image_bytes = image.seek(SeekFrom::End(0)).map_err(Error::read(0))?;
        image
            .seek(SeekFrom::Start(OFFSET))
            .map_err(Error::read(OFFSET))?;
        let mut bytes = Vec::new();
        image
            .take(BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(Error::read(OFFSET))?;
        let wrong = |found: String| Error::WrongKind {
            expected: "an ext4 file system",
            found,
        };
        let Ok(bytes) = <[u8; BYTES]>::try_from(bytes) else {
            return Err(wrong(format!("it has only {image_bytes} bytes")));
        };
        if u16_at(&bytes, MAGIC_AT) != MAGIC {
            let found = u16_at(&bytes, MAGIC_AT);
            return Err(wrong(format!(
                "{found:#06x} is at byte 1080 instead of {MAGIC:#06x}"
            )));
        }
        let corrupt = |at: u64, expected: String, found: String| Error::Corrupt {
            structure: "ext4 superblock",
            offset: OFFSET + at,
            expected,
            found,
        };
        let block_shift = u32_at(&bytes, 0x18);
        if block_shift > 6 {
            let expected = "a block size of 1 to 64 KiB".to_owned();
            return Err(corrupt(0x18, expected, format!("2^{block_shift} KiB")));
        }
        let incompatible = u32_at(&bytes, 0x60);
        let mut blocks = u64::from(u32_at(&bytes, 0x04));
        if incompatible & INCOMPAT_64BIT != 0 {
            blocks |= u64::from(u32_at(&bytes, 0x150)) << 32;
        }
        let size_bytes = blocks.saturating_mul(1024 << block_shift);
        if size_bytes > image_bytes {
            let expected = format!("at most the {image_bytes} bytes of the image");
            return Err(corrupt(0x04, expected, format!("{size_bytes} bytes")));
        }
        let label = &bytes[0x78..0x88];
        let label = label.split(|&byte| byte == 0).next().unwrap_or_default();
        let state = u16_at(&bytes, 0x3A);
        Ok(Self {
            size_bytes,
            label: String::from_utf8_lossy(label).into_owned(),
            clean: state & STATE_CLEAN != 0 && state & STATE_ERRORS == 0,
            has_journal: u32_at(&bytes, 0x5C) & COMPAT_HAS_JOURNAL != 0,
            needs_recovery: incompatible & INCOMPAT_RECOVER != 0,
        })
    }
}

/// Whether an ext2, ext3 or ext4 file system starts with these bytes.
pub(crate) fn is_magic(start: &[u8]) -> bool {
    let at = BYTES + MAGIC_AT;
    start.get(at..at + 2) == Some(&MAGIC.to_le_bytes())
}

fn u16_at(bytes: &[u8; BYTES], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8; BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
