//! Programs that do something for us, and end at the latest when we do.
//!
//! ```text
//!   we ──── pipe ───> guard: sh -c 'read …; kill -KILL 0'     the first of a process group
//!    └─── starts ───> the program, and what it starts          in the same group
//! ```
//!
//! Whoever loses interest drops the [`Group`], which kills all of it. Should we be killed ourselves,
//! the pipe closes, and the guard does the same. Only what leaves its group, as a daemon does, goes
//! on: who starts strangers' programs gives them process numbers of their own as well.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::watch::advance;
use crate::{Error, Watch};

/// How often we look whether a program has ended or was cancelled: at first, as many end at once, and at last.
const POLL_FIRST: Duration = Duration::from_millis(1);
const POLL_LAST: Duration = Duration::from_millis(20);
/// More of a program's words than this is of no use, and ends it.
const SAID_MAX_BYTES: u64 = 64 << 20;

/// Reads until nobody can write any more, which is when we have ended.
const GUARD: &str = "while read -r line; do :; done; kill -KILL 0";

/// A program that runs, with all that it started. Dropped, all of them end.
#[derive(Debug)]
pub struct Group {
    /// The program itself.
    pub child: Child,
    /// As long as nobody has asked how it ended, no other group has its number.
    guard: Child,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// Why a program gave no [`Output`].
#[derive(Debug)]
pub enum Failure {
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
    pub(crate) fn of(self, program: &str, remedy: &str) -> Error {
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
    ///
    /// # Errors
    ///
    /// [`Failure::NotFound`], or [`Failure::Io`].
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD])
            .current_dir(Path::new("/"))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Failure::Io)?;
        let group = guard.id().try_into().unwrap_or_default();
        match command.process_group(group).spawn() {
            Ok(child) => Ok(Self { child, guard }),
            Err(error) => {
                // Both fail only when it has ended already.
                let _ = guard.kill();
                let _ = guard.wait();
                Err(match error.kind() {
                    io::ErrorKind::NotFound => Failure::NotFound,
                    _ => Failure::Io(error),
                })
            }
        }
    }

    /// The number of the group.
    pub(crate) fn id(&self) -> u32 {
        self.guard.id()
    }

    /// Whether the program has ended; what it started may go on until [`end`](Self::end).
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends all of the group, and says how the program itself ended.
    ///
    /// # Errors
    ///
    /// When the operating system does not say it.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        let group = self.id().try_into().ok().and_then(Pid::from_raw);
        // Both ways fail only when all of them have ended.
        match group.filter(|_| matches!(self.guard.try_wait(), Ok(None))) {
            Some(group) => {
                let _ = kill_process_group(group, Signal::KILL);
            }
            None => {
                let _ = self.child.kill();
            }
        }
        let status = self.child.wait();
        self.guard.wait()?;
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails only when it was waited for already.
        let _ = self.end();
    }
}

/// Runs a program to its end, at most for `timeout`; `watch` is asked now and then.
///
/// # Errors
///
/// See [`Failure`].
pub fn run(
    command: &mut Command,
    timeout: Option<Duration>,
    watch: &mut dyn Watch,
) -> Result<Output, Failure> {
    let mut stdout = words().map_err(Failure::Io)?;
    let mut stderr = words().map_err(Failure::Io)?;
    command
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(Failure::Io)?)
        .stderr(stderr.try_clone().map_err(Failure::Io)?);
    let mut group = Group::start(command)?;
    let start = Instant::now();
    let mut poll = POLL_FIRST;
    while !group.has_ended() {
        if advance(watch, 0).is_err() {
            return Err(Failure::Cancelled);
        }
        let said = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
        let is_late = timeout.is_some_and(|timeout| start.elapsed() > timeout);
        if is_late || said(&stdout) + said(&stderr) > SAID_MAX_BYTES {
            return Err(Failure::Endless);
        }
        std::thread::sleep(poll);
        poll = (2 * poll).min(POLL_LAST);
    }
    Ok(Output {
        status: group.end().map_err(Failure::Io)?,
        stdout: text(&mut stdout, SAID_MAX_BYTES).map_err(Failure::Io)?,
        stderr: text(&mut stderr, SAID_MAX_BYTES).map_err(Failure::Io)?,
    })
}

/// Where a program writes what it says: unlike a pipe, it never waits for us to read that.
pub(crate) fn words() -> io::Result<File> {
    Ok(memfd_create("words", MemfdFlags::CLOEXEC)?.into())
}

/// What was written there, from its beginning.
pub(crate) fn text(file: &mut File, limit_bytes: u64) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(limit_bytes).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
