//! Disks with a ZFS root, for compatibility with what Capstan makes: a guest that OSv's build provides writes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_compose::{ZfsRecipe, cpiod};
use windlass_guest::kernel::KernelForm;

use super::provide::GuestKernel;
use crate::Workshop;
use crate::appliances::ApplianceSettings;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::{GuestOs, RootFs};
use crate::jobs::{Job, JobKind, Unit};

/// How a disk with a ZFS root is made.
#[derive(Debug, Clone)]
pub struct ZfsOptions {
    /// Settings instead of those that the folder keeps; guest and root file system are given.
    pub settings: Option<ApplianceSettings>,
    /// The size of the pool; without it, content and room to write.
    pub size_bytes: Option<u64>,
    /// OSv's builder guest, `zfs_builder-stripped.elf`.
    pub builder: PathBuf,
    /// The loader image of an OSv that has ZFS; the library's newest where none is named.
    pub loader: Option<PathBuf>,
    /// The disk that is made.
    pub out: PathBuf,
}

impl Workshop {
    /// Composes an appliance onto a disk with a ZFS root, as a job that produces the disk's path.
    ///
    /// # Errors
    /// `NotFound` when there is no such appliance or builder; `Input` when that is none.
    pub fn start_compose_zfs(
        self: &Arc<Self>,
        appliance: &str,
        options: ZfsOptions,
    ) -> Result<Job> {
        let shown = self.appliance(appliance)?;
        let record = self.appliance_record(&shown.id)?;
        let version = builder_version(&options.builder)?;
        let base = match &options.settings {
            Some(settings) => settings.clone(),
            None => self.run_form(&shown.id)?.settings,
        };
        // Nothing of the plan differs from what another writable root gets.
        let settings = ApplianceSettings {
            guest: GuestOs::Osv,
            root_fs: RootFs::Ext4,
            ..base
        };
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Build,
            format!("Build {} on ZFS", shown.name),
            Some(shown.id),
            None,
            async move |reporter| {
                let loader = match &options.loader {
                    Some(loader) => Some(loader.clone()),
                    None => workshop.newest_loader(&reporter).await?,
                };
                let lock = crate::appliances::read_lock(&record.path)?;
                workshop
                    .provide_packages(&record, lock.as_ref(), &reporter)
                    .await?;
                let probe = workshop.probe(reporter.cancellation()).await?;
                reporter.check()?;
                reporter.step("Reading the appliance");
                let out =
                    std::path::absolute(&options.out).doing("find the folder of", &options.out)?;
                let own = reporter.clone();
                let kept = settings.to_build_settings();
                let disk = crate::blocking(move || {
                    let cancel = own.cancellation();
                    let composition = workshop.compose(&record, Some(&kept), cancel)?;
                    workshop.plans.forget(&record.id);
                    let total = composition.plan.size_bytes();
                    let recipe = ZfsRecipe {
                        destination: out,
                        loader,
                        command_line: composition.command_line.clone(),
                        size_bytes: options.size_bytes,
                    };
                    let line = windlass_machine::zfs_builder_command_line(version.as_deref());
                    let mut fill = |disk: &Path, members: &[cpiod::Member]| {
                        own.step("Starting OSv's builder guest");
                        let send = |port| -> std::result::Result<(), Filling> {
                            own.step("Sending files to the builder guest");
                            let mut told = |bytes: u64| {
                                own.progress(bytes.min(total), Some(total), Unit::Bytes);
                            };
                            cpiod::send("127.0.0.1", port, members, &mut told, cancel)?;
                            own.step("Waiting for the builder guest to end");
                            Ok(())
                        };
                        let (builder, probe) = (&options.builder, &probe);
                        windlass_machine::build_zfs(probe, builder, &line, disk, send, cancel)
                            .map_err(Filling::into_compose)
                    };
                    let disk =
                        windlass_compose::build_zfs(&composition.plan, &recipe, &mut fill, cancel)?;
                    own.log(&format!(
                        "{} files, folders and links on a disk of {} bytes",
                        disk.members, disk.size_bytes
                    ));
                    Ok::<_, AppError>(disk)
                })
                .await??;
                Ok(Some(disk.path.display().to_string()))
            },
        )
    }

    /// The loader of the newest OSv in the library.
    async fn newest_loader(
        self: &Arc<Self>,
        reporter: &crate::jobs::Reporter,
    ) -> Result<Option<PathBuf>> {
        let kernel = self
            .provide_kernel(GuestOs::Osv, RootFs::Rofs, reporter)
            .await?;
        Ok(match kernel {
            GuestKernel::Osv(kernel) => kernel.loader.map(|loader| loader.path),
            GuestKernel::Linux(_) => None,
        })
    }
}

/// What went wrong while a guest filled a disk.
enum Filling {
    Compose(windlass_compose::Error),
    Machine(windlass_machine::Error),
}

impl From<windlass_compose::Error> for Filling {
    fn from(error: windlass_compose::Error) -> Self {
        Self::Compose(error)
    }
}

impl From<windlass_machine::Error> for Filling {
    fn from(error: windlass_machine::Error) -> Self {
        Self::Machine(error)
    }
}

impl Filling {
    fn into_compose(self) -> windlass_compose::Error {
        match self {
            Self::Compose(error) => error,
            Self::Machine(windlass_machine::Error::Cancelled) => windlass_compose::Error::Cancelled,
            Self::Machine(error) => windlass_compose::Error::Cpiod {
                address: "the builder".to_owned(),
                problem: error.to_string(),
            },
        }
    }
}

/// The version of the OSv that a builder belongs to; refuses what is no OSv kernel.
fn builder_version(builder: &Path) -> Result<Option<String>> {
    let mut file = std::fs::File::open(builder).doing("open the builder", builder)?;
    let not_one = |found: String| {
        AppError::new(
            ErrorKind::Input,
            format!("{} is no builder of OSv: {found}", builder.display()),
        )
        .hinted("OSv's own build makes it: `scripts/build fs=zfs` leaves zfs_builder-stripped.elf in build/release.x64")
    };
    let facts =
        windlass_guest::kernel::identify(&mut file).map_err(|error| not_one(error.to_string()))?;
    if facts.form != KernelForm::OsvElf {
        return Err(not_one(format!("it is a {}", facts.form)));
    }
    Ok(facts.version)
}
