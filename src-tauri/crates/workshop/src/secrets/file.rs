//! The file of secrets: a JSON map of key to secret, encrypted with a passphrase in age's format, so that `age -d` reads
//! it as well.
//!
//! Once unlocked, the passphrase and the map stay in memory, and are wiped when they are dropped. Another Windlass may
//! write the file too: writers take turns by a lock beside it, and read anew what has changed since.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use age::scrypt;
use secrecy::{ExposeSecret, SecretString};
use zeroize::{Zeroize, Zeroizing};

use super::{Result, SecretError};

/// The work of one guess, as a power of two: 128 MiB of memory, some tenths of a second. Without the optimiser it takes
/// half a minute, so that programs built to be debugged make do with less.
const WORK: u8 = if cfg!(debug_assertions) { 11 } else { 17 };
/// A file that wants more work than this was not written by us, and would hold us up for minutes.
const MOST_WORK: u8 = 20;
/// Many thousand secrets. More is not a file of ours.
const MOST_BYTES: u64 = 16 << 20;

/// The file, and what it holds once unlocked.
pub(super) struct SecretFile {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

/// What an unlocked file holds.
struct Open {
    passphrase: SecretString,
    secrets: Secrets,
    /// Which file that was read from.
    seen: Seen,
}

/// The map, wiped when it is dropped.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Secrets(BTreeMap<String, String>);

impl Drop for Secrets {
    fn drop(&mut self) {
        for secret in self.0.values_mut() {
            secret.zeroize();
        }
    }
}

/// What tells one writing of the file from another. Each is a file of its own, renamed there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    modified: (i64, i64),
    size_bytes: u64,
}

impl SecretFile {
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path,
            open: Mutex::new(None),
        }
    }

    pub(super) fn is_locked(&self) -> bool {
        self.opened().is_none()
    }

    pub(super) fn lock(&self) {
        *self.opened() = None;
    }

    pub(super) fn unlock(&self, passphrase: &SecretString) -> Result<()> {
        let mut open = self.opened();
        let _turn = self.turn()?;
        let found = match self.read(passphrase)? {
            Some(found) => found,
            None => self.write(passphrase, Secrets::default())?,
        };
        *open = Some(found);
        Ok(())
    }

    pub(super) fn change_passphrase(&self, old: &SecretString, new: &SecretString) -> Result<()> {
        let mut open = self.opened();
        let _turn = self.turn()?;
        let Some(mut found) = self.read(old)? else {
            return Err(SecretError::Locked { new: true });
        };
        *open = Some(self.write(new, std::mem::take(&mut found.secrets))?);
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<SecretString>> {
        let mut open = self.opened();
        // Nothing was ever kept: that needs no passphrase to be known.
        if open.is_none() && self.seen()?.is_none() {
            return Ok(None);
        }
        let secrets = &self.current(&mut open)?.secrets;
        Ok(secrets
            .0
            .get(key)
            .map(|secret| SecretString::from(secret.as_str())))
    }

    /// Keeps a secret, or with `None` forgets it.
    pub(super) fn set(&self, key: &str, secret: Option<&SecretString>) -> Result<()> {
        let mut open = self.opened();
        if secret.is_none() && open.is_none() && self.seen()?.is_none() {
            return Ok(());
        }
        let _turn = self.turn()?;
        let current = self.current(&mut open)?;
        // A copy, so that what is in memory stays what is on the disk when writing fails.
        let mut secrets = Secrets(current.secrets.0.clone());
        match secret {
            Some(secret) => {
                let mut old = secrets
                    .0
                    .insert(key.to_owned(), secret.expose_secret().to_owned())
                    .unwrap_or_default();
                old.zeroize();
            }
            None => match secrets.0.remove(key) {
                Some(mut old) => old.zeroize(),
                None => return Ok(()),
            },
        }
        let passphrase = current.passphrase.clone();
        *open = Some(self.write(&passphrase, secrets)?);
        Ok(())
    }

    /// What the file holds now: read anew where another Windlass has written it.
    fn current<'a>(&self, open: &'a mut Option<Open>) -> Result<&'a Open> {
        let seen = self.seen()?;
        let Some(found) = open.as_ref() else {
            return Err(SecretError::Locked {
                new: seen.is_none(),
            });
        };
        if seen != Some(found.seen) {
            let passphrase = found.passphrase.clone();
            *open = match self.read(&passphrase) {
                Ok(found) => found,
                // The passphrase was changed elsewhere.
                Err(SecretError::WrongPassphrase) => None,
                Err(error) => return Err(error),
            };
        }
        open.as_ref().ok_or(SecretError::Locked {
            new: seen.is_none(),
        })
    }

    /// Decrypts the file; `None` where there is none.
    fn read(&self, passphrase: &SecretString) -> Result<Option<Open>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("read", error)),
        };
        let seen = Seen::of(&file.metadata().map_err(|error| self.io("read", error))?);
        if seen.size_bytes > MOST_BYTES {
            return Err(self.damaged(format!("it is larger than {MOST_BYTES} bytes")));
        }
        let mut identity = scrypt::Identity::new(passphrase.clone());
        identity.set_max_work_factor(MOST_WORK);
        let decryptor = age::Decryptor::new_buffered(std::io::BufReader::new(file))
            .map_err(|error| self.undecryptable(&error))?;
        let reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .map_err(|error| self.undecryptable(&error))?;
        let mut text = Zeroizing::new(Vec::with_capacity(
            usize::try_from(seen.size_bytes).unwrap_or(0),
        ));
        reader
            .take(MOST_BYTES)
            .read_to_end(&mut text)
            .map_err(|error| self.damaged(error.to_string()))?;
        // serde_json's error would quote what it stumbled over.
        let secrets = serde_json::from_slice(&text).map_err(|error| {
            self.damaged(format!("its line {} is no JSON of ours", error.line()))
        })?;
        Ok(Some(Open {
            passphrase: passphrase.clone(),
            secrets,
            seen,
        }))
    }

    /// Encrypts the secrets into a new file, and puts it in the place of the old one.
    fn write(&self, passphrase: &SecretString, secrets: Secrets) -> Result<Open> {
        if passphrase.expose_secret().is_empty() {
            return Err(SecretError::EmptyPassphrase);
        }
        let text = serde_json::to_vec(&secrets).map_err(|error| self.damaged(error.to_string()))?;
        let text = Zeroizing::new(text);
        let mut recipient = scrypt::Recipient::new(passphrase.clone());
        recipient.set_work_factor(WORK);
        let encrypted = age::encrypt(&recipient, &text)
            .map_err(|error| self.io("encrypt", std::io::Error::other(error)))?;
        let put = || -> std::io::Result<Seen> {
            let folder = self.folder();
            let mut beside = tempfile::Builder::new()
                .prefix(".secrets-")
                .permissions(Permissions::from_mode(0o600))
                .tempfile_in(&folder)?;
            beside.write_all(&encrypted)?;
            beside.as_file().sync_all()?;
            let seen = Seen::of(&beside.as_file().metadata()?);
            beside.persist(&self.path).map_err(|error| error.error)?;
            File::open(&folder)?.sync_all()?;
            Ok(seen)
        };
        let seen = put().map_err(|error| self.io("write", error))?;
        Ok(Open {
            passphrase: passphrase.clone(),
            secrets,
            seen,
        })
    }

    /// Waits for other writers; the turn ends when the file is dropped.
    fn turn(&self) -> Result<File> {
        let take = || -> std::io::Result<File> {
            let lock = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(self.path.with_extension("lock"))?;
            lock.lock()?;
            Ok(lock)
        };
        take().map_err(|error| self.io("lock", error))
    }

    fn seen(&self) -> Result<Option<Seen>> {
        match self.path.metadata() {
            Ok(metadata) => Ok(Some(Seen::of(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io("read", error)),
        }
    }

    fn folder(&self) -> PathBuf {
        self.path.parent().map(PathBuf::from).unwrap_or_default()
    }

    /// The lock on what is in memory. A thread that died holding it left nothing half-done.
    fn opened(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, doing: &'static str, source: std::io::Error) -> SecretError {
        SecretError::Io {
            doing,
            path: self.path.clone(),
            source,
        }
    }

    fn damaged(&self, why: impl Into<String>) -> SecretError {
        SecretError::Damaged {
            path: self.path.clone(),
            why: why.into(),
        }
    }

    fn undecryptable(&self, error: &age::DecryptError) -> SecretError {
        match error {
            age::DecryptError::DecryptionFailed | age::DecryptError::KeyDecryptionFailed => {
                SecretError::WrongPassphrase
            }
            error => self.damaged(error.to_string()),
        }
    }
}

impl Seen {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size_bytes: metadata.len(),
        }
    }
}
