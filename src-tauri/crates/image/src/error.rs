//! What can go wrong with an image, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::GuestPath;

/// Why an image could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The [`Watch`](crate::Watch) asked to stop.
    #[error("cancelled")]
    Cancelled,

    /// A file that belongs into the image cannot be opened or read.
    #[error("{} cannot be read, which is to become {guest_path}", path.display())]
    Source {
        /// The file of this computer.
        path: PathBuf,
        /// What it was to become.
        guest_path: GuestPath,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A file has another size than when the tree was made.
    #[error(
        "{} changed while the image was written: {expected_bytes} bytes were expected, {found}",
        path.display()
    )]
    Changed {
        /// The file of this computer, or the guest path of made-up bytes.
        path: PathBuf,
        /// The declared size.
        expected_bytes: u64,
        /// What there was instead.
        found: String,
    },

    /// A path or target that the file system cannot hold.
    #[error("{path} does not fit into {file_system}: {limit}")]
    Limit {
        /// What does not fit.
        path: GuestPath,
        /// The file system: `ROFS`, `ext4`.
        file_system: &'static str,
        /// Which limit it breaks.
        limit: Limit,
    },

    /// The content needs more room than the image is to have.
    #[error("the {what} has room for {size_bytes} bytes, {needed_bytes} are needed")]
    TooSmall {
        /// What is too small: `ext4 file system`, `command line area` ...
        what: &'static str,
        /// What there has to be.
        needed_bytes: u64,
        /// What there is.
        size_bytes: u64,
    },

    /// A command line that OSv's boot sector cannot hold.
    #[error("the command line cannot be stored: {reason}")]
    CommandLine {
        /// What is wrong with it.
        reason: String,
    },

    /// A guest kernel that cannot be opened or read.
    #[error("the guest kernel {} cannot be read", path.display())]
    Kernel {
        /// The file of this computer.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A file that is not a raw OSv loader image.
    #[error(
        "{what} is not a raw OSv loader image: at byte {offset}, expected {expected}, found {found}"
    )]
    NotALoader {
        /// The file.
        what: String,
        /// Where it differs.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A file that is not the part of GRUB that it is given as.
    #[error("{what} is not {expected}: {found}")]
    NotABootLoader {
        /// The file.
        what: String,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },

    /// The ext4 writer refused.
    #[error("the ext4 file system cannot be laid out")]
    Ext4 {
        /// Its words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The image could not be written.
    #[error("the image cannot be written at byte {offset}")]
    Write {
        /// Where it happened, from the start of what was being written.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The image could not be read.
    #[error("the image cannot be read at byte {offset}")]
    Read {
        /// Where it happened.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The image contradicts itself.
    #[error(
        "the image is damaged: {structure} at byte {offset}: expected {expected}, found {found}"
    )]
    Corrupt {
        /// The structure that lies.
        structure: &'static str,
        /// Where it is.
        offset: u64,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },

    /// The image's file cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The image is sound, as far as can be told, and uses what this reader does not know.
    #[error("the image has {what} (at byte {offset}), which cannot be read here")]
    Unsupported {
        /// What it has: `encryption`, `a backing file ("base.qcow2")`.
        what: String,
        /// Where it says so.
        offset: u64,
    },

    /// The image is not of the kind that it was opened as.
    #[error("this is not {expected}: {found}")]
    WrongKind {
        /// What it was opened as.
        expected: &'static str,
        /// What it is instead.
        found: String,
    },

    /// Somebody else writes to the image.
    #[error("{} is being written to by somebody else", path.display())]
    Busy {
        /// The image.
        path: PathBuf,
    },

    /// A file that was to be made is there already.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },

    /// A file that was to be made cannot be.
    #[error("{} cannot be written", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A compressed file that is cut off or damaged.
    #[error("the {compression} data is cut off or damaged: {offset} bytes could be unpacked")]
    Packed {
        /// By what it is compressed: `gzip`, `xz`, `zstd`.
        compression: &'static str,
        /// How many bytes came out before.
        offset: u64,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },

    /// There is more in a file than may be unpacked from it.
    #[error("it holds more than the {limit_bytes} bytes that are allowed")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },

    /// The disk that is written to has too little room.
    #[error("{} has {free_bytes} bytes free, {needed_bytes} are needed", folder.display())]
    NoRoom {
        /// A folder on it.
        folder: PathBuf,
        /// What there has to be.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },

    /// A disk that cannot get the size that was asked for.
    #[error("the disk cannot have {size_bytes} bytes: {reason}")]
    Resize {
        /// The size that was asked for.
        size_bytes: u64,
        /// Why not.
        reason: String,
    },

    /// There is nothing at this path of the image.
    #[error("there is no {path} in the image")]
    NotFound {
        /// The path.
        path: GuestPath,
    },
}

/// A limit of a file system, and what broke it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// A name that is too long.
    #[error("its name is {found_bytes} bytes long, at most {limit_bytes} are possible")]
    NameTooLong {
        /// The length of the name.
        found_bytes: usize,
        /// The longest one possible.
        limit_bytes: usize,
    },
    /// A name that is not UTF-8, where the writer takes only that.
    #[error("its name is not valid UTF-8")]
    NameNotUtf8,
    /// A name that the file system keeps for itself.
    #[error("the file system keeps {0} for itself")]
    NameReserved(&'static str),
    /// A name that the file system cannot write down.
    #[error("it {0}")]
    NameInvalid(&'static str),
    /// A name that another one differs from by case alone, where case makes no difference.
    #[error("another name in the same directory differs from it by capitals alone")]
    NameTaken,
    /// A symlink, where the file system has none.
    #[error("it is a symbolic link, which there are none of")]
    NoSymlinks,
    /// A symlink's target that is too long.
    #[error("its target is {found_bytes} bytes long, at most {limit_bytes} are possible")]
    TargetTooLong {
        /// The length of the target.
        found_bytes: usize,
        /// The longest one possible.
        limit_bytes: usize,
    },
    /// A symlink that points to nothing at all, or to a name with a NUL.
    #[error("its target is {0}")]
    TargetInvalid(&'static str),
    /// A file that is too large.
    #[error("it is {found_bytes} bytes long, at most {limit_bytes} are possible")]
    FileTooLarge {
        /// The size of the file.
        found_bytes: u64,
        /// The largest one possible.
        limit_bytes: u64,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Source { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    "the file was there when the appliance was scanned; build again to scan it anew"
                }
                io::ErrorKind::PermissionDenied => {
                    "make the file readable for you, or leave it out with a line in .capstanignore"
                }
                _ => "leave the file out with a line in .capstanignore, or restore it",
            },
            Self::Changed { .. } => {
                "stop what writes to the file (or leave it out with a line in .capstanignore) and \
                 build again"
            }
            Self::Limit { limit, .. } => match limit {
                Limit::NameTooLong { .. }
                | Limit::NameNotUtf8
                | Limit::NameReserved(_)
                | Limit::NameInvalid(_)
                | Limit::NameTaken => {
                    "rename the file, or leave it out with a line in .capstanignore"
                }
                Limit::NoSymlinks => "put the file itself in the place of the link",
                Limit::TargetTooLong { .. } | Limit::TargetInvalid(_) => {
                    "make the symlink point to a shorter, valid path, or leave it out"
                }
                Limit::FileTooLarge { .. } => "split the file, or keep it on a volume",
            },
            Self::TooSmall { .. } => "give the image a larger size, or none to have it fitted",
            Self::CommandLine { .. } => {
                "shorten it, or move part of it into a file and start that with `runscript FILE`"
            }
            Self::Kernel { .. } => "choose another guest kernel, or add this one again",
            Self::NotALoader { .. } => {
                "use OSv's loader.img as it was built (raw, not qcow2, not compressed, without a \
                 file system of its own)"
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space on the disk, or build to another one"
            }
            Self::NotABootLoader { .. } => "fetch the boot loader again",
            Self::Corrupt { .. } => "build the image again, or fetch it again from where it came",
            Self::Unsupported { .. } => {
                "convert it with `qemu-img convert -O raw`, or open it in a guest"
            }
            Self::Open { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "make the file readable for you",
                _ => "look whether it was moved or deleted",
            },
            Self::Busy { .. } => "wait until the other program has ended",
            Self::Exists { .. } => "choose another name, or remove that file",
            Self::Create { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => "free some space on the disk, or choose another one",
                io::ErrorKind::PermissionDenied => "choose a folder that you may write to",
                _ => "choose another folder",
            },
            Self::Packed { .. } => "fetch it again from where it came",
            Self::TooLarge { .. } => {
                "unpack it by hand where you trust it, and import what comes out"
            }
            Self::NoRoom { .. } => "free some space on the disk, or choose another one",
            Self::Cancelled
            | Self::Resize { .. }
            | Self::Ext4 { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::WrongKind { .. }
            | Self::NotFound { .. } => return None,
        };
        Some(hint.to_owned())
    }

    pub(crate) fn corrupt(
        structure: &'static str,
        offset: u64,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Corrupt {
            structure,
            offset,
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// A reading thread is gone without a word, which only a panic in it could bring about.
    pub(crate) fn reader_died() -> Self {
        Self::Write {
            offset: 0,
            source: io::Error::other("a reading thread ended early"),
        }
    }

    pub(crate) fn write(offset: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { offset, source }
    }

    pub(crate) fn read(offset: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { offset, source }
    }
}
