//! A package folder as one `.mpm`, always the same bytes for the same files.
//!
//! What Capstan writes and reads: a gzip tar whose names begin with a slash, with folders, regular
//! files and symbolic links. Names are sorted, owners and times are nobody's and 1970, modes 755 or
//! 644. Left out are the package's own `*.mpm` and `mpm-pkg`, as Capstan does, and `.git`, `volumes`
//! and what `.capstanignore` names, which never get into an image either; `meta` is in it.

use std::io::Write;
use std::path::Path;

use crate::{Error, Watch};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Files and links.
    pub file_count: u64,
    /// The bytes of the files.
    pub content_bytes: u64,
    /// The bytes of the archive.
    pub size_bytes: u64,
    /// The SHA-256 digest of the archive, in lower-case hexadecimal.
    pub sha256: String,
}

/// Writes a package folder as an `.mpm`. Progress is in bytes of the files.
///
/// # Errors
///
/// When the folder is not there or something in it cannot be read, is a device or the like, or changes
/// meanwhile; when `out` cannot be written; when `watch` cancels.
pub fn write_mpm(
    folder: &Path,
    out: &mut dyn Write,
    watch: &mut dyn Watch,
) -> Result<Written, Error> {
    let _ = (out, watch);
    Err(Error::NoFolder {
        path: folder.to_path_buf(),
    })
}
