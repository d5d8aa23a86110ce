//! Digests of files, remembered.
//!
//! A file is known by its path, size, times of change and inode. Where all of these are as they were when it was digested,
//! it is not read again. The cache is a file of its own, written whole:
//!
//! ```text
//! "windlass digests 1\n"
//! then for each file   digest [u8; 32] | size, device, inode u64 | modified, changed i128 | length of path u32 | path
//! ```
//! All numbers are little-endian. A cache that cannot be read is an empty one, and one that is cut off ends there: it saves
//! time, and holds nothing else.
//!
//! A file that changed within the last two seconds before it was digested is not remembered: it could change again without
//! its times showing it, since file systems count in steps.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, IoContext};
use crate::stamp::Stamp;

const MAGIC: &[u8] = b"windlass digests 1\n";

/// A line without its path.
const LINE_BYTES: u64 = 32 + 3 * 8 + 2 * 16 + 4;

/// So many lines for each file that is known, and the cache is written anew.
const LINES_PER_FILE: usize = 2;

/// So many wait to be written, at most.
const ADDED_MAX: usize = 1 << 16;

/// No path is longer.
const PATH_BYTES_MAX: u32 = 1 << 16;

const BUFFER_BYTES: usize = 256 << 10;

/// How much is read between two looks at the cancellation.
const CHUNK_BYTES: usize = 256 << 10;

/// Remembers the digests of files by path, size, times of change and inode.
#[derive(Debug, Default)]
pub struct DigestCache {
    /// Where it is kept; nowhere for one that is forgotten with the process.
    path: Option<PathBuf>,
    known: Mutex<Known>,
    reads_all: bool,
}

#[derive(Debug, Default)]
struct Known {
    /// What the file says, once somebody asked, and the first `merged` of what was added.
    digests: Digests,
    is_loaded: bool,
    /// What the file does not have yet.
    added: Vec<Added>,
    merged: usize,
    /// How many lines the file has, and how many bytes these are.
    lines: usize,
    length_bytes: u64,
}

type Digests = HashMap<PathBuf, (Stamp, blake3::Hash)>;
type Added = (PathBuf, Stamp, blake3::Hash);
type Line<'a> = (&'a PathBuf, &'a Stamp, &'a blake3::Hash);

impl DigestCache {
    /// A cache that is kept in a file, if it is there.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(path.into()),
            ..Self::default()
        }
    }

    /// Trusts no size and no time: each file is read, whatever is remembered of it. What is found is remembered.
    #[must_use]
    pub fn reading_all(mut self) -> Self {
        self.reads_all = true;
        self
    }

    /// Whether each file is to be read.
    pub(crate) fn reads_all(&self) -> bool {
        self.reads_all
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.known().digests.len()
    }

    /// Whether no file is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what has become known to the file, if there is one and anything changed. Where much of the file is out of
    /// date, it is written anew, and files that are no more are forgotten.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays then.
    pub fn save(&self) -> Result<(), Error> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut known = self.lock();
        if known.added.is_empty() {
            return Ok(());
        }
        // Another process may have added to it, or been cut off while it did.
        let length_bytes = path.metadata().ok().map(|file| file.len());
        let is_ours = length_bytes == Some(known.length_bytes) && known.lines > 0;
        let lines = known.lines + known.added.len();
        let files = known.digests.len() + known.added.len() - known.merged;
        // Where nobody asked what is in it, it need not be known.
        let is_unknown = !known.is_loaded && starts_well(path);
        if is_unknown || (is_ours && lines <= LINES_PER_FILE * files) {
            append(path, &known.added)?;
        } else if known.lines == 0 {
            let lines = known.added.iter();
            write_whole(
                path,
                lines.map(|(file, stamp, digest)| (file, stamp, digest)),
            )?;
        } else {
            known.merge();
            let digests = known.digests.iter();
            let there = digests.filter(|(file, _)| file.symlink_metadata().is_ok());
            write_whole(
                path,
                there.map(|(file, (stamp, digest))| (file, stamp, digest)),
            )?;
        }
        // It is read again when somebody asks.
        *known = Known::default();
        Ok(())
    }

    /// Whether it is less work to read the cache than so many bytes of files.
    pub(crate) fn is_worth_asking(&self, file_bytes: u64) -> bool {
        let known = self.lock();
        let file = self.path.as_ref().and_then(|path| path.metadata().ok());
        known.is_loaded || file.is_none_or(|file| file.len() <= file_bytes)
    }

    /// The digest of a file that had this stamp when it was scanned, if it is remembered.
    pub(crate) fn remembered(&self, path: &Path, stamp: &Stamp) -> Option<blake3::Hash> {
        if self.reads_all {
            return None;
        }
        let known = self.known();
        let (old, digest) = known.digests.get(path)?;
        (old == stamp).then_some(*digest)
    }

    /// Remembers the digest of a file that was read after `started` and still had this stamp behind that, if it had been
    /// unchanged for long enough.
    pub(crate) fn remember(
        &self,
        path: &Path,
        stamp: &Stamp,
        digest: blake3::Hash,
        started: SystemTime,
    ) {
        if stamp.is_settled(started) {
            let mut known = self.lock();
            known.added.push((path.to_path_buf(), *stamp, digest));
            let is_due = known.added.len() >= ADDED_MAX && self.path.is_some();
            drop(known);
            if is_due && let Err(error) = self.save() {
                tracing::warn!(%error, "the digests were not saved");
            }
        }
    }

    /// The digest of a file that had this stamp when it was scanned, from memory or by reading it.
    pub(crate) fn digest(
        &self,
        path: &Path,
        stamp: &Stamp,
        cancel: &CancellationToken,
    ) -> Result<blake3::Hash, Error> {
        if let Some(digest) = self.remembered(path, stamp) {
            return Ok(digest);
        }
        let started = SystemTime::now();
        let digest = digest_unchanged(path, stamp, cancel)?;
        self.remember(path, stamp, digest, started);
        Ok(digest)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, to be asked.
    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.lock();
        if let Some(path) = self.path.as_ref().filter(|_| !known.is_loaded) {
            let read = File::open(path)
                .map(|file| io::BufReader::with_capacity(BUFFER_BYTES, file))
                .and_then(|mut file| read(&mut file));
            match read {
                Ok((digests, lines, length_bytes)) => {
                    (known.digests, known.lines) = (digests, lines);
                    known.length_bytes = length_bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "starting with no digests");
                }
            }
        }
        known.is_loaded = true;
        known.merge();
        known
    }
}

impl Known {
    /// Makes what was added known to who asks.
    fn merge(&mut self) {
        let new = self.added.iter().skip(self.merged);
        let new = new.map(|(path, stamp, digest)| (path.clone(), (*stamp, *digest)));
        self.digests.extend(new);
        self.merged = self.added.len();
    }
}

/// Whether a file is a cache that can be added to.
fn starts_well(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == MAGIC
}

/// Adds lines to a cache, in one write: two processes that add at the same moment do not mix their lines.
fn append(path: &Path, added: &[Added]) -> Result<(), Error> {
    let mut bytes = Vec::new();
    for (file, stamp, digest) in added {
        write_line(&mut bytes, file, stamp, digest).context("write", path)?;
    }
    File::options()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(&bytes))
        .context("write", path)
}

fn write_whole<'a>(path: &Path, digests: impl Iterator<Item = Line<'a>>) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(parent).context("create a file in", parent)?;
    let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, file);
    write(&mut out, digests).context("write", path)?;
    let file = out
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .context("write", path)?;
    file.persist(path)
        .map_err(|error| error.error)
        .context("write", path)?;
    Ok(())
}

/// The digest of a file that had this stamp when it was scanned, by reading it.
pub(crate) fn digest_unchanged(
    path: &Path,
    stamp: &Stamp,
    cancel: &CancellationToken,
) -> Result<blake3::Hash, Error> {
    let digest = digest_file(path, cancel)?;
    stamp.check(path)?;
    Ok(digest)
}

/// Reads a file for its digest.
fn digest_file(path: &Path, cancel: &CancellationToken) -> Result<blake3::Hash, Error> {
    let mut file = File::open(path).context("read", path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("read", path),
        };
    }
}

fn write<'a>(out: &mut impl Write, digests: impl Iterator<Item = Line<'a>>) -> io::Result<()> {
    out.write_all(MAGIC)?;
    for (path, stamp, digest) in digests {
        write_line(out, path, stamp, digest)?;
    }
    out.flush()
}

fn write_line(
    out: &mut impl Write,
    path: &Path,
    stamp: &Stamp,
    digest: &blake3::Hash,
) -> io::Result<()> {
    let path = path.as_os_str().as_bytes();
    let length = u32::try_from(path.len()).map_err(io::Error::other)?;
    out.write_all(digest.as_bytes())?;
    for number in [stamp.size_bytes, stamp.device, stamp.inode] {
        out.write_all(&number.to_le_bytes())?;
    }
    for time in [stamp.modified_ns, stamp.changed_ns] {
        out.write_all(&i128::from(time).to_le_bytes())?;
    }
    out.write_all(&length.to_le_bytes())?;
    out.write_all(path)
}

/// What is in a file, and in how many lines.
fn read(file: &mut impl Read) -> io::Result<(Digests, usize, u64)> {
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a cache of digests",
        ));
    }
    let (mut digests, mut lines, mut length_bytes) = (HashMap::new(), 0, MAGIC.len() as u64);
    loop {
        match read_line(file) {
            Ok((path, stamp, digest)) => {
                length_bytes += LINE_BYTES + path.as_os_str().len() as u64;
                digests.insert(path, (stamp, digest));
                lines += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok((digests, lines, length_bytes));
            }
            Err(error) => return Err(error),
        }
    }
}

fn time(found: i128) -> io::Result<i64> {
    i64::try_from(found)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it holds a time that cannot be"))
}

fn read_line(file: &mut impl Read) -> io::Result<(PathBuf, Stamp, blake3::Hash)> {
    let digest = blake3::Hash::from_bytes(take(file)?);
    let mut numbers = [0; 3];
    for number in &mut numbers {
        *number = u64::from_le_bytes(take(file)?);
    }
    let modified_ns = time(i128::from_le_bytes(take(file)?))?;
    let changed_ns = time(i128::from_le_bytes(take(file)?))?;
    let length = u32::from_le_bytes(take(file)?);
    if length > PATH_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds a path that is too long",
        ));
    }
    let mut path = vec![0; length as usize];
    file.read_exact(&mut path)?;
    let [size_bytes, device, inode] = numbers;
    let stamp = Stamp {
        size_bytes,
        device,
        inode,
        modified_ns,
        changed_ns,
    };
    let path = PathBuf::from(std::ffi::OsString::from_vec(path));
    Ok((path, stamp, digest))
}

fn take<const LENGTH: usize>(file: &mut impl Read) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn old_file(folder: &Path, name: &str, content: &[u8]) -> (PathBuf, Stamp) {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        let stamp = Stamp::of(&path.symlink_metadata().unwrap());
        (path, stamp)
    }

    #[test]
    fn a_file_that_just_changed_is_not_remembered_and_a_settled_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DigestCache::open(folder.path().join("digests"));
        let (path, stamp) = old_file(folder.path(), "a", b"content");
        let digest = cache
            .digest(&path, &stamp, &CancellationToken::new())
            .unwrap();
        assert_eq!(digest, blake3::hash(b"content"));
        assert!(cache.is_empty());

        std::thread::sleep(std::time::Duration::from_millis(2100));
        cache
            .digest(&path, &stamp, &CancellationToken::new())
            .unwrap();
        assert_eq!(cache.len(), 1);
        cache.save().unwrap();
        let again = DigestCache::open(folder.path().join("digests"));
        assert_eq!(again.len(), 1);
        // It is taken from memory: the file itself is not looked at.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            again
                .digest(&path, &stamp, &CancellationToken::new())
                .unwrap(),
            digest
        );
    }

    #[test]
    fn a_file_that_is_written_to_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut stamp) = old_file(folder.path(), "a", b"content");
        stamp.modified_ns -= 1;
        let error = DigestCache::default()
            .digest(&path, &stamp, &CancellationToken::new())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("changed while the image was made: it was written to"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn a_cache_reads_back_and_a_damaged_one_never_panics(
            files in proptest::collection::vec(("[a-z/]{1,20}", any::<u64>(), any::<i64>()), 0..8),
            cut in any::<proptest::sample::Index>(),
        ) {
            let digests: HashMap<PathBuf, (Stamp, blake3::Hash)> = files
                .into_iter()
                .map(|(path, number, time)| {
                    let stamp = Stamp {
                        size_bytes: number, device: 1, inode: number, modified_ns: time, changed_ns: time.wrapping_neg(),
                    };
                    (PathBuf::from(path), (stamp, blake3::hash(&number.to_le_bytes())))
                })
                .collect();
            let mut bytes = Vec::new();
            let lines = digests.iter().map(|(path, (stamp, digest))| (path, stamp, digest));
            write(&mut bytes, lines).unwrap();
            prop_assert_eq!(read(&mut bytes.as_slice()).unwrap().0, digests);
            let cut = cut.index(bytes.len());
            let _ = read(&mut &bytes[..cut]);
        }
    }
}
