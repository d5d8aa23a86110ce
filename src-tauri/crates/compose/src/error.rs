//! What can go wrong between a folder and an image.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use windlass_guest::{GuestOs, RootFs};
use windlass_image::{PathError, TreeError};

/// How many unusable files an error names.
pub(crate) const UNUSABLE_SHOWN: usize = 20;

/// Why layers could not be scanned, composed or built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer's folder is not there (any more).
    #[error("the folder of {layer} is not there: {}", path.display())]
    NoFolder {
        /// The layer's name.
        layer: String,
        /// Where it should be.
        path: PathBuf,
    },

    /// Files that cannot be in an image, or cannot be read.
    #[error("{layer} cannot be composed: {}", unusable_files(files, *count))]
    Unusable {
        /// The layer's name.
        layer: String,
        /// The first of them.
        files: Vec<Unusable>,
        /// How many there are in all.
        count: usize,
    },

    /// A path that no guest can hold.
    #[error("{layer} has a path that no guest can hold")]
    Path {
        /// The layer's name.
        layer: String,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },

    /// The merged tree contradicts itself.
    #[error("the merged tree contradicts itself")]
    Tree(#[source] TreeError),

    /// The guest cannot boot from this file system.
    #[error("{} cannot boot from {root_fs}", guest.title())]
    RootFs {
        /// The guest.
        guest: GuestOs,
        /// The file system.
        root_fs: RootFs,
    },

    /// A guest that was to write the file system did not, or there is none that could.
    #[error("the ZFS file system could not be made: {problem}")]
    Builder {
        /// What went wrong.
        problem: String,
        /// What to do.
        hint: Option<String>,
    },

    /// The disk has too little room.
    #[error(
        "{} needs {} of disk space, and there are {} left",
        path.display(), Size(*needed_bytes), Size(*available_bytes)
    )]
    NoSpace {
        /// What was to be written.
        path: PathBuf,
        /// How much it takes.
        needed_bytes: u64,
        /// How much there is.
        available_bytes: u64,
    },

    /// A file changed between the scan and the end of the build.
    #[error("{} changed while the image was made: {what}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What changed, in words.
        what: String,
    },

    /// A file system writer refused.
    #[error("the image {} could not be written", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<windlass_image::Error>,
    },

    /// The list of files beside an image cannot be read.
    #[error("the list of files {} is damaged", path.display())]
    FileList {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },

    /// A guest in which files should be put did not take them.
    #[error("the guest at {address} did not take the files: {problem}")]
    Cpiod {
        /// Host and port.
        address: String,
        /// What happened, in words.
        problem: String,
    },

    /// The REST API of an OSv guest did not do what it was asked.
    #[error("the OSv guest at {address} did not do it: {problem}")]
    Rest {
        /// Host and port.
        address: String,
        /// What happened, in words.
        problem: String,
    },

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

/// A file that cannot be composed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its path in the layer.
    pub path: String,
    /// Why not: "is a socket", "cannot be read (Permission denied)".
    pub reason: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.reason)
    }
}

/// The files that are unusable, as the rest of a sentence.
fn unusable_files(files: &[Unusable], count: usize) -> String {
    let mut named: Vec<String> = files.iter().map(ToString::to_string).collect();
    if count > files.len() {
        named.push(format!("and {} more", count - files.len()));
    }
    named.join("; ")
}

/// A size as people read it.
pub(crate) struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} bytes", self.0);
        }
        // Tenths, so that no floating-point number is needed.
        let mut tenths = u128::from(self.0) * 10 / 1024;
        let mut unit = 0;
        while tenths >= 10 * 1024 && unit + 1 < UNITS.len() {
            tenths /= 1024;
            unit += 1;
        }
        write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoFolder { .. } => {
                "Put it back where it was, or forget it here and add it again.".to_owned()
            }
            Self::Unusable { .. } => {
                "Delete these files, make them readable for yourself, or leave them out with lines in .capstanignore."
                    .to_owned()
            }
            Self::Path { .. } => {
                "Give it a shorter name, or leave it out with a line in .capstanignore.".to_owned()
            }
            Self::RootFs { .. } => "Choose ext4, or OSv as the guest.".to_owned(),
            Self::NoSpace { needed_bytes, .. } => {
                format!("Free some space on that disk, or choose a place with {} left.", Size(*needed_bytes))
            }
            Self::Changed { .. } => {
                "Wait until nothing writes to the folder any more, or leave the file out with a line in \
                 .capstanignore; then build again."
                    .to_owned()
            }
            Self::Image { source, .. } => return source.hint(),
            Self::Builder { hint, .. } => return hint.clone(),
            Self::FileList { .. } => "Build the image again.".to_owned(),
            Self::Io { source, path, .. } => return io_hint(source, path),
            Self::Cpiod { .. } => "Look at the guest's console; start it with `/tools/cpiod.so` in its boot command, and forward its port (10000). \
                 It takes one connection and ends then."
                .to_owned(),
            Self::Rest { .. } => "Look at the guest's console; its image needs the package osv.httpserver-api, and its port 8000 \
                 has to be forwarded."
                .to_owned(),
            Self::Tree(_) | Self::Cancelled => return None,
        })
    }
}

/// The remedy for the refusals of the operating system that have an obvious one.
fn io_hint(error: &io::Error, path: &Path) -> Option<String> {
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
        io::ErrorKind::ReadOnlyFilesystem => "Choose a place that can be written.".to_owned(),
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
