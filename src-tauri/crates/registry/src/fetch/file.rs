//! Files put in their places whole.

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::Error;

/// Names of files that are not finished begin so, and a dot.
pub(crate) const UNFINISHED_PREFIX: &str = ".windlass-";

/// Writes a small file whole: beside, synced, renamed.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Error> {
    write_with(path, |out| out.write_all(content))
}

/// Writes a file whole by a function: beside, synced, renamed.
pub(crate) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<(), Error> {
    let parent = folder_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED_PREFIX)
        .tempfile_in(parent)
        .map_err(|source| Error::io("create a file in", parent, source))?;
    let mut out = BufWriter::with_capacity(1 << 18, file.as_file_mut());
    let written = write(&mut out).and_then(|()| out.flush());
    drop(out);
    written
        .and_then(|()| file.as_file().sync_all())
        .map_err(|source| Error::io("write", path, source))?;
    file.persist(path)
        .map_err(|error| Error::io("write", path, error.error))?;
    sync_folder(parent)
}

/// Makes sure that names which were just given survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| Error::io("write", folder, source))
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Holds a lock file until it is dropped; waits for whoever has it.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let file = open_lock(path)?;
    file.lock()
        .map_err(|source| Error::io("lock", path, source))?;
    Ok(file)
}

/// Locks a file that is open already; an error when somebody has it.
fn hold(file: File, path: &Path) -> Result<File, Error> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy {
            path: path.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", path, source)),
    }
}

fn open_lock(path: &Path) -> Result<File, Error> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|source| Error::io("create", path, source))
}

/// Opens a file to read and write, and locks it; an error when somebody has it.
pub(crate) fn try_lock_to_read(path: &Path) -> Result<File, Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|source| Error::io("create", path, source))?;
    hold(file, path)
}

/// Whether an open file is the one with this name.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
