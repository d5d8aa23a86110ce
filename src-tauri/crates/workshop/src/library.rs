//! The library as a whole: how much it takes, whether it is sound, and what could go.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use specta::Type;

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::jobs::{Job, JobKind, Reporter};

/// The most damages that an error names; the job's log has all of them.
const SHOWN_MOST: usize = 20;

/// How much the library and what is made from it take on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct LibraryUsage {
    /// Packages, each shared file counted once.
    pub packages_bytes: u64,
    /// Guest kernels, with what was made from them.
    pub kernels_bytes: u64,
    /// How many different files packages consist of.
    pub objects: u64,
    /// What is saved by sharing files between packages and versions.
    pub shared_bytes: u64,
    /// Built images.
    pub builds_bytes: u64,
    /// What was fetched in part and can be resumed.
    pub partial_bytes: u64,
}

/// What could go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum PruneKind {
    /// A version of a package.
    Package,
    /// A file that no package has any more.
    Object,
    /// A download that was not finished.
    Partial,
    /// An initramfs, which is made anew when needed.
    Initramfs,
}

crate::guests::mirror!(PruneKind, windlass_library::PruneKind: Package, Object, Partial, Initramfs);

/// One thing that could go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PruneItem {
    /// What it is, in words.
    pub what: String,
    /// What it is.
    pub kind: PruneKind,
    /// How much it takes.
    pub size_bytes: u64,
    /// Why it may go.
    pub reason: String,
}

/// What pruning would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PrunePlan {
    /// What would go, largest first.
    pub items: Vec<PruneItem>,
    /// How much all of it takes.
    pub total_bytes: u64,
}

impl Workshop {
    /// How much the library takes on the disk.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub async fn library_usage(&self) -> Result<LibraryUsage> {
        let library = self.library.clone();
        let usage = crate::blocking(move || library.usage()).await??;
        let builds = self.builds(None)?;
        Ok(LibraryUsage {
            packages_bytes: usage.packages_bytes,
            kernels_bytes: usage.kernels_bytes,
            objects: usage.objects,
            shared_bytes: usage.saved_bytes,
            builds_bytes: builds.iter().map(|build| on_disk(&build.path)).sum(),
            partial_bytes: usage.partial_bytes + usage.left_bytes,
        })
    }

    /// Reads all of the library and compares it with its digests, as a job.
    ///
    /// # Errors
    /// When the job cannot be recorded.
    pub fn start_verify(self: &Arc<Self>) -> Result<Job> {
        let workshop = Arc::clone(self);
        let title = "Verify the library".to_owned();
        self.start_job(JobKind::Verify, title, None, None, async move |reporter| {
            let damages = workshop.damages(&reporter).await?;
            if damages.is_empty() {
                reporter.log("All of it is as it was added");
                return Ok(None);
            }
            let count = damages.len();
            let mut error = AppError::new(
                ErrorKind::Unavailable,
                match count {
                    1 => "1 file of the library is damaged".to_owned(),
                    _ => format!("{count} files of the library are damaged"),
                },
            )
            .hinted("Repair the library: in the window, or with `windlassctl library repair`");
            error.chain = damages
                .iter()
                .take(SHOWN_MOST)
                .map(ToString::to_string)
                .collect();
            Err(error)
        })
    }

    async fn damages(&self, reporter: &Reporter) -> Result<Vec<windlass_library::Damage>> {
        let library = self.library.clone();
        let mut watching = reporter.watching();
        reporter.step("Reading the library");
        let damages = crate::blocking(move || library.verify(&mut watching)).await??;
        for damage in &damages {
            reporter.log(&damage.to_string());
        }
        Ok(damages)
    }

    /// Mends what is damaged in the library, as a job: what came from a registry is fetched again.
    ///
    /// # Errors
    /// When the job cannot be recorded.
    pub fn start_repair(self: &Arc<Self>) -> Result<Job> {
        let workshop = Arc::clone(self);
        let title = "Repair the library".to_owned();
        self.start_job(JobKind::Repair, title, None, None, async move |reporter| {
            let damages = workshop.damages(&reporter).await?;
            if damages.is_empty() {
                reporter.log("Nothing is damaged");
                return Ok(None);
            }
            reporter.step("Repairing");
            let runtime = tokio::runtime::Handle::current();
            let (mending, telling) = (Arc::clone(&workshop), reporter.clone());
            let repair = crate::blocking(move || {
                let mut fetch = |package: &windlass_library::InstalledPackage,
                                 origin: &windlass_library::Origin,
                                 folder: &Path| {
                    runtime
                        .block_on(mending.fetch_again(package, origin, folder, &telling))
                        .map_err(|error| error.message)
                };
                let mut watching = telling.watching();
                mending.library.repair(&damages, &mut fetch, &mut watching)
            })
            .await??;
            for damage in &repair.repaired {
                reporter.log(&format!("Repaired: {damage}"));
            }
            workshop.library_changed();
            let Some((_, remedy)) = repair.left.first() else {
                return Ok(None);
            };
            let mut error = AppError::new(
                ErrorKind::Unavailable,
                format!("{} damaged files could not be repaired", repair.left.len()),
            )
            .hinted(remedy.clone());
            for (damage, remedy) in repair.left.iter().take(SHOWN_MOST) {
                error.chain.push(format!("{damage}: {remedy}"));
            }
            Err(error)
        })
    }

    /// What stays: what appliances require, what their lock files name, and the newest of each name.
    fn keep(&self) -> Result<windlass_library::Keep> {
        let mut keep = windlass_library::Keep {
            newest: true,
            ..windlass_library::Keep::default()
        };
        for appliance in self.appliances()? {
            let folder = Path::new(&appliance.path);
            keep.locks.extend(crate::appliances::read_lock(folder)?);
            if let Ok(package) = windlass_package::Package::open(folder) {
                keep.requirements.push(package.manifest.requirements());
            }
        }
        Ok(keep)
    }

    /// What pruning would remove.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub async fn prune_plan(self: &Arc<Self>) -> Result<PrunePlan> {
        let workshop = Arc::clone(self);
        let plan = crate::blocking(move || workshop.plan_now()).await??;
        Ok(PrunePlan {
            items: plan
                .items
                .into_iter()
                .map(|item| PruneItem {
                    what: item.what,
                    kind: item.kind.into(),
                    size_bytes: item.size_bytes,
                    reason: item.reason,
                })
                .collect(),
            total_bytes: plan.total_bytes,
        })
    }

    fn plan_now(&self) -> Result<windlass_library::PrunePlan> {
        let keep = self.keep()?;
        Ok(self.library.prune_plan(&keep)?)
    }

    /// Removes from the library what nothing needs, as a job.
    ///
    /// # Errors
    /// When the job cannot be recorded.
    pub fn start_prune(self: &Arc<Self>) -> Result<Job> {
        let workshop = Arc::clone(self);
        let title = "Prune the library".to_owned();
        self.start_job(JobKind::Prune, title, None, None, async move |reporter| {
            let (pruning, mut watching) = (Arc::clone(&workshop), reporter.watching());
            let pruned = crate::blocking(move || {
                let plan = pruning.plan_now()?;
                Ok::<_, AppError>(pruning.library.prune(&plan, &mut watching)?)
            })
            .await??;
            reporter.log(&format!(
                "Removed {} things, {} bytes",
                pruned.items, pruned.size_bytes
            ));
            for what in &pruned.in_use {
                reporter.log(&format!("{what} stays: a build reads it just now"));
            }
            workshop.library_changed();
            Ok(None)
        })
    }
}

/// What a file takes on the disk: images have holes.
fn on_disk(path: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512)
}
