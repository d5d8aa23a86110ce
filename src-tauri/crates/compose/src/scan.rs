//! What a layer holds: paths, kinds, sizes, times. No file is read.
//!
//! Most of the time goes to waiting for the file system, so that folders are listed by several threads: each lists what it
//! finds, and gives some away where another has nothing to do. A folder's entries are sorted by name, and the lists are put
//! together from the root down, so that nothing depends on who was first. A file is looked at by its name in its open
//! folder: the system need not go the whole way for each.
//!
//! What is found stays in memory up to [`spill::in_memory`] entries. Beyond, lists go to a file without a name: one for each
//! folder, or several, each sorted, where a folder alone has so many entries.

use std::ffi::CStr;
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fd::BorrowedFd;
use rustix::fs::{Access, AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;
use windlass_image::GuestPath;
use windlass_image::spill::{self, Store};
use windlass_package::META_DIRECTORY;

use crate::error::{Error, IoContext, UNUSABLE_SHOWN, Unusable};
use crate::layer::Layer;
use crate::stamp::Stamp;

mod listing;

pub(crate) use listing::Entries;
use listing::{Found, Listing, Run};

/// More threads than this only wait for each other.
const THREADS_MAX: usize = 8;

/// So many folders are not worth a second thread.
const FOLDERS_ALONE: usize = 48;

/// The permission bits of a file that everybody may read.
const READABLE_BY_ALL: u32 = 0o444;

/// The permission bits of a file or folder.
const MODE_BITS: u32 = 0o7777;

/// A layer with the paths, kinds, sizes and times of all that is in it.
#[derive(Debug, Clone)]
pub struct ScannedLayer {
    /// The layer.
    pub layer: Layer,
    /// What is in each of its folders, sorted by name; the root is the first.
    folders: Vec<Listing>,
    count: usize,
    store: Option<Arc<Store>>,
}

impl ScannedLayer {
    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// What is in it, in the order of paths: each folder is followed by what is in it.
    pub(crate) fn into_entries(self) -> Entries {
        let mut entries = Entries {
            folders: self.folders,
            store: self.store,
            open: Vec::new(),
        };
        entries.enter(GuestPath::root(), 0);
        entries
    }
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
    let mut listings = walk.list_some(cancel);
    if !walk.is_done() {
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS_MAX);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| walk.work(cancel)))
                .collect();
            for worker in workers {
                let found = worker.join();
                let found = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                listings.folders.extend(found.folders);
                listings.unusable.extend(found.unusable);
            }
        });
    }
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    if !layer.root.is_dir() {
        return Err(Error::NoFolder {
            layer: layer.name.clone(),
            path: layer.root.clone(),
        });
    }
    let mut unusable = listings.unusable;
    if !unusable.is_empty() {
        unusable.sort_by(|one, other| one.path.cmp(&other.path));
        let count = unusable.len();
        unusable.truncate(UNUSABLE_SHOWN);
        return Err(Error::Unusable {
            layer: layer.name.clone(),
            files: unusable,
            count,
        });
    }
    let mut folders: Vec<Listing> = Vec::new();
    folders.resize_with(listings.folders.len(), Listing::default);
    for (number, listing) in listings.folders {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(folder) = folders.get_mut(number) {
            *folder = listing;
        }
    }
    Ok(ScannedLayer {
        layer: layer.clone(),
        folders,
        count: walk.count.load(Ordering::Relaxed),
        store: walk.store.into_inner().flatten(),
    })
}

/// A folder that waits to be listed.
struct Folder {
    number: u32,
    path: GuestPath,
}

/// What one thread found.
#[derive(Default)]
struct Listings {
    folders: Vec<(u32, Listing)>,
    unusable: Vec<Unusable>,
}

/// A walk that several threads do together.
struct Walk<'a> {
    layer: &'a Layer,
    /// How many folders there are.
    numbers: AtomicU32,
    /// How many entries there are, and how many of them may still be held in memory.
    count: AtomicUsize,
    room: AtomicUsize,
    /// Where the others are; none where it cannot be had.
    store: OnceLock<Option<Arc<Store>>>,
    /// How many threads have nothing to do.
    idle: AtomicUsize,
    state: Mutex<State>,
    /// There is a folder to list, or nothing will come any more.
    news: Condvar,
}

struct State {
    /// Folders that wait to be listed.
    waiting: Vec<Folder>,
    /// How many threads are listing, each of which may find more.
    busy: usize,
}

/// What a thread works with.
#[derive(Default)]
struct Hands {
    found: Listings,
    /// Folders to list, which nobody else knows of.
    folders: Vec<Folder>,
}

impl<'a> Walk<'a> {
    fn new(layer: &'a Layer) -> Self {
        let root = Folder {
            number: 0,
            path: GuestPath::root(),
        };
        let state = State {
            waiting: vec![root],
            busy: 0,
        };
        Self {
            layer,
            numbers: AtomicU32::new(1),
            count: AtomicUsize::new(0),
            room: AtomicUsize::new(spill::in_memory()),
            store: OnceLock::new(),
            idle: AtomicUsize::new(0),
            state: Mutex::new(state),
            news: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_done(&self) -> bool {
        self.state().waiting.is_empty()
    }

    /// Lists the first folders, or all, where there are few.
    fn list_some(&self, cancel: &CancellationToken) -> Listings {
        let mut hands = Hands::default();
        hands.folders.append(&mut self.state().waiting);
        for _ in 0..FOLDERS_ALONE {
            match hands.folders.pop() {
                Some(folder) if !cancel.is_cancelled() => self.list(&folder, &mut hands, cancel),
                _ => break,
            }
        }
        self.state().waiting.append(&mut hands.folders);
        hands.found
    }

    fn work(&self, cancel: &CancellationToken) -> Listings {
        let mut hands = Hands::default();
        while let Some(folder) = self.wait(cancel) {
            hands.folders.push(folder);
            while let Some(folder) = hands.folders.pop() {
                self.list(&folder, &mut hands, cancel);
                if cancel.is_cancelled() {
                    break;
                }
                if hands.folders.len() > 1 && self.idle.load(Ordering::Relaxed) > 0 {
                    // The oldest, which are likely to hold the most.
                    let given = hands.folders.drain(..hands.folders.len() / 2);
                    self.state().waiting.extend(given);
                    self.news.notify_all();
                }
            }
            self.state().busy -= 1;
        }
        hands.found
    }

    /// Waits for a folder; `None` where nothing will come any more.
    fn wait(&self, cancel: &CancellationToken) -> Option<Folder> {
        let mut state = self.state();
        loop {
            if cancel.is_cancelled() || (state.waiting.is_empty() && state.busy == 0) {
                self.news.notify_all();
                return None;
            }
            if let Some(folder) = state.waiting.pop() {
                state.busy += 1;
                return Some(folder);
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
            state = self
                .news
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn list(&self, folder: &Folder, hands: &mut Hands, cancel: &CancellationToken) {
        let (mut entries, mut listing) = (Vec::new(), Listing::default());
        if let Err(error) = self.look_into(folder, &mut entries, &mut listing, hands, cancel) {
            hands.found.unusable.push(Unusable {
                path: folder.path.to_string(),
                reason: cannot("listed", error),
            });
        }
        entries.shrink_to_fit();
        self.keep(&mut listing, entries);
        hands.found.folders.push((folder.number, listing));
    }

    /// Adds entries of a folder to its list: in memory, where there is room.
    fn keep(&self, listing: &mut Listing, mut entries: Vec<Found>) {
        if entries.is_empty() {
            return;
        }
        entries.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        let count = entries.len();
        self.count.fetch_add(count, Ordering::Relaxed);
        let taken = self
            .room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                room.checked_sub(count)
            });
        if taken.is_err() {
            let store = self.store.get_or_init(|| Store::new().ok().map(Arc::new));
            let run = store.as_ref().and_then(|store| Run::write(store, &entries));
            if let Some(run) = run {
                listing.runs.push(run);
                return;
            }
        }
        listing.entries.push(entries);
    }

    fn look_into(
        &self,
        folder: &Folder,
        entries: &mut Vec<Found>,
        listing: &mut Listing,
        hands: &mut Hands,
        cancel: &CancellationToken,
    ) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (outside, flags) = if folder.path.is_root() {
            (self.layer.root.clone(), flags)
        } else {
            // What was a folder a moment ago may be a link by now.
            let outside = folder.path.below(&self.layer.root);
            (outside, flags | OFlags::NOFOLLOW)
        };
        let at_once = spill::in_memory();
        let mut list = Dir::new(rustix::fs::open(outside, flags, Mode::empty())?)?;
        while let Some(entry) = list.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if cancel.is_cancelled() {
                return Ok(());
            }
            match self.look(list.fd()?, name, &folder.path) {
                Ok(Some((path, kind, mode))) => {
                    let inside = matches!(kind, ScannedKind::Directory)
                        .then(|| NonZeroU32::new(self.numbers.fetch_add(1, Ordering::Relaxed)))
                        .flatten();
                    if let Some(number) = inside {
                        let (number, path) = (number.get(), path.clone());
                        hands.folders.push(Folder { number, path });
                    }
                    let scanned = Scanned { path, kind, mode };
                    entries.push(Found {
                        scanned,
                        folder: inside,
                    });
                    if entries.len() >= at_once {
                        self.keep(listing, std::mem::take(entries));
                    }
                }
                Ok(None) => {}
                Err(reason) => {
                    let slash = if folder.path.is_root() { "" } else { "/" };
                    let path = format!("{}{slash}{}", folder.path, name.to_string_lossy());
                    hands.found.unusable.push(Unusable { path, reason });
                }
            }
        }
        Ok(())
    }

    /// What an entry is, or why it cannot be in an image; `None` for what is left out.
    fn look(
        &self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        at: &GuestPath,
    ) -> Result<Option<(GuestPath, ScannedKind, u32)>, String> {
        if at.is_root() && name.to_bytes() == META_DIRECTORY.as_bytes() {
            return Ok(None);
        }
        let path = at
            .join(name.to_bytes())
            .map_err(|error| format!("cannot be in a guest: {error}"))?;
        if self.layer.ignore.is_ignored(path.as_bytes()) {
            return Ok(None);
        }
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| cannot("read", error))?;
        let kind = kind_of(folder, name, &stat)?;
        Ok(Some((path, kind, stat.st_mode & MODE_BITS)))
    }
}

/// What an entry is, or why it cannot be in an image.
fn kind_of(folder: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<ScannedKind, String> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(ScannedKind::Directory),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(folder, name, Vec::new())
                .map_err(|error| cannot("read", error))?;
            Ok(ScannedKind::Symlink {
                target: target.into_bytes(),
            })
        }
        FileType::RegularFile => {
            // Asking costs; a file that everybody may read need not be asked about.
            if stat.st_mode & READABLE_BY_ALL != READABLE_BY_ALL {
                rustix::fs::accessat(folder, name, Access::READ_OK, AtFlags::empty())
                    .map_err(|error| cannot("read", error))?;
            }
            Ok(ScannedKind::File {
                stamp: Stamp::of_stat(stat),
            })
        }
        kind => Err(format!("is {}, which an image cannot hold", special(kind))),
    }
}

fn cannot(doing: &str, error: Errno) -> String {
    let why = match error {
        Errno::ACCESS | Errno::PERM => "permission denied".to_owned(),
        Errno::NOENT => "it is gone again".to_owned(),
        _ => io::Error::from(error).to_string(),
    };
    format!("cannot be {doing} ({why})")
}

/// What a special file is called.
fn special(kind: FileType) -> &'static str {
    match kind {
        FileType::Socket => "a socket",
        FileType::Fifo => "a named pipe",
        FileType::BlockDevice => "a block device",
        FileType::CharacterDevice => "a character device",
        _ => "a special file",
    }
}
