//! Appliances: the folders that the user builds into images.
//!
//! An appliance is an ordinary folder; the database remembers no more than where it is. Everything
//! else is read from it: its name and title (`meta/package.yaml`), how it runs (`meta/run.yaml`),
//! how it is built here (`meta/windlass.yaml`).
//!
//! ```text
//!   dropped path ──inspect──► what it is, and a manifest where it has none     [inspect]
//!                ──add──────► an appliance
//!   appliance    ──contents─► layers, merged tree, findings                    [contents]
//!                ──run form─► settings and the boot command that they come to  [run]
//! ```

mod configurations;
mod contents;
mod findings;
mod folder;
mod inspect;
mod layers;
mod lock;
mod manifests;
mod model;
mod run;
mod settings;
mod views;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::OptionalExtension;
use serde::Serialize;
use specta::Type;
use windlass_package::{BuildSettings, Package};

use contents::appliance_name;
pub(crate) use contents::{Composition, Plans};
pub use contents::{Contents, EntryKind, LayerInfo, LayerKind, TreeEntry, Why};
pub(crate) use findings::findings_without_kernel;
pub use findings::{Finding, Severity};
pub use folder::{COLLECTED_FOLDER, Collected, CollectedEntry, PackageInit};
pub use inspect::{Dropped, DroppedKind, Manifests, Proposal};
pub(crate) use lock::read_lock;
pub use model::{
    ConfigurationFields, Conflict, ConflictLoser, FindingFix, LayersSet, LockInfo, LockedPackage,
    ManifestFile, ManifestSaved, ManifestText, RuntimeFields, SizeNode, TextMistake,
};
pub use run::{BootPreview, RunConfiguration, RunForm, Runtime};
pub use settings::{ApplianceSettings, EnvValue, Port};

use crate::Workshop;
use crate::builds::Build;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;
use crate::guests::{GuestOs, RootFs};

/// An appliance as it is shown in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Appliance {
    /// Its name for programs.
    pub id: String,
    /// Its manifest's name; the folder's where there is none.
    pub name: String,
    /// Its manifest's title.
    pub title: String,
    /// The folder.
    pub path: String,
    /// The guest that it is built for.
    pub guest: GuestOs,
    /// The root file system that it is built with.
    pub root_fs: RootFs,
    /// Its newest image.
    pub last_build: Option<Build>,
    /// How many of its machines run.
    pub machines_running: u32,
    /// When it was added (RFC 3339).
    pub added_at: String,
    /// Why it cannot be built: its folder vanished, its manifest has a mistake.
    pub problem: Option<AppError>,
}

/// What the database knows.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    added_at: String,
}

impl Record {
    /// A folder that need not be an appliance.
    fn of_folder(path: PathBuf) -> Self {
        Self {
            id: path.display().to_string(),
            path,
            added_at: String::new(),
        }
    }
}

impl From<windlass_package::Error> for AppError {
    fn from(error: windlass_package::Error) -> Self {
        use windlass_package::Error;
        let kind = match &error {
            Error::Cancelled => ErrorKind::Cancelled,
            Error::NoFolder { .. } => ErrorKind::NotFound,
            Error::Io { .. } => ErrorKind::Unavailable,
            _ => ErrorKind::Input,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

impl Workshop {
    /// All appliances, by name.
    ///
    /// # Errors
    /// When the database cannot be read. An appliance whose folder has a problem is listed with it.
    pub fn appliances(&self) -> Result<Vec<Appliance>> {
        let mut appliances = self
            .appliance_records()?
            .into_iter()
            .map(|record| self.show_appliance(&record))
            .collect::<Result<Vec<_>>>()?;
        appliances.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        Ok(appliances)
    }

    /// The appliance of this id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn appliance(&self, id: &str) -> Result<Appliance> {
        self.show_appliance(&self.appliance_record(id)?)
    }

    /// The appliance of this id, name or folder; the first of that name where several have it.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find_appliance(&self, wanted: &str) -> Result<Appliance> {
        let appliances = self.appliances()?;
        let folder = std::fs::canonicalize(wanted).ok();
        appliances
            .into_iter()
            .find(|appliance| {
                appliance.id == wanted
                    || appliance.name == wanted
                    || folder
                        .as_deref()
                        .is_some_and(|folder| folder == Path::new(&appliance.path))
            })
            .ok_or_else(|| {
                AppError::not_found("appliance", wanted)
                    .hinted("`windlassctl appliance list` shows those that there are")
                    .hinted("`windlassctl appliance add FOLDER` adds one")
            })
    }

    /// Registers a folder as an appliance, writing its manifests first where they are given. A
    /// folder that is an appliance already is simply returned.
    ///
    /// # Errors
    /// `Input` when the folder's manifest or the given one has a mistake (with its line).
    pub async fn add_appliance(
        self: &Arc<Self>,
        path: &Path,
        manifests: Option<Manifests>,
    ) -> Result<Appliance> {
        let workshop = Arc::clone(self);
        let path = path.to_path_buf();
        crate::blocking(move || {
            let path = std::fs::canonicalize(&path).doing("find the folder", &path)?;
            if !path.is_dir() {
                return Err(AppError::new(
                    ErrorKind::Input,
                    format!("`{}` is not a folder", path.display()),
                )
                .hinted(
                    "Drop a folder, or an archive (.zip, .tar, .tar.gz, .tar.xz, .tar.zst, .mpm)",
                ));
            }
            if let Some(manifests) = manifests {
                manifests.write(&path)?;
            }
            workshop.pack_requirements(&Package::open(&path)?);
            workshop.register(&path)
        })
        .await?
    }

    /// Remembers a folder.
    pub(crate) fn register(&self, path: &Path) -> Result<Appliance> {
        let text = path.to_str().ok_or_else(|| {
            AppError::new(ErrorKind::Input, "The folder's path is not valid UTF-8")
                .hinted("Rename the folder, or move it to another place")
        })?;
        self.database.lock().execute(
            "INSERT INTO appliance (id, path, added_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (path) DO UPDATE SET removed_at = NULL",
            (crate::new_id(), text, crate::now()),
        )?;
        let id: String = self.database.lock().query_row(
            "SELECT id FROM appliance WHERE path = ?1",
            [text],
            |row| row.get(0),
        )?;
        let appliance = self.appliance(&id)?;
        self.events
            .send(Event::ApplianceChanged(Box::new(appliance.clone())));
        Ok(appliance)
    }

    /// Takes an appliance off the list. Its folder, its builds and its machines stay, and adding the
    /// folder again brings all of them back.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_appliance(&self, id: &str) -> Result<()> {
        let removed = self.database.lock().execute(
            "UPDATE appliance SET removed_at = ?2 WHERE id = ?1 AND removed_at IS NULL",
            (id, crate::now()),
        )?;
        if removed == 0 {
            return Err(AppError::not_found("appliance", id));
        }
        self.plans.forget(id);
        self.events.send(Event::ApplianceGone(id.to_owned()));
        Ok(())
    }

    /// Tells listeners that what is shown of an appliance changed.
    pub(crate) fn tell_appliance(&self, id: &str) {
        if let Ok(appliance) = self.appliance(id) {
            self.events
                .send(Event::ApplianceChanged(Box::new(appliance)));
        }
    }

    /// Tells listeners of every appliance.
    pub(crate) fn tell_appliances(&self) {
        for appliance in self.appliances().unwrap_or_default() {
            self.events
                .send(Event::ApplianceChanged(Box::new(appliance)));
        }
    }

    pub(crate) fn appliance_record(&self, id: &str) -> Result<Record> {
        self.database
            .lock()
            .query_row(
                "SELECT id, path, added_at FROM appliance WHERE id = ?1 AND removed_at IS NULL",
                [id],
                record,
            )
            .optional()?
            .ok_or_else(|| AppError::not_found("appliance", id))
    }

    fn appliance_records(&self) -> Result<Vec<Record>> {
        let connection = self.database.lock();
        let mut statement = connection
            .prepare_cached("SELECT id, path, added_at FROM appliance WHERE removed_at IS NULL")?;
        let records = statement.query_map([], record)?;
        Ok(records.collect::<rusqlite::Result<_>>()?)
    }

    fn show_appliance(&self, record: &Record) -> Result<Appliance> {
        let running = self.machines_of(&record.id);
        let running = running
            .iter()
            .filter(|handle| crate::machines::is_live(handle))
            .count();
        let folder = record
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (name, title, settings, problem) = match Package::open(&record.path) {
            Ok(package) => {
                let name = if package.has_manifest {
                    package.manifest.name
                } else {
                    folder.clone()
                };
                let title = if package.has_manifest {
                    package.manifest.title
                } else {
                    folder
                };
                (name, title, package.settings, None)
            }
            Err(error) => (
                folder.clone(),
                folder,
                BuildSettings::default(),
                Some(error.into()),
            ),
        };
        let (guest, root_fs) = self.guest_of(&settings);
        Ok(Appliance {
            id: record.id.clone(),
            name,
            title,
            path: record.path.display().to_string(),
            guest,
            root_fs,
            last_build: self.last_build(&record.id)?,
            machines_running: u32::try_from(running).unwrap_or(u32::MAX),
            added_at: record.added_at.clone(),
            problem,
        })
    }

    /// The guest and root file system that settings come to: OSv where the library has it, else
    /// Linux; and for each guest its own file system.
    pub(crate) fn guest_of(&self, settings: &BuildSettings) -> (GuestOs, RootFs) {
        let guest = settings.guest.map_or_else(
            || {
                let osv = self
                    .library
                    .osv_kernels()
                    .is_ok_and(|kernels| !kernels.is_empty());
                if osv { GuestOs::Osv } else { GuestOs::Linux }
            },
            GuestOs::from,
        );
        let root_fs = settings.root_fs.map_or(
            match guest {
                GuestOs::Osv => RootFs::Rofs,
                GuestOs::Linux => RootFs::Ext4,
            },
            RootFs::from,
        );
        (guest, root_fs)
    }
}

fn record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        id: row.get(0)?,
        path: PathBuf::from(row.get::<_, String>(1)?),
        added_at: row.get(2)?,
    })
}
