//! Entries of a `.zip`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::Problem;
use super::{ArchiveError, Unpacker, refused};
use crate::Error;

const LINK_TARGET_MAX_BYTES: u64 = 4096;
const FILE_TYPE_BITS: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// The record at the end, its longest comment, and room for the records of large archives.
const END_MAX_BYTES: u64 = 22 + 0xffff + 256;

pub(super) fn unpack(
    unpacker: &mut Unpacker<'_>,
    mut file: File,
    size_bytes: u64,
) -> Result<(), Error> {
    let listed =
        listed_entries(&mut file, size_bytes).map_err(|error| unpacker.damaged(None, error))?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| unpacker.damaged(None, io_error(error)))?;
    if archive.len() as u64 > unpacker.limits.entries {
        let limit = unpacker.limits.entries;
        return Err(refused(
            unpacker.archive,
            ArchiveError::TooManyEntries { limit },
        ));
    }
    // The reader keeps one entry of each name; which one the writer meant, nobody knows.
    if let Some(listed) = listed.filter(|listed| *listed != archive.len() as u64) {
        let names = archive.len() as u64;
        return Err(refused(
            unpacker.archive,
            ArchiveError::SameNames { listed, names },
        ));
    }
    let consumed = Rc::clone(&unpacker.consumed);
    for index in 0..archive.len() {
        let (raw, offset, is_encrypted) = {
            let entry = archive
                .by_index_raw(index)
                .map_err(|error| unpacker.damaged(None, io_error(error)))?;
            (
                entry.name_raw().to_vec(),
                entry.header_start(),
                entry.encrypted(),
            )
        };
        // Some programs of Windows write its own separators.
        let name: Vec<u8> = if raw.contains(&b'/') {
            raw
        } else {
            raw.iter()
                .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
                .collect()
        };
        let item = unpacker.entry(&name, offset)?;
        if is_encrypted {
            return Err(unpacker.refuse(&item.name, offset, Problem::Encrypted));
        }
        let mut entry = match archive.by_index(index) {
            Ok(entry) => entry,
            Err(ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_)) => {
                return Err(unpacker.refuse(&item.name, offset, Problem::UnknownMethod));
            }
            Err(error) => return Err(unpacker.damaged(Some(&item.name), io_error(error))),
        };
        let mode = entry.unix_mode().unwrap_or(REGULAR | 0o644);
        // The ratio is that of the whole: where entries share their bytes, these count once.
        let read = consumed.get().saturating_add(entry.compressed_size());
        match mode & FILE_TYPE_BITS {
            _ if name.ends_with(b"/") => unpacker.directory(&item)?,
            DIRECTORY => unpacker.directory(&item)?,
            LINK => {
                let mut target = Vec::new();
                let result = entry
                    .by_ref()
                    .take(LINK_TARGET_MAX_BYTES)
                    .read_to_end(&mut target);
                result.map_err(|error| unpacker.damaged(Some(&item.name), error))?;
                unpacker.link(&item, &target)?;
            }
            REGULAR | 0 => {
                consumed.set(read.min(size_bytes));
                unpacker.file(&item, &mut entry, mode & 0o111 != 0)?;
            }
            _ => return Err(unpacker.refuse(&item.name, offset, Problem::Special)),
        }
        consumed.set(read.min(size_bytes));
    }
    Ok(())
}

/// How many entries the end of the archive says that there are.
fn listed_entries(file: &mut File, size_bytes: u64) -> io::Result<Option<u64>> {
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(size_bytes.saturating_sub(END_MAX_BYTES)))?;
    file.take(END_MAX_BYTES).read_to_end(&mut end)?;
    file.seek(SeekFrom::Start(0))?;
    let record = |signature: &[u8]| {
        let at = end.windows(4).rposition(|window| window == signature)?;
        end.get(at..)
    };
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let count = record(b"PK\x05\x06")
        .and_then(|record| record.get(10..12))
        .map(number);
    if count == Some(0xffff) {
        return Ok(record(b"PK\x06\x06")
            .and_then(|record| record.get(32..40))
            .map(number));
    }
    Ok(count)
}

fn io_error(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
