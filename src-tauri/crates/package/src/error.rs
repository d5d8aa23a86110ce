//! What can go wrong with a package.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::ArchiveError;
use crate::boot::BootError;
use crate::ignore::PatternError;
use crate::yaml::Mistake;

/// Why a package could not be read, packed or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A YAML file has a mistake; its text shows the line and marks the place.
    #[error(transparent)]
    Mistake(#[from] Box<Mistake>),

    /// A line of `.capstanignore` is not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),

    /// The boot command of a run configuration cannot be made.
    #[error(transparent)]
    Boot(#[from] BootError),

    /// An archive is damaged, or would write where it must not.
    #[error("the archive {} was refused", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },

    /// The operating system refused.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was being done, as a verb: "read", "write", "list".
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// The folder is not there, or is no folder.
    #[error("there is no folder {}", path.display())]
    NoFolder {
        /// Where it should be.
        path: PathBuf,
    },

    /// A file that should be small is not.
    #[error("{} is {size_bytes} bytes long, more than the {limit_bytes} that such a file may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// The most that is read.
        limit_bytes: u64,
    },

    /// The destination is already there.
    #[error("{} is already there", path.display())]
    AlreadyThere {
        /// The destination.
        path: PathBuf,
    },

    /// A program that is to be packed is not on this computer.
    #[error("{program} was not found on this computer")]
    NoProgram {
        /// Its name, such as `node`.
        program: String,
        /// How to get it, in words.
        remedy: String,
    },

    /// A file is not what it should be, such as a program that is no ELF file.
    #[error("{} {found}", path.display())]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// What it is instead, as the rest of a sentence: "is not an ELF program".
        found: String,
        /// What to do.
        remedy: String,
    },

    /// Whoever waited ended it. Nothing was left behind.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mistake(mistake) => mistake.hint(),
            Self::Pattern(error) => error.hint(),
            Self::Boot(error) => error.hint(),
            Self::Archive { source, .. } => source.hint(),
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Some(format!(
                    "Make {} readable for yourself, or leave it out.",
                    path.display()
                )),
                io::ErrorKind::NotFound => {
                    Some("It may have been moved or deleted meanwhile: look, and try again.".into())
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("Free some disk space, and try again.".into())
                }
                _ => None,
            },
            Self::NoFolder { .. } => {
                Some("Put it back where it was, or forget it here and add it again.".into())
            }
            Self::TooLarge { .. } => Some("Check that it is the file that you meant.".into()),
            Self::AlreadyThere { .. } => Some("Choose another name, or remove it first.".into()),
            Self::NoProgram { remedy, .. } | Self::Unsuitable { remedy, .. } => {
                Some(remedy.clone())
            }
            Self::Cancelled => None,
        }
    }
}

/// Gives an I/O error the path that it is about and what was being done there.
pub(crate) trait IoContext<T> {
    fn context(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.to_path_buf(),
            source,
        })
    }
}
