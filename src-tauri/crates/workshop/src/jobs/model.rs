//! A job as it is shown: what it does, where it stands, how far it is.

use serde::{Deserialize, Serialize};
use specta::Type;

use crate::error::{AppError, Result};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum JobKind {
    /// Composes an image from an appliance.
    Build,
    /// Builds where needed, then starts a machine.
    Run,
    /// Fetches the distribution's Linux kernel.
    FetchKernel,
    /// Makes a sample appliance.
    Sample,
    /// Adds kernel files to the library.
    AddKernel,
    /// Unpacks an archive into an appliance.
    Unpack,
    /// Asks registries what they have.
    Refresh,
    /// Fetches packages into the library.
    Pull,
    /// Fetches newer versions of packages.
    Update,
    /// Gives a package to a registry.
    Publish,
    /// Writes a package as one file.
    Export,
    /// Makes a package.
    Pack,
    /// Reads all of the library and compares it with its digests.
    Verify,
    /// Mends what is damaged in the library.
    Repair,
    /// Removes from the library what nothing needs.
    Prune,
    /// Takes over what Capstan left.
    Import,
    /// Holds fast the packages that an appliance is built from.
    Lock,
    /// Copies files out of an image.
    Extract,
    /// Compares an image with another, or with a folder.
    Compare,
    /// Reads an image and compares it with its list of files.
    VerifyImage,
    /// Writes an image in another format.
    Convert,
    /// Takes an image from elsewhere into the library.
    ImportImage,
    /// Makes an image or volume larger or smaller.
    ResizeImage,
    /// Makes a volume.
    MakeVolume,
    /// Writes lists of what is in a build.
    ExportLists,
    /// Changes the files of a guest that runs.
    Push,
    /// Starts the machines of a group's file.
    GroupUp,
    /// Does the runs of a study.
    Study,
    /// Sends an image to a cloud.
    PushImage,
    /// Fetches an image from a cloud.
    FetchImage,
    /// Makes servers of an image in a cloud.
    Deploy,
    /// Launches or updates a stack of a cloud.
    Stack,
    /// Takes away what was made in a cloud.
    CleanUp,
    /// Does something with a server of a cloud.
    ChangeServer,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum JobState {
    /// It works.
    Running,
    /// It was asked to wait, and goes on when it is told to.
    Paused,
    /// It did what it was to do.
    Done,
    /// It could not; `error` says why.
    Failed,
    /// The user cancelled it; nothing was left behind.
    Cancelled,
}

/// What progress is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Items,
}

/// A job as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its name for programs.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// What it does, in words.
    pub title: String,
    /// The appliance that it works for.
    pub subject: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// What it is doing just now, in words.
    pub step: Option<String>,
    /// How far it is.
    pub done: u64,
    /// How far it has to go, where that is known.
    pub total: Option<u64>,
    /// What `done` and `total` count.
    pub unit: Unit,
    /// When it started (RFC 3339).
    pub started_at: String,
    /// When it ended (RFC 3339).
    pub ended_at: Option<String>,
    /// Why it failed.
    pub error: Option<AppError>,
    /// What it made: the id of a build, machine, appliance or kernel.
    pub produced: Option<String>,
    /// Whether it can be tried again as it was.
    pub retry: bool,
    /// Whether it can be paused, and go on later.
    pub pausable: bool,
}

impl Job {
    /// Whether it has ended, in whichever way.
    pub fn is_over(&self) -> bool {
        !matches!(self.state, JobState::Running | JobState::Paused)
    }

    pub(super) fn outcome(self) -> Result<Self> {
        match (self.state, self.error) {
            (JobState::Failed, Some(error)) => Err(error),
            (JobState::Cancelled, _) => Err(AppError::cancelled()),
            (_, error) => Ok(Self { error, ..self }),
        }
    }
}
