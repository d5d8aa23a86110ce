//! Whoever needs the bytes of files that are unpacked hears them on their way, and need not read them again.

use std::path::Path;

/// Hears every file while it is unpacked, one after the other. `()` does not listen.
pub trait Listen {
    /// A file begins; what was heard before it was all of the file before it.
    ///
    /// `path` is its place in the archive: where a single folder is left out, it begins with that folder.
    fn begin(&mut self, path: &Path, is_executable: bool);

    /// More of it.
    fn bytes(&mut self, bytes: &[u8]);
}

impl Listen for () {
    fn begin(&mut self, _path: &Path, _is_executable: bool) {}

    fn bytes(&mut self, _bytes: &[u8]) {}
}
