//! What the host is shown of a guest: entries of folders, pieces of files, processes, lines of the kernel.
//!
//! Whatever is long comes in pages: a request names the last thing of the page before, and an answer says whether more
//! is there. Neither side keeps anything between two pages.

use super::messages::{mode, read_kind, write_kind};
use super::wire::{Reader, WireError, Writer};
use super::{DATA_MAX_BYTES, NAME_MAX_BYTES, SeenKind};

/// The most entries of a folder in one answer.
pub const LIST_MAX: usize = 200;

/// The most processes in one answer.
pub const PROCESSES_MAX: usize = 128;

/// The longest name and the longest command line of a process that is told; longer ones are cut.
pub const COMMAND_MAX_BYTES: usize = 300;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// Its name: neither empty, `.` nor `..`, and without a slash.
    pub name: Vec<u8>,
    /// What it is. Symlinks are not followed.
    pub kind: SeenKind,
    /// Permission bits.
    pub mode: u32,
    /// The length of a file or of a symlink's target.
    pub size_bytes: u64,
    /// When its content changed last, in seconds since 1970.
    pub modified: i64,
}

/// A process of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Its number.
    pub pid: u32,
    /// The number of the process that it came from; 0 where the kernel made it.
    pub parent: u32,
    /// The program's name, as the kernel knows it.
    pub name: String,
    /// The kernel's letter for what it does: `R` runs, `S` sleeps, `D` waits for a disk, `Z` has ended …
    pub state: u8,
    /// How many threads it has.
    pub threads: u32,
    /// How long it has had a processor, in all.
    pub cpu_ms: u64,
    /// How much of the guest's memory is its.
    pub memory_bytes: u64,
    /// Its command line; empty for what is part of the kernel.
    pub command: String,
}

pub(super) fn write_entries(frame: Writer, entries: &[ListedEntry], is_more: bool) -> Writer {
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    let frame = frame
        .number([u8::from(is_more)])
        .number(count.to_le_bytes());
    entries.iter().fold(frame, |frame, entry| {
        frame
            .bytes(&entry.name)
            .number([write_kind(entry.kind)])
            .number(entry.mode.to_le_bytes())
            .number(entry.size_bytes.to_le_bytes())
            .number(entry.modified.to_le_bytes())
    })
}

pub(super) fn read_entries(fields: &mut Reader<'_>) -> Result<(Vec<ListedEntry>, bool), WireError> {
    let is_more = fields.flag("whether there is more")?;
    let count = usize::from(fields.u16("the number of entries")?);
    if count > LIST_MAX {
        return Err(fields.problem("the number of entries", "is too high"));
    }
    let entries: Result<_, _> = (0..count).map(|_| read_entry(fields)).collect();
    Ok((entries?, is_more))
}

fn read_entry(fields: &mut Reader<'_>) -> Result<ListedEntry, WireError> {
    Ok(ListedEntry {
        name: name(fields)?,
        kind: read_kind(fields)?
            .ok_or_else(|| fields.problem("the kind", "is none that is known"))?,
        mode: mode(fields)?,
        size_bytes: fields.u64("the size")?,
        modified: i64::from_le_bytes(fields.array("the time")?),
    })
}

/// The name of an entry: one that leads nowhere else.
fn name(fields: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
    const FIELD: &str = "the name";
    let name = fields.bytes(FIELD, NAME_MAX_BYTES)?;
    if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err(fields.problem(FIELD, "is none that a file can have"));
    }
    Ok(name.to_vec())
}

pub(super) fn write_processes(frame: Writer, all: &[ProcessSeen], is_more: bool) -> Writer {
    let count = u16::try_from(all.len()).unwrap_or(u16::MAX);
    let frame = frame
        .number([u8::from(is_more)])
        .number(count.to_le_bytes());
    all.iter().fold(frame, |frame, process| {
        frame
            .number(process.pid.to_le_bytes())
            .number(process.parent.to_le_bytes())
            .bytes(cut(&process.name).as_bytes())
            .number([process.state])
            .number(process.threads.to_le_bytes())
            .number(process.cpu_ms.to_le_bytes())
            .number(process.memory_bytes.to_le_bytes())
            .bytes(cut(&process.command).as_bytes())
    })
}

pub(super) fn read_processes(
    fields: &mut Reader<'_>,
) -> Result<(Vec<ProcessSeen>, bool), WireError> {
    let is_more = fields.flag("whether there is more")?;
    let count = usize::from(fields.u16("the number of processes")?);
    if count > PROCESSES_MAX {
        return Err(fields.problem("the number of processes", "is too high"));
    }
    let all: Result<_, _> = (0..count)
        .map(|_| {
            Ok(ProcessSeen {
                pid: fields.u32("the process number")?,
                parent: fields.u32("the parent's number")?,
                name: fields.text("the process's name", COMMAND_MAX_BYTES)?,
                state: fields.u8("the process's state")?,
                threads: fields.u32("the number of threads")?,
                cpu_ms: fields.u64("the processor time")?,
                memory_bytes: fields.u64("the memory")?,
                command: fields.text("the command line", COMMAND_MAX_BYTES)?,
            })
        })
        .collect();
    Ok((all?, is_more))
}

/// How much of a file is wanted.
pub(super) fn length(fields: &mut Reader<'_>) -> Result<u32, WireError> {
    let length = fields.u32("the length")?;
    if !(1..=DATA_MAX_BYTES).contains(&usize::try_from(length).unwrap_or(usize::MAX)) {
        return Err(fields.problem("the length", "is zero or too high"));
    }
    Ok(length)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(COMMAND_MAX_BYTES)]
}
