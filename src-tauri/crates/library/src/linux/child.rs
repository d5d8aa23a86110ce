//! Programs that do something for us and end, at the latest when we do.
//!
//! One that was cancelled is killed. So that it ends as well when it is us who are killed, it is started through `setpriv`
//! (util-linux, which the systems that have apt always have), which asks the kernel for that and then becomes the program.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::AptError;
use crate::error::{Error, IoContext};

/// How often we look whether a program has ended or was cancelled.
const POLL: Duration = Duration::from_millis(50);

/// More of a program's words than this is of no use.
const SAID_BYTES_MAX: u64 = 1 << 20;

/// What a program said, and how it ended.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a program to its end in `folder`, calling `tick` now and then. Its words go to files, so that it never waits
/// for us to read them.
pub(super) fn run(
    command: &mut Command,
    tick: &mut dyn FnMut(),
    cancel: &CancellationToken,
) -> Result<Output, Error> {
    let temporary = std::env::temp_dir();
    let file = || tempfile::tempfile().context("create a file in", &temporary);
    let (mut stdout, mut stderr) = (file()?, file()?);
    let mut guarded = guarded(command);
    let command = &mut guarded;
    let copy = |file: &File| file.try_clone().context("create a file in", &temporary);
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(copy(&stdout)?)
        .stderr(copy(&stderr)?);
    let mut child = Reaped(
        command
            .spawn()
            .map_err(|error| start_error(command.get_program(), error))?,
    );
    let status = loop {
        let program = Path::new(command.get_program());
        if let Some(status) = child.0.try_wait().context("wait for", program)? {
            break status;
        }
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        tick();
        std::thread::sleep(POLL);
    };
    Ok(Output {
        status,
        stdout: said(&mut stdout).context("read from", &temporary)?,
        stderr: said(&mut stderr).context("read from", &temporary)?,
    })
}

/// The same program so that it ends with us, where this system has what that takes.
pub(super) fn guarded(command: &Command) -> Command {
    let program = command.get_program();
    let guard = find("setpriv".as_ref());
    // A program that is missing is to be missed by its own name.
    let mut guarded = match guard.filter(|_| find(program).is_some()) {
        Some(guard) => {
            let mut guarded = Command::new(guard);
            guarded.args(["--pdeathsig", "KILL", "--"]).arg(program);
            guarded
        }
        None => Command::new(program),
    };
    guarded.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        guarded.current_dir(folder);
    }
    guarded
}

/// Where a program is.
fn find(program: &OsStr) -> Option<PathBuf> {
    let program = Path::new(program);
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_path_buf());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The error of a program that could not be started.
pub(super) fn start_error(program: &OsStr, source: std::io::Error) -> Error {
    let program = program.to_string_lossy().into_owned();
    Error::Apt(if source.kind() == std::io::ErrorKind::NotFound {
        AptError::NoApt { program }
    } else {
        AptError::Start { program, source }
    })
}

fn said(file: &mut File) -> std::io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(SAID_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A program that ends when we lose interest.
#[derive(Debug)]
pub(super) struct Reaped(pub(super) Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
