//! Packages stay while somebody reads them.
//!
//! ```text
//!   a build ── shared lock ─────> packages/node-20/9c0e44d1a7b35f02/ <── exclusive, or not at all ── prune
//! ```
//!
//! The lock is on the package's folder itself, and ends with the process that holds it. A package is looked for by the name of
//! its folder once it is locked: what was removed meanwhile is not held.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::no_package;
use crate::error::{Error, IoContext};
use crate::library::{Library, WriteLock};

/// Packages that stay as long as this does. Of pruning alone: who removes one by its name is asked for nothing.
#[derive(Debug, Default)]
pub struct Lease {
    _folders: Vec<File>,
}

/// The right to remove a package.
#[derive(Debug)]
pub(crate) struct Unread {
    _folder: File,
}

impl Library {
    /// Sees to it that the packages with these trees are not pruned. What is no tree of the library is passed over.
    ///
    /// # Errors
    /// [`Error::NoPackage`] where one has been removed; when it cannot be locked.
    pub fn lease<'a>(&self, trees: impl IntoIterator<Item = &'a Path>) -> Result<Lease, Error> {
        let packages = self.packages_folder();
        let mut folders = Vec::new();
        for tree in trees {
            let (Some(folder), Ok(within)) = (tree.parent(), tree.strip_prefix(&packages)) else {
                continue;
            };
            let name = within.iter().next().unwrap_or_default();
            let gone = || no_package(&name.to_string_lossy());
            let lock = match File::open(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone()),
                opened => opened.context("open", folder)?,
            };
            lock.lock_shared().context("lock", folder)?;
            let is_there = fs::symlink_metadata(folder).is_ok_and(|there| {
                lock.metadata()
                    .is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
            });
            if !is_there {
                return Err(gone());
            }
            folders.push(lock);
        }
        Ok(Lease { _folders: folders })
    }
}

impl Unread {
    /// The right to remove a package's folder, until it is dropped; `None` while somebody reads it.
    pub(crate) fn of(_lock: &WriteLock, folder: &Path) -> Result<Option<Self>, Error> {
        let lock = File::open(folder).context("open", folder)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { _folder: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("lock", folder),
        }
    }
}
