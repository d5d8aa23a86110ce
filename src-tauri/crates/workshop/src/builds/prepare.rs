//! What has to be there before an image can be made: packages, plan, kernel, boot loader, and nothing in the way.

use std::path::PathBuf;
use std::sync::Arc;

use windlass_compose as compose;
use windlass_library::OsvKernel;
use windlass_package::settings::DiskKind;

use super::make::Making;
use super::provide::GuestKernel;
use super::zfs::ZfsFiles;
use crate::Workshop;
use crate::appliances::{Composition, Finding, Record, Severity, findings_without_kernel};
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::RootFs;
use crate::jobs::Reporter;

/// An appliance that can be built: laid over its packages, with a kernel, and nothing in the way.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) composition: Arc<Composition>,
    /// None of its packages is pruned until it is built.
    pub(super) packages: windlass_library::Lease,
    pub(super) kernel: GuestKernel,
    /// Linux: what makes the disk boot by itself, with its digest, where that is wanted.
    pub(super) boot: Option<(compose::LinuxBoot, String)>,
    pub(super) size_bytes: Option<u64>,
    pub(super) zfs: ZfsFiles,
    pub(super) reads_all: bool,
}

impl Workshop {
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
        // ROFS is as large as what is in it.
        let kept_size_bytes = (composition.root_fs != RootFs::Rofs)
            .then_some(composition.settings.size_mib)
            .flatten()
            .map(|size_mib| u64::from(size_mib) << 20);
        let lease = self.library.lease(composition.folders())?;
        let (kernel, findings) = if making.zfs.loader.is_some() {
            let unknown = OsvKernel::default();
            let findings = findings_without_kernel(&composition);
            (GuestKernel::Osv(Box::new(unknown)), findings)
        } else {
            let kernel = self
                .provide_kernel(composition.guest, composition.root_fs, reporter)
                .await?;
            (kernel, self.findings(&composition))
        };
        for finding in &findings {
            reporter.log(&finding.to_string());
        }
        if let Some(finding) = findings
            .into_iter()
            .find(|it| it.severity == Severity::Error)
        {
            return Err(forbidden(finding));
        }
        let boot = match &kernel {
            GuestKernel::Linux(kernel) if composition.settings.disk == Some(DiskKind::Bootable) => {
                Some(self.provide_boot(kernel, reporter).await?)
            }
            _ => None,
        };
        Ok(Prepared {
            composition,
            packages: lease,
            kernel,
            boot,
            size_bytes: making.size_bytes.or(kept_size_bytes),
            zfs: making.zfs.clone(),
            reads_all: making.reads_all,
        })
    }
}

impl Prepared {
    pub(super) fn recipe(&self, destination: PathBuf) -> compose::Recipe {
        compose::Recipe {
            destination,
            command_line: self.composition.command_line.clone(),
            loader: match &self.kernel {
                GuestKernel::Osv(kernel) => {
                    let own = kernel.loader.as_ref().map(|loader| loader.path.clone());
                    self.zfs.loader.clone().or(own)
                }
                GuestKernel::Linux(_) => None,
            },
            filler: None,
            boot: self.boot.as_ref().map(|(boot, _)| boot.clone()),
            size_bytes: self.size_bytes,
        }
    }

    /// Tells all that goes into the image: the plan, the loader, the boot command line, the size.
    pub(super) fn fingerprint(&self) -> Result<String> {
        let loader = match &self.kernel {
            GuestKernel::Osv(kernel) => kernel
                .loader
                .as_ref()
                .map_or("none", |loader| loader.digest.as_str()),
            // A Linux image holds no kernel, but for one that boots by itself.
            GuestKernel::Linux(_) => self
                .boot
                .as_ref()
                .map_or("none", |(_, digest)| digest.as_str()),
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
