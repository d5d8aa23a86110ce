//! What an ELF file needs, read from its headers alone.
//!
//! ```text
//!   ELF header ─> program headers ─> PT_INTERP           the dynamic linker
//!                                 └> PT_DYNAMIC ─> DT_NEEDED, DT_RUNPATH, DT_RPATH ─> DT_STRTAB
//! ```
//! Only these parts of the file are read, whatever its size; each has a limit.

use std::io::{self, Read, Seek, SeekFrom};

/// The first bytes of an ELF file.
pub(super) const MAGIC: &[u8] = b"\x7fELF";

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const MACHINE_X86_64: u16 = 62;
const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const PROGRAM_HEADERS_MAX: u16 = 512;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DYNAMIC_ENTRY_BYTES: usize = 16;
const DYNAMIC_BYTES_MAX: u64 = 1 << 20;
const STRINGS_BYTES_MAX: u64 = 64 << 20;
const INTERPRETER_BYTES_MAX: u64 = 4096;

/// What is known of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Elf {
    /// For another processor, in words.
    Foreign(String),
    /// For ours.
    Ours(Needs),
}

/// What a program or library needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The dynamic linker that it asks for; absent in libraries and static programs.
    pub(super) interpreter: Option<String>,
    /// The libraries by name.
    pub(super) libraries: Vec<String>,
    /// The folders where they are looked for first; may hold `$ORIGIN`.
    pub(super) folders: Vec<String>,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads the headers; `None` where it is no ELF file.
///
/// # Errors
/// Where it cannot be read, or contradicts itself.
pub(super) fn read(file: &mut (impl Read + Seek + ?Sized)) -> io::Result<Option<Elf>> {
    let Some(header) =
        read_at(file, 0, HEADER_BYTES as u64)?.filter(|bytes| bytes.starts_with(MAGIC))
    else {
        return Ok(None);
    };
    if header[4] != CLASS_64 || header[5] != LITTLE_ENDIAN || u16_at(&header, 18) != MACHINE_X86_64
    {
        return Ok(Some(Elf::Foreign(machine(&header))));
    }
    let count = u16_at(&header, 56).min(PROGRAM_HEADERS_MAX);
    if count > 0 && usize::from(u16_at(&header, 54)) != PROGRAM_HEADER_BYTES {
        return Err(lies("its program headers have another size than 56 bytes"));
    }
    let size = u64::from(count) * PROGRAM_HEADER_BYTES as u64;
    let headers = read_at(file, u64_at(&header, 32), size)?
        .ok_or_else(|| lies("its program headers lie outside of it"))?;
    let segments: Vec<Segment> = headers
        .chunks_exact(PROGRAM_HEADER_BYTES)
        .map(|bytes| Segment {
            kind: u32_at(bytes, 0),
            offset: u64_at(bytes, 8),
            address: u64_at(bytes, 16),
            size: u64_at(bytes, 32),
        })
        .collect();

    let mut needs = Needs::default();
    if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
        let bytes = read_at(
            file,
            segment.offset,
            segment.size.min(INTERPRETER_BYTES_MAX),
        )?
        .ok_or_else(|| lies("the name of its dynamic linker lies outside of it"))?;
        needs.interpreter = Some(text(&bytes));
    }
    if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) {
        let bytes = read_at(file, segment.offset, segment.size.min(DYNAMIC_BYTES_MAX))?
            .ok_or_else(|| lies("its dynamic section lies outside of it"))?;
        read_dynamic(file, &bytes, &segments, &mut needs)?;
    }
    Ok(Some(Elf::Ours(needs)))
}

fn read_dynamic(
    file: &mut (impl Read + Seek + ?Sized),
    dynamic: &[u8],
    segments: &[Segment],
    needs: &mut Needs,
) -> io::Result<()> {
    let entries: Vec<(u64, u64)> = dynamic
        .chunks_exact(DYNAMIC_ENTRY_BYTES)
        .map(|bytes| (u64_at(bytes, 0), u64_at(bytes, 8)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let value = |wanted| {
        entries
            .iter()
            .find(|(tag, _)| *tag == wanted)
            .map(|(_, value)| *value)
    };
    let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
        return Ok(());
    };
    let offset = segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .find_map(|segment| {
            let inside = address
                .checked_sub(segment.address)
                .filter(|inside| *inside < segment.size)?;
            segment.offset.checked_add(inside)
        })
        .ok_or_else(|| lies("its table of strings lies outside of it"))?;
    let strings = read_at(file, offset, size.min(STRINGS_BYTES_MAX))?
        .ok_or_else(|| lies("its table of strings lies outside of it"))?;
    let string = |at: u64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| strings.get(at..))
            .map(text)
    };
    let has_runpath = value(DT_RUNPATH).is_some();
    for (tag, value) in &entries {
        match *tag {
            DT_NEEDED => needs.libraries.extend(string(*value)),
            // The older of the two does not count beside the newer.
            DT_RPATH if has_runpath => {}
            DT_RPATH | DT_RUNPATH => {
                let folders = string(*value).unwrap_or_default();
                needs.folders.extend(
                    folders
                        .split(':')
                        .filter(|folder| !folder.is_empty())
                        .map(str::to_owned),
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// What another machine is called.
fn machine(header: &[u8]) -> String {
    let name = match u16_at(header, 18) {
        3 => "32-bit x86",
        40 => "32-bit ARM",
        MACHINE_X86_64 => "x86-64 with 32-bit addresses",
        183 => "64-bit ARM",
        243 => "RISC-V",
        21 => "64-bit PowerPC",
        22 => "IBM Z",
        number => return format!("another processor (ELF machine {number})"),
    };
    name.to_owned()
}

/// Reads a part of a file; `None` where it does not have that many bytes.
fn read_at(
    file: &mut (impl Read + Seek + ?Sized),
    offset: u64,
    size: u64,
) -> io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    let read = file.take(size).read_to_end(&mut bytes)?;
    Ok((read as u64 == size).then_some(bytes))
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn lies(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_program_says_what_it_needs() {
        let mut file = std::fs::File::open("/proc/self/exe").unwrap();
        let Some(Elf::Ours(needs)) = read(&mut file).unwrap() else {
            panic!("the test is an ELF program")
        };
        assert_eq!(
            needs.interpreter.as_deref(),
            Some("/lib64/ld-linux-x86-64.so.2")
        );
        assert!(
            needs.libraries.iter().any(|name| name == "libc.so.6"),
            "{needs:?}"
        );
    }

    #[test]
    fn another_machine_is_named() {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(MAGIC);
        header[4..6].copy_from_slice(&[CLASS_64, LITTLE_ENDIAN]);
        header[18] = 183;
        assert_eq!(
            read(&mut Cursor::new(header)).unwrap(),
            Some(Elf::Foreign("64-bit ARM".to_owned()))
        );
        assert_eq!(read(&mut Cursor::new(b"#!/bin/sh")).unwrap(), None);
    }

    proptest! {
        #[test]
        fn damaged_headers_never_panic(at in 0_usize..4096, byte: u8, cut in 0_usize..8192) {
            let mut bytes = std::fs::read("/proc/self/exe").unwrap();
            bytes.truncate(1 << 16);
            bytes[at] = byte;
            bytes.truncate(cut.max(64));
            let _ = read(&mut Cursor::new(bytes));
        }
    }
}
