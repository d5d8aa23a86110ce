//! The digests of all files of a plan, and whether the files are still what was scanned.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;
use windlass_image::{GuestPath, spill};

use crate::digest::{DigestCache, digest_unchanged};
use crate::error::Error;
use crate::plan::{Entry, Origin, Plan};
use crate::stamp::Stamp;

/// Digests of files by their index among the entries of a plan: a byte that says what is known, and the digest. Those of a
/// large plan lie in a file, but for some pages.
#[derive(Debug, Default)]
pub(super) struct FileDigests {
    count: usize,
    /// All of them, or a few.
    pages: Mutex<Vec<Page>>,
    store: Option<File>,
    failed: OnceLock<io::ErrorKind>,
}

/// Some digests that lie side by side.
#[derive(Debug)]
struct Page {
    number: usize,
    slots: Box<[Slot]>,
    is_dirty: bool,
}

type Slot = [u8; SLOT];

/// A byte and a digest.
const SLOT: usize = 33;

const PAGE_SLOTS: usize = 1024;

/// The pages that are held of a large plan. Reading is some thousand files ahead of the writing at most.
const PAGES: usize = 16;

/// What is known of a digest: nothing, that of an earlier build, that of the bytes that went into this image.
const KNOWN: u8 = 1;
const FOUND: u8 = 2;

impl FileDigests {
    /// None of a plan's is known.
    pub(super) fn new(plan: &Plan) -> Self {
        let count = plan.len();
        let store = (count > spill::in_memory()).then(|| spill::nameless().ok());
        Self {
            count,
            store: store.flatten(),
            ..Self::default()
        }
    }

    fn with<T>(&self, index: usize, see: impl FnOnce(&mut Slot, &mut bool) -> T) -> Option<T> {
        if index >= self.count {
            return None;
        }
        let (number, within) = (index / PAGE_SLOTS, index % PAGE_SLOTS);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match &self.store {
            // All are there, in order.
            None => {
                while pages.len() <= number {
                    let number = pages.len();
                    pages.push(Page::empty(number));
                }
                number
            }
            Some(store) => {
                let place = pages.iter().rposition(|page| page.number == number);
                match place {
                    Some(place) if place + 1 == pages.len() => {}
                    Some(place) => {
                        let page = pages.remove(place);
                        pages.push(page);
                    }
                    None => {
                        if pages.len() >= PAGES {
                            let oldest = pages.remove(0);
                            self.note(oldest.write(store));
                        }
                        let mut page = Page::empty(number);
                        self.note(page.read(store));
                        pages.push(page);
                    }
                }
                pages.len() - 1
            }
        };
        let page = pages.get_mut(place)?;
        Some(see(page.slots.get_mut(within)?, &mut page.is_dirty))
    }

    fn note(&self, result: io::Result<()>) {
        if let Err(error) = result {
            let _ = self.failed.set(error.kind());
        }
    }

    /// Whether all that was put here is still known.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn check(&self) -> io::Result<()> {
        self.failed.get().map_or(Ok(()), |kind| Err((*kind).into()))
    }

    pub(super) fn get(&self, index: usize) -> Option<blake3::Hash> {
        self.with(index, |slot, _| {
            let [state, digest @ ..] = *slot;
            (state != 0).then(|| blake3::Hash::from_bytes(digest))
        })
        .flatten()
    }

    pub(super) fn knows(&self, index: usize) -> bool {
        self.with(index, |slot, _| slot[0] != 0) == Some(true)
    }

    pub(super) fn is_found(&self, index: usize) -> bool {
        self.with(index, |slot, _| slot[0] == FOUND) == Some(true)
    }

    pub(super) fn insert(&mut self, index: usize, digest: blake3::Hash) {
        self.put(index, digest, KNOWN);
    }

    pub(super) fn found(&mut self, index: usize, digest: blake3::Hash) {
        self.put(index, digest, FOUND);
    }

    fn put(&mut self, index: usize, digest: blake3::Hash, state: u8) {
        self.with(index, |slot, is_dirty| {
            slot[0] = state;
            slot[1..].copy_from_slice(digest.as_bytes());
            *is_dirty = true;
        });
    }
}

impl Page {
    fn empty(number: usize) -> Self {
        Self {
            number,
            slots: vec![[0; SLOT]; PAGE_SLOTS].into_boxed_slice(),
            is_dirty: false,
        }
    }

    fn at(&self) -> u64 {
        self.number as u64 * (PAGE_SLOTS * SLOT) as u64
    }

    fn write(&self, store: &File) -> io::Result<()> {
        if self.is_dirty {
            store.write_all_at(self.slots.as_flattened(), self.at())?;
        }
        Ok(())
    }

    /// What lies behind the end of the file is not known yet.
    fn read(&mut self, store: &File) -> io::Result<()> {
        let mut at = self.at();
        let mut rest = self.slots.as_flattened_mut();
        while !rest.is_empty() {
            match store.read_at(rest, at)? {
                0 => return Ok(()),
                count => {
                    rest = &mut rest[count..];
                    at += count as u64;
                }
            }
        }
        Ok(())
    }
}

/// More threads than this take the disk from the writer.
const THREADS_MAX: usize = 4;

/// Fewer are not worth a thread.
const FILES_PER_THREAD: usize = 64;

/// So many are taken at a time.
const FILES_AT_ONCE: usize = 4;

/// The digests of what was made up, of a plan all of whose files are read anyway. A large one neither asks the cache, which
/// would have to be in memory, nor adds to it: its record says the same.
pub(super) fn made(plan: &Plan) -> FileDigests {
    let mut digests = FileDigests::new(plan);
    let mut index = 0;
    plan.sorted().each(|_, entry| {
        if let Origin::Made(bytes) = &entry.origin {
            digests.insert(index, blake3::hash(bytes));
        }
        index += 1;
    });
    digests
}

/// The digests of the files that need not be read for it.
pub(super) fn remembered(plan: &Plan, cache: &DigestCache) -> FileDigests {
    let mut digests = FileDigests::new(plan);
    let mut index = 0;
    plan.sorted().each(|path, entry| {
        let digest = match &entry.origin {
            Origin::None => None,
            Origin::Made(bytes) => Some(blake3::hash(bytes)),
            Origin::Host { folder, stamp } => cache.remembered(&path.below(folder), stamp),
        };
        if let Some(digest) = digest {
            digests.insert(index, digest);
        }
        index += 1;
    });
    digests
}

/// Adds the digests of the files that are not known yet, by reading them.
pub(super) fn complete(
    plan: &Plan,
    cache: &DigestCache,
    digests: &mut FileDigests,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let entries = plan.entries().enumerate();
    let unknown = entries.filter(|(index, (_, entry))| {
        matches!(entry.origin, Origin::Host { .. }) && !digests.knows(*index)
    });
    let unknown: Vec<u32> = unknown
        .filter_map(|(index, _)| u32::try_from(index).ok())
        .collect();
    let found = of_files(plan, &unknown, cache, cancel)?;
    for (index, digest) in unknown.into_iter().zip(found) {
        digests.insert(index as usize, digest);
    }
    Ok(())
}

/// The digests of some files of this computer, in their order. Where it is less work to read them than what the cache
/// remembers, the cache is not asked.
pub(super) fn of_files(
    plan: &Plan,
    indices: &[u32],
    cache: &DigestCache,
    cancel: &CancellationToken,
) -> Result<Vec<blake3::Hash>, Error> {
    let entries = indices
        .iter()
        .filter_map(|&index| plan.entry(index as usize));
    let bytes: u64 = entries.map(|(_, entry)| entry.size_bytes).sum();
    let is_asked = cache.is_worth_asking(bytes);
    let found = Mutex::new(Vec::with_capacity(indices.len()));
    in_parallel(plan, Files::These(indices), cancel, |index, file| {
        let path = file.path();
        let digest = if is_asked {
            cache.digest(&path, file.stamp, cancel)?
        } else {
            digest_unchanged(&path, file.stamp, cancel)?
        };
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.push((index, digest));
        Ok(())
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, digest)| digest).collect())
}

/// Looks at files once more, after they were written into the image.
///
/// # Errors
/// [`Error::Changed`] for the first that is not what was scanned.
pub(super) fn check_unchanged(
    plan: &Plan,
    files: Files<'_>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    in_parallel(plan, files, cancel, |_, file| {
        file.stamp.check(&file.path())
    })
}

/// Some of the entries of a plan, by their indices.
#[derive(Debug, Clone, Copy)]
pub(super) enum Files<'a> {
    All,
    These(&'a [u32]),
}

/// A file of this computer.
struct HostFile<'a> {
    folder: &'a Path,
    at: &'a GuestPath,
    stamp: &'a Stamp,
}

impl<'a> HostFile<'a> {
    fn of((at, entry): &'a (GuestPath, Entry)) -> Option<Self> {
        match &entry.origin {
            Origin::Host { folder, stamp } => Some(Self { folder, at, stamp }),
            _ => None,
        }
    }

    fn path(&self) -> PathBuf {
        self.at.below(self.folder)
    }
}

/// Does something with files of this computer, in several threads; ends with the first error, by the order of paths.
fn in_parallel(
    plan: &Plan,
    files: Files<'_>,
    cancel: &CancellationToken,
    work: impl Fn(usize, &HostFile<'_>) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    // A step is a part of all, which are looked at, or a few, which are likely to be read.
    let (count, steps) = match files {
        Files::All => (plan.len(), plan.sorted().parts()),
        Files::These(indices) => (indices.len(), indices.len().div_ceil(FILES_AT_ONCE)),
    };
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    // Whether to go on.
    let do_one = |index: usize, entry: &(GuestPath, Entry)| {
        let Some(file) = HostFile::of(entry) else {
            return true;
        };
        let result = if cancel.is_cancelled() {
            Err(Error::Cancelled)
        } else {
            work(index, &file)
        };
        let Err(error) = result else {
            return true;
        };
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.as_ref().is_none_or(|(first, _)| index < *first) {
            *failed = Some((index, error));
        }
        false
    };
    let do_step = |step: usize| match files {
        Files::All => {
            let (start, entries) = plan.sorted().part(step);
            (start..)
                .zip(entries.iter())
                .all(|(index, entry)| do_one(index, entry))
        }
        Files::These(indices) => {
            let these = indices.iter().skip(step * FILES_AT_ONCE);
            these.take(FILES_AT_ONCE).all(|&index| {
                let index = index as usize;
                plan.entry(index).is_none_or(|entry| do_one(index, &entry))
            })
        }
    };
    let next = AtomicUsize::new(0);
    let turn = || {
        loop {
            let step = next.fetch_add(1, Ordering::Relaxed);
            if step >= steps {
                return;
            }
            if !do_step(step) {
                next.store(steps, Ordering::Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX)
        .min(count.div_ceil(FILES_PER_THREAD));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(turn);
        }
        turn();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => plan.check_read(),
    }
}
