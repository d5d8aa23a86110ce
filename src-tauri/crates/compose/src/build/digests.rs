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

/// The digests of all files.
pub(super) fn of_files(
    plan: &Plan,
    cache: &DigestCache,
    cancel: &CancellationToken,
) -> Result<FileDigests, Error> {
    let digests = Mutex::new(FileDigests::new());
    in_parallel(plan, cancel, |index, work| {
        let digest = match work {
            Work::Made(bytes) => blake3::hash(bytes),
            Work::Host(path, stamp) => cache.digest(path, stamp, cancel)?,
        };
        digests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(index, digest);
        Ok(())
    })?;
    Ok(digests.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Looks at every file once more, after it was written into the image.
///
/// # Errors
/// [`Error::Changed`] for the first that is not what was scanned.
pub(super) fn check_unchanged(plan: &Plan, cancel: &CancellationToken) -> Result<(), Error> {
    in_parallel(plan, cancel, |_, work| match work {
        Work::Made(_) => Ok(()),
        Work::Host(path, stamp) => stamp.check(path),
    })
}

/// A file of a plan.
enum Work<'a> {
    Made(&'a [u8]),
    Host(&'a Path, &'a Stamp),
}

/// Does something with every file, in several threads; ends with the first error, by the order of paths.
fn in_parallel<'a>(
    plan: &'a Plan,
    cancel: &CancellationToken,
    work: impl Fn(usize, &Work<'a>) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let files: Vec<(usize, Work<'a>)> = plan
        .entries()
        .enumerate()
        .filter_map(|(index, (_, entry))| {
            Some((
                index,
                match &entry.origin {
                    Origin::None => return None,
                    Origin::Made(bytes) => Work::Made(bytes),
                    Origin::Host { path, stamp } => Work::Host(path, stamp),
                },
            ))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX);
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
