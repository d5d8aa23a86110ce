//! A new file that gets its name when it is complete.
//!
//! Until then it is `.NAME.*.part` beside it, locked by us. Whoever begins a file of the same name removes those that are not
//! locked: their programs were killed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::Error;

const SUFFIX: &str = ".part";

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
        let failed = |source| created(path, source);
        let file = loop {
            let file = draft(path).map_err(failed)?;
            // Where there are no locks, nothing is cleaned up either.
            let _ = file.as_file().lock();
            // Somebody who cleans up may have come between the two.
            if is_there(&file).map_err(failed)? {
                break file;
            }
        };
        remove_abandoned(path);
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

/// What the names of drafts of a file begin with.
fn prefix(path: &Path) -> OsString {
    /// So that the rest fits into what a name may have.
    const NAME_BYTES_MAX: usize = 200;
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut prefix = OsString::from(".");
    prefix.push(std::ffi::OsStr::from_bytes(
        &name[..name.len().min(NAME_BYTES_MAX)],
    ));
    prefix.push(".");
    prefix
}

fn draft(path: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(&prefix(path))
        .suffix(SUFFIX)
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder_of(path))
}

fn is_there(file: &NamedTempFile) -> io::Result<bool> {
    let ours = file.as_file().metadata()?.ino();
    Ok(fs::symlink_metadata(file.path()).is_ok_and(|found| found.ino() == ours))
}

/// Removes the drafts of programs that were killed. What cannot be removed is in nobody's way.
fn remove_abandoned(path: &Path) {
    let prefix = prefix(path);
    let Ok(entries) = fs::read_dir(folder_of(path)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest = name.as_bytes().strip_prefix(prefix.as_bytes());
        let random = rest.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
        // The names that tempfile makes.
        let is_draft = random.is_some_and(|random| {
            random.len() == 6 && random.iter().all(u8::is_ascii_alphanumeric)
        });
        if is_draft
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
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
