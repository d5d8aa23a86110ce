//! Where Windlass keeps its state.
//!
//! ```text
//! $WINDLASS_HOME, else $XDG_DATA_HOME/windlass (~/.local/share/windlass)
//! ├── windlass.db        appliances, builds, jobs, settings (SQLite)
//! ├── windlass.lock      held while a Windlass makes or renews the database's tables
//! ├── kernels/           guest kernels        ┐ the library (windlass-library)
//! ├── packages/          packages             ┘
//! ├── appliances/        folders made here: samples, unpacked archives
//! ├── images/<build>/    disk.img and its file list
//! ├── imported/<id>/     an image that came from elsewhere, and image.json: where from
//! ├── volumes/           NAME.img or NAME.qcow2: disks that outlive machines
//! ├── studies/           studies made of cases that were dropped: a folder each
//! ├── dragged/           files on their way out of an image into another program; emptied at the start
//! ├── machines/<id>/     records, console logs, overlays (windlass-machine)
//! ├── registries/        what each registry has, and the digests seen first
//! ├── digests            digests of files that have not changed since (windlass-compose)
//! ├── jobs/<id>.log      what a job said
//! ├── processes/         one locked file per running Windlass: whose jobs are still alive
//! └── logs/              Windlass's own log
//! ```
//!
//! Sockets do not live here: their paths may not be longer than 108 bytes (see
//! `windlass_machine::runtime_folder`).

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::error::{AppError, ErrorKind, IoContext, Result};

/// The environment variable that puts all state somewhere else.
pub const HOME_VARIABLE: &str = "WINDLASS_HOME";

/// The folder that holds all state, and the names of what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// `$WINDLASS_HOME`, or the user's data folder.
    ///
    /// # Errors
    /// When neither the variable nor a home directory says where that is.
    pub fn from_environment() -> Result<Self> {
        if let Some(root) = std::env::var_os(HOME_VARIABLE).filter(|value| !value.is_empty()) {
            let root = PathBuf::from(root);
            let absolute = std::path::absolute(&root).doing("find the folder", &root)?;
            return Ok(Self::at(absolute));
        }
        let base = etcetera::choose_base_strategy().map_err(|error| {
            AppError::from_error(
                ErrorKind::Unavailable,
                &error,
                Some(format!(
                    "Set {HOME_VARIABLE} to a folder that Windlass may use"
                )),
            )
        })?;
        Ok(Self::at(base.data_dir().join("windlass")))
    }

    /// A home at a given folder; nothing is created yet.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the folders, readable by this user alone.
    ///
    /// # Errors
    /// When a folder cannot be made; the error names it.
    pub fn create(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let folders = [
            self.root.clone(),
            self.appliances(),
            self.images(),
            self.imported(),
            self.volumes(),
            self.registries(),
            self.machines(),
            self.jobs(),
            self.processes(),
            self.logs(),
        ];
        for folder in folders {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .doing("create the folder", &folder)
                .map_err(|error| AppError {
                    kind: ErrorKind::Unavailable,
                    ..error.hinted(format!(
                        "Name a folder that can be written with {HOME_VARIABLE}"
                    ))
                })?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join("windlass.db")
    }

    /// Folders of appliances made here: samples and unpacked archives.
    pub fn appliances(&self) -> PathBuf {
        self.root.join("appliances")
    }

    /// Built images, a folder each.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Files that are being dragged out of images, a folder each.
    pub fn dragged(&self) -> PathBuf {
        self.root.join("dragged")
    }

    /// Images that came from elsewhere, a folder each.
    pub fn imported(&self) -> PathBuf {
        self.root.join("imported")
    }

    /// Volumes, a file each.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The folder of studies that were made here.
    pub fn studies(&self) -> PathBuf {
        self.root.join("studies")
    }

    /// Digests of files, remembered from build to build.
    pub fn digests(&self) -> PathBuf {
        self.root.join("digests")
    }

    /// What each registry has, as it was last told, and the digests seen first.
    pub fn registries(&self) -> PathBuf {
        self.root.join("registries")
    }

    /// Machines, a folder each.
    pub fn machines(&self) -> PathBuf {
        self.root.join("machines")
    }

    /// The logs of jobs.
    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// A locked file for each running Windlass.
    pub fn processes(&self) -> PathBuf {
        self.root.join("processes")
    }

    /// Windlass's own log.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
}
