//! Package files of Debian and Ubuntu, read as a stream of what they would install.
//!
//! `dpkg-deb` knows the container and its compressions; where there are such packages, it is too.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use tar::{Archive, Entry};

const READER: &str = "dpkg-deb";

/// More of what `dpkg-deb` says than this is of no use.
const SAID_MAX_BYTES: u64 = 4096;

/// Why a package file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// `dpkg-deb` could not be started.
    #[error("could not start {READER}")]
    Start(#[source] io::Error),
    /// It is no package file, or a damaged one.
    #[error("cannot be unpacked: {said}")]
    Refused {
        /// What `dpkg-deb` said.
        said: String,
    },
    /// What is in it could not be read.
    #[error("could not be read")]
    Io(#[from] io::Error),
}

/// One file, link or folder that the package would install.
pub type DebEntry<'a> = Entry<'a, ChildStdout>;

/// A program that ends when we lose interest.
#[derive(Debug)]
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a package file from its beginning to its end, and calls `visit` with all that is in it.
///
/// # Errors
///
/// When it is no package file or damaged, `dpkg-deb` is not there, or `visit` ends it.
pub fn read<E: From<DebError>>(
    package: &Path,
    mut visit: impl FnMut(&mut DebEntry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut child = Command::new(READER)
        .env("LC_ALL", "C")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Reaped)
        .map_err(DebError::Start)?;
    let io = |error: io::Error| E::from(DebError::Io(error));
    let stdout = child.0.stdout.take();
    let stderr = child.0.stderr.take();
    let mut is_ended = false;
    // It says a line or two at most, which never fills the pipe.
    let read = stdout.map_or(Ok(()), |stdout| {
        let mut archive = Archive::new(stdout);
        for entry in archive.entries().map_err(io)? {
            visit(&mut entry.map_err(io)?).inspect_err(|_| is_ended = true)?;
        }
        // An archive goes on behind its end. Who writes it would fail if nobody read that.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(io)?;
        Ok(())
    });
    if is_ended {
        return read;
    }
    let mut said = String::new();
    if let Some(stderr) = stderr {
        // It has ended, or ends now: nobody reads what it writes any more.
        (stderr.take(SAID_MAX_BYTES).read_to_string(&mut said)).map_err(io)?;
    }
    let status = child.0.wait().map_err(io)?;
    // Its own words are better than ours about a stream that ended too soon.
    if let Some(line) = said.lines().next().filter(|_| !status.success()) {
        let said = line.trim().trim_start_matches("dpkg-deb: error: ");
        let said = said.to_owned();
        return Err(DebError::Refused { said }.into());
    }
    read
}
