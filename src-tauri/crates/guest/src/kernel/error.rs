//! What a file is when it is no guest kernel.

use std::fmt;
use std::io;

use super::KernelForm;
use super::search::Window;

/// Why a file cannot be taken as a guest kernel.
#[derive(Debug, thiserror::Error)]
pub enum NotAKernel {
    /// The file could not be read.
    #[error("the file cannot be read at byte {offset}")]
    Read {
        /// Where reading failed, in bytes from the beginning.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("this is {found}, not a guest kernel")]
    Other {
        /// What it is.
        found: Found,
    },
    /// It begins like a kernel and does not go on like one.
    #[error(
        "this begins like an {form}, but at byte {offset} there is {found} instead of {expected}"
    )]
    Damaged {
        /// What it begins like.
        form: KernelForm,
        /// Where it stops being one.
        offset: u64,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
}

/// Something that is not a guest kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No bytes at all.
    Nothing,
    /// A disk image in a format that has to be converted.
    DiskImage(&'static str),
    /// A raw disk with a partition table, and no OSv loader at its beginning.
    RawDisk,
    /// A compressed file or an archive.
    Archive(&'static str),
    /// An ELF file that is no OSv kernel.
    Elf(String),
    /// An uncompressed Linux kernel (`vmlinux`).
    Vmlinux,
    /// A Linux kernel of another architecture.
    ForeignLinux(&'static str),
    /// A program of another system.
    ForeignProgram(&'static str),
    /// An initramfs.
    Initramfs,
    /// Text.
    Text,
    /// Nothing that is known; the first bytes of it.
    Unknown(Vec<u8>),
}

impl Found {
    pub(super) fn look(_file: &mut Window<'_>) -> Result<Self, NotAKernel> {
        Ok(Found::Nothing)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl NotAKernel {
    /// What to give instead.
    pub fn hint(&self) -> Option<String> {
        None
    }
}
