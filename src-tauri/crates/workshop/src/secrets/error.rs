//! What goes wrong with secrets, and what to do about it. No error holds a secret.

use std::path::PathBuf;

use crate::error::{AppError, ErrorKind};

/// Why a secret could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file of secrets has not been opened with its passphrase, or has none yet.
    #[error("{}", if *.new { "No passphrase has been chosen for secrets yet" } else { "The secrets are locked" })]
    Locked {
        /// There is no file yet: [`unlock`](super::SecretStore::unlock) makes one with the passphrase it is given.
        new: bool,
    },
    /// The passphrase is not the one that the file was written with.
    #[error("The passphrase is wrong")]
    WrongPassphrase,
    /// A passphrase of no letters protects nothing.
    #[error("The passphrase is empty")]
    EmptyPassphrase,
    /// The desktop's secret service does not let us in: its keyring stayed locked, or the prompt was dismissed.
    #[error("The desktop's secret service keeps its keyring locked")]
    Refused(#[source] keyring_core::Error),
    /// The desktop's secret service failed.
    #[error("The desktop's secret service could not {doing}")]
    Service {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: keyring_core::Error,
    },
    /// The desktop's secret service was asked, and says nothing.
    #[error("The desktop's secret service did not answer within {seconds} seconds")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// Something else keeps more than one secret under this name.
    #[error("The desktop's secret service holds several secrets called `{name}`")]
    Ambiguous {
        /// The name that it goes by there.
        name: String,
    },
    /// What is kept there is not text.
    #[error("What the desktop's secret service holds as `{name}` is not text")]
    NotText {
        /// The name that it goes by there.
        name: String,
    },
    /// The file of secrets is not one, or was damaged.
    #[error("`{}` is damaged, or no file of secrets: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file of secrets could not be read or written.
    #[error("Cannot {doing} `{}`", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SecretError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Locked { new: true } | Self::EmptyPassphrase => {
                "Choose a passphrase; the secrets are encrypted with it".to_owned()
            }
            Self::Locked { new: false } => "Give the passphrase of the secrets".to_owned(),
            Self::WrongPassphrase => {
                "Try again; a forgotten passphrase cannot be had back, and the secrets have to be entered anew".to_owned()
            }
            Self::Refused(_) => {
                "Unlock the keyring when the desktop asks for it, or set WINDLASS_SECRETS=file".to_owned()
            }
            Self::Service { .. } | Self::Silent { .. } => {
                "Look at the desktop's secret service, or set WINDLASS_SECRETS=file to do without it".to_owned()
            }
            Self::Ambiguous { .. } => {
                "Delete all but one with the desktop's own program for passwords".to_owned()
            }
            Self::NotText { .. } => "Enter the secret anew".to_owned(),
            Self::Damaged { path, .. } => format!(
                "Move `{}` away and enter the secrets anew, or put back a copy of it",
                path.display()
            ),
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull => "Free some disk space, then try again",
                std::io::ErrorKind::PermissionDenied => {
                    "Check that you may read and write it, then try again"
                }
                _ => return None,
            }
            .to_owned(),
        })
    }
}

impl From<SecretError> for AppError {
    fn from(error: SecretError) -> Self {
        let kind = match &error {
            SecretError::WrongPassphrase | SecretError::EmptyPassphrase => ErrorKind::Input,
            SecretError::Locked { .. } | SecretError::Refused(_) | SecretError::Silent { .. } => {
                ErrorKind::Unavailable
            }
            SecretError::Ambiguous { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Internal,
        };
        Self::from_error(kind, &error, error.hint())
    }
}
