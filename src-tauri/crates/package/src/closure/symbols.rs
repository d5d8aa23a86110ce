//! What an ELF object asks of others by name, and in which versions.
//!
//! ```text
//!   DT_SYMTAB   imports come before the first symbol that DT_GNU_HASH has
//!   DT_VERNEED  libc.so.6: GLIBC_2.34, GLIBC_2.38      what it asks for
//!   DT_VERDEF   GLIBC_2.2.5, …                          what it offers
//! ```

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use goblin::elf::dynamic::{
    DT_GNU_HASH, DT_HASH, DT_STRSZ, DT_STRTAB, DT_SYMTAB, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED,
    DT_VERNEEDNUM,
};
use goblin::elf::program_header::PT_DYNAMIC;

use super::elf::{self, ElfError, Segments};

const SYMBOL_BYTES: usize = 24;
/// More than the largest browsers have.
const SYMBOLS_MAX: u64 = 1 << 20;
const STRINGS_MAX_BYTES: u64 = 64 << 20;
/// An object needs some libraries in some versions each.
const VERSIONS_MAX: u64 = 4096;
/// Any record of the version tables fits into this.
const RECORD_BYTES: u64 = 20;

/// What an ELF object asks of others by name, and in which versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Symbols {
    /// Functions and variables of others, without versions.
    pub imports: Vec<String>,
    /// For each library the versions that are asked of it, such as `libc.so.6`, `GLIBC_2.38`.
    pub needed_versions: Vec<(String, String)>,
    /// The versions that it offers itself.
    pub offered_versions: Vec<String>,
}

impl Symbols {
    /// Reads the tables of the object in this file.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is no program or shared library for this processor.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        Self::read(&mut File::open(path)?)
    }

    /// Reads the tables of the object.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is no program or shared library for this processor.
    pub fn read(input: &mut (impl Read + Seek)) -> Result<Self, ElfError> {
        let segments = Segments::read(input)?;
        let Some(dynamic) = segments.find(PT_DYNAMIC) else {
            return Ok(Self::default());
        };
        let offset = dynamic.p_offset;
        let entries = elf::dynamic_entries(input, dynamic)?;
        let value = |wanted: u64| {
            let found = entries.iter().find(|(tag, _)| *tag == wanted);
            found.map(|(_, value)| *value)
        };
        let place = |tag| value(tag).and_then(|address| segments.place(address));
        let Some(strings_at) = place(DT_STRTAB) else {
            return Ok(Self::default());
        };
        let strings_bytes = value(DT_STRSZ).unwrap_or(0);
        if strings_bytes > STRINGS_MAX_BYTES {
            return Err(ElfError::Damaged {
                problem: "its string table is too long",
                offset,
            });
        }
        let tables = Tables {
            strings: elf::read_at(input, strings_at, strings_bytes)?,
            offset,
        };
        let mut symbols = Self::default();
        if let Some(at) = place(DT_SYMTAB) {
            let count = count(input, place(DT_GNU_HASH), place(DT_HASH))?;
            symbols.imports = tables.imports(input, at, count.min(SYMBOLS_MAX))?;
        }
        if let Some(at) = place(DT_VERNEED) {
            let count = value(DT_VERNEEDNUM).unwrap_or(0).min(VERSIONS_MAX);
            symbols.needed_versions = tables.needed_versions(input, at, count)?;
        }
        if let Some(at) = place(DT_VERDEF) {
            let count = value(DT_VERDEFNUM).unwrap_or(0).min(VERSIONS_MAX);
            symbols.offered_versions = tables.offered_versions(input, at, count)?;
        }
        Ok(symbols)
    }
}

/// How many symbols come before those that others find by their hash; imports are among them.
fn count(
    input: &mut (impl Read + Seek),
    gnu_hash: Option<u64>,
    hash: Option<u64>,
) -> Result<u64, ElfError> {
    // Buckets, then the first symbol in them; or buckets, then the number of symbols.
    let Some(at) = gnu_hash.or(hash) else {
        return Ok(0);
    };
    let bytes = elf::read_at(input, at.saturating_add(4), 4)?;
    Ok(number(&bytes, 0, 4))
}

struct Tables {
    strings: Vec<u8>,
    /// Of the dynamic section, for messages.
    offset: u64,
}

impl Tables {
    fn text(&self, at: u64) -> Result<String, ElfError> {
        let damaged = |problem| ElfError::Damaged {
            problem,
            offset: self.offset,
        };
        let rest = usize::try_from(at)
            .ok()
            .and_then(|at| self.strings.get(at..));
        let rest = rest.ok_or_else(|| damaged("a name is outside of its string table"))?;
        let end = rest.iter().position(|byte| *byte == 0);
        let name = end.and_then(|end| rest.get(..end));
        let name = name.ok_or_else(|| damaged("a name does not end"))?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    fn imports(
        &self,
        input: &mut (impl Read + Seek),
        at: u64,
        count: u64,
    ) -> Result<Vec<String>, ElfError> {
        let bytes = elf::read_at(input, at, count * SYMBOL_BYTES as u64)?;
        let symbols = bytes.chunks_exact(SYMBOL_BYTES);
        // Those without a section are another's; the first has no name.
        let undefined = symbols.filter(|symbol| number(symbol, 6, 2) == 0);
        let names = undefined.map(|symbol| number(symbol, 0, 4));
        names
            .filter(|name| *name != 0)
            .map(|name| self.text(name))
            .collect()
    }

    fn needed_versions(
        &self,
        input: &mut (impl Read + Seek),
        mut at: u64,
        count: u64,
    ) -> Result<Vec<(String, String)>, ElfError> {
        let mut needed = Vec::new();
        for _ in 0..count {
            // version, count, file, first, next
            let library = elf::read_at(input, at, 16)?;
            let name = self.text(number(&library, 4, 4))?;
            let mut inner = at.saturating_add(number(&library, 8, 4));
            for _ in 0..number(&library, 2, 2).min(VERSIONS_MAX) {
                // hash, flags, other, name, next
                let version = elf::read_at(input, inner, 16)?;
                needed.push((name.clone(), self.text(number(&version, 8, 4))?));
                match number(&version, 12, 4) {
                    0 => break,
                    next => inner = inner.saturating_add(next),
                }
            }
            match number(&library, 12, 4) {
                0 => break,
                next => at = at.saturating_add(next),
            }
        }
        Ok(needed)
    }

    fn offered_versions(
        &self,
        input: &mut (impl Read + Seek),
        mut at: u64,
        count: u64,
    ) -> Result<Vec<String>, ElfError> {
        let mut offered = Vec::new();
        for _ in 0..count {
            // version, flags, index, count, hash, names, next
            let version = elf::read_at(input, at, RECORD_BYTES)?;
            let name = elf::read_at(input, at.saturating_add(number(&version, 12, 4)), 4)?;
            offered.push(self.text(number(&name, 0, 4))?);
            match number(&version, 16, 4) {
                0 => break,
                next => at = at.saturating_add(next),
            }
        }
        Ok(offered)
    }
}

/// A number of `length` bytes; what is cut off counts as zero.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    elf::word(bytes.get(at..at + length).unwrap_or_default())
}
