//! The digests of all files of a plan, and whether the files are still what was scanned.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::digest::DigestCache;
use crate::error::Error;
use crate::plan::{Origin, Plan};
use crate::stamp::Stamp;

/// Digests of files by their index among the entries of a plan.
pub(super) type FileDigests = HashMap<usize, blake3::Hash>;

/// More threads than this take the disk from the writer.
const THREADS_MAX: usize = 4;

/// Fewer are not worth a thread.
const FILES_PER_THREAD: usize = 16;

/// The digests of the files that need not be read for it.
pub(super) fn remembered(plan: &Plan, cache: &DigestCache) -> FileDigests {
    let files = plan.entries().enumerate();
    let known = files.filter_map(|(index, (_, entry))| match &entry.origin {
        Origin::None => None,
        Origin::Made(bytes) => Some((index, blake3::hash(bytes))),
        Origin::Host { path, stamp } => Some((index, cache.remembered(path, stamp)?)),
    });
    known.collect()
}

/// Adds the digests of the files that are not known yet, by reading them.
pub(super) fn complete(
    plan: &Plan,
    cache: &DigestCache,
    digests: &mut FileDigests,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let found = Mutex::new(FileDigests::new());
    in_parallel(
        plan,
        |index| !digests.contains_key(&index),
        cancel,
        |index, file| {
            let digest = cache.digest(file.path, file.stamp, cancel)?;
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(index, digest);
            Ok(())
        },
    )?;
    digests.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

/// Looks at files once more, after they were written into the image.
///
/// # Errors
/// [`Error::Changed`] for the first that is not what was scanned.
pub(super) fn check_unchanged(
    plan: &Plan,
    wanted: impl Fn(usize) -> bool,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    in_parallel(plan, wanted, cancel, |_, file| file.stamp.check(file.path))
}

/// A file of this computer.
struct HostFile<'a> {
    path: &'a Path,
    stamp: &'a Stamp,
}

/// Does something with the wanted files, in several threads; ends with the first error, by the order of paths.
fn in_parallel<'a>(
    plan: &'a Plan,
    wanted: impl Fn(usize) -> bool,
    cancel: &CancellationToken,
    work: impl Fn(usize, &HostFile<'a>) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let files: Vec<(usize, HostFile<'a>)> = plan
        .entries()
        .enumerate()
        .filter_map(|(index, (_, entry))| match &entry.origin {
            Origin::Host { path, stamp } if wanted(index) => {
                Some((index, HostFile { path, stamp }))
            }
            _ => None,
        })
        .collect();
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX)
        .min(files.len().div_ceil(FILES_PER_THREAD));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, file)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = if cancel.is_cancelled() {
                        Err(Error::Cancelled)
                    } else {
                        work(*index, file)
                    };
                    if let Err(error) = result {
                        next.store(files.len(), Ordering::Relaxed);
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        if failed.as_ref().is_none_or(|(first, _)| index < first) {
                            *failed = Some((*index, error));
                        }
                        return;
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
