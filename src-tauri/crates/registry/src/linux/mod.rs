//! The distribution's own cloud kernel, fetched without root.

mod error;

use tokio_util::sync::CancellationToken;

pub use error::AptError;

use crate::error::Error;
use crate::kernels::Kernel;
use crate::library::Library;
use crate::progress::Progress;

/// How to reach the distribution's package manager; [`Default`] takes the programs of the search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apt {
    /// Prepended to the arguments of `apt-get` and `apt-cache`, such as `-o Dir=…`.
    pub options: Vec<String>,
}

/// The package that holds the kernel, found without downloading anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinuxPackage {
    /// Its name, such as `linux-image-6.1.0-56-cloud-amd64`.
    pub name: String,
    /// The package that holds the modules where it is another.
    pub modules: Option<String>,
}

impl Library {
    /// Downloads the distribution's cloud kernel and adds it with the drivers that a micro-VM needs.
    ///
    /// # Errors
    /// Where there is no apt, its lists are missing, there is no network or no space: each says so, with its remedy.
    pub fn fetch_linux_kernel(
        &self,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<Kernel, Error> {
        let _ = (progress, cancel);
        todo!()
    }
}
