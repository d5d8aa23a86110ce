//! The command line in its place behind the boot sector.

use std::io::{Read, Seek, SeekFrom, Write};

use super::recognise;
use crate::Error;
use crate::mbr::read_boot_sector;

/// Where the command line is.
pub const COMMAND_LINE_OFFSET: u64 = 512;

/// The boot code reads sectors 1 to 63.
pub(super) const COMMAND_LINE_AREA_BYTES: usize = 63 * 512;

/// The longest command line, without its NUL.
pub const COMMAND_LINE_BYTES_MAX: usize = COMMAND_LINE_AREA_BYTES - 1;

/// The whole area: the command line, its NUL and zeros.
pub(super) fn area(command_line: &str) -> Result<Vec<u8>, Error> {
    if let Some(position) = command_line.find('\0') {
        let reason = format!("its byte {position} is a NUL, which would end it");
        return Err(Error::CommandLine { reason });
    }
    if command_line.len() > COMMAND_LINE_BYTES_MAX {
        let length = command_line.len();
        let reason =
            format!("it has {length} bytes, the boot sector reads {COMMAND_LINE_BYTES_MAX}");
        return Err(Error::CommandLine { reason });
    }
    let mut area = command_line.as_bytes().to_vec();
    area.resize(COMMAND_LINE_AREA_BYTES, 0);
    Ok(area)
}

/// Reads the command line of a disk, up to its NUL: what follows may be anything.
///
/// # Errors
/// [`Error::Read`]; [`Error::WrongKind`] for what is not OSv's disk; [`Error::Corrupt`] where it does
/// not end, or is not UTF-8.
pub fn read_command_line(disk: &mut (impl Read + Seek)) -> Result<String, Error> {
    check_is_osv(disk)?;
    disk.seek(SeekFrom::Start(COMMAND_LINE_OFFSET))
        .map_err(Error::read(COMMAND_LINE_OFFSET))?;
    let mut area = Vec::new();
    disk.take(COMMAND_LINE_AREA_BYTES as u64)
        .read_to_end(&mut area)
        .map_err(Error::read(COMMAND_LINE_OFFSET))?;
    let corrupt = |at: usize, expected: &str, found: &str| Error::Corrupt {
        structure: "command line",
        offset: COMMAND_LINE_OFFSET + at as u64,
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    let Some(end) = area.iter().position(|&byte| byte == 0) else {
        return Err(corrupt(area.len(), "a NUL at its end", "none"));
    };
    area.truncate(end);
    String::from_utf8(area)
        .map_err(|error| corrupt(error.utf8_error().valid_up_to(), "UTF-8", "other bytes"))
}

/// Replaces the command line of a disk; nothing is left of the one before.
///
/// # Errors
/// [`Error::CommandLine`] where it does not fit; [`Error::WrongKind`] for what is not OSv's disk;
/// [`Error::Read`], [`Error::Write`].
pub fn set_command_line(
    disk: &mut (impl Read + Write + Seek),
    command_line: &str,
) -> Result<(), Error> {
    let area = area(command_line)?;
    check_is_osv(disk)?;
    disk.seek(SeekFrom::Start(COMMAND_LINE_OFFSET))
        .map_err(Error::write(COMMAND_LINE_OFFSET))?;
    disk.write_all(&area)
        .map_err(Error::write(COMMAND_LINE_OFFSET))?;
    disk.flush().map_err(Error::write(COMMAND_LINE_OFFSET))
}

fn check_is_osv(disk: &mut (impl Read + Seek)) -> Result<(), Error> {
    let sector = read_boot_sector(disk)?;
    match recognise(&sector) {
        Some(_) => Ok(()),
        None => Err(Error::WrongKind {
            expected: "an OSv disk",
            found: format!("its boot sector starts with {:02X?}", &sector[..5]),
        }),
    }
}
