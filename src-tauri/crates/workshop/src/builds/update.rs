//! A new build out of an old one.
//!
//! ```text
//!   the newest build whose image is free: no machine has it, no other name stands for it, nobody reads it
//!     ├ the file system shares blocks ─► its clone is updated in a folder of its own; both builds keep their images
//!     └ else ─► intent ─► the image is updated where it lies ─► one transaction: the new build has the image, the
//!               (row)      (journal: old or new)                  old one is replaced by it, the intent is gone
//! ```
//!
//! Killed in between, the intent tells the next start what was going on, and the digest in the record which
//! of the two the image is. A build that gave its image away stays in the history, with its list of files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use windlass_compose::{self as compose, FileKind, FileList};

use super::lease::Lease;
use super::{Build, BuildChanges, BuildManner};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};

/// A build whose image is about to be updated in its place, and what that becomes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Intent {
    pub(super) build: Build,
    pub(super) fingerprint: String,
}

/// A build that another can be made out of, held so that nobody else takes it.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) build: Build,
    pub(super) _lease: Lease,
}

impl Base {
    pub(super) fn image(&self) -> &Path {
        Path::new(&self.build.path)
    }
}

impl Workshop {
    /// The newest build of an appliance that a new one can be made out of. `name` is the one that the new image gets.
    pub(super) async fn base_build(
        self: &Arc<Self>,
        appliance: &str,
        like: (crate::guests::GuestOs, crate::guests::RootFs),
        name: Option<&str>,
    ) -> Result<Option<Base>> {
        // Machines that other processes made just now.
        self.machines.refresh().await;
        let named = self.images()?;
        for build in self.builds(Some(appliance))? {
            let is_named = named
                .iter()
                .any(|image| image.build_id == build.id && Some(image.name.as_str()) != name);
            let image = Path::new(&build.path);
            if !build.has_image
                || (build.guest, build.root_fs) != like
                || is_named
                || self.user_of(&build).is_some()
                || self.has_intent(&build.id)?
                || !compose::is_as_built(image)
            {
                continue;
            }
            let Some(lease) = Lease::to_write(image)? else {
                continue;
            };
            // Whoever had it until now may have used it up, or made a machine of it.
            self.machines.refresh().await;
            match self.build(&build.id) {
                Ok(now)
                    if now.has_image
                        && self.user_of(&now).is_none()
                        && !self.has_intent(&now.id)? =>
                {
                    return Ok(Some(Base {
                        build: now,
                        _lease: lease,
                    }));
                }
                Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Why there is no build that the next one could be made out of; nothing where it is the first.
    pub(super) fn why_no_base(
        &self,
        appliance: &str,
        like: (crate::guests::GuestOs, crate::guests::RootFs),
    ) -> Result<Option<&'static str>> {
        let Some(build) = self.last_build(appliance)? else {
            return Ok(None);
        };
        Ok(Some(if (build.guest, build.root_fs) != like {
            "the last build is for another guest, or of another file system"
        } else if !build.has_image {
            "the image of the last build is not there any more"
        } else if !compose::is_as_built(Path::new(&build.path)) {
            "the image of the last build was written to since it was built"
        } else {
            "the image of the last build is kept, by its name or for a machine"
        }))
    }

    /// Notes that the image of `base` is about to become a build.
    pub(super) fn note_intent(&self, base: &Build, intent: &Intent) -> Result<()> {
        let draft = serde_json::to_string(intent)
            .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
        self.database.lock().execute(
            "INSERT INTO build_update (id, base, draft) VALUES (?1, ?2, ?3)",
            (&intent.build.id, &base.id, draft),
        )?;
        // The list of the old build outlives its image.
        let image = Path::new(&base.path);
        let kept = kept_list(image, &base.id);
        let _ = std::fs::remove_file(&kept);
        if let Err(error) = compose::keep_list(image, &kept) {
            tracing::warn!(%error, "the list of files of the last build could not be kept");
        }
        Ok(())
    }

    /// The image of `base` stayed what it was.
    pub(super) fn drop_intent(&self, base: &Build, id: &str) -> Result<()> {
        self.database
            .lock()
            .execute("DELETE FROM build_update WHERE id = ?1", [id])?;
        let _ = std::fs::remove_file(kept_list(Path::new(&base.path), &base.id));
        Ok(())
    }

    /// The image of `base` is that of `build` now.
    pub(super) fn replace_build(&self, base: &str, build: &Build, fingerprint: &str) -> Result<()> {
        self.open_images.forget(Path::new(&build.path));
        let mut connection = self.database.lock();
        let transaction = connection.transaction()?;
        super::insert_build(&transaction, build, fingerprint)?;
        transaction.execute(
            "UPDATE build SET replaced_by = ?2 WHERE id = ?1",
            (base, &build.id),
        )?;
        transaction.execute("DELETE FROM build_update WHERE id = ?1", [&build.id])?;
        transaction.commit()?;
        Ok(())
    }

    /// Another state of the folder has come to the same image.
    pub(super) fn set_fingerprint(&self, build: &str, fingerprint: &str) -> Result<()> {
        self.database.lock().execute(
            "UPDATE build SET fingerprint = ?2 WHERE id = ?1",
            (build, fingerprint),
        )?;
        Ok(())
    }

    /// The image of a build was changed by hand: it is not what its appliance comes to any more. Its record stays, by which
    /// the next build sees that, and says it.
    pub(crate) fn set_written(&self, build: &Build) -> Result<()> {
        let size = std::fs::metadata(&build.path).map_or(build.size_bytes, |file| file.len());
        self.database.lock().execute(
            "UPDATE build SET fingerprint = '', size_bytes = ?2 WHERE id = ?1",
            (&build.id, i64::try_from(size).unwrap_or(i64::MAX)),
        )?;
        self.tell_appliance(&build.appliance_id);
        Ok(())
    }

    /// The image of a build has another size, and is still what its appliance comes to.
    pub(crate) fn set_resized(&self, build: &Build, size_bytes: u64, digest: &str) -> Result<()> {
        let size_bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        self.database.lock().execute(
            "UPDATE build SET size_bytes = ?2, digest = ?3 WHERE id = ?1",
            (&build.id, size_bytes, digest),
        )?;
        self.tell_appliance(&build.appliance_id);
        Ok(())
    }

    /// Finishes the updates that killed processes left: their image is the old build's or the new one's.
    pub(crate) fn recover_updates(&self) -> Result<()> {
        let left: Vec<String> = {
            let connection = self.database.lock();
            let mut statement = connection.prepare(
                "SELECT build_update.id FROM build_update
                 LEFT JOIN job ON job.id = build_update.id
                 WHERE job.state IS NULL OR job.state NOT IN ('running', 'paused')",
            )?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for id in left {
            if let Err(error) = self.recover_updates_of(&id) {
                // It is tried again at the next start.
                tracing::error!(build = id, %error, "an interrupted update could not be finished");
            }
        }
        Ok(())
    }

    /// Looks what the update of a build came to that did not end by itself.
    pub(super) fn recover_updates_of(&self, id: &str) -> Result<()> {
        let noted: Option<(String, String)> = self
            .database
            .lock()
            .query_row(
                "SELECT base, draft FROM build_update WHERE id = ?1",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let Some((base, draft)) = noted else {
            return Ok(());
        };
        let Ok(base) = self.build(&base) else {
            self.database
                .lock()
                .execute("DELETE FROM build_update WHERE id = ?1", [id])?;
            return Ok(());
        };
        let image = Path::new(&base.path);
        let Some(_lease) = Lease::to_write(image)? else {
            return Ok(());
        };
        if let Err(error) = windlass_image::journal::recover(image) {
            tracing::warn!(image = %image.display(), %error, "an interrupted update could not be finished");
        }
        let list = FileList::read(image)?;
        let intent: Option<Intent> = serde_json::from_str(&draft).ok();
        match intent {
            Some(intent) if list.digest != base.digest && base.has_image => {
                let build = completed(intent.build, &list, &base.id);
                self.replace_build(&base.id, &build, &intent.fingerprint)?;
                tracing::info!(build = id, "an interrupted update was finished");
            }
            _ => self.drop_intent(&base, id)?,
        }
        Ok(())
    }

    /// The list of files of a build, also where its image is another build's now.
    pub(crate) fn list_of(build: &Build) -> std::result::Result<FileList, compose::Error> {
        let image = Path::new(&build.path);
        if build.replaced_by.is_some() {
            FileList::read_at(&kept_list(image, &build.id))
        } else {
            FileList::read(image)
        }
    }

    /// Whether an image is being updated, or was when a process was killed.
    pub(super) fn has_intent(&self, base: &str) -> Result<bool> {
        Ok(self
            .database
            .lock()
            .query_row("SELECT 1 FROM build_update WHERE base = ?1", [base], |_| {
                Ok(())
            })
            .optional()?
            .is_some())
    }
}

/// Where the list of files of a build lies whose image was updated to another one.
pub(super) fn kept_list(image: &Path, build: &str) -> PathBuf {
    image.with_file_name(format!("{build}.list"))
}

/// The build that an update came to whose process did not live to tell.
fn completed(draft: Build, list: &FileList, base: &str) -> Build {
    let files = list.files.iter().filter(|file| file.kind == FileKind::File);
    Build {
        size_bytes: list.size_bytes,
        content_bytes: files.filter_map(|file| file.size_bytes).sum(),
        file_count: list.file_count() as u64,
        digest: list.digest.clone(),
        changes: Some(BuildChanges {
            manner: BuildManner::Updated,
            reason: None,
            since: Some(base.to_owned()),
            added: 0,
            changed: 0,
            removed: 0,
            bytes_written: 0,
        }),
        ..draft
    }
}
