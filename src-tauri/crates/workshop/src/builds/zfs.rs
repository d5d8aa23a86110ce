//! ZFS root file systems: OSv's builder guest writes them, and has to be of the same kind as the OSv that boots from them.
//!
//! ```text
//!   kernel that mounts ZFS ──┐  newest first; the builder of the same version, or one whose disks it can read
//!   builder of the library ──┴─► QEMU ─► cpiod ◄── the files of the plan
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_compose::{Filler, Filling, cpiod};
use windlass_guest::RootFs as GuestRootFs;
use windlass_guest::kernel::KernelForm;
use windlass_library::{Kernel, OsvKernel};
use windlass_machine::{Probe, is_zfs_of_one_kind, zfs_builder_command_line};

use super::provide::GuestKernel;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::Reporter;

const HOW_IT_IS_MADE: &str = "OSv's own build makes it: `scripts/build fs=zfs` leaves zfs_builder-stripped.elf in build/release.x64";
const HOW_IT_IS_ADDED: &str =
    "Add OSv's zfs_builder-stripped.elf in Settings, or with `windlassctl kernel add FILE`";

/// Files of OSv's that make a ZFS disk, instead of those of the library.
#[derive(Debug, Clone, Default)]
pub struct ZfsFiles {
    /// The builder guest, `zfs_builder-stripped.elf`.
    pub builder: Option<PathBuf>,
    /// The loader image of an OSv that has ZFS.
    pub loader: Option<PathBuf>,
}

/// What writes a ZFS file system.
#[derive(Debug)]
struct Builder {
    path: PathBuf,
    version: Option<String>,
}

impl Workshop {
    /// The kernel that boots from ZFS, of those that a builder of the library makes disks for, if there is one.
    pub(super) fn zfs_kernel(&self, kernels: &[OsvKernel]) -> Result<Option<OsvKernel>> {
        let builders = self.library.zfs_builders()?;
        let mut mounting = kernels.iter().filter(|kernel| mounts_zfs(kernel));
        let first = mounting.clone().next();
        let kernel = mounting
            .find(|kernel| builder_for(kernel, &builders).is_some())
            .or(first);
        Ok(kernel.cloned())
    }

    /// What is missing of what makes ZFS disks, in words, with what to do.
    pub(crate) fn no_zfs_builder(&self) -> Option<AppError> {
        let builders = self.library.zfs_builders().unwrap_or_default();
        let kernels = self.library.osv_kernels().unwrap_or_default();
        let has_both = kernels
            .iter()
            .any(|kernel| mounts_zfs(kernel) && builder_for(kernel, &builders).is_some());
        if has_both {
            return None;
        }
        Some(match builders.first() {
            None => AppError::new(
                ErrorKind::Unavailable,
                "There is no ZFS builder in the library, and only that can make a ZFS disk",
            )
            .hinted(HOW_IT_IS_ADDED)
            .hinted(HOW_IT_IS_MADE)
            .hinted("Or choose ext4 as the root file system, which needs none"),
            Some(builder) => AppError::new(
                ErrorKind::Unavailable,
                format!(
                    "The ZFS builder of OSv {} makes disks that no OSv kernel of the library can boot from",
                    builder.version.as_deref().unwrap_or("of unknown version")
                ),
            )
            .hinted("Add the loader image of the same OSv, built with `scripts/build fs=zfs`, in Settings, or with `windlassctl kernel add FILE`"),
        })
    }

    /// What writes the file system of an image that is for this kernel.
    pub(super) async fn zfs_filler(
        self: &Arc<Self>,
        kernel: &GuestKernel,
        files: &ZfsFiles,
        reporter: &Reporter,
    ) -> Result<Filler> {
        let builder = match &files.builder {
            Some(path) => named_builder(path)?,
            None => self.library_builder(kernel)?,
        };
        reporter.log(&format!(
            "The ZFS file system is written by OSv {}",
            builder.version.as_deref().unwrap_or("of unknown version")
        ));
        let probe = self.probe(reporter.cancellation()).await?;
        Ok(filler(builder, probe))
    }

    fn library_builder(&self, kernel: &GuestKernel) -> Result<Builder> {
        let builders = self.library.zfs_builders()?;
        let found = match kernel {
            GuestKernel::Osv(kernel) => builder_for(kernel, &builders),
            GuestKernel::Linux(_) => None,
        };
        let found = found.ok_or_else(|| {
            self.no_zfs_builder().unwrap_or_else(|| {
                AppError::new(
                    ErrorKind::Unavailable,
                    "No ZFS builder of the library makes disks for this OSv kernel",
                )
                .hinted(HOW_IT_IS_ADDED)
            })
        })?;
        self.library.verify_kernel(&found.id, false)?;
        Ok(Builder {
            path: found.path.clone(),
            version: found.version.clone(),
        })
    }
}

fn mounts_zfs(kernel: &OsvKernel) -> bool {
    let mounts = |kernel: &Kernel| kernel.root_file_systems.contains(&GuestRootFs::Zfs);
    // A disk boots by its loader; QEMU by the ELF.
    kernel.loader.iter().chain(&kernel.elf).any(mounts)
}

/// The builder of the same version, else the newest whose disks the kernel can read.
fn builder_for<'a>(kernel: &OsvKernel, builders: &'a [Kernel]) -> Option<&'a Kernel> {
    let of_same = builders
        .iter()
        .find(|builder| builder.version.is_some() && builder.version == kernel.version);
    of_same.or_else(|| {
        builders.iter().find(|builder| {
            kernel.version.is_none()
                || is_zfs_of_one_kind(builder.version.as_deref(), kernel.version.as_deref())
        })
    })
}

/// The builder in a file; refuses what is none.
fn named_builder(path: &Path) -> Result<Builder> {
    let mut file = std::fs::File::open(path).doing("open the builder", path)?;
    let not_one = |found: String| {
        AppError::new(
            ErrorKind::Input,
            format!("{} is no ZFS builder of OSv's: {found}", path.display()),
        )
        .hinted(HOW_IT_IS_MADE)
    };
    let facts =
        windlass_guest::kernel::identify(&mut file).map_err(|error| not_one(error.to_string()))?;
    if !facts.makes_zfs || facts.form == KernelForm::OsvLoader {
        return Err(not_one(format!("it is an {}", facts.form)));
    }
    Ok(Builder {
        path: path.to_owned(),
        version: facts.version,
    })
}

/// Starts the builder for a disk, and sends it the files.
fn filler(builder: Builder, probe: Probe) -> Filler {
    let line = zfs_builder_command_line(builder.version.as_deref());
    Filler::new(move |disk, members, told, cancel| {
        told(Filling::Starting);
        let send = |port| -> std::result::Result<(), Failed> {
            let mut sent = |bytes: u64| told(Filling::Sent(bytes));
            cpiod::send("127.0.0.1", port, members, &mut sent, cancel)?;
            told(Filling::Ending);
            Ok(())
        };
        windlass_machine::build_zfs(&probe, &builder.path, &line, disk, send, cancel)
            .map_err(Failed::into_compose)
    })
}

/// What went wrong while a guest filled a disk.
enum Failed {
    Compose(windlass_compose::Error),
    Machine(windlass_machine::Error),
}

impl From<windlass_compose::Error> for Failed {
    fn from(error: windlass_compose::Error) -> Self {
        Self::Compose(error)
    }
}

impl From<windlass_machine::Error> for Failed {
    fn from(error: windlass_machine::Error) -> Self {
        Self::Machine(error)
    }
}

impl Failed {
    fn into_compose(self) -> windlass_compose::Error {
        match self {
            Self::Compose(error) => error,
            Self::Machine(windlass_machine::Error::Cancelled) => windlass_compose::Error::Cancelled,
            Self::Machine(error) => windlass_compose::Error::Builder {
                hint: error.hint(),
                problem: error.to_string(),
            },
        }
    }
}
