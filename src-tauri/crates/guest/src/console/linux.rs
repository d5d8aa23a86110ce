//! The Linux kernel's own words.

use super::Notice;
use super::notice::clip;
use crate::GuestOs;

pub(super) fn recognise(line: &str, tell: &mut impl FnMut(Notice)) {
    let line = without_time(line);
    if let Some(version) = line.strip_prefix("Linux version ") {
        let version = clip(version.split(' ').next().unwrap_or_default());
        tell(Notice::Booted {
            guest: GuestOs::Linux,
            version,
        });
    } else if let Some((_, message)) = line.split_once("Kernel panic - not syncing: ") {
        // The end of the panic repeats its beginning.
        let message = message.strip_suffix(" ]---").unwrap_or(message);
        tell(Notice::Panic {
            message: clip(message),
        });
    } else if let Some((before, process)) = line.split_once("ut of memory: Killed process ")
        && before.len() < 20
    {
        // "Out of memory: Killed process 71 (python3) total-vm:…", or with "Memory cgroup" before it.
        let name = process
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'));
        tell(Notice::OutOfMemory {
            killed: name.map(|(name, _)| clip(name)),
        });
    } else if line.starts_with("EXT4-fs (") && line.ends_with("Remounting filesystem read-only") {
        tell(Notice::ReadOnlyFileSystem);
    } else if line == "reboot: Power down" {
        tell(Notice::PoweringOff);
    }
}

/// A kernel message begins with its time in seconds: `[    1.234567] `.
fn without_time(line: &str) -> &str {
    let rest = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    match rest {
        Some((time, text)) if time.trim_start().parse::<f64>().is_ok() => text,
        _ => line,
    }
}
