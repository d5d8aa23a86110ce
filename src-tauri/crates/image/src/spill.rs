//! Sorted lists of any length in bounded memory.
//!
//! Scans, plans and trees are lists in the order of paths that are made from the first entry to the last and then gone through
//! several times. Up to [`in_memory`] entries are held as they are; of a longer list only the last few are, and the rest lies
//! in a file that has no name, so that nothing is left of it, however the process ends:
//!
//! ```text
//!   few     tail: all entries
//!   many    file: | block 0 | block 1 | ...      512 entries each: varint bytes shared with the path before,
//!           blocks: first path, place, length                      varint length, rest of the path | the value
//!           tail: the entries behind the last block
//! ```
//!
//! Where the file cannot be written to, entries stay in memory. Where it cannot be read any more, a list ends early, and
//! [`Sorted::check`] says so: who makes something of a list asks before it counts.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::GuestPath;

/// So many entries are held in memory; an image of tens of thousands of files is none of those that are large.
const IN_MEMORY: usize = 1 << 16;

/// Entries of a block.
const BLOCK_ENTRIES: usize = 512;

/// Entries of a part of what is in memory.
const PART_ENTRIES: usize = 32;

/// Blocks that were looked into last, for who asks for single entries.
const CACHED_BLOCKS: usize = 8;

/// Where temporary files are that may be large; `/tmp` is memory on many systems.
const LARGE_TEMPORARY: &str = "/var/tmp";

static LIMIT: AtomicUsize = AtomicUsize::new(IN_MEMORY);

/// How many entries of a list are held in memory.
pub fn in_memory() -> usize {
    LIMIT.load(Ordering::Relaxed)
}

/// Has lists hold so many entries in memory, in this process and from now on.
pub fn keep_in_memory(entries: usize) {
    LIMIT.store(entries.max(1), Ordering::Relaxed);
}

/// A temporary file without a name, where `TMPDIR` says, or where it may be large.
///
/// # Errors
/// Where none can be made.
pub fn nameless() -> io::Result<File> {
    let folder = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    let folder = folder.unwrap_or_else(|| LARGE_TEMPORARY.into());
    tempfile::tempfile_in(folder).or_else(|_| tempfile::tempfile())
}

/// What can be kept in a list.
pub trait Value: Clone {
    /// What values share, and which is held in memory: folders, bytes that were made up.
    type Shared: Clone + Default + fmt::Debug;

    /// Adds its bytes.
    fn encode(&self, shared: &mut Self::Shared, out: &mut Vec<u8>);

    /// Reads it again; `None` where the bytes are none that were encoded.
    fn decode(shared: &Self::Shared, from: &mut Decoder<'_>) -> Option<Self>;
}

/// Adds a number as LEB128.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Adds bytes behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Finds something among what is shared, or adds it; there are few, and the last is mostly it.
pub fn place_of<T: ?Sized>(shared: &mut Vec<Arc<T>>, value: &Arc<T>) -> u64 {
    let place = shared.iter().rposition(|there| Arc::ptr_eq(there, value));
    let place = place.unwrap_or_else(|| {
        shared.push(Arc::clone(value));
        shared.len() - 1
    });
    place as u64
}

/// Reads what was encoded.
#[derive(Debug)]
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Reads from the first of these bytes on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }

    /// A number that is one of less bits.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.small()?;
        self.take(length)
    }
}

/// A file without a name, that bytes are put into and read from again.
#[derive(Debug)]
pub struct Store {
    file: File,
    end: AtomicU64,
    failed: OnceLock<(io::ErrorKind, String)>,
}

impl Store {
    /// An empty one.
    ///
    /// # Errors
    /// Where no temporary file can be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            file: nameless()?,
            end: AtomicU64::new(0),
            failed: OnceLock::new(),
        })
    }

    /// Puts bytes behind all others, and says where they are.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, at)?;
        Ok(at)
    }

    /// Reads bytes again; `None`, and [`check`](Self::check) says why, where they cannot be read.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> Option<()> {
        let read = self.file.read_exact_at(bytes, at);
        read.map_err(|error| self.fail(&error)).ok()
    }

    /// Notes that what was read is none of what was written.
    pub fn is_damaged(&self) {
        self.fail(&io::Error::new(
            io::ErrorKind::InvalidData,
            "a temporary file was written to by somebody else",
        ));
    }

    fn fail(&self, error: &io::Error) {
        let _ = self.failed.set((error.kind(), error.to_string()));
    }

    /// Whether all could be read that was asked for.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> io::Result<()> {
        match self.failed.get() {
            None => Ok(()),
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
        }
    }
}

/// Where a block is, and what it begins with.
#[derive(Debug, Clone)]
struct Block {
    first: GuestPath,
    /// The place of its first entry in the list.
    start: usize,
    count: usize,
    at: u64,
    length: usize,
}

type Entries<T> = Vec<(GuestPath, T)>;

/// Values by path, in the order of paths.
pub struct Sorted<T: Value> {
    blocks: Vec<Block>,
    store: Option<Arc<Store>>,
    shared: T::Shared,
    /// What is behind the blocks; never empty where the list is not.
    tail: Entries<T>,
    /// Why something is missing that was here before the list was copied.
    missing: Option<(io::ErrorKind, String)>,
    /// There is no place for more blocks.
    is_full: bool,
    /// Entries of blocks in memory, by the number of the block.
    cache: Mutex<Vec<(usize, Arc<Entries<T>>)>>,
}

impl<T: Value> Default for Sorted<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            store: None,
            shared: T::Shared::default(),
            tail: Vec::new(),
            missing: None,
            is_full: false,
            cache: Mutex::default(),
        }
    }
}

impl<T: Value> Clone for Sorted<T> {
    fn clone(&self) -> Self {
        Self {
            blocks: self.blocks.clone(),
            store: self.store.clone(),
            shared: self.shared.clone(),
            tail: self.tail.clone(),
            missing: self.missing.clone(),
            is_full: self.is_full,
            cache: Mutex::default(),
        }
    }
}

impl<T: Value> fmt::Debug for Sorted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sorted")
            .field("entries", &self.len())
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl<T: Value> Sorted<T> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.behind_blocks() + self.tail.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, entries: usize) {
        self.tail.reserve_exact(entries.min(in_memory()));
    }

    fn behind_blocks(&self) -> usize {
        self.blocks.last().map_or(0, |last| last.start + last.count)
    }

    /// The last path.
    pub fn last_path(&self) -> Option<&GuestPath> {
        self.tail.last().map(|(path, _)| path)
    }

    /// Adds an entry behind all others.
    pub fn push(&mut self, path: GuestPath, value: T) {
        debug_assert!(self.last_path().is_none_or(|last| *last < path));
        self.tail.push((path, value));
        let limit = in_memory();
        let room = if self.blocks.is_empty() {
            limit
        } else {
            BLOCK_ENTRIES.min(limit)
        };
        if self.tail.len() > room && !self.is_full {
            self.spill(BLOCK_ENTRIES.min(limit));
        }
    }

    /// Moves what is in memory, but for the last, to the file.
    fn spill(&mut self, block_entries: usize) {
        if self.try_spill(block_entries).is_err() {
            // What is here stays here.
            self.is_full = true;
        }
    }

    fn try_spill(&mut self, block_entries: usize) -> io::Result<()> {
        if self.store.is_none() {
            self.store = Some(Arc::new(Store::new()?));
        }
        let Some(store) = &self.store else {
            return Ok(());
        };
        let (mut bytes, mut done) = (Vec::new(), 0);
        let mut start = self.blocks.last().map_or(0, |last| last.start + last.count);
        let entries = self.tail.len() - 1;
        let mut result = Ok(());
        for part in self.tail[..entries].chunks(block_entries) {
            bytes.clear();
            let mut last: &[u8] = &[];
            for (path, value) in part {
                let path = path.as_bytes();
                let shared = last.iter().zip(path);
                let shared = shared.take_while(|(one, other)| one == other).count();
                put_number(&mut bytes, shared as u64);
                put_bytes(&mut bytes, &path[shared..]);
                value.encode(&mut self.shared, &mut bytes);
                last = path;
            }
            let at = match store.append(&bytes) {
                Ok(at) => at,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
            self.blocks.push(Block {
                first: part[0].0.clone(),
                start,
                count: part.len(),
                at,
                length: bytes.len(),
            });
            start += part.len();
            done += part.len();
        }
        self.tail.drain(..done);
        self.tail.shrink_to(2 * block_entries);
        result
    }

    fn load(&self, number: usize) -> Option<Entries<T>> {
        load(self.store.as_ref()?, &self.shared, self.blocks.get(number)?)
    }

    /// The entries of a block, which may be asked for again soon.
    fn block(&self, number: usize) -> Option<Arc<Entries<T>>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = cache.iter().position(|(there, _)| *there == number) {
            // The last is that which was asked for last.
            let found = cache.remove(place);
            let entries = Arc::clone(&found.1);
            cache.push(found);
            return Some(entries);
        }
        let entries = Arc::new(self.load(number)?);
        if cache.len() >= CACHED_BLOCKS {
            cache.remove(0);
        }
        cache.push((number, Arc::clone(&entries)));
        Some(entries)
    }

    /// The entry at a place.
    pub fn at(&self, place: usize) -> Option<(GuestPath, T)> {
        if let Some(place) = place.checked_sub(self.behind_blocks()) {
            return self.tail.get(place).cloned();
        }
        let number = self.blocks.partition_point(|block| block.start <= place) - 1;
        let block = self.block(number)?;
        block.get(place - self.blocks[number].start).cloned()
    }

    /// Whether this path is at a place.
    pub fn is_at(&self, place: usize, path: &GuestPath) -> bool {
        match place.checked_sub(self.behind_blocks()) {
            Some(place) => self.tail.get(place).is_some_and(|(there, _)| there == path),
            None => self.at(place).is_some_and(|(there, _)| there == *path),
        }
    }

    /// Where a path is, or where it would be.
    ///
    /// # Errors
    /// The place where it would be.
    pub fn find(&self, path: &GuestPath) -> Result<usize, usize> {
        let by_path = |(other, _): &(GuestPath, T)| other.cmp(path);
        let is_behind = self.tail.first().is_some_and(|(first, _)| first <= path);
        if is_behind || self.blocks.is_empty() {
            let behind = self.behind_blocks();
            let place = self.tail.binary_search_by(by_path);
            return place
                .map(|place| place + behind)
                .map_err(|place| place + behind);
        }
        let number = self.blocks.partition_point(|block| block.first <= *path);
        let Some(number) = number.checked_sub(1) else {
            return Err(0);
        };
        let start = self.blocks[number].start;
        let Some(block) = self.block(number) else {
            return Err(start);
        };
        let place = block.binary_search_by(by_path);
        place
            .map(|place| place + start)
            .map_err(|place| place + start)
    }

    /// What is at a path.
    pub fn get(&self, path: &GuestPath) -> Option<T> {
        let place = self.find(path).ok()?;
        self.at(place).map(|(_, value)| value)
    }

    /// Puts a value at a path, in the place of what is there. It is quick behind all others, and costs a copy of a list that
    /// is not in memory elsewhere.
    pub fn put(&mut self, path: GuestPath, value: T) {
        if self.last_path().is_none_or(|last| *last < path) {
            return self.push(path, value);
        }
        if self.tail.first().is_some_and(|(first, _)| *first <= path) || self.blocks.is_empty() {
            match self.tail.binary_search_by(|(other, _)| other.cmp(&path)) {
                Ok(place) => self.tail[place].1 = value,
                Err(place) => self.tail.insert(place, (path, value)),
            }
            return;
        }
        let old = std::mem::take(self);
        let mut new = Some((path, value));
        for (there, is) in &old {
            if let Some((path, value)) = new.take_if(|(path, _)| *path <= there) {
                let is_same = path == there;
                self.push(path, value);
                if is_same {
                    continue;
                }
            }
            self.push(there, is);
        }
        if let Some((path, value)) = new {
            self.push(path, value);
        }
        self.missing = old
            .check()
            .err()
            .map(|error| (error.kind(), error.to_string()));
    }

    /// How many [`part`](Self::part)s there are.
    pub fn parts(&self) -> usize {
        self.blocks.len() + self.tail.len().div_ceil(PART_ENTRIES)
    }

    /// Some entries that lie side by side, and the place of the first, for several threads to go through the list together.
    pub fn part(&self, number: usize) -> (usize, Cow<'_, [(GuestPath, T)]>) {
        let Some(number) = number.checked_sub(self.blocks.len()) else {
            let entries = self.load(number).unwrap_or_default();
            return (self.blocks[number].start, Cow::Owned(entries));
        };
        let from = number * PART_ENTRIES;
        let end = self.tail.len().min(from + PART_ENTRIES);
        let entries = self.tail.get(from..end).unwrap_or_default();
        (self.behind_blocks() + from, Cow::Borrowed(entries))
    }

    /// Shows everything, in order.
    pub fn each(&self, mut see: impl FnMut(&GuestPath, &T)) {
        for number in 0..self.blocks.len() {
            let Some(block) = self.load(number) else {
                return;
            };
            for (path, value) in &block {
                see(path, value);
            }
        }
        for (path, value) in &self.tail {
            see(path, value);
        }
    }

    /// Everything, in order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.iter_from(0)
    }

    /// Everything from a place on.
    pub fn iter_from(&self, place: usize) -> Iter<'_, T> {
        let left = self.len().saturating_sub(place);
        if let Some(place) = place.checked_sub(self.behind_blocks()) {
            return Iter {
                list: self,
                next_block: self.blocks.len(),
                block: Vec::new().into_iter(),
                tail: self.tail.get(place..).unwrap_or_default().iter(),
                left,
            };
        }
        let number = self.blocks.partition_point(|block| block.start <= place) - 1;
        let mut block = self.load(number).unwrap_or_default().into_iter();
        if place > self.blocks[number].start {
            block.nth(place - self.blocks[number].start - 1);
        }
        Iter {
            list: self,
            next_block: number + 1,
            block,
            tail: self.tail.iter(),
            left,
        }
    }

    /// Whether all that was asked for could be read.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> io::Result<()> {
        let failed = self.store.as_ref().and_then(|store| store.failed.get());
        match failed.or(self.missing.as_ref()) {
            None => Ok(()),
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
        }
    }
}

fn load<T: Value>(store: &Store, shared: &T::Shared, block: &Block) -> Option<Entries<T>> {
    let mut bytes = vec![0; block.length];
    store.read(block.at, &mut bytes)?;
    let mut decoder = Decoder(&bytes);
    let mut entries = Vec::with_capacity(block.count);
    let mut path = Vec::new();
    for _ in 0..block.count {
        let entry = (|| {
            let shared_bytes: usize = decoder.small()?;
            let rest = decoder.bytes()?;
            path.truncate(shared_bytes);
            path.extend_from_slice(rest);
            Some((GuestPath::known(&path), T::decode(shared, &mut decoder)?))
        })();
        let Some(entry) = entry else {
            store.is_damaged();
            return None;
        };
        entries.push(entry);
    }
    Some(entries)
}

/// Goes through a list.
#[derive(Debug)]
pub struct Iter<'a, T: Value> {
    list: &'a Sorted<T>,
    next_block: usize,
    block: std::vec::IntoIter<(GuestPath, T)>,
    tail: std::slice::Iter<'a, (GuestPath, T)>,
    left: usize,
}

impl<T: Value> Iterator for Iter<'_, T> {
    type Item = (GuestPath, T);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.block.next() {
                self.left = self.left.saturating_sub(1);
                return Some(entry);
            }
            if self.next_block >= self.list.blocks.len() {
                self.left = self.left.saturating_sub(1);
                return self.tail.next().cloned();
            }
            let Some(block) = self.list.load(self.next_block) else {
                // It ends here, and the list knows that something is missing.
                self.next_block = self.list.blocks.len();
                self.tail = [].iter();
                return None;
            };
            self.next_block += 1;
            self.block = block.into_iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<'a, T: Value> IntoIterator for &'a Sorted<T> {
    type Item = (GuestPath, T);
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Value> IntoIterator for Sorted<T> {
    type Item = (GuestPath, T);
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter {
            blocks: self.blocks.into_iter(),
            store: self.store,
            shared: self.shared,
            block: Vec::new().into_iter(),
            tail: self.tail.into_iter(),
        }
    }
}

/// Goes through a list and takes it away.
#[derive(Debug)]
pub struct IntoIter<T: Value> {
    blocks: std::vec::IntoIter<Block>,
    store: Option<Arc<Store>>,
    shared: T::Shared,
    block: std::vec::IntoIter<(GuestPath, T)>,
    tail: std::vec::IntoIter<(GuestPath, T)>,
}

impl<T: Value> IntoIter<T> {
    /// As [`Sorted::check`].
    ///
    /// # Errors
    /// Why something is missing.
    pub fn check(&self) -> io::Result<()> {
        self.store.as_ref().map_or(Ok(()), |store| store.check())
    }
}

impl<T: Value> Iterator for IntoIter<T> {
    type Item = (GuestPath, T);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.block.next() {
                return Some(entry);
            }
            let Some(block) = self.blocks.next() else {
                return self.tail.next();
            };
            let loaded = self
                .store
                .as_ref()
                .and_then(|store| load(store, &self.shared, &block));
            let Some(loaded) = loaded else {
                self.blocks = Vec::new().into_iter();
                self.tail = Vec::new().into_iter();
                return None;
            };
            self.block = loaded.into_iter();
        }
    }
}

#[cfg(test)]
#[path = "spill_tests.rs"]
mod tests;
