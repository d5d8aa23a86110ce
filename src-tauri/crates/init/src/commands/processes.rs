//! The processes of the guest, as `/proc` shows them.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// The kernel's own threads are children of this process.
const KERNEL_THREADS: i32 = 2;

/// A process that is neither ours nor the kernel's, and that still runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    pub session: i32,
    pub name: String,
}

/// All that run, except the given ones.
pub(super) fn running(except: &BTreeSet<i32>) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .filter_map(|entry| fs::read(entry.path().join("stat")).ok())
        .filter_map(|stat| parse(&String::from_utf8_lossy(&stat)))
        .filter(|process| !except.contains(&process.pid))
        .collect()
}

/// Reads `PID (NAME) STATE PARENT GROUP SESSION …`; the name can hold anything, parentheses too.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let parent: i32 = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let pid: i32 = pid.parse().ok()?;
    let is_dead = matches!(state, "Z" | "X");
    let is_program = pid > KERNEL_THREADS && parent != KERNEL_THREADS && !is_dead;
    is_program.then(|| Process {
        pid,
        session,
        name: name.to_owned(),
    })
}

/// Sends a signal to each; one that is gone meanwhile does not matter.
pub(super) fn signal(processes: &[Process], signal: Signal) {
    for pid in processes
        .iter()
        .filter_map(|process| Pid::from_raw(process.pid))
    {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_the_kernels_threads() {
        let process = parse("71 (a) (b) S 1 70 70 0 -1 4194304").unwrap();
        assert_eq!(
            (process.pid, process.session, process.name.as_str()),
            (71, 70, "a) (b")
        );
        assert_eq!(parse("1 (init) S 0 1 1 0"), None);
        assert_eq!(parse("9 (kworker/0:1) I 2 0 0 0"), None);
        assert_eq!(parse("72 (sh) Z 1 70 70 0"), None);
        assert_eq!(parse(""), None);
    }
}
