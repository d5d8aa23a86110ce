//! The files of a volume as a tar archive.
//!
//! Sorted by path, owned by root, times as the file system has them: the same volume gives the same bytes. Permissions that
//! the file system does not have become those of programs. Devices, sockets and pipes are left out.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ::tar::{Builder, EntryType, Header};

use crate::file_system::{FileSystem, FileSystemKind, Stat, StatKind, walk};
use crate::{Error, Watch};

/// Where a file system has no permissions, everything may be a program.
const UNKNOWN_MODE: u32 = 0o755;

/// What a tar archive holds.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The sizes of all files together.
    pub(super) bytes: u64,
    /// How many devices, sockets and pipes are not in it.
    pub(super) left_out: u64,
}

pub(super) fn write<W: Write>(
    file_system: &dyn FileSystem,
    out: W,
    watch: &mut (impl Watch + ?Sized),
) -> Result<Written, Error> {
    let mut builder = Builder::new(out);
    let mut written = Written::default();
    for stat in walk(file_system) {
        let stat = stat?;
        if is_empty_lost_and_found(file_system, &stat)? {
            continue;
        }
        let mut header = Header::new_gnu();
        header.set_mode(stat.mode.unwrap_or(UNKNOWN_MODE) & 0o7777);
        header.set_mtime(u64::try_from(stat.modified_seconds.unwrap_or(0)).unwrap_or(0));
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        let path = Path::new(OsStr::from_bytes(stat.path.as_bytes()));
        let failed = Error::write(written.bytes);
        match &stat.kind {
            StatKind::Directory => {
                header.set_entry_type(EntryType::Directory);
                let mut name = stat.path.as_bytes().to_vec();
                name.push(b'/');
                let path = Path::new(OsStr::from_bytes(&name));
                builder
                    .append_data(&mut header, path, io::empty())
                    .map_err(failed)?;
            }
            StatKind::Symlink { target } => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                let target = Path::new(OsStr::from_bytes(target));
                builder
                    .append_link(&mut header, path, target)
                    .map_err(failed)?;
            }
            StatKind::File { size_bytes } => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(*size_bytes);
                let mut content = Content {
                    file_system,
                    file: &stat,
                    size_bytes: *size_bytes,
                    position: 0,
                    watch,
                    error: None,
                };
                let appended = builder.append_data(&mut header, path, &mut content);
                if let Some(error) = content.error {
                    return Err(error);
                }
                appended.map_err(failed)?;
                written.bytes += size_bytes;
            }
            StatKind::Special { .. } => written.left_out += 1,
        }
        if watch.advance(0).is_break() {
            return Err(Error::Cancelled);
        }
    }
    let failed = Error::write(written.bytes);
    builder
        .into_inner()
        .and_then(|mut out| out.flush())
        .map_err(failed)?;
    Ok(written)
}

/// Every ext4 has one, and whoever unpacks the archive into another gets that one's.
fn is_empty_lost_and_found(file_system: &dyn FileSystem, stat: &Stat) -> Result<bool, Error> {
    let is_it = stat.path.as_bytes() == b"lost+found"
        && stat.kind == StatKind::Directory
        && file_system.kind() == FileSystemKind::Ext4;
    Ok(is_it && file_system.list(stat)?.is_empty())
}

/// A file's bytes, as many as it is said to have.
struct Content<'a, W: ?Sized> {
    file_system: &'a dyn FileSystem,
    file: &'a Stat,
    size_bytes: u64,
    position: u64,
    watch: &'a mut W,
    error: Option<Error>,
}

impl<W: Watch + ?Sized> Content<'_, W> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let left = self.size_bytes - self.position;
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self
            .file_system
            .read(self.file, self.position, &mut buffer[..wanted])?;
        if count == 0 && left > 0 {
            let expected = format!("{} bytes at {}", self.size_bytes, self.file.path);
            return Err(Error::corrupt(
                "file",
                self.position,
                expected,
                self.position,
            ));
        }
        self.position += count as u64;
        if self.watch.advance(count as u64).is_break() {
            return Err(Error::Cancelled);
        }
        Ok(count)
    }
}

impl<W: Watch + ?Sized> Read for Content<'_, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|error| {
            self.error = Some(error);
            io::Error::other("the image cannot be read")
        })
    }
}
