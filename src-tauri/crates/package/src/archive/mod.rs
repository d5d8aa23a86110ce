//! Archives from strangers, unpacked whole or refused whole.
//!
//! `.zip`, `.tar`, `.tar.gz`, `.tgz`, `.tar.xz`, `.txz`, `.tar.zst`, and Capstan's `.mpm` (a tar, mostly
//! gzip, whose names begin with a slash). The format is told by the content. What a decompressor keeps in
//! memory is bounded.
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
mod gzip;
mod listen;
mod readers;
mod tarball;
#[cfg(test)]
mod tests;
mod unpacker;
mod write;
mod zipfile;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::IoContext;
use crate::pack::Staging;
use crate::{Error, META_DIRECTORY, Watch};
use guard::Guard;
use tarball::Compression;
use unpacker::Unpacker;

pub use error::{ArchiveError, Problem};
pub use listen::Listen;
pub use write::{Written, write_mpm};

const EXTENSIONS: [&str; 8] = [
    ".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".mpm",
];
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
