//! Who may read an image, and who may write to it, across all processes.
//!
//! A build's folder has the file `.lease`. Whoever is about to use the image holds it shared; whoever updates the
//! image in its place, or deletes it, holds it alone. The system lets go of it when a process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use windlass_image::journal;

use crate::error::{IoContext, Result};

const NAME: &str = ".lease";

/// The right to an image, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    _file: File,
}

fn open(image: &Path) -> Result<File> {
    let path = image.with_file_name(NAME);
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .doing("write the file", &path)
}

impl Lease {
    /// The right to read; none while somebody writes.
    pub(crate) fn to_read(image: &Path) -> Result<Option<Self>> {
        let file = open(image)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).doing("lock", image),
        }
    }

    /// The right to write; none while somebody reads or writes.
    pub(crate) fn to_write(image: &Path) -> Result<Option<Self>> {
        let file = open(image)?;
        let locked = journal::lock(&file).doing("lock", image)?;
        Ok(locked.then_some(Self { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_read_and_one_writes() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.img");
        let one = Lease::to_read(&image).unwrap();
        let two = Lease::to_read(&image).unwrap();
        assert!(one.is_some() && two.is_some());
        assert!(Lease::to_write(&image).unwrap().is_none());
        drop((one, two));
        let writer = Lease::to_write(&image).unwrap();
        assert!(writer.is_some());
        assert!(Lease::to_read(&image).unwrap().is_none());
        assert!(Lease::to_write(&image).unwrap().is_none());
    }
}
