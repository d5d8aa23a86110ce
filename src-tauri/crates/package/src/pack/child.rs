//! Programs that do something for us: in a process group of their own, which ends when we lose
//! interest, whatever they started themselves.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::watch::advance;
use crate::{Error, Watch};

/// How often we look whether a program has ended or was cancelled.
const POLL: Duration = Duration::from_millis(10);
/// More of a program's words than this is of no use, and ends it.
const SAID_MAX_BYTES: u64 = 64 << 20;

/// A program that runs, with all that it started. Dropped, all of them end.
#[derive(Debug)]
pub(super) struct Group {
    pub child: Child,
    ended: Option<ExitStatus>,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub(super) struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Why a program gave no [`Output`].
#[derive(Debug)]
pub(super) enum Failure {
    /// It is not on this computer.
    NotFound,
    /// It could not be started or waited for.
    Io(io::Error),
    /// It took too long, or said too much.
    Endless,
    /// Whoever waited ended it.
    Cancelled,
}

impl Failure {
    /// As an error about this program, with what to do where it is not there.
    pub fn of(self, program: &str, remedy: &str) -> Error {
        match self {
            Self::NotFound => Error::NoProgram {
                program: program.to_owned(),
                remedy: remedy.to_owned(),
            },
            Self::Io(source) => Error::Io {
                doing: "run",
                path: program.into(),
                source,
            },
            Self::Endless => Error::Unsuitable {
                path: program.into(),
                found: "did not come to an end".into(),
                remedy: "Try again, or run it in a terminal to see what it says.".into(),
            },
            Self::Cancelled => Error::Cancelled,
        }
    }
}

impl Group {
    /// Starts a program in a group of its own.
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        match command.process_group(0).spawn() {
            Ok(child) => Ok(Self { child, ended: None }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::NotFound),
            Err(error) => Err(Failure::Io(error)),
        }
    }

    /// Its number, which is that of the group.
    pub fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().try_into().ok()?)
    }

    /// Whether it has ended; it keeps its number until [`end`](Self::end).
    pub fn has_ended(&self) -> bool {
        let Some(pid) = self.pid() else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
    }

    /// Ends all of the group, and says how the program itself ended.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        // As long as nobody has asked how it ended, no other group has its number.
        if let Some(pid) = self.pid() {
            // Fails only when all of them have ended.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails only when it was waited for already.
        let _ = self.end();
    }
}

/// Runs a program to its end; `tick` is called now and then.
pub(super) fn run(
    command: &mut Command,
    timeout: Duration,
    watch: &mut dyn Watch,
) -> Result<Output, Failure> {
    let mut stdout = tempfile::tempfile().map_err(Failure::Io)?;
    let mut stderr = tempfile::tempfile().map_err(Failure::Io)?;
    command
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(Failure::Io)?)
        .stderr(stderr.try_clone().map_err(Failure::Io)?);
    let mut group = Group::start(command)?;
    let deadline = Instant::now() + timeout;
    while !group.has_ended() {
        if advance(watch, 0).is_err() {
            return Err(Failure::Cancelled);
        }
        let said = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
        if Instant::now() > deadline || said(&stdout) + said(&stderr) > SAID_MAX_BYTES {
            return Err(Failure::Endless);
        }
        std::thread::sleep(POLL);
    }
    Ok(Output {
        status: group.end().map_err(Failure::Io)?,
        stdout: text(&mut stdout).map_err(Failure::Io)?,
        stderr: text(&mut stderr).map_err(Failure::Io)?,
    })
}

fn text(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(SAID_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
