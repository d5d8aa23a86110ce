//! A new file that gets its name when it is complete.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::Error;

/// A file on its way to its name. Dropped before, it is removed.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    file: NamedTempFile,
    replace: bool,
}

impl Place {
    /// Begins a file beside `path`. Unless `replace`, nothing may be there, now and in the end.
    pub(crate) fn new(path: &Path, replace: bool) -> Result<Self, Error> {
        if !replace && path.symlink_metadata().is_ok() {
            let path = path.to_owned();
            return Err(Error::Exists { path });
        }
        let file = tempfile::Builder::new()
            .prefix(".windlass-")
            .suffix(".part")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(folder_of(path))
            .map_err(|source| created(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            replace,
        })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Where the file is until it has its name.
    pub(crate) fn draft(&self) -> &Path {
        self.file.path()
    }

    /// Gives the file its name, once it is on the disk.
    pub(crate) fn keep(self) -> Result<(), Error> {
        let path = self.path;
        let failed = |source| created(&path, source);
        self.file.as_file().sync_all().map_err(failed)?;
        let kept = if self.replace {
            self.file.persist(&path)
        } else {
            self.file.persist_noclobber(&path)
        };
        if let Err(error) = kept {
            if error.error.kind() == io::ErrorKind::AlreadyExists {
                return Err(Error::Exists { path });
            }
            return Err(failed(error.error));
        }
        let folder = File::open(folder_of(&path)).and_then(|folder| folder.sync_all());
        folder.map_err(failed)
    }
}

/// Refuses where there is too little room for a file of this path.
pub(crate) fn check_room(path: &Path, bytes: u64, leave_free_bytes: u64) -> Result<(), Error> {
    let folder = folder_of(path);
    let status = rustix::fs::statvfs(folder);
    let status = status.map_err(|errno| created(path, errno.into()))?;
    let free_bytes = status.f_bavail.saturating_mul(status.f_frsize);
    let needed_bytes = bytes.saturating_add(leave_free_bytes);
    if free_bytes >= needed_bytes {
        return Ok(());
    }
    Err(Error::NoRoom {
        folder: folder.to_owned(),
        needed_bytes,
        free_bytes,
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn created(path: &Path, source: io::Error) -> Error {
    Error::Create {
        path: path.to_owned(),
        source,
    }
}
