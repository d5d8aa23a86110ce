//! Linux kernels of distributions: fetched without root, with the drivers that a micro-VM needs.
//!
//! ```text
//!   linux-image-cloud-amd64             a name that stands for the newest     [apt]
//!     └ linux-image-6.1.0-56-cloud-amd64      the package (Ubuntu: + linux-modules-…)
//!         │ apt-get download                  into a temporary folder, checked by apt
//!         v
//!   .deb ── windlass_package::deb ── tar      read as a stream                [deb]
//!             ├ boot/vmlinuz-…                the kernel
//!             └ lib/modules/…/virtio_blk.ko   what WANTED names, and what these depend on   [modules]
//! ```

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_guest::GuestOs;

use crate::error::Error;
use crate::kernels::Kernel;
use crate::library::Library;
use crate::progress::{Progress, Step};

mod apt;
pub(crate) mod child;
mod deb;
mod error;
mod modules;

pub use apt::{Apt, LinuxPackage};
pub use error::AptError;
pub(crate) use modules::Modules;

impl Library {
    /// Downloads the distribution's cloud kernel and adds it with the drivers that a micro-VM needs.
    ///
    /// # Errors
    /// [`Error::Apt`] where there is no apt, its lists are missing, there is no network or no space: each says so, with
    /// its remedy; [`Error::Cancelled`].
    pub fn fetch_linux_kernel(
        &self,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<Kernel, Error> {
        self.fetch_linux_kernel_by(&Apt::default(), progress, cancel)
    }

    /// The same by a given apt.
    ///
    /// # Errors
    /// As [`fetch_linux_kernel`](Self::fetch_linux_kernel).
    pub fn fetch_linux_kernel_by(
        &self,
        apt: &Apt,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<Kernel, Error> {
        progress(Progress {
            step: Step::Resolve,
            done_bytes: 0,
            total_bytes: None,
        });
        let package = apt.find_linux(cancel)?;
        tracing::info!(
            package = package.name,
            modules = package.modules,
            "fetching a kernel"
        );
        let folder = self.workplace()?;
        let files = apt.download(&package.names(), folder.path(), progress, cancel)?;
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        add_packages(self, &files, progress, cancel)
    }
}

/// Takes the kernel and its modules out of package files, and adds them.
pub(crate) fn add_packages(
    library: &Library,
    packages: &[&Path],
    progress: &mut dyn FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Kernel, Error> {
    progress(Progress {
        step: Step::Unpack,
        done_bytes: 0,
        total_bytes: None,
    });
    let folder = library.workplace()?;
    let unpacked = deb::unpack(packages, folder.path(), cancel)?;
    if let Some(kernel) = &unpacked.kernel {
        return library.store_kernel(kernel, &unpacked.modules, progress, cancel);
    }
    let package = packages
        .first()
        .map_or_else(PathBuf::new, |path| path.to_path_buf());
    let Some(release) = unpacked.release.filter(|_| !unpacked.modules.is_empty()) else {
        return Err(Error::NotAKernelPackage {
            path: package,
            found: "holds neither a kernel nor modules of one".to_owned(),
        });
    };
    let lock = library.lock(cancel)?;
    let kernels = library.kernels()?.entries;
    let kernel = kernels
        .iter()
        .find(|kernel| {
            kernel.guest == GuestOs::Linux && kernel.version.as_deref() == Some(&release)
        })
        .ok_or_else(|| Error::NotAKernelPackage {
            path: package,
            found: format!("holds modules for the kernel {release}, which is not in the library"),
        })?;
    // An initramfs may have been made of those that it has: they stay.
    if kernel.modules.is_empty() {
        library.give_modules(&lock, &kernel.id, &unpacked.modules)?;
    }
    library.kernel(&kernel.id)
}
