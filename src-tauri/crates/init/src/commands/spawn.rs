//! Starting a program on a terminal of its own.
//!
//! Between fork and exec a process has to begin a session, take a terminal and set its outputs. That is done by this same
//! executable, started as a helper, which then becomes the program:
//!
//! ```text
//!   init ── starts ──> /proc/self/exe as "windlass-spawn" TERMINAL REDIRECT PROGRAM ARGUMENT0 …
//!     |                   | session, terminal, outputs
//!     |  pipe: why not    v exec
//!     <───────────────  the program      (the pipe closes by itself when exec succeeds)
//! ```

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, setsid};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use super::plan::{Plan, Redirect};

/// The name under which this executable is the helper.
pub(crate) const HELPER_NAME: &str = "windlass-spawn";

/// The size that terminals have until someone says otherwise.
const TERMINAL_SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A program that runs, and our end of its terminal.
#[derive(Debug)]
pub(super) struct Started {
    pub pid: Pid,
    pub terminal: File,
}

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
        .arg(redirect_argument(plan.redirect.as_ref()))
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
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or("it has no process number")?;
    let mut fault = String::new();
    if let Some(pipe) = child.stdout.take() {
        let _ = pipe.take(1000).read_to_string(&mut fault);
    }
    if fault.is_empty() {
        return Ok(Started {
            pid,
            terminal: terminal.into(),
        });
    }
    let _ = child.wait();
    Err(fault)
}

fn open_terminal() -> rustix::io::Result<OwnedFd> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    unlockpt(&terminal)?;
    tcsetwinsize(&terminal, TERMINAL_SIZE)?;
    fcntl_setfl(&terminal, OFlags::RDWR | OFlags::NONBLOCK)?;
    Ok(terminal)
}

/// `-`, `>FILE` or `>>FILE`.
fn redirect_argument(redirect: Option<&Redirect>) -> String {
    match redirect {
        None => "-".to_owned(),
        Some(Redirect {
            path,
            is_appended: false,
        }) => format!(">{path}"),
        Some(Redirect {
            path,
            is_appended: true,
        }) => format!(">>{path}"),
    }
}

/// The helper's own main program. Becomes the program, or writes why not to its standard output.
pub(crate) fn helper(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // The pipe leaves standard output free, and closes when the program begins.
    let Ok(pipe) = fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3) else {
        return ExitCode::FAILURE;
    };
    let reason = become_program(arguments);
    let _ = File::from(pipe).write_all(reason.as_bytes());
    ExitCode::FAILURE
}

/// Returns only with the reason why it failed.
fn become_program(mut arguments: impl Iterator<Item = OsString>) -> String {
    let (Some(terminal), Some(redirect), Some(program), Some(name)) = (
        arguments.next(),
        arguments.next(),
        arguments.next(),
        arguments.next(),
    ) else {
        return "the helper lacks arguments".to_owned();
    };
    if let Err(error) = take_terminal(Path::new(&terminal)) {
        return format!("cannot take the terminal: {error}");
    }
    let redirect = redirect.to_string_lossy();
    if let Some(path) = redirect.strip_prefix('>')
        && let Err(error) = redirect_to(path)
    {
        let path = path.trim_start_matches('>');
        return format!("its output cannot go to {path}: {error}");
    }
    let error = Command::new(program).arg0(name).args(arguments).exec();
    match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::NOEXEC.raw_os_error() => {
            "the kernel cannot run it: it is damaged, or for another system".to_owned()
        }
        _ => error.to_string(),
    }
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

/// Sends the outputs to `FILE`, or appends them to `>FILE`.
fn redirect_to(path: &str) -> io::Result<()> {
    let (path, is_appended) = match path.strip_prefix('>') {
        Some(path) => (path, true),
        None => (path, false),
    };
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(is_appended)
        .truncate(!is_appended)
        .open(path)?;
    dup2_stdout(&file)?;
    dup2_stderr(&file)?;
    Ok(())
}
