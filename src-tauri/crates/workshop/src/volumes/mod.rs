//! Volumes: disks that outlive the machines that use them.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::jobs::Job;

/// The format of a volume's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum VolumeFormat {
    /// The bytes of the disk, with holes.
    Raw,
    /// QEMU's own format, which grows as it is written.
    Qcow2,
}

/// What a new volume holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum VolumeContent {
    /// Zeros; a guest makes a file system in it.
    Empty,
    /// An ext4 file system without files.
    Ext4,
    /// An ext4 file system with the files of a folder.
    Folder {
        /// The folder.
        path: PathBuf,
    },
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct NewVolume {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The format of its file.
    pub format: VolumeFormat,
    /// How large the disk is; none: what the folder needs, and some room.
    pub size_bytes: Option<u64>,
    /// What it holds.
    pub content: VolumeContent,
}

/// A disk that outlives the machines that use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name for programs.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its file.
    pub path: String,
    /// The format of its file.
    pub format: VolumeFormat,
    /// The size of the disk.
    pub size_bytes: u64,
    /// What its file takes of this computer's disk.
    pub allocated_bytes: u64,
    /// The file system on it, where it is one that can be read.
    pub file_system: Option<String>,
    /// The names of the machines that have it, whether they run or not.
    pub used_by: Vec<String>,
    /// The name of the machine that runs with it.
    pub in_use_by: Option<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

impl Workshop {
    /// The volumes, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn volumes(self: &Arc<Self>) -> Result<Vec<Volume>> {
        Ok(Vec::new())
    }

    pub(crate) fn volume_path(&self, _name: &str) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// Makes a volume, as a job that ends with its id.
    ///
    /// # Errors
    /// `Input` when the name makes no sense; `Conflict` when it is taken.
    pub fn start_volume_create(self: &Arc<Self>, _new: NewVolume) -> Result<Job> {
        Err(not_yet())
    }

    /// Makes a volume larger, and the file system on it, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine runs with it.
    pub fn start_volume_resize(self: &Arc<Self>, _volume: &str, _size_bytes: u64) -> Result<Job> {
        Err(not_yet())
    }

    /// Deletes a volume with all that is on it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine has it.
    pub async fn delete_volume(self: &Arc<Self>, _volume: &str) -> Result<()> {
        Err(not_yet())
    }
}

fn not_yet() -> AppError {
    AppError::new(ErrorKind::Unavailable, "This is not there yet")
}
