//! Guest kernels: what a file is, told from its bytes.
//!
//! ```text
//! OSv loader image   0x000  EA 5E 7C 00 00      boot sector of arch/x64/boot16.S
//!                    0x010  u16                 size of the loader in units of 32 KiB
//!                    0x1FE  55 AA
//!                    0x200  command line, up to the first NUL
//!                    64 KiB ELF32 i386          lzloader.elf, the kernel compressed (FastLZ) within
//! OSv kernel         ELF64 x86-64 EXEC with the Xen note PHYS32_ENTRY (type 18), by which QEMU boots it,
//!                    and OSv's own words in its data ("OSv v0.57.0-398-g0e34e4dc")
//! Linux bzImage      0x1FE  55 AA
//!                    0x202  "HdrS"              set-up header of the x86 boot protocol
//!                    0x20E  u16 + 0x200         offset of the version string
//! ```
//!
//! Nothing that a file says about itself is believed further than its length, and no file is read into memory whole.

use std::fmt;
use std::io::{Read, Seek};

use crate::{GuestOs, RootFs};

mod elf;
mod error;
mod fastlz;
mod found;
mod linux;
mod osv;
mod search;
#[cfg(test)]
mod tests;

pub use error::NotAKernel;
pub use found::Found;

/// What is known of a guest kernel from its file alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFacts {
    /// The operating system that it is.
    pub guest: GuestOs,
    /// How it is packed, and so how it is booted.
    pub form: KernelForm,
    /// The version as the kernel itself prints it: `v0.57.0-398-g0e34e4dc`, `6.1.0-56-cloud-amd64`. The kernel in an
    /// OSv loader image is compressed, so that its version often cannot be seen.
    pub version: Option<String>,
    /// The processor that it runs on.
    pub architecture: Architecture,
    /// The root file systems that it can mount, the one to prefer first; of a builder the one that it makes.
    pub root_file_systems: Vec<RootFs>,
    /// Whether it has the tools that make a ZFS file system: a builder has, and so have ELF kernels up to v0.56.0.
    pub makes_zfs: bool,
}

/// How a kernel file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelForm {
    /// OSv's `loader.img`: a boot sector with the kernel behind it, the beginning of a bootable disk.
    OsvLoader,
    /// OSv's `loader-stripped.elf` or `loader.elf`: booted by `-kernel`.
    OsvElf,
    /// OSv's `zfs_builder-stripped.elf`: an ELF kernel with the tools that make a ZFS file system. It boots no appliance.
    OsvZfsBuilder,
    /// Linux's `vmlinuz`: booted by `-kernel`, with an initramfs.
    LinuxBzImage,
}

impl fmt::Display for KernelForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            KernelForm::OsvLoader => "OSv loader image",
            KernelForm::OsvElf => "OSv ELF kernel",
            KernelForm::OsvZfsBuilder => "OSv ZFS builder",
            KernelForm::LinuxBzImage => "Linux bzImage",
        })
    }
}

/// The processor architecture of a guest kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Architecture::X86_64 => "x86_64",
        })
    }
}

/// Tells which guest kernel a file is.
///
/// The file is read from its beginning, wherever it stood before; at most a bounded part of it is held in memory.
///
/// # Errors
/// [`NotAKernel::Other`] when it is something else, saying what it is; [`NotAKernel::Damaged`] when it begins like a
/// kernel and does not go on like one; [`NotAKernel::Read`] when it cannot be read.
pub fn identify(file: &mut (impl Read + Seek)) -> Result<KernelFacts, NotAKernel> {
    let mut file = search::Window::new(file)?;
    if let Some(facts) = osv::identify_loader(&mut file)? {
        return Ok(facts);
    }
    if let Some(facts) = linux::identify_bzimage(&mut file)? {
        return Ok(facts);
    }
    if let Some(facts) = osv::identify_elf(&mut file)? {
        return Ok(facts);
    }
    Err(NotAKernel::Other {
        found: Found::look(&mut file)?,
    })
}
