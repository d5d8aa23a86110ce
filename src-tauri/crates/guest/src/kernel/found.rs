//! What a file is when it is no guest kernel.

use std::fmt;

use super::NotAKernel;
use super::elf::{Elf64, machine_name};
use super::search::{Fields, Window};

/// Something that is not a guest kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No bytes at all.
    Nothing,
    /// A disk image in a format that has to be converted.
    DiskImage(&'static str),
    /// A raw disk or file system, with no OSv loader at its beginning.
    RawDisk,
    /// A compressed file or an archive.
    Archive(&'static str),
    /// An ELF file that is no OSv kernel, described.
    Elf(String),
    /// An OSv kernel that QEMU cannot boot directly.
    OsvWithoutPvh,
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

/// Where each kind of file has its magic bytes.
const MAGICS: &[(usize, &[u8], Found)] = &[
    (0, b"QFI\xfb", Found::DiskImage("qcow2")),
    (0, b"KDMV", Found::DiskImage("VMDK")),
    (0, b"# Disk DescriptorFile", Found::DiskImage("VMDK")),
    (0, b"<<< ", Found::DiskImage("VDI")),
    (0, b"vhdxfile", Found::DiskImage("VHDX")),
    (0, b"conectix", Found::DiskImage("VPC")),
    (0, b"\x1f\x8b", Found::Archive("gzip")),
    (0, b"\xfd7zXZ\0", Found::Archive("xz")),
    (0, b"\x28\xb5\x2f\xfd", Found::Archive("zstd")),
    (0, b"BZh", Found::Archive("bzip2")),
    (0, b"\x04\x22\x4d\x18", Found::Archive("lz4")),
    (0, b"PK\x03\x04", Found::Archive("zip")),
    (0, b"7z\xbc\xaf\x27\x1c", Found::Archive("7z")),
    (0, b"!<arch>\ndebian", Found::Archive("Debian package")),
    (0, b"!<arch>\n", Found::Archive("ar")),
    (0, b"\xed\xab\xee\xdb", Found::Archive("RPM package")),
    (0, b"070701", Found::Initramfs),
    (0, b"070702", Found::Initramfs),
    (257, b"ustar", Found::Archive("tar")),
    (56, b"ARM\x64", Found::ForeignLinux("64-bit ARM")),
    (48, b"RISCV\0\0\0", Found::ForeignLinux("RISC-V")),
    (0, b"MZ", Found::ForeignProgram("Windows or EFI")),
    (0, b"\xcf\xfa\xed\xfe", Found::ForeignProgram("macOS")),
    (
        0,
        b"\xca\xfe\xba\xbe",
        Found::ForeignProgram("macOS or Java"),
    ),
    // Superblocks of ROFS and ext, an ISO 9660 volume, a boot sector.
    (0, b"\xad\xbe\xad\xde\0\0\0\0", Found::RawDisk),
    (1080, b"\x53\xef", Found::RawDisk),
    (0x8001, b"CD001", Found::RawDisk),
    (0x1fe, b"\x55\xaa", Found::RawDisk),
];

impl Found {
    /// Looks at a file that is none of the kernels.
    pub(super) fn look(file: &mut Window<'_>) -> Result<Self, NotAKernel> {
        let bytes = file.read_at(0, 0x8010)?;
        if bytes.is_empty() {
            return Ok(Found::Nothing);
        }
        if bytes.starts_with(b"\x7fELF") {
            return Self::look_at_elf(file, &bytes);
        }
        let magic = MAGICS
            .iter()
            .find(|(offset, magic, _)| bytes.has_at(*offset, magic));
        if let Some((_, _, found)) = magic {
            return Ok(found.clone());
        }
        let head = &bytes[..bytes.len().min(512)];
        let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
        // A character may be cut at the end of the head.
        let is_utf8 = match std::str::from_utf8(head) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
        if is_utf8 && head.iter().all(is_text) {
            return Ok(Found::Text);
        }
        Ok(Found::Unknown(bytes[..bytes.len().min(8)].to_vec()))
    }

    fn look_at_elf(file: &mut Window<'_>, bytes: &[u8]) -> Result<Self, NotAKernel> {
        let machine = machine_name(bytes.u16_at(18));
        let Some(elf) = Elf64::read(file)? else {
            return Ok(Found::Elf(format!(
                "an ELF file for {machine} that is not 64-bit little-endian"
            )));
        };
        if elf.guest_os.as_deref() == Some("linux") {
            return Ok(Found::Vmlinux);
        }
        if elf.guest_os.as_deref() == Some("osv") {
            return Ok(Found::Elf(format!("an OSv kernel for {machine}")));
        }
        let kind = match elf.kind {
            1 => "an object file or kernel module",
            2 => "a program",
            3 if elf.has_interpreter => "a program",
            3 => "a shared library",
            4 => "a core dump",
            _ => "an ELF file",
        };
        Ok(Found::Elf(format!("{kind} for {machine}")))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Nothing => f.write_str("an empty file"),
            Found::DiskImage(format) => write!(f, "a {format} disk image"),
            Found::RawDisk => f.write_str("a disk or file system"),
            Found::Archive(kind) => write!(f, "a packed file ({kind})"),
            Found::Elf(description) => f.write_str(description),
            Found::OsvWithoutPvh => {
                f.write_str("an OSv kernel that QEMU cannot boot directly (no PVH note)")
            }
            Found::Vmlinux => f.write_str("an uncompressed Linux kernel (vmlinux)"),
            Found::ForeignLinux(architecture) => write!(f, "a Linux kernel for {architecture}"),
            Found::ForeignProgram(system) => write!(f, "a program for {system}"),
            Found::Initramfs => f.write_str("an initramfs"),
            Found::Text => f.write_str("text"),
            Found::Unknown(bytes) => {
                f.write_str("an unknown file that begins with")?;
                bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
        }
    }
}
