//! The folder that holds it all, and its lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, IoContext};
use crate::store::Sharing;

/// The name of the lock file.
const LOCK_FILE: &str = "library.lock";

/// How often a writer looks whether the one before it is ready; it looks at the cancellation as often.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The beginning of the names of things that are not complete yet.
pub(crate) const UNFINISHED_PREFIX: &str = ".new-";

/// Guest kernels and packages in a folder on this computer.
///
/// Cheap to clone; holds no file open. Its operations block: call them off an async runtime's
/// threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    home: PathBuf,
    /// How trees share files, found out when first needed.
    pub(crate) sharing: Arc<OnceLock<Sharing>>,
}

/// What a folder of the library holds, and what in it could not be read.
#[derive(Debug)]
pub struct Listing<T> {
    /// What is there, sorted.
    pub entries: Vec<T>,
    /// What could not be read, each with its path and reason.
    pub broken: Vec<Error>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            broken: Vec::new(),
        }
    }
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(crate) struct WriteLock {
    _file: File,
}

impl Library {
    /// The library in `home`, whose folders are made where they are missing. Packages of the layout that Windlass 0.1 had,
    /// a folder each, are brought into this one.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn open(home: impl Into<PathBuf>) -> Result<Self, Error> {
        let library = Self {
            home: home.into(),
            sharing: Arc::default(),
        };
        for folder in [library.kernels_folder(), library.packages_folder()] {
            std::fs::create_dir_all(&folder).context("create", &folder)?;
        }
        crate::workplace::sweep(&library.temporary_folder());
        library.migrate();
        Ok(library)
    }

    /// As [`open`](Self::open), with packages that share files in a way that is not the best the file system has.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_sharing(home: impl Into<PathBuf>, sharing: Sharing) -> Result<Self, Error> {
        let mut library = Self::open(home)?;
        library.sharing = Arc::new(OnceLock::from(sharing));
        Ok(library)
    }

    /// The folder that was given to [`open`](Self::open).
    pub fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn kernels_folder(&self) -> PathBuf {
        self.home.join("kernels")
    }

    pub(crate) fn packages_folder(&self) -> PathBuf {
        self.home.join("packages")
    }

    pub(crate) fn objects_folder(&self) -> PathBuf {
        self.home.join("objects")
    }

    pub(crate) fn temporary_folder(&self) -> PathBuf {
        self.home.join("temporary")
    }

    /// Where archives are downloaded to, and what is there in part is resumed.
    pub fn downloads_folder(&self) -> PathBuf {
        self.home.join("downloads")
    }

    /// Waits for the right to write, and sweeps up after a writer that was killed.
    pub(crate) fn lock(&self, cancel: &CancellationToken) -> Result<WriteLock, Error> {
        self.lock_until(&mut || cancel.is_cancelled())
    }

    /// The same, waiting until this says that nobody waits any more.
    pub(crate) fn lock_until(
        &self,
        is_cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<WriteLock, Error> {
        let path = self.home.join(LOCK_FILE);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .context("open", &path)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if is_cancelled() => {
                    return Err(Error::Cancelled);
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::Error(error)) => return Err(error).context("lock", &path),
            }
        }
        for folder in [self.kernels_folder(), self.packages_folder()] {
            sweep(&folder);
        }
        Ok(WriteLock { _file: file })
    }
}

/// Removes what a killed writer left. What cannot be removed does no harm but take space.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry
            .file_name()
            .to_string_lossy()
            .starts_with(UNFINISHED_PREFIX)
        {
            continue;
        }
        if let Err(error) = crate::file::remove_tree(&entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "could not sweep");
        }
    }
}
