//! What the dynamic linker would read of an ELF object: header, segments, dynamic section.
//!
//! Only that is read, by position, so that a program of a hundred megabytes costs a few pages.
//! Every count and length comes from the file and is bounded before anything is allocated.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::dynamic::{
    DF_1_PIE, DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB,
};
use goblin::elf::header::{
    EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, ET_DYN, ET_EXEC, Header,
    SIZEOF_IDENT,
};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS, ProgramHeader};

const SEGMENTS_MAX: u16 = 512;
const DYNAMIC_MAX_BYTES: u64 = 1 << 20;
const NAME_MAX_BYTES: u64 = 4096;
const NEEDED_MAX: usize = 4096;

/// The processor that guests have, and so the only one whose objects are of use.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") {
    EM_AARCH64
} else {
    EM_X86_64
};

/// What the dynamic linker would read of an ELF object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elf {
    /// Whether it is at a fixed address.
    pub is_position_dependent: bool,
    /// Whether it has an entry point and is not only a library: fixed, or marked as PIE.
    pub is_program: bool,
    /// The program that loads it, such as `/lib64/ld-linux-x86-64.so.2`.
    pub interpreter: Option<String>,
    /// The name that others need it by.
    pub soname: Option<String>,
    /// The libraries that it needs, in order.
    pub needed: Vec<String>,
    /// Where to look before anything else, for this object and those that it loads (`DT_RPATH`).
    pub rpath: Vec<String>,
    /// Where to look for what this object itself needs (`DT_RUNPATH`).
    pub runpath: Vec<String>,
    /// Bytes of thread-local storage.
    pub tls_bytes: u64,
}

/// Why a file is no object of use here.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It does not begin as an ELF file does.
    #[error("is not an ELF file")]
    NotElf,
    /// It is for another processor or word size.
    #[error("is for another kind of processor ({found})")]
    OtherMachine {
        /// What it is for.
        found: String,
    },
    /// It is an object file, a core dump or the like.
    #[error("is an ELF file, and neither a program nor a shared library")]
    OtherType,
    /// Its tables contradict themselves.
    #[error("is a damaged ELF file: {problem} (at byte {offset})")]
    Damaged {
        /// What does not fit.
        problem: &'static str,
        /// Where.
        offset: u64,
    },
    /// It could not be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
}

impl Elf {
    /// Whether it needs nothing to be loaded.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }

    /// Reads the object in this file.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is no program or shared library for this processor.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        Self::read(&mut File::open(path)?)
    }

    /// Reads the object.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is no program or shared library for this processor.
    pub fn read(input: &mut (impl Read + Seek)) -> Result<Self, ElfError> {
        let segments = Segments::read(input)?;
        let mut elf = Self {
            is_position_dependent: segments.e_type == ET_EXEC,
            is_program: segments.e_type == ET_EXEC,
            ..Self::default()
        };
        for segment in &segments.list {
            match segment.p_type {
                PT_INTERP => {
                    let text = string(input, segment.p_offset, segment.p_filesz)?;
                    elf.interpreter = Some(text);
                    elf.is_program = true;
                }
                PT_TLS => elf.tls_bytes = segment.p_memsz,
                _ => {}
            }
        }
        if let Some(dynamic) = segments.find(PT_DYNAMIC) {
            elf.read_dynamic(input, dynamic, &segments)?;
        }
        Ok(elf)
    }

    fn read_dynamic(
        &mut self,
        input: &mut (impl Read + Seek),
        dynamic: &ProgramHeader,
        segments: &Segments,
    ) -> Result<(), ElfError> {
        let damaged = |problem| ElfError::Damaged {
            problem,
            offset: dynamic.p_offset,
        };
        let entries = dynamic_entries(input, dynamic)?;
        let value = |wanted| {
            entries
                .iter()
                .find(|(tag, _)| *tag == wanted)
                .map(|(_, value)| *value)
        };

        if value(DT_FLAGS_1).is_some_and(|flags| flags & DF_1_PIE != 0) {
            self.is_program = true;
        }
        let Some(table_address) = value(DT_STRTAB) else {
            return Ok(());
        };
        let table_bytes = value(DT_STRSZ).unwrap_or(u64::MAX);
        let table = segments
            .place(table_address)
            .ok_or_else(|| damaged("its string table is in no segment"))?;

        for (tag, offset) in &entries {
            if ![DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH].contains(tag) {
                continue;
            }
            let at = table
                .checked_add(*offset)
                .filter(|_| *offset < table_bytes)
                .ok_or_else(|| damaged("a name is outside of its string table"))?;
            let text = string(input, at, NAME_MAX_BYTES)?;
            let paths = || {
                text.split(':')
                    .filter(|path| !path.is_empty())
                    .map(str::to_owned)
            };
            match *tag {
                DT_NEEDED if self.needed.len() >= NEEDED_MAX => {
                    return Err(damaged("it needs absurdly many libraries"));
                }
                DT_NEEDED => self.needed.push(text),
                DT_SONAME => self.soname = Some(text),
                DT_RPATH => self.rpath.extend(paths()),
                _ => self.runpath.extend(paths()),
            }
        }
        // The linker passes over RPATH where there is a RUNPATH.
        if !self.runpath.is_empty() {
            self.rpath.clear();
        }
        Ok(())
    }
}

/// The segments of an object.
#[derive(Debug)]
pub(super) struct Segments {
    e_type: u16,
    list: Vec<ProgramHeader>,
}

impl Segments {
    pub fn read(input: &mut (impl Read + Seek)) -> Result<Self, ElfError> {
        let header = header(input)?;
        Ok(Self {
            e_type: header.e_type,
            list: segments(input, &header)?,
        })
    }

    /// The first of a kind.
    pub fn find(&self, kind: u32) -> Option<&ProgramHeader> {
        self.list.iter().find(|segment| segment.p_type == kind)
    }

    /// Where in the file it is what will be at an address.
    pub fn place(&self, address: u64) -> Option<u64> {
        let mut loaded = self.list.iter().filter(|segment| segment.p_type == PT_LOAD);
        loaded.find_map(|segment| {
            let within = address.checked_sub(segment.p_vaddr)?;
            (within < segment.p_filesz).then(|| segment.p_offset.checked_add(within))?
        })
    }
}

/// The tags and values of the dynamic section.
pub(super) fn dynamic_entries(
    input: &mut (impl Read + Seek),
    dynamic: &ProgramHeader,
) -> Result<Vec<(u64, u64)>, ElfError> {
    if dynamic.p_filesz > DYNAMIC_MAX_BYTES {
        return Err(ElfError::Damaged {
            problem: "its dynamic section is too long",
            offset: dynamic.p_offset,
        });
    }
    let bytes = read_at(input, dynamic.p_offset, dynamic.p_filesz)?;
    Ok(bytes
        .chunks_exact(16)
        .map(|entry| {
            let (tag, value) = entry.split_at(8);
            (word(tag), word(value))
        })
        .take_while(|(tag, _)| *tag != DT_NULL)
        .collect())
}

fn header(input: &mut (impl Read + Seek)) -> Result<Header, ElfError> {
    let mut ident = Vec::new();
    input.seek(SeekFrom::Start(0))?;
    input.by_ref().take(64).read_to_end(&mut ident)?;
    if ident.len() < SIZEOF_IDENT || !ident.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    // Class and byte order decide how all the rest is read.
    if ident[4] != 2 || ident[5] != 1 {
        return Err(ElfError::OtherMachine {
            found: machine(&ident),
        });
    }
    let header = goblin::elf::Elf::parse_header(&ident).map_err(|_| ElfError::Damaged {
        problem: "its header is cut off",
        offset: 0,
    })?;
    if header.e_machine != MACHINE {
        return Err(ElfError::OtherMachine {
            found: machine(&ident),
        });
    }
    if header.e_type != ET_DYN && header.e_type != ET_EXEC {
        return Err(ElfError::OtherType);
    }
    Ok(header)
}

/// What the processor of a header is called.
fn machine(header: &[u8]) -> String {
    let field = header
        .get(18..)
        .and_then(|rest| rest.first_chunk().copied())
        .unwrap_or_default();
    let number = match header.get(5) {
        Some(2) => u16::from_be_bytes(field),
        _ => u16::from_le_bytes(field),
    };
    match number {
        EM_386 => "32-bit x86",
        EM_PPC64 => "64-bit PowerPC",
        EM_S390 => "IBM Z",
        EM_ARM => "32-bit ARM",
        EM_X86_64 if header.get(4) == Some(&1) => "x86-64 with 32-bit addresses",
        EM_X86_64 => "x86-64",
        EM_AARCH64 => "64-bit ARM",
        EM_RISCV => "RISC-V",
        number => return format!("ELF machine {number}"),
    }
    .to_owned()
}

fn segments(
    input: &mut (impl Read + Seek),
    header: &Header,
) -> Result<Vec<ProgramHeader>, ElfError> {
    let context = Ctx::new(Container::Big, Endian::Little);
    let damaged = |problem| ElfError::Damaged {
        problem,
        offset: header.e_phoff,
    };
    if header.e_phnum == 0 {
        return Ok(Vec::new());
    }
    let entry_bytes = ProgramHeader::size(context);
    if usize::from(header.e_phentsize) != entry_bytes {
        return Err(damaged("its segment table has entries of the wrong size"));
    }
    if header.e_phnum > SEGMENTS_MAX {
        return Err(damaged("its segment table is too long"));
    }
    let count = usize::from(header.e_phnum);
    let bytes = read_at(input, header.e_phoff, (count * entry_bytes) as u64)?;
    ProgramHeader::parse(&bytes, 0, count, context)
        .map_err(|_| damaged("its segment table is cut off"))
}

/// Exactly these bytes; the caller has bounded the length.
pub(super) fn read_at(
    input: &mut (impl Read + Seek),
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, ElfError> {
    let mut bytes = Vec::new();
    input
        .seek(SeekFrom::Start(offset))
        .map_err(|_| ElfError::Damaged {
            problem: "a table is beyond any file",
            offset,
        })?;
    input.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(ElfError::Damaged {
            problem: "it ends in the middle of a table",
            offset,
        })
    }
}

/// The text from here to the NUL, at most `length` bytes.
fn string(input: &mut (impl Read + Seek), offset: u64, length: u64) -> Result<String, ElfError> {
    let damaged = |problem| ElfError::Damaged { problem, offset };
    let mut bytes = Vec::new();
    input
        .seek(SeekFrom::Start(offset))
        .map_err(|_| damaged("a name is beyond any file"))?;
    input
        .by_ref()
        .take(length.min(NAME_MAX_BYTES))
        .read_to_end(&mut bytes)?;
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .ok_or_else(|| damaged("a name does not end"))?;
    bytes.truncate(end);
    String::from_utf8(bytes).map_err(|_| damaged("a name is not text"))
}

/// The number in some bytes, the least first.
pub(super) fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}
