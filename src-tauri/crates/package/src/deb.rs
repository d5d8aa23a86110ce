//! Package files of Debian and Ubuntu, read as a stream of what they would install.
//!
//! ```text
//!   NAME.deb ── dpkg-deb --fsys-tarfile ── pipe ── tar ──> visit, for each entry
//! ```
//!
//! `dpkg-deb` knows the container and its compressions; where there are such packages, it is too.
//! When the stream ends before it should, its own words say more than ours, and are the error.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use tar::{Archive, Entry};

use crate::Watch;
use crate::helper::{Failure, Group, text, words};
use crate::watch::advance;

/// What reads the container.
pub const READER: &str = "dpkg-deb";

/// More of what `dpkg-deb` says than this is of no use.
const SAID_MAX_BYTES: u64 = 4096;
const BUFFER_BYTES: usize = 64 << 10;

/// Why a package file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// There is no `dpkg-deb` here.
    #[error("this computer has no {READER}")]
    NoReader,
    /// `dpkg-deb` could not be started.
    #[error("could not start {READER}")]
    Start(#[source] io::Error),
    /// It is no package file, or a damaged one.
    #[error("{} cannot be unpacked: {said}", path.display())]
    Refused {
        /// The package file.
        path: PathBuf,
        /// What `dpkg-deb` said.
        said: String,
    },
    /// What is in it could not be read.
    #[error("could not unpack {}", path.display())]
    Io {
        /// The package file.
        path: PathBuf,
        /// What the operating system said, or what is wrong with the archive inside.
        #[source]
        source: io::Error,
    },
    /// Whoever waited ended it.
    #[error("cancelled")]
    Cancelled,
}

/// What `dpkg-deb` writes. Whoever waits is asked at each read.
#[derive(Debug)]
pub struct DebStream<'a> {
    pipe: ChildStdout,
    watch: Asked<'a>,
    has_ended: bool,
}

/// Whoever waits, until that cancels.
struct Asked<'a>(Option<&'a mut dyn Watch>);

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.0.is_some() {
            "waits"
        } else {
            "cancelled"
        })
    }
}

/// One file, link or folder that the package would install.
pub type DebEntry<'a, 'w> = Entry<'a, DebStream<'w>>;

impl Read for DebStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_waited_for = match &mut self.watch.0 {
            Some(watch) => advance(*watch, 0).is_ok(),
            None => false,
        };
        if !is_waited_for {
            self.watch.0 = None;
            return Err(io::Error::other("cancelled"));
        }
        let count = self.pipe.read(buffer)?;
        self.has_ended |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

/// Why not all entries were visited.
enum Stop<E> {
    /// `visit` said so.
    Visit(E),
    /// The archive says so.
    Archive(io::Error),
}

/// Reads a package file from its beginning to its end, and calls `visit` with all that is in it.
/// When `visit` ends it, that is the error, unless it was the package file that ended too soon.
///
/// # Errors
///
/// When it is no package file or damaged, `dpkg-deb` is not there, `visit` ends it, or `watch`
/// cancels.
pub fn read<E: From<DebError>>(
    package: &Path,
    watch: &mut dyn Watch,
    mut visit: impl FnMut(&mut DebEntry<'_, '_>) -> Result<(), E>,
) -> Result<(), E> {
    let io = |source: io::Error| DebError::Io {
        path: package.to_path_buf(),
        source,
    };
    let mut said = words().map_err(DebError::Start)?;
    let mut command = Command::new(READER);
    command
        .env("LC_ALL", "C")
        .args(["--fsys-tarfile", "--"])
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said.try_clone().map_err(DebError::Start)?);
    let mut group = Group::start(&mut command).map_err(|failure| match failure {
        Failure::Io(error) => DebError::Start(error),
        _ => DebError::NoReader,
    })?;
    let Some(pipe) = group.child.stdout.take() else {
        return Err(DebError::NoReader.into());
    };
    let mut archive = Archive::new(DebStream {
        pipe,
        watch: Asked(Some(watch)),
        has_ended: false,
    });
    let visited = visit_all(&mut archive, &mut visit);
    let mut stream = archive.into_inner();
    let mut drained = Ok(());
    if !matches!(visited, Err(Stop::Visit(_))) {
        // An archive goes on behind its end, and who writes it would fail if nobody read that. One
        // that is wrong inside may be so because it was packed from something that is damaged.
        drained = drain(&mut stream);
    }
    if stream.watch.0.is_none() {
        return Err(DebError::Cancelled.into());
    }
    if stream.has_ended {
        let status = group.child.wait().map_err(io)?;
        let said = text(&mut said, SAID_MAX_BYTES).map_err(io)?;
        if let Some(line) = said.lines().next().filter(|_| !status.success()) {
            let said = line.trim().trim_start_matches("dpkg-deb: error: ");
            return Err(DebError::Refused {
                path: package.to_path_buf(),
                said: said.to_owned(),
            }
            .into());
        }
    }
    match visited {
        Ok(()) => drained.map_err(|error| io(error).into()),
        Err(Stop::Visit(error)) => Err(error),
        Err(Stop::Archive(error)) => Err(io(error).into()),
    }
}

fn visit_all<'w, E>(
    archive: &mut Archive<DebStream<'w>>,
    visit: &mut impl FnMut(&mut DebEntry<'_, 'w>) -> Result<(), E>,
) -> Result<(), Stop<E>> {
    for entry in archive.entries().map_err(Stop::Archive)? {
        visit(&mut entry.map_err(Stop::Archive)?).map_err(Stop::Visit)?;
    }
    Ok(())
}

fn drain(stream: &mut DebStream<'_>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
