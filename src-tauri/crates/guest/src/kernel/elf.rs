//! As much of ELF as tells a kernel from a program: header, notes, sections.

use super::NotAKernel;
use super::search::{Fields, Window};

/// No kernel has more program headers or sections than this.
const HEADERS_LIMIT: usize = 256;

/// Notes beyond this many bytes are not looked at.
const NOTES_LIMIT_BYTES: usize = 1 << 16;

const MACHINE_X86_64: u16 = 62;
const PROGRAM_HEADER_NOTE: u32 = 4;
const PROGRAM_HEADER_INTERPRETER: u32 = 3;

/// The Xen notes (`xen/elfnote.h`) that matter.
const NOTE_GUEST_OS: u32 = 6;
const NOTE_PHYS32_ENTRY: u32 = 18;

/// What the header and the notes of a 64-bit ELF file say.
#[derive(Debug, Default)]
pub(super) struct Elf64 {
    /// The header's type: 1 object, 2 executable, 3 shared, 4 core.
    pub kind: u16,
    pub machine: u16,
    /// Whether a dynamic linker is asked for.
    pub has_interpreter: bool,
    /// The Xen note that names the guest: `osv`, `linux`.
    pub guest_os: Option<String>,
    /// Whether QEMU can boot it with `-kernel`.
    pub has_pvh_entry: bool,
}

impl Elf64 {
    /// Reads the file's headers; `None` where it is no little-endian ELF64 file.
    pub(super) fn read(file: &mut Window<'_>) -> Result<Option<Self>, NotAKernel> {
        let header = file.read_at(0, 64)?;
        if header.len() < 64 || !header.has_at(0, b"\x7fELF\x02\x01") {
            return Ok(None);
        }
        let mut elf = Self {
            kind: header.u16_at(16),
            machine: header.u16_at(18),
            ..Self::default()
        };
        let count = usize::from(header.u16_at(56)).min(HEADERS_LIMIT);
        let table = file.read_at(header.u64_at(32), count * 56)?;
        for entry in table.chunks_exact(56) {
            match entry.u32_at(0) {
                PROGRAM_HEADER_INTERPRETER => elf.has_interpreter = true,
                PROGRAM_HEADER_NOTE => {
                    let size = usize::try_from(entry.u64_at(32)).unwrap_or(usize::MAX);
                    let notes = file.read_at(entry.u64_at(8), size.min(NOTES_LIMIT_BYTES))?;
                    elf.read_notes(&notes);
                }
                _ => {}
            }
        }
        Ok(Some(elf))
    }

    pub(super) fn is_x86_64(&self) -> bool {
        self.machine == MACHINE_X86_64
    }

    fn read_notes(&mut self, notes: &[u8]) {
        let mut rest = notes;
        while rest.len() >= 12 {
            let name_size = rest.u32_at(0) as usize;
            let value_size = rest.u32_at(4) as usize;
            let kind = rest.u32_at(8);
            let value_start = 12 + name_size.min(rest.len()).next_multiple_of(4);
            let next = value_start + value_size.min(rest.len()).next_multiple_of(4);
            let Some(value) = rest.get(value_start..value_start + value_size.min(rest.len()))
            else {
                return;
            };
            if rest.has_at(12, b"Xen\0") {
                match kind {
                    NOTE_GUEST_OS => {
                        let text = String::from_utf8_lossy(value);
                        self.guest_os = Some(text.trim_end_matches('\0').to_owned());
                    }
                    NOTE_PHYS32_ENTRY => self.has_pvh_entry = true,
                    _ => {}
                }
            }
            match rest.get(next..) {
                Some(more) => rest = more,
                None => return,
            }
        }
    }
}

/// Offset and size of the largest section with contents of the ELF32 file that begins at `start`.
pub(super) fn largest_section32(
    file: &mut Window<'_>,
    start: u64,
) -> Result<Option<(u64, u64)>, NotAKernel> {
    const SECTION_PROGRAM_BITS: u32 = 1;
    let header = file.read_at(start, 52)?;
    let count = usize::from(header.u16_at(48)).min(HEADERS_LIMIT);
    let table = file.read_at(start + u64::from(header.u32_at(32)), count * 40)?;
    let sections = table
        .chunks_exact(40)
        .filter(|entry| entry.u32_at(4) == SECTION_PROGRAM_BITS)
        .map(|entry| {
            (
                start + u64::from(entry.u32_at(16)),
                u64::from(entry.u32_at(20)),
            )
        });
    Ok(sections.max_by_key(|(_, size)| *size))
}

/// The name of a machine number, for a message.
pub(super) fn machine_name(machine: u16) -> String {
    match machine {
        3 => "32-bit x86".to_owned(),
        8 => "MIPS".to_owned(),
        20 | 21 => "PowerPC".to_owned(),
        22 => "S/390".to_owned(),
        40 => "32-bit ARM".to_owned(),
        MACHINE_X86_64 => "x86-64".to_owned(),
        183 => "64-bit ARM".to_owned(),
        243 => "RISC-V".to_owned(),
        258 => "LoongArch".to_owned(),
        other => format!("machine {other}"),
    }
}
