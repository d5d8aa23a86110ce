//! From an appliance to an image.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::OptionalExtension;
use windlass_compose as compose;
use windlass_package::BuildSettings;

use super::lease::Lease;
use super::prepare::Prepared;
use super::provide::GuestKernel;
use super::update::{Base, Intent};
use super::zfs::ZfsFiles;
use super::{Build, BuildChanges, BuildManner, COLUMNS, from_row};
use crate::Workshop;
use crate::appliances::{Composition, Record};
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::RootFs;
use crate::jobs::{Reporter, Unit};

/// The name of the image in a build's folder.
const IMAGE: &str = "disk.img";

/// How often, and how long between, it is looked whether an image is free again that another build has taken.
const TAKEN_TRIES: u32 = 100;
const TAKEN_INTERVAL: Duration = Duration::from_millis(100);

/// How an image is made, beside what the appliance's folder says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Making {
    /// Settings instead of those that the folder keeps.
    pub(crate) settings: Option<BuildSettings>,
    /// The size of a writable root file system; content and some room where nothing is said.
    pub(crate) size_bytes: Option<u64>,
    /// The name that the image gets.
    pub(crate) name: Option<String>,
    /// What makes a ZFS disk, instead of what the library has.
    pub(crate) zfs: ZfsFiles,
    /// Reads each file, whatever its size and times say.
    pub(crate) reads_all: bool,
}

/// A build that nobody updates or deletes as long as it is held.
#[derive(Debug)]
pub(crate) struct Provided {
    pub(crate) build: Build,
    pub(crate) composition: Arc<Composition>,
    _lease: Option<Lease>,
    /// None of its packages is pruned until its machine has them.
    _packages: Option<windlass_library::Lease>,
}

/// What an image is made out of.
#[derive(Debug)]
pub(super) enum MadeOf {
    /// Nothing: it is written from the first byte to the last.
    Nothing,
    /// What is in its place, if that will do.
    Place,
    /// Another image, in that one's place, if that will do.
    Image(PathBuf),
}

impl Workshop {
    /// The image of an appliance as it is now: the last one where nothing changed, else a new one. It stays as it is
    /// as long as it is held.
    pub(crate) async fn provide_build(
        self: &Arc<Self>,
        record: &Record,
        making: &Making,
        reporter: &Reporter,
    ) -> Result<Provided> {
        let prepared = self.prepare(record, making, reporter).await?;
        let fingerprint = prepared.fingerprint()?;
        let same = if making.reads_all {
            None
        } else {
            self.same_build(&record.id, &fingerprint)?
        };
        if let Some((build, lease)) = same {
            reporter.log("Nothing changed since the last build");
            return Ok(Provided {
                build,
                composition: prepared.composition,
                _lease: Some(lease),
                _packages: None,
            });
        }
        reporter.check()?;
        let name = making.name.as_deref();
        let written = self
            .write_build(record, &prepared, &fingerprint, name, reporter)
            .await;
        let provided = |build, lease, composition| Provided {
            build,
            composition,
            _lease: Some(lease),
            _packages: None,
        };
        let build = match written {
            Ok(build) => build,
            Err(error) if error.kind == ErrorKind::Cancelled => return Err(error),
            // What got in its way may be somebody who has made just this.
            Err(error) => match self.same_build(&record.id, &fingerprint)? {
                Some((build, lease)) => return Ok(provided(build, lease, prepared.composition)),
                None => return Err(error),
            },
        };
        // Another build may be looking whether this one will do for it, or have made its own of it by now.
        for _ in 0..TAKEN_TRIES {
            let lease = Lease::to_read(Path::new(&build.path))?;
            let is_there = || self.build(&build.id).is_ok_and(|build| build.has_image);
            let found = match lease.filter(|_| is_there()) {
                Some(lease) => Some((build.clone(), lease)),
                None => self.same_build(&record.id, &fingerprint)?,
            };
            if let Some((build, lease)) = found {
                return Ok(provided(build, lease, prepared.composition));
            }
            reporter.check()?;
            tokio::time::sleep(TAKEN_INTERVAL).await;
        }
        Err(AppError::new(
            ErrorKind::Conflict,
            "Another build of this appliance has taken over the image meanwhile",
        )
        .hinted("Try again"))
    }

    /// What a machine needs that runs an appliance with no image made: a build that was never written.
    pub(crate) async fn provide_live(
        self: &Arc<Self>,
        record: &Record,
        making: &Making,
        reporter: &Reporter,
    ) -> Result<Provided> {
        let prepared = self.prepare(record, making, reporter).await?;
        let composition = prepared.composition;
        let build = Build {
            id: String::new(),
            appliance_id: record.id.clone(),
            guest: composition.guest,
            root_fs: composition.root_fs,
            kernel_id: String::new(),
            path: String::new(),
            size_bytes: 0,
            content_bytes: 0,
            file_count: 0,
            digest: String::new(),
            started_at: String::new(),
            duration_ms: 0,
            changes: None,
            has_image: false,
            replaced_by: None,
        };
        Ok(Provided {
            build,
            composition,
            _lease: None,
            _packages: Some(prepared.packages),
        })
    }

    /// The image of an appliance as `own` has it, to be run as `settings` say: one image serves many configurations,
    /// because the kernel is told its command line from outside. Where the disk boots by itself it is told by the disk,
    /// and where `own` has nothing to run there is no such image: then one is made of `settings`.
    pub(crate) async fn provide_configured(
        self: &Arc<Self>,
        record: &Record,
        own: BuildSettings,
        settings: BuildSettings,
        reporter: &Reporter,
    ) -> Result<Provided> {
        let making = |settings| Making {
            settings: Some(settings),
            ..Making::default()
        };
        let (own, wanted) = (making(own), making(settings));
        let prepared = self.prepare(record, &wanted, reporter).await?;
        let is_told = match &prepared.kernel {
            GuestKernel::Linux(_) => true,
            GuestKernel::Osv(kernel) => kernel.elf.is_some(),
        };
        if is_told {
            match self.provide_build(record, &own, reporter).await {
                Err(error) if error.kind == ErrorKind::Input => {}
                provided => {
                    return provided.map(|provided| Provided {
                        composition: prepared.composition,
                        ..provided
                    });
                }
            }
        }
        self.provide_build(record, &wanted, reporter).await
    }

    /// One build as it is, with what its appliance says now of how it is run.
    pub(crate) async fn provide_this_build(
        self: &Arc<Self>,
        build: Build,
        reporter: &Reporter,
    ) -> Result<Provided> {
        let record = self.appliance_record(&build.appliance_id)?;
        let prepared = self.prepare(&record, &Making::default(), reporter).await?;
        let composition = prepared.composition;
        if (composition.guest, composition.root_fs) != (build.guest, build.root_fs) {
            return Err(AppError::new(
                ErrorKind::Conflict,
                "The build is for another guest or root file system than its appliance is now",
            )
            .hinted(
                "Choose the guest and root file system that it was built for, then run it again",
            ));
        }
        let lease = Lease::to_read(Path::new(&build.path))?;
        match lease.filter(|_| self.build(&build.id).is_ok_and(|build| build.has_image)) {
            Some(lease) => Ok(Provided {
                build,
                composition,
                _lease: Some(lease),
                _packages: None,
            }),
            None => Err(
                AppError::new(ErrorKind::Conflict, "The build has no image any more")
                    .hinted("Its image was updated to be a later build's: run that one"),
            ),
        }
    }

    /// A build that was made from just this, and whose image is still there.
    fn same_build(&self, appliance_id: &str, fingerprint: &str) -> Result<Option<(Build, Lease)>> {
        let query = format!(
            "SELECT {COLUMNS} FROM build WHERE appliance_id = ?1 AND fingerprint = ?2
             AND replaced_by IS NULL ORDER BY id DESC LIMIT 1"
        );
        let find = || {
            let connection = self.database.lock();
            connection
                .query_row(&query, (appliance_id, fingerprint), from_row)
                .optional()
        };
        let is_whole = |build: &Build| {
            std::fs::metadata(&build.path).is_ok_and(|image| image.len() == build.size_bytes)
        };
        let Some(build) = find()?.filter(is_whole) else {
            return Ok(None);
        };
        let Some(lease) = Lease::to_read(Path::new(&build.path))? else {
            return Ok(None);
        };
        // Somebody may have made another build of it just before.
        let still = find()?.filter(|now| *now == build && is_whole(now));
        if still.is_none() || self.has_intent(&build.id)? {
            return Ok(None);
        }
        Ok(Some((build, lease)))
    }

    async fn write_build(
        self: &Arc<Self>,
        record: &Record,
        prepared: &Prepared,
        fingerprint: &str,
        name: Option<&str>,
        reporter: &Reporter,
    ) -> Result<Build> {
        // The job's own id: whoever finds a folder without a build knows whose it is.
        let id = reporter.job_id();
        let folder = self.home.images().join(&id);
        std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
        let started = Instant::now();
        let composition = &prepared.composition;
        let like = (composition.guest, composition.root_fs);
        let base = self.base_build(&record.id, like, name).await?;
        let why_anew = match &base {
            Some(_) => None,
            None => self.why_no_base(&record.id, like)?,
        };
        let draft = Build {
            id,
            appliance_id: record.id.clone(),
            guest: like.0,
            root_fs: like.1,
            kernel_id: prepared.kernel.id().to_owned(),
            path: base
                .as_ref()
                .map_or_else(String::new, |base| base.build.path.clone()),
            size_bytes: 0,
            content_bytes: 0,
            file_count: 0,
            digest: String::new(),
            started_at: crate::now(),
            duration_ms: 0,
            changes: None,
            has_image: true,
            replaced_by: None,
        };
        let intent = Intent {
            build: draft,
            fingerprint: fingerprint.to_owned(),
        };
        let made = self
            .make_image(
                prepared,
                &folder.join(IMAGE),
                base.as_ref(),
                &intent,
                reporter,
            )
            .await;
        let kept = made.and_then(|mut composed| {
            let reason = &mut composed.changes.reason;
            *reason = reason.take().or(why_anew.map(str::to_owned));
            let base = base.as_ref().map(|base| &base.build);
            self.keep_build(base, composed, intent, started, reporter)
        });
        drop(base);
        let build = kept.inspect_err(|_| {
            // Nothing half-written is left; an image that was being updated is the old one or the new one.
            let _ = std::fs::remove_dir_all(&folder);
            if let Err(error) = self.recover_updates_of(&reporter.job_id()) {
                tracing::error!(%error, "an update that failed could not be looked at");
            }
        })?;
        if Path::new(&build.path).parent() != Some(&folder) {
            let _ = std::fs::remove_dir_all(&folder);
        }
        if let Err(error) = self.prune_builds(&record.id) {
            // Another process may have pruned just the same ones; the next build tries again.
            tracing::warn!(%error, "old builds could not be removed");
        }
        self.tell_appliance(&record.id);
        Ok(build)
    }

    /// Makes the image out of that of `base`, or of a clone of it, or anew.
    async fn make_image(
        self: &Arc<Self>,
        prepared: &Prepared,
        destination: &Path,
        base: Option<&Base>,
        intent: &Intent,
        reporter: &Reporter,
    ) -> Result<compose::Build> {
        let Some(base) = base else {
            return self
                .write_image(prepared, destination, MadeOf::Nothing, reporter)
                .await;
        };
        let (from, to) = (base.image().to_owned(), destination.to_owned());
        if crate::blocking(move || compose::clone_image(&from, &to)).await?? {
            return self
                .write_image(prepared, destination, MadeOf::Place, reporter)
                .await;
        }
        self.note_intent(&base.build, intent)?;
        let from = MadeOf::Image(base.image().to_owned());
        self.write_image(prepared, destination, from, reporter)
            .await
    }

    /// Takes down what was made.
    fn keep_build(
        &self,
        base: Option<&Build>,
        composed: compose::Build,
        intent: Intent,
        started: Instant,
        reporter: &Reporter,
    ) -> Result<Build> {
        let Intent { build, fingerprint } = intent;
        let changes = BuildChanges {
            since: base.map(|base| base.id.clone()),
            ..composed.changes.into()
        };
        let is_in_place = base.is_some_and(|base| Path::new(&base.path) == composed.path);
        if let Some(base) = base.filter(|_| changes.manner == BuildManner::Unchanged) {
            reporter.log("The files are what they were in the last build");
            if is_in_place {
                self.drop_intent(base, &build.id)?;
            }
            self.set_fingerprint(&base.id, &fingerprint)?;
            return self.build(&base.id);
        }
        let build = Build {
            path: composed.path.display().to_string(),
            size_bytes: composed.size_bytes,
            content_bytes: composed.content_bytes,
            file_count: composed.file_count as u64,
            digest: composed.digest,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            changes: Some(changes.clone()),
            ..build
        };
        if let Some(reason) = &changes.reason {
            reporter.log(&format!("Built anew: {reason}"));
        }
        reporter.log(&format!(
            "{} files: {} added, {} changed, {} removed; {} bytes written, in {} ms",
            build.file_count,
            changes.added,
            changes.changed,
            changes.removed,
            changes.bytes_written,
            build.duration_ms
        ));
        match base {
            Some(base) if is_in_place => self.replace_build(&base.id, &build, &fingerprint)?,
            _ => {
                self.insert_build(&build, &fingerprint)?;
                if let Some(base) = base {
                    self.drop_intent(base, &build.id)?;
                }
            }
        }
        Ok(build)
    }

    /// Writes an image to its place, off the async threads.
    pub(super) async fn write_image(
        self: &Arc<Self>,
        prepared: &Prepared,
        destination: &Path,
        from: MadeOf,
        reporter: &Reporter,
    ) -> Result<compose::Build> {
        let filler = if prepared.composition.root_fs == RootFs::Zfs {
            let filler = self.zfs_filler(&prepared.kernel, &prepared.zfs, reporter);
            Some(filler.await?)
        } else {
            None
        };
        let recipe = compose::Recipe {
            filler,
            ..prepared.recipe(destination.to_owned())
        };
        let composition = Arc::clone(&prepared.composition);
        let digests = compose::DigestCache::open(self.home.digests());
        let digests = if prepared.reads_all {
            digests.reading_all()
        } else {
            digests
        };
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
            let cancel = reporter.cancellation();
            let (plan, progress) = (&composition.plan, &mut progress);
            let build = match &from {
                MadeOf::Nothing => compose::build(plan, &recipe, &digests, progress, cancel),
                MadeOf::Place => {
                    compose::build_or_update(plan, &recipe, &digests, progress, cancel)
                }
                MadeOf::Image(base) => {
                    compose::update_or_build(plan, &recipe, base, &digests, progress, cancel)
                }
            }?;
            if let Err(error) = digests.save() {
                // The next build digests anew: slower, not wrong.
                tracing::warn!(%error, "the digests of files could not be kept");
            }
            Ok(build)
        })
        .await?
    }
}
