//! stub
use std::path::{Path, PathBuf};

use crate::{Error, Watch};

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Stub.
    #[error("stub")]
    Stub,
}

impl ArchiveError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// The most that an archive may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes, unpacked.
    pub size_bytes: u64,
    /// Bytes unpacked for each byte packed, beyond the first 64 MiB.
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
    todo!("{path:?}")
}

/// Unpacks an archive as the new folder `into`, all of it or nothing.
///
/// # Errors
///
/// When it is damaged, would write outside, is more than the limits allow, or cannot be read.
pub fn unpack(
    archive: &Path,
    into: &Path,
    limits: &Limits,
    watch: &mut dyn Watch,
) -> Result<Unpacked, Error> {
    todo!(
        "{archive:?} {into:?} {limits:?} {}",
        watch.advance(0).is_break()
    )
}
