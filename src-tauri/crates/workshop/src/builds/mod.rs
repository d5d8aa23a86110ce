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

mod named;
mod run;

pub use named::{ComposeOptions, Image};
pub use run::RunOptions;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;
use specta::Type;
use windlass_compose as compose;
use windlass_guest::RootFs as GuestRootFs;
use windlass_guest::kernel::KernelForm;
use windlass_package::pack;
use windlass_registry::{Kernel, OsvKernel};

use crate::Workshop;
use crate::appliances::{Composition, Record, Severity};
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::{GuestOs, RootFs};
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};

/// How many images of an appliance are kept, beside those that machines use.
const BUILDS_KEPT: usize = 5;

/// The name of the image in a build's folder.
const IMAGE: &str = "disk.img";

const COLUMNS: &str = "id, appliance_id, guest, root_fs, kernel_id, path, size_bytes, \
                       content_bytes, file_count, digest, started_at, duration_ms";

/// An image, and what is known of how it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
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
}

/// The kernel files that a guest boots with.
#[derive(Debug, Clone)]
pub(crate) enum GuestKernel {
    /// OSv: a loader for the disk, an ELF for direct boot, or both.
    Osv(Box<OsvKernel>),
    /// Linux.
    Linux(Box<Kernel>),
}

impl GuestKernel {
    /// The id that a build names.
    fn id(&self) -> &str {
        match self {
            Self::Linux(kernel) => &kernel.id,
            Self::Osv(kernel) => kernel
                .loader
                .as_ref()
                .or(kernel.elf.as_ref())
                .map_or("", |kernel| kernel.id.as_str()),
        }
    }
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
        self.database
            .lock()
            .execute("DELETE FROM build WHERE id = ?1", [id])?;
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

    /// The name of a machine that boots from a build.
    fn user_of(&self, build: &Build) -> Option<String> {
        self.machines.list().into_iter().find_map(|handle| {
            let uses = crate::machines::labels(&handle).build_id.as_deref() == Some(&build.id);
            uses.then(|| handle.spec().name)
        })
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
            Some(Request::Build {
                appliance: record.id.clone(),
            }),
            async move |reporter| {
                let (build, _) = workshop.provide_build(record, None, &reporter).await?;
                Ok(Some(build.id))
            },
        )
    }

    /// The image of an appliance as it is now: the last one where nothing changed, else a new one.
    pub(crate) async fn provide_build(
        self: &Arc<Self>,
        record: Record,
        settings: Option<windlass_package::BuildSettings>,
        reporter: &Reporter,
    ) -> Result<(Build, Arc<Composition>)> {
        self.provide_packages(&record, reporter).await?;
        reporter.check()?;
        reporter.step("Reading the appliance");
        let workshop = Arc::clone(self);
        let at = record.clone();
        let cancel = reporter.cancellation().clone();
        let composition =
            crate::blocking(move || workshop.compose(&at, settings.as_ref(), &cancel)).await??;
        let kernel = self
            .provide_kernel(composition.guest, composition.root_fs, reporter)
            .await?;
        for finding in self.findings(&composition) {
            let place = finding
                .path
                .as_deref()
                .map(|path| format!("{path}: "))
                .unwrap_or_default();
            reporter.log(&format!(
                "{:?}: {place}{}",
                finding.severity, finding.message
            ));
            if finding.severity == Severity::Error {
                let mut error =
                    AppError::new(ErrorKind::Input, format!("{place}{}", finding.message));
                error.hints.extend(finding.remedy);
                return Err(error);
            }
        }
        let fingerprint = fingerprint(&composition, &kernel)?;
        if let Some(build) = self.same_build(&record.id, &fingerprint)? {
            reporter.log("Nothing changed since the last build");
            return Ok((build, composition));
        }
        reporter.check()?;
        let build = self
            .write_build(&record, &composition, &kernel, fingerprint, reporter)
            .await?;
        Ok((build, composition))
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
        composition: &Arc<Composition>,
        kernel: &GuestKernel,
        fingerprint: String,
        reporter: &Reporter,
    ) -> Result<Build> {
        let id = crate::new_id();
        let folder = self.home.images().join(&id);
        std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
        let started = Instant::now();
        let started_at = crate::now();
        let composed = compose_image(
            Arc::clone(composition),
            recipe(folder.join(IMAGE), composition, kernel),
            reporter.clone(),
        )
        .await;
        let composed = match composed {
            Ok(composed) => composed,
            Err(error) => {
                // Nothing half-written is left.
                let _ = std::fs::remove_dir_all(&folder);
                return Err(error);
            }
        };
        let build = Build {
            id,
            appliance_id: record.id.clone(),
            guest: composition.guest,
            root_fs: composition.root_fs,
            kernel_id: kernel.id().to_owned(),
            path: composed.path.display().to_string(),
            size_bytes: composed.size_bytes,
            content_bytes: composed.content_bytes,
            file_count: composed.file_count as u64,
            digest: composed.digest,
            started_at,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        reporter.log(&format!(
            "{} files, {} bytes, in {} ms",
            build.file_count, build.size_bytes, build.duration_ms
        ));
        self.insert_build(&build, &fingerprint)?;
        self.prune_builds(&record.id)?;
        self.tell_appliance(&record.id);
        Ok(build)
    }

    fn insert_build(&self, build: &Build, fingerprint: &str) -> Result<()> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.database.lock().execute(
            "INSERT INTO build (id, appliance_id, guest, root_fs, kernel_id, path, size_bytes,
                 content_bytes, file_count, digest, started_at, duration_ms, fingerprint)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
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
            ],
        )?;
        Ok(())
    }

    /// Deletes the oldest images of an appliance that no machine uses.
    fn prune_builds(&self, appliance_id: &str) -> Result<()> {
        for build in self.builds(Some(appliance_id))?.iter().skip(BUILDS_KEPT) {
            if self.user_of(build).is_none() {
                self.delete_build(&build.id)?;
            }
        }
        Ok(())
    }

    /// Packs the interpreters that an appliance requires and the library lacks, where this
    /// computer has just them.
    async fn provide_packages(
        self: &Arc<Self>,
        record: &Record,
        reporter: &Reporter,
    ) -> Result<()> {
        let package = windlass_package::Package::open(&record.path)?;
        for name in &package.manifest.require {
            if self.library.package(name).is_err() {
                self.pack_from_host(name, reporter).await?;
            }
        }
        Ok(())
    }

    /// Packs `node-…` or `python-…` from this computer into the library. A package of another name
    /// is left to be reported as missing.
    pub(crate) async fn pack_from_host(
        self: &Arc<Self>,
        name: &str,
        reporter: &Reporter,
    ) -> Result<()> {
        let wanted = name.to_owned();
        let is_node = crate::blocking(move || {
            let matches = |found: Option<pack::Interpreter>| {
                found.is_some_and(|interpreter| interpreter.package == wanted)
            };
            if matches(pack::find_node()) {
                Some(true)
            } else if matches(pack::find_python()) {
                Some(false)
            } else {
                None
            }
        })
        .await?;
        let Some(is_node) = is_node else {
            return Ok(());
        };
        reporter.step(&format!("Packing {name} from this computer"));
        let library = self.library.clone();
        let reporter = reporter.clone();
        crate::blocking(move || {
            let workplace = tempfile::tempdir_in(library.home())
                .doing("write into the folder", library.home())?;
            let mut done = 0;
            let mut watch = |bytes: u64| {
                done += bytes;
                reporter.progress(done, None, Unit::Bytes);
                if reporter.cancellation().is_cancelled() {
                    std::ops::ControlFlow::Break(())
                } else {
                    std::ops::ControlFlow::Continue(())
                }
            };
            let packed = if is_node {
                pack::node(workplace.path(), &mut watch)?
            } else {
                pack::python(workplace.path(), &mut watch)?
            };
            for finding in &packed.findings {
                reporter.log(&finding.to_string());
            }
            library.install_package(&packed.root)?;
            Ok(())
        })
        .await?
    }

    /// The newest kernel of a guest that can mount the root file system. Where there is none for
    /// Linux, the distribution's is fetched.
    pub(crate) async fn provide_kernel(
        self: &Arc<Self>,
        guest: GuestOs,
        root_fs: RootFs,
        reporter: &Reporter,
    ) -> Result<GuestKernel> {
        let mounts = |kernel: &Kernel| {
            kernel
                .root_file_systems
                .contains(&GuestRootFs::from(root_fs))
        };
        match guest {
            GuestOs::Osv => {
                let kernels = self.library.osv_kernels()?;
                let none = kernels.is_empty();
                let fits = |kernel: &OsvKernel| kernel.loader.iter().chain(&kernel.elf).any(mounts);
                if let Some(kernel) = kernels.into_iter().find(fits) {
                    return Ok(GuestKernel::Osv(Box::new(kernel)));
                }
                let message = if none {
                    "There is no OSv kernel in the library".to_owned()
                } else {
                    format!("No OSv kernel of the library can boot from {root_fs}")
                };
                Err(AppError::new(ErrorKind::Unavailable, message)
                    .hinted("Add an OSv loader image or ELF kernel in Settings, or with `windlassctl kernel add FILE`")
                    .hinted("Or choose Linux as the guest in the run settings"))
            }
            GuestOs::Linux => {
                let kernels = self.library.kernels()?.entries;
                let fits =
                    |kernel: &Kernel| kernel.form == KernelForm::LinuxBzImage && mounts(kernel);
                let kernel = match kernels.into_iter().find(fits) {
                    Some(kernel) => kernel,
                    None => {
                        reporter.step("Fetching a Linux kernel");
                        let fetched = crate::kernels::fetch_linux_kernel(
                            self.library.clone(),
                            reporter.clone(),
                        );
                        let kernel = fetched.await?;
                        self.events.send(crate::events::Event::KernelsChanged);
                        kernel
                    }
                };
                Ok(GuestKernel::Linux(Box::new(kernel)))
            }
        }
    }
}

fn recipe(
    destination: PathBuf,
    composition: &Composition,
    kernel: &GuestKernel,
) -> compose::Recipe {
    compose::Recipe {
        destination,
        command_line: composition.command_line.clone(),
        loader: match kernel {
            GuestKernel::Osv(kernel) => kernel.loader.as_ref().map(|loader| loader.path.clone()),
            GuestKernel::Linux(_) => None,
        },
        size_bytes: None,
    }
}

/// Writes an image off the async threads.
pub(crate) async fn compose_image(
    composition: Arc<Composition>,
    recipe: compose::Recipe,
    reporter: Reporter,
) -> Result<compose::Build> {
    crate::blocking(move || {
        let mut step = None;
        let mut progress = |progress: compose::Progress| {
            if step != Some(progress.step) {
                step = Some(progress.step);
                reporter.step(&progress.step.to_string());
            }
            reporter.progress(progress.done_bytes, Some(progress.total_bytes), Unit::Bytes);
        };
        let digests = compose::DigestCache::default();
        let cancel = reporter.cancellation();
        Ok(compose::build(
            &composition.plan,
            &recipe,
            &digests,
            &mut progress,
            cancel,
        )?)
    })
    .await?
}

/// A digest of all that goes into an image: the plan, the kernel files, the boot command line.
fn fingerprint(composition: &Composition, kernel: &GuestKernel) -> Result<String> {
    let kernels = match kernel {
        GuestKernel::Osv(kernel) => kernel
            .loader
            .iter()
            .map(|kernel| kernel.digest.as_str())
            .collect::<Vec<_>>()
            .join("+"),
        // A Linux image holds no kernel.
        GuestKernel::Linux(_) => String::new(),
    };
    Ok(format!(
        "{}/{}/{kernels}/{}/{}",
        composition.guest,
        composition.root_fs,
        composition.plan.fingerprint()?,
        composition.command_line
    ))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Build> {
    let number = |column: usize| {
        row.get::<_, i64>(column)
            .map(|it| u64::try_from(it).unwrap_or(0))
    };
    let guest: String = row.get(2)?;
    let root_fs: String = row.get(3)?;
    Ok(Build {
        id: row.get(0)?,
        appliance_id: row.get(1)?,
        guest: if guest == "osv" {
            GuestOs::Osv
        } else {
            GuestOs::Linux
        },
        root_fs: if root_fs == "rofs" {
            RootFs::Rofs
        } else {
            RootFs::Ext4
        },
        kernel_id: row.get(4)?,
        path: row.get(5)?,
        size_bytes: number(6)?,
        content_bytes: number(7)?,
        file_count: number(8)?,
        digest: row.get(9)?,
        started_at: row.get(10)?,
        duration_ms: number(11)?,
    })
}
