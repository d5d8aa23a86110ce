//! vmdk in one file, read only (`VMware`'s *Virtual Disk Format 5.0*; QEMU's `block/vmdk.c`).
//!
//! ```text
//!   header ── grain directory ── grain table (512 entries) ── grain (64 KiB)
//!   0  "KDMV"   4  version   8  flags    12 u64 size    20 u64 grain   28 u64 descriptor   36 u64 its length
//!   44 u32 entries of a table   56 u64 grain directory   77 u16 compression
//! ```
//!
//! All numbers are little-endian, and count sectors. `monolithicSparse` has its grains as they are. `streamOptimized` has
//! them compressed, each behind a marker (u64 sector of the disk, u32 length), and says only in a footer, a second header
//! 1024 bytes before the end, where its directory is.
//!
//! The descriptor is text, and tells of parents and of further files: both are refused, and no name is followed.

use std::io::Read;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::blocks::{self, Blocks, Place, inside};
use super::{ReadAt, SharedDisk, le_u16, le_u32, le_u64};
use crate::Error;

pub(crate) const MAGIC: [u8; 4] = *b"KDMV";
/// How a descriptor in a file of its own begins.
pub(crate) const DESCRIPTOR_MAGIC: &[u8] = b"# Disk DescriptorFile";

pub(crate) const SECTOR: u64 = 512;
const HEADER_BYTES: usize = 512;
const FLAG_ZERO_GRAINS: u32 = 1 << 2;
const FLAG_COMPRESSED: u32 = 1 << 16;
const DIRECTORY_AT_END: u64 = u64::MAX;
/// Grains are 64 KiB; 16 MiB are enough for anybody.
const GRAIN_SECTORS_MAX: u64 = 1 << 15;
const TABLE_ENTRIES_MAX: u32 = 512;
const DESCRIPTOR_BYTES_MAX: u64 = 64 << 10;
const MARKER_BYTES: u64 = 12;

/// An open vmdk disk.
#[derive(Debug)]
pub struct Vmdk {
    file: SharedDisk,
    size_bytes: u64,
    grain_bytes: u64,
    table_entries: u64,
    directory_at: u64,
    has_zero_grains: bool,
    is_compressed: bool,
    /// The last grain that was unpacked: where it is, and its bytes.
    unpacked: Mutex<(u64, Vec<u8>)>,
}

pub(super) fn only_a_descriptor() -> Error {
    let what = "its data in other files: it is only the descriptor of a vmdk".to_owned();
    Error::Unsupported { what, offset: 0 }
}

impl Vmdk {
    /// Opens a vmdk file.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for what is no vmdk; [`Error::Corrupt`]; [`Error::Unsupported`] for parents and further files.
    pub fn open(file: SharedDisk) -> Result<Self, Error> {
        let mut header = header_at(&file, 0)?;
        descriptor(&file, &header)?;
        let mut at = 0;
        if le_u64(&header, 56) == DIRECTORY_AT_END {
            at = file.size_bytes().saturating_sub(2 * SECTOR);
            header = header_at(&file, at)?;
        }
        let flags = le_u32(&header, 8);
        let is_compressed = flags & FLAG_COMPRESSED != 0;
        let algorithm = le_u16(&header, 77);
        if is_compressed && algorithm != 1 {
            return Err(corrupt(at + 77, "compression 1 (deflate)", algorithm));
        }
        let grain = le_u64(&header, 20);
        if !(1..=GRAIN_SECTORS_MAX).contains(&grain) || !grain.is_power_of_two() {
            let expected = format!("grains of 1 to {GRAIN_SECTORS_MAX} sectors, a power of two");
            return Err(corrupt(at + 20, expected, grain));
        }
        let table_entries = le_u32(&header, 44);
        if !(1..=TABLE_ENTRIES_MAX).contains(&table_entries) {
            let expected = format!("tables of 1 to {TABLE_ENTRIES_MAX} entries");
            return Err(corrupt(at + 44, expected, table_entries));
        }
        let capacity = le_u64(&header, 12);
        let Some(size_bytes) = capacity.checked_mul(SECTOR) else {
            return Err(corrupt(at + 12, "a size of 64 bits", capacity));
        };
        let grain_bytes = grain * SECTOR;
        let table_entries = u64::from(table_entries);
        let tables = size_bytes.div_ceil(grain_bytes).div_ceil(table_entries);
        let directory = le_u64(&header, 56);
        let directory_at = directory.saturating_mul(SECTOR);
        inside("vmdk", &file, (directory_at, tables * 4), at + 56)?;
        Ok(Self {
            file,
            size_bytes,
            grain_bytes,
            table_entries,
            directory_at,
            has_zero_grains: flags & FLAG_ZERO_GRAINS != 0,
            is_compressed,
            unpacked: Mutex::new((0, Vec::new())),
        })
    }

    fn entry(&self, at: u64) -> Result<u64, Error> {
        let mut entry = [0; 4];
        self.file.read_at(at, &mut entry)?;
        Ok(u64::from(u32::from_le_bytes(entry)))
    }

    fn unpack_grain(&self, at: u64, grain: &mut Vec<u8>) -> Result<(), Error> {
        let mut marker = [0; 12];
        self.file.read_at(at, &mut marker)?;
        let length = u64::from(le_u32(&marker, 8));
        // What does not get smaller gets a little larger.
        let limit = self.grain_bytes + self.grain_bytes / 8 + SECTOR;
        if !(1..=limit).contains(&length) {
            return Err(corrupt(at + 8, format!("1 to {limit} bytes"), length));
        }
        inside("vmdk", &self.file, (at + MARKER_BYTES, length), at + 8)?;
        let mut packed = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_at(at + MARKER_BYTES, &mut packed)?;
        // The disk may end within its last grain.
        grain.clear();
        let mut decoder = flate2::read::ZlibDecoder::new(packed.as_slice()).take(self.grain_bytes);
        if let Err(error) = decoder.read_to_end(grain) {
            let expected = format!("a compressed grain of {} bytes", self.grain_bytes);
            return Err(corrupt(at, expected, error));
        }
        Ok(())
    }
}

fn header_at(file: &SharedDisk, at: u64) -> Result<[u8; HEADER_BYTES], Error> {
    let mut header = [0; HEADER_BYTES];
    let there = usize::try_from(file.size_bytes().saturating_sub(at)).unwrap_or(HEADER_BYTES);
    file.read_at(at, &mut header[..there.min(HEADER_BYTES)])?;
    if header[..4] == MAGIC && there >= HEADER_BYTES {
        return Ok(header);
    }
    let found = format!("it has {:02X?} at byte {at}", &header[..4]);
    Err(Error::WrongKind {
        expected: "a vmdk disk",
        found,
    })
}

/// Refuses what the text inside of the file tells of other files.
fn descriptor(file: &SharedDisk, header: &[u8]) -> Result<(), Error> {
    let (at, length) = (le_u64(header, 28), le_u64(header, 36));
    if at == 0 || length == 0 {
        return Ok(());
    }
    let at = at.saturating_mul(SECTOR);
    let length = length.saturating_mul(SECTOR);
    if length > DESCRIPTOR_BYTES_MAX {
        let expected = format!("a descriptor of at most {DESCRIPTOR_BYTES_MAX} bytes");
        return Err(corrupt(36, expected, length));
    }
    inside("vmdk", file, (at, length), 28)?;
    let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_at(at, &mut text)?;
    let text = String::from_utf8_lossy(&text);
    let text = text.split('\0').next().unwrap_or_default();
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().trim_matches('"'))
        })
    };
    let unsupported = |what: String| Err(Error::Unsupported { what, offset: at });
    if let Some(parent) = value("parentCID")
        && !parent.eq_ignore_ascii_case("ffffffff")
    {
        let hint = value("parentFileNameHint").unwrap_or_default();
        return unsupported(format!(
            "a parent disk (\"{}\")",
            hint.chars().take(200).collect::<String>().escape_default()
        ));
    }
    let is_extent = |line: &&str| {
        ["RW ", "RDONLY ", "NOACCESS "]
            .iter()
            .any(|word| line.starts_with(word))
    };
    if text.lines().filter(is_extent).count() > 1 {
        return unsupported("its data in several files".to_owned());
    }
    Ok(())
}

impl Blocks for Vmdk {
    fn disk_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn block_bytes(&self) -> u64 {
        self.grain_bytes
    }

    fn file(&self) -> &SharedDisk {
        &self.file
    }

    fn place(&self, block: u64, length: u64) -> Result<Place, Error> {
        let directory_at = self.directory_at + block / self.table_entries * 4;
        let table = self.entry(directory_at)?;
        if table == 0 {
            return Ok(Place::Zeros);
        }
        let table_bytes = self.table_entries * 4;
        let table_at = inside(
            "vmdk",
            &self.file,
            (table * SECTOR, table_bytes),
            directory_at,
        )?;
        let entry_at = table_at + block % self.table_entries * 4;
        match self.entry(entry_at)? {
            0 => Ok(Place::Zeros),
            1 if self.has_zero_grains => Ok(Place::Zeros),
            grain if self.is_compressed => {
                let marker = (grain * SECTOR, MARKER_BYTES);
                inside("vmdk", &self.file, marker, entry_at).map(Place::Packed)
            }
            grain => inside("vmdk", &self.file, (grain * SECTOR, length), entry_at).map(Place::At),
        }
    }

    fn unpack(&self, at: u64, from: usize, buffer: &mut [u8]) -> Result<(), Error> {
        let mut kept = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != at {
            // What is half-filled must not be found.
            kept.0 = 0;
            let mut grain = std::mem::take(&mut kept.1);
            self.unpack_grain(at, &mut grain)?;
            *kept = (at, grain);
        }
        let Some(part) = kept.1.get(from..from + buffer.len()) else {
            let expected = format!("a grain of {} bytes", from + buffer.len());
            return Err(corrupt(at, expected, format!("{} bytes", kept.1.len())));
        };
        buffer.copy_from_slice(part);
        Ok(())
    }

    fn skip(&self, block: u64) -> Result<u64, Error> {
        let tables = self
            .size_bytes
            .div_ceil(self.grain_bytes)
            .div_ceil(self.table_entries);
        let mut table = block / self.table_entries;
        if table >= tables || self.entry(self.directory_at + table * 4)? != 0 {
            return Ok(block);
        }
        // Some hundred entries at a time.
        let mut entries = [0; 4096];
        while table < tables {
            let count = usize::try_from((tables - table).min(1024)).unwrap_or(1024);
            let entries = &mut entries[..count * 4];
            self.file.read_at(self.directory_at + table * 4, entries)?;
            if let Some(used) = entries.chunks_exact(4).position(|entry| entry != [0; 4]) {
                return Ok(((table + used as u64) * self.table_entries).max(block));
            }
            table += count as u64;
        }
        Ok(tables * self.table_entries)
    }
}

impl ReadAt for Vmdk {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        blocks::read_at(self, offset, buffer)
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        blocks::next_data(self, offset)
    }
}

fn corrupt(offset: u64, expected: impl Into<String>, found: impl std::fmt::Display) -> Error {
    Error::corrupt("vmdk", offset, expected, found)
}
