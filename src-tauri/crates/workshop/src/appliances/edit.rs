//! Changing what an appliance is made of: its layers, its manifests, its run configurations.

use std::sync::Arc;

use super::LockInfo;
use crate::Workshop;
use crate::error::{AppError, Result};
use crate::jobs::Job;

impl Workshop {
    /// An appliance's lock file, and whether it still fits.
    ///
    /// # Errors
    /// `NotFound`; `Input` when the lock file has a mistake.
    pub async fn lock_info(&self, _id: &str) -> Result<LockInfo> {
        Err(AppError::not_there_yet("The lock file"))
    }

    /// Holds fast the newest packages that an appliance's manifest allows, as a job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_lock_update(self: &Arc<Self>, _id: &str) -> Result<Job> {
        Err(AppError::not_there_yet("The lock file"))
    }
}
