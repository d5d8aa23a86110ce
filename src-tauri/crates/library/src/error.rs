//! What can go wrong in the library.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::care::verify::Damage;
use crate::linux::AptError;
use crate::packages::resolve::LockChange;

/// So many things are named in one message.
const LISTED: usize = 3;

/// Why a kernel or package could not be had, kept or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that should be a guest kernel is none.
    #[error("{} cannot be added as a guest kernel", path.display())]
    NotAKernel {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        #[source]
        source: windlass_guest::NotAKernel,
    },

    /// A folder or device in the place of a file.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// What it should be.
        path: PathBuf,
    },

    /// A file that is being written.
    #[error("{} changed while it was copied", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },

    /// A `.deb` does not hold what was looked for.
    #[error("{} {found}", path.display())]
    NotAKernelPackage {
        /// The package file.
        path: PathBuf,
        /// What is wrong with it, as the rest of the sentence.
        found: String,
    },

    /// What makes disks boot by themselves could not be made of the distribution's packages.
    #[error("the distribution's boot loader cannot be used: {found}")]
    NoBootLoader {
        /// What is wrong.
        found: String,
    },

    /// There is no such kernel in the library.
    #[error("there is no guest kernel {id} in the library")]
    NoKernel {
        /// What was asked for.
        id: String,
    },

    /// An abbreviated id that several kernels have.
    #[error("{count} guest kernels have an id that begins with {id}")]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// How many there are.
        count: usize,
    },

    /// An initramfs was asked for a kernel of another guest.
    #[error("guest kernel {id} is not a Linux kernel")]
    NotLinux {
        /// The kernel.
        id: String,
    },

    /// An OSv kernel was asked for, and this is another.
    #[error("guest kernel {id} is not an OSv kernel")]
    NotOsv {
        /// The kernel.
        id: String,
    },

    /// A record of the library cannot be read.
    #[error("the record {} is damaged", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },

    /// A kernel's file is not what was added.
    #[error("{} has changed since it was added: its digest is {found}, not {expected}", path.display())]
    Damaged {
        /// The kernel's id.
        id: String,
        /// Its file.
        path: PathBuf,
        /// The digest now.
        found: String,
        /// The digest when it was added.
        expected: String,
    },

    /// There is no such package in the library.
    #[error("there is no package {name} in the library")]
    NoPackage {
        /// The package.
        name: String,
    },

    /// There are other versions of this package.
    #[error("there is no version {wanted} of {name} in the library")]
    NoVersion {
        /// The package.
        name: String,
        /// What was asked for: a version, or digits of a digest.
        wanted: String,
        /// The versions that there are, the newest first.
        there: Vec<String>,
    },

    /// Something that is required is missing, at odds, or needs itself.
    #[error(transparent)]
    Unsolvable(Box<windlass_package::resolve::Unsolvable>),

    /// A lock names other packages than the requirements come to.
    #[error("the lock is out of date: {}", listed(changes))]
    Stale {
        /// The differences.
        changes: Vec<LockChange>,
    },

    /// Packages are not as they were added.
    #[error("the library is damaged: {}", listed(damages))]
    DamagedPackage {
        /// What is wrong.
        damages: Vec<Damage>,
    },

    /// The list of what is in a package's tree cannot be read.
    #[error("the list {} {found}", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// What is wrong with it, as the rest of the sentence.
        found: String,
    },

    /// Two different trees whose digests begin alike; that does not happen by chance.
    #[error("another package is in the place of this one, {}", path.display())]
    SameDigits {
        /// The place.
        path: PathBuf,
    },

    /// A package of an older Windlass that could not be brought into the layout of today.
    #[error("the package in {} is in the layout of an older Windlass", path.display())]
    NotMigrated {
        /// Its folder.
        path: PathBuf,
    },

    /// A name that no package can have.
    #[error("`{name}` cannot be the name of a package")]
    PackageName {
        /// The name.
        name: String,
    },

    /// A folder or archive without what makes it a package.
    #[error("{} is no package: it has no {}", path.display(), windlass_package::manifest::FILE)]
    NoManifest {
        /// The folder or archive.
        path: PathBuf,
    },

    /// A package cannot be read.
    #[error("the package in {} cannot be read", path.display())]
    Package {
        /// Its folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<windlass_package::Error>,
    },

    /// The distribution's kernel could not be fetched.
    #[error(transparent)]
    Apt(#[from] AptError),

    /// The operating system refused.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was being done, as a verb: "read", "write", "list".
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// Whoever waited ended it. Nothing was left behind.
    #[error("cancelled")]
    Cancelled,
}

/// The first few of several things.
fn listed<T: fmt::Display>(things: &[T]) -> String {
    let mut listed: Vec<String> = things
        .iter()
        .take(LISTED)
        .map(ToString::to_string)
        .collect();
    if things.len() > LISTED {
        listed.push(format!("and {} more", things.len() - LISTED));
    }
    listed.join("; ")
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAKernel { source, .. } => return source.hint(),
            Self::NotAFile { .. } => {
                "Choose a kernel file: an OSv loader image or ELF kernel, a Linux bzImage (vmlinuz), or a \
                 linux-image-….deb."
                    .to_owned()
            }
            Self::Changing { .. } => "Wait until it is complete, then add it again.".to_owned(),
            Self::NotAKernelPackage { .. } => {
                "Choose the linux-image-….deb of a kernel, such as linux-image-6.1.0-56-cloud-amd64, \
                 or fetch the distribution's own."
                    .to_owned()
            }
            Self::NoBootLoader { .. } => {
                "Build the disk without a boot loader: machines on this computer need none.".to_owned()
            }
            Self::NoKernel { .. } | Self::NotLinux { .. } | Self::NotOsv { .. } => {
                "List the guest kernels, and choose one of them or add it.".to_owned()
            }
            Self::Ambiguous { .. } => "Give more digits of the id.".to_owned(),
            Self::Record { .. } => {
                "Remove the folder that it is in, and add again what was in it.".to_owned()
            }
            Self::Damaged { id, .. } => {
                format!("Remove the kernel {id}, and add it again from a good file.")
            }
            Self::NoPackage { name } => {
                format!("Pull, pack or import {name}, or check how it is spelled.")
            }
            Self::NoVersion { name, there, .. } => match there.as_slice() {
                [] => format!("The packages {name} of the library have no versions."),
                there => format!("There is {}.", there.join(", ")),
            },
            Self::Unsolvable(source) => return source.hint(),
            Self::Stale { .. } => {
                "Pull what is missing, or let the lock be made anew.".to_owned()
            }
            Self::DamagedPackage { .. } | Self::List { .. } => "Repair the library.".to_owned(),
            Self::SameDigits { .. } => {
                "Remove the one that is there if you trust this one more.".to_owned()
            }
            Self::NotMigrated { .. } => {
                "Start Windlass again; the log says what kept it from doing so.".to_owned()
            }
            Self::PackageName { .. } => {
                "Use letters, digits, and any of . _ - + after the first.".to_owned()
            }
            Self::NoManifest { .. } => "Choose the folder or archive of a package, or pack it first.".to_owned(),
            Self::Package { source, .. } => return source.hint(),
            Self::Apt(error) => return error.hint(),
            Self::Io { source, path, .. } => return io_hint(source, path),
            Self::Cancelled => return None,
        })
    }
}

/// The remedy for the refusals of the operating system that have an obvious one.
pub(crate) fn io_hint(error: &io::Error, path: &Path) -> Option<String> {
    Some(match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("Check that you may read and write {}.", path.display())
        }
        io::ErrorKind::NotFound => {
            "It may have been moved or deleted meanwhile: look, and try again.".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free some disk space, and try again.".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "Choose a place that can be written, with WINDLASS_HOME.".to_owned()
        }
        io::ErrorKind::IsADirectory => "Choose a file instead of a folder.".to_owned(),
        _ => return None,
    })
}

/// Gives an I/O error the path that it is about and what was being done there.
pub(crate) trait IoContext<T> {
    fn context(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.to_path_buf(),
            source,
        })
    }
}
