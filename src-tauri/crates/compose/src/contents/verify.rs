//! An image, held against its list of files. Everything is read.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_image::FileSystem;

use super::compare::{Difference, compare};
use super::items::Side;
use crate::build::{FileKind, FileList};
use crate::error::Error;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// What is not as the list says; the list is the left side, the image the right one.
    pub differences: Vec<Difference>,
    /// How many files the list names.
    pub checked_files: u64,
    /// How many bytes were read.
    pub checked_bytes: u64,
}

/// Reads everything in an image and compares it with its list of files. `progress` is told bytes, of the sum that the list
/// has.
///
/// # Errors
/// [`Error::Image`] with the place where the image is damaged; [`Error::Cancelled`].
pub fn verify(
    image: &Path,
    file_system: &Arc<dyn FileSystem>,
    list: &Arc<FileList>,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Verification, Error> {
    let total = list.files.iter().filter_map(|file| file.size_bytes).sum();
    let right = Side::Image {
        path: image.to_owned(),
        file_system: Arc::clone(file_system),
        // What the list says is what is in question.
        list: None,
    };
    let left = Side::List(Arc::clone(list));
    let mut told = |bytes, _paths| progress(bytes, total);
    let compared = compare(&left, &right, &mut told, cancel)?;
    let files = list.files.iter();
    Ok(Verification {
        differences: compared.differences,
        checked_files: files.filter(|file| file.kind == FileKind::File).count() as u64,
        checked_bytes: compared.read_bytes,
    })
}
