//! The library's guest kernels, as the window and the command line show them.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;
use tokio_util::sync::CancellationToken;
use windlass_guest::kernel::KernelForm as GuestKernelForm;
use windlass_library::Library;

use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;
use crate::guests::{GuestOs, RootFs};
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};
use crate::{Workshop, blocking};

/// Which sort of file a kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum KernelForm {
    /// The loader image that an OSv disk begins with.
    OsvLoader,
    /// OSv's ELF kernel, which QEMU boots directly.
    OsvElf,
    /// OSv's kernel with the tools that make ZFS disks.
    OsvZfsBuilder,
    /// A Linux kernel.
    Linux,
}

/// A guest kernel of the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// Its name for programs: the beginning of its digest.
    pub id: String,
    /// What boots from it.
    pub guest: GuestOs,
    /// Which sort of file it is.
    pub form: KernelForm,
    /// Its own version, or `unknown`.
    pub version: String,
    /// The BLAKE3 digest of its file, in hexadecimal.
    pub digest: String,
    /// The size of its file.
    pub size_bytes: u64,
    /// The root file systems that it can mount; of a ZFS builder the one that it makes.
    pub root_fs: Vec<RootFs>,
    /// Whether it has the tools that make ZFS disks.
    pub makes_zfs: bool,
    /// What it can run, as a sentence.
    pub runs: String,
    /// When it was added (RFC 3339).
    pub added_at: String,
}

impl From<windlass_library::Kernel> for Kernel {
    fn from(kernel: windlass_library::Kernel) -> Self {
        let added = i64::try_from(kernel.added_at)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .unwrap_or_default();
        Self {
            id: kernel.id,
            guest: kernel.guest.into(),
            form: match kernel.form {
                GuestKernelForm::OsvLoader => KernelForm::OsvLoader,
                GuestKernelForm::OsvElf => KernelForm::OsvElf,
                GuestKernelForm::OsvZfsBuilder => KernelForm::OsvZfsBuilder,
                GuestKernelForm::LinuxBzImage => KernelForm::Linux,
            },
            version: kernel.version.unwrap_or_else(|| "unknown".to_owned()),
            digest: kernel.digest,
            size_bytes: kernel.size_bytes,
            root_fs: kernel
                .root_file_systems
                .into_iter()
                .map(Into::into)
                .collect(),
            makes_zfs: kernel.makes_zfs,
            runs: kernel.runs,
            added_at: added.to_string(),
        }
    }
}

impl From<windlass_library::Error> for AppError {
    fn from(error: windlass_library::Error) -> Self {
        use windlass_library::Error;
        let kind = match &error {
            Error::Cancelled => ErrorKind::Cancelled,
            Error::NoKernel { .. } | Error::NoPackage { .. } | Error::NoVersion { .. } => {
                ErrorKind::NotFound
            }
            Error::Unsolvable(error) if !error.missing.is_empty() => ErrorKind::NotFound,
            Error::NotAKernel { .. }
            | Error::Unsolvable(_)
            | Error::Package { .. }
            | Error::PackageName { .. } => ErrorKind::Input,
            Error::Stale { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Unavailable,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

impl Workshop {
    /// The guest kernels of the library, newest version first.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn kernels(&self) -> Result<Vec<Kernel>> {
        let listing = self.library.kernels()?;
        for error in &listing.broken {
            tracing::warn!(%error, "a kernel of the library cannot be read");
        }
        Ok(listing.entries.into_iter().map(Kernel::from).collect())
    }

    /// Adds kernel files; each is recognised by what it holds. The first that is none ends it.
    ///
    /// # Errors
    /// `Input` with what the file seems to be; I/O errors.
    pub async fn add_kernels(&self, paths: &[PathBuf]) -> Result<Vec<Kernel>> {
        let mut added = Vec::new();
        for path in paths {
            let library = self.library.clone();
            let path = path.clone();
            let kernel =
                blocking(move || library.add_kernel(&path, &mut |_| {}, &CancellationToken::new()))
                    .await??;
            added.push(kernel.into());
            self.events.send(Event::KernelsChanged);
        }
        Ok(added)
    }

    /// Removes a kernel from the library.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub fn remove_kernel(&self, id: &str) -> Result<()> {
        self.library.remove_kernel(id)?;
        self.events.send(Event::KernelsChanged);
        Ok(())
    }

    /// Fetches the distribution's own Linux kernel as a job.
    ///
    /// # Errors
    /// When the job cannot be recorded.
    pub fn start_kernel_fetch(self: &Arc<Self>) -> Result<Job> {
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::FetchKernel,
            "Fetch a Linux kernel".to_owned(),
            None,
            Some(&Request::FetchKernel),
            async move |reporter| {
                let kernel = fetch_linux_kernel(workshop.library.clone(), reporter).await?;
                workshop.events.send(Event::KernelsChanged);
                Ok(Some(kernel.id))
            },
        )
    }

    /// Fetches OSv's loader and ELF kernel from a registry, as a job; the newest where no version is
    /// named.
    ///
    /// # Errors
    /// `NotFound` when no registry has one.
    pub fn start_osv_fetch(self: &Arc<Self>, version: Option<&str>) -> Result<Job> {
        let workshop = Arc::clone(self);
        let version = version.map(str::to_owned);
        let title = match &version {
            Some(version) => format!("Fetch OSv {version}"),
            None => "Fetch OSv".to_owned(),
        };
        let request = Request::FetchOsv {
            version: version.clone(),
        };
        self.start_job(
            JobKind::FetchKernel,
            title,
            None,
            Some(&request),
            async move |reporter| {
                let files = workshop.osv_files(version.as_deref(), &reporter).await?;
                reporter.set_pausable(true);
                let control = reporter.control();
                let mut added = None;
                for file in files {
                    reporter.step(&format!("Fetching {}", file.label()));
                    let fetched = workshop
                        .fetch_one(&file, &control, reporter.bytes())
                        .await?;
                    let sha256 = fetched.sha256;
                    let path = std::slice::from_ref(&fetched.path);
                    let kernels = workshop.add_kernels(path).await;
                    // It was added, or is of no use.
                    fetched.discard();
                    let kernel = kernels?.into_iter().next();
                    reporter.log(&format!(
                        "Added {} from {}: sha256 {sha256}",
                        file.label(),
                        file.record.name(),
                    ));
                    added = added.or(kernel.map(|kernel| kernel.id));
                }
                Ok(added)
            },
        )
    }
}

/// Fetches the kernel, telling `reporter` of each step.
pub(crate) async fn fetch_linux_kernel(
    library: Library,
    reporter: Reporter,
) -> Result<windlass_library::Kernel> {
    let cancel = reporter.cancellation().clone();
    let mut step = None;
    let mut progress = move |progress: windlass_library::Progress| {
        if step != Some(progress.step) {
            step = Some(progress.step);
            reporter.step(&progress.step.to_string());
        }
        reporter.progress(progress.done_bytes, progress.total_bytes, Unit::Bytes);
    };
    Ok(blocking(move || library.fetch_linux_kernel(&mut progress, &cancel)).await??)
}
