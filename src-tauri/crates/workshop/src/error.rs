//! The one error that reaches the window and the command line.
//!
//! Every crate below has precise errors of its own. Here they become what a person is shown: what
//! happened (`message`), what to do (`hints`), and the causes for whoever opens the details
//! (`chain`). The `kind` is what a program decides by; the words are for people and may change.

use std::error::Error;

use serde::{Deserialize, Serialize};
use specta::Type;

/// What sort of failure it is; the window and the command line's exit status go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ErrorKind {
    /// What was given is wrong: a manifest with a typo, a name that is taken.
    Input,
    /// What was named does not exist (any more).
    NotFound,
    /// It cannot be done in the present state: the machine runs, the name is taken.
    Conflict,
    /// Something on this computer is missing: QEMU, a guest kernel, disk space.
    Unavailable,
    /// The user cancelled it.
    Cancelled,
    /// A fault of Windlass or of the system below it.
    Internal,
}

/// A package that a registry has replaced under its version: what can be accepted, knowing what changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ReplacedPackage {
    /// The registry's id.
    pub registry_id: u32,
    /// The registry's name.
    pub registry: String,
    /// The package.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The SHA-256 at first sight.
    pub known: String,
    /// The SHA-256 now.
    pub found: String,
}

/// A failure as it is shown: what happened, what to do, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct AppError {
    /// What sort of failure it is.
    pub kind: ErrorKind,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do next, most likely remedy first.
    pub hints: Vec<String>,
    /// The causes, outermost first; never repeats `message`.
    pub chain: Vec<String>,
    /// What could be accepted after all, where the failure is that it changed.
    #[serde(default)]
    pub replaced: Option<Box<ReplacedPackage>>,
}

/// What every operation of the workshop returns.
pub type Result<T, E = AppError> = std::result::Result<T, E>;

impl AppError {
    /// An error with neither hint nor cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            chain: Vec::new(),
            replaced: None,
        }
    }

    /// The error that says that something named is not there.
    pub fn not_found(what: &str, name: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("There is no {what} `{name}`"))
    }

    /// Takes the words of another error, its remedy, and the chain of its causes.
    pub fn from_error(kind: ErrorKind, error: &dyn Error, hint: Option<String>) -> Self {
        let mut chain = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push(cause.to_string());
            source = cause.source();
        }
        Self {
            kind,
            message: error.to_string(),
            hints: hint.into_iter().collect(),
            chain,
            replaced: None,
        }
    }

    /// Adds a remedy.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The error of a cancelled job.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "Cancelled")
    }
}

/// Gives an I/O error its path and what was being done.
pub(crate) trait IoContext<T> {
    /// Turns the error into an [`AppError`] that names `path`.
    fn doing(self, what: &str, path: &std::path::Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn doing(self, what: &str, path: &std::path::Path) -> Result<T> {
        self.map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    ErrorKind::Unavailable
                }
                _ => ErrorKind::Internal,
            };
            AppError {
                kind,
                message: format!("Cannot {what} `{}`", path.display()),
                hints: io_hint(&error).into_iter().collect(),
                chain: vec![error.to_string()],
                replaced: None,
            }
        })
    }
}

/// The remedy for the I/O errors that have an obvious one.
fn io_hint(error: &std::io::Error) -> Option<String> {
    Some(
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "Check that you may read and write it, then try again"
            }
            std::io::ErrorKind::StorageFull => "Free some disk space, then try again",
            std::io::ErrorKind::ReadOnlyFilesystem => {
                "Choose a place that can be written, with WINDLASS_HOME"
            }
            _ => return None,
        }
        .to_owned(),
    )
}

impl From<rusqlite::Error> for AppError {
    fn from(error: rusqlite::Error) -> Self {
        let busy = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let (kind, hint) = if busy {
            (
                ErrorKind::Conflict,
                Some("Another Windlass is writing; try again"),
            )
        } else if full {
            (
                ErrorKind::Unavailable,
                Some("Free some disk space, then try again"),
            )
        } else {
            (ErrorKind::Internal, None)
        };
        let mut shown = Self::new(
            kind,
            "The database of Windlass could not be read or written",
        );
        shown.hints.extend(hint.map(str::to_owned));
        shown.chain.push(error.to_string());
        shown
    }
}
