//! Files of an image, copied into a folder of this computer.
//!
//! ```text
//!   folder/.windlass-…/   everything is copied here, by itself
//!   folder/NAME           renamed to here when all of it is complete
//! ```
//!
//! Whatever an image says, nothing is written outside of a folder that was made for it: each directory, file and link
//! is made anew, and a name that comes twice is an error. Permissions are kept but for set-user-id and the like; what
//! the guest's root alone could read can be read by whoever copied it.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::file_system::{FileSystem, Stat, StatKind};
use crate::{Error, GuestPath, Watch};

const BUFFER_BYTES: usize = 1 << 20;
/// Holes are left by pieces of this size.
const HOLE_BYTES: usize = 64 << 10;

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// What is in the folder now, by name.
    pub made: Vec<PathBuf>,
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many devices, sockets and pipes were left out.
    pub left_out: u64,
}

/// How much work it is to copy these paths, as the watch counts it.
///
/// # Errors
/// [`Error::NotFound`]; the errors of the file system.
pub fn total_bytes(file_system: &dyn FileSystem, paths: &[GuestPath]) -> Result<u64, Error> {
    let mut total = 0;
    for path in paths {
        let mut pending = vec![file_system.find(path)?];
        let mut entered = HashSet::new();
        while let Some(stat) = pending.pop() {
            match stat.kind {
                StatKind::File { size_bytes } => total += size_bytes,
                StatKind::Directory => {
                    enter(&mut entered, &stat)?;
                    pending.extend(file_system.list(&stat)?);
                }
                _ => {}
            }
        }
    }
    Ok(total)
}

/// Copies files, links and directories with all that is in them into a folder, each under its own name; of the root,
/// what is in it. The watch counts bytes of the files.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Exists`] unless `replace` says that files and links may be replaced; [`Error::Create`];
/// the errors of the file system; [`Error::Cancelled`]. The folder is then as it was, but for what was replaced by then.
pub fn extract(
    file_system: &dyn FileSystem,
    paths: &[GuestPath],
    folder: &Path,
    replace: bool,
    watch: &mut (impl Watch + ?Sized),
) -> Result<Extracted, Error> {
    let mut wanted = Vec::new();
    for path in paths {
        let stat = file_system.find(path)?;
        if path.is_root() {
            wanted.extend(file_system.list(&stat)?);
        } else {
            wanted.push(stat);
        }
    }
    let destination = |stat: &Stat| folder.join(host_name(stat.path.name()));
    for stat in &wanted {
        refuse_taken(&destination(stat), stat, replace)?;
    }
    let draft = tempfile::Builder::new()
        .prefix(".windlass-")
        .tempdir_in(folder)
        .map_err(|source| created(folder, source))?;
    let mut copy = Copy {
        file_system,
        watch,
        buffer: vec![0; BUFFER_BYTES],
        entered: HashSet::new(),
        done: Extracted::default(),
    };
    for stat in &wanted {
        copy.tree(stat, draft.path())?;
    }
    let mut done = copy.done;
    for stat in &wanted {
        let (from, to) = (
            draft.path().join(host_name(stat.path.name())),
            destination(stat),
        );
        if from.symlink_metadata().is_err() {
            // A device.
            continue;
        }
        refuse_taken(&to, stat, replace)?;
        fs::rename(&from, &to).map_err(|source| created(&to, source))?;
        done.made.push(to);
    }
    Ok(done)
}

fn host_name(name: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(name))
}

fn created(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::AlreadyExists {
        return Error::Exists { path };
    }
    Error::Create { path, source }
}

fn refuse_taken(path: &Path, stat: &Stat, replace: bool) -> Result<(), Error> {
    let Ok(there) = path.symlink_metadata() else {
        return Ok(());
    };
    if replace && !there.is_dir() && stat.kind != StatKind::Directory {
        return Ok(());
    }
    let path = path.to_owned();
    Err(Error::Exists { path })
}

/// No directory comes twice, so that it ends.
fn enter(entered: &mut HashSet<u64>, directory: &Stat) -> Result<(), Error> {
    if entered.insert(directory.inode) {
        return Ok(());
    }
    Err(Error::corrupt(
        "directory",
        0,
        "directories that are in one place",
        format!("inode {} again at {}", directory.inode, directory.path),
    ))
}

struct Copy<'a, W: ?Sized> {
    file_system: &'a dyn FileSystem,
    watch: &'a mut W,
    buffer: Vec<u8>,
    entered: HashSet<u64>,
    done: Extracted,
}

impl<W: Watch + ?Sized> Copy<'_, W> {
    /// Copies one path and what is below it; not by recursion, since an image says how deep it is.
    fn tree(&mut self, top: &Stat, folder: &Path) -> Result<(), Error> {
        let mut pending = vec![(top.clone(), folder.to_owned())];
        let mut directories = Vec::new();
        while let Some((stat, folder)) = pending.pop() {
            let path = folder.join(host_name(stat.path.name()));
            match &stat.kind {
                StatKind::Directory => {
                    enter(&mut self.entered, &stat)?;
                    fs::create_dir(&path).map_err(|source| created(&path, source))?;
                    let children = self.file_system.list(&stat)?;
                    pending.extend(children.into_iter().map(|child| (child, path.clone())));
                    directories.push((stat, path));
                }
                StatKind::File { size_bytes } => {
                    self.file(&stat, *size_bytes, &path)?;
                }
                StatKind::Symlink { target } => {
                    std::os::unix::fs::symlink(host_name(target), &path)
                        .map_err(|source| created(&path, source))?;
                    self.done.files += 1;
                }
                StatKind::Special { .. } => self.done.left_out += 1,
            }
        }
        // From the inside out: what is written into a directory changes its time.
        for (stat, path) in directories.into_iter().rev() {
            finish(&stat, &path, 0o700).map_err(|source| created(&path, source))?;
        }
        Ok(())
    }

    fn file(&mut self, stat: &Stat, size_bytes: u64, path: &Path) -> Result<(), Error> {
        let failed = |source| created(path, source);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(failed)?;
        let mut offset = 0;
        loop {
            let length = self.file_system.read(stat, offset, &mut self.buffer)?;
            for piece in self.buffer[..length].chunks(HOLE_BYTES) {
                put(&mut file, piece).map_err(failed)?;
            }
            offset += length as u64;
            if self.watch.advance(length as u64).is_break() {
                return Err(Error::Cancelled);
            }
            if length < self.buffer.len() {
                break;
            }
        }
        file.set_len(offset.max(size_bytes)).map_err(failed)?;
        finish(stat, path, 0o600).map_err(failed)?;
        self.done.files += 1;
        self.done.bytes += offset;
        Ok(())
    }
}

fn put(file: &mut File, piece: &[u8]) -> io::Result<()> {
    if piece.iter().all(|byte| *byte == 0) {
        let length = i64::try_from(piece.len()).unwrap_or(0);
        return io::Seek::seek(file, io::SeekFrom::Current(length)).map(drop);
    }
    file.write_all(piece)
}

/// Permissions and time, where the file system has them.
fn finish(stat: &Stat, path: &Path, at_least: u32) -> io::Result<()> {
    if let Some(mode) = stat.mode {
        fs::set_permissions(path, Permissions::from_mode(mode & 0o777 | at_least))?;
    }
    let time = stat.modified_seconds.and_then(time_of);
    if let Some(time) = time {
        File::open(path)?.set_modified(time)?;
    }
    Ok(())
}

fn time_of(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
