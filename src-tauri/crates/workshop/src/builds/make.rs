//! From an appliance to an image.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::OptionalExtension;
use windlass_compose as compose;
use windlass_package::BuildSettings;

use super::provide::GuestKernel;
use super::{Build, COLUMNS, from_row};
use crate::Workshop;
use crate::appliances::{Composition, Finding, Record, Severity};
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Reporter, Unit};

/// The name of the image in a build's folder.
const IMAGE: &str = "disk.img";

/// How an image is made, beside what the appliance's folder says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Making {
    /// Settings instead of those that the folder keeps.
    pub(crate) settings: Option<BuildSettings>,
    /// The size of an ext4 root file system; content and some room where nothing is said.
    pub(crate) size_bytes: Option<u64>,
}

/// An appliance that can be built: laid over its packages, with a kernel, and nothing in the way.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) composition: Arc<Composition>,
    kernel: GuestKernel,
    size_bytes: Option<u64>,
}

impl Workshop {
    /// The image of an appliance as it is now: the last one where nothing changed, else a new one.
    pub(crate) async fn provide_build(
        self: &Arc<Self>,
        record: &Record,
        making: &Making,
        reporter: &Reporter,
    ) -> Result<(Build, Arc<Composition>)> {
        let prepared = self.prepare(record, making, reporter).await?;
        let fingerprint = prepared.fingerprint()?;
        if let Some(build) = self.same_build(&record.id, &fingerprint)? {
            reporter.log("Nothing changed since the last build");
            return Ok((build, prepared.composition));
        }
        reporter.check()?;
        let build = self
            .write_build(record, &prepared, &fingerprint, reporter)
            .await?;
        Ok((build, prepared.composition))
    }

    /// Packages, plan and kernel; fails on the first finding that forbids the build.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        record: &Record,
        making: &Making,
        reporter: &Reporter,
    ) -> Result<Prepared> {
        let lock = crate::appliances::read_lock(&record.path)?;
        self.provide_packages(record, lock.as_ref(), reporter)
            .await?;
        reporter.check()?;
        reporter.step("Reading the appliance");
        let workshop = Arc::clone(self);
        let at = record.clone();
        let settings = making.settings.clone();
        let cancel = reporter.cancellation().clone();
        let composition =
            crate::blocking(move || workshop.compose(&at, settings.as_ref(), &cancel)).await??;
        let kernel = self
            .provide_kernel(composition.guest, composition.root_fs, reporter)
            .await?;
        let findings = self.findings(&composition);
        for finding in &findings {
            reporter.log(&finding.to_string());
        }
        if let Some(finding) = findings
            .into_iter()
            .find(|it| it.severity == Severity::Error)
        {
            return Err(forbidden(finding));
        }
        Ok(Prepared {
            composition,
            kernel,
            size_bytes: making.size_bytes,
        })
    }

    /// A build that was made from just this, and whose image is still there.
    fn same_build(&self, appliance_id: &str, fingerprint: &str) -> Result<Option<Build>> {
        let query = format!(
            "SELECT {COLUMNS} FROM build WHERE appliance_id = ?1 AND fingerprint = ?2
             ORDER BY id DESC LIMIT 1"
        );
        let found = self
            .database
            .lock()
            .query_row(&query, (appliance_id, fingerprint), from_row)
            .optional()?;
        Ok(found.filter(|build| {
            std::fs::metadata(&build.path).is_ok_and(|image| image.len() == build.size_bytes)
        }))
    }

    async fn write_build(
        self: &Arc<Self>,
        record: &Record,
        prepared: &Prepared,
        fingerprint: &str,
        reporter: &Reporter,
    ) -> Result<Build> {
        // The job's own id: whoever finds a folder without a build knows whose it is.
        let id = reporter.job_id();
        let folder = self.home.images().join(&id);
        std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
        let started = Instant::now();
        let started_at = crate::now();
        let composed = self
            .write_image(prepared, folder.join(IMAGE), reporter)
            .await;
        let composed = composed.inspect_err(|_| {
            // Nothing half-written is left.
            let _ = std::fs::remove_dir_all(&folder);
        })?;
        let build = Build {
            id,
            appliance_id: record.id.clone(),
            guest: prepared.composition.guest,
            root_fs: prepared.composition.root_fs,
            kernel_id: prepared.kernel.id().to_owned(),
            path: composed.path.display().to_string(),
            size_bytes: composed.size_bytes,
            content_bytes: composed.content_bytes,
            file_count: composed.file_count as u64,
            digest: composed.digest,
            started_at,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            changes: Some(composed.changes.into()),
            has_image: true,
            replaced_by: None,
        };
        reporter.log(&format!(
            "{} files, {} bytes, in {} ms",
            build.file_count, build.size_bytes, build.duration_ms
        ));
        self.insert_build(&build, fingerprint).inspect_err(|_| {
            let _ = std::fs::remove_dir_all(&folder);
        })?;
        if let Err(error) = self.prune_builds(&record.id) {
            // Another process may have pruned just the same ones; the next build tries again.
            tracing::warn!(%error, "old builds could not be removed");
        }
        self.tell_appliance(&record.id);
        Ok(build)
    }

    /// Writes an image to its place, off the async threads.
    pub(super) async fn write_image(
        &self,
        prepared: &Prepared,
        destination: PathBuf,
        reporter: &Reporter,
    ) -> Result<compose::Build> {
        let recipe = prepared.recipe(destination);
        let composition = Arc::clone(&prepared.composition);
        let kept_digests = self.home.digests();
        let reporter = reporter.clone();
        crate::blocking(move || {
            let mut step = None;
            let mut progress = |progress: compose::Progress| {
                if step != Some(progress.step) {
                    step = Some(progress.step);
                    reporter.step(&progress.step.to_string());
                }
                reporter.progress(progress.done_bytes, Some(progress.total_bytes), Unit::Bytes);
            };
            let digests = compose::DigestCache::open(kept_digests);
            let cancel = reporter.cancellation();
            let build =
                compose::build(&composition.plan, &recipe, &digests, &mut progress, cancel)?;
            if let Err(error) = digests.save() {
                // The next build digests anew: slower, not wrong.
                tracing::warn!(%error, "the digests of files could not be kept");
            }
            Ok(build)
        })
        .await?
    }
}

impl Prepared {
    fn recipe(&self, destination: PathBuf) -> compose::Recipe {
        compose::Recipe {
            destination,
            command_line: self.composition.command_line.clone(),
            loader: match &self.kernel {
                GuestKernel::Osv(kernel) => {
                    kernel.loader.as_ref().map(|loader| loader.path.clone())
                }
                GuestKernel::Linux(_) => None,
            },
            size_bytes: self.size_bytes,
        }
    }

    /// Tells all that goes into the image: the plan, the loader, the boot command line, the size.
    fn fingerprint(&self) -> Result<String> {
        let loader = match &self.kernel {
            GuestKernel::Osv(kernel) => kernel
                .loader
                .as_ref()
                .map_or("none", |loader| loader.digest.as_str()),
            // A Linux image holds no kernel.
            GuestKernel::Linux(_) => "none",
        };
        let Composition {
            guest,
            root_fs,
            plan,
            command_line,
            ..
        } = self.composition.as_ref();
        let size = self
            .size_bytes
            .map(|size| size.to_string())
            .unwrap_or_default();
        Ok(format!(
            "{guest}/{root_fs}/{loader}/{}/{size}/{command_line}",
            plan.fingerprint()?
        ))
    }
}

/// A finding that no image can be made with, as the error that ends a build.
fn forbidden(finding: Finding) -> AppError {
    let place = finding
        .path
        .filter(|path| !finding.message.contains(path))
        .map(|path| format!("{path}: "))
        .unwrap_or_default();
    let mut error = AppError::new(ErrorKind::Input, format!("{place}{}", finding.message));
    error.hints.extend(finding.remedy);
    error
}
