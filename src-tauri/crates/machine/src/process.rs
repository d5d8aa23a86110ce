//! QEMU's process: started apart from us, recognised without doubt, waited for, killed.
//!
//! It outlives us on purpose: a process group of its own, no signal at our death, its output in a file. An id alone says
//! nothing about a process (ids come round); an id with its start time and the host's boot does. Where a process that
//! is no child of ours has to be waited for or killed, a pidfd is opened first and the start time compared after that, so
//! that nobody else can be meant.
//!
//! All of it is Linux' own; a port to another system begins here.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use crate::command_line::CommandLine;
use crate::confine::Confinement;
use crate::error::{Error, Result};
use crate::lifecycle::Exit;
use crate::readiness::watch_readable;
use crate::record::ProcessKey;

/// The variables of our own environment that QEMU gets; others (a bundle's library paths) may only harm it.
const ENVIRONMENT: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

impl ProcessKey {
    /// The key of a process that runs now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let start_ticks = start_ticks(&stat)?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self {
            pid,
            start_ticks,
            boot_id: boot_id.trim().to_owned(),
        })
    }

    /// The user's process that was given exactly these arguments (the program, which comes first, may have passed them
    /// on to another). They contain socket paths that are the machine's alone.
    pub(crate) fn by_command_line(words: &[String]) -> Option<Self> {
        let (_program, arguments) = words.split_first()?;
        let user = rustix::process::getuid().as_raw();
        let processes = fs::read_dir("/proc").ok()?;
        processes.flatten().find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command);
            let found = command.trim_end_matches('\0').split('\0').skip(1);
            let same = found.eq(arguments.iter().map(String::as_str));
            (same && entry.metadata().ok()?.uid() == user).then(|| Self::of(pid))?
        })
    }

    /// Whether the very process runs (and is not only waiting to be buried).
    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// The start time from `/proc/PID/stat`, unless the process is dead already. The second field is the program's
/// name in parentheses, which may contain spaces and parentheses.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// QEMU's process.
#[derive(Debug)]
pub(crate) enum Process {
    /// Started by us.
    Child {
        child: Child,
        key: Option<ProcessKey>,
    },
    /// Started by an earlier or another process of ours.
    Found {
        pidfd: AsyncFd<OwnedFd>,
        key: ProcessKey,
    },
}

impl Process {
    /// Starts QEMU with these files open; what it says goes to `log`, which is begun anew.
    pub(crate) fn spawn(
        command_line: &CommandLine,
        log: &Path,
        confinement: &Confinement,
        files: Vec<FdMapping>,
    ) -> Result<Self> {
        let out = File::create(log).map_err(Error::io("write", log))?;
        let err = out.try_clone().map_err(Error::io("write", log))?;
        let mut command = Command::new(&command_line.program);
        command
            .args(&command_line.arguments)
            .env_clear()
            .env("LC_ALL", "C");
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let program = Path::new(&command_line.program);
        if !files.is_empty() {
            command
                .fd_mappings(files)
                .map_err(|error| Error::io("start", program)(std::io::Error::other(error)))?;
        }
        let runtime = Handle::current();
        let child = confinement.start(program, || {
            let _guard = runtime.enter();
            command.spawn().map_err(|source| match source.kind() {
                std::io::ErrorKind::NotFound => Error::QemuMissing {
                    looked_for: program.display().to_string(),
                },
                _ => Error::io("start", program)(source),
            })
        })?;
        let key = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(ProcessKey::of);
        Ok(Self::Child { child, key })
    }

    /// Takes hold of a process that was found; `None` if it is not there any more.
    pub(crate) fn find(key: &ProcessKey) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(key.pid)?, PidfdFlags::NONBLOCK).ok()?;
        // Only now: the descriptor means one process for ever, and that one is looked at.
        if !key.is_alive() {
            return None;
        }
        let pidfd = watch_readable(pidfd).ok()?;
        Some(Self::Found {
            pidfd,
            key: key.clone(),
        })
    }

    pub(crate) fn key(&self) -> Option<&ProcessKey> {
        match self {
            Self::Child { key, .. } => key.as_ref(),
            Self::Found { key, .. } => Some(key),
        }
    }

    /// Waits until it is gone. May be dropped and called again.
    pub(crate) async fn exited(&mut self) -> Exit {
        match self {
            Self::Child { child, .. } => match child.wait().await {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Unseen,
                },
                Err(_) => Exit::Unseen,
            },
            Self::Found { pidfd, key } => {
                if pidfd.readable().await.is_err() {
                    while key.is_alive() {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
                Exit::Unseen
            }
        }
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        let result = match self {
            Self::Child { child, .. } => child.start_kill(),
            Self::Found { pidfd, .. } => {
                pidfd_send_signal(pidfd.get_ref(), Signal::KILL).map_err(Into::into)
            }
        };
        if let Err(error) = result {
            tracing::warn!(%error, "QEMU's process could not be killed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let tail = "S 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10";
        for name in ["qemu-system-x86", "a) S (b", "with space"] {
            assert_eq!(
                start_ticks(&format!("42 ({name}) {tail}")),
                Some(4711),
                "{name}"
            );
        }
        assert_eq!(
            start_ticks("42 (dead) Z 1 2 3 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4711"),
            None
        );
        assert_eq!(start_ticks("nonsense"), None);
    }

    #[test]
    fn a_process_is_found_by_all_of_its_command_line_or_not_at_all() {
        let key = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            ProcessKey::by_command_line(&words).map(|key| key.pid)
        };
        let mut sleep = std::process::Command::new("sleep")
            .args(["7200.25", "0"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(sleep.id()).unwrap();
        // A process that was just started has no command line for a moment.
        let started = std::time::Instant::now();
        let mut whole = None;
        while whole.is_none() && started.elapsed() < Duration::from_secs(5) {
            whole = key(&["qemu", "7200.25", "0"]);
        }
        let found = [whole, key(&["sleep", "7200.25"]), key(&[])];
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        assert_eq!(found, [Some(pid), None, None]);
    }

    #[test]
    fn a_process_is_itself_and_nobody_else() {
        let own = ProcessKey::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        let earlier = ProcessKey {
            start_ticks: own.start_ticks - 1,
            ..own.clone()
        };
        let before_the_restart = ProcessKey {
            boot_id: "another".to_owned(),
            ..own
        };
        assert!(!earlier.is_alive() && !before_the_restart.is_alive());
    }
}
