//! From an entry to a file that may be used.

pub(crate) mod file;

use std::path::PathBuf;

use crate::Sha256;

/// A file that was fetched, and is what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file, unpacked where it came as `.gz`.
    pub path: PathBuf,
    /// The digest of what was transferred.
    pub sha256: Sha256,
    /// The bytes of the file at `path`.
    pub size_bytes: u64,
    /// Whether what was transferred was unpacked.
    pub unpacked: bool,
    /// The trusted comment of its signature, where the registry has a key.
    pub signature: Option<String>,
    /// Whether its digest was seen for the first time.
    pub first_seen: bool,
}
