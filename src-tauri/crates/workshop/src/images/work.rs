//! What takes longer than a blink: taking files out, comparing, verifying, writing in another format.

use std::path::PathBuf;
use std::sync::Arc;

use super::model::{ConvertOptions, ImageFormat, ListKind};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::jobs::Job;

pub(crate) fn not_yet() -> AppError {
    AppError::new(ErrorKind::Unavailable, "This is not there yet")
}

impl Workshop {
    /// Copies files and folders of an image into a folder of this computer, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such image.
    pub fn start_extract(
        self: &Arc<Self>,
        _image: &str,
        _volume: Option<u32>,
        _paths: &[String],
        _folder: PathBuf,
    ) -> Result<Job> {
        Err(not_yet())
    }

    /// Compares an image with another one, or with a folder, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such image or folder.
    pub fn start_compare(self: &Arc<Self>, _left: &str, _right: &str) -> Result<Job> {
        Err(not_yet())
    }

    /// Reads all files of an image and compares them with its list, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such image, or no list beside it.
    pub fn start_image_verify(self: &Arc<Self>, _image: &str) -> Result<Job> {
        Err(not_yet())
    }

    /// Writes an image in another format, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such image.
    pub fn start_convert(
        self: &Arc<Self>,
        _image: &str,
        _destination: PathBuf,
        _format: ImageFormat,
        _options: ConvertOptions,
    ) -> Result<Job> {
        Err(not_yet())
    }

    /// Makes the disk of an image larger or smaller, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses it.
    pub fn start_image_resize(self: &Arc<Self>, _image: &str, _size_bytes: u64) -> Result<Job> {
        Err(not_yet())
    }

    /// Writes lists of what is in a build into a folder, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such build.
    pub fn start_export_lists(
        self: &Arc<Self>,
        _build: &str,
        _folder: PathBuf,
        _kinds: &[ListKind],
    ) -> Result<Job> {
        Err(not_yet())
    }
}
