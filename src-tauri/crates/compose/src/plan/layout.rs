//! A plan as a folder: for guests that see it as it is, with no image made.
//!
//! Files are hard links where the file system allows, so that laying out costs no space and hardly any time, and copies
//! that share their blocks or not where it does not. Nobody may write to them: guests see the folder read-only, or write
//! into a layer above it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::{EntryKind, Origin, Plan};

impl Plan {
    /// Makes the merged tree in `folder`, which is empty. Where it fails, part of the tree is there.
    ///
    /// # Errors
    /// Where something cannot be read or made; the message names it.
    pub fn lay_out(&self, folder: &Path) -> io::Result<()> {
        let mut modes = Vec::new();
        // Parents come before what is in them.
        for (path, entry) in self.entries() {
            let place = path.below(folder);
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", place.display()))
            };
            match (&entry.kind, &entry.origin) {
                (EntryKind::Symlink { target }, _) => {
                    symlink(std::ffi::OsStr::from_bytes(target), &place).map_err(named)?;
                }
                (EntryKind::File, Origin::Made(bytes)) => {
                    fs::write(&place, bytes).map_err(named)?;
                    fs::set_permissions(&place, Permissions::from_mode(entry.mode))
                        .map_err(named)?;
                }
                (EntryKind::File, Origin::Host { folder, .. }) => {
                    let source = path.below(folder);
                    if fs::hard_link(&source, &place).is_err() {
                        fs::copy(&source, &place).map_err(named)?;
                    }
                }
                _ => {
                    fs::create_dir_all(&place).map_err(named)?;
                    modes.push((place, entry.mode));
                }
            }
        }
        // Last: one that cannot be written could not be filled.
        for (place, mode) in modes.into_iter().rev() {
            fs::set_permissions(&place, Permissions::from_mode(mode | 0o700))?;
        }
        Ok(())
    }
}
