//! What the host is shown of the guest: folders, files, processes, the kernel's messages. Nothing of it changes anything,
//! and no answer takes more memory than its page.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use windlass_guest::agent::{
    Answer, COMMAND_MAX_BYTES, DATA_MAX_BYTES, LIST_MAX, ListedEntry, NAME_MAX_BYTES,
    PROCESSES_MAX, ProcessSeen, Refusal, SeenKind,
};

use super::files::{PERMISSIONS, refused};

type Refused = (Refusal, String);

/// The kernel counts processor time in hundredths of a second, whatever its own clock does.
const TICK_MS: u64 = 10;
const KERNEL_LOG: &str = "/dev/kmsg";
/// The kernel gives no longer record.
const RECORD_MAX_BYTES: usize = 8 << 10;
/// A process's memory is counted in pages.
const PAGE_BYTES: u64 = 4096;

/// The entries of a folder whose names come after `after`.
pub(super) fn list(place: &Path, after: &[u8]) -> Result<Answer, Refused> {
    let failed = |error| refused("cannot list", place, &error);
    // One more than a page, to know whether there are more.
    let mut page = BTreeMap::new();
    for entry in fs::read_dir(place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().into_vec();
        if name.as_slice() <= after || name.len() > NAME_MAX_BYTES {
            continue;
        }
        page.insert(name, entry);
        if page.len() > LIST_MAX + 1 {
            page.pop_last();
        }
    }
    let is_more = page.len() > LIST_MAX;
    let entries = page.into_iter().take(LIST_MAX);
    let entries = entries
        .filter_map(|(name, entry)| Some(listed(name, &entry.metadata().ok()?)))
        .collect();
    Ok(Answer::Listed { entries, is_more })
}

fn listed(name: Vec<u8>, metadata: &Metadata) -> ListedEntry {
    let kind = if metadata.is_dir() {
        SeenKind::Directory
    } else if metadata.is_symlink() {
        SeenKind::Symlink
    } else if metadata.is_file() {
        SeenKind::File
    } else {
        SeenKind::Special
    };
    ListedEntry {
        name,
        kind,
        mode: metadata.mode() & PERMISSIONS,
        size_bytes: metadata.len(),
        modified: metadata.mtime(),
    }
}

/// A piece of a regular file. A device, or a pipe that nobody writes to, is not waited for.
pub(super) fn read(place: &Path, offset: u64, length: u32) -> Result<Answer, Refused> {
    let failed = |error| refused("cannot read", place, &error);
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(place)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        let message = format!("{} is no regular file", place.display());
        return Err((Refusal::Invalid, message));
    }
    let length = usize::try_from(length).unwrap_or(DATA_MAX_BYTES);
    let mut bytes = vec![0; length.min(DATA_MAX_BYTES)];
    let mut filled = 0;
    // The kernel's own files are given in small pieces.
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) if filled > 0 => break,
            Err(error) => return Err(failed(error)),
        }
    }
    bytes.truncate(filled);
    Ok(Answer::Data { bytes })
}

/// The processes whose numbers come after `after`; `proc` is where the kernel shows them.
pub(super) fn processes(proc: &Path, after: u32) -> Result<Answer, Refused> {
    let failed = |error| refused("cannot list", proc, &error);
    let mut pids: Vec<u32> = fs::read_dir(proc)
        .map_err(failed)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid > after)
        .collect();
    pids.sort_unstable();
    let is_more = pids.len() > PROCESSES_MAX;
    pids.truncate(PROCESSES_MAX);
    // One that has ended meanwhile is left out.
    let processes = pids.iter().filter_map(|pid| process(proc, *pid)).collect();
    Ok(Answer::ProcessList { processes, is_more })
}

fn process(proc: &Path, pid: u32) -> Option<ProcessSeen> {
    let folder = proc.join(pid.to_string());
    let stat = beginning(&folder.join("stat")).ok()?;
    let mut seen = parse_stat(pid, &String::from_utf8_lossy(&stat))?;
    let mut command = beginning(&folder.join("cmdline")).unwrap_or_default();
    command.truncate(command.trim_ascii_end().len());
    while command.last() == Some(&0) {
        command.pop();
    }
    for byte in &mut command {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    let command = String::from_utf8_lossy(&command);
    command[..command.floor_char_boundary(COMMAND_MAX_BYTES)].clone_into(&mut seen.command);
    Some(seen)
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads `pid (name) state parent …`, as in proc(5). The name may have parentheses and spaces.
fn parse_stat(pid: u32, text: &str) -> Option<ProcessSeen> {
    let (_, rest) = text.split_once('(')?;
    let (name, rest) = rest.rsplit_once(") ")?;
    // The first is the third of proc(5).
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index - 3)?.parse::<u64>().ok();
    let ticks = number(14)?.saturating_add(number(15)?);
    Some(ProcessSeen {
        pid,
        parent: u32::try_from(number(4)?).ok()?,
        name: name.to_owned(),
        state: *fields.first()?.as_bytes().first()?,
        threads: u32::try_from(number(20)?).unwrap_or(u32::MAX),
        cpu_ms: ticks.saturating_mul(TICK_MS),
        memory_bytes: number(24)?.saturating_mul(PAGE_BYTES),
        command: String::new(),
    })
}

/// What the kernel has said from this record on.
pub(super) fn kernel_log(from: u64) -> Result<Answer, Refused> {
    let path = Path::new(KERNEL_LOG);
    let failed = |error| refused("cannot read", path, &error);
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    kernel_lines(&file, from).map_err(failed)
}

/// Each read gives one record.
fn kernel_lines(mut records: impl Read, from: u64) -> io::Result<Answer> {
    let mut record = vec![0; RECORD_MAX_BYTES];
    let mut text = Vec::new();
    loop {
        let count = match records.read(&mut record) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // Records were overwritten before they were read; those that are left follow.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        let Some((number, line)) = kernel_line(&record[..count]) else {
            continue;
        };
        if number < from {
            continue;
        }
        if text.len() + line.len() > DATA_MAX_BYTES {
            let next = Some(number);
            return Ok(Answer::KernelLines { text, next });
        }
        text.extend(line);
    }
    Ok(Answer::KernelLines { text, next: None })
}

/// `priority,number,microseconds,flags;text`, as the kernel's documentation of `/dev/kmsg` has it.
fn kernel_line(record: &[u8]) -> Option<(u64, Vec<u8>)> {
    let at = record.iter().position(|byte| *byte == b';')?;
    let head = std::str::from_utf8(&record[..at]).ok()?;
    let mut fields = head.split(',').skip(1);
    let number = fields.next()?.parse().ok()?;
    let micros: u64 = fields.next()?.parse().ok()?;
    // What follows in lines that begin with a space is for programs.
    let text = record[at + 1..].split(|byte| *byte == b'\n').next()?;
    let mut line = format!("[{:5}.{:06}] ", micros / 1_000_000, micros % 1_000_000).into_bytes();
    line.extend_from_slice(text);
    line.push(b'\n');
    Some((number, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let text =
            "7 (a) (b) S 1 7 7 0 -1 4194560 92 0 0 0 12 34 0 0 20 0 3 0 52 2433024 181 1844 1 1 0";
        let seen = parse_stat(7, text).unwrap();
        assert_eq!(
            (seen.name.as_str(), seen.state, seen.parent),
            ("a) (b", b'S', 1)
        );
        assert_eq!(
            (seen.cpu_ms, seen.threads, seen.memory_bytes),
            (460, 3, 181 * 4096)
        );
        for length in 0..60 {
            assert_eq!(parse_stat(7, &text[..length]), None, "{length}");
        }
    }

    #[test]
    fn the_processes_of_this_computer_are_told_page_by_page() {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let Answer::ProcessList { processes, is_more } =
                processes(Path::new("/proc"), after).unwrap()
            else {
                panic!("processes are listed");
            };
            assert!(processes.len() <= PROCESSES_MAX);
            after = processes.last().map_or(u32::MAX, |last| last.pid);
            all.extend(processes);
            if !is_more {
                break;
            }
        }
        let ours = all.iter().find(|it| it.pid == std::process::id()).unwrap();
        assert!(ours.memory_bytes > 0 && ours.threads > 0 && !ours.command.is_empty());
        assert!(all.is_sorted_by_key(|it| it.pid));
    }

    #[test]
    fn the_kernels_records_become_lines() {
        struct Records(Vec<&'static str>);
        impl Read for Records {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.0.is_empty() {
                    return Err(ErrorKind::WouldBlock.into());
                }
                self.0.remove(0).as_bytes().read(buffer)
            }
        }
        let records = || {
            Records(vec![
                "6,0,0,-;Linux version 6\n",
                "nonsense",
                "4,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n",
            ])
        };
        let text = |from| match kernel_lines(records(), from).unwrap() {
            Answer::KernelLines { text, next: None } => String::from_utf8(text).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            text(0),
            "[    0.000000] Linux version 6\n[    5.140900] NET: Registered\n"
        );
        assert_eq!(text(1), "[    5.140900] NET: Registered\n");
    }
}
