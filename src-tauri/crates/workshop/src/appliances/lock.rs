//! An appliance's lock file: the very packages that each build of it uses, until somebody wants others.
//!
//! ```text
//!   require ── resolve ──► packages ── lock update ──► meta/windlass.lock
//!                             ▲                             │
//!                             └──── builds keep to it ◄─────┘   what is locked and not here is fetched
//! ```

use std::path::Path;
use std::sync::Arc;

use windlass_package::{Lock, Package, lock};

use super::{LockInfo, LockedPackage, Record};
use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Job, JobKind, Reporter, Request};

/// The lock file of a folder, where there is one.
pub(crate) fn read_lock(folder: &Path) -> Result<Option<Lock>> {
    let path = folder.join(lock::FILE);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(
            Lock::parse(&text.doing("read", &path)?, lock::FILE)?.value,
        )),
    }
}

impl Workshop {
    /// An appliance's lock file, and whether it still fits.
    ///
    /// # Errors
    /// `NotFound`; `Input` when the lock file has a mistake.
    pub async fn lock_info(self: &Arc<Self>, id: &str) -> Result<LockInfo> {
        let workshop = Arc::clone(self);
        let record = self.appliance_record(id)?;
        crate::blocking(move || {
            let Some(lock) = read_lock(&record.path)? else {
                return Ok(LockInfo::default());
            };
            let require = Package::open(&record.path)?.manifest.requirements();
            let stale = match workshop.library.lock_changes(&require, &lock) {
                Ok(changes) => changes.iter().map(ToString::to_string).collect(),
                Err(windlass_library::Error::Stale { changes }) => {
                    changes.iter().map(ToString::to_string).collect()
                }
                Err(error) => vec![AppError::from(error).message],
            };
            Ok(LockInfo {
                locked: true,
                packages: lock
                    .packages()
                    .iter()
                    .map(|package| LockedPackage {
                        name: package.name.clone(),
                        version: package.version.clone(),
                        digest: package.digest.clone(),
                        origin: package.origin.clone(),
                    })
                    .collect(),
                stale,
            })
        })
        .await?
    }

    /// Holds fast the newest packages that an appliance's manifest allows, as a job. What is missing is fetched first.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_lock_update(self: &Arc<Self>, id: &str) -> Result<Job> {
        let appliance = self.appliance(id)?;
        let record = self.appliance_record(id)?;
        let workshop = Arc::clone(self);
        let request = Request::Lock {
            appliance: record.id.clone(),
        };
        self.start_job(
            JobKind::Lock,
            format!("Lock the packages of {}", appliance.name),
            Some(appliance.id),
            Some(&request),
            async move |reporter| {
                workshop.provide_packages(&record, None, &reporter).await?;
                let library = workshop.library.clone();
                let folder = record.path.clone();
                let changed = crate::blocking(move || {
                    let require = Package::open(&folder)?.manifest.requirements();
                    let lock = library.resolve(&require, None)?.lock();
                    let before = read_lock(&folder)?;
                    write_whole(&folder.join(lock::FILE), lock.to_yaml()?.as_bytes())?;
                    Ok::<_, AppError>(match before {
                        None => "The lock file was made",
                        Some(before) if before == lock => "The lock file named these already",
                        Some(_) => "The lock file names other packages now",
                    })
                })
                .await??;
                reporter.log(changed);
                workshop.plans.forget(&record.id);
                workshop.tell_appliance(&record.id);
                Ok(Some(record.id))
            },
        )
    }

    /// Sees to it that the library has what the package in a folder requires, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    pub fn start_provide(self: &Arc<Self>, folder: &Path) -> Result<Job> {
        let path = std::fs::canonicalize(folder).doing("find the folder", folder)?;
        let record = Record::of_folder(path);
        let workshop = Arc::clone(self);
        let title = "Fetch what is missing".to_owned();
        self.start_job(JobKind::Pull, title, None, None, async move |reporter| {
            let lock = read_lock(&record.path)?;
            workshop
                .provide_packages(&record, lock.as_ref(), &reporter)
                .await?;
            Ok(None)
        })
    }

    /// Fetches what a lock names and the library lacks.
    pub(crate) async fn provide_locked(
        self: &Arc<Self>,
        record: &Record,
        lock: &Lock,
        reporter: &Reporter,
    ) -> Result<()> {
        for locked in lock.packages() {
            if self
                .library
                .package_version(&locked.name, &locked.digest)
                .is_ok()
            {
                continue;
            }
            self.fetch_locked(locked, reporter).await.map_err(|error| {
                let mut shown = AppError::new(
                    error.kind,
                    format!(
                        "{} {} is locked for `{}` and cannot be had",
                        locked.name,
                        locked.version.as_deref().unwrap_or_default(),
                        record.path.display()
                    ),
                )
                .hinted("Lock other packages: `windlassctl appliance lock NAME --update`");
                if error.kind == ErrorKind::Cancelled {
                    return error;
                }
                shown.chain = std::iter::once(error.message).chain(error.chain).collect();
                shown.hints.extend(error.hints);
                shown
            })?;
        }
        Ok(())
    }
}
