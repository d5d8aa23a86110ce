//! Room for what is being made: folders in `temporary/` of the home, gone when they are dropped or their process has ended.
//!
//! ```text
//! temporary/
//! ├── k3Xw9a.lock     held by whoever works in the folder, made before it and removed after it
//! └── k3Xw9a/
//! ```
//!
//! A lock ends with its process, so that a folder whose lock is free is one of a process that was killed. Whoever begins to
//! work sweeps those. Nothing waits for another: long work, such as unpacking, needs no lock of the whole library.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext};
use crate::file::remove_tree;
use crate::library::Library;

const LOCK_EXTENSION: &str = "lock";

/// How many digits a folder's name has.
const NAME_DIGITS: usize = 16;

/// A folder for something that is being made. Dropped, it disappears with all that is in it.
#[derive(Debug)]
pub struct Workplace {
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Workplace {
    /// The folder, on the same file system as the library.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "a temporary folder stays until the next start");
            return;
        }
        // What stays is swept by the next.
        let _ = fs::remove_file(&self.lock_path);
    }
}

impl Library {
    /// A folder of the home to make something in. What processes left that were killed is swept.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn workplace(&self) -> Result<Workplace, Error> {
        let parent = self.temporary_folder();
        fs::create_dir_all(&parent).context("create", &parent)?;
        sweep(&parent);
        loop {
            let name = random_name();
            let lock_path = parent.join(&name).with_extension(LOCK_EXTENSION);
            let lock = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&lock_path)
                .context("create", &lock_path)?;
            // Somebody who sweeps may have been quicker; then it is theirs to remove.
            match lock.try_lock() {
                Ok(()) if is_at(&lock, &lock_path) => {}
                Ok(()) | Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error).context("lock", &lock_path),
            }
            let folder = parent.join(&name);
            fs::create_dir(&folder).context("create", &folder)?;
            return Ok(Workplace {
                folder,
                lock_path,
                _lock: lock,
            });
        }
    }

    /// The bytes in folders of processes that were killed.
    pub(crate) fn left_bytes(&self) -> u64 {
        let parent = self.temporary_folder();
        let left = left(&parent).into_iter();
        left.map(|(folder, _lock, _)| crate::file::tree_bytes(&folder))
            .sum()
    }
}

/// Removes what killed processes left.
pub(crate) fn sweep(parent: &Path) {
    for (folder, _lock, lock_path) in left(parent) {
        match remove_tree(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %folder.display(), %error, "could not sweep");
            }
            _ => drop(fs::remove_file(&lock_path)),
        }
    }
}

/// The folders whose process has ended, with their locks, which are ours now.
fn left(parent: &Path) -> Vec<(PathBuf, File, PathBuf)> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut left = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_lock = path
            .extension()
            .is_some_and(|extension| extension == LOCK_EXTENSION);
        let lock_path = path.with_extension(LOCK_EXTENSION);
        // A folder without a lock is one whose removal was cut short.
        if !is_lock && lock_path.exists() {
            continue;
        }
        let lock = OpenOptions::new()
            .create(!is_lock)
            .truncate(false)
            .write(true)
            .open(&lock_path);
        let Ok(lock) = lock else { continue };
        if lock.try_lock().is_ok() && is_at(&lock, &lock_path) {
            left.push((path.with_extension(""), lock, lock_path));
        }
    }
    left
}

/// Whether a file still has this name.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// A name that nobody has: digits of the digest of what is different each time.
fn random_name() -> String {
    use std::hash::{BuildHasher, Hasher};
    // The keys of each are random.
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{random:0NAME_DIGITS$x}")
}
