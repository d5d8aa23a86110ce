//! Whether there is room on the disk.

use std::io;
use std::path::Path;

use super::folder_of;
use crate::error::{Error, IoContext};

/// Looks for room before anything is written.
pub(super) fn check(destination: &Path, needed_bytes: u64) -> Result<(), Error> {
    let available_bytes = available_bytes(folder_of(destination))?;
    if available_bytes < needed_bytes {
        return Err(no_space(destination, needed_bytes, available_bytes));
    }
    Ok(())
}

/// Makes of "no space left on device" an error that says how much is needed. What was written of the image is still
/// there, and would be free.
pub(super) fn explain(error: Error, destination: &Path, needed_bytes: u64) -> Error {
    let is_full = match &error {
        Error::Io { source, .. } => is_full(source),
        Error::Image { source, .. } => match source.as_ref() {
            windlass_image::Error::Write { source, .. } => is_full(source),
            _ => false,
        },
        _ => false,
    };
    if is_full {
        let available_bytes = available_bytes(folder_of(destination)).unwrap_or(0);
        return no_space(destination, needed_bytes, available_bytes);
    }
    error
}

fn no_space(destination: &Path, needed_bytes: u64, available_bytes: u64) -> Error {
    Error::NoSpace {
        path: destination.to_path_buf(),
        needed_bytes,
        available_bytes,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn available_bytes(folder: &Path) -> Result<u64, Error> {
    let status = rustix::fs::statvfs(folder)
        .map_err(io::Error::from)
        .context("find the free space of", folder)?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}
