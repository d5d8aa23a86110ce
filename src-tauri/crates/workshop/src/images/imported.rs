//! Images that came from elsewhere: `images/imported/<id>/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::ImportedImage;
use super::work::not_yet;
use crate::Workshop;
use crate::error::Result;
use crate::jobs::Job;

impl Workshop {
    /// The images that came from elsewhere, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn imported_images(self: &Arc<Self>) -> Result<Vec<ImportedImage>> {
        Ok(Vec::new())
    }

    pub(super) fn imported_path(&self, _name: &str) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// Takes an image of any format into the library, as a job that ends with its id.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn start_image_import(self: &Arc<Self>, _path: &Path) -> Result<Job> {
        Err(not_yet())
    }

    /// Deletes an image that came from elsewhere.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses it.
    pub async fn delete_imported_image(self: &Arc<Self>, _id: &str) -> Result<()> {
        Err(not_yet())
    }
}
