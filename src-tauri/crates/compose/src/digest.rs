//! Digests of files, remembered.

use std::path::PathBuf;

/// Remembers the digests of files by path, size, time of change and inode.
#[derive(Debug, Default)]
pub struct DigestCache {
    path: Option<PathBuf>,
}
