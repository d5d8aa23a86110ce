//! OSv kernels.
//!
//! The loader image's kernel is unpacked piece by piece (1 MiB each), as its own `fastlz/lzloader.cc` does it, so that
//! version and file systems are known without booting it.

use std::cmp::Ordering;

use super::elf::{Elf64, largest_section32};
use super::search::{Fields, Window, find};
use super::{Architecture, Found, KernelFacts, KernelForm, NotAKernel, fastlz};
use crate::{GuestOs, RootFs};

/// A boot sector of OSv's begins with a far jump to 0:0x7c5e.
const BOOT_SECTOR_START: [u8; 5] = [0xea, 0x5e, 0x7c, 0x00, 0x00];
/// Where in the boot sector the loader's size stands, in units of 32 KiB.
const LOADER_SIZE_OFFSET: usize = 0x10;
const LOADER_UNIT_BYTES: u64 = 1 << 15;
/// Where the loader's ELF file begins.
const LOADER_OFFSET: u64 = 1 << 16;

/// The pieces of a packed kernel, and how many there can be.
const SEGMENT_LIMIT_BYTES: u32 = 1 << 20;
const SEGMENTS_LIMIT: u32 = 256;

/// How far into an ELF kernel one looks; kernels with debugging information are some 100 MB.
const KERNEL_LIMIT_BYTES: u64 = 512 << 20;

pub(super) fn identify_loader(file: &mut Window<'_>) -> Result<Option<KernelFacts>, NotAKernel> {
    let sector = file.read_at(0, 512)?;
    if !sector.has_at(0, &BOOT_SECTOR_START) {
        return Ok(None);
    }
    let damaged = |offset: u64, found: String, expected| NotAKernel::Damaged {
        form: KernelForm::OsvLoader,
        offset,
        found,
        expected,
    };
    if !sector.has_at(0x1fe, &[0x55, 0xaa]) {
        let found = "something else".to_owned();
        return Err(damaged(0x1fe, found, "a boot sector's signature"));
    }
    let magic = file.read_at(LOADER_OFFSET, 5)?;
    if !magic.has_at(0, b"\x7fELF\x01") {
        let found = if magic.is_empty() {
            "the end of the file"
        } else {
            "something else"
        };
        return Err(damaged(
            LOADER_OFFSET,
            found.to_owned(),
            "the loader, a 32-bit ELF file",
        ));
    }
    let units = u64::from(sector.u16_at(LOADER_SIZE_OFFSET));
    let expected_bytes = LOADER_OFFSET + units * LOADER_UNIT_BYTES;
    if units == 0 || file.length_bytes() < expected_bytes {
        let length = file.length_bytes();
        let found = format!("the end of the file (its boot sector names {expected_bytes} bytes)");
        return Err(damaged(length, found, "more of the loader"));
    }
    let mut words = Words::default();
    unpack(file, |piece| words.push(piece))?;
    Ok(Some(facts(KernelForm::OsvLoader, words)))
}

/// Unpacks the kernel in a loader image. A layout that is not known gives nothing: the boot sector was proof enough.
fn unpack(file: &mut Window<'_>, mut take: impl FnMut(&[u8])) -> Result<(), NotAKernel> {
    let Some((start, size)) = largest_section32(file, LOADER_OFFSET)? else {
        return Ok(());
    };
    let table_offset = u64::from(file.read_at(start, 4)?.u32_at(0));
    if table_offset + 4 > size {
        return Ok(());
    }
    let count = file.read_at(start + table_offset, 4)?.u32_at(0);
    if count > SEGMENTS_LIMIT {
        return Ok(());
    }
    let table = file.read_at(start + table_offset + 4, count as usize * 8)?;
    let mut offset = start + 4;
    for segment in table.chunks_exact(8) {
        let (unpacked, packed) = (segment.u32_at(0), segment.u32_at(4));
        if unpacked > SEGMENT_LIMIT_BYTES || packed > SEGMENT_LIMIT_BYTES {
            return Ok(());
        }
        let bytes = file.read_at(offset, packed as usize)?;
        if packed < unpacked {
            match fastlz::decompress(&bytes, unpacked as usize) {
                Some(bytes) => take(&bytes),
                None => return Ok(()),
            }
        } else {
            take(&bytes);
        }
        offset += u64::from(packed);
    }
    Ok(())
}

pub(super) fn identify_elf(file: &mut Window<'_>) -> Result<Option<KernelFacts>, NotAKernel> {
    let Some(elf) = Elf64::read(file)? else {
        return Ok(None);
    };
    // A kernel asks for no dynamic linker; a program for OSv, or one that only speaks of it, mostly does.
    let is_named = elf.guest_os.as_deref() == Some("osv");
    if !elf.is_x86_64() || !(is_named || elf.kind == 2 && !elf.has_interpreter) {
        return Ok(None);
    }
    let mut words = Words::default();
    file.for_each_block(KERNEL_LIMIT_BYTES, |block| words.push(block))?;
    if !is_named && words.version.is_none() {
        return Ok(None);
    }
    if !elf.has_pvh_entry {
        return Err(NotAKernel::Other {
            found: Found::OsvWithoutPvh,
        });
    }
    let form = if words.makes_zfs() && !has_tools_in_every_kernel(words.version.as_deref()) {
        KernelForm::OsvZfsBuilder
    } else {
        KernelForm::OsvElf
    };
    Ok(Some(facts(form, words)))
}

/// Up to v0.56.0 the tools that make ZFS were in the file system of every kernel; a later kernel that has them is a builder.
fn has_tools_in_every_kernel(version: Option<&str>) -> bool {
    let Some(version) = version else { return false };
    let (release, rest) = version.split_once('-').unwrap_or((version, ""));
    let numbers: Vec<u32> = release
        .trim_start_matches('v')
        .split('.')
        .filter_map(|number| number.parse().ok())
        .collect();
    match numbers.as_slice().cmp(&[0, 56, 0]) {
        Ordering::Less => true,
        Ordering::Equal => rest.is_empty(),
        Ordering::Greater => false,
    }
}

fn facts(form: KernelForm, words: Words) -> KernelFacts {
    let makes_zfs = form != KernelForm::OsvLoader && words.makes_zfs();
    let root_file_systems = if form == KernelForm::OsvZfsBuilder {
        vec![RootFs::Zfs]
    } else {
        let mounts = [
            (RootFs::Rofs, true),
            (RootFs::Ext4, words.has(Word::ExtLibrary)),
            (RootFs::Zfs, words.has(Word::ZfsDriver)),
        ];
        mounts
            .into_iter()
            .filter_map(|(root, can)| can.then_some(root))
            .collect()
    };
    KernelFacts {
        makes_zfs,
        guest: GuestOs::Osv,
        form,
        version: words.version,
        architecture: Architecture::X86_64,
        root_file_systems,
    }
}

/// What a kernel has in it, or in its own file system, told by one word of it.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// `libext.so` is named in every kernel; the library that it needs is in those only that have both.
    ExtLibrary,
    /// `libsolaris.so` is named in every kernel; this function is in the driver itself.
    ZfsDriver,
    Mkfs,
    Cpiod,
}

impl Word {
    const ALL: [(Self, &[u8]); 4] = [
        (Self::ExtLibrary, b"/usr/lib/liblwext4.so"),
        (Self::ZfsDriver, b"zpool_name_to_prop"),
        (Self::Mkfs, b"/tools/mkfs.so"),
        (Self::Cpiod, b"/tools/cpiod.so"),
    ];
}

/// The words in a kernel that tell of it, found while it passes by.
#[derive(Debug, Default)]
struct Words {
    version: Option<String>,
    found: [bool; Word::ALL.len()],
    /// The end of what has passed by, in which a word may have begun.
    tail: Vec<u8>,
}

impl Words {
    /// The kernel's greeting, as `loader.cc` prints it: `OSv v0.57.0-398-g0e34e4dc`.
    const GREETING: &[u8] = b"OSv v";
    const VERSION_LIMIT_BYTES: usize = 80;

    fn push(&mut self, bytes: &[u8]) {
        let mut text = std::mem::take(&mut self.tail);
        text.extend_from_slice(bytes);
        if self.version.is_none() {
            self.version = Self::version(&text);
        }
        for ((_, word), found) in Word::ALL.iter().zip(&mut self.found) {
            *found = *found || find(&text, word).is_some();
        }
        let kept = text
            .len()
            .min(Self::GREETING.len() + Self::VERSION_LIMIT_BYTES);
        self.tail = text.split_off(text.len() - kept);
    }

    fn has(&self, word: Word) -> bool {
        self.found.get(word as usize).copied().unwrap_or(false)
    }

    fn makes_zfs(&self) -> bool {
        self.has(Word::Mkfs) && self.has(Word::Cpiod)
    }

    fn version(text: &[u8]) -> Option<String> {
        let mut rest = text;
        while let Some(found) = find(rest, Self::GREETING) {
            // The `v` belongs to the version.
            rest = &rest[found + Self::GREETING.len() - 1..];
            let end = rest
                .iter()
                .take(Self::VERSION_LIMIT_BYTES)
                .position(|byte| !(byte.is_ascii_alphanumeric() || b"v.-+_~".contains(byte)));
            if let Some(end) = end.filter(|end| *end > 1)
                && matches!(rest[end], b'\n' | b'\0')
                && rest[1].is_ascii_digit()
            {
                return String::from_utf8(rest[..end].to_vec()).ok();
            }
        }
        None
    }
}
