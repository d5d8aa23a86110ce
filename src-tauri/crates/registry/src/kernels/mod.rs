//! Guest kernels: added, listed, verified, removed.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_guest::kernel::KernelForm;
use windlass_guest::{GuestOs, RootFs};

use crate::error::Error;
use crate::library::{Library, Listing};
use crate::progress::Progress;

/// A guest kernel of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The first 16 digits of its digest; unique in the library.
    pub id: String,
    /// What boots from it.
    pub guest: GuestOs,
    /// Which sort of file it is.
    pub form: KernelForm,
    /// Its own version, such as `v0.57.0-398-g0e34e4dc` or `6.1.0-56-cloud-amd64`.
    pub version: Option<String>,
    /// The BLAKE3 digest of its file, in hexadecimal.
    pub digest: String,
    /// The size of its file, without modules.
    pub size_bytes: u64,
    /// The root file systems that it can mount.
    pub root_file_systems: Vec<RootFs>,
    /// Its drivers beside the file, in load order; empty where they are built in.
    pub modules: Vec<String>,
    /// What it can run, as a sentence.
    pub runs: String,
    /// When it was added, in seconds since 1970.
    pub added_at: u64,
    /// The file itself.
    pub path: PathBuf,
}

/// What a check of a kernel's file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelState {
    /// Size and time of change are those of when it was last digested.
    Unchanged,
    /// Its file was read, and the digest is right.
    Verified,
}

/// An OSv kernel in its two forms: what makes a disk boot, and what QEMU boots directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsvKernel {
    /// The version that both have.
    pub version: Option<String>,
    /// The loader image, which a disk begins with.
    pub loader: Option<Kernel>,
    /// The ELF kernel, for `-kernel`.
    pub elf: Option<Kernel>,
}

impl Library {
    /// All guest kernels, the newest version of each guest first.
    ///
    /// # Errors
    /// When the folder cannot be listed. A kernel that cannot be read is in
    /// [`Listing::broken`].
    pub fn kernels(&self) -> Result<Listing<Kernel>, Error> {
        todo!()
    }

    /// The kernel with this id, or with an id that begins so and no other does.
    ///
    /// # Errors
    /// [`Error::NoKernel`] where there is none or more than one, [`Error::Broken`] where its record cannot be read.
    pub fn kernel(&self, id: &str) -> Result<Kernel, Error> {
        todo!("{id}")
    }

    /// Copies a guest kernel into the library, or finds it there: an OSv loader image, an OSv ELF kernel,
    /// a Linux bzImage, or a distribution's `linux-image-….deb`.
    ///
    /// # Errors
    /// [`Error::NotAKernel`] where it is something else, with what it seems to be; I/O errors.
    pub fn add_kernel(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<Kernel, Error> {
        let _ = (path, progress, cancel);
        todo!()
    }

    /// Removes a kernel.
    ///
    /// # Errors
    /// [`Error::NoKernel`], or when its folder cannot be removed.
    pub fn remove_kernel(&self, id: &str) -> Result<(), Error> {
        todo!("{id}")
    }

    /// Checks that a kernel's file is what was added. Size and time of change are enough where they are known;
    /// `full` reads it all the same.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the digest is another; I/O errors.
    pub fn verify_kernel(&self, id: &str, full: bool) -> Result<KernelState, Error> {
        todo!("{id}{full}")
    }

    /// The OSv kernels, loader and ELF of one version together, the newest first.
    ///
    /// # Errors
    /// As [`kernels`](Self::kernels).
    pub fn osv_kernels(&self) -> Result<Vec<OsvKernel>, Error> {
        todo!()
    }

    /// The OSv kernel that this loader or ELF belongs to.
    ///
    /// # Errors
    /// As [`kernel`](Self::kernel); [`Error::NoKernel`] where it is not an OSv kernel.
    pub fn osv_kernel(&self, id: &str) -> Result<OsvKernel, Error> {
        todo!("{id}")
    }
}
