//! A second image from the first in no time, where the file system shares the blocks of files.
//!
//! A clone has the bytes of the image at the moment it is made; what is written to one later is not seen in the other.
//! With its record it can be updated as the image itself could.

use std::fs::{self, File};
use std::path::Path;

use windlass_image::journal;

use super::folder_of;
use super::output::{locked_temporary, make_readable, prefix};
use super::record::{ImageStamp, Record, changes_path, record_path};
use crate::error::{Error, IoContext};

/// Clones the image of a build with its record, for [`build_or_update`](crate::build_or_update) to
/// go on with. `false` where the file system cannot, or the image cannot be updated anyway; then nothing is left.
///
/// # Errors
/// I/O errors. Nothing is left.
pub fn clone_image(from: &Path, to: &Path) -> Result<bool, Error> {
    if let Err(error) = journal::recover(from) {
        tracing::warn!(image = %from.display(), %error, "an interrupted update could not be finished");
    }
    let Ok(image) = File::open(from) else {
        return Ok(false);
    };
    if !journal::lock(&image).context("lock", from)? {
        return Ok(false);
    }
    let Some(record) = Record::open(from) else {
        return Ok(false);
    };
    let (folder, prefix) = (folder_of(to), prefix(to));
    let clone = locked_temporary(folder, &prefix)?;
    if rustix::fs::ioctl_ficlone(clone.as_file(), &image).is_err() {
        return Ok(false);
    }
    let modified = image.metadata().and_then(|it| it.modified());
    clone
        .as_file()
        .set_modified(modified.context("read", from)?)
        .context("write", clone.path())?;
    let mut head = record.head.clone();
    head.image = ImageStamp::of(&clone.as_file().metadata().context("read", clone.path())?);
    let record_file = locked_temporary(folder, &prefix)?;
    record
        .write_whole(record_file.as_file(), &head, &record.parts, &[])
        .context("write", record_file.path())?;
    // Of an image that was in its place.
    let _ = fs::remove_file(changes_path(to));
    for (file, path) in [(record_file, record_path(to)), (clone, to.to_path_buf())] {
        make_readable(file.as_file(), file.path())?;
        file.persist(&path)
            .map_err(|error| error.error)
            .context("write", &path)?;
    }
    Ok(true)
}
