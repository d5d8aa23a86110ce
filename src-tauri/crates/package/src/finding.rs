//! What was noticed about a folder or a package, in words, with what to do about it.

use std::fmt;
use std::path::PathBuf;

use windlass_guest::GuestOs;

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing has to be done.
    Note,
    /// It will probably not do what was meant.
    Warning,
    /// It cannot work as it is.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What would put a [`Finding`] right, as far as a program can do it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fix {
    /// Require this package.
    AddPackage {
        /// Its name.
        name: String,
    },
    /// Take a file of this computer along.
    AddFile {
        /// Where it is here.
        host: PathBuf,
        /// Where it is to be in the guest, absolute.
        guest: String,
    },
    /// Leave this out.
    LeaveOut {
        /// The path in the guest, absolute.
        path: String,
    },
    /// Run it in this guest.
    Guest {
        /// The guest.
        guest: GuestOs,
    },
}

impl Fix {
    /// What a button says that does it.
    pub fn label(&self) -> String {
        match self {
            Self::AddPackage { name } => format!("Add {name}"),
            Self::AddFile { guest, .. } => format!("Add {guest}"),
            Self::LeaveOut { path } => format!("Leave {path} out"),
            Self::Guest { guest } => format!("Run it in {}", guest.title()),
        }
    }
}

/// One thing noticed, where it was seen, and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file it is about: relative to the package, with `/`; lossy where a name is not UTF-8.
    pub path: Option<String>,
    /// What was found, as one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// The same for a program to do, where it can.
    pub fix: Option<Fix>,
}

impl Finding {
    /// A [`Severity::Note`].
    pub fn note(message: impl Into<String>) -> Self {
        Self::new(Severity::Note, message)
    }

    /// A [`Severity::Warning`].
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    /// A [`Severity::Error`].
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            path: None,
            message: message.into(),
            remedy: None,
            fix: None,
        }
    }

    /// The same, about this file.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, with what a program can do about it.
    #[must_use]
    pub fn fixed_by(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity)?;
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}
