//! The digest of an image, kept in parts of 1 MiB, so that a change costs the parts that it touches.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use windlass_image::subtree::{self, Subtree};
use windlass_image::update::Patch;

use crate::error::Error;

const THREADS_MAX: usize = 4;

/// Fewer are not worth a thread.
const PARTS_PER_THREAD: usize = 8;

/// Reads parts of a file and digests them.
struct Reader<'a> {
    file: &'a File,
    size_bytes: u64,
    patch: Option<&'a Patch>,
    buffer: Vec<u8>,
    /// The last hole that was found.
    hole: (u64, u64),
}

impl Reader<'_> {
    fn part(&mut self, index: u64) -> io::Result<Subtree> {
        let start = index * subtree::BYTES;
        let length = self.size_bytes.saturating_sub(start).min(subtree::BYTES);
        if self.patch.is_none() && self.is_hole(start, length) {
            return Ok(subtree::of_zeros(start, self.size_bytes));
        }
        self.buffer.resize(usize::try_from(length).unwrap_or(0), 0);
        read_sparse(self.file, start, &mut self.buffer)?;
        if let Some(patch) = self.patch {
            overlay(patch, start, &mut self.buffer);
        }
        Ok(subtree::of(start, self.size_bytes, &self.buffer))
    }
}

impl Reader<'_> {
    /// Whether nothing was written there. Free space is not worth reading.
    #[cfg(target_os = "linux")]
    fn is_hole(&mut self, start: u64, length: u64) -> bool {
        if (self.hole.0..self.hole.1).contains(&start) {
            return start + length <= self.hole.1;
        }
        let data = match rustix::fs::seek(self.file, rustix::fs::SeekFrom::Data(start)) {
            Ok(data) => data,
            // There is no data behind here.
            Err(rustix::io::Errno::NXIO) => self.size_bytes,
            Err(_) => return false,
        };
        if data > start {
            self.hole = (start, data);
        }
        start + length <= data
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "other systems are not asked")]
    fn is_hole(&mut self, _start: u64, _length: u64) -> bool {
        false
    }
}

/// Fills a buffer; what lies beyond the end of the file is zero.
fn read_sparse(file: &File, start: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], start + filled as u64) {
            Ok(0) => {
                buffer[filled..].fill(0);
                break;
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Puts what a patch will write over what is there.
fn overlay(patch: &Patch, start: u64, buffer: &mut [u8]) {
    let end = start + buffer.len() as u64;
    for (&at, bytes) in patch.writes.range(..end) {
        let (from, to) = (at.max(start), (at + bytes.len() as u64).min(end));
        if from < to {
            let place = |offset: u64, base: u64| usize::try_from(offset - base).unwrap_or(0);
            buffer[place(from, start)..place(to, start)]
                .copy_from_slice(&bytes[place(from, at)..place(to, at)]);
        }
    }
}

/// Digests all parts of a file, in several threads. `progress` is told how many bytes are done.
pub(super) fn of_file(
    file: &File,
    size_bytes: u64,
    mut progress: impl FnMut(u64),
    cancel: &CancellationToken,
) -> io::Result<Vec<Subtree>> {
    let all: Vec<u64> = (0..subtree::count(size_bytes)).collect();
    let mut parts = vec![[0; 32]; all.len()];
    some(
        file,
        size_bytes,
        None,
        &all,
        &mut parts,
        &mut progress,
        cancel,
    )?;
    Ok(parts)
}

/// Digests the parts that a patch changes anew; before it is applied, and behind what was written already.
pub(super) fn after(
    file: &File,
    patch: &Patch,
    mut parts: Vec<Subtree>,
    size_before: u64,
    cancel: &CancellationToken,
) -> io::Result<Vec<Subtree>> {
    let (before, now) = (parts.len() as u64, subtree::count(patch.size_bytes));
    let mut touched = BTreeSet::new();
    for (at, length) in patch.touched().filter(|(_, length)| *length > 0) {
        touched.extend(at / subtree::BYTES..=(at + length - 1) / subtree::BYTES);
    }
    if size_before != patch.size_bytes {
        touched.extend(before.min(now).saturating_sub(1)..now);
    }
    // The only part is digested in another way than one of several.
    if (before == 1) != (now == 1) {
        touched.extend(0..now);
    }
    parts.resize(usize::try_from(now).unwrap_or(0), [0; 32]);
    let touched: Vec<u64> = touched.into_iter().filter(|&part| part < now).collect();
    some(
        file,
        patch.size_bytes,
        Some(patch),
        &touched,
        &mut parts,
        &mut |_| (),
        cancel,
    )?;
    Ok(parts)
}

fn some(
    file: &File,
    size_bytes: u64,
    patch: Option<&Patch>,
    wanted: &[u64],
    parts: &mut [Subtree],
    progress: &mut dyn FnMut(u64),
    cancel: &CancellationToken,
) -> io::Result<()> {
    let next = AtomicU64::new(0);
    let found: Mutex<Vec<(u64, Subtree)>> = Mutex::new(Vec::new());
    let work = |progress: &mut dyn FnMut(u64)| -> io::Result<()> {
        let mut reader = Reader {
            file,
            size_bytes,
            patch,
            buffer: Vec::new(),
            hole: (0, 0),
        };
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let Some(&index) = usize::try_from(turn).ok().and_then(|turn| wanted.get(turn)) else {
                return Ok(());
            };
            if cancel.is_cancelled() {
                return Err(io::Error::other(Error::Cancelled));
            }
            let part = reader.part(index)?;
            found
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((index, part));
            progress(turn * subtree::BYTES);
        }
    };
    let helpers = std::thread::available_parallelism().map_or(1, usize::from);
    let helpers = helpers
        .min(THREADS_MAX)
        .min(wanted.len().div_ceil(PARTS_PER_THREAD))
        .saturating_sub(1);
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers)
            .map(|_| scope.spawn(|| work(&mut |_| ())))
            .collect();
        let mut result = work(progress);
        for helper in helpers {
            let other = helper
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })?;
    for (index, part) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        if let Some(place) = usize::try_from(index)
            .ok()
            .and_then(|index| parts.get_mut(index))
        {
            *place = part;
        }
    }
    Ok(())
}
