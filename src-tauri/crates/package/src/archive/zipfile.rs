//! Entries of a `.zip`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::Problem;
use super::unpacker::Unpacker;
use super::{ArchiveError, guard, refused};
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
        listed_entries(&mut file, size_bytes).map_err(|error| unpacker.damaged(None, 0, error))?;
    // Asked before the reader takes the whole list into memory.
    if let Some((_, offset)) = listed.filter(|(listed, _)| *listed > unpacker.limits.entries) {
        return Err(too_many(unpacker, offset));
    }
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| unpacker.damaged(None, 0, io_error(error)))?;
    // The reader keeps one entry of each name; which one the writer meant, nobody knows.
    if listed.is_some_and(|(listed, _)| listed != archive.len() as u64) {
        let start = archive.central_directory_start();
        let twice = name_there_twice(archive.into_inner(), start)
            .map_err(|error| unpacker.damaged(None, start, error))?;
        return Err(match twice {
            Some((name, offset)) => {
                unpacker.refuse(&guard::lossy(&name), offset, Problem::Duplicate)
            }
            None => unpacker.damaged(
                None,
                start,
                io::Error::other("its list has not as many entries as it says"),
            ),
        });
    }
    let consumed = Rc::clone(&unpacker.consumed);
    for index in 0..archive.len() {
        let (raw, offset, is_encrypted) = {
            let entry = archive
                .by_index_raw(index)
                .map_err(|error| unpacker.damaged(None, 0, io_error(error)))?;
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
            Err(error) => return Err(unpacker.damaged(Some(&item.name), offset, io_error(error))),
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
                result.map_err(|error| unpacker.damaged(Some(&item.name), offset, error))?;
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

fn too_many(unpacker: &Unpacker<'_>, offset: u64) -> Error {
    refused(
        unpacker.archive,
        ArchiveError::TooManyEntries {
            limit: unpacker.limits.entries,
            entry: None,
            offset,
        },
    )
}

/// How many entries the end of the archive says that there are, and where it does. Where several
/// ends say it, readers differ in which they believe: the largest number counts.
fn listed_entries(file: &mut File, size_bytes: u64) -> io::Result<Option<(u64, u64)>> {
    let mut end = Vec::new();
    let start = size_bytes.saturating_sub(END_MAX_BYTES);
    file.seek(SeekFrom::Start(start))?;
    file.take(END_MAX_BYTES).read_to_end(&mut end)?;
    file.seek(SeekFrom::Start(0))?;
    let records = (0..end.len()).filter_map(|at| {
        let record = end.get(at..)?;
        let count = if record.starts_with(b"PK\x05\x06") {
            // All ones: the other record says it.
            Some(little_endian(record.get(10..12)?)).filter(|count| *count != 0xffff)?
        } else if record.starts_with(b"PK\x06\x06") {
            little_endian(record.get(32..40)?)
        } else {
            return None;
        };
        Some((count, start + at as u64))
    });
    Ok(records.max())
}

/// The first name that the list at this byte has for the second time, and where that entry begins.
fn name_there_twice(mut file: BufReader<File>, start: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    file.seek(SeekFrom::Start(start))?;
    let mut names = HashSet::new();
    let mut header = [0; 46];
    loop {
        file.read_exact(&mut header)?;
        if !header.starts_with(b"PK\x01\x02") {
            return Ok(None);
        }
        let number = |at: usize| header.get(at..at + 2).map_or(0, little_endian);
        let mut name = vec![0; usize::try_from(number(28)).unwrap_or(0)];
        file.read_exact(&mut name)?;
        let rest = i64::try_from(number(30) + number(32)).unwrap_or(0);
        file.seek_relative(rest)?;
        if !names.insert(name.clone()) {
            return Ok(Some((name, header.get(42..46).map_or(0, little_endian))));
        }
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn io_error(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
