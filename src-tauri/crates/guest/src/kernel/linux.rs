//! Linux kernels, by the set-up header of the x86 boot protocol (`Documentation/arch/x86/boot.rst`).

use super::search::{Fields, Window};
use super::{Architecture, Found, KernelFacts, KernelForm, NotAKernel};
use crate::{GuestOs, RootFs};

const SETUP_SECTORS_OFFSET: usize = 0x1f1;
const BODY_SIZE_OFFSET: usize = 0x1f4;
const MAGIC_OFFSET: usize = 0x202;
const VERSION_POINTER_OFFSET: usize = 0x20e;
const LOAD_FLAGS_OFFSET: usize = 0x211;
const EXTENDED_LOAD_FLAGS_OFFSET: usize = 0x236;
/// The version string's offset counts from the end of the boot sector.
const VERSION_BASE: u64 = 0x200;
const VERSION_LIMIT_BYTES: usize = 256;

pub(super) fn identify_bzimage(file: &mut Window<'_>) -> Result<Option<KernelFacts>, NotAKernel> {
    let header = file.read_at(0, 0x268)?;
    if !header.has_at(MAGIC_OFFSET, b"HdrS") || !header.has_at(0x1fe, &[0x55, 0xaa]) {
        return Ok(None);
    }
    let loads_high = header
        .get(LOAD_FLAGS_OFFSET)
        .is_some_and(|flags| flags & 1 == 1);
    let is_64_bit = header.u16_at(EXTENDED_LOAD_FLAGS_OFFSET) & 1 == 1;
    if !loads_high || !is_64_bit {
        return Err(NotAKernel::Other {
            found: Found::ForeignLinux("32-bit x86"),
        });
    }
    let damaged = |offset: u64, found: String, expected| NotAKernel::Damaged {
        form: KernelForm::LinuxBzImage,
        offset,
        found,
        expected,
    };
    // Zero stands for four, for the sake of very old boot loaders.
    let setup_sectors = match header.get(SETUP_SECTORS_OFFSET) {
        None | Some(0) => 4,
        Some(count) => u64::from(*count),
    };
    let body_bytes = u64::from(header.u32_at(BODY_SIZE_OFFSET)) * 16;
    let expected_bytes = (1 + setup_sectors) * 512 + body_bytes;
    if file.length_bytes() < expected_bytes {
        let found = format!("the end of the file (its header names {expected_bytes} bytes)");
        return Err(damaged(file.length_bytes(), found, "more of the kernel"));
    }
    let pointer = header.u16_at(VERSION_POINTER_OFFSET);
    let text = file.read_at(VERSION_BASE + u64::from(pointer), VERSION_LIMIT_BYTES)?;
    // "6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP ..."
    let word = text
        .split(|byte| *byte == b' ' || *byte == 0)
        .next()
        .unwrap_or_default();
    let is_version =
        word.first().is_some_and(u8::is_ascii_digit) && word.iter().all(u8::is_ascii_graphic);
    if pointer == 0 || !is_version {
        // OSv's vmlinuz.bin looks so; it does not start in QEMU.
        let found = "something else".to_owned();
        return Err(damaged(
            VERSION_POINTER_OFFSET as u64,
            found,
            "the way to a version",
        ));
    }
    Ok(Some(KernelFacts {
        guest: GuestOs::Linux,
        form: KernelForm::LinuxBzImage,
        version: Some(String::from_utf8_lossy(word).into_owned()),
        architecture: Architecture::X86_64,
        root_file_systems: vec![RootFs::Ext4],
        makes_zfs: false,
    }))
}
