//! Files that are there whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{IoContext, Result};

/// Writes a file beside its place, makes it durable, and renames it there.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    write_whole_with(path, |file| file.write_all(content))
}

/// As [`write_whole`], with what `fill` writes.
pub(crate) fn write_whole_with(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<()> {
    let path = std::path::absolute(path).doing("find the folder of", path)?;
    let folder = path.parent().unwrap_or(&path);
    let mut beside = tempfile::Builder::new()
        .prefix(".windlass-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .doing("write into the folder", folder)?;
    fill(beside.as_file_mut()).doing("write the file", &path)?;
    beside.as_file().sync_all().doing("write the file", &path)?;
    beside
        .persist(&path)
        .map_err(|error| error.error)
        .doing("write the file", &path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_writing_fails_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        write_whole(&path, b"old").unwrap();
        let error = write_whole_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert_eq!(error.hints, ["Free some disk space, then try again"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
