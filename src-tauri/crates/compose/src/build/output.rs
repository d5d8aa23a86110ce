//! The temporary file that becomes an image.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::files::{FileList, files_path};
use super::{Throttled, folder_of};
use crate::error::{Error, IoContext};
use crate::progress::Step;

/// What is read at a time for the digest of the image; large enough for several threads to share.
const DIGEST_CHUNK_BYTES: usize = 4 << 20;

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

    /// Digests the image.
    pub(super) fn digest(
        &self,
        report: &mut Throttled<'_>,
        done_before: u64,
        cancel: &CancellationToken,
    ) -> Result<(blake3::Hash, u64), Error> {
        let mut file = self.file();
        file.rewind().context("read", self.image.path())?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; DIGEST_CHUNK_BYTES];
        let mut done_bytes = 0;
        loop {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let mut filled = 0;
            while filled < buffer.len() {
                match file.read(&mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error).context("read", self.image.path()),
                }
            }
            if filled == 0 {
                return Ok((hasher.finalize(), done_bytes));
            }
            hasher.update_rayon(&buffer[..filled]);
            done_bytes += filled as u64;
            report.at(Step::Digest, done_before + done_bytes);
        }
    }

    /// Makes the image and its list safe on the disk, and gives both their names.
    pub(super) fn finish(
        self,
        list: &FileList,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, Error> {
        let folder = folder_of(&self.destination);
        let list_path = files_path(&self.destination);
        let file = locked_temporary(folder, &prefix(&self.destination))?;
        let mut writer = BufWriter::new(file);
        list.write(&mut writer).context("write", &list_path)?;
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .context("write", &list_path)?;
        file.as_file().sync_all().context("write", &list_path)?;
        self.image
            .as_file()
            .sync_all()
            .context("write", &self.destination)?;
        // The last moment to turn back.
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        make_readable(file.as_file(), file.path())?;
        make_readable(self.image.as_file(), self.image.path())?;
        // Image and list are of one build, also where two end at the same moment.
        let folder_lock = File::open(folder).context("lock", folder)?;
        folder_lock.lock().context("lock", folder)?;
        file.persist(&list_path)
            .map_err(|error| error.error)
            .context("write", &list_path)?;
        self.image
            .persist(&self.destination)
            .map_err(|error| error.error)
            .context("write", &self.destination)?;
        folder_lock.sync_all().context("write", folder)?;
        Ok(list_path)
    }
}

/// A temporary file can be read by its owner alone; a finished image by whom it may concern.
fn make_readable(file: &File, path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
        .context("write", path)
}

/// How the names of an image's temporary files begin.
fn prefix(destination: &Path) -> String {
    let name = destination
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    format!(".{name}.building-")
}

/// A temporary file that is locked, by which others see that its build goes on. Before it is locked, another build may
/// take it for one that was left, and remove it: then it has no name any more, and we make another.
fn locked_temporary(folder: &Path, prefix: &str) -> Result<NamedTempFile, Error> {
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
