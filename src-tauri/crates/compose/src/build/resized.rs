//! An image of another size that is still the last build.
//!
//! ```text
//!   <image> + record ─ resize ─> <image'> ─ digested anew ─> record' with the size that it was given
//! ```
//!
//! Stopped behind the resize, the record fits no more, and the next build says that the image was written to. A record
//! that says what size the image was given has updates keep that size, as long as the appliance asks for no other.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use tokio_util::sync::CancellationToken;
use windlass_image::resize::{ResizeOptions, Resized, resize};
use windlass_image::{FileSystemKind, Image, journal, subtree};

use super::output::{locked_temporary, make_readable, prefix};
use super::record::{Head, ImageStamp, Record, changes_path, record_path};
use super::{folder_of, parts};
use crate::error::{Error, IoContext};

/// A build's image that has another size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizedBuild {
    /// What was done.
    pub resized: Resized,
    /// The BLAKE3 digest of its file, in hexadecimal; none of an image that was not as it was built.
    pub digest: Option<String>,
}

/// Gives the image of a build another size; the next [`build_or_update`](crate::build_or_update) goes on with it.
///
/// # Errors
/// [`Error::Image`] says why it cannot have that size; I/O errors; [`Error::Cancelled`].
pub fn resize_image(
    image: &Path,
    size_bytes: u64,
    watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    cancel: &CancellationToken,
) -> Result<ResizedBuild, Error> {
    let _ = journal::recover(image);
    let record = Record::open(image);
    let mut advance = |bytes: u64| watch(bytes);
    let resized = resize(image, size_bytes, &ResizeOptions::default(), &mut advance);
    let resized = resized.map_err(|error| super::write::image_error(image, error))?;
    let Some(record) = record else {
        return Ok(ResizedBuild {
            resized,
            digest: None,
        });
    };
    let file = File::open(image).context("read", image)?;
    if !journal::lock(&file).context("lock", image)? {
        return Ok(ResizedBuild {
            resized,
            digest: None,
        });
    }
    let stamp = ImageStamp::of(&file.metadata().context("read", image)?);
    let parts = parts::of_file(&file, stamp.size_bytes, |_| (), cancel)
        .map_err(|error| failed(image, error))?;
    let digest = subtree::whole(&parts, stamp.size_bytes);
    let head = Head {
        image: stamp,
        given_bytes: root_bytes(image),
        ..record.head.clone()
    };
    let new = locked_temporary(folder_of(image), &prefix(image))?;
    let path = record_path(image);
    record
        .write_whole(new.as_file(), &head, &parts, &[])
        .context("write", &path)?;
    make_readable(new.as_file(), new.path())?;
    new.persist(&path)
        .map_err(|error| error.error)
        .context("write", &path)?;
    // They belong to the record before.
    let _ = fs::remove_file(changes_path(image));
    Ok(ResizedBuild {
        resized,
        digest: Some(digest.to_hex().to_string()),
    })
}

fn failed(image: &Path, error: io::Error) -> Error {
    error.downcast().unwrap_or_else(|source| Error::Io {
        doing: "read",
        path: image.to_owned(),
        source,
    })
}

/// The size of an ext4 root file system.
fn root_bytes(image: &Path) -> Option<u64> {
    let image = Image::open(image).ok()?;
    let volume = image.root_volume()?;
    let is_ext4 = volume.file_system == Some(FileSystemKind::Ext4);
    let root = image.root().ok().filter(|_| is_ext4)?;
    Some(root.size_bytes())
}
