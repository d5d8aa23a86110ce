//! Entries of a `.tar`, plain, gzip, xz or zstd.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use tar::EntryType;

use super::RATIO_FREE_BYTES;
use super::error::Problem;
use super::readers::{Bounded, Counted};
use super::unpacker::Unpacker;
use crate::Error;

/// What describes one entry, long names and attributes with it, is not longer than this.
const HEADERS_MAX_BYTES: u64 = 4 << 20;

/// The most that is kept in memory to unpack xz: twice what `xz -9` needs.
const XZ_MAX_KIBIBYTES: u32 = 128 << 10;

/// How a tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// Told by the first bytes.
    pub fn of(start: &[u8]) -> Self {
        if start.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if start.starts_with(b"\xfd7zXZ\0") {
            Self::Xz
        } else if start.starts_with(b"\x28\xb5\x2f\xfd") {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

pub(super) fn unpack(
    unpacker: &mut Unpacker<'_>,
    file: File,
    compression: Compression,
) -> Result<(), Error> {
    let counted = Counted {
        inner: file,
        consumed: Rc::clone(&unpacker.consumed),
    };
    let buffered = BufReader::with_capacity(64 << 10, counted);
    match compression {
        Compression::None => entries(unpacker, buffered),
        Compression::Gzip => entries(unpacker, MultiGzDecoder::new(buffered)),
        Compression::Xz => {
            let decoder = XzReader::new_mem_limit(buffered, true, XZ_MAX_KIBIBYTES);
            entries(unpacker, decoder)
        }
        Compression::Zstd => {
            // What a frame makes it keep in memory is bounded by the library, to 128 MiB.
            let decoder = zstd::Decoder::with_buffer(buffered)
                .map_err(|error| unpacker.damaged(None, 0, error))?;
            entries(unpacker, decoder)
        }
    }
}

fn entries(unpacker: &mut Unpacker<'_>, inner: impl Read) -> Result<(), Error> {
    let left_bytes = Rc::new(Cell::new(HEADERS_MAX_BYTES));
    let position = Rc::new(Cell::new(0));
    let mut archive = tar::Archive::new(Bounded {
        inner,
        left_bytes: Rc::clone(&left_bytes),
        position: Rc::clone(&position),
    });
    let mut last: Option<String> = None;
    let entries = archive
        .entries()
        .map_err(|error| unpacker.damaged(None, 0, error))?;
    for entry in entries {
        // Its content is counted where it is written.
        left_bytes.set(u64::MAX);
        let mut entry =
            entry.map_err(|error| unpacker.damaged(last.as_deref(), position.get(), error))?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            left_bytes.set(HEADERS_MAX_BYTES);
            continue;
        }
        let name = entry.path_bytes().into_owned();
        let target = entry
            .link_name_bytes()
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default();
        let mode = entry.header().mode().unwrap_or(0o644);
        let item = unpacker.entry(&name, entry.raw_header_position())?;
        match kind {
            EntryType::Directory => unpacker.directory(&item)?,
            // Ancient archives mark folders by a slash at the end of the name alone.
            EntryType::Regular if name.ends_with(b"/") => unpacker.directory(&item)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                unpacker.file(&item, &mut entry, mode & 0o111 != 0)?;
            }
            EntryType::Symlink => unpacker.link(&item, &target)?,
            EntryType::Link => unpacker.second_name(&item, &target)?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Err(unpacker.refuse(&item.name, item.offset, Problem::Special));
            }
            other => {
                return Err(unpacker.refuse(
                    &item.name,
                    item.offset,
                    Problem::UnknownKind(other.as_byte()),
                ));
            }
        }
        last = Some(item.name);
        left_bytes.set(HEADERS_MAX_BYTES);
    }
    left_bytes.set(RATIO_FREE_BYTES);
    // What follows the end is read as well, so that a cut or wrong checksum of the compression shows.
    let mut rest = archive.into_inner();
    let mut buffer = [0; 8192];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => unpacker.report()?,
            Err(error) => return Err(unpacker.damaged(last.as_deref(), position.get(), error)),
        }
    }
}
