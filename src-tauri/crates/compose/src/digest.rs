//! Digests of files, remembered.
//!
//! A file is known by its path, size, times of change and inode. Where all of these are as they were when it was digested,
//! it is not read again. The cache is a file of its own, written whole:
//!
//! ```text
//! "windlass digests 1\n"
//! then for each file   digest [u8; 32] | size, device, inode u64 | modified, changed i128 | length of path u32 | path
//! ```
//! All numbers are little-endian. A cache that cannot be read is an empty one: it saves time, and holds nothing else.
//!
//! A file that changed within the last two seconds before it was digested is not remembered: it could change again without
//! its times showing it, since file systems count in steps.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use crate::error::{Error, IoContext};
use crate::stamp::Stamp;

const MAGIC: &[u8] = b"windlass digests 1\n";

/// How long a file has to be unchanged to be remembered.
const SETTLED_NS: i128 = 2_000_000_000;

/// No path is longer.
const PATH_BYTES_MAX: u32 = 1 << 16;

/// How much is read between two looks at the cancellation.
const CHUNK_BYTES: usize = 256 << 10;

/// Remembers the digests of files by path, size, times of change and inode.
#[derive(Debug, Default)]
pub struct DigestCache {
    /// Where it is kept; nowhere for one that is forgotten with the process.
    path: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    digests: HashMap<PathBuf, (Stamp, blake3::Hash)>,
    is_changed: bool,
}

impl DigestCache {
    /// A cache that is kept in a file, read from there if it is there.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let digests = match File::open(&path)
            .map(io::BufReader::new)
            .and_then(|mut file| read(&mut file))
        {
            Ok(digests) => digests,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "starting with no digests");
                }
                HashMap::new()
            }
        };
        Self {
            path: Some(path),
            known: Mutex::new(Known {
                digests,
                is_changed: false,
            }),
        }
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.known().digests.len()
    }

    /// Whether no file is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what has become known to the file, if there is one and anything changed. Files that are no more are
    /// forgotten.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays then.
    pub fn save(&self) -> Result<(), Error> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut known = self.known();
        if !known.is_changed {
            return Ok(());
        }
        known
            .digests
            .retain(|file, _| file.symlink_metadata().is_ok());
        let parent = path.parent().unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(parent).context("create a file in", parent)?;
        let mut out = io::BufWriter::new(file);
        write(&mut out, &known.digests).context("write", path)?;
        let file = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .context("write", path)?;
        file.persist(path)
            .map_err(|error| error.error)
            .context("write", path)?;
        known.is_changed = false;
        Ok(())
    }

    /// The digest of a file that had this stamp when it was scanned, from memory or by reading it.
    pub(crate) fn digest(
        &self,
        path: &Path,
        stamp: &Stamp,
        cancel: &CancellationToken,
    ) -> Result<blake3::Hash, Error> {
        if let Some((known, digest)) = self.known().digests.get(path)
            && known == stamp
        {
            return Ok(*digest);
        }
        let digest = digest_file(path, cancel)?;
        stamp.check(path)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let settled = i128::try_from(now)
            .unwrap_or(i128::MAX)
            .saturating_sub(SETTLED_NS);
        if stamp.modified_ns < settled && stamp.changed_ns < settled {
            let mut known = self.known();
            known.digests.insert(path.to_path_buf(), (*stamp, digest));
            known.is_changed = true;
        }
        Ok(digest)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

fn write(
    out: &mut impl Write,
    digests: &HashMap<PathBuf, (Stamp, blake3::Hash)>,
) -> io::Result<()> {
    out.write_all(MAGIC)?;
    for (path, (stamp, digest)) in digests {
        let path = path.as_os_str().as_bytes();
        let length = u32::try_from(path.len()).map_err(io::Error::other)?;
        out.write_all(digest.as_bytes())?;
        for number in [stamp.size_bytes, stamp.device, stamp.inode] {
            out.write_all(&number.to_le_bytes())?;
        }
        for time in [stamp.modified_ns, stamp.changed_ns] {
            out.write_all(&time.to_le_bytes())?;
        }
        out.write_all(&length.to_le_bytes())?;
        out.write_all(path)?;
    }
    out.flush()
}

fn read(file: &mut impl Read) -> io::Result<HashMap<PathBuf, (Stamp, blake3::Hash)>> {
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a cache of digests",
        ));
    }
    let mut digests = HashMap::new();
    loop {
        let mut digest = [0; blake3::OUT_LEN];
        // Only between two files may it end.
        if file.read(&mut digest[..1])? == 0 {
            return Ok(digests);
        }
        file.read_exact(&mut digest[1..])?;
        let mut numbers = [0; 3];
        for number in &mut numbers {
            *number = u64::from_le_bytes(take(file)?);
        }
        let modified_ns = i128::from_le_bytes(take(file)?);
        let changed_ns = i128::from_le_bytes(take(file)?);
        let length = u32::from_le_bytes(take(file)?);
        if length > PATH_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it holds a path that is too long",
            ));
        }
        let mut path = Vec::new();
        if file.take(u64::from(length)).read_to_end(&mut path)? < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let [size_bytes, device, inode] = numbers;
        let stamp = Stamp {
            size_bytes,
            device,
            inode,
            modified_ns,
            changed_ns,
        };
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        digests.insert(path, (stamp, blake3::Hash::from_bytes(digest)));
    }
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
                    let time = i128::from(time);
                    let stamp = Stamp {
                        size_bytes: number, device: 1, inode: number, modified_ns: time, changed_ns: -time,
                    };
                    (PathBuf::from(path), (stamp, blake3::hash(&number.to_le_bytes())))
                })
                .collect();
            let mut bytes = Vec::new();
            write(&mut bytes, &digests).unwrap();
            prop_assert_eq!(read(&mut bytes.as_slice()).unwrap(), digests);
            let cut = cut.index(bytes.len());
            let _ = read(&mut &bytes[..cut]);
        }
    }
}
