//! What a layer holds: paths, kinds, sizes, times. No file is read.
//!
//! Folders are listed by several threads, since most of the time goes to waiting for the file system; the result is
//! sorted, so that nothing depends on who was first.

use std::fs::{DirEntry, FileType, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Access, access};
use tokio_util::sync::CancellationToken;
use windlass_image::GuestPath;
use windlass_package::META_DIRECTORY;

use crate::error::{Error, IoContext, UNUSABLE_SHOWN, Unusable};
use crate::layer::Layer;
use crate::stamp::Stamp;

/// More threads than this only wait for each other.
const THREADS_MAX: usize = 8;

/// The permission bits of a file that everybody may read.
const READABLE_BY_ALL: u32 = 0o444;

/// The permission bits of a file or folder.
const MODE_BITS: u32 = 0o7777;

/// A layer with the paths, kinds, sizes and times of all that is in it.
#[derive(Debug, Clone)]
pub struct ScannedLayer {
    /// The layer.
    pub layer: Layer,
    /// What is in it, sorted by path.
    pub(crate) entries: Vec<Scanned>,
}

/// One entry of a layer.
#[derive(Debug, Clone)]
pub(crate) struct Scanned {
    pub(crate) path: GuestPath,
    pub(crate) kind: ScannedKind,
    pub(crate) mode: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum ScannedKind {
    Directory,
    /// Where the layer's folder has the same path.
    File {
        stamp: Stamp,
    },
    Symlink {
        target: Vec<u8>,
    },
}

/// Walks a layer's folder. No file is read.
///
/// # Errors
/// [`Error::NoFolder`], [`Error::Unusable`] with all that cannot be read or cannot be in an image (the first twenty by
/// name), [`Error::Cancelled`].
pub fn scan(layer: &Layer, cancel: &CancellationToken) -> Result<ScannedLayer, Error> {
    let is_folder = std::fs::metadata(&layer.root).map(|metadata| metadata.is_dir());
    match is_folder {
        Ok(true) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(error).context("list", &layer.root);
        }
        _ => {
            return Err(Error::NoFolder {
                layer: layer.name.clone(),
                path: layer.root.clone(),
            });
        }
    }
    let walk = Walk::new(layer);
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| walk.work(cancel));
        }
    });
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let mut found = walk
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .found;
    if !layer.root.is_dir() {
        return Err(Error::NoFolder {
            layer: layer.name.clone(),
            path: layer.root.clone(),
        });
    }
    if !found.unusable.is_empty() {
        found
            .unusable
            .sort_by(|one, other| one.path.cmp(&other.path));
        let count = found.unusable.len();
        found.unusable.truncate(UNUSABLE_SHOWN);
        return Err(Error::Unusable {
            layer: layer.name.clone(),
            files: found.unusable,
            count,
        });
    }
    found
        .entries
        .sort_by(|one, other| one.path.cmp(&other.path));
    Ok(ScannedLayer {
        layer: layer.clone(),
        entries: found.entries,
    })
}

/// A walk that several threads do together.
struct Walk<'a> {
    layer: &'a Layer,
    state: Mutex<State>,
    /// There is a folder to list, or nothing will come any more.
    news: Condvar,
}

struct State {
    /// Folders that wait to be listed: where they are, and what they will be.
    waiting: Vec<(PathBuf, GuestPath)>,
    /// How many are being listed, each of which may hold more.
    listing: usize,
    found: Found,
}

#[derive(Default)]
struct Found {
    entries: Vec<Scanned>,
    unusable: Vec<Unusable>,
    folders: Vec<(PathBuf, GuestPath)>,
}

impl<'a> Walk<'a> {
    fn new(layer: &'a Layer) -> Self {
        let waiting = vec![(layer.root.clone(), GuestPath::root())];
        let state = State {
            waiting,
            listing: 0,
            found: Found::default(),
        };
        Self {
            layer,
            state: Mutex::new(state),
            news: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, cancel: &CancellationToken) {
        let mut state = self.state();
        loop {
            if cancel.is_cancelled() || (state.waiting.is_empty() && state.listing == 0) {
                self.news.notify_all();
                return;
            }
            let Some((folder, path)) = state.waiting.pop() else {
                state = self
                    .news
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.listing += 1;
            drop(state);
            let mut found = Found::default();
            self.list(&folder, &path, &mut found, cancel);
            state = self.state();
            state.listing -= 1;
            state.found.entries.append(&mut found.entries);
            state.found.unusable.append(&mut found.unusable);
            state.waiting.append(&mut found.folders);
            self.news.notify_all();
        }
    }

    fn list(&self, folder: &Path, at: &GuestPath, found: &mut Found, cancel: &CancellationToken) {
        let mut unusable =
            |path: String, reason: String| found.unusable.push(Unusable { path, reason });
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return unusable(at.to_string(), cannot("listed", &error)),
        };
        for entry in entries {
            if cancel.is_cancelled() {
                return;
            }
            match entry {
                Ok(entry) => self.look(&entry, at, found),
                Err(error) => {
                    found.unusable.push(Unusable {
                        path: at.to_string(),
                        reason: cannot("listed", &error),
                    });
                    return;
                }
            }
        }
    }

    fn look(&self, entry: &DirEntry, folder: &GuestPath, found: &mut Found) {
        let name = entry.file_name();
        if folder.is_root() && name == META_DIRECTORY {
            return;
        }
        let shown = || {
            let slash = if folder.is_root() { "" } else { "/" };
            format!("{folder}{slash}{}", name.to_string_lossy())
        };
        let path = match folder.join(name.as_bytes()) {
            Ok(path) => path,
            Err(error) => {
                let reason = format!("cannot be in a guest: {error}");
                return found.unusable.push(Unusable {
                    path: shown(),
                    reason,
                });
            }
        };
        if self.layer.ignore.is_ignored(path.as_bytes()) {
            return;
        }
        let source = entry.path();
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                let reason = cannot("read", &error);
                return found.unusable.push(Unusable {
                    path: shown(),
                    reason,
                });
            }
        };
        let mode = metadata.permissions().mode() & MODE_BITS;
        let kind = match kind_of(&source, &metadata) {
            Ok(kind) => kind,
            Err(reason) => {
                return found.unusable.push(Unusable {
                    path: shown(),
                    reason,
                });
            }
        };
        if matches!(kind, ScannedKind::Directory) {
            found.folders.push((source, path.clone()));
        }
        found.entries.push(Scanned { path, kind, mode });
    }
}

/// What an entry is, or why it cannot be in an image.
fn kind_of(source: &Path, metadata: &Metadata) -> Result<ScannedKind, String> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Ok(ScannedKind::Directory);
    }
    if kind.is_symlink() {
        let target = std::fs::read_link(source).map_err(|error| cannot("read", &error))?;
        return Ok(ScannedKind::Symlink {
            target: target.into_os_string().into_vec(),
        });
    }
    if !kind.is_file() {
        return Err(format!("is {}, which an image cannot hold", special(kind)));
    }
    // Asking costs; a file that everybody may read need not be asked about.
    if metadata.permissions().mode() & READABLE_BY_ALL != READABLE_BY_ALL
        && let Err(error) = access(source, Access::READ_OK)
    {
        return Err(cannot("read", &error.into()));
    }
    Ok(ScannedKind::File {
        stamp: Stamp::of(metadata),
    })
}

fn cannot(doing: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotFound => "it is gone again".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot be {doing} ({why})")
}

/// What a special file is called.
fn special(kind: FileType) -> &'static str {
    if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_char_device() {
        "a character device"
    } else {
        "a special file"
    }
}
