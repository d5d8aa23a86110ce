//! What a build needs beside the appliance: packages of this computer's interpreters, and a kernel.

use std::ops::ControlFlow;
use std::sync::Arc;

use windlass_compose::LinuxBoot;
use windlass_guest::RootFs as GuestRootFs;
use windlass_guest::kernel::KernelForm;
use windlass_library::{Kernel, Library, OsvKernel};
use windlass_package::{Lock, Watch, pack};

use crate::Workshop;
use crate::appliances::Record;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;
use crate::guests::{GuestOs, RootFs};
use crate::jobs::{Reporter, Unit};

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
    pub(super) fn id(&self) -> &str {
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
    /// Sees to it that the library has what an appliance requires: just what is locked, where it is;
    /// else interpreters are packed where this computer has them, and the rest is fetched from
    /// registries that are known to have it.
    pub(crate) async fn provide_packages(
        self: &Arc<Self>,
        record: &Record,
        lock: Option<&Lock>,
        reporter: &Reporter,
    ) -> Result<()> {
        if let Some(lock) = lock {
            self.provide_locked(record, lock, reporter).await?;
        }
        let package = windlass_package::Package::open(&record.path)?;
        for name in &package.manifest.require {
            if self.library.package(name).is_err() {
                self.pack_from_host(name, reporter).await?;
            }
        }
        let require = package.manifest.requirements();
        match self.library.resolve(&require, lock) {
            Err(windlass_library::Error::Unsolvable(_)) => {
                self.fetch_missing(&require, reporter).await
            }
            // What else is wrong is told when it is composed.
            _ => Ok(()),
        }
    }

    /// Packs `node-…` or `python-…` from this computer into the library, and Hadoop from where it is fetched. A package
    /// of another name is left to be reported as missing.
    pub(crate) async fn pack_from_host(
        self: &Arc<Self>,
        name: &str,
        reporter: &Reporter,
    ) -> Result<()> {
        let name = name.to_owned();
        let library = self.library.clone();
        let reporter = reporter.clone();
        crate::blocking(move || {
            if name == pack::HADOOP {
                let workplace = library.workplace()?;
                let packed = pack::hadoop(workplace.path(), &mut reporter.watching())?;
                library.install_package(&packed.root)?;
                for finding in packed.findings {
                    reporter.log(&finding.to_string());
                }
                return Ok(());
            }
            let mut done = 0;
            let mut is_told = false;
            let mut watch = |bytes: u64| {
                if !is_told {
                    is_told = true;
                    reporter.step(&format!("Packing {name} from this computer"));
                }
                done += bytes;
                reporter.progress(done, None, Unit::Bytes);
                if reporter.cancellation().is_cancelled() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            for finding in pack_interpreter(&library, &name, &mut watch)? {
                reporter.log(&finding.to_string());
            }
            Ok(())
        })
        .await?
    }

    /// As [`provide_packages`](Self::provide_packages), without a job: when an appliance is added, so that its
    /// contents can be shown at once. What fails here fails again, in words, when it is built.
    pub(crate) fn pack_requirements(&self, package: &windlass_package::Package) {
        for name in &package.manifest.require {
            if self.library.package(name).is_err()
                && let Err(error) = pack_interpreter(&self.library, name, &mut ())
            {
                tracing::warn!(name, %error, "a package could not be made from this computer");
            }
        }
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
                if root_fs == RootFs::Zfs
                    && let Some(kernel) = self.zfs_kernel(&kernels)?
                {
                    return Ok(GuestKernel::Osv(Box::new(kernel)));
                }
                let fits = |kernel: &OsvKernel| kernel.loader.iter().chain(&kernel.elf).any(mounts);
                if let Some(kernel) = kernels.into_iter().find(fits) {
                    return Ok(GuestKernel::Osv(Box::new(kernel)));
                }
                Err(no_osv_kernel(root_fs, none))
            }
            GuestOs::Linux => {
                let kernels = self.library.kernels()?.entries;
                let fits =
                    |kernel: &Kernel| kernel.form == KernelForm::LinuxBzImage && mounts(kernel);
                if let Some(kernel) = kernels.into_iter().find(fits) {
                    return Ok(GuestKernel::Linux(Box::new(kernel)));
                }
                reporter.step("Fetching a Linux kernel");
                let library = self.library.clone();
                let kernel = crate::kernels::fetch_linux_kernel(library, reporter.clone()).await?;
                self.events.send(Event::KernelsChanged);
                Ok(GuestKernel::Linux(Box::new(kernel)))
            }
        }
    }
}

impl Workshop {
    /// What makes a Linux disk boot by itself, and a digest of it. The boot loader is fetched where it is not there.
    pub(super) async fn provide_boot(
        &self,
        kernel: &Kernel,
        reporter: &Reporter,
    ) -> Result<(LinuxBoot, String)> {
        let library = self.library.clone();
        let reporter = reporter.clone();
        let kernel = kernel.clone();
        crate::blocking(move || {
            let initramfs = library.initramfs(&kernel.id)?;
            // It says something only where there is none yet.
            let mut is_told = false;
            let mut progress = |progress: windlass_library::Progress| {
                if !is_told {
                    is_told = true;
                    reporter.step("Fetching the boot loader");
                }
                reporter.progress(progress.done_bytes, progress.total_bytes, Unit::Bytes);
            };
            let loader = library.fetch_boot_loader(&mut progress, reporter.cancellation())?;
            reporter.log(&format!("Boot loader: {}", loader.packages.join(", ")));
            let initramfs_name = initramfs.file_name().unwrap_or_default().to_string_lossy();
            let digest = format!("{}+{}+{initramfs_name}", loader.digest, kernel.digest);
            let boot = LinuxBoot {
                boot_sector: loader.boot_sector,
                core: loader.core,
                efi_program: loader.efi_program,
                kernel: kernel.path,
                initramfs,
            };
            Ok((boot, digest))
        })
        .await?
    }
}

/// What to do where no OSv kernel boots from a root file system; `none` says that there is none at all.
fn no_osv_kernel(root_fs: RootFs, none: bool) -> AppError {
    let (kind, message) = (
        ErrorKind::Unavailable,
        if none {
            "There is no OSv kernel in the library".to_owned()
        } else {
            format!("No OSv kernel of the library can boot from {root_fs}")
        },
    );
    let what = match root_fs {
        RootFs::Zfs => "Add the loader image of an OSv that was built with `scripts/build fs=zfs`",
        RootFs::Ext4 if !none => {
            "Add the loader image of an OSv that was built with `scripts/build fs=ext`"
        }
        _ => "Add an OSv loader image or ELF kernel",
    };
    AppError::new(kind, message)
        .hinted(format!(
            "{what} in Settings, or with `windlassctl kernel add FILE`"
        ))
        .hinted("Or choose Linux as the guest in the run settings")
}

/// Packs the interpreter of this computer that has this package name into the library; nothing when
/// it has none.
fn pack_interpreter(
    library: &Library,
    name: &str,
    watch: &mut dyn Watch,
) -> Result<Vec<windlass_package::Finding>> {
    let is = |found: Option<pack::Interpreter>| found.is_some_and(|it| it.package == name);
    let (packed, _workplace) = if name.starts_with("node-") && is(pack::find_node()) {
        let workplace = library.workplace()?;
        (pack::node(workplace.path(), watch)?, workplace)
    } else if name.starts_with("python-") && is(pack::find_python()) {
        let workplace = library.workplace()?;
        (pack::python(workplace.path(), watch)?, workplace)
    } else {
        return Ok(Vec::new());
    };
    library.install_package(&packed.root)?;
    Ok(packed.findings)
}
