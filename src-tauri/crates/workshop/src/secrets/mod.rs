//! Where passwords, tokens and keys are kept: in the desktop's secret service, or where there is none in a file that a
//! passphrase encrypts. Never in the database, logs, process arguments or error texts.
//!
//! ```text
//!   WINDLASS_SECRETS=file ───────────────────────────────► secrets.age     age, scrypt, 0600; locked until
//!        │ else                                           ▲ (a JSON map)   `unlock` is given the passphrase
//!        ▼                                                │
//!   the session's bus ── no bus, no service, no answer ───┘
//!        │ org.freedesktop.secrets
//!        ▼
//!   the desktop's keyring, one item per secret, named after the home and the secret
//! ```
//!
//! Which of the two is used is settled once, by [`SecretStore::open`], and [`SecretStore::backend`] says which and why.
//! A secret goes by its kind (`registry`, `cloud`) and its name. Homes do not see each other's secrets.
//!
//! All methods block: on the bus, on a person who is asked to unlock the keyring, or on the work that makes guessing a
//! passphrase slow. They may be called from any thread, but belong into `spawn_blocking`.

mod desktop;
mod error;
mod file;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

pub use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use specta::Type;

pub use self::error::SecretError;

use self::desktop::Desktop;
use self::file::SecretFile;

/// What operations on secrets return.
pub type Result<T, E = SecretError> = std::result::Result<T, E>;

/// The environment variable that chooses: `file`, or `desktop` to have nothing else.
pub const BACKEND_VARIABLE: &str = "WINDLASS_SECRETS";

/// The file's name in the home.
pub(crate) const FILE_NAME: &str = "secrets.age";

/// What keeps the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum BackendKind {
    /// The desktop's secret service (that of GNOME, KDE or a password manager).
    Desktop,
    /// A file encrypted with a passphrase.
    File,
}

/// What keeps the secrets, and why it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Which of the two.
    pub kind: BackendKind,
    /// Why, in a sentence.
    pub why: String,
    /// Whether a passphrase has to be given before anything can be read.
    pub locked: bool,
}

/// The secrets of one home.
pub struct SecretStore {
    store: Store,
    why: String,
}

enum Store {
    Desktop(Desktop),
    File(SecretFile),
}

impl SecretStore {
    /// Finds the secret service, or settles on the file, which need not be there yet.
    ///
    /// # Errors
    /// Only where [`BACKEND_VARIABLE`] is `desktop` and there is no secret service.
    pub fn open(home: &Path) -> Result<Self> {
        let wish = std::env::var(BACKEND_VARIABLE).unwrap_or_default();
        Self::choose(home, &wish, || Desktop::connect(home))
    }

    /// As [`open`](Self::open), with what the variable says and how the service is found.
    fn choose(home: &Path, wish: &str, connect: impl FnOnce() -> Result<Desktop>) -> Result<Self> {
        let file = || Store::File(SecretFile::at(home.join(FILE_NAME)));
        if wish == "file" {
            let why = format!("{BACKEND_VARIABLE} is set to `file`");
            return Ok(Self { store: file(), why });
        }
        match connect() {
            Ok(desktop) => Ok(Self {
                store: Store::Desktop(desktop),
                why: "The desktop has a secret service".to_owned(),
            }),
            Err(error) if wish == "desktop" => Err(error),
            Err(error) => {
                tracing::info!(error = %causes(&error), "no secret service; secrets are kept in a file");
                Ok(Self {
                    store: file(),
                    why: format!(
                        "There is no secret service on this desktop ({})",
                        causes(&error)
                    ),
                })
            }
        }
    }

    /// Which one is used, why, and whether a passphrase is wanted; for the doctor.
    pub fn backend(&self) -> Backend {
        let (kind, locked) = match &self.store {
            Store::Desktop(_) => (BackendKind::Desktop, false),
            Store::File(file) => (BackendKind::File, file.is_locked()),
        };
        Backend {
            kind,
            why: self.why.clone(),
            locked,
        }
    }

    /// The secret of a kind and name, where there is one.
    ///
    /// # Errors
    /// [`SecretError::Locked`] where the file is there and has not been unlocked; when the service or the file fails.
    pub fn get(&self, kind: &str, name: &str) -> Result<Option<SecretString>> {
        match &self.store {
            Store::Desktop(desktop) => desktop.get(&key(kind, name)),
            Store::File(file) => file.get(&key(kind, name)),
        }
    }

    /// Keeps a secret, in place of the one that was there.
    ///
    /// # Errors
    /// [`SecretError::Locked`] where a passphrase has to be given, or chosen, first; when the service or the file fails.
    /// The old secret is still there then.
    pub fn set(&self, kind: &str, name: &str, secret: &SecretString) -> Result<()> {
        match &self.store {
            Store::Desktop(desktop) => desktop.set(&key(kind, name), secret),
            Store::File(file) => file.set(&key(kind, name), Some(secret)),
        }
    }

    /// Forgets a secret. That there is none is no error.
    ///
    /// # Errors
    /// [`SecretError::Locked`] where the file is there and has not been unlocked; when the service or the file fails.
    pub fn delete(&self, kind: &str, name: &str) -> Result<()> {
        match &self.store {
            Store::Desktop(desktop) => desktop.delete(&key(kind, name)),
            Store::File(file) => file.set(&key(kind, name), None),
        }
    }

    /// Opens the file with its passphrase, or makes it with a new one. The desktop's service unlocks itself: nothing
    /// is done there.
    ///
    /// # Errors
    /// [`SecretError::WrongPassphrase`], [`SecretError::EmptyPassphrase`]; when the file is damaged or cannot be read.
    pub fn unlock(&self, passphrase: &SecretString) -> Result<()> {
        match &self.store {
            Store::Desktop(_) => Ok(()),
            Store::File(file) => file.unlock(passphrase),
        }
    }

    /// Forgets the passphrase and what was read with it, until the next [`unlock`](Self::unlock).
    pub fn lock(&self) {
        if let Store::File(file) = &self.store {
            file.lock();
        }
    }

    /// Encrypts the file with another passphrase. Nothing is done where the desktop keeps the secrets.
    ///
    /// # Errors
    /// As [`unlock`](Self::unlock), for the old passphrase and for the new one. The file is as it was then.
    pub fn change_passphrase(&self, old: &SecretString, new: &SecretString) -> Result<()> {
        match &self.store {
            Store::Desktop(_) => Ok(()),
            Store::File(file) => file.change_passphrase(old, new),
        }
    }
}

impl fmt::Debug for SecretStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecretStore")
            .field("backend", &self.backend())
            .finish_non_exhaustive()
    }
}

/// What a secret goes by. Kinds are words of our own and hold no slash, so that no two pairs have one key.
fn key(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

/// An error with all its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // keyring_core's errors repeat their cause.
        if !line.contains(&words) {
            line.push_str(": ");
            line.push_str(&words);
        }
        source = cause.source();
    }
    line
}
