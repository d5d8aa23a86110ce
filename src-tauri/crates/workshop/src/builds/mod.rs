//! Builds: images made from appliances, and the machines started from them.
//!
//! ```text
//!   start_build ─► packages ─► kernel ─► compose ─► unchanged since the last build? ─► that one
//!                  (packed     (Linux:                  └─► build ─► images/<id>/disk.img
//!                   from here)  fetched)
//!   start_run   ─► the same ─► machine ─► started
//! ```
//!
//! A build remembers the fingerprint of all that went into it. As long as that is the same, the
//! image is the same, and nothing is written.

mod lease;
mod live;
mod make;
mod named;
mod prepare;
mod provide;
mod run;
mod update;
mod zfs;

pub(crate) use lease::Lease;
pub(crate) use make::{Making, Provided};
pub(crate) use provide::GuestKernel;

pub use named::{ComposeOptions, Image};
pub use run::RunOptions;
pub use zfs::ZfsFiles;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use specta::Type;

use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::{GuestOs, RootFs};
use crate::jobs::{Job, JobKind, Request};

/// How many images of an appliance are kept, beside those that machines use.
const BUILDS_KEPT: usize = 5;

const COLUMNS: &str = "id, appliance_id, guest, root_fs, kernel_id, path, size_bytes, \
                       content_bytes, file_count, digest, started_at, duration_ms, changes, replaced_by";

/// An image, and what is known of how it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// Its name for programs.
    pub id: String,
    /// The appliance that it was made from.
    pub appliance_id: String,
    /// The guest that it is for.
    pub guest: GuestOs,
    /// Its root file system.
    pub root_fs: RootFs,
    /// The guest kernel that it was made for.
    pub kernel_id: String,
    /// The image.
    pub path: String,
    /// The length of the image's file.
    pub size_bytes: u64,
    /// The bytes of all files in it.
    pub content_bytes: u64,
    /// How many files are in it.
    pub file_count: u64,
    /// Its BLAKE3 digest, in hexadecimal.
    pub digest: String,
    /// When it was begun (RFC 3339).
    pub started_at: String,
    /// How long it took.
    pub duration_ms: u64,
    /// What was different from the build before; none of a build that was made before this was kept.
    pub changes: Option<BuildChanges>,
    /// Whether its image is still there.
    pub has_image: bool,
    /// The build that was made out of this one's image, by what differed: then this one has none any more.
    pub replaced_by: Option<String>,
}

/// How an image was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum BuildManner {
    /// From the first byte to the last.
    Anew,
    /// By writing what differs into the image of the build before, or into a copy of it.
    Updated,
    /// Nothing had to be written.
    Unchanged,
}

/// What was different from the build before. Files and symlinks are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct BuildChanges {
    /// How the image was made.
    pub manner: BuildManner,
    /// Why it was made anew, in words.
    pub reason: Option<String>,
    /// The build that it was compared with, out of whose image it was made where it is updated.
    pub since: Option<String>,
    /// How many files are new.
    pub added: u64,
    /// How many have other content, another mode, or are of another kind.
    pub changed: u64,
    /// How many are no more.
    pub removed: u64,
    /// How many bytes of the image were written.
    pub bytes_written: u64,
}

impl Workshop {
    /// The builds of one appliance, or of all, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn builds(&self, appliance_id: Option<&str>) -> Result<Vec<Build>> {
        let query = format!(
            "SELECT {COLUMNS} FROM build WHERE ?1 IS NULL OR appliance_id = ?1 ORDER BY id DESC"
        );
        let connection = self.database.lock();
        let mut statement = connection.prepare_cached(&query)?;
        let builds = statement.query_map([appliance_id], from_row)?;
        Ok(builds.collect::<rusqlite::Result<_>>()?)
    }

    /// The build of this id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn build(&self, id: &str) -> Result<Build> {
        let query = format!("SELECT {COLUMNS} FROM build WHERE id = ?1");
        self.database
            .lock()
            .query_row(&query, [id], from_row)
            .optional()?
            .ok_or_else(|| AppError::not_found("build", id))
    }

    /// The build whose image is this file.
    pub(crate) fn build_at(&self, path: &Path) -> Result<Option<Build>> {
        let query = format!("SELECT {COLUMNS} FROM build WHERE path = ?1 ORDER BY id DESC LIMIT 1");
        Ok(self
            .database
            .lock()
            .query_row(&query, [path.to_string_lossy()], from_row)
            .optional()?)
    }

    pub(crate) fn last_build(&self, appliance_id: &str) -> Result<Option<Build>> {
        let query =
            format!("SELECT {COLUMNS} FROM build WHERE appliance_id = ?1 ORDER BY id DESC LIMIT 1");
        Ok(self
            .database
            .lock()
            .query_row(&query, [appliance_id], from_row)
            .optional()?)
    }

    /// Deletes a build with its image.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine boots from it.
    pub fn delete_build(&self, id: &str) -> Result<()> {
        let build = self.build(id)?;
        if let Some(machine) = self.user_of(&build) {
            return Err(AppError::new(
                ErrorKind::Conflict,
                format!("The machine `{machine}` boots from this build"),
            )
            .hinted("Delete the machine first"));
        }
        let image = Path::new(&build.path);
        if build.replaced_by.is_some() {
            // What lies there is another build's now.
            self.forget_build(id)?;
            let _ = std::fs::remove_file(update::kept_list(image, id));
            self.tell_appliance(&build.appliance_id);
            return Ok(());
        }
        let folder_is_there = image.parent().is_some_and(Path::is_dir);
        let lease = if folder_is_there {
            Lease::to_write(image)?
        } else {
            None
        };
        if folder_is_there && lease.is_none() {
            return Err(AppError::new(
                ErrorKind::Conflict,
                "This build is being read or updated just now",
            )
            .hinted("Wait until the job that uses it has ended"));
        }
        self.forget_build(id)?;
        self.open_images.forget(image);
        if let Some(folder) = Path::new(&build.path).parent().filter(|folder| {
            // Only what lies in our own folder is ours to remove.
            folder.parent() == Some(&self.home.images())
        }) {
            match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                outcome => outcome.doing("remove the folder", folder)?,
            }
        }
        self.tell_appliance(&build.appliance_id);
        Ok(())
    }

    fn forget_build(&self, id: &str) -> Result<()> {
        self.database
            .lock()
            .execute("DELETE FROM build WHERE id = ?1", [id])?;
        Ok(())
    }

    /// The name of a machine that boots from a build.
    fn user_of(&self, build: &Build) -> Option<String> {
        if build.replaced_by.is_some() {
            return None;
        }
        let by_label = self.machines.list().into_iter().find_map(|handle| {
            let uses = crate::machines::labels(&handle).build_id.as_deref() == Some(&build.id);
            uses.then(|| handle.spec().name)
        });
        by_label.or_else(|| self.image_user(Path::new(&build.path)))
    }

    /// Composes an image as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such appliance.
    pub fn start_build(self: &Arc<Self>, appliance: &str) -> Result<Job> {
        let shown = self.appliance(appliance)?;
        let record = self.appliance_record(&shown.id)?;
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Build,
            format!("Build {}", shown.name),
            Some(shown.id),
            Some(&Request::Build {
                appliance: record.id.clone(),
            }),
            async move |reporter| {
                let provided = workshop
                    .provide_build(&record, &Making::default(), &reporter)
                    .await?;
                Ok(Some(provided.build.id))
            },
        )
    }

    fn insert_build(&self, build: &Build, fingerprint: &str) -> Result<()> {
        insert_build(&self.database.lock(), build, fingerprint)
    }

    /// Deletes the oldest images of an appliance that no machine uses.
    fn prune_builds(&self, appliance_id: &str) -> Result<()> {
        for build in self.builds(Some(appliance_id))?.iter().skip(BUILDS_KEPT) {
            if self.user_of(build).is_some() {
                continue;
            }
            match self.delete_build(&build.id) {
                // Somebody reads it: the next build tries again.
                Err(error) if error.kind == ErrorKind::Conflict => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Build> {
    let number = |column: usize| {
        row.get::<_, i64>(column)
            .map(|it| u64::try_from(it).unwrap_or(0))
    };
    let guest: String = row.get(2)?;
    let root_fs: String = row.get(3)?;
    let path: String = row.get(5)?;
    let replaced_by: Option<String> = row.get(13)?;
    Ok(Build {
        id: row.get(0)?,
        appliance_id: row.get(1)?,
        guest: if guest == "osv" {
            GuestOs::Osv
        } else {
            GuestOs::Linux
        },
        root_fs: root_fs
            .parse::<windlass_guest::RootFs>()
            .map_or(RootFs::Ext4, RootFs::from),
        kernel_id: row.get(4)?,
        path: path.clone(),
        size_bytes: number(6)?,
        content_bytes: number(7)?,
        file_count: number(8)?,
        digest: row.get(9)?,
        started_at: row.get(10)?,
        duration_ms: number(11)?,
        changes: row
            .get::<_, Option<String>>(12)?
            .and_then(|text| serde_json::from_str(&text).ok()),
        has_image: replaced_by.is_none() && Path::new(&path).is_file(),
        replaced_by,
    })
}

impl From<windlass_compose::Changes> for BuildChanges {
    fn from(changes: windlass_compose::Changes) -> Self {
        Self {
            manner: match changes.manner {
                windlass_compose::Manner::Updated => BuildManner::Updated,
                windlass_compose::Manner::Unchanged => BuildManner::Unchanged,
                _ => BuildManner::Anew,
            },
            reason: changes.reason,
            since: None,
            added: changes.added as u64,
            changed: changes.changed as u64,
            removed: changes.removed as u64,
            bytes_written: changes.bytes_written,
        }
    }
}

fn insert_build(connection: &rusqlite::Connection, build: &Build, fingerprint: &str) -> Result<()> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let changes = build
        .changes
        .as_ref()
        .and_then(|changes| serde_json::to_string(changes).ok());
    connection.execute(
        "INSERT INTO build (id, appliance_id, guest, root_fs, kernel_id, path, size_bytes,
                 content_bytes, file_count, digest, started_at, duration_ms, fingerprint, changes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        rusqlite::params![
            build.id,
            build.appliance_id,
            build.guest.to_string(),
            build.root_fs.to_string(),
            build.kernel_id,
            build.path,
            number(build.size_bytes),
            number(build.content_bytes),
            number(build.file_count),
            build.digest,
            build.started_at,
            number(build.duration_ms),
            fingerprint,
            changes,
        ],
    )?;
    Ok(())
}
