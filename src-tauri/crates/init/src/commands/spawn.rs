//! Starting a program on a terminal of its own.
//!
//! A command's session, terminal and outputs have to be made by a process that is part of it. That is this same
//! executable, started as a helper, one for each command. It stays as the session's leader for as long as anything of the
//! session runs: a leader's end hangs the terminal up, and that would kill programs that go on in the background.
//!
//! ```text
//!   init ── starts ──> /proc/self/exe as "windlass-spawn" TERMINAL FILE PROGRAM ARGUMENT0 …
//!     |                   | begins a session, takes the terminal, sets the outputs
//!     |                   └── starts ──> the program
//!     <── pipe: "started", or why not ── |
//!     <── pipe: "exited 3", "killed 11"  | when the program has ended
//!                                        v waits until the session is empty
//! ```

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, setsid};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};

use super::plan::Plan;
use super::processes;

/// The name under which this executable is the helper.
pub(crate) const HELPER_NAME: &str = "windlass-spawn";

/// How often the helper looks whether its session is empty.
const SESSION_POLL: Duration = Duration::from_millis(100);

/// The size that terminals have until someone says otherwise.
const TERMINAL_SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A program that runs: its helper, our end of its terminal, and where its end will be told.
#[derive(Debug)]
pub(super) struct Started {
    pub helper: Pid,
    pub terminal: File,
    pub status: File,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Exited(i32),
    Killed(i32),
}

impl Outcome {
    fn of(status: ExitStatus) -> Self {
        match status.signal() {
            Some(signal) => Outcome::Killed(signal),
            None => Outcome::Exited(status.code().unwrap_or(1)),
        }
    }

    /// Reads what the helper wrote. A helper that was killed wrote nothing, and its program is gone with it.
    pub(super) fn read(text: &str) -> Self {
        let number = |text: &str| text.trim().parse().ok();
        if let Some(status) = text.strip_prefix("exited ").and_then(number) {
            return Outcome::Exited(status);
        }
        Outcome::Killed(text.strip_prefix("killed ").and_then(number).unwrap_or(9))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Exited(status) => write!(f, "exited {status}"),
            Outcome::Killed(signal) => write!(f, "killed {signal}"),
        }
    }
}

/// What the helper writes when the program has begun.
const STARTED: &[u8] = b"started\n";

/// Starts `program` with the words of a command; says why it could not.
pub(super) fn start(program: &Path, words: &[String], plan: &Plan) -> Result<Started, String> {
    let context = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let terminal =
        open_terminal().map_err(|error| context("no terminal can be had")(error.into()))?;
    let name = ptsname(&terminal, Vec::new())
        .map_err(|error| context("no terminal can be had")(error.into()))?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(HELPER_NAME)
        .arg(name.to_string_lossy().as_ref())
        .arg(plan.redirect.as_ref().map_or("", |redirect| &redirect.path))
        .arg(program)
        .args(words)
        .env_clear()
        .envs(&plan.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(context("no process can be started"))?;
    let helper = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or("it has no process number")?;
    let mut status = File::from(OwnedFd::from(
        child.stdout.take().ok_or("its helper says nothing")?,
    ));
    // Either the one word, or the reason up to the pipe's end.
    let mut answer = [0; STARTED.len()];
    if status.read_exact(&mut answer).is_ok() && answer == STARTED {
        fcntl_setfl(&status, OFlags::NONBLOCK).map_err(|error| error.to_string())?;
        return Ok(Started {
            helper,
            terminal: terminal.into(),
            status,
        });
    }
    let mut reason = answer.to_vec();
    let _ = status.take(1000).read_to_end(&mut reason);
    let _ = child.wait();
    Err(String::from_utf8_lossy(&reason)
        .trim_matches('\0')
        .to_owned())
}

fn open_terminal() -> rustix::io::Result<OwnedFd> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    unlockpt(&terminal)?;
    tcsetwinsize(&terminal, TERMINAL_SIZE)?;
    fcntl_setfl(&terminal, OFlags::RDWR | OFlags::NONBLOCK)?;
    Ok(terminal)
}

/// The helper's own main program.
pub(crate) fn helper(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // The kernel would call it `exe`, as the file is called that it was started from.
    let _ = rustix::thread::set_name(c"windlass-spawn");
    // The pipe to init leaves standard output, and the program does not inherit it.
    let Ok(pipe) = fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3) else {
        return ExitCode::FAILURE;
    };
    let mut pipe = File::from(pipe);
    let mut child = match start_program(arguments) {
        Ok(child) => child,
        Err(reason) => {
            let _ = pipe.write_all(reason.as_bytes());
            return ExitCode::FAILURE;
        }
    };
    let _ = pipe.write_all(STARTED);
    if let Ok(status) = child.wait() {
        // In one piece: init reads it as soon as there is anything.
        let _ = pipe.write_all(Outcome::of(status).to_string().as_bytes());
    }
    drop(pipe);
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    while processes::running(&BTreeSet::new())
        .iter()
        .any(|process| process.session == own && process.pid != own)
    {
        std::thread::sleep(SESSION_POLL);
    }
    ExitCode::SUCCESS
}

fn start_program(mut arguments: impl Iterator<Item = OsString>) -> Result<Child, String> {
    let (Some(terminal), Some(redirect), Some(program), Some(name)) = (
        arguments.next(),
        arguments.next(),
        arguments.next(),
        arguments.next(),
    ) else {
        return Err("the helper lacks arguments".to_owned());
    };
    take_terminal(Path::new(&terminal))
        .map_err(|error| format!("cannot take the terminal: {error}"))?;
    // What is sent to everything on the terminal, by a key or by `kill 0`, is not meant for the helper.
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    if !redirect.is_empty() {
        redirect_to(Path::new(&redirect)).map_err(|error| {
            let path = redirect.to_string_lossy();
            format!("its output cannot go to {path}: {error}")
        })?;
    }
    Command::new(program)
        .arg0(name)
        .args(arguments)
        .spawn()
        .map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NOEXEC.raw_os_error() => {
                "the kernel cannot run it: it is damaged, or for another system".to_owned()
            }
            _ => error.to_string(),
        })
}

fn take_terminal(path: &Path) -> io::Result<()> {
    setsid()?;
    // The first terminal that the leader of a session opens becomes the session's own.
    let terminal = OpenOptions::new().read(true).write(true).open(path)?;
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    dup2_stderr(&terminal)?;
    Ok(())
}

/// Sends the outputs to the end of a file, which all commands share.
fn redirect_to(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    dup2_stdout(&file)?;
    dup2_stderr(&file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_read_back_as_they_are_written() {
        for outcome in [
            Outcome::Exited(0),
            Outcome::Exited(255),
            Outcome::Killed(11),
        ] {
            assert_eq!(Outcome::read(&outcome.to_string()), outcome);
        }
        assert_eq!(Outcome::read(""), Outcome::Killed(9));
    }
}
