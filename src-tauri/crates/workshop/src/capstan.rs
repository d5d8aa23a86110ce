//! What Capstan left on this computer, and taking it over.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use specta::Type;

use crate::Workshop;
use crate::error::{AppError, Result};
use crate::jobs::Job;

/// A `~/.capstan` folder, looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CapstanHome {
    /// The folder.
    pub path: String,
    /// How many packages are in it.
    pub packages: u32,
    /// How many images.
    pub images: u32,
    /// How many OSv loaders.
    pub loaders: u32,
    /// The registry that its configuration names.
    pub registry_url: Option<String>,
}

impl Workshop {
    /// What Capstan left in a folder, its own where none is named; nothing where it left nothing.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn capstan_home(&self, _path: Option<&Path>) -> Result<Option<CapstanHome>> {
        Err(AppError::not_there_yet("Capstan's folder"))
    }

    /// Takes over what Capstan left, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    pub fn start_capstan_import(self: &Arc<Self>, _path: Option<&Path>) -> Result<Job> {
        Err(AppError::not_there_yet("Capstan's folder"))
    }
}
