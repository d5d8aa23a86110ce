//! What can go wrong with the distribution's package manager.

use std::io;

/// Why the distribution's kernel could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// There is no apt here.
    #[error("this computer has no {program}, by which the kernel is fetched")]
    NoApt {
        /// The program that is missing.
        program: String,
    },

    /// No kernel package is known.
    #[error("apt knows none of the kernel packages {}", names.join(", "))]
    NoLists {
        /// What was looked for.
        names: Vec<String>,
    },

    /// The servers of the distribution could not be reached.
    #[error("the distribution's servers could not be reached")]
    Offline {
        /// What apt said.
        said: String,
    },

    /// The package lists are so old that the package is no more.
    #[error("the package lists are out of date: the server no longer has {package}")]
    OutOfDate {
        /// The package.
        package: String,
        /// What apt said.
        said: String,
    },

    /// The disk is full.
    #[error("there is not enough disk space to fetch the kernel")]
    NoSpace {
        /// What apt said.
        said: String,
    },

    /// apt failed in another way.
    #[error("{command} failed: {said}")]
    Failed {
        /// What was run.
        command: String,
        /// The last that it said.
        said: String,
    },

    /// A program could not be started.
    #[error("could not start {program}")]
    Start {
        /// The program.
        program: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl AptError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::NoApt { .. } => {
                    "Add a Linux kernel from a file instead: a bzImage (vmlinuz), or a linux-image-….deb."
                }
                Self::NoLists { .. } => {
                    "Run `sudo apt-get update` to get the lists of packages, then try again."
                }
                Self::Offline { .. } => {
                    "Check the network connection and the proxy settings of apt, then try again, \
                     or add a Linux kernel from a file."
                }
                Self::OutOfDate { .. } => "Run `sudo apt-get update`, then try again.",
                Self::NoSpace { .. } => "Free some 200 MB, then try again.",
                Self::Failed { .. } | Self::Start { .. } => {
                    "Run the command in a terminal to see all that it says, \
                     or add a Linux kernel from a file."
                }
            }
            .to_owned(),
        )
    }

    /// What apt itself said, where that explains more.
    pub fn said(&self) -> Option<&str> {
        match self {
            Self::Offline { said }
            | Self::OutOfDate { said, .. }
            | Self::NoSpace { said }
            | Self::Failed { said, .. } => Some(said),
            _ => None,
        }
    }
}
