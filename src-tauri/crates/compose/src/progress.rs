//! How a build says how far it is.

use std::fmt;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A guest boots that will write the file system.
    StartBuilder,
    /// Files are read and written into the image.
    Write,
    /// That guest puts the last on the disk, and ends.
    EndBuilder,
    /// The finished image is digested.
    Digest,
    /// The image is made safe on the disk and gets its name.
    Finish,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartBuilder => "Starting OSv's ZFS builder",
            Self::Write => "Writing the image",
            Self::EndBuilder => "Waiting for OSv's ZFS builder to end",
            Self::Digest => "Digesting the image",
            Self::Finish => "Putting the image in its place",
        })
    }
}

/// How far a build is, over all its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// How many bytes are done.
    pub done_bytes: u64,
    /// Of how many.
    pub total_bytes: u64,
}
