//! Archives from strangers, unpacked whole or refused whole.
//!
//! `.zip`, `.tar`, `.tar.gz`, `.tgz`, `.tar.zst`, and Capstan's `.mpm` (a tar, mostly gzip, whose names begin with
//! a slash). The format is told by the content.
//!
//! ```text
//!   into/..  ──>  .windlass-XXXX/content/      every entry through the guard, every byte counted
//!                     └── rename ──> into/     only when all of it was good
//! ```
//!
//! Refused are: names with `..`, absolute ones, links that climb out, entries written through links
//! or given twice, links and descriptions that are there in capital letters too, devices, hard links to
//! anything but a file before them, and what exceeds the limits of number, size and ratio; always
//! with the entry's name and offset. Owners, set-user-id bits and times are not taken over.
//! A single folder that everything is in is left out, except from a package.

mod error;
mod guard;
mod listen;
mod tarball;
#[cfg(test)]
mod tests;
mod write;
mod zipfile;

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::IoContext;
use crate::pack::Staging;
use crate::watch::advance;
use crate::{Error, META_DIRECTORY, Watch};
use guard::{Guard, Kind};
use tarball::Compression;

pub use error::{ArchiveError, Problem};
pub use listen::Listen;
pub use write::{Written, write_mpm};

const EXTENSIONS: [&str; 6] = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".mpm"];
const COPY_BYTES: usize = 128 << 10;
/// So much may come out of any archive, whatever its ratio.
const RATIO_FREE_BYTES: u64 = 64 << 20;

/// The most that an archive may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes, unpacked.
    pub size_bytes: u64,
    /// Bytes unpacked for each byte read, beyond the first 64 MiB.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            size_bytes: 64 << 30,
            ratio: 200,
        }
    }
}

/// What came out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The folder.
    pub root: PathBuf,
    /// How many files and links are in it.
    pub file_count: u64,
    /// How many bytes they are.
    pub size_bytes: u64,
    /// The single folder that everything was in, and that was left out.
    pub stripped: Option<String>,
}

/// Whether this file's name says that it is an archive which [`unpack`] takes.
pub fn is_archive_name(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    // Registries of OSv append the architecture: `osv.bootstrap.mpm.x86_64`.
    let name = name.strip_suffix(".x86_64").unwrap_or(&name);
    EXTENSIONS
        .iter()
        .any(|extension| name.len() > extension.len() && name.ends_with(extension))
}

/// The name of an archive without what says that it is one.
pub fn stem(path: &Path) -> String {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let lower = name.to_ascii_lowercase();
    let end = lower.strip_suffix(".x86_64").unwrap_or(&lower).len();
    let extension = EXTENSIONS
        .iter()
        .filter(|extension| lower[..end].ends_with(**extension))
        .map(|e| e.len())
        .max();
    let end = end - extension.unwrap_or(0);
    name.get(..end)
        .filter(|stem| !stem.is_empty())
        .unwrap_or(&name)
        .to_owned()
}

/// Unpacks an archive as the new folder `into`, all of it or nothing.
///
/// Progress is in bytes of the archive.
///
/// # Errors
///
/// When it is damaged, would write outside, is more than the limits allow, or cannot be read; when
/// `into` is there already or cannot be written; when `watch` cancels.
pub fn unpack(
    archive: &Path,
    into: &Path,
    limits: &Limits,
    watch: &mut dyn Watch,
) -> Result<Unpacked, Error> {
    unpack_heard(archive, into, limits, &mut (), watch)
}

/// As [`unpack`], with somebody who listens to what is in the files.
///
/// # Errors
///
/// As [`unpack`].
pub fn unpack_heard(
    archive: &Path,
    into: &Path,
    limits: &Limits,
    listener: &mut dyn Listen,
    watch: &mut dyn Watch,
) -> Result<Unpacked, Error> {
    if fs::symlink_metadata(into).is_ok() {
        return Err(Error::AlreadyThere {
            path: into.to_path_buf(),
        });
    }
    let metadata = fs::metadata(archive).context("read", archive)?;
    if !metadata.is_file() {
        return Err(refused(archive, ArchiveError::UnknownFormat));
    }
    let mut file = File::open(archive).context("read", archive)?;
    watch.step("Unpacking");
    watch.expect(metadata.len());

    let mut start = Vec::new();
    file.by_ref()
        .take(512)
        .read_to_end(&mut start)
        .context("read", archive)?;
    file.seek(SeekFrom::Start(0)).context("read", archive)?;
    let is_package = archive.file_name().is_some_and(|name| {
        let name = name.to_string_lossy().to_ascii_lowercase();
        name.contains(".mpm")
    });
    let staging = Staging::begin(into)?;
    let mut unpacker = Unpacker {
        archive,
        guard: Guard::new(folds_case(staging.root())?),
        staging,
        limits,
        listener,
        watch,
        buffer: vec![0; COPY_BYTES],
        consumed: Rc::default(),
        reported_bytes: 0,
        entries: 0,
        may_be_absolute: is_package,
    };
    let compression = Compression::of(&start);
    if compression != Compression::None || start.get(257..262) == Some(b"ustar") || is_package {
        tarball::unpack(&mut unpacker, file, compression)?;
    } else if start.starts_with(b"PK") {
        zipfile::unpack(&mut unpacker, file, metadata.len())?;
    } else {
        return Err(refused(archive, ArchiveError::UnknownFormat));
    }
    let mut staging = unpacker.staging;
    let stripped = if is_package {
        None
    } else {
        single_folder(staging.root())?
    };
    if let Some(folder) = &stripped {
        staging.descend(Path::new(folder))?;
    }
    let (file_count, size_bytes) = (staging.file_count, staging.size_bytes);
    Ok(Unpacked {
        root: staging.finish(false)?,
        file_count,
        size_bytes,
        stripped,
    })
}

/// Whether the file system that a new, empty folder is on takes `A` for `a`.
fn folds_case(folder: &Path) -> Result<bool, Error> {
    let small = folder.join("windlass-probe");
    File::create_new(&small).context("create", &small)?;
    let folds = fs::symlink_metadata(folder.join("WINDLASS-PROBE")).is_ok();
    fs::remove_file(&small).context("remove", &small)?;
    Ok(folds)
}

fn refused(archive: &Path, source: ArchiveError) -> Error {
    Error::Archive {
        path: archive.to_path_buf(),
        source,
    }
}

/// The name of the only thing in a folder, where that is a folder and not a package's `meta`.
fn single_folder(root: &Path) -> Result<Option<String>, Error> {
    let mut entries = fs::read_dir(root).context("list", root)?;
    let (Some(first), None) = (entries.next(), entries.next()) else {
        return Ok(None);
    };
    let first = first.context("list", root)?;
    let is_folder = first.file_type().context("list", root)?.is_dir();
    Ok(first
        .file_name()
        .into_string()
        .ok()
        .filter(|name| is_folder && name != META_DIRECTORY))
}

/// What the readers of both formats write through.
struct Unpacker<'a> {
    archive: &'a Path,
    staging: Staging,
    guard: Guard,
    limits: &'a Limits,
    listener: &'a mut dyn Listen,
    watch: &'a mut dyn Watch,
    /// Every file goes through it.
    buffer: Vec<u8>,
    /// Bytes of the archive that were read.
    consumed: Rc<Cell<u64>>,
    reported_bytes: u64,
    entries: u64,
    may_be_absolute: bool,
}

/// An entry on its way.
struct Entry {
    name: String,
    offset: u64,
    path: Vec<u8>,
}

impl Unpacker<'_> {
    fn refuse(&self, name: &str, offset: u64, problem: Problem) -> Error {
        refused(
            self.archive,
            ArchiveError::Entry {
                entry: name.to_owned(),
                offset,
                problem,
            },
        )
    }

    fn damaged(&self, entry: Option<&str>, offset: u64, source: std::io::Error) -> Error {
        refused(
            self.archive,
            ArchiveError::Damaged {
                entry: entry.map(str::to_owned),
                offset,
                source,
            },
        )
    }

    /// Lets an entry in, by its name.
    fn entry(&mut self, name: &[u8], offset: u64) -> Result<Entry, Error> {
        let shown = guard::lossy(name);
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(refused(
                self.archive,
                ArchiveError::TooManyEntries {
                    limit: self.limits.entries,
                    entry: Some(shown),
                    offset,
                },
            ));
        }
        self.report()?;
        match guard::path(name, self.may_be_absolute) {
            Ok(path) => Ok(Entry {
                name: shown,
                offset,
                path,
            }),
            Err(problem) => Err(self.refuse(&shown, offset, problem)),
        }
    }

    fn report(&mut self) -> Result<(), Error> {
        let bytes = self.consumed.get().saturating_sub(self.reported_bytes);
        self.reported_bytes = self.consumed.get();
        advance(self.watch, bytes)
    }

    /// Whether the entry is to be written; a folder may be there already.
    fn take(&mut self, entry: &Entry, kind: Kind) -> Result<bool, Error> {
        match self.guard.take(&entry.path, kind) {
            Ok(taken) => Ok(taken.is_some()),
            Err(problem) => Err(self.refuse(&entry.name, entry.offset, problem)),
        }
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), Error> {
        if self.take(entry, Kind::Directory)? {
            self.staging.directory(guest(&entry.path))
        } else {
            Ok(())
        }
    }

    fn link(&mut self, entry: &Entry, target: &[u8]) -> Result<(), Error> {
        guard::check_link(&entry.path, target)
            .map_err(|problem| self.refuse(&entry.name, entry.offset, problem))?;
        self.take(entry, Kind::Link)?;
        self.staging.link(guest(&entry.path), guest(target))
    }

    fn file(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        is_executable: bool,
    ) -> Result<(), Error> {
        self.take(entry, Kind::File)?;
        let mode = if is_executable { 0o755 } else { 0o644 };
        let (path, mut output) = self.staging.create(guest(&entry.path), mode)?;
        self.listener.begin(guest(&entry.path), is_executable);
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.damaged(Some(&entry.name), entry.offset, error)),
            };
            self.count(count as u64, entry)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            self.listener.bytes(bytes);
            std::io::Write::write_all(&mut output, bytes).context("write", &path)?;
        }
        self.buffer = buffer;
        Ok(())
    }

    /// A second name for a file becomes a file of its own.
    fn second_name(&mut self, entry: &Entry, target: &[u8]) -> Result<(), Error> {
        let problem = || Problem::HardLink {
            target: guard::lossy(target),
        };
        let found = guard::path(target, self.may_be_absolute)
            .ok()
            .filter(|path| self.guard.is_file(path));
        let Some(target) = found else {
            return Err(self.refuse(&entry.name, entry.offset, problem()));
        };
        let host = self.staging.root().join(guest(&target));
        let mut file = File::open(&host).context("read", &host)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &file.metadata().context("read", &host)?.permissions(),
        );
        self.file(entry, &mut file, mode & 0o111 != 0)
    }

    fn count(&mut self, bytes: u64, entry: &Entry) -> Result<(), Error> {
        self.staging.size_bytes += bytes;
        let unpacked = self.staging.size_bytes;
        if unpacked > self.limits.size_bytes {
            let limit = self.limits.size_bytes;
            return Err(refused(
                self.archive,
                ArchiveError::TooLarge {
                    limit,
                    entry: entry.name.clone(),
                    offset: entry.offset,
                },
            ));
        }
        let allowed = self
            .consumed
            .get()
            .saturating_mul(self.limits.ratio)
            .saturating_add(RATIO_FREE_BYTES);
        if unpacked > allowed {
            let limit = self.limits.ratio;
            return Err(refused(
                self.archive,
                ArchiveError::Bomb {
                    limit,
                    entry: entry.name.clone(),
                    offset: entry.offset,
                },
            ));
        }
        self.report()
    }
}

fn guest(path: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path))
}

/// A reader that counts what was read of it.
struct Counted<R> {
    inner: R,
    consumed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.consumed.set(self.consumed.get() + count as u64);
        Ok(count)
    }
}

/// A reader that says how far it is, and ends with an error when more is read than it may: for what the reader of an archive
/// takes into memory by itself, such as long names, and for what follows the last entry.
struct Bounded<R> {
    inner: R,
    /// How many bytes may still be read.
    left_bytes: Rc<Cell<u64>>,
    position: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position.set(self.position.get() + count as u64);
        match self.left_bytes.get().checked_sub(count as u64) {
            Some(left_bytes) => self.left_bytes.set(left_bytes),
            None => {
                return Err(std::io::Error::other(
                    "there is absurdly much between or behind its entries",
                ));
            }
        }
        Ok(count)
    }
}
