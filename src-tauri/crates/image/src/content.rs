//! The bytes of files on their way into an image.
//!
//! A file system's layout is known before its first file is opened, so that the copying is the same
//! for each of them: a list of [`Piece`]s, ascending in the image. Neighbours are put together into
//! batches of up to [`BATCH_BYTES`]; a few threads open, read and check the files of one batch each,
//! straight into a buffer that is laid out as the image is, and the calling thread writes the
//! buffers in their order:
//!
//! ```text
//!   pieces ──> batch 0 ──> reader 0 ──┐
//!              batch 1 ──> reader 1 ──┼──> write batch 0, 1, 2, 3 ... ──> watch
//!              batch 2 ──> reader 0 ──┘
//! ```
//!
//! Whoever watches may ask for the digests of files. They are made where the bytes are, in the readers; a
//! file that is read in several pieces is digested as the parts of BLAKE3's tree, which are put together
//! at its end.
//!
//! At most [`BATCHES_PER_READER`] batches per reader are under way, and their buffers are used again:
//! memory does not depend on the files.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::iter::Peekable;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::output::Output;
use crate::subtree::{self, Subtree};
use crate::{Error, GuestPath, Source, Watch};

/// Large enough that the system calls do not count, small enough to stay in a cache.
const BATCH_BYTES: u64 = subtree::BYTES;

/// Small files come in thousands; a batch of them is still to be read in a few milliseconds.
const BATCH_PIECES: usize = 256;

/// A gap up to this size is filled with zeros rather than skipped, where the output was empty before.
const GAP_BYTES: u64 = 4096;

const BATCHES_PER_READER: usize = 2;

/// One writer is not faster fed by more.
const READERS_MAX: usize = 4;

/// A stretch of a file, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) path: GuestPath,
    pub(crate) source: Source,
    /// The declared size of the whole file.
    pub(crate) file_bytes: u64,
    /// Where the piece starts in the file.
    pub(crate) from: u64,
    /// How long it is; 0 only for an empty file, which is opened all the same.
    pub(crate) length: u64,
    /// Where it goes in the image.
    pub(crate) at: u64,
    /// How many zeros are to follow it, where something else may have been.
    pub(crate) padding: u64,
}

/// Copies all pieces into the image; they have to ascend in it.
pub(crate) fn copy<W: Write + Seek>(
    pieces: impl Iterator<Item = Piece>,
    output: &mut Output<'_, W>,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let mut batches = Batches {
        pieces: pieces.peekable(),
        rest: None,
        gap_bytes: if output.is_used() { 0 } else { GAP_BYTES },
    }
    .peekable();
    let mut digests = Digests::default();
    let Some(first) = batches.next() else {
        return Ok(());
    };
    if batches.peek().is_none() {
        // Not worth a thread.
        let mut batch = first;
        batch.ask(watch);
        batch.read()?;
        return batch.write(output, watch, &mut digests);
    }
    thread::scope(|scope| {
        let readers: Vec<Reader> = (0..readers())
            .map(|_| {
                let (to_read, jobs) = channel::<Batch>();
                let (done, results) = channel();
                scope.spawn(move || read_batches(&jobs, &done));
                Reader { to_read, results }
            })
            .collect();
        let mut batches = std::iter::once(first).chain(batches);
        let mut buffers: Vec<Vec<u8>> = Vec::new();
        let (mut sent, mut written) = (0_usize, 0_usize);
        loop {
            while sent - written < readers.len() * BATCHES_PER_READER {
                let Some(mut batch) = batches.next() else {
                    break;
                };
                batch.buffer = buffers.pop().unwrap_or_default();
                batch.ask(watch);
                if readers[sent % readers.len()].to_read.send(batch).is_err() {
                    return Err(Error::reader_died());
                }
                sent += 1;
            }
            if sent == written {
                return Ok(());
            }
            let result = readers[written % readers.len()].results.recv();
            let batch: Batch = result.map_err(|_| Error::reader_died())??;
            batch.write(output, watch, &mut digests)?;
            buffers.push(batch.buffer);
            written += 1;
        }
    })
}

struct Reader {
    to_read: Sender<Batch>,
    results: Receiver<Result<Batch, Error>>,
}

fn read_batches(jobs: &Receiver<Batch>, done: &Sender<Result<Batch, Error>>) {
    for mut batch in jobs {
        let result = batch.read().map(|()| batch);
        // Nobody listens after a cancellation or an error.
        if done.send(result).is_err() {
            return;
        }
    }
}

fn readers() -> usize {
    thread::available_parallelism()
        .map_or(2, NonZero::get)
        .clamp(1, READERS_MAX)
}

/// Pieces that lie side by side in the image.
struct Batch {
    pieces: Vec<Piece>,
    at: u64,
    buffer: Vec<u8>,
    /// Which of the pieces are to be digested.
    wanted: Vec<bool>,
    digests: Vec<Option<Subtree>>,
}

/// The digests of the parts of a file that is not complete yet.
#[derive(Default)]
struct Digests {
    parts: Vec<Subtree>,
}

impl Batch {
    fn end(&self) -> u64 {
        self.pieces.last().map_or(self.at, Piece::end)
    }

    fn ask(&mut self, watch: &mut (impl Watch + ?Sized)) {
        let wanted = |piece: &Piece| piece.is_subtree() && watch.wants_digest(&piece.path);
        self.wanted = self.pieces.iter().map(wanted).collect();
    }

    fn read(&mut self) -> Result<(), Error> {
        let length = to_usize(self.end() - self.at);
        self.buffer.resize(length, 0);
        let mut filled = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            let start = to_usize(piece.at - self.at);
            // The buffer has been used before.
            self.buffer[filled..start].fill(0);
            filled = start + to_usize(piece.length);
            let bytes = &mut self.buffer[start..filled];
            piece.read(bytes)?;
            let wanted = self.wanted.get(index).is_some_and(|wanted| *wanted);
            self.digests
                .push(wanted.then(|| subtree::of(piece.from, piece.file_bytes, bytes)));
        }
        self.buffer[filled..].fill(0);
        Ok(())
    }

    fn write<W: Write + Seek>(
        &self,
        output: &mut Output<'_, W>,
        watch: &mut (impl Watch + ?Sized),
        digests: &mut Digests,
    ) -> Result<(), Error> {
        output.write_sparse_at(self.at, &self.buffer)?;
        for (piece, digest) in self.pieces.iter().zip(&self.digests) {
            let Some(digest) = digest else { continue };
            if piece.from == 0 {
                digests.parts.clear();
            }
            digests.parts.push(*digest);
            if piece.is_last() && digests.parts.len() as u64 == subtree::count(piece.file_bytes) {
                let digest = subtree::whole(&digests.parts, piece.file_bytes);
                watch.digested(&piece.path, digest);
            }
        }
        let bytes = self.pieces.iter().map(|piece| piece.length).sum();
        match watch.advance(bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}

/// A batch is never larger than [`BATCH_BYTES`] and its gaps.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Puts pieces together, and takes large ones apart.
struct Batches<I: Iterator<Item = Piece>> {
    pieces: Peekable<I>,
    rest: Option<Piece>,
    gap_bytes: u64,
}

impl<I: Iterator<Item = Piece>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let first = self.rest.take().or_else(|| self.pieces.next())?;
        let mut batch = Batch {
            at: first.at,
            pieces: Vec::new(),
            buffer: Vec::new(),
            wanted: Vec::new(),
            digests: Vec::new(),
        };
        if first.length > BATCH_BYTES {
            let rest = Piece {
                from: first.from + BATCH_BYTES,
                at: first.at + BATCH_BYTES,
                length: first.length - BATCH_BYTES,
                ..first.clone()
            };
            self.rest = Some(rest);
            batch.pieces.push(Piece {
                length: BATCH_BYTES,
                padding: 0,
                ..first
            });
            return Some(batch);
        }
        batch.pieces.push(first);
        while batch.pieces.len() < BATCH_PIECES {
            let (start, end) = (batch.at, batch.end());
            let next = self.pieces.next_if(|next| {
                next.at >= end
                    && next.at - end <= self.gap_bytes
                    && next.end() - start <= BATCH_BYTES
            });
            match next {
                Some(piece) => batch.pieces.push(piece),
                None => break,
            }
        }
        Some(batch)
    }
}

impl Piece {
    fn end(&self) -> u64 {
        self.at + self.length + self.padding
    }

    /// Whether the piece is a part of the file's digest; a file in fragments is cut elsewhere.
    fn is_subtree(&self) -> bool {
        self.from.is_multiple_of(subtree::BYTES)
            && (self.length == subtree::BYTES || (self.is_last() && self.length < subtree::BYTES))
    }

    fn is_last(&self) -> bool {
        self.from + self.length == self.file_bytes
    }

    fn read(&self, buffer: &mut [u8]) -> Result<(), Error> {
        match &self.source {
            Source::Bytes(bytes) => {
                let part = (bytes.len() as u64 == self.file_bytes)
                    .then(|| bytes.get(to_usize(self.from)..to_usize(self.from + self.length)))
                    .flatten()
                    .ok_or_else(|| self.changed(&format!("{} are there", bytes.len())))?;
                buffer.copy_from_slice(part);
                Ok(())
            }
            Source::Path(path) => self.read_file(path, buffer),
            Source::Below(folder) => self.read_file(&self.path.below(folder), buffer),
        }
    }

    fn read_file(&self, path: &Path, buffer: &mut [u8]) -> Result<(), Error> {
        let mut file = open(path).map_err(|error| self.unreadable(path, error))?;
        let count = self
            .fill(&mut file, buffer)
            .map_err(|error| self.unreadable(path, error))?;
        if count < buffer.len() {
            return Err(self.changed(&format!("only {} are there", self.from + count as u64)));
        }
        if self.is_last() {
            let more = file
                .seek(SeekFrom::Start(self.file_bytes))
                .and_then(|_| read_full(&mut file, &mut [0]))
                .map_err(|error| self.unreadable(path, error))?;
            if more > 0 {
                return Err(self.changed("there are more"));
            }
        }
        Ok(())
    }

    /// Fills the buffer as far as the file goes.
    fn fill(&self, file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
        if self.length >= BATCH_BYTES && self.is_hole(file) {
            let there = file
                .metadata()?
                .len()
                .saturating_sub(self.from)
                .min(self.length);
            buffer.fill(0);
            return Ok(to_usize(there));
        }
        if self.from > 0 || self.length >= BATCH_BYTES {
            file.seek(SeekFrom::Start(self.from))?;
        }
        read_full(file, buffer)
    }

    /// Whether the whole piece is a hole, which is not worth reading: disks are full of them.
    #[cfg(target_os = "linux")]
    fn is_hole(&self, file: &File) -> bool {
        match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(self.from)) {
            Ok(data) => data >= self.from + self.length,
            // There is no data behind here.
            Err(rustix::io::Errno::NXIO) => true,
            Err(_) => false,
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "other systems are not asked")]
    fn is_hole(&self, _file: &File) -> bool {
        false
    }

    fn unreadable(&self, path: &Path, source: io::Error) -> Error {
        Error::Source {
            path: path.to_owned(),
            guest_path: self.path.clone(),
            source,
        }
    }

    fn changed(&self, found: &str) -> Error {
        let path = match self.source.file(&self.path) {
            Some(path) => path.into_owned(),
            None => PathBuf::from(self.path.to_string()),
        };
        Error::Changed {
            path,
            expected_bytes: self.file_bytes,
            found: found.to_owned(),
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Opens a file to read. A pipe that took the place of a file must not hold us up.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.open(path)
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
