//! The same work for many files, by a few threads, while the caller's thread tells how far it is.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use windlass_package::Watch;

use crate::error::Error;

/// More threads than this only wait for the disk.
const THREADS_MAX: usize = 8;

/// How much a thread reads at once.
const BUFFER_BYTES: usize = 256 << 10;

/// What a thread works with.
pub(crate) struct Hand<'a> {
    /// To read into.
    pub(crate) buffer: Vec<u8>,
    told: Sender<u64>,
    stop: &'a AtomicBool,
}

impl Hand<'_> {
    /// So many bytes more are done.
    pub(crate) fn advance(&self, bytes: u64) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        // Whoever listens ends after us.
        let _ = self.told.send(bytes);
        Ok(())
    }
}

/// Does the work for all items, and gives the results in their order. The first failure ends it.
pub(crate) fn for_all<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T, &mut Hand<'_>) -> Result<R, Error> + Sync,
    watch: &mut dyn Watch,
) -> Result<Vec<R>, Error> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(THREADS_MAX)
        .min(items.len());
    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (told, heard) = channel();
    let mut cancelled = false;
    let done: Vec<Result<Vec<(usize, R)>, Error>> = thread::scope(|scope| {
        let hands: Vec<_> = (0..threads)
            .map(|_| {
                let mut hand = Hand {
                    buffer: vec![0; BUFFER_BYTES],
                    told: told.clone(),
                    stop: &stop,
                };
                let (stop, next, work) = (&stop, &next, &work);
                scope.spawn(move || {
                    let mut results = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(at) else { break };
                        let result = work(item, &mut hand)
                            .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                        results.push((at, result));
                    }
                    Ok(results)
                })
            })
            .collect();
        drop(told);
        for bytes in heard {
            if watch.advance(bytes).is_break() {
                cancelled = true;
                stop.store(true, Ordering::Relaxed);
            }
        }
        hands
            .into_iter()
            .map(|hand| {
                hand.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    if cancelled {
        return Err(Error::Cancelled);
    }
    let mut results = Vec::with_capacity(items.len());
    let mut failure = None;
    for done in done {
        match done {
            Ok(done) => results.extend(done),
            // The others heard of the failure as of a cancellation.
            Err(error) if matches!(failure, None | Some(Error::Cancelled)) => failure = Some(error),
            Err(_) => {}
        }
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    results.sort_unstable_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
