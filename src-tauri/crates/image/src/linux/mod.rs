//! The disk that Linux boots from by itself, by BIOS and by UEFI.
//!
//! ```text
//!       0  GRUB's boot.img in a protective MBR, then the GUID partition table
//!   1 MiB  1 "bios-boot"  GRUB's core.img, which boot.img loads from here
//!   2 MiB  2 "esp"        FAT32:
//!                           EFI/BOOT/BOOTX64.EFI    GRUB for UEFI
//!                           windlass/grub.cfg       what both GRUBs do
//!                           windlass/vmlinuz, windlass/initramfs
//!                           windlass/command-line.cpio     the boot command line, in room for 32 KiB
//!     ...  3 "root"       ext4; last, so that it can grow
//!     end  the table once more
//! ```
//!
//! The command line comes to our init as a file of a second initramfs, just as from a machine that boots the kernel
//! directly: it is not bound to the 2 KiB of the kernel's own parameters. It keeps its place, so that a new line is
//! written over the old one.
//!
//! GRUB, and not a smaller loader: it is the only one in Debian and Ubuntu that is maintained and does both BIOS and GPT. Its parts are made
//! elsewhere, of the distribution's packages ([`BootParts`]).

mod command_line;
mod disk;
mod export;
mod recognise;
mod update;

pub use command_line::{COMMAND_LINE_BYTES_MAX, read_command_line, set_command_line};
pub use disk::{BootParts, DiskLayout, write_disk};
pub use export::{Pair, PairFiles, write_pair};
pub(crate) use recognise::{boots, recognise};
pub use update::update_disk;

/// Which partition holds the root file system.
pub const ROOT_PARTITION: u32 = 3;
/// Which partition is the EFI system partition.
pub const EFI_PARTITION: u32 = 2;
const BIOS_PARTITION: u32 = 1;

/// The name of the root's partition, by which an init finds it.
pub const ROOT_NAME: &str = "root";

const BIOS_START_BYTES: u64 = 1 << 20;
const BIOS_SIZE_BYTES: u64 = 1 << 20;
const EFI_START_BYTES: u64 = 2 << 20;
/// Partitions start at multiples of this, and the disk ends at one.
const ALIGNMENT_BYTES: u64 = 1 << 20;

const EFI_PROGRAM: &str = "EFI/BOOT/BOOTX64.EFI";
const KERNEL: &str = "windlass/vmlinuz";
const INITRAMFS: &str = "windlass/initramfs";
const COMMAND_LINE: &str = "windlass/command-line.cpio";
const CONFIGURATION: &str = "windlass/grub.cfg";

/// Where GRUB for BIOS has to look for its configuration: `grub-mkimage --prefix`.
pub const BIOS_PREFIX: &str = "(,gpt2)/windlass";
/// The same for UEFI, on the partition that it was started from.
pub const EFI_PREFIX: &str = "/windlass";
