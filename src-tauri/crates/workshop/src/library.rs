//! The library as a whole: how much it takes, whether it is sound, and what could go.

use std::sync::Arc;

use serde::Serialize;
use specta::Type;

use crate::Workshop;
use crate::error::{AppError, Result};
use crate::jobs::Job;

/// How much the library and what is made from it take on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct LibraryUsage {
    /// Packages, each shared file counted once.
    pub packages_bytes: u64,
    /// Guest kernels, with what was made from them.
    pub kernels_bytes: u64,
    /// How many different files packages consist of.
    pub objects: u64,
    /// What is saved by sharing files between packages and versions.
    pub shared_bytes: u64,
    /// Built images.
    pub builds_bytes: u64,
    /// What was fetched in part and can be resumed.
    pub partial_bytes: u64,
}

/// What could go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum PruneKind {
    /// A version of a package.
    Package,
    /// A file that no package has any more.
    Object,
    /// A download that was not finished.
    Partial,
    /// A guest kernel.
    Kernel,
    /// An initramfs, which is made anew when needed.
    Initramfs,
}

/// One thing that could go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PruneItem {
    /// What it is, in words.
    pub what: String,
    /// What it is.
    pub kind: PruneKind,
    /// How much it takes.
    pub size_bytes: u64,
    /// Why it may go.
    pub reason: String,
}

/// What pruning would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PrunePlan {
    /// What would go, largest first.
    pub items: Vec<PruneItem>,
    /// How much all of it takes.
    pub total_bytes: u64,
}

impl Workshop {
    /// How much the library takes on the disk.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub async fn library_usage(&self) -> Result<LibraryUsage> {
        Err(AppError::not_there_yet("The library's usage"))
    }

    /// Reads all of the library and compares it with its digests, as a job.
    ///
    /// # Errors
    /// When the job cannot be recorded.
    pub fn start_verify(self: &Arc<Self>) -> Result<Job> {
        Err(AppError::not_there_yet("Verification"))
    }

    /// Mends what is damaged in the library, as a job: what came from a registry is fetched again.
    ///
    /// # Errors
    /// When the job cannot be recorded.
    pub fn start_repair(self: &Arc<Self>) -> Result<Job> {
        Err(AppError::not_there_yet("Repair"))
    }

    /// What pruning would remove.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub async fn prune_plan(&self) -> Result<PrunePlan> {
        Err(AppError::not_there_yet("Pruning"))
    }

    /// Removes from the library what nothing needs, as a job.
    ///
    /// # Errors
    /// When the job cannot be recorded.
    pub fn start_prune(self: &Arc<Self>) -> Result<Job> {
        Err(AppError::not_there_yet("Pruning"))
    }
}
