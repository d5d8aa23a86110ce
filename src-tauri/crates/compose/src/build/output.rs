//! The temporary file that becomes an image.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;
use windlass_image::journal;

use super::folder_of;
use super::record::{CHANGES_SUFFIX, SUFFIX as RECORD_SUFFIX, changes_path, record_path};
use crate::error::{Error, IoContext};

/// An image that is not finished. Dropping it removes its file.
#[derive(Debug)]
pub(super) struct Output {
    image: NamedTempFile,
    destination: PathBuf,
}

impl Output {
    /// Makes a file beside the destination, and removes those that killed builds left there.
    pub(super) fn create(destination: &Path) -> Result<Self, Error> {
        let folder = folder_of(destination);
        let prefix = prefix(destination);
        sweep(folder, &prefix);
        let image = locked_temporary(folder, &prefix)?;
        Ok(Self {
            image,
            destination: destination.to_path_buf(),
        })
    }

    pub(super) fn file(&self) -> &File {
        self.image.as_file()
    }

    /// An error of the image's file.
    pub(super) fn failed(&self, doing: &'static str, error: io::Error) -> Error {
        match error.downcast() {
            Ok(error) => error,
            Err(source) => Error::Io {
                doing,
                path: self.destination.clone(),
                source,
            },
        }
    }

    /// Where the image will be.
    pub(super) fn path(&self) -> &Path {
        &self.destination
    }

    /// Where the image is as long as it is not finished.
    pub(super) fn temporary(&self) -> &Path {
        self.image.path()
    }

    /// A file for the record, which gets its name with the image.
    pub(super) fn record_file(&self) -> Result<NamedTempFile, Error> {
        let folder = folder_of(&self.destination);
        locked_temporary(folder, &prefix(&self.destination))
    }

    /// Gives image and record their names. Both are synced by the caller.
    pub(super) fn finish(
        self,
        record: NamedTempFile,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let folder = folder_of(&self.destination);
        let record_path = record_path(&self.destination);
        // The last moment to turn back.
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        for file in [&record, &self.image] {
            make_readable(file.as_file(), file.path())?;
        }
        // Image and record are of one build, also where two end at the same moment.
        let folder_lock = File::open(folder).context("lock", folder)?;
        folder_lock.lock().context("lock", folder)?;
        let files = [(record, &record_path), (self.image, &self.destination)];
        for (file, path) in files {
            file.persist(path)
                .map_err(|error| error.error)
                .context("write", path)?;
        }
        // Of an update of the image that was in its place.
        journal::forget(&self.destination, &[RECORD_SUFFIX, CHANGES_SUFFIX]);
        let _ = fs::remove_file(changes_path(&self.destination));
        let _ = fs::remove_file(journal::path_of(&self.destination));
        folder_lock.sync_all().context("write", folder)
    }
}

/// A temporary file can be read by its owner alone; a finished image by whom it may concern.
pub(super) fn make_readable(file: &File, path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
        .context("write", path)
}

/// How the names of an image's temporary files begin.
pub(super) fn prefix(destination: &Path) -> String {
    let name = destination
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    format!(".{name}.building-")
}

/// A temporary file that is locked, by which others see that its build goes on. Before it is locked, another build may
/// take it for one that was left, and remove it: then it has no name any more, and we make another.
pub(super) fn locked_temporary(folder: &Path, prefix: &str) -> Result<NamedTempFile, Error> {
    loop {
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .tempfile_in(folder)
            .context("create a file in", folder)?;
        file.as_file().lock().context("lock", file.path())?;
        let names = file
            .as_file()
            .metadata()
            .context("read", file.path())?
            .nlink();
        if names > 0 {
            return Ok(file);
        }
    }
}

/// Removes what killed builds left. What is locked belongs to a build that goes on.
fn sweep(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let Ok(file) = File::open(&path) else {
            continue;
        };
        match file.try_lock() {
            Ok(()) => {
                // It may have got its final name since we listed the folder.
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(path = %path.display(), %error, "could not sweep");
                }
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "could not sweep");
            }
        }
    }
}
