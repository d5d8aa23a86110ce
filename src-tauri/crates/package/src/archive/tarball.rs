//! Entries of a `.tar`, plain or gzip.

use std::fs::File;
use std::io::{BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use super::error::Problem;
use super::{Bounded, Counted, Unpacker};
use crate::Error;

pub(super) fn unpack(unpacker: &mut Unpacker<'_>, file: File, is_gzip: bool) -> Result<(), Error> {
    let counted = Counted {
        inner: file,
        consumed: Rc::clone(&unpacker.consumed),
    };
    let buffered = BufReader::with_capacity(64 << 10, counted);
    if is_gzip {
        let bounded = Bounded {
            inner: MultiGzDecoder::new(buffered),
            consumed: Rc::clone(&unpacker.consumed),
            ratio: unpacker.limits.ratio,
            unpacked: 0,
        };
        entries(unpacker, bounded)
    } else {
        entries(unpacker, buffered)
    }
}

fn entries(unpacker: &mut Unpacker<'_>, reader: impl Read) -> Result<(), Error> {
    let mut archive = tar::Archive::new(reader);
    let mut last: Option<String> = None;
    let entries = archive
        .entries()
        .map_err(|error| unpacker.damaged(None, error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| unpacker.damaged(last.as_deref(), error))?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
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
    }
    // What follows the end is read as well, so that a cut or wrong checksum of the compression shows.
    let mut rest = archive.into_inner();
    let mut buffer = [0; 8192];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => unpacker.report()?,
            Err(error) => return Err(unpacker.damaged(last.as_deref(), error)),
        }
    }
}
