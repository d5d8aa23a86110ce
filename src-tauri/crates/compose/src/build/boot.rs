//! What a Linux disk boots from, of what a recipe says.

use std::fs;
use std::path::Path;

use tokio_util::sync::CancellationToken;
use windlass_image::Source;
use windlass_image::linux::BootParts;

use super::LinuxBoot;
use crate::digest::DigestCache;
use crate::error::{Error, IoContext};
use crate::stamp::Stamp;

/// The kernel's parameters: it speaks on the screen and on the serial port, and is silent but for what matters; our init
/// finds the root by its partition's name.
const PARAMETERS: &str = "console=tty0 console=ttyS0 quiet loglevel=4 panic=-1 cryptomgr.notests rdinit=/init \
                          windlass.root=PARTLABEL=root";

/// What firmware reads, beside the files: tables, alignment, and FAT32's least size.
const EFI_BYTES: u64 = 36 << 20;

impl LinuxBoot {
    fn files(&self) -> [&Path; 5] {
        [
            &self.boot_sector,
            &self.core,
            &self.efi_program,
            &self.kernel,
            &self.initramfs,
        ]
    }

    pub(super) fn parts(&self) -> BootParts {
        let [boot_sector, core, efi_program, kernel, initramfs] =
            self.files().map(|path| Source::Path(path.to_owned()));
        BootParts {
            boot_sector,
            core,
            efi_program,
            kernel,
            initramfs,
            parameters: PARAMETERS.to_owned(),
        }
    }

    /// What lies before the root, and how much of it is written.
    pub(super) fn estimate(&self) -> Result<(u64, u64), Error> {
        let mut bytes = 0;
        for path in self.files() {
            bytes += fs::metadata(path).context("read", path)?.len();
        }
        Ok((bytes + EFI_BYTES, bytes))
    }

    /// A digest of all of it.
    pub(super) fn digest(
        &self,
        cache: &DigestCache,
        cancel: &CancellationToken,
    ) -> Result<String, Error> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(PARAMETERS.as_bytes());
        for path in self.files() {
            hasher.update(file_digest(path, cache, cancel)?.as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// The digest of one file, which may be behind a symlink.
pub(super) fn file_digest(
    path: &Path,
    cache: &DigestCache,
    cancel: &CancellationToken,
) -> Result<blake3::Hash, Error> {
    let stamp = Stamp::of(&fs::metadata(path).context("read", path)?);
    let real = fs::canonicalize(path).context("read", path)?;
    cache.digest(&real, &stamp, cancel)
}
