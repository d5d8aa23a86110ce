//! What a Linux kernel starts with.

use std::path::PathBuf;

use crate::error::Error;
use crate::library::Library;

impl Library {
    /// The initramfs for a Linux kernel: our init and the kernel's modules in load order, made when first asked for.
    ///
    /// # Errors
    /// [`Error::NoKernel`], [`Error::NotLinux`], or when it cannot be written.
    pub fn initramfs(&self, kernel_id: &str) -> Result<PathBuf, Error> {
        todo!("{kernel_id}")
    }
}
