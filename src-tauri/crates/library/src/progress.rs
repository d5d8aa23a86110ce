//! How long work says how far it is.

use std::fmt;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Finding out which package of the distribution holds its kernel.
    Resolve,
    /// Downloading packages of the distribution.
    Download,
    /// Taking the kernel and its drivers out of a package.
    Unpack,
    /// Copying a file into the library, and digesting it on the way.
    Copy,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "Looking for the kernel package",
            Self::Download => "Downloading the kernel package",
            Self::Unpack => "Unpacking the kernel",
            Self::Copy => "Copying into the library",
        })
    }
}

/// How far long work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// How many bytes of this step are done.
    pub done_bytes: u64,
    /// Of how many, where that is known.
    pub total_bytes: Option<u64>,
}
