//! Dictionaries on disk, as they are or with gzip: OpenFOAM reads `U.gz` where `U` is not there.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::Dictionary;
use super::error::DictionaryError;

/// The most that is read of one file, unpacked.
pub const FILE_LIMIT_BYTES: u64 = 256 << 20;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A dictionary and the file that it came from.
#[derive(Debug, Clone)]
pub struct DictionaryFile {
    /// The file: `U`, or `U.gz`.
    pub path: PathBuf,
    /// What is in it.
    pub dictionary: Dictionary,
    compressed: bool,
    read: Vec<u8>,
}

impl DictionaryFile {
    /// Reads a file, or the one with `.gz` where it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be read, is too large, or is no dictionary.
    pub fn open(path: &Path) -> Result<Self, DictionaryError> {
        let path = find(path);
        let (text, compressed) = read_text(&path)?;
        let dictionary =
            Dictionary::parse(text.clone()).map_err(|source| DictionaryError::Syntax {
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            path,
            dictionary,
            compressed,
            read: text,
        })
    }

    /// Writes it back, packed as it was. A file that is not changed is not touched.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn save(&mut self) -> Result<(), DictionaryError> {
        if self.dictionary.text() == self.read {
            return Ok(());
        }
        write_text(&self.path, self.dictionary.text(), self.compressed)?;
        self.read = self.dictionary.text().to_vec();
        Ok(())
    }
}

/// The file itself, or its packed form.
fn find(path: &Path) -> PathBuf {
    if path.exists() {
        return path.to_owned();
    }
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    let packed = PathBuf::from(packed);
    if packed.exists() {
        packed
    } else {
        path.to_owned()
    }
}

/// The bytes of a text file, unpacked where it is packed, and whether it was.
///
/// # Errors
///
/// It cannot be read, or is larger than [`FILE_LIMIT_BYTES`].
pub fn read_text(path: &Path) -> Result<(Vec<u8>, bool), DictionaryError> {
    let io = |source: io::Error| DictionaryError::Io {
        doing: "read",
        path: path.into(),
        source,
    };
    let file = fs::File::open(path).map_err(io)?;
    let mut start = Vec::with_capacity(2);
    (&file).take(2).read_to_end(&mut start).map_err(io)?;
    let compressed = start == GZIP;
    let whole = io::Cursor::new(start).chain(file);
    let mut text = Vec::new();
    let read = if compressed {
        MultiGzDecoder::new(whole)
            .take(FILE_LIMIT_BYTES + 1)
            .read_to_end(&mut text)
    } else {
        whole.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut text)
    };
    read.map_err(io)?;
    if text.len() as u64 > FILE_LIMIT_BYTES {
        return Err(DictionaryError::TooLarge {
            path: path.into(),
            limit_bytes: FILE_LIMIT_BYTES,
        });
    }
    Ok((text, compressed))
}

/// Writes a text file beside itself, syncs and renames it; packed where it was.
///
/// # Errors
///
/// It cannot be written.
pub fn write_text(path: &Path, text: &[u8], compressed: bool) -> Result<(), DictionaryError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        if compressed {
            file.write_all(&packed(text)?)?;
        } else {
            file.write_all(text)?;
        }
        if let Ok(metadata) = fs::metadata(path) {
            fs::set_permissions(file.path(), metadata.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| DictionaryError::Io {
        doing: "write",
        path: path.into(),
        source,
    })
}

/// A text as gzip packs it, the same each time.
pub(crate) fn packed(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}
