//! The temporary file that becomes an image.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;
use windlass_image::journal;

use super::files::{SUFFIX as FILES_SUFFIX, files_path};
use super::folder_of;
use super::record::{SUFFIX as RECORD_SUFFIX, record_path};
use crate::error::{Error, IoContext};

/// What lies beside an image, not named yet.
#[derive(Debug)]
pub(super) struct Companions {
    list: NamedTempFile,
    record: NamedTempFile,
}

const BUFFER_BYTES: usize = 256 << 10;

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

    /// Writes the list of files and the record beside the image, and makes the list safe on the disk. A record that is not
    /// is told by its digest.
    pub(super) fn companions(
        &self,
        list: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
        record: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<Companions, Error> {
        let folder = folder_of(&self.destination);
        let prefix = prefix(&self.destination);
        let list_path = files_path(&self.destination);
        let list_file = locked_temporary(folder, &prefix)?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, list_file.as_file());
        list(&mut writer)
            .and_then(|()| writer.flush())
            .context("write", &list_path)?;
        drop(writer);
        let record_path = record_path(&self.destination);
        let record_file = locked_temporary(folder, &prefix)?;
        record(record_file.as_file()).context("write", &record_path)?;
        list_file
            .as_file()
            .sync_data()
            .context("write", &list_path)?;
        Ok(Companions {
            list: list_file,
            record: record_file,
        })
    }

    /// Gives image, list and record their names. The image itself is synced by the caller.
    pub(super) fn finish(
        self,
        companions: Companions,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let folder = folder_of(&self.destination);
        let (list_path, record_path) = (
            files_path(&self.destination),
            record_path(&self.destination),
        );
        let (list_file, record_file) = (companions.list, companions.record);
        // The last moment to turn back.
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        for file in [&list_file, &record_file, &self.image] {
            make_readable(file.as_file(), file.path())?;
        }
        // Image, list and record are of one build, also where two end at the same moment.
        let folder_lock = File::open(folder).context("lock", folder)?;
        folder_lock.lock().context("lock", folder)?;
        let files = [
            (list_file, &list_path),
            (record_file, &record_path),
            (self.image, &self.destination),
        ];
        for (file, path) in files {
            file.persist(path)
                .map_err(|error| error.error)
                .context("write", path)?;
        }
        // Of an update of the image that was in its place.
        journal::forget(&self.destination, &[FILES_SUFFIX, RECORD_SUFFIX]);
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
