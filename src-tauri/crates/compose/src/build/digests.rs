//! The digests of all files of a plan, and whether the files are still what was scanned.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use windlass_image::GuestPath;

use crate::digest::{DigestCache, digest_unchanged};
use crate::error::Error;
use crate::plan::{Origin, Plan};
use crate::stamp::Stamp;

/// Digests of files by their index among the entries of a plan.
#[derive(Debug, Default)]
pub(super) struct FileDigests {
    digests: Vec<[u8; 32]>,
    states: Vec<State>,
}

/// What is known of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    /// From an earlier build.
    Known,
    /// From the bytes that went into this image.
    Found,
}

impl FileDigests {
    /// None of a plan's is known.
    pub(super) fn new(plan: &Plan) -> Self {
        let count = plan.entries().len();
        Self {
            digests: vec![[0; 32]; count],
            states: vec![State::Unknown; count],
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<blake3::Hash> {
        self.knows(index)
            .then(|| blake3::Hash::from_bytes(self.digests[index]))
    }

    pub(super) fn knows(&self, index: usize) -> bool {
        self.states
            .get(index)
            .is_some_and(|state| *state != State::Unknown)
    }

    pub(super) fn is_found(&self, index: usize) -> bool {
        self.states.get(index) == Some(&State::Found)
    }

    pub(super) fn insert(&mut self, index: usize, digest: blake3::Hash) {
        self.put(index, digest, State::Known);
    }

    pub(super) fn found(&mut self, index: usize, digest: blake3::Hash) {
        self.put(index, digest, State::Found);
    }

    fn put(&mut self, index: usize, digest: blake3::Hash, state: State) {
        if let Some(place) = self.digests.get_mut(index) {
            *place = *digest.as_bytes();
            self.states[index] = state;
        }
    }
}

/// More threads than this take the disk from the writer.
const THREADS_MAX: usize = 4;

/// Fewer are not worth a thread.
const FILES_PER_THREAD: usize = 64;

/// So many are taken at a time.
const FILES_AT_ONCE: usize = 4;

/// The digests of the files that need not be read for it.
pub(super) fn remembered(plan: &Plan, cache: &DigestCache) -> FileDigests {
    let mut digests = FileDigests::new(plan);
    for (index, (path, entry)) in plan.entries().enumerate() {
        let digest = match &entry.origin {
            Origin::None => None,
            Origin::Made(bytes) => Some(blake3::hash(bytes)),
            Origin::Host { folder, stamp } => cache.remembered(&path.below(folder), stamp),
        };
        if let Some(digest) = digest {
            digests.insert(index, digest);
        }
    }
    digests
}

/// Adds the digests of the files that are not known yet, by reading them.
pub(super) fn complete(
    plan: &Plan,
    cache: &DigestCache,
    digests: &mut FileDigests,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let unknown: Vec<u32> = (0..plan.entries().len())
        .filter(|&index| !digests.knows(index) && is_host_file(plan, index))
        .filter_map(|index| u32::try_from(index).ok())
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

fn is_host_file(plan: &Plan, index: usize) -> bool {
    matches!(plan.entry(index), Some((_, entry)) if matches!(entry.origin, Origin::Host { .. }))
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

impl HostFile<'_> {
    fn path(&self) -> PathBuf {
        self.at.below(self.folder)
    }
}

/// Does something with files of this computer, in several threads; ends with the first error, by the order of paths.
fn in_parallel<'a>(
    plan: &'a Plan,
    files: Files<'_>,
    cancel: &CancellationToken,
    work: impl Fn(usize, &HostFile<'a>) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let file_of = |index: usize| match plan.entry(index) {
        Some((at, entry)) => match &entry.origin {
            Origin::Host { folder, stamp } => Some(HostFile { folder, at, stamp }),
            _ => None,
        },
        None => None,
    };
    let count = match files {
        Files::All => plan.entries().len(),
        Files::These(indices) => indices.len(),
    };
    let index_at = |place: usize| match files {
        Files::All => place,
        Files::These(indices) => indices[place] as usize,
    };
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX)
        .min(count.div_ceil(FILES_PER_THREAD));
    let turn = || {
        loop {
            let first = next.fetch_add(FILES_AT_ONCE, Ordering::Relaxed);
            if first >= count {
                return;
            }
            for index in (first..count.min(first + FILES_AT_ONCE)).map(index_at) {
                let Some(file) = file_of(index) else { continue };
                let result = if cancel.is_cancelled() {
                    Err(Error::Cancelled)
                } else {
                    work(index, &file)
                };
                if let Err(error) = result {
                    next.store(count, Ordering::Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                        *failed = Some((index, error));
                    }
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(turn);
        }
        turn();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
