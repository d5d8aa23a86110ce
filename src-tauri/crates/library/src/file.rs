//! Files and folders put in their places whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, IoContext};
use crate::library::UNFINISHED_PREFIX;

/// How much is read between two looks at the cancellation.
const CHUNK_BYTES: usize = 1 << 20;

/// A folder beside its final place, gone again unless it is [put there](place_folder).
pub(crate) fn unfinished_folder(beside: &Path) -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix(UNFINISHED_PREFIX)
        .tempdir_in(beside)
        .context("create a folder in", beside)
}

/// Gives a finished folder its name, which nothing may have.
pub(crate) fn place_folder(folder: TempDir, destination: &Path) -> Result<(), Error> {
    fs::rename(folder.path(), destination).context("create", destination)?;
    // It has another name now; there is nothing left to clean up.
    let _ = folder.keep();
    sync_parent(destination)
}

/// Makes sure that a name which was just given survives a power cut.
pub(crate) fn sync_parent(path: &Path) -> Result<(), Error> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .context("write", parent)
}

/// Writes a small file whole: beside, synced, renamed.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED_PREFIX)
        .tempfile_in(parent)
        .context("create a file in", parent)?;
    file.write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .context("write", path)?;
    file.persist(path)
        .map_err(|error| error.error)
        .context("write", path)?;
    sync_parent(path)
}

/// Copies until the end, digesting on the way; tells `advance` how many bytes are done so far.
pub(crate) fn copy_digesting(
    source: &mut impl Read,
    source_path: &Path,
    destination: &mut impl Write,
    destination_path: &Path,
    advance: &mut dyn FnMut(u64),
    cancel: &CancellationToken,
) -> Result<(blake3::Hash, u64), Error> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done_bytes = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finalize(), done_bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("read", source_path),
        };
        let chunk = &buffer[..count];
        hasher.update(chunk);
        destination
            .write_all(chunk)
            .context("write", destination_path)?;
        done_bytes += count as u64;
        advance(done_bytes);
    }
}

/// Removes a folder and all in it, also where a folder in it may not be written.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return fs::remove_file(path),
        other => return other,
    }
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(path)
}

/// Takes a folder of the library away. It vanishes at once, under a name that is swept should we be killed while its
/// files go.
pub(crate) fn take_away(folder: &Path) -> Result<(), Error> {
    let going = unfinished_folder(folder.parent().unwrap_or(Path::new(".")))?;
    fs::rename(folder, going.path().join("removed")).context("remove", folder)?;
    remove_tree(going.path()).context("remove", folder)
}

/// The bytes of all files below a folder, as far as they can be seen.
pub(crate) fn tree_bytes(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
