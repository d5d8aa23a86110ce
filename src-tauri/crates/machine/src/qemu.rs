//! The QEMU binary.

use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A QEMU system emulator for x86-64 that was found on this computer and said its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// The binary.
    pub path: PathBuf,
    /// Its version, as it says it: `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
    pub version: String,
    /// When the binary was last changed, in seconds since 1970; with the path, the key to remember a probe by.
    pub modified_at: i64,
}

impl Qemu {
    /// Finds QEMU: at `path` where one is given, else by its name on `PATH`.
    ///
    /// # Errors
    /// [`crate::Error::QemuMissing`], or [`crate::Error::NotQemu`] if the program says something else.
    pub async fn find(path: Option<&Path>) -> Result<Self> {
        let _ = path;
        todo!()
    }
}
