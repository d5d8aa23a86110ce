//! Why a file cannot be taken as a guest kernel.

use std::io;

use super::{Found, KernelForm};

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
    #[error("this is {found}, not a guest kernel that Windlass can boot")]
    Other {
        /// What it is.
        found: Found,
    },
    /// It begins like a kernel and does not go on like one.
    #[error(
        "this begins like a kernel ({form}), but at byte {offset} there is {found} instead of {expected}"
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

/// What may be given, for hints.
const GIVE: &str = "give an OSv loader image (`loader.img`), an OSv ELF kernel (`loader-stripped.elf`) or a Linux \
                    kernel (`vmlinuz-…`)";

impl NotAKernel {
    /// What to give instead.
    pub fn hint(&self) -> Option<String> {
        let found = match self {
            Self::Read { .. } => return None,
            Self::Damaged { .. } => {
                return Some(format!(
                    "the file may be cut short: fetch it again, or {GIVE}"
                ));
            }
            Self::Other { found } => found,
        };
        Some(match found {
            Found::Nothing => format!("the file is empty: fetch it again, or {GIVE}"),
            Found::DiskImage(format) => format!(
                "if it holds an OSv loader, convert it first: `qemu-img convert -f {} -O raw FILE loader.img`",
                format.to_ascii_lowercase()
            ),
            Found::Archive(_) => format!("unpack it first, then {GIVE}"),
            Found::RawDisk => "a disk with a system on it is an image, not a kernel: take the kernel out of it, or \
                               import it as an image"
                .to_owned(),
            Found::Vmlinux => "give the compressed kernel that the distribution installs, `/boot/vmlinuz-…`".to_owned(),
            Found::ForeignLinux(_) => "Windlass boots 64-bit x86 kernels: give that architecture's".to_owned(),
            Found::Initramfs => "give the kernel that belongs to it (`vmlinuz-…`); Windlass makes the initramfs itself"
                .to_owned(),
            Found::OsvWithoutPvh => "give the loader image of the same build (`loader.img`), or a kernel of OSv 0.54 \
                                     or later"
                .to_owned(),
            Found::Elf(_) | Found::ForeignProgram(_) | Found::Text | Found::Unknown(_) => GIVE.to_owned(),
        })
    }
}
