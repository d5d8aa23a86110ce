//! The command line in its file, an archive that the kernel unpacks beside the initramfs.
//!
//! ```text
//!     0  zeros, which the kernel skips; entries `windlass` and `windlass/command-line`
//!   512  the line, and empty lines up to 32 KiB
//! 33280  the end of the archive
//! ```
//!
//! The line begins at a sector and keeps its room. GRUB could make the archive itself (`newc:`), but up to 2.06 it leaves out the
//! NUL behind names, and Linux takes no such archive any more.

use std::io::{Seek, SeekFrom, Write};

use super::COMMAND_LINE;
use super::recognise::efi_partition;
use crate::disk::SharedDisk;
use crate::fat::Fat;
use crate::{Error, FileSystem as _, GuestPath};

const SECTOR_BYTES: usize = 512;

/// The room for the line.
const AREA_BYTES: usize = 32 << 10;
const AREA_OFFSET: usize = SECTOR_BYTES;

/// The size of the file.
const FILE_BYTES: usize = AREA_OFFSET + AREA_BYTES + SECTOR_BYTES;

const FOLDER_MODE: u32 = 0o040_755;
const FILE_MODE: u32 = 0o100_644;

/// The longest command line.
pub const COMMAND_LINE_BYTES_MAX: usize = AREA_BYTES - 1;

/// The line, and empty lines.
fn area(command_line: &str) -> Result<Vec<u8>, Error> {
    let refuse = |reason: String| Err(Error::CommandLine { reason });
    if let Some(position) = command_line.find(['\0', '\n', '\r']) {
        return refuse(format!("its byte {position} would end it"));
    }
    if command_line.len() > COMMAND_LINE_BYTES_MAX {
        let length = command_line.len();
        return refuse(format!(
            "it has {length} bytes, the disk has room for {COMMAND_LINE_BYTES_MAX}"
        ));
    }
    let mut area = command_line.as_bytes().to_vec();
    area.resize(AREA_BYTES, b'\n');
    Ok(area)
}

/// The whole file.
pub(super) fn archive(command_line: &str) -> Result<Vec<u8>, Error> {
    let (folder, name) = ("windlass", "windlass/command-line");
    let mut head = header(folder, 1, FOLDER_MODE, 0);
    head.extend(header(name, 2, FILE_MODE, AREA_BYTES));
    let mut bytes = vec![0; AREA_OFFSET.saturating_sub(head.len())];
    bytes.extend(head);
    bytes.extend(area(command_line)?);
    bytes.extend(header("TRAILER!!!", 0, 0, 0));
    bytes.resize(FILE_BYTES, 0);
    Ok(bytes)
}

/// The header of an entry of a `newc` archive with its name (Linux, `driver-api/early-userspace/buffer-format.rst`).
fn header(name: &str, inode: u32, mode: u32, size_bytes: usize) -> Vec<u8> {
    let links = 1;
    let name_bytes = name.len() + 1;
    let mut header = format!(
        "070701{inode:08X}{mode:08X}{:08X}{:08X}{links:08X}{:08X}{size_bytes:08X}{:08X}{:08X}{:08X}{:08X}{name_bytes:08X}{:08X}{name}\0",
        0, 0, 0, 0, 0, 0, 0, 0
    )
    .into_bytes();
    header.resize(header.len().next_multiple_of(4), 0);
    header
}

/// Where the line's room is on the disk, and what is in it.
fn find(disk: &SharedDisk) -> Result<(Vec<u64>, Vec<u8>), Error> {
    let (start_bytes, part) = efi_partition(disk)?;
    let fat = Fat::open(part)?;
    let path = GuestPath::new(COMMAND_LINE).unwrap_or_default();
    let stat = fat.find(&path)?;
    let extents = fat.extents(&stat)?;
    let mut bytes = vec![0; FILE_BYTES];
    let count = fat.read(&stat, 0, &mut bytes)?;
    let mut sectors: Vec<u64> = extents
        .into_iter()
        .flat_map(|extent| extent.step_by(SECTOR_BYTES))
        .map(|at| start_bytes + at)
        .collect();
    let is_ours = count == FILE_BYTES
        && sectors.len() == FILE_BYTES / SECTOR_BYTES
        && bytes[..AREA_OFFSET] == archive("")?[..AREA_OFFSET];
    if !is_ours {
        return Err(Error::corrupt(
            "command line",
            sectors.first().copied().unwrap_or(start_bytes),
            format!("an archive of {FILE_BYTES} bytes in {path}"),
            format!("{count} bytes, or others"),
        ));
    }
    sectors.truncate(FILE_BYTES / SECTOR_BYTES - 1);
    let area = bytes[AREA_OFFSET..AREA_OFFSET + AREA_BYTES].to_vec();
    Ok((sectors.split_off(1), area))
}

/// The sectors that are another in a new command line: where, and what is to be there.
pub(super) fn differences(
    disk: &SharedDisk,
    command_line: &str,
) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let wanted = area(command_line)?;
    let (places, found) = find(disk)?;
    let sectors = wanted.chunks(SECTOR_BYTES).zip(found.chunks(SECTOR_BYTES));
    Ok(places
        .into_iter()
        .zip(sectors)
        .filter(|(_, (new, old))| new != old)
        .map(|(at, (new, _))| (at, new.to_vec()))
        .collect())
}

/// Reads the command line of a disk.
///
/// # Errors
/// [`Error::WrongKind`] for what is no such disk; [`Error::NotFound`] without the file; [`Error::Corrupt`] where it is
/// damaged, or not UTF-8; [`Error::Read`].
pub fn read_command_line(disk: &SharedDisk) -> Result<String, Error> {
    let (sectors, mut bytes) = find(disk)?;
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'\r' | 0));
    bytes.truncate(end.unwrap_or(bytes.len()));
    String::from_utf8(bytes).map_err(|error| {
        let start = sectors.first().copied().unwrap_or(0);
        let at = start + error.utf8_error().valid_up_to() as u64;
        Error::corrupt("command line", at, "UTF-8", "other bytes")
    })
}

/// Replaces the command line of a disk, which is `disk` and `out`; nothing is left of the one before. Only sectors that
/// differ are written: mostly one.
///
/// # Errors
/// [`Error::CommandLine`] where it does not fit; as [`read_command_line`]; [`Error::Write`].
pub fn set_command_line(
    disk: &SharedDisk,
    command_line: &str,
    out: &mut (impl Write + Seek),
) -> Result<(), Error> {
    for (at, bytes) in differences(disk, command_line)? {
        out.seek(SeekFrom::Start(at)).map_err(Error::write(at))?;
        out.write_all(&bytes).map_err(Error::write(at))?;
    }
    out.flush().map_err(Error::write(0))
}
