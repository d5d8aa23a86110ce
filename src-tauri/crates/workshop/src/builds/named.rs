//! Images under a name of the user's choice, and images as files of their own.
//!
//! ```text
//!   compose NAME              ─► a build, and "NAME is that build of that appliance, with these settings"
//!   compose NAME --out FILE   ─► FILE alone
//!   run NAME                  ─► the build brought up to date with the folder, then a machine
//! ```
//!
//! A name lives in the table `setting`, one row each, so that two processes never write over each
//! other's. A name whose build was pruned still runs: it is composed again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;

use super::make::{MadeOf, Making, Provided};
use super::{RunOptions, ZfsFiles};
use crate::Workshop;
use crate::appliances::{ApplianceSettings, Record};
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Job, JobKind, Reporter, Request};

/// What the rows of names begin with.
const ROW_PREFIX: &str = "image:";

/// How an image is composed, beside what the appliance's folder says.
#[derive(Debug, Clone, Default)]
pub struct ComposeOptions {
    /// Settings instead of those that the folder keeps.
    pub settings: Option<ApplianceSettings>,
    /// The size of a writable root file system; content and some room where nothing is said.
    pub size_bytes: Option<u64>,
    /// The name that the image gets.
    pub name: Option<String>,
    /// The file to write it to, instead of keeping it among the builds.
    pub out: Option<PathBuf>,
    /// Writes only what differs into the file that is there. A build that is kept is updated in any case.
    pub update: bool,
    /// What makes a ZFS disk, instead of what the library has; for a file of its own only.
    pub zfs: ZfsFiles,
    /// Reads each file, instead of trusting that one with the size and times of the last build is what it was.
    pub verify: bool,
}

/// A named image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its name.
    pub name: String,
    /// The appliance that it is made from.
    pub appliance_id: String,
    /// The build that it is, until that is deleted.
    pub build_id: String,
}

/// What is kept of a named image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    appliance_id: String,
    build_id: String,
    settings: Option<ApplianceSettings>,
    size_bytes: Option<u64>,
}

impl Workshop {
    /// The named images, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn images(&self) -> Result<Vec<Image>> {
        let connection = self.database.lock();
        let mut statement = connection.prepare_cached(
            "SELECT name, value FROM setting WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name",
        )?;
        let rows = statement.query_map([ROW_PREFIX], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let images = rows.into_iter().filter_map(|(name, value)| {
            let kept: Kept = serde_json::from_str(&value).ok()?;
            Some(Image {
                name: name.strip_prefix(ROW_PREFIX)?.to_owned(),
                appliance_id: kept.appliance_id,
                build_id: kept.build_id,
            })
        });
        Ok(images.collect())
    }

    /// Deletes a named image: its name, and its build unless another name stands for it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine boots from it.
    pub fn delete_image(&self, name: &str) -> Result<()> {
        let images = self.images()?;
        let image = images
            .iter()
            .find(|image| image.name == name)
            .ok_or_else(|| no_image(name))?;
        let shared = images
            .iter()
            .any(|other| other.name != name && other.build_id == image.build_id);
        if !shared && self.build(&image.build_id).is_ok() {
            self.delete_build(&image.build_id)?;
        }
        let row = format!("{ROW_PREFIX}{name}");
        self.database
            .lock()
            .execute("DELETE FROM setting WHERE name = ?1", [row])?;
        Ok(())
    }

    /// Composes an image as a job that ends with the build's id, or with the file's path.
    ///
    /// # Errors
    /// `NotFound` when there is no such appliance; `Input` when the name makes no sense.
    pub fn start_compose(
        self: &Arc<Self>,
        appliance: &str,
        options: ComposeOptions,
    ) -> Result<Job> {
        if let Some(name) = &options.name {
            check_name(name)?;
        }
        let shown = self.appliance(appliance)?;
        let record = self.appliance_record(&shown.id)?;
        let workshop = Arc::clone(self);
        // Only what the appliance's folder says can be repeated from the history.
        let request =
            (options.settings.is_none() && options.out.is_none()).then(|| Request::Build {
                appliance: record.id.clone(),
            });
        self.start_job(
            JobKind::Build,
            format!("Build {}", options.name.as_deref().unwrap_or(&shown.name)),
            Some(shown.id),
            request.as_ref(),
            async move |reporter| {
                if let Some(out) = &options.out {
                    let file = workshop
                        .compose_file(&record, &options, out, &reporter)
                        .await?;
                    return Ok(Some(file));
                }
                let provided = workshop.provide_named(&record, options, &reporter).await?;
                Ok(Some(provided.build.id))
            },
        )
    }

    /// Brings a named image up to date with its appliance and starts a machine from it, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such image, or its appliance is gone.
    pub fn start_image_run(self: &Arc<Self>, name: &str, options: RunOptions) -> Result<Job> {
        let kept: Kept = self
            .remembered(&format!("{ROW_PREFIX}{name}"))?
            .ok_or_else(|| no_image(name))?;
        let record = self.appliance_record(&kept.appliance_id)?;
        let compose = ComposeOptions {
            settings: options.settings.or(kept.settings),
            size_bytes: kept.size_bytes,
            name: None,
            out: None,
            update: true,
            zfs: ZfsFiles::default(),
            verify: false,
        };
        let run = RunOptions {
            settings: compose.settings.clone(),
            name: options.name.or_else(|| Some(name.to_owned())),
            volumes: options.volumes,
            networks: options.networks,
            shares: options.shares,
            is_live: false,
            is_disposable: options.is_disposable,
            count: options.count,
            group: options.group,
            group_file: None,
            resources: options.resources,
        };
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Run,
            format!("Run {name}"),
            Some(record.id.clone()),
            None,
            async move |reporter| {
                let provided = workshop.provide_named(&record, compose, &reporter).await?;
                reporter.check()?;
                let id = workshop.run_build(&provided, run, &reporter).await?;
                Ok(Some(id))
            },
        )
    }

    /// The settings that a named image was composed with, where they are not its folder's.
    ///
    /// # Errors
    /// `NotFound` when there is no such image.
    pub fn image_settings(&self, name: &str) -> Result<Option<ApplianceSettings>> {
        let kept: Option<Kept> = self.remembered(&format!("{ROW_PREFIX}{name}"))?;
        Ok(kept.ok_or_else(|| no_image(name))?.settings)
    }

    async fn provide_named(
        self: &Arc<Self>,
        record: &Record,
        options: ComposeOptions,
        reporter: &Reporter,
    ) -> Result<Provided> {
        let provided = self
            .provide_build(record, &options.making(), reporter)
            .await?;
        if let Some(name) = options.name {
            let kept = Kept {
                appliance_id: record.id.clone(),
                build_id: provided.build.id.clone(),
                settings: options.settings,
                size_bytes: options.size_bytes,
            };
            self.remember(&format!("{ROW_PREFIX}{name}"), &kept)?;
        }
        Ok(provided)
    }

    async fn compose_file(
        self: &Arc<Self>,
        record: &Record,
        options: &ComposeOptions,
        out: &Path,
        reporter: &Reporter,
    ) -> Result<String> {
        let prepared = self.prepare(record, &options.making(), reporter).await?;
        let destination = std::path::absolute(out).doing("find the folder of", out)?;
        let composed = self
            .write_image(&prepared, &destination, made_of(options), reporter)
            .await?;
        Ok(composed.path.display().to_string())
    }
}

fn made_of(options: &ComposeOptions) -> MadeOf {
    if options.update {
        MadeOf::Place
    } else {
        MadeOf::Nothing
    }
}

impl ComposeOptions {
    fn making(&self) -> Making {
        Making {
            settings: self
                .settings
                .as_ref()
                .map(ApplianceSettings::to_build_settings),
            size_bytes: self.size_bytes,
            name: self.name.clone(),
            zfs: self.zfs.clone(),
            reads_all: self.verify,
        }
    }
}

fn no_image(name: &str) -> AppError {
    AppError::not_found("image", name).hinted("`windlassctl images` lists them")
}

/// A name is shown in lists and typed in terminals.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    if !name.is_empty() && name.len() <= 200 && !name.starts_with('-') && name.chars().all(plain) {
        return Ok(());
    }
    Err(AppError::new(
        ErrorKind::Input,
        format!("`{name}` cannot be the name of an image"),
    )
    .hinted("Use letters, digits, `-`, `.` and `/`"))
}
